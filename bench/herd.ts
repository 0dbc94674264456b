/**
 * What does waiting for a load cost, for each of 10 000 waiters?
 */
import { Deferred, Effect } from "effect"
import { contenders, type Entrant } from "./support/contend.js"
import { type Contender, LeftOut, report, type Section, section } from "./support/harness.js"
import { runtime } from "./support/memory.js"

const waiters = 10_000

/** Forks 10 000 fibers that wait for one value, then releases it. Returns the sum of what they got. */
const forked = (wait: Effect.Effect<number, unknown, any>, release: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const fibers = []
    for (let i = 0; i < waiters; i++) fibers.push(yield* Effect.fork(wait))
    yield* Effect.yieldNow()
    yield* Effect.yieldNow()
    yield* release
    let sum = 0
    for (const fiber of fibers) sum += yield* fiber
    return sum
  })

const herdOf = (clock: "cpu" | "wall") => (title: string) =>
  Effect.gen(function* () {
    let open: (id: number) => void = () => {}
    /** A herd of one library reads a new key. The value of a number is the number 1. */
    const herd = ({ cache, loads }: Entrant<number>): Effect.Effect<void, LeftOut> => {
      let key = 0
      const read = cache.calls.read!
      return Effect.suspend(() => {
        const id = key++
        const begun = loads()
        const release = () => open(id)
        const sum =
          cache.kind === "effect"
            ? () => cache.run(forked(read(id) as Effect.Effect<number, unknown>, Effect.sync(release)))
            : async () => {
                const all = Array.from({ length: waiters }, () => read(id) as Promise<number>)
                await new Promise(setImmediate)
                release()
                return (await Promise.all(all)).reduce((sum, value) => sum + value, 0)
              }
        return Effect.flatMap(
          Effect.tryPromise({ try: sum, catch: (error) => new LeftOut({ reason: String(error) }) }),
          (sum) => {
            if (sum !== waiters) return Effect.fail(new LeftOut({ reason: `${sum} right answers` }))
            const loaded = loads() - begun
            return loaded === 1 ? Effect.void : Effect.fail(new LeftOut({ reason: `${loaded} loads instead of 1` }))
          }
        )
      })
    }
    const opened = new Map<number, () => void>()
    open = (id) => {
      opened.get(id)!()
      opened.delete(id)
    }
    const rivals = yield* contenders<number>({
      place: "memory",
      load: (id) => new Promise((resolve) => opened.set(id, () => resolve(1))),
      idOf: () => 1,
      has: ({ calls }) => calls.read !== undefined,
      operations: waiters,
      fixed: true,
      prepare: (entrant) => {
        const once = herd(entrant)
        return Effect.as(once, Effect.orDie(once))
      }
    })
    const bare: Contender = {
      name: "floor: one bare Deferred",
      operations: waiters,
      run: Effect.succeed(
        Effect.asVoid(
          Effect.promise(() =>
            runtime.runPromise(
              Effect.flatMap(Deferred.make<number>(), (deferred) =>
                forked(Deferred.await(deferred), Deferred.succeed(deferred, 1))
              )
            )
          )
        )
      )
    }
    yield* report({
      title,
      floor: bare.name,
      bounds: { "Cached.ttl": 1.15 },
      clock,
      rounds: 9,
      contenders: [bare, ...rivals]
    })
  })

export const herds: ReadonlyArray<Section> = (["cpu", "wall"] as const).map((clock) =>
  section(`10 000 waiters on one key, per waiter${clock === "wall" ? ", wall time" : ""}`, herdOf(clock))
)

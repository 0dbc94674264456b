/**
 * What does waiting for a load cost, for each of 10 000 waiters?
 */
import { Deferred, Effect, Fiber } from "effect"
import { contenders, type Entrant } from "./support/contend.js"
import { type Contender, LeftOut, report, type Section, section, verify } from "./support/harness.js"
import { runtime } from "./support/memory.js"

const waiters = 10_000

/** The loads of a key, which all wait until somebody opens it. */
const makeGate = () => {
  const waiting = new Map<number, Array<() => void>>()
  const opened = new Set<number>()
  return {
    /** Loads the number 1. */
    load: (id: number): number | Promise<number> => {
      if (opened.has(id)) return 1
      const all = waiting.get(id) ?? []
      waiting.set(id, all)
      return new Promise((resolve) => all.push(() => resolve(1)))
    },
    hasBegun: (id: number): boolean => waiting.has(id),
    open: (id: number): void => {
      opened.add(id)
      for (const resolve of waiting.get(id) ?? []) resolve()
    }
  }
}

/** Forks 10 000 fibers that wait for one value, then releases it. Returns the sum of what they got. */
const forked = (wait: Effect.Effect<number>, begun: () => boolean, release: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const fibers: Array<Fiber.RuntimeFiber<number>> = []
    for (let i = 0; i < waiters; i++) fibers.push(yield* Effect.fork(wait))
    yield* Effect.yieldNow()
    yield* Effect.yieldNow()
    while (!begun()) yield* Effect.yieldNow()
    yield* release
    let sum = 0
    for (const fiber of fibers) sum += yield* Fiber.join(fiber)
    return sum
  })

/** The same with promises. */
const awaited = async (wait: () => Promise<number>, begun: () => boolean, release: () => void) => {
  const all = Array.from({ length: waiters }, wait)
  do await new Promise(setImmediate)
  while (!begun())
  release()
  return (await Promise.all(all)).reduce((sum, value) => sum + value, 0)
}

const herdOf = (title: string) =>
  Effect.gen(function* () {
    const gate = makeGate()
    let keys = 0
    /** A herd of one library. Each reads a key that no other library has read. */
    const herd = ({ cache, loads }: Entrant<number>): Effect.Effect<void, LeftOut> => {
      const read = cache.calls.read!
      return Effect.gen(function* () {
        const id = keys++
        const before = loads()
        const begun = () => gate.hasBegun(id)
        const open = () => gate.open(id)
        const sum = yield* Effect.tryPromise({
          try: () =>
            cache.kind === "effect"
              ? cache.run(forked(cache.calls.read!(id) as Effect.Effect<number>, begun, Effect.sync(open)))
              : awaited(() => read(id) as Promise<number>, begun, open),
          catch: (error) => new LeftOut({ reason: `it fails: ${String(error)}` })
        })
        yield* verify("the sum of the values", sum, waiters)
        yield* verify("loads", loads() - before, 1)
      })
    }
    const rivals = yield* contenders<number>({
      place: "memory",
      load: gate.load,
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
                forked(Deferred.await(deferred), () => true, Deferred.succeed(deferred, 1))
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
      clock: "cpu",
      rounds: 7,
      contenders: [bare, ...rivals]
    })
  })

export const herds: ReadonlyArray<Section> = [section("10 000 waiters on one key, per waiter", herdOf)]

/**
 * A process with memory in front of Redis: `hybrid-process.ts <url> <prefix> <name>`. It runs the commands of a test.
 * With a fourth argument, `plain`, it has no memory in front.
 */
import { Effect, Exit, Fiber, Option } from "effect"
import { Cached, CacheStore } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"
import { emit, serve } from "./child.js"
import { awaitUntil } from "./live.js"

const [url, prefix, name, kind] = process.argv.slice(2) as [string, string, string, string?]

/** The event that is sent when a load begins. */
export interface Loading {
  readonly node: string
  readonly key: string
}

let loads = 0
/** The loads of these keys wait until the test releases them. */
const held = new Map<string, Array<() => void>>()

const lookup = (key: string): Effect.Effect<string> =>
  Effect.gen(function* () {
    const value = `${name}${++loads}`
    const waiting = held.get(key)
    yield* emit({ node: name, key } satisfies Loading)
    if (waiting !== undefined) yield* Effect.async<void>((resume) => void waiting.push(() => resume(Effect.void)))
    return value
  })

const options = { key: "k:{}", ttl: "1 minute", tags: (_: string, key: string) => [`tag:${key}`] } as const
const find = Cached.ttl(lookup, options)
// One function with several leases: one test waits until a lease expires, another needs a lease that does not.
const locked = (lease: number) => Cached.ttl(lookup, { ...options, lock: { lease } })

const health = (what: string, is: (health: CacheStore.Health) => boolean) =>
  Effect.flatMap(CacheStore, (store) => awaitUntil(Effect.map(store.health, is), `${name}: ${what}`))

let traffic: Fiber.Fiber<never> = Fiber.never
let served = 0
const faults: Array<string> = []

const commands = {
  /** Waits until notifications arrive and nothing is undelivered to Redis. */
  well: () => health("all is well", ({ coherent, owes, status }) => coherent && !owes && status === "up"),
  /** Waits until the process has noticed that Redis is unreachable. */
  cut: () => health("Redis is away", ({ coherent, status }) => !coherent && status === "down"),
  hold: (key: string) => Effect.sync(() => void held.set(key, [])),
  release: (key: string) =>
    Effect.sync(() => {
      for (const resume of held.get(key) ?? []) resume()
      held.delete(key)
    }),
  /** Reads a key in many fibers, with one load among all processes, and counts the readers of each value. */
  herd: (key: string, fibers: number, lease: number) => {
    const read = locked(lease)(key)
    return Effect.map(Effect.all(Effect.replicate(read, fibers), { concurrency: "unbounded" }), (values) => {
      const counts: Record<string, number> = {}
      for (const value of values) counts[value] = (counts[value] ?? 0) + 1
      return counts
    })
  },
  read: (key: string) => find(key),
  peek: (key: string) => Effect.map(find.peek(key), Option.getOrUndefined),
  set: (key: string, value: string) => find.set(key)(value),
  invalidate: (key: string) => find.invalidate(key),
  invalidateTag: (key: string) => Cached.invalidateTags([`tag:${key}`]),
  clear: () => find.clear,
  expire: (key: string) => find.expire(key),
  expireTag: (key: string) => Cached.expireTags([`tag:${key}`]),
  expireAll: () => find.expireAll,
  expireStore: () => Effect.flatMap(CacheStore, ({ expireAll }) => expireAll),
  /** Reads `keys` keys repeatedly, and sets or invalidates one from time to time, until `quiet`. */
  traffic: (keys: number) =>
    Effect.gen(function* () {
      let turn = 0
      const one = Effect.suspend(() => {
        const key = `t${turn++ % keys}`
        const act =
          turn % 23 === 0 ? find.set(key)(`${name} set ${turn}`) : turn % 31 === 0 ? find.invalidate(key) : find(key)
        return Effect.map(Effect.exit(act), (exit) => {
          if (Exit.isSuccess(exit)) served++
          else faults.push(String(exit.cause))
        })
      })
      traffic = yield* Effect.forkDaemon(Effect.forever(Effect.zipRight(Effect.all([one, one, one]), Effect.sleep(2))))
    }),
  /** Waits until `more` further reads and writes have been answered. */
  serves: (more: number) =>
    Effect.suspend(() => {
      const enough = served + more
      return awaitUntil(
        Effect.sync(() => served >= enough),
        `${name}: ${more} answers`
      )
    }),
  /** Ends the traffic and returns its failures. */
  quiet: () => Effect.as(Fiber.interrupt(traffic), faults)
}

export type Commands = typeof commands

await serve(commands).pipe(
  Effect.provide(
    kind === "plain"
      ? RedisCache.layer({ url, prefix, timeout: "10 seconds" })
      : RedisCache.layerHybrid({ l2: { url, prefix, timeout: "10 seconds" } })
  ),
  Effect.runPromise
)

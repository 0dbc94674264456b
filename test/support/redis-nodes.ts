/**
 * Several stores on one Redis, as several processes have them: each with its own connection, engine and marks.
 */
import { deepStrictEqual } from "@effect/vitest/utils"
import { Clock, Effect } from "effect"
import { CacheStore, type TieredCache } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"
import { awaitUntil, freshPrefix, RedisServer } from "./redis.js"

/** equal in type as well: `assert.deepStrictEqual` takes any Some for None */
export const same = (actual: unknown, expected: unknown, message?: string): void =>
  deepStrictEqual(actual, expected, message)

export const minute = { ttl: "1 minute" } as const

export interface Node {
  readonly store: CacheStore.Service
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, CacheStore>>
  /** what this node wrote before has come to its end in Redis: one connection carries all, in order */
  readonly written: Effect.Effect<void>
}

export const nodeOf = (store: CacheStore.Service): Node => ({
  store,
  run: Effect.provideService(CacheStore, store),
  written: Effect.zipRight(store.set("barrier", 0, minute), store.remove("barrier"))
})

/** one more store on the server of the test */
export const node = (options: RedisCache.Options) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer
    return nodeOf(yield* RedisCache.make({ url: redis.url, ...options }))
  })

export type HybridOptions = Omit<RedisCache.HybridOptions, "l2"> & {
  readonly l2?: RedisCache.Options & Pick<TieredCache.Tier, "ttl">
}

/** one more process' memory in front of the server of the test, once it hears the others */
export const hybrid = ({ l2, ...options }: HybridOptions = {}) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer
    const node = nodeOf(yield* RedisCache.makeHybrid({ ...options, l2: { url: redis.url, ...l2 } }))
    yield* coherent(node, true)
    return node
  })

export const coherent = (of: Node, is: boolean) =>
  awaitUntil(
    Effect.map(of.store.health, (health) => health.coherent === is),
    is ? "the others are heard" : "the others are not heard"
  )

/** what stands in Redis, seen by a client that knows nothing of the library */
export const raw = (prefix: string) =>
  Effect.map(RedisServer, ({ client }) => ({
    prefix,
    exists: (key: string) =>
      Effect.map(
        Effect.promise(() => client.exists(prefix + key)),
        (n) => n === 1
      ),
    bytes: (key: string) => Effect.promise(() => client.getBuffer(prefix + key)),
    put: (key: string, bytes: Uint8Array | string) =>
      Effect.promise(() => client.set(prefix + key, typeof bytes === "string" ? bytes : Buffer.from(bytes))),
    pttl: (key: string) => Effect.promise(() => client.pttl(prefix + key)),
    del: (...keys: ReadonlyArray<string>) => Effect.promise(() => client.del(...keys.map((key) => prefix + key))),
    keys: Effect.map(
      Effect.promise(() => client.keys(`${prefix}*`)),
      (keys) => keys.map((key) => key.slice(prefix.length)).sort()
    )
  }))

/** two stores that share a prefix of their own, and a view of what stands there */
export const pair = Effect.gen(function* () {
  const prefix = yield* freshPrefix
  const a = yield* node({ prefix })
  const b = yield* node({ prefix })
  return { prefix, a, b, there: yield* raw(prefix) }
})

/** one store with a prefix of its own, and a view of what stands there */
export const single = (options: RedisCache.Options = {}) =>
  Effect.gen(function* () {
    const prefix = yield* freshPrefix
    return { prefix, ...(yield* node({ prefix, ...options })), there: yield* raw(prefix) }
  })

const clock = Clock.make()
export const realNow = (): number => clock.unsafeCurrentTimeMillis()

export const health = (of: Node, status: "up" | "down") =>
  awaitUntil(
    Effect.map(of.store.health, (health) => health.status === status),
    `the store is ${status}`
  )

export const delivered = (of: Node) =>
  awaitUntil(
    Effect.map(of.store.health, (health) => !health.owes),
    "nothing is owed"
  )

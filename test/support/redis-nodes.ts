/**
 * Several stores on one Redis, each with its own connection, engine and marks, as several processes have them.
 */
import { deepStrictEqual } from "@effect/vitest/utils"
import { Clock, Effect } from "effect"
import { CacheStore, type TieredCache } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"
import { awaitUntil, freshPrefix, RedisServer } from "./redis.js"

/** Compares types too: `assert.deepStrictEqual` takes any Some for None. */
export const same = (actual: unknown, expected: unknown, message?: string): void =>
  deepStrictEqual(actual, expected, message)

export const minute = { ttl: "1 minute" } as const

export interface Node {
  readonly store: CacheStore.Service
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, CacheStore>>
  /** Waits until earlier writes of this store are done in Redis: one connection carries all commands, in order. */
  readonly written: Effect.Effect<void>
}

export const nodeOf = (store: CacheStore.Service): Node => ({
  store,
  run: Effect.provideService(CacheStore, store),
  written: Effect.zipRight(store.set("barrier", 0, minute), store.remove("barrier"))
})

/** Times that no test waits for, however busy the machine is: what answers at all answers earlier. */
export const patient = { timeout: "10 seconds", connectTimeout: "10 seconds" } as const

/** Makes one more store on the server of the test. */
export const node = (options: RedisCache.Options) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer
    return nodeOf(yield* RedisCache.make({ url: redis.url, ...patient, ...options }))
  })

export type HybridOptions = Omit<RedisCache.HybridOptions, "l2"> & {
  readonly l2?: RedisCache.Options & Pick<TieredCache.Tier, "ttl">
}

/** Makes one more store with memory in front of the server of the test, and waits until it receives notifications. */
export const hybrid = ({ l2, ...options }: HybridOptions = {}) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer
    const node = nodeOf(yield* RedisCache.makeHybrid({ ...options, l2: { url: redis.url, ...patient, ...l2 } }))
    yield* coherent(node, true)
    return node
  })

export const coherent = (of: Node, is: boolean) =>
  awaitUntil(
    Effect.map(of.store.health, (health) => health.coherent === is),
    is ? "notifications arrive" : "notifications do not arrive"
  )

/** The keys in Redis, read by a plain client. */
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

/** Two stores that share a prefix of their own, and its keys in Redis. */
export const pair = Effect.gen(function* () {
  const prefix = yield* freshPrefix
  const a = yield* node({ prefix })
  const b = yield* node({ prefix })
  return { prefix, a, b, there: yield* raw(prefix) }
})

/** One store with a prefix of its own, and its keys in Redis. */
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

export const delivered = (of: Node, millis?: number) =>
  awaitUntil(
    Effect.map(of.store.health, (health) => !health.owes),
    "everything is delivered",
    millis
  )

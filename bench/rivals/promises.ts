/** The libraries whose calls return promises. Each is used as its documentation shows. */
import { Effect, type Scope } from "effect"
import type { Redis } from "ioredis"
import type { LeftOut } from "../support/harness.js"
import { peer } from "../support/peers.js"
import { lruCache } from "./lruCache.js"
import { hour, keyOf, numberOf, type Rival, type Settings } from "./rival.js"

/** A connection that is closed at the end. The client is the one that the libraries themselves would import. */
const connection = (url: string): Effect.Effect<Redis, LeftOut, Scope.Scope> =>
  Effect.flatMap(peer<{ readonly Redis: new (url: string) => Redis }>("ioredis"), ({ Redis }) =>
    Effect.acquireRelease(
      Effect.sync(() => new Redis(url)),
      (client) => Effect.sync(() => client.disconnect())
    )
  )

const closed = (close: () => Promise<unknown>) => Effect.addFinalizer(() => Effect.ignore(Effect.tryPromise(close)))

const layeredLoader: Rival = {
  name: "layered-loader",
  isOther: true,
  isSlow: true,
  places: ["memory", "tiered", "redis"],
  hasStale: true,
  make: <A>({ capacity, idOf, isStale, load, place, prefix, url }: Settings<A>) =>
    Effect.gen(function* () {
      const { Loader, RedisCache } = yield* peer<{
        readonly Loader: new (
          options: object
        ) => {
          readonly get: (key: string) => Promise<A>
          readonly getMany: (keys: ReadonlyArray<string>) => Promise<ReadonlyArray<A>>
          readonly forceSetValue: (key: string, value: A) => Promise<void>
        }
        readonly RedisCache: new (client: Redis, options: object) => object
      }>("layered-loader")
      const ttlInMsecs = hour
      const loader = new Loader({
        ...(place === "redis"
          ? {}
          : {
              inMemoryCache: {
                cacheType: "lru-map",
                ttlInMsecs,
                maxItems: capacity,
                ...(isStale ? { ttlLeftBeforeRefreshInMsecs: hour - 1 } : {})
              }
            }),
        ...(place === "memory"
          ? {}
          : { asyncCache: new RedisCache(yield* connection(url), { json: true, prefix: `${prefix}ll`, ttlInMsecs }) }),
        dataSourceGetOneFn: async (key: string) => load(numberOf(key)),
        dataSourceGetManyFn: (keys: ReadonlyArray<string>) => Promise.all(keys.map((key) => load(numberOf(key)))),
        cacheKeyFromValueResolver: (value: A) => keyOf(idOf(value))
      })
      return {
        kind: "promise" as const,
        calls: {
          one: () => loader.get("user:7"),
          read: (id: number) => loader.get(keyOf(id)),
          set: (id: number, value: A) => loader.forceSetValue(keyOf(id), value),
          getMany: (keys: ReadonlyArray<string>) => loader.getMany(keys)
        }
      }
    })
}

const asyncCacheDedupe: Rival = {
  name: "async-cache-dedupe",
  isOther: true,
  isSlow: true,
  places: ["memory", "redis"],
  hasStale: true,
  make: <A>({ capacity, isStale, load, place, prefix, url }: Settings<A>) =>
    Effect.gen(function* () {
      const { createCache } = yield* peer<{
        readonly createCache: (options: object) => {
          readonly define: (name: string, load: (id: number) => Promise<A>) => void
        }
      }>("async-cache-dedupe")
      const cache = createCache({
        ttl: isStale ? 1 : 3_600,
        ...(isStale ? { stale: 3_600 } : {}),
        storage:
          place === "memory"
            ? { type: "memory", options: { size: capacity } }
            : { type: "redis", options: { client: yield* connection(url) } }
      })
      const name = `${prefix}user`
      cache.define(name, async (id) => load(id))
      const read = (cache as any)[name].bind(cache) as (id: number) => Promise<A>
      return { kind: "promise" as const, calls: { one: () => read(7), read } }
    })
}

interface Keyv {
  readonly disconnect: () => Promise<unknown>
}

/** The stores of `cacheable` and `cache-manager`: its memory, its Redis, or both. */
const keyvs = ({ capacity, place, prefix, url }: Settings<any>, name: string) =>
  Effect.gen(function* () {
    const { createKeyv } = yield* peer<{ readonly createKeyv: (options: object) => Keyv }>("cacheable")
    const redis = yield* peer<{ readonly createKeyv: (url: string, options: object) => Keyv }>("@keyv/redis")
    const stores = [
      ...(place === "redis" ? [] : [createKeyv({ ttl: hour, lruSize: capacity })]),
      ...(place === "memory" ? [] : [redis.createKeyv(url, { namespace: `${prefix}${name}` })])
    ]
    yield* closed(() => Promise.all(stores.map((store) => store.disconnect())))
    return stores
  })

const cacheable: Rival = {
  name: "cacheable",
  isOther: true,
  isSlow: true,
  places: ["memory", "tiered", "redis"],
  hasStale: false,
  make: <A>(settings: Settings<A>) =>
    Effect.gen(function* () {
      const { Cacheable } = yield* peer<{
        readonly Cacheable: new (
          options: object
        ) => {
          readonly getOrSet: (key: string, load: () => Promise<A>, options: object) => Promise<A>
          readonly set: (key: string, value: A, ttl: number) => Promise<unknown>
          readonly getMany: (keys: ReadonlyArray<string>) => Promise<ReadonlyArray<A>>
        }
      }>("cacheable")
      const [primary, secondary] = yield* keyvs(settings, "cacheable")
      const cache = new Cacheable({ primary, ...(secondary === undefined ? {} : { secondary }), ttl: hour })
      const ttl = { ttl: hour }
      const { load } = settings
      return {
        kind: "promise" as const,
        calls: {
          one: () => cache.getOrSet("user:7", async () => load(7), ttl),
          read: (id: number) => cache.getOrSet(keyOf(id), async () => load(id), ttl),
          set: (id: number, value: A) => cache.set(keyOf(id), value, hour),
          getMany: (keys: ReadonlyArray<string>) => cache.getMany(keys)
        }
      }
    })
}

const cacheManager: Rival = {
  name: "cache-manager",
  isOther: true,
  isSlow: true,
  places: ["memory", "tiered", "redis"],
  hasStale: true,
  make: <A>(settings: Settings<A>) =>
    Effect.gen(function* () {
      const { createCache } = yield* peer<{
        readonly createCache: (options: object) => {
          readonly wrap: (key: string, load: () => A | Promise<A>, options: object) => Promise<A>
          readonly set: (key: string, value: A, ttl: number) => Promise<unknown>
          readonly mget: (keys: ReadonlyArray<string>) => Promise<ReadonlyArray<A>>
        }
      }>("cache-manager")
      const cache = createCache({ stores: yield* keyvs(settings, "manager"), ttl: hour })
      const options = settings.isStale ? { ttl: hour, refreshThreshold: hour - 1 } : { ttl: hour }
      const { load } = settings
      return {
        kind: "promise" as const,
        calls: {
          one: () => cache.wrap("user:7", () => load(7), options),
          read: (id: number) => cache.wrap(keyOf(id), () => load(id), options),
          set: (id: number, value: A) => cache.set(keyOf(id), value, hour),
          getMany: (keys: ReadonlyArray<string>) => cache.mget(keys)
        }
      }
    })
}

const bentocache: Rival = {
  name: "bentocache",
  isOther: true,
  isSlow: true,
  places: ["memory", "tiered", "redis"],
  hasStale: true,
  make: <A>({ capacity, isStale, load, place, prefix, url }: Settings<A>) =>
    Effect.gen(function* () {
      interface Store {
        readonly useL1Layer: (driver: object) => Store
        readonly useL2Layer: (driver: object) => Store
        readonly useBus: (driver: object) => Store
      }
      const { BentoCache, bentostore } = yield* peer<{
        readonly BentoCache: new (
          options: object
        ) => {
          readonly getOrSet: (options: object) => Promise<A>
          readonly set: (options: object) => Promise<unknown>
          readonly disconnectAll: () => Promise<void>
        }
        readonly bentostore: () => Store
      }>("bentocache")
      const { memoryDriver } = yield* peer<{ readonly memoryDriver: (options: object) => object }>(
        "bentocache/drivers/memory"
      )
      const { redisBusDriver, redisDriver } = yield* peer<{
        readonly redisDriver: (options: object) => object
        readonly redisBusDriver: (options: object) => object
      }>("bentocache/drivers/redis")
      let store = bentostore()
      if (place !== "redis") store = store.useL1Layer(memoryDriver({ maxItems: capacity, serialize: false }))
      if (place !== "memory") store = store.useL2Layer(redisDriver({ connection: yield* connection(url) }))
      if (place === "tiered") store = store.useBus(redisBusDriver({ connection: yield* connection(url) }))
      const bento = new BentoCache({ default: "store", prefix: `${prefix}bento`, stores: { store } })
      yield* closed(() => bento.disconnectAll())
      const options = isStale ? { ttl: 1, grace: "1h", timeout: 0 } : { ttl: "1h" }
      return {
        kind: "promise" as const,
        calls: {
          one: () => bento.getOrSet({ key: "user:7", factory: () => load(7), ...options }),
          read: (id: number) => bento.getOrSet({ key: keyOf(id), factory: () => load(id), ...options }),
          set: (id: number, value: A) => bento.set({ key: keyOf(id), value, ttl: "1h" })
        }
      }
    })
}

interface Entry {
  readonly metadata: { readonly ttl?: number | null; readonly createdTime: number }
}

const cachified: Rival = {
  name: "cachified",
  isOther: true,
  isSlow: true,
  places: ["memory", "redis"],
  hasStale: true,
  make: <A>({ capacity, isStale, load, place, prefix, url }: Settings<A>) =>
    Effect.gen(function* () {
      const { cachified, totalTtl } = yield* peer<{
        readonly cachified: (options: object) => Promise<A>
        readonly totalTtl: (metadata: Entry["metadata"]) => number
      }>("@epic-web/cachified")
      const { LRUCache } = yield* lruCache
      const lru = new LRUCache<Entry>({ max: capacity, ttl: hour })
      const client = place === "redis" ? yield* connection(url) : undefined
      const cache =
        client === undefined
          ? lru
          : {
              get: async (key: string) => {
                const text = await client.get(`${prefix}${key}`)
                return text === null ? undefined : JSON.parse(text)
              },
              set: (key: string, entry: Entry) =>
                client.set(`${prefix}${key}`, JSON.stringify(entry), "PX", totalTtl(entry.metadata)),
              delete: (key: string) => client.del(`${prefix}${key}`)
            }
      const options = isStale ? { cache, ttl: 1, swr: hour } : { cache, ttl: hour }
      return {
        kind: "promise" as const,
        calls: {
          one: () => cachified({ key: "user:7", getFreshValue: () => load(7), ...options }),
          read: (id: number) => cachified({ key: keyOf(id), getFreshValue: () => load(id), ...options })
        }
      }
    })
}

export const promises: ReadonlyArray<Rival> = [
  layeredLoader,
  asyncCacheDedupe,
  cacheable,
  cacheManager,
  bentocache,
  cachified
]

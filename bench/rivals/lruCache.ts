/** lru-cache, with `get` and `set` called by hand in Effect, and with its `fetch`. */
import { Effect, ManagedRuntime } from "effect"
import { services } from "../support/memory.js"
import { peer } from "../support/peers.js"
import { lookupOf } from "./ours.js"
import { hour, keyOf, numberOf, type Rival, type Settings } from "./rival.js"

interface Lru<A> {
  readonly get: (key: string) => A | undefined
  readonly set: (key: string, value: A) => unknown
  readonly fetch: (key: string) => Promise<A | undefined>
}

interface Options<A> {
  readonly max: number
  readonly ttl: number
  readonly allowStale?: boolean
  readonly noDeleteOnStaleGet?: boolean
  readonly fetchMethod?: (key: string) => A | Promise<A>
}

export const lruCache = peer<{ readonly LRUCache: new <A>(options: Options<A>) => Lru<A> }>("lru-cache")

const byHand: Rival = {
  name: "lru-cache, by hand",
  isOther: true,
  isSlow: false,
  places: ["memory"],
  hasStale: false,
  make: <A>({ capacity, load }: Settings<A>) =>
    Effect.gen(function* () {
      const { LRUCache } = yield* lruCache
      const runtime = yield* Effect.acquireRelease(
        Effect.sync(() => ManagedRuntime.make(services)),
        (runtime) => runtime.disposeEffect
      )
      const lru = new LRUCache<A>({ max: capacity, ttl: hour })
      const lookup = lookupOf(load)
      const read = (key: string) =>
        Effect.suspend(() => {
          const found = lru.get(key)
          return found !== undefined
            ? Effect.succeed(found)
            : Effect.map(lookup(numberOf(key)), (value) => {
                lru.set(key, value)
                return value
              })
        })
      return {
        kind: "effect" as const,
        run: <B>(effect: Effect.Effect<B, unknown, any>) => runtime.runPromise(effect),
        calls: {
          one: () => read("user:7"),
          read: (id: number) => read(keyOf(id)),
          set: (id: number, value: A) => Effect.sync(() => lru.set(keyOf(id), value))
        }
      }
    })
}

const fetch: Rival = {
  name: "lru-cache, fetch",
  isOther: true,
  isSlow: true,
  places: ["memory"],
  hasStale: true,
  make: <A>({ capacity, isStale, load }: Settings<A>) =>
    Effect.map(lruCache, ({ LRUCache }) => {
      const lru = new LRUCache<A>({
        max: capacity,
        ttl: isStale ? 1 : hour,
        fetchMethod: (key) => load(numberOf(key)),
        ...(isStale ? { allowStale: true, noDeleteOnStaleGet: true } : {})
      })
      return {
        kind: "promise" as const,
        calls: {
          one: () => lru.fetch("user:7") as Promise<A>,
          read: (id: number) => lru.fetch(keyOf(id)) as Promise<A>
        }
      }
    })
}

export const lru: ReadonlyArray<Rival> = [byHand, fetch]

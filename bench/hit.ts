/**
 * What does a hit in memory cost? It is measured in one fiber, with metrics on, beside the least code that could do the
 * same.
 */
import { Cache, Effect } from "effect"
import { Cached, type CacheStore } from "effect-cached"
import { LRUCache } from "lru-cache"
import { type Group, groupSection, type Section } from "./support/harness.js"
import { contender, loop, n } from "./support/memory.js"

const keys = 10_000

const staticKey = (): Omit<Group, "title"> => {
  const map = new Map<string, number>([["answer", 42]])
  const lru = new LRUCache<string, number>({ max: 50_000, ttl: 60_000 })
  lru.set("answer", 42)
  const answer = Effect.succeed(42)
  return {
    floor: "floor: suspend(() => succeed(map.get(k)))",
    bounds: { "Cached.ttl": 1.4 },
    clock: "cpu",
    rounds: 21,
    contenders: [
      contender(
        "floor: suspend(() => succeed(map.get(k)))",
        Effect.sync(() => {
          const floor = Effect.suspend(() => Effect.succeed(map.get("answer")))
          return () => floor
        })
      ),
      contender(
        "Cached.ttl",
        Effect.sync(() => {
          const cached = Cached.ttl(answer, { key: "answer", ttl: "1 hour" })
          return () => cached
        })
      ),
      contender(
        "Cache.get",
        Effect.map(
          Cache.make({ capacity: 50_000, timeToLive: "1 hour", lookup: (_: string) => answer }),
          (cache) => () => cache.get("answer")
        )
      ),
      contender(
        "Effect.cachedWithTTL",
        Effect.map(Effect.cachedWithTTL(answer, "1 hour"), (cached) => () => cached),
        10_000
      ),
      contender(
        "lru-cache in Effect.sync",
        Effect.succeed(() => Effect.sync(() => lru.get("answer")))
      )
    ]
  }
}

const templateKey = (): Omit<Group, "title"> => {
  const map = new Map<string, number>(Array.from({ length: keys }, (_, i) => [`user:${i}`, i]))
  const lru = new LRUCache<string, number>({ max: 50_000, ttl: 60_000 })
  for (const [key, value] of map) lru.set(key, value)
  const fill = (once: (i: number) => Effect.Effect<unknown, unknown, CacheStore>) =>
    Effect.as(loop(keys, once as never), once)
  const expected = (i: number) => i % keys
  return {
    floor: "floor: the same, key built",
    bounds: { "Cached.ttl": 1.4 },
    clock: "cpu",
    rounds: 21,
    contenders: [
      contender(
        "floor: the same, key built",
        Effect.succeed((i) => Effect.suspend(() => Effect.succeed(map.get(`user:${i % keys}`)))),
        n,
        expected
      ),
      contender(
        "Cached.ttl",
        Effect.suspend(() => {
          const cached = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ttl: "1 hour" })
          return fill((i) => cached(i % keys))
        }),
        n,
        expected
      ),
      contender(
        "Cache.get",
        Effect.flatMap(
          Cache.make({
            capacity: 50_000,
            timeToLive: "1 hour",
            lookup: (key: string) => Effect.succeed(Number(key.slice(5)))
          }),
          (cache) => fill((i) => cache.get(`user:${i % keys}`))
        ),
        n,
        expected
      ),
      contender(
        "lru-cache in Effect.sync",
        Effect.succeed((i) => Effect.sync(() => lru.get(`user:${i % keys}`))),
        n,
        expected
      )
    ]
  }
}

/** Every option that `Cached.ttl` has for a source that is slow, broken or overloaded. */
const everyOption = {
  staleIfError: "1 hour",
  retryAfter: "5 seconds",
  timeout: { soft: "1 second", hard: "5 seconds" },
  failures: { ttl: "1 minute" },
  jitter: 0.1,
  refreshAhead: 0.9,
  maxIdle: "30 minutes",
  concurrency: 100,
  onError: () => Effect.void
} as const

const withOptions = (): Omit<Group, "title"> => {
  const answer = () => Effect.succeed(42)
  return {
    floor: "no option",
    bounds: { "every option": 1.15 },
    clock: "cpu",
    rounds: 31,
    contenders: [
      contender(
        "no option",
        Effect.sync(() => Cached.ttl(answer, { key: "no option", ttl: "1 hour" }))
      ),
      contender(
        "every option",
        Effect.sync(() => Cached.ttl(answer, { key: "every option", ttl: "1 hour", ...everyOption }))
      )
    ]
  }
}

export const hit: ReadonlyArray<Section> = [
  groupSection("hit, static key", staticKey),
  groupSection("hit, options of resilience", withOptions),
  groupSection(`hit, template key over ${keys} keys`, templateKey)
]

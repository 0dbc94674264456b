/**
 * What does a hit in memory cost? It is measured in one fiber, with metrics on, beside the least code that could do the
 * same, and beside the other libraries.
 */
import { Effect, Layer, ManagedRuntime, Option } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"
import { lruCache } from "./rivals/lruCache.js"
import { hour } from "./rivals/rival.js"
import { contenders, repeated, verifyMany, verifyOne } from "./support/contend.js"
import {
  type Contender,
  check,
  countOf,
  type Group,
  groupSection,
  report,
  type Section,
  section
} from "./support/harness.js"
import { contender, n, services } from "./support/memory.js"

const keys = 10_000
const idOf = (value: number): number => value
const load = (id: number): number => id

const floor = "floor: suspend(() => succeed(map.get(k)))"

const staticKey = (title: string) =>
  Effect.gen(function* () {
    const map = new Map<string, number>([["answer", 42]])
    const rivals = yield* contenders({
      place: "memory",
      load,
      idOf,
      has: ({ calls }) => calls.one !== undefined,
      operations: n,
      prepare: (entrant, operations) =>
        Effect.as(verifyOne(entrant, idOf), repeated(entrant.cache, entrant.cache.calls.one!, operations))
    })
    yield* report({
      title,
      floor,
      bounds: { "Cached.ttl": 1.4 },
      clock: "cpu",
      rounds: 21,
      contenders: [
        contender(
          floor,
          Effect.sync(() => {
            const read = Effect.suspend(() => Effect.succeed(map.get("answer")))
            return () => read
          })
        ),
        contender(
          "Cached.ttl of a function",
          Effect.sync(() => Cached.ttl(() => Effect.succeed(42), { key: "answer", ttl: "1 hour" }))
        ),
        ...rivals
      ]
    })
  })

const templateKey = (title: string) =>
  Effect.gen(function* () {
    const map = new Map<string, number>(Array.from({ length: keys }, (_, i) => [`user:${i}`, i]))
    const rivals = yield* contenders({
      place: "memory",
      load,
      idOf,
      has: ({ calls }) => calls.read !== undefined,
      operations: n,
      prepare: (entrant, operations) => {
        const read = entrant.cache.calls.read!
        return Effect.as(
          verifyMany(entrant, idOf, keys),
          repeated(entrant.cache, (i) => read(i % keys), operations)
        )
      }
    })
    yield* report({
      title,
      floor: "floor: the same, key built",
      bounds: { "Cached.ttl": 1.4 },
      clock: "cpu",
      rounds: 21,
      contenders: [
        contender(
          "floor: the same, key built",
          Effect.succeed((i) => Effect.suspend(() => Effect.succeed(map.get(`user:${i % keys}`)))),
          n,
          (i) => i % keys
        ),
        ...rivals
      ]
    })
  })

/** Reads without an effect: what code outside of Effect can call. */
const withoutEffect = (title: string) =>
  Effect.gen(function* () {
    const runtime = yield* Effect.acquireRelease(
      Effect.sync(() => ManagedRuntime.make(Layer.merge(MemoryCache.layer(), services))),
      (runtime) => runtime.disposeEffect
    )
    const operations = countOf(1_000_000)
    const contender = (name: string, read: () => unknown, isOther = false): Contender => ({
      name,
      isOther,
      operations,
      run: Effect.as(
        check(name, read(), 42),
        Effect.sync(() => {
          let last: unknown
          for (let i = 0; i < operations; i++) last = read()
          if (last !== 42) throw new Error(`${name}: ${last}`)
        })
      )
    })
    const store = yield* Effect.promise(() => runtime.runPromise(CacheStore))
    const find = Cached.ttl(() => Effect.succeed(42), { key: "answer", ttl: "1 hour" })
    const captured = yield* Effect.promise(() => runtime.runPromise(Cached.capture(find)))
    yield* captured()
    const map = new Map([["answer", 42]])
    const lru = yield* Effect.either(
      Effect.map(lruCache, ({ LRUCache }) => {
        const lru = new LRUCache<number>({ max: 10_000, ttl: hour })
        lru.set("answer", 42)
        return lru
      })
    )
    yield* report({
      title,
      floor: "Map.get",
      clock: "cpu",
      rounds: 21,
      contenders: [
        contender("Map.get", () => map.get("answer")),
        contender("store.unsafeGet", () => Option.getOrUndefined(store.unsafeGet("answer"))),
        contender("unsafePeek of a captured function", () => Option.getOrUndefined(captured.unsafePeek())),
        lru._tag === "Left"
          ? { name: "lru-cache.get", isOther: true, operations, run: Effect.fail(lru.left) }
          : contender("lru-cache.get", () => lru.right.get("answer"), true)
      ]
    })
  })

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
  section("hit, static key", staticKey),
  groupSection("hit, options of resilience", withOptions),
  section(`hit, template key over ${keys} keys`, templateKey),
  section("hit, without an effect", withoutEffect)
]

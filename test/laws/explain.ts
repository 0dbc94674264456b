/**
 * `explain`: what it says is what the next read does, and it changes nothing.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Duration, Effect, Fiber, FiberRef, Schema, type Scope, Stream, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import type { CacheEvent, Explanation, MissReason } from "../../src/CacheEvent.js"
import { CacheStore } from "../../src/CacheStore.js"
import { counting, eventually, gated, numbered, type StoreUnderTest, settled, stats, testOn } from "./support.js"

class Down extends Schema.TaggedError<Down>()("Down", { call: Schema.Number }) {}

class Tenant extends Context.Tag("explain/Tenant")<Tenant, string>() {}

/** A read, what explains it, and how often the lookup was called. */
interface Subject {
  readonly read: Effect.Effect<unknown, unknown, CacheStore>
  readonly explain: Effect.Effect<Explanation, never, CacheStore>
  readonly calls: () => number
}

type Case = readonly [
  what: string,
  expected: { readonly outcome: Explanation["outcome"]; readonly reason?: MissReason; readonly tag?: string },
  setup: Effect.Effect<Subject, unknown, CacheStore | Scope.Scope>,
  cacheStatus?: string
]

const ttl = { ttl: "10 seconds" } as const

/** A function of no argument that has been read once, with what happens to it then. */
const loaded = (
  options: object,
  then: (cached: Cached.CachedEffect<number, never, CacheStore>) => Effect.Effect<unknown, unknown, CacheStore>,
  policy: "ttl" | "swr" = "ttl"
): Effect.Effect<Subject, unknown, CacheStore> =>
  Effect.gen(function* () {
    const { calls, lookup } = counting()
    const given = { key: "k", ...ttl, ...options } as const
    const cached =
      policy === "ttl" ? Cached.ttl(lookup(), given) : Cached.swr(lookup(), { stale: "5 seconds", ...given })
    yield* cached
    yield* then(cached)
    return { read: cached, explain: cached.explain, calls: () => calls.length }
  })

/** A second function beside one that has been read. */
const beside = (
  first: Effect.Effect<unknown, unknown, CacheStore>,
  second: Cached.CachedEffect<any, any, CacheStore>
): Effect.Effect<Subject, unknown, CacheStore> =>
  Effect.map(Effect.exit(first), () => ({ read: second, explain: second.explain, calls: () => 0 }))

const nothing = () => Effect.void

/** Whether the store under test keeps entries outside of this process, where a write takes its time. */
const isRemote = FiberRef.unsafeMake(false)

/** Lets the loaded entry grow older, once it is stored: a write whose entry has expired meanwhile is not sent. */
const aged = (by: Duration.DurationInput) => () =>
  Effect.gen(function* () {
    if (yield* FiberRef.get(isRemote)) {
      yield* eventually(
        Effect.map(stats, ({ latency }) => latency.set.count > 0),
        "the entry is stored"
      )
    }
    yield* TestClock.adjust(by)
  })

const bypassed = (how: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) =>
  Effect.map(
    loaded({}, nothing),
    ({ calls, explain, read }): Subject => ({ read: how(read), explain: how(explain), calls })
  )

/** The cases that mean the same on every store. */
const cases: ReadonlyArray<Case> = [
  [
    "nothing stored",
    { outcome: "miss", reason: "absent" },
    Effect.sync(() => {
      const { calls, lookup } = counting()
      const cached = Cached.ttl(lookup(), { key: "k", ...ttl })
      return { read: cached, explain: cached.explain, calls: () => calls.length }
    }),
    "effect-cached; fwd=miss"
  ],
  ["a fresh entry", { outcome: "hit" }, loaded({}, nothing), "effect-cached; hit; ttl=10"],
  [
    "an entry that is fresh for ever",
    { outcome: "hit" },
    loaded({ ttl: Duration.infinity }, nothing),
    "effect-cached; hit"
  ],
  ["a stale entry", { outcome: "stale" }, loaded({}, aged("12 seconds"), "swr"), "effect-cached; hit; ttl=-2"],
  [
    "an entry that has expired",
    { outcome: "miss", reason: "expired" },
    loaded({}, aged("10 seconds")),
    "effect-cached; fwd=stale"
  ],
  [
    "an entry that was expired, and may be served as stale",
    { outcome: "stale" },
    loaded({ tags: ["t"] }, () => Cached.expireTags(["t"]), "swr")
  ],
  [
    "a retained entry",
    { outcome: "miss", reason: "retained" },
    loaded({ staleIfError: "1 minute" }, aged("10 seconds")),
    "effect-cached; fwd=stale"
  ],
  [
    "a function that was cleared",
    { outcome: "miss", reason: "cleared" },
    Effect.gen(function* () {
      const { calls, lookup } = numbered((call, _: string) => Effect.succeed(call))
      const find = Cached.ttl(lookup, { key: "k:{}", ...ttl })
      yield* find("a")
      yield* find.clear
      return { read: find("a"), explain: find.explain("a"), calls: () => calls.length }
    })
  ],
  [
    "a store that was cleared",
    { outcome: "miss", reason: "cleared" },
    loaded({}, () => Effect.flatMap(CacheStore, (store) => store.clear))
  ],
  [
    "a tag that was invalidated",
    { outcome: "miss", reason: "tag", tag: "b" },
    loaded({ tags: ["a", "b"] }, () => Cached.invalidateTags(["b", "c"]))
  ],
  ["Cached.bypass", { outcome: "miss", reason: "bypassed" }, bypassed(Cached.bypass), "effect-cached; fwd=bypass"],
  ["Cached.reload", { outcome: "miss", reason: "bypassed" }, bypassed(Cached.reload), "effect-cached; fwd=bypass"],
  [
    "a ttl of zero",
    { outcome: "miss", reason: "disabled" },
    Effect.sync(() => {
      const { calls, lookup } = counting()
      const cached = Cached.ttl(lookup(), { key: "k", ttl: 0 })
      return { read: cached, explain: cached.explain, calls: () => calls.length }
    }),
    "effect-cached; fwd=bypass"
  ],
  [
    "an entry of another function",
    { outcome: "miss", reason: "owner" },
    beside(
      Cached.ttl(Effect.succeed(1), { key: "k", name: "one", ...ttl }),
      Cached.ttl(Effect.succeed(2), { key: "k", name: "two", ...ttl })
    )
  ],
  [
    "a stored failure",
    { outcome: "miss", reason: "failure" },
    beside(
      Cached.ttl(Effect.fail(new Down({ call: 1 })), {
        key: "k",
        name: "f",
        ...ttl,
        failures: { ttl: "10 seconds", schema: Down }
      }),
      Cached.ttl(Effect.succeed(2), { key: "k", name: "f", ...ttl })
    )
  ]
]

/** Of what was counted, how a read was answered. */
const outcomes = Effect.map(stats, ({ hits, misses, staleHits }) => ({ hit: hits, stale: staleHits, miss: misses }))

/** What reads count. The writes of earlier loads, and what an invalidation removed, may still be counted meanwhile. */
const counts = Effect.map(stats, ({ caches, decodeFailures, storeErrors, tiers }) => ({
  caches: Object.entries(caches).map(([name, counted]) => [
    name,
    { ...counted, sets: 0, evictions: { ...counted?.evictions, explicit: 0 } }
  ]),
  decodeFailures,
  storeErrors,
  tiers: tiers.map(({ hits, misses, tier }) => ({ hits, misses, tier }))
}))

type ReadEvent = Extract<CacheEvent, { readonly _tag: "Hit" | "Stale" | "Miss" }>

const isRead = (event: CacheEvent): event is ReadEvent => ["Hit", "Stale", "Miss"].includes(event._tag)

/** Records the events of reads from now on. */
const recordReads = Effect.gen(function* () {
  const { events } = yield* CacheStore
  const reads: Array<ReadEvent> = []
  const record = (event: CacheEvent) => Effect.sync(() => isRead(event) && reads.push(event))
  yield* Effect.forkScoped(Stream.runForEach(events, record))
  yield* settled
  return reads
})

export const explaining = (store: StoreUnderTest): void => {
  const test = testOn(store)

  /** Explains twice, and reads: both must say the same, and the read must do that. */
  const check = (
    { calls, explain, read }: Subject,
    accepts: (explanation: Explanation) => void
  ): Effect.Effect<void, unknown, CacheStore | Scope.Scope> =>
    Effect.gen(function* () {
      const before = yield* counts
      const began = calls()
      const explanation = yield* explain
      accepts(explanation)
      deepStrictEqual(yield* explain, explanation)
      yield* settled
      deepStrictEqual([yield* counts, calls()], [before, began])
      const counted = yield* outcomes
      const events = yield* recordReads
      yield* Effect.exit(read)
      const now = yield* outcomes
      yield* eventually(() => events.length > 0, "the read is an event")
      const { outcome, reason, tag, tier } = explanation
      const of = { key: events[0]!.key, name: events[0]!.name }
      deepStrictEqual(events as ReadonlyArray<unknown>, [
        outcome === "miss"
          ? { _tag: "Miss", ...of, reason, ...(tag !== undefined && { tag }), coalesced: false }
          : { _tag: outcome === "hit" ? "Hit" : "Stale", ...of, ...(tier !== undefined && { tier }) }
      ])
      const isCounted = explanation.reason !== "bypassed" && explanation.reason !== "disabled"
      if (!isCounted) return
      assert.strictEqual(now[explanation.outcome] - counted[explanation.outcome], 1)
      assert.strictEqual(now.hit + now.stale + now.miss - counted.hit - counted.stale - counted.miss, 1)
    })

  describe("explain", () => {
    for (const [what, expected, setup, cacheStatus] of cases) {
      test(`${what} - says what the next read does`, () =>
        Effect.gen(function* () {
          const subject = yield* Effect.locally(setup, isRemote, store.remote)
          yield* check(subject, (explanation) => {
            const { outcome, reason, tag } = explanation
            // an object in a bucket whose metadata says that it has expired is not read
            const isUnread = ["s3", "gcs"].includes(store.name) && expected.reason === "expired"
            const known = isUnread ? { outcome: "miss", reason: "absent" } : expected
            deepStrictEqual({ outcome, reason, tag }, { reason: undefined, tag: undefined, ...known })
            if (cacheStatus !== undefined && !isUnread) assert.strictEqual(explanation.cacheStatus, cacheStatus)
          })
        }))
    }

    test("an invalidated key - is absent where nothing remembers it", () =>
      Effect.gen(function* () {
        const subject = yield* loaded({}, (cached) => cached.invalidate)
        yield* check(subject, ({ outcome, reason }) => {
          assert.strictEqual(outcome, "miss")
          assert.include(store.remote ? ["absent", "invalidated"] : ["absent"], reason)
        })
      }))

    test("a value that cannot be decoded - is a miss where values are bytes", () =>
      Effect.gen(function* () {
        const options = { key: "k", name: "f", ...ttl } as const
        const wide = Cached.ttl(Effect.succeed({ a: 1 }), { ...options, schema: Schema.Struct({ a: Schema.Number }) })
        const other = Cached.ttl(Effect.succeed("text"), { ...options, schema: Schema.String })
        const subject = yield* beside(wide, other)
        yield* eventually(
          Effect.map(other.explain, ({ reason, tier }) => !store.remote || tier === "memory" || reason === "decode"),
          "the value is in the backend"
        )
        yield* check(subject, ({ outcome, reason }) => {
          if (outcome === "miss") assert.strictEqual(reason, "decode")
        })
      }))

    test("a running load - its age and its waiters, and the next read joins it", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = gated()
        const cached = Cached.ttl(lookup(), { key: "k", ...ttl })
        const first = yield* Effect.fork(cached)
        yield* door.reached
        yield* TestClock.adjust("2 seconds")
        const explanation = yield* cached.explain
        deepStrictEqual(explanation, {
          outcome: "miss",
          reason: "absent",
          load: { age: 2_000, waiters: 1 },
          cacheStatus: "effect-cached; fwd=miss; collapsed"
        })
        const events = yield* recordReads
        const second = yield* Effect.fork(cached)
        yield* eventually(() => events.length === 1, "the second read has joined")
        deepStrictEqual(events, [{ _tag: "Miss", key: "k", name: "k", reason: "absent", coalesced: true }])
        yield* door.open
        deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second), calls.length], [1, 1, 1])
      }))

    test("an entry with times - its state, and when that changes", () =>
      Effect.gen(function* () {
        const cached = Cached.swr(Effect.succeed(1), { key: "k", ...ttl, stale: "5 seconds", staleIfError: "1 minute" })
        yield* cached
        yield* TestClock.adjust("1 second")
        const { cacheStatus, expiresAt, freshUntil, load, staleUntil, state } = yield* cached.explain
        deepStrictEqual(
          { cacheStatus, expiresAt, freshUntil, load, staleUntil, state },
          {
            cacheStatus: "effect-cached; hit; ttl=9",
            expiresAt: 70_000,
            freshUntil: 10_000,
            load: undefined,
            staleUntil: 15_000,
            state: "fresh"
          }
        )
      }))

    test("a retained entry whose load has just failed - is served without a load", () =>
      Effect.gen(function* () {
        const { calls, lookup } = numbered(
          (call): Effect.Effect<number, string> => (call === 1 ? Effect.succeed(1) : Effect.fail("down"))
        )
        const options = { key: "k", ...ttl, staleIfError: "1 minute", retryAfter: "5 seconds" } as const
        const cached = Cached.ttl(lookup(), options)
        yield* cached
        yield* TestClock.adjust("10 seconds")
        yield* cached
        yield* check({ read: cached, explain: cached.explain, calls: () => calls.length }, ({ outcome, state }) => {
          deepStrictEqual([outcome, state], ["stale", "retained"])
        })
      }))

    test("a batched, a partitioned and a captured function, and an entity - of these arguments only", () =>
      Effect.gen(function* () {
        const batched = Cached.batched(
          (ids: ReadonlyArray<number>) => Effect.succeed(new Map(ids.map((id) => [id, id]))),
          {
            key: "b:{}",
            ...ttl
          }
        )
        const partitioned = Cached.ttl((id: number) => Effect.succeed(id), { key: "p:{}", ...ttl, partition: Tenant })
        const captured = yield* Cached.capture(partitioned)
        const as = (tenant: string) => Effect.provideService(Tenant, tenant)
        const entity = Cached.entity(Schema.Struct({ id: Schema.Number }), { name: "e", key: ["id"], ...ttl })
        yield* batched(1)
        yield* as("a")(partitioned(1))
        yield* entity.put({ id: 1 })
        const explained = yield* Effect.all([
          batched.explain(1),
          batched.explain(2),
          as("a")(partitioned.explain(1)),
          as("b")(partitioned.explain(1)),
          as("a")(captured.explain(1)),
          entity.explain(1),
          entity.explain(2)
        ])
        deepStrictEqual(
          explained.map(({ outcome }) => outcome),
          ["hit", "miss", "hit", "miss", "hit", "hit", "miss"]
        )
      }))
  })
}

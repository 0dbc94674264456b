/** Options of the life of an entry that follow the value, chance or the reads: `stale` as a function, and `jitter`. */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it, layer } from "@effect/vitest"
import {
  Config,
  ConfigProvider,
  Duration,
  Effect,
  Exit,
  Layer,
  Option,
  Random,
  Request,
  RequestResolver,
  Schema,
  TestClock
} from "effect"
import { Cached, CacheError, CachePolicy, CacheStore, Envelope, MemoryCacheLive, Serializer } from "effect-cached"
import { Boom, counting, defectOf, numbered, settled } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { hybrid, minute, pair, single } from "../support/redis-nodes.js"

const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

/** How long an entry is fresh, and how long it is stale afterwards. */
const livesOf = <E, R>(
  entry: Effect.Effect<
    Option.Option<{ readonly createdAt: number; readonly freshUntil: number; readonly expiresAt: number }>,
    E,
    R
  >
) =>
  Effect.map(entry, (found) => {
    const { createdAt, expiresAt, freshUntil } = Option.getOrThrow(found)
    return [freshUntil - createdAt, expiresAt - freshUntil] as const
  })

/** Chance that is always the same. */
const chance = (of: number) => Effect.withRandom(Random.fixed([of]))

const refused = <A, E, R>(effect: Effect.Effect<A, E, R>, option: string, of: string) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const defect = defectOf(exit)
    assert.instanceOf(defect, CacheError.InvalidOption)
    assert.strictEqual(defect.option, option)
    assert.include(defect.message, of)
  })

interface Rate {
  readonly base: string
  readonly grace: Duration.DurationInput
}

/** A function whose values say how long they may be served as stale. */
const rates = () => {
  const { calls, lookup } = numbered((call, base: string) =>
    Effect.succeed<Rate & { readonly call: number }>({ base, call, grace: base === "EUR" ? "1 hour" : 0 })
  )
  const find = Cached.swr(lookup, {
    key: "rate:{}",
    ...minute,
    stale: (rate, base) => (base === rate.base ? rate.grace : Number.NaN)
  })
  return { calls, find }
}

describe("stale as a function of the value", () => {
  it.effect("a value - is served as stale for as long as the function says of it and of the arguments", () =>
    on(
      Effect.gen(function* () {
        const { find } = rates()
        yield* find("EUR")
        yield* find("USD")
        deepStrictEqual(yield* livesOf(find.entry("EUR")), [60_000, 3_600_000])
        deepStrictEqual(yield* livesOf(find.entry("USD")), [60_000, 0])
        yield* TestClock.adjust("61 seconds")
        assert.strictEqual((yield* find("EUR")).call, 1)
        assert.strictEqual((yield* find("USD")).call, 3)
      })
    )
  )

  it.effect("set - computes it for the value that is set", () =>
    on(
      Effect.gen(function* () {
        const { find } = rates()
        yield* find.set("EUR")({ base: "EUR", call: 0, grace: "2 hours" })
        deepStrictEqual(yield* livesOf(find.entry("EUR")), [60_000, 7_200_000])
      })
    )
  )

  it.effect("a result that is negative - counts as zero, one that is no duration is a defect of that load", () =>
    on(
      Effect.gen(function* () {
        const negative = Cached.swr(Effect.succeed(1), { key: "negative", ...minute, stale: () => -1 })
        yield* negative
        deepStrictEqual(yield* livesOf(negative.entry), [60_000, 0])
        const senseless = Cached.swr(Effect.succeed(1), { key: "senseless", ...minute, stale: () => Number.NaN })
        yield* refused(senseless, "stale", "senseless")
        deepStrictEqual(yield* senseless.peek, Option.none())
      })
    )
  )

  it.effect("a function that throws - is a defect of that load, and the key stays usable", () =>
    on(
      Effect.gen(function* () {
        const { lookup } = counting()
        const cached = Cached.swr(lookup(), {
          key: "k",
          ...minute,
          stale: (call) => {
            if (call === 1) throw new Boom("stale")
            return "1 minute"
          }
        })
        assert.instanceOf(defectOf(yield* Effect.exit(cached)), Boom)
        assert.strictEqual(yield* cached, 2)
        deepStrictEqual(yield* livesOf(cached.entry), [60_000, 60_000])
      })
    )
  )

  it.effect("batched - gets a present value and its id, and an absent one is not stale", () =>
    on(
      Effect.gen(function* () {
        const find = Cached.batched(
          (ids: ReadonlyArray<number>) =>
            Effect.succeed(new Map(ids.filter((id) => id > 0).map((id) => [id, id * 1_000] as const))),
          {
            key: "n:{}",
            ...minute,
            absentTtl: "1 second",
            stale: (value, id) => value + id
          }
        )
        yield* find.many([7, -1])
        deepStrictEqual(yield* livesOf(find.entry(7)), [60_000, 7_007])
        deepStrictEqual(yield* livesOf(find.entry(-1)), [1_000, 0])
      })
    )
  )

  it.effect("entity, resolver and getOrSet - compute it of the value, too", () =>
    on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        const User = Schema.Struct({ id: Schema.Number, name: Schema.String })
        const users = Cached.entity(User, {
          name: "User",
          key: ["id"],
          ...minute,
          stale: (user, id) => user.name.length * 1_000 + id
        })
        yield* users.put({ id: 1, name: "Ada" })
        deepStrictEqual(yield* livesOf(store.entry(users.key(1))), [60_000, 3_001])
        class GetName extends Request.TaggedClass("GetName")<string, never, { readonly id: number }> {}
        const inner = RequestResolver.fromEffect((request: GetName) => Effect.succeed("x".repeat(request.id)))
        const resolver = yield* Cached.resolver(inner, {
          name: "names",
          key: (request) => String(request.id),
          ...minute,
          stale: (name, request) => name.length * 1_000 + request.id
        })
        yield* Effect.request(new GetName({ id: 4 }), resolver)
        deepStrictEqual(yield* livesOf(store.entry("GetName:4")), [60_000, 4_004])
        yield* store.getOrSet("k", Effect.succeed(5), { ...minute, stale: (value) => value * 1_000 })
        deepStrictEqual(yield* livesOf(store.entry("k")), [60_000, 5_000])
      })
    )
  )
})

describe("jitter", () => {
  it.effect("10 000 keys - are fresh for the ttl and up to a tenth more, evenly, by the seed of Random", () =>
    on(
      Effect.gen(function* () {
        const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "n:{}", ttl: "10 seconds", jitter: 0.1 })
        const ids = Array.from({ length: 10_000 }, (_, id) => id)
        const all = Effect.gen(function* () {
          yield* Effect.forEach(ids, (id) => find.refresh(id), { discard: true })
          return yield* Effect.forEach(ids, (id) => Effect.map(livesOf(find.entry(id)), ([fresh]) => fresh))
        })
        const first = yield* all.pipe(Effect.withRandom(Random.make("seed")))
        const buckets = new Array<number>(10).fill(0)
        for (const life of first) {
          assert.isTrue(life >= 10_000 && life < 11_000 && Number.isInteger(life), `fresh for ${life}`)
          buckets[Math.floor((life - 10_000) / 100)]!++
        }
        for (const size of buckets) assert.isTrue(size > 850 && size < 1_150, buckets.join())
        deepStrictEqual(yield* all.pipe(Effect.withRandom(Random.make("seed"))), first)
        assert.notDeepEqual(yield* all.pipe(Effect.withRandom(Random.make("other"))), first)
      })
    )
  )

  it.effect("the stale end - moves along, and is not jittered itself", () =>
    on(
      Effect.gen(function* () {
        const cached = Cached.swr(Effect.succeed(1), { key: "k", ttl: "10 seconds", stale: "5 seconds", jitter: 0.5 })
        yield* cached.pipe(chance(0.5))
        deepStrictEqual(yield* livesOf(cached.entry), [12_500, 5_000])
      })
    )
  )

  it.effect("a ttl function, set, batches, absent values and primed entities - are jittered, too", () =>
    on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        const computed = Cached.ttl((id: number) => Effect.succeed(id), {
          key: "c:{}",
          ttl: (id) => id * 1_000,
          jitter: 1
        })
        yield* computed(3)
        yield* computed(0)
        deepStrictEqual(yield* livesOf(computed.entry(3)), [4_500, 0])
        deepStrictEqual(yield* computed.peek(0), Option.none())
        yield* computed.set(4)(4)
        deepStrictEqual(yield* livesOf(computed.entry(4)), [6_000, 0])
        const many = Cached.batched(
          (ids: ReadonlyArray<number>) => Effect.succeed(ids.filter((id) => id > 0).map((id) => [id, id] as const)),
          {
            key: "b:{}",
            ttl: "10 seconds",
            absentTtl: "2 seconds",
            jitter: 1
          }
        )
        yield* many.many([1, -1])
        deepStrictEqual(yield* livesOf(many.entry(1)), [15_000, 0])
        deepStrictEqual(yield* livesOf(many.entry(-1)), [3_000, 0])
        const User = Schema.Struct({ id: Schema.Number })
        const users = Cached.entity(User, { name: "User", key: ["id"], ttl: "10 seconds", jitter: 1 })
        yield* users.prime(Effect.succeed([{ id: 1 }]))
        deepStrictEqual(yield* livesOf(store.entry(users.key(1))), [15_000, 0])
      }).pipe(chance(0.5))
    )
  )

  it.effect("a refresh behind a stale value - has the Random of the read that started it", () =>
    on(
      Effect.gen(function* () {
        const cached = Cached.swr(counting().lookup(), { key: "k", ttl: "10 seconds", stale: "1 minute", jitter: 1 })
        yield* cached.pipe(chance(0))
        yield* TestClock.adjust("10 seconds")
        yield* cached.pipe(chance(0.25))
        yield* settled
        deepStrictEqual(yield* livesOf(cached.entry), [12_500, 60_000])
      })
    )
  )

  it.scoped("bg - jitters the life of what its daemon stores, and not the interval", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = counting()
        const cached = yield* Cached.bg(lookup(), { key: "k", interval: "10 seconds", jitter: 1 })
        yield* cached
        deepStrictEqual(yield* livesOf(cached.entry), [30_000, 0])
        yield* TestClock.adjust("10 seconds")
        yield* settled
        assert.strictEqual(calls.length, 2)
      }).pipe(chance(0.5))
    )
  )

  it.effect("forever, zero and the longest ttl - stay what they are, whatever chance says", () =>
    on(
      Effect.gen(function* () {
        for (const of of [0, 1]) {
          const forever = Cached.ttl(Effect.succeed(1), { key: "forever", ttl: Duration.infinity, jitter: 1 })
          yield* forever.refresh.pipe(chance(of))
          assert.strictEqual(Option.getOrThrow(yield* forever.entry).freshUntil, Number.POSITIVE_INFINITY)
          const longest = Cached.ttl(Effect.succeed(1), { key: "longest", ttl: Number.MAX_VALUE, jitter: 1 })
          assert.strictEqual(yield* longest.pipe(chance(of)), 1)
          assert.isAtLeast(Option.getOrThrow(yield* longest.entry).freshUntil, Number.MAX_VALUE)
        }
        const { calls, lookup } = counting()
        const off = Cached.ttl(lookup(), { key: "off", ttl: 0, jitter: 1 })
        yield* off
        yield* off
        assert.strictEqual(calls.length, 2)
      })
    )
  )

  it.effect("a fraction outside of 0 to 1, and NaN - is the defect InvalidOption that names the function", () =>
    on(
      Effect.gen(function* () {
        for (const jitter of [-0.1, 1.1, Number.NaN, Number.POSITIVE_INFINITY, "0.1" as never]) {
          yield* refused(
            Cached.ttl(Effect.succeed(1), { key: "k", name: "rates", ...minute, jitter }),
            "jitter",
            "rates"
          )
          yield* refused(
            Effect.scoped(Cached.bg(Effect.succeed(1), { key: "k", name: "rates", interval: "1 minute", jitter })),
            "jitter",
            "rates"
          )
          yield* refused(Effect.scoped(Layer.build(CachePolicy.layer({ ...minute, jitter }))), "jitter", "CachePolicy")
          yield* refused(
            Effect.scoped(Layer.build(CachePolicy.layer({ ...minute, functions: { "user:{}": { jitter } } }))),
            "jitter",
            "user:{}"
          )
        }
      })
    )
  )

  it.effect("CachePolicy - gives it for all functions and by name, from Config, too", () => {
    const [a, b] = [Cached.policy(Effect.succeed(1), { key: "a" }), Cached.policy(Effect.succeed(1), { key: "b" })]
    const policies = [
      CachePolicy.layer({ ttl: "10 seconds", jitter: 0.5, functions: { b: { jitter: 1 } } }),
      CachePolicy.layerConfig({
        ttl: Config.succeed("10 seconds" as const),
        jitter: Config.number("JITTER"),
        functions: { b: { jitter: Config.succeed(1) } }
      }).pipe(Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["JITTER", "0.5"]])))))
    ]
    return Effect.gen(function* () {
      for (const policy of policies) {
        const program = Effect.gen(function* () {
          yield* a
          yield* b
          deepStrictEqual(
            [yield* livesOf(a.entry), yield* livesOf(b.entry)],
            [
              [15_000, 0],
              [20_000, 0]
            ]
          )
        })
        yield* program.pipe(chance(1), Effect.provide(Layer.merge(MemoryCacheLive, policy)))
      }
    })
  })

  it.effect("a Random that fails - is a defect of that load", () =>
    on(
      Effect.gen(function* () {
        const broken = { ...Random.fixed([0]), next: Effect.die(new Boom("chance")) }
        const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute, jitter: 1 })
        const exit = yield* Effect.exit(Effect.withRandom(cached, broken))
        assert.isTrue(Exit.isFailure(exit))
        assert.strictEqual(yield* cached, 1)
      })
    )
  )
})

describe("on Redis", () => {
  layer(RedisServer.layer)((it) => {
    const swr = () =>
      Cached.swr((grace: number) => Effect.succeed(grace), {
        key: "grace:{}",
        ttl: "10 seconds",
        stale: (grace) => grace,
        jitter: 1
      })

    it.scoped("stale and jitter - another process finds the lives that the first one has computed", () =>
      Effect.gen(function* () {
        const { a, b, there } = yield* pair
        const find = swr()
        yield* a.run(find(5_000).pipe(chance(0.5)))
        yield* a.written
        deepStrictEqual(yield* b.run(livesOf(find.entry(5_000))), [15_000, 5_000])
        const left = yield* there.pttl("grace:5000")
        assert.isTrue(left > 15_000 && left <= 20_000, `PTTL ${left}`)
        yield* TestClock.adjust("16 seconds")
        assert.strictEqual(Option.getOrThrow(yield* b.run(find.entry(5_000))).state, "stale")
      })
    )

    it.scoped("stale and jitter - with memory in front, copies have the same lives", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const a = yield* hybrid({ l2: { prefix } })
        const b = yield* hybrid({ l2: { prefix } })
        const find = swr()
        yield* a.run(find(5_000).pipe(chance(0.5)))
        yield* a.written
        for (const each of [a, b]) {
          yield* each.run(find(5_000))
          deepStrictEqual(yield* each.run(livesOf(find.entry(5_000))), [15_000, 5_000])
        }
      })
    )

    it.scoped("the envelope of advanced-caching - the function of the reader decides by the value it finds", () =>
      Effect.gen(function* () {
        const { run, written } = yield* single({ envelope: Envelope.advancedCaching, serializer: Serializer.json })
        const { calls, lookup } = numbered((call, grace: number) => Effect.succeed({ call, grace }))
        const find = Cached.swr(lookup, { key: "grace:{}", ttl: "10 seconds", stale: ({ grace }) => grace })
        yield* run(find(5_000))
        yield* run(find(0))
        yield* written
        deepStrictEqual(yield* run(livesOf(find.entry(5_000))), [10_000, 5_000])
        yield* TestClock.adjust("14 seconds")
        deepStrictEqual([(yield* run(find(5_000))).call, (yield* run(find(0))).call], [1, calls.length])
        assert.isAtLeast(calls.length, 3)
      })
    )
  })
})

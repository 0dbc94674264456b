// node:assert, because the deep equality of chai accepts Some and None as equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Effect, Exit, Fiber, Layer, Option, TestClock } from "effect"
import { Cached, CachePolicy, CacheStore, MemoryCacheLive } from "../../src/index.js"
import { becomes, counting, gate, numbered, recordWarnings, stats, thenDoes, until } from "../laws/support.js"

const withPolicy = (options: CachePolicy.Options) => Layer.merge(MemoryCacheLive, CachePolicy.layer(options))

describe("CachePolicy", () => {
  describe("layer", () => {
    it.effect("ttl and stale - come from the Layer", () => {
      const { lookup } = counting()
      const cached = Cached.policy(lookup(), { key: "k" })
      return Effect.gen(function* () {
        yield* cached
        const entry = Option.getOrThrow(yield* cached.entry)
        deepStrictEqual([entry.freshUntil, entry.expiresAt], [60_000, 90_000])
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual(yield* cached, 1)
        yield* becomes(cached.peek, Option.some(2))
        assert.strictEqual((yield* stats).refreshes, 1)
      }).pipe(Effect.provide(withPolicy({ ttl: "1 minute", stale: "30 seconds" })))
    })

    it.effect("without stale - a read after the ttl loads", () => {
      const { lookup } = counting()
      const cached = Cached.policy(lookup(), { key: "k" })
      return Effect.gen(function* () {
        yield* cached
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual(yield* cached, 2)
      }).pipe(Effect.provide(withPolicy({ ttl: "1 minute" })))
    })

    it.effect("staleIfError and retryAfter - come from the Layer", () => {
      const { lookup, calls } = thenDoes(() => Effect.fail("down"))
      const cached = Cached.policy(lookup(), { key: "k" })
      return Effect.gen(function* () {
        yield* cached
        yield* TestClock.setTime(60_000)
        for (const [at, loads] of [
          [60_000, 2],
          [61_999, 2],
          [62_000, 3]
        ] as const) {
          yield* TestClock.setTime(at)
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, loads)
        }
      }).pipe(
        Effect.provide(
          Layer.merge(
            MemoryCacheLive,
            CachePolicy.layerConfig(
              Config.all({
                ttl: Config.duration("TTL"),
                staleIfError: Config.duration("SIE"),
                retryAfter: Config.duration("RA")
              })
            ).pipe(
              Layer.provide(
                Layer.setConfigProvider(
                  ConfigProvider.fromMap(
                    new Map([
                      ["TTL", "1 minute"],
                      ["SIE", "1 hour"],
                      ["RA", "2 seconds"]
                    ])
                  )
                )
              )
            )
          )
        )
      )
    })

    it.effect("functions - exceptions by name; what an exception leaves out is taken from the general policy", () => {
      const find = (key: string, name?: string) =>
        Cached.policy((id: number) => Effect.succeed(id), { key: key as "x:{}", name })
      const [user, named, other, proto] = [
        find("user:{}"),
        find("a:{}", "special"),
        find("b:{}"),
        find("c:{}", "constructor")
      ]
      const lifetimes = (each: typeof user) =>
        Effect.map(each(1).pipe(Effect.zipRight(each.entry(1))), (entry) => {
          const { expiresAt, freshUntil } = Option.getOrThrow(entry)
          return [freshUntil, expiresAt]
        })
      return Effect.gen(function* () {
        deepStrictEqual(yield* lifetimes(user), [600_000, 605_000])
        deepStrictEqual(yield* lifetimes(named), [60_000, 3_660_000])
        deepStrictEqual(yield* lifetimes(other), [60_000, 65_000])
        deepStrictEqual(yield* lifetimes(proto), [60_000, 65_000])
      }).pipe(
        Effect.provide(
          withPolicy({
            ttl: "1 minute",
            stale: "5 seconds",
            functions: { "user:{}": { ttl: "10 minutes" }, special: { stale: "1 hour" } }
          })
        )
      )
    })

    it.effect("ttl of zero - switches off that function and no other", () => {
      const off = counting()
      const kept = counting()
      const one = Cached.policy(off.lookup(), { key: "one" })
      const two = Cached.policy(kept.lookup(), { key: "two" })
      return Effect.gen(function* () {
        deepStrictEqual([yield* one, yield* one, yield* two, yield* two], [1, 2, 1, 1])
        deepStrictEqual(yield* one.peek, Option.none())
      }).pipe(Effect.provide(withPolicy({ ttl: "1 minute", functions: { one: { ttl: 0 } } })))
    })

    it.effect("flightTimeout - comes from the Layer: a load that takes longer is not joined", () => {
      const door = gate()
      const { lookup, calls } = numbered((call) => (call === 1 ? Effect.as(door.pass, call) : Effect.succeed(call)))
      const cached = Cached.policy(lookup(), { key: "k" })
      return Effect.gen(function* () {
        const first = yield* Effect.fork(cached)
        yield* until(() => calls.length === 1, "the load began")
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* cached, 2)
        yield* door.open
        assert.strictEqual(yield* Fiber.join(first), 1)
        assert.strictEqual(yield* cached, 2)
      }).pipe(Effect.provide(withPolicy({ ttl: "1 minute", flightTimeout: "2 seconds" })))
    })

    it.effect("two policies on one store - each read has the lifetimes of the Layer around it", () => {
      const { lookup } = counting()
      const cached = Cached.policy(lookup(), { key: "k" })
      const under = (ttl: number) => Effect.provide(CachePolicy.layer({ ttl }))
      return Effect.gen(function* () {
        for (const ttl of [1_000, 5_000, 1_000, 5_000]) {
          yield* under(ttl)(cached.refresh)
          assert.strictEqual(Option.getOrThrow(yield* under(60)(cached.entry)).freshUntil, ttl)
        }
        assert.strictEqual(yield* under(0)(cached), 5)
        assert.strictEqual(yield* under(1_000)(cached), 4)
        assert.strictEqual((yield* stats).caches.k?.loads, 4)
      }).pipe(Effect.provide(MemoryCacheLive))
    })

    it.effect("capture - keeps the policy of the place of capture", () => {
      const { lookup } = counting()
      const cached = Cached.policy(lookup(), { key: "k" })
      return Effect.gen(function* () {
        const captured = yield* Effect.provide(Cached.capture(cached), CachePolicy.layer({ ttl: "10 minutes" }))
        yield* captured
        assert.strictEqual(Option.getOrThrow(yield* captured.entry).freshUntil, 600_000)
      }).pipe(Effect.provide(MemoryCacheLive))
    })

    it.effect("an invalid duration - is a defect when the Layer is built", () =>
      Effect.gen(function* () {
        const senseless: ReadonlyArray<CachePolicy.Options> = [
          { ttl: "soon" as never },
          { ttl: "1 minute", stale: "later" as never },
          { ttl: "1 minute", functions: { "user:{}": { ttl: "sometimes" as never } } }
        ]
        for (const options of senseless) {
          const exit = yield* Effect.exit(Effect.provide(CachePolicy, CachePolicy.layer(options)))
          assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        }
      })
    )

    it.effect("data-last - behaves the same", () => {
      const { lookup } = numbered((_, id: number) => Effect.succeed(id))
      const find = Cached.policy({ key: "user:{}" })(lookup)
      return Effect.gen(function* () {
        assert.strictEqual(yield* find(4), 4)
        assert.strictEqual(Option.getOrThrow(yield* find.entry(4)).freshUntil, 60_000)
      }).pipe(Effect.provide(withPolicy({ ttl: "1 minute" })))
    })
  })

  describe("functions that name no function", () => {
    const user = () => Cached.policy((id: number) => Effect.succeed(id), { key: "user:{}" })
    const posts = () => Cached.policy((id: number) => Effect.succeed(id), { key: "user:{}:posts" })
    const unused = Effect.map(
      Effect.flatMap(CacheStore, (store) => store.health),
      ({ problems }) => problems.filter(({ name }) => name === "PolicyNameUnused").map(({ subject }) => subject)
    )
    const under = (functions: NonNullable<CachePolicy.Options["functions"]>) => {
      const { layer, lines } = recordWarnings()
      const live = withPolicy({ ttl: "1 hour", functions })
      return { lines, live: Layer.provideMerge(live, layer) }
    }

    it.effect("the text before the first colon - is one Warning at the first read that gives the whole name", () => {
      const { lines, live } = under({ user: { ttl: "1 day" } })
      return Effect.gen(function* () {
        const [find, list] = [user(), posts()]
        for (const id of [1, 2]) yield* Effect.zipRight(find(id), list(id))
        assert.lengthOf(lines, 1)
        assert.include(lines[0], 'an exception for "user"')
        assert.include(lines[0], 'write "user:{}"')
        deepStrictEqual(yield* unused, ["user"])
        yield* TestClock.adjust("5 minutes")
        yield* find(3)
        assert.lengthOf(lines, 1)
      }).pipe(Effect.provide(live))
    })

    it.effect("a name that a function has - is no Warning, though it begins the template of another", () => {
      const { lines, live } = under({ user: { ttl: "1 day" }, "user:{}:posts": { ttl: "1 day" } })
      return Effect.gen(function* () {
        yield* Cached.policy(Effect.succeed(1), { key: "user" })
        yield* user()(1)
        yield* posts()(1)
        yield* TestClock.adjust("5 minutes")
        deepStrictEqual(yield* unused, [])
        assert.lengthOf(lines, 0)
      }).pipe(Effect.provide(live))
    })

    it.effect("a name that no function had within a minute - is one Warning, until a function has it", () => {
      const { lines, live } = under({ "usr:{}": { ttl: "1 day" }, late: { ttl: "1 day" }, "user:{}": { ttl: "1 day" } })
      return Effect.gen(function* () {
        yield* user()(1)
        yield* TestClock.adjust("59 seconds")
        assert.lengthOf(lines, 0)
        yield* TestClock.adjust("1 second")
        yield* becomes(unused, ["usr:{}", "late"])
        assert.lengthOf(lines, 2)
        assert.include(lines[0], '"usr:{}"')
        assert.include(lines[0], "no function of this name was read within a minute")
        yield* Cached.policy(Effect.succeed(1), { key: "k", name: "late" })
        deepStrictEqual(yield* unused, ["usr:{}"])
        yield* TestClock.adjust("5 minutes")
        assert.lengthOf(lines, 2)
      }).pipe(Effect.provide(live))
    })

    it.effect("no read within a minute - is one Warning, and none of the store that is used later", () => {
      const { lines, live } = under({ usr: { ttl: "1 day" } })
      return Effect.gen(function* () {
        yield* TestClock.adjust("1 minute")
        yield* until(() => lines.length === 1, "the Warning was logged")
        assert.include(lines[0], '"usr"')
        yield* user()(1)
        deepStrictEqual(yield* unused, ["usr"])
        assert.lengthOf(lines, 1)
      }).pipe(Effect.provide(live))
    })
  })

  describe("a Layer that is missing", () => {
    const cached = Cached.policy((id: number) => Effect.succeed(id), { key: "user:{}" })
    const messageOf = (effect: Effect.Effect<unknown, unknown, any>) =>
      Effect.map(Effect.sandbox(effect).pipe(Effect.flip), (cause) => Cause.pretty(cause))

    it.effect("CachePolicy - the defect names the function and says what to provide", () =>
      Effect.gen(function* () {
        for (const use of [cached(1), cached.invalidate(1), cached.refresh(1), cached.peek(1)]) {
          const message = yield* messageOf(Effect.provide(use, MemoryCacheLive))
          assert.include(message, "Cached.policy takes the lifetimes of user:{} from it")
          assert.include(message, "CachePolicy.layer(")
        }
      })
    )

    it.effect("CacheStore - the defect says what to provide", () =>
      Effect.gen(function* () {
        const message = yield* messageOf(Effect.provide(cached(1), CachePolicy.layer({ ttl: "1 minute" })))
        assert.include(message, "provide a store such as MemoryCacheLive")
      })
    )
  })

  describe("layerConfig", () => {
    const from = (values: Record<string, string>) =>
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(values))))
    const live = CachePolicy.layerConfig({
      ttl: Config.duration("TTL"),
      stale: Config.duration("STALE"),
      functions: { "user:{}": { ttl: Config.duration("USER_TTL") } }
    })

    it.effect("lifetimes - come from Config", () => {
      const all = Cached.policy(Effect.succeed(1), { key: "k" })
      const user = Cached.policy((id: number) => Effect.succeed(id), { key: "user:{}" })
      return Effect.gen(function* () {
        yield* all
        yield* user(1)
        assert.strictEqual(Option.getOrThrow(yield* all.entry).freshUntil, 60_000)
        assert.strictEqual(Option.getOrThrow(yield* user.entry(1)).expiresAt, 605_000)
      }).pipe(
        Effect.provide(
          Layer.merge(
            MemoryCacheLive,
            Layer.provide(live, from({ TTL: "1 minute", STALE: "5 seconds", USER_TTL: "10 minutes" }))
          )
        )
      )
    })

    it.effect("a missing value - is a ConfigError", () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Effect.provide(CachePolicy, Layer.provide(live, from({ TTL: "1 minute" }))))
        assert.isTrue(Exit.isFailure(exit) && Cause.isFailType(exit.cause))
      })
    )
  })
})

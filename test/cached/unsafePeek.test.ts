/**
 * `unsafePeek`: what a cached effect or function would answer at once, without an effect.
 */
import { deepStrictEqual, throws } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, PrimaryKey, Schema, Scope, TestClock } from "effect"
import * as FastCheck from "effect/FastCheck"
import { Cached, CachePolicy, CacheStore, KeyError, MemoryCache, TieredCache } from "effect-cached"
import { becomes, makeLookup, numbered, settled, stats, until } from "../laws/support.js"
import * as Shelf from "../support/shelf.js"
import { every, on } from "./support.js"

const { none, some } = Option
const minute = { ttl: "1 minute" } as const

const overShelf = Layer.unwrapEffect(
  Effect.sync(() =>
    TieredCache.layer({
      tiers: [
        { backend: MemoryCache.backend() },
        { backend: Effect.succeed(CacheStore.fromBytes(Shelf.backend(new Shelf.Shelf()))) }
      ]
    })
  )
)

/** Whether `unsafePeek` returns the same in its several ways: the first call may make the entry answer at once. */
const peeked = <A>(peek: () => Option.Option<A>): Option.Option<A> => {
  const [first, second, third] = [peek(), peek(), peek()]
  deepStrictEqual([second, third], [first, first])
  return first
}

describe("unsafePeek", () => {
  for (const [name, store] of [
    ["memory", MemoryCache.layer()],
    ["memory over another tier", overShelf]
  ] as const) {
    const test = (what: string, body: Effect.Effect<void, unknown, CacheStore | Scope.Scope>) =>
      it.scoped(`${name} - ${what}`, () => Effect.provide(body, store))

    test(
      "returns what a read returns, and none before",
      Effect.gen(function* () {
        const { calls, lookup } = makeLookup((id: number) => Effect.succeed({ id }))
        const find = yield* Cached.capture(Cached.ttl(lookup, { key: "k:{}", ...minute }))
        deepStrictEqual(
          peeked(() => find.unsafePeek(1)),
          none()
        )
        const value = yield* find(1)
        assert.strictEqual(Option.getOrThrow(peeked(() => find.unsafePeek(1))), value)
        deepStrictEqual(find.unsafePeek(2), none())
        yield* find.set(2)({ id: 20 })
        deepStrictEqual(
          peeked(() => find.unsafePeek(2)),
          some({ id: 20 })
        )
        assert.lengthOf(calls, 1)
      })
    )

    test(
      "effects, arguments of any number, undefined",
      Effect.gen(function* () {
        const one = yield* Cached.capture(Cached.ttl(Effect.void, { key: "one", ...minute }))
        const two = yield* Cached.capture(
          Cached.ttl((a: number, b: string) => Effect.succeed(`${a}${b}`), { key: "two:{}:{}", ...minute })
        )
        yield* one
        yield* two(1, "x")
        deepStrictEqual(
          peeked(() => one.unsafePeek()),
          some(undefined)
        )
        deepStrictEqual(
          peeked(() => two.unsafePeek(1, "x")),
          some("1x")
        )
        deepStrictEqual(two.unsafePeek(1, "y"), none())
      })
    )

    test(
      "what is invalidated, by key, tag, function or store - is not returned",
      Effect.gen(function* () {
        const find = yield* Cached.capture(
          Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute, tags: (id) => [`t${id}`] })
        )
        const peek = (id: number) => peeked(() => find.unsafePeek(id))
        for (const invalidate of [
          find.invalidate(1),
          Cached.invalidateTags(["t1"]),
          find.clear,
          Effect.flatMap(CacheStore, (store) => store.clear),
          Effect.flatMap(CacheStore, (store) => store.remove("k:1")),
          find.expire(1),
          Cached.expireTags(["t1"])
        ]) {
          yield* find(1)
          deepStrictEqual(peek(1), some(1))
          yield* invalidate
          deepStrictEqual(peek(1), none())
        }
      })
    )

    test(
      "another owner, version or store's own value - is not returned",
      Effect.gen(function* () {
        const store = yield* CacheStore
        const options = { key: (_: number) => "k", ...minute }
        const make = (name: string, version?: number) =>
          Cached.capture(Cached.ttl((id: number) => Effect.succeed(id), { ...options, name, version }))
        const [a, b, c] = [yield* make("a"), yield* make("b"), yield* make("a", 2)]
        yield* a(1)
        deepStrictEqual([a.unsafePeek(1), b.unsafePeek(1), c.unsafePeek(1)], [some(1), none(), none()])
        yield* store.set("k", 2, minute)
        deepStrictEqual([a.unsafePeek(1), store.unsafeGet("k")], [none(), some(2)])
      })
    )

    test(
      "a stale value that a read would return - is returned, and not refreshed",
      Effect.gen(function* () {
        const { calls, lookup } = makeLookup(() => Effect.succeed(1))
        const read = yield* Cached.capture(Cached.swr(lookup, { key: "k", ...minute, stale: "1 minute" }))
        yield* read()
        yield* TestClock.adjust("1 minute")
        deepStrictEqual(
          peeked(() => read.unsafePeek()),
          some(1)
        )
        yield* TestClock.adjust("1 minute")
        yield* settled
        deepStrictEqual(
          peeked(() => read.unsafePeek()),
          none()
        )
        assert.lengthOf(calls, 1)
      })
    )

    test(
      "a failure that is stored - is not returned",
      Effect.gen(function* () {
        const read = yield* Cached.capture(
          Cached.ttl((id: number): Effect.Effect<number, string> => Effect.fail(`no ${id}`), {
            key: "k:{}",
            ...minute,
            failures: { ttl: "1 minute" }
          })
        )
        yield* Effect.flip(read(1))
        assert.strictEqual((yield* read.explain(1)).outcome, "hit")
        deepStrictEqual(
          peeked(() => read.unsafePeek(1)),
          none()
        )
      })
    )

    test(
      "it is no read: it counts nothing, and the function still refreshes ahead",
      Effect.gen(function* () {
        const { calls, lookup } = makeLookup((id: number) => Effect.succeed(id))
        const find = yield* Cached.capture(Cached.ttl(lookup, { key: "k:{}", ...minute, refreshAhead: 0.5 }))
        yield* find(1)
        const { hits, misses } = yield* stats
        peeked(() => find.unsafePeek(1))
        peeked(() => find.unsafePeek(2))
        const after = yield* stats
        deepStrictEqual([after.hits, after.misses], [hits, misses])
        yield* TestClock.adjust("40 seconds")
        peeked(() => find.unsafePeek(1))
        assert.lengthOf(calls, 1)
        yield* find(1)
        yield* until(() => calls.length === 2, "the refresh began")
      })
    )

    test(
      "it is a use: an entry with an idle time lives on",
      Effect.gen(function* () {
        if (name !== "memory") return
        const find = yield* Cached.capture(
          Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ttl: "1 hour", maxIdle: "1 minute" })
        )
        yield* find(1)
        yield* find(2)
        for (let i = 0; i < 5; i++) {
          deepStrictEqual(
            peeked(() => find.unsafePeek(1)),
            some(1)
          )
          yield* TestClock.adjust("40 seconds")
        }
        deepStrictEqual([find.unsafePeek(1), find.unsafePeek(2)], [some(1), none()])
      })
    )

    it.effect(`${name} - a store that has closed, returns nothing`, () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(store, scope)
        const find = yield* Effect.provide(
          Cached.capture(Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })),
          context
        )
        yield* find(1)
        deepStrictEqual(
          peeked(() => find.unsafePeek(1)),
          some(1)
        )
        yield* Scope.close(scope, Exit.void)
        deepStrictEqual(find.unsafePeek(1), none())
      })
    )
  }

  it.scoped("what only a slower tier has, or a store without memory - is not returned", () =>
    Effect.gen(function* () {
      const shelf = new Shelf.Shelf()
      const backend = Effect.sync(() => CacheStore.fromBytes(Shelf.backend(shelf)))
      const first = TieredCache.layer({ tiers: [{ backend: MemoryCache.backend() }, { backend }] })
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      yield* Effect.provide(Effect.zipRight(find(1), settled), first)
      for (const store of [first, MemoryCache.layer({ values: "serialized" })]) {
        const body = Effect.gen(function* () {
          const found = yield* Cached.capture(find)
          deepStrictEqual(found.unsafePeek(1), none())
          deepStrictEqual(yield* found(1), 1)
          return found.unsafePeek(1)
        })
        deepStrictEqual(yield* Effect.provide(body, store), store === first ? some(1) : none())
      }
    })
  )

  it.scoped("a load that fails, or a value between its stale end and its end - as a read would answer", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call) => (call === 1 ? Effect.succeed(call) : Effect.fail("down")))
        const read = yield* Cached.capture(
          Cached.ttl(lookup, { key: "k", ttl: "10 seconds", staleIfError: "1 minute", retryAfter: "5 seconds" })
        )
        yield* read()
        yield* TestClock.adjust("10 seconds")
        // a read would load
        deepStrictEqual(read.unsafePeek(), none())
        assert.strictEqual(yield* read(), 1)
        assert.lengthOf(calls, 2)
        // during the pause it would not
        deepStrictEqual(
          peeked(() => read.unsafePeek()),
          some(1)
        )
        yield* TestClock.adjust("5 seconds")
        deepStrictEqual(read.unsafePeek(), none())
      })
    )
  )

  it.scoped("after any changes - it returns a value where explain tells of one, and that of a read", () =>
    Effect.gen(function* () {
      const step = FastCheck.constantFrom("read", "peek", "set", "expire", "invalidate", "tag", "fail", "wait", "wait")
      const run = (steps: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          let fails = false
          let n = 0
          const lookup = Effect.suspend(() => (fails ? Effect.fail("down") : Effect.succeed(++n)))
          const read = yield* Cached.capture(
            Cached.swr(lookup, {
              key: "k",
              ttl: "10 seconds",
              stale: "10 seconds",
              staleIfError: "1 minute",
              retryAfter: "7 seconds",
              refreshAhead: 0.7,
              maxIdle: "25 seconds",
              tags: ["t"]
            })
          )
          for (const step of steps) {
            if (step === "read") yield* Effect.ignore(read)
            else if (step === "peek") read.unsafePeek()
            else if (step === "set") yield* read.set(++n)
            else if (step === "expire") yield* read.expire
            else if (step === "invalidate") yield* read.invalidate
            else if (step === "tag") yield* Cached.invalidateTags(["t"])
            else if (step === "fail") fails = !fails
            else yield* TestClock.adjust("4 seconds")
            yield* Effect.yieldNow()
            const { outcome } = yield* read.explain
            const found = read.unsafePeek()
            assert.strictEqual(found._tag, outcome === "miss" ? "None" : "Some")
            if (outcome === "hit") deepStrictEqual(found, some(yield* read))
          }
        })
      const samples = FastCheck.sample(FastCheck.array(step, { minLength: 10, maxLength: 25 }), {
        numRuns: 30,
        seed: 7
      })
      for (const steps of samples) yield* on(run(steps))
    })
  )

  it.scoped("background loaders and writers - the value of the daemon, and the one that was expired", () =>
    on(
      Effect.gen(function* () {
        const { lookup } = numbered((call) => (call === 1 ? Effect.succeed(call) : Effect.never))
        const flags = yield* Cached.bg(lookup(), every)
        const writer = yield* Cached.bgWrite(Effect.succeed("w"), { ...every, key: "w" })
        yield* becomes(flags.peek, some(1))
        yield* becomes(writer.current, some("w"))
        deepStrictEqual(
          peeked(() => flags.unsafePeek()),
          some(1)
        )
        deepStrictEqual(peeked(writer.unsafePeek), some("w"))
        yield* TestClock.adjust("10 seconds")
        yield* Effect.flatMap(CacheStore, (store) => store.expireAll)
        // the readers keep it until the daemon has loaded
        assert.strictEqual((yield* flags.explain).outcome, "stale")
        deepStrictEqual(
          peeked(() => flags.unsafePeek()),
          some(1)
        )
      })
    )
  )

  it.scoped("a background loader with arguments - returns what was read, and starts no daemon", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = makeLookup((tenant: string) => Effect.succeed(tenant))
        const flags = yield* Cached.bg(lookup, { key: "flags:{}", interval: "1 minute" })
        deepStrictEqual(flags.unsafePeek("a"), none())
        yield* TestClock.adjust("5 minutes")
        yield* settled
        assert.lengthOf(calls, 0)
        yield* flags("a")
        deepStrictEqual(
          peeked(() => flags.unsafePeek("a")),
          some("a")
        )
      })
    )
  )

  it.scoped("batched functions and entities - the option, and the entity", () =>
    on(
      Effect.gen(function* () {
        class User extends Schema.Class<User>("User")({ id: Schema.Number }) {}
        const many = yield* Cached.capture(
          Cached.batched(
            (ids: ReadonlyArray<number>) => Effect.succeed(ids.filter((id) => id < 9).map((id) => [id, id] as const)),
            {
              key: "n:{}",
              ...minute,
              absentTtl: "1 minute"
            }
          )
        )
        yield* many.many([1, 9])
        deepStrictEqual(
          [many.unsafePeek(1), many.unsafePeek(9), many.unsafePeek(2)],
          [some(some(1)), some(none()), none()]
        )
        const users = yield* Cached.capture(Cached.entity(User, { name: "user", key: ["id"], ...minute }))
        yield* users.put(new User({ id: 1 }))
        deepStrictEqual([users.unsafePeek(1), users.unsafePeek(2)], [some(new User({ id: 1 })), none()])
      })
    )
  )

  it.scoped("lifetimes of a CachePolicy - those of the place of capture", () =>
    on(
      Effect.gen(function* () {
        const lookup = (id: number) => Effect.succeed(id)
        const capture = Cached.capture(Cached.policy(lookup, { key: "k:{}" }))
        const find = yield* Effect.provide(capture, CachePolicy.layer({ ttl: "1 minute" }))
        const off = yield* Effect.provide(capture, CachePolicy.layer({ ttl: 0 }))
        yield* find(1)
        deepStrictEqual(
          peeked(() => find.unsafePeek(1)),
          some(1)
        )
        deepStrictEqual(off.unsafePeek(1), none())
        yield* TestClock.adjust("1 minute")
        yield* find(2)
        deepStrictEqual(find.unsafePeek(1), none())
      })
    )
  )

  it.scoped("captured inside a transaction - returns nothing, as every read loads", () =>
    Effect.gen(function* () {
      class Inside extends Context.Tag("Inside")<Inside, string>() {}
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      const body = Effect.gen(function* () {
        const outside = yield* Cached.capture(find)
        const inside = yield* Effect.provideService(Cached.capture(find), Inside, "transaction")
        yield* outside(1)
        deepStrictEqual([peeked(() => outside.unsafePeek(1)), peeked(() => inside.unsafePeek(1))], [some(1), none()])
      })
      yield* Effect.provide(body, MemoryCache.layer({ bypassIn: [Inside] }))
    })
  )

  it.scoped("keys - from a key function, and from a request with a primary key", () =>
    on(
      Effect.gen(function* () {
        class GetUser extends Schema.TaggedRequest<GetUser>()("GetUser", {
          failure: Schema.Never,
          success: Schema.String,
          payload: { id: Schema.Number }
        }) {
          [PrimaryKey.symbol]() {
            return `${this.id}`
          }
        }
        const byRequest = yield* Cached.capture(
          Cached.ttl((request: GetUser) => Effect.succeed(`user ${request.id}`), { key: "user:{}", ...minute })
        )
        yield* byRequest(new GetUser({ id: 1 }))
        deepStrictEqual(
          peeked(() => byRequest.unsafePeek(new GetUser({ id: 1 }))),
          some("user 1")
        )
        const byFunction = yield* Cached.capture(
          Cached.ttl((id: number) => Effect.succeed(id), { key: (id) => `f:${id % 10}`, name: "f", ...minute })
        )
        yield* byFunction(1)
        deepStrictEqual(
          peeked(() => byFunction.unsafePeek(11)),
          some(1)
        )
        // a key is a text: one that an effect or a promise makes is refused, as by `key`
        for (const later of [Effect.succeed("k"), Promise.resolve("k")]) {
          const wrong = yield* Cached.capture(
            Cached.ttl((id: number) => Effect.succeed(id), { key: () => later as never, name: "g", ...minute })
          )
          throws(
            () => wrong.unsafePeek(1),
            (thrown) => thrown instanceof KeyError && /returned an object instead of a string/.test(thrown.message)
          )
        }
      })
    )
  )

  it.scoped("what does not carry its store, or has a partition - throws, and a stub has nothing", () =>
    on(
      Effect.gen(function* () {
        class Tenant extends Context.Tag("Tenant")<Tenant, string>() {}
        const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
        const one = Cached.ttl(Effect.succeed(1), { key: "one", ...minute })
        const tenants = yield* Cached.capture(
          Cached.ttl((id: number) => Effect.succeed(id), { key: "p:{}", ...minute, partition: Tenant })
        )
        for (const cached of [find, one] as ReadonlyArray<{ readonly unsafePeek: unknown }>) {
          throws(() => (cached.unsafePeek as (id?: number) => unknown)(1), /use Cached\.capture/)
        }
        throws(() => (tenants as never as typeof find & { unsafePeek: (id: number) => unknown }).unsafePeek(1))
        deepStrictEqual(Cached.stub((id: number) => Effect.succeed(id)).unsafePeek(1), none())
        deepStrictEqual(Cached.stub(Effect.succeed(1)).unsafePeek(), none())
      })
    )
  )

  it.scoped("a mirror - returns what its read returns", () =>
    on(
      Effect.gen(function* () {
        const flags = yield* Cached.bgRead<string>({ key: "w" })
        deepStrictEqual(flags.unsafePeek(), none())
        yield* Cached.bgWrite(Effect.succeed("w"), { ...every, key: "w" })
        yield* flags.ready
        deepStrictEqual(peeked(flags.unsafePeek), some("w"))
        yield* Effect.flatMap(CacheStore, (store) => store.clear)
        deepStrictEqual(peeked(flags.unsafePeek), none())
      })
    )
  )
})

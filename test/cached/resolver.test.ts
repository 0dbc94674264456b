/** `Cached.resolver`: a `RequestResolver` behind a cache. */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import {
  Context,
  Data,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  ManagedRuntime,
  Option,
  PrimaryKey,
  Request,
  RequestResolver,
  Schema,
  TestClock
} from "effect"
import { afterAll } from "vitest"
import { Cached, CacheError, CacheStore, MemoryCache, MemoryCacheLive } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"
import { becomes, defectOf, recordWarnings, stats } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"

class NotFound extends Data.TaggedError("NotFound")<{ readonly id: number }> {}

class GetUser extends Request.TaggedClass("GetUser")<string, NotFound, { readonly id: number }> {}

/** Its key is its `PrimaryKey`. */
class GetPost extends Request.TaggedClass("GetPost")<number, never, { readonly id: number }> {
  [PrimaryKey.symbol](): string {
    return String(this.id)
  }
}

class Database extends Context.Tag("Database")<Database, string>() {}

/** A resolver that records the ids of its batches. Users above 100 are not found. */
const users = (pass: Effect.Effect<void> = Effect.void) => {
  const batches: Array<ReadonlyArray<number>> = []
  const resolver = RequestResolver.makeBatched((requests: ReadonlyArray<GetUser>) =>
    Effect.suspend(() => {
      batches.push(requests.map(({ id }) => id))
      const answers = Effect.forEach(
        requests,
        (request) =>
          request.id > 100
            ? Request.fail(request, new NotFound({ id: request.id }))
            : Request.succeed(request, `user ${request.id} of batch ${batches.length}`),
        { discard: true }
      )
      return Effect.zipRight(pass, answers)
    })
  )
  return { batches, resolver }
}

const options = { name: "users", key: ({ id }: GetUser) => String(id), ttl: "1 minute" } as const
const range = (size: number, from = 1): ReadonlyArray<number> => Array.from({ length: size }, (_, i) => from + i)
const batching = { batching: true } as const

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

const onRedis = (make: (options: { readonly url: string; readonly prefix: string }) => Layer.Layer<CacheStore>) =>
  Layer.unwrapEffect(
    Effect.zipWith(
      Effect.promise(() => server.runPromise(RedisServer)),
      freshPrefix,
      ({ url }, prefix) => make({ url, prefix })
    )
  )

const stores = {
  memory: MemoryCacheLive,
  "serialized memory": MemoryCache.layer({ values: "serialized" }),
  redis: onRedis(RedisCache.layer),
  "memory over redis": onRedis((l2) => RedisCache.layerHybrid({ l2 }))
}

for (const [name, layer] of Object.entries(stores)) {
  const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, layer)

  describe(`Cached.resolver, ${name}`, () => {
    it.effect("100 requests - stay one batch, and afterwards none", () => {
      const { batches, resolver } = users()
      const cached = Cached.resolver(resolver, options)
      const read = Effect.forEach(range(100), (id) => Effect.request(new GetUser({ id }), cached), batching)
      return on(
        Effect.gen(function* () {
          const first = yield* read
          deepStrictEqual(batches, [range(100)])
          assert.strictEqual(first[41], "user 42 of batch 1")
          deepStrictEqual(yield* read, first)
          assert.strictEqual(batches.length, 1)
          const { caches } = yield* stats
          deepStrictEqual([caches.users?.misses, caches.users?.hits, caches.users?.loads], [100, 100, 100])
        })
      )
    })

    it.effect("some are cached - the rest goes to the inner resolver as one batch, each once", () => {
      const { batches, resolver } = users()
      const cached = Cached.resolver(resolver, options)
      const read = (ids: ReadonlyArray<number>) =>
        Effect.forEach(ids, (id) => Effect.request(new GetUser({ id }), cached), batching)
      return on(
        Effect.gen(function* () {
          yield* read([1, 3])
          const found = yield* read([1, 2, 3, 4, 2])
          deepStrictEqual(
            found,
            [1, 2, 1, 2, 2].map((batch, i) => `user ${[1, 2, 3, 4, 2][i]} of batch ${batch}`)
          )
          deepStrictEqual(batches, [
            [1, 3],
            [2, 4]
          ])
        })
      )
    })

    it.effect("a failure - reaches its request alone, and is not stored", () => {
      const { batches, resolver } = users()
      const cached = Cached.resolver(resolver, options)
      const read = Effect.forEach(
        [1, 101, 2],
        (id) => Effect.exit(Effect.request(new GetUser({ id }), cached)),
        batching
      )
      return on(
        Effect.gen(function* () {
          const exits = yield* read
          deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
          deepStrictEqual(exits[1], Exit.fail(new NotFound({ id: 101 })))
          yield* read
          deepStrictEqual(batches, [[1, 101, 2], [101]])
        })
      )
    })

    it.effect("the key - is the tag, a colon and the text; an invalidated one is resolved again", () => {
      const { batches, resolver } = users()
      const cached = Cached.resolver(resolver, { ...options, tags: (value, { id }) => [`t${id}`, value.slice(0, 4)] })
      const read = Effect.forEach([1, 2], (id) => Effect.request(new GetUser({ id }), cached), batching)
      return on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* read
          yield* becomes(store.get("GetUser:1"), Option.some("user 1 of batch 1"))
          yield* store.remove("GetUser:1")
          yield* read
          deepStrictEqual(batches[1], [1])
          yield* store.tags.invalidate(["t2"])
          yield* read
          deepStrictEqual(batches[2], [2])
          yield* store.tags.invalidate(["user"])
          yield* read
          deepStrictEqual(batches[3], [1, 2])
        })
      )
    })
  })
}

const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

describe("Cached.resolver", () => {
  it.effect("the effect - gives the same resolver for the same store and services, and another one otherwise", () => {
    const { resolver } = users()
    const cached = Cached.resolver(resolver, options)
    return Effect.gen(function* () {
      const one = yield* cached
      assert.strictEqual(yield* Effect.withSpan(cached, "span"), one)
      assert.strictEqual(yield* Effect.scoped(cached), one)
      const a = yield* Effect.provideService(cached, Database, "a")
      assert.notStrictEqual(a, one)
      assert.strictEqual(yield* Effect.provideService(cached, Database, "a"), a)
      assert.notStrictEqual(yield* Effect.provideService(cached, Database, "b"), a)
      assert.notStrictEqual(yield* on(cached), one)
    }).pipe(Effect.provide(MemoryCacheLive))
  })

  it.effect("many fibers at once, each with services of its own - have one batch each", () => {
    const { batches, resolver } = users()
    const cached = Cached.resolver(resolver, options)
    const read = (user: number) =>
      Effect.zipRight(Effect.yieldNow(), Effect.request(new GetUser({ id: user }), cached)).pipe(
        Effect.withSpan("read")
      )
    return on(
      Effect.gen(function* () {
        const reads = range(60, 0).map((at) =>
          Effect.provideService(
            Effect.forEach(
              [at, at + 60, at + 120],
              Effect.fn(function* (id) {
                return yield* Effect.exit(read(id))
              }),
              batching
            ),
            Database,
            `${at}`
          )
        )
        yield* Effect.all(reads, { concurrency: "unbounded" })
        assert.lengthOf(batches, 60)
      })
    )
  })

  it.effect("services - the inner resolver gets those of the place where the effect ran", () => {
    const resolver = RequestResolver.contextFromServices(Database)(
      RequestResolver.makeBatched((requests: ReadonlyArray<GetUser>) =>
        Effect.flatMap(Database, (database) =>
          Effect.forEach(requests, (request) => Request.succeed(request, database), { discard: true })
        )
      )
    )
    return on(
      Effect.gen(function* () {
        const made = yield* Effect.provideService(resolver, Database, "mine")
        const cached = yield* Cached.resolver(made, options)
        assert.strictEqual(yield* Effect.request(new GetUser({ id: 1 }), cached), "mine")
        const direct = Cached.resolver(
          RequestResolver.makeBatched((requests: ReadonlyArray<GetUser>) =>
            Effect.flatMap(Database, (database) =>
              Effect.forEach(requests, (request) => Request.succeed(request, database), { discard: true })
            )
          ),
          { ...options, name: "direct", key: ({ id }) => `direct ${id}` }
        )
        const ready = yield* Effect.provideService(direct, Database, "theirs")
        assert.strictEqual(yield* Effect.request(new GetUser({ id: 1 }), ready), "theirs")
      })
    )
  })

  it.effect("a request with a PrimaryKey - needs no key, and its tag keeps it apart from others", () => {
    const asked: Array<string> = []
    const resolver = RequestResolver.makeBatched((requests: ReadonlyArray<GetUser | GetPost>) =>
      Effect.forEach(
        requests,
        (request) => {
          asked.push(`${request._tag} ${request.id}`)
          return request._tag === "GetUser" ? Request.succeed(request, "user") : Request.succeed(request, request.id)
        },
        { discard: true }
      )
    )
    const posts = Cached.resolver(
      RequestResolver.fromFunction((request: GetPost) => request.id * 10),
      { name: "posts", ttl: "1 minute" }
    )
    const both = Cached.resolver(resolver, { name: "both", key: ({ id }) => String(id), ttl: "1 minute" })
    return on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        assert.strictEqual(yield* Effect.request(new GetPost({ id: 1 }), posts), 10)
        deepStrictEqual(yield* store.get("GetPost:1"), Option.some(10))
        const requests = [new GetUser({ id: 2 }), new GetPost({ id: 2 })] as const
        const found = yield* Effect.forEach(requests, (request) => Effect.request(request, both), batching)
        deepStrictEqual(found, ["user", 2])
        deepStrictEqual(asked, ["GetUser 2", "GetPost 2"])
      })
    )
  })

  it.effect("a herd - shares one load per request, also between batches", () =>
    on(
      Effect.gen(function* () {
        const door = yield* Deferred.make<void>()
        const { batches, resolver } = users(Deferred.await(door))
        const cached = Cached.resolver(resolver, options)
        const read = (ids: ReadonlyArray<number>) =>
          Effect.forEach(ids, (id) => Effect.request(new GetUser({ id }), cached), batching)
        const fibers = yield* Effect.forEach([range(5), range(5), range(5, 3)], (ids) => Effect.fork(read(ids)))
        yield* becomes(
          Effect.map(stats, ({ misses }) => misses),
          15
        )
        // the window of a batch ends when the fibers that are ready have run
        yield* becomes(
          Effect.sync(() => batches.flat().length),
          7
        )
        yield* Deferred.succeed(door, undefined)
        for (const fiber of fibers) assert.strictEqual((yield* Fiber.join(fiber)).length, 5)
        deepStrictEqual([...batches.flat()].sort(), range(7))
      })
    )
  )

  it.effect("an interrupted caller - harms nobody, and a batch that nobody waits for is interrupted", () =>
    on(
      Effect.gen(function* () {
        const door = yield* Deferred.make<void>()
        let interrupted = 0
        const pass = Effect.onInterrupt(Deferred.await(door), () => Effect.sync(() => interrupted++))
        const { batches, resolver } = users(pass)
        const cached = Cached.resolver(resolver, options)
        const read = (id: number) => Effect.request(new GetUser({ id }), cached)
        const first = yield* Effect.fork(read(1))
        const second = yield* Effect.fork(read(1))
        yield* becomes(
          Effect.map(stats, ({ misses }) => misses),
          2
        )
        yield* becomes(
          Effect.sync(() => batches.length),
          1
        )
        yield* Fiber.interrupt(first)
        assert.strictEqual(interrupted, 0)
        yield* Deferred.succeed(door, undefined)
        assert.strictEqual(yield* second, "user 1 of batch 1")
        const door2 = yield* Deferred.make<void>()
        const alone = users(Effect.onInterrupt(Deferred.await(door2), () => Effect.sync(() => interrupted++)))
        const other = Cached.resolver(alone.resolver, { ...options, name: "alone" })
        const third = yield* Effect.fork(Effect.request(new GetUser({ id: 9 }), other))
        yield* becomes(
          Effect.sync(() => alone.batches.length),
          1
        )
        yield* Fiber.interrupt(third)
        yield* becomes(
          Effect.sync(() => interrupted),
          1
        )
      })
    )
  )

  it.effect("stale - values are served, and refreshed in one batch behind", () => {
    const { batches, resolver } = users()
    const cached = Cached.resolver(resolver, { ...options, stale: "1 minute" })
    const read = Effect.forEach([1, 2, 3], (id) => Effect.request(new GetUser({ id }), cached), batching)
    return on(
      Effect.gen(function* () {
        const first = yield* read
        yield* TestClock.adjust("1 minute")
        deepStrictEqual(yield* read, first)
        yield* becomes(
          Effect.map(read, ([one]) => one),
          "user 1 of batch 2"
        )
        deepStrictEqual(batches, [
          [1, 2, 3],
          [1, 2, 3]
        ])
      })
    )
  })

  it.effect("ttl - may be a function of the value and its request; zero is not stored", () => {
    const { batches, resolver } = users()
    const ttl = (value: string, { id }: GetUser) => (id === 1 && value.startsWith("user 1") ? 0 : "1 minute")
    const cached = Cached.resolver(resolver, { ...options, ttl })
    const read = Effect.forEach([1, 2], (id) => Effect.request(new GetUser({ id }), cached), batching)
    return on(
      Effect.gen(function* () {
        yield* read
        yield* read
        deepStrictEqual(batches, [[1, 2], [1]])
      })
    )
  })

  it.effect("schema - one for each tag, so that instances come back from a store of bytes", () => {
    class User extends Schema.Class<User>("User")({ id: Schema.Number }) {}
    class Find extends Request.TaggedClass("Find")<User, never, { readonly id: number }> {}
    const inner = RequestResolver.fromFunction((request: Find) => new User({ id: request.id }))
    const key = ({ id }: Find) => String(id)
    const read = (schema: Schema.Schema<User, any> | { readonly Find: Schema.Schema<User, any> }, id: number) =>
      Effect.request(new Find({ id }), Cached.resolver(inner, { name: "find", key, ttl: "1 minute", schema }))
    return Effect.gen(function* () {
      for (const [id, schema] of [User, { Find: User }].entries()) {
        yield* read(schema, id)
        yield* becomes(
          Effect.map(stats, ({ caches }) => caches.find?.loads),
          id + 1
        )
        assert.instanceOf(yield* read(schema, id), User)
      }
      assert.strictEqual((yield* stats).refused, 0)
      assert.strictEqual((yield* stats).loads, 2)
    }).pipe(Effect.provide(MemoryCache.layer({ values: "serialized" })))
  })

  it.effect("Effect's own request cache - may be on: no request waits for itself", () => {
    const { batches, resolver } = users()
    const cached = Cached.resolver(resolver, options)
    const read = Effect.forEach([1, 1, 2], (id) => Effect.request(new GetUser({ id }), cached), batching)
    return on(
      Effect.gen(function* () {
        yield* Effect.withRequestCaching(read, true)
        deepStrictEqual(batches, [[1, 2]])
      })
    )
  })

  it.effect("a key function that throws - is a defect of its request alone", () => {
    const { batches, resolver } = users()
    const cached = Cached.resolver(resolver, {
      ...options,
      key: ({ id }) => {
        if (id === 1) throw new Error("no key")
        return String(id)
      }
    })
    return on(
      Effect.gen(function* () {
        const exits = yield* Effect.forEach(
          [1, 2],
          (id) => Effect.exit(Effect.request(new GetUser({ id }), cached)),
          batching
        )
        assert.instanceOf(defectOf(exits[0]!), CacheError.KeyError)
        assert.isTrue(Exit.isSuccess(exits[1]!))
        deepStrictEqual(batches, [[2]])
      })
    )
  })

  it.effect("a resolver that dies - is a defect of the requests that were missing, and the store stays usable", () => {
    let calls = 0
    const resolver = RequestResolver.makeBatched((requests: ReadonlyArray<GetUser>) =>
      ++calls === 1
        ? Effect.dieMessage("boom")
        : Effect.forEach(requests, (request) => Request.succeed(request, "found"), { discard: true })
    )
    const cached = Cached.resolver(resolver, options)
    const read = Effect.forEach([1, 2], (id) => Effect.exit(Effect.request(new GetUser({ id }), cached)), batching)
    return on(
      Effect.gen(function* () {
        for (const exit of yield* read) assert.isTrue(Exit.isFailure(exit))
        for (const exit of yield* read) deepStrictEqual(exit, Exit.succeed("found"))
      })
    )
  })

  it.effect("Cached.bypass and Cached.reload - apply to what runs in them", () => {
    const { batches, resolver } = users()
    const cached = Cached.resolver(resolver, options)
    const read = Effect.forEach([1, 2], (id) => Effect.request(new GetUser({ id }), cached), batching)
    return on(
      Effect.gen(function* () {
        yield* read
        yield* Cached.bypass(read)
        deepStrictEqual(batches.length, 2)
        deepStrictEqual(yield* read, ["user 1 of batch 1", "user 2 of batch 1"])
        yield* Cached.reload(read)
        deepStrictEqual(yield* read, ["user 1 of batch 3", "user 2 of batch 3"])
      })
    )
  })

  it.effect("a store that is away - resolves, in one batch", () => {
    const { batches, resolver } = users()
    const cached = Cached.resolver(resolver, options)
    return Effect.gen(function* () {
      const found = yield* Effect.forEach(range(3), (id) => Effect.request(new GetUser({ id }), cached), batching)
      assert.strictEqual(found.length, 3)
      deepStrictEqual(batches, [range(3)])
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          RedisCache.layer({ url: "redis://127.0.0.1:1", connectTimeout: "50 millis" }),
          recordWarnings().layer
        )
      )
    )
  })
})

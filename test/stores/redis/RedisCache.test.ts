import { assert, describe, layer } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Context,
  Data,
  Duration,
  Effect,
  Either,
  Exit,
  Fiber,
  Layer,
  Option,
  Redacted,
  Schema,
  Scope
} from "effect"
import { Redis } from "ioredis"
import { Redis as Redis6 } from "ioredis6"
import { InvalidOption } from "../../../src/CacheError.js"
import { Cached, CacheStore, Envelope } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { gate, makeLookup, recordWarnings } from "../../laws/support.js"
import { awaitUntil, freshPrefix, live, RedisServer, TcpProxy } from "../../support/redis.js"
import { minute, node, nodeOf, pair, raw, realNow, same, single } from "../../support/redis-nodes.js"

class Money extends Data.Class<{ readonly cents: number }> {}
const MoneySchema = Schema.transform(Schema.Number, Schema.instanceOf(Money), {
  strict: true,
  decode: (cents) => new Money({ cents }),
  encode: (money) => money.cents
})

const echo = (options: { readonly tags?: ReadonlyArray<string>; readonly name?: string } = {}) => {
  const { lookup, calls } = makeLookup((id: string) => Effect.succeed(`${id}!`))
  return { find: Cached.ttl(lookup, { key: "x:{}", ...minute, ...options }), calls }
}

/** The number of connections to the server that have this name. */
const connections = (name: string) =>
  Effect.flatMap(RedisServer, ({ client }) =>
    Effect.promise(async () => {
      const list = (await client.client("LIST")) as string
      return list.split("\n").filter((line) => line.includes(` name=${name} `)).length
    })
  )

const forbidden = new Set(["KEYS", "SCAN", "SSCAN", "HSCAN", "ZSCAN", "FLUSHDB", "FLUSHALL", "RANDOMKEY"])

const roundTrips = ["MGET", "EVALSHA", "EVAL", "GET", "SET", "DEL", "PIPELINE", "MULTI"]

/** The commands of clients, without those that scripts called. */
const asked = (monitor: RedisServer.Monitor) =>
  Effect.map(monitor.commands, (commands) =>
    commands.filter((command) => roundTrips.includes(command[0]!.toUpperCase()))
  )

layer(RedisServer.layer)("RedisCache", (it) => {
  describe("make", () => {
    it.scoped("a loaded value - is stored and returned by the next read", () =>
      Effect.gen(function* () {
        const { run, there, written } = yield* single()
        const { find, calls } = echo()
        assert.strictEqual(yield* run(find("a")), "a!")
        yield* written
        assert.isTrue(yield* there.exists("x:a"))
        assert.strictEqual(yield* run(find("a")), "a!")
        assert.lengthOf(calls, 1)
      })
    )

    it.scoped("another store on the same Redis - reads what the first one stored", () =>
      Effect.gen(function* () {
        const { a, prefix } = yield* pair
        const { find, calls } = echo()
        yield* a.run(find("a"))
        yield* a.written
        const cold = yield* node({ prefix })
        assert.strictEqual(yield* cold.run(find("a")), "a!")
        assert.lengthOf(calls, 1)
        assert.strictEqual((yield* cold.store.stats).hits, 1)
      })
    )

    it.scoped("closing the Scope - closes the connection that the store made", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const scope = yield* Scope.make()
        yield* Scope.extend(RedisCache.make({ url: redis.url, redis: { connectionName: "closing" } }), scope)
        assert.strictEqual(yield* connections("closing"), 1)
        yield* Scope.close(scope, Exit.void)
        yield* awaitUntil(
          Effect.map(connections("closing"), (n) => n === 0),
          "the connection is gone"
        )
      })
    )

    it.scoped("an invalid url - is a defect that names the option and does not repeat the text", () =>
      Effect.gen(function* () {
        for (const url of ["redis://:secret@:::", "http://secret:1", "secret", ""]) {
          const exit = yield* Effect.exit(RedisCache.make({ url }))
          assert.isTrue(Exit.isFailure(exit), url)
          const [defect] = Array.from(Cause.defects((exit as Exit.Failure<never, never>).cause))
          assert.instanceOf(defect, InvalidOption, url)
          assert.notInclude(String(defect), "secret")
        }
      })
    )
  })

  describe("backend", () => {
    it.scoped("an entry that is written - is read back", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const backend = yield* RedisCache.backend({ url: redis.url, prefix })
        assert.isTrue(backend.remote)
        assert.isTrue(backend.isUp?.())
        assert.strictEqual(backend.name, "redis")
        const store = yield* CacheStore.make(backend)
        yield* store.set("k", 1, minute)
        const { found } = yield* backend.getMany([{ key: "k" }, { key: "absent" }])
        assert.strictEqual((found[0] as { value: unknown }).value, 1)
        assert.isUndefined(found[1])
      })
    )
  })

  describe("layer", () => {
    it.effect("layer - provides the store", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const { find } = echo()
        assert.strictEqual(yield* Effect.provide(find("a"), RedisCache.layer({ url: redis.url, prefix })), "a!")
      })
    )

    it.scoped("prefix - defaults to ec1:, and is empty only if it is set to empty text", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const standard = yield* RedisCache.make({ url: redis.url })
        yield* standard.set("prefix-test", 1, minute)
        const none = yield* RedisCache.make({ url: redis.url, prefix: "" })
        yield* none.set("prefix-test", 2, minute)
        const there = yield* raw("")
        assert.isTrue(yield* there.exists("ec1:prefix-test"))
        assert.isTrue(yield* there.exists("prefix-test"))
        same(yield* standard.get("prefix-test"), Option.some(1))
        same(yield* none.get("prefix-test"), Option.some(2))
      })
    )

    it.scoped("stores with different prefixes - share neither entries, nor clear, nor tags", () =>
      Effect.gen(function* () {
        const one = yield* single()
        const two = yield* single()
        for (const { store } of [one, two]) yield* store.set("k", 1, { ...minute, tags: ["t"] })
        yield* one.store.clear
        yield* one.store.tags.invalidate(["t"])
        assert.isFalse(yield* one.store.has("k"))
        assert.isTrue(yield* two.store.has("k"))
      })
    )

    it.scoped(
      "keys in Redis - are one string per entry, with the version in its key, four for the marks, and one for the count",
      () =>
        Effect.gen(function* () {
          const { run, store, there } = yield* single()
          yield* run(Cached.ttl(Effect.succeed(1), { key: "flags", ...minute }))
          yield* run(Cached.ttl(Effect.succeed(2), { key: "flags", version: 7, name: "other", ...minute }))
          yield* store.set("by hand", 3, { ...minute, tags: ["t"] })
          yield* store.set("!{marks}:head", 4, minute)
          yield* store.tags.invalidate(["t"])
          same(
            yield* there.keys,
            [
              "!!{marks}:head",
              "!{marks}:count",
              "!{marks}:head",
              "!{marks}:lifespans",
              "!{marks}:stamps",
              "!{marks}:versions",
              "by hand",
              "flags",
              "flags#v7"
            ].sort()
          )
          same(yield* store.get("!{marks}:head"), Option.some(4))
          yield* store.remove("!{marks}:head")
          assert.isTrue(yield* there.exists("!{marks}:head"))
        })
    )

    it.scoped("hostile keys - work as any other, and each has its own entry", () =>
      Effect.gen(function* () {
        const { store } = yield* single()
        const keys = [
          "",
          " ",
          "\n",
          "\0",
          "a\0b",
          "\r\nFLUSHALL\r\n",
          "*",
          "[x]",
          "ä",
          "😀",
          "k".repeat(100_000),
          "{a}b",
          "__proto__"
        ]
        yield* store.setMany(
          keys.map((key, i) => [key, i] as const),
          minute
        )
        same(
          yield* store.getMany(keys),
          keys.map((_, i) => Option.some(i))
        )
      })
    )

    it.scoped("lone surrogates - do not share the entry of another key", () =>
      Effect.gen(function* () {
        const { store } = yield* single()
        const keys = ["a", "", "!", "!u", "!!"].flatMap((text) => [`${text}\uD800`, `${text}\uDC00`, `${text}\uFFFD`])
        for (const [i, key] of keys.entries()) yield* store.set(key, i, minute)
        for (const [i, key] of keys.entries()) {
          const found = yield* store.get(key)
          assert.isTrue(
            Option.isNone(found) || found.value === i,
            `${JSON.stringify(key)} gave ${JSON.stringify(found)}`
          )
        }
      })
    )
  })

  describe("layerConfig", () => {
    const at = (url: string, prefix: string) =>
      ConfigProvider.fromMap(
        new Map([
          ["CACHE_URL", url],
          ["CACHE_PREFIX", prefix]
        ])
      )
    const layer = RedisCache.layerConfig({ url: Config.redacted("CACHE_URL"), prefix: Config.string("CACHE_PREFIX") })

    it.effect("url - may be Redacted", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const health = Effect.flatMap(CacheStore, (store) => store.health)
        const { status } = yield* health.pipe(Effect.provide(layer), Effect.withConfigProvider(at(redis.url, prefix)))
        assert.strictEqual(status, "up")
      })
    )

    it.effect("a missing Config - is a ConfigError that names it", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(
          Effect.scoped(Layer.build(layer)).pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map())))
        )
        assert.include(String(error), "CACHE_URL")
      })
    )

    it.effect("RedisCacheLive - uses the Redis at REDIS_URL", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const provider = ConfigProvider.fromMap(new Map([["REDIS_URL", redis.url]]))
        const key = `live-${yield* freshPrefix}`
        yield* Effect.flatMap(CacheStore, (store) => store.set(key, 1, minute)).pipe(
          Effect.provide(RedisCache.RedisCacheLive),
          Effect.withConfigProvider(provider)
        )
        const there = yield* raw("ec1:")
        assert.isTrue(yield* there.exists(key))
      })
    )

    it.effect("a password in the url - is used, and is never logged", () =>
      Effect.gen(function* () {
        const guarded = yield* RedisServer.make({ requirepass: "s3cret" })
        const { lines, layer: recording } = recordWarnings()
        yield* Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("k", 1, minute)
          same(yield* store.get("k"), Option.some(1))
        }).pipe(Effect.provide(RedisCache.layer({ url: Redacted.make(guarded.url) })))
        yield* Effect.flatMap(CacheStore, (store) => store.get("k")).pipe(
          Effect.provide(
            Layer.provide(
              RedisCache.layer({ url: guarded.url.replace("s3cret", "wr0ng"), connectTimeout: "200 millis" }),
              recording
            )
          )
        )
        assert.lengthOf(lines, 1)
        assert.match(lines[0]!, /WRONGPASS|NOAUTH/)
        assert.include(lines[0], `127.0.0.1:${guarded.port}`)
        assert.notInclude(lines.join(), "wr0ng")
      }).pipe(Effect.scoped)
    )
  })

  describe("layerFromClient", () => {
    const clients = {
      "ioredis 5": (port: number, options: object): Redis => new Redis({ port, host: "127.0.0.1", ...options }),
      "ioredis 6": (port: number, options: object): Redis =>
        new Redis6({ port, host: "127.0.0.1", ...options }) as unknown as Redis
    }
    const lent = (make: (port: number, options: object) => Redis, options: object = {}) =>
      Effect.flatMap(RedisServer, ({ port }) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const client = make(port, options)
            client.on("error", () => {})
            return client
          }),
          (client) => Effect.sync(() => client.disconnect())
        )
      )
    const listeners = (client: Redis) =>
      client.eventNames().map((name) => [String(name), client.listenerCount(name)] as const)

    for (const [name, make] of Object.entries(clients)) {
      it.scoped(`${name} - every verb works, and the client is unchanged after the Layer has closed`, () =>
        Effect.gen(function* () {
          const client = yield* lent(make)
          yield* Effect.promise(() => client.ping())
          const before = listeners(client)
          const prefix = yield* freshPrefix
          const { find, calls } = echo({ tags: ["t"] })
          yield* Effect.gen(function* () {
            const store = yield* CacheStore
            const { written } = nodeOf(store)
            assert.strictEqual((yield* store.health).status, "up")
            yield* find("a")
            yield* written
            assert.strictEqual(yield* find("a"), "a!")
            assert.lengthOf(calls, 1)
            yield* Cached.invalidateTags(["t"])
            same(yield* find.peek("a"), Option.none())
            yield* find("a")
            yield* find.invalidate("a")
            same(yield* find.peek("a"), Option.none())
            yield* store.setMany(
              [
                ["k", 1],
                ["l", new Map([[1, 2]])]
              ],
              minute
            )
            same(yield* store.getMany(["k", "l", "m"]), [Option.some(1), Option.some(new Map([[1, 2]])), Option.none()])
            assert.isFalse(yield* store.setIfAbsent("k", 2, minute))
            assert.isTrue(yield* store.setIfAbsent("m", 2, minute))
            yield* store.clear
            assert.isFalse(yield* store.has("m"))
            assert.strictEqual((yield* store.stats).storeErrors, 0)
          }).pipe(Effect.provide(RedisCache.layerFromClient(client, { prefix })))
          same(listeners(client), before)
          assert.strictEqual(client.status, "ready")
          assert.strictEqual(yield* Effect.promise(() => client.ping()), "PONG")
        })
      )

      it.scoped(`${name} with lazyConnect - is connected by the Layer, and stays open`, () =>
        Effect.gen(function* () {
          const client = yield* lent(make, { lazyConnect: true })
          const prefix = yield* freshPrefix
          const status = yield* Effect.flatMap(CacheStore, (store) =>
            Effect.zipRight(store.set("k", 1, minute), store.health)
          ).pipe(Effect.provide(RedisCache.layerFromClient(client, { prefix })))
          assert.strictEqual(status.status, "up")
          assert.strictEqual(yield* Effect.promise(() => client.ping()), "PONG")
        })
      )

      it.scoped(`${name} with stringNumbers - locks are renewed, and a sweep counts what it removes`, () =>
        Effect.gen(function* () {
          const client = yield* lent(make, { stringNumbers: true })
          const prefix = yield* freshPrefix
          yield* Effect.gen(function* () {
            const store = yield* CacheStore
            const slow = Effect.as(live(Effect.sleep("1500 millis")), 1)
            yield* Cached.ttl(slow, { key: "slow", ...minute, lock: { lease: "1 second" } })
            assert.notInclude(
              (yield* store.health).problems.map(({ name }) => name),
              "LockLost"
            )
            yield* store.set("k", 1, minute)
            yield* store.clear
            assert.isAbove((yield* store.sweep).removed, 0)
          }).pipe(Effect.provide(RedisCache.layerFromClient(client, { prefix })))
        })
      )

      it.scoped(`${name} with keyPrefix - puts it in front of the keys of entries and marks`, () =>
        Effect.gen(function* () {
          const outer = yield* freshPrefix
          const client = yield* lent(make, { keyPrefix: outer })
          yield* Effect.gen(function* () {
            const store = yield* CacheStore
            yield* store.set("k", 1, { ...minute, tags: ["t"] })
            same(yield* store.get("k"), Option.some(1))
            yield* store.tags.invalidate(["t"])
            assert.isFalse(yield* store.has("k"))
            yield* store.set("k", 2, minute)
          }).pipe(Effect.provide(RedisCache.layerFromClient(client, { prefix: "p:" })))
          const there = yield* raw(outer)
          same(yield* there.keys, [
            "p:!{marks}:count",
            "p:!{marks}:head",
            "p:!{marks}:lifespans",
            "p:!{marks}:stamps",
            "p:!{marks}:versions",
            "p:k"
          ])
        })
      )
    }
  })

  describe("law 15: physical life is the whole life", () => {
    it.scoped("ttl and stale - add up to the expiry in Redis", () =>
      Effect.gen(function* () {
        const { run, there, written } = yield* single()
        yield* run(Cached.swr(Effect.succeed(1), { key: "swr", ttl: "10 seconds", stale: "20 seconds" }))
        yield* written
        const left = yield* there.pttl("swr")
        assert.isTrue(left > 25_000 && left <= 30_000, `PTTL ${left}`)
      })
    )

    it.scoped("Infinity - never expires in Redis, and is read back", () =>
      Effect.gen(function* () {
        const { a, b, there } = yield* pair
        yield* a.store.set("k", 1, { ttl: Duration.infinity })
        yield* a.store.set("s", 1, { ttl: 1, stale: Number.POSITIVE_INFINITY })
        same([yield* there.pttl("k"), yield* there.pttl("s")], [-1, -1])
        same(yield* b.store.get("k"), Option.some(1))
      })
    )

    it.scoped("less than a millisecond - is rounded up to one", () =>
      Effect.gen(function* () {
        const { prefix, run, written } = yield* single()
        const redis = yield* RedisServer
        const monitor = yield* redis.monitor
        yield* run(Cached.ttl(Effect.succeed(1), { key: "k", ttl: "200 micros" }))
        yield* written
        const set = (yield* monitor.commands).find(
          (command) => command[0]!.toUpperCase() === "SET" && command[1] === `${prefix}k`
        )
        same(set?.slice(3), ["PX", "1"])
      })
    )

    it.scoped("an invalidation before any read - leaves a tombstone that outlives the slowest load of the store", () =>
      Effect.gen(function* () {
        const { run, there, store } = yield* single()
        const { lookup } = makeLookup(() => Effect.succeed(1))
        yield* run(Cached.ttl(lookup, { key: "fn", ...minute, flightTimeout: "2 minutes" }).invalidate())
        yield* store.remove("k")
        const tombstone = Either.getOrThrow(Envelope.v1.decode((yield* there.bytes("fn"))!))
        assert.strictEqual(tombstone._tag, "Tombstone")
        for (const key of ["fn", "k"]) {
          // the key may be loaded by any function of the store
          const left = yield* there.pttl(key)
          assert.isTrue(left > 110_000 && left <= 150_000, `PTTL ${left} of ${key}`)
        }
      })
    )
  })

  describe("law 7: every value comes back equal, or is not stored", () => {
    const values: ReadonlyArray<readonly [name: string, value: unknown]> = [
      ["undefined", undefined],
      ["null", null],
      ["0", 0],
      ["-0", -0],
      ["NaN", Number.NaN],
      ["Infinity", Number.NEGATIVE_INFINITY],
      ["empty text", ""],
      ["false", false],
      ["bigint", 2n ** 80n],
      ["Date", new Date(86_400_000)],
      ["Map", new Map<unknown, unknown>([[{ a: 1 }, new Set([1, undefined])]])],
      ["Uint8Array", new Uint8Array([0, 255, 10])],
      ["none", Option.none()],
      ["some", Option.some({ a: [undefined, Option.none()] })],
      ["record", { a: { b: [1, "ü\u0000😀", null] } }]
    ]
    for (const [name, value] of values) {
      it.scoped(`${name} - is loaded once, and comes back equal in another process`, () =>
        Effect.gen(function* () {
          const { a, b } = yield* pair
          const { lookup, calls } = makeLookup(() => Effect.succeed(value))
          const cached = Cached.ttl(lookup, { key: "v", ...minute })
          yield* a.run(cached())
          yield* a.written
          const back = yield* b.run(cached())
          same(back, value)
          assert.isTrue(Object.is(back, value) || typeof value === "object")
          assert.lengthOf(calls, 1)
        })
      )
    }

    it.scoped(
      "a value without a lossless form - is delivered, not stored, counted, and logged once with its path",
      () => {
        const { lines, layer: recording } = recordWarnings()
        return Effect.gen(function* () {
          const { run, store, there, written } = yield* single()
          const { lookup, calls } = makeLookup((id: number) => Effect.succeed({ id, price: new Money({ cents: 5 }) }))
          const find = Cached.ttl(lookup, { key: "price:{}", ...minute })
          for (let i = 0; i < 10; i++) assert.strictEqual((yield* run(find(i % 2))).price.cents, 5)
          yield* written
          assert.lengthOf(calls, 10)
          same(
            (yield* there.keys).filter((key) => key.startsWith("price")),
            []
          )
          const stats = yield* store.stats
          same([stats.refused, stats.storeErrors], [10, 0])
          assert.lengthOf(lines, 1)
          assert.include(lines[0], "price")
          assert.include(lines[0], "$.price")
        }).pipe(Effect.provide(recording))
      }
    )

    it.scoped("a value with a schema - is stored, and read back as an equal value", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const { lookup, calls } = makeLookup((id: number) => Effect.succeed(new Money({ cents: id })))
        const find = Cached.ttl(lookup, { key: "price:{}", schema: MoneySchema, ...minute })
        yield* a.run(find(5))
        yield* a.written
        const back = yield* b.run(find(5))
        assert.instanceOf(back, Money)
        assert.strictEqual(back.cents, 5)
        assert.lengthOf(calls, 1)
        yield* a.store.set("by hand", new Money({ cents: 6 }), { ...minute, schema: MoneySchema })
        same(yield* b.store.get<Money>("by hand", { schema: MoneySchema }), Option.some(new Money({ cents: 6 })))
      })
    )

    it.scoped("a value that does not fit its schema - is a miss, counted, and overwritten by the next load", () =>
      Effect.gen(function* () {
        const { a, b, there } = yield* pair
        const text = Cached.ttl(Effect.succeed("five"), { key: "k", name: "same", ...minute })
        const { lookup, calls } = makeLookup(() => Effect.succeed(5))
        const number = Cached.ttl(lookup, { key: "k", name: "same", schema: Schema.Number, ...minute })
        yield* a.run(text)
        yield* a.written
        assert.strictEqual(yield* b.run(number()), 5)
        yield* b.written
        assert.strictEqual((yield* b.store.stats).decodeFailures, 1)
        assert.strictEqual(yield* b.run(number()), 5)
        assert.lengthOf(calls, 1)
        assert.isTrue(yield* there.exists("k"))
      })
    )

    it.scoped("maxValueBytes - a larger value is delivered, not stored, and logged once", () => {
      const { lines, layer: recording } = recordWarnings()
      return Effect.gen(function* () {
        const { run, store, there, written } = yield* single({ maxValueBytes: 1_000 })
        const { lookup } = makeLookup((size: number) => Effect.succeed("x".repeat(size)))
        const find = Cached.ttl(lookup, { key: "size:{}", ...minute })
        for (const size of [10, 900, 1_100, 1_200]) assert.lengthOf(yield* run(find(size)), size)
        yield* written
        same(
          (yield* there.keys).filter((key) => key.startsWith("size")),
          ["size:10", "size:900"]
        )
        assert.strictEqual((yield* store.stats).refused, 2)
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "1000")
      }).pipe(Effect.provide(recording))
    })

    it.scoped("set of a value that cannot be stored - removes the entry", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        yield* a.store.set("k", 1, minute)
        yield* a.store.set("k", () => 1, minute)
        assert.isFalse(yield* a.store.has("k"))
        assert.isFalse(yield* b.store.has("k"))
        assert.strictEqual((yield* a.store.stats).refused, 1)
      })
    )

    it.scoped("refresh with a value that cannot be stored - removes the older entry", () =>
      Effect.gen(function* () {
        const { run, written } = yield* single()
        let load = 0
        const { lookup } = makeLookup(
          (): Effect.Effect<unknown> => Effect.sync(() => (++load === 1 ? "old" : () => "new"))
        )
        const cached = Cached.ttl(lookup, { key: "k", ...minute })
        yield* run(cached())
        yield* written
        assert.isFunction(yield* run(cached.refresh()))
        yield* written
        assert.notStrictEqual(yield* run(cached()), "old")
      })
    )
  })

  describe("bytes", () => {
    it.scoped("the bytes in Redis - are decoded by Envelope.v1", () =>
      Effect.gen(function* () {
        const { run, there, written } = yield* single()
        const cached = Cached.swr(Effect.succeed({ a: 1 }), {
          key: "k",
          name: "owner",
          ttl: "10 seconds",
          stale: "5 seconds",
          tags: ["t", "ü"]
        })
        yield* run(cached)
        yield* written
        const decoded = Either.getOrThrow(Envelope.v1.decode((yield* there.bytes("k"))!))
        assert.isTrue(decoded._tag === "Entry")
        if (decoded._tag !== "Entry") return
        const { createdAt, expiresAt, freshUntil, owner, tags, value } = decoded.entry
        same([createdAt, freshUntil, expiresAt, owner, tags], [0, 10_000, 15_000, "owner", ["t", "ü"]])
        assert.strictEqual(Buffer.from(value).toString(), '{"a":1}')
      })
    )

    const entryBytes = Effect.gen(function* () {
      const { run, there, written } = yield* single()
      yield* run(Cached.ttl(Effect.succeed("old"), { key: "k", tags: ["t"], ...minute }))
      yield* written
      return (yield* there.bytes("k"))!
    })
    const cutAt = (bytes: Buffer, length: number) => bytes.subarray(0, length)
    const withDouble = (bytes: Buffer, at: number, value: number) => {
      const copy = Buffer.from(bytes)
      copy.writeDoubleBE(value, at)
      return copy
    }
    const broken = (bytes: Buffer) => Buffer.concat([bytes.subarray(0, bytes.length - 5), Buffer.from('{"a":')])

    const heals = (garbage: ReadonlyArray<readonly [name: string, bytes: Uint8Array]>) =>
      Effect.gen(function* () {
        const { run, store, there, written } = yield* single()
        const { lookup, calls } = makeLookup((id: number) => Effect.succeed(id))
        const find = Cached.ttl(lookup, { key: "k", ignore: [0], ...minute })
        let failures = 0
        for (const [i, [name, bytes]] of garbage.entries()) {
          yield* there.put("k", bytes)
          assert.strictEqual(yield* run(find(i)), i, name)
          yield* written
          assert.strictEqual(calls.length, i + 1, name)
          assert.strictEqual((yield* store.stats).decodeFailures, ++failures, name)
          assert.strictEqual(yield* run(find(-1)), i, `${name}: healed`)
        }
        assert.strictEqual((yield* store.stats).storeErrors, 0)
      })

    it.scoped(
      "law 12: garbage heals - every truncated envelope is a miss, counted, and overwritten by the next load",
      () =>
        Effect.gen(function* () {
          const whole = yield* entryBytes
          yield* heals(
            Array.from({ length: whole.length }, (_, n) => [`the first ${n} bytes`, cutAt(whole, n)] as const)
          )
        })
    )

    it.scoped(
      "law 12: garbage heals - foreign bytes, invalid times and stamps, other versions are misses and overwritten",
      () =>
        Effect.gen(function* () {
          const whole = yield* entryBytes
          const version = Buffer.from(whole)
          version[2] = 9
          const flags = Buffer.from(whole)
          flags[3] = 200
          yield* heals([
            ["json", Buffer.from('{"a":1}')],
            ["zeros", Buffer.alloc(200)],
            ["noise", Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7919) % 256))],
            ["version", version],
            ["flags", flags],
            ["NaN stamp", withDouble(whole, 4, Number.NaN)],
            ["infinite stamp", withDouble(whole, 4, Number.POSITIVE_INFINITY)],
            ["NaN created", withDouble(whole, 12, Number.NaN)],
            ["NaN fresh until", withDouble(whole, 20, Number.NaN)],
            ["NaN expires", withDouble(whole, 28, Number.NaN)],
            ["expires before it is stale", withDouble(whole, 28, -1)],
            ["a stamp far ahead with a broken body", withDouble(broken(whole), 4, 1e15)],
            ["broken body", broken(whole)]
          ])
        })
    )

    it.scoped("law 12: garbage heals - a key of another Redis type is a miss, and overwritten", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        const { prefix, run, store, written } = yield* single()
        const { find, calls } = echo()
        yield* Effect.promise(() => client.rpush(`${prefix}x:list`, "a"))
        yield* Effect.promise(() => client.hset(`${prefix}x:hash`, "a", "b"))
        yield* Effect.promise(() => client.sadd(`${prefix}x:set`, "a"))
        for (const id of ["list", "hash", "set"]) {
          assert.strictEqual(yield* run(find(id)), `${id}!`)
          yield* written
          yield* run(find(id))
        }
        assert.lengthOf(calls, 3)
        assert.strictEqual((yield* store.stats).storeErrors, 0)
      })
    )

    it.scoped("law 12: garbage heals - setIfAbsent, set and remove replace garbage", () =>
      Effect.gen(function* () {
        const whole = yield* entryBytes
        const { client } = yield* RedisServer
        const { prefix, store, there } = yield* single()
        const kinds = [
          Buffer.from("noise"),
          cutAt(whole, 20),
          cutAt(whole, 40),
          broken(whole),
          withDouble(whole, 20, Number.NaN)
        ]
        for (const [i, bytes] of kinds.entries()) {
          yield* there.put("k", bytes)
          assert.isFalse(yield* store.has("k"), `kind ${i}`)
          assert.isTrue(yield* store.setIfAbsent("k", i, minute), `kind ${i}`)
          same(yield* store.get("k"), Option.some(i))
          yield* there.put("k", bytes)
          yield* store.set("k", -i, minute)
          same(yield* store.get("k"), Option.some(-i))
          yield* there.put("k", bytes)
          yield* store.remove("k")
          assert.isFalse(yield* store.has("k"))
        }
        yield* Effect.promise(() => client.rpush(`${prefix}list`, "a"))
        assert.isTrue(yield* store.setIfAbsent("list", 1, minute))
      })
    )
  })

  describe("round trips", () => {
    const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)

    it.scoped("getMany, setMany, removeMany - take one round trip each", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { store } = yield* single()
        // the server knows the scripts from here on
        yield* store.set("warm", 1, minute)
        yield* store.remove("warm")
        for (const [name, verb] of [
          [
            "EVALSHA",
            store.setMany(
              keys.map((key) => [key, key] as const),
              minute
            )
          ],
          ["MGET", store.getMany(keys)],
          ["EVALSHA", store.removeMany(keys)]
        ] as const) {
          const monitor = yield* redis.monitor
          yield* verb
          const sent = (yield* monitor.commands).map((command) => command[0]!.toUpperCase())
          assert.lengthOf(
            sent.filter((each) => each === "MGET" || each.startsWith("EVAL")),
            1,
            name
          )
          assert.include(sent, name)
        }
        same(
          yield* store.getMany(keys),
          keys.map(() => Option.none())
        )
      })
    )

    it.scoped("the reads of one tick - are one MGET, with each key once", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { run, store, written } = yield* single()
        const { find, calls } = echo()
        yield* run(Effect.forEach(keys, (key) => find(key), { concurrency: "unbounded" }))
        yield* written
        const monitor = yield* redis.monitor
        yield* run(Effect.forEach([...keys, ...keys], (key) => find(key), { concurrency: "unbounded" }))
        const gets = (yield* asked(monitor)).filter((command) => command[0]!.toUpperCase() === "MGET")
        assert.lengthOf(gets, 1)
        // and the head of the marks, and the count
        assert.lengthOf(gets[0]!, 1 + 100 + 2)
        assert.lengthOf(calls, 100)
        assert.strictEqual((yield* store.stats).hits, 200)
      })
    )

    it.scoped("more than 128 keys - are read in batches of 128", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { store } = yield* single()
        const many = Array.from({ length: 300 }, (_, i) => `k${i}`)
        yield* store.setMany(
          many.map((key) => [key, key] as const),
          minute
        )
        const monitor = yield* redis.monitor
        same(
          yield* store.getMany(many),
          many.map((key) => Option.some(key))
        )
        const gets = (yield* asked(monitor)).filter((command) => command[0]!.toUpperCase() === "MGET")
        same(
          gets.map((command) => command.length - 3),
          [128, 128, 44]
        )
      })
    )
  })

  describe("law 16: no scans", () => {
    it.scoped("clear and tags - cost the same for 10 entries and 10 000, and scan no keys", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const cost = (n: number) =>
          Effect.gen(function* () {
            const { run, store, prefix, written } = yield* single()
            const other = yield* node({ prefix })
            const fn = Cached.ttl((id: string) => Effect.succeed(id), { key: "f:{}", ...minute })
            for (let from = 0; from < n; from += 1_000) {
              const part = Array.from({ length: Math.min(1_000, n) }, (_, i) => [`k${from + i}`, i] as const)
              yield* store.setMany(part, { ...minute, tags: ["t"] })
            }
            yield* run(fn("1"))
            yield* written
            const monitor = yield* redis.monitor
            yield* store.tags.invalidate(["t"])
            assert.isFalse(yield* other.store.has("k0"))
            yield* run(fn.clear)
            same(yield* other.run(fn.peek("1")), Option.none())
            yield* store.clear
            assert.isFalse(yield* other.store.has("k1"))
            const names = yield* monitor.names
            same(
              names.filter((name) => forbidden.has(name)),
              []
            )
            return names
            // a monitor that is left open sees all keys of the next round
          }).pipe(Effect.scoped)
        yield* cost(10)
        const few = yield* cost(10)
        const many = yield* cost(10_000)
        same(many, few)
      })
    )
  })

  describe("law 8: invalidation wins - across processes", () => {
    const verbs: ReadonlyArray<
      readonly [
        name: string,
        verb: (
          node: { store: CacheStore.Service },
          invalidate: Effect.Effect<void, never, CacheStore>,
          clear: Effect.Effect<void, never, CacheStore>
        ) => Effect.Effect<void, never, CacheStore>
      ]
    > = [
      ["invalidate", (_, invalidate) => invalidate],
      ["clear of the function", (_, __, clear) => clear],
      ["clear of the store", ({ store }) => store.clear],
      ["a tag", () => Cached.invalidateTags(["t"])],
      ["remove", ({ store }) => store.remove("k")]
    ]
    for (const [name, verb] of verbs) {
      it.scoped(`${name} in B while A loads - the waiters of A get the value, and nobody else does`, () =>
        Effect.gen(function* () {
          const { a, b, prefix } = yield* pair
          const door = gate()
          const { lookup, calls } = makeLookup(() => Effect.as(door.pass, "old"))
          const cached = Cached.ttl(lookup, { key: "k", tags: ["t"], ...minute })
          const reader = yield* Effect.fork(a.run(cached()))
          yield* door.reached
          yield* b.run(verb(b, cached.invalidate(), cached.clear))
          yield* door.open
          assert.strictEqual(yield* Fiber.join(reader), "old")
          yield* a.written
          const cold = yield* node({ prefix })
          for (const each of [b, cold, a]) same(yield* each.run(cached.peek()), Option.none())
          assert.lengthOf(calls, 1)
          // and the next load is stored
          yield* b.run(cached())
          yield* b.written
          same(yield* a.run(cached.peek()), Option.some("old"))
        })
      )

      it.scoped(`${name} in B - no store serves the old entry, nor does one that starts later`, () =>
        Effect.gen(function* () {
          const { a, b, prefix } = yield* pair
          const cached = Cached.ttl((): Effect.Effect<string> => Effect.succeed("v"), {
            key: "k",
            tags: ["t"],
            ...minute
          })
          yield* a.run(cached())
          yield* a.written
          same(yield* b.run(cached.peek()), Option.some("v"))
          yield* b.run(verb(b, cached.invalidate(), cached.clear))
          const cold = yield* node({ prefix })
          for (const each of [a, b, cold]) same(yield* each.run(cached.peek()), Option.none())
        })
      )
    }

    it.scoped("set in A - is not overwritten by a load in B that began before it", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const door = gate()
        const { lookup } = makeLookup(() => Effect.as(door.pass, "loaded"))
        const cached = Cached.ttl(lookup, { key: "k", ...minute })
        const reader = yield* Effect.fork(b.run(cached()))
        yield* door.reached
        yield* a.run(cached.set()("set"))
        yield* door.open
        assert.strictEqual(yield* Fiber.join(reader), "loaded")
        yield* b.written
        for (const each of [a, b]) same(yield* each.run(cached.peek()), Option.some("set"))
      })
    )

    it.scoped("two loads with a set of another key between them - the later one is stored, whichever ends first", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const [early, late] = [gate(), gate()]
        const doors = [early, late]
        let load = 0
        const { lookup } = makeLookup(() => Effect.suspend(() => Effect.as(doors[load]!.pass, ++load)))
        const cached = Cached.ttl(lookup, { key: "k", ...minute })
        const first = yield* Effect.fork(a.run(cached()))
        yield* early.reached
        // loads between which nothing is set or invalidated have one stamp
        yield* b.store.set("other", 1, minute)
        const second = yield* Effect.fork(b.run(cached()))
        yield* late.reached
        yield* late.open
        yield* Fiber.join(second)
        yield* b.written
        yield* early.open
        yield* Fiber.join(first)
        yield* a.written
        same(yield* a.run(cached.peek()), Option.some(2))
      })
    )

    it.scoped("a load after a known invalidation - is stored, however slow the first answers of Redis were", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const proxy = yield* TcpProxy.make(redis.port)
        const prefix = yield* freshPrefix
        yield* proxy.latency(300)
        const slow = yield* node({ url: proxy.url, prefix, connectTimeout: "5 seconds" })
        yield* proxy.latency(0)
        const quick = yield* node({ prefix })
        const { find, calls } = echo()
        yield* quick.run(find.invalidate("a"))
        yield* slow.run(find("a"))
        yield* slow.written
        yield* slow.run(find("a"))
        assert.lengthOf(calls, 1)
      })
    )

    it.scoped(
      "a load that reaches Redis late - is not stored after the tombstone of the invalidation has expired",
      () =>
        Effect.gen(function* () {
          const redis = yield* RedisServer.make()
          const options = { url: redis.url, timeout: "500 millis" } as const
          const [a, b] = [yield* node(options), yield* node(options)]
          const door = gate()
          const { lookup } = makeLookup(() => Effect.as(door.pass, "old"))
          const cached = Cached.ttl(lookup, { key: "k", ...minute, flightTimeout: "200 millis" })
          const reader = yield* Effect.fork(a.run(cached()))
          yield* door.reached
          yield* b.run(cached.invalidate())
          // it would stay for the longest flightTimeout that the process knows
          const tombstone = 1_500
          assert.strictEqual(yield* Effect.promise(() => redis.client.pexpire("ec1:k", tombstone)), 1)
          const gone = realNow() + tombstone
          yield* redis.stop
          yield* door.open
          assert.strictEqual(yield* Fiber.join(reader), "old")
          yield* awaitUntil(
            Effect.sync(() => realNow() > gone + 50),
            "the tombstone has expired"
          )
          yield* redis.cont
          yield* awaitUntil(
            Effect.map(Effect.zipRight(a.store.get("x"), a.store.health), ({ status }) => status === "up"),
            "A is up again"
          )
          yield* a.written
          same(yield* b.run(cached.peek()), Option.none())
        })
    )

    it.scoped("a clock that steps - neither hides an invalidation nor revives an invalidated entry", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const real = Date.now
        const stepped = <A, E, R>(by: number, effect: Effect.Effect<A, E, R>) =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              Date.now = () => real() + by
            }),
            () => effect,
            () =>
              Effect.sync(() => {
                Date.now = real
              })
          )
        const { find } = echo({ tags: ["t"] })
        yield* stepped(20_000, Effect.zipRight(a.run(find("a")), a.written))
        same(yield* b.run(find.peek("a")), Option.some("a!"))
        yield* b.run(Cached.invalidateTags(["t"]))
        same(yield* a.run(find.peek("a")), Option.none())
        same(yield* b.run(find.peek("a")), Option.none())
      })
    )
  })

  describe("setIfAbsent", () => {
    it.scoped("50 at once in two processes - exactly one wins, and its value is stored", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const won = yield* Effect.forEach(
          Array.from({ length: 50 }, (_, i) => i),
          (i) => Effect.map((i % 2 === 0 ? a : b).store.setIfAbsent("lock", i, minute), (did) => (did ? [i] : [])),
          { concurrency: "unbounded" }
        )
        const winners = won.flat()
        assert.lengthOf(winners, 1)
        for (const each of [a, b]) same(yield* each.store.get("lock"), Option.some(winners[0]))
      })
    )

    it.scoped("an entry that was removed, cleared or invalidated by a tag - counts as absent, once", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const deaths = [
          a.store.remove("k"),
          a.store.tags.invalidate(["t"]),
          a.store.clear,
          b.store.remove("k"),
          b.store.tags.invalidate(["t"])
        ]
        yield* a.store.set("k", "first", { ...minute, tags: ["t"] })
        for (const [i, death] of deaths.entries()) {
          assert.isFalse(yield* a.store.setIfAbsent("k", i, minute))
          yield* death
          assert.isTrue(yield* a.store.setIfAbsent("k", i, { ...minute, tags: ["t"] }), `death ${i}`)
          assert.isFalse(yield* b.store.setIfAbsent("k", -1, minute))
          same(yield* b.store.get("k"), Option.some(i))
        }
      })
    )

    it.scoped("an expired entry - counts as absent, though Redis may still have it", () =>
      Effect.gen(function* () {
        const { store, there } = yield* single()
        yield* there.put(
          "k",
          Either.getOrThrow(
            Envelope.v1.encode({
              value: Buffer.from("1"),
              stamp: Date.now() - 1_000,
              createdAt: -10,
              freshUntil: -5,
              expiresAt: 0,
              owner: "",
              tags: []
            } as never)
          )
        )
        assert.isTrue(yield* store.setIfAbsent("k", 2, minute))
        same(yield* store.get("k"), Option.some(2))
      })
    )

    it.scoped("the entry it writes - can be invalidated, and expires in Redis", () =>
      Effect.gen(function* () {
        const { a, b, there } = yield* pair
        assert.isTrue(yield* a.store.setIfAbsent("k", 1, { ...minute, tags: ["t"] }))
        const left = yield* there.pttl("k")
        assert.isTrue(left > 55_000 && left <= 60_000)
        yield* b.store.tags.invalidate(["t"])
        assert.isFalse(yield* a.store.has("k"))
      })
    )

    it.scoped("a value that cannot be stored - fails, is not written, and is counted", () =>
      Effect.gen(function* () {
        const { store } = yield* single()
        const error = yield* Effect.flip(store.setIfAbsent("k", () => 1, minute))
        assert.strictEqual(error.reason, "Rejected")
        assert.isFalse(yield* store.has("k"))
        assert.strictEqual((yield* store.stats).refused, 1)
      })
    )
  })

  describe("marks", () => {
    const filled = Effect.gen(function* () {
      const all = yield* pair
      const { find, calls } = echo({ tags: ["t"] })
      yield* all.a.run(find("a"))
      yield* all.a.run(find.invalidate("other"))
      yield* all.b.store.tags.invalidate(["unrelated"])
      same(yield* all.b.run(find.peek("a")), Option.some("a!"))
      return { ...all, find, calls }
    })

    for (const lost of ["head", "versions", "stamps"]) {
      it.scoped(`lost (${lost}) - older entries are misses in every process, newer ones are served`, () =>
        Effect.gen(function* () {
          const { a, b, find, prefix, there } = yield* filled
          yield* there.del(`!{marks}:${lost}`)
          const cold = yield* node({ prefix })
          for (const each of [cold, a, b]) same(yield* each.run(find.peek("a")), Option.none())
          yield* a.run(find("a"))
          yield* a.written
          for (const each of [cold, a, b]) same(yield* each.run(find.peek("a")), Option.some("a!"))
          yield* b.store.tags.invalidate(["t"])
          for (const each of [cold, a, b]) same(yield* each.run(find.peek("a")), Option.none())
        })
      )
    }

    it.scoped("gone where nothing was invalidated - nothing is lost: all entries are hits in every process", () =>
      Effect.gen(function* () {
        const { a, b, prefix, there } = yield* pair
        const { find } = echo({ tags: ["t"] })
        yield* a.run(find("a"))
        yield* a.written
        for (const gone of [["head"], ["versions"], ["stamps"], ["head", "versions", "stamps"]]) {
          yield* there.del(...gone.map((key) => `!{marks}:${key}`))
          const cold = yield* node({ prefix })
          for (const each of [cold, a, b]) same(yield* each.run(find.peek("a")), Option.some("a!"), gone.join())
        }
        yield* a.store.tags.invalidate(["u"])
        for (const each of [a, b]) same(yield* each.run(find.peek("a")), Option.some("a!"))
        yield* b.store.tags.invalidate(["t"])
        for (const each of [a, b]) same(yield* each.run(find.peek("a")), Option.none())
        const problems = yield* Effect.map(a.store.health, (health) => health.problems)
        same(
          problems.filter(({ name }) => name === "MarksLost"),
          []
        )
      })
    )

    it.scoped("lost - is a problem in health, once", () =>
      Effect.gen(function* () {
        const { a, there } = yield* filled
        yield* there.del("!{marks}:stamps", "!{marks}:head")
        for (let i = 0; i < 3; i++) yield* a.store.get(`k${i}`)
        const problems = yield* Effect.map(a.store.health, (health) => health.problems)
        same(
          problems.filter(({ name }) => name === "MarksLost").map(({ count }) => count),
          [1]
        )
      })
    )

    it.scoped("lost with everything (FLUSHALL) - no old entry is served, and marks still work", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const [a, b] = [yield* node({ url: redis.url }), yield* node({ url: redis.url })]
        const { find } = echo({ tags: ["t"] })
        yield* a.run(find("a"))
        yield* a.written
        yield* a.store.tags.invalidate(["unrelated"])
        const before = (yield* Effect.promise(() => redis.client.getBuffer("ec1:x:a")))!
        yield* Effect.promise(() => redis.client.flushall())
        // as a replica that is behind may have it
        yield* Effect.promise(() => redis.client.set("ec1:x:a", before))
        for (const each of [a, b]) same(yield* each.run(find.peek("a")), Option.none())
        yield* a.run(find("a"))
        yield* a.written
        same(yield* b.run(find.peek("a")), Option.some("a!"))
        yield* b.store.tags.invalidate(["t"])
        same(yield* a.run(find.peek("a")), Option.none())
      })
    )

    const nonsense: ReadonlyArray<readonly [name: string, spoil: (client: Redis, prefix: string) => Promise<unknown>]> =
      [
        ["text in the head", (client, prefix) => client.set(`${prefix}!{marks}:head`, "noise")],
        ["an infinite head", (client, prefix) => client.set(`${prefix}!{marks}:head`, "inf 1")],
        ["a head that is no number", (client, prefix) => client.set(`${prefix}!{marks}:head`, "nan nan")],
        [
          "a head of another type",
          async (client, prefix) => {
            await client.del(`${prefix}!{marks}:head`)
            await client.rpush(`${prefix}!{marks}:head`, "a")
          }
        ],
        ["stamps of another type", (client, prefix) => client.set(`${prefix}!{marks}:stamps`, "noise")],
        ["versions of another type", (client, prefix) => client.set(`${prefix}!{marks}:versions`, "noise")]
      ]
    for (const [name, spoil] of nonsense) {
      it.scoped(`broken (${name}) - are replaced, and invalidations work in new and existing stores`, () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          const { a, find, prefix } = yield* filled
          yield* Effect.promise(() => spoil(client, prefix))
          const cold = yield* node({ prefix })
          assert.strictEqual((yield* cold.store.health).status, "up")
          yield* a.store.tags.invalidate(["t"])
          for (const each of [a, cold]) same(yield* each.run(find.peek("a")), Option.none())
          yield* a.run(find("a"))
          yield* a.written
          for (const each of [a, cold]) same(yield* each.run(find.peek("a")), Option.some("a!"))
          yield* cold.store.tags.invalidate(["t"])
          for (const each of [a, cold]) same(yield* each.run(find.peek("a")), Option.none())
        })
      )
    }

    it.scoped("more than maxMarks - the oldest fold into buckets, which concern entries with tags alone", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        const prefix = yield* freshPrefix
        const open = node({ prefix, maxMarks: 10 })
        const [a, b] = [yield* open, yield* open]
        yield* a.store.set("plain", 1, minute)
        yield* a.store.set("tagged", 1, { ...minute, tags: ["mine", "first"] })
        // none of these shares a bucket with "other"
        yield* a.store.set("other", 1, { ...minute, tags: ["other"] })
        yield* a.store.tags.invalidate(["first"])
        yield* b.store.tags.invalidate(Array.from({ length: 25 }, (_, i) => `tag${i}`))
        const find = Cached.ttl(Effect.succeed(1), { key: "found", ...minute })
        yield* a.run(find)
        yield* a.written
        same(yield* Effect.promise(() => client.zcard(`${prefix}!{marks}:versions`)), 11)
        same(yield* Effect.promise(() => client.hlen(`${prefix}!{marks}:stamps`)), 11)
        same(yield* Effect.promise(() => client.hlen(`${prefix}!{marks}:buckets`)), 18)
        const cold = yield* node({ prefix, maxMarks: 10 })
        for (const each of [a, b, cold]) {
          assert.isTrue(yield* each.store.has("plain"))
          assert.isTrue(yield* each.store.has("other"))
          assert.isFalse(yield* each.store.has("tagged"))
          same(yield* each.run(find.peek), Option.some(1))
        }
        yield* b.store.set("new", 1, { ...minute, tags: ["first", "tag24"] })
        for (const each of [a, b, cold]) assert.isTrue(yield* each.store.has("new"))
        yield* Effect.promise(() => client.del(`${prefix}!{marks}:buckets`))
        const last = yield* node({ prefix, maxMarks: 10 })
        for (const each of [a, b, last]) assert.isFalse(yield* each.store.has("plain"))
      })
    )

    it.scoped("the longest lifespan - is announced once by whoever writes or reads it, and only where marks are", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        const prefix = yield* freshPrefix
        const [a, b] = [yield* node({ prefix }), yield* node({ prefix })]
        const longest = Effect.map(
          Effect.promise(() => client.get(`${prefix}!{marks}:lifespans`)),
          (text) => (text === null ? undefined : Number(text.split(" ")[0]))
        )
        const scripts = Effect.map(
          Effect.promise(() => client.info("commandstats")),
          (text) => Number(/cmdstat_evalsha:calls=(\d+)/.exec(text)?.[1] ?? 0)
        )
        const hours = 3_600_000
        yield* a.store.set("a", 1, { ttl: "2 hours" })
        same(yield* longest, undefined)
        yield* b.store.tags.invalidate(["t"])
        assert.isBelow((yield* longest)!, hours)
        // the process that wrote it learns of the mark, and announces what it knows
        yield* a.store.get("b")
        assert.isAtLeast((yield* longest)!, 2 * hours)
        assert.isBelow((yield* longest)!, 2.3 * hours)
        yield* b.store.set("b", 1, { ttl: "5 hours" })
        assert.isAtLeast((yield* longest)!, 5 * hours)
        const before = yield* scripts
        for (let i = 0; i < 10; i++) {
          yield* b.store.set("b", 1, { ttl: "4 hours" })
          yield* b.store.get("b")
        }
        assert.isAtMost((yield* scripts) - before, 20)
        // an entry of an earlier release, which announces nothing, is announced by whoever reads it
        yield* Effect.promise(() => client.set(`${prefix}!{marks}:lifespans`, "1000"))
        const fresh = yield* node({ prefix })
        yield* fresh.store.get("b")
        yield* fresh.store.get("b")
        assert.isAtLeast((yield* longest)!, 4 * hours)
        yield* a.store.setIfAbsent("c", 1, { ttl: Number.POSITIVE_INFINITY })
        same(yield* longest, 1e300)
      })
    )

    it.scoped(
      "marks that are dropped - entries that are alive stay hits in every process, and marks were not lost",
      () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          const prefix = yield* freshPrefix
          const [a, b] = [yield* node({ prefix }), yield* node({ prefix })]
          yield* a.store.tags.invalidate(["old"])
          for (const [i, each] of [a, b].entries())
            yield* each.store.set(`k${i}`, i, { ...minute, tags: ["old", "new"] })
          // the mark was raised a day ago
          const key = `${prefix}!{marks}:lifespans`
          const [longest, stamp, at] = (yield* Effect.promise(() => client.get(key)))!.split(" ")
          yield* Effect.promise(() => client.set(key, `${longest} ${stamp} ${Number(at) - 86_400_000}`))
          yield* b.store.tags.invalidate(["other"])
          same(yield* Effect.promise(() => client.zrange(`${prefix}!{marks}:versions`, 1, -1)), ["t:other"])
          const cold = yield* node({ prefix })
          for (const each of [a, b, cold]) {
            for (const [i, value] of [0, 1].entries()) same(yield* each.store.get(`k${i}`), Option.some(value))
            same(
              (yield* each.store.health).problems.map(({ name }) => name).filter((name) => name !== "BuiltTooOften"),
              []
            )
          }
          yield* cold.store.tags.invalidate(["new"])
          for (const each of [a, b, cold]) assert.isFalse(yield* each.store.has("k0"))
        })
    )

    it.scoped("more marks than one answer has - a process that connects knows all of them", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const a = yield* node({ prefix, timeout: "10 seconds" })
        for (const i of [0, 12_000, 24_999, 25_000]) yield* a.store.set(`k${i}`, i, { ...minute, tags: [`tag${i}`] })
        for (let from = 0; from < 25_000; from += 5_000) {
          yield* a.store.tags.invalidate(Array.from({ length: 5_000 }, (_, i) => `tag${from + i}`))
        }
        const cold = yield* node({ prefix, timeout: "10 seconds", connectTimeout: "10 seconds" })
        for (const each of [a, cold]) {
          for (const i of [0, 12_000, 24_999]) assert.isFalse(yield* each.store.has(`k${i}`))
          assert.isTrue(yield* each.store.has("k25000"))
        }
      })
    )

    it.scoped("clear of a function in A - invalidates its entries in B, and no others", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const one = Cached.ttl((id: string) => Effect.succeed(id), { key: "one:{}", ...minute })
        const two = Cached.ttl((id: string) => Effect.succeed(id), { key: "two:{}", ...minute })
        yield* a.run(Effect.all([one("x"), one("y"), two("x")]))
        yield* a.written
        yield* a.run(one.clear)
        same(yield* b.run(Effect.all([one.peek("x"), one.peek("y"), two.peek("x")])), [
          Option.none(),
          Option.none(),
          Option.some("x")
        ])
      })
    )
  })

  describe("a store under a tag of its own", () => {
    class Sessions extends CacheStore.Tag("test/Sessions")<Sessions>() {}

    it.effect("make - provides the store to the functions that name the tag", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const cached = Cached.ttl(Effect.succeed(1), { key: "k", store: Sessions, ...minute })
        const context = yield* Layer.build(
          Layer.scoped(Sessions, RedisCache.make({ url: redis.url, prefix, name: "sessions" }))
        )
        yield* Effect.provide(cached, context)
        const sessions = Context.get(context, Sessions)
        assert.strictEqual((yield* sessions.health).store, "sessions")
        yield* nodeOf(sessions).written
        const there = yield* raw(prefix)
        assert.isTrue(yield* there.exists("k"))
      }).pipe(Effect.scoped)
    )
  })
})

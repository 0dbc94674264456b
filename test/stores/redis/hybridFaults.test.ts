import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { Cached, type CacheStore } from "effect-cached"
import * as RedisCache from "../../../src/RedisCache.js"
import { begun, counting, gate, makeLookup, numbered, recordWarnings } from "../../laws/support.js"
import { freePort } from "../../support/ports.js"
import { awaitUntil, freshPrefix, live, RedisServer, TcpProxy } from "../../support/redis.js"
import {
  coherent,
  delivered,
  health,
  hybrid,
  minute,
  type Node,
  nodeOf,
  patient,
  raw,
  realNow,
  same
} from "../../support/redis-nodes.js"

/** The timeout of a store that is to notice that a server hangs. */
const quick = { timeout: "300 millis" } as const
/** A bound that is not about speed: the machine may be busy. */
const generous = 8_000

interface Proxied extends Node {
  readonly proxy: TcpProxy.TcpProxy
  readonly out: Effect.Effect<void>
}

interface Options extends Pick<RedisCache.HybridOptions, "blindTtl" | "l1"> {
  readonly l2?: Pick<RedisCache.Options, "timeout" | "connectTimeout"> | undefined
}

/** A process behind a network of its own. */
const proxied = (prefix: string, options: Options = {}) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer
    const proxy = yield* TcpProxy.make(redis.port)
    const node = yield* hybrid({
      blindTtl: "1 minute",
      ...options,
      l2: { url: proxy.url, prefix, ...options.l2 }
    })
    return { ...node, proxy, out: Effect.zipRight(proxy.refuse, proxy.cut) } satisfies Proxied
  })

/** Three processes with one prefix, each behind a network of its own. */
const trio = (options?: Options) =>
  Effect.gen(function* () {
    const prefix = yield* freshPrefix
    const make = proxied(prefix, options)
    return { prefix, a: yield* make, b: yield* make, c: yield* make }
  })

/** Three processes on a server of their own, which can be killed. */
const alone = (options?: Options) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    return { redis, ...(yield* Effect.provideService(trio(options), RedisServer, redis)) }
  })

const down = (...of: ReadonlyArray<Node>) => Effect.forEach(of, (node) => health(node, "down"), { discard: true })

/** Waits until the processes reach Redis, receive notifications, and have delivered everything. */
const well = (...of: ReadonlyArray<Node>) =>
  Effect.forEach(
    of,
    (node) => Effect.all([health(node, "up"), coherent(node, true), delivered(node)], { discard: true }),
    { discard: true }
  )

const becomes = <A, E, R>(effect: Effect.Effect<A, E, R>, expected: A, what: string, millis?: number) =>
  awaitUntil(
    Effect.map(effect, (actual) => JSON.stringify(actual) === JSON.stringify(expected)),
    what,
    millis
  )

const passed = (millis: number) =>
  Effect.suspend(() => {
    const began = realNow()
    return awaitUntil(
      Effect.sync(() => realNow() >= began + millis),
      `${millis} ms have passed`
    )
  })

const invalidations: ReadonlyArray<
  readonly [
    name: string,
    verb: (store: CacheStore.Service, find: ReturnType<typeof echo>["find"]) => Effect.Effect<void, never, CacheStore>
  ]
> = [
  ["invalidate", (_, find) => find.invalidate("a")],
  ["clear of the function", (_, find) => find.clear],
  ["a tag", (store) => store.tags.invalidate(["t"])],
  ["clear of the store", (store) => store.clear]
]

const echo = () => {
  const { lookup, calls } = numbered((call, id: string) => Effect.succeed(`${id}${call}`))
  return { find: Cached.ttl(lookup, { key: "x:{}", ...minute, tags: ["t"] }), calls }
}

const commandsOf = (monitor: RedisServer.Monitor, name: string) =>
  Effect.map(monitor.commands, (all) => all.filter((args) => args[0]!.toUpperCase() === name))

describe("RedisCache.layerHybrid faults", () => {
  layer(RedisServer.layer)("notifications do not arrive", (it) => {
    it.scoped("a process whose timers are always late - notices all the same", () =>
      Effect.gen(function* () {
        const { b } = yield* trio({ blindTtl: 400 })
        yield* b.proxy.blackholeSubscribers
        const busy = Effect.sync(() => {
          const until = realNow() + 250
          while (realNow() < until);
        })
        yield* Effect.forkScoped(Effect.forever(Effect.zipRight(busy, passed(10))))
        yield* coherent(b, false)
      })
    )

    for (const [what, look] of [
      ["read", (cached) => cached],
      ["peek", (cached) => Effect.zipRight(cached.peek, cached)]
    ] as ReadonlyArray<
      readonly [string, (cached: Cached.CachedEffect<number, never, any, any>) => Effect.Effect<number, never, any>]
    >) {
      it.scoped(`subscriber blackholed - a copy read by ${what} is served for at most blindTtl`, () =>
        Effect.gen(function* () {
          const blindTtl = 400
          const { a, b } = yield* trio({ blindTtl })
          const { calls, lookup } = counting()
          const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
          yield* b.proxy.blackholeSubscribers
          yield* coherent(b, false)
          yield* a.run(cached)
          yield* a.written
          same(yield* b.run(look(cached)), 1)
          same(yield* b.run(look(cached)), 1)
          yield* a.run(cached.set(100))
          const began = realNow()
          yield* becomes(b.run(look(cached)), 100, "what was set is read")
          assert.isBelow(realNow() - began, blindTtl + generous)
          same(calls.length, 1)
        })
      )
    }

    it.scoped(
      "all connections blackholed - a copy from before is served for at most blindTtl after the last heartbeat",
      () =>
        Effect.gen(function* () {
          // the copy is read once before the time is over
          const blindTtl = 2_000
          const { a, b } = yield* trio({ blindTtl, l2: quick })
          const { find, calls } = echo()
          for (const node of [a, b]) {
            yield* node.run(find("a"))
            yield* node.written
          }
          yield* b.proxy.blackhole
          yield* a.run(find.invalidate("a"))
          const began = realNow()
          same(yield* b.run(find("a")), "a1")
          yield* becomes(b.run(find("a")), "a2", "it is loaded anew")
          assert.isBelow(realNow() - began, blindTtl + generous)
          same(calls.length, 2)
        })
    )

    it.scoped("disconnected - an undelivered set is served for at most blindTtl, too", () =>
      Effect.gen(function* () {
        // what was set is read once before the time is over
        const blindTtl = 2_000
        const { a, b } = yield* trio({ blindTtl })
        const { find } = echo()
        yield* b.out
        yield* down(b)
        yield* b.run(find.set("a")("set"))
        same(yield* b.run(find("a")), "set")
        yield* a.run(find.invalidate("a"))
        const began = realNow()
        yield* becomes(b.run(find("a")), "a1", "it is loaded anew")
        assert.isBelow(realNow() - began, blindTtl + generous)
        yield* b.proxy.restore
        yield* well(b)
        for (const node of [a, b]) assert.notStrictEqual(Option.getOrUndefined(yield* node.run(find.peek("a"))), "set")
      })
    )

    it.scoped("subscriber reconnected - copies from before are read from Redis again", () =>
      Effect.gen(function* () {
        const { a, b } = yield* trio()
        const { find } = echo()
        yield* b.run(find("a"))
        yield* b.written
        yield* b.proxy.blackholeSubscribers
        yield* a.run(find.invalidate("a"))
        same(yield* b.run(find("a")), "a1")
        yield* b.proxy.cutSubscribers
        yield* b.proxy.restore
        yield* becomes(b.run(find("a")), "a2", "it is loaded anew, long before blindTtl is over")
        yield* coherent(b, true)
      })
    )

    it.scoped("foreign messages - are ignored with one warning each, and later notifications still arrive", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const { client } = yield* RedisServer
        const { a, b, prefix } = yield* trio()
        const { find } = echo()
        yield* b.run(find("a"))
        yield* b.written
        for (const text of [
          "",
          "not JSON",
          "null",
          "[]",
          "{}",
          '"text"',
          '{"n":1,"k":[]}',
          '{"n":"x"}',
          '{"n":"x","f":"no"}',
          `{"n":"x","k":["${prefix}x:a"]}`,
          `{"n":"x","k":["${prefix}x:a","no"]}`,
          `{"n":"x","k":[{},[]]}`,
          `{"n":"x","f":"0","l":"0","m":[1,2,3]}`,
          `{"v":2,"n":{}}`
        ]) {
          yield* Effect.promise(() => client.publish(`${prefix}!news`, text))
        }
        yield* a.run(find.invalidate("a"))
        yield* becomes(b.run(find.peek("a")), Option.none(), "the notification has arrived")
        same(yield* b.run(find("a")), "a2")
        same(
          Array.from(
            lines.filter((line) => line.includes("!news")),
            (line) => line.includes("is ignored")
          ),
          [true, true, true]
        )
      }).pipe(Effect.provide(layer))
    })
  })

  layer(RedisServer.layer)("messages and commands", (it) => {
    it.scoped("set - sends one message, however many processes listen", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { a, b, c, prefix } = yield* trio()
        const { find } = echo()
        for (const node of [a, b, c]) {
          yield* node.run(find("a"))
          yield* node.written
        }
        const monitor = yield* redis.monitor
        yield* a.run(find.set("a")("set"))
        for (const node of [b, c]) yield* becomes(node.run(find("a")), "set", "the notification has arrived")
        const published = Effect.map(commandsOf(monitor, "PUBLISH"), (all) =>
          all.filter((args) => args[1] === `${prefix}!news`)
        )
        same((yield* published).length, 1)
        for (const gone of [find.invalidate("a"), find.clear, a.store.tags.invalidate(["t"]), a.store.clear]) {
          const before = (yield* published).length
          yield* a.run(gone)
          same((yield* published).length, before + 1)
        }
      })
    )

    it.scoped("set - is read again once by a process that had a copy, and by no other", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { a, b, c, prefix } = yield* trio()
        const { find, calls } = echo()
        yield* b.run(find("a"))
        yield* b.written
        yield* a.run(find("a"))
        yield* c.store.set("other", 1, minute)
        const monitor = yield* redis.monitor
        yield* a.run(find.set("a")("set"))
        yield* becomes(b.run(find("a")), "set", "the notification has arrived")
        // c has received this message, and therefore the first one
        yield* a.store.set("other", 2, minute)
        yield* becomes(c.store.get("other"), Option.some(2), "c has been notified")
        yield* b.run(find("a"))
        const reads = yield* commandsOf(monitor, "MGET")
        same(reads.filter((args) => args.includes(`${prefix}x:a`)).length, 1)
        same(calls.length, 1)
      })
    )

    it.scoped("hit in memory - sends no command to Redis", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { a } = yield* trio()
        const { find } = echo()
        yield* a.run(find("a"))
        yield* a.written
        const monitor = yield* redis.monitor
        for (let i = 0; i < 1_000; i++) yield* a.run(find("a"))
        same((yield* commandsOf(monitor, "MGET")).length, 0)
      })
    )

    it.scoped("100 concurrent readers of a value that only Redis has - one read, no load, one copy in memory", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { a, b } = yield* trio()
        const { find, calls } = echo()
        yield* a.run(find("a"))
        yield* a.written
        const monitor = yield* redis.monitor
        const values = yield* Effect.forEach(Array.from({ length: 100 }), () => b.run(find("a")), {
          concurrency: "unbounded"
        })
        same(new Set(values), new Set(["a1"]))
        same((yield* commandsOf(monitor, "MGET")).length, 1)
        same(calls.length, 1)
        const [memory, below] = (yield* b.store.stats).tiers
        same([memory?.backfills, below?.hits], [1, 1])
      })
    )

    it.scoped("eviction - an entry evicted from memory is read from Redis", () =>
      Effect.gen(function* () {
        const { a } = yield* trio({ l1: { capacity: 1 } })
        const { find, calls } = echo()
        for (const id of ["a", "b"]) yield* a.run(find(id))
        yield* a.written
        same(yield* a.run(find("a")), "a1")
        same(calls.length, 2)
      })
    )

    it.scoped("PTTL - is the whole lifetime, and a stale entry is copied to memory as stale", () =>
      Effect.gen(function* () {
        const { a, b, prefix } = yield* trio()
        const there = yield* raw(prefix)
        const { lookup } = counting()
        const cached = Cached.swr(Effect.suspend(lookup), { key: "k", ttl: 1, stale: "1 hour" })
        yield* live(a.run(cached))
        yield* a.written
        assert.isAbove(yield* there.pttl("k"), 3_500_000)
        yield* passed(5)
        const found = yield* live(b.run(cached.entry))
        same(
          Option.map(found, ({ state, value }) => [state, value]),
          Option.some(["stale", 1])
        )
        same(yield* live(b.run(cached.entry)), found)
      })
    )

    it.scoped("start of a process - a value that is already in Redis is not loaded", () =>
      Effect.gen(function* () {
        const { a, prefix } = yield* trio()
        const { find, calls } = echo()
        yield* a.run(find("a"))
        yield* a.written
        const late = yield* proxied(prefix)
        same(yield* late.run(find("a")), "a1")
        same(calls.length, 1)
      })
    )
  })

  layer(RedisServer.layer)(
    "law 8: invalidation wins - a load runs in one process, another one changes its key",
    (it) => {
      for (const [name, verb] of invalidations) {
        it.scoped(`${name} in another process - the running load answers its waiters, and no later reader`, () =>
          Effect.gen(function* () {
            const { a, b, c } = yield* trio()
            const door = gate()
            const { calls, lookup } = numbered((call, id: string) =>
              Effect.as(call === 1 ? door.pass : Effect.void, `${id}${call}`)
            )
            const find = Cached.ttl(lookup, { key: "x:{}", ...minute, tags: ["t"] })
            const waiter = yield* Effect.fork(a.run(find("a")))
            yield* begun(calls)
            // a has received this message, and therefore those before it
            yield* b.store.set("after", 0, minute)
            yield* a.store.get("after")
            yield* b.run(verb(b.store, find))
            yield* b.store.set("after", 1, minute)
            yield* becomes(a.store.get("after"), Option.some(1), "a has been notified")
            same(yield* a.run(find("a")), "a2")
            yield* door.open
            same(yield* Fiber.join(waiter), "a1")
            yield* a.written
            for (const node of [a, b, c]) same(yield* node.run(find("a")), "a2")
            same(calls.length, 2)
          })
        )
      }

      it.scoped("set in another process - is not overwritten by the running load", () =>
        Effect.gen(function* () {
          const { a, b, c } = yield* trio()
          const door = gate()
          const { calls, lookup } = makeLookup(() => Effect.as(door.pass, "old"))
          const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
          const waiter = yield* Effect.fork(a.run(cached))
          yield* begun(calls)
          yield* b.run(cached.set("new"))
          yield* door.open
          same(yield* Fiber.join(waiter), "old")
          yield* a.written
          for (const node of [a, b, c]) same(yield* node.run(cached), "new")
        })
      )

      it.scoped(
        "two loads of one count, the second one written during a read - the value of that read is not kept",
        () =>
          Effect.gen(function* () {
            const { a, b, c, prefix } = yield* trio()
            const { client } = yield* RedisServer
            const door = gate()
            const cached = (value: Effect.Effect<string>) => Cached.ttl(value, { key: "k", name: "k", ...minute })
            const [first, second] = [cached(Effect.succeed("first")), cached(Effect.as(door.pass, "second"))]
            yield* a.store.set("after", 0, minute)
            for (const node of [b, c]) yield* node.store.get("after")
            const loading = yield* Effect.fork(c.run(second))
            yield* door.reached
            yield* passed(5)
            same(yield* a.run(first), "first")
            const stored = Effect.promise(() => client.getBuffer(`${prefix}k`))
            yield* awaitUntil(
              Effect.map(stored, (bytes) => bytes !== null),
              "the first value is stored"
            )
            const before = yield* stored
            // the first value has been read in Redis and has not arrived here when it changes
            yield* b.proxy.latencyOfCommands(150)
            const reading = yield* Effect.fork(b.run(first))
            yield* passed(50)
            yield* door.open
            same(yield* Fiber.join(loading), "second")
            yield* awaitUntil(
              Effect.map(stored, (bytes) => bytes?.equals(before!) === false),
              "the second value is stored"
            )
            assert.strictEqual((yield* stored)!.readDoubleBE(4), before!.readDoubleBE(4))
            assert.include(["first", "second"], yield* Fiber.join(reading))
            for (const node of [a, b, c]) yield* becomes(node.run(first), "second", "all have the value that stays")
          })
      )

      for (const [name, verb] of invalidations) {
        for (const slow of ["latency", "latencyOfCommands"] as const) {
          const order = slow === "latency" ? "notified after it" : "notified before it"
          it.scoped(`${name} in another process during a read, ${order} - the value of that read is not kept`, () =>
            Effect.gen(function* () {
              const redis = yield* RedisServer
              const { a, b, prefix } = yield* trio()
              const { find } = echo()
              yield* a.run(find("a"))
              yield* a.written
              yield* a.store.set("after", 0, minute)
              yield* b.store.get("after")
              const monitor = yield* redis.monitor
              // the value has been read in Redis and has not arrived here when it changes
              yield* b.proxy[slow](150)
              const reading = yield* Effect.fork(b.run(find("a")))
              yield* awaitUntil(
                Effect.map(commandsOf(monitor, "MGET"), (reads) => reads.some((args) => args.includes(`${prefix}x:a`))),
                "Redis has read the value"
              )
              yield* a.run(verb(a.store, find))
              yield* a.run(find("a"))
              yield* a.store.set("after", 1, minute)
              assert.include(["a1", "a2"], yield* Fiber.join(reading))
              yield* becomes(b.store.get("after"), Option.some(1), "b has been notified")
              same(yield* b.run(find("a")), "a2")
            })
          )
        }
      }
    }
  )

  layer(RedisServer.layer)("tags and clear", (it) => {
    it.scoped("tags.invalidate - removes the entries with that tag in every process, and no others", () =>
      Effect.gen(function* () {
        const { a, b, c } = yield* trio()
        const put = (key: string, tags: ReadonlyArray<string>) => a.store.set(key, key, { ...minute, tags })
        yield* put("x", ["t1", "t2"])
        yield* put("y", ["t2"])
        yield* put("z", [])
        yield* put("changing", ["t1"])
        yield* put("changing", ["t3"])
        const seen = (node: Node) =>
          Effect.map(node.store.getMany(["x", "y", "z", "changing"]), (all) => all.map(Option.isSome))
        for (const node of [a, b, c]) same(yield* seen(node), [true, true, true, true])
        yield* b.store.tags.invalidate(["t1"])
        for (const node of [a, b, c]) yield* becomes(seen(node), [false, true, true, true], "t1 is gone")
        yield* c.store.tags.invalidate(["t3", "unknown"])
        for (const node of [a, b, c]) yield* becomes(seen(node), [false, true, true, false], "t3 is gone")
        for (const node of [a, b, c]) same(yield* node.store.has("x"), false)
      })
    )

    it.scoped("tags.invalidate - a process that was disconnected, or starts later, does not serve the entry", () =>
      Effect.gen(function* () {
        const { a, b, prefix } = yield* trio()
        const { find } = echo()
        for (const node of [a, b]) {
          yield* node.run(find("a"))
          yield* node.written
        }
        yield* b.out
        yield* down(b)
        yield* a.store.tags.invalidate(["t"])
        const late = yield* proxied(prefix)
        same(yield* late.run(find.peek("a")), Option.none())
        yield* b.proxy.restore
        yield* well(b)
        same(yield* b.run(find.peek("a")), Option.none())
      })
    )

    it.scoped("lost marks - older entries are misses", () =>
      Effect.gen(function* () {
        const { a, b, prefix } = yield* trio()
        const there = yield* raw(prefix)
        const { find } = echo()
        for (const node of [a, b]) {
          yield* node.run(find("a"))
          yield* node.written
        }
        yield* b.store.tags.invalidate(["unrelated"])
        yield* there.del("!{marks}:head", "!{marks}:stamps", "!{marks}:versions")
        // the first process that asks notices the loss, and all are notified
        yield* b.store.get("nothing")
        for (const node of [a, b]) yield* becomes(node.run(find.peek("a")), Option.none(), "it is a miss")
      })
    )

    it.scoped(
      "clear and tags.invalidate - cost the same for 100 000 keys as for 10, and keys outside the prefix stay",
      () =>
        Effect.gen(function* () {
          const redis = yield* RedisServer
          const { client } = redis
          const costs: Array<unknown> = []
          for (const n of [10, 100_000]) {
            const { a, b, prefix } = yield* trio()
            const beside = [`${prefix.slice(0, -1)}Abc:k`, `other:${prefix}k`]
            for (const key of beside) yield* Effect.promise(() => client.set(key, "1"))
            yield* a.store.set("k0", 1, { ...minute, tags: ["t"] })
            const there = yield* raw(prefix)
            const bytes = (yield* there.bytes("k0"))!
            // in scripts that are short, because Redis answers nobody else while it runs one
            const copy = "for i = ARGV[1], ARGV[2] do redis.call('SET', ARGV[3] .. i, ARGV[4]) end"
            for (let i = 1; i < n; i += 1_000) {
              yield* Effect.promise(() => client.eval(copy, 0, i, Math.min(i + 1_000, n) - 1, `${prefix}k`, bytes))
            }
            same(yield* Effect.promise(() => client.exists(`${prefix}k1`, `${prefix}k${n - 1}`)), 2)
            yield* a.store.setMany(
              ["a*", "[x]", "?", "\\", "*"].map((key) => [key, 1] as const),
              minute
            )
            same(yield* b.store.get("k7"), Option.some(1))
            for (const gone of [a.store.tags.invalidate(["t"]), a.store.tags.invalidate(["*", "k?"]), a.store.clear]) {
              // a monitor that is left open sees all keys of the next round
              const commands = yield* Effect.scoped(
                Effect.flatMap(redis.monitor, ({ commands }) => Effect.zipRight(gone, commands))
              )
              const names = commands
                .filter((args) => !(args[0]!.toUpperCase() === "PUBLISH" && args[1]!.includes("!beat:")))
                .map((args) => args[0]!.toUpperCase())
                // the first time, a script is sent as text
                .map((name) => (name === "EVAL" ? "EVALSHA" : name))
              for (const name of names) assert.notInclude(["KEYS", "SCAN", "FLUSHDB", "FLUSHALL", "UNLINK"], name)
              costs.push([n, names.length])
              if (gone !== a.store.clear) {
                yield* becomes(b.store.get("k7"), Option.none(), "it is gone")
                same((yield* b.store.getMany(["a*", "[x]", "?", "\\", "*"])).map(Option.isSome), [
                  true,
                  true,
                  true,
                  true,
                  true
                ])
              }
            }
            yield* becomes(b.store.get("a*"), Option.none(), "all is gone")
            for (const key of beside) same(yield* Effect.promise(() => client.get(key)), "1")
          }
          const [ten, many] = [10, 100_000].map((n) =>
            (costs as ReadonlyArray<readonly [number, number]>).filter(([of]) => of === n).map(([, cost]) => cost)
          )
          same(ten, many)
        })
    )
  })

  describe("Redis unreachable", () => {
    it.scoped("from the start - the Layer is built, memory serves, and the store connects later", () =>
      Effect.gen(function* () {
        const port = yield* freePort
        const a = nodeOf(
          yield* RedisCache.makeHybrid({
            blindTtl: "1 minute",
            l2: { url: `redis://127.0.0.1:${port}`, ...patient, connectTimeout: "200 millis" }
          })
        )
        const { find, calls } = echo()
        for (let i = 0; i < 5; i++) same(yield* a.run(find("a")), "a1")
        same(calls.length, 1)
        const redis = yield* RedisServer.make({ port })
        yield* well(a)
        const value = yield* a.run(find("a"))
        yield* a.written
        const b = yield* Effect.provideService(hybrid({}), RedisServer, redis)
        same(yield* b.run(find("a")), value)
      })
    )

    it.scoped(
      "killed - no read and no write fails: values are loaded once, kept in memory, and the errors are counted",
      () =>
        Effect.gen(function* () {
          const { a, redis } = yield* alone()
          yield* redis.kill
          yield* down(a)
          const { find, calls } = echo()
          const before = (yield* a.store.stats).storeErrors
          for (let i = 0; i < 5; i++) same(yield* a.run(find("a")), "a1")
          same(calls.length, 1)
          yield* a.run(find.set("a")("set"))
          same(yield* a.run(find("a")), "set")
          assert.isAbove((yield* a.store.stats).storeErrors, before)
        })
    )

    it.scoped("hangs - costs one timeout, and a thousand further reads send it nothing", () =>
      Effect.gen(function* () {
        const { a, redis } = yield* alone({ l2: quick })
        const { find } = echo()
        yield* redis.stop
        const began = realNow()
        yield* a.run(find("0"))
        assert.isBelow(realNow() - began, generous)
        for (let i = 1; i <= 1_000; i++) yield* a.run(find(String(i)))
        yield* redis.cont
        yield* well(a)
        assert.isBelow((yield* redis.commandCounts).mget ?? 0, 10)
      })
    )

    for (const [what, away] of [
      ["killed", ({ redis }) => [redis.kill, redis.start]],
      [
        "unreachable for all",
        ({ a, b, c }) => [
          Effect.all([a.out, b.out, c.out]),
          Effect.all([a.proxy.restore, b.proxy.restore, c.proxy.restore])
        ]
      ]
    ] as ReadonlyArray<
      readonly [
        string,
        (
          world: Effect.Effect.Success<ReturnType<typeof alone>>
        ) => readonly [Effect.Effect<unknown>, Effect.Effect<unknown>]
      ]
    >) {
      it.scoped(`${what} - a value set meanwhile in one process reaches all of them afterwards, without a load`, () =>
        Effect.gen(function* () {
          const world = yield* alone()
          const { a, b, c } = world
          const { find, calls } = echo()
          yield* a.run(find.set("a")("ten"))
          for (const node of [a, b, c]) yield* becomes(node.run(find("a")), "ten", "all have it")
          const [begin, end] = away(world)
          yield* begin
          yield* down(a, b, c)
          yield* b.run(find.set("a")("thirty"))
          same(yield* b.run(find("a")), "thirty")
          yield* end
          yield* well(a, b, c)
          for (const node of [a, b, c]) yield* becomes(node.run(find("a")), "thirty", "all have what was set")
          same(calls.length, 0)
        })
      )

      it.scoped(`${what} - values set meanwhile in three processes reach all of them afterwards`, () =>
        Effect.gen(function* () {
          const world = yield* alone()
          const { a, b, c } = world
          const [begin, end] = away(world)
          yield* begin
          yield* down(a, b, c)
          yield* a.store.set("k1", 1, minute)
          yield* b.store.set("k2", 2, minute)
          yield* c.store.set("k3", 3, minute)
          yield* end
          yield* well(a, b, c)
          const all = [Option.some(1), Option.some(2), Option.some(3)]
          for (const { store } of [a, b, c]) {
            yield* becomes<ReadonlyArray<Option.Option<unknown>>, never, never>(
              store.getMany(["k1", "k2", "k3"]),
              all,
              "all have the values of all"
            )
          }
        })
      )
    }

    for (const restarted of [false, true]) {
      for (const laterFirst of [false, true]) {
        const title = `${restarted ? "restarted empty" : "cut off"}, ${laterFirst ? "the later" : "the earlier"} delivered first`
        const conflict = (
          later: (node: Node, find: ReturnType<typeof echo>["find"]) => Effect.Effect<void, never, CacheStore>,
          expected: Option.Option<string>
        ) =>
          Effect.gen(function* () {
            const { a, b, c, redis } = yield* alone()
            const { find } = echo()
            yield* a.out
            yield* b.out
            if (restarted) yield* redis.kill
            yield* down(a, b)
            yield* a.run(find.set("a")("earlier"))
            yield* passed(100)
            yield* b.run(later(b, find))
            if (restarted) yield* redis.start
            for (const node of laterFirst ? [b, a] : [a, b]) {
              yield* node.proxy.restore
              yield* well(node)
            }
            yield* well(c)
            for (const node of [a, b, c]) yield* becomes(node.run(find.peek("a")), expected, "all agree")
          })

        it.scoped(`two processes set in an outage - neither value stays: which is later is not known (${title})`, () =>
          live(conflict((_, find) => find.set("a")("later"), Option.none()))
        )

        for (const [name, verb] of invalidations) {
          it.scoped(`set in an outage, then ${name} in another process - the entry is gone (${title})`, () =>
            conflict((node, find) => verb(node.store, find), Option.none())
          )
        }
      }
    }

    for (const [name, verb] of invalidations) {
      it.scoped(`hangs, a set is given up, ${name}, and it goes on - the set does not come after it`, () =>
        Effect.gen(function* () {
          const { a, b, redis } = yield* alone({ l2: quick })
          const { find } = echo()
          yield* redis.stop
          yield* a.run(find.set("a")("old"))
          yield* a.run(verb(a.store, find))
          yield* redis.cont
          yield* well(a, b)
          for (const node of [a, b]) yield* becomes(node.run(find.peek("a")), Option.none(), "it is gone")
        })
      )
    }

    it.scoped("hangs for a moment - values loaded meanwhile do not stay different", () =>
      Effect.gen(function* () {
        const { a, b, redis } = yield* alone({ blindTtl: "2 seconds", l2: quick })
        const { find } = echo()
        yield* redis.stop
        same(yield* a.run(find("a")), "a1")
        yield* redis.cont
        same(yield* b.run(find("a")), "a2")
        yield* b.written
        yield* becomes(a.run(find("a")), "a2", "the value of Redis is everybody's")
      })
    )

    it.scoped("back, with its time not known yet - a load does not replace an undelivered invalidation", () =>
      Effect.gen(function* () {
        const { a, b } = yield* alone()
        const door = gate()
        const { lookup } = makeLookup(() => Effect.as(door.pass, "loaded"))
        const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
        yield* a.out
        yield* down(a)
        yield* passed(50)
        yield* b.run(cached.set("old"))
        yield* a.run(cached.invalidate)
        const before = yield* a.proxy.accepted
        yield* a.proxy.restore
        yield* a.proxy.latency(300)
        yield* awaitUntil(
          Effect.map(a.proxy.accepted, (now) => now > before),
          "Redis is back"
        )
        // the client is ready, and its first command has no answer yet
        yield* passed(450)
        const reading = yield* Effect.fork(a.run(cached))
        yield* door.reached
        yield* health(a, "up")
        yield* door.open
        same(yield* Fiber.join(reading), "loaded")
        yield* a.proxy.latency(0)
        yield* well(a, b)
        for (const node of [a, b]) assert.notStrictEqual(Option.getOrUndefined(yield* node.run(cached.peek)), "old")
      })
    )
  })
})

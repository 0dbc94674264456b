/**
 * Redis as it is run: numbered databases, Unix sockets, users of limited rights, renamed commands. What a store cannot
 * use is reported by name, and nothing is kept in another place than the one that was asked for.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option } from "effect"
import { Redis, type RedisOptions } from "ioredis"
import { Cached, CacheStore, type CacheStoreError } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { begun, gate, makeLookup, recordWarnings } from "../../laws/support.js"
import { awaitUntil, freshPrefix, live, RedisServer } from "../../support/redis.js"
import { coherent, health, minute, type Node, nodeOf, same } from "../../support/redis-nodes.js"

const rejections: Array<unknown> = []
const onRejection = (reason: unknown) => void rejections.push(reason)
beforeAll(() => void process.on("unhandledRejection", onRejection))
afterAll(() => {
  process.off("unhandledRejection", onRejection)
  same(rejections, [])
})

const made = <A>(promise: () => Promise<A>) => Effect.promise(promise)

const quick = { timeout: "500 millis", connectTimeout: "300 millis" } as const

const kinds = {
  redis: (options: RedisCache.Options) => Effect.map(RedisCache.make({ ...quick, ...options }), nodeOf),
  "memory over redis": (l2: RedisCache.Options) =>
    Effect.map(RedisCache.makeHybrid({ l2: { ...quick, ...l2 } }), nodeOf)
} as const

const numbers = () => {
  const { lookup, calls } = makeLookup((id: number) => Effect.succeed(id))
  return { find: Cached.ttl(lookup, { key: "k:{}", ...minute, tags: ["t"] }), calls }
}

/** Uses every verb once. None may fail. */
const use = (of: Node) =>
  Effect.gen(function* () {
    const { find } = numbers()
    same(yield* of.run(Effect.forEach([1, 2, 1], (id) => find(id))), [1, 2, 1])
    yield* of.run(find.invalidate(1))
    yield* of.store.tags.invalidate(["t"])
    yield* of.run(find.clear)
    yield* of.store.set("by hand", 1, minute)
    yield* of.store.remove("by hand")
    assert.strictEqual(yield* of.run(find(1)), 1)
  })

const problem = (of: Node, name: string) =>
  awaitUntil(
    Effect.map(of.store.health, ({ problems }) => problems.some((each) => each.name === name)),
    `health lists ${name}`
  )

/** The names of the problems in `health`. This file builds its stores often, which is a problem of its own. */
const problemsOf = (of: Node) =>
  Effect.map(of.store.health, ({ problems }) =>
    problems.map(({ name }) => name).filter((name) => name !== "BuiltTooOften")
  )

const others = (lines: ReadonlyArray<string>) => lines.filter((line) => !line.includes("built more than ten times"))

const socket = path.join(os.tmpdir(), `effect-cached-${process.pid}.sock`)

layer(RedisServer.layerWith({ args: ["--unixsocket", socket] }))("Redis as it is run", (it) => {
  const addUser = (name: string, ...rules: ReadonlyArray<string>) =>
    Effect.flatMap(RedisServer, (redis) =>
      Effect.as(
        made(() => redis.client.call("ACL", "SETUSER", name, "reset", "on", ">pw", ...rules)),
        (database = "") => `redis://${name}:pw@127.0.0.1:${redis.port}${database}`
      )
    )

  describe("databases", () => {
    it.scoped("a database of the server - is used, by the notifications too", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        for (const url of [`${redis.url}/3`, `redis+unix://${socket}?db=3`]) {
          const a = yield* kinds["memory over redis"]({ url, prefix })
          yield* coherent(a, true)
          yield* a.store.set("k", 1, minute)
        }
        same(yield* made(() => redis.client.keys(`${prefix}k`)), [])
        const other = redis.client.duplicate({ db: 3 })
        same(yield* made(() => other.keys(`${prefix}k`)), [`${prefix}k`])
        other.disconnect()
      })
    )

    const refused: ReadonlyArray<
      readonly [what: string, options: Effect.Effect<RedisCache.Options, never, RedisServer>]
    > = [
      ["out of range, in the url", Effect.map(RedisServer, ({ url }) => ({ url: `${url}/99` }))],
      ["out of range, as an option", Effect.map(RedisServer, ({ url }) => ({ url, redis: { db: 99 } }))],
      [
        "that the user may not select",
        Effect.map(addUser("no-select", "~*", "&*", "+@all", "-select"), (url) => ({ url: url("/1") }))
      ]
    ]
    for (const [kind, open] of Object.entries(kinds)) {
      for (const [what, options] of refused) {
        it.scoped(`${kind}, a database ${what} - is reported, and nothing is written to database 0`, () => {
          const { lines, layer } = recordWarnings()
          return Effect.gen(function* () {
            const redis = yield* RedisServer
            const prefix = yield* freshPrefix
            const a = yield* open({ ...(yield* options), prefix })
            yield* use(a)
            yield* problem(a, "CommandRefused")
            same((yield* a.store.health).status, "down")
            yield* live(Effect.sleep("1200 millis"))
            same(yield* made(() => redis.client.keys(`${prefix}*`)), [])
            same(
              lines.filter((line) => /DB index is out of range|NOPERM/.test(line) && line.includes("is not used"))
                .length,
              1
            )
          }).pipe(Effect.provide(layer))
        })
      }
    }
  })

  describe("required", () => {
    const unreachable: ReadonlyArray<
      readonly [
        reason: CacheStoreError["reason"],
        what: string,
        options: Effect.Effect<RedisCache.Options, never, RedisServer>
      ]
    > = [
      ["Connect", "nothing listens", Effect.succeed({ url: "redis://127.0.0.1:1" })],
      [
        "Auth",
        "a wrong password",
        Effect.map(addUser("known", "~*", "+@all"), (url) => ({ url: url().replace(":pw", ":secret-9") }))
      ],
      [
        "Auth",
        "a command that is not allowed",
        Effect.map(addUser("limited", "~*", "&*", "+@all", "-eval", "-evalsha", "-script"), (url) => ({ url: url() }))
      ],
      ["Database", "a database out of range", Effect.map(RedisServer, ({ url }) => ({ url: `${url}/99` }))],
      ["Host", "a host that is not known", Effect.succeed({ url: "redis://no-such-host.invalid" })]
    ]
    for (const [reason, what, options] of unreachable) {
      it.scoped(`${what} - the Layer fails with the reason ${reason}`, () =>
        Effect.gen(function* () {
          // the reason is known by then
          const given = { connectTimeout: "1 second", ...(yield* options), required: true } as const
          const errors = yield* Effect.forEach(
            [RedisCache.layer(given), RedisCache.layerHybrid({ l2: given })],
            (build) => Effect.flip(Layer.build(build)),
            { concurrency: 2 }
          )
          for (const error of errors) {
            same([error._tag, error.reason, error.method], ["CacheStoreError", reason, "connect"])
            assert.notInclude(error.message, "secret-9")
          }
        }).pipe(Effect.provide(recordWarnings().layer))
      )
    }

    it.scoped("a server that answers - the Layer builds, and a later outage fails nothing", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make()
        const a = nodeOf(yield* RedisCache.make({ ...quick, url: server.url, required: true }))
        yield* use(a)
        yield* server.kill
        const { find } = numbers()
        same(yield* a.run(find(1)), 1)
      }).pipe(Effect.provide(recordWarnings().layer))
    )

    it.scoped("a client of yours that is not connected - the Layer fails, and the client stays yours", () =>
      Effect.gen(function* () {
        const client = yield* Effect.acquireRelease(
          Effect.sync(() =>
            new Redis(1, { lazyConnect: true, retryStrategy: () => 20, autoResendUnfulfilledCommands: false }).on(
              "error",
              () => {}
            )
          ),
          (client) => Effect.sync(() => client.disconnect())
        )
        const error = yield* Effect.flip(Layer.build(RedisCache.layerFromClient(client, { ...quick, required: true })))
        same(error.reason, "Connect")
        assert.notStrictEqual(client.status, "end")
      }).pipe(Effect.provide(recordWarnings().layer))
    )
  })

  describe("users of limited rights", () => {
    const refusals: ReadonlyArray<readonly [what: string, rules: ReadonlyArray<string>]> = [
      ["SUBSCRIBE", ["~*", "&*", "+@all", "-subscribe"]],
      ["channels", ["~*", "resetchannels", "+@all"]]
    ]
    for (const [what, rules] of refusals) {
      it.scoped(`memory over redis, a user without ${what} - is reported once, until it is allowed`, () => {
        const { lines, layer } = recordWarnings()
        return Effect.gen(function* () {
          const redis = yield* RedisServer
          const user = `no-${what}`
          const url = yield* addUser(user, ...rules)
          const a = yield* kinds["memory over redis"]({ url: url(), prefix: yield* freshPrefix })
          yield* use(a)
          yield* problem(a, "SubscribeRefused")
          assert.isFalse((yield* a.store.health).coherent)
          const about = lines.filter((line) => line.includes("exchange notifications"))
          assert.lengthOf(about, 1)
          assert.match(about[0]!, /NOPERM/)
          yield* made(() => redis.client.call("ACL", "SETUSER", user, "&*", "+@all"))
          yield* coherent(a, true)
          yield* awaitUntil(
            Effect.map(problemsOf(a), (names) => names.length === 0),
            "all problems are over"
          )
        }).pipe(Effect.provide(layer))
      })
    }

    it.scoped("a user who may not run scripts - is reported by the error of Redis, not as a lost connection", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const redis = yield* RedisServer
        const url = yield* addUser("no-scripts", "~*", "&*", "+@all", "-@scripting")
        const a = yield* kinds.redis({ url: url(), prefix: yield* freshPrefix })
        yield* use(a)
        yield* problem(a, "CommandRefused")
        assert.match(others(lines)[0]!, /is connected but refuses a command \(NOPERM/)
        assert.notMatch(lines.join(), /no connection/)
        yield* made(() => redis.client.call("ACL", "SETUSER", "no-scripts", "+@all"))
        yield* health(a, "up")
      }).pipe(Effect.provide(layer))
    })

    it.scoped("a user who has what the documentation lists - can use everything", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const page = fs.readFileSync(new URL("../../../docs/stores/redis.md", import.meta.url), "utf8")
        const [, rules = ""] = /ACL SETUSER \w+ on >\w+ ([^`]*)/.exec(page) ?? []
        const url = yield* addUser("documented", ...rules.replaceAll("\\\n", " ").trim().split(/\s+/))
        const [a, b] = [yield* kinds["memory over redis"]({ url: url() }), yield* kinds.redis({ url: url("/1") })]
        for (const each of [a, b]) {
          const { lookup } = makeLookup((id: number) => Effect.succeed(id))
          const locked = Cached.ttl(lookup, { key: "locked:{}", ...minute, lock: { lease: "5 seconds" } })
          assert.strictEqual(yield* each.run(locked(1)), 1)
          yield* use(each)
          assert.isTrue(yield* each.store.setIfAbsent("absent", 1, minute))
          same(yield* problemsOf(each), [])
          yield* each.store.clear
        }
        yield* coherent(a, true)
        same(others(lines), [])
      }).pipe(Effect.provide(layer))
    })
  })

  describe("clients that were lent", () => {
    const lend = (options: RedisOptions) =>
      Effect.flatMap(RedisServer, ({ port }) =>
        Effect.acquireRelease(
          Effect.sync(() => new Redis(port, "127.0.0.1", options)),
          (client) => Effect.sync(() => client.disconnect())
        )
      )
    const careful = { autoResendUnfulfilledCommands: false } as const
    const cases: ReadonlyArray<readonly [what: string, options: RedisOptions, named: RegExp | undefined]> = [
      ["by default", {}, /autoResendUnfulfilledCommands: false/],
      ["that waits for a connection for ever", { ...careful, maxRetriesPerRequest: null }, /maxRetriesPerRequest/],
      ["that does not resend", careful, undefined],
      [
        "that does not queue",
        { ...careful, maxRetriesPerRequest: null, enableOfflineQueue: false, lazyConnect: true },
        undefined
      ]
    ]
    for (const [what, options, named] of cases) {
      it.scoped(
        `a client ${what} - ${named === undefined ? "nothing is reported" : "one Warning says what to set"}`,
        () => {
          const { lines, layer } = recordWarnings()
          return Effect.gen(function* () {
            const client = yield* lend(options)
            const prefix = yield* freshPrefix
            for (const make of [
              RedisCache.layerFromClient(client, { prefix }),
              RedisCache.layerHybridFromClient(client, { l2: { prefix } })
            ]) {
              lines.length = 0
              const a = nodeOf(Context.get(yield* Layer.build(make), CacheStore))
              yield* use(a)
              same(yield* problemsOf(a), named === undefined ? [] : ["ClientResends"])
              const about = others(lines)
              assert.lengthOf(about, named === undefined ? 0 : 1)
              if (named !== undefined) assert.match(about[0]!, named)
            }
          }).pipe(Effect.provide(layer))
        }
      )
    }

    it.scoped("layerHybridFromClient - is coherent, and leaves the client open", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const { find, calls } = numbers()
        const clients = [yield* lend(careful), yield* lend({ ...careful, keyPrefix: "lent:", db: 2 })]
        for (const client of clients) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const open = Effect.map(
                Layer.build(RedisCache.layerHybridFromClient(client, { l1: { capacity: 10 }, l2: { prefix } })),
                (context) => nodeOf(Context.get(context, CacheStore))
              )
              const [a, b] = [yield* open, yield* open]
              yield* Effect.all([coherent(a, true), coherent(b, true)])
              for (const each of [a, b]) yield* each.run(find(1))
              const { length } = calls
              yield* a.run(find.invalidate(1))
              yield* awaitUntil(
                Effect.map(b.run(find.peek(1)), Option.isNone),
                "the invalidation has reached the other"
              )
              same(calls.length, length)
              same(
                (yield* a.store.stats).tiers.map(({ tier }) => tier),
                ["memory", "redis"]
              )
            })
          )
          same(client.status, "ready")
        }
      })
    )
  })

  describe("eviction", () => {
    const setPolicy = (policy: string) =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        yield* made(() => client.config("SET", "maxmemory", "1gb"))
        yield* made(() => client.config("SET", "maxmemory-policy", policy))
        yield* Effect.addFinalizer(() => made(() => client.config("SET", "maxmemory", "0")))
      })

    for (const policy of ["volatile-ttl", "volatile-random", "allkeys-random", "allkeys-lfu", "volatile-lfu"]) {
      it.scoped(`law 8: invalidation wins - under ${policy}, also where the tombstone was evicted`, () => {
        const { lines, layer } = recordWarnings()
        return Effect.gen(function* () {
          const { client } = yield* RedisServer
          yield* setPolicy(policy)
          const prefix = yield* freshPrefix
          const [a, b] = [
            yield* kinds.redis({ prefix, url: (yield* RedisServer).url }),
            yield* kinds.redis({ prefix, url: (yield* RedisServer).url })
          ]
          same(yield* problemsOf(a), ["EvictsTombstones"])
          same(lines.filter((line) => line.includes(policy)).length, 2)
          // the store listens from now on
          yield* awaitUntil(
            made(async () => ((await client.pubsub("NUMSUB", `${prefix}!news`))[1] as number) >= 2),
            "both stores listen"
          )
          const door = gate()
          const { lookup, calls } = makeLookup((id: string) => Effect.as(door.pass, id))
          const find = Cached.ttl(lookup, { key: "x:{}", ...minute })
          const slow = yield* Effect.fork(a.run(find("old")))
          yield* begun(calls)
          yield* b.run(find.invalidate("old"))
          yield* made(() => client.del(`${prefix}x:old`))
          yield* live(Effect.sleep("50 millis"))
          yield* door.open
          assert.strictEqual(yield* Fiber.join(slow), "old")
          yield* a.written
          same(yield* b.run(find.peek("old")), Option.none())
        }).pipe(Effect.provide(layer))
      })
    }

    for (const policy of ["noeviction", "allkeys-lru", "volatile-lru"]) {
      it.scoped(`${policy} - is not reported, and a store without memory makes no further connection`, () => {
        const { lines, layer } = recordWarnings()
        return Effect.gen(function* () {
          const { client, url } = yield* RedisServer
          yield* setPolicy(policy)
          const prefix = yield* freshPrefix
          const a = yield* kinds.redis({ prefix, url })
          yield* use(a)
          same(yield* problemsOf(a), [])
          same(others(lines), [])
          same(yield* made(async () => (await client.pubsub("NUMSUB", `${prefix}!news`))[1]), 0)
        }).pipe(Effect.provide(layer))
      })
    }
  })

  describe("renamed commands", () => {
    it.scoped("KEYS, SCAN, CONFIG, FLUSHALL and DEBUG renamed away - everything works", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const away = ["KEYS", "SCAN", "CONFIG", "FLUSHALL", "DEBUG"].flatMap((name) => ["--rename-command", name, ""])
        const redis = yield* RedisServer.make({ args: away })
        const a = yield* kinds["memory over redis"]({ url: redis.url })
        yield* coherent(a, true)
        yield* use(a)
        same(yield* problemsOf(a), [])
        same(others(lines), [])
      }).pipe(Effect.provide(layer))
    })

    it.scoped("EVALSHA renamed away - is reported by the error of Redis", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const redis = yield* RedisServer.make({ args: ["--rename-command", "EVALSHA", ""] })
        const a = yield* kinds.redis({ url: redis.url })
        yield* use(a)
        yield* problem(a, "CommandRefused")
        assert.match(others(lines)[0]!, /unknown command/)
      }).pipe(Effect.provide(layer))
    })
  })
})

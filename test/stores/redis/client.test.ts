import { assert, describe, it, layer } from "@effect/vitest"
import { Cause, Effect, Redacted } from "effect"
import type { Redis } from "ioredis"
import { InvalidOption } from "../../../src/CacheError.js"
import {
  addressOf,
  type ClientOptions,
  connect,
  isCluster,
  sources
} from "../../../src/internal/backends/redis/client.js"
import { awaitUntil, RedisServer } from "../../support/redis.js"
import { same } from "../../support/redis-nodes.js"

const invalid = (options: ClientOptions) =>
  Effect.map(Effect.sandbox(Effect.flip(Effect.sandbox(Effect.scoped(connect(options))))), (cause) => {
    const defect = Cause.squash(cause)
    assert.instanceOf(defect, InvalidOption)
    return defect
  })

describe("redisClient", () => {
  describe("connect", () => {
    const nodes = ["redis://127.0.0.1:7000"]
    const wrong: ReadonlyArray<readonly [what: string, option: string, options: ClientOptions]> = [
      ["url and cluster", "cluster", { url: "redis://127.0.0.1", cluster: nodes }],
      ["url and sentinel", "sentinel", { url: "redis://127.0.0.1", sentinel: { name: "m", nodes } }],
      ["cluster and sentinel", "sentinel", { cluster: nodes, sentinel: { name: "m", nodes } }],
      ["a cluster without nodes", "cluster", { cluster: [] }],
      ["a sentinel without nodes", "sentinel", { sentinel: { name: "m", nodes: [] } }],
      ["a sentinel without a name", "sentinel", { sentinel: { name: "", nodes } }],
      ["a node without a scheme", "cluster", { cluster: ["127.0.0.1:7000"] }],
      ["a url without a scheme", "url", { url: "127.0.0.1:7000" }],
      ["a raw % in the password of a url", "url", { url: "redis://:100%sure@127.0.0.1" }],
      ["a raw % in the user of a url", "url", { url: Redacted.make("redis://100%sure:pw@127.0.0.1") }],
      ["a raw % in the password of a node", "cluster", { cluster: ["redis://:100%sure@127.0.0.1"] }],
      [
        "a raw % in the password of a sentinel",
        "sentinel",
        { sentinel: { name: "m", nodes: ["redis://:1%@127.0.0.1"] } }
      ],
      ["a database with a name", "url", { url: "redis://127.0.0.1/cache" }],
      ["a database with a name as a parameter", "url", { url: "redis://127.0.0.1?db=cache" }],
      ["a database below 0", "url", { url: "redis://127.0.0.1/-1" }],
      ["a database that is NaN", "redis.db", { redis: { db: Number.NaN } }],
      ["a database in the url of a node", "cluster", { cluster: ["redis://127.0.0.1:7000/1"] }],
      ["a database for a cluster", "redis.db", { cluster: nodes, redis: { db: 1 } }],
      ["a database in the url of a sentinel", "sentinel", { sentinel: { name: "m", nodes: ["redis://127.0.0.1/1"] } }],
      ["a # in the password of a url", "url", { url: "redis://me:12#hunter2@127.0.0.1" }],
      ["a ? in the password of a url", "url", { url: "redis://me:12?hunter2@127.0.0.1" }],
      ["a / in the password of a url", "url", { url: "redis://me:12/hunter2@127.0.0.1" }],
      ["an option of ioredis in a url", "url", { url: "redis://127.0.0.1?enableOfflineQueue=true" }],
      ["a parameter in the url of a node", "cluster", { cluster: ["redis://127.0.0.1:7000?maxRetriesPerRequest=9"] }],
      ["a socket without a path", "url", { url: "redis+unix://" }],
      ["a socket on another host", "url", { url: "redis+unix://host/run/redis.sock" }],
      ["a socket with a raw % in its path", "url", { url: "redis+unix:///run/100%/redis.sock" }],
      ["a socket with an unknown parameter", "url", { url: "redis+unix:///run/redis.sock?password=hunter2" }],
      ["a socket and a url", "redis.path", { url: "redis://127.0.0.1", redis: { path: "/run/redis.sock" } }]
    ]
    for (const [what, option, options] of wrong) {
      it.effect(`${what} - is the defect InvalidOption, which names the option`, () =>
        Effect.map(invalid(options), (defect) => {
          assert.strictEqual(defect.option, option)
          assert.notMatch(defect.message, /sure|hunter2|undefined/)
        })
      )
    }

    it.scoped("urls - every form leads to the server, the database and the user that it names", () =>
      Effect.gen(function* () {
        const forms: ReadonlyArray<readonly [url: string, wanted: object]> = [
          ["redis://10.0.0.1", { host: "10.0.0.1", port: 6379, db: 0, password: null }],
          ["redis://10.0.0.1:7000/", { host: "10.0.0.1", port: 7000, db: 0 }],
          ["redis://10.0.0.1/2", { host: "10.0.0.1", db: 2 }],
          ["redis://10.0.0.1?db=2", { db: 2 }],
          ["redis://[::1]:7000", { host: "::1", port: 7000 }],
          ["redis://:s%23%3F%2F%25@10.0.0.1", { password: "s#?/%" }],
          ["redis://me:secret@10.0.0.1", { username: "me", password: "secret" }],
          ["redis://10.0.0.1?family=6", { family: 6 }]
        ]
        for (const [url, wanted] of forms) {
          const { options } = (yield* connect({ url })) as Redis
          for (const [name, value] of Object.entries(wanted)) {
            const actual = options[name as keyof typeof options] ?? null
            same(name === "db" ? Number(actual) : actual, value, `${url} ${name}`)
          }
        }
        assert.isTrue(((yield* connect({ url: "rediss://10.0.0.1" })) as Redis).options.tls !== undefined)
      })
    )

    it.scoped("a Unix socket - is taken as a url or as `redis: { path }`", () =>
      Effect.gen(function* () {
        const wanted = { path: "/run/my redis.sock", db: 2, username: "me", password: "s&c%" }
        for (const options of [
          { url: "redis+unix:///run/my%20redis.sock?db=2&user=me&pass=s%26c%25" },
          { redis: wanted }
        ] as const) {
          const client = (yield* connect(options)) as Redis
          const { db, password, path, username } = client.options
          same({ path, db, username, password }, wanted)
          assert.strictEqual(addressOf(client), "/run/my redis.sock")
        }
      })
    )

    it.scoped("an error of a server that was the master - makes the client connect again, but never resend", () =>
      Effect.gen(function* () {
        const demotions = [
          "READONLY You can't write against a read only replica.",
          "LOADING Redis is loading the dataset in memory",
          "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
          // Redis 5 and 6
          "ERR Error running script (call to f_1): @user_script:9: -READONLY You can't write against a read only replica."
        ]
        for (const message of demotions) {
          const client = (yield* connect({ url: "redis://10.0.0.1" })) as Redis
          assert.isFalse(client.options.reconnectOnError!(new Error("ERR unknown command")))
          assert.strictEqual(client.options.reconnectOnError!(new Error(message)), 1)
          assert.isFalse(client.options.reconnectOnError!(new Error(message)), "not again at once")
        }
        const client = (yield* connect({
          redis: { reconnectOnError: ({ message }) => (message === "mine" ? 2 : false) }
        })) as Redis
        assert.strictEqual(client.options.reconnectOnError!(new Error("mine")), 1)
        assert.strictEqual(client.options.reconnectOnError!(new Error(demotions[0]!)), 1)
      })
    )

    it.scoped("a cluster - neither queues nor resends commands, and uses the parts of its urls for every node", () =>
      Effect.gen(function* () {
        const client = yield* connect({
          cluster: [Redacted.make("rediss://me:s%20ecret@10.0.0.1:7000"), { host: "10.0.0.2", port: 7001 }],
          redis: { connectionName: "cache" }
        })
        if (!isCluster(client)) return assert.fail("is no cluster")
        const { redisOptions, ...options } = client.options
        assert.isFalse(options.enableOfflineQueue)
        assert.strictEqual(options.retryDelayOnFailover, 0)
        assert.strictEqual(options.retryDelayOnClusterDown, 0)
        assert.isFalse(redisOptions?.autoResendUnfulfilledCommands)
        assert.strictEqual(redisOptions?.maxRetriesPerRequest, 0)
        same(
          [redisOptions?.username, redisOptions?.password, redisOptions?.tls, redisOptions?.connectionName],
          ["me", "s ecret", {}, "cache"]
        )
        assert.strictEqual(addressOf(client), "the cluster at 10.0.0.1:7000, 10.0.0.2:7001")
      })
    )

    it.scoped(
      "sentinels - the client neither queues nor resends commands; sentinels and master have separate passwords",
      () =>
        Effect.gen(function* () {
          const client = yield* connect({
            sentinel: { name: "main", nodes: ["redis://10.0.0.1"], password: Redacted.make("s") },
            redis: { password: "m" }
          })
          const { options } = client as Redis
          assert.isFalse(options.enableOfflineQueue)
          assert.isFalse(options.autoResendUnfulfilledCommands)
          same(
            [options.role, options.sentinelPassword, options.password, options.sentinels],
            ["master", "s", "m", [{ host: "10.0.0.1", port: 26_379 }]]
          )
          assert.strictEqual(addressOf(client), "master main of the sentinels at 10.0.0.1:26379")
        })
    )
  })
})

layer(RedisServer.layer)("redisClient", (it) => {
  describe("sources", () => {
    it.scoped("one server - gives a connection of its own, which ends when it is lost", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const client = yield* connect({ url: redis.url })
        const connection = yield* sources(client)[0]!.connect
        assert.strictEqual(connection.status, "wait")
        const received: Array<string> = []
        connection.on("message", (_, message) => void received.push(message))
        yield* Effect.promise(() => connection.connect())
        yield* Effect.promise(() => connection.subscribe("news"))
        yield* Effect.promise(() => redis.client.publish("news", "1"))
        yield* awaitUntil(
          Effect.sync(() => received.length === 1),
          "the message has arrived"
        )
        yield* Effect.promise(() => redis.client.client("KILL", "TYPE", "pubsub"))
        yield* awaitUntil(
          Effect.sync(() => connection.status === "end"),
          "the connection has ended"
        )
      })
    )
  })
})

import { isDeepStrictEqual } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Scope } from "effect"
import { Cached } from "../../../src/index.js"
import { connect, sources } from "../../../src/internal/backends/redis/client.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { numbered, recordWarnings } from "../../laws/support.js"
import { awaitUntil, freshPrefix, type RedisServer } from "../../support/redis.js"
import { coherent, delivered, health, minute, type Node, nodeOf, same } from "../../support/redis-nodes.js"
import { makeSentinels, type RedisSentinels } from "../../support/redisSentinel.js"

const rejections: Array<unknown> = []
const onRejection = (reason: unknown) => void rejections.push(reason)
beforeAll(() => void process.on("unhandledRejection", onRejection))
afterAll(() => {
  process.off("unhandledRejection", onRejection)
  same(rejections, [])
})

const made = <A>(promise: () => Promise<A>) => Effect.promise(promise)

const finder = () => {
  let loads = 0
  const { lookup, calls } = numbered((_, id: string) => Effect.sync(() => `${id}#${++loads}`))
  return { find: Cached.ttl(lookup, { key: "x:{}", ...minute, tags: ["t"] }), calls }
}

const optionsOf = ({ name, sentinels }: RedisSentinels) => ({
  sentinel: { name, nodes: sentinels.map(({ host, port }) => ({ host, port })) }
})

describe("RedisCache behind sentinels", () => {
  let scope: Scope.CloseableScope
  let redis: RedisSentinels
  beforeAll(async () => {
    scope = Effect.runSync(Scope.make())
    redis = await Effect.runPromise(Scope.extend(makeSentinels, scope))
  }, 30_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  const roles = Effect.suspend(() =>
    Effect.map(redis.masterPort, (port) => {
      const [one, two] = redis.servers
      return one.port === port ? ([one, two] as const) : ([two, one] as const)
    })
  )

  const kinds = {
    redis: RedisCache.make,
    "memory over redis": (l2: RedisCache.SentinelOptions) => RedisCache.makeHybrid({ l2 })
  } as const

  const pairOf = (kind: keyof typeof kinds) =>
    Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const open = Effect.map(kinds[kind]({ ...optionsOf(redis), prefix }), nodeOf)
      const both = { prefix, a: yield* open, b: yield* open }
      yield* Effect.all([coherent(both.a, true), coherent(both.b, true)])
      return both
    })
  const pair = Effect.suspend(() => pairOf("redis"))

  /** Waits until the replica has received everything from the master. */
  const replicated = (master: RedisServer.Service, replica: RedisServer.Service) =>
    awaitUntil(
      Effect.zipWith(
        master.info("replication"),
        replica.info("replication"),
        (of, its) => of.master_repl_offset === its.slave_repl_offset
      ),
      "the replica has all entries"
    )

  const read = (of: Node, find: ReturnType<typeof finder>["find"], ids: ReadonlyArray<string>) =>
    of.run(Effect.forEach(ids, (id) => find(id), { concurrency: "unbounded" }))

  const ids = Array.from({ length: 50 }, (_, i) => String(i))

  /** Uses two stores before, while and after another master takes over. */
  const follows = (change: (master: RedisServer.Service) => Effect.Effect<void>, kind: keyof typeof kinds = "redis") =>
    Effect.gen(function* () {
      const { a, b } = yield* pairOf(kind)
      const [master, replica] = yield* roles
      const { find, calls } = finder()
      const first = yield* read(a, find, ids)
      yield* a.run(find.invalidate("0"))
      yield* a.written
      yield* read(b, find, ids.slice(1))
      assert.lengthOf(calls, ids.length)
      yield* replicated(master, replica)
      yield* change(master)
      // no operation fails for the caller, during the outage and after it
      yield* awaitUntil(
        Effect.map(a.store.health, ({ status }) => status === "down"),
        "the master is gone"
      )
      yield* a.run(find.invalidate("1"))
      yield* a.run(find.invalidate("2"))
      yield* a.store.set("kept", 1, minute)
      same(yield* a.store.get("kept"), Option.some(1))
      assert.lengthOf(yield* read(a, find, ids), ids.length)
      assert.lengthOf(yield* read(b, find, ids), ids.length)
      yield* redis.isMaster(replica)
      yield* Effect.all([health(a, "up"), health(b, "up")])
      yield* delivered(a)
      yield* Effect.all([coherent(a, true), coherent(b, true)])
      same(yield* b.store.get("kept"), Option.some(1))
      // b has been notified of the invalidations
      yield* awaitUntil(
        Effect.map(
          Effect.forEach(["0", "1", "2"], (id) => b.run(find.peek(id))),
          (seen) => seen.every((value, i) => Option.getOrUndefined(value) !== first[i])
        ),
        "the invalidated values are gone"
      )
      // an invalidated value is not served after the outage, every other is. A value that was loaded while there was no
      // master is valid for a moment in the process that loaded it, and is not in Redis
      yield* awaitUntil(
        Effect.zipWith(read(b, find, ids), read(a, find, ids), (one, other) => isDeepStrictEqual(one, other)),
        "both serve the same"
      )
      yield* b.written
      calls.length = 0
      const after = yield* read(b, find, ids)
      for (const id of ["0", "1", "2"]) assert.notStrictEqual(after[Number(id)], first[Number(id)])
      yield* b.written
      const { length } = calls
      same(yield* read(a, find, ids), after)
      assert.lengthOf(calls, length)
      return replica
    })

  it.scoped("reads and writes - go to the master that the sentinels name", () => {
    const { lines, layer } = recordWarnings()
    return Effect.gen(function* () {
      const { a, b, prefix } = yield* pair
      const { find, calls } = finder()
      const first = yield* read(a, find, ids)
      yield* a.written
      same(yield* read(b, find, ids), first)
      assert.lengthOf(calls, ids.length)
      const [master] = yield* roles
      assert.strictEqual(yield* made(() => master.client.exists(`${prefix}x:1`)), 1)
      same(lines, [])
    }).pipe(Effect.provide(layer))
  })

  it.scoped("SENTINEL FAILOVER - is followed, nothing fails, and invalidated values are not served", () =>
    Effect.gen(function* () {
      const replica = yield* follows(() => redis.failover)
      yield* redis.isFollowed(replica)
    })
  )

  it.scoped("SENTINEL FAILOVER, memory in front - notifications arrive again, and memory serves nothing old", () =>
    Effect.gen(function* () {
      const replica = yield* follows(() => redis.failover, "memory over redis")
      yield* redis.isFollowed(replica)
    })
  )

  it.scoped("a master that is demoted without closing connections - is left for the new one", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      const [master] = yield* roles
      const replicaOf = (...args: [string, string]) => made(() => master.client.replicaof(...args))
      yield* replicaOf("127.0.0.1", "1")
      yield* a.store.set("k", 1, minute)
      yield* health(a, "down")
      same(yield* a.store.get("k"), Option.some(1))
      yield* replicaOf("NO", "ONE")
      yield* health(a, "up")
      yield* delivered(a)
      same(yield* b.store.get("k"), Option.some(1))
    })
  )

  it.scoped("the master killed - its replica is followed, nothing fails, and invalidated values are not served", () =>
    follows((master) => master.kill)
  )

  it.scoped("a subscriber - receives the messages of the current master", () =>
    Effect.gen(function* () {
      const client = yield* connect(optionsOf(redis))
      const connection = yield* sources(client)[0]!.connect
      const received: Array<string> = []
      connection.on("message", (_, message) => void received.push(message))
      yield* made(() => connection.connect())
      yield* made(() => connection.subscribe("news"))
      const [master] = yield* roles
      yield* made(() => master.client.publish("news", "1"))
      yield* awaitUntil(
        Effect.sync(() => received.length === 1),
        "the message has arrived"
      )
    })
  )

  it.scoped("no sentinel reachable - the Layer builds, serves, and warns once", () => {
    const { lines, layer } = recordWarnings()
    return Effect.gen(function* () {
      const nodes = [{ host: "127.0.0.1", port: 1 }]
      const a = nodeOf(yield* RedisCache.make({ sentinel: { name: "mymaster", nodes }, connectTimeout: "100 millis" }))
      assert.strictEqual(yield* a.run(finder().find("1")), "1#1")
      assert.strictEqual((yield* a.store.health).status, "down")
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "127.0.0.1:1")
    }).pipe(Effect.provide(layer))
  })
})

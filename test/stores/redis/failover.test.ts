/**
 * A failover behind one address, as managed services do it: new connections reach the new master, and those that are
 * open stay with the old one, which is a replica now. It answers reads and refuses writes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import { Redis } from "ioredis"
import { Cached, CacheStore } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { numbered, recordWarnings } from "../../laws/support.js"
import { awaitUntil, live, RedisServer, TcpProxy } from "../../support/redis.js"
import { coherent, delivered, health, minute, type Node, nodeOf, same } from "../../support/redis-nodes.js"

const made = <A>(promise: () => Promise<A>) => Effect.promise(promise)

const follow = (replica: RedisServer.Service, port: number) =>
  made(() => replica.client.call("REPLICAOF", ...(port === 0 ? ["NO", "ONE"] : ["127.0.0.1", String(port)])))

/** Waits until a replica has all that its master has written so far: Redis acknowledges a write before it sends it on. */
const linked = (replica: RedisServer.Service, master: RedisServer.Service) =>
  awaitUntil(
    Effect.gen(function* () {
      const { master_repl_offset: written } = yield* master.info("replication")
      const { master_link_status: link, slave_repl_offset: received } = yield* replica.info("replication")
      return link === "up" && Number(received) >= Number(written)
    }),
    "the replica has what its master wrote"
  )

/** A master, its replica, and the address that leads to the master. */
const replicated = Effect.gen(function* () {
  const [one, two] = [yield* RedisServer.make(), yield* RedisServer.make()]
  yield* made(() => one.client.config("SET", "repl-diskless-sync-delay", "0"))
  yield* follow(two, one.port)
  yield* linked(two, one)
  const address = yield* TcpProxy.make(one.port)
  const failover = Effect.gen(function* () {
    yield* linked(two, one)
    yield* follow(two, 0)
    yield* address.redirect(two.port)
    yield* follow(one, two.port)
    yield* linked(one, two)
  })
  return { one, two, address, failover }
})

const echo = () => {
  const { lookup } = numbered((call, id: string) => Effect.succeed(`${id}${call}`))
  return Cached.ttl(lookup, { key: "x:{}", ...minute, tags: ["t"] })
}

const becomes = (of: Node, find: ReturnType<typeof echo>, id: string, value: Option.Option<string>) =>
  awaitUntil(
    Effect.map(of.run(find.peek(id)), (found) => Option.getOrUndefined(found) === Option.getOrUndefined(value)),
    `${id} is ${String(value)}`
  )

describe("a failover behind one address", () => {
  it.scoped("the url of the address - the client reaches the new master, and invalidations reach every process", () => {
    const { lines, layer } = recordWarnings()
    return Effect.gen(function* () {
      const { address, failover } = yield* replicated
      const open = Effect.map(RedisCache.make({ url: address.url }), nodeOf)
      const [a, b] = [yield* open, yield* open]
      const hybrid = nodeOf(yield* RedisCache.makeHybrid({ l2: { url: address.url } }))
      yield* coherent(hybrid, true)
      const find = echo()
      yield* a.run(Effect.forEach(["a", "b"], (id) => find(id)))
      yield* a.written
      for (const each of [b, hybrid]) yield* each.run(Effect.forEach(["a", "b"], (id) => find(id)))
      yield* failover
      yield* a.run(find.invalidate("a"))
      yield* a.store.tags.invalidate(["t"])
      yield* delivered(a)
      for (const id of ["a", "b"]) for (const each of [a, b, hybrid]) yield* becomes(each, find, id, Option.none())
      yield* health(a, "up")
      const about = lines.filter((line) => line.includes("READONLY"))
      assert.isNotEmpty(about)
      assert.isAtMost(lines.length, 4)
    }).pipe(Effect.provide(layer))
  })

  it.scoped(
    "a server that stays a replica - its answers count, and the client tries ever less often to leave it",
    () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const { address, two } = yield* replicated
        yield* address.redirect(two.port)
        const a = nodeOf(yield* RedisCache.make({ url: address.url }))
        yield* made(() => two.client.get("anything"))
        const before = yield* address.accepted
        for (let i = 0; i < 30; i++) {
          yield* a.store.set("k", i, minute)
          yield* live(Effect.sleep("100 millis"))
        }
        // at 0, and then 1 and 2 seconds after the last time
        assert.isAtMost((yield* address.accepted) - before, 3)
        assert.isAtMost(lines.length, 7)
        same(yield* a.store.get("k"), Option.some(29))
      }).pipe(Effect.provide(layer))
    }
  )

  it.scoped("a replica that has lost its master and serves nothing (MASTERDOWN) - is left", () =>
    Effect.gen(function* () {
      const { address, one, two } = yield* replicated
      const a = nodeOf(yield* RedisCache.make({ url: address.url }))
      yield* a.store.set("k", 1, minute)
      yield* linked(two, one)
      yield* follow(two, 0)
      yield* made(() => one.client.config("SET", "replica-serve-stale-data", "no"))
      yield* follow(one, 1)
      yield* address.redirect(two.port)
      yield* awaitUntil(
        Effect.map(a.store.get("k"), (found) => Option.contains(found, 1)),
        "the new master answers"
      )
    })
  )

  it.scoped("a lent client without reconnectOnError - one Warning names what to set", () => {
    const { lines, layer } = recordWarnings()
    return Effect.gen(function* () {
      const { address, failover } = yield* replicated
      const lend = (options: {}) =>
        Effect.gen(function* () {
          const client = yield* Effect.acquireRelease(
            Effect.sync(() => new Redis(address.port, { autoResendUnfulfilledCommands: false, ...options })),
            (client) => Effect.sync(() => client.disconnect())
          )
          return nodeOf(Context.get(yield* Layer.build(RedisCache.layerFromClient(client)), CacheStore))
        })
      const plain = yield* lend({})
      const ready = yield* lend({ reconnectOnError: (error: Error) => error.message.includes("READONLY") })
      yield* failover
      yield* plain.store.set("k", 1, minute)
      yield* plain.store.set("k", 2, minute)
      same(lines.filter((line) => line.includes("reconnectOnError")).length, 1)
      assert.isTrue((yield* plain.store.health).problems.some(({ name }) => name === "ServerIsReplica"))
      yield* ready.store.set("k", 3, minute)
      yield* delivered(ready)
      same(lines.filter((line) => line.includes("reconnectOnError")).length, 1)
    }).pipe(Effect.provide(layer))
  })
})

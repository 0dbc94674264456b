/**
 * The faults of plain ioredis, for each version in use, that `ioredisWorkarounds.ts` works around. A test that fails
 * says that its version has the fault no longer.
 */
import { EventEmitter } from "node:events"
import * as net from "node:net"
import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import * as ioredis5 from "ioredis"
import * as ioredis6 from "ioredis6"
import {
  catchAsking,
  databaseOf,
  isRedisUrl,
  isSplitSlot,
  isUnsent,
  releaseErrorListener,
  reviveAfterEnd,
  silenceSentinels,
  startupNodes
} from "../../../src/internal/backends/redis/ioredisWorkarounds.js"
import { awaitUntil, live, RedisServer } from "../../support/redis.js"
import { same } from "../../support/redis-nodes.js"

/** The private members that the tests look at. */
interface Internals {
  readonly connector: {
    resolve: (endpoint: unknown) => Promise<unknown>
    connectToSentinel: (...args: ReadonlyArray<unknown>) => unknown
    readonly initFailoverDetector: () => Promise<void>
    readonly disconnect: () => void
  }
  readonly silentEmit: (event: string, error: Error) => void
  status: string
  readonly connectionPool: {
    readonly findOrCreate: (node: { readonly host: string; readonly port: number }) => ioredis5.Redis
    readonly getInstanceByKey: (key: string) => ioredis5.Redis | undefined
    getSampleInstance: (role: string) => ioredis5.Redis | undefined
    readonly reset: (nodes: ReadonlyArray<unknown>) => void
  }
  readonly slots: Array<ReadonlyArray<string>>
}

const internals = (client: object): Internals => client as Internals

const versions = [
  ["ioredis 5.11.1", ioredis5],
  ["ioredis 6.0.0", ioredis6 as unknown as typeof ioredis5]
] as const

const nextTicks = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))

/** Accepts connections and never answers. */
const silentServer = Effect.map(
  Effect.acquireRelease(
    Effect.async<net.Server>((resume) => {
      const server = net.createServer(() => {})
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ),
  (server) => server.address() as net.AddressInfo
)

/** How often `run` made ioredis print on the console. */
const printedBy = (run: Effect.Effect<unknown>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => vi.spyOn(console, "error").mockImplementation(() => {})),
    (spy) => Effect.map(run, () => spy.mock.calls.length),
    (spy) => Effect.sync(() => spy.mockRestore())
  )

/** Rejects the commands that a node of a cluster is sent with this error. */
const refuseWith = (node: ioredis5.Redis, message: string) =>
  Object.assign(node, {
    sendCommand: (command: { readonly reject: (error: Error) => void; readonly promise: Promise<unknown> }) => {
      command.reject(new Error(message))
      return command.promise
    }
  })

for (const [version, { Cluster, Redis }] of versions) {
  /** A cluster of two nodes, of which the first holds all slots. Nothing is connected. */
  const twoNodes = Effect.acquireRelease(
    Effect.sync(() => {
      const cluster = new Cluster([{ host: "127.0.0.1", port: 1 }], { lazyConnect: true, enableOfflineQueue: false })
      const { connectionPool: pool, slots } = internals(cluster)
      const [first, second] = [1, 2].map((port) => pool.findOrCreate({ host: "127.0.0.1", port }))
      for (let slot = 0; slot < 16_384; slot++) slots[slot] = ["127.0.0.1:1"]
      internals(cluster).status = "ready"
      return { cluster, pool, first: first!, second: second! }
    }),
    ({ cluster }) => Effect.sync(() => cluster.disconnect())
  )

  const behindSentinels = (options: Partial<ioredis5.RedisOptions> = {}) =>
    Effect.acquireRelease(
      Effect.sync(
        () =>
          new Redis({
            name: "m",
            sentinels: [{ host: "127.0.0.1", port: 1 }],
            lazyConnect: true,
            failoverDetector: true,
            ...options
          })
      ),
      (client) => Effect.sync(() => client.disconnect())
    )

  describe(`${version} - remove the workaround when this fails`, () => {
    it("isRedisUrl - text that is not a URL is taken for a host, or for the path of a socket", () => {
      same(new Redis("example.com", { lazyConnect: true }).options.host, "example.com")
      same(new Redis("/no/such", { lazyConnect: true }).options.path, "/no/such")
      same(["example.com", "/no/such", "redis://example.com"].map(isRedisUrl), [false, false, true])
    })

    it.scoped("databaseOf - a client whose SELECT is refused goes on in database 0", () =>
      Effect.gen(function* () {
        const { port } = yield* RedisServer.make()
        const client = new Redis(port, "127.0.0.1", { db: 99 })
        const errors: Array<string> = []
        client.on("error", (error: Error) => void errors.push(error.message))
        yield* Effect.promise(() => client.set("k", 1))
        same(errors, ["ERR DB index is out of range"])
        same(databaseOf(client), 99)
        client.disconnect()
      })
    )

    it.scoped("isUnsent - a client that leaves its connection is ready until the socket has closed", () =>
      Effect.gen(function* () {
        const { port } = yield* RedisServer.make()
        const client = new Redis(port, "127.0.0.1", { enableOfflineQueue: false, lazyConnect: true })
        yield* Effect.promise(() => client.connect())
        client.disconnect(true)
        same(client.status, "ready")
        same(
          isUnsent(
            yield* Effect.promise(() =>
              client.get("k").then(
                () => undefined,
                (error) => error
              )
            )
          ),
          true
        )
        client.disconnect()
      })
    )

    it("startupNodes - the addresses of a cluster are in a private member only", () => {
      const cluster = new Cluster([{ host: "a", port: 1 }], { lazyConnect: true })
      same(startupNodes(cluster), [{ host: "a", port: 1 }])
      assert.notProperty(cluster.options, "startupNodes")
    })

    it.scoped("handshakeTimeout - a server that accepts and never answers is waited for without a limit", () =>
      Effect.gen(function* () {
        const server = yield* silentServer
        const client = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis({ port: server.port, connectTimeout: 50 }).on("error", () => {})),
          (client) => Effect.sync(() => client.disconnect())
        )
        yield* awaitUntil(
          Effect.sync(() => client.status === "connect"),
          "the server has accepted"
        )
        yield* live(Effect.sleep("200 millis"))
        same(client.status, "connect")
      })
    )

    it.scoped("silenceSentinels - a client for a sentinel has no error listener", () =>
      Effect.gen(function* () {
        const fake = () => Object.assign(new EventEmitter(), { subscribe: () => Promise.resolve(), disconnect() {} })
        const listeners = (client: ioredis5.Redis) =>
          Effect.promise(async () => {
            const made: Array<EventEmitter> = []
            const { connector } = internals(client)
            const { connectToSentinel } = connector
            connector.connectToSentinel = (...args) => {
              const sentinel = connectToSentinel.apply(connector, [...args]) as EventEmitter
              made.push(sentinel)
              return sentinel
            }
            await connector.initFailoverDetector()
            return made.map((sentinel) => sentinel.listenerCount("error"))
          })
        const withFakes = (client: ioredis5.Redis) => {
          internals(client).connector.connectToSentinel = fake
          return client
        }
        same(yield* listeners(withFakes(yield* behindSentinels())), [0])
        same(yield* listeners(silenceSentinels(withFakes(yield* behindSentinels()))), [1])
      })
    )

    it.effect("releaseErrorListener - an error after disconnect is printed if there is no listener", () =>
      Effect.gen(function* () {
        const failing = (release: boolean) =>
          printedBy(
            Effect.sync(() => {
              const listener = () => {}
              const client = new Redis({ lazyConnect: true }).on("error", listener)
              internals(client).status = "ready"
              client.disconnect()
              releaseErrorListener(client, release, listener)
              internals(client).silentEmit("error", Object.assign(new Error("write EPIPE"), { syscall: "write" }))
            })
          )
        same(yield* failing(true), 1)
        same(yield* failing(false), 0)
      })
    )

    it.scoped("reviveAfterEnd - a failover that is reported while sentinels are asked ends the client", () =>
      Effect.gen(function* () {
        const client = yield* behindSentinels({ retryStrategy: () => 1, sentinelRetryStrategy: () => 1 })
        client.on("error", () => {})
        let resolve = (_: null) => {}
        const { connector } = internals(client)
        connector.resolve = () => new Promise((done) => (resolve = done))
        client.connect().catch(() => {})
        // as the failover detector does
        connector.disconnect()
        resolve(null)
        yield* awaitUntil(
          Effect.sync(() => client.status === "end"),
          "the client has ended"
        )
        yield* live(Effect.sleep("50 millis"))
        same(client.status, "end")
        yield* live(reviveAfterEnd(client, 1, () => {}))
        assert.notStrictEqual(client.status, "end")
      })
    )

    it.scoped("catchAsking - the promise of ASKING is dropped", () =>
      Effect.gen(function* () {
        const { cluster, first, second } = yield* twoNodes
        const asking = new Promise<"OK">(() => {})
        const handlers = vi.spyOn(asking, "then")
        Object.assign(second, { asking: () => asking })
        refuseWith(first, "ASK 1 127.0.0.1:2")
        refuseWith(second, "ERR no")
        same(Exit.isFailure(yield* Effect.exit(Effect.tryPromise(() => cluster.get("k")))), true)
        same(handlers.mock.calls.length, 0)
        catchAsking(second)
        yield* Effect.exit(Effect.tryPromise(() => cluster.get("k")))
        same(handlers.mock.calls.length, 1)
      })
    )

    it.scoped("connectLazyNode - a node that is known is not connected", () =>
      Effect.gen(function* () {
        const { first, second } = yield* twoNodes
        yield* nextTicks
        same([first.status, second.status], ["wait", "wait"])
      })
    )

    it.scoped("refreshSlots - a node that is lost does not make the cluster be asked again", () =>
      Effect.gen(function* () {
        const { cluster, first } = yield* twoNodes
        const refresh = vi.spyOn(cluster, "refreshSlotsCache")
        const gone = yield* Effect.fork(Effect.promise(() => new Promise((resolve) => cluster.once("-node", resolve))))
        yield* Effect.yieldNow()
        first.disconnect()
        same(yield* gone.await.pipe(Effect.map(Exit.isSuccess)), true)
        yield* nextTicks
        same(refresh.mock.calls.length, 0)
      })
    )

    it.scoped("isSplitSlot - a command that is answered with TRYAGAIN goes to a random node", () =>
      Effect.gen(function* () {
        const { cluster, first, pool, second } = yield* twoNodes
        refuseWith(first, "TRYAGAIN Multiple keys request during rehashing of slot")
        refuseWith(second, "ERR this node was never to be asked")
        const sampled: Array<string> = []
        pool.getSampleInstance = (role) => {
          sampled.push(role)
          return second
        }
        const error = yield* Effect.flip(Effect.tryPromise(() => cluster.mget("{k}1", "{k}2")))
        same(sampled, ["master"])
        assert.include(String(error.error), "never to be asked")
        same(isSplitSlot(new Error("TRYAGAIN Multiple keys request")), true)
      })
    )
  })
}

describe("ioredis 5.11.1 - remove the workaround when this fails, or when version 5 is no longer supported", () => {
  const replacedNode = ({ Cluster }: typeof ioredis5) =>
    Effect.gen(function* () {
      const cluster = new Cluster([{ host: "127.0.0.1", port: 1 }], { lazyConnect: true })
      const { connectionPool: pool } = internals(cluster)
      const node = { host: "127.0.0.1", port: 1 }
      pool.findOrCreate({ ...node })
      pool.reset([])
      const second = pool.findOrCreate({ ...node })
      yield* nextTicks
      return Option.fromNullable(pool.getInstanceByKey("127.0.0.1:1")).pipe(Option.map((found) => found === second))
    })

  it.effect("disconnectAll - a node that replaced another with the same address is forgotten", () =>
    Effect.map(replacedNode(ioredis5), (found) => same(found, Option.none()))
  )

  it.effect("disconnectAll - 6.0.0 does not forget it", () =>
    Effect.map(replacedNode(ioredis6 as unknown as typeof ioredis5), (found) => same(found, Option.some(true)))
  )
})

/**
 * Operations of a backend that never end and cannot be interrupted: law 6 (the store may fail, the caller may not) and
 * law 11 (the scope ends everything).
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { S3Client } from "@aws-sdk/client-s3"
import { KeyValueStore } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Storage } from "@google-cloud/storage"
import { Effect, Exit, Layer, Option, Scope, Stream } from "effect"
import { type Backend, Cached, CacheStore } from "effect-cached"
import * as GcsCache from "effect-cached/GcsCache"
import * as KeyValueCache from "effect-cached/KeyValueCache"
import * as S3Cache from "effect-cached/S3Cache"

const hangs = Effect.uninterruptible(Effect.never)

/** A remote backend that stores nothing, with some members that hang. */
const hanging = (faults: Partial<Backend.Backend>): Backend.Backend => ({
  name: "hanging",
  remote: true,
  getMany: (reads) => Effect.succeed({ found: reads.map(() => undefined) }),
  setMany: (writes) => Effect.succeed(writes.map((write) => ({ _tag: "Written", stamp: write.entry.stamp }) as const)),
  setIfAbsent: (write) => Effect.succeed({ _tag: "Written", stamp: write.entry.stamp }),
  removeMany: (removals) => Effect.succeed(removals.map(({ stamp }) => ({ _tag: "Written", stamp }) as const)),
  ...faults
})

const marks = { every: 100, raise: () => hangs, read: hangs }

const faults: Record<string, Partial<Backend.Backend>> = {
  "the write of a load": { setMany: () => hangs },
  "a removal": { removeMany: () => hangs },
  "a read": { getMany: () => hangs },
  "the marks": { marks },
  "the marks of a backend with copies in memory": { marks, unsafeGet: () => undefined, unsafeSet: () => {} },
  notifications: { unsafeGet: () => undefined, unsafeSet: () => {}, notifications: () => Stream.fromEffect(hangs) },
  "a lock": { lock: () => hangs }
}

/** How long closing the store takes while something hangs, in milliseconds of a real clock. */
const closing = (backend: Backend.Backend) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const store = yield* Scope.extend(CacheStore.make(backend), scope)
    const find = Cached.ttl(Effect.succeed("loaded"), { key: "k", ttl: "1 hour", lock: { lease: "1 minute" } })
    const on = Effect.provideService(CacheStore, store)
    yield* Effect.forkDaemon(on(find))
    yield* Effect.forkDaemon(store.remove("j"))
    yield* Effect.forkDaemon(store.clear)
    yield* Effect.sleep("250 millis")
    const [took] = yield* Effect.timed(Scope.close(scope, Exit.void))
    return took
  })

/** A server that takes connections and never answers. */
const silentServer = Effect.acquireRelease(
  Effect.async<ReturnType<typeof createServer>>((resume) => {
    const server = createServer(() => {})
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    })
).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`))

// concurrent, because each test mostly waits
describe("a backend that hangs", { concurrent: true }, () => {
  it.live("law 11: the scope ends everything - closing does not wait for what cannot be interrupted", () =>
    Effect.gen(function* () {
      const took = yield* Effect.forEach(Object.values(faults), (fault) => closing(hanging(fault)), {
        concurrency: "unbounded"
      }).pipe(Effect.timeout("40 seconds"))
      assert.lengthOf(took, Object.keys(faults).length)
    })
  )

  const timeout = "300 millis"
  const own = (store: KeyValueStore.KeyValueStore) => KeyValueCache.layerFromClient(store, { timeout })
  const objectStores: Record<string, Effect.Effect<Layer.Layer<CacheStore>, never, Scope.Scope>> = {
    "a key-value store that cannot be interrupted": Effect.succeed(
      own(
        KeyValueStore.make({
          get: () => hangs,
          getUint8Array: () => hangs,
          set: () => hangs,
          remove: () => hangs,
          clear: hangs,
          size: hangs
        })
      )
    ),
    "a gateway of S3 that does not answer": Effect.map(silentServer, (endpoint) =>
      S3Cache.layer({
        bucket: "b",
        timeout,
        client: { region: "eu-central-1", endpoint, credentials: { accessKeyId: "a", secretAccessKey: "s" } }
      })
    ),
    "a client of S3 of one's own": Effect.map(silentServer, (endpoint) => {
      const credentials = { accessKeyId: "a", secretAccessKey: "s" }
      const client = new S3Client({ region: "eu-central-1", endpoint, credentials })
      return S3Cache.layerFromClient(client, { bucket: "b", timeout })
    }),
    "a gateway of GCS that does not answer": Effect.map(silentServer, (apiEndpoint) => {
      const client = new Storage({ apiEndpoint, projectId: "p", useAuthWithCustomEndpoint: false })
      return GcsCache.layerFromClient(client, { bucket: "b", timeout })
    })
  }

  for (const [name, layer] of Object.entries(objectStores)) {
    it.scopedLive(`law 6: the store may fail, the caller may not - ${name} is given up after its timeout`, () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { unsafeMap } = yield* Layer.buildWithScope(yield* layer, scope)
        const store: CacheStore.Service = unsafeMap.get(CacheStore.key)
        let loads = 0
        const find = Cached.ttl(
          Effect.sync(() => ++loads),
          { key: "k", ttl: "1 hour" }
        )
        const on = Effect.provideService(CacheStore, store)
        assert.strictEqual(yield* on(find), 1)
        yield* store.remove("k")
        assert.deepStrictEqual(yield* store.get("j"), Option.none())
        yield* store.clear
        assert.isAbove((yield* store.health).undelivered, 0)
        yield* Effect.fork(store.set("i", 1, { ttl: "1 hour" }))
        yield* Scope.close(scope, Exit.void)
      }).pipe(Effect.timeout("15 seconds"))
    )
  }
})

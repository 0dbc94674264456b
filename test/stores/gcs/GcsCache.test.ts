import { deepStrictEqual } from "node:assert/strict"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Layer, ManagedRuntime, Option, TestClock } from "effect"
import * as GcsCache from "../../../src/GcsCache.js"
import { Cached, CacheStore } from "../../../src/index.js"
import { nameOf } from "../../../src/internal/backends/object/format.js"
import { numbered } from "../../laws/support.js"
import { buckets } from "../../support/buckets.js"
import * as Gcs from "../../support/gcs.js"

const minute = { ttl: "1 minute" } as const

class Double extends Effect.Service<Double>()("Double", { scoped: Gcs.make }) {}

const double = ManagedRuntime.make(Double.Default)
afterAll(() => double.dispose())

const shared: Effect.Effect<Gcs.Gcs> = Effect.promise(() => double.runPromise(Double))

const denying = Effect.map(Gcs.make, (gcs) => Object.assign(gcs, { fault: () => 401 as const }))

let count = 0
const freshPrefix = () => `t${++count}/`

const optionsOf = (gcs: Gcs.Gcs, prefix: string, port?: number): GcsCache.Options => ({
  bucket: Gcs.bucket,
  prefix,
  client: gcs.clientOptions(port)
})

buckets({
  name: "gcs",
  port: Effect.map(shared, ({ port }) => port),
  freshPrefix,
  make: (port, { wrongCredentials = false, ...options }) =>
    Effect.gen(function* () {
      const gcs = wrongCredentials ? yield* denying : yield* shared
      return yield* GcsCache.make({ ...optionsOf(gcs, freshPrefix(), wrongCredentials ? gcs.port : port), ...options })
    }),
  backend: (port, options) =>
    Effect.flatMap(shared, (gcs) => GcsCache.backend({ ...optionsOf(gcs, freshPrefix(), port), ...options })),
  aborts: false
})

const single = (options: Partial<GcsCache.Options> = {}) =>
  Effect.gen(function* () {
    const gcs = yield* Gcs.make
    const store = yield* GcsCache.make({ ...optionsOf(gcs, "p/"), ...options })
    const asked = () => gcs.requests.filter(({ name }) => name.startsWith("p/entries/"))
    return { gcs, store, asked, nameOf: (key: string) => `p/entries/${nameOf(key)}` }
  })

describe("GcsCache", () => {
  it.scoped("the bucket - contains one object for each entry, with its times as metadata, and the marks", () =>
    Effect.gen(function* () {
      const { gcs, nameOf, store } = yield* single()
      yield* store.set("k", "value", minute)
      deepStrictEqual(Array.from(gcs.objects.keys()).sort(), [nameOf("k"), "p/marks"])
      const { created, expires, fresh, kind } = gcs.objects.get(nameOf("k"))!.metadata
      deepStrictEqual([kind, created, fresh, expires], ["entry", "0", "60000", "60000"])
      yield* store.remove("k")
      assert.strictEqual(gcs.objects.get(nameOf("k"))!.metadata.kind, "trace")
    })
  )

  it.scoped("a hit - is one request", () =>
    Effect.gen(function* () {
      const { asked, store } = yield* single()
      yield* store.set("k", "value", minute)
      const before = asked().length
      deepStrictEqual(yield* store.get("k"), Option.some("value"))
      assert.lengthOf(asked(), before + 1)
    })
  )

  it.scoped("a large value - is read in two requests", () =>
    Effect.gen(function* () {
      const { asked, store } = yield* single()
      const value = Array.from({ length: 30_000 }, (_, i) => `${i}`).join()
      yield* store.set("k", value, minute)
      const before = asked().length
      deepStrictEqual(yield* store.get("k"), Option.some(value))
      deepStrictEqual(
        asked()
          .slice(before)
          .map(({ range }) => range),
        ["bytes=0-65535", "bytes=65536-"]
      )
    })
  )

  it.scoped("a large value that a new load did not change - only its times are written, and they count", () =>
    Effect.gen(function* () {
      const { asked, gcs, nameOf, store } = yield* single()
      const { lookup, calls } = numbered(() => Effect.succeed("x".repeat(200_000)))
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      const run = Effect.provideService(cached, CacheStore, store)
      yield* run
      yield* store.remove("barrier")
      yield* TestClock.adjust("1 minute")
      yield* run
      yield* store.remove("barrier")
      assert.lengthOf(calls, 2)
      const ours = () => asked().filter(({ name }) => name === nameOf("k"))
      deepStrictEqual(
        ours().flatMap(({ method }) => (method === "GET" ? [] : [method])),
        ["POST", "PATCH"]
      )
      assert.strictEqual(gcs.objects.get(nameOf("k"))!.metageneration, 2)
      // Another process, half a minute later. The times in the bytes have expired.
      yield* TestClock.adjust("30 seconds")
      const other = yield* GcsCache.make(optionsOf(gcs, "p/"))
      const before = ours().length
      const entry = yield* Effect.provideService(cached.entry, CacheStore, other)
      deepStrictEqual(
        Option.map(entry, ({ createdAt, expiresAt, value }) => [createdAt, expiresAt, value.length]),
        Option.some([60_000, 120_000, 200_000])
      )
      // The first bytes, the metadata, the rest.
      assert.lengthOf(ours(), before + 3)
      yield* Effect.provideService(cached.set("y".repeat(200_000)), CacheStore, other)
      assert.strictEqual(gcs.objects.get(nameOf("k"))!.metageneration, 1)
    })
  )

  it.scoped("metadata that changed after they were read - are not overwritten unseen", () =>
    Effect.gen(function* () {
      const { gcs, nameOf, store } = yield* single()
      yield* store.set("k", 1, minute)
      const now = Number(gcs.objects.get(nameOf("k"))!.metadata.stamp)
      let wasThere = false
      gcs.fault = ({ method, name }) => {
        if (method !== "POST" || name !== nameOf("k") || wasThere) return undefined
        // Another process was faster.
        wasThere = true
        const there = gcs.objects.get(name)!
        const metadata = { ...there.metadata, stamp: String(now + 1_000) }
        gcs.objects.set(name, { ...there, metageneration: there.metageneration + 1, metadata })
        return undefined
      }
      yield* store.set("k", 2, minute)
      assert.isTrue(wasThere)
      const { metageneration, metadata } = gcs.objects.get(nameOf("k"))!
      assert.strictEqual(metageneration, 1)
      assert.isAbove(Number(metadata.stamp), now + 1_000)
    })
  )

  for (const status of [401, 403, 404, 429, 500, 503]) {
    it.scoped(`status ${status} to every request - is a counted miss without retries`, () =>
      Effect.gen(function* () {
        const { gcs, store } = yield* single()
        yield* store.set("k", 1, minute)
        gcs.fault = () => status
        const before = gcs.requests.length
        deepStrictEqual(yield* store.get("k"), Option.none())
        assert.isAtMost(gcs.requests.length - before, 2)
        if (status !== 404) assert.isAbove((yield* store.stats).storeErrors, 0)
        gcs.fault = () => undefined
        deepStrictEqual(yield* store.get("k"), Option.some(1))
      })
    )
  }

  it.scoped("bytes that do not match their checksum - are a miss", () =>
    Effect.gen(function* () {
      const { gcs, store } = yield* single()
      yield* store.set("k", "some text", minute)
      gcs.fault = ({ query }) => (query.alt === "media" ? "corrupt" : undefined)
      deepStrictEqual(yield* store.get("k"), Option.none())
      assert.isAbove((yield* store.stats).storeErrors, 0)
      gcs.fault = () => undefined
      deepStrictEqual(yield* store.get("k"), Option.some("some text"))
    })
  )

  it.scoped("an empty object in the place of an entry - is a counted miss and is overwritten", () =>
    Effect.gen(function* () {
      const { gcs, nameOf, store } = yield* single()
      const object = { generation: 1, metageneration: 1, metadata: {}, contentType: "text/plain" }
      gcs.objects.set(nameOf("k"), { ...object, bytes: Buffer.alloc(0) })
      deepStrictEqual(yield* store.get("k"), Option.none())
      assert.strictEqual((yield* store.stats).decodeFailures, 1)
      yield* store.set("k", 1, minute)
      deepStrictEqual(yield* store.get("k"), Option.some(1))
    })
  )

  it.scoped("layerFromClient and layerConfig - share entries", () =>
    Effect.gen(function* () {
      const gcs = yield* Gcs.make
      const lent = GcsCache.layerFromClient(Gcs.client(gcs), { bucket: Gcs.bucket, prefix: "p/" })
      const provider = ConfigProvider.fromMap(new Map([["BUCKET", Gcs.bucket]]))
      const configured = GcsCache.layerConfig({
        bucket: Config.string("BUCKET"),
        prefix: Config.succeed("p/"),
        client: Config.succeed(gcs.clientOptions())
      }).pipe(Layer.provide(Layer.setConfigProvider(provider)))
      yield* Effect.provide(
        Effect.flatMap(CacheStore, (store) => store.set("k", 1, minute)),
        lent
      )
      const found = yield* Effect.provide(
        Effect.flatMap(CacheStore, (store) => store.get("k")),
        configured
      )
      deepStrictEqual(found, Option.some(1))
    })
  )
})

describe("the double of Cloud Storage", () => {
  it("checksums - match the RFC, and uploads with wrong checksums are refused", () =>
    Effect.gen(function* () {
      // RFC 3720, B.4: 32 zero bytes.
      assert.strictEqual(Gcs.crc32c(new Uint8Array(32)), Buffer.from("8a9136aa", "hex").toString("base64"))
      const gcs = yield* Gcs.make
      const file = Gcs.client(gcs).bucket(Gcs.bucket).file("f")
      for (const metadata of [{ crc32c: "AAAAAA==" }, { md5Hash: "AAAAAAAAAAAAAAAAAAAAAA==" }]) {
        const saved = yield* Effect.either(
          Effect.tryPromise(() => file.save("text", { resumable: false, validation: false, metadata }))
        )
        assert.strictEqual(saved._tag, "Left")
        assert.strictEqual(gcs.objects.size, 0)
      }
    }).pipe(Effect.scoped, Effect.runPromise))
})

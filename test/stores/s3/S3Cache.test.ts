import { deepStrictEqual } from "node:assert/strict"
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Exit, Fiber, Layer, Option, Scope, TestClock } from "effect"
import { CacheStore, Envelope, Serializer } from "../../../src/index.js"
import { nameOf } from "../../../src/internal/backends/object/format.js"
import * as S3Cache from "../../../src/S3Cache.js"
import { becomes } from "../../laws/support.js"
import { buckets, loaded } from "../../support/buckets.js"
import { awaitUntil, live } from "../../support/live.js"
import * as Rgw from "../../support/rgw.js"
import * as TcpProxy from "../../support/tcpProxy.js"
import { freshPrefix, optionsOf, plain, port } from "./support.js"

const minute = { ttl: "1 minute" } as const

buckets({
  name: "s3",
  port: Effect.succeed(port),
  freshPrefix,
  make: (to, { wrongCredentials, ...options }) =>
    S3Cache.make({
      ...optionsOf(freshPrefix(), to),
      ...(wrongCredentials === true && {
        client: { ...Rgw.clientConfig(to), credentials: { ...Rgw.credentials, secretAccessKey: "WRONG" } }
      }),
      ...options
    }),
  backend: (to, options) => S3Cache.backend({ ...optionsOf(freshPrefix(), to), ...options }),
  aborts: true
})

const keysUnder = (prefix: string) =>
  Effect.promise(async () => {
    const { Contents = [] } = await plain.send(new ListObjectsV2Command({ Bucket: Rgw.bucket, Prefix: prefix }))
    return Contents.map(({ Key }) => Key!.slice(prefix.length))
  })

describe("S3Cache", () => {
  it.scoped("the bucket - contains one object for each entry, with its times as metadata, and the marks", () =>
    Effect.gen(function* () {
      const prefix = freshPrefix()
      const store = yield* S3Cache.make(optionsOf(prefix))
      yield* store.set("k", "value", minute)
      deepStrictEqual(yield* keysUnder(prefix), [`entries/${nameOf("k")}`, "marks"])
      const Key = `${prefix}entries/${nameOf("k")}`
      const metadataOf = Effect.promise(() => plain.send(new GetObjectCommand({ Bucket: Rgw.bucket, Key }))).pipe(
        Effect.tap(({ Body }) => Effect.promise(() => Body!.transformToByteArray())),
        Effect.map(({ Metadata }) => Metadata!)
      )
      const { content, created, expires, fresh, kind, stamp } = yield* metadataOf
      deepStrictEqual([kind, created, fresh, expires], ["entry", "0", "60000", "60000"])
      assert.match(content!, /^[0-9a-f]{32}$/)
      assert.isAbove(Number(stamp), 1_600_000_000_000)
      yield* store.remove("k")
      const tombstone = yield* metadataOf
      assert.strictEqual(tombstone.kind, "trace")
      assert.isAbove(Number(tombstone.stamp), Number(stamp))
    })
  )

  it.scoped("garbage in the place of an entry - is a counted miss and is overwritten", () =>
    Effect.gen(function* () {
      const prefix = freshPrefix()
      const Key = `${prefix}entries/${nameOf("k")}`
      for (const [Body, Metadata] of [
        ["", {}],
        ["hello, this is no entry", {}],
        ["hello, this is no entry", { kind: "entry", stamp: "1", created: "1", fresh: "2", expires: "Infinity" }],
        ["hello", { kind: "entry", stamp: "NaN", created: "", fresh: "x", expires: "-" }]
      ] as const) {
        yield* Effect.promise(() =>
          plain.send(new PutObjectCommand({ Bucket: Rgw.bucket, Key, Body: Buffer.from(Body), Metadata }))
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            const store = yield* S3Cache.make(optionsOf(prefix))
            deepStrictEqual(yield* store.get("k"), Option.none())
            assert.strictEqual((yield* store.stats).decodeFailures, 1)
            assert.strictEqual((yield* store.stats).storeErrors, 0)
            assert.isTrue(yield* store.setIfAbsent("k", 1, minute))
            deepStrictEqual(yield* store.get("k"), Option.some(1))
          })
        )
      }
    })
  )

  it.scoped("a foreign envelope - an object is exactly its bytes, and many removals are one request", () =>
    Effect.gen(function* () {
      const prefix = freshPrefix()
      const proxy = yield* TcpProxy.make(port)
      const store = yield* S3Cache.make({
        ...optionsOf(prefix, proxy.port),
        envelope: Envelope.advancedCaching,
        serializer: Serializer.json
      })
      yield* TestClock.setTime(1_900_000_000_000)
      const keys = Array.from({ length: 30 }, (_, i) => `k${i}`)
      yield* store.setMany(
        keys.map((key) => [key, { key }] as const),
        minute
      )
      const { Body } = yield* Effect.promise(() =>
        plain.send(new GetObjectCommand({ Bucket: Rgw.bucket, Key: `${prefix}entries/${nameOf("k7")}` }))
      )
      const bytes = Buffer.from(yield* Effect.promise(() => Body!.transformToByteArray()))
      deepStrictEqual(
        [bytes.readDoubleBE(0), bytes.readDoubleBE(8), bytes.toString("utf8", 16)],
        [1_900_000_060, 1_900_000_000, '{"key":"k7"}']
      )
      deepStrictEqual(yield* store.get("k7"), Option.some({ key: "k7" }))
      yield* store.removeMany(keys)
      const deletes = (yield* proxy.requests).filter((line) => line.startsWith("POST"))
      assert.lengthOf(deletes, 1)
      assert.include(deletes[0], "delete")
      deepStrictEqual(new Set(yield* store.getMany(keys)), new Set([Option.none()]))
    })
  )

  it.scoped("a read that is interrupted during a body - closes its connection", () =>
    Effect.gen(function* () {
      const prefix = freshPrefix()
      const proxy = yield* TcpProxy.make(port)
      const direct = yield* S3Cache.backend({ ...optionsOf(prefix), maxValueBytes: 8_000_000 })
      const backend = yield* S3Cache.backend({ ...optionsOf(prefix, proxy.port), marksEvery: "above" })
      yield* direct.setMany([loaded("k", "x".repeat(4_000_000), 1)])
      yield* proxy.bandwidth(1_000)
      const reader = yield* Effect.fork(live(backend.getMany([{ key: "k" }])))
      yield* awaitUntil(
        Effect.map(proxy.answered, (n) => n > 300_000),
        "the body began"
      )
      yield* proxy.blackhole
      yield* Fiber.interrupt(reader)
      yield* proxy.restore
      yield* awaitUntil(
        Effect.map(proxy.connections, (n) => n === 0),
        "its connection is gone"
      )
    })
  )

  it.scoped("layerFromClient - leaves the client open", () =>
    Effect.gen(function* () {
      const client = new S3Client(Rgw.clientConfig(port))
      const prefix = freshPrefix()
      const layer = S3Cache.layerFromClient(client, { bucket: Rgw.bucket, prefix })
      const set = Effect.flatMap(CacheStore, (store) => store.set("k", 1, minute))
      const get = Effect.flatMap(CacheStore, (store) => store.get("k"))
      yield* Effect.provide(set, layer)
      deepStrictEqual(yield* Effect.provide(get, layer), Option.some(1))
      yield* Effect.promise(() => client.send(new ListObjectsV2Command({ Bucket: Rgw.bucket })))
      client.destroy()
    })
  )

  it.scoped("a client of its own - is closed with its connections", () =>
    Effect.gen(function* () {
      const proxy = yield* TcpProxy.make(port)
      const scope = yield* Scope.make()
      const store = yield* Scope.extend(S3Cache.make(optionsOf(freshPrefix(), proxy.port)), scope)
      yield* store.set("k", 1, minute)
      assert.isAbove(yield* proxy.connections, 0)
      yield* Scope.close(scope, Exit.void)
      yield* becomes(proxy.connections, 0)
    })
  )

  it.effect("layerConfig - reads bucket and client from Config", () => {
    const layer = S3Cache.layerConfig({
      bucket: Config.string("BUCKET"),
      prefix: Config.succeed(freshPrefix()),
      client: Config.map(Config.number("PORT"), Rgw.clientConfig)
    })
    const provider = ConfigProvider.fromMap(
      new Map([
        ["BUCKET", Rgw.bucket],
        ["PORT", String(port)]
      ])
    )
    return Effect.gen(function* () {
      const store = yield* CacheStore
      yield* store.set("k", 1, minute)
      deepStrictEqual(yield* store.get("k"), Option.some(1))
      assert.strictEqual((yield* store.stats).storeErrors, 0)
    }).pipe(Effect.provide(Layer.provide(layer, Layer.setConfigProvider(provider))))
  })
})

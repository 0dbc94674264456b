/**
 * How large a value may be that a store of bytes writes or reads: `maxValueBytes` and `maxDecodedBytes`. A value that
 * is above the limits of its reader was written by a store with others, as a foreign writer would write it.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, type Scope } from "effect"
import { Cached, CacheStore, Envelope, Serializer } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import { compressed } from "effect-cached/NodeSerializer"
import { InvalidOption } from "../../../src/CacheError.js"
import { recordWarnings } from "../../laws/support.js"
import { minute, nodeOf, same } from "../../support/redis-nodes.js"
import * as Shelf from "../../support/shelf.js"

type Options = CacheStore.BytesOptions
type Open = (options?: Options) => Effect.Effect<ReturnType<typeof nodeOf>, never, Scope.Scope>

const gzip = compressed(Serializer.lossless, { algorithm: "gzip" })

const onShelf = Effect.sync((): Open => {
  const shelf = new Shelf.Shelf()
  return (options = {}) => Effect.map(CacheStore.makeBytes(Shelf.backend(shelf), options), nodeOf)
})

const inFiles = (more: Partial<FileCache.Options>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-limits-"))),
      (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
    ),
    (directory): Open =>
      (options = {}) =>
        Effect.map(
          Effect.provide(FileCache.make({ directory, marksEvery: 0, ...more, ...options }), NodeContext.layer),
          nodeOf
        )
  )

const places: ReadonlyArray<readonly [name: string, open: Effect.Effect<Open, never, Scope.Scope>, options: Options]> =
  [
    ["a serializer that compresses", onShelf, { serializer: gzip }],
    ["files that are compressed", inFiles({ compression: "brotli" }), {}],
    ["files that are compressed as a whole", inFiles({ compression: "gzip", envelope: Envelope.advancedCaching }), {}],
    ["no compression", onShelf, {}]
  ]

describe("limits of a store of bytes", () => {
  for (const [name, opened, options] of places) {
    it.scopedLive(`${name} - a value beyond maxDecodedBytes is a miss, and is overwritten`, () =>
      Effect.gen(function* () {
        const open = yield* opened
        const writer = yield* open({ ...options, maxDecodedBytes: 64_000_000, maxValueBytes: 64_000_000 })
        const reader = yield* open(options)
        let calls = 0
        // several megabytes, beyond what an envelope may add to a value
        const find = Cached.ttl((_: number) => Effect.sync(() => (calls++ === 0 ? "x".repeat(6_000_000) : "small")), {
          key: "user:{}",
          ...minute
        })
        yield* writer.run(find(1))
        yield* writer.written
        same((yield* writer.store.stats).hits, 0)
        assert.isTrue(yield* writer.store.has("user:1"))
        same(yield* reader.run(find(1)), "small")
        yield* reader.written
        same((yield* reader.store.stats).decodeFailures, 1)
        same(yield* reader.run(find(1)), "small")
        same(calls, 2)
      })
    )

    it.scopedLive(`${name} - a value beyond maxDecodedBytes is not written, and a Warning names both options`, () => {
      const { layer, lines } = recordWarnings()
      return Effect.gen(function* () {
        const { run, store, written } = yield* (yield* opened)({ ...options, maxDecodedBytes: 2_000 })
        const find = Cached.ttl((size: number) => Effect.succeed("x".repeat(size)), { key: "size:{}", ...minute })
        for (const size of [10, 1_998, 2_000, 9_000]) assert.lengthOf(yield* run(find(size)), size)
        yield* written
        for (const [size, isStored] of [
          [10, true],
          [1_998, true],
          [2_000, false],
          [9_000, false]
        ] as const) {
          same(yield* store.has(`size:${size}`), isStored, `${size}`)
        }
        same((yield* store.stats).refused, 2)
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "maxDecodedBytes (2000)")
        assert.include(lines[0], "maxValueBytes")
      }).pipe(Effect.provide(layer))
    })
  }

  it.scopedLive("maxValueBytes - what is larger as it is stored is not read", () =>
    Effect.gen(function* () {
      const open = yield* onShelf
      const writer = yield* open()
      yield* writer.store.set("k", "x".repeat(1_000), minute)
      const reader = yield* open({ maxValueBytes: 1_000 })
      same(yield* reader.store.get("k"), Option.none())
      same(yield* writer.store.get("k"), Option.some("x".repeat(1_000)))
    })
  )

  it.scopedLive("defaults - maxDecodedBytes follows maxValueBytes", () =>
    Effect.gen(function* () {
      const { store } = yield* (yield* onShelf)({ serializer: gzip, maxValueBytes: 9_000_000 })
      for (const [size, isStored] of [
        [8_900_000, true],
        [9_100_000, false]
      ] as const) {
        yield* store.set("k", "x".repeat(size), minute)
        same(yield* store.has("k"), isStored)
      }
    })
  )

  it("options - a limit that is no count is InvalidOption", () => {
    for (const maxDecodedBytes of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => CacheStore.fromBytes(Shelf.backend(new Shelf.Shelf()), { maxDecodedBytes }), InvalidOption)
    }
  })
})

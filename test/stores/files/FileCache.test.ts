import { deepStrictEqual } from "node:assert/strict"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as zlib from "node:zlib"
import * as FileSystem from "@effect/platform/FileSystem"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Exit, Fiber, Layer, Option, TestClock } from "effect"
import * as FileCache from "../../../src/FileCache.js"
import {
  Cached,
  CacheStore,
  Entry,
  Envelope,
  InvalidOption,
  MemoryCache,
  Serializer,
  TieredCache
} from "../../../src/index.js"
import { nameOf } from "../../../src/internal/backends/object/format.js"
import { msgpack } from "../../../src/MsgpackSerializer.js"
import { v8 } from "../../../src/NodeSerializer.js"
import { becomes, begun, counting, gate, makeLookup, openStore, recordWarnings, stats } from "../../laws/support.js"
import { live } from "../../support/live.js"

const hour = { ttl: "1 hour" } as const

const makeDirectory = Effect.orDie(Effect.flatMap(FileSystem.FileSystem, (all) => all.makeTempDirectoryScoped())).pipe(
  Effect.provide(NodeContext.layer)
)

type Options = Omit<FileCache.Options, "directory">

const layerIn = (directory: string, options: Options = {}) =>
  Layer.provide(FileCache.layer({ directory, ...options }), NodeContext.layer)

/** Runs with a store in a directory of its own. */
const inDirectory = <A, E>(
  use: (directory: string) => Effect.Effect<A, E, CacheStore>,
  options: Options = {}
): Effect.Effect<A, E> =>
  Effect.scoped(
    Effect.flatMap(makeDirectory, (directory) => Effect.provide(use(directory), layerIn(directory, options)))
  )

const entries = (directory: string): ReadonlyArray<string> =>
  fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => file.includes(path.sep) && !file.startsWith("drafts"))
    .sort()

const fileOf = (directory: string, key: string): string =>
  path.join(directory, nameOf(key).slice(0, 2), nameOf(key).slice(2))

const entryIn = (bytes: Uint8Array): Entry.Entry<Uint8Array> => {
  const found = Either.getOrThrow(Envelope.v1.decode(bytes))
  return found._tag === "Entry" ? found.entry : assert.fail("is a tombstone")
}

const hostile: ReadonlyArray<string> = [
  "",
  ".",
  "..",
  "../../etc/passwd",
  "/etc/passwd",
  "a/b",
  "a_b",
  "a\\b",
  "key",
  "KEY",
  "Key",
  "CON",
  "nul.txt",
  "trailing.",
  "trailing",
  "nothing\0",
  "nothing",
  "new\nline",
  "marks",
  "drafts",
  "é",
  "e\u0301",
  "😀",
  "\ud83d",
  "\ude00",
  "\ufffd",
  "__proto__",
  "*",
  "k".repeat(10_000),
  "k".repeat(10_001),
  "k".repeat(1_000_000)
]

describe("FileCache", () => {
  describe("names", () => {
    it.effect("keys - each has its own file in the directory, with a name that every file system accepts", () =>
      inDirectory((directory) =>
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.setMany(
            hostile.map((key, i) => [key, i] as const),
            hour
          )
          deepStrictEqual(
            yield* store.getMany(hostile),
            hostile.map((_, i) => Option.some(i))
          )
          const files = entries(directory)
          assert.lengthOf(files, hostile.length)
          for (const file of files) assert.match(file, /^[0-9a-f]{2}\/[0-9a-f]{62}$/)
          yield* store.remove("KEY")
          deepStrictEqual(yield* store.getMany(["key", "KEY", "Key"]), [Option.some(8), Option.none(), Option.some(10)])
        })
      )
    )

    it.effect("another key's file - is a counted miss and is overwritten", () =>
      inDirectory((directory) =>
        Effect.gen(function* () {
          const { lookup, calls } = makeLookup((id: string) => Effect.succeed(id))
          const find = Cached.ttl(lookup, { key: "find:{}", ...hour })
          yield* find("a")
          yield* find("b")
          yield* becomes(
            Effect.sync(() => entries(directory).length),
            2
          )
          fs.copyFileSync(fileOf(directory, "find:a"), fileOf(directory, "find:b"))
          // A write that is not confirmed yet answers reads.
          yield* becomes(
            Effect.map(find("b"), (value) => [value, calls.length]),
            ["b", 3]
          )
          assert.strictEqual((yield* stats).decodeFailures, 1)
          yield* becomes(find.peek("b"), Option.some("b"))
        })
      )
    )
  })

  describe("golden", () => {
    const golden = (name: string) => fs.readFileSync(new URL(`../../golden/file-v1-${name}`, import.meta.url), "utf8")
    const find = Cached.ttl((_: string) => Effect.dieMessage("loads nothing"), {
      key: "golden:{}",
      tags: ["golden"],
      ttl: Number.POSITIVE_INFINITY
    })

    for (const compression of ["plain", "checksum", "gzip", "brotli"]) {
      it.scoped(`${compression} - a file and marks written by version 1 are readable`, () =>
        Effect.gen(function* () {
          const directory = yield* makeDirectory
          const file = fileOf(directory, find.key("é"))
          assert.strictEqual(
            path.relative(directory, file),
            "ca/a07893efd70a6e3cb7c797613b543a619f11b5754c2cc94700018fae21664e"
          )
          fs.mkdirSync(path.dirname(file))
          fs.writeFileSync(file, Buffer.from(golden(`${compression}.hex`).replaceAll(/\s/g, ""), "hex"))
          const read = (marks: string) => {
            fs.writeFileSync(path.join(directory, "marks"), marks)
            return Effect.provide(find.peek("é"), layerIn(directory))
          }
          const value = { id: "é", at: new Date(0), text: "é漢😀".repeat(20) }
          deepStrictEqual(yield* read('{"count":1,"floor":0,"lost":0,"marks":[]}'), Option.some(value))
          // Older marks and marks of another tag first, then a mark of its own tag.
          const old = JSON.parse(golden("marks.json"))
          const marks = { ...old, floor: 0 }
          deepStrictEqual(yield* read(JSON.stringify(marks)), Option.some(value))
          const later = { ...marks, marks: [...marks.marks, ["t:golden", 1_795_625_930_000]] }
          deepStrictEqual(yield* read(JSON.stringify(later)), Option.none())
          deepStrictEqual(yield* read(JSON.stringify({ ...old, floor: 1_795_625_930_000 })), Option.none())
        })
      )
    }
  })

  describe("files", () => {
    it.effect("law 12: garbage heals - a truncated or overwritten file is a miss, never a failure", () =>
      inDirectory((directory) =>
        Effect.gen(function* () {
          const { lookup, calls } = makeLookup((id: string) => Effect.succeed(`value of ${id}`))
          const find = Cached.ttl(lookup, { key: "find:{}", ...hour })
          yield* find("x")
          const file = fileOf(directory, "find:x")
          yield* becomes(
            Effect.sync(() => fs.existsSync(file)),
            true
          )
          const whole = fs.readFileSync(file)
          const broken = [
            ...Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length)),
            Buffer.alloc(100),
            Buffer.from("x".repeat(5_000)),
            Buffer.concat([whole.subarray(0, 3), Buffer.from([9]), whole.subarray(4)])
          ]
          for (const bytes of broken) {
            const before = calls.length
            fs.writeFileSync(file, bytes)
            // A write that is not confirmed yet answers reads.
            yield* becomes(
              Effect.map(find("x"), (value) => [value, calls.length]),
              ["value of x", before + 1]
            )
            yield* becomes(
              Effect.sync(() => fs.readFileSync(file).length),
              whole.length
            )
          }
        })
      )
    )

    for (const serializer of [Serializer.lossless, msgpack, v8]) {
      for (const [kind, damage] of Object.entries({
        "zeros behind the first block": (bytes: Buffer) => bytes.fill(0, 4096),
        "one changed bit": (bytes: Buffer) => bytes.writeUInt8(bytes.readUInt8(9_000) ^ 1, 9_000)
      })) {
        it.effect(`law 12: garbage heals - ${serializer.name}: ${kind} is a miss that names the function`, () =>
          inDirectory(
            (directory) =>
              Effect.gen(function* () {
                const { lookup, calls } = makeLookup((_: string) =>
                  Effect.succeed(Uint8Array.from({ length: 20_000 }, (_, i) => (i % 250) + 1))
                )
                const find = Cached.ttl(lookup, { key: "find:{}", ...hour })
                const value = yield* find("x")
                const file = fileOf(directory, "find:x")
                yield* becomes(
                  Effect.sync(() => fs.existsSync(file)),
                  true
                )
                const whole = fs.readFileSync(file)
                const torn = Buffer.from(whole)
                damage(torn)
                fs.writeFileSync(file, torn)
                // A write that is not confirmed yet answers reads.
                yield* becomes(
                  Effect.map(find("x"), (value) => [value, calls.length]),
                  [value, 2]
                )
                assert.strictEqual((yield* stats).decodeFailures, 1)
                const { problems } = yield* Effect.flatMap(CacheStore, (store) => store.health)
                deepStrictEqual(
                  problems.map(({ count, name, subject }) => [name, subject, count]),
                  [["EntryUnreadable", "find:{}", 1]]
                )
                yield* becomes(
                  Effect.sync(() => fs.readFileSync(file).subarray(44).equals(whole.subarray(44))),
                  true
                )
              }),
            { serializer }
          )
        )
      }
    }

    it.effect("a stale entry - stays on the disk until it expires, and is served meanwhile", () =>
      inDirectory(() =>
        Effect.gen(function* () {
          const { lookup } = counting()
          const cached = Cached.swr(lookup(), { key: "k", ttl: "10 seconds", stale: "1 minute" })
          assert.strictEqual(yield* cached, 1)
          yield* TestClock.adjust("30 seconds")
          assert.strictEqual(yield* cached, 1)
          yield* becomes(cached.peek, Option.some(2))
        })
      )
    )

    it.effect("an impossible stamp - does not protect an entry from being overwritten", () =>
      inDirectory((directory) =>
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("k", 1, hour)
          const whole = fs.readFileSync(fileOf(directory, "k"))
          fs.writeFileSync(fileOf(directory, "k"), whole.fill(0x7f, 4, 12))
          yield* store.set("k", 2, hour)
          deepStrictEqual(yield* store.get("k"), Option.some(2))
        })
      )
    )

    it.effect("a deleted directory - is created again", () =>
      inDirectory((directory) =>
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("a", 1, hour)
          fs.rmSync(directory, { recursive: true })
          deepStrictEqual(yield* store.get("a"), Option.none())
          yield* store.set("a", 2, hour)
          yield* becomes(store.get("a"), Option.some(2))
        })
      )
    )

    it.effect("law 16: no scans - lost or damaged marks make all older entries misses", () =>
      inDirectory(
        (directory) =>
          Effect.gen(function* () {
            const store = yield* CacheStore
            for (const damage of [
              () => fs.rmSync(path.join(directory, "marks")),
              () => fs.writeFileSync(path.join(directory, "marks"), '{"count":1,"floor":0,"lost":0,"marks":[]}'),
              () => fs.writeFileSync(path.join(directory, "marks"), "no marks")
            ]) {
              yield* store.set("a", 1, hour)
              damage()
              yield* becomes(store.get("a"), Option.none())
            }
          }),
        { marksEvery: 1 }
      )
    )
  })

  describe("compression", () => {
    const text = "all work and no play makes jack a dull boy ".repeat(1_000)

    for (const [compression, isIts] of [
      ["gzip", (value: Buffer) => zlib.gunzipSync(value).toString() === JSON.stringify(text)],
      ["brotli", (value: Buffer) => zlib.brotliDecompressSync(value).toString() === JSON.stringify(text)]
    ] as const) {
      it.effect(`${compression} - makes files smaller, and a store with other options reads them`, () =>
        inDirectory(
          (directory) =>
            Effect.gen(function* () {
              const store = yield* CacheStore
              yield* store.set("text", text, hour)
              deepStrictEqual(yield* store.get("text"), Option.some(text))
              const bytes = fs.readFileSync(fileOf(directory, "text"))
              assert.isBelow(bytes.length, 1_000)
              // After the key, and the byte that names the algorithm.
              assert.isTrue(isIts(Buffer.from(entryIn(bytes).value.subarray(4 + 8 + 1))))
              const plain = Effect.flatMap(CacheStore, (store) => store.get("text"))
              deepStrictEqual(yield* Effect.provide(plain, layerIn(directory)), Option.some(text))
            }),
          { compression }
        )
      )
    }

    it.effect("a decompression bomb - is not inflated, but a counted miss", () =>
      inDirectory((directory) =>
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("text", "x", hour)
          const file = fileOf(directory, "text")
          const entry = entryIn(fs.readFileSync(file))
          const bomb = [entry.value.subarray(0, 4 + 8), Buffer.from([1]), zlib.gzipSync(Buffer.alloc(100_000_000))]
          const bytes = Envelope.v1.encode(new Entry.Entry(Buffer.concat(bomb), entry))
          fs.writeFileSync(file, Either.getOrThrow(bytes))
          deepStrictEqual(yield* store.get("text"), Option.none())
          assert.strictEqual((yield* stats).decodeFailures, 1)
        })
      )
    )

    it.effect("mode - new files and directories are for the user alone, unless the option allows more", () =>
      Effect.gen(function* () {
        const umask = process.umask(0)
        yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(umask)))
        for (const [options, file, directory] of [
          [{}, "600", "700"],
          [{ mode: 0o660 }, "660", "770"],
          [{ mode: 0o644 }, "644", "755"]
        ] as const) {
          const parent = yield* makeDirectory
          const store = path.join(parent, "new")
          yield* Effect.provide(
            Effect.flatMap(CacheStore, (cache) => Effect.zipRight(cache.set("key", 1, hour), cache.clear)),
            layerIn(store, options)
          )
          const modes = fs.readdirSync(store, { recursive: true, encoding: "utf8" }).map((name) => {
            const info = fs.statSync(path.join(store, name))
            return `${info.isDirectory() ? "directory" : "file"} ${(info.mode & 0o777).toString(8)}`
          })
          modes.push(`directory ${(fs.statSync(store).mode & 0o777).toString(8)}`)
          assert.sameMembers([...new Set(modes)], [`file ${file}`, `directory ${directory}`])
        }
      }).pipe(Effect.scoped)
    )

    it.effect("invalid options, and an algorithm that Node does not have - are the defect InvalidOption", () =>
      Effect.gen(function* () {
        const built = (options: Options) =>
          Effect.exit(
            Effect.scoped(Effect.flatMap(makeDirectory, (directory) => Layer.build(layerIn(directory, options))))
          )
        const exit = yield* built({ compression: "zstd" })
        if ("zstdCompressSync" in zlib) assert.isTrue(Exit.isSuccess(exit))
        else
          deepStrictEqual(
            Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof InvalidOption,
            true
          )
        for (const options of [
          { sweepEvery: 0 },
          { timeout: 0 },
          { concurrency: 0 },
          { maxFiles: 0 },
          { maxFiles: Number.NaN },
          { maxBytes: -1 },
          { maxBytes: 1.5 },
          { maxFiles: 10, sweepEvery: Number.POSITIVE_INFINITY },
          { mode: 0o400 },
          { mode: 0o1600 },
          { mode: Number.NaN }
        ]) {
          const exit = yield* built(options)
          assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof InvalidOption)
        }
        const nowhere = yield* Effect.exit(Effect.scoped(Layer.build(layerIn(""))))
        const defect = Exit.isFailure(nowhere) && nowhere.cause._tag === "Die" && nowhere.cause.defect
        assert.include(String(defect), "directory")
        assert.instanceOf(defect, InvalidOption)
      })
    )
  })

  describe("envelope", () => {
    const vectors: ReadonlyArray<{
      readonly name: string
      readonly serializer: string
      readonly freshUntil: number | "Infinity"
      readonly createdAt: number
      readonly value: unknown
      readonly hex: string
      readonly gzip?: boolean
    }> = JSON.parse(fs.readFileSync(new URL("../../vectors/advanced-caching.json", import.meta.url), "utf8")).vectors
    const python = { envelope: Envelope.advancedCaching } as const

    for (const { createdAt, freshUntil, hex, name, serializer, value } of vectors.filter(({ gzip }) => gzip === true)) {
      it.scoped(`advanced-caching, ${name} (${serializer}) - reads and writes the files of its file store`, () =>
        Effect.gen(function* () {
          const directory = yield* makeDirectory
          const options = {
            ...python,
            compression: "gzip",
            serializer: serializer === "json" ? Serializer.json : msgpack
          } as const
          const file = fileOf(directory, "k")
          fs.mkdirSync(path.dirname(file))
          fs.writeFileSync(file, Buffer.from(hex, "hex"))
          yield* TestClock.setTime(createdAt * 1_000 + 1_000)
          yield* Effect.gen(function* () {
            const store = yield* CacheStore
            deepStrictEqual(yield* store.get("k"), Option.some(value))
            yield* TestClock.setTime(createdAt * 1_000)
            yield* store.set("k", value, { ttl: (Number(freshUntil) - createdAt) * 1_000 })
            const written = zlib.gunzipSync(fs.readFileSync(file))
            const expected = zlib.gunzipSync(Buffer.from(hex, "hex"))
            deepStrictEqual(written.subarray(0, 16), expected.subarray(0, 16))
            if (serializer === "json") deepStrictEqual(written, expected)
            deepStrictEqual(yield* store.get("k"), Option.some(value))
          }).pipe(Effect.provide(layerIn(directory, options)))
        })
      )
    }

    it.effect(
      "a foreign envelope - serves all readers, each as stale as it allows; garbage heals; setIfAbsent has one winner",
      () =>
        inDirectory(
          (directory) =>
            Effect.gen(function* () {
              const store = yield* CacheStore
              yield* TestClock.setTime(1_900_000_000_000)
              const { calls, lookup } = makeLookup((id: number) => Effect.succeed({ id }))
              const plain = Cached.ttl(lookup, { key: "k:{}", name: "plain", ttl: "10 seconds" })
              const patient = Cached.swr(lookup, { key: "k:{}", name: "patient", ttl: "10 seconds", stale: "1 minute" })
              yield* plain(1)
              // Until the write has ended and its draft is removed, reads are answered without the file.
              yield* becomes(
                Effect.sync(
                  () => entries(directory).length === 1 && fs.readdirSync(path.join(directory, "drafts")).length
                ),
                0
              )
              deepStrictEqual(yield* store.get("k:1"), Option.some({ id: 1 }))
              yield* patient(1)
              assert.lengthOf(calls, 1)
              yield* TestClock.adjust("20 seconds")
              deepStrictEqual(yield* plain.peek(1), Option.none())
              deepStrictEqual(yield* patient.peek(1), Option.some({ id: 1 }))
              fs.writeFileSync(fileOf(directory, "k:1"), "rubbish")
              deepStrictEqual(yield* plain(1), { id: 1 })
              yield* becomes(store.get("k:1"), Option.some({ id: 1 }))
              yield* plain.invalidate(1)
              assert.isFalse(fs.existsSync(fileOf(directory, "k:1")))
              const won = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => store.setIfAbsent("one", n, hour), {
                concurrency: "unbounded"
              })
              assert.lengthOf(
                won.filter((one) => one),
                1
              )
              yield* store.clear
              deepStrictEqual(yield* store.get("one"), Option.none())
            }),
          { ...python, serializer: Serializer.json }
        )
    )
  })

  describe("sweep", () => {
    it.effect("expired entries, and old locks and drafts - are removed, and nothing else", () =>
      inDirectory(
        (directory) =>
          Effect.gen(function* () {
            const store = yield* CacheStore
            yield* store.setMany(
              [...Array(20).keys()].map((i) => [`short:${i}`, i] as const),
              { ttl: 1 }
            )
            yield* store.set("stale", 1, { ttl: 1, stale: "1 hour" })
            yield* store.set("long", 1, hour)
            yield* store.set("for ever", 1, { ttl: Number.POSITIVE_INFINITY })
            const old = (Date.now() - 7_200_000) / 1_000
            const litter = [path.join(directory, "drafts", `${randomUUID()}-1`), `${fileOf(directory, "dead")}.lock`]
            const young = path.join(directory, "drafts", `${randomUUID()}-1`)
            // the directory may be shared by mistake
            const ofOthers = [
              "drafts/novel.txt",
              "drafts/2024-01",
              "de/messages.json",
              "de/a.lock",
              "marks.lock.md",
              "a/b"
            ]
            const others = ofOthers.map((name) => path.join(directory, name))
            for (const file of [...others, ...litter, young]) {
              fs.mkdirSync(path.dirname(file), { recursive: true })
              fs.writeFileSync(file, "")
            }
            for (const file of [...others, ...litter]) fs.utimesSync(file, old, old)
            yield* becomes(
              Effect.sync(() => litter.some((file) => fs.existsSync(file))),
              false
            )
            yield* becomes(
              Effect.sync(() => entries(directory).filter((file) => !ofOthers.includes(file)).length),
              3
            )
            // in a whole round of the sweep
            const names = ["swept", "swept later"]
            for (const name of names) {
              yield* store.set(name, 1, { ttl: 1 })
              yield* becomes(
                Effect.sync(() => fs.existsSync(fileOf(directory, name))),
                false
              )
            }
            deepStrictEqual(
              others.filter((file) => !fs.existsSync(file)),
              []
            )
            assert.isTrue(fs.existsSync(young))
            deepStrictEqual(yield* store.getMany(["stale", "long", "for ever"]), Array(3).fill(Option.some(1)))
          }),
        { sweepEvery: "20 millis" }
      )
    )
  })

  describe("two stores in one directory", () => {
    const two = (options: Options = {}) =>
      Effect.gen(function* () {
        const directory = yield* makeDirectory
        const a = yield* openStore(layerIn(directory, options))
        const b = yield* openStore(layerIn(directory, options))
        yield* Effect.addFinalizer(() => Effect.zipRight(a.close, b.close))
        return { directory, a: a.provide, b: b.provide }
      })
    const store = <A, E>(use: (store: CacheStore.Service) => Effect.Effect<A, E>) => Effect.flatMap(CacheStore, use)

    it.scoped("setIfAbsent - has one winner among many, over an expired entry too", () =>
      Effect.gen(function* () {
        const { a, b } = yield* two()
        const race = Effect.map(
          Effect.all(
            Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? a : b)(store((all) => all.setIfAbsent("k", i, hour)))),
            { concurrency: "unbounded" }
          ),
          (won) => won.filter((one) => one).length
        )
        assert.strictEqual(yield* race, 1)
        assert.strictEqual(yield* race, 0)
        yield* TestClock.adjust("2 hours")
        assert.strictEqual(yield* race, 1)
      })
    )

    it.scoped(
      "law 8: invalidation wins - an invalidation in one process stops an earlier load of another from writing",
      () =>
        Effect.gen(function* () {
          const { a, b } = yield* two()
          const door = gate()
          const { lookup, calls } = makeLookup(() => Effect.as(door.pass, "outdated"))
          const cached = Cached.ttl(lookup(), { key: "k", name: "k", ...hour })
          const reader = yield* Effect.fork(a(cached))
          yield* begun(calls)
          yield* b(cached.invalidate)
          yield* door.open
          assert.strictEqual(yield* Fiber.join(reader), "outdated")
          yield* becomes(a(Effect.map(stats, ({ inFlight }) => inFlight)), 0)
          yield* live(Effect.sleep(50))
          deepStrictEqual(yield* b(cached.peek), Option.none())
          deepStrictEqual(yield* a(cached.peek), Option.none())
        })
    )

    it.scoped("clear and tags in one store - reach the other within marksEvery, its memory tier included", () =>
      Effect.gen(function* () {
        const directory = yield* makeDirectory
        const options = { directory, marksEvery: "100 millis" } as const
        const files = Layer.provide(FileCache.layer(options), NodeContext.layer)
        const tiered = TieredCache.layer({
          tiers: [{ backend: MemoryCache.backend() }, { backend: FileCache.backend(options) }]
        })
        const { provide: a } = yield* openStore(Layer.provide(tiered, NodeContext.layer))
        const { provide: b } = yield* openStore(files)
        const tagged = Cached.ttl((id: number) => Effect.succeed(id), { key: "t:{}", tags: ["t"], ...hour })
        yield* a(tagged(1))
        yield* becomes(b(tagged.peek(1)), Option.some(1))
        yield* b(Cached.invalidateTags(["t"]))
        yield* becomes(a(tagged.peek(1)), Option.none())
        yield* a(tagged(2))
        deepStrictEqual(yield* a(tagged.peek(2)), Option.some(2))
        yield* b(store((all) => all.clear))
        yield* becomes(a(tagged.peek(2)), Option.none())
      })
    )

    it.scoped("marks that both raise at once - are all kept", () =>
      Effect.gen(function* () {
        const { a, b, directory } = yield* two()
        const tags = Array.from({ length: 40 }, (_, i) => `tag ${i}`)
        yield* Effect.forEach(tags, (tag, i) => (i % 2 === 0 ? a : b)(Cached.invalidateTags([tag])), {
          concurrency: "unbounded"
        })
        const { marks } = JSON.parse(fs.readFileSync(path.join(directory, "marks"), "utf8"))
        deepStrictEqual(marks.map(([name]: [string]) => name).sort(), tags.map((tag) => `t:${tag}`).sort())
      })
    )

    it.scoped("a link that leads nowhere - is a miss, and is replaced", () =>
      Effect.gen(function* () {
        const { a, b, directory } = yield* two()
        const file = fileOf(directory, "k")
        fs.mkdirSync(path.dirname(file), { recursive: true })
        fs.symlinkSync(path.join(directory, "nowhere"), file)
        deepStrictEqual(yield* a(store((all) => all.get("k"))), Option.none())
        yield* a(store((all) => all.set("k", 1, hour)))
        deepStrictEqual(yield* b(store((all) => all.get("k"))), Option.some(1))
        assert.isFalse((yield* a(store((all) => all.health))).owes)
        assert.isFalse(fs.existsSync(path.join(directory, "nowhere")))
      })
    )

    it.scoped("the lock of a dead process - is taken over after its lease", () =>
      Effect.gen(function* () {
        const { a, directory } = yield* two()
        const lock = `${fileOf(directory, "k")}.lock`
        yield* a(store((all) => all.set("k", 1, hour)))
        fs.writeFileSync(lock, "of a dead process")
        yield* a(store((all) => all.set("k", 2, hour)))
        deepStrictEqual(yield* a(store((all) => all.get("k"))), Option.some(2))
        assert.isFalse(fs.existsSync(lock))
      })
    )

    it.scoped("the lock of a dead process - is taken over by a store whose timeout is shorter than its lease", () =>
      Effect.gen(function* () {
        const { a, directory } = yield* two({ timeout: "200 millis" })
        const lock = `${fileOf(directory, "k")}.lock`
        const owes = Effect.map(
          store((all) => all.health),
          (health) => health.owes
        )
        yield* a(store((all) => all.set("k", 1, hour)))
        yield* becomes(a(owes), false)
        fs.writeFileSync(lock, "of a dead process")
        yield* a(store((all) => all.remove("k")))
        yield* becomes(a(owes), false)
        assert.isFalse(fs.existsSync(lock))
      })
    )
  })

  describe("a failing disk", () => {
    const denied = (directory: string) =>
      Effect.gen(function* () {
        const { lines, layer } = recordWarnings()
        const { lookup, calls } = makeLookup((id: number) => Effect.succeed(id))
        const find = Cached.ttl(lookup, { key: "find:{}", ...hour })
        yield* Effect.gen(function* () {
          for (let i = 0; i < 20; i++) assert.strictEqual(yield* find(i), i)
          const store = yield* CacheStore
          yield* store.set("k", 1, hour)
          assert.isTrue(Exit.isFailure(yield* Effect.exit(store.setIfAbsent("absent", 1, hour))))
          assert.isAbove((yield* stats).storeErrors, 0)
        }).pipe(Effect.provide(Layer.provide(layerIn(directory), layer)))
        assert.lengthOf(calls, 20)
        assert.isNotEmpty(lines)
        assert.isAtMost(lines.length, 4, lines.join("\n"))
      })

    it.scoped("a file in the place of the directory - values are delivered, failures are counted and logged", () =>
      Effect.gen(function* () {
        const directory = path.join(yield* makeDirectory, "file")
        fs.writeFileSync(directory, "")
        yield* denied(directory)
      })
    )

    it.scoped("a directory without write permission - the same, and existing entries are still read", () =>
      Effect.gen(function* () {
        const directory = yield* makeDirectory
        const read = Effect.flatMap(CacheStore, (store) => store.get("there"))
        yield* Effect.provide(
          Effect.flatMap(CacheStore, (store) => store.set("there", 1, hour)),
          layerIn(directory, { mode: 0o644 })
        )
        fs.chmodSync(directory, 0o555)
        for (const name of fs.readdirSync(directory)) {
          if (fs.statSync(path.join(directory, name)).isDirectory()) fs.chmodSync(path.join(directory, name), 0o555)
        }
        // Permissions do not apply to root.
        const isRoot = process.geteuid!() === 0
        if (isRoot) process.seteuid!(65_534)
        yield* Effect.ensuring(
          Effect.gen(function* () {
            yield* denied(directory)
            deepStrictEqual(yield* Effect.provide(read, layerIn(directory)), Option.some(1))
          }),
          Effect.sync(() => {
            if (isRoot) process.seteuid!(0)
            fs.chmodSync(directory, 0o755)
          })
        )
      })
    )
  })
})

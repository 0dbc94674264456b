/**
 * Snapshots of a store in memory, in real files: what a process finds that another one has left.
 */
import { deepStrictEqual } from "node:assert/strict"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { dirname } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Either, Exit, Layer, Option, Runtime, Schema, TestClock } from "effect"
import {
  Cached,
  CacheStore,
  CacheStoreError,
  Entry,
  Envelope,
  InvalidOption,
  MemoryCache,
  Serializer,
  TieredCache
} from "effect-cached"
import * as CacheSnapshot from "effect-cached/CacheSnapshot"
import * as FileCache from "effect-cached/FileCache"
import * as Format from "../../src/internal/snapshot/format.js"
import { defectOf, makeLookup, minute, openStore, recordWarnings } from "../laws/support.js"
import { awaitUntil } from "../support/live.js"
import { directory, freshPath, run, runLogged, storeOf } from "./support.js"

const { none, some } = Option

const entries = Effect.flatMap(CacheStore, (store) =>
  Effect.map(store.stats, (stats) => Option.getOrThrow(stats.entries))
)
const store = <A, E, R>(use: (store: CacheStore.Service) => Effect.Effect<A, E, R>) => Effect.flatMap(CacheStore, use)
const get = (key: string) => store((all) => all.get<unknown>(key))
const set = (key: string, value: unknown, options: CacheStore.SetOptions = minute) =>
  store((all) => all.set(key, value, options))
const problems = store((all) =>
  Effect.map(all.health, ({ problems }) =>
    // the tests of a file build more stores than a program does
    problems.map(({ name }) => name).filter((name) => name !== "BuiltTooOften")
  )
)

describe("CacheSnapshot", () => {
  describe("a restart", () => {
    it.scoped("values - are hits of their functions, and of no other", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const { calls, lookup } = makeLookup((id: number) => Effect.succeed({ id, at: new Date(0), big: 1n }))
        const options = { key: "user:{}", tags: ["users"], ...minute } as const
        const find = Cached.ttl(lookup, options)
        const next = Cached.ttl(lookup, { ...options, version: 2 })
        const other = Cached.ttl(lookup, { ...options, name: "other" })
        yield* run({ path })(Effect.all([find(1), find(2), set("plain", "p")]))
        yield* run({ path })(
          Effect.gen(function* () {
            deepStrictEqual(yield* find(1), { id: 1, at: new Date(0), big: 1n })
            deepStrictEqual(yield* get("plain"), some("p"))
            assert.lengthOf(calls, 2)
            yield* next(1)
            assert.lengthOf(calls, 3)
            yield* other(2)
            assert.lengthOf(calls, 4)
            yield* store((all) => all.tags.invalidate(["users"]))
            deepStrictEqual(yield* find.peek(1), none())
          })
        )
      })
    )

    it.scoped("lifetimes - go on, less the time in between", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const find = Cached.swr(Effect.succeed(1), { key: "swr", ttl: "60 seconds", stale: "30 seconds" })
        yield* run({ path })(
          Effect.gen(function* () {
            yield* find
            yield* set("short", 1, { ttl: "20 seconds" })
            yield* set("forever", 1, { ttl: Duration.infinity })
            yield* TestClock.adjust("10 seconds")
          })
        )
        yield* TestClock.adjust("30 seconds")
        yield* run({ path })(
          Effect.gen(function* () {
            const now = yield* Clock.currentTimeMillis
            const view = Option.getOrThrow(yield* find.entry)
            deepStrictEqual([view.freshUntil - now, view.expiresAt - now, view.state], [20_000, 50_000, "fresh"])
            deepStrictEqual(yield* get("short"), none())
            deepStrictEqual(yield* get("forever"), some(1))
            assert.strictEqual(yield* entries, 2)
            yield* TestClock.adjust("20 seconds")
            assert.strictEqual(Option.getOrThrow(yield* find.entry).state, "stale")
            yield* TestClock.adjust("30 seconds")
            deepStrictEqual(yield* find.peek, none())
          })
        )
      })
    )

    it.scoped("a clock that was set back - makes no entry live longer", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        yield* TestClock.setTime(1_000_000)
        yield* run({ path })(Effect.zipRight(set("k", 1, { ttl: "60 seconds" }), TestClock.adjust("10 seconds")))
        yield* TestClock.setTime(500_000)
        yield* run({ path })(
          Effect.gen(function* () {
            deepStrictEqual(yield* get("k"), some(1))
            yield* TestClock.adjust("49 seconds")
            deepStrictEqual(yield* get("k"), some(1))
            yield* TestClock.adjust("1 second")
            deepStrictEqual(yield* get("k"), none())
          })
        )
      })
    )

    it.scoped("idle times, retained values and stored failures - are restored", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const idle = Cached.ttl(Effect.succeed("i"), { key: "idle", ttl: "1 hour", maxIdle: "60 seconds" })
        const kept = Cached.ttl(Effect.succeed("k"), { key: "kept", ttl: "10 seconds", staleIfError: "1 hour" })
        const failing = makeLookup(() => Effect.fail({ _tag: "Missing" as const }))
        const failed = Cached.ttl(Effect.suspend(failing.lookup), {
          key: "failed",
          failures: { ttl: "1 minute" },
          ...minute
        })
        yield* run({ path })(
          Effect.gen(function* () {
            yield* Effect.all([idle, kept, Effect.flip(failed)])
            yield* TestClock.adjust("30 seconds")
            // read again, so that the idle time counts from here
            yield* idle
            yield* TestClock.adjust("10 seconds")
          })
        )
        yield* run({ path })(
          Effect.gen(function* () {
            const now = yield* Clock.currentTimeMillis
            assert.strictEqual(Option.getOrThrow(yield* idle.entry).idleUntil! - now, 50_000)
            assert.strictEqual(Option.getOrThrow(yield* kept.entry).state, "retained")
            deepStrictEqual(yield* Effect.flip(failed), { _tag: "Missing" })
            assert.lengthOf(failing.calls, 1)
            yield* TestClock.adjust("50 seconds")
            deepStrictEqual(yield* idle.peek, none())
          })
        )
      })
    )

    it.scoped("a mirror - has the restored value at once", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        yield* run({ path })(set("flags", { dark: true }))
        yield* run({ path })(
          Effect.scoped(
            Effect.gen(function* () {
              deepStrictEqual(yield* yield* Cached.bgRead({ key: "flags" }), some({ dark: true }))
            })
          )
        )
        const mirrored = Effect.gen(function* () {
          const mirror = yield* Cached.bgRead({ key: "flags" })
          deepStrictEqual(yield* mirror, none())
          yield* CacheSnapshot.load({ path })
          return yield* mirror
        })
        const live = Layer.merge(MemoryCache.layer(), NodeContext.layer)
        deepStrictEqual(yield* Effect.provide(Effect.scoped(mirrored), live), some({ dark: true }))
      })
    )

    it.scoped("frozen and serialized values, a tiered store of memory alone, and none - have snapshots", () =>
      Effect.gen(function* () {
        const frozen = MemoryCache.layer({ values: "frozen" })
        const serialized = MemoryCache.layer({ values: "serialized" })
        const tiered = TieredCache.layer({ tiers: [{ backend: MemoryCache.backend() }] })
        class Money extends Schema.Class<Money>("Money")({ cents: Schema.Number }) {}
        const price = Cached.ttl(Effect.succeed(new Money({ cents: 5 })), { key: "price", schema: Money, ...minute })
        for (const memory of [frozen, serialized, tiered]) {
          const path = yield* freshPath
          const functions = memory === serialized ? [] : [price]
          yield* run({ path, functions }, memory)(Effect.all([set("k", { n: [1] }), price]))
          yield* run(
            { path, functions },
            memory
          )(
            Effect.gen(function* () {
              const found = Option.getOrThrow(yield* get("k"))
              deepStrictEqual(found, { n: [1] })
              assert.strictEqual(Object.isFrozen(found), memory === frozen)
              assert.instanceOf(Option.getOrThrow(yield* price.peek), Money)
              deepStrictEqual(yield* problems, [])
            })
          )
        }
        const path = yield* freshPath
        yield* run({ path }, CacheStore.layerNoop)(set("k", 1))
        assert.isFalse(fs.existsSync(path))
      })
    )

    it.scoped("a store of another form - begins empty, with a Warning", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        yield* run({ path })(set("k", 1))
        const { answer, lines } = yield* runLogged({ path }, get("k"), MemoryCache.layer({ values: "serialized" }))
        deepStrictEqual(answer, none())
        assert.lengthOf(lines, 1)
        assert.include(lines[0], path)
      })
    )

    it.scoped("more entries than the store may hold - leave it full", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        yield* run({ path })(
          Effect.forEach(
            Array.from({ length: 50 }, (_, i) => `k${i}`),
            (key) => set(key, 1)
          )
        )
        assert.strictEqual(yield* run({ path }, MemoryCache.layer({ capacity: 10 }))(entries), 10)
      })
    )
  })

  describe("invalidation", () => {
    it.scoped("what was invalidated before the snapshot - does not come back", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const swr = Cached.swr((_: string) => Effect.succeed("s"), {
          key: "swr:{}",
          ttl: "1 minute",
          stale: "1 minute",
          tags: ["expired"]
        })
        const cleared = Cached.ttl((_: string) => Effect.succeed("c"), { key: "cleared:{}", ...minute })
        yield* run({ path })(
          Effect.gen(function* () {
            const all = yield* CacheStore
            yield* set("tagged", 1, { ...minute, tags: ["t"] })
            yield* set("removed", 1)
            yield* set("kept", 1, { ...minute, tags: ["u"] })
            yield* swr("a")
            yield* cleared("a")
            yield* all.tags.invalidate(["t"])
            yield* all.remove("removed")
            yield* all.tags.expire(["expired"])
            yield* cleared.clear
          })
        )
        yield* run({ path })(
          Effect.gen(function* () {
            deepStrictEqual([yield* get("tagged"), yield* get("removed")], [none(), none()])
            deepStrictEqual(yield* get("kept"), some(1))
            assert.strictEqual(Option.getOrThrow(yield* swr.entry("a")).state, "stale")
            deepStrictEqual(yield* cleared.peek("a"), none())
            // marks of this process are later than what was restored, and earlier than what is written now
            yield* store((all) => all.tags.invalidate(["u"]))
            deepStrictEqual(yield* get("kept"), none())
            yield* set("kept", 2, { ...minute, tags: ["u"] })
            deepStrictEqual(yield* get("kept"), some(2))
          })
        )
        yield* run({ path })(
          Effect.gen(function* () {
            deepStrictEqual(yield* get("kept"), some(2))
            yield* store((all) => all.clear)
          })
        )
        assert.strictEqual(yield* run({ path })(entries), 0)
      })
    )

    it.scoped("invalidations of others, long after a restart - leave a restored entry alone", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        yield* run({ path })(set("kept", 1, { ttl: "1 day", tags: ["t"] }))
        yield* run({ path })(
          Effect.gen(function* () {
            const { invalidate } = (yield* CacheStore).tags
            // the first mark is dropped once all that is older has expired
            for (const tag of ["a", "b", "c"]) {
              yield* invalidate([tag])
              yield* TestClock.adjust("1 hour")
            }
            deepStrictEqual(yield* get("kept"), some(1))
          })
        )
      })
    )

    it.scoped("an older snapshot, loaded by a successor - does not bring back what was invalidated since", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const older = { path: `${path}.older` }
        yield* run({ path })(
          Effect.gen(function* () {
            yield* set("cleared", 1, { ...minute, tags: ["t"] })
            yield* set("kept", 1)
            yield* CacheSnapshot.save(older)
            yield* store((all) => all.tags.invalidate(["t"]))
            yield* store((all) => all.remove("kept"))
          }).pipe(Effect.provide(NodeContext.layer))
        )
        yield* run({ path })(
          Effect.gen(function* () {
            assert.strictEqual(yield* entries, 0)
            const loaded = yield* CacheSnapshot.load(older)
            deepStrictEqual(loaded, { entries: 1, expired: 0, skipped: 1, unreadable: 0 })
            deepStrictEqual([yield* get("cleared"), yield* get("kept")], [none(), some(1)])
          }).pipe(Effect.provide(NodeContext.layer))
        )
      })
    )

    it.scoped("what changes while a snapshot is saved - is in it as it is at the end", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const all = yield* Effect.map(openStore(MemoryCache.layer()), ({ provide }) => provide)
        const runtime = yield* Effect.runtime<never>()
        const now = <A>(effect: Effect.Effect<A, never, CacheStore>) => Runtime.runSync(runtime)(all(effect))
        yield* all(
          Effect.gen(function* () {
            yield* set("removed", 1)
            yield* set("replaced", "old")
            yield* set("tagged", 1, { ttl: "1 hour", tags: ["t"] })
            yield* set("kept", 1, { ttl: "1 hour" })
            yield* set("last", "change", { ttl: "1 hour" })
          })
        )
        let changes = 0
        const serializer: Serializer.Serializer = {
          ...Serializer.lossless,
          encode: (value, limits) => {
            if (value === "change" && changes++ === 0) {
              now(store((each) => each.remove("removed")))
              now(set("replaced", "new", { ttl: "1 hour" }))
              now(store((each) => each.tags.invalidate(["t"])))
            }
            return Serializer.lossless.encode(value, limits)
          }
        }
        yield* all(Effect.provide(CacheSnapshot.save({ path, serializer }), NodeContext.layer))
        assert.strictEqual(changes, 1)
        yield* run({ path })(
          Effect.gen(function* () {
            const found = yield* store((each) => each.getMany(["removed", "replaced", "tagged", "kept", "last"]))
            deepStrictEqual(found, [none(), some("new"), none(), some(1), some("change")])
          })
        )
      })
    )
  })

  describe("values that cannot be encoded", () => {
    class Plain {
      readonly n = 1
    }

    it.scoped("are left out, counted, and one Warning names the first function and the file", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const find = Cached.ttl((_: number) => Effect.succeed({ plain: new Plain() }), { key: "plain:{}", ...minute })
        const { answer, lines } = yield* runLogged(
          { path },
          Effect.gen(function* () {
            yield* Effect.all([find(1), find(2), set("k", 1), set("\ud800", 1)])
            const saved = yield* CacheSnapshot.save({ path })
            yield* CacheSnapshot.save({ path })
            return { saved, problems: yield* problems }
          }).pipe(Effect.provide(NodeContext.layer))
        )
        deepStrictEqual(answer.saved, { entries: 1, refused: 3, bytes: fs.statSync(path).size })
        deepStrictEqual(answer.problems, ["SnapshotIncomplete"])
        assert.lengthOf(lines, 1)
        for (const part of ["plain:{}", path, "3 could not be encoded"]) assert.include(lines[0], part)
        deepStrictEqual(yield* run({ path })(get("k")), some(1))
      })
    )

    it.scoped("the schemas of functions - convert values, options of batches, entities and stored failures", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        class User extends Schema.Class<User>("User")({ id: Schema.Number }) {}
        class Missing extends Schema.TaggedError<Missing>()("Missing", { id: Schema.Number }) {}
        const { calls, lookup } = makeLookup(
          (id: number): Effect.Effect<User, Missing> =>
            id > 0 ? Effect.succeed(new User({ id })) : new Missing({ id })
        )
        const find = Cached.ttl(lookup, {
          key: "find:{}",
          schema: User,
          failures: { ttl: "1 minute", schema: Missing },
          ...minute
        })
        const many = Cached.batched(
          (ids: ReadonlyArray<number>) => Effect.succeed(ids.map((id) => [id, new User({ id })] as const)),
          { key: "many:{}", schema: User, ...minute }
        )
        const users = Cached.entity(User, { name: "users", key: ["id"], ...minute })
        const functions = [find, many, users]
        yield* run({ path, functions })(
          Effect.all([find(1), Effect.flip(find(-1)), many(2), users.put(new User({ id: 3 }))])
        )
        const restored = Effect.gen(function* () {
          return [
            yield* find.peek(1),
            Option.flatten(yield* many.peek(2)),
            yield* users.get(3),
            some(yield* Effect.flip(find(-1)))
          ]
        })
        const found = yield* run({ path, functions })(restored)
        deepStrictEqual(
          found.map((each) => Option.getOrThrow(each).constructor.name),
          ["User", "User", "User", "Missing"]
        )
        assert.lengthOf(calls, 2)
        const { answer, lines } = yield* runLogged({ path }, entries)
        assert.strictEqual(answer, 0)
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "4 entries")
      })
    )

    it.effect("something that is no cached function - is InvalidOption", () =>
      Effect.gen(function* () {
        const options = { path: "x", functions: [{ stats: Effect.void }] }
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(storeOf(options))))
        assert.instanceOf(defectOf(exit), InvalidOption)
      })
    )
  })

  describe("the file", () => {
    it.scoped("is for its user alone, in a directory that is made; no draft is left", () =>
      Effect.gen(function* () {
        const path = `${yield* directory}/a/b/store.snapshot`
        yield* run({ path })(set("k", 1))
        assert.strictEqual(fs.statSync(path).mode & 0o777, 0o600)
        fs.chmodSync(path, 0o644)
        yield* run({ path })(set("k", 2))
        assert.strictEqual(fs.statSync(path).mode & 0o777, 0o600)
        deepStrictEqual(fs.readdirSync(dirname(path)), ["store.snapshot"])
      })
    )

    it.scoped("behind a symbolic link - is replaced where it is, and the link stays", () =>
      Effect.gen(function* () {
        const parent = yield* directory
        const path = `${parent}/link`
        fs.mkdirSync(`${parent}/volume`)
        fs.writeFileSync(`${parent}/volume/file`, "")
        fs.symlinkSync(`${parent}/volume/file`, path)
        yield* run({ path })(set("k", 1))
        assert.isTrue(fs.lstatSync(path).isSymbolicLink())
        deepStrictEqual(fs.readdirSync(`${parent}/volume`).sort(), ["file", "file.unreadable"])
        deepStrictEqual(yield* run({ path })(get("k")), some(1))
      })
    )

    it.scoped("the draft of a process that was killed - is removed after a minute", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const draft = (digit: string) => `${path}.${digit.repeat(8)}-0000-0000-0000-000000000000.tmp`
        for (const digit of ["1", "2"]) fs.writeFileSync(draft(digit), "half")
        fs.utimesSync(draft("1"), 0, 0)
        fs.writeFileSync(`${path}.mine.tmp`, "not a draft")
        fs.utimesSync(`${path}.mine.tmp`, 0, 0)
        yield* run({ path })(Effect.void)
        deepStrictEqual([draft("1"), draft("2"), `${path}.mine.tmp`].map(fs.existsSync), [false, true, true])
      })
    )

    it.scoped("damage of any byte, and a file cut anywhere - is an empty start, a Warning, and heals", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        yield* run({ path })(
          Effect.zipRight(
            Effect.forEach([1, 2, 3], (n) => set(`k${n}`, n, { ttl: "1 hour", tags: ["t"] })),
            store((all) => all.tags.invalidate(["u"]))
          )
        )
        const whole = fs.readFileSync(path)
        const broken = [
          ...Array.from({ length: whole.length / 3 }, (_, i) => {
            const at = 3 * i
            const bytes = Uint8Array.from(whole)
            bytes[at]! ^= 1 << (at % 8)
            return bytes
          }),
          ...Array.from({ length: whole.length / 3 }, (_, i) => whole.subarray(0, 3 * i)),
          Buffer.concat([whole, Buffer.from([0])]),
          Buffer.concat([whole, whole]),
          Buffer.from("something else, of another program")
        ]
        const { layer, lines } = recordWarnings()
        yield* Effect.gen(function* () {
          for (const bytes of broken) {
            fs.writeFileSync(path, bytes)
            assert.instanceOf(yield* Effect.flip(CacheSnapshot.load({ path })), CacheStoreError)
          }
          assert.strictEqual(yield* entries, 0)
        }).pipe(Effect.provide(Layer.merge(MemoryCache.layer(), NodeContext.layer)))
        const last = broken[broken.length - 10]!
        fs.writeFileSync(path, last)
        const found = yield* Effect.provide(run({ path })(Effect.all([entries, problems, set("new", 1)])), layer)
        deepStrictEqual(found.slice(0, 2), [0, ["SnapshotUnreadable"]])
        assert.lengthOf(lines, 1)
        assert.include(lines[0], path)
        deepStrictEqual(fs.readFileSync(`${path}.unreadable`), Buffer.from(last))
        deepStrictEqual(yield* run({ path })(get("new")), some(1))
      })
    )

    it.scoped("none - is an empty start without a Warning, and `load` restores nothing", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const load = Effect.provide(CacheSnapshot.load({ path }), NodeContext.layer)
        const { answer, lines } = yield* runLogged({ path }, load)
        deepStrictEqual(answer, { entries: 0, expired: 0, skipped: 0, unreadable: 0 })
        deepStrictEqual(lines, [])
      })
    )

    it.scoped("a directory in its place - is a Warning, and stays", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        fs.mkdirSync(path)
        const { answer, lines } = yield* runLogged({ path }, Effect.zipRight(set("k", 1), problems))
        deepStrictEqual(answer, ["SnapshotUnreadable"])
        // the second one says that it cannot be saved
        assert.lengthOf(lines, 2)
        assert.isTrue(fs.statSync(path).isDirectory())
        deepStrictEqual(fs.readdirSync(path), [])
      })
    )

    it.scoped("a pipe in its place - is not opened, and is replaced", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        spawnSync("mkfifo", [path])
        const { answer } = yield* runLogged({ path }, Effect.zipRight(set("k", 1), problems))
        deepStrictEqual(answer, ["SnapshotUnreadable"])
        deepStrictEqual(yield* run({ path })(get("k")), some(1))
      })
    )

    it.scoped("a forged file with right checksums - is refused, or restores nothing that could not be replaced", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const noMarks = {
          floor: Number.NEGATIVE_INFINITY,
          cleared: Number.NEGATIVE_INFINITY,
          latestTag: Number.NEGATIVE_INFINITY,
          marks: new Float64Array(),
          expiries: new Float64Array(),
          tagBuckets: new Float64Array(),
          ownerBuckets: new Float64Array()
        }
        const header = { createdAt: 0, freshUntil: 1e15, expiresAt: 1e15, owner: "", tags: [] }
        const value = Either.getOrThrow(Serializer.lossless.encode("forged"))
        const record = (stamp: number) => {
          const writer = new Format.EntriesWriter()
          const envelope = Either.getOrThrow(Envelope.v1.encode(new Entry.Entry(value, { ...header, stamp })))
          writer.add({ key: "k", isBySchema: false, envelope })
          return writer.take().subarray(Format.blockHeadLength)
        }
        const write = (records: ReadonlyArray<Uint8Array>, entries: number, latest: number) =>
          fs.writeFileSync(
            path,
            Buffer.concat([
              Format.head("values"),
              Format.block("entries", records),
              Format.marks(noMarks),
              Format.end({ savedAt: 0, latest, blocks: 2, entries })
            ])
          )
        const load = CacheSnapshot.load({ path })
        yield* Effect.gen(function* () {
          for (const latest of [Number.POSITIVE_INFINITY, Number.NaN, -1, 1e15]) {
            write([record(1)], 1, latest)
            yield* Effect.flip(load)
          }
          write([record(1)], 2, 10)
          yield* Effect.flip(load)
          write([Uint8Array.of(0, 0, 0, 9, 1)], 1, 10)
          yield* Effect.flip(load)
          write([record(11)], 1, 10)
          deepStrictEqual(yield* load, { entries: 0, expired: 0, skipped: 0, unreadable: 1 })
          write([record(10)], 1, 10)
          deepStrictEqual(yield* load, { entries: 1, expired: 0, skipped: 0, unreadable: 0 })
          yield* store((all) => all.clear)
          deepStrictEqual(yield* get("k"), none())
        }).pipe(Effect.provide(Layer.merge(MemoryCache.layer(), NodeContext.layer)))
      })
    )

    it.scoped("a place that cannot be written - is one Warning, until it can", () =>
      Effect.gen(function* () {
        const parent = yield* directory
        const path = `${parent}/file/store.snapshot`
        fs.writeFileSync(`${parent}/file`, "no directory")
        const { layer, lines } = recordWarnings()
        const failures = Effect.map(problems, (names) => names.filter((name) => name === "SnapshotFails").length)
        yield* Effect.gen(function* () {
          const { close, provide } = yield* openStore(storeOf({ path, every: "1 minute" }))
          yield* provide(set("k", 1, { ttl: "1 hour" }))
          yield* TestClock.adjust("1 minute")
          yield* awaitUntil(
            Effect.map(provide(failures), (count) => count === 1),
            "the problem is listed"
          )
          yield* TestClock.adjust("1 minute")
          const error = yield* Effect.flip(provide(Effect.provide(CacheSnapshot.save({ path }), NodeContext.layer)))
          assert.strictEqual(error.method, "save")
          fs.rmSync(`${parent}/file`)
          yield* TestClock.adjust("1 minute")
          yield* awaitUntil(
            Effect.map(provide(failures), (count) => count === 0),
            "the problem is over"
          )
          yield* close
        }).pipe(Effect.provide(layer))
        assert.lengthOf(
          lines.filter((line) => line.includes("cannot be saved")),
          1
        )
        deepStrictEqual(yield* run({ path })(get("k")), some(1))
      })
    )

    it.scoped("every - saves on the clock of the Layer", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const { provide } = yield* openStore(storeOf({ path, every: "5 minutes" }))
        yield* provide(set("k", 1, { ttl: "1 hour" }))
        yield* TestClock.adjust("4 minutes")
        assert.isFalse(fs.existsSync(path))
        yield* TestClock.adjust("1 minute")
        yield* awaitUntil(
          Effect.sync(() => fs.existsSync(path)),
          "the snapshot is there"
        )
        // as after a kill
        deepStrictEqual(yield* run({ path })(get("k")), some(1))
      })
    )

    it.scopedLive("a disk that does not answer - delays the end of the Layer by the timeout", () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const real = yield* Effect.provide(FileSystem.FileSystem, NodeContext.layer)
        const hanging = FileSystem.FileSystem.of({ ...real, rename: () => Effect.never })
        const { layer, lines } = recordWarnings()
        const memory = MemoryCache.layer()
        const snapshot = CacheSnapshot.layer({ path, timeout: "20 millis" }).pipe(
          Layer.provide(Layer.merge(memory, Layer.succeed(FileSystem.FileSystem, hanging))),
          Layer.provide(NodeContext.layer)
        )
        yield* Effect.scoped(Effect.provide(set("k", 1), snapshot)).pipe(Effect.provide(layer))
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "longer than the timeout")
        assert.isFalse(fs.existsSync(path))
      })
    )
  })

  describe("other stores", () => {
    const Files = Layer.unwrapScoped(
      Effect.map(directory, (directory) => Layer.provide(FileCache.layer({ directory }), NodeContext.layer))
    )
    const twoTiers = TieredCache.layer({
      tiers: [{ backend: MemoryCache.backend() }, { backend: MemoryCache.backend({ name: "slow" }) }]
    })

    for (const [name, memory] of [
      ["files", Files],
      ["two tiers", twoTiers]
    ] as const) {
      it.effect(`${name} - are InvalidOption`, () =>
        Effect.gen(function* () {
          const exit = yield* Effect.exit(Effect.scoped(Layer.build(storeOf({ path: "unused" }, memory))))
          assert.isTrue(Exit.isFailure(exit))
          const defect = defectOf(exit)
          assert.instanceOf(defect, InvalidOption)
          assert.strictEqual(defect.option, "store")
        })
      )
    }

    it.effect("options that are no options - are InvalidOption", () =>
      Effect.gen(function* () {
        for (const options of [{ every: 0 }, { timeout: -1 }, { maxValueBytes: 0 }, { path: "" }]) {
          const exit = yield* Effect.exit(Effect.scoped(Layer.build(storeOf({ path: "unused", ...options }))))
          assert.instanceOf(defectOf(exit), InvalidOption)
        }
      })
    )

    it.scoped("a store of a tag of its own - is restored and provided under its tag", () =>
      Effect.gen(function* () {
        class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}
        const path = yield* freshPath
        const layer = CacheSnapshot.layer({ path, store: Sessions }).pipe(
          Layer.provide([Layer.scoped(Sessions, MemoryCache.make({ name: "sessions" })), NodeContext.layer])
        )
        yield* Effect.flatMap(Sessions, (all) => all.set("k", 1, minute)).pipe(Effect.provide(layer))
        const found = yield* Effect.flatMap(Sessions, (all) => all.get("k")).pipe(Effect.provide(layer))
        deepStrictEqual(found, some(1))
      })
    )
  })
})

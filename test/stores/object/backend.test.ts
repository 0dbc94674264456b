import { deepStrictEqual } from "node:assert/strict"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { assert, describe, it, vi } from "@effect/vitest"
import { Clock, Deferred, Effect, Either, Fiber, Option } from "effect"
import { type Backend, Cached, Entry, Envelope } from "../../../src/index.js"
import * as ObjectBackend from "../../../src/internal/backends/object/backend.js"
import { marksName, nameOf, parseHeader } from "../../../src/internal/backends/object/format.js"
import type { ObjectStore, Stored } from "../../../src/internal/backends/object/objectStore.js"
import * as KeyValueCache from "../../../src/KeyValueCache.js"

/** An object store in this process that behaves as a bucket does. */
const shelf = () => {
  const all = new Map<string, Stored & { readonly bytes: Uint8Array }>()
  let version = 0
  const objects: ObjectStore = {
    name: "shelf",
    head: (name) => Effect.sync(() => all.get(name)),
    read: (name) => Effect.sync(() => all.get(name)),
    write: (name, { bytes }, condition) =>
      Effect.sync(() => {
        if (condition !== undefined && condition !== (all.get(name)?.version ?? null)) return false
        all.set(name, { version: `${++version}`, meta: parseHeader(bytes), bytes })
        return true
      }),
    remove: (names) =>
      Effect.sync(() => {
        for (const name of names) all.delete(name)
        return names.map(() => undefined)
      }),
    list: () =>
      Effect.sync(() => ({
        objects: Array.from(all.keys(), (name) => ({ name })).filter(({ name }) => name !== marksName),
        next: undefined
      })),
    removeIf: (name, version) => Effect.sync(() => all.get(name)?.version === version && all.delete(name))
  }
  return { all, objects }
}

/** The write of a load in a process whose clock is `ahead` milliseconds ahead. */
const loaded = (key: string, ahead: number): Backend.Write<Uint8Array> => {
  const stamp = Date.now() + ahead
  const times = { createdAt: stamp, freshUntil: stamp + 600_000, expiresAt: stamp + 600_000 }
  const entry = new Entry.Entry(Uint8Array.of(1), { stamp, ...times, owner: "", tags: ["x"] })
  return { key, entry, lifetime: 600_000, authoritative: false }
}

const newMarksOf = (backend: Backend.Backend<Uint8Array>) =>
  Effect.map(backend.getMany([{ key: "none" }]), ({ marks }) => new Map(marks?.raised))

describe("ObjectMarks", () => {
  it.effect("marks whose read timed out - are reported with the next answer", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const other = yield* ObjectBackend.make(objects, {})
      const slow = yield* Deferred.make<void>()
      const late = yield* Deferred.make<void>()
      let isSlow = false
      const backend = yield* ObjectBackend.make(
        {
          ...objects,
          read: (name, wants) =>
            isSlow && name === marksName
              ? Effect.zipRight(Deferred.await(slow), objects.read(name, wants))
              : objects.read(name, wants)
        },
        { marksEvery: 0 }
      )
      yield* newMarksOf(backend)
      yield* other.marks!.raise([{ name: "t:x", stamp: 0, authoritative: true }])
      isSlow = true
      const clock: Clock.Clock = { ...Clock.make(), sleep: () => Deferred.await(late) }
      const reading = yield* Effect.fork(Effect.withClock(Effect.either(backend.marks!.read), clock))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      Deferred.unsafeDone(late, Effect.void)
      Deferred.unsafeDone(slow, Effect.void)
      assert.strictEqual((yield* Fiber.join(reading))._tag, "Left")
      isSlow = false
      deepStrictEqual(Array.from((yield* newMarksOf(backend)).keys()), ["t:x"])
    })
  )

  it.effect("a mark raised after reading a later entry - applies to that entry, whatever the clock here says", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const ahead = yield* ObjectBackend.make(objects, {})
      const behind = yield* ObjectBackend.make(objects, {})
      const write = loaded("k", 30_000)
      deepStrictEqual(yield* ahead.setMany([write]), [{ _tag: "Written", stamp: write.entry.stamp }])
      yield* behind.getMany([{ key: "k" }])
      const { raised } = yield* behind.marks!.raise([{ name: "t:x", stamp: Date.now(), authoritative: true }])
      assert.isAtLeast(new Map(raised).get("t:x")!, write.entry.stamp)
    })
  )

  it.effect("a mark with a stamp from a clock ahead - keeps its stamp for other processes", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const backend = yield* ObjectBackend.make(objects, {})
      const stamp = Date.now() + 30_000
      yield* backend.marks!.raise([{ name: "t:x", stamp, authoritative: true }])
      deepStrictEqual((yield* newMarksOf(yield* ObjectBackend.make(objects, {}))).get("t:x"), stamp)
    })
  )

  it.effect("clear from a clock that is behind - keeps marks with a later stamp", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const ahead = yield* ObjectBackend.make(objects, {})
      const behind = yield* ObjectBackend.make(objects, {})
      const stamp = Date.now() + 30_000
      yield* ahead.marks!.raise([{ name: "t:x", stamp, authoritative: false }])
      yield* behind.marks!.raise([{ name: "*", stamp: Date.now(), authoritative: true }])
      deepStrictEqual((yield* newMarksOf(yield* ObjectBackend.make(objects, {}))).get("t:x"), stamp)
    })
  )

  it.scopedLive("a clock that is set back - marks are read as often as before", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const backend = yield* ObjectBackend.make(objects, { marksEvery: 10 })
      const other = yield* ObjectBackend.make(objects, {})
      yield* newMarksOf(backend)
      const past = Date.now() - 30_000
      const clock = vi.spyOn(Date, "now").mockImplementation(() => past)
      yield* Effect.addFinalizer(() => Effect.sync(() => clock.mockRestore()))
      yield* other.marks!.raise([{ name: "t:x", stamp: past + 50_000, authoritative: false }])
      yield* Effect.sleep(30)
      deepStrictEqual(Array.from((yield* newMarksOf(backend)).keys()), ["t:x"])
    })
  )

  it.effect("a mark from a clock that is hours ahead - covers every entry that counts now, and is repaired", () =>
    Effect.gen(function* () {
      const { all, objects } = shelf()
      const stamp = Date.now() + 2 * 3_600_000
      const table = { count: stamp, floor: 0, lost: 0, marks: [["t:x", stamp]] }
      all.set(marksName, { version: "ahead", meta: undefined, bytes: new TextEncoder().encode(JSON.stringify(table)) })
      const repaired = (yield* newMarksOf(yield* ObjectBackend.make(objects, {}))).get("t:x")!
      assert.isAtLeast(repaired, stamp - 2 * 3_600_000 + 59_999)
      assert.isAtMost(repaired, Date.now() + 60_000)
      const { marks } = JSON.parse(new TextDecoder().decode(all.get(marksName)!.bytes)) as typeof table
      deepStrictEqual(marks, [["t:x", repaired]])
    })
  )

  it.scopedLive("a clock that is set back after a later entry was read - marks are raised all the same", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const backend = yield* ObjectBackend.make(objects, {})
      const start = Date.now()
      yield* backend.setMany([loaded("k", 0)])
      yield* backend.getMany([{ key: "k" }])
      const clock = vi.spyOn(Date, "now").mockImplementation(() => start - 3_600_000)
      yield* Effect.addFinalizer(() => Effect.sync(() => clock.mockRestore()))
      const { raised } = yield* backend.marks!.raise([{ name: "t:x", stamp: start, authoritative: true }])
      assert.isAtMost(new Map(raised).get("t:x")!, start - 3_600_000 + 61_000)
    })
  )

  it.effect("200 000 marks at once - are raised", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const backend = yield* ObjectBackend.make(objects, {})
      const marks = Array.from({ length: 200_000 }, (_, i) => ({ name: `t:${i}`, stamp: 0, authoritative: true }))
      const { raised } = yield* backend.marks!.raise(marks)
      assert.isAbove(raised.length, 0)
    })
  )

  it.effect("marks beyond what any process keeps - count as lost, and are replaced", () =>
    Effect.gen(function* () {
      const encode = (table: object) => new TextEncoder().encode(JSON.stringify(table))
      const now = Date.now()
      const honest = { count: now, floor: 0, lost: 0, marks: [["t:x", 1]] }
      const table = (of: object) => encode({ ...honest, ...of })
      const many = Array.from({ length: 101 }, (_, i) => [`t:${i}`, 1])
      const lengths = yield* Effect.forEach(
        [
          table({}),
          table({ marks: many }),
          table({ buckets: Array.from({ length: 131_073 }, (_, i) => [`t${i}`, 1]) }),
          table({ marks: [["t:".padEnd(34_000_000, "x"), 1]] })
        ],
        (bytes) =>
          Effect.gen(function* () {
            const { all, objects } = shelf()
            all.set(marksName, { version: "foreign", meta: undefined, bytes })
            yield* ObjectBackend.make(objects, { maxMarks: 10 })
            return all.get(marksName)!.bytes.length === bytes.length
          })
      )
      deepStrictEqual(lengths, [true, false, false, false])
    })
  )
})

describe("ObjectMarks that are not needed any more", () => {
  const hour = 3_600_000
  const mark = (name: string): Backend.Mark => ({ name, stamp: 0, authoritative: true })
  const tableIn = (all: ReturnType<typeof shelf>["all"]) =>
    JSON.parse(new TextDecoder().decode(all.get(marksName)!.bytes)) as {
      readonly floor: number
      readonly marks: ReadonlyArray<readonly [string, number]>
      readonly lifespans?: ReadonlyArray<number>
    }
  const namesIn = (all: ReturnType<typeof shelf>["all"]) => tableIn(all).marks.map(([name]) => name)
  /** Lets the time of day pass. */
  const passing = Effect.gen(function* () {
    const real = Date.now()
    let passed = 0
    const clock = vi.spyOn(Date, "now").mockImplementation(() => real + passed)
    yield* Effect.addFinalizer(() => Effect.sync(() => clock.mockRestore()))
    return (millis: number) => {
      passed += millis
    }
  })
  const at = (key: string, lifetime: number): Backend.Write<Uint8Array> => {
    const stamp = Date.now()
    const times = { createdAt: stamp, freshUntil: stamp + lifetime, expiresAt: stamp + lifetime }
    return {
      key,
      entry: new Entry.Entry(Uint8Array.of(1), { stamp, ...times, owner: "", tags: [] }),
      lifetime,
      authoritative: false
    }
  }

  it.scoped("the longest lifespan after a mark - the floor takes its place, and not before", () =>
    Effect.gen(function* () {
      const pass = yield* passing
      const { all, objects } = shelf()
      const writer = yield* ObjectBackend.make(objects, {})
      const other = yield* ObjectBackend.make(objects, {})
      yield* writer.setMany([at("k", hour)])
      yield* other.marks!.raise([mark("t:a")])
      yield* other.marks!.raise([mark("t:b")])
      const first = new Map(tableIn(all).marks)
      yield* newMarksOf(writer)
      yield* writer.marks!.raise([mark("t:c")])
      pass(hour - 1)
      yield* other.marks!.raise([mark("t:d")])
      deepStrictEqual(namesIn(all), ["t:a", "t:b", "t:c", "t:d"])
      pass(hour)
      yield* writer.setMany([at("later", hour)])
      const answer = yield* other.marks!.raise([mark("t:e")])
      deepStrictEqual(namesIn(all), ["t:d", "t:e"])
      assert.isAtLeast(answer.floor, first.get("t:b")!)
      assert.isBelow(answer.floor, new Map(tableIn(all).marks).get("t:d")!)
    })
  )

  it.scoped("a lifespan - is announced where marks are, once, by whoever writes or reads the entry", () =>
    Effect.gen(function* () {
      const pass = yield* passing
      const { all, objects } = shelf()
      let writes = 0
      const counted: ObjectStore = {
        ...objects,
        write: (name, put, condition) => {
          if (name === marksName) writes++
          return objects.write(name, put, condition)
        }
      }
      const a = yield* ObjectBackend.make(counted, { marksEvery: 0 })
      yield* a.setMany([at("k", hour), at("long", 5 * hour)])
      assert.strictEqual(writes, 1)
      yield* a.marks!.raise([mark("t:a")])
      assert.isAtLeast(tableIn(all).lifespans![0]!, 5 * hour)
      yield* a.setMany([at("k", 5 * hour)])
      yield* a.getMany([{ key: "k" }])
      assert.strictEqual(writes, 2)
      yield* a.setMany([at("k", Number.POSITIVE_INFINITY)])
      yield* a.getMany([{ key: "k" }])
      assert.strictEqual(writes, 3)
      pass(1_000 * hour)
      yield* a.marks!.raise([mark("t:b")])
      deepStrictEqual(namesIn(all), ["t:a", "t:b"])
      // an earlier release leaves out what it does not know; whoever reads such an entry announces it
      const { lifespans: _, ...old } = tableIn(all)
      all.set(marksName, { version: "old", meta: undefined, bytes: new TextEncoder().encode(JSON.stringify(old)) })
      const b = yield* ObjectBackend.make(counted, { marksEvery: 0 })
      yield* b.getMany([{ key: "k" }])
      yield* b.getMany([{ key: "k" }])
      assert.strictEqual(tableIn(all).lifespans![0], 1e300)
    })
  )

  for (const lifespans of ["x", [], ["x"], [1, "x", 1], [1, 1e300, 1], [-1], [null, 1, 1]]) {
    it.scoped(`lifespans that are broken (${JSON.stringify(lifespans)}) - lose no mark, and heal`, () =>
      Effect.gen(function* () {
        const pass = yield* passing
        const { all, objects } = shelf()
        const backend = yield* ObjectBackend.make(objects, {})
        yield* backend.marks!.raise([mark("t:a")])
        const broken = { ...tableIn(all), lifespans }
        all.set(marksName, { version: "x", meta: undefined, bytes: new TextEncoder().encode(JSON.stringify(broken)) })
        pass(10)
        yield* backend.marks!.raise([mark("t:b")])
        deepStrictEqual(namesIn(all), ["t:a", "t:b"])
        pass(hour)
        yield* backend.marks!.raise([mark("t:c")])
        deepStrictEqual(namesIn(all), ["t:c"])
      })
    )
  }
})

describe("ObjectBackend", () => {
  it.effect("stamps from a tier whose clock is ahead - are kept for writes and removals", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const backend = yield* ObjectBackend.make(objects, {})
      const write = loaded("k", 20_000)
      const { stamp } = write.entry
      deepStrictEqual(yield* backend.setMany([write]), [{ _tag: "Written", stamp }])
      yield* backend.removeMany([{ key: "k", tombstone: 30_000, stamp: stamp + 1, authoritative: false }])
      deepStrictEqual((yield* backend.getMany([{ key: "k" }])).found, [undefined])
    })
  )

  it.effect("a tombstone with an impossible stamp - is ignored", () =>
    Effect.gen(function* () {
      const { all, objects } = shelf()
      const backend = yield* ObjectBackend.make(objects, {})
      const bytes = Envelope.tombstone(Date.now() + 3_600_000)
      all.set(nameOf("k"), { version: "broken", meta: parseHeader(bytes), bytes })
      assert.isUndefined((yield* backend.getMany([{ key: "k" }])).tombstones)
    })
  )

  it.effect("after the machine slept - stamps agree with processes that started since", () =>
    Effect.gen(function* () {
      const hours = Date.now() + 5 * 3_600_000
      const clock = vi.spyOn(Date, "now").mockImplementation(() => hours)
      yield* Effect.addFinalizer(() => Effect.sync(() => clock.mockRestore()))
      const store = yield* KeyValueStore.KeyValueStore
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ttl: "1 hour" })
      yield* Effect.scoped(Effect.provide(cached, KeyValueCache.layerFromClient(store)))
      const bytes = Option.getOrThrow(yield* store.getUint8Array(`ec1:${nameOf("k")}`))
      assert.approximately(parseHeader(bytes)!.stamp, hours, 2_000)
    }).pipe(Effect.scoped, Effect.provide(KeyValueStore.layerMemory))
  )
})

describe("law 8: invalidation wins - a write that comes when tombstones may be gone", () => {
  const setAgain = (key: string, ahead: number): Backend.Write<Uint8Array> => ({
    ...loaded(key, ahead),
    tombstone: 30_000
  })
  const cases: ReadonlyArray<readonly [what: string, write: Backend.Write<Uint8Array>, isWritten: boolean]> = [
    ["a value that was set and is sent again at once", setAgain("k", -1_000), true],
    ["a value that was set and is sent again after a minute", setAgain("k", -60_000), false],
    ["a copy that was asked for at once", { ...loaded("k", -3_600_000), since: Date.now() - 1_000 }, true],
    ["a copy that was asked for a minute ago", { ...loaded("k", -3_600_000), since: Date.now() - 60_000 }, false],
    [
      "a load with the stamp of another tier, which counts behind",
      { ...loaded("k", -3_600_000), maxAge: 30_000, began: Date.now() - 1_000, follows: true },
      true
    ],
    [
      "a load of a minute ago with the stamp of another tier, which counts ahead",
      { ...loaded("k", 30_000), maxAge: 30_000, began: Date.now() - 60_000, follows: true },
      false
    ]
  ]
  for (const [what, write, isWritten] of cases) {
    it.effect(`${what} - ${isWritten ? "is written" : "is late"}`, () =>
      Effect.gen(function* () {
        const backend = yield* ObjectBackend.make(shelf().objects, {})
        const expected = isWritten ? { _tag: "Written", stamp: write.entry.stamp } : { _tag: "Late" }
        deepStrictEqual(yield* backend.setMany([write]), [expected])
      })
    )
  }

  it.effect("a tier that follows - gives stamps above what is stored, and none by the clock", () =>
    Effect.gen(function* () {
      const { all, objects } = shelf()
      const backend = yield* ObjectBackend.make(objects, {})
      const stampOf = () => all.get(nameOf("k"))!.meta!.stamp
      const first = { ...loaded("k", -3_600_000), authoritative: true, follows: true }
      const { stamp } = first.entry
      yield* backend.setMany([first])
      assert.strictEqual(stampOf(), stamp)
      yield* backend.setMany([first])
      assert.isTrue(stampOf() > stamp && stampOf() < stamp + 1)
      yield* backend.removeMany([{ key: "k", stamp, tombstone: 1_000, authoritative: false, follows: true }])
      assert.isTrue(all.get(nameOf("k"))!.meta!.isTombstone)
      assert.isTrue(stampOf() > stamp && stampOf() < stamp + 1)
      yield* backend.setIfAbsent(first, { now: Date.now(), replacing: undefined })
      assert.isFalse(all.get(nameOf("k"))!.meta!.isTombstone)
      assert.isTrue(stampOf() > stamp && stampOf() < stamp + 1)
    })
  )
})

describe("an entry with an extension block", () => {
  it.effect("writes - are ordered by its stamp", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const backend = yield* ObjectBackend.make(objects, {})
      const write = loaded("k", 0)
      const entry = new Entry.Entry(write.entry.value, { ...write.entry, extension: { stamp: 7, hasChecksum: true } })
      yield* backend.setMany([{ ...write, entry }])
      const earlier = new Entry.Entry(Uint8Array.of(2), { ...write.entry, stamp: entry.stamp - 1 })
      deepStrictEqual(yield* backend.setMany([{ ...write, entry: earlier }]), [{ _tag: "Superseded" }])
      const [found] = (yield* backend.getMany([{ key: "k" }])).found
      if (!(found instanceof Entry.Entry)) return assert.fail("is not an entry")
      deepStrictEqual([...found.value], [1])
      deepStrictEqual(found.extension, entry.extension)
    })
  )

  it("a header whose stamp is not a time - is none", () => {
    for (const stamp of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const bytes = new Uint8Array(36)
      bytes.set([0x45, 0x43, 1])
      new DataView(bytes.buffer).setFloat64(4, 1)
      assert.strictEqual(parseHeader(bytes)?.stamp, 1)
      new DataView(bytes.buffer).setFloat64(4, stamp)
      assert.isUndefined(parseHeader(bytes))
    }
  })

  it("header - is read whatever flags a later release has set, except in a tombstone", () => {
    const { entry } = loaded("k", 0)
    const bytes = Buffer.from(Either.getOrThrow(Envelope.v1.encode(entry)))
    for (const flags of [0, 2, 4, 254]) {
      bytes[3] = flags
      assert.strictEqual(parseHeader(bytes)?.stamp, entry.stamp)
      assert.strictEqual(parseHeader(bytes)?.expiresAt, entry.expiresAt)
    }
    bytes[3] = 3
    assert.isUndefined(parseHeader(bytes))
  })
})

describe("sweep", () => {
  const hour = 3_600_000

  /** Puts an object that was written `age` milliseconds ago. */
  const putOf =
    (all: ReturnType<typeof shelf>["all"]) =>
    (key: string, bytes: Uint8Array): string => {
      const name = nameOf(key)
      all.set(name, { version: `${key} 1`, meta: parseHeader(bytes), bytes })
      return name
    }

  const entryBytes = (stamp: number, tags: ReadonlyArray<string>, lifetime = Number.POSITIVE_INFINITY) => {
    const times = { createdAt: stamp, freshUntil: stamp + lifetime, expiresAt: stamp + lifetime }
    return Either.getOrThrow(
      Envelope.v1.encode(new Entry.Entry(Uint8Array.of(1), { stamp, ...times, owner: "", tags }))
    )
  }

  /** Sweeps with a mark on the tag `dead`, and returns what was counted. */
  const sweepOf = (objects: ObjectStore) =>
    Effect.gen(function* () {
      const backend = yield* ObjectBackend.make(objects, { marksEvery: "above" })
      const total = { seen: 0, removed: 0 }
      yield* backend.sweep!({
        judge: ({ expiresAt, tags = [] }) =>
          expiresAt <= Date.now() ? "expired" : tags.includes("dead") ? "explicit" : undefined,
        needsNames: true,
        tombstone: 30_000,
        count: (seen, removed) => {
          total.seen += seen
          total.removed += removed
        },
        failed: () => {}
      })
      return total
    })

  const filled = () => {
    const { all, objects } = shelf()
    const put = putOf(all)
    const now = Date.now()
    const names = {
      old: put("old", entryBytes(now - hour, ["dead"])),
      young: put("young", entryBytes(now, ["dead"])),
      expired: put("expired", entryBytes(now - hour, [], 1_000)),
      alive: put("alive", entryBytes(now - hour, ["t"])),
      oldTombstone: put("old tombstone", Envelope.tombstone(now - hour)),
      youngTombstone: put("young tombstone", Envelope.tombstone(now)),
      garbage: put("garbage", Uint8Array.of(1, 2, 3)),
      ahead: put("ahead", entryBytes(now + hour, ["dead"]))
    }
    return { all, names, objects }
  }

  it.effect("what no load can be older than - is removed, and the rest becomes or stays a tombstone", () =>
    Effect.gen(function* () {
      const { all, names, objects } = filled()
      deepStrictEqual(yield* sweepOf(objects), { seen: 8, removed: 4 })
      for (const name of [names.old, names.expired, names.oldTombstone]) assert.isFalse(all.has(name))
      assert.isTrue(all.get(names.young)?.meta?.isTombstone)
      assert.isTrue(all.get(names.youngTombstone)?.meta?.isTombstone)
      for (const name of [names.alive, names.garbage, names.ahead]) assert.isTrue(all.has(name))
      deepStrictEqual(yield* sweepOf(objects), { seen: 5, removed: 0 })
    })
  )

  it.effect("without removal on a condition - the values go, and a tombstone stays for each", () =>
    Effect.gen(function* () {
      const { all, names, objects } = filled()
      deepStrictEqual(yield* sweepOf({ ...objects, canRemoveIf: () => Effect.succeed(false) }), { seen: 8, removed: 3 })
      for (const name of [names.old, names.expired, names.oldTombstone]) {
        assert.isTrue(all.get(name)?.meta?.isTombstone)
      }
    })
  )

  it.effect("an object that was written after it was judged - stays", () =>
    Effect.gen(function* () {
      const { all, names, objects } = filled()
      const bytes = entryBytes(Date.now(), ["t"])
      const overtaken = new Set([names.old, names.young, names.oldTombstone])
      const swept = yield* sweepOf({
        ...objects,
        read: (name, wants) =>
          Effect.tap(objects.read(name, wants), () => {
            if (overtaken.has(name)) all.set(name, { version: `${name} 2`, meta: parseHeader(bytes), bytes })
            return Effect.void
          })
      })
      deepStrictEqual(swept, { seen: 8, removed: 1 })
      for (const name of overtaken) deepStrictEqual(all.get(name)?.bytes, bytes)
    })
  )
})

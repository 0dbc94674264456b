/** What a store in memory gives back: after `clear`, after entries have expired, and when its scope closes. */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream, TestClock } from "effect"
import { Cached, type CacheEvent, CacheStore, Entry, MemoryCache } from "../../../src/index.js"
import * as Fields from "../../../src/internal/backends/memory/record.js"
import { MemoryStore, type Options } from "../../../src/internal/backends/memory/store.js"
import { eventually, minute, settled, stats } from "../../laws/support.js"
import { usedBytes } from "../../support/heap.js"
import { awaitUntil } from "../../support/live.js"

interface Given {
  readonly stamp?: number
  readonly expiresAt?: number
  readonly owner?: string
  readonly tags?: ReadonlyArray<string>
}

const entry = (value: unknown, { expiresAt = Number.POSITIVE_INFINITY, ...given }: Given = {}): Entry.Entry =>
  new Entry.Entry(value, { stamp: 1, createdAt: 0, freshUntil: expiresAt, expiresAt, owner: "", tags: [], ...given })

const make = (options: Partial<Options> = {}) =>
  new MemoryStore({ capacity: Number.POSITIVE_INFINITY, eviction: "adaptive", seed: 1, ...options })

/** A value of about a kilobyte. */
const large = (id: number): ReadonlyArray<number> => Array.from({ length: 125 }, () => id)

const keysOf = (store: MemoryStore): ReadonlyArray<unknown> => Array.from(store.all(), ({ key }) => key)

describe("clear", () => {
  /** Entries that left, in order: key, cause, owner and tags. */
  const recorded = (store: MemoryStore) => {
    const left: Array<readonly [key: string, cause: CacheEvent.RemovalCause, owner: string, tags: string]> = []
    store.listener = (key, cause, { owner, tags }) => left.push([key, cause, owner, tags.join()])
    return left
  }

  it("the entries are gone at once, and leave in parts, each once, as what they were", () => {
    const store = make()
    const left = recorded(store)
    store.set("a", entry(1, { owner: "f", tags: ["t"] }), 0)
    store.set("b", entry(2, { owner: "g", expiresAt: 10 }), 0)
    store.set("c", entry(3, { owner: "f" }), 0)
    store.clear(5)
    deepStrictEqual([store.size, keysOf(store), left], [0, [], []])
    assert.isUndefined(store.get("a"))
    assert.strictEqual(store.leave(0, 20), 3)
    assert.strictEqual(store.leave(2, 20), 1)
    assert.strictEqual(store.leave(2, 20), 0)
    deepStrictEqual(left, [
      ["a", "explicit", "f", "t"],
      ["b", "expired", "g", ""],
      ["c", "explicit", "f", ""]
    ])
    // no owner is kept for an entry that has left
    assert.strictEqual(store["owners"].size, 0)
  })

  it("writes - let eight leave each", () => {
    const store = make()
    const left = recorded(store)
    for (let i = 0; i < 20; i++) store.set(`k${i}`, entry(i), 0)
    store.clear(5)
    store.set("a", entry(1, { stamp: 6 }), 0)
    assert.lengthOf(left, 8)
    store.set("a", entry(1, { stamp: 7 }), 0)
    assert.lengthOf(left, 8 + 1 + 8)
  })

  it("a key that is stored again or removed - leaves at once, and is no longer one that was cleared", () => {
    const store = make()
    for (const key of ["a", "b", "c"]) store.set(key, entry(key), 0)
    store.clear(5)
    const left = recorded(store)
    store.remove("b")
    deepStrictEqual(left, [["b", "explicit", "", ""]])
    store.set("c", entry("new", { stamp: 6 }), 0)
    deepStrictEqual(
      left.map(([key]) => key),
      ["b", "c", "a"]
    )
    deepStrictEqual(
      ["a", "b", "c", "d"].map((key) => store.wasCleared(key)),
      [true, false, false, false]
    )
    store.remove("c")
    assert.isFalse(store.wasCleared("c"))
  })

  it("keys that were cleared - are known until they are stored again, whatever their number and order", () => {
    const store = make()
    const keys = Array.from({ length: 5_000 }, (_, i) => `k${i}`)
    for (let round = 1; round <= 3; round++) {
      for (const [i, key] of keys.entries()) if (i % round === 0) store.set(key, entry(i, { stamp: round * 10 }), 0)
      store.clear(round * 10)
      store.leave(keys.length / (2 * round), 0)
    }
    assert.isTrue(keys.every((key) => store.wasCleared(key)))
    store.leave(keys.length, 0)
    for (let i = 0; i < keys.length; i += 3) store.set(keys[i]!, entry(i, { stamp: 50 }), 0)
    deepStrictEqual(
      keys.filter((key) => !store.wasCleared(key)),
      keys.filter((_, i) => i % 3 === 0)
    )
    for (const key of keys) store.set(key, entry(0, { stamp: 51 }), 0)
    assert.isTrue(store["removed"].isEmpty)
  })

  it("an iteration that has begun - ends", () => {
    const store = make()
    for (const key of ["a", "b", "c"]) store.set(key, entry(key), 0)
    const all = store.all()
    assert.strictEqual((all.next().value as Entry.Entry).key, "a")
    store.clear(5)
    store.set("d", entry("d", { stamp: 6 }), 0)
    deepStrictEqual(Array.from(all), [])
  })

  it.effect("a store - frees its memory, tells of each entry, and still explains a miss", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      const find = Cached.ttl((id: number) => Effect.succeed(large(id)), { key: "k:{}", ...minute })
      yield* find(0)
      yield* store.clear
      const empty = usedBytes()
      const count = 10_000
      for (let i = 1; i <= count; i++) yield* find(i)
      const full = usedBytes() - empty
      yield* store.clear
      yield* awaitUntil(
        Effect.map(stats, ({ evictions }) => evictions.explicit === count + 1),
        "all entries have left"
      )
      assert.isBelow(usedBytes() - empty, full / 5)
      assert.deepInclude(yield* find.explain(7), { outcome: "miss", reason: "cleared" })
      assert.deepInclude(yield* find.explain(-7), { outcome: "miss", reason: "absent" })
      deepStrictEqual(yield* store.sweep, { seen: 0, removed: 0 })
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: Number.POSITIVE_INFINITY })))
  )

  it.scoped("subscribers - get an event for each entry, and the reason of each miss", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      for (let i = 0; i < 3_000; i++) yield* find(i)
      const removed = new Set<string>()
      const reasons: Array<CacheEvent.MissReason> = []
      yield* Effect.forkScoped(
        Stream.runForEach(store.events, (event) =>
          Effect.sync(() => {
            if (event._tag === "Removed" && event.cause === "explicit") removed.add(event.key)
            if (event._tag === "Miss") reasons.push(event.reason)
          })
        )
      )
      yield* settled
      yield* store.clear
      yield* awaitUntil(
        Effect.sync(() => removed.size === 3_000),
        "each removal was told"
      )
      for (const id of [1, 2, 4_000]) yield* find(id)
      yield* eventually(() => reasons.length === 3, "the misses were told")
      deepStrictEqual(reasons, ["cleared", "cleared", "absent"])
    }).pipe(Effect.provide(MemoryCache.layer()))
  )
})

describe("a shrink", () => {
  for (const [name, options] of [
    ["no limit", {}],
    ["adaptive", { capacity: 20_000 }],
    ["lru", { capacity: 20_000, eviction: "lru" }],
    ["weights", { capacity: 200_000, weigh: (value: unknown) => 1 + ((value as number) % 10) }]
  ] as ReadonlyArray<readonly [string, Partial<Options>]>) {
    it(`${name} - keeps the entries, in their order, with what few of them have`, () => {
      const store = make(options)
      for (let i = 0; i < 20_000; i++) {
        const alive = i % 20 === 7
        const tags = i % 40 === 7 ? [`t${i}`] : []
        store.set(`k${i}`, entry(i, { expiresAt: alive ? 1_000 : 10, owner: alive ? "f" : "g", tags }), 0)
      }
      const held = store.peek("k7")!
      const before = Array.from(store.all()).filter(({ expiresAt }) => expiresAt === 1_000)
      const header = ({ createdAt, expiresAt, key, owner, stamp, tags, value }: Entry.Entry) =>
        ({ createdAt, expiresAt, key, owner, stamp, tags, value }) as const
      // a write checks eight records
      for (let i = 0; i < 3_000; i++) store.set("k7", entry(7, { expiresAt: 1_000, owner: "f", tags: ["t7"] }), 20)
      assert.strictEqual(store.size, 1_000)
      // a buffer of which an eighth is in use stays
      assert.isAtMost(store["f64"].length / Fields.f64Length, 8_000)
      assert.isAtMost(store["keys"].length, 8_000)
      deepStrictEqual(Array.from(store.all(), header), before.map(header))
      // an entry whose record has moved is still changed
      Entry.change(held, { expiresAt: 900 })
      assert.strictEqual(store.peek("k7")?.expiresAt, 900)
      const weigh = options.weigh ?? (() => 1)
      const weight = () => Array.from(store.all()).reduce((sum, { key, value }) => sum + weigh(value, key!), 0)
      assert.strictEqual(store["policy"].weight, weight())
      // and it goes on
      for (let i = 0; i < 30_000; i++) store.set(`n${i}`, entry(i, { expiresAt: 1_000, owner: "f" }), 20)
      assert.strictEqual(store["policy"].weight, weight())
      assert.isAtMost(weight(), options.capacity ?? Number.POSITIVE_INFINITY)
      assert.strictEqual(store["policy"].size, store.size)
    })
  }

  it("lru - leaves the order of use as it was", () => {
    const store = make({ capacity: 5_000, eviction: "lru" })
    for (let i = 0; i < 5_000; i++) store.set(`k${i}`, entry(i, { expiresAt: i % 50 === 0 ? 1_000 : 10 }), 0)
    for (const i of [300, 100, 200]) store.get(`k${i}`)
    for (let i = 0; i < 1_000; i++) store.set("k100", entry(100, { expiresAt: 1_000 }), 20)
    assert.strictEqual(store.size, 100)
    const left: Array<string> = []
    store.listener = (key) => left.push(key)
    for (let i = 0; i < 5_000; i++) store.set(`n${i}`, entry(i), 20)
    const order = Array.from({ length: 100 }, (_, i) => i * 50).filter((i) => ![300, 100, 200].includes(i))
    deepStrictEqual(
      left,
      [...order, 300, 200, 100].map((i) => `k${i}`)
    )
  })

  it.effect("a sweep - gives back the memory of what has expired", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      yield* store.set("kept", 1, { ttl: "1 hour" })
      const empty = usedBytes()
      for (let i = 0; i < 10_000; i++) yield* store.set(`k${i}`, large(i), { ttl: "1 second" })
      const full = usedBytes() - empty
      yield* TestClock.adjust("1 second")
      yield* store.sweep
      assert.isBelow(usedBytes() - empty, full / 5)
      assert.isTrue(yield* store.has("kept"))
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: Number.POSITIVE_INFINITY })))
  )
})

describe("a sweep of many entries", () => {
  /** Visits so many entries, and returns whether timers ran before the last of them. */
  const hasRunTimers = (isCleared: boolean) =>
    Effect.gen(function* () {
      const backend = yield* MemoryCache.backend({ capacity: Number.POSITIVE_INFINITY })
      for (let i = 0; i < 4_000; i++) backend.unsafeSet!(`k${i}`, entry(i), 0)
      if (isCleared) backend.unsafeClear!(1)
      let hasRun = false
      setTimeout(() => {
        hasRun = true
      }, 0)
      let visited = 0
      const seen: Array<boolean> = []
      const visit = () => {
        if (++visited % 1_000 !== 0) return
        seen.push(hasRun)
        // longer than a turn of the event loop may take
        const until = performance.now() + 10
        while (performance.now() < until) {}
      }
      backend.onRemoved!(visit)
      const judge = () => {
        visit()
        return undefined
      }
      yield* backend.sweep!({ judge, count: () => {}, needsNames: false, failed: () => {}, tombstone: 1 })
      return [visited, seen.at(-1)]
    })

  for (const [what, isCleared] of [
    ["entries", false],
    ["cleared entries", true]
  ] as const) {
    it.scopedLive(`${what} - lets timers and I/O run`, () =>
      Effect.gen(function* () {
        deepStrictEqual(yield* hasRunTimers(isCleared), [4_000, true])
      })
    )
  }
})

describe("law 11: the scope ends everything", () => {
  it.effect("a closed store that somebody holds - keeps no entries", () =>
    Effect.gen(function* () {
      const empty = usedBytes()
      const scope = yield* Scope.make()
      const store = yield* Scope.extend(MemoryCache.make({ capacity: Number.POSITIVE_INFINITY }), scope)
      const find = Cached.ttl((id: number) => Effect.succeed(large(id)), { key: "k:{}", ...minute })
      const inStore = Effect.provideService(CacheStore, store)
      for (let i = 0; i < 10_000; i++) yield* inStore(find(i))
      for (let i = 0; i < 1_000; i++) yield* store.tags.invalidate([`t${i}`])
      const reader = yield* Effect.fork(store.entry("k:1"))
      yield* Fiber.join(reader)
      const full = usedBytes() - empty
      yield* Scope.close(scope, Exit.void)
      assert.isBelow(usedBytes() - empty, full / 5)
      assert.isDefined(store.stats)
    })
  )
})

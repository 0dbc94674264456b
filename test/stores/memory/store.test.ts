// not chai's deep equality, which treats Effect values with different keys, such as Some and None, as equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import type { CacheEvent } from "../../../src/index.js"
import { Entry } from "../../../src/index.js"
import * as Fields from "../../../src/internal/backends/memory/record.js"
import { MemoryStore, type Options } from "../../../src/internal/backends/memory/store.js"

interface Given extends Partial<Entry.Header> {
  readonly expiresAt?: number
}

const entry = (value: unknown, { expiresAt = Number.POSITIVE_INFINITY, ...given }: Given = {}): Entry.Entry =>
  new Entry.Entry(value, { stamp: 1, createdAt: 0, freshUntil: expiresAt, expiresAt, owner: "", tags: [], ...given })

/** A store, and the entries that left it in order. */
const make = (options: Partial<Options> = {}) => {
  const store = new MemoryStore({ capacity: Number.POSITIVE_INFINITY, eviction: "adaptive", seed: 1, ...options })
  const left: Array<readonly [key: string, cause: CacheEvent.RemovalCause]> = []
  store.listener = (key, cause) => left.push([key, cause])
  return { store, left }
}

describe("MemoryStore", () => {
  describe("capacity", () => {
    it("1 - holds the last entry", () => {
      const { left, store } = make({ capacity: 1 })
      for (const key of ["a", "b", "c"]) {
        store.set(key, entry(key), 0)
        assert.strictEqual(store.get(key)?.value, key)
        assert.strictEqual(store.size, 1)
      }
      deepStrictEqual(left, [
        ["a", "capacity"],
        ["b", "capacity"]
      ])
    })

    it("Infinity - evicts nothing", () => {
      const { left, store } = make()
      for (let i = 0; i < 10_000; i++) store.set(`k${i}`, entry(i), 0)
      assert.strictEqual(store.size, 10_000)
      deepStrictEqual(left, [])
    })

    it("lru - evicts what was used longest ago, exactly", () => {
      const { left, store } = make({ capacity: 3, eviction: "lru" })
      for (const key of ["a", "b", "c"]) store.set(key, entry(key, { owner: "f" }), 0)
      store.get("a")
      // a hit of the engine is a use, too
      Entry.change(store.peek("b")!, { epoch: 1, until: 10 })
      assert.notStrictEqual(store.hit("b", "f", 1, 5), -1)
      store.peek("c")
      store.set("d", entry("d"), 0)
      store.set("a", entry("again"), 0)
      store.set("e", entry("e"), 0)
      deepStrictEqual(
        left.filter(([, cause]) => cause === "capacity").map(([key]) => key),
        ["c", "b"]
      )
    })
  })

  describe("weights", () => {
    const weigh = (value: unknown) => value as number

    it("the sum - never exceeds the limit", () => {
      const { store } = make({ capacity: 10, weigh })
      store.set("a", entry(4), 0)
      store.set("b", entry(6), 0)
      assert.strictEqual(store.size, 2)
      store.set("c", entry(1), 0)
      assert.strictEqual(store.size, 2)
      store.set("zero", entry(0), 0)
      assert.strictEqual(store.size, 3)
    })

    it("a heavier value in the place of another - makes room", () => {
      const { left, store } = make({ capacity: 10, eviction: "lru", weigh })
      for (const key of ["a", "b", "c"]) store.set(key, entry(3), 0)
      store.set("b", entry(5), 0)
      deepStrictEqual(left, [
        ["b", "replaced"],
        ["a", "capacity"]
      ])
      deepStrictEqual([store.get("b")?.value, store.get("c")?.value], [5, 3])
    })

    it("a value above the limit - is not stored, and removes the one before it", () => {
      const { left, store } = make({ capacity: 10, weigh })
      store.set("a", entry(1), 0)
      store.set("b", entry(1), 0)
      store.set("a", entry(11), 0)
      assert.isUndefined(store.get("a"))
      assert.strictEqual(store.get("b")?.value, 1)
      deepStrictEqual(left, [
        ["a", "replaced"],
        ["a", "capacity"]
      ])
    })
  })

  describe("expiry", () => {
    it("expired - is removed before other entries, used or not", () => {
      const { left, store } = make({ capacity: 3 })
      store.set("alive", entry(1), 0)
      store.set("dead", entry(2, { expiresAt: 10 }), 0)
      store.set("other", entry(3), 0)
      store.get("alive")
      store.get("dead")
      store.set("new", entry(4), 10)
      deepStrictEqual(left, [["dead", "expired"]])
    })

    it("an idle entry - is removed as an expired one is", () => {
      const { left, store } = make()
      store.set("idle", entry(1, { extension: { idle: 10 } }), 0)
      store.set("read", entry(2, { extension: { idle: 10 } }), 0)
      Entry.recordRead(store.get("read")!, 5)
      store.set("new", entry(3), 12)
      deepStrictEqual(left, [["idle", "expired"]])
    })

    it("writes - remove invalidated entries that nobody reads", () => {
      const { left, store } = make()
      store.isInvalidated = ({ tags }) => tags.includes("dead")
      for (let i = 0; i < 100; i++) store.set(`dead ${i}`, entry(i, { tags: ["dead"] }), 0)
      for (let i = 0; i < 100; i++) store.set("alive", entry("alive"), 0)
      assert.strictEqual(store.size, 1)
      assert.isTrue(left.every(([key, cause]) => key === "alive" || cause === "explicit"))
    })

    it("clear - none of the entries counts, however they leave", () => {
      const { store } = make({ capacity: 3 })
      for (const key of ["a", "b", "c"]) store.set(key, entry(key, { stamp: 5 }), 0)
      store.clear(7)
      assert.strictEqual(store.size, 0)
      store.clear(7)
      store.set("d", entry("d", { stamp: 8 }), 0)
      store.set("b", entry("b", { stamp: 9 }), 0)
      assert.strictEqual(store.size, 2)
      // written after the clear, and still older
      store.set("e", entry("e", { stamp: 6 }), 0)
      store.remove("c")
      store.remove("a")
      store.remove("e")
      store.remove("d")
      store.remove("b")
      assert.strictEqual(store.size, 0)
    })

    it("clear with a stamp that is not the latest - counts all until they leave", () => {
      const { store } = make({ capacity: 10 })
      store.set("a", entry("a", { stamp: 5 }), 0)
      store.set("b", entry("b", { stamp: 9 }), 0)
      store.clear(7)
      assert.strictEqual(store.size, 2)
      store.remove("a")
      assert.strictEqual(store.size, 1)
    })

    it("sweep - an eighth as many writes remove the expired entries that nobody reads", () => {
      const { left, store } = make()
      for (let i = 0; i < 600; i++) store.set(`dead${i}`, entry(i, { expiresAt: 10 }), 0)
      for (let i = 0; i < 76; i++) store.set(`alive${i}`, entry(i), 10)
      assert.strictEqual(store.size, 76)
      assert.strictEqual(left.length, 600)
      assert.isTrue(left.every(([, cause]) => cause === "expired"))
    })

    it("overwritten - counts as expired after its expiry, and as replaced before it", () => {
      const { left, store } = make({ capacity: 3 })
      store.set("a", entry(1, { expiresAt: 10 }), 0)
      store.set("a", entry(2, { expiresAt: 20 }), 9)
      store.set("a", entry(3, { expiresAt: 40 }), 20)
      deepStrictEqual(left, [
        ["a", "replaced"],
        ["a", "expired"]
      ])
      assert.strictEqual(store.get("a")?.value, 3)
    })
  })

  describe("reserve", () => {
    /** For how many entries a store has records. */
    const roomOf = (store: MemoryStore): number => store["f64"].length / Fields.f64Length

    it("makes the room in one step, once an eighth of it is in use", () => {
      const { store } = make()
      store.reserve(5_000)
      const rooms = new Set<number>()
      for (let i = 0; i < 5_000; i++) {
        store.set(`k${i}`, entry(i), 0)
        rooms.add(roomOf(store))
      }
      const [before, last] = [...rooms].slice(-2)
      assert.isBelow(before!, 5_000 / 4)
      assert.strictEqual(last, 5_000)
      assert.strictEqual(store.get("k1023")?.value, 1_023)
      store.set("one more", entry("v"), 0)
      assert.isAbove(roomOf(store), 5_000)
    })

    it("holds no more than the capacity, and nothing after clear", () => {
      const { store } = make({ capacity: 3_000 })
      store.reserve(5_000)
      for (let i = 0; i < 2_000; i++) store.set(`k${i}`, entry(i), 0)
      assert.strictEqual(roomOf(store), 3_000)
      store.clear(1)
      for (let i = 0; i < 1_025; i++) store.set(`k${i}`, entry(i, { stamp: 2 }), 0)
      assert.isBelow(roomOf(store), 3_000)
    })
  })

  describe("hit", () => {
    /** A store with one entry, which answers reads of `f` in epoch 3 until 10. */
    const answering = () => {
      const { store } = make()
      store.set("k", entry("v", { owner: "f" }), 0)
      Entry.change(store.peek("k")!, { epoch: 3, until: 10 })
      return store
    }

    it("an entry that was judged - answers until its time, in its epoch, its own function", () => {
      const store = answering()
      assert.strictEqual(store.valueAt(store.hit("k", "f", 3, 9)), "v")
      assert.strictEqual(store.hit("k", "f", 3, 10), -1)
      assert.strictEqual(store.hit("k", "f", 3, Number.NaN), -1)
      assert.strictEqual(store.hit("k", "f", 4, 9), -1)
      assert.strictEqual(store.hit("k", "g", 3, 9), -1)
      assert.strictEqual(store.hit("other", "f", 3, 9), -1)
    })

    it("an entry that nobody has judged, or that another took the place of - does not answer", () => {
      const store = answering()
      store.set("k", entry("new", { owner: "f" }), 0)
      for (const epoch of [-1, 0, 3]) assert.strictEqual(store.hit("k", "f", epoch, 9), -1)
    })

    it("an entry that was moved - answers until its time, and is fresh until its end", () => {
      const { store } = make()
      for (let i = 0; i < 5_000; i++) store.set(`k${i}`, entry(i, { owner: "f", expiresAt: 20 }), 0)
      for (const i of [4_998, 4_999]) Entry.change(store.peek(`k${i}`)!, { epoch: 3, until: i - 4_990 })
      for (let i = 0; i < 4_997; i++) store.remove(`k${i}`)
      store.shrink()
      assert.isBelow(store["f64"].length / Fields.f64Length, 5_000)
      for (const i of [4_997, 4_998, 4_999]) assert.strictEqual(store.peek(`k${i}`)?.freshUntil, 20)
      assert.strictEqual(store.hit("k4997", "f", 3, 0), -1)
      for (const i of [4_998, 4_999]) {
        assert.strictEqual(store.valueAt(store.hit(`k${i}`, "f", 3, i - 4_991)), i)
        assert.strictEqual(store.hit(`k${i}`, "f", 3, i - 4_990), -1)
      }
    })

    it("entries that nobody has judged, or that are fresh as long as they answer - need no array of ends", () => {
      const { store } = make()
      for (const until of [undefined, 20]) {
        store.set("k", entry("v", { expiresAt: 20 }), 0)
        Entry.change(store.peek("k")!, { epoch: 3, ...(until === undefined ? {} : { until }) })
        Entry.change(store.peek("k")!, { epoch: 4 })
        assert.isUndefined(store["freshEnds"])
      }
      Entry.change(store.peek("k")!, { until: 10 })
      assert.lengthOf(store["freshEnds"]!, 1)
    })

    it("a record that is used again - keeps nothing of the entry before", () => {
      const store = answering()
      store.remove("k")
      store.set("other", entry("other", { owner: "g" }), 0)
      assert.strictEqual(store.hit("other", "f", 3, 9), -1)
      assert.strictEqual(store.hit("other", "g", 3, 9), -1)
      deepStrictEqual({ ...store.peek("other")! }.tags, [])
    })
  })

  describe("change", () => {
    it("an entry that is still here - is changed", () => {
      const { store } = make()
      store.set("k", entry("v", { expiresAt: 100, tags: ["t"] }), 0)
      const found = store.get("k")!
      Entry.change(found, { createdAt: 1, freshUntil: 2, expiresAt: 3, extension: { idle: 5 } })
      Entry.change(found, { copy: { since: 1, held: 2 }, clockBack: 7 })
      const { clockBack, copy, createdAt, expiresAt, extension, freshUntil, tags } = store.get("k")!
      deepStrictEqual(
        { clockBack, copy, createdAt, expiresAt, extension, freshUntil, tags },
        {
          clockBack: 7,
          copy: { since: 1, held: 2 },
          createdAt: 1,
          expiresAt: 3,
          extension: { idle: 5 },
          freshUntil: 2,
          tags: ["t"]
        }
      )
    })

    it("an entry that was replaced, removed, or changed by somebody else - stays as it is", () => {
      for (const then of [
        (store: MemoryStore) => store.set("k", entry("v", { expiresAt: 99 }), 0),
        (store: MemoryStore) => store.remove("k") && store.set("k", entry("v", { stamp: 2 }), 0),
        (store: MemoryStore) => store.remove("k") && store.set("other", entry("v"), 0),
        (store: MemoryStore) => Entry.change(store.get("k")!, { expiresAt: 50 }),
        (store: MemoryStore) => Entry.change(store.get("k")!, { copy: { since: 1, held: 2 } })
      ]) {
        const { store } = make()
        store.set("k", entry("v"), 0)
        const old = store.get("k")!
        then(store)
        const before = [...store.all()].map((found) => ({ ...found }))
        Entry.change(old, { expiresAt: 1, until: 1, epoch: 9 })
        deepStrictEqual(
          [...store.all()].map((found) => ({ ...found })),
          before
        )
        assert.strictEqual(old.expiresAt, 1)
      }
    })
  })

  it("the same entry under two keys, or in two stores - is independent in each", () => {
    const one = make({ capacity: 3 })
    const two = make({ capacity: 3 })
    const shared = entry("v")
    one.store.set("a", shared, 0)
    one.store.set("b", one.store.get("a")!, 0)
    two.store.set("c", one.store.get("b")!, 0)
    assert.isTrue(one.store.remove("a"))
    Entry.change(one.store.get("b")!, { expiresAt: 5 })
    assert.strictEqual(one.store.get("b")?.expiresAt, 5)
    assert.strictEqual(two.store.get("c")?.expiresAt, Number.POSITIVE_INFINITY)
  })

  it("random operations - behaves as a bounded Map: it holds what was set, and each entry leaves once", () => {
    const key = FastCheck.integer({ min: 0, max: 12 }).map((n) => (n === 12 ? "__proto__" : `k${n}`))
    const few = FastCheck.integer({ min: 1, max: 8 })
    const operation = FastCheck.oneof(
      { weight: 4, arbitrary: FastCheck.tuple(FastCheck.constant("set" as const), key, few) },
      { weight: 4, arbitrary: FastCheck.tuple(FastCheck.constant("get" as const), key, few) },
      { weight: 2, arbitrary: FastCheck.tuple(FastCheck.constant("remove" as const), key, few) },
      { weight: 1, arbitrary: FastCheck.tuple(FastCheck.constant("change" as const), key, few) },
      { weight: 1, arbitrary: FastCheck.tuple(FastCheck.constant("judge" as const), key, few) },
      { weight: 1, arbitrary: FastCheck.tuple(FastCheck.constant("setBack" as const), key, few) },
      { weight: 1, arbitrary: FastCheck.tuple(FastCheck.constant("wait" as const), key, few) }
    )
    const stateOf = ({ clockBack, holder, index, key, until, ...state }: Entry.Entry) =>
      // no read is before a time below zero
      ({ ...state, until: until < 0 ? Number.NEGATIVE_INFINITY : until })
    FastCheck.assert(
      FastCheck.property(
        few,
        FastCheck.constantFrom("adaptive" as const, "lru" as const),
        FastCheck.boolean(),
        FastCheck.array(operation, { maxLength: 200 }),
        (capacity, eviction, isWeighted, operations) => {
          const weightOf = (value: unknown) => (isWeighted ? (value as number) % 4 : 1)
          const store = new MemoryStore({ capacity, eviction, seed: 5, weigh: isWeighted ? weightOf : undefined })
          const model = new Map<string, Entry.Entry>()
          const weight = () => [...model.values()].reduce((sum, { value }) => sum + weightOf(value), 0)
          let now = 0
          let put = 0
          let gone = 0
          store.listener = (left, cause, { owner, stamp, tags }) => {
            gone++
            const before = model.get(left)
            if (before === undefined) {
              // one that is too heavy was never here
              assert.strictEqual(cause, "capacity")
              assert.isAbove(weightOf(stamp), capacity)
              return
            }
            deepStrictEqual({ owner, stamp, tags }, { owner: before.owner, stamp: before.stamp, tags: before.tags })
            if (cause === "expired") assert.isAtMost(before.expiresAt, now)
            if (cause === "capacity") assert.isAbove(before.expiresAt, now)
            model.delete(left)
          }
          for (const [verb, name, n] of operations) {
            const held = model.get(name)
            if (verb === "wait") now += n
            else if (verb === "remove") assert.strictEqual(store.remove(name), held !== undefined)
            else if (verb === "get") assert.strictEqual(store.get(name)?.value, held?.value)
            else if (verb === "change") {
              const found = store.peek(name)
              if (found !== undefined) Entry.change(found, { expiresAt: now + n, extension: { staleUntil: now } })
              if (held !== undefined) Entry.change(held, { expiresAt: now + n, extension: { staleUntil: now } })
            } else if (verb === "judge") {
              const until = [Number.NEGATIVE_INFINITY, held?.freshUntil ?? 0, now + n][n % 3]!
              for (const one of [store.peek(name), held]) if (one !== undefined) Entry.change(one, { until, epoch: n })
            } else if (verb === "setBack") {
              for (const one of [store.peek(name), held]) if (one !== undefined) Entry.setBack(one, 2 * n)
            } else {
              put++
              const tags = n % 3 === 0 ? [`t${n}`] : []
              const added = entry(put, { stamp: put, expiresAt: now + n, owner: n % 2 === 0 ? "f" : "g", tags })
              store.set(name, added, now)
              if (weightOf(put) <= capacity && store.peek(name) !== undefined) model.set(name, added)
              else assert.isFalse(model.has(name))
            }
            assert.strictEqual(store.size, model.size)
            assert.isAtMost(weight(), capacity)
            assert.strictEqual(put - gone, store.size)
            deepStrictEqual(
              new Map([...store.all()].map((found) => [found.key, stateOf(found)])),
              mapOf(model, stateOf)
            )
          }
        }
      ),
      { numRuns: 300, seed: 17 }
    )
  })
})

const mapOf = <A, B>(map: Map<string, A>, f: (a: A) => B): Map<string | undefined, B> =>
  new Map([...map].map(([key, value]) => [key, f(value)]))

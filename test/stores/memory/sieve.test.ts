// not chai's deep equality, which treats Effect values with different keys, such as Some and None, as equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import type { CacheEvent } from "../../../src/index.js"
import { Entry } from "../../../src/index.js"
import { Sieve } from "../../../src/internal/backends/memory/sieve.js"

const entry = (value: unknown, expiresAt = Number.POSITIVE_INFINITY, stamp = 1): Entry.Entry =>
  new Entry.Entry(value, { stamp, createdAt: 0, freshUntil: expiresAt, expiresAt, owner: "", tags: [] })

/** A sieve, and the entries that left it in order. */
const make = (capacity: number) => {
  const sieve = new Sieve(capacity)
  const left: Array<readonly [key: string, cause: CacheEvent.RemovalCause]> = []
  sieve.listener = (key, cause) => left.push([key, cause])
  return { sieve, left }
}

/** A linear congruential generator, which makes the same numbers every time. */
const random = (seed: number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 0x1_0000_0000
  }
}

/** `count` of the `keys`, where the n-th key is drawn with a frequency of 1 / n^skew. */
const zipf = (count: number, keys: number, skew: number, next: () => number): Array<number> => {
  const cumulative: Array<number> = []
  let sum = 0
  for (let n = 1; n <= keys; n++) {
    sum += 1 / n ** skew
    cumulative.push(sum)
  }
  return Array.from({ length: count }, () => {
    const at = next() * sum
    let low = 0
    let high = keys - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (cumulative[middle]! < at) low = middle + 1
      else high = middle
    }
    return low
  })
}

interface Cache {
  readonly get: (key: string) => boolean
  readonly set: (key: string) => void
}

const sieveOf = (capacity: number): Cache => {
  const { sieve } = make(capacity)
  return { get: (key) => sieve.get(key) !== undefined, set: (key) => sieve.set(key, entry(key), 0) }
}

const lruOf = (capacity: number): Cache => {
  const map = new Map<string, true>()
  const touch = (key: string) => {
    map.delete(key)
    map.set(key, true)
  }
  return {
    get: (key) => {
      const hit = map.has(key)
      if (hit) touch(key)
      return hit
    },
    set: (key) => {
      touch(key)
      if (map.size > capacity) map.delete(map.keys().next().value!)
    }
  }
}

const hitRatio = (cache: Cache, keys: ReadonlyArray<string>): number => {
  let hits = 0
  for (const key of keys) {
    if (cache.get(key)) hits++
    else cache.set(key)
  }
  return hits / keys.length
}

describe("Sieve", () => {
  describe("eviction", () => {
    it("nothing visited - evicts the oldest", () => {
      const { left, sieve } = make(3)
      for (const key of ["a", "b", "c", "d", "e"]) sieve.set(key, entry(key), 0)
      deepStrictEqual(left, [
        ["a", "capacity"],
        ["b", "capacity"]
      ])
      assert.strictEqual(sieve.size, 3)
    })

    it("visited - is skipped once, and its bit is cleared", () => {
      const { left, sieve } = make(3)
      for (const key of ["a", "b", "c"]) sieve.set(key, entry(key), 0)
      sieve.get("a")
      sieve.set("d", entry("d"), 0)
      sieve.set("e", entry("e"), 0)
      // the hand is at d, after c: the bit of a is clear, and a is evicted in the next round
      sieve.set("f", entry("f"), 0)
      deepStrictEqual(
        left.map(([key]) => key),
        ["b", "c", "d"]
      )
      assert.isDefined(sieve.get("a"))
    })

    it("all visited - after one round evicts the oldest", () => {
      const { left, sieve } = make(3)
      for (const key of ["a", "b", "c"]) sieve.set(key, entry(key), 0)
      for (const key of ["a", "b", "c"]) sieve.get(key)
      sieve.set("d", entry("d"), 0)
      deepStrictEqual(left, [["a", "capacity"]])
    })

    it("capacity 1 - holds the last entry", () => {
      const { left, sieve } = make(1)
      for (const key of ["a", "b", "c"]) {
        sieve.set(key, entry(key), 0)
        assert.strictEqual(sieve.get(key)?.value, key)
        assert.strictEqual(sieve.size, 1)
      }
      deepStrictEqual(left, [
        ["a", "capacity"],
        ["b", "capacity"]
      ])
    })

    it("capacity Infinity - evicts nothing", () => {
      const { left, sieve } = make(Number.POSITIVE_INFINITY)
      for (let i = 0; i < 20_000; i++) sieve.set(`k${i}`, entry(i), 0)
      assert.strictEqual(sieve.size, 20_000)
      deepStrictEqual(left, [])
    })

    it("hot keys during a scan - stay", () => {
      const { sieve } = make(200)
      const hot = Array.from({ length: 100 }, (_, i) => `hot${i}`)
      for (const key of hot) sieve.set(key, entry(key), 0)
      for (const key of hot) sieve.get(key)
      for (let i = 0; i < 10_000; i++) sieve.set(`scan${i}`, entry(i), 0)
      assert.isAtLeast(hot.filter((key) => sieve.get(key) !== undefined).length, 90)
    })

    it("hot keys read during a scan - are hits nine times in ten, while LRU loses them", () => {
      const hot = Array.from({ length: 100 }, (_, i) => `hot${i}`)
      const rate = (cache: Cache): number => {
        for (const key of hot) if (!cache.get(key)) cache.set(key)
        for (const key of hot) cache.get(key)
        let hits = 0
        let reads = 0
        const next = random(76)
        for (let i = 0; i < 10_000; i++) {
          if (!cache.get(`scan${i}`)) cache.set(`scan${i}`)
          if (i % 10 !== 0) continue
          const key = hot[Math.floor(next() * hot.length)]!
          reads++
          if (cache.get(key)) hits++
          else cache.set(key)
        }
        return hits / reads
      }
      assert.isAtLeast(rate(sieveOf(200)), 0.9)
      assert.isBelow(rate(lruOf(200)), 0.5)
    })

    for (const skew of [0.7, 0.9, 1.1]) {
      it(`Zipf ${skew} - hits at least as often as LRU`, () => {
        const next = random(Math.round(skew * 100))
        const keys = zipf(100_000, 20_000, skew, next).map((n) => `k${n}`)
        const sieve = hitRatio(sieveOf(2_000), keys)
        const lru = hitRatio(lruOf(2_000), keys)
        assert.isAtLeast(sieve, lru)
        // and it caches at all
        assert.isAbove(sieve, 0.25)
      })
    }
  })

  describe("expiry", () => {
    it("expired - is removed before other entries, visited or not", () => {
      const { left, sieve } = make(3)
      sieve.set("alive", entry(1), 0)
      sieve.set("dead", entry(2, 10), 0)
      sieve.set("other", entry(3), 0)
      sieve.get("alive")
      sieve.get("dead")
      sieve.set("new", entry(4), 10)
      deepStrictEqual(left, [["dead", "expired"]])
    })

    it("writes - remove invalidated entries that nobody reads", () => {
      const { left, sieve } = make(Number.POSITIVE_INFINITY)
      sieve.isInvalidated = (found) => found.value === "dead"
      for (let i = 0; i < 100; i++) sieve.set(`dead ${i}`, entry("dead"), 0)
      sieve.set("alive", entry("alive"), 0)
      for (let i = 0; i < 100; i++) sieve.set("alive", entry("alive"), 0)
      assert.strictEqual(sieve.size, 1)
      assert.isTrue(left.every(([key, cause]) => key === "alive" || cause === "explicit"))
    })

    it("clear - none of the entries counts, however they leave", () => {
      const { sieve } = make(3)
      for (const key of ["a", "b", "c"]) sieve.set(key, entry(key, undefined, 5), 0)
      sieve.clear(7)
      assert.strictEqual(sieve.size, 0)
      sieve.clear(7)
      sieve.set("d", entry("d", undefined, 8), 0)
      sieve.set("b", entry("b", undefined, 9), 0)
      assert.strictEqual(sieve.size, 2)
      // written after the clear, and still older
      sieve.set("e", entry("e", undefined, 6), 0)
      sieve.remove("c")
      sieve.remove("a")
      assert.strictEqual(sieve.size, 2)
      sieve.remove("e")
      sieve.remove("d")
      assert.strictEqual(sieve.size, 1)
      sieve.remove("b")
      assert.strictEqual(sieve.size, 0)
    })

    it("clear with a stamp that is not the latest - counts all until they leave", () => {
      const { sieve } = make(10)
      sieve.set("a", entry("a", undefined, 5), 0)
      sieve.set("b", entry("b", undefined, 9), 0)
      sieve.clear(7)
      assert.strictEqual(sieve.size, 2)
      sieve.remove("a")
      assert.strictEqual(sieve.size, 1)
    })

    it("sweep - writes remove expired entries that nobody reads", () => {
      const { left, sieve } = make(Number.POSITIVE_INFINITY)
      for (let i = 0; i < 1_000; i++) sieve.set(`dead${i}`, entry(i, 10), 0)
      for (let i = 0; i < 1_000; i++) sieve.set(`alive${i}`, entry(i), 10)
      assert.strictEqual(sieve.size, 1_000)
      assert.strictEqual(left.length, 1_000)
      assert.isTrue(left.every(([, cause]) => cause === "expired"))
    })

    it("overwritten - counts as expired after its expiry, and as replaced before it", () => {
      const { left, sieve } = make(3)
      sieve.set("a", entry(1, 10), 0)
      sieve.set("a", entry(2, 20), 9)
      sieve.set("a", entry(3, 40), 20)
      deepStrictEqual(left, [
        ["a", "replaced"],
        ["a", "expired"]
      ])
      assert.strictEqual(sieve.get("a")?.value, 3)
    })
  })

  describe("remove", () => {
    it("a present key - returns true and notifies once; an absent key - returns false and does not notify", () => {
      const { left, sieve } = make(3)
      sieve.set("a", entry(1), 0)
      assert.isTrue(sieve.remove("a"))
      assert.isFalse(sieve.remove("a"))
      assert.isFalse(sieve.remove("b"))
      deepStrictEqual(left, [["a", "explicit"]])
      assert.strictEqual(sieve.size, 0)
    })

    it("the entry at the hand - the hand moves to its neighbour", () => {
      const { left, sieve } = make(4)
      for (const key of ["a", "b", "c", "d"]) sieve.set(key, entry(key), 0)
      sieve.get("a")
      // clears a and evicts b: the hand is at c
      sieve.set("e", entry("e"), 0)
      sieve.remove("c")
      sieve.set("f", entry("f"), 0)
      sieve.set("g", entry("g"), 0)
      deepStrictEqual(
        left.map(([key]) => key),
        ["b", "c", "d"]
      )
    })

    it("the last entry - leaves an empty list that can be filled again", () => {
      const { sieve } = make(2)
      for (let round = 0; round < 3; round++) {
        sieve.set("a", entry(1), 0)
        sieve.set("b", entry(2), 0)
        sieve.set("c", entry(3), 0)
        for (const key of ["a", "b", "c"]) sieve.remove(key)
        assert.strictEqual(sieve.size, 0)
      }
    })
  })

  it("the same entry under two keys, or in two sieves - is independent in each", () => {
    const one = make(3)
    const two = make(3)
    const shared = entry("v")
    one.sieve.set("a", shared, 0)
    one.sieve.set("b", shared, 0)
    two.sieve.set("c", shared, 0)
    one.sieve.set("a", shared, 0)
    for (const key of ["a", "b"]) assert.strictEqual(one.sieve.get(key)?.value, "v")
    assert.strictEqual(two.sieve.get("c")?.value, "v")
    assert.isTrue(one.sieve.remove("a"))
    assert.strictEqual(one.sieve.get("b")?.value, "v")
    assert.strictEqual(two.sieve.get("c")?.value, "v")
    for (let i = 0; i < 10; i++) {
      one.sieve.set(`k${i}`, entry(i), 0)
      two.sieve.set(`k${i}`, entry(i), 0)
    }
    deepStrictEqual([one.sieve.size, two.sieve.size], [3, 3])
  })

  it("random operations - behaves as a bounded Map: it holds what was set, and each entry leaves once", () => {
    const key = FastCheck.integer({ min: 0, max: 12 }).map((n) => (n === 12 ? "__proto__" : `k${n}`))
    const operation = FastCheck.oneof(
      {
        weight: 4,
        arbitrary: FastCheck.tuple(FastCheck.constant("set" as const), key, FastCheck.integer({ min: 1, max: 8 }))
      },
      { weight: 4, arbitrary: FastCheck.tuple(FastCheck.constant("get" as const), key, FastCheck.constant(0)) },
      { weight: 2, arbitrary: FastCheck.tuple(FastCheck.constant("remove" as const), key, FastCheck.constant(0)) },
      {
        weight: 1,
        arbitrary: FastCheck.tuple(FastCheck.constant("wait" as const), key, FastCheck.integer({ min: 1, max: 6 }))
      }
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.integer({ min: 1, max: 8 }),
        FastCheck.array(operation, { maxLength: 200 }),
        (capacity, operations) => {
          const sieve = new Sieve(capacity)
          const model = new Map<string, Entry.Entry>()
          let now = 0
          let put = 0
          let gone = 0
          sieve.listener = (left, cause, ...rest: ReadonlyArray<unknown>) => {
            gone++
            const before = model.get(left)
            assert.isDefined(before, `${left} left, and was not there`)
            if (cause === "expired") assert.isAtMost(before!.expiresAt, now)
            if (cause === "capacity") {
              assert.isAbove(before!.expiresAt, now)
              assert.strictEqual(model.size, capacity)
            }
            // the entry that left is the one that was held
            if (rest.length > 0) assert.strictEqual((rest[0] as Entry.Entry).value, before!.value)
            model.delete(left)
          }
          for (const [verb, name, n] of operations) {
            if (verb === "wait") now += n
            else if (verb === "remove") {
              const had = model.has(name)
              assert.strictEqual(sieve.remove(name), had)
            } else if (verb === "get") {
              const found = sieve.get(name)
              assert.strictEqual(found?.value, model.get(name)?.value)
            } else {
              const added = entry(++put, now + n)
              sieve.set(name, added, now)
              model.set(name, added)
              assert.strictEqual(sieve.get(name)?.value, put)
            }
            assert.strictEqual(sieve.size, model.size)
            assert.isAtMost(sieve.size, capacity)
            assert.strictEqual(put - gone, sieve.size)
          }
          for (const [name, held] of model) assert.strictEqual(sieve.get(name)?.value, held.value)
        }
      ),
      { numRuns: 500, seed: 17 }
    )
  })
})

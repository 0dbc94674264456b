/** The entries of a function with `maxEntries`, in the structure of a store in memory. */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { uniform } from "../../../bench/simulator/random.js"
import { change, Entry } from "../../../src/Entry.js"
import * as Fields from "../../../src/internal/backends/memory/record.js"
import { MemoryStore, type Options } from "../../../src/internal/backends/memory/store.js"

const entry = (owner: string, expiresAt = Number.POSITIVE_INFINITY): Entry =>
  new Entry(1, { stamp: 1, createdAt: 0, freshUntil: expiresAt, expiresAt, owner, tags: [] })

/** A store, and the entries that left it. */
const make = (options: Partial<Options> = {}) => {
  const store = new MemoryStore({ capacity: Number.POSITIVE_INFINITY, eviction: "adaptive", seed: 1, ...options })
  const left: Array<readonly [key: string, cause: string]> = []
  store.listener = (key, cause) => left.push([key, cause])
  return { store, left }
}

const keysOf = (store: MemoryStore, owner: string): ReadonlyArray<unknown> =>
  Array.from(store.all())
    .filter((found) => found.owner === owner)
    .map(({ key }) => key)

/** The keys whose hits are reported. */
const reported = (store: MemoryStore): ReadonlyArray<string> =>
  Array.from(store["indices"])
    .filter(([, index]) => store["i32"][index * Fields.i32Length + Fields.word]! < 0)
    .map(([key]) => key)

describe("limitEntries", () => {
  for (const [name, options] of [
    ["no limit of the store", {}],
    ["adaptive", { capacity: 1_000 }],
    ["lru", { capacity: 1_000, eviction: "lru" }],
    ["weights", { capacity: 1_000, weigh: () => 2 }]
  ] as ReadonlyArray<readonly [string, Partial<Options>]>) {
    it(`${name} - of its owner the entry that was used longest ago leaves, and of others none`, () => {
      const { left, store } = make(options)
      store.limitEntries("f", 3)
      for (const key of ["a", "b", "c"]) store.set(key, entry("f"), 0)
      for (let i = 0; i < 100; i++) store.set(`other${i}`, entry("g"), 0)
      store.get("a")
      store.set("b", entry("f"), 0)
      left.length = 0
      store.set("d", entry("f"), 0)
      store.peek("b")
      store.get("a")
      store.set("e", entry("f"), 0)
      deepStrictEqual(left, [
        ["c", "capacity"],
        ["b", "capacity"]
      ])
      assert.lengthOf(keysOf(store, "g"), 100)
    })
  }

  it("an entry that takes the place of one of another owner - counts for its own", () => {
    const { left, store } = make()
    store.limitEntries("f", 2)
    for (const key of ["a", "b"]) store.set(key, entry("f"), 0)
    store.set("c", entry("g"), 0)
    store.set("c", entry("f"), 0)
    deepStrictEqual(left, [
      ["c", "replaced"],
      ["a", "capacity"]
    ])
    store.set("b", entry("g"), 0)
    store.set("d", entry("f"), 0)
    deepStrictEqual(keysOf(store, "f"), ["c", "d"])
    deepStrictEqual(keysOf(store, "g"), ["b"])
  })

  it("one that has expired - leaves as expired", () => {
    const { left, store } = make()
    store.limitEntries("f", 1)
    store.set("a", entry("f", 10), 0)
    store["sweeper"] = 50
    store.set("b", entry("f"), 10)
    deepStrictEqual(left, [["a", "expired"]])
  })

  it("entries from before - count, and leave with later writes, some at a time", () => {
    const { left, store } = make()
    for (let i = 0; i < 40; i++) store.set(`k${i}`, entry("f"), 0)
    store.limitEntries("f", 2)
    store.limitEntries("f", 2)
    store.set("a", entry("f"), 0)
    assert.lengthOf(left, 16)
    store.set("a", entry("f"), 0)
    store.set("b", entry("f"), 0)
    store.set("c", entry("f"), 0)
    deepStrictEqual(keysOf(store, "f"), ["b", "c"])
    store.limitEntries("f", 3)
    store.set("d", entry("f"), 0)
    deepStrictEqual(keysOf(store, "f"), ["b", "c", "d"])
  })

  it("clear - leaves the limit, and nothing of the entries", () => {
    const { store } = make()
    store.limitEntries("f", 2)
    for (const key of ["a", "b"]) store.set(key, entry("f"), 0)
    store.get("a")
    store.clear(5)
    const limits = store["limits"]!
    deepStrictEqual(limits.of("f"), { most: 2, size: 0, newest: -1, oldest: -1 })
    deepStrictEqual([limits["newer"].length, limits["older"].length], [0, 0])
    for (const key of ["c", "d", "e"]) store.set(key, entry("f"), 0)
    deepStrictEqual(keysOf(store, "f"), ["d", "e"])
  })

  it("a limit that is taken away - leaves the entries, whose hits are reported no longer", () => {
    const { store } = make()
    store.limitEntries("f", 2)
    for (const key of ["a", "b"]) store.set(key, entry("f"), 0)
    deepStrictEqual(reported(store), ["a", "b"])
    store.limitEntries("f", Number.POSITIVE_INFINITY)
    deepStrictEqual(reported(store), [])
    store.set("c", entry("f"), 0)
    deepStrictEqual(keysOf(store, "f"), ["a", "b", "c"])
    store.limitEntries("f", 3)
    store.set("d", entry("f"), 0)
    deepStrictEqual(keysOf(store, "f"), ["b", "c", "d"])
    deepStrictEqual(reported(store), ["b", "c", "d"])
  })

  it("a shrink - leaves the order as it is", () => {
    const { left, store } = make()
    store.limitEntries("f", 100)
    for (let i = 0; i < 4_000; i++) store.set(`k${i}`, i % 40 === 0 ? entry("f") : entry("g", 10), 0)
    // the first and the last of the order have records that will move
    const order = [...Array.from({ length: 99 }, (_, i) => 3_960 - i * 40).filter((i) => i !== 3_920), 0, 3_920]
    for (const i of order) store.get(`k${i}`)
    for (let i = 0; i < 600; i++) store.set("other", entry("h"), 20)
    assert.isBelow(store["keys"].length, 1_100)
    const room = store["i32"].length / Fields.i32Length
    deepStrictEqual([store["limits"]!["newer"].length, store["limits"]!["older"].length], [room, room])
    left.length = 0
    for (let i = 0; i <= 100; i++) store.set(`n${i}`, entry("f"), 20)
    deepStrictEqual(
      left.map(([key]) => key),
      [...order.map((i) => `k${i}`), "n0"]
    )
  })

  it("random use - each list is that of its owner's entries, in the order of use", () => {
    for (const options of [{ capacity: 60 }, { capacity: 60, eviction: "lru" }] as ReadonlyArray<Partial<Options>>) {
      const { store } = make(options)
      const most: Record<string, number> = { a: 5, b: 20, c: Number.POSITIVE_INFINITY }
      for (const owner of ["a", "b"]) store.limitEntries(owner, most[owner]!)
      const next = uniform(3)
      let order: Array<string> = []
      for (let step = 0; step < 5_000; step++) {
        const key = `k${Math.floor(next() * 120)}`
        const action = next()
        const isUse = action < 0.5 && store.peek(key) !== undefined
        if (action < 0.5) store.get(key)
        else if (action < 0.6) store.remove(key)
        else store.set(key, entry("abc"[Math.floor(next() * 3)]!), 0)
        if (isUse || action >= 0.6) order = [...order.filter((other) => other !== key), key]
        if (step % 20 === 0) {
          const limited = Array.from(store.all()).filter(({ owner }) => owner !== "c")
          deepStrictEqual(
            reported(store),
            limited.map((found) => found.key)
          )
        }
        for (const owner of step % 20 === 0 ? ["a", "b"] : []) {
          const list = store["limits"]!.of(owner)!
          const listed: Array<string> = []
          for (let index = list.oldest; index !== -1; index = store["limits"]!["newer"][index]!) {
            listed.push(store["keys"][index]!)
          }
          assert.isAtMost(listed.length, most[owner]!)
          const here = new Set(keysOf(store, owner))
          if (list.size !== listed.length) assert.fail("the size is wrong")
          deepStrictEqual(
            listed,
            order.filter((other) => here.has(other))
          )
        }
      }
    }
  })

  it("hits of the engine - keep their entry, however often others are written", () => {
    const { store } = make({ capacity: 100_000 })
    store.limitEntries("f", 10)
    store.set("hot", entry("f"), 0)
    change(store.peek("hot")!, { epoch: 1, until: 10 })
    for (let i = 0; i < 1_000; i++) {
      if (store.hit("hot", "f", 1, 5) === -1) assert.fail(`evicted before ${i}`)
      store.set(`k${i}`, entry("f"), 0)
    }
  })
})

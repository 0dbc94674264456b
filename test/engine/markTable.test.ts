/**
 * The table of invalidation marks, and the hashes that it shares with the scripts of Redis.
 */
import { assert, describe, it } from "@effect/vitest"
import { Entry } from "../../src/Entry.js"
import { MarkTable } from "../../src/internal/engine/io/markTable.js"
import { bucketOf, hashOf, isTagHash } from "../../src/internal/markNames.js"

const entry = (stamp: number, tags: ReadonlyArray<string>, owner = "f") => ({
  stamp,
  tags,
  owner,
  createdAt: 0,
  freshUntil: 0,
  expiresAt: 0
})

/** A table in which tags of `user:` were invalidated, each later than the one before. */
const tableWith = (maxMarks: number, tags: number) => {
  let folded = 0
  const table = new MarkTable(maxMarks, () => {
    folded++
  })
  for (let i = 0; i < tags; i++) table.raise(`t:user:${i}`, 1_000 + i)
  return { table, folded: () => folded }
}

describe("MarkTable", () => {
  it("hash - tells kinds apart, and every name of many from every other", () => {
    const names = Array.from({ length: 20_000 }, (_, i) => [`t:user:${i}`, `f:user:${i}`, `t:übung ${i}`]).flat()
    assert.strictEqual(new Set(names.map(hashOf)).size, names.length)
    assert.isTrue(names.every((name) => isTagHash(hashOf(name)) === name.startsWith("t:")))
    assert.isTrue(names.every((name) => bucketOf(hashOf(name)) >= 0 && bucketOf(hashOf(name)) < 65_536))
  })

  it("at the bound - every mark is kept apart", () => {
    const { folded, table } = tableWith(10_000, 10_000)
    assert.strictEqual(folded(), 0)
    const others = Array.from({ length: 1_000 }, (_, i) => entry(1, [`page:${i}`]))
    assert.isTrue(others.every((each) => table.admits(each)))
    assert.isTrue(table.admits(entry(1, [])))
    assert.isFalse(table.admits(entry(1, ["user:0"])))
    assert.isFalse(table.admits(entry(10_999, ["user:9999"])))
    assert.isTrue(table.admits(entry(11_000, ["user:9999"])))
  })

  it("beyond the bound - invalidated tags stay invalidated, and entries without tags are never affected", () => {
    const { folded, table } = tableWith(100, 5_000)
    assert.strictEqual(folded(), 4_900)
    for (let i = 0; i < 5_000; i++) assert.isFalse(table.admits(entry(1_000 + i, [`user:${i}`])), `user:${i}`)
    assert.isTrue(table.admits(entry(1, [])))
    assert.isTrue(table.admitsLoad(1, "f", []))
    assert.isTrue(table.admits(entry(6_000, ["user:0"])))
  })

  it("beyond the bound - an entry with another tag is affected as often as 65 536 buckets predict", () => {
    const { table } = tableWith(1, 65_537)
    const others = Array.from({ length: 20_000 }, (_, i) => entry(1, [`page:${i}`]))
    const share = others.filter((each) => !table.admits(each)).length / others.length
    // 1 - (1 - 1 / 65536) ^ 65536
    assert.approximately(share, 1 - Math.exp(-1), 0.08)
  })

  it("marks of functions - fold apart from those of tags", () => {
    const table = new MarkTable(1, () => {})
    for (let i = 0; i < 70_000; i++) table.raise(`t:user:${i}`, 1_000)
    table.raise("f:g", 1_000)
    table.raise("f:h", 1_000)
    assert.isTrue(table.admits(entry(1, [], "f")))
    assert.isFalse(table.admits(entry(1, [], "g")))
    assert.isFalse(table.admits(entry(1, [], "h")))
  })

  const both = { floor: -1, lost: -1 }
  const at = (table: MarkTable, stamp: number) => {
    const one = new Entry(0, { ...entry(stamp, ["a"]), freshUntil: 10, expiresAt: 20 })
    return table.admits(one) ? one.freshUntil : undefined
  }

  it("an expiry - makes what is older stale, and what was invalidated before stays so", () => {
    const table = new MarkTable(10, () => {})
    table.raise("t:a", 3)
    table.expire("t:a", 6, 4)
    assert.deepStrictEqual(
      [3, 4, 6, 7].map((stamp) => at(table, stamp)),
      [undefined, 4, 4, 10]
    )
    assert.isFalse(table.admitsLoad(6, "f", ["a"]))
    table.expire("t:a", 8, 5)
    assert.deepStrictEqual(
      [3, 6, 8].map((stamp) => at(table, stamp)),
      [undefined, 4, 5]
    )
    table.raise("t:a", 9)
    assert.deepStrictEqual(
      [6, 9, 10].map((stamp) => at(table, stamp)),
      [undefined, undefined, 10]
    )
  })

  it("many expiries - each makes stale what is older than it, and the closest become one beyond eight", () => {
    const table = new MarkTable(10, () => {})
    const times = [1, 2, 3, 3.1, 5, 6, 7, 8, 9, 9.5]
    for (const [i, time] of times.entries()) table.expire("t:a", i + 1, time)
    assert.deepStrictEqual(
      times.map((_, i) => at(table, i + 1)),
      [1, 2, 3, 3, 5, 6, 7, 8, 9, 9.5]
    )
    // an invalidation takes their place
    table.raise("t:a", 11)
    table.expire("t:a", 12, 9.8)
    assert.deepStrictEqual(
      [10, 11, 12].map((stamp) => at(table, stamp)),
      [undefined, undefined, 9.8]
    )
  })

  it("an expiry that a backend gives a later stamp - is the same one", () => {
    const table = new MarkTable(10, () => {})
    table.expire("t:a", 3, 4)
    const answered = (stamp: number, time: number) =>
      table.merge({
        ...both,
        raised: [
          ["e:t:a", time],
          ["t:a", stamp],
          ["x:t:a", stamp]
        ]
      })
    answered(5, 4)
    answered(7, 6)
    assert.deepStrictEqual(
      [3, 5, 6, 7].map((stamp) => at(table, stamp)),
      [4, 4, 6, 6]
    )
  })

  it("an expiry that a backend reports - is one in any order, and without its time or its stamp an invalidation", () => {
    const raised = [
      ["x:t:a", 6],
      ["e:t:a", 4],
      ["t:a", 6],
      ["i:t:a", 3]
    ] as const
    for (const list of [raised, raised.toReversed()]) {
      const table = new MarkTable(10, () => {})
      table.merge({ ...both, raised: list })
      assert.deepStrictEqual(
        [3, 6, 7].map((stamp) => at(table, stamp)),
        [undefined, 4, 10]
      )
    }
    for (const missing of ["x:t:a", "e:t:a"]) {
      const table = new MarkTable(10, () => {})
      table.merge({ ...both, raised: raised.filter(([name]) => name !== missing) })
      assert.deepStrictEqual(
        [6, 7].map((stamp) => at(table, stamp)),
        [undefined, 10]
      )
    }
  })

  it("an expiry of a process whose clock is ahead - counts from now on at the latest", () => {
    let now = 5
    const table = new MarkTable(10, () => {}, { now: () => now, adjust: () => {} })
    table.merge({
      ...both,
      raised: [
        ["x:t:a", 6],
        ["e:t:a", 8],
        ["t:a", 6]
      ]
    })
    assert.strictEqual(at(table, 6), 5)
    now = 9
    assert.strictEqual(at(table, 6), 8)
  })

  it("an expiry that is folded, in this process or in a backend - invalidates", () => {
    const table = new MarkTable(1, () => {})
    table.expire("t:a", 6, 4)
    table.raise("t:b", 7)
    assert.isUndefined(at(table, 6))
    const other = new MarkTable(10, () => {})
    other.expire("t:a", 6, 4)
    other.merge({ ...both, raised: [], buckets: [[`t${bucketOf(hashOf("t:a"))}`, 5]] })
    assert.deepStrictEqual(
      [5, 6].map((stamp) => at(other, stamp)),
      [undefined, 4]
    )
  })

  it("buckets of a backend - are taken over, and anything else is not", () => {
    const table = new MarkTable(10, () => {})
    const bucket = bucketOf(hashOf("t:a"))
    const buckets = [[`t${bucket}`, 5] as const, ["#", 9] as const, ["x1", 9] as const]
    table.merge({ floor: -1, lost: -1, raised: [], buckets })
    assert.isFalse(table.admits(entry(5, ["a"])))
    assert.isTrue(table.admits(entry(6, ["a"])))
    assert.isTrue(table.admits(entry(5, [], "a")))
  })

  it("a floor - outdates what is older, and the marks and buckets that it covers are forgotten", () => {
    const { table } = tableWith(100, 1_000)
    table.merge({ floor: 1_950, lost: 0, raised: [], buckets: [] })
    assert.strictEqual(table.size, 49)
    for (let i = 0; i < 1_000; i++) assert.isFalse(table.admits(entry(1_000 + i, [`user:${i}`])), `user:${i}`)
    // no bucket is left that could affect a later entry
    assert.isTrue(table.admits(entry(1_951, ["user:0"])))
    table.merge({ floor: 1_999, lost: 0, raised: [["t:user:0", 1_500]], buckets: [["t1", 1_200]] })
    assert.strictEqual(table.size, 0)
    assert.isTrue(table.admits(entry(2_000, ["user:0"])))
  })

  it("clear - outdates what is older, and forgets the marks that it covers", () => {
    const { folded, table } = tableWith(10, 10)
    table.raise("*", 2_000)
    assert.isFalse(table.admits(entry(2_000, [])))
    for (let i = 0; i < 10; i++) table.raise(`t:new:${i}`, 3_000)
    assert.strictEqual(folded(), 0)
    assert.isTrue(table.admits(entry(2_001, ["user:1"])))
  })
})

/**
 * How many bytes does an entry in memory take, how long does it take to fill a store, and how long is the longest pause
 * of the garbage collector meanwhile? Each library is filled in a process of its own.
 */
import { Effect } from "effect"
import { rivals } from "./rivals/index.js"
import type { Filled } from "./support/entries.js"
import { countOf, now, record, roundsOf, rowsOf, type Section, secondsOf, section } from "./support/harness.js"
import { ask } from "./support/process.js"

const bare = { name: "Map", isOther: true }

/** These are compared with a million entries, which takes the others minutes. */
const quick = ["Cached.ttl", "lru-cache, by hand"]

const fill = (n: number, contenders: ReadonlyArray<{ readonly name: string; readonly isOther: boolean }>) => () =>
  Effect.gen(function* () {
    const samples = new Map<string, Array<Exclude<Filled, { readonly leftOut: string }>>>()
    const leftOut: Array<{ readonly name: string; readonly reason: string }> = []
    const end = now() + 2 * secondsOf * 1_000
    let rounds = 0
    while (rounds < roundsOf(3) && (rounds === 0 || now() < end)) {
      for (const { name } of contenders) {
        if (leftOut.some((one) => one.name === name)) continue
        const filled = yield* ask<Filled>("entries.ts", [name, String(n)])
        if (filled.leftOut !== undefined) leftOut.push({ name, reason: filled.leftOut })
        else samples.set(name, [...(samples.get(name) ?? []), filled])
      }
      rounds++
    }
    const measured = contenders.filter(({ name }) => samples.has(name))
    const figures = (title: string, unit: "bytes" | "ns" | "ms", of: "bytes" | "nanos" | "pause", bounds = {}) =>
      record({
        title: `memory: ${title}, ${n} entries`,
        floor: bare.name,
        unit,
        rounds,
        rows: rowsOf(
          measured,
          measured.map(({ name }) => samples.get(name)!.map((one) => one[of])),
          bare.name,
          bounds
        ),
        leftOut
      })
    yield* figures("bytes per entry, with key and value", "bytes", "bytes")
    yield* figures("time to fill, per entry", "ns", "nanos")
    yield* figures("longest pause while filling", "ms", "pause")
  })

const keepsMany = rivals.filter(({ name, places }) => places.includes("memory") && name !== "Effect.cachedWithTTL")
const few = countOf(20_000)
const many = countOf(1_000_000)

export const memory: ReadonlyArray<Section> = [
  section(`memory: bytes per entry, fill and pauses, ${few} entries`, fill(few, [bare, ...keepsMany])),
  section(
    `memory: bytes per entry, fill and pauses, ${many} entries, the quick ones`,
    fill(many, [bare, ...keepsMany.filter(({ name }) => quick.includes(name))])
  )
]

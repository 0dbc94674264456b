/**
 * How does the cost of a hit grow with the number of entries, of functions, and of fibers that read?
 */
import { Effect } from "effect"
import { Cached } from "effect-cached"
import { type Contender, record, report, roundsOf, rowsOf, type Section, section, table } from "./support/harness.js"
import { contender, loop, n, runtime } from "./support/memory.js"
import { ask } from "./support/process.js"
import type { Sizes } from "./support/size.js"

/** The most entries, or `BENCH_SCALE`: ten million in each of three stores take about eight gigabytes, and minutes. */
const most = Number(process.env.BENCH_SCALE ?? 1_000_000)

const sizes = [10_000, 100_000, 1_000_000, 10_000_000].filter((size) => size <= most)

const entries = (title: string) =>
  Effect.gen(function* () {
    const costs: Array<Readonly<Record<string, number>>> = []
    for (const size of sizes) {
      const samples = yield* ask<Sizes>("size.ts", [String(size), String(roundsOf(7))])
      const contenders = Object.keys(samples).map((name) => ({ name, isOther: name !== "Cached.ttl" }))
      const rows = rowsOf(contenders, Object.values(samples), "Map")
      yield* record({
        title: `scale: a hit of a random key among ${size} entries`,
        floor: "Map",
        unit: "ns",
        clock: "cpu",
        rounds: samples.Map!.length,
        rows,
        leftOut: []
      })
      costs.push(Object.fromEntries(rows.map(({ name, value }) => [name, value])))
    }
    const names = Object.keys(costs[0]!)
    yield* table(`${title}, to that among ${sizes[0]}`, [
      ["entries", ...names],
      ...sizes.map((size, i) => [
        String(size),
        ...names.map((name) => `${(costs[i]![name]! / costs[0]![name]!).toFixed(2)}×`)
      ])
    ])
  })

const keys = 10_000

/** Hits of ten thousand keys, of one function and of a thousand functions. */
const functions = (title: string) =>
  Effect.suspend(() => {
    const many = Array.from({ length: 1_000 }, (_, i) =>
      Cached.ttl((id: number) => Effect.succeed(id), { key: `scale${i}:{}` as "scale:{}", ttl: "1 hour" })
    )
    const one = Cached.ttl((id: number) => Effect.succeed(id), { key: "scale:{}", ttl: "1 hour" })
    const of = (name: string, once: (i: number) => Effect.Effect<number, never, any>): Contender =>
      contender(name, Effect.as(loop(keys, once), once), n, (i) => i % keys)
    return report({
      title,
      floor: "one function",
      clock: "cpu",
      rounds: 21,
      contenders: [of("one function", (i) => one(i % keys)), of("1 000 functions", (i) => many[i % 1_000]!(i % keys))]
    })
  })

/** Each of many fibers reads five times, and lets the others run in between. */
const reads = 5

const fibers = (count: number) => (title: string) =>
  Effect.suspend(() => {
    const map = new Map(Array.from({ length: keys }, (_, id) => [`user:${id}`, id]))
    const cached = Cached.ttl((id: number) => Effect.succeed(id), { key: "fibers:{}", ttl: "1 hour" })
    const of = (name: string, read: (id: number) => Effect.Effect<number, never, any>, isOther: boolean): Contender => {
      const each = (fiber: number) =>
        Effect.gen(function* () {
          let sum = 0
          for (let i = 0; i < reads; i++) {
            sum += yield* read((fiber + i) % keys)
            yield* Effect.yieldNow()
          }
          return sum
        })
      const total = 100_000
      const all = Effect.gen(function* () {
        let sum = 0
        for (let from = 0; from < total; from += count) {
          const ids = Array.from({ length: count }, (_, i) => from + i)
          for (const one of yield* Effect.forEach(ids, each, { concurrency: "unbounded" })) sum += one
        }
        if (sum !== ((keys - 1) / 2) * total * reads) throw new Error(`${name}: the sum is ${sum}`)
      })
      return {
        name,
        isOther,
        operations: total * reads,
        run: Effect.as(
          loop(keys, read),
          Effect.promise(() => runtime.runPromise(all as Effect.Effect<void, never, any>))
        )
      }
    }
    return report({
      title,
      floor: "suspend(() => succeed(map.get(k)))",
      clock: "cpu",
      rounds: 5,
      contenders: [
        of(
          "suspend(() => succeed(map.get(k)))",
          (id) => Effect.suspend(() => Effect.succeed(map.get(`user:${id}`)!)),
          true
        ),
        of("Cached.ttl", cached, false)
      ]
    })
  })

export const scale: ReadonlyArray<Section> = [
  section("scale: a hit of a random key", entries),
  section(`scale: hits of ${keys} keys`, functions),
  ...[100, 100_000].map((count) => section(`scale: a hit in each of ${count} fibers, with the fiber`, fibers(count)))
]

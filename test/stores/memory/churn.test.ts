/**
 * Churn: writes, removals, expiries and invalidations without end leave the memory of a store as it is. `CHURN_COUNT` says
 * how many writes each store gets, default a million, and a tenth as many through the engine, which takes 20 times as long.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, LogLevel } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"
import { uniform } from "../../../bench/simulator/random.js"
import { Entry } from "../../../src/Entry.js"
import * as Fields from "../../../src/internal/backends/memory/record.js"
import { MemoryStore, type Options } from "../../../src/internal/backends/memory/store.js"
import { type Engine, EngineId } from "../../../src/internal/engine/engine.js"
import { usedBytes } from "../../support/heap.js"
import { awaitUntil, live } from "../../support/live.js"
import * as ManualClock from "../../support/manualClock.js"

const count = Number(process.env.CHURN_COUNT ?? 1_000_000)

/** How many writes come between two checks, with a measurement of the memory. */
const partOf = (count: number): number => Math.min(1_000_000, Math.floor(count / 20))

/** By how much the memory at the end may be above that at the beginning: a share, and what the engine itself takes. */
const share = 0.05
const slack = 1_500_000

const storeOf = (store: CacheStore.Service): MemoryStore => {
  const engine = (store as unknown as { readonly [EngineId]: Engine })[EngineId]
  return engine.backend.hits as MemoryStore
}

/** Checks what must hold of a store at any time. */
const check = (store: MemoryStore, weigh: (value: unknown) => number): void => {
  const indices = store["indices"]
  const policy = store["policy"]
  const entries: ReadonlyArray<Entry> = Array.from(store.all())
  assert.strictEqual(entries.length, indices.size)
  assert.strictEqual(policy.size, indices.size)
  assert.strictEqual(
    policy.weight,
    entries.reduce((sum, { value }) => sum + weigh(value), 0)
  )
  const seen = new Set<number>()
  for (const [key, index] of indices) {
    if (store["keys"][index] !== key) assert.fail(`the record of ${key} has another key`)
    seen.add(index)
  }
  assert.strictEqual(seen.size, indices.size)
  const i32 = store["i32"]
  let free = 0
  for (let index = store["free"]; index !== -1; index = i32[index * Fields.i32Length + Fields.newer]!) {
    if (seen.has(index) || store["values"][index] !== undefined) assert.fail(`the free record ${index} is in use`)
    free++
  }
  assert.strictEqual(free + indices.size, store["used"])
  const owners = new Set(entries.map(({ owner }) => owner))
  assert.strictEqual(store["owners"].size, owners.size)
}

/** Uses a store through its engine, in all ways, and returns its memory after each part. */
const useStore = (
  count: number,
  clock: ManualClock.ManualClock,
  weigh: (value: unknown) => number
): Effect.Effect<Array<number>, never, CacheStore> =>
  Effect.gen(function* () {
    const store = yield* CacheStore
    const memory = storeOf(store)
    const next = uniform(7)
    const load = (id: number) => Effect.succeed({ id })
    const find = Cached.ttl(load, { key: "find:{}", ttl: "30 seconds", tags: (_, id) => [`t${id % 100}`] })
    const other = Cached.swr(load, { key: "other:{}", ttl: "5 seconds", stale: "20 seconds" })
    const used: Array<number> = []
    const part = partOf(count)
    for (let written = 1; written <= count; written++) {
      // a third of the keys come again, the others are new
      const id = next() < 0.33 ? Math.floor(next() * 5_000) : 5_000 + written
      const action = next()
      if (action < 0.8) yield* store.set(`k${id}`, { id }, { ttl: 1_000 + Math.floor(next() * 60_000) })
      else if (action < 0.9) yield* find(id)
      else if (action < 0.95) yield* other(id)
      else if (action < 0.97) yield* store.set(`k${id}`, { id }, { ttl: "1 minute", tags: [`u${id}`] })
      else yield* find.set(id)({ id })
      const change = next()
      if (change < 0.1) yield* store.remove(`k${id}`)
      else if (change < 0.102) yield* store.tags.invalidate([`t${id % 100}`])
      else if (change < 0.104) yield* store.tags.invalidate([`u${id}`])
      else if (change < 0.10405) yield* find.clear
      else if (change < 0.10406) yield* store.clear
      else if (change < 0.10407) yield* store.sweep
      else if (change < 0.10607) yield* store.expire(`k${id}`)
      if (written % 500 === 0) clock.pass(1_000)
      // lets the worker answer vitest
      if (written % 5_000 === 0) yield* live(Effect.sleep(0))
      if (written % part > 0) continue
      yield* awaitUntil(
        Effect.sync(() => memory.leave(0, 0) === 0),
        "what was cleared is freed"
      )
      check(memory, weigh)
      used.push(usedBytes())
    }
    return used
  })

/** Uses the entries of a store alone, in all ways, and returns their memory after each part. */
const useEntries = async (
  count: number,
  store: MemoryStore,
  weigh: (value: unknown) => number
): Promise<Array<number>> => {
  const next = uniform(9)
  const used: Array<number> = []
  const part = partOf(count)
  /** The stamps at which tags were invalidated. */
  const marks = new Map<string, number>()
  store.isInvalidated = ({ stamp, tags }) => tags.some((tag) => stamp <= (marks.get(tag) ?? 0))
  for (let written = 1; written <= count; written++) {
    const now = Math.floor(written / 50)
    const id = next() < 0.33 ? Math.floor(next() * 5_000) : 5_000 + written
    const action = next()
    const expiresAt = action < 0.6 ? now + 1 + Math.floor(next() * 600) : now + 600
    const times = { stamp: written, createdAt: now, freshUntil: expiresAt, expiresAt }
    const owner = action < 0.99 ? `f${id % 50}` : `f${id}`
    const tags = action < 0.9 ? [] : [`t${id % 100}`]
    const extension = action > 0.8 && action < 0.85 ? { idle: 100 } : undefined
    store.set(`k${id}`, new Entry({ id }, { ...times, owner, tags, extension }), now)
    const change = next()
    if (change < 0.3) store.get(`k${Math.floor(change * 10_000)}`)
    else if (change < 0.4) store.remove(`k${id}`)
    else if (change < 0.402) marks.set(`t${id % 100}`, written)
    else if (change < 0.402_001) store.clear(written)
    else if (change < 0.45) store.leave(100, now)
    if (written % part > 0) continue
    while (store.leave(100, now) > 0) {}
    check(store, weigh)
    used.push(usedBytes())
    await new Promise((resolve) => setImmediate(resolve))
  }
  return used
}

const median = (numbers: ReadonlyArray<number>): number =>
  Array.from(numbers).sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!

/** Compares the memory in the last quarter with that in the first. */
const compare = (name: string, used: ReadonlyArray<number>): void => {
  if (process.env.CHURN_REPORT !== undefined) {
    process.stdout.write(`${name}: ${used.map((bytes) => (bytes / 1e6).toFixed(2)).join(" ")}\n`)
  }
  const quarter = Math.floor(used.length / 4)
  const [first, last] = [median(used.slice(0, quarter)), median(used.slice(-quarter))]
  assert.isBelow(last, first * (1 + share) + slack, used.join())
}

const day = 86_400_000
const weight = (value: unknown): number => 1 + ((value as { readonly id: number }).id % 10)

const stores: ReadonlyArray<readonly [name: string, Partial<Options>, (value: unknown) => number]> = [
  ["capacity", { capacity: 5_000 }, () => 1],
  ["lru", { capacity: 5_000, eviction: "lru" }, () => 1],
  ["maxWeight", { capacity: 25_000, weigh: weight }, weight],
  ["no limit", {}, () => 1]
]

describe("churn - the memory at the end is that of the beginning, and the structure holds", () => {
  for (const [name, options, weigh] of stores) {
    const { capacity = Number.POSITIVE_INFINITY, eviction = "adaptive" } = options
    it(
      `entries: ${name}`,
      async () => {
        const store = new MemoryStore({ seed: 1, ...options, capacity, eviction })
        compare(name, await useEntries(count, store, weigh))
      },
      day
    )

    it.effect(
      `engine: ${name}`,
      () => {
        const clock = ManualClock.make()
        const limits = options.weigh === undefined ? { capacity } : { maxWeight: capacity, weigh: options.weigh }
        return Effect.map(useStore(Math.ceil(count / 10), clock, weigh), (used) =>
          compare(`engine, ${name}`, used)
        ).pipe(
          Logger.withMinimumLogLevel(LogLevel.None),
          Effect.provide(MemoryCache.layer({ eviction, ...limits })),
          Effect.withClock(clock)
        )
      },
      day
    )
  }
})

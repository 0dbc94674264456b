/**
 * A process of the benchmark, `size.js <number>`: reads that many keys in random order, from a bare map in Effect, from
 * this library and from lru-cache, and prints the nanoseconds of a hit as JSON, by round.
 */
import { performance } from "node:perf_hooks"
import { Effect, Layer, ManagedRuntime } from "effect"
import { Cached, MemoryCache } from "effect-cached"
import { lruCache } from "../rivals/lruCache.js"
import { hour, keyOf } from "../rivals/rival.js"
import { services } from "./memory.js"

/** The nanoseconds of a hit in each round, by name. */
export type Sizes = Readonly<Record<string, ReadonlyArray<number>>>

const n = Number(process.argv[2])
const rounds = Number(process.argv[3])
const reads = 100_000

/** Steps through all numbers below `n` in an order that is as good as random: the step and `n` have no common factor. */
const step = 7_368_787 % n

const runtime = ManagedRuntime.make(Layer.merge(MemoryCache.layer({ capacity: n }), services))

let loads = 0
const cached = Cached.ttl(
  (id: number) =>
    Effect.sync(() => {
      loads++
      return id
    }),
  { key: "user:{}", ttl: "1 hour" }
)

const map = new Map<string, number>()
for (let id = 0; id < n; id++) map.set(keyOf(id), id)

const found = await Effect.runPromise(Effect.either(lruCache))
const lru = found._tag === "Right" ? new found.right.LRUCache<number>({ max: n, ttl: hour }) : undefined
if (lru !== undefined) for (let id = 0; id < n; id++) lru.set(keyOf(id), id)

await runtime.runPromise(
  Effect.gen(function* () {
    for (let id = 0; id < n; id++) yield* cached(id)
  })
)

const contenders: Record<string, (id: number) => Effect.Effect<number, never, any>> = {
  Map: (id) => Effect.suspend(() => Effect.succeed(map.get(keyOf(id))!)),
  "Cached.ttl": cached
}
if (lru !== undefined) contenders["lru-cache, by hand"] = (id) => Effect.sync(() => lru.get(keyOf(id))!)

const samples: Record<string, Array<number>> = {}
let at = 0
for (let round = -2; round < rounds; round++) {
  for (const [name, read] of Object.entries(contenders)) {
    globalThis.gc!()
    const cpu = process.cpuUsage()
    await runtime.runPromise(
      Effect.gen(function* () {
        for (let i = 0; i < reads; i++) {
          at = (at + step) % n
          if ((yield* read(at)) !== at) throw new Error(`${name} has another value of ${at}`)
        }
      }) as Effect.Effect<void, never, any>
    )
    const { system, user } = process.cpuUsage(cpu)
    samples[name] ??= []
    if (round >= 0) samples[name].push(((user + system) * 1_000) / reads)
  }
}
if (loads !== n) throw new Error(`${loads} loads instead of ${n}`)
console.error(`${n} entries after ${(performance.now() / 1_000).toFixed(0)} s`)
console.log(JSON.stringify(samples))
process.exit(0)

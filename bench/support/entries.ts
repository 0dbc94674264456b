/**
 * A process of the benchmark, `entries.js <name> <number>`: fills the memory of one library by reading that many new keys,
 * and prints what that took as JSON. `Map` is a bare map in Effect.
 */
import { PerformanceObserver, performance } from "node:perf_hooks"
import { Effect, type Scope } from "effect"
import { rivals } from "../rivals/index.js"
import { type Cache, keyOf } from "../rivals/rival.js"
import { repeated } from "./contend.js"
import type { LeftOut } from "./harness.js"

interface Value {
  readonly id: number
}

export type Filled =
  | { readonly bytes: number; readonly nanos: number; readonly pause: number; readonly leftOut?: undefined }
  | { readonly leftOut: string }

const [name, count] = process.argv.slice(2) as [string, string]
const n = Number(count)

let loads = 0
const load = (id: number): Value => {
  loads++
  return { id }
}

const floor = () => {
  const map = new Map<string, Value>()
  const read = (id: number) =>
    Effect.suspend(() => {
      const found = map.get(keyOf(id))
      if (found !== undefined) return Effect.succeed(found)
      const value = load(id)
      map.set(keyOf(id), value)
      return Effect.succeed(value)
    })
  return {
    kind: "effect",
    run: <A>(effect: Effect.Effect<A, unknown, any>) => Effect.runPromise(effect as Effect.Effect<A>),
    calls: { read }
  } as const
}

const used = (): number => {
  globalThis.gc!()
  globalThis.gc!()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const make = (capacity: number): Effect.Effect<Cache<Value>, LeftOut, Scope.Scope> => {
  const rival = rivals.find((one) => one.name === name)
  return rival === undefined
    ? Effect.sync(floor)
    : rival.make<Value>({
        place: "memory",
        url: "redis://localhost",
        prefix: "entries:",
        capacity,
        idOf: ({ id }) => id,
        load,
        isStale: false
      })
}

const program = Effect.gen(function* () {
  // The package and its code are loaded before the heap is measured; what a cache allocates at once is part of it.
  yield* Effect.scoped(make(10))
  const before = used()
  const cache = yield* make(n)
  const read = cache.calls.read!
  let pause = 0
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) pause = Math.max(pause, duration)
  })
  observer.observe({ entryTypes: ["gc"] })
  const begun = performance.now()
  yield* repeated(cache, read, n)
  const nanos = ((performance.now() - begun) * 1e6) / n
  // The observer is told later.
  yield* Effect.sleep(20)
  observer.disconnect()
  const bytes = (used() - before) / n
  const filled = loads
  yield* repeated(cache, (i) => read(i * 97 + 1), Math.floor(n / 97) - 1)
  const result: Filled =
    filled === n && loads === n
      ? { bytes, nanos, pause }
      : { leftOut: `${loads} loads instead of ${n}: it does not keep all entries` }
  return result
})

const result = await Effect.runPromise(
  Effect.scoped(program).pipe(Effect.catchTag("LeftOut", ({ reason }) => Effect.succeed<Filled>({ leftOut: reason })))
)
console.log(JSON.stringify(result))
process.exit(0)

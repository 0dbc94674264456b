/**
 * What does the library add to a load?
 */
import { Effect } from "effect"
import { contenders, repeated, result } from "./support/contend.js"
import { type Contender, check, countOf, report, type Section, section, verify } from "./support/harness.js"
import { loop } from "./support/memory.js"

const n = countOf(50_000)

type Load = (id: number) => number | Promise<number>

/**
 * Every run reads new keys: the counter continues from run to run. Every cache has the default capacity of
 * `MemoryCache`, 10 000 entries, so a miss includes its eviction.
 */
const misses = (load: Load, bound: number) => (title: string) =>
  Effect.gen(function* () {
    const rivals = yield* contenders<number>({
      place: "memory",
      capacity: 10_000,
      load,
      idOf: (value) => value,
      has: ({ calls }) => calls.read !== undefined,
      operations: n,
      prepare: ({ cache, loads }, operations) => {
        const read = cache.calls.read!
        let from = 0
        const run = Effect.suspend(() => {
          const begun = loads()
          const start = from
          from += operations
          return Effect.flatMap(
            repeated(cache, (i) => read(start + i), operations),
            () => check("loads", loads() - begun, operations)
          )
        })
        return Effect.gen(function* () {
          for (const id of [-3, -2, -3, -1, -2]) yield* verify("the value", yield* result(cache, () => read(id)), id)
          yield* verify("loads", loads(), 3)
        }).pipe(Effect.as(run))
      }
    })
    const alone: Contender = {
      name: "the lookup alone",
      operations: n,
      run: Effect.succeed(
        loop(n, (id) => {
          const value = load(id)
          return value instanceof Promise ? Effect.promise(() => value) : Effect.succeed(value)
        })
      )
    }
    yield* report({
      title,
      floor: "Cache",
      bounds: { "Cached.ttl": bound },
      clock: "cpu",
      rounds: 15,
      contenders: [...rivals, alone]
    })
  })

export const miss: ReadonlyArray<Section> = [
  section(
    "miss, synchronous lookup",
    misses((id) => id, 0.5)
  ),
  section(
    "miss, lookup that yields once",
    misses(async (id) => id, 1)
  )
]

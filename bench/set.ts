/**
 * What does a write to memory cost?
 */
import { Effect } from "effect"
import { contenders, repeated, result } from "./support/contend.js"
import { countOf, report, type Section, section, verify } from "./support/harness.js"
import { contender } from "./support/memory.js"

const keys = 10_000
const n = countOf(200_000)

const floor = "floor: sync(() => map.set(k, v)), key built"

const sets = (title: string) =>
  Effect.gen(function* () {
    const map = new Map<string, number>()
    const rivals = yield* contenders<number>({
      place: "memory",
      load: () => -1,
      idOf: (value) => value,
      has: ({ calls }) => calls.set !== undefined,
      operations: n,
      prepare: ({ cache, loads, rival }, operations) => {
        const { getMany, read, set } = cache.calls
        return Effect.gen(function* () {
          yield* result(cache, () => set!(7, 8))
          // An entry belongs to its function, so what the store was told is not a hit of `Cached.ttl`.
          if (rival.isOther) {
            yield* verify("the value that was set", yield* result(cache, () => read!(7)), 8)
            yield* verify("loads", loads(), 0)
          } else {
            const [value] = yield* result<ReadonlyArray<number>>(cache, () => getMany!(["user:7"]))
            yield* verify("the value that was set", value, 8)
          }
        }).pipe(Effect.as(repeated(cache, (i) => set!(i % keys, i), operations)))
      }
    })
    yield* report({
      title,
      floor,
      clock: "cpu",
      rounds: 15,
      contenders: [
        contender(
          floor,
          Effect.succeed((i) => Effect.sync(() => map.set(`user:${i % keys}`, i) && i)),
          n,
          (i) => i
        ),
        ...rivals.map((one) => (one.name === "Cached.ttl" ? { ...one, name: "store.set" } : one))
      ]
    })
  })

export const set: ReadonlyArray<Section> = [section(`set, over ${keys} keys in memory`, sets)]

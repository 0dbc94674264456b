/** Law 6: the store may fail, the caller may not. With `ChaosCache` around the medium. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Cached from "../../Cached.js"
import { CacheStoreError } from "../../CacheError.js"
import type { CacheStore } from "../../CacheStore.js"
import type { Faults, Verb } from "../ChaosCache.js"
import {
  attempt,
  becomes,
  broken,
  type Chaotic,
  chaotic,
  counting,
  is,
  type Law,
  type LawBroken,
  settled
} from "./bench.js"

const law = "law 6: the medium may fail, the caller may not"

const minute = { ttl: "1 minute" } as const
const writes: ReadonlyArray<Verb> = ["setMany", "removeMany", "marks"]

const failing: ReadonlyArray<readonly [how: string, faults: Faults]> = [
  ["fail", { fail: 1 }],
  ["hang", { hang: 1 }],
  ["are lost", { lose: 1 }]
]

/** it was struck, and said so */
const counted = ({ chaos, store }: Chaotic): Effect.Effect<void, LawBroken> =>
  Effect.gen(function* () {
    const { fail, hang, lose } = yield* chaos.struck
    yield* is(fail + hang + lose > 0, true, "whether anything went wrong")
    yield* is((yield* store.stats).storeErrors > 0, true, "whether what went wrong was counted")
  })

/** some fibers that read and change four keys, while the medium does as it likes */
const storm = (process: Chaotic): Effect.Effect<void, LawBroken, CacheStore> => {
  const ids = [0, 1, 2, 3]
  /** the version that is true, and the least that may still be answered, of each key */
  const truth = ids.map(() => 1)
  const least = ids.map(() => 1)
  const { lookup } = counting((_, id: number) => Effect.as(Effect.yieldNow(), { id, version: truth[id]! }))
  const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
  const read = (id: number) =>
    Effect.suspend(() => {
      const from = least[id]!
      return Effect.flatMap(find(id), (found) =>
        found.id === id && found.version >= from && found.version <= truth[id]!
          ? Effect.void
          : broken(`read ${id}: found version ${found.version} of ${found.id}, where ${from} is the least`)
      )
    })
  // each key has one writer, so that it is known which write came last
  const change = (id: number, how: "set" | "invalidate") =>
    Effect.suspend(() => {
      const version = ++truth[id]!
      const act = how === "set" ? find.set(id)({ id, version }) : find.invalidate(id)
      return Effect.map(act, () => {
        least[id] = version
      })
    })
  const step = (own: number) =>
    Effect.flatMap(Random.nextIntBetween(0, 10), (chance) =>
      chance === 0 ? change(own, "set") : chance === 1 ? change(own, "invalidate") : read(chance % ids.length)
    )
  const run = Effect.forEach(ids, (own) => Effect.replicateEffect(step(own), 40, { discard: true }), {
    concurrency: "unbounded",
    discard: true
  })
  return Effect.gen(function* () {
    yield* process.chaos.begin({ fail: 0.2, lose: 0.1, hang: 0.02, delay: { least: 0, most: 3 } })
    yield* run
    yield* process.chaos.calm
    yield* settled(process)
    for (const id of ids) yield* read(id)
    yield* settled(process)
    const { loads } = yield* process.store.stats
    for (const id of ids) yield* read(id)
    yield* is((yield* process.store.stats).loads, loads, "loads, when all is well again")
  }).pipe(Effect.withRandom(Random.make("storm")))
}

export const faults: ReadonlyArray<Law> = [
  ...failing.map(([how, each]) =>
    chaotic(law, `reads ${how} - values are loaded; when it is over they are hit again`, (process) => {
      const { calls, lookup } = counting((_, id: number) => Effect.succeed(id))
      const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
      return Effect.gen(function* () {
        yield* process.chaos.begin(each, ["getMany"])
        for (const id of [1, 2]) yield* is(yield* find(id), id, `read number ${id}`)
        yield* is(yield* process.store.get("nothing"), Option.none(), "get")
        yield* is(yield* process.store.getMany(["nothing"]), [Option.none()], "getMany")
        yield* counted(process)
        yield* process.chaos.calm
        yield* settled(process)
        for (const id of [1, 2]) yield* is(yield* find(id), id, `read number ${id}, when it is over`)
        yield* is(calls.length, 2, "loads")
        yield* is(yield* process.store.get("nothing"), Option.none(), "get, when it is over")
        yield* is((yield* process.store.health).status, "up", "status, when it is over")
      })
    })
  ),

  ...failing.map(([how, each]) =>
    chaotic(law, `writes ${how} - here it is so at once; when it is over it is delivered`, (process, place) => {
      const { chaos, store } = process
      const { lookup } = counting((call) => Effect.succeed(call))
      const cached = Cached.ttl(lookup(), { key: "loaded", ...minute })
      const keys = ["set", "removed", "tagged", "other"]
      const expected = [Option.some("after"), Option.none(), Option.none(), Option.some("before")]
      return Effect.gen(function* () {
        yield* store.set("set", "before", minute)
        yield* store.set("removed", "before", minute)
        yield* store.set("tagged", "before", { ...minute, tags: ["t"] })
        yield* store.set("other", "before", minute)
        yield* chaos.begin(each, writes)
        yield* store.set("set", "after", minute)
        yield* store.remove("removed")
        yield* store.tags.invalidate(["t"])
        yield* is(yield* cached, 1, "a read")
        yield* is(yield* store.getMany(keys), expected, "getMany, while writes go wrong")
        yield* is((yield* store.health).owes, true, "whether it is to be delivered")
        yield* counted(process)
        yield* chaos.calm
        yield* settled(process)
        yield* becomes(store.getMany(keys), expected, "getMany, when it is over", place.within)
        yield* is((yield* store.health).status, "up", "status, when it is over")
      })
    })
  ),

  chaotic(
    law,
    "setIfAbsent - fails with CacheStoreError where there is no answer, and works when it is over",
    (process) => {
      const { chaos, store } = process
      return Effect.gen(function* () {
        for (const [how, each] of failing) {
          yield* chaos.begin(each, ["setIfAbsent"])
          const answer = yield* attempt(store.setIfAbsent(how, 1, minute))
          yield* is(answer instanceof CacheStoreError, true, `whether it fails when answers ${how}`)
          yield* chaos.calm
          // the one whose answer was lost has been written
          const isAbsent = Option.isNone(yield* store.get(how))
          yield* is(yield* attempt(store.setIfAbsent(how, 2, minute)), isAbsent, `setIfAbsent, after answers ${how}`)
        }
        yield* counted(process)
      })
    }
  ),

  chaotic(law, "storm - no read fails, or finds what was there before a change; then all is well", (process) =>
    Effect.zipRight(storm(process), counted(process))
  )
]

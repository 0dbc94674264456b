/** Law 6 (the store may fail, the caller may not), tested with `ChaosCache` around the backend. */
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
  type LawBroken,
  type LawCase,
  settled
} from "./harness.js"

const law = "law 6: the store may fail, the caller may not"

const minute = { ttl: "1 minute" } as const
const writes: ReadonlyArray<Verb> = ["setMany", "removeMany", "marks"]

const failing: ReadonlyArray<readonly [how: string, faults: Faults]> = [
  ["fail", { fail: 1 }],
  ["hang", { hang: 1 }],
  ["lose their answers", { lose: 1 }]
]

/** Asserts that faults occurred, and that the store counted them. */
const counted = ({ chaos, store }: Chaotic): Effect.Effect<void, LawBroken> =>
  Effect.gen(function* () {
    const { fail, hang, lose } = yield* chaos.struck
    yield* is(fail + hang + lose > 0, true, "whether any fault occurred")
    yield* is((yield* store.stats).storeErrors > 0, true, "whether the faults were counted")
  })

/** Fibers that read and change four keys while operations of the backend fail at random. */
const storm = (process: Chaotic): Effect.Effect<void, LawBroken, CacheStore> => {
  const ids = [0, 1, 2, 3]
  /** The current version of each key, and the lowest version that a read may still return. */
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
          : broken(`read ${id}: found version ${found.version} of ${found.id}, expected version ${from} or later`)
      )
    })
  // each key has one writer, so the last write is known
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
    yield* is((yield* process.store.stats).loads, loads, "loads, after the faults")
  }).pipe(Effect.withRandom(Random.make("storm")))
}

export const faults: ReadonlyArray<LawCase> = [
  ...failing.map(([how, each]) =>
    chaotic(law, `reads that ${how} - values are loaded, and are hits again after the faults`, (process) => {
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
        for (const id of [1, 2]) yield* is(yield* find(id), id, `read number ${id}, after the faults`)
        yield* is(calls.length, 2, "loads")
        yield* is(yield* process.store.get("nothing"), Option.none(), "get, after the faults")
        yield* is((yield* process.store.health).status, "up", "status, after the faults")
      })
    })
  ),

  ...failing.map(([how, each]) =>
    chaotic(
      law,
      `writes that ${how} - take effect here at once, and are delivered after the faults`,
      (process, setup) => {
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
          yield* is(yield* store.getMany(keys), expected, "getMany, during the faults")
          yield* is((yield* store.health).undelivered > 0, true, "whether something is undelivered")
          yield* counted(process)
          yield* chaos.calm
          yield* settled(process)
          yield* becomes(store.getMany(keys), expected, "getMany, after the faults", setup.within)
          yield* is((yield* store.health).status, "up", "status, after the faults")
        })
      }
    )
  ),

  chaotic(
    law,
    "setIfAbsent - fails with CacheStoreError if there is no answer, and works after the faults",
    (process) => {
      const { chaos, store } = process
      return Effect.gen(function* () {
        for (const [how, each] of failing) {
          yield* chaos.begin(each, ["setIfAbsent"])
          const answer = yield* attempt(store.setIfAbsent(how, 1, minute))
          yield* is(answer instanceof CacheStoreError, true, `whether it fails when operations ${how}`)
          yield* chaos.calm
          // the write whose answer was lost has been executed
          const isAbsent = Option.isNone(yield* store.get(how))
          yield* is(
            yield* attempt(store.setIfAbsent(how, 2, minute)),
            isAbsent,
            `setIfAbsent, after operations that ${how}`
          )
        }
        yield* counted(process)
      })
    }
  ),

  chaotic(
    law,
    "random faults - no read fails or returns a value from before a change, and everything works afterwards",
    (process) => Effect.zipRight(storm(process), counted(process))
  )
]

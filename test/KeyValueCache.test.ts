import { deepStrictEqual } from "node:assert/strict"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { CacheStore } from "../src/index.js"
import * as KeyValueCache from "../src/KeyValueCache.js"

/** one over a network: an answer takes a turn of the scheduler */
const remote = (): KeyValueStore.KeyValueStore => {
  const all = new Map<string, string>()
  const turn = <A>(run: () => A) => Effect.zipRight(Effect.yieldNow(), Effect.sync(run))
  return KeyValueStore.makeStringOnly({
    get: (key) => turn(() => Option.fromNullable(all.get(key))),
    set: (key, value) => turn(() => void all.set(key, value)),
    remove: (key) => turn(() => void all.delete(key)),
    clear: turn(() => all.clear()),
    size: turn(() => all.size)
  })
}

describe("KeyValueCache", () => {
  it.effect("setIfAbsent, many of one process - one wins", () =>
    Effect.gen(function* () {
      const { setIfAbsent } = yield* CacheStore
      const won = yield* Effect.all(
        Array.from({ length: 10 }, (_, i) => setIfAbsent("k", i, { ttl: "1 minute" })),
        { concurrency: "unbounded" }
      )
      deepStrictEqual(
        won.filter((one) => one),
        [true]
      )
    }).pipe(Effect.provide(KeyValueCache.layerFromClient(remote())))
  )
})

import { deepStrictEqual } from "node:assert/strict"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { CacheStore } from "../../../src/index.js"
import * as KeyValueCache from "../../../src/KeyValueCache.js"

/** A `KeyValueStore` that answers in a later turn of the scheduler, as one over a network does. */
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
  it.effect("setIfAbsent, many calls in one process - have one winner", () =>
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

  it.effect("marks that two processes raise at once - are both kept", () =>
    Effect.gen(function* () {
      const store = remote()
      const backend = Effect.provideService(KeyValueCache.backend(), KeyValueStore.KeyValueStore, store)
      const [a, b] = yield* Effect.all([backend, backend])
      const raise = (one: typeof a, name: string) => one.marks!.raise([{ name, stamp: 0, authoritative: true }])
      yield* Effect.all([raise(a, "t:a"), raise(b, "t:b")], { concurrency: "unbounded" })
      const text = new TextDecoder().decode(Option.getOrThrow(yield* store.getUint8Array("ec1:marks")))
      assert.sameMembers(
        JSON.parse(text).marks.map(([name]: [string]) => name),
        ["t:a", "t:b"]
      )
    })
  )
})

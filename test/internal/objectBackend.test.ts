import { deepStrictEqual } from "node:assert/strict"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { assert, describe, it, vi } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, Option } from "effect"
import { type Backend, Cached } from "../../src/index.js"
import * as ObjectBackend from "../../src/internal/objectBackend.js"
import { markName, metaIn, nameOf, type Objects, type Stored } from "../../src/internal/objects.js"
import * as KeyValueCache from "../../src/KeyValueCache.js"

/** objects in this process, as a bucket has them */
const shelf = () => {
  const all = new Map<string, Stored & { readonly bytes: Uint8Array }>()
  let version = 0
  const objects: Objects = {
    name: "shelf",
    head: (name) => Effect.sync(() => all.get(name)),
    read: (name) => Effect.sync(() => all.get(name)),
    write: (name, { bytes }, condition) =>
      Effect.sync(() => {
        if (condition !== undefined && condition !== (all.get(name)?.version ?? null)) return false
        all.set(name, { version: `${++version}`, meta: metaIn(bytes), bytes })
        return true
      }),
    remove: (names) =>
      Effect.sync(() => {
        for (const name of names) all.delete(name)
        return names.map(() => undefined)
      })
  }
  return { all, objects }
}

const heardBy = (backend: Backend.Backend<Uint8Array>) =>
  Effect.map(backend.getMany([{ key: "none" }]), ({ marks }) => new Map(marks?.raised))

describe("ObjectMarks", () => {
  it.effect("what was read as the time ran out - is told with the next answer, not lost", () =>
    Effect.gen(function* () {
      const { objects } = shelf()
      const other = yield* ObjectBackend.make(objects, {})
      const slow = yield* Deferred.make<void>()
      const late = yield* Deferred.make<void>()
      let isSlow = false
      const backend = yield* ObjectBackend.make(
        {
          ...objects,
          read: (name, wants) =>
            isSlow && name === markName
              ? Effect.zipRight(Deferred.await(slow), objects.read(name, wants))
              : objects.read(name, wants)
        },
        { marksEvery: 0 }
      )
      yield* heardBy(backend)
      yield* other.marks!.raise([{ name: "t:x", stamp: 0, explicit: true }])
      isSlow = true
      const clock: Clock.Clock = { ...Clock.make(), sleep: () => Deferred.await(late) }
      const reading = yield* Effect.fork(Effect.withClock(Effect.either(backend.marks!.read), clock))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      Deferred.unsafeDone(late, Effect.void)
      Deferred.unsafeDone(slow, Effect.void)
      assert.strictEqual((yield* Fiber.join(reading))._tag, "Left")
      isSlow = false
      deepStrictEqual(Array.from((yield* heardBy(backend)).keys()), ["t:x"])
    })
  )
})

describe("ObjectBackend", () => {
  it.effect("a machine that slept - stamps and times are those of the processes that began since", () =>
    Effect.gen(function* () {
      const hours = Date.now() + 5 * 3_600_000
      const clock = vi.spyOn(Date, "now").mockImplementation(() => hours)
      yield* Effect.addFinalizer(() => Effect.sync(() => clock.mockRestore()))
      const store = yield* KeyValueStore.KeyValueStore
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ttl: "1 hour" })
      yield* Effect.scoped(Effect.provide(cached, KeyValueCache.layerFromClient(store)))
      const bytes = Option.getOrThrow(yield* store.getUint8Array(`ec1:${nameOf("k")}`))
      assert.approximately(metaIn(bytes)!.stamp, hours, 2_000)
    }).pipe(Effect.scoped, Effect.provide(KeyValueStore.layerMemory))
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Cached, CacheStore } from "effect-cached"
import type * as Backend from "../../src/Backend.js"
import { begun, gate, gated } from "../laws/support.js"
import * as Shelf from "../support/shelf.js"

const minute = { ttl: "1 minute" } as const

describe("SingleFlight", () => {
  it.scopedLive("law 3: one load per key - in a store without copies, notifications that begin change nothing", () =>
    Effect.gen(function* () {
      const arming = gate()
      const armed = Stream.make<[Backend.Notification]>({ _tag: "Armed" })
      const backend = Shelf.backend(new Shelf.Shelf(), () => ({
        notifications: () =>
          Stream.concat(Stream.drain(Stream.fromEffect(arming.pass)), Stream.concat(armed, Stream.never))
      }))
      const store = yield* CacheStore.makeBytes(backend)
      const { calls, door, lookup } = gated()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      const read = Effect.provideService(cached, CacheStore, store)
      // a mirror listens for notifications
      const mirror = yield* Effect.provideService(Cached.bgRead({ key: "other" }), CacheStore, store)
      assert.strictEqual(mirror.key, "other")
      yield* arming.reached
      const first = yield* Effect.fork(read)
      yield* begun(calls)
      yield* arming.open
      yield* Effect.sleep("20 millis")
      const second = yield* Effect.fork(read)
      yield* Effect.sleep("20 millis")
      yield* door.open
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [1, 1])
      assert.strictEqual(calls.length, 1)
    })
  )
})

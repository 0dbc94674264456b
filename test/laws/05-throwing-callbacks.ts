/**
 * Law 5 (failures are shared, not stored), callbacks: a `ttl`, `tags` or key function that throws is a defect of that
 * load.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { KeyError } from "../../src/CacheError.js"
import { becomes, counting, gated, makeLookup, minute, onStore, type StoreUnderTest, stats } from "./support.js"

/** The defect of an exit that died. */
const dies = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) && Cause.isDieType(exit.cause) ? exit.cause.defect : assert.fail(`no defect: ${exit}`)

export const throwingCallbacks = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 5: failures are shared, not stored", () => {
    const bug = new Error("bug")
    const boom = (): never => {
      throw bug
    }

    for (const [what, options] of [
      ["throwing ttl", { ttl: boom }],
      ["throwing tags", { ttl: "1 minute", tags: boom }],
      ["invalid tags", { ttl: "1 minute", tags: () => undefined as never }],
      ["invalid ttl", { ttl: () => "soon" as never }],
      ["undefined ttl", { ttl: () => undefined as never }],
      ["NaN ttl", { ttl: () => Number.NaN }]
    ] as const) {
      it.effect(`${what} - every waiter gets the defect, nothing is stored, and the key stays usable`, () => {
        const { lookup, calls, door } = gated()
        const options1 = { key: "k", name: "n" } as const
        const broken = Cached.ttl(lookup(), { ...options1, ...options } as { key: "k"; name: "n"; ttl: () => never })
        const sound = Cached.ttl(lookup(), { ...options1, ...minute })
        return on(
          Effect.gen(function* () {
            const herd = yield* Effect.forkAll([Effect.exit(broken), Effect.exit(broken), Effect.exit(broken)])
            yield* becomes(
              Effect.map(stats, (all) => all.misses),
              3
            )
            yield* door.open
            const exits = yield* Fiber.join(herd)
            for (const exit of exits) dies(exit)
            if (what.startsWith("throwing")) assert.strictEqual(dies(exits[0]!), bug)
            else assert.match(String(dies(exits[0]!)), /^InvalidOption: "n": (ttl|tags): /)
            assert.strictEqual(calls.length, 1)
            const after = yield* stats
            deepStrictEqual([after.inFlight, after.loadFailures], [0, 1])
            deepStrictEqual(yield* sound.peek, Option.none())
            assert.strictEqual(yield* sound, 2)
            assert.strictEqual(yield* sound, 2)
          })
        )
      })
    }

    it.effect("ttl throwing in a refresh - the old value is kept until it expires", () => {
      let broken = false
      const { lookup } = counting()
      const cached = Cached.swr(lookup(), {
        key: "k",
        ttl: () => (broken ? boom() : "10 seconds"),
        stale: "5 seconds"
      })
      return on(
        Effect.gen(function* () {
          yield* cached
          broken = true
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* cached, 1)
          yield* becomes(
            Effect.map(stats, (all) => all.refreshFailures),
            1
          )
          assert.strictEqual(yield* cached, 1)
          broken = false
          yield* TestClock.adjust("1 second")
          assert.strictEqual(yield* cached, 1)
          yield* becomes(cached, 3)
        })
      )
    })

    it.effect("ttl throwing in set - is a defect of that set, and the stored value stays", () => {
      let broken = false
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ttl: () => (broken ? boom() : "1 minute") })
      return on(
        Effect.gen(function* () {
          yield* cached
          broken = true
          assert.strictEqual(dies(yield* Effect.exit(cached.set(2))), bug)
          deepStrictEqual(yield* cached.peek, Option.some(1))
        })
      )
    })

    it.effect("throwing key function - is a KeyError defect that names the function, not a throw at the call", () => {
      const { lookup, calls } = makeLookup((id: number) => Effect.succeed(id))
      const find = Cached.ttl(lookup, {
        key: (id) => {
          if (id < 0) throw bug
          return `k:${id}`
        },
        name: "find",
        ...minute
      })
      return on(
        Effect.gen(function* () {
          for (const verb of [find, find.refresh, find.invalidate, find.peek, find.entry]) {
            const defect = dies(yield* Effect.exit(verb(-1)))
            assert.instanceOf(defect, KeyError)
            assert.include(defect.message, "find")
            assert.strictEqual(defect.cause, bug)
          }
          assert.instanceOf(dies(yield* Effect.exit(find.set(-1)(5))), KeyError)
          assert.strictEqual(calls.length, 0)
          assert.throws(() => find.key(-1), KeyError)
          assert.strictEqual(yield* find(1), 1)
        })
      )
    })

    it.effect("key function returning no string - is a defect, never a shared key", () => {
      const find = Cached.ttl((id: unknown) => Effect.succeed(id), {
        key: (id) => id as string,
        name: "find",
        ...minute
      })
      return on(
        Effect.forEach([undefined, null, 5, {}, Number.NaN], (id) =>
          Effect.map(Effect.exit(find(id)), (exit) => assert.instanceOf(dies(exit), KeyError))
        )
      )
    })

    it.effect("key part of the wrong type - is a defect that names the template", () => {
      const { lookup, calls } = makeLookup((id: number) => Effect.succeed(id))
      const find = Cached.ttl(lookup, { key: "user:{}", ...minute })
      return on(
        Effect.gen(function* () {
          for (const id of [undefined, null, Number.NaN, Number.POSITIVE_INFINITY, {}, [], Symbol("s")]) {
            const defect = dies(yield* Effect.exit(find(id as number)))
            assert.instanceOf(defect, KeyError)
            assert.strictEqual(defect.template, "user:{}")
          }
          assert.strictEqual(calls.length, 0)
        })
      )
    })
  })
}

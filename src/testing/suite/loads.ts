/** Loads: how they are shared, what ends them, and what they must not write. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Cached from "../../Cached.js"
import { attempt, counting, gate, is, type LawCase, one, type Process, settled } from "./harness.js"

const herd = "law 3: one load per key"
const shared = "law 5: failures are shared, not stored"
const wins = "law 8: invalidation wins"
const ends = "law 11: the scope ends everything"

const tagged = { ttl: "1 minute", tags: ["t"] } as const
const all = { concurrency: "unbounded" } as const

/** The operations that invalidate a running load of the key `k`. */
const invalidating: Readonly<Record<string, (process: Process) => Effect.Effect<void>>> = {
  remove: ({ store }) => store.remove("k"),
  removeMany: ({ store }) => store.removeMany(["j", "k"]),
  clear: ({ store }) => store.clear,
  "tags.invalidate": ({ store }) => store.tags.invalidate(["other", "t"])
}

export const loads: ReadonlyArray<LawCase> = [
  one(herd, "cold - 100 readers of one key share a load, and later reads are hits", (process) => {
    const { calls, lookup } = counting((call) => Effect.as(Effect.yieldNow(), call))
    const cached = Cached.ttl(lookup(), { key: "k", ...tagged })
    return Effect.gen(function* () {
      for (const round of ["cold", "warm"]) {
        const found = yield* Effect.all(Effect.replicate(cached, 100), all)
        yield* is(Array.from(new Set(found)), [1], `values of the ${round} reads`)
        yield* settled(process)
      }
      yield* is(calls.length, 1, "loads")
    })
  }),

  one(herd, "many keys - 100 are loaded at once, one load each, and later reads are hits", (process) => {
    const { calls, lookup } = counting((_, id: number) => Effect.as(Effect.yieldNow(), `value ${id}`))
    const find = Cached.ttl(lookup, { key: "k:{}", ...tagged })
    const ids = Array.from({ length: 100 }, (_, id) => id)
    return Effect.gen(function* () {
      for (const round of ["cold", "warm"]) {
        const found = yield* Effect.forEach(ids, (id) => find(id), all)
        yield* is(
          found,
          ids.map((id) => `value ${id}`),
          `values of the ${round} reads`
        )
        yield* settled(process)
      }
      yield* is(calls.length, 100, "loads")
    })
  }),

  one(herd, "refresh - the loaded value replaces the earlier one", (process) => {
    const { lookup } = counting((call) => Effect.succeed(call))
    const cached = Cached.ttl(lookup(), { key: "k", ...tagged })
    return Effect.gen(function* () {
      yield* cached
      yield* settled(process)
      yield* is(yield* cached.refresh, 2, "refresh")
      yield* settled(process)
      yield* is(yield* cached, 2, "a read after the refresh")
    })
  }),

  one(shared, "a failed load - stores nothing, and the next read loads", (process) => {
    const { lookup } = counting((call) => (call === 1 ? Effect.fail("down") : Effect.succeed(call)))
    const cached = Cached.ttl(lookup(), { key: "k", ...tagged })
    return Effect.gen(function* () {
      yield* is(yield* attempt(cached), "down", "the first read")
      yield* is(yield* attempt(cached.peek), Option.none(), "peek, after the failure")
      yield* is(yield* attempt(cached), 2, "the second read")
      yield* settled(process)
      yield* is(yield* attempt(cached), 2, "the third read")
    })
  }),

  ...Object.entries(invalidating).map(([verb, invalidate]) =>
    one(wins, `${verb} - a load that began before it answers its waiter, and stores nothing`, (process) => {
      const door = gate()
      const { calls, lookup } = counting((call) => Effect.as(call === 1 ? door.pass : Effect.void, call))
      const cached = Cached.ttl(lookup(), { key: "k", ...tagged })
      return Effect.gen(function* () {
        const reader = yield* Effect.fork(cached)
        yield* door.reached
        yield* invalidate(process)
        yield* door.open
        yield* is(yield* Fiber.join(reader), 1, "the result of the waiter")
        yield* settled(process)
        yield* is(yield* cached.peek, Option.none(), "peek, after the load")
        yield* is([yield* cached, calls.length], [2, 2], "value and loads of the next read")
        yield* settled(process)
        yield* is(yield* cached, 2, "the read after that")
      })
    })
  ),

  ...(["load", "refresh"] as const).map((kind) =>
    one(wins, `set - a value that was set during a ${kind} stays after it`, (process) => {
      const door = gate()
      const { lookup } = counting((call) => Effect.as(kind === "load" || call > 1 ? door.pass : Effect.void, call))
      const cached = Cached.ttl(lookup(), { key: "k", ...tagged })
      return Effect.gen(function* () {
        if (kind === "refresh") yield* cached
        yield* settled(process)
        const reader = yield* Effect.fork(kind === "load" ? cached : cached.refresh)
        yield* door.reached
        yield* cached.set(42)
        yield* door.open
        yield* Fiber.join(reader)
        yield* settled(process)
        yield* is(yield* cached, 42, "a read after both")
      })
    })
  ),

  one(wins, "setIfAbsent - a value that was written during a load stays after it", (process) => {
    const door = gate()
    const { lookup } = counting((call) => Effect.as(door.pass, call))
    const cached = Cached.ttl(lookup(), { key: "k", ...tagged })
    return Effect.gen(function* () {
      const reader = yield* Effect.fork(cached)
      yield* door.reached
      yield* is(yield* attempt(process.store.setIfAbsent("k", "by hand", tagged)), true, "setIfAbsent")
      yield* door.open
      yield* Fiber.join(reader)
      yield* settled(process)
      yield* is(yield* process.store.get("k"), Option.some("by hand"), "get, after both")
    })
  }),

  one(ends, "close - loads, waiters and later operations are interrupted", (process) => {
    const door = gate()
    const cached = Cached.ttl(
      Effect.onInterrupt(door.pass, () => door.open),
      { key: "k", ...tagged }
    )
    const { store } = process
    return Effect.gen(function* () {
      const reader = yield* Effect.fork(cached)
      yield* door.reached
      yield* store.set("set", 1, tagged)
      yield* process.close
      yield* door.pass
      yield* is(Exit.isInterrupted(yield* Fiber.await(reader)), true, "whether the waiter is interrupted")
      const afterwards = {
        read: cached,
        get: store.get("set"),
        getMany: store.getMany(["set"]),
        set: store.set("k", 1, tagged),
        setIfAbsent: store.setIfAbsent("k", 1, tagged),
        remove: store.remove("set"),
        clear: store.clear
      }
      for (const [verb, effect] of Object.entries(afterwards)) {
        const exit = yield* Effect.exit(effect as Effect.Effect<unknown, unknown>)
        yield* is(Exit.isInterrupted(exit), true, `whether ${verb} is interrupted after close`)
      }
    })
  })
]

/**
 * Listeners: callbacks over the events of a store, and collectors.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Data, Effect, Layer, TestClock } from "effect"
import { Cached, CacheListener, CacheStore, MemoryCache, MemoryCacheLive } from "effect-cached"
import { ChaosCache } from "../../src/testing.js"
import { eventually, minute, numbered, recordWarnings, settled } from "../laws/support.js"

class NoUser extends Data.TaggedError("NoUser")<{ readonly id: number }> {}

class Sessions extends CacheStore.Tag("listener/Sessions")<Sessions>() {}

/** A collector that records the calls of its methods. */
const recording = () => {
  const calls: Array<ReadonlyArray<unknown>> = []
  const method =
    (name: string) =>
    (...args: ReadonlyArray<unknown>) =>
      void calls.push([name, ...args])
  const collector: CacheListener.Collector = {
    recordHit: method("recordHit"),
    recordMiss: method("recordMiss"),
    recordSet: method("recordSet"),
    recordDelete: method("recordDelete"),
    recordLatency: method("recordLatency"),
    recordError: method("recordError"),
    recordMemoryUsage: method("recordMemoryUsage"),
    recordBackgroundRefresh: method("recordBackgroundRefresh")
  }
  return { calls, collector }
}

describe("CacheListener", () => {
  it.effect("layer - calls a callback for each event, from the moment it is built", () => {
    const heard: Array<unknown> = []
    const listener = CacheListener.layer({
      onHit: (event) => heard.push(event),
      onMiss: ({ key, reason }) => heard.push([key, reason]),
      onSet: ({ key }) => heard.push(["set", key]),
      onRemoved: ({ cause }) => heard.push(cause)
    })
    return Effect.gen(function* () {
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", name: "n", ...minute })
      yield* cached
      yield* cached
      yield* cached.invalidate
      yield* settled
      deepStrictEqual(heard, [["k", "absent"], ["set", "k"], { _tag: "Hit", key: "k", name: "n" }, "explicit"])
    }).pipe(Effect.provide(Layer.provideMerge(listener, MemoryCacheLive)))
  })

  it.effect("a callback that throws - does not end the others, and is one problem", () => {
    const warnings = recordWarnings()
    const seen: Array<string> = []
    const bad = CacheListener.layer({
      onHit: () => {
        throw new Error("a callback")
      },
      onMiss: ({ key }) => void seen.push(key)
    })
    const good = CacheListener.layer({ onHit: ({ key }) => void seen.push(key) })
    return Effect.gen(function* () {
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
      yield* Effect.all([cached, cached, cached])
      yield* cached.refresh
      yield* settled
      deepStrictEqual(seen.length, 4)
      assert.lengthOf(warnings.lines, 1)
      assert.include(warnings.lines[0], "onHit")
      const { problems } = yield* Effect.flatMap(CacheStore, (store) => store.health)
      deepStrictEqual(
        problems.map(({ count, name, subject }) => [name, subject, count]),
        [["HandlerFailed", "onHit", 2]]
      )
    }).pipe(Effect.provide(Layer.provideMerge(Layer.merge(bad, good), Layer.provide(MemoryCacheLive, warnings.layer))))
  })

  it.live("a callback or a method whose promise rejects - is the same problem, and ends nothing", () => {
    const warnings = recordWarnings()
    const untyped: Record<string, unknown> = { onHit: () => Promise.reject(new Error("a callback")) }
    const collector: Record<string, unknown> = { recordHit: () => Promise.reject(new Error("a method")) }
    const listeners = Layer.merge(CacheListener.layer(untyped), CacheListener.layerCollector(collector))
    return Effect.gen(function* () {
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
      yield* cached
      yield* cached
      const store = yield* CacheStore
      // other tests of this process may have built stores of this name within the last minute, which is a problem, too
      const failed = Effect.map(store.health, ({ problems }) => problems.filter(({ name }) => name === "HandlerFailed"))
      yield* eventually(
        Effect.map(failed, ({ length }) => length === 2),
        "both are problems"
      )
      deepStrictEqual((yield* failed).map(({ subject }) => subject).sort(), ["onHit", "recordHit"])
    }).pipe(Effect.provide(Layer.provideMerge(listeners, Layer.provide(MemoryCacheLive, warnings.layer))))
  })

  it.effect("a burst beyond the buffer - loses the oldest events, which is a problem; one within it is none", () => {
    const warnings = recordWarnings()
    let heard = 0
    const listener = CacheListener.layer({ onMiss: () => heard++ })
    return Effect.gen(function* () {
      const store = yield* CacheStore
      const read = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      const burst = (from: number, count: number) =>
        Effect.zipRight(
          Effect.forEach(
            Array.from({ length: count }, (_, i) => from + i),
            (id) => read(id)
          ),
          settled
        )
      // each read is a miss, a load and a set
      yield* burst(0, 300)
      deepStrictEqual([heard, (yield* store.health).problems], [300, []])
      yield* Effect.withMaxOpsBeforeYield(burst(1_000, 600), 1_000_000)
      const [problem] = (yield* store.health).problems
      assert.strictEqual(problem?.name, "EventsLost")
      assert.include(problem?.message ?? "", `lost ${600 * 3 - 1_024} events`)
    }).pipe(Effect.provide(Layer.provideMerge(listener, Layer.provide(MemoryCacheLive, warnings.layer))))
  })

  it.effect("a store of a tag - is the one that is listened to, and nobody listens after the Layer has closed", () => {
    const keys: Array<string> = []
    const listener = CacheListener.layer({ onMiss: ({ key }) => void keys.push(key) }, { store: Sessions })
    const sessions = Layer.scoped(Sessions, MemoryCache.make({ name: "sessions" }))
    return Effect.gen(function* () {
      const here = Cached.ttl((id: number) => Effect.succeed(id), { key: "s:{}", ...minute, store: Sessions })
      const other = Cached.ttl((id: number) => Effect.succeed(id), { key: "o:{}", ...minute })
      yield* Effect.zipRight(Effect.all([here(1), other(1)]), settled).pipe(Effect.provide(listener))
      yield* Effect.zipRight(here(2), settled)
      deepStrictEqual(keys, ["s:1"])
    }).pipe(Effect.provide(Layer.merge(sessions, MemoryCacheLive)))
  })

  it.effect("layerCollector - calls the methods of advanced-caching", () => {
    const { calls, collector } = recording()
    return Effect.gen(function* () {
      const { lookup } = numbered((call, id: number) =>
        Effect.zipRight(Effect.sleep("2 seconds"), call === 3 ? Effect.fail(new NoUser({ id })) : Effect.succeed(id))
      )
      const find = Cached.swr(lookup, {
        key: "user:{}",
        name: "users",
        ttl: "1 minute",
        stale: "1 minute",
        tags: ["t"]
      })
      const load = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.zipRight(
          Effect.fork(effect),
          Effect.zipRight(settled, Effect.zipRight(TestClock.adjust("2 seconds"), settled))
        )
      const taken = () => calls.splice(0)
      yield* load(find(1))
      deepStrictEqual(taken(), [
        ["recordMiss", "users", "user:1", { reason: "absent", coalesced: false }],
        ["recordLatency", "users", "load", 2],
        ["recordSet", "users", "user:1"]
      ])
      yield* find(1)
      yield* TestClock.adjust("61 seconds")
      yield* settled
      deepStrictEqual(taken(), [
        ["recordHit", "users", "user:1", { state: "fresh" }],
        ["recordMemoryUsage", "memory", 0, 1]
      ])
      yield* load(find(1))
      deepStrictEqual(taken(), [
        ["recordHit", "users", "user:1", { state: "stale" }],
        ["recordLatency", "users", "refresh", 2],
        ["recordBackgroundRefresh", "users", true, 2],
        ["recordSet", "users", "user:1"]
      ])
      yield* Cached.invalidateTags(["t"])
      yield* load(Effect.exit(find(1)))
      deepStrictEqual(taken(), [
        ["recordMiss", "users", "user:1", { reason: "tag", coalesced: false, tag: "t" }],
        ["recordLatency", "users", "load", 2],
        ["recordError", "users", "load", "NoUser"]
      ])
      yield* find.set(2)(2)
      yield* find.invalidate(2)
      yield* settled
      deepStrictEqual(taken(), [
        // a write frees what the tag has invalidated
        ["recordDelete", "memory", "user:1"],
        ["recordSet", "users", "user:2"],
        ["recordDelete", "memory", "user:2"]
      ])
    }).pipe(Effect.provide(Layer.provideMerge(CacheListener.layerCollector(collector), MemoryCacheLive)))
  })

  it.effect("layerCollector - a failing store, and a collector with one method", () => {
    const errors: Array<ReadonlyArray<string>> = []
    const collector: CacheListener.Collector = {
      recordError: (...given) => void errors.push(given.slice(0, 3) as Array<string>)
    }
    const store = ChaosCache.layer(MemoryCache.backend({ name: "shared" }), { breaker: false })
    return Effect.gen(function* () {
      const chaos = yield* ChaosCache.Chaos
      yield* chaos.begin({ fail: 1 }, ["getMany"])
      yield* Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
      yield* eventually(() => errors.length > 0, "the failure was heard")
      deepStrictEqual(errors[0], ["shared", "getMany", "Rejected"])
    }).pipe(Effect.provide(Layer.provideMerge(CacheListener.layerCollector(collector), store)))
  })
})

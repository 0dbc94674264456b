/** The option `background`: which fibers it gets, when, and when they end. */
import { AsyncLocalStorage } from "node:async_hooks"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Runtime } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"
import { ChaosCache } from "effect-cached/testing"
import { recordWarnings } from "../laws/support.js"
import { awaitUntil } from "../support/live.js"
import * as Shelf from "../support/shelf.js"

const minute = { ttl: "1 minute" } as const

/** Collects the fibers, each with the asynchronous context in which it was handed over. */
const collector = () => {
  const request = new AsyncLocalStorage<string>()
  const handed: Array<{ readonly fiber: Fiber.RuntimeFiber<void>; readonly of: string | undefined }> = []
  const background = (fiber: Fiber.RuntimeFiber<void>) => void handed.push({ fiber, of: request.getStore() })
  const isRunning = () => handed.filter(({ fiber }) => fiber.unsafePoll() === null).length
  return { request, handed, background, isRunning }
}

/** A store that is remote, whose operations can be delayed. */
const remote = (background: (fiber: Fiber.RuntimeFiber<void>) => void) =>
  Effect.gen(function* () {
    const { backend, chaos } = yield* ChaosCache.makeBytes(Shelf.backend(new Shelf.Shelf()))
    return { chaos, store: yield* CacheStore.makeBytes(backend, { background }) }
  })

describe("background", () => {
  it.scopedLive(
    "a refresh behind a stale value - is handed over in the run of its reader, once, and ends with it",
    () =>
      Effect.gen(function* () {
        const { background, handed, isRunning, request } = collector()
        const store = yield* MemoryCache.make({ background })
        const gate = yield* Deferred.make<void>()
        let loads = 0
        const find = Cached.swr(() => (loads++ === 0 ? Effect.succeed(1) : Effect.as(Deferred.await(gate), 2)), {
          key: "k",
          ttl: 1,
          stale: "1 minute"
        })
        const read = Effect.provideService(find(), CacheStore, store)
        yield* read
        handed.length = 0
        yield* Effect.sleep(5)
        const runtime = yield* Effect.runtime<never>()
        for (const of of ["first", "second"]) {
          assert.strictEqual(
            request.run(of, () => Runtime.runSync(runtime, read)),
            1
          )
        }
        assert.deepStrictEqual(
          handed.map(({ of }) => of),
          ["first"]
        )
        assert.strictEqual(isRunning(), 1)
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(handed[0]!.fiber)
        assert.strictEqual(yield* read, 2)
      })
  )

  it.scopedLive("a fresh value in memory - hands nothing over", () =>
    Effect.gen(function* () {
      const { background, handed } = collector()
      const store = yield* MemoryCache.make({ background })
      const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...minute })
      const read = Effect.provideService(find("a"), CacheStore, store)
      yield* read
      handed.length = 0
      yield* read
      assert.lengthOf(handed, 0)
    })
  )

  it.scopedLive("a load - its fiber is handed over before the reader waits, and ends when the value is written", () =>
    Effect.gen(function* () {
      const { background, handed, isRunning, request } = collector()
      const { chaos, store } = yield* remote(background)
      const find = Cached.ttl((id: string) => Effect.as(Effect.sleep(1), id), { key: "k:{}", ...minute })
      const read = Effect.provideService(find("a"), CacheStore, store)
      yield* chaos.begin({ hang: 1 }, ["setMany"])
      const runtime = yield* Effect.runtime<never>()
      const reader = request.run("request", () => Runtime.runFork(runtime, read))
      assert.deepStrictEqual(
        handed.map(({ of }) => of),
        ["request"]
      )
      assert.strictEqual(yield* Fiber.join(reader), "a")
      yield* Effect.sleep(5)
      assert.strictEqual(isRunning(), 1)
      yield* chaos.calm
      yield* Fiber.join(handed[0]!.fiber)
      assert.isTrue(yield* store.has("k:a"))
    })
  )

  it.scopedLive("a stored value of a remote store - leaves nothing behind", () =>
    Effect.gen(function* () {
      const { background, isRunning } = collector()
      const { store } = yield* remote(background)
      const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...minute })
      const read = Effect.provideService(find("a"), CacheStore, store)
      yield* read
      yield* read
      yield* awaitUntil(
        Effect.sync(() => isRunning() === 0),
        "no fiber runs"
      )
    })
  )

  it.scopedLive("a reader that is interrupted - its fiber waits for the load of the other reader", () =>
    Effect.gen(function* () {
      const { background, handed, isRunning } = collector()
      const { store } = yield* remote(background)
      const gate = yield* Deferred.make<void>()
      const find = Cached.ttl((id: string) => Effect.as(Deferred.await(gate), id), { key: "k:{}", ...minute })
      const read = Effect.provideService(find("a"), CacheStore, store)
      const [one, two] = [yield* Effect.fork(read), yield* Effect.fork(read)]
      yield* awaitUntil(
        Effect.map(store.stats, ({ inFlight }) => inFlight === 1),
        "the load runs"
      )
      yield* Fiber.interrupt(one)
      assert.strictEqual(isRunning(), 2)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(two)
      for (const { fiber } of handed) yield* Fiber.join(fiber)
    })
  )

  it.scopedLive("a read of many keys - hands one fiber over", () =>
    Effect.gen(function* () {
      const { background, handed } = collector()
      const { store } = yield* remote(background)
      const find = Cached.batched((ids: ReadonlyArray<string>) => Effect.succeed(ids.map((id) => [id, id] as const)), {
        key: "k:{}",
        ...minute
      })
      yield* Effect.provideService(find.many(["a", "b", "c"]), CacheStore, store)
      assert.lengthOf(handed, 1)
      yield* Fiber.join(handed[0]!.fiber)
      assert.strictEqual((yield* store.getMany(["k:a", "k:b", "k:c"])).filter(({ _tag }) => _tag === "Some").length, 3)
    })
  )

  it.scopedLive("onError of a refresh - runs before its fiber ends", () =>
    Effect.gen(function* () {
      const { background, handed } = collector()
      const store = yield* MemoryCache.make({ background })
      let loads = 0
      let told = 0
      const find = Cached.swr(() => (loads++ === 0 ? Effect.succeed(1) : Effect.fail("down" as const)), {
        key: "k",
        ttl: 1,
        stale: "1 minute",
        onError: () =>
          Effect.delay(
            Effect.sync(() => told++),
            10
          )
      })
      const read = Effect.provideService(find(), CacheStore, store)
      yield* read
      handed.length = 0
      yield* Effect.sleep(5)
      yield* read
      yield* Fiber.join(handed[0]!.fiber)
      assert.strictEqual(told, 1)
    })
  )

  it.scopedLive("a callback that throws - breaks nothing, and is one Warning", () => {
    const { layer, lines } = recordWarnings()
    return Effect.gen(function* () {
      const { store } = yield* remote(() => {
        throw new Error("frozen")
      })
      const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...minute })
      for (const id of ["a", "b"]) {
        assert.strictEqual(yield* Effect.provideService(find(id), CacheStore, store), id)
      }
      assert.lengthOf(
        lines.filter((line) => line.includes("the callback `background` threw")),
        1
      )
      assert.isTrue((yield* store.health).problems.some(({ name }) => name === "HandlerFailed"))
    }).pipe(Effect.provide(layer))
  })

  it.scopedLive("something else than a function - is a defect that names the option and the store", () =>
    Effect.gen(function* () {
      const made = yield* Effect.sandbox(MemoryCache.make({ background: "waitUntil" as never })).pipe(Effect.flip)
      assert.include(String(made), "background")
      assert.include(String(made), "memory")
    })
  )
})

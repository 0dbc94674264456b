/**
 * The breaker in front of a remote backend: when it opens and closes, and what becomes of reads and invalidations
 * meanwhile.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeContext } from "@effect/platform-node"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, type Duration, Effect, Layer, Logger, LogLevel, ManagedRuntime, Option, type Scope } from "effect"
import {
  type Backend,
  Cached,
  CacheStore,
  CacheStoreError,
  Entry,
  InvalidOption,
  MemoryCache,
  TieredCache
} from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import * as RedisCache from "effect-cached/RedisCache"
import { ChaosCache } from "effect-cached/testing"
import { Breaker, guard, type Outcome, type Pass } from "../../src/internal/backends/breaker.js"
import { defectOf, makeLookup, numbered } from "../laws/support.js"
import { bytesBackend } from "../secrets/backends.js"
import { awaitUntil, freshPrefix, RedisServer } from "../support/redis.js"
import { patient } from "../support/redis-nodes.js"

const server = ManagedRuntime.make(RedisServer.layer)
const directory = mkdtempSync(join(tmpdir(), "breaker-"))
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
  return server.dispose()
})

/** A breaker on a clock that the test sets, and what it reports. */
const make = (failures = 3, pause = 2_000) => {
  let now = 0
  const reports: Array<string> = []
  const breaker = new Breaker({
    failures,
    pause,
    now: () => now,
    onOpen: (isLogged) => reports.push(isLogged ? "opened" : "opened again"),
    onClose: () => reports.push("closed"),
    onOver: () => reports.push("over")
  })
  /** Runs operations with these outcomes, and returns how many were let through. */
  const run = (...outcomes: ReadonlyArray<Outcome>): number => {
    let count = 0
    for (const outcome of outcomes) {
      const pass = breaker.enter()
      if (pass === undefined) continue
      count++
      breaker.leave(pass, outcome)
    }
    return count
  }
  return { breaker, reports, run, pass: (millis: number) => (now += millis) }
}

const times = <A>(n: number, a: A): ReadonlyArray<A> => Array.from({ length: n }, () => a)

describe("a breaker", () => {
  it("failures - in a row open it; a success between them does not", () => {
    const { breaker, reports, run } = make()
    for (let i = 0; i < 5; i++) run("failed", "failed", "answered")
    assert.isFalse(breaker.isOpen)
    run("failed", "failed", "failed")
    assert.isTrue(breaker.isOpen)
    deepStrictEqual(reports, ["opened"])
  })

  it("refusals and what was skipped below - neither open it nor count as a success", () => {
    const { breaker, run } = make()
    run(...times<Outcome>(10, "refused"), ...times<Outcome>(10, "skipped"))
    assert.isFalse(breaker.isOpen)
    run("failed", "refused", "failed", "skipped", "failed")
    assert.isTrue(breaker.isOpen)
  })

  it("open - operations are skipped and counted until the pause is over", () => {
    const { breaker, pass, run } = make()
    run(...times<Outcome>(3, "failed"))
    assert.strictEqual(run(...times<Outcome>(10, "answered")), 0)
    assert.isFalse(breaker.mayAsk)
    pass(1_999)
    assert.strictEqual(run("answered"), 0)
    assert.strictEqual(breaker.skipped, 11)
    pass(1)
    assert.isTrue(breaker.mayAsk)
    assert.strictEqual(run("answered"), 1)
    assert.isFalse(breaker.isOpen)
  })

  it("the probe - is one operation; the others are skipped until it has ended", () => {
    const { breaker, pass, reports, run } = make()
    run(...times<Outcome>(3, "failed"))
    pass(2_000)
    const probe = breaker.enter()!
    assert.strictEqual(run("answered", "failed"), 0)
    assert.isFalse(breaker.mayAsk)
    breaker.leave(probe, "failed")
    assert.strictEqual(run("answered"), 0)
    pass(2_000)
    const second = breaker.enter()!
    breaker.leave(second, "answered")
    assert.strictEqual(run("answered", "answered"), 2)
    deepStrictEqual(reports, ["opened", "opened again", "closed"])
  })

  it("a probe that is refused - closes it, and one more failure opens it again", () => {
    const { breaker, pass, run } = make()
    run(...times<Outcome>(3, "failed"))
    pass(2_000)
    run("refused")
    assert.isFalse(breaker.isOpen)
    run("failed")
    assert.isTrue(breaker.isOpen)
  })

  it("a probe that never ends - makes room for another one", () => {
    const { breaker, pass, run } = make()
    run(...times<Outcome>(3, "failed"))
    pass(2_000)
    const lost = breaker.enter()!
    pass(9_999)
    assert.strictEqual(run("answered"), 0)
    pass(1)
    assert.strictEqual(run("answered"), 1)
    breaker.leave(lost, "failed")
    assert.isFalse(breaker.isOpen)
  })

  it("operations without an answer - count as failed after ten seconds, once", () => {
    const { breaker, pass, reports, run } = make()
    const [late] = times(2, 0).map(() => breaker.enter()!)
    pass(9_999)
    assert.strictEqual(run("answered"), 1)
    pass(1)
    assert.strictEqual(run("failed", "failed"), 1)
    deepStrictEqual(reports, ["opened"])
    pass(2_000)
    assert.strictEqual(run("answered"), 1)
    breaker.leave(late!, "failed")
    run("failed", "failed")
    assert.isFalse(breaker.isOpen)
  })

  it("an operation that began before it opened - does not close it", () => {
    const { breaker, run } = make()
    const slow: Pass = breaker.enter()!
    run(...times<Outcome>(3, "failed"))
    breaker.leave(slow, "answered")
    assert.isTrue(breaker.isOpen)
  })

  it("a backend that reports to be up again - is probed at once", () => {
    const { breaker, run } = make()
    breaker.endPause()
    run(...times<Outcome>(3, "failed"))
    breaker.endPause()
    assert.strictEqual(run("answered"), 1)
    assert.isFalse(breaker.isOpen)
  })

  it("hysteresis - a backend that comes and goes is one outage, which is over after a minute without a failure", () => {
    const { pass, reports, run } = make()
    for (let i = 0; i < 100; i++) {
      run(...times<Outcome>(3, "failed"))
      pass(2_000)
      run("answered")
      pass(10_000)
      run("answered")
    }
    deepStrictEqual(
      reports.filter((report) => report === "opened" || report === "over"),
      ["opened"]
    )
    pass(60_000)
    run("answered", "answered")
    deepStrictEqual(
      reports.filter((report) => report === "opened" || report === "over"),
      ["opened", "over"]
    )
    run(...times<Outcome>(3, "failed"))
    assert.strictEqual(reports.at(-1), "opened")
  })
})

const recordLines = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel.label} ${String(message)}`)
  })
  return {
    lines: (text: string) => lines.filter((line) => line.includes(text)),
    layer: Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.Info))
  }
}

const redis = Effect.gen(function* () {
  const { url } = yield* Effect.promise(() => server.runPromise(RedisServer))
  return yield* RedisCache.backend({ url, prefix: yield* freshPrefix, ...patient })
})

interface World {
  readonly store: CacheStore.Service
  readonly chaos: ChaosCache.Controls
  /** The index of the tier that fails or hangs on demand. */
  readonly tier: number
  /** Whether that tier holds an entry, asked past everything. */
  readonly holds: (key: string) => Effect.Effect<boolean>
}

const holding =
  <V>(backend: Backend.Backend<V>) =>
  (key: string): Effect.Effect<boolean> =>
    Effect.map(Effect.orDie(backend.getMany([{ key }])), ({ found }) => found[0] instanceof Entry.Entry)

/** Stores over a backend that fails or hangs on demand, whose breaker stays open for `pause`. */
const worldsWith = (pause: Duration.DurationInput): Record<string, Effect.Effect<World, never, Scope.Scope>> => {
  const options = { breaker: { failures: 3, pause } } as const
  return {
    bytes: Effect.gen(function* () {
      const inner = bytesBackend()
      const { backend, chaos } = yield* ChaosCache.makeBytes(inner, { timeout: "20 millis" })
      return { store: yield* CacheStore.makeBytes(backend, options), chaos, tier: 0, holds: holding(inner) }
    }),
    redis: Effect.gen(function* () {
      const inner = yield* redis
      const { backend, chaos } = yield* ChaosCache.make(inner, { timeout: "20 millis" })
      return { store: yield* CacheStore.make(backend, options), chaos, tier: 0, holds: holding(inner) }
    }),
    "memory in front of redis": Effect.gen(function* () {
      const inner = yield* redis
      const { backend, chaos } = yield* ChaosCache.make(inner, { timeout: "20 millis" })
      const tiers = [{ backend: MemoryCache.backend() }, { backend: Effect.succeed(backend) }] as const
      return { store: yield* TieredCache.make({ ...options, tiers }), chaos, tier: 1, holds: holding(inner) }
    }),
    "memory, redis and files": Effect.gen(function* () {
      const inner = yield* FileCache.backend({ directory: mkdtempSync(join(directory, "files-")) })
      const { backend, chaos } = yield* ChaosCache.make(inner, { timeout: "20 millis" })
      const tiers = [
        { backend: MemoryCache.backend() },
        { backend: redis },
        { backend: Effect.succeed(backend) }
      ] as const
      return { store: yield* TieredCache.make({ ...options, tiers }), chaos, tier: 2, holds: holding(inner) }
    }).pipe(Effect.provide(NodeContext.layer))
  }
}

const worlds = worldsWith("100 millis")

const long = { ttl: "1 hour", tags: ["t"] } as const

const struckBy = ({ chaos }: World) => Effect.map(chaos.struck, ({ fail, hang }) => fail + hang)

const healthOf = ({ store, tier }: World) => Effect.map(store.health, ({ tiers }) => tiers[tier]!)

/** Reads keys that nobody has read until the breaker is open. */
const openBy = (world: World, find: Cached.CachedFunction<[string], string, never, CacheStore>) =>
  Effect.gen(function* () {
    for (let i = 0; (yield* healthOf(world)).openSince._tag === "None"; i++) {
      assert.isBelow(i, 20)
      assert.strictEqual(yield* Effect.provideService(find(`opening ${i}`), CacheStore, world.store), `opening ${i}`)
    }
  })

for (const [name, build] of Object.entries(worlds)) {
  for (const [how, faults] of [
    ["fails", { fail: 1 }],
    ["hangs", { hang: 1 }]
  ] as const) {
    describe(`breaker - ${name}, a backend that ${how}`, () => {
      it.scopedLive("open - reads miss without I/O, and health shows it", () =>
        Effect.gen(function* () {
          // it stays open, however slow the machine is
          const world = yield* worldsWith("1 hour")[name]!
          const { chaos, store, tier } = world
          const { calls, lookup } = makeLookup((id: string) => Effect.succeed(id))
          const find = Cached.ttl(lookup, { key: "k:{}", ...long })
          const before = yield* store.health
          assert.isTrue(before.tiers.every(({ openSince, status }) => status === "up" && Option.isNone(openSince)))
          yield* chaos.begin(faults)
          yield* openBy(world, find)
          const loads = calls.length
          const struck = yield* struckBy(world)
          const { skipped } = yield* healthOf(world)
          for (const id of ["a", "b", "c"]) {
            assert.strictEqual(yield* Effect.provideService(find(id), CacheStore, store), id)
          }
          const after = yield* store.health
          const { openSince, skipped: now, status } = after.tiers[tier]!
          assert.strictEqual(yield* struckBy(world), struck)
          assert.lengthOf(calls, loads + 3)
          assert.strictEqual(status, "down")
          assert.isAbove(Option.getOrThrow(openSince), Date.now() - 60_000)
          assert.isAtLeast(now, skipped + 3)
          assert.include(
            after.problems.map((problem) => problem.name),
            "BreakerOpen"
          )
          after.tiers.forEach((other, i) => {
            if (i !== tier) assert.strictEqual(other.status, "up", other.tier)
          })
        })
      )

      it.scopedLive("open - invalidations are pending, and delivered as soon as it closes", () =>
        Effect.gen(function* () {
          const world = yield* build
          const { chaos, store } = world
          const run = Effect.provideService(CacheStore, store)
          const { lookup } = numbered((call, id: string) => Effect.succeed(`${id} ${call}`))
          const find = Cached.ttl(lookup, { key: "k:{}", ...long })
          const opening = Cached.ttl((id: string) => Effect.succeed(id), { key: "o:{}", ...long })
          yield* run(find("a"))
          yield* store.set("set", 1, { ttl: "1 hour" })
          yield* store.set("removed", 1, { ttl: "1 hour" })
          yield* store.set("tagged", 1, long)
          yield* awaitUntil(world.holds("k:a"), "it is stored")
          yield* chaos.begin(faults)
          yield* openBy(world, opening)
          yield* run(find.invalidate("a"))
          yield* store.set("set", 2, { ttl: "1 hour" })
          yield* store.remove("removed")
          yield* run(Cached.invalidateTags(["t"]))
          // they count here at once
          assert.strictEqual(yield* run(find("a")), "a 2")
          deepStrictEqual(yield* store.get("set"), Option.some(2))
          deepStrictEqual(yield* store.get("removed"), Option.none())
          deepStrictEqual(yield* store.get("tagged"), Option.none())
          assert.isAtLeast((yield* healthOf(world)).undelivered, 3)
          assert.isTrue(yield* world.holds("removed"))
          yield* chaos.calm
          yield* awaitUntil(
            Effect.zipRight(
              store.get("unknown"),
              Effect.map(healthOf(world), ({ status, undelivered }) => status === "up" && undelivered === 0)
            ),
            "everything is delivered"
          )
          assert.isFalse(yield* world.holds("removed"))
          deepStrictEqual(yield* store.get("removed"), Option.none())
          deepStrictEqual(yield* store.get("tagged"), Option.none())
          assert.isTrue(Option.isNone((yield* healthOf(world)).openSince))
          assert.notInclude(
            (yield* store.health).problems.map((problem) => problem.name),
            "BreakerOpen"
          )
        })
      )

      it.scopedLive("opening - is one line, however many probes fail", () => {
        const { layer, lines } = recordLines()
        return Effect.gen(function* () {
          const world = yield* build
          const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...long })
          yield* world.chaos.begin(faults)
          yield* openBy(world, find)
          const struck = yield* struckBy(world)
          let i = 0
          yield* awaitUntil(
            Effect.zipRight(
              Effect.provideService(
                Effect.suspend(() => find(`probe ${i++}`)),
                CacheStore,
                world.store
              ),
              Effect.map(struckBy(world), (now) => now >= struck + 3)
            ),
            "three probes"
          )
          assert.lengthOf(lines("breaker is open"), 1)
          assert.isTrue(lines("breaker is open")[0]!.startsWith("WARN"))
          yield* world.chaos.calm
          yield* awaitUntil(
            Effect.zipRight(
              world.store.get("unknown"),
              Effect.map(healthOf(world), ({ status }) => status === "up")
            ),
            "it is closed"
          )
          assert.lengthOf(lines("breaker"), 1)
        }).pipe(Effect.provide(layer))
      })
    })
  }
}

/** A guarded backend whose reads and writes end as the test says. */
const guarded = (options: { readonly isUp?: boolean; readonly breaker?: CacheStore.Options["breaker"] } = {}) =>
  Effect.gen(function* () {
    const state: { read: CacheStoreError["reason"] | undefined; write: CacheStoreError["reason"] | undefined } = {
      read: undefined,
      write: undefined
    }
    let asked = 0
    const answer = <A>(kind: "read" | "write", value: () => A) =>
      Effect.suspend(() => {
        asked++
        const reason = state[kind]
        return reason === undefined
          ? Effect.sync(value)
          : Effect.fail(new CacheStoreError({ reason, store: "test", method: kind, cause: new Error("test") }))
      })
    const inner: Backend.Backend = {
      ...(bytesBackend() as Backend.Backend),
      getMany: (reads) => answer("read", () => ({ found: reads.map(() => undefined) })),
      removeMany: (all) => answer("write", () => all.map(({ stamp }) => ({ _tag: "Written", stamp }))),
      ...(options.isUp === undefined ? {} : { isUp: () => options.isUp! })
    }
    const backend = yield* guard(inner, options.breaker, "test")
    const read = Effect.ignore(backend.getMany([{ key: "k" }]))
    const write = Effect.ignore(backend.removeMany([{ key: "k", stamp: 1, tombstone: 1, authoritative: true }]))
    const isOpen = () => backend.states?.()[0]?.openSince !== undefined
    return { state, backend, read, write, isOpen, asked: () => asked }
  })

const six = Effect.repeatN(5)

describe("what counts as a failure", () => {
  for (const [reason, kind, isUp, opens] of [
    ["Timeout", "read", undefined, true],
    ["Timeout", "write", undefined, true],
    ["Timeout", "read", false, true],
    ["Rejected", "read", undefined, true],
    // such as a full server or disk, which still answers reads and takes removals
    ["Rejected", "write", undefined, false],
    ["Disconnected", "read", undefined, true],
    ["Disconnected", "write", undefined, true],
    // a client that is not connected skips operations itself
    ["Disconnected", "read", false, false],
    ["Disconnected", "write", false, false]
  ] as const) {
    it.effect(`${reason}, a ${kind}, isUp ${isUp} - ${opens ? "counts" : "does not count"}`, () =>
      Effect.gen(function* () {
        const { isOpen, read, state, write } = yield* guarded(isUp === undefined ? {} : { isUp })
        state[kind] = reason
        yield* six(kind === "read" ? read : write)
        assert.strictEqual(isOpen(), opens)
      })
    )
  }

  it.effect("a batch in which every key failed - counts, and one in which some did does not", () =>
    Effect.gen(function* () {
      const error = new CacheStoreError({ reason: "Timeout", store: "test", method: "getMany" })
      for (const [found, opens] of [
        [[error, error], true],
        [[error, undefined], false],
        [[], false]
      ] as const) {
        const inner = { ...(bytesBackend() as Backend.Backend), getMany: () => Effect.succeed({ found }) }
        const backend = yield* guard(inner, undefined, "test")
        yield* six(Effect.exit(backend.getMany([])))
        assert.strictEqual(backend.states?.()[0]?.openSince !== undefined, opens)
      }
    })
  )

  it.effect("a backend that dies, or is given up - counts", () =>
    Effect.gen(function* () {
      for (const broken of [Effect.dieMessage("no"), Effect.interrupt]) {
        const backend = yield* guard({ ...(bytesBackend() as Backend.Backend), getMany: () => broken }, undefined, "t")
        yield* six(Effect.exit(backend.getMany([])))
        assert.isDefined(backend.states?.()[0]?.openSince)
      }
    })
  )
})

describe("the option `breaker`", () => {
  it.effect("default - five failures open it for two seconds", () =>
    Effect.gen(function* () {
      const { asked, backend, isOpen, read, state } = yield* guarded()
      state.read = "Timeout"
      yield* Effect.repeatN(read, 3)
      assert.isFalse(isOpen())
      yield* read
      assert.isTrue(isOpen())
      assert.strictEqual(asked(), 5)
      assert.isFalse(backend.isUp!())
      yield* read
      assert.strictEqual(asked(), 5)
      assert.include(backend.problems!()[0]!.message, "for 2000 ms")
    })
  )

  it.effect("false - the backend is always asked", () =>
    Effect.gen(function* () {
      const { asked, read, state } = yield* guarded({ breaker: false })
      state.read = "Timeout"
      yield* Effect.repeatN(read, 99)
      assert.strictEqual(asked(), 100)
    })
  )

  it.scopedLive("of a tier - overrides that of the store", () =>
    Effect.gen(function* () {
      const broken = bytesBackend(Effect.fail(new CacheStoreError({ reason: "Timeout", store: "b", method: "m" })))
      const tiers = [
        { name: "a", backend: Effect.sync(() => CacheStore.fromBytes(broken)), breaker: false },
        { name: "b", backend: Effect.sync(() => CacheStore.fromBytes(broken)) },
        { name: "c", backend: Effect.sync(() => CacheStore.fromBytes(broken)), breaker: { failures: 100 } }
      ] as const
      const store = yield* TieredCache.make({ tiers, breaker: { failures: 2 } })
      yield* Effect.forEach(["1", "2", "3", "4"], (key) => store.get(key))
      deepStrictEqual(
        (yield* store.health).tiers.map(({ openSince, tier }) => [tier, Option.isSome(openSince)]),
        [
          ["a", false],
          ["b", true],
          ["c", false]
        ]
      )
    })
  )

  it.effect("an invalid one - is a defect that names the store, or the tier", () =>
    Effect.gen(function* () {
      const invalid = [
        [{ failures: 0 }, "breaker.failures"],
        [{ failures: 1.5 }, "breaker.failures"],
        [{ failures: Number.NaN }, "breaker.failures"],
        [{ pause: 0 }, "breaker.pause"],
        [{ pause: "-1 second" as never }, "breaker.pause"],
        [{ pause: Number.POSITIVE_INFINITY }, "breaker.pause"]
      ] as const
      for (const [breaker, option] of invalid) {
        const alone = yield* Effect.exit(Effect.scoped(CacheStore.makeBytes(bytesBackend(), { breaker })))
        assert.instanceOf(defectOf(alone), InvalidOption)
        assert.deepInclude(defectOf(alone), { option, of: "bytes" })
        const backend = Effect.sync(() => CacheStore.fromBytes(bytesBackend()))
        const tiered = yield* Effect.exit(Effect.scoped(TieredCache.make({ tiers: [{ backend }], breaker })))
        assert.deepInclude(defectOf(tiered), { option, of: "tiered.bytes" })
      }
    })
  )

  it.effect("memory alone - has none, and is one tier that is up", () =>
    Effect.gen(function* () {
      const { tiers } = yield* Effect.flatMap(CacheStore, (store) => store.health)
      deepStrictEqual(tiers, [{ tier: "memory", status: "up", openSince: Option.none(), skipped: 0, undelivered: 0 }])
    }).pipe(Effect.provide(MemoryCache.layer()))
  )
})

it.scopedLive("what is undelivered - is the probe, if nobody reads", () =>
  Effect.gen(function* () {
    const world = yield* worlds.bytes!
    const { chaos, store } = world
    yield* store.set("removed", 1, { ttl: "1 hour" })
    yield* chaos.begin({ hang: 1 })
    yield* openBy(
      world,
      Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...long })
    )
    yield* store.remove("removed")
    yield* chaos.calm
    yield* awaitUntil(
      Effect.map(world.holds("removed"), (holds) => !holds),
      "it was delivered"
    )
    yield* awaitUntil(
      Effect.map(healthOf(world), ({ undelivered }) => undelivered === 0),
      "nothing is undelivered"
    )
  })
)

it.scopedLive("a real Redis that was stopped - is used as soon as it answers, whatever the pause is", () =>
  Effect.gen(function* () {
    const own = yield* Layer.build(RedisServer.layer)
    const { cont, stop, url } = Context.get(own, RedisServer)
    const store = yield* RedisCache.make({ url, timeout: "500 millis", breaker: { failures: 2, pause: "1 hour" } })
    yield* store.set("removed", 1, { ttl: "1 hour" })
    yield* stop
    yield* Effect.forEach(["a", "b", "c", "d"], (key) => Effect.zipRight(Effect.yieldNow(), store.get(key)), {
      concurrency: "unbounded"
    })
    yield* store.remove("removed")
    yield* cont
    yield* awaitUntil(
      Effect.map(store.health, ({ status, undelivered }) => status === "up" && undelivered === 0),
      "it is up"
    )
    yield* store.set("after", 1, { ttl: "1 hour" })
    deepStrictEqual(yield* store.getMany(["removed", "after"]), [Option.none(), Option.some(1)])
  })
)

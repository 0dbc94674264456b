/**
 * Invalid options: each is the defect `InvalidOption`, which names the option and the function or the store.
 */

import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, Effect, Exit, Layer, type Scope } from "effect"
import * as FileCache from "../../src/FileCache.js"
import * as GcsCache from "../../src/GcsCache.js"
import { Cached, CachePolicy, CacheStore, InvalidOption, MemoryCache, MemoryCacheLive } from "../../src/index.js"
import * as KeyValueCache from "../../src/KeyValueCache.js"
import * as RedisCache from "../../src/RedisCache.js"
import * as S3Cache from "../../src/S3Cache.js"
import * as TieredCache from "../../src/TieredCache.js"

type Run = Effect.Effect<unknown, unknown, CacheStore | Scope.Scope>

/** The values that are no duration, as the type of one. */
const noDurations = [
  -1,
  -0.5,
  Number.NaN,
  Number.NEGATIVE_INFINITY,
  -1n,
  "-5 seconds",
  "soon",
  "5",
  [0, -1],
  [1, Number.NaN]
]
const noLimits = [0, -1, Number.NaN, 1.5, "many"]

const refuses = (run: Run, option: string, of: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    const exit = yield* run.pipe(Effect.scoped, Effect.provide(MemoryCacheLive), Effect.exit)
    const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
    assert.instanceOf(defect, InvalidOption, String(exit))
    assert.deepStrictEqual([defect.option, defect.of], [option, of])
    assert.include(defect.message, `"${of}": ${option}: `)
  })

const find = (id: number) => Effect.succeed(id)
const loader = Effect.succeed(1)
const minute = "1 minute"

describe("invalid options", () => {
  const ofFunctions: ReadonlyArray<readonly [policy: string, option: string, run: (value: never) => Run]> = [
    ["ttl", "ttl", (ttl) => Cached.ttl(find, { key: "user:{}", ttl })(1)],
    ["ttl", "flightTimeout", (flightTimeout) => Cached.ttl(find, { key: "user:{}", ttl: minute, flightTimeout })(1)],
    ["ttl", "lock.lease", (lease) => Cached.ttl(find, { key: "user:{}", ttl: minute, lock: { lease } })(1)],
    ["ttl of an effect", "ttl", (ttl) => Cached.ttl(loader, { key: "user:{{}}", name: "user:{}", ttl })],
    ["swr", "ttl", (ttl) => Cached.swr(find, { key: "user:{}", ttl, stale: minute })(1)],
    ["swr", "stale", (stale) => Cached.swr(find, { key: "user:{}", ttl: minute, stale })(1)],
    ["swr, in a member", "stale", (stale) => Cached.swr(find, { key: "user:{}", ttl: minute, stale }).peek(1)],
    ["swr, switched off", "stale", (stale) => Cached.swr(find, { key: "user:{}", ttl: 0, stale })(1)],
    ["ttl", "staleIfError", (staleIfError) => Cached.ttl(find, { key: "user:{}", ttl: minute, staleIfError })(1)],
    ["ttl", "retryAfter", (retryAfter) => Cached.ttl(find, { key: "user:{}", ttl: minute, retryAfter })(1)],
    ["ttl", "failures.ttl", (ttl) => Cached.ttl(find, { key: "user:{}", ttl: minute, failures: { ttl } })(1)],
    [
      "bg",
      "staleIfError",
      (staleIfError) => Cached.bg(loader, { key: "k", name: "user:{}", interval: minute, staleIfError })
    ],
    ["bg", "interval", (interval) => Cached.bg(loader, { key: "k", name: "user:{}", interval })],
    ["bg", "ttl", (ttl) => Cached.bg(loader, { key: "k", name: "user:{}", interval: minute, ttl })],
    ["bgWrite", "interval", (interval) => Cached.bgWrite(loader, { key: "k", name: "user:{}", interval })],
    ["bgWrite", "ttl", (ttl) => Cached.bgWrite(loader, { key: "k", name: "user:{}", interval: minute, ttl })],
    [
      "bgWrite",
      "leader.lease",
      (lease) => Cached.bgWrite(loader, { key: "k", name: "user:{}", interval: minute, leader: { lease } })
    ]
  ]
  for (const [policy, option, run] of ofFunctions) {
    it.effect(`${option} of ${policy} - is a defect that names the function`, () =>
      Effect.forEach(noDurations, (value) => refuses(run(value as never), option, "user:{}"))
    )
  }

  for (const failures of [true, null, "1 minute", () => "1 minute"]) {
    it.effect(`failures of ${String(failures)} - is a defect that names the function`, () =>
      refuses(Cached.ttl(find, { key: "user:{}", ttl: minute, failures: failures as never })(1), "failures", "user:{}")
    )
  }

  const of = (options: object) => ({ ttl: 60_000, ...options }) as { key: "user:{}"; ttl: number }
  const noKeys: ReadonlyArray<readonly [what: string, options: object, option: string, of: string]> = [
    ["no key", {}, "key", "find"],
    ["no key, but a name", { name: "user" }, "key", "user"],
    ["a key of null", { key: null }, "key", "find"],
    ["a key that is a number", { key: 5 }, "key", "find"],
    ["a name that is a number, beside a template", { key: "user:{}", name: 5 }, "name", "user:{}"],
    ["a name that is a number, beside a function", { key: () => "k", name: 5 }, "name", "find"]
  ]
  for (const [what, options, option, name] of noKeys) {
    it.effect(`${what} - is a defect that names the function, in each member`, () => {
      const cached = Cached.ttl(find, of(options))
      const members = [
        Effect.suspend(() => cached(1)),
        Effect.suspend(() => cached.refresh(1)),
        Effect.suspend(() => cached.invalidate(1)),
        cached.clear,
        Effect.sync(() => cached.key(1))
      ]
      return Effect.forEach(members, (run) => refuses(run, option, name))
    })
  }

  it.effect("a key of a background loader that is missing - is a defect, which names the option", () =>
    Effect.forEach(
      [
        Cached.bg(loader, { name: "flags", interval: minute } as never),
        Cached.bgRead({ name: "flags", interval: minute } as never)
      ],
      (run: Run) => refuses(run, "key", "flags")
    )
  )

  it.effect("interval and ttl of bgRead - are a defect that names the key", () =>
    Effect.forEach(noDurations, (value) =>
      Effect.zip(
        refuses(Cached.bgRead({ key: "flags", interval: value as never }), "interval", "flags"),
        refuses(Cached.bgRead({ key: "flags", ttl: value as never }), "ttl", "flags")
      )
    )
  )

  it.effect("ttl and stale of CacheStore.set - are a defect that names the store", () =>
    Effect.forEach(noDurations, (value) =>
      Effect.zip(
        refuses(
          Effect.flatMap(CacheStore, (store) => store.set("k", 1, { ttl: value as never })),
          "ttl",
          "memory.set"
        ),
        refuses(
          Effect.flatMap(CacheStore, (store) => store.set("k", 1, { ttl: minute, stale: value as never })),
          "stale",
          "memory.set"
        )
      )
    )
  )

  describe("CachePolicy", () => {
    const read = (policy: Layer.Layer<CachePolicy, unknown>) =>
      Effect.provide(Cached.policy(find, { key: "user:{}" })(1), policy)

    for (const option of ["ttl", "stale", "flightTimeout"] as const) {
      it.effect(`${option} - is a defect that names the policy, or the function of an exception`, () =>
        Effect.forEach(noDurations, (value) => {
          const options = { ttl: minute, [option]: value } as CachePolicy.Options
          const exception = { ttl: minute, functions: { "user:{}": { [option]: value } } } as CachePolicy.Options
          return Effect.all([
            refuses(read(CachePolicy.layer(options)), option, "CachePolicy"),
            refuses(read(CachePolicy.layerConfig(Config.succeed(options))), option, "CachePolicy"),
            refuses(read(CachePolicy.layer(exception)), option, "user:{}")
          ])
        })
      )
    }

    it.effect("an exception that is undefined - is taken from the general policy", () => {
      const policy = CachePolicy.layer({
        ttl: minute,
        stale: "2 minutes",
        functions: { "user:{}": { ttl: undefined as never, stale: undefined } }
      })
      const cached = Cached.policy(find, { key: "user:{}" })
      return Effect.gen(function* () {
        yield* cached(1)
        const entry = yield* Effect.flatten(cached.entry(1))
        assert.strictEqual(entry.expiresAt - entry.createdAt, 180_000)
      }).pipe(Effect.provide(Layer.merge(MemoryCacheLive, policy)))
    })
  })

  const memory = { backend: MemoryCache.backend() }
  const files = (options: object) =>
    Effect.provide(FileCache.make({ directory: "/nonexistent", ...options }), NodeContext.layer)
  const keyValue = (options: object) =>
    Effect.provide(CacheStore, Layer.provide(KeyValueCache.layer(options), KeyValueStore.layerMemory))
  const stores: ReadonlyArray<
    readonly [store: string, make: (options: object) => Run, options: ReadonlyArray<string>]
  > = [
    ["memory", MemoryCache.make, ["blindTtl"]],
    ["redis", RedisCache.make, ["timeout", "connectTimeout"]],
    ["file", files, ["timeout", "marksEvery", "sweepEvery"]],
    ["s3", (options) => S3Cache.make({ bucket: "b", ...options }), ["timeout", "marksEvery"]],
    ["gcs", (options) => GcsCache.make({ bucket: "b", ...options }), ["timeout", "marksEvery"]],
    ["key-value", keyValue, ["timeout", "marksEvery"]],
    ["tiered", (options) => TieredCache.make({ tiers: [memory], ...options }), ["blindTtl"]]
  ]
  for (const [store, make, options] of stores) {
    for (const option of options) {
      it.effect(`${option} of the store ${store} - is a defect that names the store`, () =>
        Effect.forEach(noDurations, (value) => refuses(make({ [option]: value }), option, store))
      )
    }
  }

  it.effect("ttl of a tier - is a defect that names the tier", () =>
    Effect.forEach(noDurations, (value) =>
      refuses(TieredCache.make({ tiers: [{ ...memory, ttl: value as never }] }), "ttl", "tiered.memory")
    )
  )

  it.effect("limits - are a defect that names the store", () =>
    Effect.forEach(noLimits, (value) =>
      Effect.all([
        refuses(MemoryCache.make({ maxFlights: value as number }), "maxFlights", "memory"),
        refuses(MemoryCache.make({ maxRefreshes: value as number }), "maxRefreshes", "memory"),
        refuses(MemoryCache.make({ capacity: value as number, name: "sessions" }), "capacity", "sessions"),
        refuses(keyValue({ maxValueBytes: value }), "maxValueBytes", "key-value"),
        refuses(keyValue({ concurrency: value }), "concurrency", "key-value")
      ])
    )
  )
})

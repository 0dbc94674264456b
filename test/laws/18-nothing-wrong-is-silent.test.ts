/**
 * Law 18 (nothing wrong is silent): each state in which a store does less than its user believes is one Warning, and shows
 * in `stats` or `health`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Option, Stream, TestClock } from "effect"
import { type Backend, Cached, CacheStore, CacheStoreError, MemoryCache, SerializerError } from "effect-cached"
import { recordingTracer } from "../support/tracer.js"
import { becomes, minute, recordWarnings, settled, stats } from "./support.js"

/** A remote backend that keeps nothing, apart from the members given. */
const backendWith = (members: Partial<Backend.Backend>): Backend.Backend => ({
  name: "faulty",
  remote: true,
  getMany: (reads) => Effect.succeed({ found: reads.map(() => undefined) }),
  setMany: (writes) => Effect.succeed(writes.map((write) => ({ _tag: "Written", stamp: write.entry.stamp }))),
  setIfAbsent: (write) => Effect.succeed({ _tag: "Written", stamp: write.entry.stamp }),
  removeMany: (removals) => Effect.succeed(removals.map(({ stamp }) => ({ _tag: "Written", stamp }))),
  ...members
})

const storeError = (method: string) => new CacheStoreError({ reason: "Rejected", store: "faulty", method })
const encodeError = new SerializerError({ reason: "Encode", path: "$.at", detail: "is a class instance" })
const decodeError = new SerializerError({ reason: "Decode", path: "$", detail: "is not an entry" })

const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ...minute })

const problemsOf = ({ problems }: CacheStore.Health) => problems.map(({ name, subject }) => [name, subject])

/** Runs effects on a backend one after the other, and returns the warnings, the statistics and the health. */
const observe = (
  members: Partial<Backend.Backend>,
  ...steps: ReadonlyArray<Effect.Effect<unknown, never, CacheStore>>
) => {
  const { layer, lines } = recordWarnings()
  return Effect.gen(function* () {
    for (const step of steps) yield* step
    const store = yield* CacheStore
    // the writes behind the last answer have ended
    yield* store.getMany([])
    yield* Effect.repeatN(Effect.yieldNow(), 50)
    return { lines, stats: yield* store.stats, health: yield* store.health }
  }).pipe(Effect.provide(Layer.provideMerge(Layer.scoped(CacheStore, CacheStore.make(backendWith(members))), layer)))
}

describe("law 18: nothing wrong is silent", () => {
  it.effect("reads that fail - are one Warning per outage, counted each time, and `health` is down", () =>
    Effect.gen(function* () {
      const failing = { getMany: () => Effect.fail(storeError("getMany")) }
      const { health, lines, stats } = yield* observe(failing, find(1), find(2), find(3))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "reads run their lookups")
      assert.strictEqual(stats.storeErrors, 3)
      assert.strictEqual(health.status, "down")
    })
  )

  it.effect(
    "writes that fail - are one Warning per outage, one more at the end, and `health` counts what is undelivered",
    () =>
      Effect.gen(function* () {
        const failing = {
          setMany: () => Effect.fail(storeError("setMany")),
          removeMany: () => Effect.fail(storeError("removeMany"))
        }
        const { health, lines } = yield* observe(failing, find(1), find.invalidate(1), find.invalidate(2))
        assert.lengthOf(lines, 2)
        assert.include(lines[0], "delivered later")
        assert.include(lines[1], "the Layer closed while 2 keys")
        assert.strictEqual(health.status, "down")
        assert.strictEqual(health.undelivered, 2)
      })
  )

  it.effect("a value that cannot be stored - is one Warning that names the function and the place", () =>
    Effect.gen(function* () {
      const refusing: Partial<Backend.Backend> = {
        setMany: (writes) => Effect.succeed(writes.map(() => ({ _tag: "Refused", error: encodeError })))
      }
      const { lines, stats } = yield* observe(refusing, find(1), find(2))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "user")
      assert.include(lines[0], "$.at")
      assert.strictEqual(stats.refused, 2)
    })
  )

  it.effect("an entry that cannot be read - is one Warning that names the function, and each is counted", () =>
    Effect.gen(function* () {
      const garbage: Partial<Backend.Backend> = {
        getMany: (reads) => Effect.succeed({ found: reads.map(() => decodeError) })
      }
      const { lines, stats } = yield* observe(garbage, find(1), find(2))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "user:{}")
      assert.strictEqual(stats.decodeFailures, 2)
    })
  )

  it.effect("two functions on one key - are one Warning that names both", () =>
    Effect.gen(function* () {
      const kept = new Map<string, Backend.Found>()
      const keeping: Partial<Backend.Backend> = {
        getMany: (reads) => Effect.succeed({ found: reads.map(({ key }) => kept.get(key)) }),
        setMany: (writes) =>
          Effect.sync(() =>
            writes.map(({ entry, key }) => {
              kept.set(key, entry)
              return { _tag: "Written", stamp: entry.stamp }
            })
          )
      }
      const other = Cached.ttl((id: number) => Effect.succeed(-id), { key: "user:{}", name: "other", ...minute })
      const pause = Effect.repeatN(Effect.yieldNow(), 50)
      const { health, lines } = yield* observe(keeping, find(1), pause, other(1), pause, find(1), pause, other(1))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], '"other"')
      assert.include(lines[0], '"user:{}"')
      assert.deepStrictEqual(problemsOf(health), [["KeyShared", '"other" and "user:{}"']])
    })
  )

  describe("refreshes that fail behind a stale value", () => {
    const swr = { ttl: "10 seconds", stale: "1 hour" } as const

    /** A function whose loads of a key fail as long as `broken` has it, read when its value is stale. */
    const failing = (name: string) => {
      const broken = new Set<string>()
      const lookup = (id: string) =>
        Effect.suspend(() => (broken.has(id) ? Effect.fail("the source is down") : Effect.succeed(id)))
      const find = Cached.swr(lookup, { key: (id: string) => `${name}:${id}`, name, ...swr })
      const readStale = (id: string) =>
        Effect.gen(function* () {
          const before = yield* stats
          yield* TestClock.adjust("10 seconds")
          yield* Effect.orDie(find(id))
          yield* becomes(
            Effect.map(
              stats,
              ({ refreshes, refreshFailures }) =>
                refreshes + refreshFailures > before.refreshes + before.refreshFailures
            ),
            true
          )
          yield* settled
        })
      return { broken, find, readStale }
    }
    const problems = Effect.flatMap(CacheStore, (store) => Effect.map(store.health, problemsOf))

    it.effect("are one Warning per function and outage, with the cause, and `health` names the function", () => {
      const { layer, lines } = recordWarnings()
      const a = failing("a")
      const b = failing("b")
      return Effect.gen(function* () {
        for (const { broken, find, readStale } of [a, b]) {
          yield* Effect.orDie(find("x"))
          yield* Effect.orDie(find("y"))
          broken.add("x")
          for (let i = 0; i < 3; i++) yield* readStale("x")
          // other keys of the function succeed meanwhile
          yield* readStale("y")
          yield* readStale("x")
        }
        assert.lengthOf(lines, 2)
        assert.include(lines[0], "a refresh of a failed")
        assert.include(lines[1], "a refresh of b failed")
        assert.deepStrictEqual(yield* problems, [
          ["RefreshesFail", "a"],
          ["RefreshesFail", "b"]
        ])
        a.broken.clear()
        yield* TestClock.adjust("1 minute")
        yield* a.readStale("x")
        assert.deepStrictEqual(yield* problems, [["RefreshesFail", "b"]])
        a.broken.add("x")
        yield* a.readStale("x")
        assert.lengthOf(lines, 3)
      }).pipe(Effect.provide(Layer.provideMerge(MemoryCache.layer(), layer)))
    })

    it.effect("are events and spans with their cause", () => {
      const { spans, tracer } = recordingTracer()
      const { broken, find, readStale } = failing("a")
      return Effect.gen(function* () {
        const store = yield* CacheStore
        const event = yield* Effect.fork(
          Stream.runHead(Stream.filter(store.events, ({ _tag }) => _tag === "LoadFailed"))
        )
        yield* settled
        yield* Effect.orDie(find("x"))
        broken.add("x")
        yield* readStale("x")
        assert.deepStrictEqual(Option.getOrUndefined(yield* Fiber.join(event)), {
          _tag: "LoadFailed",
          key: "a:x",
          name: "a",
          refresh: true,
          cause: Cause.fail("the source is down")
        })
        const refresh = spans.find(({ name }) => name === "Cached.refresh")
        assert.deepStrictEqual(refresh?.exit, Exit.fail("the source is down"))
      }).pipe(Effect.withTracer(tracer), Effect.provide(MemoryCache.layer()))
    })
  })

  describe("two lookups under one identity", () => {
    const findUser = (id: number) => Effect.succeed(id)
    const findAdmin = (id: number) => Effect.succeed(-id)
    const template = { key: "person:{}", ...minute } as const

    it.effect("the same template - is one Warning that names both, and `health` names the template", () =>
      Effect.gen(function* () {
        const [user, admin] = [
          Cached.ttl(findUser, template),
          Cached.swr(findAdmin, { ...template, stale: "1 minute" })
        ]
        const { health, lines } = yield* observe({}, user(1), admin(2), user(3), admin(4))
        assert.lengthOf(lines, 1)
        for (const name of ["findUser", "findAdmin", '"person:{}"']) assert.include(lines[0], name)
        assert.deepStrictEqual(problemsOf(health), [["NameShared", "person:{}"]])
      })
    )

    it.effect("a member that does not load - counts as a use, too", () =>
      Effect.gen(function* () {
        const [user, admin] = [Cached.ttl(findUser, template), Cached.ttl(findAdmin, template)]
        assert.lengthOf((yield* observe({}, user.set(1)(1), admin.peek(1))).lines, 1)
      })
    )

    it.effect("a `name` that only one of them was given - is a Warning", () =>
      Effect.gen(function* () {
        const named = Cached.ttl(findAdmin, { ...template, name: "person:{}" })
        assert.lengthOf((yield* observe({}, Cached.ttl(findUser, template)(1), named(1))).lines, 1)
      })
    )

    it.effect("the same `name` on purpose, other versions, the same lookup, effects - are no Warning", () =>
      Effect.gen(function* () {
        const named = { ...template, name: "person" }
        const { health, lines } = yield* observe(
          {},
          Cached.ttl(findUser, named)(1),
          Cached.ttl(findAdmin, { ...named, key: "people:{}" })(1),
          Cached.ttl(findUser, template)(1),
          Cached.ttl(findUser, template)(1),
          Effect.flatMap(Cached.capture(Cached.ttl(findUser, template)), (captured) => captured(1)),
          Cached.ttl(findAdmin, { ...template, version: 2 })(1),
          Cached.ttl(Effect.succeed(1), { key: "one", ...minute }),
          Cached.ttl(Effect.succeed(1), { key: "one", ...minute })
        )
        assert.deepStrictEqual(lines, [])
        assert.deepStrictEqual(problemsOf(health), [])
      })
    )
  })
})

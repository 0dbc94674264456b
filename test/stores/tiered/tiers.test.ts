import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, type Scope } from "effect"
import { type Backend, Cached, CacheStore, CacheStoreError, MemoryCache, TieredCache } from "effect-cached"
import { TierCounters } from "../../../src/CacheMetrics.js"
import { Entry } from "../../../src/Entry.js"
import * as Tiers from "../../../src/internal/backends/tiers/backend.js"
import { becomes, type Gate, gate, minute, settled } from "../../laws/support.js"
import { same } from "../../support/redis-nodes.js"
import * as Shelf from "../../support/shelf.js"

/** A tier that keeps marks and no entries. */
const marked = (name: string, read: Effect.Effect<Backend.Marks | undefined, CacheStoreError>): Tiers.Tier => ({
  ttl: Number.POSITIVE_INFINITY,
  counters: new TierCounters(name, { store: "tiers of a test" }),
  backend: {
    name,
    remote: true,
    getMany: (reads) => Effect.succeed({ found: reads.map(() => undefined) }),
    setMany: (writes) => Effect.succeed(writes.map(() => ({ _tag: "Superseded" }))),
    setIfAbsent: () => Effect.succeed({ _tag: "Superseded" }),
    removeMany: (removals) => Effect.succeed(removals.map(() => ({ _tag: "Superseded" }))),
    marks: { read, raise: () => Effect.succeed({ floor: 0, lost: 0, raised: [] }) }
  }
})

/** The floors that a backend reports to its store, as they come. */
const floorsOf = (backend: Backend.Backend): Array<number> => {
  const floors: Array<number> = []
  backend.attach!({
    admits: () => true,
    isCurrent: () => true,
    notify: ({ floor }) => void floors.push(floor),
    run: () => {},
    failed: () => {},
    answered: () => {}
  })
  return floors
}

/** A tier on a shelf, whose reads and removals wait at gates. */
const tierOn = (
  name: string,
  shelf: Shelf.Shelf,
  { reads, removals }: { readonly reads?: Gate; readonly removals?: Gate } = {}
): TieredCache.Tier<never, Scope.Scope> => ({
  name,
  backend: Effect.sync(() =>
    CacheStore.fromBytes(
      Shelf.backend(shelf, ({ getMany, removeMany }) => ({
        getMany: (asked) => (reads === undefined ? getMany(asked) : Effect.tap(getMany(asked), () => reads.pass)),
        removeMany: (removed) =>
          removals === undefined ? removeMany(removed) : Effect.zipRight(removals.pass, removeMany(removed))
      }))
    )
  )
})

describe("Tiers", () => {
  describe("law 8: invalidation wins - a tier without marks of its own", () => {
    it.scoped("no tier with marks answers - it is not read, and is read again afterwards", () =>
      Effect.gen(function* () {
        let isAway = false
        const away = new CacheStoreError({ reason: "Disconnected", store: "quick", method: "getMany" })
        const [quick, slow] = [new Shelf.Shelf(), new Shelf.Shelf()]
        const store = yield* TieredCache.make({
          tiers: [
            {
              name: "quick",
              backend: Effect.sync(() =>
                CacheStore.fromBytes(
                  Shelf.backend(quick, ({ getMany }) => ({ getMany: (reads) => (isAway ? away : getMany(reads)) }))
                )
              )
            },
            {
              name: "slow",
              backend: Effect.sync(() => CacheStore.fromBytes(Shelf.backend(slow, () => ({ marks: undefined }))))
            }
          ]
        })
        yield* store.set("k", "v", minute)
        isAway = true
        same(yield* Effect.orElseSucceed(store.get("k"), () => Option.none()), Option.none())
        isAway = false
        same(yield* store.get("k"), Option.some("v"))
      })
    )
  })

  describe("law 8: invalidation wins - over an entry that a slower tier still has", () => {
    const memory: TieredCache.Tier<never, Scope.Scope> = { name: "memory", backend: MemoryCache.backend() }
    const shelves = () => ({ quick: new Shelf.Shelf(), middle: new Shelf.Shelf(), slow: new Shelf.Shelf() })
    type Shelves = ReturnType<typeof shelves>
    const stacks: ReadonlyArray<
      readonly [name: string, tiers: (on: Shelves) => TieredCache.Options<never, Scope.Scope>["tiers"]]
    > = [
      ["two tiers", ({ quick, slow }) => [tierOn("quick", quick), tierOn("slow", slow)]],
      ["memory and two tiers", ({ quick, slow }) => [memory, tierOn("quick", quick), tierOn("slow", slow)]],
      [
        "a tier without the key between them",
        ({ middle, quick, slow }) => [memory, tierOn("quick", quick), tierOn("middle", middle), tierOn("slow", slow)]
      ],
      [
        "a tombstone in the second of three tiers",
        ({ middle, quick, slow }) => [tierOn("middle", middle), tierOn("quick", quick), tierOn("slow", slow)]
      ]
    ]
    for (const [name, tiers] of stacks) {
      it.scopedLive(name, () =>
        Effect.gen(function* () {
          const all = shelves()
          const removals = gate()
          const writer = yield* TieredCache.make({
            tiers: [tierOn("quick", all.quick), tierOn("slow", all.slow, { removals })]
          })
          const reader = yield* TieredCache.make({ tiers: tiers(all) })
          const find = Cached.ttl((_: string) => Effect.succeed("new"), { key: "found:{}", ...minute })
          yield* Effect.forEach(["a", "b", "c"], (key) => writer.set(key, "old", minute))
          yield* Effect.provideService(find.set("a")("old"), CacheStore, writer)
          const removing = yield* Effect.fork(writer.removeMany(["a", "found:a"]))
          yield* becomes(
            Effect.sync(() => [all.quick.at("a")?.entry, all.quick.at("found:a")?.entry]),
            [undefined, undefined]
          )
          // one batch: the tombstone of one key says nothing about the others
          same(yield* reader.getMany(["a", "b"]), [Option.none(), Option.some("old")])
          assert.isFalse(yield* reader.has("a"))
          assert.strictEqual(yield* Effect.provideService(find("a"), CacheStore, reader), "new")
          yield* removals.open
          yield* Fiber.join(removing)
          assert.notStrictEqual(Option.getOrUndefined(yield* reader.get("a")), "old")
          same(yield* reader.get("c"), Option.some("old"))
        })
      )
    }

    it.scopedLive("a newer entry of a slower tier - answers in spite of the tombstone", () =>
      Effect.gen(function* () {
        const { quick, slow } = shelves()
        const both = yield* TieredCache.make({ tiers: [tierOn("quick", quick), tierOn("slow", slow)] })
        yield* both.set("k", "first", minute)
        yield* both.remove("k")
        const { entry, stamp } = quick.at("k")!
        yield* (yield* TieredCache.make({ tiers: [tierOn("slow", slow)] })).set("k", "second", minute)
        slow.put("k", stamp + 1, slow.at("k")!.entry, 60_000)
        assert.isUndefined(entry)
        same(yield* both.get("k"), Option.some("second"))
      })
    )

    it.scopedLive("an expired entry in a faster tier - hides an older one, which it has not replaced yet", () =>
      Effect.gen(function* () {
        const { quick, slow } = shelves()
        const both = yield* TieredCache.make({ tiers: [tierOn("quick", quick), tierOn("slow", slow)] })
        yield* both.set("k", "older", minute)
        const { entry, stamp } = quick.at("k")!
        const expired = Object.assign(Object.create(Object.getPrototypeOf(entry)), entry, { expiresAt: 1 })
        quick.put("k", stamp + 1, expired, 60_000)
        same(yield* both.get("k"), Option.none())
      })
    )

    it.scopedLive("a copy on its way to a faster tier - is not made once this process has removed the key", () =>
      Effect.gen(function* () {
        const { slow } = shelves()
        const reads = gate()
        const copies = yield* MemoryCache.backend({ name: "copies" })
        const store = yield* TieredCache.make({
          tiers: [
            { name: "memory", backend: MemoryCache.backend() },
            { name: "copies", backend: Effect.succeed(copies) },
            tierOn("slow", slow, { reads })
          ]
        })
        const writer = yield* TieredCache.make({ tiers: [tierOn("slow", slow)] })
        yield* writer.set("k", "old", minute)
        const reading = yield* Effect.fork(store.get("k"))
        yield* reads.reached
        yield* store.remove("k")
        yield* reads.open
        same(yield* Fiber.join(reading), Option.none())
        yield* settled
        assert.isUndefined(copies.unsafeGet!("k"))
        same(yield* store.get("k"), Option.none())
      })
    )
  })

  it.effect(
    "marks - of one tier count while another tier is still being asked, because each is reported only once",
    () =>
      Effect.gen(function* () {
        const slow = yield* Deferred.make<undefined>()
        const backend = Tiers.compose("tiers", [
          marked("quick", Effect.succeed({ floor: 7, lost: 0, raised: [] })),
          marked("slow", Deferred.await(slow))
        ])
        const floors = floorsOf(backend)
        const reading = yield* Effect.fork(backend.marks!.read)
        yield* settled
        assert.deepStrictEqual(floors, [7])
        yield* Deferred.succeed(slow, undefined)
        yield* Fiber.join(reading)
      })
  )

  const lostAt = (lost: number) => Effect.succeed({ floor: lost, lost, raised: [] })
  const cases: ReadonlyArray<readonly [string, Effect.Effect<Backend.Marks | undefined, CacheStoreError>, number]> = [
    ["no loss of the other tier - outdates nothing", Effect.void as Effect.Effect<undefined>, Number.NEGATIVE_INFINITY],
    ["an earlier loss of the other tier - outdates what is older than that", lostAt(3), 3],
    ["a later loss of the other tier - outdates what is older than the first loss", lostAt(9), 7],
    [
      "no answer of the other tier - outdates everything older",
      new CacheStoreError({ reason: "Timeout", store: "slow", method: "marks" }),
      7
    ]
  ]
  for (const [what, other, expected] of cases) {
    it.effect(`marks that a tier lost, ${what}`, () =>
      Effect.gen(function* () {
        let reads = 0
        const backend = Tiers.compose("tiers", [
          marked("lost", lostAt(7)),
          marked(
            "other",
            Effect.suspend(() => {
              reads++
              return other
            })
          )
        ])
        const floors = floorsOf(backend)
        yield* Effect.ignore(backend.marks!.read)
        assert.strictEqual(Math.max(...floors), expected)
        const after = reads
        yield* backend.getMany([{ key: "k" }])
        assert.strictEqual(reads, after)
        assert.strictEqual(Math.max(...floors), expected)
      })
    )
  }

  it.effect(
    "marks that a tier lost while the leading tier is away - its older entries are misses until that answers",
    () =>
      Effect.gen(function* () {
        let isAway = true
        let asked = 0
        const away = new CacheStoreError({ reason: "Timeout", store: "leading", method: "marks" })
        const leading = marked(
          "leading",
          Effect.suspend(() => {
            asked++
            return isAway ? away : Effect.succeed({ floor: Number.NEGATIVE_INFINITY, lost: 0, raised: [] })
          })
        )
        const follower = marked("follower", lostAt(70))
        const times = { createdAt: 0, freshUntil: 1e9, expiresAt: 1e9, owner: "", tags: [] }
        const stampOf: Record<string, number> = { old: 60, new: 80 }
        const backend = Tiers.compose("tiers", [
          {
            ...leading,
            backend: {
              ...leading.backend,
              getMany: (reads) => (isAway ? away : Effect.succeed({ found: reads.map(() => undefined) })),
              stamps: { seen: () => 50, isCurrent: () => true, raise: Effect.void }
            }
          },
          {
            ...follower,
            backend: {
              ...follower.backend,
              getMany: (reads) =>
                Effect.map(lostAt(70), (marks) => ({
                  found: reads.map(({ key }) => new Entry(key, { ...times, stamp: stampOf[key]! })),
                  marks: isAway ? marks : undefined
                }))
            }
          }
        ])
        const floors = floorsOf(backend)
        const read = Effect.map(backend.getMany([{ key: "old" }, { key: "new" }]), ({ found }) =>
          found.map((found) => (found instanceof Entry ? found.stamp : undefined))
        )
        assert.deepStrictEqual(yield* read, [undefined, 80])
        assert.strictEqual(Math.max(...floors), 50)
        isAway = false
        floors.length = 0
        // an explanation asks no other tier
        yield* backend.getMany([{ key: "old", explains: true }])
        assert.strictEqual(asked, 1)
        assert.deepStrictEqual(yield* read, [60, 80])
        assert.strictEqual(asked, 2)
        assert.strictEqual(Math.max(...floors), Number.NEGATIVE_INFINITY)
      })
  )

  describe("law 6: the store may fail, the caller may not - a tier that dies", () => {
    const dying = {
      throws: () => {
        throw new Error("thrown by a tier")
      },
      dies: () => Effect.die(new Error("thrown by a tier"))
    }
    for (const [how, die] of Object.entries(dying)) {
      it.scoped(`${how} - each operation is counted as its error, and the other tier does the work`, () =>
        Effect.gen(function* () {
          const shelf = new Shelf.Shelf()
          const { backend } = marked("quick", Effect.succeed<Backend.Marks | undefined>(undefined))
          const quick = { ...backend, marks: undefined }
          const store = yield* TieredCache.make({
            tiers: [
              { backend: Effect.succeed({ ...quick, getMany: die, setMany: die, removeMany: die }), breaker: false },
              { backend: Effect.sync(() => CacheStore.fromBytes(Shelf.backend(shelf, () => ({ marks: undefined })))) }
            ]
          })
          let calls = 0
          const lookup = Effect.sync(() => ++calls)
          const cached = Cached.ttl(lookup, { key: "k", ...minute })
          const read = Effect.provideService(cached, CacheStore, store)
          assert.strictEqual(yield* read, 1)
          yield* becomes(
            Effect.sync(() => shelf.at("k") !== undefined),
            true
          )
          yield* settled
          assert.strictEqual(yield* read, 1)
          yield* store.remove("k")
          const { errors } = yield* store.stats
          assert.isAbove(errors.read?.Rejected ?? 0, 0)
          assert.isAbove(errors.write?.Rejected ?? 0, 0)
        })
      )
    }
  })
})

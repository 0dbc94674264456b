/**
 * The spans of reads: what a remote read waits for, whom a waiter waits for, and how a read was answered.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Exit, Fiber, TestClock } from "effect"
import { Cached, MemoryCache, MemoryCacheLive, TieredCache } from "effect-cached"
import { ChaosCache } from "../../src/testing.js"
import { eventually, gate, gated, isInterrupted, minute, numbered, settled, waiting } from "../laws/support.js"
import { recordingTracer, type SpanRecord } from "../support/tracer.js"

const serialized = MemoryCache.layer({ values: "serialized" })

/** A tracer, and a way to read in a span of it. */
const recording = () => {
  const links: Array<readonly [string, ReadonlyArray<string>]> = []
  const nameOf = (id: string): string => spans.find(({ span }) => span.spanId === id)?.name ?? "none"
  const { spans, tracer } = recordingTracer({
    links: (name, added) => links.push([name, added.map(({ span }) => nameOf(span.spanId))])
  })
  const within =
    (name: string) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      effect.pipe(Effect.withSpan(name), Effect.withTracer(tracer)) as Effect.Effect<A, E, R>
  return { links, spans, within, named: (name: string) => spans.filter((span) => span.name === name) }
}

const parentOf = ({ parent }: SpanRecord): string => (parent?._tag === "Span" ? parent.name : "none")

const answersOf = (spans: ReadonlyArray<SpanRecord>) =>
  spans.map(({ attributes, ends }) => [attributes.get("cache.outcome"), attributes.get("cache.tier"), ends])

describe("spans of reads", () => {
  it.effect("a remote read - has a span for a miss and for a hit, a child of its reader's", () =>
    Effect.gen(function* () {
      const { named, within } = recording()
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      yield* within("first")(find(1))
      yield* settled
      yield* within("second")(find(1))
      const reads = named("CacheStore.get")
      deepStrictEqual(reads.map(parentOf), ["first", "second"])
      deepStrictEqual(answersOf(reads), [
        ["miss", undefined, 1],
        ["hit", undefined, 1]
      ])
      for (const { attributes, exit } of reads) {
        assert.strictEqual(attributes.get("cache.name"), "k:{}")
        assert.match(String(attributes.get("cache.key_hash")), /^[\w-]{8}$/)
        assert.isTrue(exit !== undefined && Exit.isSuccess(exit))
      }
      deepStrictEqual(named("Cached.load").map(parentOf), ["first"])
    }).pipe(Effect.provide(serialized))
  )

  it.effect("a remote read - its span ends before the load begins, and with a read that is interrupted", () =>
    Effect.gen(function* () {
      const chaos = yield* ChaosCache.Chaos
      const { named, within } = recording()
      const { door, lookup } = gated()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      const loading = yield* Effect.fork(within("reader")(cached))
      yield* door.reached
      deepStrictEqual(answersOf(named("CacheStore.get")), [["miss", undefined, 1]])
      yield* Fiber.interrupt(loading)
      yield* chaos.begin({ hang: 1 })
      const frozen = yield* Effect.fork(within("frozen")(cached))
      yield* eventually(() => named("CacheStore.get").length === 2, "the backend was asked")
      const [, read] = named("CacheStore.get")
      assert.strictEqual(read!.ends, 0)
      yield* Fiber.interrupt(frozen)
      yield* chaos.calm
      assert.isTrue(read!.ends === 1 && read!.exit !== undefined && isInterrupted(read!.exit))
    }).pipe(Effect.provide(ChaosCache.layer(MemoryCache.backend())))
  )

  it.effect("tiers - the span names the tier that answered, and there is none for a hit in memory", () =>
    Effect.gen(function* () {
      const { named, spans, within } = recording()
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      yield* find(1)
      yield* settled
      yield* within("hit")(find(1))
      deepStrictEqual(
        spans.map(({ name }) => name),
        ["hit"]
      )
      yield* find(2)
      yield* settled
      yield* within("below")(find(1))
      deepStrictEqual(answersOf(named("CacheStore.get")), [["hit", "below", 1]])
    }).pipe(
      Effect.provide(
        TieredCache.layer({
          tiers: [
            { name: "memory", backend: MemoryCache.backend({ capacity: 1 }) },
            {
              name: "below",
              backend: Effect.map(MemoryCache.backend(), (backend) => ({
                ...backend,
                remote: true,
                unsafeGet: undefined
              }))
            }
          ]
        })
      )
    )
  )

  it.effect("many - one span for the whole read", () =>
    Effect.gen(function* () {
      const { named, spans, within } = recording()
      const find = Cached.batched((ids: ReadonlyArray<number>) => Effect.succeed(new Map(ids.map((id) => [id, id]))), {
        key: "k:{}",
        ...minute
      })
      yield* find.many([1, 2, 3])
      yield* settled
      yield* within("reader")(find.many([1, 2, 3]))
      deepStrictEqual(
        spans.map(({ name }) => name),
        ["reader", "CacheStore.getMany"]
      )
      const [read] = named("CacheStore.getMany")
      deepStrictEqual([read!.attributes.get("cache.name"), read!.attributes.get("cache.batch_size")], ["k:{}", 3])
    }).pipe(Effect.provide(serialized))
  )

  it.effect("a waiter - its span is linked to the load that it has joined", () =>
    Effect.gen(function* () {
      const { links, within } = recording()
      const { door, lookup } = gated()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      const first = yield* Effect.fork(within("first")(cached))
      yield* door.reached
      const others = yield* Effect.forkAll([within("second")(cached), cached, within("third")(cached)])
      yield* waiting(4)
      deepStrictEqual(links, [
        ["second", ["Cached.load"]],
        ["third", ["Cached.load"]]
      ])
      yield* door.open
      yield* Fiber.join(Fiber.zip(first, others))
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("a waiter of a load that waits for its permit - is linked to it once it begins", () =>
    Effect.gen(function* () {
      const { links, within } = recording()
      const door = gate()
      const find = Cached.ttl((_: number) => door.pass, { key: "k:{}", ...minute, concurrency: 1 })
      const first = yield* Effect.fork(find(1))
      yield* door.reached
      const others = yield* Effect.forkAll([within("starts it")(find(2)), within("joins it")(find(2))])
      yield* waiting(3)
      deepStrictEqual(links, [])
      yield* door.open
      yield* Fiber.join(Fiber.zip(first, others))
      deepStrictEqual(links, [["joins it", ["Cached.load"]]])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("a refresh - is linked to the read that has started it, and names the tier of the stale value", () =>
    Effect.gen(function* () {
      const { named, within } = recording()
      const { lookup } = numbered((call) => Effect.succeed(call))
      const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
      yield* find()
      yield* settled
      yield* TestClock.adjust("10 seconds")
      yield* within("reader")(find())
      yield* eventually(() => named("Cached.refresh").length === 1, "the refresh has begun")
      const [refresh] = named("Cached.refresh")
      deepStrictEqual(
        refresh!.links.map(({ span }) => span._tag === "Span" && span.name),
        ["reader"]
      )
      deepStrictEqual(refresh!.attributes.get("cache.outcome"), "stale")
      deepStrictEqual(refresh!.attributes.get("cache.tier"), "memory")
    }).pipe(Effect.provide(TieredCache.layer({ tiers: [{ name: "memory", backend: MemoryCache.backend() }] })))
  )

  it.effect("annotateSpans - the reader's span says how its read was answered", () =>
    Effect.gen(function* () {
      const { spans, within } = recording()
      const find = Cached.swr((id: number) => Effect.succeed(id), { key: "k:{}", ttl: "10 seconds", stale: "1 minute" })
      yield* within("miss")(find(1))
      yield* within("hit")(find(1))
      yield* TestClock.adjust("10 seconds")
      yield* within("stale")(find(1))
      yield* within("bypass")(Cached.bypass(find(1)))
      const readers = spans.filter(({ name }) => !name.startsWith("Cached."))
      deepStrictEqual(
        readers.map(({ attributes, name }) => [name, attributes.get("cache.outcome")]),
        [
          ["miss", "miss"],
          ["hit", "hit"],
          ["stale", "stale"],
          ["bypass", "miss"]
        ]
      )
    }).pipe(Effect.provide(MemoryCache.layer({ annotateSpans: true })))
  )

  it.effect("without annotateSpans - the reader's span stays as it is", () =>
    Effect.gen(function* () {
      const { spans, within } = recording()
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
      yield* cached
      yield* within("reader")(cached)
      deepStrictEqual(
        [...spans[0]!.attributes.keys()].filter((key) => key.startsWith("cache.")),
        []
      )
    }).pipe(Effect.provide(MemoryCacheLive))
  )
})

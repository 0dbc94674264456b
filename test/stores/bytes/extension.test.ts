/**
 * Entries with an extension block, as a later release writes them: law 12 (garbage heals) and law 1 (freshness).
 */
import { deepStrictEqual } from "node:assert/strict"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Exit, Layer, Option, Schema, TestClock } from "effect"
import { Cached, CacheStore, Entry, Envelope, Serializer } from "../../../src/index.js"
import { becomes, counting, stats } from "../../laws/support.js"
import * as Shelf from "../../support/shelf.js"

const lifetime = { createdAt: 0, freshUntil: 10_000, expiresAt: 60_000 }

/** A store on a shelf that holds an entry with an extension, at time 0, of the function with the key `k`. */
const onShelf = <A, E>(
  extension: Entry.Extension,
  body: (shelf: Shelf.Shelf) => Effect.Effect<A, E, CacheStore>,
  header: Partial<Entry.Header> = {}
): Effect.Effect<A, E> => {
  const shelf = new Shelf.Shelf()
  const value = Either.getOrThrow(Serializer.lossless.encode(0))
  const entry = new Entry.Entry(value, { stamp: 1, ...lifetime, owner: "k", tags: [], extension, ...header })
  shelf.put("k", 1, entry, Number.POSITIVE_INFINITY)
  const layer = Layer.scoped(CacheStore, CacheStore.make(CacheStore.fromBytes(Shelf.backend(shelf))))
  return Effect.provide(
    Effect.suspend(() => body(shelf)),
    layer
  )
}

const swr = () => {
  const { calls, lookup } = counting()
  return { calls, cached: Cached.swr(lookup(), { key: "k", ttl: "10 seconds", stale: "50 seconds" }) }
}

describe("an entry with an extension block", () => {
  it.effect("a stored failure - is absent, and the next load replaces it", () =>
    onShelf({ isFailure: true }, (shelf) =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        const { cached, calls } = swr()
        deepStrictEqual([yield* store.get("k"), yield* cached.peek], [Option.none(), Option.none()])
        assert.strictEqual(yield* cached, 1)
        assert.strictEqual(calls.length, 1)
        yield* becomes(
          Effect.sync(() => shelf.at("k")?.entry?.extension),
          undefined
        )
        assert.strictEqual((yield* stats).decodeFailures, 0)
      })
    )
  )

  it.effect("a stored failure - is the failure of its own function, if that has the schema of its error", () => {
    const hex = readFileSync(new URL("../../golden/envelope-v1-failure.hex", import.meta.url), "utf8")
    const decoded = Either.getOrThrow(Envelope.v1.decode(Buffer.from(hex.replaceAll(/\s/g, ""), "hex")))
    const { entry } = decoded._tag === "Entry" ? decoded : assert.fail("is a tombstone")
    const { calls, lookup } = counting()
    const cached = <I>(error: Schema.Schema<{ readonly id: number }, I>) =>
      Cached.ttl(lookup() as Effect.Effect<number, { readonly id: number }>, {
        key: "k",
        name: "user:{}",
        ttl: "10 seconds",
        failures: { ttl: "1 second", schema: error }
      })
    return onShelf({}, (shelf) =>
      Effect.gen(function* () {
        shelf.put("k", entry.stamp, entry, Number.POSITIVE_INFINITY)
        yield* TestClock.setTime(entry.freshUntil - 1)
        const read = Effect.exit(cached(Schema.Struct({ id: Schema.Number })))
        deepStrictEqual(yield* read, Exit.fail({ id: 42 }))
        assert.strictEqual(calls.length, 0)
        // of another schema it is garbage
        const other = cached(Schema.Struct({ id: Schema.NumberFromString }))
        deepStrictEqual(yield* Effect.exit(other), Exit.succeed(1))
        assert.strictEqual((yield* stats).decodeFailures, 1)
        deepStrictEqual(yield* read, Exit.succeed(1))
      })
    )
  })

  it.effect("a stored failure - ends when it stops being fresh", () => {
    const cached = Cached.swr(Effect.succeed(1) as Effect.Effect<number, number>, {
      key: "k",
      ttl: "10 seconds",
      stale: "1 minute",
      failures: { ttl: "1 second", schema: Schema.Number }
    })
    return onShelf({ isFailure: true }, () =>
      Effect.gen(function* () {
        yield* TestClock.adjust(9_999)
        deepStrictEqual(yield* Effect.exit(cached), Exit.fail(0))
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* cached, 1)
      })
    )
  })

  it.effect("a stored failure - gives way to setIfAbsent", () =>
    onShelf({ isFailure: true }, () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        assert.isTrue(yield* store.setIfAbsent("k", 7, { ttl: "1 minute" }))
        deepStrictEqual(yield* store.get("k"), Option.some(7))
      })
    )
  )

  it.effect("a stale end - ends being served as stale, and the entry answers for a load that fails", () =>
    onShelf({ staleUntil: 20_000 }, () =>
      Effect.gen(function* () {
        const { cached } = swr()
        assert.strictEqual(yield* cached, 0)
        yield* TestClock.adjust(19_999)
        deepStrictEqual(
          Option.map(yield* cached.entry, ({ expiresAt, state, staleUntil }) => [state, staleUntil, expiresAt]),
          Option.some(["stale", 20_000, 60_000])
        )
        yield* TestClock.adjust(1)
        deepStrictEqual(yield* cached.peek, Option.none())
        const failing = Cached.ttl(Effect.fail("down"), { key: "k", ttl: "10 seconds", retryAfter: 0 })
        assert.strictEqual(yield* failing, 0)
        assert.strictEqual(yield* cached, 1)
      })
    )
  )

  it.effect("an idle time - counts from the last read that is recorded, or from the creation", () =>
    Effect.gen(function* () {
      for (const [readAt, end] of [
        [undefined, 5_000],
        [4_000, 9_000],
        // the end of the entry bounds it
        [57_000, 60_000]
      ] as const) {
        yield* TestClock.setTime(0)
        yield* onShelf({ idle: 5_000, readAt }, () =>
          Effect.gen(function* () {
            const { cached } = swr()
            yield* TestClock.setTime(end - 1)
            deepStrictEqual(yield* cached.peek, Option.some(0))
            yield* TestClock.setTime(end)
            deepStrictEqual(yield* cached.peek, Option.none())
          })
        )
      }
    })
  )

  it.effect("an idle time - is not prolonged by a read where the backend cannot renew", () =>
    onShelf({ idle: 5_000 }, () =>
      Effect.gen(function* () {
        const { cached } = swr()
        yield* TestClock.adjust(4_999)
        assert.strictEqual(yield* cached, 0)
        yield* TestClock.adjust(1)
        deepStrictEqual(yield* cached.peek, Option.none())
        assert.strictEqual(yield* cached, 1)
      })
    )
  )

  it.effect("a second stamp and a checksum - change nothing for a reader", () =>
    onShelf({ stamp: 2, hasChecksum: true }, () =>
      Effect.gen(function* () {
        const { cached } = swr()
        deepStrictEqual(
          Option.map(yield* cached.entry, ({ expiresAt, freshUntil, value }) => [value, freshUntil, expiresAt]),
          Option.some([0, 10_000, 60_000])
        )
      })
    )
  )
})

/**
 * Entries of a later release in Redis: law 8 (invalidation wins) holds with them, because the scripts read the stamp of
 * an entry with an extension block as that of any other.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, layer } from "@effect/vitest"
import { Cause, Effect, Either, Exit, Fiber, Option } from "effect"
import { Cached, Entry, Envelope } from "../../../src/index.js"
import { msgpack } from "../../../src/MsgpackSerializer.js"
import { gated } from "../../laws/support.js"
import { awaitUntil, RedisServer } from "../../support/redis.js"
import { minute, single } from "../../support/redis-nodes.js"

/** The same entry with an extension. */
const extended = (bytes: Uint8Array, extension: Entry.Extension): Uint8Array => {
  const found = Either.getOrThrow(Envelope.v1.decode(bytes))
  if (found._tag !== "Entry") return assert.fail("is a tombstone")
  return Either.getOrThrow(Envelope.v1.encode(new Entry.Entry(found.entry.value, { ...found.entry, extension })))
}

const bytesOf = (bytes: Buffer | null): Buffer => bytes ?? assert.fail("is absent")

layer(RedisServer.layer)("an entry with an extension block", (it) => {
  it.scoped("reads and conditional writes - see it as an entry, and a stored failure as absent", () =>
    Effect.gen(function* () {
      const { store, there, written } = yield* single()
      yield* store.set("k", 1, minute)
      yield* written
      const bytes = bytesOf(yield* there.bytes("k"))
      yield* there.put("k", extended(bytes, { stamp: 1, hasChecksum: true }))
      deepStrictEqual(yield* store.get("k"), Option.some(1))
      assert.isFalse(yield* store.setIfAbsent("k", 2, minute))
      yield* there.put("k", extended(bytes, { isFailure: true }))
      deepStrictEqual(yield* store.get("k"), Option.none())
      assert.isTrue(yield* store.setIfAbsent("k", 2, minute))
      deepStrictEqual(yield* store.get("k"), Option.some(2))
    })
  )

  it.scoped("a load that began earlier - does not replace it", () =>
    Effect.gen(function* () {
      const { run, store, there, written } = yield* single()
      const { door, lookup } = gated()
      const load = yield* Effect.fork(run(Cached.ttl(lookup(), { key: "k", ttl: "1 minute" })))
      yield* door.reached
      yield* store.set("other", 0, minute)
      yield* written
      const later = extended(bytesOf(yield* there.bytes("other")), { isFailure: true })
      yield* there.put("k", later)
      yield* door.open
      assert.strictEqual(yield* Fiber.join(load), 1)
      yield* written
      yield* awaitUntil(
        Effect.map(there.bytes("k"), (bytes) => bytes?.equals(later) === true),
        "the entry is as it was"
      )
    })
  )

  it.scoped("the option checksum - puts a checksum into every entry, and damaged bytes are a miss", () =>
    Effect.gen(function* () {
      const { store, there, written } = yield* single({ checksum: true, serializer: msgpack })
      yield* store.set("k", Uint8Array.of(1, 2, 3), minute)
      assert.isTrue(yield* store.setIfAbsent("j", 1, minute))
      yield* written
      for (const key of ["k", "j"]) {
        const bytes = Buffer.from(bytesOf(yield* there.bytes(key)))
        assert.isTrue(Option.isSome(yield* store.get(key)))
        bytes.writeUInt8(bytes.at(-1)! ^ 1, bytes.length - 1)
        yield* there.put(key, bytes)
        deepStrictEqual(yield* store.get(key), Option.none())
      }
      assert.strictEqual((yield* store.stats).decodeFailures, 2)
    })
  )

  it.scoped("the option checksum - with an envelope that has no place for one is InvalidOption", () =>
    Effect.gen(function* () {
      const built = yield* Effect.exit(single({ checksum: true, envelope: Envelope.advancedCaching }))
      assert.include(String(built), "checksum")
      assert.isTrue(Exit.isFailure(built) && Cause.isDie(built.cause))
    })
  )
})

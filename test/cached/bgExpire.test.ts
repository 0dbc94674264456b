/**
 * `expire` where a background loader or a mirror has the value: the loader runs at once, and nobody loses the value
 * meanwhile.
 */
import { deepStrictEqual } from "node:assert/strict"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Duration, Effect, Exit, Option, Scope, TestClock } from "effect"
import { Entry } from "../../src/Entry.js"
import * as FileCache from "../../src/FileCache.js"
import { Cached, CacheStore } from "../../src/index.js"
import { becomes, begun, gate, makeLookup, numbered, settled, until } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { hybrid, minute, type Node, node } from "../support/redis-nodes.js"
import { every, on } from "./support.js"

const some = Option.some

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-expire-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** A loader whose calls after the first one wait. */
const waiting = () => {
  const door = gate()
  return { door, ...numbered((call) => (call === 1 ? Effect.succeed(call) : Effect.as(door.pass, call))) }
}

describe("expire, of a background loader", () => {
  const members: ReadonlyArray<
    readonly [string, (flags: Cached.CachedEffect<number>) => Effect.Effect<void, never, CacheStore>]
  > = [
    ["the member", (flags) => flags.expire],
    ["the store's expire", (flags) => Effect.flatMap(CacheStore, (store) => store.expire(flags.key))]
  ]
  for (const [what, expire] of members) {
    it.scoped(`${what} - the daemon loads at once, and the reader keeps the value meanwhile`, () => {
      const { calls, door, lookup } = waiting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          yield* becomes(flags.peek, some(1))
          yield* TestClock.adjust("10 seconds")
          yield* expire(flags)
          yield* begun(calls, 2)
          assert.strictEqual(yield* flags, 1)
          yield* door.open
          yield* becomes(flags.peek, some(2))
          assert.strictEqual(calls.length, 2)
          yield* TestClock.adjust("49999 millis")
          yield* settled
          assert.strictEqual(calls.length, 2)
          yield* TestClock.adjust("1 millis")
          yield* begun(calls, 3)
        })
      )
    })
  }

  it.scoped(
    "of everything - the reader keeps the value until the daemon has loaded, also when memory frees the dead",
    () => {
      const { calls, door, lookup } = waiting()
      return on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          const scope = yield* Scope.make()
          const flags = yield* Scope.extend(Cached.bg(lookup(), every), scope)
          yield* becomes(flags.peek, some(1))
          yield* TestClock.adjust("10 seconds")
          yield* store.expireAll
          yield* begun(calls, 2)
          assert.strictEqual(yield* flags, 1)
          // each write checks entries near its own
          for (let i = 0; i < 100; i++) yield* store.set(`other:${i}`, i, minute)
          assert.strictEqual(yield* flags, 1)
          deepStrictEqual(yield* store.sweep, { seen: 101, removed: 0 })
          assert.strictEqual(yield* flags, 1)
          yield* Scope.close(scope, Exit.void)
          deepStrictEqual(yield* store.sweep, { seen: 101, removed: 1 })
          yield* door.open
        })
      )
    }
  )

  it.scoped("law 8: invalidation wins - a run that began before stores nothing", () => {
    const doors = [gate(), gate(), gate()]
    const { calls, lookup } = numbered((call) => Effect.as(doors[call - 1]!.pass, call))
    return on(
      Effect.gen(function* () {
        const flags = yield* Cached.bg(lookup(), every)
        yield* doors[0]!.reached
        yield* flags.expire
        yield* doors[1]!.reached
        // the run that it started is too old for a second one as well
        yield* flags.expire
        yield* doors[2]!.reached
        yield* doors[0]!.open
        yield* doors[1]!.open
        yield* settled
        deepStrictEqual(yield* flags.peek, Option.none())
        yield* doors[2]!.open
        assert.strictEqual(yield* flags, 3)
        assert.strictEqual(calls.length, 3)
      })
    )
  })

  it.scoped("a load that fails - the reader keeps the value to its end, and onError gets the failure", () => {
    const causes: Array<unknown> = []
    const { lookup } = numbered((call) => (call === 2 ? Effect.fail("down") : Effect.succeed(call)))
    return on(
      Effect.gen(function* () {
        const onError = (cause: unknown) => Effect.sync(() => causes.push(cause))
        const flags = yield* Cached.bg(lookup(), { ...every, onError })
        yield* becomes(flags.peek, some(1))
        yield* flags.expire
        yield* until(() => causes.length === 1, "the load failed")
        assert.strictEqual(yield* flags, 1)
      })
    )
  })

  it.scoped("a function - the daemon of the key loads; a key without a daemon is removed", () => {
    const { calls, lookup } = makeLookup((tenant: string) => Effect.succeed(tenant))
    return on(
      Effect.gen(function* () {
        const flags = yield* Cached.bg(lookup, { key: "flags:{}", interval: "1 minute" })
        yield* flags("a")
        yield* settled
        yield* flags.set("b")("set")
        yield* flags.expire("a")
        yield* flags.expire("b")
        yield* begun(calls, 2)
        yield* settled
        deepStrictEqual(calls, [["a"], ["a"]])
        deepStrictEqual([yield* flags.peek("a"), yield* flags.peek("b")], [some("a"), Option.none()])
      })
    )
  })

  it.scoped("a loader that has ended - the value is removed", () =>
    on(
      Effect.gen(function* () {
        const flags = yield* Effect.scoped(Effect.tap(Cached.bg(Effect.succeed(1), every), (flags) => flags))
        deepStrictEqual(yield* flags.peek, some(1))
        yield* flags.expire
        deepStrictEqual(yield* flags.peek, Option.none())
      })
    )
  )
})

describe("expire, of what a mirror has", () => {
  it.scoped("in memory - it keeps the value to its end, and loses what is removed", () =>
    on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        const flags = yield* Cached.bgRead<number>({ key: "k" })
        for (const lifetime of [minute, { ttl: "30 seconds", stale: "30 seconds" }] as const) {
          yield* store.set("k", 1, lifetime)
          yield* TestClock.adjust("10 seconds")
          yield* store.expire("k")
          yield* TestClock.adjust("49999 millis")
          deepStrictEqual(yield* flags, some(1))
          yield* TestClock.adjust("1 millis")
          deepStrictEqual(yield* flags, Option.none())
        }
        yield* store.set("k", 2, minute)
        yield* store.expire("k")
        yield* store.remove("k")
        deepStrictEqual(yield* flags, Option.none())
      })
    )
  )

  layer(RedisServer.layer)("on a real Redis", (it) => {
    const nodes = (prefix: string) => Effect.all([node({ prefix }), node({ prefix }), node({ prefix })])

    for (const [who, of] of [
      ["the writer", (writer: Node) => writer],
      ["the reader", (_: Node, reader: Node) => reader],
      ["another process", (_: Node, __: Node, other: Node) => other]
    ] as const) {
      it.scoped(`by ${who} - the writer loads at once, and the mirror keeps the value meanwhile`, () => {
        const { calls, door, lookup } = waiting()
        return Effect.gen(function* () {
          const [writer, reader, other] = yield* nodes(yield* freshPrefix)
          yield* writer.run(Cached.bgWrite(lookup(), { ...every, leader: { lease: "10 seconds" } }))
          const flags = yield* reader.run(Cached.bgRead<number>({ key: "k", interval: Duration.infinity }))
          yield* becomes(flags, some(1))
          yield* of(writer, reader, other).store.expire("k")
          yield* begun(calls, 2)
          deepStrictEqual(yield* flags, some(1))
          yield* door.open
          yield* becomes(flags, some(2))
        })
      })
    }

    it.scoped("by another process - the reader of a background loader keeps the value meanwhile", () => {
      const { calls, door, lookup } = waiting()
      return Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const a = yield* hybrid({ l2: { prefix } })
        const b = yield* node({ prefix })
        const flags = yield* a.run(Cached.bg(lookup(), every))
        yield* becomes(b.store.get("k"), some(1))
        yield* b.store.expire("k")
        deepStrictEqual(yield* b.store.get("k"), Option.none())
        yield* begun(calls, 2)
        assert.strictEqual(yield* flags, 1)
        yield* door.open
        yield* becomes(flags, 2)
        assert.strictEqual(calls.length, 2)
      })
    })

    it.scoped("a value without an end, and one that has expired - are absent", () =>
      Effect.gen(function* () {
        const { store } = yield* node({ prefix: yield* freshPrefix })
        yield* store.set("forever", 1, { ttl: Duration.infinity })
        yield* store.set("old", 1, { ttl: "1 second" })
        yield* TestClock.adjust("2 seconds")
        for (const key of ["forever", "old"]) {
          yield* store.expire(key)
          deepStrictEqual([yield* store.get(key), yield* store.entry(key)], [Option.none(), Option.none()])
          assert.isTrue(yield* store.setIfAbsent(key, 2, minute))
        }
      })
    )
  })

  it.scoped("in files - it stays as an entry that has expired, for the mirrors of other processes", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const store = yield* FileCache.make({ directory })
      const other = yield* FileCache.backend({ directory })
      yield* store.set("k", 1, minute)
      yield* store.expire("k")
      deepStrictEqual(yield* store.get("k"), Option.none())
      const { found, tombstones } = yield* other.getMany([{ key: "k", now: 0 }])
      const [entry] = found
      assert.instanceOf(entry, Entry)
      deepStrictEqual([entry.value, entry.freshUntil, entry.expiresAt, tombstones?.[0]], [1, 0, 0, undefined])
    }).pipe(Effect.provide(NodeContext.layer))
  )
})

/** Lookups that get the previous value and may answer that it still holds. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Option, TestClock } from "effect"
import { Cached, CacheStore, MemoryCacheLive } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import { RedisServer } from "../support/redis.js"
import { hybrid, nodeOf, pair, same, single } from "../support/redis-nodes.js"

const ttl = { ttl: "10 seconds" } as const

/** A source whose value is a version. It answers that the previous one still holds until `change`. */
const source = () => {
  let version = 1
  const seen: Array<number | undefined> = []
  return {
    change: () => version++,
    /** The previous value of each load. */
    seen,
    lookup: Cached.conditional((previous: Option.Option<number>, _: string) =>
      Effect.sync(() => {
        seen.push(Option.getOrUndefined(previous))
        return Option.contains(previous, version) ? Cached.notModified : version
      })
    )
  }
}

describe("conditional", () => {
  it.effect("ttl - an expired value in memory is the previous one, and is renewed", () =>
    Effect.gen(function* () {
      const { change, lookup, seen } = source()
      const find = Cached.ttl(lookup, { key: "k:{}", ...ttl })
      for (const _ of ["loaded", "renewed"]) {
        assert.strictEqual(yield* find("a"), 1)
        yield* TestClock.adjust("9999 millis")
        assert.strictEqual(yield* find("a"), 1)
        yield* TestClock.adjust("1 millis")
      }
      change()
      assert.strictEqual(yield* find("a"), 2)
      assert.deepStrictEqual(seen, [undefined, 1, 1])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("a value that is renewed - is the value of before, and not a copy", () =>
    Effect.gen(function* () {
      const value = { large: true }
      const find = Cached.ttl(
        Cached.conditional((previous: Option.Option<typeof value>) =>
          Effect.succeed(Option.isSome(previous) ? Cached.notModified : value)
        ),
        { key: "k", ...ttl }
      )
      yield* find()
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* find(), value)
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("swr - the refresh gets the stale value", () =>
    Effect.gen(function* () {
      const { lookup, seen } = source()
      const find = Cached.swr(lookup, { key: "k:{}", ...ttl, stale: "10 seconds" })
      yield* find("a")
      yield* TestClock.adjust("15 seconds")
      yield* find("a")
      yield* Effect.yieldNow()
      assert.deepStrictEqual(seen, [undefined, 1])
      // fresh again, from the end of the refresh
      yield* TestClock.adjust("9 seconds")
      yield* find("a")
      assert.deepStrictEqual(seen, [undefined, 1])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("refresh and reload - get the value that is stored", () =>
    Effect.gen(function* () {
      const { lookup, seen } = source()
      const find = Cached.ttl(lookup, { key: "k:{}", ...ttl })
      yield* find("a")
      assert.strictEqual(yield* find.refresh("a"), 1)
      assert.strictEqual(yield* Cached.reload(find("a")), 1)
      assert.deepStrictEqual(seen, [undefined, 1, 1])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  const without: Readonly<
    Record<
      string,
      (
        find: Cached.CachedFunction<[string], number, never, CacheStore, CacheStore>
      ) => Effect.Effect<unknown, never, CacheStore>
    >
  > = {
    invalidate: (find) => find.invalidate("a"),
    clear: (find) => find.clear,
    "a tag": () => Cached.invalidateTags(["t"]),
    "clear of the store": () => Effect.flatMap(CacheStore, (store) => store.clear)
  }
  for (const [what, act] of Object.entries(without)) {
    it.effect(`after ${what} - there is no previous value`, () =>
      Effect.gen(function* () {
        const { lookup, seen } = source()
        const find = Cached.ttl(lookup, { key: "k:{}", ...ttl, tags: ["t"] })
        yield* find("a")
        yield* act(find)
        yield* find("a")
        assert.deepStrictEqual(seen, [undefined, undefined])
      }).pipe(Effect.provide(MemoryCacheLive))
    )
  }

  it.effect("after expire - there is one", () =>
    Effect.gen(function* () {
      const { lookup, seen } = source()
      const find = Cached.ttl(lookup, { key: "k:{}", ...ttl, staleIfError: "1 minute" })
      yield* find("a")
      yield* find.expire("a")
      yield* find("a")
      assert.deepStrictEqual(seen, [undefined, 1])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("after expire - there is one where the value may not be served, too, and nobody else sees it", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      const { lookup, seen } = source()
      const find = Cached.ttl(lookup, { key: "k:{}", ...ttl })
      yield* find("a")
      yield* find.expire("a")
      assert.deepStrictEqual([yield* find.peek("a"), yield* find.entry("a")], [Option.none(), Option.none()])
      assert.deepStrictEqual([yield* store.get("k:a"), yield* store.has("k:a")], [Option.none(), false])
      yield* find("a")
      assert.deepStrictEqual(seen, [undefined, 1])
      yield* find.expire("a")
      yield* find.invalidate("a")
      yield* find("a")
      assert.deepStrictEqual(seen, [undefined, 1, undefined])
      yield* find.expire("a")
      assert.isTrue(yield* store.setIfAbsent("k:a", 2, { ttl: "1 minute" }))
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("ttl, stale and tags - are computed anew", () =>
    Effect.gen(function* () {
      const { lookup } = source()
      let seconds = 10
      let tag = "first"
      const find = Cached.ttl(lookup, { key: "k:{}", ttl: () => Duration.seconds(seconds), tags: () => [tag] })
      yield* find("a")
      yield* TestClock.adjust("10 seconds")
      seconds = 20
      tag = "second"
      yield* find("a")
      const entry = Option.getOrThrow(yield* find.entry("a"))
      assert.strictEqual(entry.freshUntil - entry.createdAt, 20_000)
      yield* Cached.invalidateTags(["first"])
      assert.isTrue(Option.isSome(yield* find.peek("a")))
      yield* Cached.invalidateTags(["second"])
      assert.isTrue(Option.isNone(yield* find.peek("a")))
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("bypass, and another call inside a load - have no previous value", () =>
    Effect.gen(function* () {
      const { lookup, seen } = source()
      const find = Cached.ttl(lookup, { key: "k:{}", ...ttl })
      yield* find("a")
      yield* Cached.bypass(find("a"))
      const outer = Cached.ttl((id: string) => lookup(id), { key: "outer:{}", ...ttl })
      yield* outer("a")
      yield* TestClock.adjust("10 seconds")
      yield* outer("a")
      assert.deepStrictEqual(seen, [undefined, undefined, undefined, undefined])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("the same lookup for other arguments inside its load - has no previous value", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const lookup: (id: string) => Effect.Effect<string> = Cached.conditional(
        (previous: Option.Option<string>, id: string) =>
          Effect.gen(function* () {
            seen.push(`${id}: ${Option.getOrElse(previous, () => "none")}`)
            return id === "a" ? `a, ${yield* lookup("b")}` : id
          })
      )
      const find = Cached.ttl(lookup, { key: "k:{}", ...ttl })
      yield* find("a")
      yield* TestClock.adjust("10 seconds")
      yield* find("a")
      assert.deepStrictEqual(seen, ["a: none", "b: none", "a: a, b", "b: none"])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("notModified without a previous value - is a defect, and is not stored", () =>
    Effect.gen(function* () {
      const find = Cached.ttl(
        Cached.conditional((_: Option.Option<number>) => Effect.succeed(Cached.notModified)),
        { key: "k", ...ttl }
      )
      const exit = yield* Effect.exit(find())
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("it had no previous value"))
      assert.isTrue(Option.isNone(yield* find.peek()))
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.scoped("bg - each run gets the value of the run before", () =>
    Effect.gen(function* () {
      const { lookup, seen } = source()
      const find = yield* Cached.bg(lookup, { key: "k:{}", interval: "1 second" })
      yield* find("a")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(seen, [undefined, 1, 1])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("a template that leaves an argument out - counts the arguments after the previous value", () =>
    Effect.gen(function* () {
      const lookup = Cached.conditional((_: Option.Option<number>, a: number, b: number) => Effect.succeed(a + b))
      assert.strictEqual(lookup.length, 2)
      const find = Cached.ttl(lookup, { key: "k:{}" as string as "k:{}:{}", name: "sum", ...ttl })
      const exit = yield* Effect.exit(find(1, 2))
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("argument 1"))
    }).pipe(Effect.provide(MemoryCacheLive))
  )
})

describe("conditional, files", () => {
  it.scopedLive("an expired value that is still on disk - is the previous one", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-conditional-"))),
        (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
      )
      const { run, written } = nodeOf(yield* FileCache.make({ directory }))
      const { lookup, seen } = source()
      const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 second" })
      yield* run(find("a"))
      yield* written
      yield* Effect.sleep("1010 millis")
      same(yield* run(find("a")), 1)
      same(seen, [undefined, 1])
    }).pipe(Effect.provide(NodeContext.layer))
  )
})

layer(RedisServer.layer)("conditional, Redis", (it) => {
  it.scoped("two processes - a refresh gets the value that the other has stored, and renews it for both", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      const { lookup, seen } = source()
      const find = Cached.ttl(lookup, { key: "k:{}", ...ttl })
      yield* a.run(find("a"))
      yield* a.written
      yield* TestClock.adjust("8 seconds")
      same(yield* b.run(find.refresh("a")), 1)
      yield* b.written
      yield* TestClock.adjust("8 seconds")
      same(yield* a.run(find("a")), 1)
      same(seen, [undefined, 1])
    })
  )

  it.scoped("memory in front - a copy in memory is the previous value", () =>
    Effect.gen(function* () {
      const a = yield* hybrid()
      const { lookup, seen } = source()
      const find = Cached.swr(lookup, { key: "h:{}", ...ttl, stale: "1 minute" })
      yield* a.run(find("a"))
      yield* a.written
      yield* TestClock.adjust("15 seconds")
      yield* a.run(find("a"))
      yield* a.written
      same(seen, [undefined, 1])
    })
  )

  it.scoped("a value that Redis has lost meanwhile - is written in full", () =>
    Effect.gen(function* () {
      const { run, there, written } = yield* single()
      const gate = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      const { client } = yield* RedisServer
      let loads = 0
      const find = Cached.ttl(
        Cached.conditional((previous: Option.Option<string>) =>
          loads++ === 0
            ? Effect.succeed("value")
            : Deferred.succeed(begun, undefined).pipe(
                Effect.zipRight(Deferred.await(gate)),
                Effect.as(Option.isSome(previous) ? Cached.notModified : "other")
              )
        ),
        { key: "k", ...ttl }
      )
      yield* run(find())
      yield* written
      const refreshing = yield* Effect.fork(run(find.refresh()))
      yield* Deferred.await(begun)
      yield* Effect.promise(() => client.del(`${there.prefix}k`))
      yield* Deferred.succeed(gate, undefined)
      same(yield* refreshing, "value")
      yield* written
      same(yield* run(find.peek()), Option.some("value"))
    })
  )

  it.scoped("law 8: invalidation wins - what another process sets meanwhile is left alone", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      const gate = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      let loads = 0
      const find = Cached.ttl(
        Cached.conditional((_: Option.Option<string>) =>
          loads++ === 0
            ? Effect.succeed("old")
            : Deferred.succeed(begun, undefined).pipe(
                Effect.zipRight(Deferred.await(gate)),
                Effect.as(Cached.notModified)
              )
        ),
        { key: "k", ...ttl }
      )
      yield* a.run(find())
      yield* a.written
      const refreshing = yield* Effect.fork(a.run(find.refresh()))
      yield* Deferred.await(begun)
      yield* b.run(find.set()("new"))
      yield* Deferred.succeed(gate, undefined)
      same(yield* refreshing, "old")
      yield* a.written
      for (const each of [a, b]) same(yield* each.run(find.peek()), Option.some("new"))
    })
  )
})

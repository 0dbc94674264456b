/**
 * Keys of a store in Redis that a foreign writer has changed: no stamp from the future or from garbage ends caching.
 */
import { describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Cached, Envelope } from "effect-cached"
import type { Redis } from "ioredis"
import { awaitUntil, freshPrefix, RedisServer } from "../../support/redis.js"
import { hybrid, minute, type Node, node, realNow, same } from "../../support/redis-nodes.js"

const day = 86_400_000

const users = () => {
  const calls: Array<number> = []
  const user = Cached.ttl((id: number) => Effect.sync(() => calls.push(id)), { key: "user:{}", tags: ["t"], ...minute })
  /** How many loads three reads of a key take. */
  const loads = (of: Node, id: number) =>
    Effect.gen(function* () {
      const before = calls.length
      for (let i = 0; i < 3; i++) {
        yield* of.run(user(id))
        yield* of.written
      }
      return calls.length - before
    })
  return { user, loads }
}

/** The next key that nothing was stored under. Mutable by design. */
let nextId = 1_000

/** Whether a process caches: new keys, and again after its tag was invalidated and after `clear`. */
const caches = (of: Node, what: string) =>
  Effect.gen(function* () {
    const { loads } = users()
    const id = nextId++
    const first = yield* loads(of, id)
    yield* of.run(Cached.invalidateTags(["t"]))
    const afterTag = yield* loads(of, id)
    yield* of.store.clear
    same([first, afterTag, yield* loads(of, id)], [1, 1, 1], what)
  })

type Spoil = (client: Redis, prefix: string) => Promise<unknown>

const mark =
  (name: string, stamp: string | undefined): Spoil =>
  async (client, prefix) => {
    await client.zadd(`${prefix}!{marks}:versions`, (realNow() + 1_000) * 1024, name)
    if (stamp === undefined) await client.hdel(`${prefix}!{marks}:stamps`, name)
    else await client.hset(`${prefix}!{marks}:stamps`, name, stamp)
  }

const head =
  (text: string): Spoil =>
  (client, prefix) =>
    client.set(`${prefix}!{marks}:head`, text)

const count =
  (text: string): Spoil =>
  (client, prefix) =>
    client.set(`${prefix}!{marks}:count`, text)

const asList =
  (name: string): Spoil =>
  async (client, prefix) => {
    await client.del(`${prefix}!{marks}:${name}`)
    await client.rpush(`${prefix}!{marks}:${name}`, "x")
  }

const spoils: Readonly<Record<string, Spoil>> = {
  "head: text": head("hello"),
  "head: infinite": head("inf 1 1"),
  "head: NaN": head("nan nan nan"),
  "head: lost in the future": head("1 1 1e300"),
  "head: list": asList("head"),
  "versions: list": asList("versions"),
  "stamps: list": asList("stamps"),
  "buckets: list": asList("buckets"),
  "version: infinite": async (client, prefix) => client.zadd(`${prefix}!{marks}:versions`, "+inf", "t:t"),
  "mark of the tag: text": mark("t:t", "hello"),
  "mark of the tag: missing": mark("t:t", undefined),
  "mark of the tag: NaN": mark("t:t", "nan"),
  "mark of the tag: infinite": mark("t:t", "inf"),
  "mark of the tag: 1e300": mark("t:t", "1e300"),
  "mark of the tag: a day ahead": mark("t:t", String(realNow() + day)),
  "mark of the function: 1e300": mark("f:user:{}", "1e300"),
  "mark of another tag: 1e300": mark("t:other", "1e300"),
  "count: text": count("hello"),
  "count: infinite": count("inf inf inf"),
  "count: NaN": count("nan nan nan"),
  "count: negative": count("-5 -5 -5"),
  "count: beyond all": count("1e300 1e300 1e300"),
  "count: two numbers": count("1 1"),
  "count: list": asList("count"),
  "count: gone back": count("7 7 7"),
  "count: centuries ahead": count("8000000000000 8000000000000 8000000000000")
}

const spoiled = (spoil: Spoil, prefix: string) =>
  Effect.flatMap(RedisServer, ({ client }) => Effect.promise(() => spoil(client, prefix)))

const names = (of: Node) =>
  Effect.map(of.store.health, ({ problems }) =>
    problems.map(({ name }) => name).filter((name) => name !== "BuiltTooOften")
  )

describe("RedisCache, keys of strangers", () => {
  layer(RedisServer.layer)("on a real Redis", (it) => {
    it.scoped("a value that takes longer to transfer than the timeout - is read once, and then overwritten", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const { client } = yield* RedisServer
        const of = yield* node({ prefix, timeout: "50 millis" })
        const { user } = users()
        yield* of.run(user(1))
        yield* of.written
        const length = () => client.strlen(`${prefix}user:1`)
        yield* Effect.promise(() => client.setrange(`${prefix}user:1`, 400_000_000, "x"))
        yield* awaitUntil(
          Effect.zipRight(
            of.run(user(1)),
            Effect.map(Effect.promise(length), (length) => length < 1_000)
          ),
          "the load overwrites it"
        )
        same((yield* of.store.health).problems.filter(({ name }) => name === "EntryUnreadable").length, 1)
      })
    )

    for (const [what, spoil] of Object.entries(spoils)) {
      it.scoped(`bookkeeping, ${what} - every process goes on to cache, and so does a new one`, () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const known = yield* node({ prefix })
          const { user } = users()
          yield* known.run(user(1))
          yield* known.written
          // a mark that exists, so that a broken head is one
          yield* known.run(Cached.invalidateTags(["existing"]))
          yield* spoiled(spoil, prefix)
          const fresh = yield* node({ prefix })
          yield* caches(fresh, "a process that connects")
          yield* caches(known, "a process that was there")
          same((yield* known.store.health).status, "up")
          yield* caches(yield* node({ prefix }), "a later process")
        })
      )
    }

    it.scoped("marks - with a stamp from the future count as raised now, which is a problem by name", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const a = yield* node({ prefix })
        const { loads } = users()
        same(yield* loads(a, 1), 1)
        yield* spoiled(mark("t:t", "1e300"), prefix)
        const b = yield* node({ prefix })
        same(yield* loads(b, 1), 1, "what was written before may have been invalidated")
        same(yield* loads(a, 1), 0, "what was written after is valid for all")
        same(yield* names(b), ["MarksRepaired"])
      })
    )

    for (const [what, keep] of [
      ["marks", "redis.call('ZADD', KEYS[1], i, name); redis.call('HSET', KEYS[2], name, i)"],
      ["buckets", "redis.call('HSET', KEYS[3], name, i); redis.call('HSET', KEYS[3], '#', '1e15')"]
    ] as const) {
      it.scoped(`${what} with names of megabytes - are removed, and a process that starts connects and caches`, () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          const prefix = yield* freshPrefix
          const first = yield* node({ prefix })
          yield* first.run(Cached.invalidateTags(["existing", "x".repeat(65_535)]))
          const keys = ["versions", "stamps", "buckets"].map((name) => `${prefix}!{marks}:${name}`)
          const fill = `for i = 1, 60 do local name = 't:' .. i .. string.rep('y', 3000000); ${keep} end`
          yield* Effect.promise(() => client.eval(fill, keys.length, ...keys))
          const later = yield* node({ prefix, timeout: "300 millis" })
          yield* awaitUntil(
            Effect.map(later.store.health, ({ status }) => status === "up"),
            "it is connected"
          )
          yield* caches(later, "a process that connects")
          same(yield* names(later), ["MarksRepaired"])
          const counts = yield* Effect.promise(() => Promise.all([client.zcard(keys[0]!), client.hlen(keys[1]!)]))
          same(
            counts.map((count) => count < 10),
            [true, true]
          )
          const buckets = yield* Effect.promise(() => client.hkeys(keys[2]!))
          same(
            buckets.filter((name) => name.length > 8),
            []
          )
        })
      )
    }

    it.scoped("many marks with versions above the head - do not keep a process from connecting", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        const prefix = yield* freshPrefix
        const first = yield* node({ prefix })
        yield* first.run(Cached.invalidateTags(["existing"]))
        const keys = ["versions", "stamps"].map((name) => `${prefix}!{marks}:${name}`)
        const fill =
          "for i = 1, 20000 do redis.call('ZADD', KEYS[1], '+inf', 't:' .. i); redis.call('HSET', KEYS[2], 't:' .. i, i) end"
        yield* Effect.promise(() => client.eval(fill, keys.length, ...keys))
        const later = yield* node({ prefix })
        yield* awaitUntil(
          Effect.map(later.store.health, ({ status }) => status === "up"),
          "it is connected"
        )
        yield* caches(later, "a process that connects")
      })
    )

    it.scoped("a count - that is no count is not taken over", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        const prefix = yield* freshPrefix
        const a = yield* node({ prefix })
        const { loads } = users()
        yield* spoiled(count("1e300 1e300 1e300"), prefix)
        yield* loads(a, 1)
        yield* a.store.clear
        const [now] = (yield* Effect.promise(() => client.get(`${prefix}!{marks}:count`)))!.split(" ").map(Number)
        same(now! < realNow() + day, true)
      })
    )

    for (const [kind, open] of [
      ["plain", (prefix: string) => node({ prefix })],
      ["hybrid", (prefix: string) => hybrid({ l2: { prefix } })]
    ] as const) {
      for (const [when, stamp] of [
        ["a day ahead", () => realNow() + day],
        ["beyond all", () => 1e300],
        ["infinite", () => Number.POSITIVE_INFINITY],
        ["NaN", () => Number.NaN],
        ["negative", () => -1e300]
      ] as const) {
        it.scoped(`an entry and a tombstone, ${when}, ${kind} - are misses, and are overwritten`, () =>
          Effect.gen(function* () {
            const { client } = yield* RedisServer
            const prefix = yield* freshPrefix
            const writer = yield* node({ prefix })
            const { loads, user } = users()
            yield* writer.run(user(1))
            yield* writer.written
            const bytes = (yield* Effect.promise(() => client.getBuffer(`${prefix}user:1`)))!
            bytes.writeDoubleBE(stamp(), 4)
            yield* Effect.promise(() => client.set(`${prefix}user:1`, bytes))
            yield* Effect.promise(() => client.set(`${prefix}user:2`, Buffer.from(Envelope.tombstone(stamp()))))
            const reader = yield* open(prefix)
            same([yield* loads(reader, 1), yield* loads(reader, 2)], [1, 1])
            // the loads have replaced them for everybody
            const next = yield* open(prefix)
            same([yield* loads(next, 1), yield* loads(next, 2)], [0, 0])
            yield* caches(reader, "the reader")
          })
        )
      }
    }

    it.scoped("an entry from the future - is out of reach of no clear and no tag, and is a problem by name", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        const prefix = yield* freshPrefix
        const a = yield* node({ prefix })
        yield* a.store.set("k", "v", { ...minute, tags: ["t"] })
        const bytes = (yield* Effect.promise(() => client.getBuffer(`${prefix}k`)))!
        bytes.writeDoubleBE(realNow() + 3_600_000, 4)
        yield* Effect.promise(() => client.set(`${prefix}k`, bytes))
        const b = yield* node({ prefix })
        yield* b.store.tags.invalidate(["t"])
        yield* b.store.clear
        same((yield* b.store.get("k"))._tag, "None")
        same(yield* names(b), ["EntryUnreadable"])
      })
    )

    for (const [what, put] of [
      ["without an end", (client: Redis, key: string) => client.set(key, "x")],
      ["for years", (client: Redis, key: string) => client.set(key, "x", "EX", 100_000_000)],
      ["that is a list", (client: Redis, key: string) => client.rpush(key, "x")]
    ] as const) {
      it.scoped(`a lock ${what} - is taken over`, () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          const prefix = yield* freshPrefix
          const a = yield* node({ prefix })
          yield* Effect.promise(() => Promise.resolve(put(client, `${prefix}!llocked`)))
          let calls = 0
          const locked = Cached.ttl(
            Effect.sync(() => ++calls),
            { key: "locked", lock: { lease: "5 seconds" }, ...minute }
          )
          yield* a.run(locked)
          same(calls, 1)
          yield* awaitUntil(
            Effect.map(
              Effect.promise(() => client.exists(`${prefix}!llocked`)),
              (there) => there === 0
            ),
            "it is given back"
          )
        })
      )
    }
  })
})

import { readFileSync } from "node:fs"
import { assert, describe, layer } from "@effect/vitest"
import { Clock, Effect, Either, Fiber, Layer, Option, TestClock } from "effect"
import { Cached, CacheStore, Envelope, Serializer } from "effect-cached"
import { Entry } from "../../../src/Entry.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { begun, counting, gate, makeLookup, recordWarnings } from "../../laws/support.js"
import { awaitUntil, freshPrefix, live, RedisServer } from "../../support/redis.js"
import { hybrid, minute, node, nodeOf, raw, realNow, same } from "../../support/redis-nodes.js"

/** The options that both sides use. */
const python = { envelope: Envelope.advancedCaching, serializer: Serializer.json } as const

/** The bytes that Python writes. Its times are seconds, these are milliseconds. */
const written = (freshUntil: number, createdAt: number, json: string): Buffer => {
  const bytes = Buffer.alloc(16 + Buffer.byteLength(json))
  bytes.writeDoubleBE(freshUntil / 1_000, 0)
  bytes.writeDoubleBE(createdAt / 1_000, 8)
  bytes.write(json, 16)
  return bytes
}

/** The date of the vectors, to which the TestClock is set. */
const start = 1_893_456_000_000
const second = 1_000

const single = Effect.gen(function* () {
  yield* TestClock.setTime(start)
  const prefix = yield* freshPrefix
  return { prefix, ...(yield* node({ prefix, ...python })), there: yield* raw(prefix) }
})

const vectors: ReadonlyArray<{
  readonly name: string
  readonly serializer: string
  readonly value: unknown
  readonly hex: string
  readonly gzip?: boolean
}> = JSON.parse(readFileSync(new URL("../../vectors/advanced-caching.json", import.meta.url), "utf8")).vectors

const entryAt = (key: string, state: "fresh" | "stale") =>
  written(state === "fresh" ? start + 60 * second : start - 10 * second, start - 60 * second, JSON.stringify(key))

describe("RedisCache, with the envelope of advanced-caching", () => {
  layer(RedisServer.layer)("on a real Redis", (it) => {
    describe("reads", () => {
      it.scoped("an entry of Python - is read by a function and by the store", () =>
        Effect.gen(function* () {
          const { run, store, there } = yield* single
          const { calls, lookup } = makeLookup((_: string) => Effect.succeed<unknown>("loaded"))
          const find = Cached.ttl(lookup, { key: "py:{}", ...minute })
          for (const { gzip, hex, name, serializer, value } of vectors) {
            if (serializer !== "json" || gzip) continue
            yield* there.put(`py:${name}`, Buffer.from(hex, "hex"))
            same(yield* run(find(name)), value, name)
            same(yield* store.get(`py:${name}`), Option.some(value), name)
          }
          same(calls.length, 0)
          same((yield* store.stats).decodeFailures, 0)
        })
      )

      it.scoped("an entry from before the first store connected - is valid", () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const there = yield* raw(prefix)
          yield* there.put("k", written(realNow() + 60_000, realNow() - 3_600_000, "1"))
          yield* TestClock.setTime(realNow())
          const { store } = yield* node({ prefix, ...python })
          same(yield* store.get("k"), Option.some(1))
        })
      )

      it.scoped("freshness - ends at ttl, and staleness at the end of the reader's own window", () =>
        Effect.gen(function* () {
          const { run, there, written: done } = yield* single
          for (const key of ["ttl", "swr"]) yield* there.put(key, written(start + 60 * second, start, '"python"'))
          const ttl = Cached.ttl(Effect.succeed("loaded"), { key: "ttl", ...minute })
          const swr = Cached.swr(Effect.succeed("loaded"), { key: "swr", ...minute, stale: "30 seconds" })
          yield* TestClock.setTime(start + 60 * second - 1)
          same([yield* run(ttl), yield* run(swr)], ["python", "python"])
          const view = Option.getOrThrow(yield* run(swr.entry))
          same(
            [view.state, view.createdAt - start, view.freshUntil - start, view.expiresAt - start],
            ["fresh", 0, 60 * second, 90 * second]
          )
          yield* TestClock.setTime(start + 60 * second)
          same([yield* run(ttl.peek), yield* run(swr.peek)], [Option.none(), Option.some("python")])
          same([yield* run(ttl), yield* run(swr)], ["loaded", "python"])
          yield* done
          yield* awaitUntil(
            Effect.map(run(swr), (value) => value === "loaded"),
            "it is refreshed"
          )
        })
      )

      it.scoped("expiry - begins at the end of the reader's window", () =>
        Effect.gen(function* () {
          const { run, there } = yield* single
          const swr = Cached.swr(Effect.succeed("loaded"), { key: "k", ...minute, stale: "30 seconds" })
          yield* there.put("k", written(start, start - second, '"python"'))
          yield* TestClock.setTime(start + 30 * second)
          same(yield* run(swr.peek), Option.none())
          same(yield* run(swr), "loaded")
        })
      )

      it.scoped("two readers with different windows in one turn - get an answer each", () =>
        Effect.gen(function* () {
          const { run, store, there } = yield* single
          for (const name of ["other", undefined]) {
            const key = `k:${name}`
            yield* there.put(key, entryAt("python", "stale"))
            const { calls, lookup } = counting()
            const options = { key, name: key, ...minute }
            const ttl = Cached.ttl(Effect.suspend(lookup), options)
            const swr = Cached.swr(Effect.suspend(lookup), { ...options, name: name ?? key, stale: "30 seconds" })
            const long = Cached.swr(Effect.suspend(lookup), { ...options, name: "long", stale: "1 hour" })
            const peeks = [ttl.peek, swr.peek, store.get(key), long.peek, swr.peek]
            const read = Option.some("python")
            same(yield* run(Effect.all(peeks, { concurrency: "unbounded" })), [
              Option.none(),
              read,
              Option.none(),
              read,
              read
            ])
            same(calls.length, 0)
            const [stale, loaded] = yield* run(Effect.all([swr, ttl], { concurrency: "unbounded" }))
            same([stale, typeof loaded], ["python", "number"])
          }
        })
      )

      it.scoped("a read that runs while the key is invalidated - is repeated", () =>
        Effect.gen(function* () {
          const { run, there } = yield* single
          yield* there.put("k", entryAt("python", "fresh"))
          const all = [0, 1, 2].map((stale) =>
            Cached.swr(Effect.succeed("loaded"), { key: "k", name: String(stale), ...minute, stale })
          )
          const reads = yield* Effect.forkAll(all.map((each) => run(each)))
          yield* Effect.yieldNow()
          yield* run(all[0]!.invalidate)
          for (const value of yield* Fiber.join(reads)) same(value, "loaded")
        })
      )

      it.scoped("owners - every function reads the entry, without a warning", () =>
        Effect.gen(function* () {
          yield* TestClock.setTime(start)
          const prefix = yield* freshPrefix
          const { url } = yield* RedisServer
          const { layer: recorder, lines } = recordWarnings()
          const context = yield* Layer.build(Layer.provide(RedisCache.layer({ url, prefix, ...python }), recorder))
          const { run } = nodeOf(yield* Effect.provide(CacheStore, context))
          const { calls, lookup } = counting()
          const named = (name: string) => Cached.ttl(Effect.suspend(lookup), { key: "k", name, ...minute })
          same(yield* run(named("a")), 1)
          // from the pending write first, then from Redis
          same(yield* run(named("b")), 1)
          yield* awaitUntil(
            Effect.map((yield* raw(prefix)).exists("k"), (is) => is),
            "it is written"
          )
          same(yield* run(named("c")), 1)
          same(calls.length, 1)
          same(lines, [])
        })
      )

      it.scoped("a creation time in the future - counts as now", () =>
        Effect.gen(function* () {
          const { run, store, there } = yield* single
          yield* there.put("k", written(start + 3_660 * second, start + 3_600 * second, "1"))
          const cached = Cached.ttl(Effect.succeed(0), { key: "k", ...minute })
          same(yield* run(cached), 1)
          same(Option.getOrThrow(yield* run(cached.entry)).createdAt, start)
          yield* run(cached.set(2))
          same(yield* store.get("k"), Option.some(2))
        })
      )

      for (const [what, bytes] of Object.entries({
        "a bare value": Buffer.from('{"id":42,"name":"Ada","tags":["a"]}'),
        "a pickle": Buffer.from("80049517000000000000007d94288c026964944b2a8c046e616d65948c0341646194752e", "hex"),
        "no bytes": Buffer.alloc(0),
        "bytes cut short": written(start + second, start, "").subarray(0, 15),
        "no number": written(Number.NaN, start, "1"),
        "a creation after the end": written(start, start + 1, "1"),
        "an entry of v1": Either.getOrThrow(
          Envelope.v1.encode(
            new Entry(Buffer.from("1"), {
              stamp: start,
              createdAt: start,
              freshUntil: start + 60 * second,
              expiresAt: start + 60 * second,
              owner: "k",
              tags: []
            })
          )
        ),
        "a broken value": written(start + 60 * second, start, '{"a":')
      })) {
        it.scoped(`garbage, ${what} - is a miss, counted, and overwritten`, () =>
          Effect.gen(function* () {
            const { run, store, there, written: done } = yield* single
            yield* there.put("k", bytes)
            same(yield* store.get("k"), Option.none())
            same((yield* store.stats).decodeFailures, 1)
            same(yield* run(Cached.ttl(Effect.succeed("loaded"), { key: "k", ...minute })), "loaded")
            yield* done
            same(yield* there.bytes("k"), written(start + 60 * second, start, '"loaded"'))
          })
        )

        it.scoped(`garbage, ${what} - setIfAbsent overwrites it`, () =>
          Effect.gen(function* () {
            const { store, there } = yield* single
            yield* there.put("k", bytes)
            same(yield* store.setIfAbsent("k", 1, minute), true)
            same(yield* there.bytes("k"), written(start + 60 * second, start, "1"))
          })
        )
      }
    })

    describe("writes", () => {
      it.scoped("bytes - are those of Python, and expire with the entry", () =>
        Effect.gen(function* () {
          const { run, store, there, written: done } = yield* single
          const redis = yield* RedisServer
          const monitor = yield* redis.monitor
          const value = { id: 42, name: "Zoë", tags: [null, true, 1.5] }
          yield* run(Cached.swr(Effect.succeed(value), { key: "swr", ...minute, stale: "30 seconds" }))
          yield* done
          yield* store.set("set", value, { ttl: 1_500 })
          yield* store.set("forever", value, { ttl: Number.POSITIVE_INFINITY })
          yield* store.setIfAbsent("absent", value, { ttl: "1 minute", stale: "1 minute" })
          const text = JSON.stringify(value)
          for (const [key, lifetime] of [
            ["swr", 60_000],
            ["set", 1_500],
            ["forever", Number.POSITIVE_INFINITY],
            ["absent", 60_000]
          ] as const) {
            same(yield* there.bytes(key), written(start + lifetime, start, text), key)
          }
          const lives = (yield* monitor.commands)
            .filter(([name, key]) => name === "SET" && !key!.endsWith("barrier"))
            .map(([, key, , ...lifetime]) => [key!.slice(there.prefix.length), ...lifetime])
          same(lives, [["swr", "PX", "90000"], ["set", "PX", "1500"], ["forever"], ["absent", "PX", "120000"]])
          same(yield* there.pttl("forever"), -1)
        })
      )

      it.scoped("a load that takes time - is created at its end", () =>
        Effect.gen(function* () {
          const { run, there, written: done } = yield* single
          const load = Effect.as(Effect.sleep("3 seconds"), 1)
          const fiber = yield* Effect.fork(run(Cached.ttl(load, { key: "k", ...minute })))
          yield* Effect.yieldNow()
          yield* TestClock.adjust("3 seconds")
          yield* Fiber.join(fiber)
          yield* done
          same(yield* there.bytes("k"), written(start + 63 * second, start + 3 * second, "1"))
        })
      )

      it.scoped("tags - are refused: the value is delivered, not stored, and logged once", () =>
        Effect.gen(function* () {
          yield* TestClock.setTime(start)
          const prefix = yield* freshPrefix
          const { url } = yield* RedisServer
          const there = yield* raw(prefix)
          const { layer: recorder, lines } = recordWarnings()
          const context = yield* Layer.build(Layer.provide(RedisCache.layer({ url, prefix, ...python }), recorder))
          const { run, store, written: done } = nodeOf(yield* Effect.provide(CacheStore, context))
          const { calls, lookup } = counting()
          const tagged = Cached.ttl(Effect.suspend(lookup), { key: "k", name: "tagged", ...minute, tags: ["t"] })
          same([yield* run(tagged), yield* done, yield* run(tagged), yield* done], [1, undefined, 2, undefined])
          same(calls.length, 2)
          same(yield* there.exists("k"), false)
          same((yield* store.stats).refused, 2)
          same(lines.length, 1)
          assert.match(lines[0]!, /a value of tagged .*not stored.*tags.*advanced-caching/)
          // a value that cannot be stored removes the older entry all the same
          yield* there.put("set", entryAt("python", "fresh"))
          yield* store.set("set", 1, { ...minute, tags: ["t"] })
          same(yield* there.exists("set"), false)
          const refused = yield* Effect.flip(store.setIfAbsent("set", 1, { ...minute, tags: ["t"] }))
          same(refused.reason, "Rejected")
        })
      )

      it.scoped("setIfAbsent - an expired entry is absent, though its bytes are there", () =>
        Effect.gen(function* () {
          const { store, there } = yield* single
          const take = (value: number) => store.setIfAbsent("k", value, { ...minute, stale: "1 hour" })
          same(yield* take(1), true)
          same(yield* take(2), false)
          yield* TestClock.setTime(start + 60 * second - 1)
          same(yield* take(3), false)
          yield* TestClock.setTime(start + 60 * second)
          same(yield* there.exists("k"), true)
          same(yield* take(4), true)
          const last = written(start + 120 * second, start + 60 * second, "4")
          same(yield* there.bytes("k"), last)
          yield* there.put("python", last)
          same(yield* store.setIfAbsent("python", 5, minute), false)
          same(yield* there.bytes("python"), last)
        })
      )

      it.scoped("setIfAbsent - one of many wins, over no entry and over an expired one", () =>
        Effect.gen(function* () {
          const { prefix, there } = yield* single
          yield* there.put("expired", entryAt("python", "stale"))
          const nodes = yield* Effect.replicateEffect(node({ prefix, ...python }), 4)
          for (const key of ["nothing", "expired"]) {
            const attempts = nodes.flatMap(({ store }) => [1, 2, 3].map((n) => store.setIfAbsent(key, n, minute)))
            const won = yield* Effect.all(attempts, { concurrency: "unbounded" })
            same(won.filter(Boolean).length, 1, key)
          }
        })
      )
    })

    describe("invalidation", () => {
      it.scoped("invalidate, remove - delete the entry, and leave nothing behind", () =>
        Effect.gen(function* () {
          const { run, store, there } = yield* single
          const cached = Cached.ttl((key: string) => Effect.succeed(key), { key: "{}", ...minute })
          for (const key of ["a", "b"]) yield* there.put(key, entryAt(key, "fresh"))
          yield* run(cached.invalidate("a"))
          yield* store.removeMany(["b", "c"])
          same(
            (yield* there.keys).filter((key) => !key.startsWith("!")),
            []
          )
        })
      )

      it.scoped("invalidate - wins over a running load of this process", () =>
        Effect.gen(function* () {
          const { run, there, written: done } = yield* single
          const door = gate()
          const { calls, lookup } = makeLookup(() => Effect.as(door.pass, "old"))
          const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
          const reader = yield* Effect.fork(run(cached))
          yield* begun(calls)
          yield* run(cached.invalidate)
          yield* door.open
          same(yield* Fiber.join(reader), "old")
          yield* done
          same(yield* there.exists("k"), false)
        })
      )

      it.scoped("clear - invalidates older entries, and newer ones are valid", () =>
        Effect.gen(function* () {
          const { run, store, there } = yield* single
          const put = (createdAt: number) => there.put("k", written(start + 60 * second, createdAt, '"python"'))
          const find = Cached.ttl(() => Effect.succeed("loaded"), { key: "k", ...minute })
          const peek = run(find.peek())
          for (const clear of [store.clear, run(find.clear)]) {
            const now = yield* Clock.currentTimeMillis
            yield* put(now)
            same(yield* peek, Option.some("python"))
            yield* clear
            same(yield* peek, Option.none())
            yield* TestClock.adjust("1 second")
            same(yield* peek, Option.none())
            yield* put(now + second)
            same(yield* peek, Option.some("python"))
          }
        })
      )

      it.scoped("clear - a load that begins after it is stored, also in the same millisecond", () =>
        Effect.gen(function* () {
          const { run, store, written: done } = yield* single
          const { calls, lookup } = counting()
          const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
          const once = store.clear.pipe(
            Effect.zipRight(run(cached)),
            Effect.zipRight(done),
            Effect.zipRight(run(cached))
          )
          yield* live(Effect.repeatN(once, 49))
          same(calls.length, 50)
        })
      )

      it.scoped("clear of a function - does not concern other functions", () =>
        Effect.gen(function* () {
          const { run, there } = yield* single
          yield* there.put("k", entryAt("python", "fresh"))
          const of = (name: string) => Cached.ttl(() => Effect.succeed("loaded"), { key: "k", name, ...minute })
          yield* run(of("a").clear)
          same([yield* run(of("a").peek()), yield* run(of("b").peek())], [Option.none(), Option.some("python")])
          same([yield* run(of("b")()), yield* run(of("a")())], ["python", "loaded"])
        })
      )

      it.scoped("clear - reaches other processes, and those that start later", () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          yield* TestClock.setTime(realNow())
          const [a, b] = [yield* node({ prefix, ...python }), yield* node({ prefix, ...python })]
          yield* a.store.set("k", 1, minute)
          same(yield* b.store.get("k"), Option.some(1))
          yield* a.store.clear
          same(yield* b.store.get("k"), Option.none())
          same(yield* (yield* node({ prefix, ...python })).store.get("k"), Option.none())
        })
      )
    })

    describe("memory in front of it", () => {
      const hybrids = Effect.gen(function* () {
        const prefix = yield* freshPrefix
        yield* TestClock.setTime(start)
        const one = hybrid({ l2: { prefix, ...python } })
        return { prefix, a: yield* one, b: yield* one, there: yield* raw(prefix) }
      })

      it.scoped("a copy - is read by all functions, each within its own window", () =>
        Effect.gen(function* () {
          const { a, there } = yield* hybrids
          const { calls, lookup } = makeLookup(() => Effect.never)
          const of = (name: string, stale: number) =>
            Cached.swr(Effect.suspend(lookup), { key: "k", name, ttl: "1 minute", stale })
          const [short, same1, other, long] = [of("a", 0), of("a", 30_000), of("b", 10_000), of("c", 60_000)]
          yield* there.put("k", written(start + 60 * second, start, '"python"'))
          for (const each of [same1, short, other, long, same1]) same(yield* a.run(each), "python")
          same(
            (yield* a.store.stats).tiers.map(({ hits }) => hits),
            [4, 1]
          )
          same(yield* a.store.get("k"), Option.some("python"))
          // from here on Redis does not answer
          yield* there.del("k")
          const seen = Effect.forEach([short, other, same1, long], (each) => a.run(each.peek)).pipe(
            Effect.map((all) => all.map(Option.isSome))
          )
          yield* TestClock.setTime(start + 60 * second - 1)
          same(yield* seen, [true, true, true, true])
          yield* TestClock.setTime(start + 60 * second)
          same(yield* seen, [false, true, true, true])
          same(yield* a.run(other), "python")
          yield* TestClock.setTime(start + 70 * second)
          same(yield* seen, [false, false, true, true])
          const waits = yield* Effect.fork(a.run(short))
          yield* begun(calls)
          yield* Fiber.interrupt(waits)
        })
      )

      it.scoped("a copy that the store itself has read - is read by every function", () =>
        Effect.gen(function* () {
          const { a, there } = yield* hybrids
          yield* there.put("k", written(start + 60 * second, start, '"python"'))
          same(yield* a.store.get("k"), Option.some("python"))
          yield* there.del("k")
          const cached = Cached.swr(Effect.never, { key: "k", ...minute, stale: "1 minute" })
          same(yield* a.run(cached), "python")
          yield* TestClock.setTime(start + 60 * second)
          same(yield* a.run(cached), "python")
        })
      )

      it.scoped("clear of a function - leaves the copy to other functions", () =>
        Effect.gen(function* () {
          const { a, there } = yield* hybrids
          yield* there.put("k", written(start + 60 * second, start, '"python"'))
          const of = (name: string) => Cached.ttl(() => Effect.succeed("loaded"), { key: "k", name, ...minute })
          same([yield* a.run(of("y")()), yield* a.run(of("x")())], ["python", "python"])
          yield* a.run(of("x").clear)
          same([yield* a.run(of("y").peek()), yield* a.run(of("x").peek())], [Option.some("python"), Option.none()])
          same([yield* a.run(of("y")()), yield* a.run(of("x")())], ["python", "loaded"])
        })
      )

      it.scoped("set, invalidate, clear - remove the copies of other processes", () =>
        Effect.gen(function* () {
          const { a, b, there } = yield* hybrids
          yield* TestClock.setTime(realNow())
          const cached = Cached.ttl(Effect.succeed("loaded"), { key: "k", ...minute })
          const becomes = (value: Option.Option<string>, what: string) =>
            awaitUntil(
              Effect.map(b.run(cached.peek), (peeked) => Option.getOrNull(peeked) === Option.getOrNull(value)),
              what
            )
          // also an entry that claims a later creation than its replacement
          yield* there.put("k", written(realNow() + 3_600_000, realNow() + 600_000, '"python"'))
          same(yield* b.run(cached), "python")
          yield* a.run(cached.set("set"))
          yield* becomes(Option.some("set"), "set")
          yield* a.run(cached.refresh)
          yield* becomes(Option.some("loaded"), "refresh")
          yield* a.run(cached.invalidate)
          yield* becomes(Option.none(), "invalidate")
          yield* b.run(cached)
          yield* b.written
          yield* a.store.clear
          yield* becomes(Option.none(), "clear")
          yield* TestClock.adjust("1 second")
          same(yield* a.store.setIfAbsent("k", "absent", minute), true)
          yield* becomes(Option.some("absent"), "setIfAbsent")
        })
      )

      it.scoped("a copy from before notifications arrived - is not used", () =>
        Effect.gen(function* () {
          const { a, there } = yield* hybrids
          const { client } = yield* RedisServer
          const of = (name: string) => Cached.ttl(Effect.succeed("loaded"), { key: "k", name, ...minute })
          yield* there.put("k", written(start + 60 * second, start, '"old"'))
          same([yield* a.run(of("x")), yield* a.run(of("y"))], ["old", "old"])
          yield* there.put("k", written(start + 60 * second, start, '"new"'))
          same([yield* a.run(of("x")), yield* a.run(of("y"))], ["old", "old"])
          yield* Effect.promise(() => client.client("KILL", "TYPE", "pubsub"))
          yield* awaitUntil(
            Effect.map(a.run(of("y")), (value) => value === "new"),
            "notifications arrive again"
          )
          same(yield* a.run(of("x")), "new")
        })
      )

      it.scoped("a load in another process - is not stored, if a later write was published in time", () =>
        Effect.gen(function* () {
          const { a, b, there } = yield* hybrids
          for (const what of ["set", "invalidate"] as const) {
            const door = gate()
            const { calls, lookup } = makeLookup(() => Effect.as(door.pass, "loaded"))
            const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
            const reader = yield* Effect.fork(b.run(cached))
            yield* begun(calls)
            yield* live(a.run(what === "set" ? cached.set("set") : cached.invalidate))
            yield* awaitUntil(
              Effect.map(b.store.stats, ({ inFlight }) => inFlight === 0),
              "the notification has arrived"
            )
            yield* door.open
            same(yield* Fiber.join(reader), "loaded")
            yield* b.written
            same((yield* there.bytes("k"))?.toString("latin1", 16), what === "set" ? '"set"' : undefined)
            yield* a.run(cached.invalidate)
          }
        })
      )

      it.scoped("lock - one load among all processes, and the others get its value", () =>
        Effect.gen(function* () {
          const { a, b, prefix } = yield* hybrids
          yield* TestClock.setTime(realNow())
          const nodes = [a, b, yield* node({ prefix, ...python })]
          const door = gate()
          const { calls, lookup } = makeLookup(() => Effect.as(door.pass, "value"))
          const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute, lock: { lease: "5 seconds" } })
          const reads = yield* Effect.forkAll(nodes.map(({ run }) => run(cached)))
          yield* begun(calls)
          yield* door.open
          same(yield* Fiber.join(reads), ["value", "value", "value"])
          same(calls.length, 1)
        })
      )
    })

    it.scoped("an envelope of one's own, over v1 - keeps its owners, tags and tombstones", () =>
      Effect.gen(function* () {
        const turned = (bytes: Uint8Array) => bytes.map((byte) => byte ^ 0x55)
        const envelope: Envelope.Envelope = {
          name: "turned",
          encode: (entry) => Either.map(Envelope.v1.encode(entry), turned),
          decode: (bytes) => Envelope.v1.decode(turned(bytes))
        }
        const prefix = yield* freshPrefix
        const { run, store, written: done } = yield* node({ prefix, envelope })
        const there = yield* raw(prefix)
        const { calls, lookup } = counting()
        const of = (name: string) =>
          Cached.swr(Effect.suspend(lookup), { key: "k", name, ...minute, stale: "1 minute", tags: ["t"] })
        same([yield* run(of("a")), yield* done, yield* run(of("a"))], [1, undefined, 1])
        const decoded = Either.getOrThrow(envelope.decode((yield* there.bytes("k"))!, undefined as never))
        same(decoded._tag === "Entry" && decoded.entry.owner, "a")
        same(yield* run(of("b")), 2)
        yield* done
        same(yield* store.setIfAbsent("k", 3, minute), false)
        yield* store.tags.invalidate(["t"])
        same(yield* store.get("k"), Option.none())
        same(yield* store.setIfAbsent("k", 3, minute), true)
        same(yield* store.get("k"), Option.some(3))
        yield* store.remove("k")
        same(yield* there.exists("k"), false)
        same(calls.length, 2)
      })
    )
  })
})

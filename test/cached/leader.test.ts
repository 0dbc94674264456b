import { deepStrictEqual } from "node:assert/strict"
import { fileURLToPath } from "node:url"
import { assert, describe, layer } from "@effect/vitest"
import { Chunk, Context, Effect, Exit, Fiber, Layer, Option, Scope, Stream, TestClock } from "effect"
import type { YieldWrap } from "effect/Utils"
import { Cached, CacheStore, Entry } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"
import { becomes, gate, numbered, recordWarnings, settled, until } from "../laws/support.js"
import { bundle } from "../support/bundle.js"
import * as Child from "../support/child.js"
import { awaitUntil, freshPrefix, live, RedisServer, TcpProxy } from "../support/redis.js"
import { health, hybrid, type Node, node, nodeOf, raw, realNow } from "../support/redis-nodes.js"
import type { Commands } from "../support/writer-process.js"

/** The program of a process. */
class Script extends Context.Tag("test/WriterScript")<Script, string>() {
  static readonly layer = Layer.scoped(
    Script,
    bundle(fileURLToPath(new URL("../support/writer-process.ts", import.meta.url)))
  )
}

const some = Option.some

const lease = 1_000
/** How many milliseconds more a busy machine may take. */
const generous = 4_000
const led = { key: "k", interval: "60 seconds", leader: { lease } } as const

const leads = (writer: Cached.CachedWriter) => awaitUntil(writer.leads, "it leads")

describe("leader", () => {
  layer(RedisServer.layer)("among several processes, on a real Redis", (it) => {
    /** Each writer loads its name and the number of the call. */
    const worker = (
      at: Node,
      name: string,
      options: { readonly runImmediately?: boolean; readonly leader?: { readonly lease: number } } = {}
    ) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
        const { calls, lookup } = numbered((call) => Effect.succeed(`${name}${call}`))
        const writer = yield* Scope.extend(at.run(Cached.bgWrite(lookup(), { ...led, ...options })), scope)
        return { calls, writer, close: Scope.close(scope, Exit.void) }
      })

    const three = Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const [a, b, web] = yield* Effect.all([node({ prefix }), node({ prefix }), node({ prefix })])
      const reader = yield* web.run(Cached.bgRead<string>({ key: "k", interval: "1 hour" }))
      return { prefix, a, b, web, reader, there: yield* raw(prefix) }
    })

    it.scoped("election - one writer loads, the others stand by", () =>
      Effect.gen(function* () {
        const { a, b, reader } = yield* three
        const first = yield* worker(a, "a")
        yield* leads(first.writer)
        const others = yield* Effect.forEach([1, 2], () => worker(b, "b").pipe(Effect.option))
        // a second writer on the same store is a duplicate
        assert.lengthOf(others.filter(Option.isSome), 1)
        for (let i = 1; i <= 3; i++) {
          yield* becomes(reader, some(`a${i}`))
          yield* TestClock.adjust("60 seconds")
        }
        yield* live(Effect.sleep(2 * lease))
        const other = Option.getOrThrow(others[0]!)
        deepStrictEqual([yield* first.writer.leads, yield* other.writer.leads], [true, false])
        assert.lengthOf(other.calls, 0)
      })
    )

    it.scoped("refresh - runs in the process that is asked, also if another one leads or this one has led", () =>
      Effect.gen(function* () {
        const { a, b, reader } = yield* three
        const first = yield* worker(a, "a")
        yield* becomes(reader, some("a1"))
        const second = yield* worker(b, "b")
        assert.strictEqual(yield* second.writer.refresh, "b1")
        yield* becomes(reader, some("b1"))
        deepStrictEqual(yield* first.writer.current, some("b1"))
        deepStrictEqual([yield* first.writer.leads, yield* second.writer.leads], [true, false])
        yield* first.close
        yield* leads(second.writer)
        assert.strictEqual(yield* first.writer.refresh, "a2")
        yield* becomes(reader, some("a2"))
        assert.isTrue(yield* second.writer.leads)
        assert.strictEqual(yield* second.writer.refresh, "b2")
        yield* becomes(reader, some("b2"))
        // the leader goes on
        yield* TestClock.adjust("60 seconds")
        yield* becomes(reader, some("b3"))
      })
    )

    it.scoped("a graceful end - hands over at once, and the successor keeps the beat", () =>
      Effect.gen(function* () {
        const { a, b, reader, there } = yield* three
        const leader = { lease: 10_000 }
        const first = yield* worker(a, "a", { leader })
        yield* becomes(reader, some("a1"))
        const second = yield* worker(b, "b", { leader, runImmediately: false })
        yield* live(Effect.sleep("100 millis"))
        yield* TestClock.adjust("20 seconds")
        const before = realNow()
        yield* first.close
        yield* leads(second.writer)
        assert.isBelow(realNow() - before, leader.lease / 2)
        yield* settled
        assert.lengthOf(second.calls, 0)
        yield* TestClock.adjust("39999 millis")
        yield* live(Effect.sleep("50 millis"))
        assert.lengthOf(second.calls, 0)
        yield* TestClock.adjust(1)
        yield* becomes(reader, some("b1"))
        yield* second.close
        yield* becomes(
          Effect.map(there.keys, (keys) => keys.filter((key) => key.startsWith("!l"))),
          []
        )
      })
    )

    it.scoped("takeover - when the last value is older than the interval, the successor runs at once", () =>
      Effect.gen(function* () {
        const { a, b, reader } = yield* three
        const first = yield* worker(a, "a")
        yield* becomes(reader, some("a1"))
        const second = yield* worker(b, "b", { runImmediately: false })
        yield* live(Effect.sleep("100 millis"))
        yield* Effect.all([TestClock.adjust("60 seconds"), first.close], { concurrency: 2 })
        yield* becomes(reader, some("b1"))
        yield* leads(second.writer)
      })
    )

    it.scoped("a graceful end during a write - gives the lock back after the write", () =>
      Effect.gen(function* () {
        const { prefix, web } = yield* three
        const { url } = yield* RedisServer
        const door = gate()
        const backend = yield* RedisCache.backend({ url, prefix })
        const a = nodeOf(
          yield* CacheStore.make({
            ...backend,
            setMany: (writes) => Effect.zipRight(door.pass, backend.setMany(writes))
          })
        )
        const first = yield* worker(a, "a")
        yield* door.reached
        const closing = yield* Effect.fork(first.close)
        yield* live(Effect.sleep("50 millis"))
        yield* door.open
        yield* Fiber.join(closing)
        deepStrictEqual(yield* web.store.get("k"), some("a1"))
        assert.strictEqual((yield* a.store.stats).refused, 0)
      })
    )

    it.scoped(
      "a lock taken by another process - the write is refused, counted and logged once, and the writer steps down",
      () =>
        Effect.gen(function* () {
          const { prefix, reader, there, web } = yield* three
          const redis = yield* RedisServer
          const warnings = recordWarnings()
          const a = yield* Effect.provide(node({ prefix }), warnings.layer)
          const own = yield* a.run(Cached.bgRead<string>({ key: "k" }))
          const door = gate()
          const { calls, lookup } = numbered((call) => Effect.as(call === 1 ? door.pass : Effect.void, `a${call}`))
          const writer = yield* a.run(Cached.bgWrite(lookup(), { ...led, leader: { lease: 60_000 } }))
          yield* door.reached
          yield* Effect.promise(() => redis.client.set(`${prefix}!lk`, "another", "PX", 3_000))
          yield* door.open
          yield* awaitUntil(
            Effect.map(writer.leads, (leads) => !leads),
            "it steps down"
          )
          assert.isFalse(yield* there.exists("k"))
          deepStrictEqual([yield* own, yield* a.store.get("k")], [Option.none(), Option.none()])
          assert.strictEqual((yield* a.store.stats).refused, 1)
          assert.lengthOf(
            warnings.lines.filter((line) => line.includes("had lost its lease")),
            1
          )
          assert.lengthOf(calls, 1)
          // and it leads again when that lock has ended
          yield* leads(writer)
          yield* becomes(reader, some("a2"))
          yield* becomes(own, some("a2"))
          yield* becomes(web.store.get("k"), some("a2"))
        })
    )

    it.scoped("a leader cut off from Redis - is replaced within the lease, and its later loads are not stored", () =>
      Effect.gen(function* () {
        const { b, prefix, reader } = yield* three
        const redis = yield* RedisServer
        const proxy = yield* TcpProxy.make(redis.port)
        const a = yield* node({ prefix, url: proxy.url })
        const first = yield* worker(a, "a")
        yield* becomes(reader, some("a1"))
        const second = yield* worker(b, "b")
        yield* live(Effect.sleep("100 millis"))
        yield* proxy.refuse
        yield* proxy.cut
        yield* health(a, "down")
        const before = realNow()
        yield* TestClock.adjust("60 seconds")
        yield* until(() => first.calls.length === 2, "it loads on")
        yield* leads(second.writer)
        assert.isBelow(realNow() - before, lease + generous)
        yield* becomes(reader, some("b1"))
        yield* awaitUntil(
          Effect.map(first.writer.leads, (leads) => !leads),
          "it knows that it cannot lead"
        )
        yield* proxy.restore
        yield* health(a, "up")
        yield* TestClock.adjust("60 seconds")
        yield* becomes(reader, some("b2"))
        deepStrictEqual([first.calls.length, yield* first.writer.leads, yield* second.writer.leads], [2, false, true])
      })
    )

    it.scoped("Redis away from the start - nobody loads for ten virtual minutes; when it is back, one leads", () =>
      Effect.gen(function* () {
        const { prefix, reader } = yield* three
        const redis = yield* RedisServer
        const proxy = yield* TcpProxy.make(redis.port)
        yield* proxy.refuse
        const cut = { prefix, url: proxy.url, connectTimeout: 100 }
        const [a, b] = yield* Effect.all([node(cut), node(cut)])
        const all = [yield* worker(a, "a"), yield* worker(b, "b")]
        yield* TestClock.adjust("10 minutes")
        yield* live(Effect.sleep("200 millis"))
        deepStrictEqual(
          all.map(({ calls }) => calls.length),
          [0, 0]
        )
        yield* proxy.restore
        yield* Effect.all([health(a, "up"), health(b, "up")])
        yield* becomes(
          Effect.map(
            reader,
            Option.map((value) => value.slice(1))
          ),
          some("1")
        )
        yield* live(Effect.sleep("100 millis"))
        assert.strictEqual(all[0]!.calls.length + all[1]!.calls.length, 1)
      })
    )

    it.scoped("memory in front of Redis - leads, hands over and is fenced as well", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const redis = yield* RedisServer
        const [a, b] = yield* Effect.all([hybrid({ l2: { prefix } }), hybrid({ l2: { prefix } })])
        const first = yield* worker(a, "a")
        yield* becomes(a.store.get("k"), some("a1"))
        yield* becomes(b.store.get("k"), some("a1"))
        const second = yield* worker(b, "b")
        yield* live(Effect.sleep("100 millis"))
        yield* Effect.promise(() => redis.client.set(`${prefix}!lk`, "another", "PX", 2_000))
        yield* TestClock.adjust("60 seconds")
        yield* awaitUntil(
          Effect.map(first.writer.leads, (leads) => !leads),
          "it steps down"
        )
        deepStrictEqual([yield* a.store.get("k"), yield* b.store.get("k")], [some("a1"), some("a1")])
        yield* awaitUntil(
          Effect.map(Effect.all([first.writer.leads, second.writer.leads]), (all) => all.includes(true)),
          "one leads again"
        )
        yield* first.close
        yield* leads(second.writer)
        yield* TestClock.adjust("60 seconds")
        yield* becomes(a.store.get<string>("k"), some(`b${second.calls.length}`))
      })
    )

    it.scoped("fencing - the backend compares the token in the same step as it writes", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const redis = yield* RedisServer
        const backend = yield* RedisCache.backend({ url: redis.url, prefix })
        const held = yield* backend.lock!("k", 10_000)
        assert(typeof held === "object")
        const now = realNow()
        let stamp = now
        const write = (key: string, fence?: string) => ({
          key,
          entry: new Entry.Entry(key, {
            stamp: ++stamp,
            createdAt: now,
            freshUntil: now + 10_000,
            expiresAt: now + 10_000,
            owner: "k",
            tags: []
          }),
          lifetime: 10_000,
          authoritative: false,
          fence
        })
        const tags = (writes: ReadonlyArray<ReturnType<typeof write>>) =>
          Effect.map(backend.setMany(writes), (written) => written.map(({ _tag }) => _tag))
        // the other writes of the batch are not affected
        deepStrictEqual(
          yield* tags([write("a"), write("k", "none"), write("k", held.token), write("b", held.token), write("c")]),
          ["Written", "Fenced", "Written", "Fenced", "Written"]
        )
        yield* held.release
        deepStrictEqual(yield* tags([write("k", held.token)]), ["Fenced"])
      })
    )
  })

  layer(Script.layer, { excludeTestServices: true })("processes", (it) => {
    const start = (prefix: string, name: string, lease: number) =>
      Effect.flatMap(Effect.all([Script, RedisServer]), ([file, { url }]) =>
        Child.start<Commands>(file, { args: [url, prefix, name, String(lease)] })
      )

    const two = Effect.fnUntraced(function* (within: number) {
      const prefix = yield* freshPrefix
      const web = yield* node({ prefix })
      const reader = yield* web.run(Cached.bgRead<string>({ key: "k", interval: "1 hour", ttl: "1 hour" }))
      const [a, b] = yield* Effect.all([start(prefix, "a", within), start(prefix, "b", within)], {
        concurrency: 2
      })
      yield* awaitUntil(
        Effect.map(Effect.all([a.ask("leads"), b.ask("leads")]), (all) => all.includes(true)),
        "one leads"
      )
      const [leader, other] = (yield* a.ask("leads")) ? ([a, b] as const) : ([b, a] as const)
      const [old, next] = leader === a ? ["a", "b"] : ["b", "a"]
      yield* awaitUntil(
        Effect.map(reader, (value) => Option.isSome(value) && value.value.startsWith(old!)),
        "it writes"
      )
      return { prefix, web, reader, leader, other, old: old!, next: next! }
    })

    const writes = (reader: Cached.CachedReader<string>, name: string) =>
      awaitUntil(
        Effect.map(reader, (value) => Option.isSome(value) && value.value.startsWith(name)),
        `${name} writes`
      )

    const onRedis = <A, E>(
      body: () => Generator<YieldWrap<Effect.Effect<any, E, RedisServer | Scope.Scope | Script>>, A, never>
    ) => Effect.provide(Effect.gen(body), RedisServer.layer)

    it.scoped("kill -9 - the leader is replaced within its lease", () =>
      onRedis(function* () {
        const { leader, next, other, reader } = yield* two(lease)
        assert.strictEqual(yield* other.ask("loads"), 0)
        const before = realNow()
        yield* leader.signal("SIGKILL")
        yield* writes(reader, next)
        assert.isBelow(realNow() - before, lease + generous)
      })
    )

    it.scoped("a graceful end - hands over at once", () =>
      onRedis(function* () {
        const within = 10_000
        const { leader, next, reader } = yield* two(within)
        const before = realNow()
        assert.strictEqual(yield* leader.end, 0)
        yield* writes(reader, next)
        assert.isBelow(realNow() - before, within / 2)
      })
    )

    for (const [when, pause] of [
      ["in the middle of a load", 300],
      // its next run then begins before it can know that it lost the lead
      ["between two runs", 0]
    ] as const) {
      it.scoped(
        `SIGSTOP past its lease ${when}, then SIGCONT - nothing of the old leader lands after the new one's first`,
        () =>
          onRedis(function* () {
            const { leader, next, old, other, reader } = yield* two(lease)
            yield* leader.ask("slow", pause)
            yield* Effect.sleep("250 millis")
            const seen = yield* Effect.forkScoped(
              Stream.runCollect(Stream.interruptAfter(reader.changes, "3500 millis"))
            )
            const before = yield* leader.ask("loads")
            yield* leader.signal("SIGSTOP")
            yield* writes(reader, next)
            yield* leader.signal("SIGCONT")
            const values = Chunk.toReadonlyArray(yield* Fiber.join(seen))
            const names = values.map((value) => value[0])
            assert.isAbove(names.indexOf(next), -1)
            deepStrictEqual(
              names.slice(names.indexOf(next)).filter((name) => name === old),
              []
            )
            deepStrictEqual([yield* leader.ask("leads"), yield* other.ask("leads")], [false, true])
            if (pause === 0) assert.isAbove(yield* leader.ask("loads"), before, "it has tried")
          })
      )
    }
  })
})

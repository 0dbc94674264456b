import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber, Option, Schema } from "effect"
import { Cached } from "effect-cached"
import { gate, makeLookup, numbered } from "../../laws/support.js"
import { awaitUntil, freshPrefix, RedisServer } from "../../support/redis.js"
import { hybrid, minute, type Node, same } from "../../support/redis-nodes.js"
import { recordingTracer } from "../../support/tracer.js"

/** Three processes with a prefix of their own, all of which receive notifications. */
const nodes = Effect.gen(function* () {
  const prefix = yield* freshPrefix
  const node = hybrid({ l2: { prefix } })
  return { prefix, node, a: yield* node, b: yield* node, c: yield* node }
})

const becomes = <A, E, R>(effect: Effect.Effect<A, E, R>, expected: A, what: string) =>
  awaitUntil(
    Effect.map(effect, (actual) => JSON.stringify(actual) === JSON.stringify(expected)),
    what
  )

describe("RedisCache.layerHybrid", () => {
  layer(RedisServer.layer)("coherence, on a real Redis", (it) => {
    it.scoped("set - replaces the copies of the other processes, without a load", () =>
      Effect.gen(function* () {
        const { a, b, c } = yield* nodes
        const { calls, lookup } = makeLookup(() => Effect.succeed("loaded"))
        const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
        for (const node of [a, b, c]) {
          same(yield* node.run(cached), "loaded")
          yield* node.written
        }
        same(calls.length, 1)
        yield* a.run(cached.set("set"))
        same(yield* a.run(cached), "set")
        for (const node of [b, c]) yield* becomes(node.run(cached), "set", "the notification has arrived")
        same(calls.length, 1)
      })
    )

    it.scoped(
      "a read through the store without a schema - leaves no value in memory that a function has a schema for",
      () =>
        Effect.gen(function* () {
          const { a, b } = yield* nodes
          class User extends Schema.Class<User>("User")({ id: Schema.Number }) {}
          const cached = Cached.ttl(Effect.succeed(new User({ id: 1 })), { key: "k", schema: User, ...minute })
          yield* a.run(cached)
          yield* a.written
          same(yield* b.store.get("k"), Option.some({ id: 1 }))
          assert.instanceOf(yield* b.run(cached), User)
          yield* b.store.expire("k")
          assert.instanceOf(yield* b.run(cached), User)
        })
    )

    it.scoped("expire - makes the copies of the other processes stale, without a load", () =>
      Effect.gen(function* () {
        const { a, b, c } = yield* nodes
        const { calls, lookup } = numbered((call) => Effect.succeed(call))
        const options = { key: "k", ttl: "1 minute", stale: "1 minute" } as const
        const cached = Cached.swr(lookup(), options)
        yield* a.run(cached)
        yield* a.written
        for (const node of [b, c]) yield* node.run(cached)
        const stateIn = (node: Node) =>
          Effect.map(node.run(cached.entry), (entry) => Option.getOrUndefined(entry)?.state)
        for (const node of [a, b, c]) same(yield* stateIn(node), "fresh")
        yield* a.store.expire("k")
        for (const node of [a, b, c]) yield* becomes(stateIn(node), "stale", "the notification has arrived")
        same(calls.length, 1)
        same(yield* b.run(cached), 1)
        const isNew = (node: Node) => Effect.map(node.run(cached), (value) => value > 1)
        for (const node of [a, b, c]) yield* becomes(isNew(node), true, "the refresh has arrived")
      })
    )

    it.scoped("expire - a load of another process that began before it stores nothing", () =>
      Effect.gen(function* () {
        const { a, b, c } = yield* nodes
        const door = gate()
        const cached = Cached.swr(
          Effect.suspend(() => Effect.as(door.pass, "before")),
          {
            key: "k",
            ttl: "1 minute",
            stale: "1 minute"
          }
        )
        yield* a.store.set("k", "stored", minute)
        const reader = yield* Effect.fork(b.run(cached.refresh))
        yield* door.reached
        yield* a.store.expire("k")
        yield* door.open
        same(yield* Fiber.join(reader), "before")
        yield* b.written
        for (const node of [a, b, c]) same(yield* node.store.get("k"), Option.none())
      })
    )

    it.scoped("invalidate, clear, tags - make the next read of every process load", () =>
      Effect.gen(function* () {
        const { a, b } = yield* nodes
        const cached = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute, tags: ["t"] })
        for (const [what, gone] of [
          ["invalidate", cached.invalidate(1)],
          ["clear", cached.clear],
          ["tags", Cached.invalidateTags(["t"])],
          ["everything", a.store.clear]
        ] as const) {
          yield* a.run(cached(1))
          yield* a.written
          yield* b.run(cached(1))
          assert.isTrue(Option.isSome(yield* b.run(cached.peek(1))))
          yield* a.run(gone)
          yield* becomes(Effect.map(b.run(cached.peek(1)), Option.isNone), true, what)
        }
      })
    )

    it.scoped("a keyPrefix of the client - does not keep notifications from arriving", () =>
      Effect.gen(function* () {
        const l2 = { prefix: yield* freshPrefix, redis: { keyPrefix: "outer:" } }
        const [a, b] = [yield* hybrid({ l2 }), yield* hybrid({ l2 })]
        yield* a.store.set("k", "old", minute)
        same(yield* b.store.get("k"), Option.some("old"))
        yield* a.store.set("k", "new", minute)
        yield* becomes(b.store.get("k"), Option.some("new"), "the notification has arrived")
      })
    )

    it.scoped("a blindTtl of zero - does not keep notifications from arriving", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const [a, b] = [yield* hybrid({ blindTtl: 0, l2: { prefix } }), yield* hybrid({ blindTtl: 0, l2: { prefix } })]
        yield* a.store.set("k", "old", minute)
        yield* b.store.set("k", "new", minute)
        yield* becomes(a.store.get("k"), Option.some("new"), "the notification has arrived")
      })
    )

    for (const [what, redis] of [
      ["database", { db: 1 }],
      ["keyPrefix", { keyPrefix: "other:" }]
    ] as const) {
      it.scoped(`another ${what} on the same server - is not cleared`, () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const [a, b] = [yield* hybrid({ l2: { prefix, redis } }), yield* hybrid({ l2: { prefix } })]
          const c = yield* hybrid({ l2: { prefix, redis } })
          for (const node of [a, b]) yield* node.store.set("k", 1, minute)
          same(yield* c.store.get("k"), Option.some(1))
          yield* a.store.clear
          yield* becomes(c.store.get("k"), Option.none(), "its own stores are notified")
          same(yield* b.store.get("k"), Option.some(1))
        })
      )
    }

    it.scoped("spans - are made for verbs of the store where a tracer is set, without the key", () =>
      Effect.gen(function* () {
        const { a } = yield* nodes
        const { spans, tracer } = recordingTracer()
        const use = Effect.zipRight(a.store.set("ada@example.org", 1, minute), a.store.get("ada@example.org"))
        yield* use
        same(spans.length, 0)
        yield* Effect.withTracer(use, tracer)
        same(
          spans.map(({ name }) => name),
          ["CacheStore.set", "CacheStore.get"]
        )
        for (const { attributes, ends } of spans) {
          same(ends, 1)
          same([...attributes.keys()], ["cache.name", "cache.key_hash"])
          assert.match(String(attributes.get("cache.key_hash")), /^[\w-]{8}$/)
        }
      })
    )
  })
})

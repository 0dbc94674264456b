/**
 * A million invalidated tags, on a real Redis. `TAGS_COUNT` says how many instead.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import type * as RedisCache from "../../../src/RedisCache.js"
import { awaitUntil, freshPrefix, RedisServer } from "../../support/redis.js"
import { type Node, node } from "../../support/redis-nodes.js"

const count = Number(process.env.TAGS_COUNT ?? 1_000_000)
const atOnce = 10_000
const entries = 500
const hour = { ttl: "1 hour" } as const
const patient = { timeout: "1 minute", connectTimeout: "1 minute" } as const
const limit = 1_200_000

const prepare = (of: Node) =>
  Effect.forEach(
    Array.from({ length: entries }, (_, i) => i),
    (i) =>
      Effect.zipRight(
        of.store.set(`plain${i}`, i, hour),
        of.store.set(`tagged${i}`, i, { ...hour, tags: [`other${i}`] })
      ),
    { concurrency: 100, discard: true }
  )

const invalidate = (of: Node, tags: number) =>
  Effect.forEach(
    Array.from({ length: Math.ceil(tags / atOnce) }, (_, page) => page * atOnce),
    (from) =>
      of.store.tags.invalidate(
        Array.from({ length: Math.min(atOnce, tags - from) }, (_, i) => `invalidated${from + i}`)
      ),
    { discard: true }
  )

/** How many entries of a kind are hits. */
const hits = (of: Node, kind: "plain" | "tagged") =>
  Effect.map(
    Effect.forEach(
      Array.from({ length: entries }, (_, i) => `${kind}${i}`),
      (key) => of.store.has(key),
      { concurrency: 1 }
    ),
    (found) => found.filter((isHit) => isHit).length
  )

/**
 * Waits until a store knows the marks of others. The first read fetches them page by page, and may be given up on a busy
 * machine; the next one fetches the rest.
 */
const marksRead = (of: Node) => awaitUntil(of.store.has("plain0"), "the marks are read")

const commands = Effect.flatMap(RedisServer, ({ client }) =>
  Effect.map(
    Effect.promise(() => client.info("stats")),
    (text) => Number(/total_commands_processed:(\d+)/.exec(text)![1])
  )
)

/** How many commands Redis gets while the effect runs. */
const commandsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* commands
    const value = yield* effect
    return [value, (yield* commands) - before - 1] as const
  })

layer(RedisServer.layer)("law 16: no scans - many invalidated tags", (it) => {
  describe("Redis", () => {
    it.scoped(
      "the default bound - entries without tags and with other tags stay hits, by the commands of before",
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const [a, b] = [yield* node({ prefix, ...patient }), yield* node({ prefix, ...patient })]
          yield* prepare(a)
          const [, before] = yield* commandsOf(hits(b, "plain"))
          yield* invalidate(a, count)
          const cold = yield* node({ prefix, ...patient })
          for (const each of [a, b, cold]) {
            yield* marksRead(each)
            assert.strictEqual(yield* hits(each, "tagged"), entries)
            const [plain, after] = yield* commandsOf(hits(each, "plain"))
            assert.strictEqual(plain, entries)
            assert.isAtMost(after, before + 2, "the marks are used once a minute")
          }
          yield* a.store.set("late", 1, { ...hour, tags: [`invalidated${count - 1}`, "invalidated0"] })
          yield* a.store.tags.invalidate(["invalidated0"])
          for (const each of [a, b, cold]) assert.isFalse(yield* each.store.has("late"))
        }),
      limit
    )

    it.scoped(
      "a bound of 10 000 - entries without tags stay hits, and of the others those that share no bucket",
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const options: RedisCache.Options = { prefix, maxMarks: 10_000, ...patient }
          const [a, b] = [yield* node(options), yield* node(options)]
          yield* prepare(a)
          yield* invalidate(a, 20_000)
          const cold = yield* node(options)
          const share = Math.exp(-10_000 / 65_536)
          for (const each of [a, b, cold]) {
            yield* marksRead(each)
            assert.strictEqual(yield* hits(each, "plain"), entries)
            assert.approximately((yield* hits(each, "tagged")) / entries, share, 0.06)
          }
          yield* invalidate(b, count)
          for (const each of [a, b, cold, yield* node(options)]) {
            yield* marksRead(each)
            assert.strictEqual(yield* hits(each, "plain"), entries)
          }
          yield* b.store.set("late", 1, { ...hour, tags: ["late"] })
          for (const each of [a, b, cold]) assert.isTrue(yield* each.store.has("late"))
        }),
      limit
    )
  })
})

/**
 * Messages of a foreign writer on the channel of notifications.
 */
import { describe, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Cached } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import * as Messages from "../../../src/internal/backends/redis/messages.js"
import { recordWarnings } from "../../laws/support.js"
import { awaitUntil, freshPrefix, RedisServer } from "../../support/redis.js"
import { coherent, hybrid, minute, type Node, nodeOf, realNow, same } from "../../support/redis-nodes.js"

const deep = "[".repeat(20_000) + "]".repeat(20_000)
const badName = '{"toString":0}'

/** Messages that are never read, by the part that is wrong with them. */
const unreadable: Readonly<Record<string, (prefix: string) => string>> = {
  "no JSON": () => "garbage",
  "no text": () => "",
  null: () => "null",
  "a list": () => "[]",
  "a number": () => "1",
  "no process": (prefix) => `{"k":["${prefix}k","1"]}`,
  "a process that is a list": () => '{"n":[],"f":"0","l":"0","m":{}}',
  "a key that is a record": () => `{"n":"x","k":[${badName},"1"]}`,
  "a key that is nested deeply": () => `{"n":"x","k":[${deep},"1"]}`,
  "keys that are a record": () => '{"n":"x","k":{"length":2}}',
  "keys that are a number": () => '{"n":"x","k":7}',
  "keys without their last stamp": (prefix) => `{"n":"x","k":["${prefix}k"]}`,
  "a stamp of a key that is a record": (prefix) => `{"n":"x","k":["${prefix}k",{"valueOf":0}]}`,
  "a stamp of a key that is no number": (prefix) => `{"n":"x","k":["${prefix}k","one"]}`,
  "a stamp of a key that is empty": (prefix) => `{"n":"x","k":["${prefix}k",""]}`,
  "a stamp of a key that is NaN": (prefix) => `{"n":"x","k":["${prefix}k","NaN"]}`,
  "a stamp of a key that is negative": (prefix) => `{"n":"x","k":["${prefix}k","-2"]}`,
  "a stamp of a key that is beyond all": (prefix) => `{"n":"x","k":["${prefix}k","1e300"]}`,
  "a stamp of a key that is infinite": (prefix) => `{"n":"x","k":["${prefix}k","Infinity"]}`,
  "a stamp of endless length": (prefix) => `{"n":"x","k":["${prefix}k","${"0".repeat(1_000)}1"]}`,
  "a floor that is a record": () => '{"n":"x","f":{"toString":1},"l":"0","m":{}}',
  "a floor that is infinite": () => '{"n":"x","f":"Infinity","l":"0","m":{}}',
  "a floor that is beyond all": () => '{"n":"x","f":"1e300","l":"0","m":{}}',
  "a loss that is no number": () => '{"n":"x","f":"0","l":"inf","m":{}}',
  "no floor": () => '{"n":"x","m":{}}',
  "a mark that is a record": () => `{"n":"x","f":"0","l":"0","m":[${badName},"1"]}`,
  "a mark with a stamp beyond all": () => '{"n":"x","f":"0","l":"0","m":["t:t","1e300"]}',
  "marks that are text": () => '{"n":"x","f":"0","l":"0","m":"t:t"}',
  "a lock that is a record": () => `{"n":"x","u":${badName}}`,
  "a lock of another prefix": () => '{"n":"x","u":"elsewhere"}'
}

/** Messages with stamps that nothing can have reached yet. */
const ahead: Readonly<Record<string, (prefix: string, stamp: string) => string>> = {
  "a key": (prefix, stamp) => `{"n":"x","k":["${prefix}user:1","${stamp}"]}`,
  "a floor": (_, stamp) => `{"n":"x","f":"${stamp}","l":"0","m":{}}`,
  "a loss": (_, stamp) => `{"n":"x","f":"0","l":"${stamp}","m":{}}`,
  "a mark of a tag": (_, stamp) => `{"n":"x","f":"0","l":"0","m":["t:t","${stamp}"]}`
}

const ignored = (of: Node) =>
  Effect.map(of.store.health, ({ problems }) => problems.find(({ name }) => name === "MessageIgnored")?.count ?? 0)

const publish = (prefix: string, text: string) =>
  Effect.flatMap(RedisServer, ({ client }) => Effect.promise(() => client.publish(`${prefix}!news`, text)))

const users = () => {
  const calls: Array<number> = []
  const user = Cached.ttl((id: number) => Effect.sync(() => calls.push(id)), {
    key: "user:{}",
    tags: ["t"],
    ...minute
  })
  return { calls, user }
}

describe("RedisCache, messages of strangers", () => {
  layer(RedisServer.layer)("on a real Redis", (it) => {
    it.scoped("messages that cannot be read - are counted and said once, and the next notification arrives", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const { layer: log, lines } = recordWarnings()
        const a = yield* Effect.provide(hybrid({ l2: { prefix } }), log)
        const { calls, user } = users()
        yield* a.run(user(1))
        const messages = Object.values(unreadable)
        for (const message of messages) yield* publish(prefix, message(prefix))
        yield* awaitUntil(
          Effect.map(ignored(a), (count) => count === messages.length),
          "each is counted"
        )
        same(lines.length, 1)
        yield* a.run(user(1))
        same(calls, [1], "the copy is still there")
        const b = yield* hybrid({ l2: { prefix } })
        yield* b.run(user.invalidate(1))
        yield* awaitUntil(
          Effect.map(
            a.run(
              Effect.zipRight(
                user(1),
                Effect.sync(() => calls.length)
              )
            ),
            (count) => count === 2
          ),
          "the invalidation arrives"
        )
      })
    )

    it.scoped("messages with stamps from the future - are not used, and caching goes on", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const a = yield* hybrid({ l2: { prefix } })
        const { calls, user } = users()
        yield* a.run(user(1))
        yield* a.written
        let count = 0
        for (const [what, message] of Object.entries(ahead)) {
          yield* publish(prefix, message(prefix, String(realNow() + 86_400_000)))
          count++
          yield* awaitUntil(
            Effect.map(ignored(a), (ignored) => ignored === count),
            `it is ignored: ${what}`
          )
          yield* a.run(user(1))
          same(calls, [1], what)
        }
        // what this process writes now is neither ahead nor behind
        yield* a.run(Cached.invalidateTags(["t"]))
        yield* a.run(user(1))
        yield* a.run(user(1))
        same(calls, [1, 1])
      })
    )

    it.scoped("a server whose clock is ahead - is asked, and its notifications count", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        const prefix = yield* freshPrefix
        const a = yield* hybrid({ l2: { prefix } })
        const { calls, user } = users()
        yield* a.run(user(1))
        yield* a.written
        // another process, which this one has not heard of, has raised the count by an hour
        const count = (yield* Effect.promise(() => client.get(`${prefix}!{marks}:count`)))!.split(" ").map(Number)
        const later = count.map((at) => at + 3_600_000)
        yield* Effect.promise(() => client.set(`${prefix}!{marks}:count`, later.join(" ")))
        yield* publish(prefix, `{"n":"x","k":["${prefix}user:1","${later[0]}"]}`)
        yield* Effect.promise(() => client.del(`${prefix}user:1`))
        yield* awaitUntil(
          Effect.map(
            a.run(
              Effect.zipRight(
                user(1),
                Effect.sync(() => calls.length)
              )
            ),
            (count) => count === 2
          ),
          "the copy is gone"
        )
        same(yield* ignored(a), 0)
      })
    )

    it.scoped("mirrors and waits for locks - survive such messages, too", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const reader = nodeOf(yield* RedisCache.make({ url: redis.url, prefix }))
        const writer = nodeOf(yield* RedisCache.make({ url: redis.url, prefix }))
        const mirror = yield* reader.run(Cached.bgRead<number>({ key: "flags", interval: "1 hour" }))
        yield* awaitUntil(
          Effect.map(
            Effect.promise(() => redis.client.pubsub("NUMSUB", `${prefix}!news`)),
            ([, count]) => count === 1
          ),
          "the reader listens"
        )
        for (const message of Object.values(unreadable)) yield* publish(prefix, message(prefix))
        for (const message of Object.values(ahead)) yield* publish(prefix, message(prefix, "8000000000000"))
        yield* awaitUntil(
          Effect.map(ignored(reader), (count) => count > Object.values(unreadable).length),
          "they are counted"
        )
        yield* writer.run(Cached.bgWrite(Effect.succeed(7), { key: "flags", interval: "1 hour" }))
        yield* awaitUntil(Effect.map(mirror, Option.isSome), "the mirror has the value")
      })
    )

    it.scoped("a message that is too long to parse - makes copies in memory count no longer", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const a = yield* hybrid({ l2: { prefix } })
        const { calls, user } = users()
        yield* a.run(user(1))
        yield* a.written
        // a value that nobody announced
        const redis = yield* RedisServer
        yield* Effect.promise(() => redis.client.del(`${prefix}user:1`))
        yield* publish(prefix, `{"n":"x","k":["${"x".repeat(9 * 1024 * 1024)}","1"]}`)
        yield* awaitUntil(
          Effect.map(
            a.run(
              Effect.zipRight(
                user(1),
                Effect.sync(() => calls.length)
              )
            ),
            (count) => count === 2
          ),
          "the copy is not used"
        )
        yield* coherent(a, true)
      })
    )
  })

  layer(RedisServer.layer)("parsing", (it) => {
    const reader = { processId: "me", keyOf: (name: string) => (name.startsWith("p:") ? name.slice(2) : undefined) }

    it.effect("what the scripts publish - is read", () =>
      Effect.sync(() => {
        same(Messages.parse('{"n":"me","k":["p:a","1"]}', reader), "own")
        same(Messages.parse('{"n":"x","u":"p:a"}', reader), { _tag: "Free", key: "a" })
        same(Messages.parse('{"n":"x","k":["p:a","1.5","q:b","2"]}', reader), {
          _tag: "Keys",
          keys: [{ key: "a", stamp: 1.5 }]
        })
        same(Messages.parse('{"n":"x","f":"-1","l":"3","m":{}}', reader), {
          _tag: "Marks",
          marks: { floor: -1, lost: 3, raised: [] }
        })
        same(Messages.parse('{"n":"x","f":"2","l":"3","m":["t:a","4"]}', reader), {
          _tag: "Marks",
          marks: { floor: 2, lost: 3, raised: [["t:a", 4]] }
        })
      })
    )

    it.effect("what nobody of this library publishes - is not", () =>
      Effect.sync(() => {
        for (const [what, message] of Object.entries(unreadable)) {
          same(Messages.parse(message("p:"), reader), undefined, what)
        }
      })
    )
  })
})

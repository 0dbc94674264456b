/**
 * Redis as it is run: numbered databases, Unix sockets, users of limited rights, renamed commands. What a store cannot
 * use is reported by name, and nothing is kept in another place than the one that was asked for.
 */
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Cached } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { makeLookup, recordWarnings } from "../../laws/support.js"
import { awaitUntil, freshPrefix, live, RedisServer } from "../../support/redis.js"
import { coherent, minute, type Node, nodeOf, same } from "../../support/redis-nodes.js"

const rejections: Array<unknown> = []
const onRejection = (reason: unknown) => void rejections.push(reason)
beforeAll(() => void process.on("unhandledRejection", onRejection))
afterAll(() => {
  process.off("unhandledRejection", onRejection)
  same(rejections, [])
})

const made = <A>(promise: () => Promise<A>) => Effect.promise(promise)

const quick = { timeout: "500 millis", connectTimeout: "300 millis" } as const

const kinds = {
  redis: (options: RedisCache.Options) => Effect.map(RedisCache.make({ ...quick, ...options }), nodeOf),
  "memory over redis": (l2: RedisCache.Options) =>
    Effect.map(RedisCache.makeHybrid({ l2: { ...quick, ...l2 } }), nodeOf)
} as const

const numbers = () => {
  const { lookup, calls } = makeLookup((id: number) => Effect.succeed(id))
  return { find: Cached.ttl(lookup, { key: "k:{}", ...minute, tags: ["t"] }), calls }
}

/** Uses every verb once. None may fail. */
const use = (of: Node) =>
  Effect.gen(function* () {
    const { find } = numbers()
    same(yield* of.run(Effect.forEach([1, 2, 1], (id) => find(id))), [1, 2, 1])
    yield* of.run(find.invalidate(1))
    yield* of.store.tags.invalidate(["t"])
    yield* of.run(find.clear)
    yield* of.store.set("by hand", 1, minute)
    yield* of.store.remove("by hand")
    assert.strictEqual(yield* of.run(find(1)), 1)
  })

const problem = (of: Node, name: string) =>
  awaitUntil(
    Effect.map(of.store.health, ({ problems }) => problems.some((each) => each.name === name)),
    `health lists ${name}`
  )

const socket = path.join(os.tmpdir(), `effect-cached-${process.pid}.sock`)

layer(RedisServer.layerWith({ args: ["--unixsocket", socket] }))("Redis as it is run", (it) => {
  const addUser = (name: string, ...rules: ReadonlyArray<string>) =>
    Effect.flatMap(RedisServer, (redis) =>
      Effect.as(
        made(() => redis.client.call("ACL", "SETUSER", name, "reset", "on", ">pw", ...rules)),
        (database = "") => `redis://${name}:pw@127.0.0.1:${redis.port}${database}`
      )
    )

  describe("databases", () => {
    it.scoped("a database of the server - is used, by the notifications too", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        for (const url of [`${redis.url}/3`, `redis+unix://${socket}?db=3`]) {
          const a = yield* kinds["memory over redis"]({ url, prefix })
          yield* coherent(a, true)
          yield* a.store.set("k", 1, minute)
        }
        same(yield* made(() => redis.client.keys(`${prefix}k`)), [])
        const other = redis.client.duplicate({ db: 3 })
        same(yield* made(() => other.keys(`${prefix}k`)), [`${prefix}k`])
        other.disconnect()
      })
    )

    const refused: ReadonlyArray<
      readonly [what: string, options: Effect.Effect<RedisCache.Options, never, RedisServer>]
    > = [
      ["out of range, in the url", Effect.map(RedisServer, ({ url }) => ({ url: `${url}/99` }))],
      ["out of range, as an option", Effect.map(RedisServer, ({ url }) => ({ url, redis: { db: 99 } }))],
      [
        "that the user may not select",
        Effect.map(addUser("no-select", "~*", "&*", "+@all", "-select"), (url) => ({ url: url("/1") }))
      ]
    ]
    for (const [kind, open] of Object.entries(kinds)) {
      for (const [what, options] of refused) {
        it.scoped(`${kind}, a database ${what} - is reported, and nothing is written to database 0`, () => {
          const { lines, layer } = recordWarnings()
          return Effect.gen(function* () {
            const redis = yield* RedisServer
            const prefix = yield* freshPrefix
            const a = yield* open({ ...(yield* options), prefix })
            yield* use(a)
            yield* problem(a, "CommandRefused")
            same((yield* a.store.health).status, "down")
            yield* live(Effect.sleep("1200 millis"))
            same(yield* made(() => redis.client.keys(`${prefix}*`)), [])
            same(
              lines.filter((line) => /DB index is out of range|NOPERM/.test(line) && line.includes("is not used"))
                .length,
              1
            )
          }).pipe(Effect.provide(layer))
        })
      }
    }
  })
})

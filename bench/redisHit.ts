/**
 * What does a hit in Redis cost beside a plain `get` and `JSON.parse` over the same client library, and a miss with the
 * write that follows it beside a plain `get` and `set`?
 */
import { Effect } from "effect"
import { Redis } from "ioredis"
import type { Cache } from "./rivals/rival.js"
import { concurrently, contenders, type Question, repeated, result, verifyMany } from "./support/contend.js"
import { type Contender, check, countOf, report, type Section, section, verify } from "./support/harness.js"
import { runtime } from "./support/memory.js"
import { serverApart } from "./support/server.js"

const keys = 500

const record = (id: number) => ({
  id,
  name: `user ${id}`,
  email: `user${id}@example.com`,
  tags: ["alpha", "beta", "gamma"],
  address: { street: "Main Street", number: id % 200, city: "Springfield", zip: "12345" },
  scores: Array.from({ length: 20 }, (_, i) => i * id)
})

type User = ReturnType<typeof record>

const client = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new Redis(url)),
    (client) => Effect.sync(() => client.disconnect())
  )

/** What the questions have in common: the libraries that read records through Redis. */
const reading = (url: string, operations: number): Omit<Question<User>, "prepare"> => ({
  place: "redis",
  url,
  load: record,
  idOf: ({ id }) => id,
  has: ({ calls }) => calls.read !== undefined,
  operations,
  fixed: true
})

const measureHits = (concurrency: number) => (title: string) =>
  Effect.gen(function* () {
    const { url } = yield* serverApart
    const operations = countOf(concurrency === 1 ? 5_000 : 20_000)
    const plain = yield* client(url)
    const get = async (id: number): Promise<User> => JSON.parse((await plain.get(`plain:${id}`))!)
    const fill = Effect.promise(async () => {
      await plain.mset("marks", "0 12345678 1234567890123.25", "count", "1234567890123.25 1234567890123.25 0")
      for (let id = 0; id < keys; id++) await plain.set(`plain:${id}`, JSON.stringify(record(id)))
    })
    /** Reads by the client alone, in Effect as those of this library, or in promises as those of the others. */
    const bare = (name: string, cache: Cache<User>, call: (i: number) => unknown): Contender => ({
      name,
      isOther: true,
      operations,
      run: Effect.gen(function* () {
        yield* fill
        yield* check(name, (yield* result<User>(cache, () => call(7))).id, 7)
      }).pipe(Effect.as(concurrently(cache, (i) => call(i % keys), operations, concurrency)))
    })
    /** Reads as this library does: with the marks and the count, by which it knows what was invalidated. */
    const getMarked = async (id: number): Promise<User> => {
      const [text, marks, count] = await plain.mget(`plain:${id}`, "marks", "count")
      if (marks === undefined || count === undefined) throw new Error("no answer")
      return JSON.parse(text!)
    }
    const floor = "ioredis.get + JSON.parse"
    const rivals = yield* contenders<User>({
      ...reading(url, operations),
      prepare: (entrant) => {
        const { cache } = entrant
        const read = cache.calls.read!
        return Effect.gen(function* () {
          yield* verifyMany(entrant, ({ id }) => id, keys)
          const { scores } = yield* result<User>(cache, () => read(7))
          yield* verify("the record", scores.join(), record(7).scores.join())
        }).pipe(Effect.as(concurrently(cache, (i) => read(i % keys), operations, concurrency)))
      }
    })
    yield* report({
      title,
      floor,
      bounds: concurrency === 64 ? { "Cached.ttl": 1 } : {},
      clock: "wall",
      rounds: 9,
      contenders: [
        bare(
          floor,
          { kind: "effect", run: (effect) => runtime.runPromise(effect as Effect.Effect<any>), calls: {} },
          (id) => Effect.promise(() => get(id))
        ),
        ...rivals,
        bare("the same, no Effect", { kind: "promise", calls: {} }, get),
        bare("ioredis.mget of three keys + JSON.parse", { kind: "promise", calls: {} }, getMarked)
      ]
    })
  })

/** Every run reads new keys. It ends when all is written. */
const measureMisses = (title: string) =>
  Effect.gen(function* () {
    const { url } = yield* serverApart
    const operations = countOf(4_000)
    const plain = yield* client(url)
    const floor = "ioredis.get, then set"
    let next = 0
    const getThenSet = async (id: number): Promise<User> => {
      const text = await plain.get(`plain:${id}`)
      if (text !== null) throw new Error("the key is there already")
      const loaded = record(id)
      await plain.set(`plain:${id}`, JSON.stringify(loaded), "PX", 3_600_000)
      return loaded
    }
    const rivals = yield* contenders<User>({
      ...reading(url, operations),
      prepare: (entrant) => {
        const { cache, loads } = entrant
        const read = cache.calls.read!
        let from = keys
        const run = Effect.gen(function* () {
          const begun = loads()
          const start = from
          from += operations
          yield* repeated(cache, (i) => read(start + i), operations)
          if (cache.kind === "effect" && cache.stored !== undefined) yield* Effect.promise(cache.stored)
          yield* check("loads", loads() - begun, operations)
        })
        return Effect.as(
          verifyMany(entrant, ({ id }) => id, keys),
          run
        )
      }
    })
    const bare: Contender = {
      name: floor,
      isOther: true,
      operations,
      run: Effect.succeed(
        Effect.promise(async () => {
          for (let i = 0; i < operations; i++) await getThenSet(next++)
        })
      )
    }
    yield* report({ title, floor, clock: "wall", rounds: 9, contenders: [bare, ...rivals] })
  })

export const redisHit: ReadonlyArray<Section> = [
  ...[1, 64].map((concurrency) =>
    section(`hit in Redis, 700 byte record, concurrency ${concurrency}`, measureHits(concurrency))
  ),
  section("miss and write in Redis, 700 byte record, concurrency 1", measureMisses)
]

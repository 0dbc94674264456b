/**
 * What does a batch of 100 loads cost, beside 100 single loads and beside a bare `RequestResolver`? And 100 hits in
 * Redis at once, beside one command of the client?
 */
import { Effect, Exit, Layer, ManagedRuntime, Option, Request, RequestResolver } from "effect"
import { Cached, type CacheStore, MemoryCache } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { Redis } from "ioredis"
import { type Contender, check, type Group, groupSection, report, type Section, section } from "./support/harness.js"
import { services } from "./support/memory.js"
import { serverApart } from "./support/server.js"
import { inside, type Runtime } from "./support/tiers.js"

const batch = 100

/** A store of the default capacity, 10 000 entries. A miss includes its eviction. */
const runtime = ManagedRuntime.make(Layer.merge(MemoryCache.layer({ name: "bench batched" }), services))

const times = 30

/** Every run reads new keys, 100 at once. The results are checked by their sum. */
const misses = (
  name: string,
  read: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<number>, never, CacheStore>
): Contender => {
  let from = 0
  const once = Effect.suspend(() => {
    const ids = Array.from({ length: batch }, (_, i) => from + i)
    from += batch
    return Effect.flatMap(read(ids), (values) =>
      values[0] === ids[0] && values.length === batch ? Effect.void : check(name, values.length, batch)
    )
  })
  return {
    name,
    operations: times,
    run: Effect.succeed(Effect.promise(() => runtime.runPromise(Effect.repeatN(once, times - 1))))
  }
}

interface GetNumber extends Request.Request<number> {
  readonly _tag: "GetNumber"
  readonly id: number
}
const GetNumber = Request.tagged<GetNumber>("GetNumber")

const resolver = RequestResolver.makeBatched((requests: ReadonlyArray<GetNumber>) =>
  Effect.forEach(requests, (request) => Request.complete(request, Exit.succeed(request.id)), { discard: true })
)

const all = { concurrency: "unbounded" } as const

const missGroup = (): Omit<Group, "title"> => {
  const lookup = (id: number) => Effect.succeed(id)
  const single = Cached.ttl(lookup, { key: "single:{}", ttl: "1 hour" })
  const lookupMany = (ids: ReadonlyArray<number>) => Effect.succeed(ids.map((id) => [id, id] as const))
  const batched = Cached.batched(lookupMany, { key: "batched:{}", ttl: "1 hour" })
  const many = Cached.batched(lookupMany, { key: "many:{}", ttl: "1 hour" })
  return {
    floor: "Cached.ttl: 100 single misses",
    clock: "cpu",
    rounds: 15,
    contenders: [
      misses("Cached.ttl: 100 single misses", (ids) => Effect.forEach(ids, single, all)),
      misses("Cached.batched: 100 misses", (ids) =>
        Effect.map(Effect.forEach(ids, batched, all), (values) => values.map(Option.getOrThrow))
      ),
      misses("Cached.batched: many of 100", (ids) =>
        Effect.map(many.many(ids), (values) => values.map(Option.getOrThrow))
      ),
      misses("a bare RequestResolver", (ids) =>
        Effect.forEach(ids, (id) => Effect.request(GetNumber({ id }), resolver), { ...all, batching: true })
      )
    ]
  }
}

/** 100 hits in Redis at once. */
const measureHits = (title: string) =>
  Effect.gen(function* () {
    const { url } = yield* serverApart
    const store: Runtime = ManagedRuntime.make(RedisCache.layer({ url, prefix: "batched:" }))
    const plain = new Redis(url)
    yield* Effect.addFinalizer(() => Effect.promise(() => Promise.all([store.dispose(), plain.disconnect()])))
    const ids = Array.from({ length: batch }, (_, i) => i)
    const user = (id: number) => ({ id, name: `user ${id}` })
    const getUser = Cached.batched(
      (missing: ReadonlyArray<number>) => Effect.succeed(missing.map((id) => [id, user(id)] as const)),
      { key: "user:{}", ttl: "1 hour" }
    )
    const operations = 50
    const repeated = (name: string, once: Effect.Effect<number>): Contender => ({
      name,
      operations,
      run: Effect.as(
        Effect.flatMap(once, (got) => check(name, got, batch)),
        Effect.asVoid(Effect.repeatN(once, operations - 1))
      )
    })
    yield* Effect.promise(() =>
      plain.mset(Object.fromEntries(ids.map((id) => [`plain:${id}`, JSON.stringify(user(id))])))
    )
    yield* inside(store, Effect.as(getUser.many(ids), batch))
    yield* report({
      title,
      floor: "ioredis: MGET + JSON.parse",
      clock: "wall",
      rounds: 11,
      contenders: [
        repeated(
          "ioredis: MGET + JSON.parse",
          Effect.promise(async () => {
            const texts = await plain.mget(ids.map((id) => `plain:${id}`))
            return texts.map((text) => JSON.parse(text!)).length
          })
        ),
        repeated(
          "Cached.batched: many of 100",
          inside(
            store,
            Effect.map(getUser.many(ids), (users) => users.filter(Option.isSome).length)
          )
        )
      ]
    })
  })

export const batched: ReadonlyArray<Section> = [
  groupSection(`batched loads of ${batch} missing keys in memory, per batch`, missGroup),
  section(`batched reads of ${batch} keys from Redis, per batch`, measureHits)
]

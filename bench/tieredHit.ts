/**
 * What does a hit in memory cost when Redis is behind it, beside a store of memory alone and beside other libraries with
 * two tiers?
 */
import { Effect } from "effect"
import { RedisServer } from "../test/support/redis.js"
import { ours } from "./rivals/ours.js"
import { contenders, type Entrant, repeated, result, stored, verifyMany, verifyOne } from "./support/contend.js"
import { type Contender, report, type Section, section, verify } from "./support/harness.js"
import { contender, n } from "./support/memory.js"

const keys = 10_000
const load = (id: number): number => id
const idOf = load

/** Measures hits of one key, or of 10 000 keys in turn. */
const hits = (isStatic: boolean) => (title: string) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    /** The number of commands that Redis has carried out. */
    const commands = Effect.map(redis.info("stats"), (info) => Number(info.total_commands_processed))

    const prepare = (entrant: Entrant<number>, operations: number) => {
      const { cache } = entrant
      const { one, read } = cache.calls
      const call: (i: number) => unknown = isStatic ? one! : (i) => read!(i % keys)
      return Effect.gen(function* () {
        if (isStatic) yield* verifyOne(entrant, idOf)
        else yield* verifyMany(entrant, idOf, keys)
        yield* stored(cache)
        const before = yield* commands
        yield* repeated(cache, call, 2_000)
        yield* verify("the value", yield* result(cache, () => call(7)), 7)
        // The connections say now and then that they are alive.
        yield* verify("whether hits stay in memory", (yield* commands) - before < 50, true)
      }).pipe(Effect.as(repeated(cache, call, operations)))
    }
    const has: Parameters<typeof contenders<number>>[0]["has"] = ({ calls }) =>
      (isStatic ? calls.one : calls.read) !== undefined
    const question = { load, idOf, has, operations: n, prepare }
    const [alone] = yield* contenders({ ...question, place: "memory", only: ours })
    const rivals = yield* contenders({ ...question, place: "tiered", url: redis.url })

    const map = new Map(Array.from({ length: keys }, (_, i) => [`user:${i}`, i]))
    const one = Effect.suspend(() => Effect.succeed(map.get("user:7")!))
    const bare: Contender = isStatic
      ? contender(
          "suspend(() => succeed(map.get(k)))",
          Effect.succeed(() => one),
          n,
          () => 7
        )
      : contender(
          "the same, key built",
          Effect.succeed((id) => Effect.suspend(() => Effect.succeed(map.get(`user:${id % keys}`)!))),
          n,
          (id) => id % keys
        )
    yield* report({
      title,
      floor: "Cached.ttl, MemoryCache",
      bounds: { "Cached.ttl, layerHybrid": 1.15 },
      clock: "cpu",
      rounds: 21,
      rate: "hits",
      contenders: [
        { ...alone!, name: "Cached.ttl, MemoryCache" },
        ...rivals.map((rival) => (rival.isOther ? rival : { ...rival, name: "Cached.ttl, layerHybrid" })),
        { ...bare, isOther: true }
      ]
    })
  })

export const tieredHit: ReadonlyArray<Section> = [
  section("hit in memory in front of Redis, static key", hits(true)),
  section(`hit in memory in front of Redis, template key over ${keys} keys`, hits(false))
]

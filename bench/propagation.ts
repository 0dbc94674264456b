/**
 * How long does a write take until it is in the mirror of another store?
 */
import { Effect, type Scope, Stream } from "effect"
import { Cached } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { Redis } from "ioredis"
import { awaitUntil, RedisServer } from "../test/support/redis.js"
import { now, type Section, section, table } from "./support/harness.js"
import { columns, on, spread } from "./support/stores.js"

/** Two stores with their own connections in one process, so the times include the turns of the writer and the reader. */
const propagation = (title: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { url } = yield* RedisServer.make()
    const [writer, web] = yield* Effect.all([RedisCache.make({ url }), RedisCache.make({ url })])
    const reader = yield* on(web)(Cached.bgRead<number>({ key: "k", interval: "1 hour" }))
    const [publisher, subscriber] = yield* Effect.acquireRelease(
      Effect.sync(() => [new Redis(url), new Redis(url)] as const),
      (both) => Effect.sync(() => void both.map((one) => one.disconnect()))
    )
    const arrived = new Map<number, number>()
    yield* Effect.forkScoped(
      Stream.runForEach(reader.changes, (value) => Effect.sync(() => void arrived.set(value, now())))
    )
    subscriber.on("message", (_, text: string) => arrived.set(-Number(text), now()))
    yield* Effect.promise(() => subscriber.subscribe("bare"))
    yield* writer.set("k", 0, { ttl: "1 hour" })
    yield* reader.ready
    yield* Effect.sleep("200 millis")
    const timed = (id: number, send: Effect.Effect<unknown>) =>
      Effect.gen(function* () {
        const begun = now()
        yield* send
        yield* awaitUntil(
          Effect.sync(() => arrived.has(id)),
          `${id} has arrived`
        )
        return arrived.get(id)! - begun
      })
    const writes = 300
    const bare: Array<number> = []
    const mirrored: Array<number> = []
    for (let i = 1; i <= writes; i++) {
      bare.push(
        yield* timed(
          -i,
          Effect.promise(() => publisher.publish("bare", String(i)))
        )
      )
      mirrored.push(yield* timed(i, writer.set("k", i, { ttl: "1 hour" })))
    }
    yield* table(title, [
      [`${writes} times, one after the other`, ...columns],
      ["bare PUBLISH, to the subscriber", ...spread(bare)],
      ["set, to the mirror", ...spread(mirrored)]
    ])
  })

export const propagations: ReadonlyArray<Section> = [section("from a write to the mirror", propagation)]

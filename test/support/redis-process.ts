/**
 * A process for tests: `redis-process.ts <program> <url> [<milliseconds that its clock is off>]`. It ends by itself.
 */
import type * as Effects from "effect/Effect"
import type { CacheStore as Store } from "../../src/index.js"

const [what, url, skew] = process.argv.slice(2)
const real = Date.now
Date.now = () => real() + Number(skew ?? 0)

const { Effect } = await import("effect")
const { Cached, CacheStore } = await import("../../src/index.js")
const RedisCache = await import("../../src/RedisCache.js")

const minute = { ttl: "1 minute" } as const
let loads = 0
const find = Cached.ttl((id: number) => Effect.sync(() => ({ id, load: ++loads, text: "x".repeat(2_000) })), {
  key: "item:{}",
  tags: ["items"],
  ...minute
})
const ids = Array.from({ length: 100 }, (_, i) => i)
const say = (line: string) => Effect.sync(() => void process.stdout.write(`${line}\n`))

const programs: Record<string, Effects.Effect<void, never, Store>> = {
  /** Reads all items, and prints how many were loaded. */
  read: Effect.gen(function* () {
    yield* Effect.forEach(ids, (id) => find(id), { concurrency: "unbounded" })
    yield* say(`loads ${loads}`)
  }),
  /** Writes for ever. */
  flood: Effect.gen(function* () {
    const store = yield* CacheStore
    for (let round = 0; ; round++) {
      const value = { round, text: String(round % 10).repeat(20_000) }
      yield* store.setMany(
        ids.map((id) => [`flood:${id}`, value] as const),
        minute
      )
      if (round === 3) yield* say("flooding")
    }
  }),
  /** Ends on SIGUSR2, while a `set` and a `clear` wait for their answers. */
  leave: Effect.gen(function* () {
    yield* find(1)
    const asked = new Promise((resolve) => process.once("SIGUSR2", resolve))
    yield* say("ready")
    yield* Effect.promise(() => asked)
    yield* Effect.forkDaemon(find.set(1)({ id: 1, load: 0, text: "set" }))
    yield* Effect.forkDaemon(find.clear)
    yield* Effect.sleep("10 millis")
  }),
  /** Uses the store, whatever its state. */
  use: Effect.gen(function* () {
    const store = yield* CacheStore
    yield* store.set("used", 1, minute)
    yield* find(1)
    yield* find.invalidate(2)
    yield* say((yield* store.health).status)
  })
}

// The programs that meet a Redis that does not answer do not wait for it; the others do, however busy the machine is.
const times =
  what === "leave" || what === "use"
    ? ({ timeout: "200 millis", connectTimeout: "300 millis" } as const)
    : ({ timeout: "10 seconds", connectTimeout: "10 seconds" } as const)

await Effect.runPromise(Effect.provide(programs[what!]!, RedisCache.layer({ url: url!, ...times })))
await say("end").pipe(Effect.runPromise)

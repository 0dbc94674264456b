/**
 * A worker: `writer-process.ts <url> <prefix> <name> <lease>`. While it leads, it writes its name and the number of its
 * loads under the key "k" every 100 ms.
 */
import { Effect } from "effect"
import { Cached } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"
import { emit, serve } from "./child.js"

const [url, prefix, name, lease] = process.argv.slice(2) as [string, string, string, string]

let loads = 0
/** The milliseconds that a load waits after it has begun. */
let pause = 0

await Effect.gen(function* () {
  const writer = yield* Cached.bgWrite(
    Effect.gen(function* () {
      const value = `${name}${++loads}`
      if (pause > 0) yield* emit(value)
      yield* Effect.sleep(pause)
      return value
    }),
    { key: "k", interval: 100, ttl: "1 minute", leader: { lease: Number(lease) } }
  )
  const commands: Commands = {
    leads: () => writer.leads,
    loads: () => Effect.sync(() => loads),
    slow: (millis: number) =>
      Effect.sync(() => {
        pause = millis
      })
  }
  yield* serve(commands)
}).pipe(Effect.scoped, Effect.provide(RedisCache.layer({ url, prefix, timeout: "10 seconds" })), Effect.runPromise)

export type Commands = {
  readonly leads: () => Effect.Effect<boolean>
  readonly loads: () => Effect.Effect<number>
  readonly slow: (millis: number) => Effect.Effect<void>
}

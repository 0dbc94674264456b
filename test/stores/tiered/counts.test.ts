/**
 * Two tiers that count by themselves, whose counts differ. Those whose clocks differ as well are in `clocks.test.ts`.
 */
import { describe, it } from "@effect/vitest"
import { Effect, Logger, LogLevel } from "effect"
import * as RedisCache from "effect-cached/RedisCache"
import { RedisServer } from "../../support/redis.js"
import { cases, openTiers, type Setting } from "./clockCases.js"

const countKey = "ec1:!{marks}:count"

/** Two servers. The count of each is so many milliseconds ahead of its clock. */
const make = (ahead: { readonly near: number; readonly far: number }) =>
  Effect.gen(function* () {
    const [near, far] = [yield* RedisServer.make(), yield* RedisServer.make()]
    const advance = ({ client }: RedisServer.Service, millis: number) =>
      Effect.promise(() => client.set(countKey, `${Date.now() + millis} 0 0`))
    if (ahead.near > 0) yield* advance(near, ahead.near)
    if (ahead.far > 0) yield* advance(far, ahead.far)
    const setting: Setting = {
      open: openTiers(near, RedisCache.backend({ url: far.url })),
      flush: Effect.asVoid(Effect.promise(() => near.client.flushall())),
      hang: near.stop,
      answerAgain: near.cont
    }
    return setting
  })

describe("two tiers that count", () => {
  for (const [name, ahead] of [
    ["equal counts", { near: 0, far: 0 }],
    ["the faster one is 5 s ahead", { near: 5_000, far: 0 }],
    ["the slower one is 5 s ahead", { near: 0, far: 5_000 }],
    ["the faster one is 2 min ahead", { near: 120_000, far: 0 }],
    ["the slower one is 2 min ahead", { near: 0, far: 120_000 }]
  ] as const) {
    describe(name, () => {
      for (const [what, act] of Object.entries(cases)) {
        it.scopedLive(what, () => Effect.flatMap(make(ahead), act).pipe(Logger.withMinimumLogLevel(LogLevel.None)))
      }
    })
  }
})

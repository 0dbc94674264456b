/**
 * Two tiers whose clocks differ: Redis in front of another Redis, and in front of files, which have the clock of this
 * process. Drift is a difference that grows, and steps make one.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { describe, it } from "@effect/vitest"
import { Effect, Logger, LogLevel, type Scope } from "effect"
import type { Backend } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import * as RedisCache from "effect-cached/RedisCache"
import { RedisServer } from "../../support/redis.js"
import * as ServerClock from "../../support/serverClock.js"
import { cases, openTiers, type Setting } from "./clockCases.js"

/** The slower tier. */
const fars = {
  "another Redis": Effect.map(RedisServer.make(), ({ url }) => RedisCache.backend({ url })),
  files: Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-tiers-"))),
      (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
    ),
    (directory) => FileCache.backend({ directory, marksEvery: 0 }).pipe(Effect.provide(NodeContext.layer))
  )
}

const make = (far: (typeof fars)[keyof typeof fars], ahead: number, step: number) =>
  Effect.gen(function* () {
    const clock = yield* ServerClock.make
    clock.set(ahead)
    const near = yield* RedisServer.make({ env: clock.env })
    const backend = yield* far as Effect.Effect<Effect.Effect<Backend.Backend, never, Scope.Scope>, never, Scope.Scope>
    const setting: Setting = {
      open: openTiers(near, backend),
      // the clock is that of another server, too
      flush: Effect.promise(async () => {
        clock.set(ahead + step)
        await near.client.flushall()
      }),
      hang: near.stop,
      answerAgain: Effect.zipRight(
        Effect.sync(() => clock.set(ahead + step)),
        near.cont
      )
    }
    return setting
  })

describe("two tiers with clocks of their own", () => {
  for (const [name, far] of Object.entries(fars)) {
    for (const [what, ahead, step] of [
      ["Redis is 5 s behind", -5_000, 0],
      ["Redis is 5 s ahead", 5_000, 0],
      ["Redis is 40 s behind", -40_000, 0],
      ["Redis is 40 s ahead", 40_000, 0],
      ["the Redis that takes over is 5 s behind", 0, -5_000],
      ["the Redis that takes over is 5 s ahead", 0, 5_000],
      ["the Redis that takes over is 40 s behind", 0, -40_000]
    ] as const) {
      describe(`${name}, ${what}`, () => {
        for (const [title, act] of Object.entries(cases)) {
          it.scopedLive(title, () =>
            Effect.flatMap(make(far, ahead, step), act).pipe(Logger.withMinimumLogLevel(LogLevel.None))
          )
        }
      })
    }
  }
})

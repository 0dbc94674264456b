/** Choosing the Redis of an example, and running an example as a process. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Config, Console, Data, Effect, Logger, LogLevel, Option, type Scope } from "effect"
import { RedisServer } from "../../test/support/redis.js"
import * as RedisBinary from "../../test/support/redisBinary.js"

/** A mistake the user can correct: one line, and exit code 1. */
export class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

/** Runs a tour on the Redis at REDIS_URL, or on one that is started for it and ends with it. */
export const onRedis = <E>(
  tour: (url: string, own: RedisServer.Service | undefined) => Effect.Effect<void, E, Scope.Scope>
) =>
  Effect.gen(function* () {
    const yours = Option.getOrUndefined(yield* Config.option(Config.nonEmptyString("REDIS_URL")))
    if (yours !== undefined) {
      if (!(URL.canParse(yours) && /^rediss?:\/\/./.test(yours))) {
        return yield* new Refused({ message: "the URL of a Redis looks like redis://host:6379" })
      }
      return yield* tour(yours, undefined)
    }
    yield* Effect.try({
      try: () => RedisBinary.require(),
      catch: (missing) => new Refused({ message: (missing as Error).message })
    })
    const own = yield* RedisServer.make()
    yield* tour(own.url, own)
  }).pipe(Effect.scoped)

/** Runs a program as the whole of this process. A failure is printed as one line; other logging is off. */
export const runMain = (program: Effect.Effect<void, unknown>): void =>
  program.pipe(
    Effect.tapError((error) => Console.error(error instanceof Error ? error.message : String(error))),
    Effect.tapDefect((cause) => Console.error(Cause.pretty(cause))),
    Logger.withMinimumLogLevel(LogLevel.Error),
    NodeRuntime.runMain({ disableErrorReporting: true })
  )

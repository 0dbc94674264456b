import { afterAll, describe, it } from "@effect/vitest"
import { Effect, ManagedRuntime } from "effect"
import * as RedisCache from "../../../src/RedisCache.js"
import { CacheStoreSuite } from "../../../src/testing.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

// on a machine that is busy with other suites a command may take longer than the default timeout
const timeout = "5 seconds"

CacheStoreSuite.run(
  "RedisCache",
  {
    medium: Effect.gen(function* () {
      const { client, url } = yield* Effect.promise(() => server.runPromise(RedisServer))
      const prefix = yield* freshPrefix
      return {
        backend: RedisCache.backend({ url, prefix, timeout, connectTimeout: timeout }),
        corrupt: (key) => Effect.promise(() => client.setrange(prefix + key, 44, "\u0000garbage"))
      }
    }),
    // the cases run at the same time
    timeout: "1 minute"
  },
  { describe: describe.concurrent, it }
)

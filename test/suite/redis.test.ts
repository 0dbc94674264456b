import { afterAll, describe, it } from "@effect/vitest"
import { Effect, ManagedRuntime } from "effect"
import * as RedisCache from "../../src/RedisCache.js"
import { CacheStoreSuite } from "../../src/testing.js"
import { freshPrefix, RedisServer } from "../support/redis.js"

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

CacheStoreSuite.run(
  "RedisCache",
  {
    medium: Effect.gen(function* () {
      const { client, url } = yield* Effect.promise(() => server.runPromise(RedisServer))
      const prefix = yield* freshPrefix
      return {
        backend: RedisCache.backend({ url, prefix }),
        corrupt: (key) => Effect.promise(() => client.setrange(prefix + key, 44, "\u0000garbage"))
      }
    })
  },
  { describe: describe.concurrent, it }
)

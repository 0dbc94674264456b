import { afterAll } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime } from "effect"
import * as RedisCache from "../../../src/RedisCache.js"
import { storeLaws } from "../../laws/index.js"
import type { StoreUnderTest } from "../../laws/support.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

const layer = Layer.unwrapEffect(
  Effect.zipWith(
    Effect.promise(() => server.runPromise(RedisServer)),
    freshPrefix,
    ({ url }, prefix) => RedisCache.layerHybrid({ l2: { url, prefix } })
  )
)

const store: StoreUnderTest = { name: "memory over redis", layer, remote: true }

storeLaws(store)

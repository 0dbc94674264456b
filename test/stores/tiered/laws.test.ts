import { afterAll } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime } from "effect"
import * as RedisCache from "../../../src/RedisCache.js"
import { bounds } from "../../laws/bounds.js"
import { freshness } from "../../laws/freshness.js"
import type { StoreUnderTest } from "../../laws/support.js"
import { values } from "../../laws/values.js"
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

freshness(store)
values(store)
bounds(store)

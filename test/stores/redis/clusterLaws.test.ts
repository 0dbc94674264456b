import { afterAll } from "@effect/vitest"
import { Context, Effect, Layer, ManagedRuntime } from "effect"
import * as RedisCache from "../../../src/RedisCache.js"
import { lifetimeLaws, sweepLaws, valueLaws } from "../../laws/index.js"
import type { StoreUnderTest } from "../../laws/support.js"
import { freshPrefix } from "../../support/redis.js"
import { makeCluster, type RedisCluster } from "../../support/redisCluster.js"

class TheCluster extends Context.Tag("test/TheCluster")<TheCluster, RedisCluster>() {}

const server = ManagedRuntime.make(Layer.scoped(TheCluster, makeCluster({ nodeTimeout: 5_000 })))
afterAll(() => server.dispose())

const layer = Layer.unwrapEffect(
  Effect.zipWith(
    Effect.promise(() => server.runPromise(TheCluster)),
    freshPrefix,
    ({ addresses }, prefix) => RedisCache.layer({ cluster: addresses, prefix })
  )
)

const store: StoreUnderTest = { name: "redis cluster", layer, remote: true }

lifetimeLaws(store)
valueLaws(store)
sweepLaws(store)

import { afterAll } from "@effect/vitest"
import { Context, Effect, Layer, ManagedRuntime } from "effect"
import { CacheStore } from "../../../src/CacheStore.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { storeLaws } from "../../laws/index.js"
import type { StoreUnderTest } from "../../laws/support.js"
import { awaitUntil, freshPrefix, RedisServer } from "../../support/redis.js"

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

const layer = Layer.unwrapEffect(
  Effect.zipWith(
    Effect.promise(() => server.runPromise(RedisServer)),
    freshPrefix,
    ({ url }, prefix) => RedisCache.layerHybrid({ l2: { url, prefix } })
  )
).pipe(
  // a value that was loaded before the first notification arrived may be loaded once more
  Layer.tap((context) =>
    awaitUntil(
      Effect.map(Context.get(context, CacheStore).health, ({ coherent }) => coherent),
      "notifications arrive"
    )
  )
)

const store: StoreUnderTest = { name: "memory over redis", layer, remote: true }

storeLaws(store)

import { afterAll } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime } from "effect"
import * as RedisCache from "../../../src/RedisCache.js"
import { loadLaws } from "../../laws/index.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

const onServer = <A>(use: (redis: RedisServer.Service) => Effect.Effect<A>): Effect.Effect<A> =>
  Effect.promise(() => server.runPromise(Effect.flatMap(RedisServer, use)))

loadLaws({
  name: "memory over redis",
  layer: Layer.unwrapEffect(
    onServer((redis) => Effect.map(freshPrefix, (prefix) => RedisCache.layerHybrid({ l2: { url: redis.url, prefix } })))
  ),
  remote: true,
  pause: onServer((redis) => redis.stop),
  resume: onServer((redis) => redis.cont)
})

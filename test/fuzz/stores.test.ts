/**
 * Stores over changed bytes: of entries and marks in files, and of everything in Redis. Reads miss or return what was
 * written, and caching goes on.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, FastCheck, Layer, Option } from "effect"
import * as FileCache from "../../src/FileCache.js"
import { CacheStore } from "../../src/index.js"
import { nameOf } from "../../src/internal/backends/object/format.js"
import * as RedisCache from "../../src/RedisCache.js"
import { recordWarnings } from "../laws/support.js"
import { live } from "../support/live.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { same, utf8 } from "../support/serializers.js"
import { golden, holdsEffect, limit, mutated } from "./fuzz.js"

const hour = { ttl: "1 hour" } as const
const key = "golden:é"

/** A run that has reached its time limit may still be writing when the directory is removed. */
const makeDirectory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-fuzz-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true, maxRetries: 20 }))
)

const filesIn = (directory: string) =>
  Layer.provide(FileCache.layer({ directory, marksEvery: "1 hour" }), NodeContext.layer)

/** Runs with a store whose Warnings are left out. */
const using = <A, E>(layer: Layer.Layer<CacheStore, E>, effect: Effect.Effect<A, unknown, CacheStore>) =>
  Effect.provide(Effect.orDie(effect), Layer.provideMerge(layer, recordWarnings().layer))

/** Fails unless a value that was set is found until it is invalidated. */
const isCaching = Effect.gen(function* () {
  const store = yield* CacheStore
  yield* store.set("fresh", 1, { ...hour, tags: ["x"] })
  same(yield* store.get("fresh"), Option.some(1), "a value that was set")
  yield* store.tags.invalidate(["x"])
  same(yield* store.get("fresh"), Option.none(), "a value with a tag that was invalidated")
  yield* store.set("fresh", 2, { ...hour, tags: ["x"] })
  same(yield* store.get("fresh"), Option.some(2), "a value that was set after the invalidation")
})

describe("stores over changed bytes", () => {
  it.scoped(
    "a file with a checksum - is a miss, or the value that was written",
    () =>
      Effect.gen(function* () {
        const directory = yield* makeDirectory
        const file = path.join(directory, nameOf(key).slice(0, 2), nameOf(key).slice(2))
        const value = { id: 1, name: "é", tags: ["a", "b"] }
        const readBack = (bytes: Uint8Array) =>
          Effect.flatMap(CacheStore, (store) => {
            fs.writeFileSync(file, bytes)
            return store.get(key)
          })
        yield* using(
          filesIn(directory),
          Effect.gen(function* () {
            const store = yield* CacheStore
            yield* store.set(key, value, hour)
            const original = fs.readFileSync(file)
            yield* holdsEffect(mutated([original]), 2, (bytes) =>
              Effect.map(Effect.provideService(readBack(bytes), CacheStore, store), (found) => {
                if (Option.isSome(found)) same(found, Option.some(value))
              })
            )
          })
        )
      }),
    limit
  )

  it.scoped(
    "the marks of files - do not keep the store from caching",
    () =>
      Effect.gen(function* () {
        const directory = yield* makeDirectory
        const original = utf8(golden("file-v1-marks.json").trim())
        const tokens = ["1e999", "-1", '"NaN"', "null", '"__proto__":', "9007199254740993", "[]", "{}"].map(utf8)
        yield* holdsEffect(mutated([original], tokens), 10, (bytes) => {
          fs.writeFileSync(path.join(directory, "marks"), bytes)
          return using(filesIn(directory), isCaching)
        })
      }),
    limit
  )

  layer(RedisServer.layer)("on a real Redis", (it) => {
    it.scoped(
      "any of its keys - does not keep the store from caching",
      () =>
        Effect.gen(function* () {
          const { client, url } = yield* RedisServer
          const prefix = yield* freshPrefix
          const redis = RedisCache.layer({ url, prefix })
          yield* using(redis, isCaching)
          const names = (yield* Effect.promise(() => client.keys(`${prefix}*`))).sort()
          assert.isAbove(names.length, 3, "an entry, the marks and the count")
          const change = FastCheck.record({
            name: FastCheck.constantFrom(...names),
            type: FastCheck.constantFrom("string", "text", "hash", "zset", "list"),
            bytes: mutated([
              utf8("1795625916560.5 1795625916560 1795625916559"),
              utf8("-1 0 -1"),
              utf8("9e99 9e99 9e99")
            ])
          })
          yield* holdsEffect(FastCheck.array(change, { minLength: 1, maxLength: 3 }), 20, (changes) =>
            Effect.gen(function* () {
              for (const { name, type, bytes } of changes) {
                yield* Effect.promise(async () => {
                  const value = Buffer.from(bytes)
                  const there = await client.type(name)
                  if (type === "string" && there === "string") return client.set(name, value)
                  if (type === "hash" && there === "hash") return client.hset(name, "#", value)
                  if (type === "zset" && there === "zset") return client.zadd(name, "1e300", value)
                  await client.del(name)
                  if (type === "hash") return client.hset(name, "#", value)
                  if (type === "zset") return client.zadd(name, "1e300", value)
                  return type === "list" ? client.rpush(name, value) : client.set(name, value)
                })
              }
              yield* live(using(redis, isCaching))
            })
          )
        }),
      limit
    )
  })
})

/**
 * The cached functions of a program. Their lookups return the version in the database, take their time, fail at times,
 * and count their scopes.
 */
import { Effect, Schema } from "effect"
import { Cached, type CacheStore } from "effect-cached"
import { live } from "../support/redis.js"
import type { Model, Value } from "./model.js"
import type { FunctionName, Id } from "./program.js"
import type * as Random from "./random.js"

/** The failure of a lookup. */
export const failure = "the database does not answer"

export interface Function {
  readonly fn: Cached.CachedFunction<[Id], Value, string, CacheStore, CacheStore>
  /** The whole lifetime of a value, in milliseconds. */
  readonly lifetime: number
}

const Stored = Schema.Struct({ version: Schema.Number, made: Schema.Number })

const lookup = (model: Model, random: Random.Random, name: FunctionName, lifetime: number) => (id: Id) =>
  Effect.gen(function* () {
    const key = `${name}:${id}`
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        model.openScopes++
      }),
      () =>
        Effect.sync(() => {
          model.openScopes--
        })
    )
    // the version in the database when the lookup begins, not when it ends
    const value = model.make(key, `load ${model.next}`, true)
    const pause = random.pick([0, 0, 0, 1, 10, 60])
    if (pause > 0) yield* live(Effect.sleep(pause))
    if (random.chance(0.04)) return yield* Effect.fail(failure)
    model.startLifetime(value, lifetime)
    return value
  }).pipe(
    (load) =>
      Effect.suspend(() => {
        model.running++
        return load
      }),
    Effect.ensuring(
      Effect.sync(() => {
        model.running--
      })
    )
  )

/** Makes the functions of a program. Entries of one id share a tag, whatever their function. */
export const make = (model: Model, random: Random.Random): Record<FunctionName, Function> => {
  const of = (name: FunctionName, lifetime: number) => lookup(model, random, name, lifetime)
  const options = { tags: (_: Value, id: Id) => [`tag${id}`], flightTimeout: "2 seconds" } as const
  return {
    long: { lifetime: 60_000, fn: Cached.ttl(of("long", 60_000), { ...options, key: "long:{}", ttl: 60_000 }) },
    brief: { lifetime: 250, fn: Cached.ttl(of("brief", 250), { ...options, key: "brief:{}", ttl: 250 }) },
    stale: { lifetime: 500, fn: Cached.swr(of("stale", 500), { ...options, key: "stale:{}", ttl: 150, stale: 350 }) },
    kept: {
      lifetime: 500,
      fn: Cached.ttl(of("kept", 500), {
        ...options,
        key: "kept:{}",
        ttl: 150,
        staleIfError: 350,
        retryAfter: 40,
        timeout: { soft: 20 }
      })
    },
    locked: {
      lifetime: 60_000,
      fn: Cached.ttl(of("locked", 60_000), { ...options, key: "locked:{}", ttl: 60_000, lock: { lease: 300 } })
    },
    schema: {
      lifetime: 60_000,
      fn: Cached.ttl(of("schema", 60_000), { ...options, key: "schema:{}", ttl: 60_000, schema: Stored })
    },
    varied: {
      lifetime: 400,
      // a third of the values is delivered and not stored
      fn: Cached.ttl(of("varied", 400), { ...options, key: "varied:{}", ttl: ({ made }) => (made % 3 === 0 ? 0 : 400) })
    }
  }
}

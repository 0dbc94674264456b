/**
 * The verbs of the store itself: reading, writing and removing values that belong to no function.
 *
 * A read never loads, except `getOrSet`, and neither a read nor a write fails because of the backend, except `setIfAbsent`: without an
 * answer of the backend there is no right result. See law 6 (the store may fail, the caller may not).
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Backend from "../../Backend.js"
import type { CacheStoreError } from "../../CacheError.js"
import * as Entry from "../../Entry.js"
import * as AsyncEffect from "../asyncEffect.js"
import { everyEntry, everything, tagMark } from "../markNames.js"
import { decodeMillis } from "../options.js"
import { nowOf } from "../time.js"
import { makeEntry } from "./definition.js"
import type { Engine } from "./engine.js"
import * as GetOrSet from "./getOrSet.js"
import { keysOf } from "./keys.js"
import { sweepOf } from "./sweep.js"
import * as Tracing from "./tracing.js"

interface ReadOptions {
  readonly schema?: Backend.AnySchema | undefined
}

interface WriteOptions {
  readonly ttl?: Duration.DurationInput | undefined
  readonly stale?: Duration.DurationInput | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  readonly schema?: Backend.AnySchema | undefined
}

/** A key and its new entry, or `undefined` to remove the key. */
type KeyChange = readonly [key: string, entry: Entry.Entry | undefined]

const noOptions: WriteOptions = {}

export const verbsOf = (engine: Engine, defaultTtl: number | undefined) => {
  const { backend } = engine
  const getOrSet = GetOrSet.make(engine, defaultTtl)

  /** Wraps a verb in a span, unless the whole store is in memory: its verbs are too short for spans. */
  const traced = <A, E, R>(
    verb: string,
    key: string | undefined,
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> => (backend.remote ? Tracing.verb(engine.telemetry, verb, key, effect) : effect)

  const startPeek = (key: string, options: ReadOptions | undefined, now: number) =>
    AsyncEffect.catchAll(engine.stored.startPeek(key, { schema: options?.schema }, now), () => Exit.succeed(undefined))

  // `any`: the caller says which type the value has
  const valueOf = (entry: Entry.Entry | undefined, now: number): Option.Option<any> => {
    const usable = engine.ownership.usable(entry, undefined, now)
    return usable === undefined ? Option.none() : Option.some(usable.value)
  }

  /** The value of an entry that is read: a use of the entry, which `has` and `entry` are not. */
  const usedValue = (key: string, entry: Entry.Entry | undefined, now: number): Option.Option<any> => {
    const value = valueOf(entry, now)
    if (entry !== undefined && Option.isSome(value)) engine.renewals.used(key, entry, now)
    return value
  }

  const viewOf = (entry: Entry.Entry | undefined, now: number): Option.Option<Entry.View<any>> => {
    const alive = engine.ownership.alive(entry, undefined, now)
    return Option.fromNullable(alive === undefined ? undefined : Entry.view(alive, now))
  }

  const readOne = <A>(
    key: string,
    options: ReadOptions | undefined,
    resultOf: (entry: Entry.Entry | undefined, now: number) => A
  ): Effect.Effect<A> =>
    Effect.withFiberRuntime((fiber) =>
      AsyncEffect.map(startPeek(key, options, nowOf(fiber)), (entry) => resultOf(entry, nowOf(fiber)))
    )

  const readAll = (keys: ReadonlyArray<string>, options?: ReadOptions): Effect.Effect<Array<Option.Option<any>>> =>
    Effect.withFiberRuntime((fiber) =>
      Effect.map(engine.stored.startPeekAll(keys, { schema: options?.schema }, nowOf(fiber)), (entries) => {
        const now = nowOf(fiber)
        return entries.map((entry, at) => usedValue(keys[at]!, entry, now))
      })
    )

  const toEntry = (value: unknown, now: number, options: WriteOptions): Entry.Entry => {
    const lifetime = {
      ttl: GetOrSet.ttlOf(options.ttl, defaultTtl, `${backend.name}.set`),
      stale: decodeMillis("stale", options.stale ?? 0, `${backend.name}.set`),
      tags: options.tags ?? Entry.noTags
    }
    return makeEntry(value, lifetime, { stamp: engine.stamps.begin(), now, owner: "" })
  }

  const apply = (changesAt: (now: number) => Iterable<KeyChange>, schema?: Backend.AnySchema): Effect.Effect<void> =>
    Effect.withFiberRuntime<void>((fiber) => {
      const waits: Array<Effect.Effect<void>> = []
      for (const [key, given] of changesAt(nowOf(fiber))) {
        // what a reader inside a transaction knows may never be committed
        const entry = engine.transactions?.has(fiber) ? undefined : given
        if (entry === undefined) engine.telemetry.recordRemoval(undefined)
        const written = engine.writePath.startWrite(fiber, key, entry, { schema })
        // a write to memory is done
        if (!Exit.isExit(written) || Exit.isFailure(written)) waits.push(Effect.ignore(written))
      }
      return waits.length === 0 ? Effect.void : Effect.all(waits, { discard: true })
    })

  return {
    unsafeGet: (key: string): Option.Option<any> => engine.memoryReads.get(key),
    get: (key: string, options?: ReadOptions) =>
      traced(
        "get",
        key,
        readOne(key, options, (entry, now) => usedValue(key, entry, now))
      ),
    // iterables are read at the call: one that can be read only once would be empty when the effect runs again
    getMany: (keys: Iterable<string>, options?: ReadOptions) =>
      traced("getMany", undefined, readAll(Array.from(keys), options)),
    has: (key: string): Effect.Effect<boolean> =>
      traced(
        "has",
        key,
        readOne(key, undefined, (entry, now) => Option.isSome(valueOf(entry, now)))
      ),
    entry: (key: string, options?: ReadOptions) => traced("entry", key, readOne(key, options, viewOf)),
    getOrSet: <A, E, R>(
      key: string,
      lookup: Effect.Effect<A, E, R>,
      options?: GetOrSet.GetOrSetOptions
    ): Effect.Effect<A, E, Exclude<R, Scope.Scope>> => traced("getOrSet", key, getOrSet(key, lookup, options)),
    set: (key: string, value: unknown, options: WriteOptions = noOptions) =>
      traced(
        "set",
        key,
        apply((now) => [[key, toEntry(value, now, options)]], options.schema)
      ),
    setMany: (entries: Iterable<readonly [key: string, value: unknown]>, options: WriteOptions = noOptions) => {
      const all = Array.from(entries)
      const changesAt = (now: number) => all.map(([key, value]): KeyChange => [key, toEntry(value, now, options)])
      return traced("setMany", undefined, apply(changesAt, options.schema))
    },
    setIfAbsent: (
      key: string,
      value: unknown,
      options: WriteOptions = noOptions
    ): Effect.Effect<boolean, CacheStoreError> =>
      traced(
        "setIfAbsent",
        key,
        Effect.withFiberRuntime((fiber) =>
          engine.writePath.startSetIfAbsent(fiber, key, toEntry(value, nowOf(fiber), options), options.schema)
        )
      ),
    remove: (key: string) =>
      traced(
        "remove",
        key,
        apply(() => [[key, undefined]])
      ),
    removeMany: (keys: Iterable<string>) => {
      const all = Array.from(keys, (key): KeyChange => [key, undefined])
      return traced(
        "removeMany",
        undefined,
        apply(() => all)
      )
    },
    expire: (key: string) =>
      traced(
        "expire",
        key,
        Effect.withFiberRuntime<void>((fiber) => Effect.ignore(engine.expiry.startExpire(fiber, key)))
      ),
    keys: keysOf(engine),
    sweep: traced("sweep", undefined, sweepOf(engine)),
    clear: traced("clear", undefined, Effect.ignore(engine.writePath.raise([everything]))),
    expireAll: traced("expireAll", undefined, Effect.ignore(engine.writePath.expire([everyEntry]))),
    tags: {
      invalidate: (tags: Iterable<string>) =>
        traced("invalidateTags", undefined, Effect.ignore(engine.writePath.raise(Array.from(tags, tagMark)))),
      expire: (tags: Iterable<string>) =>
        traced("expireTags", undefined, Effect.ignore(engine.writePath.expire(Array.from(tags, tagMark))))
    }
  }
}

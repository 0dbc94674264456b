/**
 * The options of a mirror. `any` stands in the bounds of types.
 */
import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { CacheStoreError, SerializerError } from "../../CacheError.js"

/**
 * The options of `Cached.bgRead`. `S` is the tag of the store, `R2` what `onError` requires.
 *
 * @category models
 * @since 0.1.0
 */
export interface MirrorOptions<A, S, R2, Service> {
  /** The key of the writer, without placeholders. */
  readonly key: string
  /**
   * The name of the reader in warnings and in `health`. Give one if the key is computed, because warnings must not
   * contain the data of a key. Default: the key.
   */
  readonly name?: string | undefined
  /** The version of the writer. Default: no version. */
  readonly version?: string | number | undefined
  /** The schema of the writer. Default: the serializer of the store decodes the value. */
  readonly schema?: Schema.Schema<A, any> | undefined
  /** The tag of the store. Default: `CacheStore`. */
  readonly store?: Context.Tag<S, Service> | undefined
  /**
   * The time from one look into the store to the next. A store that notifies its readers of writes is also looked into
   * after each notification. Default: 30 seconds.
   */
  readonly interval?: Duration.DurationInput | undefined
  /**
   * How long a value is kept at least, counted from the end of its load, when no newer one arrives. Default: the
   * lifetime of the entry.
   */
  readonly ttl?: Duration.DurationInput | undefined
  /**
   * Runs with the cause of every failed look into the store. The reader goes on whatever this effect does. Default:
   * nothing; the store itself logs an outage once.
   */
  readonly onError?:
    | ((cause: Cause.Cause<CacheStoreError | SerializerError>) => Effect.Effect<unknown, unknown, R2>)
    | undefined
}

/**
 * What can go wrong, by name.
 *
 * A caller of a cached function sees his own errors and nothing of these, unless he asked for them
 * (`onStoreError: "fail"`, `Cached.bg`). The rest are defects: mistakes in a program, that name what to change.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * A store did not do what it was asked. Counted as `cache_store_errors` and logged once per outage; it reaches a caller
 * only where `onStoreError: "fail"` asks for it.
 *
 * - `Disconnected`: there is no connection, the operation was skipped at once
 * - `Timeout`: no answer within the store's `timeout`; whether it was done is not known
 * - `Rejected`: the medium answered with an error, see `cause`
 *
 * @category errors
 * @since 0.1.0
 */
export class CacheStoreError extends /*#__PURE__*/ Data.TaggedError("CacheStoreError")<{
  readonly reason: "Disconnected" | "Timeout" | "Rejected"
  /** the store's name, such as `redis` */
  readonly store: string
  readonly method: string
  readonly cause?: unknown
}> {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : String(this.cause)
    const why =
      this.reason === "Disconnected"
        ? `is not connected${this.cause === undefined ? "" : `: ${cause}`}`
        : this.reason === "Timeout"
          ? "did not answer in time"
          : `answered with an error: ${cause}`
    return `${this.store}.${this.method}: the store ${why}`
  }
}

/**
 * A value could not be turned to bytes without loss, or bytes not back to a value. `path` says where in the value.
 *
 * @category errors
 * @since 0.1.0
 */
export class SerializerError extends /*#__PURE__*/ Data.TaggedError("SerializerError")<{
  readonly reason: "Encode" | "Decode"
  /** such as `$.user.avatar`; `$` is the value itself */
  readonly path: string
  readonly detail: string
  readonly cause?: unknown
  /** the stamp in the header of an entry that is broken behind it */
  readonly stamp?: number | undefined
}> {
  override get message(): string {
    return `${this.reason === "Encode" ? "cannot encode" : "cannot decode"} ${this.path}: ${this.detail}`
  }
}

/**
 * A second background loader for a key that has one already.
 *
 * @category errors
 * @since 0.1.0
 */
export class DuplicateLoader extends /*#__PURE__*/ Data.TaggedError("DuplicateLoader")<{
  readonly key: string
  readonly store: string
}> {
  override get message(): string {
    return `"${this.key}" has a background loader on store ${this.store} already: share its reader, or close its scope first`
  }
}

/**
 * The defect of a read whose key could not be made. `template` is the template, or the name of the key function.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyError extends /*#__PURE__*/ Data.TaggedError("KeyError")<{
  readonly template: string
  readonly detail: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return `key "${this.template}": ${this.detail}`
  }
}

/**
 * The defect of waiters whose load was interrupted by something they did not ask for.
 *
 * @category errors
 * @since 0.1.0
 */
export class LoadInterrupted extends /*#__PURE__*/ Data.TaggedError("LoadInterrupted")<{ readonly key: string }> {
  override get message(): string {
    return `the load of "${this.key}" was interrupted from inside: nothing was stored`
  }
}

/**
 * The defect of a load that waits, over however many others, for itself. `chain` lists the keys in the order in which
 * they wait.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReentrantLoad extends /*#__PURE__*/ Data.TaggedError("ReentrantLoad")<{
  readonly chain: ReadonlyArray<string>
}> {
  override get message(): string {
    return `a load waits for itself: ${this.chain.map((key) => JSON.stringify(key)).join(" -> ")}`
  }
}

/**
 * The defect of an option that makes no sense, such as a time to live of `0` in `CacheStore.set`.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOption extends /*#__PURE__*/ Data.TaggedError("InvalidOption")<{
  readonly option: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.option}: ${this.detail}`
  }
}

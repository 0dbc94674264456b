/**
 * The option of a policy that limits how long a read waits.
 */
import type * as Duration from "effect/Duration"

/**
 * What becomes of a load whose readers have timed out. `H` is the type of `hard`.
 *
 * @category models
 * @since 0.2.0
 */
export interface HardTimeout<H> {
  /**
   * After this time a read returns an old value that `staleIfError` allows. If there is none, it fails with
   * `LoadTimeout`. Shorter than `flightTimeout`. Default: a read waits for its load.
   */
  readonly hard?: H
  /**
   * What becomes of the load when a read has timed out. With `"continue"` it goes on, also without readers, until its
   * `flightTimeout`: later readers join it, and its value is stored. With `"interrupt"` it is interrupted when its last
   * reader leaves, and counts as failed (`retryAfter`). Default: `"continue"`.
   */
  readonly then?: "continue" | "interrupt" | undefined
}

/**
 * The time limits of a read. `H` is the type of `hard`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Timeout<H> extends HardTimeout<H> {
  /**
   * After this time a read returns an old value that `staleIfError` allows, and the load goes on. If there is none, the
   * read waits on. Requires `staleIfError`, and is shorter than `hard`. Default: a read waits for its load.
   */
  readonly soft?: Duration.DurationInput | undefined
}

/**
 * The option of `ttl`, `swr` and `batched` that limits how long a read waits. `H` is the type of `timeout.hard`: with it
 * a read may fail with `LoadTimeout`.
 *
 * @category models
 * @since 0.2.0
 */
export interface TimeoutOption<H> {
  /**
   * How long a read waits, counted from the read, whatever it waits for: the store, another process's lock, a permit of
   * `concurrency`, a batch, the lookup. What is stored is returned at once, as ever. `refresh` and refreshes behind a
   * read have no such limits, and `Cached.reload`, `Cached.bypass` and a `ttl` of zero have only `hard`. FusionCache
   * calls them soft and hard factory timeouts. Default: a read waits for its load.
   */
  readonly timeout?: Timeout<H> | undefined
}

/**
 * The options of `Cached.batched` that say which reads make one batch.
 */
import type * as Duration from "effect/Duration"

/**
 * The options that only `Cached.batched` has.
 *
 * @category models
 * @since 0.2.0
 */
export interface BatchOptions<Ordered> {
  /**
   * How long it is stored that a key is absent. Tags that are a list apply to it; other options do not. Default: 0, it
   * is not stored.
   */
  readonly absentTtl?: Duration.DurationInput | undefined
  /**
   * How long a batch waits for further keys, from the first one that is missing. Default: 0, until the fibers that are
   * ready have run.
   */
  readonly window?: Duration.DurationInput | undefined
  /** The most ids in one call of the lookup. A batch that is full begins at once. Default: 100. */
  readonly maxBatchSize?: number | undefined
  /**
   * Whether the lookup returns an `Option` for each id, in the order of the ids, in place of pairs. A list of another
   * length is the defect `InvalidBatch`. Default: `false`.
   */
  readonly ordered?: Ordered | undefined
}

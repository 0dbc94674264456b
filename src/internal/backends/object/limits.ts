/**
 * How long an operation on an object store may take, and how many run at once.
 */
import * as Effect from "effect/Effect"
import { CacheStoreError } from "../../../CacheError.js"

export const defaultConcurrency = 16

export interface Limits {
  /** Fails an operation that takes longer than the timeout. The error names the method. */
  readonly within: <A>(
    method: string,
    operation: Effect.Effect<A, CacheStoreError>
  ) => Effect.Effect<A, CacheStoreError>
  /** Runs an operation for each item, at most `concurrency` of them at once. */
  readonly forEach: <A, B, E>(
    items: ReadonlyArray<A>,
    run: (item: A) => Effect.Effect<B, E>
  ) => Effect.Effect<Array<B>, E>
}

export const make = (store: string, timeout: number, concurrency: number): Limits => ({
  within: (method, operation) =>
    Effect.timeoutFail(operation, {
      duration: timeout,
      onTimeout: () => new CacheStoreError({ reason: "Timeout", store, method })
    }),
  forEach: (items, run) => Effect.forEach(items, run, { concurrency })
})

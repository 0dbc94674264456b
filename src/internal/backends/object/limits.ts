/**
 * How long an operation on an object store may take, and how many run at once.
 */
import * as Effect from "effect/Effect"
import { CacheStoreError } from "../../../CacheError.js"

export const defaultConcurrency = 16

export interface Limits {
  /**
   * Fails an operation that takes longer than the timeout. The error names the method. An operation that cannot be
   * interrupted goes on in the background; while many do, further ones fail at once.
   */
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

/**
 * How many operations may go on after their timeout, because they cannot be interrupted. A system call on a network
 * mount that does not answer is one: it occupies a thread of the process until the mount answers.
 */
const maxHanging = 64

export const make = (store: string, timeout: number, concurrency: number): Limits => {
  let hanging = 0
  const within: Limits["within"] = (method, operation) =>
    Effect.suspend(() => {
      const late = () => new CacheStoreError({ reason: "Timeout", store, method })
      if (hanging >= maxHanging) return Effect.fail(late())
      let state: "running" | "late" | "ended" = "running"
      const ended = Effect.sync(() => {
        if (state === "late") hanging--
        state = "ended"
      })
      // Disconnected, because the timeout would otherwise wait for the end of what cannot be interrupted.
      return Effect.timeoutFail(Effect.disconnect(Effect.ensuring(operation, ended)), {
        duration: timeout,
        onTimeout: () => {
          if (state === "running") {
            state = "late"
            hanging++
          }
          return late()
        }
      })
    })
  return { within, forEach: (items, run) => Effect.forEach(items, run, { concurrency }) }
}

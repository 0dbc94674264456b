/**
 * An effect whose answer comes by a callback. A fiber runs it like any other effect, and `StoreRuntime` runs it without a
 * fiber: for a read of a remote backend, making one and waking it costs more than decoding the answer.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"

/** Takes the end of an effect: its exit, or an effect that remains to be run. */
export type Resume<A, E> = (effect: Effect.Effect<A, E>) => void

export class AsyncEffect<A, E> extends Effectable.Class<A, E> {
  /** Starts it. `resume` is called once. */
  readonly start: (resume: Resume<A, E>) => void

  constructor(start: (resume: Resume<A, E>) => void) {
    super()
    this.start = start
  }

  override commit(): Effect.Effect<A, E> {
    return Effect.async(this.start)
  }
}

/** Makes an effect from a function that starts it. */
export const make = <A, E>(start: (resume: Resume<A, E>) => void): Effect.Effect<A, E> => new AsyncEffect(start)

/** Makes an effect when it is run. */
export const suspend = <A, E>(f: () => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  new AsyncEffect((resume) => startWith(attempt(f), resume))

/** Starts an effect, or passes it on if only a fiber can run it. */
const startWith = <A, E>(effect: Effect.Effect<A, E>, resume: Resume<A, E>): void => {
  if (effect instanceof AsyncEffect) effect.start(resume)
  else resume(effect)
}

/** Continues an effect with a function of its exit. An interrupted fiber does not continue. */
export const andThen = <A, E, B, E2>(
  self: Effect.Effect<A, E>,
  f: (exit: Exit.Exit<A, E>) => Effect.Effect<B, E2>
): Effect.Effect<B, E2> => {
  if (self instanceof AsyncEffect) {
    return new AsyncEffect<B, E2>((resume) =>
      self.start((effect: Effect.Effect<A, E>) => startWith(andThen(effect, f), resume))
    )
  }
  if (isExit(self)) return attempt(() => f(self))
  return Effect.matchCauseEffect(self, {
    onFailure: (cause) => f(Exit.failCause(cause)),
    onSuccess: (value) => f(Exit.succeed(value))
  })
}

/** Continues a success with a function of its value. */
export const flatMap = <A, E, B, E2>(
  self: Effect.Effect<A, E>,
  f: (value: A) => Effect.Effect<B, E2>
): Effect.Effect<B, E | E2> =>
  andThen(
    self,
    (exit): Effect.Effect<B, E | E2> => (exit._tag === "Failure" ? Exit.failCause(exit.cause) : f(exit.value))
  )

/** Continues a typed failure with a function of its error. Defects and interruptions are passed on. */
export const catchAll = <A, E, E2>(
  self: Effect.Effect<A, E>,
  f: (error: E) => Effect.Effect<A, E2>
): Effect.Effect<A, E2> =>
  isExit(self) && self._tag === "Success"
    ? Exit.succeed(self.value)
    : andThen(self, (exit): Effect.Effect<A, E2> => {
        if (exit._tag === "Success") return Exit.succeed(exit.value)
        return Either.match(Cause.failureOrCause(exit.cause), { onLeft: f, onRight: Exit.failCause })
      })

/** Changes the value of a success. */
export const map = <A, E, B>(self: Effect.Effect<A, E>, f: (value: A) => B): Effect.Effect<B, E> =>
  flatMap(self, (value) => Exit.succeed(f(value)))

const isExit = <A, E>(effect: Effect.Effect<A, E>): effect is Exit.Exit<A, E> => Exit.isExit(effect)

/** What a function throws is a defect, as in a fiber. */
const attempt = <A, E>(f: () => Effect.Effect<A, E>): Effect.Effect<A, E> => {
  try {
    return f()
  } catch (defect) {
    return Exit.die(defect)
  }
}

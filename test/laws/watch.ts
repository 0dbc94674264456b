/**
 * What the tests of the laws look through: waiting for what happens behind a read, and hearing what a store says.
 */
import { isDeepStrictEqual } from "node:util"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { CacheStore } from "../../src/CacheStore.js"
import { awaitUntil } from "../support/live.js"

/** waits until it is so; behind a store there may be real I/O, so that turning the TestClock is not enough */
export const until = (condition: () => boolean, message: string): Effect.Effect<void> =>
  awaitUntil(Effect.sync(condition), message, 4_000)

/** waits until the effect answers this */
export const becomes = <A, E, R>(effect: Effect.Effect<A, E, R>, expected: A): Effect.Effect<void, E, R> =>
  Effect.suspend(() => {
    let last: unknown
    return awaitUntil(
      Effect.map(effect, (value) => {
        last = value
        return isDeepStrictEqual(value, expected)
      }),
      "an effect answered as expected",
      4_000
    ).pipe(
      Effect.catchAllDefect(() =>
        Effect.dieMessage(`expected ${show(expected)}, and the last answer was ${show(last)}`)
      )
    )
  })

const show = (value: unknown): string => {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}

/** a lookup that is told the number of its call, from 1 on; a call is counted when it runs */
export const numbered = <Args extends ReadonlyArray<any>, A, E = never, R = never>(
  body: (call: number, ...args: Args) => Effect.Effect<A, E, R>
) => {
  const calls: Array<Args> = []
  const lookup = (...args: Args): Effect.Effect<A, E, R> => Effect.suspend(() => body(calls.push(args), ...args))
  return { lookup, calls }
}

/** answers with the number of the call */
export const counting = () => numbered((call) => Effect.succeed(call))

export const stats = Effect.flatMap(CacheStore, (store) => store.stats)

/** the store's Warnings, as text; `layer` goes around the store's */
export const recordWarnings = (): { readonly lines: Array<string>; readonly layer: Layer.Layer<never> } => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) {
      lines.push((Array.isArray(message) ? message : [message]).map(String).join(" "))
    }
  })
  return { lines, layer: Layer.merge(Logger.replace(Logger.defaultLogger, logger), Layer.empty) }
}

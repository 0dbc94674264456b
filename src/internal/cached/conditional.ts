/**
 * Lookups that can answer that the previous value still holds, as an HTTP source answers 304.
 *
 * A load finds the previous value through its flight, so that the lookup remains a plain function of its arguments. The
 * value of the flight is that of the outermost lookup alone: the same function called inside another load, or for other
 * arguments, has no previous value.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { type Args, ConditionalId } from "../engine/definition.js"
import { currentFlight, Flight } from "../engine/loads/flight.js"

const NotModifiedId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/NotModified") as never

/**
 * The answer of a lookup whose previous value still holds: `Cached.notModified`.
 *
 * @category models
 * @since 0.2.0
 */
export interface NotModified {
  readonly [NotModifiedId]: true
}

export const notModified: NotModified = /*#__PURE__*/ Object.freeze({ [NotModifiedId]: true as const })

const isNotModified = (answer: unknown): answer is NotModified => Predicate.hasProperty(answer, NotModifiedId)

type ConditionalLookup<A, ConditionalArgs extends ReadonlyArray<unknown>, E, R> = (
  previous: Option.Option<A>,
  ...args: ConditionalArgs
) => Effect.Effect<A | NotModified, E, R>

const nothing: Effect.Effect<undefined> = /*#__PURE__*/ Effect.succeed(undefined)

export const conditional = <A, ConditionalArgs extends ReadonlyArray<unknown>, E, R>(
  lookup: ConditionalLookup<A, ConditionalArgs, E, R>
): ((...args: ConditionalArgs) => Effect.Effect<A, E, R>) => {
  const load = (...args: ConditionalArgs): Effect.Effect<A, E, R> =>
    Effect.withFiberRuntime<A, E, R>((fiber) => {
      const flight = fiber.getFiberRef(currentFlight)
      const isOwn = flight instanceof Flight && flight.def.comparable === load && isSame(flight.request.args, args)
      return Effect.flatMap((isOwn ? flight.previous : undefined) ?? nothing, (entry) => {
        const previous = entry === undefined ? Option.none<A>() : Option.some(entry.value as A)
        return Effect.flatMap(lookup(previous, ...args), (answer) => {
          if (!isNotModified(answer)) return Effect.succeed(answer)
          return previous._tag === "Some" ? Effect.succeed(previous.value) : Effect.die(unchanged())
        })
      })
    })
  // the key is checked against the number of arguments, and warnings name the lookup
  Object.defineProperty(load, "length", { value: Math.max(0, lookup.length - 1) })
  Object.defineProperty(load, "name", { value: lookup.name })
  return Object.assign(load, { [ConditionalId]: true })
}

const isSame = (args: Args, others: ReadonlyArray<unknown>): boolean =>
  args.length === others.length && others.every((arg, i) => Object.is(arg, args[i]))

const unchanged = () =>
  new Cause.IllegalArgumentException(
    "a lookup answered `Cached.notModified` although it had no previous value: answer a value where `previous` is none"
  )

/**
 * What a cached effect, and a cached function, is made of: the read, and the members around it. `Cached` says their types.
 */
import * as Effect from "effect/Effect"
import type { Lookup } from "./lookup.js"
import { type LivesFrom, Spec, type SpecOptions } from "./spec.js"

/** where they keep what they were made of */
export const SpecId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/Spec") as never

const noArgs: ReadonlyArray<never> = []

export const asEffect = (spec: Spec): Effect.Effect<any, any, any> => {
  const effect = Effect.withFiberRuntime<any, any, any>((fiber) => spec.read(fiber, noArgs))
  const cached = Object.assign(effect, {
    [SpecId]: spec,
    invalidate: spec.invalidate(noArgs),
    refresh: spec.refresh(noArgs),
    peek: spec.peek(noArgs),
    entry: spec.entry(noArgs),
    set: (value: unknown) => spec.set(noArgs, value)
  })
  return Object.defineProperty(cached, "key", { get: () => spec.logicalKey(noArgs), enumerable: true })
}

/** a function of one argument, as most are, makes no list of its arguments for a hit */
const reader = (spec: Spec) =>
  function () {
    // biome-ignore lint/complexity/noArguments: a rest parameter would be that list
    const given = arguments
    if (given.length === 1) {
      const arg = given[0]
      return Effect.withFiberRuntime<any, any, any>((fiber) => spec.readOne(fiber, arg))
    }
    const args = Array.from(given)
    return Effect.withFiberRuntime<any, any, any>((fiber) => spec.read(fiber, args))
  }

export const asFunction = (spec: Spec): ((...args: ReadonlyArray<any>) => Effect.Effect<any, any, any>) =>
  Object.assign(reader(spec), {
    [SpecId]: spec,
    key: (...args: ReadonlyArray<any>) => spec.logicalKey(args),
    invalidate: (...args: ReadonlyArray<any>) => spec.invalidate(args),
    refresh: (...args: ReadonlyArray<any>) => spec.refresh(args),
    peek: (...args: ReadonlyArray<any>) => spec.peek(args),
    entry: (...args: ReadonlyArray<any>) => spec.entry(args),
    set:
      (...args: ReadonlyArray<any>) =>
      (value: unknown) =>
        spec.set(args, value),
    clear: spec.clear
  })

export const wrap = (lookup: Lookup, options: SpecOptions, livesFrom: LivesFrom, storeKey: string) =>
  // an Effect first: a Tag is a class, and an effect
  Effect.isEffect(lookup)
    ? asEffect(new Spec(() => lookup, options, livesFrom, storeKey, undefined))
    : asFunction(
        new Spec(lookup as Exclude<Lookup, Effect.Effect<any, any, any>>, options, livesFrom, storeKey, undefined)
      )

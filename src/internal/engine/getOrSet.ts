/**
 * `getOrSet`, the verb of the store that loads. It is the read of a function that is made for one call: its entries and
 * flights have the owner of the store itself, `""`, and it accepts the entries of every function (`Ownership`).
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { AnySchema } from "../../Backend.js"
import { InvalidOption } from "../../CacheError.js"
import { decodePositive } from "../options.js"
import { Definition, decodeLifetimes } from "./definition.js"
import type { Engine } from "./engine.js"

/** The label of a `getOrSet` without a name. A key is never a label. */
const defaultName = "getOrSet"

/** The options of `getOrSet`. A parameter is `any`, because the functions of all value types have to fit. */
export interface GetOrSetOptions {
  readonly ttl?: Duration.DurationInput | ((value: any) => Duration.DurationInput) | undefined
  readonly stale?: Duration.DurationInput | ((value: any) => Duration.DurationInput) | undefined
  readonly tags?: ReadonlyArray<string> | ((value: any) => ReadonlyArray<string>) | undefined
  readonly schema?: AnySchema | undefined
  readonly name?: string | undefined
  readonly flightTimeout?: Duration.DurationInput | undefined
}

interface GetOrSetRequest<A, E, R> {
  readonly key: string
  readonly lookup: Effect.Effect<A, E, R>
  readonly options: GetOrSetOptions | undefined
}

/** The `ttl` of a value that is written through the store, in milliseconds: its own, or else the store's default. */
export const ttlOf = (ttl: Duration.DurationInput | undefined, defaultTtl: number | undefined, of: string): number => {
  if (ttl !== undefined) return decodePositive("ttl", ttl, of)
  if (defaultTtl !== undefined) return defaultTtl
  throw new InvalidOption({
    option: "ttl",
    of,
    detail: "is missing, and the store has no `defaultTtl`: give one of them"
  })
}

const definitionOf = (
  { lookup, options = {} }: GetOrSetRequest<unknown, unknown, unknown>,
  { defaultTtl, store }: { readonly defaultTtl: number | undefined; readonly store: string }
): Definition => {
  const { flightTimeout, name, schema, stale, tags, ttl } = options
  const of = name ?? `${store}.getOrSet`
  return new Definition(
    {
      ...decodeLifetimes(
        { ttl: typeof ttl === "function" ? ttl : ttlOf(ttl, defaultTtl, of), stale, flightTimeout },
        of
      ),
      name: name ?? defaultName,
      owner: "",
      isNamed: true,
      lookup,
      tags,
      schema,
      strict: false,
      lease: 0,
      policy: undefined
    },
    undefined
  )
}

/** Reads a key as the store does, whoever wrote it, and otherwise loads it and writes it as the store does. */
export const getOrSet = <A, E, R>(
  engine: Engine,
  defaultTtl: number | undefined,
  request: GetOrSetRequest<A, E, R>
): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.withFiberRuntime((fiber) => {
    const def = definitionOf(request, { defaultTtl, store: engine.backend.name })
    // the engine knows no types: those of an entry that somebody else wrote are trusted, as in `get`
    return engine.readPath.read(fiber, def, request.key, []) as Effect.Effect<A, E, Exclude<R, Scope.Scope>>
  })

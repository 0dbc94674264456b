/**
 * `getOrSet`, the verb of the store that loads. It is the read of a function that calls with equal options share: its
 * entries and flights have the owner of the store itself, `""`, and it accepts the entries of every function
 * (`Ownership`).
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { AnySchema } from "../../Backend.js"
import { InvalidOption } from "../../CacheError.js"
import { noTags } from "../../Entry.js"
import { BoundedMap } from "../boundedMap.js"
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

/** What calls do not have in common: the argument of the function that they share. */
interface Call {
  readonly lookup: Effect.Effect<unknown, unknown, unknown>
  readonly tags: GetOrSetOptions["tags"]
}

const lookupOf = (call: unknown): Call["lookup"] => (call as Call).lookup

const tagsOf = (value: unknown, call: unknown): ReadonlyArray<string> => {
  const { tags = noTags } = call as Call
  return typeof tags === "function" ? tags(value) : tags
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

/** How many functions are kept for calls with equal options. */
const maxDefinitions = 256

/** A text that equal options have and others have not; `undefined` for a function, or an object such as a `Duration`. */
const textOf = (option: unknown): string | undefined =>
  typeof option === "string"
    ? `"${option}"`
    : option === undefined || typeof option === "number"
      ? String(option)
      : undefined

class Definitions {
  private readonly definitions = new BoundedMap<Definition>(maxDefinitions)
  private readonly defaultTtl: number | undefined
  private readonly store: string

  constructor(defaultTtl: number | undefined, store: string) {
    this.defaultTtl = defaultTtl
    this.store = store
  }

  /** The function of a call. A hit takes a twentieth of the time that making one takes. */
  of(options: GetOrSetOptions): Definition {
    const { flightTimeout, name, schema, stale, ttl } = options
    const texts = [textOf(ttl), textOf(stale), textOf(flightTimeout), textOf(name)]
    if (texts.includes(undefined)) return this.make(options)
    const id = texts.join(" ")
    const known = this.definitions.get(id)
    if (known !== undefined && known.schema === schema) return known
    const made = this.make(options)
    this.definitions.set(id, made)
    return made
  }

  private make({ flightTimeout, name, schema, stale, ttl }: GetOrSetOptions): Definition {
    const of = name ?? `${this.store}.getOrSet`
    const lifetimes = {
      // without the call, which is no argument that the user knows
      ttl: typeof ttl === "function" ? (value: unknown) => ttl(value) : ttlOf(ttl, this.defaultTtl, of),
      stale: typeof stale === "function" ? (value: unknown) => stale(value) : stale,
      flightTimeout
    }
    return new Definition(
      {
        ...decodeLifetimes(lifetimes, of),
        name: name ?? defaultName,
        owner: "",
        isNamed: true,
        lookup: lookupOf,
        tags: tagsOf,
        schema,
        strict: false,
        lease: 0,
        policy: undefined
      },
      undefined
    )
  }
}

const noOptions: GetOrSetOptions = {}

/** Makes the verb, which reads a key as the store does, whoever wrote it, and otherwise loads and writes it as the store does. */
export const make = (engine: Engine, defaultTtl: number | undefined) => {
  const definitions = new Definitions(defaultTtl, engine.backend.name)
  return <A, E, R>(
    key: string,
    lookup: Effect.Effect<A, E, R>,
    options: GetOrSetOptions = noOptions
  ): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
    Effect.withFiberRuntime((fiber) => {
      const call: Call = { lookup, tags: options.tags }
      // the engine knows no types: those of an entry that somebody else wrote are trusted, as in `get`
      return engine.readPath.read(fiber, definitions.of(options), key, undefined, call) as Effect.Effect<
        A,
        E,
        Exclude<R, Scope.Scope>
      >
    })
}

/** What every library has to offer to take part in a question: a cache whose values are loaded by a function. */
import type { Effect, Scope } from "effect"
import type { CacheStore } from "effect-cached"
import type { LeftOut } from "../support/harness.js"

/** Where the entries are. */
export type Place = "memory" | "tiered" | "redis"

export interface Settings<A> {
  readonly place: Place
  /** The URL of Redis; unused in memory. */
  readonly url: string
  /** Keeps the keys of one question apart from those of others. */
  readonly prefix: string
  /** The number of entries in memory. */
  readonly capacity: number
  /** Loads the value of a number. */
  readonly load: (id: number) => A | Promise<A>
  /** The number that a value was loaded for. */
  readonly idOf: (value: A) => number
  /** Whether an entry is stale a second after its load at the latest, and is then refreshed behind. */
  readonly isStale: boolean
}

/** A cache whose members are called in the way of its library: they return effects, or promises. */
export type Cache<A> =
  | {
      readonly kind: "effect"
      readonly run: <B>(effect: Effect.Effect<B, unknown, any>) => Promise<B>
      readonly calls: Calls<A, EffectKind>
      /** Waits until what was loaded is stored. */
      readonly stored?: () => Promise<unknown>
    }
  | { readonly kind: "promise"; readonly calls: Calls<A, PromiseKind> }

interface EffectKind {
  readonly of: Effect.Effect<unknown, unknown, CacheStore>
}
interface PromiseKind {
  readonly of: Promise<unknown>
}
type Answer<A, Kind> = Kind extends EffectKind ? Effect.Effect<A, unknown, CacheStore> : Promise<A>

/** A member is absent where the library has no such operation. */
export interface Calls<A, Kind> {
  /** Reads the value of the number 7, of a key that is not built. */
  readonly one?: () => Answer<A, Kind>
  /** Reads the value of a number, of a key that is built from it. */
  readonly read?: (id: number) => Answer<A, Kind>
  readonly set?: (id: number, value: A) => Answer<unknown, Kind>
  /** Reads many values by their keys. They may come in another order. */
  readonly getMany?: (keys: ReadonlyArray<string>) => Answer<ReadonlyArray<A>, Kind>
}

export interface Rival {
  readonly name: string
  readonly isOther: boolean
  /** Whether a hit takes a microsecond or more, so that a run has a tenth of the operations. */
  readonly isSlow: boolean
  readonly places: ReadonlyArray<Place>
  /** Whether it can answer with a stale value and refresh it behind. */
  readonly hasStale: boolean
  readonly make: <A>(settings: Settings<A>) => Effect.Effect<Cache<A>, LeftOut, Scope.Scope>
}

export const hour = 3_600_000

export const keyOf = (id: number): string => `user:${id}`
/** The number of a key. */
export const numberOf = (key: string): number => Number(key.slice(key.lastIndexOf(":") + 1))

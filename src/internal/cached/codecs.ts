/**
 * The schemas of cached functions, by the owners that their entries carry: for those who meet an entry without its
 * function, such as a snapshot.
 */
import type { AnySchema } from "../../Backend.js"
import { InvalidOption } from "../../CacheError.js"
import { optionOf } from "../serializers/optionSchema.js"
import { type Spec, SpecId } from "./cached.js"

/** How the entries of one owner are encoded. */
export interface Codec {
  readonly schema: AnySchema | undefined
  /** The schema of stored failures. */
  readonly failures: AnySchema | undefined
}

/** The schemas of functions, by owner. `of` names who was given the functions. */
export const codecsOf = (functions: ReadonlyArray<object>, of: string): ReadonlyMap<string, Codec> =>
  new Map(
    Array.from(functions, (each): [string, Codec] => {
      const spec = (each as { readonly [SpecId]?: Spec } | undefined)?.[SpecId]
      if (spec === undefined) {
        throw new InvalidOption({ option: "functions", of, detail: "has something that is no cached function" })
      }
      const { batch, failures, schema } = spec.options
      return [
        spec.owner,
        {
          // the values of a batched function are options
          schema: batch === undefined || schema === undefined ? schema : optionOf(schema),
          failures: failures?.schema
        }
      ]
    })
  )

/**
 * What a template leaves out of the key, judged at run time. The compiler checks a template that it knows; this is for
 * the others. It judges by the definition of the lookup, not by the arguments of a call, because callers pass arguments
 * of their own: `Effect.forEach` passes an index.
 */
import type { Compiled } from "./keyTemplate.js"

/** What a template mentions, and what the option `ignore` lists: arguments by position, properties by name. */
export interface Covered {
  readonly mentioned: Compiled["mentioned"]
  readonly ignored: ReadonlyArray<number | string>
}

/** The position of the first declared argument that the key leaves out. */
export const argumentLeftOut = ({ ignored, mentioned }: Covered, arity: number): number | undefined => {
  for (let position = 0; position < arity; position++) {
    const isCovered =
      mentioned.includes(position) ||
      ignored.includes(position) ||
      (position === 0 && mentioned.some((one) => typeof one === "string"))
    if (!isCovered) return position
  }
  return undefined
}

/**
 * The properties that the key leaves out of a record of which it takes properties. Functions, `undefined` and the tag of
 * a record tell no two records apart.
 */
export const propertiesLeftOut = ({ ignored, mentioned }: Covered, record: unknown): ReadonlyArray<string> => {
  const takesProperties = mentioned.some((one) => typeof one === "string")
  if (!takesProperties || mentioned.includes(0) || ignored.includes(0)) return []
  if (typeof record !== "object" || record === null) return []
  return Object.entries(Object.getOwnPropertyDescriptors(record))
    .filter(
      ([name, { enumerable, value }]) =>
        enumerable === true &&
        typeof value !== "function" &&
        value !== undefined &&
        name !== "_tag" &&
        !mentioned.includes(name) &&
        !ignored.includes(name)
    )
    .map(([name]) => name)
}

/**
 * The refusal of secrets: a `Redacted` is never stored, with no serializer and through no schema.
 */
import * as Redacted from "effect/Redacted"
import * as AST from "effect/SchemaAST"
import { segmentOf } from "../report.js"

/** The reason of a refusal. */
export const isRedacted = "is Redacted: a secret is never stored"

/**
 * The path to a `Redacted` inside of a value, or `undefined`. It visits records, arrays, maps, sets and the properties
 * of instances, which include what Effect's data types contain.
 */
export const pathOf = (value: unknown): string | undefined => {
  const seen = new Set<object>()
  const rest: Array<readonly [value: unknown, path: string]> = [[value, "$"]]
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    const [at, path] = next
    if (typeof at !== "object" || at === null || ArrayBuffer.isView(at) || seen.has(at)) continue
    if (Redacted.isRedacted(at)) return path
    seen.add(at)
    if (at instanceof Map) {
      let index = 0
      for (const [key, item] of at) {
        rest.push([key, `${path}.keys()[${index}]`], [item, `${path}.values()[${index++}]`])
      }
    } else if (at instanceof Set) {
      let index = 0
      for (const item of at) rest.push([item, `${path}.values()[${index++}]`])
    }
    for (const key of Object.keys(at)) {
      rest.push([(at as Record<string, unknown>)[key], path + segmentOf(Array.isArray(at) ? Number(key) : key)])
    }
  }
  return undefined
}

/** The parts of a schema. Those of a `Suspend` are computed when they are needed. */
const partsOf = (ast: AST.AST): ReadonlyArray<AST.AST> => {
  switch (ast._tag) {
    case "Declaration":
      return ast.typeParameters
    case "TypeLiteral":
      return [...ast.propertySignatures, ...ast.indexSignatures].map(({ type }) => type)
    case "TupleType":
      return [...ast.elements, ...ast.rest].map(({ type }) => type)
    case "Union":
      return ast.types
    case "Refinement":
      return [ast.from]
    case "Transformation":
      return [ast.from, ast.to]
    case "Suspend":
      return [ast.f()]
    default:
      return []
  }
}

/** Whether a schema has a part for a `Redacted`. `Schema.Redacted` would encode the secret as it is. */
export const isMentioned = (ast: AST.AST): boolean => {
  const seen = new Set<AST.AST>()
  const rest: Array<AST.AST> = [ast]
  for (let at = rest.pop(); at !== undefined; at = rest.pop()) {
    if (seen.has(at)) continue
    seen.add(at)
    const constructor = at.annotations[AST.TypeConstructorAnnotationId] as AST.TypeConstructorAnnotation | undefined
    if (constructor?._tag === "effect/Redacted") return true
    rest.push(...partsOf(at))
  }
  return false
}

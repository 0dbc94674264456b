/**
 * The refusal of secrets: a `Redacted` is never stored, with no serializer and through no schema.
 */
import * as AST from "effect/SchemaAST"

/** The reason of a refusal. */
export const isRedacted = "is Redacted: a secret is never stored"

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

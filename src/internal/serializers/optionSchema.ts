/**
 * The schema of an option, given the schema of its value. It encodes as `Schema.Option` does, and is made here so that
 * `effect/Schema` is loaded only by programs that use it.
 */
import { globalValue } from "effect/GlobalValue"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as AST from "effect/SchemaAST"
import type { AnySchema } from "../../Backend.js"

const made = /*#__PURE__*/ globalValue("effect-cached/optionSchemas", () => new WeakMap<AnySchema, AnySchema>())

const schemaOf = (ast: AST.AST): AnySchema => ({ ast }) as unknown as AnySchema

/** The value of an encoded option; `undefined` if the input is none. */
const encodedOption = (input: unknown): { readonly option: Option.Option<unknown> } | undefined => {
  if (typeof input !== "object" || input === null) return undefined
  const { _tag: tag, value } = input as { readonly _tag?: unknown; readonly value?: unknown }
  if (tag === "None") return { option: Option.none() }
  return tag === "Some" && "value" in input ? { option: Option.some(value) } : undefined
}

const at = (self: AST.AST, input: unknown) => (issue: ParseResult.ParseIssue) =>
  new ParseResult.Composite(self, input, new ParseResult.Pointer("value", input, issue))

const make = (schema: AnySchema): AnySchema =>
  schemaOf(
    new AST.Declaration(
      [schema.ast],
      (ast) => {
        const decode = ParseResult.decodeUnknown(schemaOf(ast!))
        return (input, options, self) => {
          const found = encodedOption(input)
          if (found === undefined) return ParseResult.fail(new ParseResult.Type(self, input))
          return Option.isNone(found.option)
            ? ParseResult.succeed(found.option)
            : ParseResult.mapBoth(decode(found.option.value, options), {
                onFailure: at(self, input),
                onSuccess: Option.some
              })
        }
      },
      (ast) => {
        const encode = ParseResult.encodeUnknown(schemaOf(ast!))
        return (input, options, self) => {
          if (!Option.isOption(input)) return ParseResult.fail(new ParseResult.Type(self, input))
          return Option.isNone(input)
            ? ParseResult.succeed({ _tag: "None" })
            : ParseResult.mapBoth(encode(input.value, options), {
                onFailure: at(self, input),
                onSuccess: (value) => ({ _tag: "Some", value })
              })
        }
      },
      { [AST.DescriptionAnnotationId]: `Option<${String(schema.ast)}>` }
    )
  )

/** The schema of an option whose value has a schema. */
export const optionOf = (schema: AnySchema): AnySchema => {
  let option = made.get(schema)
  if (option === undefined) {
    option = make(schema)
    made.set(schema, option)
  }
  return option
}

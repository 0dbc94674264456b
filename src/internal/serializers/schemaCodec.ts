/**
 * Encodes and decodes a value with a schema that requires no services. Each schema is compiled once.
 */
import * as Either from "effect/Either"
import { globalValue } from "effect/GlobalValue"
import * as ParseResult from "effect/ParseResult"
import type { AnySchema } from "../../Backend.js"
import { SerializerError } from "../../CacheError.js"

interface SchemaCodec {
  readonly encode: (value: unknown) => Either.Either<unknown, ParseResult.ParseIssue>
  readonly decode: (value: unknown) => Either.Either<unknown, ParseResult.ParseIssue>
}

const codecs = /*#__PURE__*/ globalValue("effect-cached/codecs", () => new WeakMap<AnySchema, SchemaCodec>())

const codecOf = (schema: AnySchema): SchemaCodec => {
  let codec = codecs.get(schema)
  if (codec === undefined) {
    codec = { encode: ParseResult.encodeUnknownEither(schema), decode: ParseResult.decodeUnknownEither(schema) }
    codecs.set(schema, codec)
  }
  return codec
}

/** Runs a schema, which is user code: anything that it throws becomes a refusal. */
const run = (
  reason: "Encode" | "Decode",
  schema: AnySchema,
  value: unknown
): Either.Either<unknown, SerializerError> => {
  const refusal = (detail: string, cause: unknown) => new SerializerError({ reason, path: "$", detail, cause })
  try {
    const codec = codecOf(schema)
    return Either.mapLeft(reason === "Encode" ? codec.encode(value) : codec.decode(value), (issue) =>
      refusal(ParseResult.TreeFormatter.formatIssueSync(issue), issue)
    )
  } catch (cause) {
    return Either.left(refusal(String(cause), cause))
  }
}

export const encode = (schema: AnySchema, value: unknown) => run("Encode", schema, value)

export const decode = (schema: AnySchema, value: unknown) => run("Decode", schema, value)

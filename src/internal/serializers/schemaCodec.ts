/**
 * Encodes and decodes a value with a schema that requires no services. Each schema is compiled once.
 */
import * as Either from "effect/Either"
import { globalValue } from "effect/GlobalValue"
import * as ParseResult from "effect/ParseResult"
import type { AnySchema } from "../../Backend.js"
import { SerializerError } from "../../CacheError.js"
import { segmentOf } from "../report.js"
import * as ProtoKey from "./protoKey.js"
import * as Redacted from "./redacted.js"
import { thrown } from "./valueWalk.js"

interface SchemaCodec {
  readonly encode: (value: unknown) => Either.Either<unknown, ParseResult.ParseIssue>
  readonly decode: (value: unknown) => Either.Either<unknown, ParseResult.ParseIssue>
  /** Whether it may turn a `Redacted` into text. Only then are values searched for one. */
  readonly mayReveal: boolean
}

const codecs = /*#__PURE__*/ globalValue("effect-cached/codecs", () => new WeakMap<AnySchema, SchemaCodec>())

const codecOf = (schema: AnySchema): SchemaCodec => {
  let codec = codecs.get(schema)
  if (codec === undefined) {
    codec = {
      encode: ParseResult.encodeUnknownEither(schema),
      decode: ParseResult.decodeUnknownEither(schema),
      mayReveal: Redacted.isMentioned(schema.ast)
    }
    codecs.set(schema, codec)
  }
  return codec
}

const listOf = <A>(items: ParseResult.SingleOrNonEmpty<A>): ReadonlyArray<A> =>
  (Array.isArray(items) ? items : [items]) as ReadonlyArray<A>

/** Where a schema does not fit, and what it expects there. */
interface Misfit {
  readonly path: string
  readonly expected: string
}

/** The most characters of the description of a schema. */
const maxLength = 200

const expecting = (ast: unknown): string => {
  const text = String(ast)
  return `expected ${text.length > maxLength ? `${text.slice(0, maxLength)}…` : text}`
}

/**
 * The first place at which a schema does not fit. The formatters of `ParseResult` would print the value, and a schema's
 * own messages may.
 */
const misfitOf = (issue: ParseResult.ParseIssue, path: string): Misfit => {
  switch (issue._tag) {
    case "Pointer": {
      return misfitOf(issue.issue, path + listOf(issue.path).map(segmentOf).join(""))
    }
    case "Composite": {
      const issues = listOf(issue.issues)
      // the members of a union fail for reasons of their own, of which none is the reason
      return issue.ast._tag === "Union" && issues.length > 1
        ? { path, expected: expecting(issue.ast) }
        : misfitOf(issues[0]!, path)
    }
    case "Refinement":
      return issue.kind === "Predicate" ? { path, expected: expecting(issue.ast) } : misfitOf(issue.issue, path)
    case "Transformation":
      return misfitOf(issue.issue, path)
    case "Missing":
      return { path, expected: "is missing" }
    case "Unexpected":
      return { path, expected: "is not part of the schema" }
    case "Forbidden":
      return { path, expected: "the schema cannot be run synchronously" }
    case "Type":
      return { path, expected: expecting(issue.ast) }
  }
}

/** Runs a schema, which is user code: anything that it throws becomes a refusal. */
const run = (
  reason: "Encode" | "Decode",
  schema: AnySchema,
  value: unknown
): Either.Either<unknown, SerializerError> => {
  try {
    const codec = codecOf(schema)
    const secret = reason === "Encode" && codec.mayReveal ? Redacted.pathOf(value) : undefined
    if (secret !== undefined) {
      return Either.left(new SerializerError({ reason, path: secret, detail: Redacted.isRedacted }))
    }
    return Either.mapLeft(reason === "Encode" ? codec.encode(value) : codec.decode(value), (issue) => {
      const { expected, path } = misfitOf(issue, "$")
      return new SerializerError({ reason, path, detail: expected })
    })
  } catch (cause) {
    return Either.left(new SerializerError({ reason, path: "$", detail: `the schema ${thrown(cause)}`, cause }))
  }
}

/** Passes on a value without an own property `__proto__`. Any other value is refused. */
const withoutProtoKey =
  (reason: "Encode" | "Decode", read: typeof ProtoKey.plainly) =>
  (value: unknown): Either.Either<unknown, SerializerError> => {
    try {
      const path = ProtoKey.find(value, read)
      if (path === undefined) return Either.right(value)
      const detail = "is a key that a schema loses, or makes a prototype of: use another name for it"
      return Either.left(new SerializerError({ reason, path, detail }))
    } catch (cause) {
      return Either.left(new SerializerError({ reason, path: "$", detail: thrown(cause), cause }))
    }
  }

const isEncodable = withoutProtoKey("Encode", ProtoKey.cautiously)
const isDecodable = withoutProtoKey("Decode", ProtoKey.plainly)

/** Encodes a value. What `decode` would refuse because of a key `__proto__` is refused, before and after the schema. */
export const encode = (schema: AnySchema, value: unknown): Either.Either<unknown, SerializerError> =>
  isEncodable(value).pipe(
    Either.flatMap((value) => run("Encode", schema, value)),
    // a schema may pass on parts of the value, so here, too, no accessor runs
    Either.flatMap(isEncodable)
  )

/** Decodes what a serializer has made. No key `__proto__` reaches the schema. */
export const decode = (schema: AnySchema, value: unknown): Either.Either<unknown, SerializerError> =>
  Either.flatMap(isDecodable(value), (value) => run("Decode", schema, value))

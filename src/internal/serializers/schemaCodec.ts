/**
 * Encodes and decodes a value with a schema that requires no services. Each schema is compiled once.
 */
import * as Either from "effect/Either"
import { globalValue } from "effect/GlobalValue"
import * as ParseResult from "effect/ParseResult"
import type { AnySchema } from "../../Backend.js"
import { SerializerError } from "../../CacheError.js"
import { segmentOf } from "../report.js"
import * as Redacted from "./redacted.js"
import * as Unstorable from "./unstorable.js"
import { thrown } from "./valueWalk.js"

interface SchemaCodec {
  readonly encode: (value: unknown) => Either.Either<unknown, ParseResult.ParseIssue>
  readonly decode: (value: unknown) => Either.Either<unknown, ParseResult.ParseIssue>
  /** What is sought in a value before it is encoded. */
  readonly unstorable: Unstorable.Sought
}

const protoKeys: Unstorable.Sought = { protoKeys: true, secrets: false, runsAccessors: false }

/** A decoded value has no accessors, and is read faster as if it had. */
const decodedProtoKeys: Unstorable.Sought = { ...protoKeys, runsAccessors: true }

/** A schema that may turn a `Redacted` into text would run an accessor that returns one. */
const protoKeysAndSecrets: Unstorable.Sought = { protoKeys: true, secrets: true, runsAccessors: true }

const codecs = /*#__PURE__*/ globalValue("effect-cached/codecs", () => new WeakMap<AnySchema, SchemaCodec>())

const codecOf = (schema: AnySchema): SchemaCodec => {
  let codec = codecs.get(schema)
  if (codec === undefined) {
    codec = {
      encode: ParseResult.encodeUnknownEither(schema),
      decode: ParseResult.decodeUnknownEither(schema),
      unstorable: Redacted.isMentioned(schema.ast) ? protoKeysAndSecrets : protoKeys
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

/** Runs user code: anything that it throws becomes a refusal. */
const guarded = <A>(
  reason: "Encode" | "Decode",
  what: string,
  run: () => Either.Either<A, SerializerError>
): Either.Either<A, SerializerError> => {
  try {
    return run()
  } catch (cause) {
    return Either.left(new SerializerError({ reason, path: "$", detail: `${what}${thrown(cause)}`, cause }))
  }
}

/** Passes on a value in which nothing is found that may not be stored. */
const checked = (
  reason: "Encode" | "Decode",
  value: unknown,
  sought: Unstorable.Sought
): Either.Either<unknown, SerializerError> =>
  guarded(reason, "", () => {
    const found = Unstorable.find(value, sought)
    return found === undefined ? Either.right(value) : Either.left(new SerializerError({ reason, ...found }))
  })

const described = (
  reason: "Encode" | "Decode",
  result: Either.Either<unknown, ParseResult.ParseIssue>
): Either.Either<unknown, SerializerError> =>
  Either.mapLeft(result, (issue) => {
    const { expected, path } = misfitOf(issue, "$")
    return new SerializerError({ reason, path, detail: expected })
  })

/** Encodes a value. What `decode` would refuse because of a key `__proto__` is refused, before and after the schema. */
export const encode = (schema: AnySchema, value: unknown): Either.Either<unknown, SerializerError> =>
  guarded("Encode", "the schema ", () => {
    const codec = codecOf(schema)
    return checked("Encode", value, codec.unstorable).pipe(
      Either.flatMap((value) => described("Encode", codec.encode(value))),
      // a schema may pass on parts of the value
      Either.flatMap((value) => checked("Encode", value, protoKeys))
    )
  })

/** Decodes what a serializer has made. No key `__proto__` reaches the schema. */
export const decode = (schema: AnySchema, value: unknown): Either.Either<unknown, SerializerError> =>
  guarded("Decode", "the schema ", () =>
    Either.flatMap(checked("Decode", value, decodedProtoKeys), (value) =>
      described("Decode", codecOf(schema).decode(value))
    )
  )

/**
 * The interface of a serializer, which `Serializer.ts` exports.
 */
import * as Either from "effect/Either"
import { SerializerError } from "../../CacheError.js"

/**
 * What a value may take. A store passes its own limits; without them, the limits of a store with default options apply.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  /**
   * The most bytes of a value before it is compressed, and twice the number of elements that it may have: in JSON an
   * element takes two bytes at least.
   */
  readonly maxDecodedBytes: number
}

/** The limits of a store with default options: 4 MB. */
export const defaultLimits: Limits = { maxDecodedBytes: 4 * 1024 * 1024 }

/** The end of the refusal of a value that exceeds a limit. */
export const raiseLimit = "raise maxDecodedBytes, or maxValueBytes, which is its default"

/** The refusal of a value of too many bytes. */
export const isTooLarge = ({ maxDecodedBytes }: Limits): string =>
  `is larger than maxDecodedBytes (${maxDecodedBytes}) before compression: ${raiseLimit}`

/**
 * Turns values into bytes and back. Both directions are synchronous, and neither throws for any input.
 *
 * Pass an object of this shape to a store as its `serializer` option. Bytes that `decode` refuses count as a miss, and
 * the load that follows overwrites them (law 12, garbage heals).
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { Serializer } from "effect-cached"
 *
 * // numbers only, as eight bytes
 * const float64: Serializer.Serializer = {
 *   name: "float64",
 *   encode: (value) =>
 *     typeof value === "number"
 *       ? Either.right(new Uint8Array(Float64Array.of(value).buffer))
 *       : Serializer.refuse("Encode", "$", "is not a number"),
 *   decode: (bytes) =>
 *     bytes.length === 8
 *       ? Either.right(new Float64Array(Uint8Array.from(bytes).buffer)[0])
 *       : Serializer.refuse("Decode", "$", "is not eight bytes long")
 * }
 *
 * const bytes = Either.getOrThrow(float64.encode(1.5))
 * console.log(Either.getOrThrow(float64.decode(bytes))) // 1.5
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Serializer {
  /** A label for logs and metrics, such as `lossless`. */
  readonly name: string
  /** Encodes a value. The bytes belong to the caller: the serializer does not write to them again. */
  readonly encode: (value: unknown, limits?: Limits) => Either.Either<Uint8Array, SerializerError>
  /**
   * Decodes bytes. The value must not contain a view of `bytes`, which may be part of a client's buffer. A serializer
   * that inflates bytes keeps the `limits`, and one around another serializer passes them on.
   */
  readonly decode: (bytes: Uint8Array, limits?: Limits) => Either.Either<unknown, SerializerError>
}

/**
 * The `Left` of a serializer that cannot encode a value or decode bytes. `path` is the place in the value (`$` is the
 * whole value). `detail` follows the colon in the message "cannot encode $.price: …".
 *
 * @category errors
 * @since 0.1.0
 */
export const refuse = (
  reason: SerializerError["reason"],
  path: string,
  detail: string,
  cause?: unknown
): Either.Either<never, SerializerError> => Either.left(new SerializerError({ reason, path, detail, cause }))

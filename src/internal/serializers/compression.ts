/**
 * Compression with the algorithms that Node includes. Decompression is bounded, because a few bytes can expand to
 * gigabytes.
 */
import { constants } from "node:buffer"
import * as zlib from "node:zlib"
import * as Either from "effect/Either"
import { InvalidOption, SerializerError } from "../../CacheError.js"
import { isTooLarge, type Limits, refuse as refused } from "./serializer.js"

/** A reversible encoding of bytes. `decode` refuses bytes that `encode` cannot have written. */
export interface ByteCodec {
  readonly encode: (bytes: Uint8Array) => Either.Either<Uint8Array, SerializerError>
  readonly decode: (bytes: Uint8Array) => Either.Either<Uint8Array, SerializerError>
}

/** The two encodings of an object store. */
export interface ByteCodecs {
  /** For a value within an entry. */
  readonly value: ByteCodec
  /** For a whole object in the format of another program. */
  readonly whole: ByteCodec
}

export type Algorithm = "gzip" | "brotli" | "zstd"

type Compress = (bytes: Uint8Array, options: zlib.ZlibOptions & zlib.BrotliOptions) => Uint8Array

/**
 * A decompression function of `node:zlib`. With the option `info`, which Node's types lack, the result also says how
 * many of the bytes were consumed.
 */
type Decompress = (
  bytes: Uint8Array,
  options: { readonly maxOutputLength: number; readonly info: true; readonly params?: Record<number, number> }
) => { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } }

/** The zstd functions, which exist since Node 22.15 and 23.8. */
const { zstdCompressSync, zstdDecompressSync } = zlib as {
  readonly zstdCompressSync?: Compress
  readonly zstdDecompressSync?: Decompress
}

/** The level for every algorithm. Higher levels take several times as long and make entries little smaller. */
const level = 3

// constants of the zstd headers, which the types of Node 20 lack
const ZSTD_c_compressionLevel = 100
const ZSTD_c_checksumFlag = 201
const ZSTD_d_windowLogMax = 100

/**
 * A window of 8 MB, which RFC 8878 requires every decoder to support. Without the limit a small frame could demand much
 * more memory.
 */
const zstdWindowLog = 23

/** Throws `InvalidOption` if this version of Node does not have the algorithm. */
export const ensure = (algorithm: Algorithm): void => {
  if (algorithm === "gzip" || algorithm === "brotli") return
  const detail =
    algorithm !== "zstd"
      ? `${JSON.stringify(algorithm)} is not one of gzip, brotli and zstd`
      : zstdCompressSync === undefined
        ? `Node ${process.versions.node} has no zstd: use gzip or brotli, or run Node 22.15 or later`
        : undefined
  if (detail !== undefined) throw new InvalidOption({ option: "algorithm", detail })
}

/** Compresses bytes. The algorithm must have passed `ensure`. */
export const compress = (algorithm: Algorithm, bytes: Uint8Array): Uint8Array => {
  switch (algorithm) {
    case "gzip":
      return plain(zlib.gzipSync(bytes, { level }))
    case "brotli": {
      const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = zlib.constants
      const params = { [BROTLI_PARAM_QUALITY]: level, [BROTLI_PARAM_SIZE_HINT]: bytes.length }
      return plain(zlib.brotliCompressSync(bytes, { params }))
    }
    case "zstd":
      return plain(zstdCompressSync!(bytes, { params: { [ZSTD_c_compressionLevel]: level, [ZSTD_c_checksumFlag]: 1 } }))
  }
}

/**
 * Decompresses bytes. Refuses bytes that are truncated, that are followed by other bytes, or that expand to more than
 * `maxBytes`; in the last case it stops at that size.
 */
export const decompress = (
  algorithm: Algorithm,
  bytes: Uint8Array,
  maxBytes: number
): Either.Either<Uint8Array, SerializerError> => {
  const decode: Decompress | undefined =
    algorithm === "gzip"
      ? (zlib.gunzipSync as unknown as Decompress)
      : algorithm === "brotli"
        ? (zlib.brotliDecompressSync as unknown as Decompress)
        : zstdDecompressSync
  if (decode === undefined) return refuse(`is ${algorithm}, which Node ${process.versions.node} does not have`)
  try {
    const { buffer, engine } = decode(bytes, {
      maxOutputLength: Math.min(maxBytes, constants.MAX_LENGTH),
      info: true,
      ...(algorithm === "zstd" && { params: { [ZSTD_d_windowLogMax]: zstdWindowLog } })
    })
    return engine.bytesWritten === bytes.length
      ? Either.right(plain(buffer))
      : refuse(`is ${algorithm} followed by other bytes`)
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE"
      ? refuse(`is larger than ${maxBytes} bytes once decompressed`, cause)
      : refuse(`is not ${algorithm}: ${(cause as Error).message}`, cause)
  }
}

const refuse = (detail: string, cause?: unknown): Either.Either<never, SerializerError> =>
  Either.left(new SerializerError({ reason: "Decode", path: "$", detail, cause }))

/** The same bytes as a plain `Uint8Array`. A `Buffer` has a different `slice` and `toJSON`. */
const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)

/** The algorithm that the first byte of encoded bytes stands for. */
const algorithms: ReadonlyArray<Algorithm | undefined> = [undefined, "gzip", "brotli", "zstd"]

/**
 * An encoding that prefixes the bytes with one byte for the algorithm. Bytes are left uncompressed if there are fewer
 * than `threshold` of them, or if compression does not make them smaller. Throws like `ensure`.
 */
export const codec = (algorithm: Algorithm | undefined, threshold = 0) => {
  if (algorithm !== undefined) ensure(algorithm)
  const tagged = (algorithm: Algorithm | undefined, bytes: Uint8Array): Uint8Array => {
    const all = new Uint8Array(1 + bytes.length)
    all[0] = algorithms.indexOf(algorithm)
    all.set(bytes, 1)
    return all
  }
  return {
    encode: (bytes: Uint8Array): Uint8Array => {
      if (algorithm === undefined || bytes.length < threshold) return tagged(undefined, bytes)
      const smaller = compress(algorithm, bytes)
      return smaller.length < bytes.length ? tagged(algorithm, smaller) : tagged(undefined, bytes)
    },
    /** Inflates to at most `maxBytes`. */
    decode: (bytes: Uint8Array, maxBytes: number): Either.Either<Uint8Array, SerializerError> => {
      const tag = bytes[0] ?? algorithms.length
      if (tag >= algorithms.length) return refuse("is compressed with an unknown algorithm")
      const algorithm = algorithms[tag]
      const rest = bytes.subarray(1)
      return algorithm === undefined ? Either.right(rest) : decompress(algorithm, rest, maxBytes)
    }
  }
}

/** How many bytes an envelope may add to a value of the largest size. */
export const maxEnvelope = 1024 * 1024

/**
 * An encoding without a prefix. `decode` recognizes gzip and zstd by their magic numbers. Brotli has none, so it is
 * tried only if it is the store's algorithm. All other bytes are returned as they are. Bytes that would inflate to more
 * than `maxBytes` are not written.
 */
const whole = (algorithm: Algorithm | undefined, limits: Limits, maxBytes: number): ByteCodec => ({
  encode: (bytes) => {
    if (algorithm === undefined) return Either.right(bytes)
    return bytes.length > maxBytes
      ? refused("Encode", "$", isTooLarge(limits))
      : Either.right(compress(algorithm, bytes))
  },
  decode: (bytes) => {
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) return decompress("gzip", bytes, maxBytes)
    if (bytes[0] === 0x28 && bytes[1] === 0xb5) return decompress("zstd", bytes, maxBytes)
    const inflated = algorithm === "brotli" ? decompress("brotli", bytes, maxBytes) : undefined
    return inflated?._tag === "Right" ? inflated : Either.right(bytes)
  }
})

/**
 * The encodings of a store that compresses its entries with `algorithm`. Throws like `ensure`. The store refuses values
 * that exceed `limits` before they are encoded.
 */
export const codecs = (algorithm: Algorithm | undefined, limits: Limits): ByteCodecs => {
  const { decode, encode } = codec(algorithm)
  return {
    value: {
      encode: (bytes) => Either.right(encode(bytes)),
      decode: (bytes) => decode(bytes, limits.maxDecodedBytes)
    },
    whole: whole(algorithm, limits, limits.maxDecodedBytes + maxEnvelope)
  }
}

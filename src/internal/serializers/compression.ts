/**
 * Bytes made smaller by what Node brings along. What comes back is bounded: a few bytes can stand for gigabytes.
 */
import * as zlib from "node:zlib"
import * as Either from "effect/Either"
import { InvalidOption, SerializerError } from "../../CacheError.js"

/** how bytes are kept, as by `compression.ts` */
export interface ByteCodec {
  readonly encode: (bytes: Uint8Array) => Uint8Array
  readonly decode: (bytes: Uint8Array) => Either.Either<Uint8Array, SerializerError>
}

/** of a value within an entry, and of a whole object in a form of others */
export interface ByteCodecs {
  readonly value: ByteCodec
  readonly whole: ByteCodec
}

export type Algorithm = "gzip" | "brotli" | "zstd"

type Compress = (bytes: Uint8Array, options: zlib.ZlibOptions & zlib.BrotliOptions) => Uint8Array

/** with `info`, which the types of Node do not know, the answer says how many of the bytes were taken */
type Decompress = (
  bytes: Uint8Array,
  options: { readonly maxOutputLength: number; readonly info: true; readonly params?: Record<number, number> }
) => { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } }

/** what came with Node 22.15 and 23.8 */
const { zstdCompressSync, zstdDecompressSync } = zlib as {
  readonly zstdCompressSync?: Compress
  readonly zstdDecompressSync?: Decompress
}

/** of each algorithm: beyond it, entries get little smaller and take several times as long */
const level = 3

/** from the headers of zstd; the types of Node 20 do not know them */
const ZSTD_c_compressionLevel = 100
const ZSTD_c_checksumFlag = 201
const ZSTD_d_windowLogMax = 100

/** 8 MB, what RFC 8878 asks every decoder for: a frame may demand much more memory than it has bytes */
const zstdWindowLog = 23

/**
 * Throws `InvalidOption` where this Node does not have the algorithm.
 */
export const ensure = (algorithm: Algorithm): void => {
  if (algorithm === "gzip" || algorithm === "brotli") return
  const detail =
    algorithm !== "zstd"
      ? `${JSON.stringify(algorithm)} is none of gzip, brotli and zstd`
      : zstdCompressSync === undefined
        ? `Node ${process.versions.node} has no zstd: take gzip or brotli, or Node 22.15 or later`
        : undefined
  if (detail !== undefined) throw new InvalidOption({ option: "algorithm", detail })
}

/** The algorithm must be one that `ensure` has let pass. */
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
 * Refuses what is cut short, followed by anything, or larger than `maxBytes` when it comes out, in which case it stops
 * there.
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
      maxOutputLength: maxBytes,
      info: true,
      ...(algorithm === "zstd" && { params: { [ZSTD_d_windowLogMax]: zstdWindowLog } })
    })
    return engine.bytesWritten === bytes.length
      ? Either.right(plain(buffer))
      : refuse(`is ${algorithm} with something behind it`)
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE"
      ? refuse(`is larger than ${maxBytes} bytes when it is decompressed`, cause)
      : refuse(`is not ${algorithm}: ${(cause as Error).message}`, cause)
  }
}

const refuse = (detail: string, cause?: unknown): Either.Either<never, SerializerError> =>
  Either.left(new SerializerError({ reason: "Decode", path: "$", detail, cause }))

/** not a `Buffer`, whose `slice` and `toJSON` are its own */
const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)

/** the most that comes out of compressed bytes */
export const maxBytes = 64 * 1024 * 1024

/** what the first byte says */
const algorithms: ReadonlyArray<Algorithm | undefined> = [undefined, "gzip", "brotli", "zstd"]

/**
 * Bytes behind one that says how they were compressed: not at all below `threshold` bytes, and where that makes them no
 * smaller. Throws as `ensure`.
 */
export const codec = (algorithm: Algorithm | undefined, threshold = 0): ByteCodec => {
  if (algorithm !== undefined) ensure(algorithm)
  const tagged = (algorithm: Algorithm | undefined, bytes: Uint8Array): Uint8Array => {
    const all = new Uint8Array(1 + bytes.length)
    all[0] = algorithms.indexOf(algorithm)
    all.set(bytes, 1)
    return all
  }
  return {
    encode: (bytes) => {
      if (algorithm === undefined || bytes.length < threshold) return tagged(undefined, bytes)
      const smaller = compress(algorithm, bytes)
      return smaller.length < bytes.length ? tagged(algorithm, smaller) : tagged(undefined, bytes)
    },
    decode: (bytes) => {
      const tag = bytes[0] ?? algorithms.length
      if (tag >= algorithms.length) return refuse("is compressed in an unknown way")
      const algorithm = algorithms[tag]
      const rest = bytes.subarray(1)
      return algorithm === undefined ? Either.right(rest) : decompress(algorithm, rest, maxBytes)
    }
  }
}

/** Bytes compressed without a word, and told by how they begin; what begins in no such way is taken as it is. */
const whole = (algorithm: Algorithm | undefined): ByteCodec => ({
  encode: (bytes) => (algorithm === undefined ? bytes : compress(algorithm, bytes)),
  decode: (bytes) => {
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) return decompress("gzip", bytes, maxBytes)
    if (bytes[0] === 0x28 && bytes[1] === 0xb5) return decompress("zstd", bytes, maxBytes)
    // brotli has no such beginning
    const inflated = algorithm === "brotli" ? decompress("brotli", bytes, maxBytes) : undefined
    return inflated?._tag === "Right" ? inflated : Either.right(bytes)
  }
})

/** How a store compresses what it keeps. Throws as `ensure`. */
export const codecs = (algorithm: Algorithm | undefined): ByteCodecs => ({
  value: codec(algorithm),
  whole: whole(algorithm)
})

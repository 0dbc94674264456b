import { deepStrictEqual } from "node:assert/strict"
import * as zlib from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { InvalidOption } from "../../src/CacheError.js"
import * as Compression from "../../src/internal/serializers/compression.js"

const hasZstd = "zstdCompressSync" in zlib
const algorithms: ReadonlyArray<Compression.Algorithm> = hasZstd ? ["gzip", "brotli", "zstd"] : ["gzip", "brotli"]
const MB = 1024 * 1024

const refusal = (answer: Either.Either<unknown, { readonly message: string }>) =>
  Either.isLeft(answer) ? answer.left.message : assert.fail("was not refused")

describe("compression", () => {
  describe("ensure", () => {
    it("algorithms - the ones that this Node has are accepted", () => {
      for (const algorithm of algorithms) Compression.ensure(algorithm)
    })

    it("algorithms - any other is InvalidOption, which says what to do", () => {
      assert.throws(
        () => Compression.ensure("lzma" as never),
        InvalidOption,
        '"lzma" is not one of gzip, brotli and zstd'
      )
      if (!hasZstd) assert.throws(() => Compression.ensure("zstd"), InvalidOption, "Node 22.15 or later")
    })
  })

  for (const algorithm of algorithms) {
    describe(algorithm, () => {
      const packed = Compression.compress(algorithm, new Uint8Array(1000).fill(7))
      const decompress = (bytes: Uint8Array, maxBytes = MB) => Compression.decompress(algorithm, bytes, maxBytes)

      it("round trip - any bytes come back as plain Uint8Arrays", () => {
        FastCheck.assert(
          FastCheck.property(FastCheck.uint8Array({ maxLength: 5000 }), (bytes) => {
            const there = Compression.compress(algorithm, bytes)
            const back = Either.getOrThrow(decompress(there))
            assert.strictEqual(Object.getPrototypeOf(there), Uint8Array.prototype)
            deepStrictEqual(back, bytes)
          })
        )
      })

      it("bounds - a value of the largest size comes back, one byte more is refused", () => {
        assert.lengthOf(Either.getOrThrow(decompress(packed, 1000)), 1000)
        assert.include(refusal(decompress(packed, 999)), "is larger than 999 bytes once decompressed")
      })

      it("bombs - a gigabyte of zeros stops at the limit", () => {
        const part = Compression.compress(algorithm, new Uint8Array(1024 * MB))
        assert.isBelow(part.length, 8 * MB)
        assert.include(refusal(decompress(part, 64 * MB)), "is larger than")
      })

      it("garbage - truncated bytes, and bytes followed by others, are refused", () => {
        for (let i = 0; i < packed.length; i++) refusal(decompress(packed.subarray(0, i)))
        refusal(decompress(Uint8Array.of(...packed, 0)))
      })

      it("garbage - arbitrary and mutated bytes never throw", () => {
        FastCheck.assert(
          FastCheck.property(FastCheck.uint8Array({ maxLength: 100 }), (bytes) => void decompress(bytes))
        )
        FastCheck.assert(
          FastCheck.property(FastCheck.nat(packed.length - 1), FastCheck.nat(255), (at, byte) => {
            decompress(packed.with(at, byte))
          })
        )
      })
    })
  }

  describe("decompress", () => {
    it("algorithms - bytes of zstd are refused if Node lacks it", () => {
      const magic = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)
      const why = refusal(Compression.decompress("zstd", magic, MB))
      assert.include(why, hasZstd ? "is not zstd" : "which Node")
    })
  })
})

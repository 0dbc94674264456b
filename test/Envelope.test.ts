import { deepStrictEqual } from "node:assert/strict"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { Entry, type Header } from "../src/Entry.js"
import * as Envelope from "../src/Envelope.js"

const { tombstone, v1 } = Envelope

const header: Header = {
  stamp: 1_700_000_000_000.25,
  createdAt: 1_700_000_000_120,
  freshUntil: 1_700_000_060_120,
  expiresAt: 1_700_000_090_120,
  owner: "user:{}",
  tags: []
}
const payload = new TextEncoder().encode('{"id":42}')
const make = (changes: Partial<Header> = {}, value: Uint8Array = payload) => new Entry(value, { ...header, ...changes })

const encoded = (entry: Entry<Uint8Array>) => Either.getOrThrow(v1.encode(entry))
const refusal = (answer: Either.Either<unknown, { reason: string; path: string; detail: string }>) => {
  if (Either.isRight(answer)) return assert.fail("was not refused")
  const { reason, path, detail } = answer.left
  return { reason, path, detail }
}
const garbage = (bytes: Uint8Array, detail: string, path = "envelope") =>
  deepStrictEqual(refusal(v1.decode(bytes)), { reason: "Decode", path, detail })

const plain = (entry: Entry<Uint8Array>) => {
  const { value, stamp, createdAt, freshUntil, expiresAt, owner, tags } = entry
  return { value: [...value], stamp, createdAt, freshUntil, expiresAt, owner, tags }
}
const returns = (entry: Entry<Uint8Array>) => {
  const back = Either.getOrThrow(v1.decode(encoded(entry)))
  if (back._tag !== "Entry") return assert.fail("is a tombstone")
  deepStrictEqual(plain(back.entry), plain(entry))
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const read = (name: string) =>
  readFileSync(new URL(`golden/envelope-v1-${name}.hex`, import.meta.url), "utf8").replaceAll(/\s/g, "")

/** the entries of test/golden/envelope-v1-*.hex, by name */
const golden: Record<string, Entry<Uint8Array>> = {
  plain: make(),
  tags: make({ tags: ["users", "user:42", "", "é漢😀"], owner: "utilisateur:é" }),
  forever: make({ freshUntil: Number.POSITIVE_INFINITY, expiresAt: Number.POSITIVE_INFINITY, owner: "" }),
  "no-payload": make({}, new Uint8Array())
}

describe("Envelope", () => {
  describe("v1", () => {
    it("golden - every entry is written as version 1 wrote it, and what version 1 wrote is read", () => {
      for (const [name, entry] of Object.entries(golden)) {
        const text = read(name)
        assert.strictEqual(hex(encoded(entry)), text, name)
        const back = Either.getOrThrow(v1.decode(Buffer.from(text, "hex")))
        if (back._tag !== "Entry") return assert.fail(name)
        deepStrictEqual(plain(back.entry), plain(entry), name)
      }
    })

    it("round trip - any entry comes back equal", () => {
      const time = FastCheck.oneof(
        FastCheck.double({ noNaN: true }),
        FastCheck.constantFrom(0, -0, 5e-324, Number.POSITIVE_INFINITY, Number.MAX_VALUE)
      )
      const text = FastCheck.fullUnicodeString()
      FastCheck.assert(
        FastCheck.property(
          FastCheck.double({ noNaN: true, noDefaultInfinity: true }),
          FastCheck.tuple(time, time, time).map((times) => times.sort((a, b) => a - b)),
          text,
          FastCheck.array(text),
          FastCheck.uint8Array(),
          (stamp, [createdAt, freshUntil, expiresAt], owner, tags, value) => {
            FastCheck.pre(Number.isFinite(createdAt))
            returns(
              make({ stamp, createdAt: createdAt!, freshUntil: freshUntil!, expiresAt: expiresAt!, owner, tags }, value)
            )
          }
        ),
        { numRuns: 500 }
      )
    })

    it("layout - the stamp is the big-endian float64 at offset 4, where a script of Redis reads it", () => {
      const bytes = encoded(make())
      assert.strictEqual(hex(bytes.subarray(0, 4)), "45430100")
      assert.strictEqual(Buffer.from(bytes).readDoubleBE(4), header.stamp)
      assert.strictEqual(bytes.length, 38 + header.owner.length + 2 + payload.length)
    })

    it("payload - is a view of the bytes that were read, plain even if these are a Buffer", () => {
      const padded = Buffer.concat([Buffer.from("padding"), encoded(make()), Buffer.from("more")])
      const bytes = padded.subarray(7, padded.length - 4)
      const back = Either.getOrThrow(v1.decode(bytes))
      if (back._tag !== "Entry") return assert.fail("is a tombstone")
      deepStrictEqual(plain(back.entry), plain(make()))
      assert.strictEqual(back.entry.value.buffer, bytes.buffer)
      assert.strictEqual(Object.getPrototypeOf(back.entry.value), Uint8Array.prototype)
    })

    it("payload - what is written is a copy, and may be a view or a Buffer itself", () => {
      const value = Buffer.from("xpayloadx").subarray(1, 8)
      const bytes = encoded(make({}, value))
      returns(make({}, value))
      value.fill(0)
      assert.strictEqual(Buffer.from(bytes.subarray(-7)).toString(), "payload")
    })

    it("bounds - an owner, a tag and a number of tags at the border are taken, one more is refused", () => {
      returns(make({ owner: "o".repeat(65_535) }))
      returns(make({ tags: ["é".repeat(32_767)] }))
      returns(make({ tags: Array.from({ length: 65_535 }, () => "t") }))
      for (const [changes, path, detail] of [
        [{ owner: "o".repeat(65_536) }, "envelope.owner", "is longer than 65535 bytes: give the function a name"],
        [{ owner: "é".repeat(32_768) }, "envelope.owner", "is longer than 65535 bytes: give the function a name"],
        [{ tags: ["a", "t".repeat(65_536)] }, "envelope.tags[1]", "is longer than 65535 bytes"],
        [{ tags: Array.from({ length: 65_536 }, () => "t") }, "envelope.tags", "are more than 65535"]
      ] as const) {
        deepStrictEqual(refusal(v1.encode(make(changes))), { reason: "Encode", path, detail })
      }
    })

    it("text - what UTF-8 would change is refused", () => {
      assert.strictEqual(refusal(v1.encode(make({ owner: "a\ud800" }))).path, "envelope.owner")
      assert.strictEqual(refusal(v1.encode(make({ tags: ["\udc00"] }))).path, "envelope.tags[0]")
    })

    it("times - that are none or out of order are refused on the way out and on the way in", () => {
      for (const [changes, detail] of [
        [{ stamp: Number.NaN }, "has a stamp that is no time"],
        [{ stamp: Number.POSITIVE_INFINITY }, "has a stamp that is no time"],
        [{ createdAt: Number.NaN }, "has a creation that is no time"],
        [{ createdAt: Number.NEGATIVE_INFINITY }, "has a creation that is no time"],
        [{ freshUntil: Number.NaN }, "is fresh until before its creation"],
        [{ freshUntil: header.createdAt - 1 }, "is fresh until before its creation"],
        [{ expiresAt: Number.NaN }, "expires before it is stale"],
        [{ expiresAt: header.freshUntil - 1 }, "expires before it is stale"]
      ] as const) {
        deepStrictEqual(refusal(v1.encode(make(changes))), { reason: "Encode", path: "envelope", detail })
        const bytes = encoded(make())
        const view = new DataView(bytes.buffer)
        const times = { ...header, ...changes }
        view.setFloat64(4, times.stamp)
        view.setFloat64(12, times.createdAt)
        view.setFloat64(20, times.freshUntil)
        view.setFloat64(28, times.expiresAt)
        garbage(bytes, detail)
      }
    })

    it("garbage - foreign bytes, unknown versions and unknown flags", () => {
      garbage(new Uint8Array(), "is cut short")
      garbage(new TextEncoder().encode('{"id":42}'), "is not one of this library")
      const change = (at: number, byte: number) => {
        const bytes = encoded(make())
        bytes[at] = byte
        return bytes
      }
      garbage(change(0, 0x65), "is not one of this library")
      garbage(change(1, 0x63), "is not one of this library")
      garbage(change(2, 2), "is of the unknown version 2")
      garbage(change(2, 0), "is of the unknown version 0")
      for (const flags of [2, 3, 128, 255]) garbage(change(3, flags), `has unknown flags ${flags}`)
      garbage(change(3, 1), "is a tombstone with something behind it")
      garbage(change(38, 0xff), "is not UTF-8", "envelope.owner")
      const tagged = encoded(make({ tags: ["x"] }, new Uint8Array()))
      tagged[tagged.length - 1] = 0xff
      garbage(tagged, "is not UTF-8", "envelope.tags[0]")
    })

    it("garbage - an entry cut inside its header is refused, at whatever byte", () => {
      for (const entry of Object.values(golden)) {
        const bytes = encoded(entry)
        for (let end = 0; end < bytes.length - entry.value.length; end++) garbage(bytes.slice(0, end), "is cut short")
      }
    })

    it("garbage - any one byte changed is read or refused, never thrown", () => {
      for (const original of [...Object.values(golden).map(encoded), tombstone(header.stamp)]) {
        for (let at = 0; at < original.length; at++) {
          for (let mask = 1; mask < 256; mask++) {
            const bytes = original.slice()
            bytes[at]! ^= mask
            const answer = v1.decode(bytes)
            if (Either.isRight(answer)) {
              // what was read is what stands there
              const again = answer.right._tag === "Entry" ? encoded(answer.right.entry) : tombstone(answer.right.stamp)
              assert.strictEqual(hex(again), hex(bytes))
            }
          }
        }
      }
    })

    it("garbage - arbitrary bytes, also behind a valid beginning, never throw", () => {
      FastCheck.assert(
        FastCheck.property(FastCheck.uint8Array({ maxLength: 80 }), FastCheck.nat(38), (noise, keep) => {
          assert.isTrue(Either.isEither(v1.decode(noise)))
          const bytes = Buffer.concat([encoded(make({ tags: ["a"] })).subarray(0, keep), noise])
          assert.isTrue(Either.isEither(v1.decode(bytes)))
        }),
        { numRuns: 2000 }
      )
    })
  })

  describe("tombstone", () => {
    it("layout - is the twelve bytes that a script of Redis writes", () => {
      const bytes = tombstone(header.stamp)
      const byHand = Buffer.alloc(12)
      byHand.write("EC\x01\x01", "latin1")
      byHand.writeDoubleBE(header.stamp, 4)
      assert.strictEqual(hex(bytes), byHand.toString("hex"))
      assert.strictEqual(hex(bytes), read("tombstone"))
      deepStrictEqual(v1.decode(byHand), Either.right({ _tag: "Tombstone", stamp: header.stamp }))
    })

    it("garbage - one cut short, longer, or without a time is refused", () => {
      const bytes = tombstone(1)
      for (let end = 0; end < bytes.length; end++) garbage(bytes.slice(0, end), "is cut short")
      garbage(Uint8Array.of(...bytes, 0), "is a tombstone with something behind it")
      garbage(tombstone(Number.NaN), "has a stamp that is no time")
      garbage(tombstone(Number.POSITIVE_INFINITY), "has a stamp that is no time")
    })
  })
})

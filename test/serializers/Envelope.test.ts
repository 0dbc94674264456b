import { deepStrictEqual } from "node:assert/strict"
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { Entry, type Extension, type Header } from "../../src/Entry.js"
import * as Envelope from "../../src/Envelope.js"
import { crc32, portable } from "../../src/internal/serializers/crc32.js"
import { msgpack } from "../../src/MsgpackSerializer.js"
import * as Serializer from "../../src/Serializer.js"

const { advancedCaching, tombstone, v1 } = Envelope

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
  const { value, stamp, createdAt, freshUntil, expiresAt, owner, tags, extension } = entry
  return { value: [...value], stamp, createdAt, freshUntil, expiresAt, owner, tags, extension }
}
const returns = (entry: Entry<Uint8Array>) => {
  const back = Either.getOrThrow(v1.decode(encoded(entry)))
  if (back._tag !== "Entry") return assert.fail("is a tombstone")
  deepStrictEqual(plain(back.entry), plain(entry))
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const read = (name: string, form = "v1") =>
  readFileSync(new URL(`../golden/envelope-${form}-${name}.hex`, import.meta.url), "utf8").replaceAll(/\s/g, "")

/** The entries of test/golden/envelope-v1-*.hex, by name. */
const golden: Record<string, Entry<Uint8Array>> = {
  plain: make(),
  tags: make({ tags: ["users", "user:42", "", "é漢😀"], owner: "utilisateur:é" }),
  forever: make({ freshUntil: Number.POSITIVE_INFINITY, expiresAt: Number.POSITIVE_INFINITY, owner: "" }),
  "no-payload": make({}, new Uint8Array())
}

const staleUntil = 1_700_000_075_120
const readAt = 1700000030120
const every: Extension = { staleUntil, isFailure: true, idle: 45_000, stamp: 1_700_000_000_000.5, hasChecksum: true }

/** The entries of the golden files with an extension block. */
const extended: Record<string, Entry<Uint8Array>> = {
  "stale-end": make({ extension: { staleUntil } }),
  failure: make({ extension: { isFailure: true } }),
  checksum: make({ extension: { hasChecksum: true } }),
  extension: make({ extension: every, tags: ["users", "user:42"] }),
  idle: make({ extension: { idle: 45_000, readAt } }),
  "idle-checksum": make({ extension: { staleUntil, idle: 45_000, readAt, hasChecksum: true } })
}

describe("Envelope", () => {
  describe("v1", () => {
    it("golden - entries are written as version 1 wrote them, and the bytes of version 1 are read", () => {
      for (const [name, entry] of [...Object.entries(golden), ...Object.entries(extended)]) {
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

    it("extension - any combination of fields comes back equal, and a value without one has no block", () => {
      const time = FastCheck.double({ noNaN: true, min: header.freshUntil, max: header.expiresAt })
      const fields = FastCheck.record(
        {
          staleUntil: time,
          isFailure: FastCheck.constant(true),
          idle: FastCheck.double({ noNaN: true, min: 1e-9 }),
          stamp: FastCheck.double({ noNaN: true, noDefaultInfinity: true }),
          hasChecksum: FastCheck.constant(true),
          readAt: FastCheck.double({ noNaN: true, noDefaultInfinity: true })
        },
        { requiredKeys: [] }
      )
      FastCheck.assert(
        FastCheck.property(
          fields,
          FastCheck.array(FastCheck.string()),
          FastCheck.uint8Array(),
          (extension, tags, value) => {
            const entry = make({ extension, tags }, value)
            if (Object.keys(extension).length > 0) return returns(entry)
            assert.strictEqual(hex(encoded(entry)), hex(encoded(make({ tags }, value))))
          }
        ),
        { numRuns: 500 }
      )
    })

    it("extension - fields of a later release are skipped", () => {
      const back = Either.getOrThrow(v1.decode(Buffer.from(read("unknown-fields"), "hex")))
      if (back._tag !== "Entry") return assert.fail("is a tombstone")
      deepStrictEqual(plain(back.entry), plain(extended["stale-end"]!))
    })

    it("extension - a checksum is the same with Node's function and without", () => {
      FastCheck.assert(
        FastCheck.property(
          FastCheck.uint8Array({ maxLength: 300 }),
          FastCheck.nat(),
          FastCheck.nat(),
          (bytes, a, b) => {
            const [from, to] = [a, b].map((at) => at % (bytes.length + 1)).sort((a, b) => a - b) as [number, number]
            assert.strictEqual(crc32(bytes, from, to, a), portable(bytes.slice(from, to), a))
          }
        )
      )
      assert.strictEqual(portable(new TextEncoder().encode("123456789"), 0), 0xcbf43926)
    })

    it("extension - a checksum does not depend on the stamp and the times, and finds every change behind them", () => {
      const bytes = encoded(extended.extension!)
      // as the Redis scripts do when they assign a stamp
      const stamped = Buffer.from(bytes)
      stamped.writeDoubleBE(header.stamp + 1, 4)
      assert.isTrue(Either.isRight(v1.decode(stamped)))
      const value = bytes.length - payload.length
      for (let at = value - 4; at < bytes.length; at++) {
        for (let mask = 1; mask < 256; mask++) {
          const changed = bytes.slice()
          changed[at]! ^= mask
          garbage(changed, "does not match its checksum")
        }
      }
      for (let end = value; end < bytes.length; end++) garbage(bytes.slice(0, end), "does not match its checksum")
    })

    it("extension - a checksum does not depend on the last read, which Redis changes in place", () => {
      const bytes = Buffer.from(encoded(extended["idle-checksum"]!))
      bytes.writeDoubleBE(readAt + 1, bytes.length - payload.length - 8)
      const back = Either.getOrThrow(v1.decode(bytes))
      if (back._tag !== "Entry") return assert.fail("is a tombstone")
      assert.strictEqual(back.entry.extension?.readAt, readAt + 1)
      for (const at of [bytes.length - payload.length - 9, bytes.length - payload.length, 40]) {
        const changed = Buffer.from(bytes)
        changed[at]! ^= 1
        assert.isTrue(Either.isLeft(v1.decode(changed)), String(at))
      }
    })

    it("extension - fields that are broken or contradict the times are refused in both directions", () => {
      const block = (...fields: ReadonlyArray<ReadonlyArray<number>>) => {
        const content = fields.flat()
        const bytes = encoded(make({}, Uint8Array.of(0, content.length, ...content, ...payload)))
        bytes[3] = 2
        return bytes
      }
      const kind = [2, 1, 1]
      assert.isTrue(Either.isRight(v1.decode(block())))
      assert.isTrue(Either.isRight(v1.decode(block(kind))))
      for (const [bytes, detail] of [
        [block([2, 1, 0]), "has the unknown kind 0"],
        [block([2, 1, 2]), "has the unknown kind 2"],
        [block([2, 2, 1, 1]), "has a field 2 of 2 bytes"],
        [block([1, 0]), "has a field 1 of 0 bytes"],
        [block([5, 3, 0, 0, 0]), "has a field 5 of 3 bytes"],
        [block(kind, kind), "has fields out of order"],
        [block([9, 0], kind), "has fields out of order"],
        [block([9]), "is cut short"],
        [block([9, 1]), "is cut short"]
      ] as const) {
        garbage(bytes, detail, "envelope.extension")
      }
      for (const [extension, detail] of [
        [{ staleUntil: header.freshUntil - 1 }, "ends to be stale outside of its lifetime"],
        [{ staleUntil: header.expiresAt + 1 }, "ends to be stale outside of its lifetime"],
        [{ staleUntil: Number.NaN }, "ends to be stale outside of its lifetime"],
        [{ idle: 0 }, "has an idle time that is no time"],
        [{ idle: Number.NaN }, "has an idle time that is no time"],
        [{ stamp: Number.POSITIVE_INFINITY }, "has a second stamp that is not a time"],
        [{ readAt: Number.NEGATIVE_INFINITY }, "was read at what is not a time"]
      ] as const) {
        deepStrictEqual(refusal(v1.encode(make({ extension }))), { reason: "Encode", path: "envelope", detail })
        const bytes = Buffer.from(encoded(make({ extension: { staleUntil, idle: 1, stamp: 1, readAt: 1 } })))
        const from = bytes.length - payload.length - 40
        if ("staleUntil" in extension) bytes.writeDoubleBE(extension.staleUntil, from + 2)
        else if ("idle" in extension) bytes.writeDoubleBE(extension.idle, from + 12)
        else if ("stamp" in extension) bytes.writeDoubleBE(extension.stamp, from + 22)
        else bytes.writeDoubleBE(extension.readAt, from + 32)
        garbage(bytes, detail)
      }
    })

    it("layout - the stamp is the big-endian float64 at offset 4, where the Redis scripts read it", () => {
      const bytes = encoded(make())
      assert.strictEqual(hex(bytes.subarray(0, 4)), "45430100")
      assert.strictEqual(Buffer.from(bytes).readDoubleBE(4), header.stamp)
      assert.strictEqual(bytes.length, 38 + header.owner.length + 2 + payload.length)
    })

    it("payload - is a plain view of the bytes, even if these are a Buffer", () => {
      const padded = Buffer.concat([Buffer.from("padding"), encoded(make()), Buffer.from("more")])
      const bytes = padded.subarray(7, padded.length - 4)
      const back = Either.getOrThrow(v1.decode(bytes))
      if (back._tag !== "Entry") return assert.fail("is a tombstone")
      deepStrictEqual(plain(back.entry), plain(make()))
      assert.strictEqual(back.entry.value.buffer, bytes.buffer)
      assert.strictEqual(Object.getPrototypeOf(back.entry.value), Uint8Array.prototype)
    })

    it("payload - is copied when it is written, and may be a view or a Buffer", () => {
      const value = Buffer.from("xpayloadx").subarray(1, 8)
      const bytes = encoded(make({}, value))
      returns(make({}, value))
      value.fill(0)
      assert.strictEqual(Buffer.from(bytes.subarray(-7)).toString(), "payload")
    })

    it("bounds - the longest owner, the longest tag and the most tags are accepted, one more is refused", () => {
      returns(make({ owner: "o".repeat(65_535) }))
      returns(make({ tags: ["é".repeat(32_767)] }))
      returns(make({ tags: Array.from({ length: 65_535 }, () => "t") }))
      for (const [changes, path, detail] of [
        [{ owner: "o".repeat(65_536) }, "envelope.owner", "is longer than 65535 bytes: give the function a name"],
        [{ owner: "é".repeat(32_768) }, "envelope.owner", "is longer than 65535 bytes: give the function a name"],
        [{ tags: ["a", "t".repeat(65_536)] }, "envelope.tags[1]", "is longer than 65535 bytes"],
        [{ tags: Array.from({ length: 65_536 }, () => "t") }, "envelope.tags", "has more than 65535 items"]
      ] as const) {
        deepStrictEqual(refusal(v1.encode(make(changes))), { reason: "Encode", path, detail })
      }
    })

    it("text - a string that UTF-8 would change is refused", () => {
      assert.strictEqual(refusal(v1.encode(make({ owner: "a\ud800" }))).path, "envelope.owner")
      assert.strictEqual(refusal(v1.encode(make({ tags: ["\udc00"] }))).path, "envelope.tags[0]")
    })

    it("times - invalid times, and times out of order, are refused in both directions", () => {
      for (const [changes, detail] of [
        [{ stamp: Number.NaN }, "has a stamp that is not a time"],
        [{ stamp: Number.POSITIVE_INFINITY }, "has a stamp that is not a time"],
        [{ createdAt: Number.NaN }, "has a creation time that is not a time"],
        [{ createdAt: Number.NEGATIVE_INFINITY }, "has a creation time that is not a time"],
        [{ freshUntil: Number.NaN }, "stops being fresh before its creation"],
        [{ freshUntil: header.createdAt - 1 }, "stops being fresh before its creation"],
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

    it("garbage - foreign bytes, unknown versions and unknown flags are refused", () => {
      garbage(new Uint8Array(), "is cut short")
      garbage(new TextEncoder().encode('{"id":42}'), "was not written by this library")
      const change = (at: number, byte: number) => {
        const bytes = encoded(make())
        bytes[at] = byte
        return bytes
      }
      garbage(change(0, 0x65), "was not written by this library")
      garbage(change(1, 0x63), "was not written by this library")
      garbage(change(2, 2), "has the unknown version 2")
      garbage(change(2, 0), "has the unknown version 0")
      for (const flags of [3, 4, 128, 255]) garbage(change(3, flags), `has unknown flags ${flags}`)
      garbage(change(3, 1), "is a tombstone followed by other bytes")
      garbage(change(38, 0xff), "is not UTF-8", "envelope.owner")
      const tagged = encoded(make({ tags: ["x"] }, new Uint8Array()))
      tagged[tagged.length - 1] = 0xff
      garbage(tagged, "is not UTF-8", "envelope.tags[0]")
    })

    it("garbage - an entry that is truncated at any byte of its header is refused", () => {
      for (const entry of [...Object.values(golden), ...Object.values(extended)]) {
        const bytes = encoded(entry)
        for (let end = 0; end < bytes.length - entry.value.length; end++) garbage(bytes.slice(0, end), "is cut short")
      }
    })

    it("garbage - an entry with any one byte changed is read or refused, and never throws", () => {
      for (const original of [...Object.values(golden).map(encoded), tombstone(header.stamp)]) {
        for (let at = 0; at < original.length; at++) {
          for (let mask = 1; mask < 256; mask++) {
            const bytes = original.slice()
            bytes[at]! ^= mask
            const answer = v1.decode(bytes)
            if (Either.isRight(answer)) {
              // the value that is read equals the bytes
              const again = answer.right._tag === "Entry" ? encoded(answer.right.entry) : tombstone(answer.right.stamp)
              assert.strictEqual(hex(again), hex(bytes))
            }
          }
        }
      }
    })

    it("garbage - an entry with an extension and any one byte changed is read or refused, and never throws", () => {
      for (const original of [...Object.values(extended).map(encoded), Buffer.from(read("unknown-fields"), "hex")]) {
        for (let at = 0; at < original.length; at++) {
          for (let mask = 1; mask < 256; mask++) {
            const bytes = original.slice()
            bytes[at]! ^= mask
            const answer = v1.decode(bytes)
            // what is read can be written, and reads the same: fields that were skipped are gone
            if (Either.isRight(answer) && answer.right._tag === "Entry") returns(answer.right.entry)
          }
        }
      }
    })

    it("garbage - arbitrary bytes, also after a valid beginning, never throw", () => {
      FastCheck.assert(
        FastCheck.property(FastCheck.uint8Array({ maxLength: 80 }), FastCheck.nat(38), (noise, keep) => {
          assert.isTrue(Either.isEither(v1.decode(noise)))
          for (const entry of [make({ tags: ["a"] }), make({ extension: every, owner: "" })]) {
            const bytes = Buffer.concat([encoded(entry).subarray(0, keep + 4), noise])
            assert.isTrue(Either.isEither(v1.decode(bytes)))
          }
        }),
        { numRuns: 2000 }
      )
    })
  })

  describe("advancedCaching", () => {
    const reader = (changes: Partial<Envelope.Reader> = {}): Envelope.Reader => ({
      owner: "user:{}",
      stale: 30_000,
      now: 1_700_000_001_000,
      ...changes
    })
    const written = (entry: Entry<Uint8Array>) => Either.getOrThrow(advancedCaching.encode(entry))
    const decoded = (bytes: Uint8Array, by = reader()) => {
      const found = Either.getOrThrow(advancedCaching.decode(bytes, by))
      return found._tag === "Entry" ? found.entry : assert.fail("is a tombstone")
    }
    const form = (freshUntil: number, createdAt: number, value: Uint8Array | string = payload) => {
      const times = Buffer.alloc(16)
      times.writeDoubleBE(freshUntil, 0)
      times.writeDoubleBE(createdAt, 8)
      return Buffer.concat([times, typeof value === "string" ? Buffer.from(value, "latin1") : value])
    }
    const refused = (bytes: Uint8Array, detail: string) =>
      deepStrictEqual(refusal(advancedCaching.decode(bytes, reader())), { reason: "Decode", path: "envelope", detail })

    interface Vector {
      readonly name: string
      readonly serializer: "json" | "msgpack"
      readonly freshUntil: number | "Infinity"
      readonly createdAt: number
      readonly value: unknown
      readonly hex: string
      readonly gzip?: boolean
    }
    const { vectors } = JSON.parse(
      readFileSync(new URL("../vectors/advanced-caching.json", import.meta.url), "utf8")
    ) as {
      readonly vectors: ReadonlyArray<Vector>
    }
    const serializers = { json: Serializer.json, msgpack }

    for (const { createdAt, freshUntil, gzip = false, hex: text, name, serializer: kind, value } of vectors) {
      it(`vectors - ${name} as ${kind}: the bytes of Python are read, and written identically`, () => {
        const serializer = serializers[kind]
        const stored = Buffer.from(text, "hex")
        const bytes = gzip ? gunzipSync(stored) : stored
        const entry = decoded(bytes, reader({ now: 2_000_000_000_000 }))
        const times = { createdAt: createdAt * 1_000, freshUntil: Number(freshUntil) * 1_000 }
        deepStrictEqual(
          { createdAt: entry.createdAt, freshUntil: entry.freshUntil, stamp: entry.stamp, expiresAt: entry.expiresAt },
          { ...times, stamp: times.createdAt, expiresAt: times.freshUntil + 30_000 }
        )
        deepStrictEqual(Either.getOrThrow(serializer.decode(entry.value)), value)
        const again = written(make(times, Either.getOrThrow(serializer.encode(value))))
        // MessagePack has several forms of one number
        if (kind === "json") assert.strictEqual(hex(again), hex(bytes))
        deepStrictEqual(Either.getOrThrow(serializer.decode(decoded(again).value)), value)
      })
    }

    it("golden - entries are written as before, and earlier bytes are read", () => {
      const forever = { freshUntil: Number.POSITIVE_INFINITY, expiresAt: Number.POSITIVE_INFINITY }
      for (const [name, entry] of [
        ["plain", make()],
        ["forever", make(forever)],
        ["no-payload", make({}, new Uint8Array())]
      ] as const) {
        const text = read(name, "advanced-caching")
        assert.strictEqual(hex(written(entry)), text, name)
        const stamp = entry.createdAt
        deepStrictEqual(
          plain(decoded(Buffer.from(text, "hex"))),
          plain(new Entry(entry.value, { ...entry, stamp })),
          name
        )
      }
    })

    it("reader - determines the owner of the entry, and how long it is accepted when stale", () => {
      const bytes = written(make())
      const seen = (by: Envelope.Reader) => {
        const { expiresAt, freshUntil, owner } = decoded(bytes, by)
        return [owner, freshUntil - header.createdAt, expiresAt - header.createdAt]
      }
      deepStrictEqual(seen(reader()), ["user:{}", 60_000, 90_000])
      deepStrictEqual(seen(reader({ owner: "", stale: 0 })), ["", 60_000, 60_000])
      deepStrictEqual(seen(reader({ stale: Number.POSITIVE_INFINITY })), ["user:{}", 60_000, Number.POSITIVE_INFINITY])
    })

    it("reader - a creation in the future counts as now, and does not change the lifetime", () => {
      const times = ({ createdAt, freshUntil, stamp }: Entry<Uint8Array>) => [stamp, createdAt, freshUntil]
      const ahead = form(1_700_000_099, 1_700_000_039)
      deepStrictEqual(times(decoded(ahead)), [1_700_000_001_000, 1_700_000_001_000, 1_700_000_099_000])
      // stamps are in the backend's time, if that is different
      deepStrictEqual(
        times(decoded(ahead, reader({ now: 0, storeNow: 1_700_000_002_000 }))),
        [1_700_000_002_000, 0, 1_700_000_099_000]
      )
      deepStrictEqual(
        times(decoded(ahead, reader({ now: 1_700_000_039_000, storeNow: 0 }))),
        [1_700_000_039_000, 1_700_000_039_000, 1_700_000_099_000]
      )
    })

    it("times - whole milliseconds come back unchanged", () => {
      const { MAX_SAFE_INTEGER } = Number
      FastCheck.assert(
        FastCheck.property(
          FastCheck.integer({ min: 1, max: 4_000_000_000_000 }),
          FastCheck.oneof(
            FastCheck.integer({ min: 0, max: 10_000_000_000_000 }),
            FastCheck.constant(Number.POSITIVE_INFINITY)
          ),
          FastCheck.uint8Array(),
          (createdAt, ttl, value) => {
            const entry = make({ createdAt, freshUntil: createdAt + ttl, expiresAt: createdAt + ttl }, value)
            const back = decoded(written(entry), reader({ owner: entry.owner, stale: 0, now: MAX_SAFE_INTEGER }))
            deepStrictEqual(plain(back), { ...plain(entry), stamp: createdAt })
          }
        ),
        { numRuns: 1_000 }
      )
    })

    it("times - invalid times, and times out of order, are refused in both directions", () => {
      const { MAX_VALUE, NaN: none, NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number
      const creation = "has a creation time that is not a time"
      const order = "stops being fresh before its creation"
      for (const [freshUntil, createdAt, detail] of [
        [1, none, creation],
        [POSITIVE_INFINITY, POSITIVE_INFINITY, creation],
        [1, NEGATIVE_INFINITY, creation],
        [1, -1, creation],
        [1, 1e-5, creation],
        [MAX_VALUE, 8_640_000_000_001, creation],
        [none, 1, order],
        [NEGATIVE_INFINITY, 0, order],
        [1, 1.001, order]
      ] as const) {
        refused(form(freshUntil, createdAt), detail)
        const entry = make({ freshUntil: freshUntil * 1_000, createdAt: createdAt * 1_000 })
        deepStrictEqual(refusal(advancedCaching.encode(entry)), { reason: "Encode", path: "envelope", detail })
      }
      for (const [freshUntil, createdAt] of [
        [0, 0],
        [0.001, 0.001],
        [8_640_000_000_000, 8_640_000_000_000],
        [MAX_VALUE, 1]
      ] as const) {
        assert.isAtLeast(decoded(form(freshUntil, createdAt)).freshUntil, freshUntil)
      }
    })

    it("times - a load that began within the millisecond of its end keeps the order of its stamp", () => {
      const { createdAt } = header
      for (const [after, later] of [
        [-1, 0],
        [0, 0],
        [1 / 1_024, 0.01],
        [0.5, 0.5],
        [0.999, 1],
        [1, 0],
        [2, 0]
      ] as const) {
        const entry = decoded(written(make({ stamp: createdAt + after })), reader({ now: createdAt }))
        assert.closeTo(entry.stamp - createdAt, later, 0.001)
        assert.strictEqual(entry.createdAt, createdAt)
      }
    })

    it("failures - are refused", () => {
      deepStrictEqual(refusal(advancedCaching.encode(make({ extension: { isFailure: true } }))), {
        reason: "Encode",
        path: "envelope",
        detail: "is a failure, which cannot be stored in the advanced-caching format"
      })
    })

    it("tags - are refused", () => {
      deepStrictEqual(refusal(advancedCaching.encode(make({ tags: ["a"] }))), {
        reason: "Encode",
        path: "envelope.tags",
        detail: "cannot be stored in the advanced-caching format"
      })
    })

    it("payload - is a plain view of the bytes when it is read, and copied when it is written", () => {
      const padded = Buffer.concat([Buffer.from("padding"), written(make()), Buffer.from("more")])
      const { value } = decoded(padded.subarray(7, padded.length - 4))
      deepStrictEqual([...value], [...payload])
      assert.strictEqual(value.buffer, padded.buffer)
      assert.strictEqual(Object.getPrototypeOf(value), Uint8Array.prototype)
      const given = Buffer.from("xpayloadx").subarray(1, 8)
      const bytes = written(make({}, given))
      given.fill(0)
      assert.strictEqual(Buffer.from(bytes.subarray(16)).toString(), "payload")
    })

    it("garbage - truncated bytes, bare values of other versions, and pickles are refused", () => {
      const bytes = written(make())
      for (let end = 0; end < 16; end++) refused(bytes.slice(0, end), "is cut short")
      for (const bare of [
        '{"id":42,"name":"Ada","tags":["a","b"]}',
        '[{"id":42},{"id":43},{"id":44}]',
        '"a text that is long enough"',
        "12345678901234567890",
        "98765432109876543210",
        "                  null",
        // {"id": 42, "name": "Ada Lovelace"} and [1, 2, …, 15] in MessagePack
        "\x82\xa2id\x2a\xa4name\xacAda Lovelace",
        "\x9f\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
        // pickle.dumps({"id": 42, "name": "Ada"}, protocol=4), and the same with protocol 2
        "\x80\x04\x95\x17\0\0\0\0\0\0\0}\x94(\x8c\x02id\x94K*\x8c\x04name\x94\x8c\x03Ada\x94u.",
        "\x80\x02}q\x00(X\x02\0\0\0idq\x01K*X\x04\0\0\0nameq\x02X\x03\0\0\0Adaq\x03u."
      ]) {
        const answer = advancedCaching.decode(Buffer.from(bare, "latin1"), reader())
        assert.isTrue(Either.isLeft(answer), bare)
      }
    })

    it("garbage - no entry or tombstone of v1 is read as a value", () => {
      for (const entry of Object.values(golden)) {
        const answer = advancedCaching.decode(encoded(entry), reader())
        const value =
          Either.isRight(answer) && answer.right._tag === "Entry" ? answer.right.entry.value : payload.slice(1)
        assert.isTrue(Either.isLeft(Serializer.json.decode(value)))
      }
      refused(tombstone(header.stamp), "is cut short")
    })

    it("garbage - arbitrary bytes never throw, and an entry that is read can be written again", () => {
      const double = FastCheck.oneof(FastCheck.double(), FastCheck.double({ min: 0, max: 1e13 }))
      const stale = FastCheck.oneof(FastCheck.nat(), FastCheck.constant(Number.POSITIVE_INFINITY))
      const noise = FastCheck.oneof(
        FastCheck.uint8Array({ maxLength: 80 }),
        FastCheck.tuple(double, double).map(([a, b]) => form(a, b))
      )
      FastCheck.assert(
        FastCheck.property(noise, stale, (bytes, stale) => {
          const answer = advancedCaching.decode(bytes, reader({ stale }))
          if (Either.isLeft(answer)) return
          const entry = answer.right._tag === "Entry" ? answer.right.entry : assert.fail("is a tombstone")
          assert.isTrue(entry.createdAt <= reader().now && entry.freshUntil <= entry.expiresAt)
          assert.isTrue(Number.isFinite(entry.stamp))
          if (entry.createdAt <= entry.freshUntil) written(entry)
        }),
        { numRuns: 2_000 }
      )
    })
  })

  describe("tombstone", () => {
    it("layout - is the twelve bytes that the Redis scripts write", () => {
      const bytes = tombstone(header.stamp)
      const byHand = Buffer.alloc(12)
      byHand.write("EC\x01\x01", "latin1")
      byHand.writeDoubleBE(header.stamp, 4)
      assert.strictEqual(hex(bytes), byHand.toString("hex"))
      assert.strictEqual(hex(bytes), read("tombstone"))
      deepStrictEqual(v1.decode(byHand), Either.right({ _tag: "Tombstone", stamp: header.stamp }))
    })

    it("garbage - a tombstone that is truncated, too long or without a time is refused", () => {
      const bytes = tombstone(1)
      for (let end = 0; end < bytes.length; end++) garbage(bytes.slice(0, end), "is cut short")
      garbage(Uint8Array.of(...bytes, 0), "is a tombstone followed by other bytes")
      garbage(tombstone(Number.NaN), "has a stamp that is not a time")
      garbage(tombstone(Number.POSITIVE_INFINITY), "has a stamp that is not a time")
    })
  })
})

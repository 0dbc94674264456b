/**
 * What does each serializer cost, beside JSON and beside the bare library that it is built on?
 */
import * as v8 from "node:v8"
import { Effect, Either, Schema } from "effect"
import { Serializer } from "effect-cached"
import { msgpack } from "effect-cached/MsgpackSerializer"
import * as NodeSerializer from "effect-cached/NodeSerializer"
import { Packr } from "msgpackr"
import { type Contender, check, type Group, groupSection, type Section } from "./support/harness.js"

const User = Schema.Struct({
  id: Schema.Number,
  name: Schema.String,
  email: Schema.String,
  tags: Schema.Array(Schema.String),
  address: Schema.Struct({ street: Schema.String, number: Schema.Number, city: Schema.String, zip: Schema.String }),
  scores: Schema.Array(Schema.Number),
  note: Schema.String
})

/** A record of about 1 kB as JSON, with no value that JSON would change. */
const record = (id: number): typeof User.Type => ({
  id,
  name: `user ${id}`,
  email: `user${id}@example.com`,
  tags: ["alpha", "beta", "gamma"],
  address: { street: "Main Street", number: id % 200, city: "Springfield", zip: "12345" },
  scores: Array.from({ length: 20 }, (_, i) => i * id),
  note: "The quick brown fox jumps over the lazy dog. ".repeat(14)
})

const packr = new Packr({ useRecords: false, variableMapSize: true })
const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder() }

interface Codec {
  readonly name: string
  readonly encode: (value: unknown) => Uint8Array
  readonly decode: (bytes: Uint8Array) => unknown
}

const of = (serializer: Serializer.Serializer): Codec => ({
  name: serializer.name,
  encode: (value) => Either.getOrThrow(serializer.encode(value)),
  decode: (bytes) => Either.getOrThrow(serializer.decode(bytes))
})

const codecs = (schema: Schema.Schema<any, any>): ReadonlyArray<Codec> => [
  {
    name: "bare JSON, UTF-8",
    encode: (value) => utf8.encoder.encode(JSON.stringify(value)),
    decode: (bytes) => JSON.parse(utf8.decoder.decode(bytes))
  },
  of(Serializer.json),
  of(Serializer.lossless),
  of(Serializer.schema(schema, Serializer.json)),
  { name: "bare v8", encode: v8.serialize, decode: v8.deserialize },
  of(NodeSerializer.v8),
  { name: "bare msgpackr", encode: (value) => packr.pack(value), decode: (bytes) => packr.unpack(bytes) },
  of(msgpack),
  of(NodeSerializer.compressed(Serializer.lossless, { algorithm: "gzip", threshold: 0 })),
  of(NodeSerializer.compressed(Serializer.lossless, { algorithm: "brotli", threshold: 0 }))
]

const group = (
  direction: "encode" | "decode",
  value: unknown,
  schema: Schema.Schema<any, any>,
  operations: number
): Omit<Group, "title"> => {
  const contender = (codec: Codec): Contender => ({
    name: codec.name,
    isOther: codec.name.startsWith("bare "),
    operations,
    run: Effect.suspend(() => {
      const bytes = codec.encode(value)
      const run = direction === "encode" ? () => codec.encode(value) : () => codec.decode(bytes)
      return Effect.as(
        check(codec.name, JSON.stringify(codec.decode(bytes)), JSON.stringify(value)),
        Effect.sync(() => {
          for (let i = 0; i < operations; i++) run()
        })
      )
    })
  })
  return {
    floor: "bare JSON, UTF-8",
    clock: "cpu",
    rounds: 11,
    contenders: codecs(schema).map(contender)
  }
}

const one = record(7)
const list = Array.from({ length: 1_000 }, (_, id) => record(id))

export const serializers: ReadonlyArray<Section> = (["encode", "decode"] as const).flatMap((direction) => [
  groupSection(`serializers, ${direction} a record of 1 kB`, () => group(direction, one, User, 2_000)),
  groupSection(`serializers, ${direction} a list of 1 000`, () => group(direction, list, Schema.Array(User), 4))
])

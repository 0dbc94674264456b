import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Schema } from "effect"
import { Serializer } from "../../src/index.js"
import { compressed } from "../../src/NodeSerializer.js"
import { protobuf } from "../../src/ProtobufSerializer.js"
import { ArticleSchema } from "../support/proto/catalog_pb.js"

class Words extends Context.Tag("Words")<Words, ReadonlySet<string>>() {}

describe("Serializer", () => {
  it("schema - takes a schema that requires no services, and no other", () => {
    expectTypeOf(Serializer.schema(Schema.DateFromString)).toEqualTypeOf<Serializer.Serializer>()
    expectTypeOf(Serializer.schema(Schema.Number, Serializer.json)).toEqualTypeOf<Serializer.Serializer>()
    const Word = Schema.transformOrFail(Schema.String, Schema.String, {
      decode: (text) => Effect.as(Words, text),
      encode: (text) => Effect.succeed(text)
    })
    // @ts-expect-error Words is missing
    Serializer.schema(Word)
  })

  it("compressed - requires one of three algorithms", () => {
    expectTypeOf(
      compressed(Serializer.json, { algorithm: "zstd", threshold: 1 })
    ).toEqualTypeOf<Serializer.Serializer>()
    // @ts-expect-error no algorithm
    compressed(Serializer.json, {})
    // @ts-expect-error not one of them
    compressed(Serializer.json, { algorithm: "lzma" })
  })

  it("protobuf - takes the schema of a message", () => {
    expectTypeOf(protobuf(ArticleSchema)).toEqualTypeOf<Serializer.Serializer>()
    // @ts-expect-error a schema of Effect is not one of a message
    protobuf(Schema.String)
  })
})

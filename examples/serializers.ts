/**
 * Every serializer on the same values: the number of bytes, the time, and whether the values come back equal.
 *
 *     npx tsx examples/serializers.ts
 */
import { isDeepStrictEqual } from "node:util"
import * as zlib from "node:zlib"
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { timestampFromDate } from "@bufbuild/protobuf/wkt"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Duration, Effect, Either, Schema } from "effect"
import { Serializer } from "effect-cached"
import { msgpack } from "effect-cached/MsgpackSerializer"
import { compressed, v8 } from "effect-cached/NodeSerializer"
import { protobuf } from "effect-cached/ProtobufSerializer"
import { ArticleSchema, CatalogSchema } from "../test/support/proto/catalog_pb.js"
import * as Print from "./support/print.js"

// ---------------------------------------------------------------------------------------------------------- the values

const Article = Schema.Struct({
  id: Schema.Number,
  name: Schema.String,
  price: Schema.Number,
  listed: Schema.Boolean,
  tags: Schema.Array(Schema.String),
  prices: Schema.Array(Schema.Number),
  note: Schema.String,
  added: Schema.Date,
  parts: Schema.Array(Schema.Struct({ id: Schema.Number, name: Schema.String, price: Schema.Number }))
})
type Article = typeof Article.Type

const article = (id: number): Article => ({
  id,
  name: `Teapot ${id}, cast iron, with a lid and a strainer`,
  price: 20 + (id % 90) + 0.99,
  listed: id % 7 !== 0,
  tags: ["kitchen", "tea", `warehouse-${id % 12}`],
  prices: Array.from({ length: 12 }, (_, month) => 20 + ((id * 7 + month * 3) % 90) + 0.5),
  note: `Keeps ${(id % 5) + 1} cups warm for an hour. Not for the stove, not for the dishwasher. `.repeat(8),
  added: new Date(1_700_000_000_000 + id * 86_400_000),
  parts: Array.from({ length: 5 }, (_, part) => ({
    id: id * 10 + part,
    name: `Part ${part} of ${id}`,
    price: part + 0.25
  }))
})

/** The same article as a message of Protocol Buffers. */
const message = (of: Article) =>
  ({
    ...of,
    tags: [...of.tags],
    prices: [...of.prices],
    added: timestampFromDate(of.added),
    parts: of.parts.map((part) => ({ ...part }))
  }) satisfies MessageInitShape<typeof ArticleSchema>

interface Contender {
  readonly serializer: Serializer.Serializer
  readonly value: unknown
}

const algorithms = (["gzip", "brotli", "zstd"] as const).filter(
  (algorithm) => algorithm !== "zstd" || "zstdCompressSync" in zlib
)

const contenders = (
  value: unknown,
  schema: Schema.Schema<any, any>,
  asMessage: Contender
): ReadonlyArray<Contender> => [
  ...[
    Serializer.lossless,
    Serializer.json,
    Serializer.schema(schema, Serializer.json),
    v8,
    msgpack,
    ...algorithms.map((algorithm) => compressed(Serializer.lossless, { algorithm })),
    compressed(msgpack, { algorithm: "brotli" })
  ].map((serializer) => ({ serializer, value })),
  asMessage
]

// ---------------------------------------------------------------------------------------------------------- measuring

/** The average time of one run, of as many as fit into `millis`. */
const average = (run: () => unknown, millis: number) =>
  Effect.sync(() => {
    const begin = performance.now()
    let now = begin
    let times = 0
    for (; now - begin < millis; now = performance.now()) {
      run()
      times++
    }
    return Duration.millis((now - begin) / times)
  })

/** The second average: the engine has compiled the code by then. */
const measure = (run: () => unknown) => Effect.zipRight(average(run, 50), average(run, 50))

const row = Effect.fn("row")(function* ({ serializer, value }: Contender) {
  const bytes = yield* serializer.encode(value)
  const back = yield* serializer.decode(bytes)
  return [
    serializer.name,
    Print.bytes(bytes.length),
    Print.time(yield* measure(() => serializer.encode(value))),
    Print.time(yield* measure(() => serializer.decode(bytes))),
    isDeepStrictEqual(back, value) ? "equal" : "changed"
  ]
})

const columns = ["serializer", "bytes", "encode", "decode", "comes back"]

const program = Effect.gen(function* () {
  yield* Console.log(`effect-cached: one value, many serializers (Node ${process.versions.node})`)
  if (!algorithms.includes("zstd")) yield* Console.log("zstd is left out: it needs Node 22.15 or later")

  yield* Print.heading("A record", "An article of a shop: texts, numbers, a Date and a list of parts.")
  const one = article(1)
  const asMessage = { serializer: protobuf(ArticleSchema), value: create(ArticleSchema, message(one)) }
  yield* Print.table(columns, yield* Effect.forEach(contenders(one, Article, asMessage), row))

  yield* Print.heading("A list", "1 000 such articles.")
  const all = Array.from({ length: 1_000 }, (_, id) => article(id))
  const catalog = {
    serializer: protobuf(CatalogSchema),
    value: create(CatalogSchema, { articles: all.map(message) })
  }
  yield* Print.table(columns, yield* Effect.forEach(contenders(all, Schema.Array(Article), catalog), row))

  yield* Print.heading(
    "Refused",
    "A serializer does not write a value that would not come back equal. It names the place."
  )
  const odd = { articles: [{ ...one, sizes: new Map([["small", 1n]]) }] }
  for (const serializer of [Serializer.lossless, v8, msgpack, protobuf(ArticleSchema)]) {
    const answer = serializer.encode(odd)
    yield* Console.log(
      `  ${serializer.name.padEnd(28)}${Either.isLeft(answer) ? answer.left.message : "carries a Map of bigints"}`
    )
  }
})

NodeRuntime.runMain(program)

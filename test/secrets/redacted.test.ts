/**
 * Law 7 (every value comes back equal, or is not stored): a `Redacted` is delivered and not stored, with every serializer
 * and through every schema.
 */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Data, Effect, Either, HashMap, List, Option, Redacted, Schema } from "effect"
import { type Backend, Cached, CacheStore, Serializer } from "effect-cached"
import { msgpack } from "effect-cached/MsgpackSerializer"
import { compressed, v8 } from "effect-cached/NodeSerializer"
import { minute } from "../laws/support.js"
import { awaitUntil } from "../support/redis.js"
import { bytesBackend } from "./backends.js"

const secret = Redacted.make("s3cret")

const serializers: Readonly<Record<string, Serializer.Serializer>> = {
  lossless: Serializer.lossless,
  json: Serializer.json,
  msgpack,
  v8,
  compressed: compressed(Serializer.json, { algorithm: "gzip" })
}

const refusal = (answer: Either.Either<unknown, { readonly path: string; readonly detail: string }>) =>
  Either.match(answer, { onLeft: ({ detail, path }) => [path, detail], onRight: () => "stored" })

const reason = "is Redacted: a secret is never stored"

/** Counts what a backend of bytes is asked to write. */
const counted = () => {
  const backend = bytesBackend()
  let writes = 0
  const counting: Backend.Backend<Uint8Array> = {
    ...backend,
    setMany: (all) => {
      writes += all.length
      return backend.setMany(all)
    }
  }
  return { backend: counting, writes: () => writes }
}

class Account extends Schema.Class<Account>("Account")({
  user: Schema.String,
  token: Schema.optional(Schema.Redacted(Schema.String))
}) {}

interface Tree {
  readonly token: Redacted.Redacted
  readonly children: ReadonlyArray<Tree>
}

const Tree: Schema.Schema<Tree, any> = Schema.Struct({
  token: Schema.Redacted(Schema.String),
  children: Schema.Array(Schema.suspend(() => Tree))
})

const R = Schema.Redacted(Schema.String)

/** A value for each place in which a schema can have a `Redacted`, and the path to it. */
const schemas: ReadonlyArray<readonly [schema: Schema.Schema<any, any>, value: unknown, path: string]> = [
  [R, secret, "$"],
  [Schema.RedactedFromSelf(Schema.String), secret, "$"],
  [Account, new Account({ user: "ada", token: secret }), "$.token"],
  [Tree, { token: secret, children: [] }, "$.token"],
  [Schema.Array(R), [secret], "$[0]"],
  [Schema.Tuple(Schema.Number, R), [1, secret], "$[1]"],
  [Schema.Record({ key: Schema.String, value: R }), { a: secret }, "$.a"],
  [Schema.Union(Schema.Number, R), secret, "$"],
  [Schema.Map({ key: Schema.String, value: R }), new Map([["a", secret]]), "$.values()[0]"],
  [Schema.Set(R), new Set([secret]), "$.values()[0]"],
  [Schema.Option(R), Option.some(secret), "$.value"],
  [R.pipe(Schema.filter(() => true)), secret, "$"],
  [Schema.compose(Schema.Trim, R, { strict: false }), secret, "$"],
  [Schema.Unknown, { a: [secret] }, "$.a[0]"]
]

describe("Redacted", () => {
  for (const [name, serializer] of Object.entries(serializers)) {
    it(`${name} - refuses it at any place, with the path`, () => {
      for (const [value, path] of [
        [secret, "$"],
        [{ user: { token: secret } }, "$.user.token"],
        [[1, secret], "$[1]"]
      ] as const) {
        assert.deepStrictEqual(refusal(serializer.encode(value)), [path, reason])
      }
      assert.isTrue(Either.isRight(serializer.encode({ token: "<redacted>", no: '"<redacted>"' })))
    })

    it.scopedLive(`${name} - the value is delivered, and the refusal is a problem by name`, () =>
      Effect.gen(function* () {
        const { backend, writes } = counted()
        const store = yield* CacheStore.makeBytes(backend, { serializer })
        const token = Cached.ttl((_: number) => Effect.succeed({ secret }), { key: "token:{}", ...minute })
        for (let i = 0; i < 2; i++) {
          const found = yield* Effect.provideService(token(1), CacheStore, store)
          assert.strictEqual(found.secret, secret)
        }
        // many tests of one process make a store
        const asked = Effect.map(store.health, ({ problems }) =>
          problems.filter(({ name }) => name !== "BuiltTooOften")
        )
        yield* awaitUntil(
          Effect.map(asked, (problems) => problems.length > 0),
          "the problem"
        )
        assert.strictEqual(writes(), 0)
        const problems = yield* asked
        assert.deepStrictEqual(
          problems.map(({ name, subject }) => [name, subject]),
          [["ValueRefused", "token:{}"]]
        )
        assert.include(problems[0]!.message, `$.secret: ${reason}`)
        assert.notInclude(problems[0]!.message, "s3cret")
      })
    )
  }

  it("json - refuses it inside of Effect's data types, which it would write as text", () => {
    for (const [value, path] of [
      [Option.some(secret), "$.value"],
      [Either.right(secret), "$.right"],
      [Data.struct({ secret }), "$.secret"]
    ] as const) {
      assert.deepStrictEqual(refusal(Serializer.json.encode(value)), [path, reason])
    }
    for (const value of [Chunk.make(secret), HashMap.make(["a", secret]), List.make(secret)]) {
      assert.include(refusal(Serializer.json.encode(value)), reason)
    }
  })

  for (const [schema, value, path] of schemas) {
    it(`a schema, ${String(schema.ast).slice(0, 60)} - refuses it`, () => {
      assert.deepStrictEqual(refusal(Serializer.schema(schema).encode(value)), [path, reason])
    })
  }

  it.scopedLive("a schema of a function - refuses values with it, and stores those without", () =>
    Effect.gen(function* () {
      const { backend, writes } = counted()
      const store = yield* CacheStore.makeBytes(backend)
      const account = Cached.ttl(
        (user: string) => Effect.succeed(new Account(user === "ada" ? { user } : { user, token: secret })),
        {
          key: "account:{}",
          schema: Account,
          ...minute
        }
      )
      yield* Effect.provideService(account("bob"), CacheStore, store)
      yield* Effect.provideService(account("ada"), CacheStore, store)
      yield* awaitUntil(
        Effect.sync(() => writes() > 0),
        "the write"
      )
      assert.strictEqual(writes(), 1)
    })
  )
})

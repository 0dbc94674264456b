/**
 * Errors contain no secrets: each class of error, and each defect with a message, is produced with secrets in keys, values
 * and credentials, and rendered in every way in which programs write errors.
 *
 * A class that has no case here fails the first test, and so does a new defect.
 */
import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, type Option, Redacted, Request, RequestResolver, Schema } from "effect"
import {
  Cached,
  CachePolicy,
  CacheStore,
  CacheStoreError,
  Key,
  MemoryCache,
  SerializerError,
  ToolCache
} from "effect-cached"
import * as CacheExporter from "effect-cached/CacheExporter"
import * as RedisCache from "effect-cached/RedisCache"
import { minute } from "../laws/support.js"
import { live } from "../support/live.js"
import { bytesBackend } from "./backends.js"
import { expectNoSecrets, logged, metrics, recorder, rendered, secrets } from "./support.js"

const root = new URL("../../", import.meta.url)

const sources = fs
  .readdirSync(new URL("src", root), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.startsWith("testing"))
  // runs in a browser, which has the answers of its server only
  .filter((file) => !file.startsWith("internal/dashboard/client/"))
  .map((file) => ({ file, text: fs.readFileSync(new URL(`src/${file}`, root), "utf8") }))

type Failing = Effect.Effect<unknown, unknown, CacheStore>

const key = secrets.key
const value = { token: secrets.value, [secrets.property]: { [secrets.value]: [secrets.value] } }

const find = Cached.ttl((_: string) => Effect.succeed(value), { key: "user:{}", ...minute })

const Token = Schema.Struct({ token: Schema.Number })
const strict = Cached.ttl((_: string) => Effect.succeed(value), {
  key: "user:{}",
  onStoreError: "fail",
  ...minute
})

/** A store of bytes whose every operation does this. */
const onBytes = (answer: Effect.Effect<never, CacheStoreError>) => (effect: Failing) =>
  Effect.scoped(
    Effect.flatMap(CacheStore.makeBytes(bytesBackend(answer)), (store) =>
      Effect.provideService(effect, CacheStore, store)
    )
  )

/** What a client or a server may put into an error. */
const foreign = (): Error =>
  Object.assign(new Error(`ERR unknown command 'x', with args beginning with: '${key}' '${secrets.value}'`), {
    command: { name: "evalsha", args: [key, secrets.value, Buffer.from(secrets.value)] },
    config: { headers: { Authorization: `Bearer ${secrets.token}` } },
    $response: { body: secrets.value },
    cause: new Error(`AUTH ${secrets.username} ${secrets.password}`)
  })

const rejected = (cause: unknown) =>
  Effect.fail(new CacheStoreError({ reason: "Rejected", store: "s", method: "getMany", cause }))

/** The messages in which servers and clients repeat what they were sent. */
const echoes: ReadonlyArray<string> = [
  `ERR unknown command 'x', with args beginning with: '${key}' 'it's ${secrets.value}'`,
  `NOPERM User ${secrets.username} has no permissions to run the 'evalsha' command`,
  `the object "${key}" is "unknown"`,
  `connect to redis://${secrets.username}:${secrets.password}@host:1/0?x=${secrets.value} failed`,
  `GET https://b.s3.amazonaws.com/o?X-Amz-Signature=${secrets.signature}&X-Amz-Security-Token=${secrets.sessionToken}`,
  `<?xml version="1.0"?><Error><Message>${key}</Message></Error>`,
  `<Error><Key>${key}</Key></Error>`,
  `{"error":{"message":"${key}"}}`,
  `Authorization: Bearer ${secrets.token}`,
  `authorization=${secrets.token}, x-amz-security-token: ${secrets.sessionToken}`,
  `unexpected \`${key}`
]

class GetUser extends Request.TaggedClass("GetUser")<string, never, { readonly id: string }> {}

const errors: Readonly<Record<string, ReadonlyArray<Failing>>> = {
  AgentLoopDetected: [
    Effect.suspend(() => {
      const tool = ToolCache.read((_: string) => Effect.succeed(value), { name: "tool", resource: "users", ...minute })
      return ToolCache.session({ id: key, maxRepeats: 1 })(Effect.zipRight(tool(key), tool(key)))
    })
  ],
  CacheStoreError: [
    ...[foreign(), secrets.value.replace(/^/, "'"), { token: secrets.value }, Cause.fail(foreign())].map((cause) =>
      onBytes(rejected(cause))(strict(key))
    ),
    ...echoes.flatMap((message) => [
      onBytes(rejected(new Error(message)))(strict(key)),
      onBytes(Effect.die(new Error(message)))(strict(key))
    ]),
    onBytes(Effect.die(foreign()))(strict(key)),
    onBytes(Effect.interrupt)(strict(key)),
    onBytes(rejected(foreign()))(Effect.flatMap(CacheStore, (store) => store.setIfAbsent(key, secrets.value, minute)))
  ],
  DuplicateLoader: [
    Effect.scoped(
      Effect.replicateEffect(Cached.bg(Effect.succeed(value), { key: `bg:${key}`, name: "bg", interval: 1_000 }), 2)
    )
  ],
  InvalidBatch: [
    Cached.batched((_: ReadonlyArray<string>) => Effect.succeed(value as never), { key: "user:{}", ...minute })(key),
    Cached.batched((_: ReadonlyArray<string>) => Effect.succeed([[key]] as never), { key: "user:{}", ...minute })(key)
  ],
  InvalidOption: [
    Cached.ttl((_: string) => Effect.succeed(secrets.value), { key: "user:{}", ttl: (text) => text as "1 minute" })(
      key
    ),
    Cached.ttl((_: string) => Effect.succeed(value), { key: "user:{}", ttl: -1 })(key),
    Cached.ttl((_: string) => Effect.succeed(value), { key: "user:{}", ...minute, tags: () => [key, 1 as never] })(key),
    ...[
      `http://${secrets.username}:${secrets.password}@host`,
      `redis://${secrets.username}:${secrets.password}%@host`,
      `redis://${secrets.username}:${secrets.password}@@@:99999999/`,
      `redis://${secrets.username}:${secrets.password}@host/${secrets.value}`,
      `redis+unix://${secrets.username}?pass=${secrets.password}`
    ].flatMap((url) => [
      Effect.scoped(RedisCache.make({ url })),
      Effect.scoped(RedisCache.make({ url: Redacted.make(url) })),
      Effect.scoped(RedisCache.make({ cluster: [url] })),
      Effect.scoped(RedisCache.make({ sentinel: { name: "m", nodes: [url], password: secrets.password } }))
    ])
  ],
  // an address of no machine
  ExporterError: [Effect.scoped(Layer.build(CacheExporter.layerPrometheus({ host: "192.0.2.1", port: 9464 })))],
  KeyError: [
    Cached.ttl((_: string) => Effect.succeed(value), { key: "user:{}", ...minute })([key] as never),
    Cached.ttl((_: { readonly id: string }) => Effect.succeed(value), { key: "user:{id}", ...minute })(key as never),
    Cached.ttl((_: string) => Effect.succeed(value), { key: () => [key] as never, name: "user", ...minute })(key),
    Effect.sync(() => Key.hash({ [secrets.property]: Symbol(key) })),
    Effect.sync(() => Key.hash({ a: new Map([[key, () => key]]) })),
    Effect.sync(() => Key.hash(Redacted.make(key)))
  ],
  LoadTimeout: [
    Cached.ttl((_: string) => Effect.never, { key: "user:{}", ...minute, timeout: { hard: 1 } })(key),
    Cached.reload(Cached.ttl((_: string) => Effect.never, { key: "user:{}", ...minute, timeout: { hard: 1 } })(key))
  ],
  LoadInterrupted: [Cached.ttl((_: string) => Effect.interrupt, { key: "user:{}", ...minute })(key)],
  ReentrantLoad: [
    Effect.suspend(() => {
      const self: Cached.CachedFunction<[string], number, never, CacheStore> = Cached.ttl(
        (id: string): Effect.Effect<number, never, CacheStore> => Effect.zipRight(Effect.yieldNow(), self(id)),
        { key: "user:{}", ...minute }
      )
      return self(key)
    }),
    Effect.suspend(() => {
      const self: Cached.CachedFunction<[string], number, never, CacheStore> = Cached.ttl(
        (id: string): Effect.Effect<number, never, CacheStore> => self.refresh(id),
        { key: "user:{}", ...minute }
      )
      return self(key)
    })
  ],
  SerializerError: [
    ...[
      { schema: Token, stored: value },
      { schema: Schema.Record({ key: Schema.String, value: Schema.Number }), stored: { [secrets.property]: key } },
      { schema: Schema.Union(Token, Schema.Number), stored: value },
      { schema: Schema.NumberFromString, stored: secrets.value },
      { schema: Schema.String.pipe(Schema.pattern(/^x$/)), stored: secrets.value },
      { schema: Schema.String.pipe(Schema.filter((text) => `not ${text}`)), stored: secrets.value },
      {
        schema: Schema.String.annotations({ message: ({ actual }) => `not ${String(actual)}` }),
        stored: [secrets.value]
      },
      {
        schema: Schema.transform(Schema.String, Schema.String, {
          decode: (text) => assert.fail(text),
          encode: (text) => assert.fail(text)
        }),
        stored: secrets.value
      }
    ].flatMap(({ schema, stored }): ReadonlyArray<Failing> => {
      const encoded = Cached.ttl((_: string) => Effect.succeed(stored as never), {
        key: "user:{}",
        schema: schema as never,
        ...minute
      })
      const plain = Cached.ttl((_: string) => Effect.succeed(stored as unknown), { key: "user:{}", ...minute })
      const read = Cached.bgRead({
        key: `user:${key}`,
        name: "user",
        schema: schema as never,
        onError: Effect.logError
      })
      return [
        // the Warning of a value that does not fit
        Effect.zipRight(encoded(key), Effect.sleep(10)),
        // the Warning of an entry that does not fit, and the error that a mirror gives to its handler
        Effect.zipRight(plain(key), Effect.sleep(10)).pipe(
          Effect.zipRight(Effect.scoped(Effect.zipRight(read, Effect.sleep(10)))),
          Effect.zipRight(encoded(key)),
          Effect.zipRight(Effect.sleep(10))
        )
      ]
    }),
    // what a serializer refuses, by its place in the value
    ...[() => key, Symbol(secrets.value), new (class Foreign {})(), Redacted.make(secrets.value)].flatMap((bad) =>
      [bad, { [secrets.property]: bad }, [{ "": new Map([[key, bad]]) }], new Map([[bad, key]])].map((stored) =>
        Effect.zipRight(
          Cached.ttl((_: string) => Effect.succeed(stored as unknown), { key: "user:{}", ...minute })(key),
          Effect.sleep(10)
        )
      )
    ),
    Effect.fail(new SerializerError({ reason: "Decode", path: "$", detail: "is not an entry", cause: foreign() }))
  ]
}

/** The defects that are no class of this library, by the file that makes them, with how many each has. */
const plain: Readonly<Record<string, readonly [count: number, cases: ReadonlyArray<Failing>]>> = {
  "internal/cached/cached.ts": [
    3,
    [
      // no policy, no store, and something else in place of the store
      Effect.suspend(
        () => Cached.policy((_: string) => Effect.succeed(value), { key: "user:{}" })(key) as Failing
      ).pipe(Effect.mapInputContext((context) => Context.omit(CachePolicy)(context) as never)),
      Effect.withFiberRuntime(() => find(key)).pipe(Effect.mapInputContext(() => ({ unsafeMap: new Map() }) as never)),
      Effect.provideService(find(key), CacheStore, { name: "other" } as never)
    ]
  ],
  "internal/cached/conditional.ts": [
    1,
    [
      Cached.ttl(
        Cached.conditional((_: Option.Option<string>, _id: string) => Effect.succeed(Cached.notModified)),
        { key: "user:{}", ...minute }
      )(key)
    ]
  ],
  "internal/cached/partition.ts": [
    1,
    [
      Effect.suspend(() =>
        Cached.ttl((_: string) => Effect.succeed(value), { key: "user:{}", ttl: 1_000, partition: Tenant })(key)
      ) as Failing
    ]
  ],
  // a fixed message, for arguments that no call of a user makes
  "internal/engine/partition.ts": [1, []],
  "internal/cached/unsafePeek.ts": [
    1,
    [
      Effect.sync(() => {
        const find = Cached.ttl((_: string) => Effect.succeed(value), { key: "user:{}", ttl: 1_000 })
        return (find.unsafePeek as (key: string) => unknown)(key)
      })
    ]
  ],
  // fails an effect that nobody sees
  "internal/backends/redis/client.ts": [1, []],
  "internal/engine/onError.ts": [
    1,
    [
      Effect.scoped(
        Effect.zipRight(
          Cached.bg(Effect.fail(1), {
            key: `bg:${key}`,
            name: "bg",
            interval: 1_000,
            flightTimeout: 10,
            onError: () => Effect.never
          }),
          Effect.sleep(50)
        )
      )
    ]
  ],
  "internal/cached/resolver.ts": [
    1,
    [
      Effect.mapInputContext(
        Cached.resolver(RequestResolver.never as RequestResolver.RequestResolver<GetUser>, {
          name: "users",
          key: ({ id }) => id,
          ...minute
        }),
        (context: Context.Context<CacheStore>) => Context.omit(CacheStore)(context) as never
      ) as unknown as Failing
    ]
  ],
  // a tool of a session outside of any
  "internal/cached/tools.ts": [
    1,
    [
      ToolCache.read((_: string) => Effect.succeed(value), {
        name: "tool",
        resource: "users",
        scope: "session",
        ...minute
      })(key) as unknown as Failing
    ]
  ],
  "internal/engine/loads/singleFlight.ts": [
    2,
    [
      Effect.gen(function* () {
        let isHanging = false
        const slow = Cached.ttl((_: string) => (isHanging ? Effect.never : Effect.succeed(value)), {
          key: "user:{}",
          ttl: 1,
          staleIfError: "1 minute",
          timeout: { soft: 10, then: "interrupt" }
        })
        yield* slow.set(key)(value)
        yield* Effect.sleep(5)
        isHanging = true
        yield* slow(key)
      }),
      Effect.gen(function* () {
        let isHanging = false
        const stale = Cached.swr((_: string) => (isHanging ? Effect.never : Effect.succeed(value)), {
          key: "user:{}",
          ttl: 1,
          stale: "1 minute",
          flightTimeout: 10
        })
        yield* stale.set(key)(value)
        yield* Effect.sleep(5)
        isHanging = true
        yield* stale(key)
        yield* Effect.sleep(50)
      })
    ]
  ]
}

class Tenant extends Context.Tag("Tenant")<Tenant, string>() {}

const policy = CachePolicy.layer({ ttl: "1 minute" })

describe("errors - contain no keys, values or credentials", () => {
  it("each class of error, and each defect - has a case", () => {
    const classes = sources.flatMap(({ text }) =>
      Array.from(
        text.matchAll(/(?:TaggedError|Data\.Error|Schema\.TaggedError<\w+>\(\))\("(\w+)"\)/g),
        (match) => match[1]!
      )
    )
    assert.deepStrictEqual(Object.keys(errors).sort(), classes.sort())
    const counts = sources.flatMap(({ file, text }) => {
      const code = text.replace(/^\s*(?:\/?\*|\/\/).*$/gm, "")
      const found = code.match(/new (?:\w+\.)?(?:\w*Error|\w*Exception)\((?!\{)|\bdieMessage\(|failMessage\(/g) ?? []
      const own = found.filter((each) => !/new (?:Walk|SerializerError|Reported)/.test(each))
      return own.length === 0 ? [] : [[file, own.length] as const]
    })
    assert.deepStrictEqual(
      Object.fromEntries(counts),
      Object.fromEntries(Object.entries(plain).map(([file, [count]]) => [file, count]))
    )
  })

  const cases = [
    ...Object.entries(errors),
    ...Object.entries(plain).map(([file, [, of]]) => [`the defects of ${file}`, of] as const)
  ]
  for (const [name, failing] of cases) {
    for (const [i, effect] of failing.entries()) {
      for (const [store, layer] of [
        ["memory", MemoryCache.layer()],
        ["bytes", Layer.scoped(CacheStore, CacheStore.makeBytes(bytesBackend()))]
      ] as const) {
        it.live(`${name} - case ${i + 1}, ${store}`, () => {
          const { layer: recording, written } = recorder()
          return Effect.gen(function* () {
            const exit = yield* logged(effect)
            const { problems } = yield* Effect.flatMap(CacheStore, ({ health }) => health)
            written.push({ where: "health", text: JSON.stringify(problems) }, ...(yield* metrics))
            if (Exit.isFailure(exit)) written.push(...rendered("the exit", exit))
            expectNoSecrets(written)
            if (!name.startsWith("SerializerError") && !name.includes("onError") && !name.includes("singleFlight")) {
              assert.isTrue(Exit.isFailure(exit), "it fails")
            }
          }).pipe(Effect.provide(Layer.provideMerge(Layer.merge(layer, policy), recording)))
        })
      }
    }
  }

  it.effect("the key - is on the error for programs to read", () =>
    Effect.gen(function* () {
      const exits = [...errors.LoadInterrupted!, ...errors.ReentrantLoad!, ...errors.DuplicateLoader!]
      const causes = yield* Effect.forEach(exits, (effect) => Effect.flip(Effect.sandbox(effect)))
      const [interrupted, reentrant, forced, duplicate] = causes.map(Cause.squash) as ReadonlyArray<any>
      assert.strictEqual(interrupted.key, `user:${key}`)
      assert.strictEqual(interrupted.of, "user:{}")
      for (const each of [reentrant, forced]) {
        assert.deepStrictEqual(each.chain, [`user:${key}`, `user:${key}`])
        assert.deepStrictEqual(each.of, ["user:{}", "user:{}"])
      }
      assert.strictEqual(duplicate.key, `bg:${key}`)
      assert.strictEqual(duplicate.of, "bg")
      // its load goes on, and others would join it
      const timedOut: any = yield* live(Effect.flip(errors.LoadTimeout![0]!))
      assert.strictEqual(timedOut.key, `user:${key}`)
      assert.strictEqual(timedOut.of, "user:{}")
    }).pipe(Effect.provide(MemoryCache.layer()))
  )

  it("the search itself - finds a secret in every form", () => {
    for (const text of Object.values(secrets)) {
      const bytes = Buffer.from(text)
      for (const form of [text, JSON.stringify({ a: [text] }), JSON.stringify(bytes), bytes.toString("hex")]) {
        assert.throws(() => expectNoSecrets([{ where: "a test", text: `x ${form} y` }]))
      }
    }
    const deep = Object.assign(new Error("a"), {
      cause: Object.assign(new Error("b"), { hidden: { of: [secrets.key] } })
    })
    assert.throws(() => expectNoSecrets(rendered("a test", deep)))
    const hidden = Object.defineProperty(new Error("a"), "key", { value: secrets.key, enumerable: false })
    assert.throws(() => expectNoSecrets(rendered("a test", hidden)))
  })
})

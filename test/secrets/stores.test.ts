/**
 * Stores write no secrets: each is used with secrets in keys, values and credentials while its server refuses, hangs or is
 * gone, and everything that is written is searched.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { SystemError } from "@effect/platform/Error"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, type Scope } from "effect"
import { Cached, CachePolicy, CacheStore, MemoryCache } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import * as GcsCache from "effect-cached/GcsCache"
import * as KeyValueCache from "effect-cached/KeyValueCache"
import * as RedisCache from "effect-cached/RedisCache"
import * as S3Cache from "effect-cached/S3Cache"
import { OAuth2Client } from "google-auth-library"
import { Redis } from "ioredis"
import { minute } from "../laws/support.js"
import { freePort } from "../support/ports.js"
import { awaitUntil, RedisServer } from "../support/redis.js"
import { expectNoSecrets, logged, metrics, recorder, secrets } from "./support.js"

const value = { token: secrets.value, [secrets.property]: secrets.value }

const strict = Cached.ttl((_: string) => Effect.succeed(value), {
  key: "user:{}",
  ...minute,
  tags: [secrets.key],
  onStoreError: "fail",
  lock: { lease: "1 second" }
})
const stale = Cached.swr((id: string) => (id.endsWith("!") ? Effect.fail("down") : Effect.succeed(value)), {
  key: "stale:{}",
  ttl: 1,
  stale: "1 minute"
})

/** Uses every verb with secrets. Whatever fails is logged in every way. */
const use = Effect.gen(function* () {
  const store = yield* CacheStore
  const { key, value: text } = secrets
  yield* Effect.forEach(
    [
      strict(key),
      strict.peek(key),
      strict.set(key)(value),
      strict.refresh(key),
      strict.invalidate(key),
      strict.clear,
      stale(key),
      Effect.zipRight(Effect.sleep(5), stale(key)),
      store.get(key),
      store.getMany([key, `${key}2`]),
      store.set(key, text, minute),
      store.setMany([[key, text]], minute),
      store.setIfAbsent(key, text, minute),
      store.remove(key),
      store.removeMany([key]),
      store.tags.invalidate([key]),
      store.clear
    ],
    (effect) => logged(effect as Effect.Effect<unknown, unknown, CacheStore>),
    { discard: true }
  )
})

/** Searches what is written while a store is made, used with faults, and closed. Returns it. */
const searched = <E>(
  open: Effect.Effect<CacheStore.Service, E, Scope.Scope>,
  ...steps: ReadonlyArray<Effect.Effect<unknown, unknown, CacheStore | Scope.Scope>>
) => {
  const { layer, written } = recorder()
  return Effect.gen(function* () {
    const exit = yield* logged(
      Effect.scoped(
        Effect.flatMap(open, (store) =>
          Effect.gen(function* () {
            for (const step of steps) yield* Effect.provideService(step, CacheStore, store)
            const { problems } = yield* store.health
            written.push({ where: "health", text: JSON.stringify(problems) }, ...(yield* metrics))
          })
        )
      )
    )
    assert.isTrue(Exit.isSuccess(exit), String(exit))
    expectNoSecrets(written)
    return written.map(({ text }) => text).join("\n")
  }).pipe(Effect.provide(layer))
}

// Redis.

const acl = (server: RedisServer.Service, ...rules: ReadonlyArray<string>) =>
  Effect.promise(() =>
    server.client.call("ACL", "SETUSER", secrets.username, "reset", "on", `>${secrets.password}`, ...rules)
  )

const urlOf = (port: number, password: string = secrets.password) =>
  `redis://${secrets.username}:${encodeURIComponent(password)}@127.0.0.1:${port}`

const quick = { timeout: "200 millis", connectTimeout: "300 millis" } as const

const kinds = {
  redis: (options: RedisCache.AnyOptions) => RedisCache.make({ ...quick, ...options }),
  "memory over redis": (options: RedisCache.AnyOptions) => RedisCache.makeHybrid({ l2: { ...quick, ...options } })
}

const lent = (client: Redis) =>
  Effect.map(Layer.build(RedisCache.layerFromClient(client)), (context) => Context.get(context, CacheStore))

/** Waits until one of the problems is listed. */
const problem = (...names: ReadonlyArray<string>) =>
  Effect.flatMap(CacheStore, ({ health }) =>
    awaitUntil(
      Effect.map(health, ({ problems }) => problems.some(({ name }) => names.includes(name))),
      names.join()
    )
  )

interface Fault {
  readonly rules?: ReadonlyArray<string>
  readonly args?: ReadonlyArray<string>
  readonly options?: Partial<RedisCache.Options>
  readonly password?: string
  /** Happens between two uses of the store. */
  readonly strikes?: (server: RedisServer.Service) => Effect.Effect<unknown, unknown, CacheStore | Scope.Scope>
  readonly problems?: ReadonlyArray<string>
  /** Only for the kind of store that has it. */
  readonly kind?: keyof typeof kinds
}

const all = ["~*", "&*", "+@all"]

const faults: Readonly<Record<string, Fault>> = {
  "a wrong password": { password: `${secrets.password}!`, problems: ["Disconnected"] },
  "a user without EVALSHA": { rules: [...all, "-evalsha", "-eval"], problems: ["CommandRefused"] },
  "a user without some keys": { rules: ["~ec1:!*", "&*", "+@all"] },
  "a user without channels": {
    rules: ["~*", "resetchannels", "+@all"],
    kind: "memory over redis",
    problems: ["SubscribeRefused"]
  },
  "a database out of range": { options: { redis: { db: 99 } }, problems: ["CommandRefused"] },
  "a user whose rights are taken": {
    strikes: (server) => acl(server, ...all, "-evalsha", "-eval", "-mget", "-getrange")
  },
  "a user whose password is changed": {
    strikes: (server) =>
      Effect.promise(() => server.client.call("ACL", "SETUSER", secrets.username, "resetpass", ">other")).pipe(
        Effect.zipRight(Effect.promise(() => server.client.call("CLIENT", "KILL", "USER", secrets.username))),
        Effect.zipRight(problem("Disconnected"))
      )
  },
  "a killed server": { strikes: (server) => Effect.zipRight(server.kill, problem("Disconnected")) },
  "a server that hangs": {
    strikes: (server) =>
      Effect.zipRight(
        Effect.addFinalizer(() => server.cont),
        server.stop
      )
  },
  "a full server": {
    strikes: (server) => Effect.promise(() => server.client.config("SET", "maxmemory", "1"))
  },
  "keys of another type": {
    strikes: (server) =>
      Effect.promise(async () => {
        const keys = ["ec1:user:", "ec1:stale:", "ec1:"].map((key) => `${key}${secrets.key}`)
        for (const key of [...keys, ...(await server.client.keys("*"))]) {
          await server.client.del(key)
          await server.client.lpush(key, secrets.value)
        }
      })
  },
  "a server that is demoted": {
    strikes: (server) =>
      Effect.promise(() => server.client.replicaof("127.0.0.1", 1)).pipe(
        Effect.zipRight(Effect.promise(() => server.client.config("SET", "replica-serve-stale-data", "no")))
      )
  },
  "foreign messages": {
    strikes: (server) => Effect.promise(() => server.client.publish("ec1:!news", `{"k":["${secrets.key}"`))
  },
  "an eviction policy that evicts the young": {
    args: ["--maxmemory", "50mb", "--maxmemory-policy", "volatile-ttl"],
    problems: ["EvictsTombstones"]
  },
  "a mark from the future": {
    strikes: (server) =>
      Effect.promise(async () => {
        const name = `t:${secrets.key}`
        await server.client.zadd("ec1:!{marks}:versions", 1e16, name)
        await server.client.hset("ec1:!{marks}:stamps", name, "1e300")
        await server.client.publish("ec1:!news", "")
      }),
    problems: ["MarksRepaired"]
  },
  "marks that are lost": {
    strikes: (server) => Effect.promise(() => server.client.flushall())
  },
  "a script with an error": {
    strikes: (server) =>
      Effect.promise(async () => {
        for (const key of await server.client.keys("*!{marks}*")) await server.client.set(key, secrets.value)
      })
  }
}

describe("stores - write no keys, values or credentials", () => {
  describe("redis", () => {
    for (const [kind, open] of Object.entries(kinds)) {
      for (const [fault, { args, kind: only, options, password, problems, rules = all, strikes }] of Object.entries(
        faults
      )) {
        if (only !== undefined && only !== kind) continue
        it.scopedLive(`${kind}, ${fault}`, () =>
          Effect.gen(function* () {
            const server = yield* RedisServer.make({ args })
            yield* acl(server, ...rules)
            yield* searched(
              open({ url: urlOf(server.port, password), ...options }),
              use,
              strikes?.(server) ?? Effect.void,
              use,
              problems === undefined ? Effect.void : problem(...problems)
            )
          })
        )
      }
    }

    it.scopedLive("a server that repeats what it is sent", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make()
        const client = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis(server.port, { autoResendUnfulfilledCommands: true })),
          (client) => Effect.sync(() => client.disconnect())
        )
        client.on("error", () => {})
        // a command that the server does not know is answered with its arguments
        yield* searched(
          lent(client),
          problem("ClientResends"),
          use,
          Effect.promise(() => server.client.replicaof("127.0.0.1", 1)),
          use,
          problem("ServerIsReplica")
        )
        Object.assign(client, { evalsha: (...sent: ReadonlyArray<string>) => client.call("NOSUCH", ...sent.slice(2)) })
        yield* searched(lent(client), use)
      })
    )

    it.scopedLive("nobody listens, in every form of address", () =>
      Effect.gen(function* () {
        const port = yield* Effect.orDie(freePort)
        const url = urlOf(port)
        const forms: ReadonlyArray<RedisCache.AnyOptions> = [
          { url },
          { url: url.replace("redis:", "rediss:") },
          { cluster: [url] },
          { sentinel: { name: "m", nodes: [url], password: secrets.password } },
          { url: `redis+unix:///tmp/no.sock?user=${secrets.username}&pass=${secrets.password}` }
        ]
        for (const options of forms) yield* searched(kinds.redis(options), use)
      })
    )
  })

  // Files.

  it.scopedLive("files - a directory that becomes a file, and one without rights", () =>
    Effect.gen(function* () {
      for (const spoil of [
        (directory: string) => {
          for (const name of fs.readdirSync(directory)) {
            fs.rmSync(`${directory}/${name}`, { recursive: true })
            fs.writeFileSync(`${directory}/${name}`, secrets.value)
          }
        },
        (directory: string) => {
          fs.rmSync(directory, { recursive: true })
          fs.writeFileSync(directory, secrets.value)
        }
      ]) {
        const directory = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-secrets-"))
        yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true })))
        const text = yield* searched(
          Effect.provide(FileCache.make({ directory, sweepEvery: 5 }), NodeContext.layer),
          use,
          Effect.sync(() => spoil(directory)),
          use,
          Effect.sleep(20)
        )
        // not even a hash of a key, which would confirm a guess
        assert.notMatch(text, /[0-9a-f]{62}/)
      }
    })
  )

  it.scopedLive("key-value - a store that fails", () =>
    Effect.gen(function* () {
      const failure = new SystemError({
        reason: "Unknown",
        module: "KeyValueStore",
        method: "get",
        pathOrDescriptor: secrets.key,
        description: `cannot read ${secrets.key}`,
        cause: new Error(secrets.value)
      })
      const layer = Layer.succeed(
        KeyValueStore.KeyValueStore,
        KeyValueStore.make({
          get: () => failure,
          getUint8Array: () => failure,
          set: () => failure,
          remove: () => failure,
          clear: Effect.void,
          size: Effect.succeed(0)
        })
      )
      yield* searched(Effect.provide(KeyValueCache.make(), layer), use)
    })
  )

  // Buckets.

  /** A gateway that answers with a status and repeats everything that it was sent. */
  const gateway = (status: number, type: string, bodyOf: (sent: string) => string) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.async<http.Server>((resume) => {
          const server = http.createServer((request, response) => {
            const chunks: Array<Buffer> = []
            request.on("data", (chunk: Buffer) => chunks.push(chunk))
            request.on("end", () => {
              const { headers, method, url } = request
              const sent = `${method} ${url} ${JSON.stringify(headers)} ${Buffer.concat(chunks).toString("latin1")}`
              response.writeHead(status, { "content-type": type, "x-sent": encodeURIComponent(sent).slice(0, 8_000) })
              response.end(bodyOf(sent))
            })
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) =>
          Effect.sync(() => {
            server.closeAllConnections()
            server.close()
          })
      ),
      (server) => (server.address() as { readonly port: number }).port
    )

  const escape = (text: string) => text.replace(/[&<>]/g, "")
  const answers: Readonly<Record<string, readonly [type: string, bodyOf: (sent: string) => string]>> = {
    xml: [
      "application/xml",
      (sent) =>
        `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access to "${escape(sent)}" denied</Message>` +
        `<Key>${escape(sent)}</Key><StringToSign>${escape(sent)}</StringToSign></Error>`
    ],
    json: [
      "application/json",
      (sent) => {
        const message = `Access to "${sent}" denied`
        return JSON.stringify({ error: { code: 403, message, errors: [{ message, reason: "forbidden" }] } })
      }
    ],
    text: ["text/plain", (sent) => `you sent ${JSON.stringify(sent)}`]
  }

  for (const [form, [type, bodyOf]] of Object.entries(answers)) {
    for (const status of [200, 400, 403, 503]) {
      // some writes are repeated until the timeout where all writes succeed and reads do not find them
      const timeout = status === 200 ? "200 millis" : "1 second"
      it.scopedLive(`s3 - a gateway that answers ${status} in ${form}`, () =>
        Effect.gen(function* () {
          const port = yield* gateway(status, type, bodyOf)
          yield* searched(
            S3Cache.make({
              bucket: "b",
              timeout,
              client: {
                region: "x",
                endpoint: `http://127.0.0.1:${port}`,
                forcePathStyle: true,
                maxAttempts: 1,
                credentials: {
                  accessKeyId: secrets.accessKeyId,
                  secretAccessKey: secrets.secretAccessKey,
                  sessionToken: secrets.sessionToken
                }
              }
            }),
            use
          )
        })
      )

      it.scopedLive(`gcs - a gateway that answers ${status} in ${form}`, () =>
        Effect.gen(function* () {
          const port = yield* gateway(status, type, bodyOf)
          const authClient = new OAuth2Client()
          authClient.setCredentials({ access_token: secrets.token, expiry_date: 4e12 })
          yield* searched(
            GcsCache.make({
              bucket: "b",
              timeout,
              client: {
                apiEndpoint: `http://127.0.0.1:${port}`,
                projectId: "p",
                authClient: authClient as never,
                useAuthWithCustomEndpoint: true,
                retryOptions: { autoRetry: false }
              }
            }),
            use
          )
        })
      )
    }
  }

  it.scopedLive("memory - refreshes that fail, and a key that leaves out a property", () =>
    searched(
      MemoryCache.make(),
      Effect.gen(function* () {
        let isDown = false
        const refreshed = Cached.swr((_: string) => (isDown ? Effect.fail("down") : Effect.succeed(value)), {
          key: "user:{}",
          ttl: 1,
          stale: "1 minute"
        })
        yield* refreshed(secrets.key)
        yield* Effect.sleep(5)
        isDown = true
        yield* refreshed(secrets.key)
        const leaky = Cached.ttl((_: { readonly id: string }) => Effect.succeed(value), {
          key: "leaky:{id}" as string,
          name: "leaky",
          ...minute
        })
        yield* leaky({ id: secrets.key, [secrets.property]: 1 } as { readonly id: string })
      }),
      problem("RefreshesFail"),
      problem("KeyIncomplete")
    )
  )

  it.scopedLive("memory - a policy that switches caching off, and one that names no function", () =>
    searched(
      MemoryCache.make(),
      use,
      Effect.provide(
        Effect.suspend(() => Cached.policy((_: string) => Effect.succeed(value), { key: "user:{}" })(secrets.key)),
        CachePolicy.layer({ ttl: 0, functions: { nobody: { ttl: "1 minute" } } })
      )
    )
  )
})

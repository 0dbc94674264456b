import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Either, Layer, Option } from "effect"
import { Cached, Envelope } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { bundle } from "../../support/bundle.js"
import { freePort } from "../../support/ports.js"
import { awaitUntil, RedisServer, TcpProxy } from "../../support/redis.js"
import { minute, nodeOf, patient, same } from "../../support/redis-nodes.js"

/** The program of a process. */
class Script extends Context.Tag("test/RedisScript")<Script, string>() {
  static readonly layer = Layer.scoped(
    Script,
    bundle(fileURLToPath(new URL("../../support/redis-process.ts", import.meta.url)))
  )
}

/** How many milliseconds a process may take: on a busy machine it takes seconds to start. */
const patience = 40_000

/** Starts a process. The scope kills it if it has not ended by then. */
const start = (what: string, url: string, skew = 0) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.map(Script, (script) => {
        const child = spawn(process.execPath, [script, what, url, String(skew)], {
          stdio: ["ignore", "pipe", "pipe"]
        })
        const state = { text: "", errors: "", code: undefined as number | string | undefined }
        child.stdout.on("data", (chunk) => (state.text += chunk))
        child.stderr.on("data", (chunk) => (state.errors += chunk))
        child.on("close", (code, signal) => (state.code = code ?? signal ?? "none"))
        return { child, state }
      }),
      ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
    ),
    ({ child, state }) => ({
      child,
      said: (line: string) =>
        awaitUntil(
          Effect.sync(() => state.text.includes(line)),
          `${what} said ${line}`,
          patience
        ),
      /** The output of the process, once it has ended by itself. */
      ended: Effect.zipRight(
        awaitUntil(
          Effect.sync(() => state.code !== undefined),
          `${what} ended by itself`,
          patience
        ),
        Effect.sync(() => {
          assert.strictEqual(state.code, 0, state.errors)
          return state.text.trim().split("\n")
        })
      ),
      killed: awaitUntil(
        Effect.sync(() => state.code !== undefined),
        "it is gone"
      )
    })
  )

const find = Cached.ttl(
  (id: number): Effect.Effect<{ id: number; load: number; text: string }> =>
    Effect.succeed({ id, load: -1, text: "loaded here" }),
  { key: "item:{}", tags: ["items"], ...minute }
)

layer(Script.layer, { excludeTestServices: true })("RedisCache processes", (it) => {
  it.scoped(
    "law 11: the scope ends everything - a process that closes its store while writes hang ends",
    () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const proxy = yield* TcpProxy.make(redis.port)
        const node = yield* start("leave", proxy.url)
        yield* node.said("ready")
        yield* proxy.blackhole
        node.child.kill("SIGUSR2")
        yield* node.ended
      }),
    2 * patience
  )

  it.scoped("an entry of one process - is read by another, and both end by themselves", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer.make()
      const writer = yield* start("read", redis.url)
      same((yield* writer.ended)[0], "loads 100")
      const reader = yield* start("read", redis.url)
      same((yield* reader.ended)[0], "loads 0")
      const clients = yield* Effect.promise(() => redis.client.client("LIST") as Promise<string>)
      assert.lengthOf(clients.trim().split("\n"), 1)
    })
  )

  it.scoped("kill -9 during many writes - leaves no partial entry, and nothing that blocks other processes", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer.make()
      for (let i = 0; i < 3; i++) {
        const flood = yield* start("flood", redis.url)
        yield* flood.said("flooding")
        flood.child.kill("SIGKILL")
        yield* flood.killed
        for (let id = 0; id < 100; id++) {
          const bytes = yield* Effect.promise(() => redis.client.getBuffer(`ec1:flood:${id}`))
          assert.isTrue(Either.isRight(Envelope.v1.decode(bytes!)), `flood:${id}`)
        }
        const a = nodeOf(yield* RedisCache.make({ url: redis.url, ...patient }))
        const values = yield* a.store.getMany<{ round: number; text: string }>(
          Array.from({ length: 100 }, (_, id) => `flood:${id}`)
        )
        for (const value of values) {
          const { round, text } = Option.getOrThrow(value)
          assert.strictEqual(text, String(round % 10).repeat(20_000))
        }
        assert.strictEqual((yield* a.store.stats).decodeFailures, 0)
      }
    })
  )

  for (const skew of [-30_000, 30_000]) {
    it.scoped(`a process whose clock is off by ${skew / 1_000} s - its entries are invalidated all the same`, () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const a = nodeOf(yield* RedisCache.make({ url: redis.url, ...patient }))
        const other = yield* start("read", redis.url, skew)
        yield* other.ended
        assert.isTrue(Option.isSome(yield* a.run(find.peek(1))))
        yield* a.run(find.invalidate(1))
        same(yield* a.run(find.peek(1)), Option.none())
        yield* a.store.tags.invalidate(["items"])
        same(yield* a.run(find.peek(2)), Option.none())
        // and a load here is newer than what it stored
        yield* a.run(find(2))
        yield* a.written
        assert.strictEqual(Option.getOrThrow(yield* a.run(find.peek(2))).load, -1)
        // and it does not undo them when it starts again
        const again = yield* start("read", redis.url, skew)
        same((yield* again.ended)[0], "loads 99")
      })
    )
  }

  it.scoped("Redis absent, or silent - a process that used it ends by itself", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer.make()
      const proxy = yield* TcpProxy.make(redis.port)
      yield* proxy.blackhole
      for (const url of [`redis://127.0.0.1:${yield* freePort}`, proxy.url]) {
        const user = yield* start("use", url)
        const lines = yield* user.ended
        same([lines.includes("down"), lines.at(-1)], [true, "end"])
      }
    })
  )
})

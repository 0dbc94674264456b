import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { Redis } from "ioredis"
import { awaitUntil, freshPrefix, live, RedisServer, TcpProxy } from "./redis.js"

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    // a zombie is dead too
    return !/^State:\s+Z/m.test(
      fs.existsSync(`/proc/${pid}/status`) ? fs.readFileSync(`/proc/${pid}/status`, "utf8") : ""
    )
  } catch {
    return false
  }
}

/** Connects a client that tries once and queues nothing. */
const connect = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const client = new Redis({
        port,
        lazyConnect: true,
        retryStrategy: null,
        enableOfflineQueue: false,
        enableReadyCheck: false,
        disableClientInfo: true,
        maxRetriesPerRequest: 0
      })
      client.on("error", () => {})
      return client
    }),
    (client) => Effect.sync(() => client.disconnect())
  ).pipe(Effect.tap((client) => Effect.promise(() => client.connect())))

const ask = <A>(run: () => Promise<A>) => Effect.tryPromise({ try: run, catch: (error) => error as Error })

const printed = (exit: Exit.Exit<unknown, unknown>) => (Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "a success")

const noAnswerWithin = (millis: number, run: () => Promise<unknown>) =>
  live(Effect.timeoutOption(ask(run), Duration.millis(millis))).pipe(
    Effect.map((answer) => assert.strictEqual(answer._tag, "None"))
  )

describe("RedisServer", () => {
  describe("make", () => {
    it.scoped("start - answers, is empty, and persists nothing", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make()
        assert.strictEqual(yield* ask(() => server.client.ping()), "PONG")
        assert.strictEqual(yield* ask(() => server.client.dbsize()), 0)
        assert.deepStrictEqual(yield* ask(() => server.client.config("GET", "save")), ["save", ""])
        assert.strictEqual((yield* server.info("server")).process_id, String(yield* server.pid))
        assert.strictEqual((yield* server.info("server")).tcp_port, String(server.port))
      })
    )

    it.effect("scope - closing it ends the server, even a stopped one, and removes its directory", () =>
      Effect.gen(function* () {
        for (const stopped of [false, true]) {
          const scope = yield* Scope.make()
          const server = yield* Scope.extend(RedisServer.make(), scope)
          const pid = yield* server.pid
          const [, dir] = (yield* ask(() => server.client.config("GET", "dir"))) as Array<string>
          assert.isTrue(isAlive(pid) && fs.existsSync(dir!))
          if (stopped) yield* server.stop
          yield* Scope.close(scope, Exit.void)
          assert.isFalse(isAlive(pid))
          assert.isFalse(fs.existsSync(dir!))
        }
      })
    )

    it.scoped("kill and start - keep the port, and give an empty server in another process", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make()
        const pid = yield* server.pid
        yield* ask(() => server.client.set("a", "1"))
        yield* server.kill
        assert.isFalse(isAlive(pid))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.scoped(connect(server.port)))))
        yield* server.start
        assert.notStrictEqual(yield* server.pid, pid)
        assert.isNull(yield* ask(() => server.client.get("a")))
        yield* Effect.scoped(connect(server.port))
      })
    )

    it.scoped("stop and cont - keep connections open, and delay answers", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make()
        yield* server.stop
        const answer = yield* Effect.fork(ask(() => server.client.ping()))
        yield* noAnswerWithin(50, () => server.client.ping())
        assert.isNull(yield* Fiber.poll(answer).pipe(Effect.map((exit) => (exit._tag === "None" ? null : exit.value))))
        yield* server.cont
        assert.strictEqual(yield* Fiber.join(answer), "PONG")
      })
    )

    it.scoped("requirepass - the url has the password, and clients without it are refused", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make({ requirepass: "s3cret/@" })
        const stranger = yield* connect(server.port)
        const refused = yield* Effect.flip(ask(() => stranger.get("a")))
        assert.include(refused.message, "NOAUTH")
        const friend = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis(server.url)),
          (client) => Effect.sync(() => client.disconnect())
        )
        assert.strictEqual(yield* ask(() => friend.ping()), "PONG")
      })
    )

    it.scoped("args - an invalid one is a defect that shows the output of the server", () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(RedisServer.make({ args: ["--no-such-thing", "1"] }))
        assert.include(printed(exit), "no-such-thing")
      })
    )

    it.effect("the process that started the server - takes it along, however it ends", () =>
      Effect.gen(function* () {
        const harness = new URL("./redis.ts", import.meta.url).href
        const program = `
          import * as Effect from "effect/Effect"
          import { RedisServer } from ${JSON.stringify(harness)}
          Effect.runPromise(Effect.scoped(Effect.gen(function* () {
            const server = yield* RedisServer.make()
            console.log("pid " + (yield* server.pid))
            yield* Effect.never
          })))`
        const root = fileURLToPath(new URL("../..", import.meta.url))
        const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program], {
          cwd: root,
          stdio: ["ignore", "pipe", "inherit"]
        })
        const pid = yield* Effect.async<number>((resume) => {
          let out = ""
          child.stdout.on("data", (chunk) => {
            out += chunk
            const found = /pid (\d+)\n/.exec(out)
            if (found !== null) resume(Effect.succeed(Number(found[1])))
          })
        })
        assert.isTrue(isAlive(pid))
        child.kill("SIGKILL")
        yield* awaitUntil(
          Effect.sync(() => !isAlive(pid)),
          "the orphaned server is gone"
        )
      })
    )
  })
})

layer(RedisServer.layer)("RedisServer", (it) => {
  describe("layer", () => {
    it.effect("freshPrefix - is different for every test", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer
        assert.notStrictEqual(yield* freshPrefix, yield* freshPrefix)
        assert.strictEqual(yield* ask(() => server.client.ping()), "PONG")
      })
    )
  })

  describe("monitor", () => {
    it.scoped("commands - shows those of other clients and of scripts in order, and not those of the harness", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer
        const prefix = yield* freshPrefix
        const client = yield* connect(server.port)
        const monitor = yield* server.monitor
        yield* ask(() => client.set(`${prefix}a`, "1"))
        yield* ask(() => client.eval("return redis.call('get', KEYS[1])", 1, `${prefix}a`))
        yield* ask(() => server.client.get(`${prefix}b`))
        const commands = yield* monitor.commands
        assert.deepStrictEqual(commands[0], ["set", `${prefix}a`, "1"])
        assert.deepStrictEqual(yield* monitor.names, ["SET", "EVAL", "GET"])
      })
    )
  })

  describe("commandCounts", () => {
    it.scoped("resetCounts - starts counting anew", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer
        yield* server.resetCounts
        yield* ask(() => server.client.get("a"))
        yield* ask(() => server.client.get("a"))
        assert.strictEqual((yield* server.commandCounts).get, 2)
        assert.isUndefined((yield* server.commandCounts).keys)
      })
    )
  })

  describe("TcpProxy", () => {
    it.scoped("no fault - carries data in both directions, large values too", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer
        const prefix = yield* freshPrefix
        const proxy = yield* TcpProxy.make(server.port)
        const client = yield* connect(proxy.port)
        const value = "x".repeat(5_000_000)
        yield* ask(() => client.set(`${prefix}large`, value))
        assert.strictEqual(yield* ask(() => client.get(`${prefix}large`)), value)
        assert.strictEqual(yield* proxy.connections, 1)
        assert.strictEqual(yield* proxy.accepted, 1)
        yield* ask(() => client.del(`${prefix}large`))
      })
    )

    it.scoped("latency - delays answers and keeps their order, until restore", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer
        const proxy = yield* TcpProxy.make(server.port)
        const client = yield* connect(proxy.port)
        const timed = (run: () => Promise<unknown>) => live(Effect.map(Effect.timed(ask(run)), ([took]) => took))
        yield* proxy.latency(100)
        assert.isAtLeast(Duration.toMillis(yield* timed(() => client.ping())), 95)
        const order = yield* ask(async () => {
          const slow = client.echo("slow")
          proxy.latency(0).pipe(Effect.runSync)
          return Promise.all([slow, client.echo("fast")])
        })
        assert.deepStrictEqual(order, ["slow", "fast"])
        yield* proxy.latency(5_000)
        yield* proxy.restore
        assert.isBelow(Duration.toMillis(yield* timed(() => client.ping())), 2_000)
      })
    )

    it.scoped("blackhole - keeps old and new connections open without carrying anything, until restore", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer
        const prefix = yield* freshPrefix
        const proxy = yield* TcpProxy.make(server.port)
        const old = yield* connect(proxy.port)
        yield* proxy.blackhole
        const fresh = yield* connect(proxy.port)
        const late = yield* Effect.fork(ask(() => old.set(`${prefix}late`, "1")))
        yield* noAnswerWithin(50, () => old.ping())
        yield* noAnswerWithin(50, () => fresh.ping())
        assert.isNull(yield* ask(() => server.client.get(`${prefix}late`)))
        yield* proxy.restore
        assert.strictEqual(yield* Fiber.join(late), "OK")
        assert.strictEqual(yield* ask(() => fresh.ping()), "PONG")
      })
    )

    it.scoped("blackhole - a cut loses what was held", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer
        const prefix = yield* freshPrefix
        const proxy = yield* TcpProxy.make(server.port)
        const client = yield* connect(proxy.port)
        yield* proxy.blackhole
        const lost = yield* Effect.fork(Effect.exit(ask(() => client.set(`${prefix}lost`, "1"))))
        yield* noAnswerWithin(20, () => client.ping())
        yield* proxy.cut
        yield* proxy.restore
        assert.isTrue(Exit.isFailure(yield* Fiber.join(lost)))
        assert.isNull(yield* ask(() => server.client.get(`${prefix}lost`)))
      })
    )

    it.scoped("refuse - rejects new connections, and keeps existing ones", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer
        const proxy = yield* TcpProxy.make(server.port)
        const old = yield* connect(proxy.port)
        yield* proxy.refuse
        assert.isTrue(Exit.isFailure(yield* Effect.exit(connect(proxy.port))))
        assert.strictEqual(yield* ask(() => old.ping()), "PONG")
        yield* proxy.restore
        assert.strictEqual(
          yield* connect(proxy.port).pipe(Effect.flatMap((client) => ask(() => client.ping()))),
          "PONG"
        )
      })
    )

    it.scoped("cut - resets existing connections, and accepts new ones", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer
        const proxy = yield* TcpProxy.make(server.port)
        const old = yield* connect(proxy.port)
        assert.strictEqual(yield* proxy.connections, 1)
        yield* proxy.cut
        yield* awaitUntil(
          Effect.sync(() => old.status === "end"),
          "the old connection was reset"
        )
        assert.strictEqual(yield* proxy.connections, 0)
        const fresh = yield* connect(proxy.port)
        assert.strictEqual(yield* ask(() => fresh.ping()), "PONG")
      })
    )

    it.scoped("a target that is down - resets the connection", () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make()
        const proxy = yield* TcpProxy.make(server.port)
        yield* server.kill
        const client = yield* connect(proxy.port).pipe(Effect.exit)
        if (Exit.isSuccess(client)) {
          yield* awaitUntil(
            Effect.sync(() => client.value.status === "end"),
            "the connection was reset"
          )
        }
        yield* server.start
        const fresh = yield* connect(proxy.port)
        assert.strictEqual(yield* ask(() => fresh.ping()), "PONG")
      })
    )
  })
})

describe("awaitUntil", () => {
  it.effect("under TestClock - polls on the real clock", () =>
    Effect.gen(function* () {
      let polls = 0
      yield* awaitUntil(
        Effect.sync(() => ++polls >= 3),
        "polled thrice"
      )
      assert.strictEqual(polls, 3)
    })
  )

  it.effect("a condition that never holds - is a defect with the message", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(awaitUntil(Effect.succeed(false), "pigs fly", 50))
      assert.include(printed(exit), "waited 50 ms until pigs fly")
    })
  )
})

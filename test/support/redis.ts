/**
 * A real redis-server, which runs until a scope closes, and the means to disturb it.
 *
 * No effect here fails: an error in the harness is a defect that describes it. All waiting is done on the real clock,
 * so everything works under `TestClock`.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Redis } from "ioredis"
import { awaitUntil } from "./live.js"
import { freePort } from "./ports.js"
import * as RedisBinary from "./redisBinary.js"

export { awaitUntil, live } from "./live.js"
export * as TcpProxy from "./tcpProxy.js"

export declare namespace RedisServer {
  export interface Options {
    /** Default: a free port. */
    readonly port?: number | undefined
    readonly requirepass?: string | undefined
    /** Further arguments, such as `["--maxmemory", "1mb"]`. */
    readonly args?: ReadonlyArray<string> | undefined
    /** Environment variables in addition to those of this process. */
    readonly env?: Readonly<Record<string, string>> | undefined
  }

  export interface Service {
    readonly host: string
    readonly port: number
    /** `redis://127.0.0.1:<port>`, with the password if there is one. */
    readonly url: string
    /** The process id of the running server. Dies if it does not run. */
    readonly pid: Effect.Effect<number>
    /**
     * A plain client for assertions, which is connected whenever the server is up. Without a connection its commands
     * wait, and none is sent twice.
     */
    readonly client: Redis
    /** Sends SIGKILL, also to a stopped server, and waits until it is gone. */
    readonly kill: Effect.Effect<void>
    /** Starts the server again on the same port, empty, and waits until it and `client` are ready. */
    readonly start: Effect.Effect<void>
    /** Sends SIGSTOP: connections stay open and new ones are accepted, but nothing is answered. */
    readonly stop: Effect.Effect<void>
    /** Sends SIGCONT: the server handles everything that was sent meanwhile. */
    readonly cont: Effect.Effect<void>
    /** A section of INFO. */
    readonly info: (section: string) => Effect.Effect<Record<string, string>>
    /**
     * How often each command was called since the start or the last `resetCounts`: `{ get: 2, "client|setname": 1 }`.
     * It counts the commands of all clients, of `client`, and of scripts.
     */
    readonly commandCounts: Effect.Effect<Record<string, number>>
    readonly resetCounts: Effect.Effect<void>
    /** Records the commands of all clients but `client` from now on. The server must be up. */
    readonly monitor: Effect.Effect<Monitor, never, Scope.Scope>
  }

  export interface Monitor {
    /** All commands with their arguments, up to the moment at which this effect runs. */
    readonly commands: Effect.Effect<ReadonlyArray<ReadonlyArray<string>>>
    /** The names of the commands, in capitals. */
    readonly names: Effect.Effect<ReadonlyArray<string>>
  }
}

const dieOn = <A>(doing: string, run: () => Promise<A>): Effect.Effect<A> =>
  Effect.promise(() =>
    run().catch((cause) => {
      throw new Error(`${doing}: ${String(cause)}`, { cause })
    })
  )

const unescaped = (text: string): string =>
  text.replace(/\\(x[0-9a-f]{2}|.)/g, (_, code: string) =>
    code.length === 3
      ? String.fromCharCode(Number.parseInt(code.slice(1), 16))
      : ({ n: "\n", r: "\r", t: "\t", a: "\x07", b: "\b" }[code] ?? code)
  )

/** Runs MONITOR on a plain socket: in ioredis it breaks when a command arrives together with the first answer. */
const monitoring = (
  port: number,
  host: string,
  password: string | undefined,
  onCommand: (source: string, args: ReadonlyArray<string>) => void
): Promise<net.Socket> =>
  new Promise((resolve, reject) => {
    const socket = net.connect(port, host)
    let rest = ""
    socket.setEncoding("latin1").on("error", reject)
    socket.on("data", (chunk) => {
      const lines = (rest + String(chunk)).split("\r\n")
      rest = lines.pop()!
      for (const line of lines) {
        const [, source, args] = /^\+[\d.]+ \[\d+ ([^\]]*)\] (.*)$/.exec(line) ?? []
        if (args !== undefined) {
          onCommand(
            source!,
            Array.from(args.matchAll(/"((?:[^"\\]|\\.)*)"/g), ([, arg]) => unescaped(arg!))
          )
        } else if (line.startsWith("-")) reject(new Error(line.slice(1)))
        // the answer to AUTH, and then to MONITOR
        else if (line === "+OK" && --open === 0) resolve(socket)
      }
    })
    let open = password === undefined ? 1 : 2
    if (password !== undefined) socket.write(`AUTH ${password}\r\n`)
    socket.write("MONITOR\r\n")
  })

let enableDebug: ReadonlyArray<string> | undefined

/** The switch that allows DEBUG. Redis before version 7 allows it anyway, and does not know the switch. */
const debugArgs = (binary: string): ReadonlyArray<string> => {
  const version = spawnSync(binary, ["--version"], { encoding: "utf8" }).stdout ?? ""
  return Number(/v=(\d+)/.exec(version)?.[1] ?? 7) >= 7 ? ["--enable-debug-command", "yes"] : []
}

class NotStarted extends Data.TaggedError("NotStarted")<{ readonly message: string }> {}

const launch = (port: number, dir: string, options: RedisServer.Options): Effect.Effect<ChildProcess, NotStarted> =>
  Effect.suspend(() => {
    enableDebug ??= debugArgs(RedisBinary.require())
    const fixed = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir]
    const password = options.requirepass === undefined ? [] : ["--requirepass", options.requirepass]
    const args = [...fixed, ...enableDebug, ...password, ...(options.args ?? [])]
    return spawnServer(`redis-server on port ${port}`, args, dir, "Ready to accept connections", options.env)
  })

/** Starts a server. Fails with its output if it ends before it prints `ready`. */
export const spawnServer = (
  what: string,
  args: ReadonlyArray<string>,
  dir: string,
  ready: string,
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<ChildProcess, NotStarted> =>
  Effect.async<ChildProcess, NotStarted>((resume) => {
    const child = spawn(RedisBinary.require(), args, {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      env: { ...process.env, ...env }
    })
    // when this process ends, by whatever cause, the standard input of the guard ends too, and the guard kills the
    // server
    const guard = spawn("/bin/sh", ["-c", 'read _; kill -9 "$1"; rm -rf "$2"', "guard", String(child.pid), dir], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true
    })
    guard.stdin.on("error", () => {})
    let log = ""
    const tooLate = setTimeout(() => child.kill("SIGKILL"), 10_000)
    const onOutput = (chunk: Buffer) => {
      if (log.length > 100_000) return
      log += chunk.toString()
      if (log.includes(ready)) {
        clearTimeout(tooLate)
        resume(Effect.succeed(child))
      }
    }
    child.stdout.on("data", onOutput)
    child.stderr.on("data", onOutput)
    child.once("error", (error) => {
      clearTimeout(tooLate)
      guard.kill("SIGKILL")
      resume(new NotStarted({ message: `${what} did not start: ${error.message}` }))
    })
    child.once("exit", () => {
      clearTimeout(tooLate)
      guard.kill("SIGKILL")
    })
    // all output has been read only when `close` is emitted
    child.once("close", () => {
      resume(
        new NotStarted({
          message: `${what} did not start:
${log.slice(-2000)}`
        })
      )
    })
  })

export const isGone = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

const make = (options: RedisServer.Options = {}): Effect.Effect<RedisServer.Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const host = "127.0.0.1"
    const dir = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-redis-"))),
      (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
    )
    let child: ChildProcess | undefined

    const running = Effect.suspend(() =>
      child === undefined || isGone(child) ? Effect.dieMessage("redis-server is not running") : Effect.succeed(child)
    )
    const signal = (name: NodeJS.Signals) => Effect.map(running, (child) => void child.kill(name))
    const end = Effect.suspend(() => {
      if (child === undefined || isGone(child)) return Effect.void
      const ending = child
      return Effect.async<void>((resume) => {
        ending.once("exit", () => resume(Effect.void))
        ending.kill("SIGKILL")
      })
    })
    const spawnOn = (port: number) =>
      Effect.tap(launch(port, dir, options), (started) =>
        Effect.sync(() => {
          child = started
        })
      )

    const port = yield* Effect.acquireRelease(
      options.port === undefined
        ? freePort.pipe(Effect.tap(spawnOn), Effect.retry({ times: 3 }), Effect.orDie)
        : Effect.as(Effect.orDie(spawnOn(options.port)), options.port),
      () => end
    )

    const client = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const client = new Redis({
          host,
          port,
          ...(options.requirepass === undefined ? {} : { password: options.requirepass }),
          retryStrategy: () => 20,
          maxRetriesPerRequest: null,
          autoResendUnfulfilledCommands: false
        })
        // without a listener, ioredis prints every refused connection
        client.on("error", () => {})
        return client
      }),
      (client) => Effect.sync(() => client.disconnect())
    )
    const ready = Effect.asVoid(dieOn("PING", () => client.ping()))
    yield* ready

    const info = (section: string) =>
      Effect.map(
        dieOn(`INFO ${section}`, () => client.info(section)),
        (text) => {
          const lines = text.split("\r\n").filter((line) => line.includes(":"))
          return Object.fromEntries(
            lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)])
          ) as Record<string, string>
        }
      )

    const monitor = Effect.gen(function* () {
      const seen: Array<ReadonlyArray<string>> = []
      const barriers = new Set<string>()
      const passed = new Set<string>()
      yield* Effect.acquireRelease(
        dieOn("MONITOR", () =>
          monitoring(port, host, options.requirepass, (source, args) => {
            if (args.length === 2 && barriers.has(args[1]!)) passed.add(args[1]!)
            else if (source !== `${client.stream.localAddress}:${client.stream.localPort}`) seen.push(args)
          })
        ),
        (socket) => Effect.sync(() => socket.destroy())
      )
      const commands = Effect.gen(function* () {
        const barrier = `barrier-${barriers.size}`
        barriers.add(barrier)
        yield* dieOn("ECHO", () => client.echo(barrier))
        yield* awaitUntil(
          Effect.sync(() => passed.has(barrier)),
          "MONITOR has shown our own ECHO"
        )
        return seen.slice()
      })
      return { commands, names: Effect.map(commands, (all) => all.map((args) => args[0]!.toUpperCase())) }
    })

    return {
      host,
      port,
      url: `redis://${options.requirepass === undefined ? "" : `:${encodeURIComponent(options.requirepass)}@`}${host}:${port}`,
      pid: Effect.map(running, (child) => child.pid!),
      client,
      kill: Effect.zipRight(
        end,
        awaitUntil(
          Effect.sync(() => client.status !== "ready"),
          "the client has noticed that its server is gone"
        )
      ),
      start: Effect.suspend(() =>
        child !== undefined && !isGone(child)
          ? Effect.dieMessage("redis-server is running already")
          : spawnOn(port).pipe(Effect.orDie, Effect.zipRight(ready))
      ),
      stop: signal("SIGSTOP"),
      cont: signal("SIGCONT"),
      info,
      commandCounts: Effect.map(info("commandstats"), (stats) =>
        Object.fromEntries(
          Object.entries(stats).map(([name, text]) => [
            name.replace("cmdstat_", ""),
            Number(/calls=(\d+)/.exec(text)?.[1] ?? 0)
          ])
        )
      ),
      resetCounts: Effect.asVoid(dieOn("CONFIG RESETSTAT", () => client.config("RESETSTAT"))),
      monitor
    }
  })

export class RedisServer extends Context.Tag("test/RedisServer")<RedisServer, RedisServer.Service>() {
  /** Makes a server that runs until the scope closes. */
  static readonly make = make
  static readonly layerWith = (options: RedisServer.Options): Layer.Layer<RedisServer> =>
    Layer.scoped(RedisServer, make(options))
  /** One server for all tests of a file, with `layer(RedisServer.layer)(...)`. */
  static readonly layer: Layer.Layer<RedisServer> = Layer.scoped(RedisServer, make())
}

let prefixes = 0

/** A prefix that no other test has, for tests that share a server. */
export const freshPrefix: Effect.Effect<string> = Effect.sync(() => `t${process.pid}-${++prefixes}:`)

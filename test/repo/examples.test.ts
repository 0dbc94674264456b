/**
 * Every example, run as a reader would run it: by tsx, from the root, without a build. Those that are run several times
 * are run so once, and then as a bundle, which is up in a fraction of the time.
 */
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { bundle } from "../support/bundle.js"
import { freePort } from "../support/ports.js"
import { awaitUntil, RedisServer } from "../support/redis.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const examples = fs.readdirSync(path.join(root, "examples")).filter((file) => file.endsWith(".ts"))

/** how long a reader should have to wait, and a little for a machine that does other things, too */
const tooLong = 30_000
const timeout = 2 * tooLong + 5_000

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly millis: number
}

/** Runs one to its end, in a process group of its own that is killed when it takes too long or the test goes away. */
const run = (
  example: string,
  args: ReadonlyArray<string> = [],
  options: {
    readonly env?: Record<string, string>
    readonly wrapper?: ReadonlyArray<string>
    /** what runs it instead of tsx */
    readonly program?: ReadonlyArray<string>
    /** called with all it has printed so far, and its process group */
    readonly onOutput?: (stdout: string, group: number) => void
  } = {}
): Effect.Effect<Run> =>
  Effect.async<Run>((resume) => {
    const { REDIS_URL: _, ...env } = process.env
    const [command, ...rest] = [
      ...(options.wrapper ?? []),
      ...(options.program ?? [path.join(root, "node_modules/.bin/tsx"), `examples/${example}`]),
      ...args
    ]
    const since = performance.now()
    const child = spawn(command!, rest, {
      cwd: root,
      env: { ...env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true
    })
    const kill = () => {
      try {
        process.kill(-child.pid!, "SIGKILL")
      } catch {
        // it has ended
      }
    }
    const timer = setTimeout(kill, tooLong)
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk
      options.onOutput?.(stdout, child.pid!)
    })
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk
    })
    child.once("error", (error) => resume(Effect.die(error)))
    child.once("close", (code) => {
      clearTimeout(timer)
      resume(Effect.succeed({ code, stdout, stderr, millis: performance.now() - since }))
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      kill()
    })
  })

const scope = Effect.runSync(Scope.make())
const bundles: Record<string, string> = {}
beforeAll(async () => {
  for (const example of ["quickstart.ts", "two-nodes.ts", "writer-reader.ts"]) {
    bundles[example] = await Effect.runPromise(Scope.extend(bundle(path.join(root, "examples", example)), scope))
  }
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const again: typeof run = (example, args, options) =>
  Effect.suspend(() => run(example, args, { ...options, program: [process.execPath, bundles[example]!] }))

const assertEndedWell = (run: Run): void => {
  assert.strictEqual(run.stderr, "")
  assert.strictEqual(run.code, 0, run.stdout)
  assert.isBelow(run.millis, tooLong)
}

const assertRefused = (run: Run, line: string): void => {
  assert.deepStrictEqual([run.stderr, run.stdout, run.code], [`${line}\n`, "", 1])
}

const tempFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-examples-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

/** Four files that count, two of them alike, and what must not be walked into. */
const folderOfFiles = Effect.map(tempFolder, (folder) => {
  const write = (file: string, content: string) => {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    fs.writeFileSync(path.join(folder, file), content)
  }
  write("large.txt", "x".repeat(2_500_000))
  write("deep/er/same.txt", "abc")
  write("same {0}:%.md", "abc")
  write("empty", "")
  for (const name of ["node_modules", ".git", "deep/dist"]) write(`${name}/not-this.txt`, "no")
  fs.symlinkSync(folder, path.join(folder, "deep/circle"))
  fs.symlinkSync("nowhere", path.join(folder, "dangling"))
  return folder
})

/** A row of a table by the text it begins with, in its cells. */
const row = (stdout: string, first: string): ReadonlyArray<string> => {
  const line = stdout.split("\n").find((line) => line.startsWith(`  ${first}  `))
  assert.isDefined(line, `no row "${first}" in\n${stdout}`)
  return line.trim().split(/ {2,}/)
}

/** A row of the last table, which the store counted itself. */
const counted = (stdout: string, cache: string) => {
  const [, , hits, stale, misses, loads] = row(stdout.slice(stdout.indexOf("5. Metrics")), cache)
  return { hits, stale, misses, loads }
}

describe("examples", () => {
  it("each - is looked at below, or here", () => {
    const known = [
      "custom-store.ts",
      "quickstart.ts",
      "serializers.ts",
      "services.ts",
      "two-nodes.ts",
      "writer-reader.ts"
    ]
    assert.deepStrictEqual([...examples].sort(), known)
  })

  // most of their time they sleep
  describe("quickstart", { concurrent: true }, () => {
    it.live(
      "without arguments - tours this repository, in memory, in under 20 seconds",
      () =>
        Effect.gen(function* () {
          const { millis, stdout, ...rest } = yield* run("quickstart.ts")
          assertEndedWell({ millis, stdout, ...rest })
          assert.isBelow(millis, 20_000)
          assert.include(stdout, `Folder   ${path.resolve(root)}\n`)
          assert.include(stdout, "Store    the memory of this process\n")
          assert.match(stdout, /The second pass was [\d. ]+ times as fast/)
          assert.match(stdout, /cache_loads\{store="memory", cache="digest"\} \d+/)
          assert.notMatch(stdout, /NaN|undefined|Infinity|\[object/)
          assert.isTrue(
            stdout.split("\n").every((line) => line.length <= 120),
            "no line is wider than 120 columns"
          )
        }),
      timeout
    )

    it.scopedLive(
      "a folder - each policy does what it says",
      () =>
        Effect.gen(function* () {
          const folder = yield* folderOfFiles
          const result = yield* again("quickstart.ts", [folder])
          const { stdout } = result
          assertEndedWell(result)
          assert.include(stdout, "4 files, 2.50 MB, without node_modules, .git and dist")

          // ttl: the digests are those of sha256sum, and come from the store in the second pass
          assert.strictEqual(row(stdout, "large.txt")[2], "b28d02815859…")
          assert.strictEqual(row(stdout, "same {0}:%.md")[2], "ba7816bf8f01…")
          assert.strictEqual(row(stdout, "deep/er/same.txt")[2], "ba7816bf8f01…")
          assert.strictEqual(row(stdout, "empty")[2], "e3b0c44298fc…")
          assert.deepStrictEqual(row(stdout, "first").slice(1, 4), ["4", "4", "0"])
          assert.deepStrictEqual(row(stdout, "second").slice(1, 4), ["4", "0", "4"])

          // swr: loaded, then stale with a refresh behind it, then fresh
          const swr = stdout.slice(stdout.indexOf("2. Cached.swr"), stdout.indexOf("3. Cached.bg"))
          assert.strictEqual(row(swr, "first")[1], "nothing")
          assert.strictEqual(row(swr, "1.2 s later")[1], "a stale one")
          assert.match(row(swr, "1.2 s later")[3]!, /^\d+\.\d s ago$/)
          assert.strictEqual(row(swr, "then")[1], "a fresh one")
          assert.include(swr, "4 files, 2.50 MB: 2 .txt, 1 .md, 1 extensionless")
          assert.include(swr, "1 of them with the content of another")

          // bg: readers get what the daemon counted
          const bg = stdout.slice(stdout.indexOf("3. Cached.bg"), stdout.indexOf("4. Invalidation"))
          for (const read of ["first", "0.7 s later", "1.4 s later"]) {
            assert.deepStrictEqual(row(bg, read).slice(1, 3), ["4", "2.50 MB"])
          }

          // one file, then the two that carry the tag
          const invalidation = stdout.slice(stdout.indexOf("4. Invalidation"), stdout.indexOf("5. Metrics"))
          assert.deepStrictEqual(row(invalidation, "large.txt").slice(1), ["1", "3"])
          assert.deepStrictEqual(row(invalidation, "the tag kind:.txt").slice(1), ["2", "2"])

          assert.deepStrictEqual(counted(stdout, "digest"), { hits: "17", stale: "0", misses: "7", loads: "7" })
          assert.deepStrictEqual(counted(stdout, "summary"), { hits: "1", stale: "1", misses: "1", loads: "2" })
        }),
      timeout
    )

    it.scopedLive(
      "--redis - the second run starts warm, and a file that changed is hashed anew",
      () =>
        Effect.gen(function* () {
          const server = yield* RedisServer.make()
          const folder = yield* folderOfFiles
          const once = again("quickstart.ts", [folder, `--redis=${server.url}`])

          const first = yield* once
          assertEndedWell(first)
          assert.include(first.stdout, `Store    Redis at ${server.host}:${server.port}\n`)
          assert.deepStrictEqual(row(first.stdout, "first").slice(1, 4), ["4", "4", "0"])
          assert.deepStrictEqual(row(first.stdout, "second").slice(1, 4), ["4", "0", "4"])

          const second = yield* once
          assertEndedWell(second)
          assert.deepStrictEqual(row(second.stdout, "first").slice(1, 4), ["4", "0", "4"])
          assert.include(second.stdout, "Warm from the start")

          fs.writeFileSync(path.join(folder, "empty"), "abc")
          const third = yield* again("quickstart.ts", [folder], { env: { REDIS_URL: server.url } })
          assertEndedWell(third)
          assert.deepStrictEqual(row(third.stdout, "first").slice(1, 4), ["4", "1", "3"])
          assert.strictEqual(row(third.stdout, "empty")[2], "ba7816bf8f01…")

          const keys = yield* Effect.promise(() => server.client.keys("*"))
          assert.isNotEmpty(keys)
          for (const key of keys) assert.isTrue(key.startsWith("quickstart:"), key)
        }),
      3 * timeout
    )

    it.scopedLive(
      "--redis, unreachable - works all the same, and says so in one line",
      () =>
        Effect.gen(function* () {
          const folder = yield* folderOfFiles
          const port = yield* freePort
          const result = yield* again("quickstart.ts", [folder, `--redis=redis://:secret@127.0.0.1:${port}`])
          const { millis, stdout } = result
          assertEndedWell(result)
          assert.isBelow(millis, 20_000)
          assert.lengthOf(stdout.match(/cannot be reached/g) ?? [], 1)
          assert.include(stdout, `Store    Redis at 127.0.0.1:${port}\n`)
          assert.notInclude(stdout, "secret")
          assert.strictEqual(row(stdout, "empty")[2], "e3b0c44298fc…")
          assert.deepStrictEqual(row(stdout, "second").slice(1, 4), ["4", "4", "0"])
        }),
      timeout
    )

    it.scopedLive(
      "an empty folder - is no mistake",
      () =>
        Effect.gen(function* () {
          const result = yield* again("quickstart.ts", [yield* tempFolder])
          assertEndedWell(result)
          assert.include(result.stdout, "There is no file in it")
        }),
      timeout
    )

    it.scopedLive(
      "a folder that is missing, no folder, or cannot be read - one line, exit code 1",
      () =>
        Effect.gen(function* () {
          const folder = yield* tempFolder
          const missing = path.join(folder, "missing")
          const file = path.join(folder, "file")
          const circle = path.join(folder, "circle")
          const locked = path.join(folder, "locked")
          fs.writeFileSync(file, "")
          fs.symlinkSync(circle, circle)
          fs.mkdirSync(locked, { mode: 0 })

          assertRefused(yield* again("quickstart.ts", [missing]), `there is no folder ${missing}`)
          assertRefused(yield* again("quickstart.ts", [file]), `${file} is no folder`)
          assertRefused(
            yield* again("quickstart.ts", [circle]),
            `the folder ${circle} cannot be read: ELOOP: too many symbolic links encountered, stat '${circle}'`
          )
          assertRefused(
            yield* again("quickstart.ts", [locked], { wrapper: withoutOverride() }),
            `the folder ${locked} may not be read`
          )
        }),
      timeout
    )

    it.live(
      "arguments it does not know - one line, exit code 1",
      () =>
        Effect.gen(function* () {
          assertRefused(
            yield* again("quickstart.ts", ["--help"]),
            "unknown option --help; there are: [folder] [--redis[=redis://host:port]]"
          )
          const url = "the URL of a Redis looks like redis://host:6379"
          assertRefused(yield* again("quickstart.ts", ["--redis=localhost"]), url)
          assertRefused(yield* again("quickstart.ts", [], { env: { REDIS_URL: "http://localhost" } }), url)
        }),
      timeout
    )
  })

  describe("serializers", () => {
    it.live(
      "a record and a list - every serializer but json brings them back equal, and compression makes them small",
      () =>
        Effect.gen(function* () {
          const result = yield* run("serializers.ts")
          assertEndedWell(result)
          const tables = result.stdout.split("A list\n")
          assert.lengthOf(tables, 2)
          for (const table of tables) {
            for (const name of ["lossless", "schema(json)", "v8", "msgpack", "gzip(lossless)", "brotli(msgpack)"]) {
              assert.strictEqual(row(table, name).at(-1), "equal", name)
            }
            assert.strictEqual(row(table, "json").at(-1), "changed")
            assert.match(table, /^ {2}protobuf\(catalog\.\w+\) .* equal$/m)
          }
          assert.match(row(tables[1]!, "lossless")[1]!, /^1\.\d+ MB$/)
          assert.match(row(tables[1]!, "brotli(lossless)")[1]!, /^\d\d\.\d kB$/)
          assert.include(result.stdout, "cannot encode $.articles[0].sizes: is an instance of Map")
          assert.notMatch(result.stdout, /NaN|undefined|Infinity|\[object/)
        }),
      timeout
    )
  })

  describe("services", () => {
    it.live(
      "a repository and its sessions - queries only what is not cached",
      () =>
        Effect.gen(function* () {
          const result = yield* run("services.ts")
          assertEndedWell(result)
          const queries = result.stdout.match(/(?<=WHERE id = )\d/g)
          assert.deepStrictEqual(queries, ["1", "1", "3", "3", "2"])
          assert.include(result.stdout, "  Ada Lovelace\n")
          assert.include(result.stdout, "  open:   Grace\n  closed: nobody\n")
          assert.include(result.stdout, "Loads: 5, hits: 1, reads that joined a load: 99")
        }),
      timeout
    )
  })

  describe("custom-store", () => {
    it.live(
      "a store of one's own - is shared, and keeps the laws",
      () =>
        Effect.gen(function* () {
          const result = yield* run("custom-store.ts")
          assertEndedWell(result)
          assert.lengthOf(result.stdout.match(/ loads user 42\n/g) ?? [], 1)
          assert.include(result.stdout, "  process 2 has user 42\n")
          assert.match(row(result.stdout, "law 8: invalidate wins").slice(1).join(" "), /^(\d+) \1$/)
          assert.match(row(result.stdout, "law 12: garbage heals").join(" "), / \d 0 nobody but this store writes/)
          assert.include(result.stdout, "\nAll laws hold")
        }),
      timeout
    )
  })

  describe("two-nodes", () => {
    it.live(
      "alone - what one node does the other sees, also when Redis is killed meanwhile",
      () =>
        Effect.gen(function* () {
          const result = yield* run("two-nodes.ts")
          const { stdout } = result
          assertEndedWell(result)
          const part = (from: number) =>
            stdout.slice(stdout.indexOf(`\n${from}. `), stdout.indexOf(`\n${from + 1}. `) >>> 0)

          assert.include(part(1), "1 load for 200 reads.")
          assert.lengthOf(part(1).match(/reads 100 times, at once: 12 pieces/g) ?? [], 2)
          for (const node of ["A", "B"]) {
            assert.match(part(2), new RegExp(` ${node} +answered 1 000 from memory, 0 from Redis`))
          }
          assert.match(part(3), / B +has the new value, [\d.]+ m?µ?s after A was called/)
          assert.lengthOf(part(3).match(/11 pieces, set by A at/g) ?? [], 2)
          assert.match(part(4), / B +has forgotten it, [\d.]+ m?µ?s after A was called/)
          assert.match(part(5), / A +has forgotten the coffee, [\d.]+ m?µ?s after B was called/)
          assert.lengthOf(part(5).match(/ counts the /g) ?? [], 3)
          assert.lengthOf(part(6).match(/ counts the /g) ?? [], 3)
          assert.lengthOf(part(6).match(/100 times, at once: 12 pieces/g) ?? [], 6)
          assert.match(part(6), / A +has invalidated the tea, and owes that to Redis/)
          assert.match(part(7), / A +has delivered its invalidation/)
          assert.lengthOf(part(7).match(/ counts the /g) ?? [], 1)

          assert.lengthOf(stdout.match(/Both agree\./g) ?? [], 5)
          assert.notInclude(stdout, "They do not agree")
          assert.match(stdout, /\n[\d ]+ reads, 9 loads, 0 failures\.\n$/)
          assert.notMatch(stdout, /NaN|undefined|Infinity|\[object/)
          yield* assertNothingLeft(stdout)
        }),
      timeout
    )

    it.scopedLive(
      "REDIS_URL - is used, and not killed",
      () =>
        Effect.gen(function* () {
          const server = yield* RedisServer.make({ requirepass: "secret" })
          const pid = yield* server.pid
          const result = yield* again("two-nodes.ts", [], { env: { REDIS_URL: server.url } })
          assertEndedWell(result)
          assert.include(result.stdout, `Redis    127.0.0.1:${server.port}, yours\n`)
          assert.include(result.stdout, "This Redis is yours and is not killed")
          assert.notInclude(result.stdout, "6. ")
          assert.notInclude(result.stdout, "secret")
          assert.include(result.stdout, " 0 failures.")
          assert.strictEqual(yield* server.pid, pid)
          const keys = yield* Effect.promise(() => server.client.keys("*"))
          assert.isNotEmpty(keys)
          for (const key of keys) assert.isTrue(key.startsWith("two-nodes:"), key)
          assert.isFalse(pidsIn(result.stdout).some(isAlive))
        }),
      timeout
    )

    it.scopedLive(
      "no Redis to be had - one line, exit code 1",
      () =>
        Effect.gen(function* () {
          const missing = path.join(yield* tempFolder, "redis-server")
          assertRefused(
            yield* again("two-nodes.ts", [], { env: { REDIS_SERVER_BIN: missing } }),
            `REDIS_SERVER_BIN is ${missing}, which is not an executable file`
          )
          const port = yield* freePort
          const { code, stderr } = yield* again("two-nodes.ts", [], { env: { REDIS_URL: `redis://127.0.0.1:${port}` } })
          assert.deepStrictEqual([stderr, code], [`Redis at 127.0.0.1:${port} cannot be reached\n`, 1])
          assertRefused(
            yield* again("two-nodes.ts", [], { env: { REDIS_URL: "localhost" } }),
            "the URL of a Redis looks like redis://host:6379"
          )
        }),
      2 * timeout
    )

    for (const [how, signal, whole] of [
      // asked to end, the process that was started ends what it has started
      ["SIGTERM", "SIGTERM", false],
      // it cannot do anything about this, and Redis is in no process group of its
      ["kill -9", "SIGKILL", true]
    ] as const) {
      it.live(
        `${how} - leaves no process behind`,
        () =>
          Effect.gen(function* () {
            let sent = false
            const { stdout } = yield* again("two-nodes.ts", [], {
              onOutput: (stdout, group) => {
                if (sent || !stdout.includes("for 200 reads")) return
                sent = true
                process.kill(whole ? -group : group, signal)
              }
            })
            assert.notInclude(stdout, "failures.")
            yield* assertNothingLeft(stdout)
          }),
        timeout
      )
    }
  })

  describe("writer-reader", () => {
    it.live(
      "alone - one worker computes, is killed, and requests go on without a failure",
      () =>
        Effect.gen(function* () {
          const result = yield* run("writer-reader.ts")
          const { stdout } = result
          assertEndedWell(result)
          const part = (from: number) =>
            stdout.slice(stdout.indexOf(`\n${from}. `), stdout.indexOf(`\n${from + 1}. `) >>> 0)
          const [, first] = /Worker (\w) +leads$/m.exec(part(1))!
          const second = first === "A" ? "B" : "A"
          assert.match(part(1), new RegExp(`Worker ${second} +stands by, and has computed 0 times`))
          assert.match(part(2), new RegExp(`Worker ${first} +is killed`))
          assert.match(part(2), new RegExp(`Worker ${second} +leads, [\\d.]+ s after the kill`))
          for (const [at, by] of [first, second].entries()) {
            for (const web of ["1", "2"]) {
              assert.match(part(at + 1), new RegExp(`Web ${web} +serves run \\d+ of worker ${by}`))
            }
            assert.match(part(at + 1), /^ {2}[\d ]+ requests?, 0 failures\.$/m)
          }
          assert.notMatch(stdout, /NaN|undefined|Infinity|\[object/)
          yield* assertNothingLeft(stdout, 4)
        }),
      timeout
    )

    it.scopedLive(
      "REDIS_URL - is used",
      () =>
        Effect.gen(function* () {
          const server = yield* RedisServer.make({ requirepass: "secret" })
          const result = yield* again("writer-reader.ts", [], { env: { REDIS_URL: server.url } })
          assertEndedWell(result)
          assert.include(result.stdout, `Redis      127.0.0.1:${server.port}, yours\n`)
          assert.notInclude(result.stdout, "secret")
          const keys = yield* Effect.promise(() => server.client.keys("*"))
          assert.isNotEmpty(keys)
          for (const key of keys) assert.isTrue(key.startsWith("writer-reader:"), key)
        }),
      timeout
    )

    it.live(
      "no Redis to be had - one line, exit code 1",
      () =>
        Effect.gen(function* () {
          assertRefused(
            yield* again("writer-reader.ts", [], { env: { REDIS_URL: "localhost" } }),
            "the URL of a Redis looks like redis://host:6379"
          )
        }),
      timeout
    )
  })
})

/** The processes it started, as it says. */
const pidsIn = (stdout: string, count = 2): ReadonlyArray<number> => {
  const pids = Array.from(stdout.matchAll(/^(?:Node|Worker|Web) \w +process (\d+)$/gm), ([, pid]) => Number(pid))
  assert.lengthOf(pids, count, stdout)
  return pids
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const answers = (port: number) =>
  Effect.async<boolean>((resume) => {
    const socket = net.connect(port, "127.0.0.1")
    socket.once("connect", () => resume(Effect.succeed(true))).once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

/** None of its processes, nor the Redis it started. */
const assertNothingLeft = (stdout: string, count = 2) =>
  Effect.gen(function* () {
    const pids = pidsIn(stdout, count)
    yield* awaitUntil(
      Effect.sync(() => !pids.some(isAlive)),
      "its processes are gone"
    )
    const port = Number(/^Redis +127\.0\.0\.1:(\d+), started for this$/m.exec(stdout)?.[1])
    assert.isAbove(port, 0, stdout)
    yield* awaitUntil(
      Effect.map(answers(port), (does) => !does),
      "its Redis is gone"
    )
  })

/** What takes from root the right to read everything; nothing, for who is not root. */
function withoutOverride(): ReadonlyArray<string> {
  if (process.getuid?.() !== 0) return []
  const caps = "-dac_override,-dac_read_search"
  const wrapper = ["setpriv", `--inh-caps=${caps}`, `--bounding-set=${caps}`]
  const { status } = spawnSync(wrapper[0]!, [...wrapper.slice(1), "true"])
  assert.strictEqual(status, 0, "as root, this test needs setpriv (of util-linux)")
  return wrapper
}

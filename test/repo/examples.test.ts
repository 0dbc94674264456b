/**
 * Tests that run every example as a reader would: with tsx, from the root, without a build. An example that runs several
 * times is bundled for all runs but the first, because a bundle starts in a fraction of the time.
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

/** After which time an example has hung, also on a busy machine. */
const tooLong = 60_000
const timeout = 2 * tooLong + 5_000

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs an example to its end, in its own process group, which is killed if it takes too long or the test is interrupted. */
const run = (
  example: string,
  args: ReadonlyArray<string> = [],
  options: {
    readonly env?: Record<string, string>
    readonly wrapper?: ReadonlyArray<string>
    /** The command that runs the example instead of tsx. */
    readonly program?: ReadonlyArray<string>
    /** Called with the whole output so far, and the process group. */
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
        // the group has already ended
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
      resume(Effect.succeed({ code, stdout, stderr }))
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      kill()
    })
  })

const scope = Effect.runSync(Scope.make())
const bundles: Record<string, string> = {}
beforeAll(async () => {
  for (const example of ["dashboard.ts", "quickstart.ts", "two-nodes.ts", "writer-reader.ts"]) {
    bundles[example] = await Effect.runPromise(Scope.extend(bundle(path.join(root, "examples", example)), scope))
  }
}, tooLong)
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const again: typeof run = (example, args, options) =>
  Effect.suspend(() => run(example, args, { ...options, program: [process.execPath, bundles[example]!] }))

const assertEndedWell = (run: Run): void => {
  assert.strictEqual(run.stderr, "")
  assert.strictEqual(run.code, 0, run.stdout)
}

const assertRefused = (run: Run, line: string): void => {
  assert.deepStrictEqual([run.stderr, run.stdout, run.code], [`${line}\n`, "", 1])
}

const tempFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-examples-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

/** A folder with four files, two of them equal, and with folders and links that must not be followed. */
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

/** The cells of the table row that begins with a text. */
const row = (stdout: string, first: string): ReadonlyArray<string> => {
  const line = stdout.split("\n").find((line) => line.startsWith(`  ${first}  `))
  assert.isDefined(line, `no row "${first}" in\n${stdout}`)
  return line.trim().split(/ {2,}/)
}

/** A row of the last table, which shows the counters of the store. */
const counted = (stdout: string, cache: string) => {
  const [, , hits, stale, misses, loads] = row(stdout.slice(stdout.indexOf("5. Metrics")), cache)
  return { hits, stale, misses, loads }
}

describe("examples", () => {
  it("all - are known to this file", () => {
    const known = [
      "agent-tools.ts",
      "batches.ts",
      "custom-store.ts",
      "dashboard.ts",
      "flaky-source.ts",
      "keys.ts",
      "metrics-and-exporters.ts",
      "quickstart.ts",
      "serializers.ts",
      "services.ts",
      "snapshot.ts",
      "two-nodes.ts",
      "writer-reader.ts"
    ]
    assert.deepStrictEqual([...examples].sort(), known)
  })

  // these mostly sleep
  describe("quickstart", { concurrent: true }, () => {
    it.live(
      "without arguments - tours this repository, in memory",
      () =>
        Effect.gen(function* () {
          const result = yield* run("quickstart.ts")
          assertEndedWell(result)
          const { stdout } = result
          assert.include(stdout, `Folder   ${path.resolve(root)}\n`)
          assert.include(stdout, "Store    the memory of this process\n")
          assert.match(stdout, /The second pass was [\d. ]+ times as fast/)
          assert.match(stdout, /cache_loads\{store="memory", cache="digest:\{path\}:\{size\}:\{changed\}"\} \d+/)
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

          // ttl: the digests equal those of sha256sum, and come from the store in the second pass
          assert.strictEqual(row(stdout, "large.txt")[2], "b28d02815859…")
          assert.strictEqual(row(stdout, "same {0}:%.md")[2], "ba7816bf8f01…")
          assert.strictEqual(row(stdout, "deep/er/same.txt")[2], "ba7816bf8f01…")
          assert.strictEqual(row(stdout, "empty")[2], "e3b0c44298fc…")
          assert.deepStrictEqual(row(stdout, "first").slice(1, 4), ["4", "4", "0"])
          assert.deepStrictEqual(row(stdout, "second").slice(1, 4), ["4", "0", "4"])

          // swr: loaded, then stale with a refresh in the background, then fresh
          const swr = stdout.slice(stdout.indexOf("2. Cached.swr"), stdout.indexOf("3. Cached.bg"))
          assert.strictEqual(row(swr, "first")[1], "nothing")
          assert.strictEqual(row(swr, "1.2 s later")[1], "a stale one")
          assert.match(row(swr, "1.2 s later")[3]!, /^\d+\.\d s ago$/)
          assert.strictEqual(row(swr, "then")[1], "a fresh one")
          assert.include(swr, "4 files, 2.50 MB: 2 .txt, 1 .md, 1 extensionless")
          assert.include(swr, "1 of them with the content of another")

          // bg: readers get the counts of the daemon
          const bg = stdout.slice(stdout.indexOf("3. Cached.bg"), stdout.indexOf("4. Invalidation"))
          for (const read of ["first", "0.7 s later", "1.4 s later"]) {
            assert.deepStrictEqual(row(bg, read).slice(1, 3), ["4", "2.50 MB"])
          }

          // invalidation: one file, then the two files with the tag
          const invalidation = stdout.slice(stdout.indexOf("4. Invalidation"), stdout.indexOf("5. Metrics"))
          assert.deepStrictEqual(row(invalidation, "large.txt").slice(1), ["1", "3"])
          assert.deepStrictEqual(row(invalidation, "the tag kind:.txt").slice(1), ["2", "2"])

          assert.deepStrictEqual(counted(stdout, "digest:{path}:{size}:{changed}"), {
            hits: "17",
            stale: "0",
            misses: "7",
            loads: "7"
          })
          assert.deepStrictEqual(counted(stdout, "summary:{}"), { hits: "1", stale: "1", misses: "1", loads: "2" })
        }),
      timeout
    )

    it.scopedLive(
      "--redis - the second run starts warm, and a changed file is hashed again",
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
      "--redis, unreachable - works without Redis, and prints one line about it",
      () =>
        Effect.gen(function* () {
          const folder = yield* folderOfFiles
          const port = yield* freePort
          const result = yield* again("quickstart.ts", [folder, `--redis=redis://:secret@127.0.0.1:${port}`])
          const { stdout } = result
          assertEndedWell(result)
          assert.lengthOf(stdout.match(/cannot be reached/g) ?? [], 1)
          assert.include(stdout, `Store    Redis at 127.0.0.1:${port}\n`)
          assert.notInclude(stdout, "secret")
          assert.strictEqual(row(stdout, "empty")[2], "e3b0c44298fc…")
          assert.deepStrictEqual(row(stdout, "second").slice(1, 4), ["4", "4", "0"])
        }),
      timeout
    )

    it.scopedLive(
      "an empty folder - is not an error",
      () =>
        Effect.gen(function* () {
          const result = yield* again("quickstart.ts", [yield* tempFolder])
          assertEndedWell(result)
          assert.include(result.stdout, "There is no file in it")
        }),
      timeout
    )

    it.scopedLive(
      "a folder that is missing, not a folder, or unreadable - prints one line and exits with code 1",
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
          assertRefused(yield* again("quickstart.ts", [file]), `${file} is not a folder`)
          assertRefused(
            yield* again("quickstart.ts", [circle]),
            `the folder ${circle} cannot be read: ELOOP: too many symbolic links encountered, stat '${circle}'`
          )
          assertRefused(
            yield* again("quickstart.ts", [locked], { wrapper: withoutOverride() }),
            `no permission to read the folder ${locked}`
          )
        }),
      timeout
    )

    it.live(
      "unknown arguments - prints one line and exits with code 1",
      () =>
        Effect.gen(function* () {
          assertRefused(
            yield* again("quickstart.ts", ["--help"]),
            "unknown option --help; usage: [folder] [--redis[=redis://host:port]]"
          )
          const url = "the URL of a Redis looks like redis://host:6379"
          assertRefused(yield* again("quickstart.ts", ["--redis=localhost"]), url)
          assertRefused(yield* again("quickstart.ts", [], { env: { REDIS_URL: "http://localhost" } }), url)
        }),
      timeout
    )
  })

  describe("keys", () => {
    it.live(
      "five kinds of key functions - make the printed keys, and load once per key",
      () =>
        Effect.gen(function* () {
          const result = yield* run("keys.ts")
          assertEndedWell(result)
          const { stdout } = result
          const [loads, hit] = ["runs the lookup", "from the cache"]
          assert.deepStrictEqual(row(stdout, "translations()").slice(1), ["translations:en", loads])
          assert.deepStrictEqual(row(stdout, 'translations("en")').slice(1), ["translations:en", hit])
          assert.deepStrictEqual(row(stdout, 'translations("de")').slice(1), ["translations:de", loads])
          assert.deepStrictEqual(row(stdout, "report 7 of acme, small").slice(1), ["tenant:acme:report:7", loads])
          assert.deepStrictEqual(row(stdout, "report 7 of acme, large").slice(1), ["tenant:acme:report:7", hit])
          const escaped = row(stdout, "report 7 of globex:eu, large").slice(1)
          assert.deepStrictEqual(escaped, ["tenant:globex%3Aeu:report:7", loads])
          assert.deepStrictEqual(row(stdout, "dashboard of admin 2").slice(1), ["dashboard:admin", hit])
          assert.deepStrictEqual(row(stdout, "dashboard of user 4").slice(1), ["dashboard:user:4", loads])
          const [, hash] = row(stdout, "a long text")
          assert.match(hash!, /^search:[\w-]{22}$/)
          assert.deepStrictEqual(row(stdout, "the same").slice(1), [hash, hit])
          assert.strictEqual(row(stdout, "without the tag")[2], loads)
          assert.deepStrictEqual(row(stdout, "total(3, 1, 2)").slice(1), ["total:1,2,3", loads])
          assert.deepStrictEqual(row(stdout, "total(1, 2, 3)").slice(1), ["total:1,2,3", hit])
          const after = stdout.slice(stdout.indexOf("Invalidation"))
          assert.strictEqual(row(after, 'translations("en")')[2], loads)
          assert.strictEqual(row(after, 'translations("de")')[2], hit)
        }),
      timeout
    )
  })

  describe("agent-tools", () => {
    it.live(
      "scripted agents - the API is asked only for what is not cached, and loops end",
      () =>
        Effect.gen(function* () {
          const result = yield* run("agent-tools.ts")
          assertEndedWell(result)
          const requests = result.stdout.match(/(?<=API: ).*/g)
          assert.deepStrictEqual(requests, [
            "seats of LH 454",
            "preferences of the user",
            "book LH 454, window",
            "seats of LH 454",
            // another agent: the seats are shared, the preferences are not
            "preferences of the user",
            "seats of UA 901",
            "book UA 901, aisle",
            "seats of UA 901"
          ])
          assert.include(result.stdout, "  seatsLeft: 3 calls, 1 from the cache, 2 runs, 0 in a loop\n")
          assert.include(
            result.stdout,
            'AgentLoopDetected: an agent called the tool "seatsLeft" with the same arguments'
          )
          assert.include(result.stdout, 'AgentLoopDetected: an agent calls the tools "seatsLeft" and "book" in turn')
          assert.notMatch(result.stdout, /NaN|undefined|Infinity|\[object/)
        }),
      timeout
    )
  })

  describe("serializers", () => {
    it.live(
      "a record and a list - come back equal from every serializer but json, and compression makes them small",
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
      "a repository and its sessions - query only what is not cached",
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

  describe("snapshot", () => {
    it.live(
      "three runs - the second loads what was invalidated, the third everything",
      () =>
        Effect.gen(function* () {
          const result = yield* run("snapshot.ts")
          const asked = result.stdout.match(/(?<=asks the service for )\w+/g)
          assert.deepStrictEqual(asked, ["Oslo", "Rome", "Lima", "Lima", "Oslo", "Rome", "Lima"])
          assert.include(result.stdout, "the mode 600")
          assert.lengthOf(`${result.stdout}${result.stderr}`.match(/WARN/g) ?? [], 1)
          assert.strictEqual(result.code, 0)
        }),
      timeout
    )
  })

  describe("batches", () => {
    it.live(
      "orders and their customers - one query with a batch, one for each customer without",
      () =>
        Effect.gen(function* () {
          const result = yield* run("batches.ts")
          assertEndedWell(result)
          const queries = Array.from(result.stdout.matchAll(/database: (.*)/g), ([, query]) => query)
          assert.deepStrictEqual(queries, [
            "SELECT * FROM orders",
            ...[1, 2, 3, 9].map((id) => `SELECT * FROM customers WHERE id = ${id}`),
            "SELECT * FROM customers WHERE id IN (1, 2, 3, 9)",
            "SELECT * FROM customers WHERE id IN (2, 4, 5)"
          ])
          assert.include(result.stdout, "  100 Ada, 101 Grace, 102 Ada, 103 Edith, 104 (deleted), 105 Grace\n")
          assert.include(result.stdout, "Customers: 7 loads in 2 queries, ")
        }),
      timeout
    )
  })

  describe("flaky-source", () => {
    it.live(
      "a day - each option spares callers what the one before did not",
      () =>
        Effect.gen(function* () {
          const result = yield* run("flaky-source.ts")
          assertEndedWell(result)
          const rows = Array.from(
            result.stdout.matchAll(/^(\S.*?) {2,}([\d ]+?) {2,}([\d ]+?) {2,}([\d ]+?) {2,}([\d ]+?) {2,}/gm),
            ([, name, ...cells]) => [name, ...cells.map((cell) => Number(cell.replaceAll(" ", "")))] as const
          )
          assert.deepStrictEqual(
            rows.map(([name]) => name),
            ["no cache", "ttl", "and staleIfError", "and refreshAhead", "and timeout"]
          )
          const [none, ttl, kept, ahead, timed] = rows as ReadonlyArray<readonly [string, ...ReadonlyArray<number>]>
          for (const row of rows) assert.strictEqual(row[1], 4_320)
          assert.isAbove(none![2]!, ttl![2]!)
          assert.isAbove(ttl![2]!, 50)
          for (const row of [kept!, ahead!, timed!]) assert.isAtMost(row[2]!, 2)
          assert.isAbove(none![3]!, 2 * ttl![3]!)
          assert.isAbove(kept![4]!, ahead![4]!)
          assert.isAtMost(timed![4]!, 6)
        }),
      timeout
    )
  })

  describe("custom-store", () => {
    it.live(
      "a store of your own - is shared, and keeps the laws",
      () =>
        Effect.gen(function* () {
          const result = yield* run("custom-store.ts")
          assertEndedWell(result)
          assert.lengthOf(result.stdout.match(/ loads user 42\n/g) ?? [], 1)
          assert.include(result.stdout, "  process 2 has user 42\n")
          const [invalidation] = /law \d: \w+ wins/.exec(result.stdout)!
          assert.match(row(result.stdout, invalidation).slice(1).join(" "), /^(\d+) \1$/)
          assert.match(row(result.stdout, "law 12: garbage heals").join(" "), / \d 0 nobody but this store writes/)
          assert.include(result.stdout, "\nAll laws hold")
        }),
      timeout
    )
  })

  describe("two-nodes", () => {
    it.live(
      "on its own Redis - each node sees the changes of the other, also when Redis is killed meanwhile",
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
          assert.match(part(4), / B +has dropped its copy, [\d.]+ m?µ?s after A was called/)
          assert.match(part(5), / A +has dropped the coffee, [\d.]+ m?µ?s after B was called/)
          assert.lengthOf(part(5).match(/ counts the /g) ?? [], 3)
          // B keeps no copy of a value whose notification arrives before the value itself, and then it loads once more
          const counts = (part(6).match(/ counts the /g) ?? []).length
          assert.include([3, 4], counts)
          assert.lengthOf(part(6).match(/100 times, at once: 12 pieces/g) ?? [], 6)
          assert.match(part(6), / A +has invalidated the tea; Redis has not received it/)
          assert.match(part(7), / A +has delivered its invalidation/)
          assert.lengthOf(part(7).match(/ counts the /g) ?? [], 1)

          assert.lengthOf(stdout.match(/Both agree\./g) ?? [], 5)
          assert.notInclude(stdout, "They do not agree")
          assert.match(stdout, new RegExp(`\\n[\\d ]+ reads, ${counts + 6} loads, 0 failures\\.\\n$`))
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
      "no Redis available - prints one line and exits with code 1",
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
      // on SIGTERM the started process ends the processes it has started
      ["SIGTERM", "SIGTERM", false],
      // on SIGKILL it cannot, and Redis is not in its process group
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

  describe("dashboard", () => {
    it.scopedLive(
      "serves its page over the traffic, until it is interrupted",
      () =>
        Effect.gen(function* () {
          const folder = yield* folderOfFiles
          const port = yield* freePort
          let page: Promise<ReadonlyArray<string>> | undefined
          const { code, stderr, stdout } = yield* run("dashboard.ts", [folder, `--port=${port}`], {
            onOutput: (stdout, group) => {
              if (page !== undefined || !stdout.includes("Ctrl-C")) return
              const url = `http://127.0.0.1:${port}/cache`
              const load = async () => {
                const html = await (await fetch(url)).text()
                const reader = (await fetch(`${url}/live`)).body!.getReader()
                return [html, new TextDecoder().decode((await reader.read()).value)]
              }
              page = load().finally(() => process.kill(-group, "SIGINT"))
            }
          })
          const [html, hello] = yield* Effect.promise(() => page!)
          assert.include(html, "<title>quickstart · effect-cached</title>")
          assert.match(hello ?? "", /^event: hello\ndata: .*"name":"digest"/)
          assert.include(stdout, `Page     http://127.0.0.1:${port}/cache/\n`)
          // tsx gets the signal, too, and reports it with 130 if it ends first
          assert.strictEqual(stderr, "")
          assert.include([0, 130], code)
        }),
      timeout
    )

    it.live(
      "unknown arguments and an empty folder - print one line, with code 1",
      () =>
        Effect.gen(function* () {
          assertRefused(
            yield* again("dashboard.ts", ["--help"]),
            "unknown option --help; usage: [folder] [--port=3210]"
          )
          assertRefused(yield* again("dashboard.ts", ["--port=0"]), "a port is a number from 1 to 65535")
          assertRefused(yield* again("dashboard.ts", ["/proc/nowhere"]), "there is no file in /proc/nowhere")
        }),
      timeout
    )
  })

  describe("metrics-and-exporters", () => {
    it.live(
      "counts, exports and checks what it says",
      () =>
        Effect.gen(function* () {
          const result = yield* run("metrics-and-exporters.ts")
          assertEndedWell(result)
          assert.notInclude(result.stdout, "WRONG")
          assert.lengthOf(result.stdout.match(/^ {2}ok: /gm) ?? [], 7)
          assert.deepStrictEqual(row(result.stdout, "L1:memory"), ["L1:memory", "87", "5", "5", "94 %"])
        }),
      timeout
    )
  })

  describe("writer-reader", () => {
    it.live(
      "on its own Redis - the computing worker is killed, and requests go on without a failure",
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
      "no Redis available - prints one line and exits with code 1",
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

/** The ids of the processes that the example prints. */
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

/** Asserts that none of its processes is left, nor the Redis it started. */
const assertNothingLeft = (stdout: string, count = 2) =>
  Effect.gen(function* () {
    const pids = pidsIn(stdout, count)
    yield* awaitUntil(
      Effect.sync(() => !pids.some(isAlive)),
      "its processes have ended"
    )
    const port = Number(/^Redis +127\.0\.0\.1:(\d+), started for this$/m.exec(stdout)?.[1])
    assert.isAbove(port, 0, stdout)
    yield* awaitUntil(
      Effect.map(answers(port), (does) => !does),
      "its Redis has ended"
    )
  })

/** The command that takes from root the right to read everything; empty for other users. */
function withoutOverride(): ReadonlyArray<string> {
  if (process.getuid?.() !== 0) return []
  const caps = "-dac_override,-dac_read_search"
  const wrapper = ["setpriv", `--inh-caps=${caps}`, `--bounding-set=${caps}`]
  const { status } = spawnSync(wrapper[0]!, [...wrapper.slice(1), "true"])
  assert.strictEqual(status, 0, "as root, this test needs setpriv (of util-linux)")
  return wrapper
}

/**
 * Several processes on one directory, some of which are killed.
 */
import { deepStrictEqual } from "node:assert/strict"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { bundle } from "../../support/bundle.js"
import * as Child from "../../support/child.js"
import type { Commands } from "../../support/file-process.js"
import { awaitUntil } from "../../support/live.js"

class Script extends Context.Tag("test/FileScript")<Script, string>() {
  static readonly layer = Layer.scoped(
    Script,
    bundle(fileURLToPath(new URL("../../support/file-process.ts", import.meta.url)))
  )
}

const makeDirectory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-files-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

interface Event {
  readonly written?: number
  readonly loading?: string
}

const start = (directory: string, name: string, events: Array<Event> = []) =>
  Effect.flatMap(Script, (file) =>
    Child.start<Commands>(file, { args: [directory, name], onEvent: (event: Event) => events.push(event) })
  )

const becomes = <A>(ask: Effect.Effect<A>, expected: A) =>
  awaitUntil(
    Effect.map(ask, (value) => value === expected),
    `it is ${expected}`
  )

const filesIn = (directory: string) =>
  fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => /^[0-9a-f]{2}\/[0-9a-f]{62}$/.test(file))
    .map((file) => path.join(directory, file))

layer(Script.layer, { excludeTestServices: true, timeout: "1 minute" })("FileCache in processes", (it) => {
  it.scoped(
    "kill -9 during thousands of writes - no file is torn, and another process goes on",
    () =>
      Effect.gen(function* () {
        const directory = yield* makeDirectory
        const reader = yield* start(directory, "reader")
        const all = 4_000
        let done = 0
        for (const kill of [800, 2_000, 3_200]) {
          const events: Array<Event> = []
          const writer = yield* start(directory, `writer ${kill}`, events)
          yield* Effect.fork(Effect.exit(writer.ask("burst", done, all - done)))
          yield* awaitUntil(
            Effect.sync(() => events.some(({ written = 0 }) => written >= kill)),
            `${kill} were written`,
            30_000
          )
          yield* writer.signal("SIGKILL")
          yield* writer.gone
          done = Math.max(...events.map(({ written = 0 }) => written))
          assert.isBelow(done, all)
        }
        const last = yield* start(directory, "last")
        yield* last.ask("burst", done, all - done)
        // Every file is whole and readable by every process.
        const files = filesIn(directory)
        assert.lengthOf(files, all)
        for (let i = 0; i < all; i += 97) {
          assert.strictEqual(yield* reader.ask("get", `burst:${i}`), `${i} `.repeat(500))
        }
        for (const file of files) {
          assert.match(fs.readFileSync(file, "latin1"), /"(\d+ )\1{499}"$/, file)
        }
        assert.strictEqual(yield* reader.ask("errors"), 0)
      }),
    90_000
  )

  it.scoped("one directory - writes, removals and clears of one process are visible to the others", () =>
    Effect.gen(function* () {
      const directory = yield* makeDirectory
      const [a, b] = yield* Effect.all([start(directory, "a"), start(directory, "b")], { concurrency: 2 })
      const value = { text: "é😀", list: [1, undefined, 3n], date: new Date(0), map: new Map([["k", new Set([1])]]) }
      yield* a.ask("set", "k", value)
      deepStrictEqual(yield* b.ask("get", "k"), value)
      yield* b.ask("remove", "k")
      assert.isUndefined(yield* a.ask("get", "k"))
      yield* a.ask("set", "k", 1)
      yield* b.ask("clear")
      yield* becomes(a.ask("get", "k"), undefined)
    })
  )

  it.scoped("setIfAbsent from four processes - each key has one winner", () =>
    Effect.gen(function* () {
      const directory = yield* makeDirectory
      const processes = yield* Effect.forEach(["a", "b", "c", "d"], (name) => start(directory, name), {
        concurrency: 4
      })
      const won = yield* Effect.forEach(processes, (process) => process.ask("absent", 100), { concurrency: 4 })
      assert.strictEqual(
        won.reduce((sum, one) => sum + one),
        100
      )
    })
  )

  it.scoped(
    "law 8: invalidation wins - a load that another process invalidates is not stored, however late it ends",
    () =>
      Effect.gen(function* () {
        const directory = yield* makeDirectory
        const events: Array<Event> = []
        const a = yield* start(directory, "a", events)
        const b = yield* start(directory, "b")
        const reader = yield* Effect.fork(a.ask("load", "k"))
        yield* awaitUntil(
          Effect.sync(() => events.some(({ loading }) => loading === "k")),
          "the load has begun"
        )
        yield* b.ask("invalidate", "k")
        yield* a.ask("loaded", "k")
        assert.strictEqual(yield* Fiber.join(reader), "loaded by a")
        yield* becomes(a.ask("peek", "k"), undefined)
        assert.isUndefined(yield* b.ask("peek", "k"))
      })
  )
})

import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as nodePath from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Fiber, Option } from "effect"
import type { Limits } from "../../../src/internal/backends/object/fileSweep.js"
import { FileObjects } from "../../../src/internal/backends/object/files.js"
import { nameOf } from "../../../src/internal/backends/object/format.js"
import { Problems } from "../../../src/internal/problems.js"
import { awaitUntil } from "../../support/live.js"

const name = nameOf("k")
const put = (text: string) => ({
  bytes: new TextEncoder().encode(text),
  meta: undefined,
  lifetime: Number.POSITIVE_INFINITY,
  contentDigest: ""
})

const unlimited = Number.POSITIVE_INFINITY
const problems = new Problems("file", () => {})

describe("FileObjects", () => {
  it.scopedLive("a relative directory - stays the same after process.chdir", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const here = process.cwd()
      yield* Effect.addFinalizer(() => Effect.sync(() => process.chdir(here)))
      const there = yield* Effect.orDie(files.makeTempDirectoryScoped())
      const relative = nodePath.relative(here, yield* Effect.orDie(files.makeTempDirectoryScoped()))
      const objects = new FileObjects(files, path, { directory: relative, name: "file", problems })
      yield* objects.write(name, put("entry"), null)
      process.chdir(there)
      assert.isDefined(yield* objects.head(name))
    }).pipe(Effect.provide(NodeContext.layer))
  )

  describe("write", () => {
    it.scopedLive("entries that are needed forever - have different times, by which the holders of locks differ", () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const directory = yield* Effect.orDie(files.makeTempDirectoryScoped())
        const objects = new FileObjects(files, yield* Path.Path, { directory, name: "file", problems })
        const names = ["a", "b"].map(nameOf)
        for (const name of names) {
          yield* objects.write(name, put("entry"), null)
          yield* Effect.sleep(2)
        }
        const [first, second] = names.map(
          (name) => fs.statSync(nodePath.join(directory, name.slice(0, 2), name.slice(2))).mtimeMs
        )
        assert.isBelow(first!, second!)
      }).pipe(Effect.provide(NodeContext.layer))
    )

    it.scopedLive("a holder that pauses until its lock is taken over - replaces no file and removes no lock", () =>
      Effect.gen(function* () {
        const honest = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const directory = yield* Effect.orDie(honest.makeTempDirectoryScoped())
        const looked = yield* Deferred.make<void>()
        const wakes = yield* Deferred.make<void>()
        const slow: FileSystem.FileSystem = {
          ...honest,
          open: (file) =>
            Effect.map(honest.open(file), (opened) => ({
              ...opened,
              readAlloc: (size) =>
                Effect.tap(opened.readAlloc(size), () =>
                  Effect.zipRight(Deferred.succeed(looked, undefined), Deferred.await(wakes))
                )
            }))
        }
        const a = new FileObjects(slow, path, { directory: directory, name: "file", problems })
        const b = new FileObjects(honest, path, { directory: directory, name: "file", problems })
        yield* b.write(name, put("old"), null)
        const { version } = (yield* b.head(name))!
        const late = yield* Effect.fork(a.write(name, put("late"), version))
        yield* Deferred.await(looked)
        assert.isTrue(yield* b.write(name, put("later"), version))
        const file = nodePath.join(directory, name.slice(0, 2), name.slice(2))
        fs.writeFileSync(`${file}.lock`, "of a third")
        yield* Deferred.succeed(wakes, undefined)
        assert.isFalse(yield* Fiber.join(late))
        assert.strictEqual(fs.readFileSync(file, "utf8"), "later")
        assert.isTrue(fs.existsSync(`${file}.lock`))
      }).pipe(Effect.provide(NodeContext.layer))
    )
  })

  describe("startSweeping", () => {
    it.scopedLive("an old draft and an old lock - are removed, though their modification time is forever", () =>
      Effect.gen(function* () {
        const honest = yield* FileSystem.FileSystem
        const directory = yield* Effect.orDie(honest.makeTempDirectoryScoped())
        let ahead = 0
        const aged: FileSystem.FileSystem = {
          ...honest,
          stat: (file) =>
            Effect.map(honest.stat(file), (info) => ({
              ...info,
              birthtime: Option.map(info.birthtime, (date) => new Date(date.getTime() - ahead))
            }))
        }
        const files = new FileObjects(aged, yield* Path.Path, { directory: directory, name: "file", problems })
        yield* files.write(name, put("entry"), null)
        const entry = nodePath.join(directory, name.slice(0, 2), name.slice(2))
        const litter = [
          nodePath.join(directory, "drafts", `${randomUUID()}-1`),
          `${entry}.lock`,
          `${entry}.lock.${randomUUID()}-12`,
          nodePath.join(directory, "marks.lock"),
          nodePath.join(directory, `marks.lock.${randomUUID()}-3`)
        ]
        fs.writeFileSync(nodePath.join(directory, "marks"), "{}")
        fs.writeFileSync(nodePath.join(directory, "something else"), "")
        for (const file of litter) fs.linkSync(entry, file)
        const left = () => litter.filter((file) => fs.existsSync(file)).length
        yield* files.startSweeping({ every: 10, maxFiles: unlimited, maxBytes: unlimited })
        yield* Effect.sleep(50)
        assert.strictEqual(left(), litter.length)
        ahead = 2 * 3_600_000
        yield* awaitUntil(
          Effect.sync(() => left() === 0),
          "litter is removed"
        )
        assert.strictEqual(fs.readFileSync(entry, "utf8"), "entry")
        assert.includeMembers(fs.readdirSync(directory), ["marks", "something else"])
      }).pipe(Effect.provide(NodeContext.layer))
    )

    /** A directory with entries that are as old, in milliseconds, as `ahead` says. */
    const swept = (limits: Partial<Limits>, ahead: number) =>
      Effect.gen(function* () {
        const honest = yield* FileSystem.FileSystem
        const directory = yield* Effect.orDie(honest.makeTempDirectoryScoped())
        const aged: FileSystem.FileSystem = {
          ...honest,
          stat: (file) =>
            Effect.map(honest.stat(file), (info) => ({
              ...info,
              birthtime: Option.map(info.birthtime, (date) => new Date(date.getTime() - ahead))
            }))
        }
        const problems = new Problems("file", () => {})
        const files = new FileObjects(aged, yield* Path.Path, { directory, name: "file", problems })
        const fill = (from: number, to: number, lifetime: (i: number) => number) =>
          Effect.forEach(
            Arr.range(from, to - 1),
            (i) => files.write(nameOf(`${i}`), { ...put("x".repeat(100)), lifetime: lifetime(i) }, null),
            { concurrency: 8 }
          )
        // tests look at hundreds of files every 10 ms
        const paths = new Map<number, string>()
        const pathOf = (i: number): string => {
          const path = paths.get(i) ?? nodePath.join(directory, nameOf(`${i}`).slice(0, 2), nameOf(`${i}`).slice(2))
          paths.set(i, path)
          return path
        }
        const there = (i: number) => fs.existsSync(pathOf(i))
        const count = (n: number) => Arr.range(0, n - 1).filter(there).length
        const start = files.startSweeping({ every: 20, maxFiles: unlimited, maxBytes: unlimited, ...limits })
        const problem = () => problems.list.map(({ message, name }) => `${name}: ${message}`).join()
        return { count, directory, files, fill, problem, start, there }
      }).pipe(Effect.provide(NodeContext.layer))

    it.scopedLive("law 17: bounded - maxFiles and maxBytes evict the entries that end first", () =>
      Effect.gen(function* () {
        for (const limits of [{ maxFiles: 30 }, { maxBytes: 3_050 }]) {
          const { count, fill, problem, start, there } = yield* swept(limits, 3_600_000)
          yield* fill(0, 300, (i) => (i % 2 === 0 ? 3_600_000 : 7_200_000))
          yield* start
          yield* awaitUntil(
            Effect.sync(() => count(300) <= 30),
            "the directory is within its limit",
            30_000
          )
          yield* Effect.sleep(200)
          assert.isAtLeast(count(300), 20)
          const early = Arr.range(0, 299).filter((i) => i % 2 === 0 && there(i)).length
          assert.isAtMost(early, 15)
          assert.match(problem(), /^DirectoryFull: .*300 entries of 30000 bytes.*removes entries that have not expired/)
        }
      })
    )

    it.scopedLive("law 8: invalidation wins - what an older load may be compared with is not evicted", () =>
      Effect.gen(function* () {
        const young = yield* swept({ maxFiles: 3 }, 0)
        yield* young.fill(0, 20, () => 3_600_000)
        yield* young.start
        const old = yield* swept({ maxFiles: 3 }, 3_600_000)
        yield* Effect.forEach(Arr.range(0, 19), (i) =>
          old.files.write(nameOf(`${i}`), { ...put("x".repeat(12)), lifetime: 3_600_000 }, null)
        )
        yield* old.start
        const slow = yield* swept({ maxFiles: 3 }, 3_000_000)
        slow.files.noteLoad(3_600_000)
        yield* slow.fill(0, 20, () => 3_600_000)
        yield* slow.start
        yield* awaitUntil(
          Effect.sync(() => [young, old, slow].every(({ problem }) => problem() !== "")),
          "each directory was swept",
          30_000
        )
        assert.deepStrictEqual([young.count(20), old.count(20), slow.count(20)], [20, 20, 20])
        assert.match(young.problem(), /^DirectoryFull: .*20 entries .* maxFiles \(3\)/)
      })
    )

    it.scopedLive("law 17: bounded - two processes that sweep keep as much as one", () =>
      Effect.gen(function* () {
        const { count, files, fill, start } = yield* swept({ maxFiles: 200 }, 3_600_000)
        yield* fill(0, 300, () => 3_600_000)
        yield* start
        yield* files.startSweeping({ every: 20, maxFiles: 200, maxBytes: unlimited })
        yield* awaitUntil(
          Effect.sync(() => count(300) <= 200),
          "the directory is within its limit",
          30_000
        )
        yield* Effect.sleep(300)
        assert.isAtLeast(count(300), 150)
      })
    )

    it.scopedLive("law 17: bounded - a sweep goes on while much of what it sees is dead", () =>
      Effect.gen(function* () {
        const { count, fill, start, there } = yield* swept({ every: 10_000 }, 0)
        yield* fill(0, 2_100, () => -1_000)
        yield* start
        const first = Arr.range(0, 2_099).filter((i) => nameOf(`${i}`).startsWith("00"))
        const last = Arr.range(0, 2_099).filter((i) => nameOf(`${i}`).startsWith("ff"))
        yield* awaitUntil(
          Effect.sync(() => !first.some(there)),
          "the first sweep has begun",
          30_000
        )
        // These are three batches, so the last of them would begin after twenty seconds.
        yield* awaitUntil(
          Effect.sync(() => !last.some(there)),
          "all are removed",
          19_000
        )
        assert.strictEqual(count(2_100), 0)
      })
    )
  })
})

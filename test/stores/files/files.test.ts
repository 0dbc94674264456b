import * as fs from "node:fs"
import * as nodePath from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option } from "effect"
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
        const litter = [nodePath.join(directory, "drafts", "of a dead process"), `${entry}.lock`]
        for (const file of litter) fs.linkSync(entry, file)
        const left = () => litter.filter((file) => fs.existsSync(file)).length
        yield* files.startSweeping(10)
        yield* Effect.sleep(50)
        assert.strictEqual(left(), 2)
        ahead = 2 * 3_600_000
        yield* awaitUntil(
          Effect.sync(() => left() === 0),
          "litter is removed"
        )
        assert.strictEqual(fs.readFileSync(entry, "utf8"), "entry")
      }).pipe(Effect.provide(NodeContext.layer))
    )
  })
})

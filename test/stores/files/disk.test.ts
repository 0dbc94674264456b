/**
 * A disk that is full or read-only: law 8 (invalidation wins) and law 6 (the store may fail, the caller may not).
 */
import { deepStrictEqual } from "node:assert/strict"
import { SystemError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, type Scope } from "effect"
import * as FileCache from "../../../src/FileCache.js"
import { CacheStore } from "../../../src/index.js"
import { awaitUntil } from "../../support/live.js"

const options = { ttl: "1 hour", tags: ["t"] } as const

const failure = (code: string, method: string) =>
  new SystemError({
    reason: "Unknown",
    module: "FileSystem",
    method,
    cause: Object.assign(new Error(code), { code })
  })

/** A file system with room for `free` further files that are not empty. */
class Disk {
  free = Number.POSITIVE_INFINITY
  isReadOnly = false

  readonly layer = Layer.merge(
    NodeContext.layer,
    Layer.effect(
      FileSystem.FileSystem,
      Effect.map(FileSystem.FileSystem, (real): FileSystem.FileSystem => {
        const change = <A>(method: string, effect: Effect.Effect<A, any>): Effect.Effect<A, any> =>
          Effect.suspend(() => (this.isReadOnly ? Effect.fail(failure("EROFS", method)) : effect))
        return {
          ...real,
          link: (from, to) => change("link", real.link(from, to)),
          rename: (from, to) => change("rename", real.rename(from, to)),
          makeDirectory: (path, options) => change("makeDirectory", real.makeDirectory(path, options)),
          utimes: (path, atime, mtime) => change("utimes", real.utimes(path, atime, mtime)),
          writeFile: (path, data, options) =>
            change(
              "writeFile",
              Effect.suspend(() => {
                if (data.length > 0 && this.free < 1) return Effect.fail(failure("ENOSPC", "writeFile"))
                if (data.length > 0) this.free--
                return real.writeFile(path, data, options)
              })
            ),
          remove: (path, options) =>
            change(
              "remove",
              Effect.flatMap(real.stat(path), ({ nlink, size }) =>
                Effect.tap(real.remove(path, options), () => {
                  if (size > 0n && Option.contains(nlink, 1)) this.free++
                })
              )
            )
        }
      })
    ).pipe(Layer.provide(NodeContext.layer))
  )
}

const setup = Effect.gen(function* () {
  const files = yield* Effect.provide(FileSystem.FileSystem, NodeContext.layer)
  const directory = yield* Effect.orDie(files.makeTempDirectoryScoped())
  const disk = new Disk()
  const open: Effect.Effect<CacheStore.Service, never, Scope.Scope> = Effect.map(
    Layer.build(Layer.provide(FileCache.layer({ directory, marksEvery: "20 millis" }), disk.layer)),
    Context.get(CacheStore)
  )
  const here = yield* open
  const there = yield* open
  yield* here.set("k", "old", options)
  deepStrictEqual(yield* there.get("k"), Option.some("old"))
  return { disk, here, there, open }
})

describe("a disk", () => {
  const invalidations: Record<string, (store: CacheStore.Service) => Effect.Effect<void>> = {
    remove: (store) => store.remove("k"),
    set: (store) => store.set("k", "new", options),
    tags: (store) => store.tags.invalidate(["t"]),
    clear: (store) => store.clear
  }

  for (const [name, invalidate] of Object.entries(invalidations)) {
    it.scopedLive(`law 8: invalidation wins - ${name} on a full disk reaches other processes and later ones`, () =>
      Effect.gen(function* () {
        const { disk, here, open, there } = yield* setup
        disk.free = 0
        yield* invalidate(here)
        const expected = name === "set" ? Option.some("new") : Option.none()
        yield* awaitUntil(
          Effect.map(there.get("k"), (found) => Option.getOrNull(found) === Option.getOrNull(expected)),
          "another process sees it"
        )
        deepStrictEqual(yield* Effect.scoped(Effect.flatMap(open, (store) => store.get("k"))), expected)
        assert.strictEqual((yield* here.health).undelivered, 0)
      })
    )

    it.scopedLive(
      `law 6: the store may fail, the caller may not - ${name} on a read-only disk is delivered later`,
      () =>
        Effect.gen(function* () {
          const { disk, here, there } = yield* setup
          disk.isReadOnly = true
          yield* invalidate(here)
          assert.isAbove((yield* here.health).undelivered, 0)
          deepStrictEqual(yield* here.get("k"), name === "set" ? Option.some("new") : Option.none())
          disk.isReadOnly = false
          yield* awaitUntil(
            Effect.map(here.health, ({ undelivered }) => undelivered === 0),
            "it is delivered"
          )
          yield* awaitUntil(
            Effect.map(there.get("k"), (found) => !Option.contains(found, "old")),
            "another process sees it"
          )
        })
    )
  }

  it.scopedLive("law 8: invalidation wins - a value for which a full disk has no room does not leave the old one", () =>
    Effect.gen(function* () {
      const { disk, here, there } = yield* setup
      disk.free = Number.NEGATIVE_INFINITY
      yield* here.remove("k")
      assert.strictEqual((yield* here.health).undelivered, 1)
      deepStrictEqual(yield* there.get("k"), Option.none())
    })
  )
})

/**
 * Processes on one snapshot, some of which are killed; a full disk; another user.
 */
import { deepStrictEqual } from "node:assert/strict"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import { CacheStore } from "effect-cached"
import { bundle } from "../support/bundle.js"
import * as Child from "../support/child.js"
import { awaitUntil } from "../support/live.js"
import type { Commands } from "../support/snapshot-process.js"
import { directory, freshPath, run, runLogged } from "./support.js"

class Script extends Context.Tag("test/SnapshotScript")<Script, string>() {
  static readonly layer = Layer.scoped(
    Script,
    bundle(fileURLToPath(new URL("../support/snapshot-process.ts", import.meta.url)))
  )
}

const isRoot = process.getuid?.() === 0
const count = 1_000

const start = (file: string, name: string, onEvent: (event: { readonly saved: string }) => void = () => {}) =>
  Effect.flatMap(Script, (script) => Child.start<Commands>(script, { args: [file, name], onEvent }))

/** Whether a snapshot is being written at this moment. */
const isSaving = (file: string) =>
  Effect.sync(() =>
    fs
      .readdirSync(path.dirname(file))
      .some((name) => name.endsWith(".tmp") && fs.statSync(path.join(path.dirname(file), name)).size > 0)
  ).pipe(Effect.catchAllDefect(() => Effect.succeed(false)))

/** The processes and generations of the entries in a snapshot, which are all there. */
const namesIn = (file: string) =>
  run({ path: file })(
    Effect.flatMap(CacheStore, (store) =>
      Effect.map(store.getMany<string>(Array.from({ length: count }, (_, i) => `k${i}`)), (found) => [
        ...new Set(found.map((value) => Option.getOrThrow(value).split(" ").slice(0, 2).join(" ")))
      ])
    )
  )

layer(Script.layer, { excludeTestServices: true, timeout: "1 minute" })("CacheSnapshot in processes", (it) => {
  it.scoped("kill -9 during a save - leaves the snapshot before it, whole", () =>
    Effect.gen(function* () {
      const file = yield* freshPath
      const killed = yield* start(file, "a")
      yield* killed.ask("fill", 0, count)
      yield* killed.ask("save")
      yield* killed.ask("fill", 1, count)
      yield* Effect.fork(Effect.catchAllDefect(killed.ask("saveForever"), () => Effect.void))
      yield* awaitUntil(isSaving(file), "a draft is being written")
      yield* killed.signal("SIGKILL")
      yield* killed.gone
      const next = yield* start(file, "b")
      const all = yield* next.ask("all", count)
      deepStrictEqual([all.count, all.values.length], [count, 1])
      deepStrictEqual(yield* next.ask("problems"), [])
      // an end that is no kill saves
      yield* next.ask("fill", 2, count)
      assert.strictEqual(yield* next.end, 0)
      deepStrictEqual(yield* namesIn(file), ["b 2"])
    })
  )

  it.scoped("two processes on one file - leave the snapshot of one of them, never a mixture", () =>
    Effect.gen(function* () {
      const file = yield* freshPath
      const saved: Record<string, number> = {}
      const children = yield* Effect.forEach(["x", "y"], (name) =>
        start(file, name, (event) => {
          saved[event.saved] = (saved[event.saved] ?? 0) + 1
        })
      )
      for (const child of children) {
        yield* child.ask("fill", 1, count)
        yield* Effect.fork(Effect.catchAllDefect(child.ask("saveForever"), () => Effect.void))
      }
      yield* awaitUntil(
        Effect.sync(() => Object.values(saved).filter((times) => times >= 3).length === 2),
        "both have saved"
      )
      // a copy, while both go on; closing a store saves
      fs.copyFileSync(file, `${file}.copy`)
      assert.lengthOf(yield* namesIn(`${file}.copy`), 1)
    })
  )

  it.scoped("a full disk - leaves the older snapshot, no draft, and one Warning", () =>
    Effect.gen(function* () {
      const mounted = yield* directory
      const mount = isRoot && spawnSync("mount", ["-t", "tmpfs", "-o", "size=100k", "tmpfs", mounted]).status === 0
      // without a disk that is full there is nothing to see
      if (!mount) return
      yield* Effect.addFinalizer(() => Effect.sync(() => spawnSync("umount", [mounted])))
      const file = path.join(mounted, "store.snapshot")
      const set = (key: string, value: string) =>
        Effect.flatMap(CacheStore, (store) => store.set(key, value, { ttl: "1 hour" }))
      yield* run({ path: file })(set("small", "s"))
      const { lines } = yield* runLogged({ path: file }, set("large", "x".repeat(500_000)))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "ENOSPC")
      deepStrictEqual(fs.readdirSync(mounted), ["store.snapshot"])
      const found = yield* run({ path: file })(Effect.flatMap(CacheStore, (store) => store.getMany(["small", "large"])))
      deepStrictEqual(found, [Option.some("s"), Option.none()])
    })
  )

  it.scoped("another user - may neither read nor replace it", () =>
    Effect.gen(function* () {
      const file = yield* freshPath
      const child = yield* start(file, "a")
      yield* child.ask("fill", 1, 10)
      yield* child.ask("save")
      fs.chmodSync(path.dirname(file), 0o555)
      // for the user of the test, if that is not root
      fs.chmodSync(file, 0)
      for (const message of yield* child.ask("asNobody")) assert.include(message, "EACCES")
    })
  )
})

import * as fs from "node:fs"
import * as path from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import { NodeContext } from "@effect/platform-node"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as FileCache from "../../../src/FileCache.js"
import { nameOf } from "../../../src/internal/backends/object/format.js"
import { CacheStoreSuite } from "../../../src/testing.js"

CacheStoreSuite.run(
  "FileCache",
  {
    medium: Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const directory = yield* files.makeTempDirectoryScoped()
      return {
        backend: Effect.provide(FileCache.backend({ directory }), NodeContext.layer),
        corrupt: (key: string) =>
          Effect.sync(() => {
            const file = path.join(directory, nameOf(key).slice(0, 2), nameOf(key).slice(2))
            fs.truncateSync(file, fs.statSync(file).size >> 1)
          })
      }
    }).pipe(Effect.provide(NodeContext.layer)),
    // the cases run at the same time
    timeout: "1 minute"
  },
  { describe: describe.concurrent, it }
)

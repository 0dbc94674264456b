import * as FileSystem from "@effect/platform/FileSystem"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import * as FileCache from "../../../src/FileCache.js"
import { storeLaws } from "../../laws/index.js"
import type { StoreUnderTest } from "../../laws/support.js"

const layer = Layer.unwrapScoped(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* Effect.orDie(fs.makeTempDirectoryScoped())
    return FileCache.layer({ directory, compression: "gzip" })
  })
)

const store: StoreUnderTest = { name: "files", layer: Layer.provide(layer, NodeContext.layer), remote: true }

storeLaws(store)

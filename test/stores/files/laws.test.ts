import * as FileSystem from "@effect/platform/FileSystem"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import * as FileCache from "../../../src/FileCache.js"
import { bounds } from "../../laws/bounds.js"
import { freshness } from "../../laws/freshness.js"
import type { StoreUnderTest } from "../../laws/support.js"
import { values } from "../../laws/values.js"

const layer = Layer.unwrapScoped(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* Effect.orDie(fs.makeTempDirectoryScoped())
    return FileCache.layer({ directory, compression: "gzip" })
  })
)

const store: StoreUnderTest = { name: "files", layer: Layer.provide(layer, NodeContext.layer), remote: true }

freshness(store)
values(store)
bounds(store)

/**
 * Stores in memory with a snapshot in a real file.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, type Scope } from "effect"
import { type CacheStore, MemoryCache } from "effect-cached"
import * as CacheSnapshot from "effect-cached/CacheSnapshot"
import { openStore, recordWarnings } from "../laws/support.js"

/** A directory that is removed when the scope closes. */
export const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "snapshot-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** The path of a snapshot that is not there yet. */
export const freshPath = Effect.map(directory, (directory) => path.join(directory, "store.snapshot"))

/** A store with a snapshot. */
export const storeOf = (
  options: CacheSnapshot.Options,
  memory: Layer.Layer<CacheStore> = MemoryCache.layer()
): Layer.Layer<CacheStore> => CacheSnapshot.layer(options).pipe(Layer.provide([memory, NodeContext.layer]))

/** Runs an effect on a store with a snapshot, and closes the store. */
export const run =
  (options: CacheSnapshot.Options, memory?: Layer.Layer<CacheStore>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, CacheStore>> =>
    Effect.flatMap(openStore(storeOf(options, memory)), ({ close, provide }) => Effect.ensuring(provide(effect), close))

/** As `run`, and returns the Warnings as well. */
export const runLogged = <A, E>(
  options: CacheSnapshot.Options,
  effect: Effect.Effect<A, E, CacheStore>,
  memory?: Layer.Layer<CacheStore>
) => {
  const { layer, lines } = recordWarnings()
  return Effect.map(Effect.provide(run(options, memory)(effect), layer), (answer) => ({ answer, lines }))
}

/**
 * Entries in files, over the `FileSystem` of `@effect/platform`: there after a restart, and shared by the processes of
 * one machine.
 *
 * A directory belongs to one store. In it, each entry is a file whose name is a hash of its key, whatever the key is; it
 * is written under a name of its own and renamed, so that nobody ever reads half of it, and carries its key, which is
 * compared when it is read. A file keeps until its whole life has ended, stale or not. `clear` and tags raise a mark in
 * the file `marks` and walk nothing.
 *
 * Several processes may use one directory. A write looks at what stands there and replaces it under a lock of its key,
 * so that what came later stays (law 8); a lock whose holder died is taken over after two seconds. It takes a file system
 * with hard links. After a crash of the machine, rather than of a process, the newest entries may be missing or broken,
 * and what was invalidated last may be back: files are not flushed to the disk one by one, and what is broken is a miss.
 *
 * A full disk, a directory that cannot be written, or none at all cost no caller an answer: what cannot be read is
 * loaded, what cannot be written is counted and logged.
 *
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { Cached } from "effect-cached"
 * import * as FileCache from "effect-cached/FileCache"
 *
 * const getUser = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "user:{}", ttl: "1 hour" })
 *
 * const Files = FileCache.layer({ directory: ".cache/users", compression: "gzip" })
 *
 * getUser(42).pipe(Effect.provide(Layer.provide(Files, NodeContext.layer)), Effect.runPromise)
 * ```
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Backend from "./Backend.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import * as ObjectBackend from "./internal/backends/object/backend.js"
import * as Files from "./internal/backends/object/files.js"
import { decodePositive } from "./internal/options.js"
import * as Compression from "./internal/serializers/compression.js"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends CacheStore.Options, CacheStore.BytesOptions, ObjectBackend.Options {
  /** where files are kept, for this store alone; made when the first entry is written */
  readonly directory: string
  /**
   * how files are made smaller, default not at all. What is there is read whatever it was written with. `zstd` where
   * Node has it (22.15 or later), elsewhere the defect `InvalidOption`
   */
  readonly compression?: Compression.Algorithm | undefined
  /** how often up to 1 000 files are looked at and those removed that have expired, default 1 minute; `Infinity` for never */
  readonly sweepEvery?: Duration.DurationInput | undefined
  /** the store's name in metrics and logs, default `file` */
  readonly name?: string | undefined
}

/**
 * The medium alone, as a tier takes it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (
  options: Options
): Effect.Effect<Backend.Backend, never, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function* () {
    const sweepEvery = yield* Effect.sync(() => decodePositive("sweepEvery", options.sweepEvery ?? "1 minute"))
    const files = new Files.Files(
      yield* FileSystem.FileSystem,
      yield* Path.Path,
      options.directory,
      options.name ?? "file"
    )
    const codecs = yield* Effect.sync(() => Compression.codecs(options.compression))
    const medium = yield* ObjectBackend.make(files, options, codecs)
    if (Number.isFinite(sweepEvery)) yield* files.sweeping(sweepEvery)
    return fromBytes(medium, options)
  })

/**
 * A Service for a tag of one's own: `Layer.scoped(Pages, FileCache.make({ directory: "…" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options
): Effect.Effect<CacheStore.Service, never, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.flatMap(backend(options), (medium) => CacheStore.make(medium, options))

/**
 * A store in a directory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<CacheStore, never, FileSystem.FileSystem | Path.Path> =>
  Layer.scoped(CacheStore, make(options))

/**
 * The same from Config.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Config.Wrap<Options>
): Layer.Layer<CacheStore, ConfigError, FileSystem.FileSystem | Path.Path> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

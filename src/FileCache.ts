/**
 * A store that keeps entries in files, through the `FileSystem` of `@effect/platform`. Entries survive a restart and
 * are shared by the processes of one machine.
 *
 * A directory belongs to one store. Each entry is a file whose name is a hash of its key, so any key is allowed. The
 * file contains the key, which is compared when the entry is read. It is written under a temporary name and renamed, so
 * no process ever reads half of it. It stays until the entry has expired, stale time included. `clear` and tags write a
 * mark into the file `marks` and do not visit other files.
 *
 * Several processes may use one directory. A write replaces an entry under a lock of its key, and only if the entry
 * there is not later: law 8 (invalidation wins) holds across processes. The lock of a process that died is taken over
 * after two seconds. The file system must support hard links. Files are not flushed to the disk one by one. After a
 * crash of the machine, rather than of a process, the newest entries may therefore be missing or damaged, and the last
 * invalidations may be undone. A damaged entry is a miss.
 *
 * If the disk is full, or the directory is missing or not writable, callers still get their values: an entry that
 * cannot be read is loaded, and a write that fails is counted and logged. On a full disk, what invalidates deletes the
 * old file first. Where nothing can be deleted, it is delivered later, or lost if the process ends before.
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
import { limitsOf } from "./internal/backends/fromBytes.js"
import * as ObjectBackend from "./internal/backends/object/backend.js"
import { FileObjects } from "./internal/backends/object/files.js"
import { decodePositive } from "./internal/options.js"
import { Problems } from "./internal/problems.js"
import * as Compression from "./internal/serializers/compression.js"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends CacheStore.Options, CacheStore.BytesOptions, ObjectBackend.Options {
  /**
   * The directory of the store, which nothing else may use. It is created with the first entry. A relative path is
   * resolved once, so that `process.chdir` does not move the cache.
   */
  readonly directory: string
  /**
   * How new files are compressed. Default: not at all. Files are readable whatever they were compressed with. `"zstd"`
   * needs Node 22.15 or later. Elsewhere it is the defect `InvalidOption`.
   */
  readonly compression?: Compression.Algorithm | undefined
  /**
   * How often up to 1 000 files are checked, and the expired ones deleted. Default: 1 minute. `Infinity` means never.
   */
  readonly sweepEvery?: Duration.DurationInput | undefined
  /** The store's name in metrics and logs. Default: `file`. */
  readonly name?: string | undefined
}

/**
 * The backend alone, to be used as a tier.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (
  options: Options
): Effect.Effect<Backend.Backend, never, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function* () {
    const { directory, name = "file" } = options
    const sweepEvery = yield* Effect.sync(() => decodePositive("sweepEvery", options.sweepEvery ?? "1 minute", name))
    const problems = yield* Problems.make(name)
    const files = new FileObjects(yield* FileSystem.FileSystem, yield* Path.Path, { directory, name, problems })
    const codecs = yield* Effect.sync(() => Compression.codecs(options.compression, limitsOf(options, name)))
    const bytes = yield* ObjectBackend.make(files, options, codecs)
    if (Number.isFinite(sweepEvery)) yield* files.startSweeping(sweepEvery)
    return fromBytes({ ...bytes, problems: () => problems.list }, options)
  })

/**
 * A Service for a tag of your own: `Layer.scoped(Pages, FileCache.make({ directory: "…" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options
): Effect.Effect<CacheStore.Service, never, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.flatMap(backend(options), (backend) => CacheStore.make(backend, options))

/**
 * A store in a directory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<CacheStore, never, FileSystem.FileSystem | Path.Path> =>
  Layer.scoped(CacheStore, make(options))

/**
 * A store in a directory, with options from Config.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Config.Wrap<Options>
): Layer.Layer<CacheStore, ConfigError, FileSystem.FileSystem | Path.Path> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

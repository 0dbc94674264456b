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
import { InvalidOption } from "./CacheError.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import { limitsOf } from "./internal/backends/fromBytes.js"
import * as ObjectBackend from "./internal/backends/object/backend.js"
import type { Limits } from "./internal/backends/object/fileSweep.js"
import { FileObjects, modesOf } from "./internal/backends/object/files.js"
import { checkLimit, checkPath, decodePositive } from "./internal/options.js"
import { Problems } from "./internal/problems.js"
import * as Compression from "./internal/serializers/compression.js"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends CacheStore.Options, CacheStore.BytesOptions, ObjectBackend.Options {
  /**
   * The directory of the store, which nothing else may use. It is created with the first entry. A relative path is
   * resolved once, so that `process.chdir` does not move the cache. An empty one is the defect `InvalidOption`.
   */
  readonly directory: string
  /**
   * How new files are compressed. Default: not at all. Files are readable whatever they were compressed with. `"zstd"`
   * needs Node 22.15 or later. Elsewhere it is the defect `InvalidOption`.
   */
  readonly compression?: Compression.Algorithm | undefined
  /**
   * How often some 1 000 files are checked, and the dead ones deleted. Default: 1 minute. `Infinity` means never. While
   * at least a tenth of what was checked was dead, the next files are checked at once.
   */
  readonly sweepEvery?: Duration.DurationInput | undefined
  /**
   * How many entries the directory may hold. Default: `Infinity`. The sweep deletes those beyond it; in between there
   * may be more. Of each of the 256 subdirectories it deletes the entries that expire first, but none that is younger
   * than a minute or than the longest `flightTimeout`: it may be later than a load under way (law 8, invalidation wins).
   * With a `sweepEvery` of `Infinity` a limit is the defect `InvalidOption`.
   */
  readonly maxFiles?: number | undefined
  /** How many bytes the entries may have together, as files. Default: `Infinity`. Kept as `maxFiles` is. */
  readonly maxBytes?: number | undefined
  /**
   * The permissions of new files, less those that the umask of the process denies. Default: `0o600`, for the user of
   * the process alone. A new directory can be searched by everybody who may read it: `0o660` for files is `0o770` for
   * directories. Without reading and writing by the user it is the defect `InvalidOption`.
   */
  readonly mode?: number | undefined
  /** The store's name in metrics and logs. Default: `file`. */
  readonly name?: string | undefined
}

const checkMode = (mode: number, of: string): number => {
  if (Number.isInteger(mode) && mode >= 0o600 && mode <= 0o777 && (mode & 0o600) === 0o600) return mode
  throw new InvalidOption({ option: "mode", of, detail: "must be permissions such as 0o600 or 0o660" })
}

const decodeLimits = ({ maxBytes, maxFiles }: Options, every: number, of: string): Limits => {
  const limits = {
    every,
    maxFiles: checkLimit("maxFiles", maxFiles ?? Number.POSITIVE_INFINITY, of),
    maxBytes: checkLimit("maxBytes", maxBytes ?? Number.POSITIVE_INFINITY, of)
  }
  if (Number.isFinite(every) || (limits.maxFiles === every && limits.maxBytes === every)) return limits
  throw new InvalidOption({ option: "sweepEvery", of, detail: "must be finite, because the sweep keeps the limits" })
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
    const { name = "file" } = options
    const directory = yield* Effect.sync(() => checkPath("directory", options.directory, name))
    const sweepEvery = yield* Effect.sync(() => decodePositive("sweepEvery", options.sweepEvery ?? "1 minute", name))
    const limits = yield* Effect.sync(() => decodeLimits(options, sweepEvery, name))
    const modes = modesOf(yield* Effect.sync(() => checkMode(options.mode ?? 0o600, name)))
    const problems = yield* Problems.make(name)
    const files = new FileObjects(yield* FileSystem.FileSystem, yield* Path.Path, { directory, modes, name, problems })
    const codecs = yield* Effect.sync(() => Compression.codecs(options.compression, limitsOf(options, name)))
    const bytes = yield* ObjectBackend.make(files, options, codecs)
    if (Number.isFinite(sweepEvery)) yield* files.startSweeping(limits)
    const setMany: typeof bytes.setMany = (writes) => {
      for (const { maxAge = 0 } of writes) files.noteLoad(maxAge)
      return bytes.setMany(writes)
    }
    return fromBytes({ ...bytes, setMany, problems: () => problems.list }, options)
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

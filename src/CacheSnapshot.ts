/**
 * Snapshots of a store in memory: its entries in a file, from which the next process restores them.
 *
 * The file is saved when the Layer closes and, with `every`, in between. When the Layer is built, the store is restored
 * from it before anybody reads: each entry with the rest of its lifetime, less the time in between. Entries keep their
 * owners, tags, idle times and stored failures, and what was invalidated before the snapshot stays invalidated.
 *
 * The file is the old one or the new one, whole, and only the user of the process may read it. A file that is damaged, or
 * cannot be read, is an empty start and a Warning that names it. The module needs the `FileSystem` and `Path` of
 * `@effect/platform`.
 *
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { Cached, MemoryCache } from "effect-cached"
 * import * as CacheSnapshot from "effect-cached/CacheSnapshot"
 *
 * const getUser = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "user:{}", ttl: "1 hour" })
 *
 * const Store = CacheSnapshot.layer({ path: ".cache/users.snapshot", every: "5 minutes" }).pipe(
 *   Layer.provide([MemoryCache.layer({ capacity: 50_000 }), NodeContext.layer])
 * )
 *
 * getUser(42).pipe(Effect.provide(Store), Effect.runPromise)
 * ```
 *
 * @since 0.2.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CacheStoreError } from "./CacheError.js"
import { CacheStore } from "./CacheStore.js"
import { type Engine, EngineId } from "./internal/engine/engine.js"
import { checkPath, decodePositive } from "./internal/options.js"
import { Reported, reported } from "./internal/report.js"
import { sleep, sleepOn } from "./internal/sleep.js"
import * as Files from "./internal/snapshot/files.js"
import { Fault } from "./internal/snapshot/format.js"
import * as Load from "./internal/snapshot/load.js"
import * as Save from "./internal/snapshot/save.js"
import { type Target, targetOf } from "./internal/snapshot/target.js"

/**
 * A cached effect or function, or an entity.
 *
 * @category models
 * @since 0.2.0
 */
export interface AnyCached {
  readonly stats: Effect.Effect<unknown, unknown, unknown>
}

/**
 * The options of `save` and `load`. `serializer`, `maxValueBytes` and `maxDecodedBytes` are those of a store of bytes: a
 * value that the serializer cannot carry is left out.
 *
 * @category models
 * @since 0.2.0
 */
export interface FileOptions<S = CacheStore> extends CacheStore.BytesOptions {
  /** The file. Its directory is made if it is missing. An empty path is the defect `InvalidOption`. */
  readonly path: string
  /** The tag of the store. Default: `CacheStore`. */
  readonly store?: Context.Tag<S, CacheStore.Service> | undefined
  /**
   * The functions and entities whose values, or stored failures, only their schema can convert, such as instances of
   * classes. Without a function its values go to the serializer as they are. Give the same ones where the snapshot is
   * loaded. A store of serialized values needs none. Default: none.
   */
  readonly functions?: ReadonlyArray<AnyCached> | undefined
  /**
   * How long saving or loading may take. After that it is given up: the older file stays, or what is not restored yet is
   * missing. Default: 1 minute.
   */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * The options of a Layer that keeps snapshots.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options<S = CacheStore> extends FileOptions<S> {
  /**
   * How often a snapshot is saved while the Layer is open, on the clock of the Layer. Default: `Infinity`, only when it
   * closes. What a process that is killed has changed since its last snapshot is lost, invalidations included.
   */
  readonly every?: Duration.DurationInput | undefined
}

/**
 * What `save` has written.
 *
 * @category models
 * @since 0.2.0
 */
export interface Saved {
  /** How many entries are in the file. */
  readonly entries: number
  /** How many were left out, because the serializer or a schema refused their values. */
  readonly refused: number
  /** The size of the file. */
  readonly bytes: number
}

/**
 * What `load` has restored.
 *
 * @category models
 * @since 0.2.0
 */
export interface Loaded {
  /** How many entries are restored. */
  readonly entries: number
  /** How many have expired since they were saved. */
  readonly expired: number
  /** How many were left out, because they have been invalidated, or the store has an entry for their key. */
  readonly skipped: number
  /** How many cannot be read: by the serializer, by the schema of their function, or because that was not given. */
  readonly unreadable: number
}

const defaultTimeout = "1 minute"

const live = /*#__PURE__*/ Clock.make()

/** The snapshot of a store in a file. */
interface Snapshot {
  readonly service: CacheStore.Service
  readonly target: Target
  readonly files: Files.Files
  readonly path: string
  readonly timeout: number
}

type Requirements<S> = S | FileSystem.FileSystem | Path.Path

const snapshotOf = <S>(options: FileOptions<S>): Effect.Effect<Snapshot, never, Requirements<S>> =>
  Effect.gen(function* () {
    const tag = (options.store ?? CacheStore) as unknown as Effect.Effect<CacheStore.Service, never, S>
    const service = yield* tag
    const engine = service[EngineId] as Engine
    const files = { fs: yield* FileSystem.FileSystem, path: yield* Path.Path }
    const name = `CacheSnapshot of ${engine.backend.name}`
    return yield* Effect.sync(() => ({
      service,
      target: targetOf(engine, options),
      files,
      // resolved once, so that `process.chdir` does not move it
      path: files.path.resolve(checkPath("path", options.path, name)),
      timeout: decodePositive("timeout", options.timeout ?? defaultTimeout, name)
    }))
  })

/** Gives up an effect that takes too long. What it is doing at that moment may end behind it. */
const within = <A, E>(
  { target: { engine }, timeout }: Snapshot,
  method: string,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E | CacheStoreError> =>
  Effect.raceFirst(
    Effect.interruptible(Effect.disconnect(effect)),
    Effect.interruptible(
      Effect.zipRight(
        sleepOn(live, timeout),
        Effect.suspend(() =>
          Effect.fail(new CacheStoreError({ reason: "Timeout", store: engine.backend.name, method }))
        )
      )
    )
  )

type Failure = PlatformError | CacheStoreError | Fault

const detailOf = (failure: Failure): string =>
  failure instanceof Fault
    ? `it ${failure.detail}`
    : failure instanceof CacheStoreError && failure.reason === "Timeout"
      ? "it took longer than the timeout"
      : reported(failure).message

const toStoreError =
  ({ target: { engine } }: Snapshot, method: string) =>
  (failure: Failure): CacheStoreError =>
    failure instanceof CacheStoreError
      ? failure
      : new CacheStoreError({
          reason: "Rejected",
          store: engine.backend.name,
          method,
          cause: failure instanceof Fault ? new Reported(`the file ${failure.detail}`) : failure
        })

const whose = (owner: string): string => (owner === "" ? "the store itself" : `the function ${owner}`)

/** Saves, and reports what was left out. */
const saveTo = (snapshot: Snapshot): Effect.Effect<Saved, Failure> =>
  Effect.suspend(() => {
    const { files, path, target } = snapshot
    const { options, telemetry } = target.engine
    if (options.off) return Effect.succeed({ entries: 0, refused: 0, bytes: 0 })
    const saved = Save.save(target, files, path, ({ message, owner }, refused) =>
      telemetry.report(
        "SnapshotIncomplete",
        "",
        `the snapshot ${path} does not have all values: ${refused} could not be encoded, the first of ${whose(owner)}: ` +
          `${message}. They are loaded again after a restart. Give the function a schema, and list it in \`functions\` ` +
          "of CacheSnapshot; or give a serializer that carries its values."
      )
    )
    return within(snapshot, "save", saved)
  })

/** Loads, and reports what cannot be read. */
const loadFrom = (snapshot: Snapshot): Effect.Effect<Loaded, Failure> =>
  Effect.suspend(() => {
    const { files, path, target } = snapshot
    const { options, telemetry } = target.engine
    if (options.off) return Effect.succeed(Load.nothing)
    return Effect.map(within(snapshot, "load", Load.load(target, files, path)), (loaded = Load.nothing) => {
      if (loaded.unreadable > 0) {
        telemetry.report(
          "SnapshotIncomplete",
          "",
          `${loaded.unreadable} entries of the snapshot ${path} cannot be read, and are loaded again. Give CacheSnapshot ` +
            "the serializer and the `functions` that the snapshot was saved with; a schema that has changed needs a new " +
            "`version` of its function."
        )
      }
      return loaded
    })
  })

/**
 * Saves the entries of a store to a file, in place of the snapshot that is there. Other fibers run meanwhile. A write or
 * an invalidation of that time is in the snapshot or comes after it; no entry is saved by halves.
 *
 * It fails if the file cannot be written, and the older one then stays. A store that is not memory alone is the defect
 * `InvalidOption`.
 *
 * @category operations
 * @since 0.2.0
 */
export const save = <S = CacheStore>(
  options: FileOptions<S>
): Effect.Effect<Saved, CacheStoreError, S | FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(snapshotOf(options), (snapshot) =>
    snapshot.target.engine.closed
      ? snapshot.target.engine.telemetry.ended
      : Effect.mapError(saveTo(snapshot), toStoreError(snapshot, "save"))
  )

/**
 * Restores the entries of a file, each with the rest of its lifetime. What the store has already stays. If there is no
 * file, nothing is restored.
 *
 * It fails if the file cannot be read or is damaged, and then nothing is restored. A store that is not memory alone is
 * the defect `InvalidOption`.
 *
 * **Gotchas**
 *
 * Only the process that restores a snapshot into an empty store, and its successors, know what was invalidated since it
 * was saved. Loaded into a store that has entries already, it may bring back what that store has removed before.
 *
 * @category operations
 * @since 0.2.0
 */
export const load = <S = CacheStore>(
  options: FileOptions<S>
): Effect.Effect<Loaded, CacheStoreError, S | FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(snapshotOf(options), (snapshot) =>
    snapshot.target.engine.closed
      ? snapshot.target.engine.telemetry.ended
      : Effect.mapError(loadFrom(snapshot), toStoreError(snapshot, "load"))
  )

/** Restores the store. Whatever is wrong with the file, the store is there. */
const restore = (snapshot: Snapshot): Effect.Effect<void> => {
  const { files, path, target } = snapshot
  return Effect.catchAll(Effect.asVoid(loadFrom(snapshot)), (failure) =>
    Effect.map(
      failure instanceof Fault && !failure.isForeign ? Files.setAside(files, path) : Effect.succeed(undefined),
      (aside) =>
        target.engine.telemetry.report(
          "SnapshotUnreadable",
          "",
          `the snapshot ${path} cannot be read: ${detailOf(failure)}. What is not restored is loaded again.` +
            (aside === undefined ? "" : ` The file is kept as ${aside}.`)
        )
    )
  )
}

/** Saves. That it fails is a state, which ends with the next snapshot. */
const keep = (snapshot: Snapshot): Effect.Effect<void> => {
  const { path, target } = snapshot
  const { telemetry } = target.engine
  return Effect.match(saveTo(snapshot), {
    onFailure: (failure) =>
      telemetry.begin(
        "SnapshotFails",
        "",
        `the snapshot ${path} cannot be saved: ${detailOf(failure)}. An older one stays, and the next process restores ` +
          "that. Check the disk, and the permissions of the directory."
      ),
    onSuccess: () => telemetry.end("SnapshotFails", "", `the snapshot ${path} is saved again`)
  })
}

/**
 * A Layer around that of a store in memory, which it provides again: restored from the file before anybody reads, and
 * saved when the Layer closes and at every interval. A store that is not memory alone is the defect `InvalidOption`:
 * what other processes invalidate while this one is down would come back.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <S = CacheStore>(
  options: Options<S>
): Layer.Layer<S, never, S | FileSystem.FileSystem | Path.Path> => {
  const tag = (options.store ?? CacheStore) as Context.Tag<S, CacheStore.Service>
  return Layer.scoped(
    tag,
    Effect.gen(function* () {
      const snapshot = yield* snapshotOf(options)
      const { files, path, service, target } = snapshot
      const name = `CacheSnapshot of ${target.engine.backend.name}`
      const every = yield* Effect.sync(() => decodePositive("every", options.every ?? Number.POSITIVE_INFINITY, name))
      if (target.engine.options.off) return service
      yield* Files.removeDrafts(files, path)
      yield* restore(snapshot)
      // the fiber of the schedule ends first
      yield* Effect.addFinalizer(() => keep(snapshot))
      if (Number.isFinite(every)) {
        yield* Effect.forkScoped(Effect.interruptible(Effect.forever(Effect.zipRight(sleep(every), keep(snapshot)))))
      }
      return service
    })
  )
}

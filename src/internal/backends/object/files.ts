/**
 * Objects in files. A file is written as a draft and then renamed, so that no reader sees half of it. A lock file
 * beside it makes a conditional write atomic among all processes. `fileSweep.ts` removes what nobody needs
 * any more.
 */
import { randomUUID } from "node:crypto"
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { CacheStoreError } from "../../../CacheError.js"
import { BoundedMap } from "../../boundedMap.js"
import type { Problems } from "../../problems.js"
import { monotonic, timeOfDay } from "../../time.js"
import * as Sweep from "./fileSweep.js"
import { headerLength, headerVersion, parseHeader } from "./format.js"
import type { Condition, Head, ObjectStore, Page, Put, Stored } from "./objectStore.js"

/**
 * After how many milliseconds without a change other processes break a lock, because its holder counts as dead. A write
 * takes a few milliseconds.
 */
const lockLease = 2_000

/**
 * For how many milliseconds a holder itself relies on its lock. After a longer pause the lock may belong to another
 * process: a conditional write no longer replaces the file, and the lock is not removed. A pause between this check and
 * the rename, or a rename that waits for a thread of Node, is not noticed.
 */
const lockUse = lockLease / 2

/**
 * For how many milliseconds a file is needed at most: 100 years. So the modification time contains the present time also
 * of what is needed forever, and tells two locks apart whose files had the same inode.
 */
const longestLifetime = 100 * 365 * 86_400_000

/** How many locks of other holders are remembered. */
const maxOtherLocks = 1_000

/** The modes of a new file and of a new directory. */
export interface Modes {
  readonly file: number
  readonly directory: number
}

/** The modes for an option: a directory can be searched by everybody who may read it. */
export const modesOf = (file: number): Modes => ({ file, directory: file | ((file & 0o444) >> 2) })

type Method<A> = Effect.Effect<A, PlatformError>

const isNotFound = (error: PlatformError): boolean => error._tag === "SystemError" && error.reason === "NotFound"

const ifExists = <A>(method: Method<A>): Method<A | undefined> =>
  Effect.catchIf(method, isNotFound, () => Effect.succeed(undefined))

const headOf = (bytes: Uint8Array): Head => ({ version: headerVersion(bytes), meta: parseHeader(bytes) })

const noBytes = new Uint8Array()

/**
 * Whether a path leads to a file. Anything else counts as an empty file: opening a pipe waits for a writer, in one of the
 * few threads of Node, and a device may have no end.
 */
const isFile = ({ type }: FileSystem.File.Info): boolean => type === "File"

/** Whether a file could not be written because the disk, or the user's share of it, is full. */
const isFull = (error: PlatformError): boolean => {
  const { cause } = error
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined
  return code === "ENOSPC" || code === "EDQUOT"
}

export interface Options {
  readonly directory: string
  readonly name: string
  readonly problems: Problems
  /** Default: for the user of the process alone. */
  readonly modes?: Modes | undefined
}

export class FileObjects implements ObjectStore {
  readonly name: string
  private readonly fs: FileSystem.FileSystem
  private readonly path: Path.Path
  private readonly directory: string
  private readonly problems: Problems
  private readonly modes: Modes
  private readonly live = Clock.make()
  /** The beginning of this process's file names. It does not come from `Random`, which two processes may seed alike. */
  private readonly process = randomUUID()
  private count = 0
  /**
   * The locks that operations found taken: by whom, and since when at least. They are kept from one operation to the next,
   * because the timeout of an operation may be shorter than the lease of a lock. Mutable by design.
   */
  private readonly otherLocks = new BoundedMap<{ readonly holder: string; readonly since: number }>(maxOtherLocks)
  /** How many milliseconds the loads of this process may take, as far as its writes have shown. Mutable by design. */
  private longestLoad = 0

  constructor(
    fs: FileSystem.FileSystem,
    path: Path.Path,
    { directory, modes = modesOf(0o600), name, problems }: Options
  ) {
    this.fs = fs
    this.path = path
    // Resolved once, so that `process.chdir` does not move the cache.
    this.directory = path.resolve(directory)
    this.problems = problems
    this.modes = modes
    this.name = name
  }

  /** Measures how long something has lasted. */
  private elapsed(): number {
    return monotonic(this.live)
  }

  /** The time of day, which the times of files are compared with. */
  private now(): number {
    return timeOfDay(this.live)
  }

  /** The path of an object. The first two digits of an entry's name are its directory. */
  private pathOf(name: string): string {
    return name.length === 64
      ? this.path.join(this.directory, name.slice(0, 2), name.slice(2))
      : this.path.join(this.directory, name)
  }

  private uniqueName(): string {
    return Sweep.uniqueName(this.process, ++this.count)
  }

  private rejected<A>(method: string, effect: Method<A>): Effect.Effect<A, CacheStoreError> {
    return Effect.mapError(
      effect,
      (cause) => new CacheStoreError({ reason: "Rejected", store: this.name, method, cause })
    )
  }

  /** Makes the directory of a file if the method fails without it, and then runs the method again. */
  private inDirectory<A>(file: string, method: Method<A>): Method<A> {
    return Effect.catchIf(method, isNotFound, () =>
      Effect.zipRight(
        this.fs.makeDirectory(this.path.dirname(file), { recursive: true, mode: this.modes.directory }),
        method
      )
    )
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  head(name: string): Effect.Effect<Head | undefined, CacheStoreError> {
    return this.rejected("head", this.headAt(this.pathOf(name)))
  }

  private headAt(file: string): Method<Head | undefined> {
    const opened = Effect.scoped(
      Effect.flatMap(this.fs.open(file), (opened) =>
        Effect.map(opened.readAlloc(headerLength), (bytes) => headOf(Option.getOrElse(bytes, () => noBytes)))
      )
    )
    const found = Effect.flatMap(this.fs.stat(file), (info) =>
      isFile(info) ? opened : Effect.succeed(headOf(noBytes))
    )
    return ifExists(found)
  }

  /** Reads the whole file if `wants` accepts its size: that is faster than reading the header first and then the rest. */
  read(name: string, wants: (head: Head) => boolean): Effect.Effect<Stored | undefined, CacheStoreError> {
    const file = this.pathOf(name)
    const found = Effect.flatMap(ifExists(this.fs.stat(file)), (info): Method<Stored | undefined> => {
      if (info !== undefined && !isFile(info)) return Effect.succeed({ ...headOf(noBytes), bytes: noBytes })
      const size = Number(info?.size ?? 0)
      if (info !== undefined && !wants({ version: "", meta: undefined, size })) {
        return Effect.map(this.headAt(file), (head) => head && { ...head, size, bytes: undefined })
      }
      return Effect.map(ifExists(this.fs.readFile(file)), (bytes) => bytes && { ...headOf(bytes), bytes })
    })
    return this.rejected("read", found)
  }

  // ---------------------------------------------------------------------------------------------------------- writes

  write(
    name: string,
    { bytes, invalidates, lifetime }: Put,
    condition: Condition
  ): Effect.Effect<boolean, CacheStoreError> {
    const file = this.pathOf(name)
    // The modification time is the time at which the file may be swept: the sweep reads it without opening the file.
    const neededUntil = Effect.sync(() => (this.now() + Math.min(lifetime, longestLifetime)) / 1_000)
    const written = this.withDraft(bytes, neededUntil, (draft) =>
      // A link takes a free name in one step and needs no lock. It never replaces a file.
      condition === null
        ? Effect.flatMap(this.linkUnlessExists(draft, file), (isLinked) =>
            isLinked ? Effect.succeed(true) : this.replaceDangling(draft, file)
          )
        : this.replace(draft, file, condition)
    )
    const isDeletable = invalidates === true && typeof condition === "string"
    return this.rejected(
      "write",
      isDeletable ? Effect.catchIf(written, isFull, () => this.rewrite(file, condition, bytes, neededUntil)) : written
    )
  }

  /**
   * Replaces a file on a full disk: deletes it, and then writes into the room that it leaves. If another process takes
   * that room, the file is gone all the same.
   */
  private rewrite(file: string, version: string, bytes: Uint8Array, time: Effect.Effect<number>): Method<boolean> {
    return this.withDraft(noBytes, time, (draft) =>
      this.withLock(file, draft, (isHeld) =>
        Effect.flatMap(this.headAt(file), (head) =>
          head?.version === version && isHeld()
            ? Effect.zipRight(
                this.delete(file),
                this.withDraft(bytes, time, (draft) => this.linkUnlessExists(draft, file))
              )
            : Effect.succeed(false)
        )
      )
    )
  }

  /** Writes a draft with these bytes and this modification time, in seconds, and removes it after use. */
  private withDraft<A>(bytes: Uint8Array, time: Effect.Effect<number>, use: (draft: string) => Method<A>): Method<A> {
    const { fs } = this
    const draft = this.path.join(this.directory, Sweep.drafts, this.uniqueName())
    const write = Effect.zipRight(
      this.inDirectory(draft, fs.writeFile(draft, bytes, { mode: this.modes.file })),
      Effect.flatMap(time, (seconds) => fs.utimes(draft, seconds, seconds))
    )
    return Effect.ensuring(
      Effect.zipRight(
        write,
        Effect.suspend(() => use(draft))
      ),
      this.discard(draft)
    )
  }

  /** Gives a file a second name, unless a file of that name exists. */
  private linkUnlessExists(file: string, name: string): Method<boolean> {
    return Effect.catchIf(
      Effect.as(this.inDirectory(name, this.fs.link(file, name)), true),
      (error) => error._tag === "SystemError" && error.reason === "AlreadyExists",
      () => Effect.succeed(false)
    )
  }

  private replace(draft: string, file: string, version: string | undefined): Method<boolean> {
    const rename = Effect.as(this.fs.rename(draft, file), true)
    return this.withLock(file, draft, (isHeld) =>
      version === undefined
        ? rename
        : Effect.flatMap(this.headAt(file), (head) =>
            head?.version === version && isHeld() ? rename : Effect.succeed(false)
          )
    )
  }

  /** Replaces a link that leads nowhere: there is no file, and yet its name is taken. */
  private replaceDangling(draft: string, file: string): Method<boolean> {
    const isLink = Effect.match(this.fs.readLink(file), { onFailure: () => false, onSuccess: () => true })
    const replaced = this.withLock(file, draft, (isHeld) =>
      Effect.flatMap(this.headAt(file), (head) =>
        head === undefined && isHeld() ? Effect.as(this.fs.rename(draft, file), true) : Effect.succeed(false)
      )
    )
    return Effect.flatMap(isLink, (isLink) => (isLink ? replaced : Effect.succeed(false)))
  }

  private delete(file: string): Method<void> {
    return Effect.asVoid(ifExists(this.fs.remove(file)))
  }

  private discard(file: string): Effect.Effect<void> {
    return Effect.ignore(this.fs.remove(file))
  }

  remove(names: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<CacheStoreError | undefined>> {
    return Effect.forEach(names, (name) =>
      Effect.match(this.rejected("remove", ifExists(this.fs.remove(this.pathOf(name)))), {
        onFailure: (error) => error,
        onSuccess: () => undefined
      })
    )
  }

  removeIf(name: string, version: string): Effect.Effect<boolean, CacheStoreError> {
    const file = this.pathOf(name)
    const isVersion = Effect.map(this.headAt(file), (head) => head?.version === version)
    return this.rejected("sweep", this.removeFile(file, isVersion))
  }

  /** Lists the entries of one directory of entries at a time, by their names. */
  list(from = ""): Effect.Effect<Page, CacheStoreError> {
    const read = (directory: string) => ifExists(this.fs.readDirectory(directory))
    const page = Effect.gen(this, function* () {
      const names = (yield* read(this.directory)) ?? []
      const [first, next] = names.filter((name) => Sweep.shardDirectory.test(name) && name >= from).sort()
      if (first === undefined) return { objects: [], next: undefined }
      const files = (yield* read(this.path.join(this.directory, first))) ?? []
      return {
        objects: files.filter((file) => Sweep.entryFile.test(file)).map((file) => ({ name: first + file })),
        next
      }
    })
    return this.rejected("sweep", page)
  }

  // ----------------------------------------------------------------------------------------------------------- locks

  /**
   * Runs `use` while no other process holds the lock of the file. The lock is a hard link to `draft`, a file of this
   * operation: it is created in one step, and its inode and time identify the holder.
   */
  private withLock<A>(file: string, draft: string, use: (isHeld: () => boolean) => Method<A>): Method<A> {
    const lock = `${file}.lock`
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(this.lock(restore, lock, draft), (since) => {
        const isHeld = () => this.elapsed() - since < lockUse
        return Effect.ensuring(
          restore(use(isHeld)),
          Effect.suspend(() => (isHeld() ? this.discard(lock) : Effect.void))
        )
      })
    )
  }

  /** Waits for the lock and takes it. Returns a time just before it was taken. */
  private lock(
    restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>,
    lock: string,
    draft: string
  ): Method<number> {
    const { otherLocks } = this
    return Effect.gen(this, function* () {
      for (;;) {
        const before = this.elapsed()
        if (yield* this.linkUnlessExists(draft, lock)) {
          otherLocks.delete(lock)
          return before
        }
        const holder = yield* ifExists(this.identity(lock))
        const known = otherLocks.get(lock)
        if (holder === undefined) otherLocks.delete(lock)
        else if (known?.holder !== holder) otherLocks.set(lock, { holder, since: this.elapsed() })
        else if (this.elapsed() - known.since > lockLease) yield* this.breakLock(lock, holder)
        yield* restore(Effect.sleep(Duration.millis(2)))
      }
    })
  }

  private identity(file: string): Method<string> {
    return Effect.map(
      this.fs.stat(file),
      ({ ino, mtime }) => `${Option.getOrElse(ino, () => 0)}:${Option.getOrUndefined(mtime)?.getTime()}`
    )
  }

  /**
   * Removes the lock of a dead holder. Another process may have done so before and taken the lock itself: the lock is
   * therefore renamed first, and put back if it turns out to be another holder's.
   */
  private breakLock(lock: string, holder: string): Method<void> {
    const aside = `${lock}.${this.uniqueName()}`
    return Effect.gen(this, function* () {
      yield* ifExists(this.fs.rename(lock, aside))
      const taken = yield* ifExists(this.identity(aside))
      if (taken !== undefined && taken !== holder) yield* Effect.ignore(this.linkUnlessExists(aside, lock))
      yield* this.discard(aside)
    })
  }

  // ----------------------------------------------------------------------------------------------------------- sweep

  /** Sweeps the directory until the Scope closes. */
  startSweeping(limits: Sweep.Limits): Effect.Effect<void, never, Scope.Scope> {
    const { directory, fs, live, name, path, problems } = this
    return Sweep.start({
      directory,
      fs,
      limits,
      live,
      name,
      path,
      problems,
      now: () => this.now(),
      longestLoad: () => this.longestLoad,
      removeIf: (file, isDead) => this.removeFile(file, isDead)
    })
  }

  /** Notes how many milliseconds a load may take: entries that are younger are not evicted. */
  noteLoad(millis: number): void {
    this.longestLoad = Math.max(this.longestLoad, millis)
  }

  /**
   * Removes a file if it is dead: under its lock, where no other process can replace it in between. Returns whether it
   * was removed.
   */
  private removeFile(file: string, isDead: Method<boolean>): Method<boolean> {
    const time = Effect.sync(() => this.now() / 1_000)
    return this.withDraft(noBytes, time, (draft) =>
      this.withLock(file, draft, (isHeld) =>
        Effect.flatMap(isDead, (dead) =>
          dead && isHeld() ? Effect.as(this.delete(file), true) : Effect.succeed(false)
        )
      )
    )
  }
}

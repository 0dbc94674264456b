/**
 * Objects in files. A file is written as a draft and then renamed, so that no reader sees half of it. A lock file
 * beside it makes a conditional write atomic among all processes. Expired files are removed by a sweep.
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
import type { Problems } from "../../problems.js"
import { reported } from "../../report.js"
import { sleep } from "../../sleep.js"
import { monotonic, timeOfDay } from "../../time.js"
import { headerLength, headerVersion, parseHeader } from "./format.js"
import type { Condition, Head, ObjectStore, Page, Put, Stored } from "./objectStore.js"

/**
 * After how many milliseconds without a change other processes break a lock, because its holder counts as dead. A write
 * takes a few milliseconds.
 */
const lockLease = 2_000

/**
 * For how many milliseconds a holder itself relies on its lock. After a longer pause the lock may belong to another
 * process: a conditional write no longer replaces the file, and the lock is not removed.
 */
const lockUse = lockLease / 2

/** The age in milliseconds at which a draft or a lock is litter: its process is gone, and nothing uses it any more. */
const litterAge = 3_600_000

/** The modification time, in seconds, of a file that is needed forever: the year 2100. */
const forever = 4_102_444_800

/** The most files that one sweep looks at. */
const sweepSize = 1_000

/** Entries are spread over this many directories, named by two hexadecimal digits. */
const shardCount = 256

const drafts = "drafts"

/** The name of the file of an entry. */
const entryFile = /^[0-9a-f]{62}$/

const shardName = (shard: number): string => shard.toString(16).padStart(2, "0")

type Method<A> = Effect.Effect<A, PlatformError>

const isNotFound = (error: PlatformError): boolean => error._tag === "SystemError" && error.reason === "NotFound"

const ifExists = <A>(method: Method<A>): Method<A | undefined> =>
  Effect.catchIf(method, isNotFound, () => Effect.succeed(undefined))

const headOf = (bytes: Uint8Array): Head => ({ version: headerVersion(bytes), meta: parseHeader(bytes) })

/** Whether a file could not be written because the disk, or the user's share of it, is full. */
const isFull = (error: PlatformError): boolean => {
  const { cause } = error
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined
  return code === "ENOSPC" || code === "EDQUOT"
}

const isBefore = (date: Option.Option<Date>, time: number): boolean =>
  date._tag === "Some" && date.value.getTime() > 0 && date.value.getTime() < time

export class FileObjects implements ObjectStore {
  readonly name: string
  private readonly fs: FileSystem.FileSystem
  private readonly path: Path.Path
  private readonly directory: string
  private readonly problems: Problems
  private readonly live = Clock.make()
  /** The beginning of this process's file names. It does not come from `Random`, which two processes may seed alike. */
  private readonly process = randomUUID()
  private count = 0

  constructor(
    fs: FileSystem.FileSystem,
    path: Path.Path,
    { directory, name, problems }: { readonly directory: string; readonly name: string; readonly problems: Problems }
  ) {
    this.fs = fs
    this.path = path
    // Resolved once, so that `process.chdir` does not move the cache.
    this.directory = path.resolve(directory)
    this.problems = problems
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
    return `${this.process}-${++this.count}`
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
      Effect.zipRight(this.fs.makeDirectory(this.path.dirname(file), { recursive: true }), method)
    )
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  head(name: string): Effect.Effect<Head | undefined, CacheStoreError> {
    return this.rejected("head", this.headAt(this.pathOf(name)))
  }

  private headAt(file: string): Method<Head | undefined> {
    return ifExists(
      Effect.scoped(
        Effect.flatMap(this.fs.open(file), (opened) =>
          Effect.map(opened.readAlloc(headerLength), (bytes) => headOf(Option.getOrElse(bytes, () => new Uint8Array())))
        )
      )
    )
  }

  /** Reads the whole file and ignores `wants`: that is faster than reading the header first and then the rest. */
  read(name: string): Effect.Effect<Stored | undefined, CacheStoreError> {
    return this.rejected(
      "read",
      Effect.map(ifExists(this.fs.readFile(this.pathOf(name))), (bytes) => bytes && { ...headOf(bytes), bytes })
    )
  }

  // ---------------------------------------------------------------------------------------------------------- writes

  write(
    name: string,
    { bytes, invalidates, lifetime }: Put,
    condition: Condition
  ): Effect.Effect<boolean, CacheStoreError> {
    const file = this.pathOf(name)
    // The modification time is the time at which the file may be swept: the sweep reads it without opening the file.
    const neededUntil = Effect.sync(() => Math.min((this.now() + lifetime) / 1_000, forever))
    const written = this.withDraft(bytes, neededUntil, (draft) =>
      // A link takes a free name in one step and needs no lock. It never replaces a file.
      condition === null ? this.linkUnlessExists(draft, file) : this.replace(draft, file, condition)
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
    return this.withDraft(new Uint8Array(), time, (draft) =>
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
    const draft = this.path.join(this.directory, drafts, this.uniqueName())
    const write = Effect.zipRight(
      this.inDirectory(draft, fs.writeFile(draft, bytes)),
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
    const time = Effect.sync(() => this.now() / 1_000)
    const removed = this.withDraft(new Uint8Array(), time, (draft) =>
      this.withLock(file, draft, (isHeld) =>
        Effect.flatMap(this.headAt(file), (head) =>
          head?.version === version && isHeld() ? Effect.as(this.delete(file), true) : Effect.succeed(false)
        )
      )
    )
    return this.rejected("sweep", removed)
  }

  /** Lists the entries of one directory of entries at a time. */
  list(from = "00"): Effect.Effect<Page, CacheStoreError> {
    const next = Number.parseInt(from, 16) + 1
    const files = ifExists(this.fs.readDirectory(this.path.join(this.directory, from)))
    return Effect.map(this.rejected("sweep", files), (files = []) => ({
      objects: files.filter((file) => entryFile.test(file)).map((file) => ({ name: from + file })),
      next: next === shardCount ? undefined : shardName(next)
    }))
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
    return Effect.gen(this, function* () {
      let holder: string | undefined
      let since = this.elapsed()
      for (;;) {
        const before = this.elapsed()
        if (yield* this.linkUnlessExists(draft, lock)) return before
        const current = yield* ifExists(this.identity(lock))
        if (current !== holder) since = this.elapsed()
        else if (current !== undefined && this.elapsed() - since > lockLease) yield* this.breakLock(lock, current)
        holder = current
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

  /**
   * Removes expired files and litter until the Scope closes. A sweep begins `every` milliseconds after the previous one
   * has ended, and looks at no more than `sweepSize` files.
   */
  startSweeping(every: number): Effect.Effect<void, never, Scope.Scope> {
    let shard = -1
    let files: Array<string> = []
    let error: PlatformError | undefined
    const failed = (cause: PlatformError) => {
      if (!isNotFound(cause)) error = cause
    }
    const sweep = Effect.gen(this, function* () {
      error = undefined
      let budget = sweepSize
      // One round visits every directory of entries and then the drafts.
      for (let listed = 0; budget > 0; ) {
        const file = files.pop()
        if (file === undefined) {
          if (++listed > shardCount + 1) return
          shard = (shard + 1) % (shardCount + 1)
          files = yield* this.pathsIn(shard === shardCount ? drafts : shardName(shard), failed)
          continue
        }
        budget--
        yield* Effect.catchAll(this.sweepFile(file), (cause) => Effect.sync(() => failed(cause)))
      }
    })
    return Effect.zipRight(
      sleep(every),
      Effect.ensuring(
        sweep,
        Effect.sync(() => this.reportSweep(error))
      )
    ).pipe(
      Effect.forever,
      // The Scope must close also while a system call does not return.
      Effect.disconnect,
      Effect.withClock(this.live),
      Effect.forkScoped,
      Effect.asVoid
    )
  }

  private reportSweep(error: PlatformError | undefined): void {
    if (error === undefined) this.problems.end("SweepFails", "")
    else {
      this.problems.begin(
        "SweepFails",
        "",
        `${this.name}: expired files cannot be removed, so the directory keeps growing: ${reported(error).message}. ` +
          "Check the permissions of the directory."
      )
    }
  }

  /** The paths of the files in a subdirectory. */
  private pathsIn(name: string, onError: (error: PlatformError) => void): Effect.Effect<Array<string>> {
    const directory = this.path.join(this.directory, name)
    return Effect.map(
      Effect.catchAll(this.fs.readDirectory(directory), (error) => {
        onError(error)
        return Effect.succeed<Array<string>>([])
      }),
      (files) => files.map((file) => this.path.join(directory, file))
    )
  }

  private sweepFile(file: string): Method<void> {
    return entryFile.test(this.path.basename(file)) ? this.sweepEntry(file) : this.sweepLitter(file)
  }

  /**
   * Removes a draft or a lock that was left behind. Its modification time may be in the future, or mean forever; then
   * its birth time shows the age.
   */
  private sweepLitter(file: string): Method<void> {
    return Effect.flatMap(this.fs.stat(file), ({ birthtime, mtime }) => {
      const before = this.now() - litterAge
      return isBefore(birthtime, before) || isBefore(mtime, before) ? this.delete(file) : Effect.void
    })
  }

  private sweepEntry(file: string): Method<void> {
    const isExpired = Effect.map(this.fs.stat(file), ({ mtime }) => isBefore(mtime, this.now()))
    const remove = Effect.flatMap(isExpired, (expired) => (expired ? this.delete(file) : Effect.void))
    // Checked a second time under the lock, where no other process can replace the file in between.
    const removeLocked = this.withDraft(
      new Uint8Array(),
      Effect.sync(() => this.now() / 1_000),
      (draft) => this.withLock(file, draft, () => remove)
    )
    return Effect.flatMap(isExpired, (expired) => (expired ? removeLocked : Effect.void))
  }
}

/**
 * The sweep of a directory: it removes expired entries, what killed processes left behind, and entries beyond the
 * limits. The modification time of an entry is the time until which it is needed, so the sweep opens no file.
 *
 * Only what has a name of this library is removed: the directory may be shared by mistake.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Arr from "effect/Array"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Problems } from "../../problems.js"
import { reported } from "../../report.js"
import { sleep } from "../../sleep.js"
import { marksName } from "./format.js"

/** The subdirectory of the files that are being written. */
export const drafts = "drafts"

/** Entries are spread over this many subdirectories, named by two hexadecimal digits. */
export const shardCount = 256

/** The name of a subdirectory of entries. */
export const shardName = (shard: number): string => shard.toString(16).padStart(2, "0")

/** What `shardName` returns. */
export const shardDirectory = /^[0-9a-f]{2}$/

/** The name of the file of an entry in its subdirectory. */
export const entryFile = /^[0-9a-f]{62}$/

/** A name that no other operation has: the id of the process, and a number. */
export const uniqueName = (process: string, count: number): string => `${process}-${count}`

const unique = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]+"
const draftFile = new RegExp(`^${unique}$`)
/** The name of an entry, or of its lock. */
const shardFile = new RegExp(`^[0-9a-f]{62}(\\.lock(\\.${unique})?)?$`)
const marksLockFile = new RegExp(`^${marksName}\\.lock(\\.${unique})?$`)

/** After how many files a batch ends. It ends with the subdirectory. */
const batchSize = 1_000

/** The pause in milliseconds between two batches while the sweep goes on. */
const pause = 100

/** The age in milliseconds at which a draft or a lock is litter: its process is gone, and nothing uses it any more. */
const litterAge = 3_600_000

/**
 * The age in milliseconds at which an entry may be evicted, unless loads may take longer. A younger one may be later
 * than a load that is under way, whose value must not take its place: law 8 (invalidation wins).
 */
const evictionAge = 60_000

/** The size of a tombstone. It is never evicted. */
const tombstoneSize = 12

type Method<A> = Effect.Effect<A, PlatformError>

export interface Limits {
  /** How many milliseconds the sweep waits after a batch in which little was dead. */
  readonly every: number
  /** How many files of entries there may be. */
  readonly maxFiles: number
  /** How many bytes the files of entries may have together. */
  readonly maxBytes: number
}

export interface Parts {
  readonly name: string
  readonly directory: string
  readonly fs: FileSystem.FileSystem
  readonly path: Path.Path
  readonly problems: Problems
  readonly live: Clock.Clock
  readonly limits: Limits
  /** The time of day, which the times of files are compared with. */
  readonly now: () => number
  /** How many milliseconds the loads of this process may take, as far as it is known. */
  readonly longestLoad: () => number
  /** Removes a file, under its lock, if it is dead. Returns whether it was removed. */
  readonly removeIf: (file: string, isDead: Method<boolean>) => Method<boolean>
}

/** What is known of a file without opening it. */
interface Info {
  readonly file: string
  readonly size: number
  readonly neededUntil: number
  readonly writtenAt: number
}

/** How much a subdirectory, or the directory, holds. */
interface Amount {
  readonly files: number
  readonly bytes: number
}

const nothing: Amount = { files: 0, bytes: 0 }
const whole: Amount = { files: 1, bytes: 1 }

const timeOf = (date: Option.Option<Date>): number => (date._tag === "Some" ? date.value.getTime() : 0)

/** A time of zero is one that the file system does not have. */
const isBefore = (time: number, limit: number): boolean => time > 0 && time < limit

const amountOf = (entries: ReadonlyArray<Info>): Amount => ({
  files: entries.length,
  bytes: entries.reduce((sum, { size }) => sum + size, 0)
})

const without = (entries: ReadonlyArray<Info>, others: ReadonlyArray<Info>): ReadonlyArray<Info> => {
  const excluded = new Set(others)
  return entries.filter((entry) => !excluded.has(entry))
}

/** The entries to evict: those that end first, until the others are within the limits. */
const excess = (entries: ReadonlyArray<Info>, limits: Amount, before: number): ReadonlyArray<Info> => {
  let { bytes, files } = amountOf(entries)
  const isWithin = () => files <= limits.files && bytes <= limits.bytes
  if (isWithin()) return []
  const evicted: Array<Info> = []
  const byEnd = Array.from(entries).sort((a, b) => a.neededUntil - b.neededUntil || a.writtenAt - b.writtenAt)
  for (const entry of byEnd) {
    if (isWithin()) break
    if (entry.size === tombstoneSize || entry.writtenAt > before) continue
    evicted.push(entry)
    files--
    bytes -= entry.size
  }
  return evicted
}

class DirectorySweep {
  private readonly parts: Parts
  /** The subdirectory that is visited next. After the last one come the drafts, and then the directory itself. */
  private next = 0
  /** What each subdirectory held when it was visited last. */
  private readonly amounts = new Array<Amount>(shardCount).fill(nothing)
  /** The part of what it holds that each subdirectory may keep in this round. */
  private share = whole
  /** What the subdirectories of this round could have kept and did not hold. It is negative while they keep more. */
  private spare = nothing
  /** Whether every subdirectory has been visited. */
  private isKnown = false
  /** Whether this round goes on without waiting: the directory may be over its limits. */
  private isUrgent = false
  /** How many entries this round evicted. */
  private evicted = 0
  private error: PlatformError | undefined

  constructor(parts: Parts) {
    this.parts = parts
  }

  /** Visits subdirectories until enough files were seen. Returns whether to go on soon. */
  readonly batch: Effect.Effect<boolean> = Effect.gen(this, function* () {
    this.error = undefined
    let seen = 0
    let removed = 0
    for (let visited = 0; visited < shardCount + 2 && seen < batchSize; visited++) {
      const amount = yield* this.visitNext()
      seen += amount.seen
      removed += amount.removed
    }
    this.report()
    return this.isUrgent || (removed > 0 && removed * 10 >= seen)
  })

  private visitNext(): Effect.Effect<{ readonly seen: number; readonly removed: number }> {
    const { next } = this
    this.next = (next + 1) % (shardCount + 2)
    if (next === 0) this.beginRound()
    const litter = next === shardCount ? this.list(drafts, draftFile) : this.list("", marksLockFile)
    return next < shardCount ? this.sweepShard(next) : Effect.flatMap(litter, (files) => this.sweepLitter(files))
  }

  private beginRound(): void {
    const { maxBytes, maxFiles } = this.parts.limits
    const bytes = this.amounts.reduce((sum, { bytes }) => sum + bytes, 0)
    const files = this.amounts.reduce((sum, { files }) => sum + files, 0)
    const isOver = files > maxFiles || bytes > maxBytes
    // What is still too much after a round that evicted nothing cannot be evicted yet.
    const isStuck = isOver && this.share !== whole && this.evicted === 0
    if (isOver) this.reportExcess({ files, bytes }, isStuck)
    this.share = isOver ? { files: Math.min(1, maxFiles / files), bytes: Math.min(1, maxBytes / bytes) } : whole
    this.spare = nothing
    this.evicted = 0
    const isLimited = Number.isFinite(maxFiles) || Number.isFinite(maxBytes)
    this.isUrgent = isLimited && (!this.isKnown || (isOver && !isStuck))
  }

  private sweepShard(shard: number): Effect.Effect<{ readonly seen: number; readonly removed: number }> {
    return Effect.gen(this, function* () {
      const { now } = this.parts
      const files = yield* this.list(shardName(shard), shardFile)
      const [locks, entries] = Arr.partition(files, ({ file }) => entryFile.test(this.parts.path.basename(file)))
      let { removed } = yield* this.sweepLitter(locks)
      const alive: Array<Info> = []
      for (const entry of entries) {
        if (!isBefore(entry.neededUntil, now())) alive.push(entry)
        else if (yield* this.remove(entry, (now) => isBefore(now.neededUntil, this.parts.now()))) removed++
      }
      const evicted = yield* this.evict(shard, alive)
      removed += evicted.length
      this.evicted += evicted.length
      this.amounts[shard] = amountOf(without(alive, evicted))
      if (shard === shardCount - 1) this.isKnown = true
      return { seen: files.length, removed }
    })
  }

  /**
   * Evicts what a subdirectory holds beyond its share, and beyond what the ones before could have kept as well. The
   * share is of what it held in the last round, so that two processes do not evict twice as much.
   */
  private evict(shard: number, alive: ReadonlyArray<Info>): Effect.Effect<ReadonlyArray<Info>> {
    return Effect.gen(this, function* () {
      if (this.share === whole) return []
      const { longestLoad, now } = this.parts
      const held = this.amounts[shard]!
      const files = held.files * this.share.files + this.spare.files
      const bytes = held.bytes * this.share.bytes + this.spare.bytes
      const before = now() - Math.max(evictionAge, longestLoad())
      const evicted: Array<Info> = []
      for (const entry of excess(alive, { files, bytes }, before)) {
        const isSame = (now: Info) => now.writtenAt === entry.writtenAt && now.neededUntil === entry.neededUntil
        if (yield* this.remove(entry, isSame)) evicted.push(entry)
      }
      const kept = amountOf(without(alive, evicted))
      this.spare = { files: files - kept.files, bytes: bytes - kept.bytes }
      return evicted
    })
  }

  /**
   * Removes drafts and locks that were left behind. The modification time of such a file may be in the future, or mean
   * forever; then its birth time shows the age.
   */
  private sweepLitter(files: ReadonlyArray<Info>): Effect.Effect<{ readonly seen: number; readonly removed: number }> {
    const before = this.parts.now() - litterAge
    const old = files.filter(
      ({ neededUntil, writtenAt }) => isBefore(writtenAt, before) || isBefore(neededUntil, before)
    )
    const remove = ({ file }: Info) => this.attempt(Effect.as(this.parts.fs.remove(file), true))
    return Effect.map(Effect.forEach(old, remove), (done) => ({
      seen: files.length,
      removed: done.filter((isRemoved) => isRemoved === true).length
    }))
  }

  private remove({ file }: Info, isDead: (now: Info) => boolean): Effect.Effect<boolean> {
    return Effect.map(
      this.attempt(this.parts.removeIf(file, Effect.map(this.info(file), isDead))),
      (isRemoved) => isRemoved === true
    )
  }

  private info(file: string): Method<Info> {
    return Effect.map(this.parts.fs.stat(file), ({ birthtime, mtime, size }) => ({
      file,
      size: Number(size),
      neededUntil: timeOf(mtime),
      writtenAt: timeOf(birthtime)
    }))
  }

  /** The files of a subdirectory that have such a name. */
  private list(subdirectory: string, wanted: RegExp): Effect.Effect<ReadonlyArray<Info>> {
    return Effect.gen(this, function* () {
      const { directory, fs, path } = this.parts
      const folder = path.join(directory, subdirectory)
      const names = yield* this.attempt(fs.readDirectory(folder))
      const infos: Array<Info> = []
      for (const name of names?.filter((name) => wanted.test(name)) ?? []) {
        const info = yield* this.attempt(this.info(path.join(folder, name)))
        if (info !== undefined) infos.push(info)
      }
      return infos
    })
  }

  /** Runs a method and keeps its error to report. A file that is gone is no error: another process sweeps, too. */
  private attempt<A>(method: Method<A>): Effect.Effect<A | undefined> {
    return Effect.catchAll(method, (error) =>
      Effect.sync(() => {
        if (!(error._tag === "SystemError" && error.reason === "NotFound")) this.error = error
        return undefined
      })
    )
  }

  /** Reports an event and no state: a directory in which every sweep finds too much is one Warning. */
  private reportExcess({ bytes, files }: Amount, isStuck: boolean): void {
    const { limits, name, problems } = this.parts
    const limit = files > limits.maxFiles ? `maxFiles (${limits.maxFiles})` : `maxBytes (${limits.maxBytes})`
    const held = `${name}: the directory holds ${files} entries of ${bytes} bytes together, more than ${limit}`
    problems.report(
      "DirectoryFull",
      "",
      isStuck
        ? `${held}, and the sweep may not remove them yet: entries of the last minute, and records of what was ` +
            "invalidated. Raise the limit, or store less."
        : `${held}. The sweep removes entries that have not expired, and they are loaded again. Raise the limit if ` +
            "the disk has room."
    )
  }

  private report(): void {
    const { error } = this
    const { name, problems } = this.parts
    if (error === undefined) problems.end("SweepFails", "")
    else {
      problems.begin(
        "SweepFails",
        "",
        `${name}: expired files cannot be removed, so the directory keeps growing: ${reported(error).message}. ` +
          "Check the permissions of the directory."
      )
    }
  }
}

/** Sweeps until the Scope closes, in batches: at intervals, and without waiting while much of what it sees is dead. */
export const start = (parts: Parts): Effect.Effect<void, never, Scope.Scope> => {
  const { every } = parts.limits
  const sweep = new DirectorySweep(parts)
  const sweepOn: Effect.Effect<void> = Effect.repeat(sweep.batch, {
    while: (goesOn) => (goesOn ? Effect.as(sleep(Math.min(pause, every)), true) : Effect.succeed(false))
  })
  return Effect.zipRight(sleep(every), sweepOn).pipe(
    Effect.forever,
    // The Scope must close also while a system call does not return.
    Effect.disconnect,
    Effect.withClock(parts.live),
    Effect.forkScoped,
    Effect.asVoid
  )
}

/**
 * Loads a snapshot. The file is read twice: first every checksum is compared, so that nothing is restored from a file
 * that is damaged anywhere, then the entries are restored block by block. Both reads are of one open file, which another
 * process cannot change: it would rename a new one.
 *
 * Times are times of day, so an entry has the rest of its lifetime, less the time in between. If the clock shows an
 * earlier time than when the snapshot was saved, it was set back, and all times move back with it.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Backend from "../../Backend.js"
import { Entry, isFailure, lifeEnd, setBack } from "../../Entry.js"
import * as Envelope from "../../Envelope.js"
import { MarkTable } from "../engine/io/markTable.js"
import { Turns } from "../turns.js"
import { type Files, isNotFound, whole } from "./files.js"
import * as Format from "./format.js"
import { isAlive, peek, plainly, schemaOf, type Target } from "./target.js"

export interface Loaded {
  readonly entries: number
  readonly expired: number
  readonly skipped: number
  readonly unreadable: number
}

export const nothing: Loaded = { entries: 0, expired: 0, skipped: 0, unreadable: 0 }

type Reading<A> = Effect.Effect<A, PlatformError | Format.Fault>

/** Reads so many bytes, fewer at the end of the file. */
const readBytes = (file: FileSystem.File, length: number): Effect.Effect<Uint8Array, PlatformError> => {
  if (length === 0) return Effect.succeed(new Uint8Array(0))
  return Effect.flatMap(whole(file.readAlloc(length)), (found) => {
    const bytes = Option.getOrElse(found, () => new Uint8Array(0))
    if (bytes.length === 0 || bytes.length === length) return Effect.succeed(bytes)
    return Effect.map(readBytes(file, length - bytes.length), (rest) => {
      const all = new Uint8Array(bytes.length + rest.length)
      all.set(bytes)
      all.set(rest, bytes.length)
      return all
    })
  })
}

interface Block {
  readonly kind: Format.Kind
  readonly content: Uint8Array
}

/** Reads the next block, if it is intact. `left` is how many bytes the file has behind. */
const readBlock = (file: FileSystem.File, left: number): Reading<Block> =>
  Effect.gen(function* () {
    const head = yield* readBytes(file, Format.blockHeadLength)
    const found = Format.readBlockHead(head)
    if (found instanceof Format.Fault) return yield* Effect.fail(found)
    if (found.length > left - head.length) return yield* Effect.fail(Format.isCut)
    const content = yield* readBytes(file, found.length)
    if (content.length < found.length) return yield* Effect.fail(Format.isCut)
    if (!Format.isIntact(head, content)) return yield* Effect.fail(new Format.Fault("is damaged"))
    return { kind: found.kind, content }
  })

/** Calls `onBlock` with each block up to the end. */
const readBlocks = <E, R>(
  file: FileSystem.File,
  size: number,
  onBlock: (block: Block) => Effect.Effect<void, E, R>
): Effect.Effect<Format.End, PlatformError | Format.Fault | E, R> =>
  Effect.gen(function* () {
    let left = size - Format.headLength
    for (let blocks = 0; ; blocks++) {
      const block = yield* readBlock(file, left)
      left -= Format.blockHeadLength + block.content.length
      if (block.kind !== "end") {
        yield* onBlock(block)
        continue
      }
      const end = Format.readEnd(block.content)
      if (left === 0 && end.blocks === blocks && Format.isPlausible(end)) return end
      return yield* Effect.fail(new Format.Fault("is damaged"))
    }
  })

/** What is behind the entries. */
interface Ending {
  readonly end: Format.End
  readonly marks: ReturnType<typeof Format.readMarks>
  readonly withdrawn: ReadonlySet<number>
}

/** Reads the whole file, and returns what is behind the entries. */
const verify = (file: FileSystem.File, size: number, form: Format.Form): Reading<Ending> =>
  Effect.gen(function* () {
    const fault = Format.readHead(yield* readBytes(file, Format.headLength), form)
    if (fault !== undefined) return yield* Effect.fail(fault)
    let marks: Ending["marks"] | undefined
    let entries = 0
    const withdrawn = new Set<number>()
    const end = yield* readBlocks(file, size, ({ content, kind }) =>
      Effect.try({
        try: () => {
          if (kind === "entries") entries += Format.countEntries(content)
          else if (kind === "marks") marks = Format.readMarks(content)
          else for (const entry of Format.readNumbers(content)) withdrawn.add(entry)
        },
        catch: () => new Format.Fault("is damaged")
      })
    )
    if (marks === undefined || end.entries !== entries) return yield* Effect.fail(new Format.Fault("is damaged"))
    return { end, marks, withdrawn }
  })

/** How many entries are restored at a time. */
const atOnce = 64

class Restorer {
  private readonly counts = { entries: 0, expired: 0, skipped: 0, unreadable: 0 }
  private readonly turns = new Turns()
  private number = 0
  /** The marks of the snapshot, where the store keeps its own. */
  private readonly marks: MarkTable | undefined
  private readonly target: Target
  private readonly ending: Ending
  private readonly clock: () => number

  constructor(target: Target, ending: Ending, clock: () => number) {
    this.target = target
    this.ending = ending
    this.clock = clock
    const { engine } = target
    engine.stamps.advance(ending.end.latest)
    engine.backend.unsafeReserve?.((engine.backend.unsafeSize?.() ?? 0) + ending.end.entries - ending.withdrawn.size)
    // Marks of another process say nothing of what this one has stored since, whose stamps may be lower.
    if (engine.backend.unsafeSize?.() === 0) engine.marks.restore(ending.marks)
    else {
      this.marks = new MarkTable(Number.POSITIVE_INFINITY, () => {}, { now: clock, adjust: () => {} })
      this.marks.restore(ending.marks)
    }
  }

  get result(): Loaded {
    return this.counts
  }

  /** The entry of a record, if it is to be restored. */
  private entryOf({ envelope, isBySchema }: Format.EntryRecord, now: number): Entry | undefined {
    const { counts, ending, target } = this
    const decoded = Envelope.v1.decode(envelope)
    if (decoded._tag === "Left" || decoded.right._tag !== "Entry") {
      counts.unreadable++
      return undefined
    }
    const { entry } = decoded.right
    // later than everything else that the store gave a stamp to: nothing could replace it
    if (entry.stamp > ending.end.latest) {
      counts.unreadable++
      return undefined
    }
    const ahead = ending.end.savedAt - now
    if (ahead > 0) setBack(entry, ahead)
    if (this.marks?.admits(entry) === false || !isAlive(target, entry, now)) {
      if (now >= lifeEnd(entry)) counts.expired++
      else counts.skipped++
      return undefined
    }
    const schema = isBySchema ? schemaOf(target, entry) : undefined
    const found =
      isBySchema && schema === undefined
        ? undefined
        : target.decode(
            entry,
            isFailure(entry) && schema !== undefined ? { failures: { schema } } : { ...plainly, schema }
          )
    if (found instanceof Entry) return found
    counts.unreadable++
    return undefined
  }

  /** Restores the entries of a block, in parts between which the event loop runs. */
  restore(content: Uint8Array): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const records = Format.readEntries(content)
      // the block was read meanwhile
      this.turns.begin()
      while (yield* this.restorePart(records)) yield* this.turns.next
    })
  }

  /** Restores the next entries. Returns whether there were any. */
  private restorePart(records: Iterator<Format.EntryRecord | undefined>): Effect.Effect<boolean> {
    const { counts, ending } = this
    return Effect.suspend(() => {
      const now = this.clock()
      const writes: Array<Backend.Write> = []
      let seen = 0
      for (; seen < atOnce; seen++) {
        const { done, value: record } = records.next()
        if (done === true) break
        if (ending.withdrawn.has(this.number++)) continue
        if (record === undefined) {
          counts.unreadable++
          continue
        }
        const entry = this.entryOf(record, now)
        if (entry !== undefined)
          writes.push({ key: record.key, entry, lifetime: lifeEnd(entry) - now, authoritative: false })
      }
      return Effect.map(this.write(writes, now), (written) => {
        counts.entries += written
        counts.skipped += writes.length - written
        return seen > 0
      })
    })
  }

  /** Writes entries, except under keys that have one already. Returns how many were written. */
  private write(writes: ReadonlyArray<Backend.Write>, now: number): Effect.Effect<number> {
    const { target } = this
    const { backend, invalidation, keyListeners, localTier, wallClock } = target.engine
    return Effect.gen(function* () {
      const present = yield* peek(
        target,
        writes.map(({ key }) => key)
      )
      const missing = writes.filter((_, i) => {
        const held = present[i]
        return held === undefined || !isAlive(target, held, now)
      })
      for (const { entry, key } of missing) {
        wallClock.hold(entry)
        if (backend.remote) continue
        invalidation.noteLifetime(entry.expiresAt - now)
        localTier.keep(key, entry, now)
      }
      if (backend.remote) yield* Effect.ignore(backend.setMany(missing))
      for (const { key } of missing) keyListeners.notify(key)
      return missing.length
    })
  }
}

/** Restores a store from a file. `undefined` if there is no file. */
export const load = (target: Target, { fs }: Files, path: string): Reading<Loaded | undefined> => {
  type Opened = { readonly file: FileSystem.File; readonly size: number }
  const opened = Effect.flatMap(
    fs.stat(path),
    ({ size, type }): Effect.Effect<Opened, PlatformError | Format.Fault, Scope.Scope> =>
      // opening a pipe would wait for a writer
      type === "File"
        ? Effect.map(fs.open(path, { flag: "r" }), (file) => ({ file, size: Number(size) }))
        : Effect.fail(new Format.Fault("is no file", true))
  )
  const loaded = Effect.flatMap(opened, ({ file, size }) =>
    Effect.gen(function* () {
      const ending = yield* verify(file, size, target.form)
      const clock = yield* Effect.clock
      const restorer = new Restorer(target, ending, () => clock.unsafeCurrentTimeMillis())
      yield* file.seek(Format.headLength, "start")
      yield* readBlocks(file, size, ({ content, kind }) =>
        kind === "entries" ? restorer.restore(content) : Effect.void
      )
      return restorer.result
    })
  )
  return Effect.catchIf(Effect.scoped(loaded), isNotFound, () => Effect.succeed(undefined))
}

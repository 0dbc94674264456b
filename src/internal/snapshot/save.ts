/**
 * Saves a store: lists its keys, and writes what each of them has at that moment, in blocks. Other fibers run while a
 * block is written, so reads, writes and invalidations go on meanwhile.
 *
 * What changes behind the list is written as well: at the end each entry is compared with what the store has then. One
 * that is gone is withdrawn, and so is one that was replaced, which is followed by the new one. The marks come last. So
 * no entry comes back that was invalidated before the last of these steps.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { CacheStoreError } from "../../CacheError.js"
import type { Entry } from "../../Entry.js"
import * as Envelope from "../../Envelope.js"
import { judgeOf } from "../engine/sweep.js"
import { sleepOn } from "../sleep.js"
import { monotonic } from "../time.js"
import { type Files, replace, whole } from "./files.js"
import * as Format from "./format.js"
import { isAlive, peek, schemaOf, type Target } from "./target.js"

export interface Saved {
  readonly entries: number
  readonly refused: number
  readonly bytes: number
}

/** The first value that could not be encoded. */
export interface Refusal {
  readonly owner: string
  readonly message: string
}

/** After how many bytes, or milliseconds, a block is written. The event loop runs meanwhile. */
const blockSize = 65_536
const turn = 4

/** How many entries are compared at a time with what the store has. */
const compared = 500

class SnapshotWriter {
  private records: Array<Uint8Array> = []
  private size = 0
  private since = 0
  private blocks = 0
  private bytes = 0
  private refused = 0
  refusal: Refusal | undefined = undefined
  /** The keys and the stamps of the entries that are written, by their numbers. */
  private readonly keys: Array<string> = []
  private readonly stamps: Array<number> = []
  private readonly live = Clock.make()
  private readonly target: Target
  private readonly file: FileSystem.File
  private readonly clock: Clock.Clock

  constructor(target: Target, file: FileSystem.File, clock: Clock.Clock) {
    this.target = target
    this.file = file
    this.clock = clock
    this.since = monotonic(this.live)
  }

  get now(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  private write(bytes: Uint8Array): Effect.Effect<void, PlatformError> {
    this.bytes += bytes.length
    return whole(this.file.writeAll(bytes))
  }

  private writeBlock(block: Uint8Array): Effect.Effect<void, PlatformError> {
    this.blocks++
    return this.write(block)
  }

  /** Writes the records that wait. */
  private get flush(): Effect.Effect<void, PlatformError> {
    return Effect.suspend(() => {
      if (this.records.length === 0) return Effect.void
      const block = Format.block("entries", this.records)
      this.records = []
      this.size = 0
      return this.writeBlock(block)
    })
  }

  /** Lets the event loop run, if a turn has taken long enough: while a block is written, or for a moment. */
  private get yieldIfDue(): Effect.Effect<void, PlatformError> {
    return Effect.suspend(() => {
      if (!this.isDue) return Effect.void
      const yielded = this.records.length === 0 ? sleepOn(this.live, 0) : this.flush
      return Effect.map(yielded, () => {
        this.since = monotonic(this.live)
      })
    })
  }

  private get isDue(): boolean {
    return this.size >= blockSize || monotonic(this.live) - this.since >= turn
  }

  private refuse(entry: Entry, message: string): void {
    this.refused++
    this.refusal ??= { owner: entry.owner, message }
  }

  private add(key: string, entry: Entry): void {
    const schema = schemaOf(this.target, entry)
    const encoded = this.target.encode({ key, entry, lifetime: 1, authoritative: false, schema })
    if (encoded._tag === "Left") return this.refuse(entry, encoded.left.message)
    const envelope = Envelope.v1.encode(encoded.right.entry)
    if (envelope._tag === "Left") return this.refuse(entry, envelope.left.message)
    const record = Format.entryRecord({ key, isBySchema: schema !== undefined, envelope: envelope.right })
    if (record === undefined) return this.refuse(entry, "its key has a lone surrogate")
    this.records.push(record)
    this.size += record.length
    this.keys.push(key)
    this.stamps.push(entry.stamp)
  }

  private addAll(keys: ReadonlyArray<string>): Effect.Effect<void, PlatformError> {
    return Effect.gen(this, function* () {
      const entries = yield* peek(this.target, keys)
      for (let i = 0; i < keys.length; i++) {
        const entry = entries[i]
        if (entry !== undefined && isAlive(this.target, entry, this.now)) this.add(keys[i]!, entry)
        if (this.isDue) yield* this.yieldIfDue
      }
    })
  }

  private listAll(): Effect.Effect<void, PlatformError | CacheStoreError> {
    const { backend, marks } = this.target.engine
    return Effect.gen(this, function* () {
      const judge = judgeOf(this.target.engine, () => this.now)
      let from: unknown
      do {
        const page = yield* backend.list!({ from, judge, needsNames: marks.hasNames })
        yield* this.addAll(page.keys)
        from = page.next
      } while (from !== undefined)
    })
  }

  /** Compares the entries that are written with what the store has now. */
  private compareAll(): Effect.Effect<void, PlatformError> {
    return Effect.gen(this, function* () {
      const written = this.keys.length
      const withdrawn: Array<number> = []
      for (let from = 0; from < written; from += compared) {
        const keys = this.keys.slice(from, Math.min(from + compared, written))
        const entries = yield* peek(this.target, keys)
        for (let i = 0; i < keys.length; i++) {
          const entry = entries[i]
          if (entry?.stamp === this.stamps[from + i]) continue
          withdrawn.push(from + i)
          if (entry !== undefined && isAlive(this.target, entry, this.now)) this.add(keys[i]!, entry)
        }
        yield* this.yieldIfDue
      }
      yield* this.flush
      if (withdrawn.length > 0) yield* this.writeBlock(Format.withdrawn(withdrawn))
    })
  }

  get save(): Effect.Effect<Saved, PlatformError | CacheStoreError> {
    const { engine, form } = this.target
    return Effect.gen(this, function* () {
      yield* this.write(Format.head(form))
      yield* this.listAll()
      yield* this.flush
      yield* this.compareAll()
      // a stamp above all others
      const latest = engine.stamps.next()
      yield* this.writeBlock(Format.marks(engine.marks.records))
      const entries = this.keys.length
      yield* this.write(Format.end({ savedAt: this.now, latest, blocks: this.blocks, entries }))
      return { entries, refused: this.refused, bytes: this.bytes }
    })
  }
}

/** Saves a store to a file. `onRefused` is told of the first value that could not be encoded, and how many were not. */
export const save = (
  target: Target,
  files: Files,
  file: string,
  onRefused: (refusal: Refusal, refused: number) => void
): Effect.Effect<Saved, PlatformError | CacheStoreError> =>
  replace(files, file, (draft) =>
    Effect.clockWith((clock) => {
      const writer = new SnapshotWriter(target, draft, clock)
      // what a store of serialized values writes behind its callers comes first
      const begun = target.form === "stored" ? target.engine.runtime.idle : Effect.void
      return Effect.tap(Effect.zipRight(begun, writer.save), ({ refused }) => {
        if (writer.refusal !== undefined) onRefused(writer.refusal, refused)
      })
    })
  )

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
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { CacheStoreError } from "../../CacheError.js"
import type { Entry } from "../../Entry.js"
import * as Envelope from "../../Envelope.js"
import { judgeOf } from "../engine/sweep.js"
import { Turns } from "../turns.js"
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

/** How many entries are read at a time. */
const atOnce = 128

/** How many numbers a block of withdrawn entries has, or a few more. */
const withdrawnAtOnce = 4_096

/** Entries that are written, and were read at a time. They are compared at a time with what the store has then. */
interface Part {
  /** The number of the first of them. */
  readonly first: number
  readonly keys: Array<string>
  readonly stamps: Array<number>
}

class SnapshotWriter {
  private readonly block = new Format.EntriesWriter()
  private readonly turns = new Turns()
  private blocks = 0
  private entries = 0
  private bytes = 0
  private refused = 0
  refusal: Refusal | undefined = undefined
  /** Not one array of all entries, which would be copied whenever it grows. */
  private readonly parts: Array<Part> = []
  private readonly target: Target
  private readonly file: FileSystem.File
  private readonly clock: Clock.Clock

  constructor(target: Target, file: FileSystem.File, clock: Clock.Clock) {
    this.target = target
    this.file = file
    this.clock = clock
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

  /** Writes the entries that wait. The event loop runs meanwhile. */
  private readonly flush: Effect.Effect<void, PlatformError> = Effect.suspend(() =>
    this.block.size === 0 ? Effect.void : Effect.map(this.writeBlock(this.block.take()), () => this.turns.begin())
  )

  private get isFull(): boolean {
    return this.block.size >= Format.entriesSize || this.turns.isOver
  }

  private refuse(entry: Entry, message: string): void {
    this.refused++
    this.refusal ??= { owner: entry.owner, message }
  }

  private add(key: string, entry: Entry, { keys, stamps }: Part): void {
    const schema = schemaOf(this.target, entry)
    const encoded = this.target.encode({ key, entry, lifetime: 1, authoritative: false, schema })
    if (encoded._tag === "Left") return this.refuse(entry, encoded.left.message)
    const envelope = Envelope.v1.encode(encoded.right.entry)
    if (envelope._tag === "Left") return this.refuse(entry, envelope.left.message)
    const isText = this.block.add({ key, isBySchema: schema !== undefined, envelope: envelope.right })
    if (!isText) return this.refuse(entry, "its key has a lone surrogate")
    this.entries++
    keys.push(key)
    stamps.push(entry.stamp)
  }

  private addAll(keys: ReadonlyArray<string>): Effect.Effect<void, PlatformError> {
    return Effect.gen(this, function* () {
      const entries = yield* peek(this.target, keys)
      const part: Part = { first: this.entries, keys: [], stamps: [] }
      this.parts.push(part)
      for (let i = 0; i < keys.length; i++) {
        const entry = entries[i]
        if (entry !== undefined && isAlive(this.target, entry, this.now)) this.add(keys[i]!, entry, part)
        if (this.isFull) yield* this.flush
      }
      yield* this.turns.next
    })
  }

  private listAll(): Effect.Effect<void, PlatformError | CacheStoreError> {
    const { backend, marks } = this.target.engine
    return Effect.gen(this, function* () {
      const judge = judgeOf(this.target.engine, () => this.now)
      let from: unknown
      do {
        const page = yield* backend.list!({ from, judge, needsNames: marks.hasNames })
        for (let at = 0; at < page.keys.length; at += atOnce) yield* this.addAll(page.keys.slice(at, at + atOnce))
        from = page.next
      } while (from !== undefined)
    })
  }

  /** Compares the entries that are written with what the store has now. */
  private compareAll(): Effect.Effect<void, PlatformError> {
    return Effect.gen(this, function* () {
      let withdrawn: Array<number> = []
      for (const { first, keys, stamps } of this.parts.splice(0)) {
        const entries = yield* peek(this.target, keys)
        const changed = keys.filter((_, i) => {
          if (entries[i]?.stamp === stamps[i]) return false
          withdrawn.push(first + i)
          return true
        })
        if (changed.length > 0) yield* this.addAll(changed)
        if (withdrawn.length >= withdrawnAtOnce) {
          yield* this.writeBlock(Format.withdrawn(withdrawn))
          withdrawn = []
        }
        yield* this.turns.next
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
      const { blocks, entries } = this
      yield* this.write(Format.end({ savedAt: this.now, latest, blocks, entries }))
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

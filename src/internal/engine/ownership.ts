/**
 * The ownership of entries: which function may use an entry, and until when.
 *
 * An entry belongs to the function that wrote it, and carries its expiry. In an ownerless backend, whose format has no
 * room for an owner, every function accepts every entry, and the `stale` of the function that reads decides how long the
 * entry is used after `freshUntil`. A copy in memory may have been made for another function, so `alive` replaces its
 * expiry.
 */
import type * as Backend from "../../Backend.js"
import { Entry } from "../../Entry.js"
import type { Definition } from "./definition.js"
import type { MarkTable } from "./io/markTable.js"
import type { Telemetry } from "./telemetry.js"

/** The function that reads an entry; `undefined` for the store itself, which reads the entries of all functions. */
type EntryReader = Pick<Definition, "owner" | "stale"> | undefined

export class Ownership {
  private readonly isOwnerless: boolean
  private readonly telemetry: Telemetry
  private readonly marks: MarkTable

  constructor(backend: Backend.Backend, telemetry: Telemetry, marks: MarkTable) {
    this.isOwnerless = backend.isOwnerless === true
    this.telemetry = telemetry
    this.marks = marks
  }

  /** Whether a function may use an entry: it is the function's own, and no mark has invalidated it. */
  accepts(entry: Entry, def: Definition): boolean {
    return entry.owner === def.owner ? this.marks.admits(entry) : this.acceptsForeign(entry, def)
  }

  /** Whether a function may use an entry of another one. If not, the two share a key by mistake, which is reported. */
  acceptsForeign(entry: Entry, def: Definition): boolean {
    if (this.isOwnerless) return this.marks.admits(entry, def.owner)
    if (entry.owner !== "") this.telemetry.warnSharedKey(entry.owner, def.owner)
    return false
  }

  /** The moment from which an entry is expired for its reader. */
  endOf(entry: Entry, reader: EntryReader): number {
    return this.isOwnerless ? entry.freshUntil + (reader?.stale ?? 0) : entry.expiresAt
  }

  /**
   * The entry as its reader sees it; `undefined` if for that reader it is expired, invalidated, or another function's.
   */
  alive(entry: Entry | undefined, reader: EntryReader, now: number): Entry | undefined {
    if (entry === undefined) return undefined
    const expiresAt = this.endOf(entry, reader)
    const isVisible = this.isOwnerless || reader === undefined || entry.owner === reader.owner
    if (now >= expiresAt || !isVisible || !this.marks.admits(entry, reader?.owner)) return undefined
    return expiresAt === entry.expiresAt ? entry : new Entry(entry.value, { ...entry, expiresAt })
  }
}

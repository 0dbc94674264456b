/**
 * Whose an entry is, and until when.
 *
 * An entry belongs to the function that wrote it and says itself when it expires. In a medium whose entries belong to
 * nobody every function takes them, and for as long after their freshness as its own `stale` says: a copy in memory that
 * one function has read is to another what the medium would have told that one.
 */
import type * as Backend from "../../Backend.js"
import { Entry } from "../../Entry.js"
import type { Definition } from "./definition.js"
import type { MarkTable } from "./io/markTable.js"
import type { Telemetry } from "./telemetry.js"

/** a function, or the store itself */
type Reader = Pick<Definition, "owner" | "stale"> | undefined

export class Ownership {
  private readonly isOwnerless: boolean
  private readonly telemetry: Telemetry
  private readonly marks: MarkTable

  constructor(backend: Backend.Backend, telemetry: Telemetry, marks: MarkTable) {
    this.isOwnerless = backend.isOwnerless === true
    this.telemetry = telemetry
    this.marks = marks
  }

  /** whether what was found counts for a function */
  counts(entry: Entry, def: Definition): boolean {
    return entry.owner === def.owner ? this.marks.admits(entry) : this.takes(entry, def)
  }

  /** whether it takes what is another's */
  takes(entry: Entry, def: Definition): boolean {
    if (this.isOwnerless) return this.marks.admits(entry, def.owner)
    if (entry.owner !== "") this.telemetry.warnSharedKey(entry.owner, def.owner)
    return false
  }

  /** when it expires for whoever reads it */
  endOf(entry: Entry, reader: Reader): number {
    return this.isOwnerless ? entry.freshUntil + (reader?.stale ?? 0) : entry.expiresAt
  }

  /** what is alive of it at `now`, as the reader sees it; the store itself sees everybody's */
  alive(entry: Entry | undefined, reader: Reader, now: number): Entry | undefined {
    if (entry === undefined) return undefined
    const expiresAt = this.endOf(entry, reader)
    const isSeen = this.isOwnerless || reader === undefined || entry.owner === reader.owner
    if (now >= expiresAt || !isSeen || !this.marks.admits(entry, reader?.owner)) return undefined
    return expiresAt === entry.expiresAt ? entry : new Entry(entry.value, { ...entry, expiresAt })
  }
}

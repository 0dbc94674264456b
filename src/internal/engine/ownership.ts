/**
 * The ownership of entries: which function may use an entry, and until when.
 *
 * An entry belongs to the function that wrote it, and carries its expiry. In an ownerless backend, whose format has no
 * room for an owner, every function accepts every entry, and the `stale` of the function that reads decides how long the
 * entry is used after `freshUntil`. A copy in memory may have been made for another function, so `alive` replaces its
 * expiry.
 */
import type * as Backend from "../../Backend.js"
import { Entry, isFailure, lifeEnd, staleEnd } from "../../Entry.js"
import type { Args, Definition, LookupFunction } from "./definition.js"
import type { MarkTable } from "./io/markTable.js"
import type { Telemetry } from "./telemetry.js"

/** The function that reads an entry; `undefined` for the store itself, which reads the entries of all functions. */
type EntryReader = Pick<Definition, "owner" | "staleIfError" | "staleOf"> | undefined

/** How many identities a store compares the lookups of. Beyond it, it forgets the identity that came first. */
const maxIdentities = 1_000

export class Ownership {
  /** The lookup that was first used under an identity. */
  private readonly lookups = new Map<string, { readonly lookup: WeakRef<LookupFunction>; readonly isNamed: boolean }>()
  private readonly isOwnerless: boolean
  private readonly telemetry: Telemetry
  private readonly marks: MarkTable

  constructor(backend: Backend.Backend, telemetry: Telemetry, marks: MarkTable) {
    this.isOwnerless = backend.isOwnerless === true
    this.telemetry = telemetry
    this.marks = marks
  }

  /**
   * Compares the lookup of a function with the one that was first used under the same identity. Two different lookups
   * read each other's entries, which is a mistake unless both functions were given the same `name`. The references are
   * weak, because a function may be made for each request.
   */
  compareLookup({ comparable, isNamed, owner }: Definition): void {
    if (comparable === undefined) return
    const first = this.lookups.get(owner)
    const lookup = first?.lookup.deref()
    if (first !== undefined && lookup !== undefined) {
      if (lookup !== comparable && !(isNamed && first.isNamed)) {
        this.telemetry.warnSharedName(owner, lookup.name, comparable.name)
      }
      return
    }
    this.lookups.set(owner, { lookup: new WeakRef(comparable), isNamed })
    if (this.lookups.size > maxIdentities) this.lookups.delete(this.lookups.keys().next().value!)
  }

  /**
   * Whether a function may use an entry: it is the function's own, no mark has invalidated it, and if it is a failure, the
   * function takes those.
   */
  accepts(entry: Entry, def: Definition): boolean {
    if (entry.owner !== def.owner) return this.acceptsForeign(entry, def)
    return this.takes(entry, def) && this.marks.admits(entry)
  }

  /** Whether an entry is a value, or a failure that its function takes. */
  takes(entry: Entry, def: Definition): boolean {
    return def.failures !== undefined || !isFailure(entry)
  }

  /**
   * Whether a function may use an entry of another one. If not, the two share a key by mistake, which is reported. The
   * store itself, whose owner is `""`, uses the entries of all functions.
   */
  acceptsForeign(entry: Entry, def: Definition): boolean {
    const isValue = !isFailure(entry)
    if (this.isOwnerless) return isValue && this.marks.admits(entry, def.owner)
    if (def.owner === "") return isValue && this.marks.admits(entry)
    if (entry.owner !== "") this.telemetry.warnSharedKey(entry.owner, def.owner)
    return false
  }

  /** Whether a function uses the entries of all others: in an ownerless backend, and the store itself. */
  sharesAll({ owner }: Pick<Definition, "owner">): boolean {
    return this.isOwnerless || owner === ""
  }

  /** The function whose marks invalidate an entry for a function that may use it. */
  ownerFor(entry: Pick<Entry, "owner">, { owner }: Pick<Definition, "owner">): string {
    return this.isOwnerless ? owner : entry.owner
  }

  /**
   * The moment from which an entry may no longer be served as stale to its reader, which reads with a list of arguments or
   * one argument.
   */
  staleEndOf(entry: Entry, reader: EntryReader, args?: Args, arg?: unknown): number {
    if (!this.isOwnerless || isFailure(entry)) return staleEnd(entry)
    if (reader === undefined) return entry.freshUntil
    try {
      return entry.freshUntil + reader.staleOf(entry.value, args ?? [arg])
    } catch {
      // thrown by a `stale` function of the user: the load that takes the place of the entry fails with it, too
      return entry.freshUntil
    }
  }

  /** The moment from which an entry is expired for its reader. */
  endOf(entry: Entry, reader: EntryReader, args?: Args): number {
    return this.isOwnerless && !isFailure(entry)
      ? Math.max(this.staleEndOf(entry, reader, args), entry.freshUntil + (reader?.staleIfError ?? 0))
      : lifeEnd(entry)
  }

  /** The entry as its reader sees it, unless it only answers in place of a load that fails. */
  usable(entry: Entry | undefined, reader: EntryReader, now: number): Entry | undefined {
    const alive = this.alive(entry, reader, now)
    return alive === undefined || now >= this.staleEndOf(alive, reader) ? undefined : alive
  }

  /**
   * The entry as its reader sees it; `undefined` if for that reader it is expired, invalidated, another function's, or a
   * failure.
   */
  alive(entry: Entry | undefined, reader: EntryReader, now: number, args?: Args): Entry | undefined {
    if (entry === undefined || isFailure(entry)) return undefined
    const isVisible = this.isOwnerless || reader === undefined || entry.owner === reader.owner
    if (!isVisible || !this.marks.admits(entry, reader?.owner)) return undefined
    const expiresAt = this.endOf(entry, reader, args)
    if (now >= expiresAt) return undefined
    if (!this.isOwnerless) return entry
    const staleUntil = this.staleEndOf(entry, reader, args)
    const extension = staleUntil < expiresAt ? { staleUntil } : undefined
    return expiresAt === entry.expiresAt && extension === undefined
      ? entry
      : new Entry(entry.value, { ...entry, expiresAt, extension })
  }
}

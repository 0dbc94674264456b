/**
 * The entries of functions with `maxEntries`: one list for each function, in the order of last use, whatever the eviction
 * policy of the store is. The policy has these entries as well. The lists are in arrays of their own beside the records,
 * which are made when the first function has a limit.
 *
 * The word of such an entry has the bit `reported`, so that each hit is reported and the order is exact. A hit of any
 * other entry does not notice.
 */
import * as Fields from "./record.js"

const none = -1

/** The entries of one function. */
export interface List {
  most: number
  size: number
  newest: number
  oldest: number
}

export class Limits {
  private readonly lists = new Map<string, List>()
  private newer = new Int32Array(0)
  private older = new Int32Array(0)
  private readonly records: Fields.Records

  constructor(records: Fields.Records) {
    this.records = records
  }

  /** The list of a function, if it has a limit. */
  of(owner: string): List | undefined {
    return this.lists.get(owner)
  }

  /** Gives a function a limit. Returns whether it had none before. */
  set(owner: string, most: number): boolean {
    const known = this.lists.get(owner)
    if (known !== undefined) {
      known.most = most
      return false
    }
    this.lists.set(owner, { most, size: 0, newest: none, oldest: none })
    return true
  }

  /** Takes the limit of a function away. Its entries stay. */
  lift(owner: string): void {
    const list = this.lists.get(owner)
    if (list === undefined) return
    for (let index = list.oldest; index !== none; index = this.newer[index]!) {
      this.records.i32[index * Fields.i32Length + Fields.word] &= ~Fields.reported
    }
    this.lists.delete(owner)
  }

  /** Adds an entry, which was used just now. */
  add(list: List, index: number): void {
    this.records.i32[index * Fields.i32Length + Fields.word] |= Fields.reported
    if (index >= this.newer.length) {
      const room = this.records.i32.length / Fields.i32Length
      for (const name of ["newer", "older"] as const) {
        const links = new Int32Array(room)
        links.set(this[name])
        this[name] = links
      }
    }
    list.size++
    this.link(list, index)
  }

  remove(list: List, index: number): void {
    this.records.i32[index * Fields.i32Length + Fields.word] &= ~Fields.reported
    list.size--
    this.unlink(list, index)
  }

  /** Records a use of an entry. */
  used(list: List, index: number): void {
    if (index === list.newest) return
    this.unlink(list, index)
    this.link(list, index)
  }

  /** The record of an entry was copied to another index. */
  move(list: List, from: number, to: number): void {
    const newer = this.newer[from]!
    const older = this.older[from]!
    this.newer[to] = newer
    this.older[to] = older
    if (newer === none) list.newest = to
    else this.older[newer] = to
    if (older === none) list.oldest = to
    else this.newer[older] = to
  }

  /** The buffer of records has become smaller. */
  shrink(): void {
    const room = this.records.i32.length / Fields.i32Length
    this.newer = this.newer.slice(0, room)
    this.older = this.older.slice(0, room)
  }

  /** Forgets all entries, and keeps the limits. */
  clear(): void {
    this.newer = new Int32Array(0)
    this.older = new Int32Array(0)
    for (const list of this.lists.values()) {
      list.size = 0
      list.newest = list.oldest = none
    }
  }

  private link(list: List, index: number): void {
    this.newer[index] = none
    this.older[index] = list.newest
    if (list.newest === none) list.oldest = index
    else this.newer[list.newest] = index
    list.newest = index
  }

  private unlink(list: List, index: number): void {
    const newer = this.newer[index]!
    const older = this.older[index]!
    if (newer === none) list.newest = older
    else this.older[newer] = older
    if (older === none) list.oldest = newer
    else this.newer[older] = newer
  }
}

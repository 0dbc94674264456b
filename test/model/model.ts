/**
 * The model: which answers several processes may give, worked out from a map and a clock.
 *
 * There is one database with a version for each key, which only grows. A process that changes it then writes or
 * invalidates the key in the cache. From these changes the model knows, for every process, key and moment, the lowest
 * version that a read beginning then may return, and for every value when it expires.
 */
import { realNow } from "../support/redis-nodes.js"

/** A cached value: the version that was found, and the number of the load or write that made it. */
export interface Value {
  readonly version: number
  readonly made: number
}

interface Made {
  readonly key: string
  readonly by: string
  readonly isLoad: boolean
  /** The time at which it expires, once its lifetime has begun. */
  until: number
}

/** A write or an invalidation of any kind that has ended on the process that called it. */
interface Change {
  readonly process: number
  readonly what: string
  readonly versions: ReadonlyMap<string, number>
  readonly at: number
  /** The time at which the shared store certainly had it. */
  confirmed: number | undefined
  /** The other processes that were certainly notified of it. */
  readonly notified: Set<number>
}

/** What a read must know: it must not return an older version. */
export interface Floor {
  readonly version: number
  readonly change: Change | undefined
}

/** A read that is judged. */
export interface Asked {
  readonly process: number
  readonly key: string
  readonly began: number
  readonly floor: Floor
}

const ago = (then: number | undefined, now: number): string =>
  then === undefined ? "never" : `${Math.round(now - then)} ms before`

export class Model {
  private readonly versions = new Map<string, number>()
  private readonly made: Array<Made> = []
  private changes: Array<Change> = []
  private readonly begun = realNow()
  private readonly grace: number
  /** The largest difference there has been between two clocks: an entry may be used for that much longer. */
  private skew = 0
  /** For how long this process has stood still at most. */
  private pause = 0
  readonly log: Array<string> = []
  readonly violations: Array<string> = []
  /** The lookups that run, and the scopes of lookups that are open. */
  running = 0
  openScopes = 0
  reads = 0

  /** `grace`: the milliseconds after which every process must know what the shared store has, whatever is broken. */
  constructor(grace: number) {
    this.grace = grace
  }

  say(line: string): void {
    this.log.push(`${String(Math.round(realNow() - this.begun)).padStart(6)} ${line}`)
  }

  violation(line: string): void {
    this.say(`VIOLATION ${line}`)
    this.violations.push(line)
  }

  version(key: string): number {
    return this.versions.get(key) ?? 0
  }

  /** Writes to the database. */
  bump(key: string): number {
    const version = this.version(key) + 1
    this.versions.set(key, version)
    return version
  }

  /** Makes a value of the current version. */
  make(key: string, by: string, isLoad = false): Value {
    const made = this.made.push({ key, by, isLoad, until: Number.POSITIVE_INFINITY }) - 1
    return { version: this.version(key), made }
  }

  startLifetime(value: Value, millis: number): void {
    this.made[value.made]!.until = realNow() + millis
  }

  /** The number of the next load or write. */
  get next(): number {
    return this.made.length
  }

  loads(key: string): number {
    return this.made.filter((made) => made.isLoad && made.key === key).length
  }

  clockDiffers(millis: number): void {
    this.skew = Math.max(this.skew, millis)
  }

  /** This process stood still: a load that ended before may have been stored that much later. */
  paused(millis: number): void {
    this.pause = Math.max(this.pause, millis)
  }

  changed(process: number, what: string, keys: ReadonlyArray<string>): void {
    const versions = new Map(keys.map((key) => [key, this.version(key)] as const))
    this.changes.push({ process, what, versions, at: realNow(), confirmed: undefined, notified: new Set() })
  }

  /** A process has nothing undelivered, so the shared store has all its earlier changes. */
  confirm(process: number): void {
    for (const change of this.changes) if (change.process === process) change.confirmed ??= realNow()
  }

  /** A process has ended: what it had not delivered is lost. `keepsAll`: the store outlives its processes. */
  ended(process: number, keepsAll: boolean): void {
    this.changes = this.changes.filter(
      (change) => change.process !== process || (keepsAll && change.confirmed !== undefined)
    )
  }

  confirmedOf(process: number): ReadonlyArray<Change> {
    return this.changes.filter((change) => change.process === process && change.confirmed !== undefined)
  }

  private latest(key: string, isKnown: (change: Change) => boolean): Floor {
    let found: Floor = { version: 0, change: undefined }
    for (const change of this.changes) {
      const version = change.versions.get(key)
      if (version !== undefined && version > found.version && isKnown(change)) found = { version, change }
    }
    return found
  }

  /** The lowest version that a read which begins now on a process may return. `own`: it knows its own changes only. */
  floor(process: number, key: string, own = false): Floor {
    const now = realNow()
    return this.latest(
      key,
      (change) =>
        change.process === process ||
        (!own &&
          (change.notified.has(process) || (change.confirmed !== undefined && now >= change.confirmed + this.grace)))
    )
  }

  /** The lowest version that may be returned once every change has reached every process. */
  finally(key: string): Floor {
    return this.latest(key, () => true)
  }

  /** Judges an answer by the floor at the beginning of its read, and by its lifetime. */
  judge({ began, floor, key, process }: Asked, value: Value): void {
    const made = this.made[value.made]
    if (made === undefined || made.key !== key) return this.violation(`${key} on ${process}: a value of another key`)
    if (value.version < floor.version) {
      const { change } = floor
      this.violation(
        `law 8 (invalidation wins): ${key} on ${process}: version ${value.version} (${made.by}) in a read that began at ` +
          `${Math.round(began - this.begun)}, but ${floor.version} was ${change?.what} on ${change?.process} ` +
          `${ago(change?.at, began)}, confirmed ${ago(change?.confirmed, began)}`
      )
    }
    // times are whole milliseconds, and the clock may be adjusted by a few
    if (began >= made.until + this.skew + this.pause + 25) {
      this.violation(
        `law 1 (freshness): ${key} on ${process}: expired since ${Math.round(began - made.until)} ms (${made.by})`
      )
    }
  }
}

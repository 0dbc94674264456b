/**
 * A model of what several processes may answer, made of a map and a clock.
 *
 * There is one database with a version for each key, which only grows. A process that changes it then writes or
 * invalidates the key in the cache. From these changes the model knows, for every process, key and moment, the lowest
 * version that a read beginning then may return, and for every value when it expires.
 */
import { realNow } from "../support/redis-nodes.js"

/** A cached value: the version that was found, and the number of the load or `set` that made it. */
export interface Value {
  readonly version: number
  readonly made: number
}

interface Made {
  readonly key: string
  readonly by: string
  /** The time at which it expires, once its lifetime has begun. */
  until: number
}

/** A `set` or an invalidation of any kind that has ended on the process that called it. */
interface Change {
  readonly node: number
  readonly what: string
  readonly versions: ReadonlyMap<string, number>
  readonly at: number
  /** The time at which Redis certainly had it. */
  confirmed: number | undefined
  /** The other processes that were certainly notified of it. */
  readonly notified: Set<number>
}

export class Model {
  private readonly versions = new Map<string, number>()
  private readonly made: Array<Made> = []
  private readonly changes: Array<Change> = []
  private readonly begun = realNow()
  private readonly grace: number
  readonly log: Array<string> = []
  readonly violations: Array<string> = []

  /** `grace`: the milliseconds after which every process must know what Redis has, whatever is broken. */
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

  make(key: string, by: string, version: number): Value {
    return { version, made: this.made.push({ key, by, until: Number.POSITIVE_INFINITY }) - 1 }
  }

  startLifetime(value: Value, millis: number): void {
    this.made[value.made]!.until = realNow() + millis
  }

  loads(key: string): number {
    return this.made.filter((made) => made.key === key && made.by.startsWith("load")).length
  }

  changed(node: number, what: string, keys: ReadonlyArray<string>): void {
    const versions = new Map(keys.map((key) => [key, this.version(key)] as const))
    this.changes.push({ node, what, versions, at: realNow(), confirmed: undefined, notified: new Set() })
  }

  /** This process has nothing undelivered, so Redis has all its earlier changes. */
  confirm(node: number): void {
    for (const change of this.changes) if (change.node === node) change.confirmed ??= realNow()
  }

  confirmedOf(node: number): ReadonlyArray<Change> {
    return this.changes.filter((change) => change.node === node && change.confirmed !== undefined)
  }

  /** The change that a read beginning now on this process must know: it must not return an older version. */
  floor(node: number, key: string): { readonly version: number; readonly change: Change | undefined } {
    let found: Change | undefined
    let version = 0
    const now = realNow()
    for (const change of this.changes) {
      const own = change.versions.get(key)
      if (own === undefined || own <= version) continue
      const isKnown =
        change.node === node ||
        change.notified.has(node) ||
        (change.confirmed !== undefined && now >= change.confirmed + this.grace)
      if (!isKnown) continue
      version = own
      found = change
    }
    return { version, change: found }
  }

  /** Judges an answer by the floor at the beginning of the read. */
  judge(
    node: number,
    key: string,
    floor: { readonly version: number; readonly change: Change | undefined },
    began: number,
    value: Value
  ): void {
    const made = this.made[value.made]
    if (made === undefined || made.key !== key) return this.violation(`${key} on ${node}: a value of another key`)
    if (value.version < floor.version) {
      const { change } = floor
      const ago = (then: number | undefined) => (then === undefined ? "never" : `${Math.round(began - then)} ms before`)
      this.violation(
        `${key} on ${node}: version ${value.version} (${made.by}) in a read that began ${Math.round(began - this.begun)}, ` +
          `but ${floor.version} was ${change?.what} on ${change?.node} ${ago(change?.at)}, confirmed ${ago(change?.confirmed)}`
      )
    }
    // Times are whole milliseconds, and the clock may be adjusted by a few.
    if (began >= made.until + 2) {
      this.violation(`${key} on ${node}: expired since ${Math.round(began - made.until)} ms (${made.by})`)
    }
  }
}

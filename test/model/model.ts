/**
 * What several nodes may answer, by a map and a clock.
 *
 * There is one database: per key a version, which only grows. Whoever changes it then writes or invalidates the key in
 * the cache. From these the model knows, for every node, key and moment, the lowest version that a read which begins then
 * may still give, and for every value until when it lives.
 */
import { realNow } from "../support/redis-nodes.js"

/** what is cached: the version that was found, and which load, or `set`, made it */
export interface Value {
  readonly version: number
  readonly made: number
}

interface Made {
  readonly key: string
  readonly by: string
  /** when its life is over, once it has begun */
  until: number
}

/** a `set`, or an invalidation of any kind, that has come to its end on the node it was asked of */
interface Change {
  readonly node: number
  readonly what: string
  readonly versions: ReadonlyMap<string, number>
  readonly at: number
  /** when Redis had it for certain */
  confirmed: number | undefined
  /** other nodes that have heard of it for certain */
  readonly heardBy: Set<number>
}

export class Model {
  private readonly versions = new Map<string, number>()
  private readonly made: Array<Made> = []
  private readonly changes: Array<Change> = []
  private readonly begun = realNow()
  private readonly grace: number
  readonly log: Array<string> = []
  readonly violations: Array<string> = []

  /** `grace`: after so many milliseconds everybody must know what Redis has, whatever is broken */
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

  /** somebody writes to the database */
  bump(key: string): number {
    const version = this.version(key) + 1
    this.versions.set(key, version)
    return version
  }

  make(key: string, by: string, version: number): Value {
    return { version, made: this.made.push({ key, by, until: Number.POSITIVE_INFINITY }) - 1 }
  }

  lives(value: Value, millis: number): void {
    this.made[value.made]!.until = realNow() + millis
  }

  loads(key: string): number {
    return this.made.filter((made) => made.key === key && made.by.startsWith("load")).length
  }

  changed(node: number, what: string, keys: ReadonlyArray<string>): void {
    const versions = new Map(keys.map((key) => [key, this.version(key)] as const))
    this.changes.push({ node, what, versions, at: realNow(), confirmed: undefined, heardBy: new Set() })
  }

  /** nothing is owed by this node: Redis has all that it was asked for before */
  confirm(node: number): void {
    for (const change of this.changes) if (change.node === node) change.confirmed ??= realNow()
  }

  confirmedOf(node: number): ReadonlyArray<Change> {
    return this.changes.filter((change) => change.node === node && change.confirmed !== undefined)
  }

  /** the change below whose version a read that begins now on this node must not go */
  floor(node: number, key: string): { readonly version: number; readonly change: Change | undefined } {
    let found: Change | undefined
    let version = 0
    const now = realNow()
    for (const change of this.changes) {
      const own = change.versions.get(key)
      if (own === undefined || own <= version) continue
      const isKnown =
        change.node === node ||
        change.heardBy.has(node) ||
        (change.confirmed !== undefined && now >= change.confirmed + this.grace)
      if (!isKnown) continue
      version = own
      found = change
    }
    return { version, change: found }
  }

  /** judges an answer by what was so when the read began */
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
    // times are whole milliseconds, and the clock may be set by some
    if (began >= made.until + 2) {
      this.violation(`${key} on ${node}: dead since ${Math.round(began - made.until)} ms (${made.by})`)
    }
  }
}

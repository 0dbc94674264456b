/**
 * The names that a store uses in Redis: of entries, of marks, of locks and of channels. All begin with its prefix.
 */
import calculateSlot from "cluster-key-slot"
import { type Client, isCluster } from "./client.js"

/** Replaces lone surrogates, which UTF-8 cannot represent, by their codes. */
const escapeSurrogates = (key: string): string =>
  key.replace(/[%\p{Surrogate}]/gu, (half) => `%${half.charCodeAt(0).toString(16)}`)

const unescapeSurrogates = (text: string): string =>
  text.replace(/%(25|d[89a-f][0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))

/**
 * The least number in braces that hashes to a slot, for the slots that were asked for, and the next number to try.
 * Mutable by design: the search goes on where it stopped.
 */
const numbers = /*#__PURE__*/ new Map<number, number>()
let next = 0

const numberOf = (slot: number): number => {
  let number = numbers.get(slot)
  while (number === undefined) {
    const found = calculateSlot(String(next))
    if (!numbers.has(found)) numbers.set(found, next)
    next++
    number = numbers.get(slot)
  }
  return number
}

export class Keys {
  /** The string that holds the floor, the version and the time of the last loss of the marks. */
  readonly head: string
  /** The string that holds the count that orders writes. It shares the hash slot of the marks. */
  readonly count: string
  /** The string that holds the longest lifespan of an entry. It shares the hash slot of the marks. */
  readonly lifespans: string
  /** The keys of the marks: a sorted set of versions, a hash of stamps, the head, and the buckets. All share one slot. */
  readonly marks: ReadonlyArray<string>
  /** The channel on which the scripts publish what they changed. */
  readonly channel: string
  private readonly client: Client
  private readonly prefix: string
  /** The prefix as the server reports it. The client adds its own `keyPrefix` to keys, but not to channels. */
  private readonly reported: string

  constructor(client: Client, prefix: string) {
    this.client = client
    this.prefix = prefix
    this.reported = (client.options.keyPrefix ?? "") + prefix
    this.head = `${prefix}!{marks}:head`
    this.count = `${prefix}!{marks}:count`
    this.lifespans = `${prefix}!{marks}:lifespans`
    this.marks = [`${prefix}!{marks}:versions`, `${prefix}!{marks}:stamps`, this.head, `${prefix}!{marks}:buckets`]
    // Channels belong to the whole server: unlike keys, they are not separated by database.
    const database = isCluster(client) ? 0 : (client.options.db ?? 0)
    this.channel = `${this.reported}!news${database === 0 ? "" : `@${database}`}`
  }

  /** The channel on which a process publishes heartbeats to itself. */
  heartbeats(processId: string): string {
    return `${this.reported}!beat:${processId}`
  }

  /**
   * The Redis key of an entry: the prefix and the key. A key that begins with `!` gets a second one, since a single `!`
   * marks the names that are not entries and the keys whose surrogates are escaped.
   */
  entry(key: string): string {
    if (/\p{Surrogate}/u.test(key)) return `${this.prefix}!u${escapeSurrogates(key)}`
    return key.startsWith("!") ? `${this.prefix}!${key}` : this.prefix + key
  }

  /** The key of an entry, from its Redis key as the server reports it. `undefined` for names outside the prefix. */
  keyOf(reported: string): string | undefined {
    if (!reported.startsWith(this.reported)) return undefined
    const text = reported.slice(this.reported.length)
    if (!text.startsWith("!")) return text
    return text.startsWith("!u") ? unescapeSurrogates(text.slice(2)) : text.slice(1)
  }

  /** The pattern of SCAN that every name of the store matches, as the server reports it, and none outside the prefix. */
  get pattern(): string {
    return `${this.reported.replace(/[\\?*[\]]/g, "\\$&")}*`
  }

  /** Whether the server reports this name for an entry. */
  isEntry(reported: string): boolean {
    return reported.startsWith(this.reported) && !/^!(?![u!])/.test(reported.slice(this.reported.length))
  }

  /**
   * The prefix of another store, whose marks have this name, if it begins with the prefix of this one: what looks like an
   * entry of this store may then be one of that.
   */
  prefixWithin(reported: string): string | undefined {
    const end = "!{marks}:head"
    if (!reported.startsWith(this.reported) || !reported.endsWith(end)) return undefined
    return reported.length === this.reported.length + end.length ? undefined : reported.slice(0, -end.length)
  }

  /** The name under which the server reports a Redis key. */
  asReported(key: string): string {
    return this.reported + key.slice(this.prefix.length)
  }

  /**
   * The Redis key of the lock of an entry, given the entry's Redis key. On a cluster both share a hash slot, so that
   * one script can look at both: the braces in the key see to that, or else a number in braces. The number is the least
   * that does, so that all processes find the same one.
   */
  lock(entry: string): string {
    const rest = entry.slice(this.prefix.length)
    const plain = `${this.prefix}!l${rest}`
    if (!isCluster(this.client)) return plain
    const slot = this.slot(entry)
    return this.slot(plain) === slot ? plain : `${this.prefix}!l{${numberOf(slot)}}${rest}`
  }

  /** The hash slot of a Redis key, with the `keyPrefix` of the client. */
  slot(key: string): number {
    return calculateSlot((this.client.options.keyPrefix ?? "") + key)
  }
}

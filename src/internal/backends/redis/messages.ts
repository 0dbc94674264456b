/**
 * The messages that the scripts publish, as text of JSON. Anybody who may publish on the channel may send anything, so
 * every field is checked for its type and its range before it is used.
 */
import type * as Backend from "../../../Backend.js"
import { maxCount } from "./count.js"

/**
 * The most characters of a message that is parsed. A batch of writes and the marks of 100 000 tags are shorter. Parsing
 * a longer one would block the process for longer than a stored value does.
 */
const maxLength = 8 * 1024 * 1024

/** The most characters of a stamp: those of a double with all its digits, and some more. */
const maxStampLength = 32

export interface Reader {
  /** The id under which this process publishes. */
  readonly processId: string
  /** Returns the key of an entry, given its Redis key as the server reports it; `undefined` for another name. */
  readonly keyOf: (reported: string) => string | undefined
}

/**
 * What a message means: a notification; `"own"` for a message of this process; `"too long"` for one that may be from
 * another process but is not parsed; `undefined` for one that this version cannot read.
 */
export type Parsed = Backend.Notification | "own" | "too long" | undefined

/** A stamp is text, because Lua would write a number with 14 digits only. A floor below every entry is -1. */
const stampIn = (value: unknown): number | undefined => {
  if (typeof value !== "string" || value.length > maxStampLength || value.trim() === "") return undefined
  const stamp = Number(value)
  return stamp >= -1 && stamp < maxCount ? stamp : undefined
}

/** Names and their stamps, by turns. `undefined` if any of them is neither. */
const pairsIn = (value: unknown): ReadonlyArray<readonly [string, number]> | undefined => {
  if (!Array.isArray(value) || value.length % 2 !== 0) return undefined
  const pairs: Array<readonly [string, number]> = []
  for (let i = 0; i < value.length; i += 2) {
    const name: unknown = value[i]
    const stamp = stampIn(value[i + 1])
    if (typeof name !== "string" || stamp === undefined) return undefined
    pairs.push([name, stamp])
  }
  return pairs
}

/** The changes of keys. `staled` are the names of those whose entries were only made stale. */
const changesIn = (value: unknown, staled: unknown, { keyOf }: Reader): Backend.Notification | undefined => {
  const pairs = pairsIn(value)
  if (pairs === undefined) return undefined
  const isStaled = new Set<unknown>(Array.isArray(staled) ? staled : [])
  const keys: Array<Backend.Changed> = []
  for (const [name, stamp] of pairs) {
    const key = keyOf(name)
    if (key !== undefined) keys.push(isStaled.has(name) ? { key, stamp, isExpiry: true } : { key, stamp })
  }
  return { _tag: "Keys", keys }
}

const marksIn = (fields: Readonly<Record<string, unknown>>): Backend.Notification | undefined => {
  // `g` is given where `f` is higher, for processes of the previous release
  const floor = stampIn(fields.g ?? fields.f)
  const lost = stampIn(fields.l)
  // Redis encodes an empty list as `{}`.
  const isEmpty = typeof fields.m === "object" && fields.m !== null && !Array.isArray(fields.m)
  const raised = isEmpty || fields.m === undefined ? [] : pairsIn(fields.m)
  if (floor === undefined || lost === undefined || raised === undefined) return undefined
  return { _tag: "Marks", marks: { floor, lost, raised } }
}

/** Parses a message. Does not throw, whatever the text is. */
export const parse = (text: string, reader: Reader): Parsed => {
  if (text.length > maxLength) return "too long"
  let fields: unknown
  try {
    fields = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof fields !== "object" || fields === null) return undefined
  const { e, k, n, u } = fields as Readonly<Record<string, unknown>>
  if (typeof n !== "string") return undefined
  if (n === reader.processId) return "own"
  if (u !== undefined) {
    const key = typeof u === "string" ? reader.keyOf(u) : undefined
    return key === undefined ? undefined : { _tag: "Free", key }
  }
  return k === undefined ? marksIn(fields as Readonly<Record<string, unknown>>) : changesIn(k, e, reader)
}

/** The latest stamp in a notification. */
export const latestStamp = (notification: Backend.Notification): number => {
  let latest = Number.NEGATIVE_INFINITY
  if (notification._tag === "Keys") for (const { stamp } of notification.keys) latest = Math.max(latest, stamp)
  if (notification._tag === "Marks") {
    const { floor, lost, raised } = notification.marks
    latest = Math.max(floor, lost)
    for (const [, stamp] of raised) latest = Math.max(latest, stamp)
  }
  return latest
}

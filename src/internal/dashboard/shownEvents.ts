/**
 * Events as the page shows them. A key, and a tag, is replaced by the hash that spans have of it, unless keys may be
 * shown; the message of an error, which may contain a value, is left out, unless values may be shown.
 */
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import type { CacheEvent } from "../../CacheEvent.js"
import { everyEntry, everything, isExpiryName } from "../markNames.js"

export interface Disclosure {
  /** Whether keys and tags may be shown. */
  readonly keys: boolean
  /** Whether values may be shown, and messages of errors. */
  readonly values: boolean
  readonly keyHash: (key: string) => string
}

/** An event as the page shows it. */
export interface ShownEvent {
  readonly at: number
  readonly kind: CacheEvent["_tag"]
  readonly name: string | undefined
  readonly key: string | undefined
  readonly detail: string | undefined
}

/** The longest text that is shown of a key or an error. */
const maxText = 200

const short = (text: string): string => (text.length <= maxText ? text : `${text.slice(0, maxText)}…`)

/** A key or a tag, or its hash. */
export const shownKey = (key: string, { keyHash, keys }: Disclosure): string => (keys ? short(key) : `#${keyHash(key)}`)

/** What a mark concerns. */
const shownMark = (mark: string, disclosure: Disclosure): string => {
  if (mark === everything || mark === everyEntry) return "everything"
  const name = mark.slice(2)
  return mark.startsWith("t:") ? `tag ${shownKey(name, disclosure)}` : name
}

/** The kind and the name of a failure, which contain no data of it. */
const failureOf = (cause: Cause.Cause<unknown>, { values }: Disclosure): string => {
  const error = Option.getOrElse(Cause.failureOption(cause), () => Option.getOrUndefined(Cause.dieOption(cause)))
  const kind = Cause.isInterruptedOnly(cause) ? "interrupted" : Cause.isFailure(cause) ? "failed" : "died"
  const name =
    typeof error === "object" && error !== null
      ? "_tag" in error && typeof error._tag === "string"
        ? error._tag
        : error instanceof Error
          ? error.name
          : ""
      : ""
  const message = values && kind !== "interrupted" ? (Cause.prettyErrors(cause)[0]?.message ?? "") : ""
  return short([kind, name, message].filter((text) => text !== "").join(": "))
}

/** Why a read was a miss, and by which tag. */
const reasonOf = ({ coalesced, reason, tag }: Extract<CacheEvent, { _tag: "Miss" }>, disclosure: Disclosure): string =>
  reason + (tag === undefined ? "" : ` ${shownKey(tag, disclosure)}`) + (coalesced ? ", joined a load" : "")

const detailOf = (event: CacheEvent, disclosure: Disclosure): string | undefined => {
  switch (event._tag) {
    case "Loaded":
      return event.refresh ? "refresh" : undefined
    case "LoadFailed":
      return (event.refresh ? "refresh " : "") + failureOf(event.cause, disclosure)
    case "Removed":
      return event.cause
    case "Cleared":
      return event.marks
        .filter((mark) => !isExpiryName(mark))
        .map((mark) => shownMark(mark, disclosure))
        .join(", ")
    case "StoreFailed":
      return `${event.method}: ${event.reason}`
    case "Hit":
    case "Stale":
      return event.tier
    case "Miss":
      return reasonOf(event, disclosure)
    case "Set":
    case "StoreUp":
      return undefined
  }
}

export const shownEvent = (event: CacheEvent, at: number, disclosure: Disclosure): ShownEvent => ({
  at,
  kind: event._tag,
  name: "name" in event ? event.name : undefined,
  key: "key" in event ? shownKey(event.key, disclosure) : undefined,
  detail: detailOf(event, disclosure)
})

/** Whether an event is shown. That a value was stored is told by the event of its load. */
export const isShown = (event: CacheEvent): boolean =>
  event._tag === "Set" ? event.name === undefined : event._tag !== "Removed" || event.cause !== "replaced"

/** Whether an event is of a read, of which there may be a million in a second. */
export const isRead = ({ _tag }: CacheEvent): boolean => _tag === "Hit" || _tag === "Stale" || _tag === "Miss"

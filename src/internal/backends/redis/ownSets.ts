/**
 * What this process has set, by Redis key: the tickets of the sets, and which of them answers have confirmed. An answer
 * that comes after the timeout confirms a set, too: the set is then not sent again.
 */
import { BoundedMap } from "../../boundedMap.js"
import { tick } from "../../time.js"

/** For how many keys the sets are kept. */
const maxKeys = 10_000

/** A value that was set, as far as it identifies the set. */
interface Asked {
  readonly stamp: number
  readonly createdAt: number
}

interface OwnSet {
  /** The number of the latest set that was sent, when its value was made, and its ticket, if it has one. */
  readonly sent: number
  readonly sentAt: number
  readonly ticket: number
  /** The number of the latest set that was confirmed, its stamp, and when its value was made. */
  readonly confirmed: number
  readonly stamp: number
  readonly createdAt: number
}

const none: OwnSet = { sent: 0, sentAt: 0, ticket: 0, confirmed: 0, stamp: 0, createdAt: 0 }

export class OwnSets {
  private readonly byKey = new BoundedMap<OwnSet>(maxKeys)
  /** The number of the latest set. Mutable by design. */
  private latest = 0

  /** Notes that a set is sent, and returns its number. One that is sent again keeps it. */
  sends(key: string, createdAt: number, isRetry: boolean): number {
    const before = this.byKey.get(key)
    if (isRetry && before !== undefined) return before.sent
    this.byKey.set(key, { ...(before ?? none), sent: ++this.latest, sentAt: createdAt, ticket: 0 })
    return this.latest
  }

  /** Notes the ticket of a set, which it keeps when it is sent again. */
  takes(key: string, number: number, ticket: number): void {
    const before = this.byKey.get(key)
    if (before?.sent === number) this.byKey.set(key, { ...before, ticket })
  }

  /** Notes the stamp of a set that was confirmed. */
  confirms(key: string, number: number, { createdAt, stamp }: Asked): void {
    const before = this.byKey.get(key)
    if (before !== undefined && stamp > before.stamp) {
      this.byKey.set(key, { ...before, confirmed: number, stamp, createdAt })
    }
  }

  /**
   * The stamp of a set that is to be sent again, if it was confirmed. A set that never came here, because a wrapper of the
   * backend failed, is none of those that did: it was asked for after them.
   */
  confirmedStamp(key: string, asked: Asked): number | undefined {
    const set = this.byKey.get(key)
    const isSame = set?.confirmed === set?.sent && set?.createdAt === asked.createdAt
    return set !== undefined && isSame && set.stamp > asked.stamp ? set.stamp : undefined
  }

  /**
   * The ticket with which a set is sent again. What has a stamp above it, because the backend has lost what it had counted,
   * goes by that stamp.
   */
  ticketOf(key: string, asked: Asked): number | undefined {
    const set = this.byKey.get(key)
    return set !== undefined && set.sentAt === asked.createdAt && set.ticket > asked.stamp ? set.ticket : undefined
  }

  /** The stamp with which a set is sent again. It was asked for after what this process had set before. */
  retryStamp(key: string, asked: number): number {
    return Math.max(asked, (this.byKey.get(key)?.stamp ?? 0) + tick)
  }
}

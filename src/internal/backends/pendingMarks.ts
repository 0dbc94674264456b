/**
 * The marks that a backend has learned of and not reported yet. Each is reported once, by the first answer after it.
 */
import type * as Backend from "../../Backend.js"

/** Joins two lists, of which the first may be very long. */
const concat = <A>(all: ReadonlyArray<A>, more: ReadonlyArray<A>): ReadonlyArray<A> =>
  more.length === 0 ? all : all.concat(more)

export class PendingMarks {
  /** Mutable by design. */
  private pending: Backend.Marks | undefined

  /** Adds marks to those that the next `take` reports. */
  add(marks: Backend.Marks): void {
    const { pending } = this
    if (pending === undefined) {
      this.pending = marks
      return
    }
    const { buckets = [], floor, isLoss, isRepaired, lost, raised } = marks
    this.pending = {
      floor: Math.max(floor, pending.floor),
      lost,
      isLoss: isLoss === true || pending.isLoss === true,
      isRepaired: isRepaired === true || pending.isRepaired === true,
      raised: concat(pending.raised, raised),
      buckets: concat(pending.buckets ?? [], buckets)
    }
  }

  /** Returns the pending marks, if there are any, and forgets them. */
  take(): Backend.Marks | undefined {
    const { pending } = this
    this.pending = undefined
    return pending
  }

  /**
   * Returns the answer to a raise: the pending marks, which include the raised ones. A read that ran at the same time
   * may have taken them; then the answer is the raised marks themselves, with the current `floor` and `lost`.
   */
  takeRaised(raised: ReadonlyArray<Backend.Mark>, current: Omit<Backend.Marks, "raised">): Backend.Marks {
    const { floor, lost } = current
    return this.take() ?? { floor, lost, raised: raised.map(({ name, stamp }) => [name, stamp]) }
  }
}

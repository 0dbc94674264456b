/**
 * The marks that a backend has learned of and not reported yet. Each is reported once, by the first answer after it.
 */
import type * as Backend from "../../Backend.js"

export class PendingMarks {
  /** Mutable by design. */
  private pending: Backend.Marks | undefined

  /** Adds marks to those that the next `take` reports. */
  add({ floor, lost, raised }: Backend.Marks): void {
    const { pending } = this
    this.pending =
      pending === undefined
        ? { floor, lost, raised }
        : { floor: Math.max(floor, pending.floor), lost, raised: [...pending.raised, ...raised] }
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

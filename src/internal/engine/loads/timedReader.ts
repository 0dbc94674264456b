/**
 * A reader with time limits that waits for a load: see `timeouts.ts`.
 */
import type * as Effect from "effect/Effect"
import type { Entry } from "../../../Entry.js"
import type { Flight, TimedWaiter } from "./flight.js"
import type { Deadline } from "./timeouts.js"

/** The loads that readers with time limits wait for. */
export interface TimedLoads {
  /** The old value that may answer now in place of a load. */
  readonly oldValueOf: (flight: Flight) => Entry | undefined
  /** A limit has answered a reader, which has left its load. */
  readonly hasTimedOut: (flight: Flight, left: { readonly goesOn: boolean; readonly hasValue: boolean }) => void
}

/** A reader with time limits, as its load sees it. */
export class TimedReader implements TimedWaiter {
  readonly deadline: Deadline
  private readonly takesOldValue: boolean
  private readonly loads: TimedLoads

  constructor(deadline: Deadline, loads: TimedLoads, takesOldValue: boolean) {
    this.deadline = deadline
    this.loads = loads
    this.takesOldValue = takesOldValue
  }

  watch(flight: Flight, leave: (answer: Effect.Effect<unknown, unknown>) => void): void {
    const { deadline, loads, takesOldValue } = this
    deadline.watch({
      oldValue: () => (takesOldValue ? loads.oldValueOf(flight) : undefined),
      end: (answer, hasValue) => {
        leave(answer)
        loads.hasTimedOut(flight, { goesOn: deadline.goesOn, hasValue })
      }
    })
  }
}

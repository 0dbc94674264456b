/**
 * The steps of the wall clock while a store is open.
 *
 * The ends of the entries in memory are times of the wall clock. If that is set back by an hour, they would be fresh
 * for an hour longer, so their ends move with it (law 1: freshness). If it is set forward they stay where they are,
 * because the clock of a machine that was suspended looks the same: entries expire too early rather than too late.
 *
 * A step is a change of the difference between the two readings of a `Clock`, the wall clock and the monotonic one. The
 * readings of a `TestClock` never differ. They are compared by the first read that comes more than a second after the
 * last comparison, or before it. A timer would keep the process alive, and a hit compares one number either way.
 */
import * as Clock from "effect/Clock"
import { change, Entry, setBack } from "../../Entry.js"
import { monotonic } from "../time.js"

/** The longest time between two comparisons in milliseconds, and the difference that counts as a step. */
const second = 1_000

/** Half of that: how far a read may be from the middle of the second that follows a comparison. */
export const halfSecond = 500

export class WallClock {
  /**
   * The middle of the second that follows the last comparison. A read compares the clock again unless its own time is
   * within `halfSecond` of it. Mutable by design.
   */
  middle = Number.NEGATIVE_INFINITY
  /** By how many milliseconds the clock was set back in total; less, if it was also set forward. */
  private back = 0
  /** The clock that is compared: the one of the latest load or write. */
  private clock: Clock.Clock | undefined = undefined
  // the last readings of the wall clock, of its own monotonic reading, and of the live one
  private wall = 0
  private own = 0
  private elapsed = 0
  /** The differences that were too small to be a step, added up. */
  private drift = 0
  private readonly live = Clock.make()
  private readonly onSetBack: (by: number) => void

  /** `onSetBack` is called with the milliseconds by which the clock was set back. */
  constructor(onSetBack: (by: number) => void) {
    this.onSetBack = onSetBack
  }

  /**
   * Compares the readings, if `now` is not within the second of the last comparison. Returns whether the clock was set
   * back. With a clock other than before there is nothing to compare it with.
   */
  check(now: number, clock = this.clock): boolean {
    return Math.abs(now - this.middle) <= halfSecond || clock === undefined ? false : this.compare(clock)
  }

  /** The time by the clock of the latest load or write. */
  now(): number {
    return (this.clock ?? this.live).unsafeCurrentTimeMillis()
  }

  private compare(clock: Clock.Clock): boolean {
    const { elapsed, own, wall } = this
    this.wall = clock.unsafeCurrentTimeMillis()
    this.own = monotonic(clock)
    this.elapsed = monotonic(this.live)
    this.middle = this.wall + halfSecond
    if (clock !== this.clock) {
      this.clock = clock
      this.drift = 0
      return false
    }
    // a monotonic reading that goes back follows the wall clock
    this.drift += wall - this.wall + (this.own >= own ? this.own - own : this.elapsed - elapsed)
    const isEarlier = this.wall < wall && this.drift > 0
    if (!isEarlier && Math.abs(this.drift) <= second) return false
    const step = Math.round(this.drift)
    this.drift = 0
    this.back += step
    if (step <= 0) return false
    this.onSetBack(step)
    return true
  }

  /** Notes that this process holds an entry, whose times are right by the present clock. */
  hold(entry: Entry): void {
    if (entry.clockBack === undefined) change(entry, { clockBack: this.back })
    else this.adjust(entry)
  }

  /**
   * The entry to hold for one that was read from a slower tier. It may come from a process whose clock is ahead, or was
   * before it was set right. Then it counts as created now, so that it lives here for its own lifetime at most.
   */
  copyOf(entry: Entry, now: number): Entry {
    this.check(now)
    const ahead = entry.clockBack === undefined ? entry.createdAt - now : 0
    const copy = ahead > 0 ? new Entry(entry.value, entry) : entry
    if (ahead > 0) setBack(copy, ahead)
    this.hold(copy)
    return copy
  }

  /** Moves the times of an entry by what the clock was set back since this process holds it. */
  adjust(entry: Entry): void {
    const { clockBack } = entry
    if (clockBack === undefined || clockBack >= this.back) return
    setBack(entry, this.back - clockBack, this.back)
  }
}

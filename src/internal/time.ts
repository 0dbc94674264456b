/**
 * The two clocks, and stamps.
 *
 * Lifetimes, schedules and load timeouts follow the fiber's `Clock`, so that `TestClock` drives them. Stamps, leases
 * and the I/O of a backend follow a live clock: adjusting a `TestClock` must not make a real socket time out.
 */
import * as Clock from "effect/Clock"
import type * as Fiber from "effect/Fiber"

const clockKey = Clock.Clock.key

type AnyFiber = Fiber.RuntimeFiber<any, any>

/** The default services that were read last, and their clock: almost every fiber has the same. Mutable by design. */
let lastServices: unknown
let lastClock: Clock.Clock

/** The clock of a fiber. */
export const clockOf = (fiber: AnyFiber): Clock.Clock => {
  const services = fiber.currentDefaultServices
  if (services !== lastServices) {
    lastServices = services
    lastClock = services.unsafeMap.get(clockKey)
  }
  return lastClock
}

/** The time of a fiber's clock in milliseconds. */
export const nowOf = (fiber: AnyFiber): number => clockOf(fiber).unsafeCurrentTimeMillis()

/** Milliseconds that never go back, even if the time of day is changed. They start at an arbitrary moment. */
export const monotonic = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1_000_000

/**
 * By how many milliseconds the drift must change before `driftOf` follows. The two readings are not exact, so smaller
 * changes may be no change.
 */
const driftTolerance = 1_000

/** The current drift of this process. Mutable by design. */
let drift = 0

/**
 * The difference between the time of day, which processes on several machines share, and `monotonic`. It changes when
 * the machine slept or its clock was set.
 */
export const driftOf = (clock: Clock.Clock): number => {
  const now = clock.unsafeCurrentTimeMillis() - monotonic(clock)
  if (Math.abs(now - drift) > driftTolerance) drift = now
  return drift
}

/** The time of day in milliseconds, with fractions. */
export const timeOfDay = (clock: Clock.Clock): number => monotonic(clock) + driftOf(clock)

/**
 * The smallest difference between two stamps, in milliseconds. A double represents it exactly, so the stamps of a
 * process can strictly increase within one millisecond.
 */
export const tick = 1 / 1024

/**
 * The stamps of a store. They order the changes to its entries. With a shared backend they are in the backend's time,
 * so that processes agree; if that has no time of its own, in the time of day. Without a shared backend they are a
 * count.
 */
export class Stamps {
  private readonly live = Clock.make()
  private last = 0
  private readonly offset: (() => number) | undefined

  /** `offset` returns the milliseconds to add to `monotonic`; without it, stamps are a count. */
  constructor(offset: (() => number) | undefined) {
    this.offset = offset
  }

  /** A new stamp, above every stamp that was made or observed. */
  next(): number {
    if (this.offset === undefined) return ++this.last
    const now = monotonic(this.live) + this.offset()
    this.last = now > this.last ? now : this.last + tick
    return this.last
  }

  /** The stamp of a moment on the live clock, as far as the backend's time is known now. */
  at(moment: number): number {
    return moment + (this.offset === undefined ? 0 : this.offset())
  }

  /** Notes a stamp of another process. What happens after it was seen gets a later stamp. */
  observe(stamp: number): void {
    if (stamp > this.last) this.last = stamp
  }
}

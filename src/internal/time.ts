/**
 * Two clocks. Lives, windows and timeouts of loads follow the fiber's `Clock`, so that a TestClock drives them. Stamps,
 * and the I/O of a medium, run on a live clock: turning a TestClock must not time a real socket out.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type * as Fiber from "effect/Fiber"

const clockKey = Clock.Clock.key

type AnyFiber = Fiber.RuntimeFiber<any, any>

/** the clock found last, and where: almost every fiber has the same default services; mutable by design */
let lastServices: unknown
let lastClock: Clock.Clock

export const clockOf = (fiber: AnyFiber): Clock.Clock => {
  const services = fiber.currentDefaultServices
  if (services !== lastServices) {
    lastServices = services
    lastClock = services.unsafeMap.get(clockKey)
  }
  return lastClock
}

export const nowOf = (fiber: AnyFiber): number => clockOf(fiber).unsafeCurrentTimeMillis()

/** whole milliseconds, rounded up; `NaN` and negative numbers are zero */
export const toMillis = (input: Duration.DurationInput): number => {
  const millis = typeof input === "number" ? input : Duration.toMillis(Duration.decode(input))
  return millis > 0 ? Math.ceil(millis) : 0
}

/** milliseconds on the live clock that never go back, whatever happens to the time of day */
export const monotonic = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1_000_000

/** by how many milliseconds the time of day may differ from what was counted on before that counts */
const maxDrift = 1_000

/** mutable by design: this process has one */
let drift = 0

/**
 * What to add to `monotonic` to get the time of day, on which processes agree: the machine may have slept since this one
 * began, or its clock been set.
 */
export const driftOf = (clock: Clock.Clock): number => {
  const now = clock.unsafeCurrentTimeMillis() - monotonic(clock)
  if (Math.abs(now - drift) > maxDrift) drift = now
  return drift
}

/** the time of day, in milliseconds and parts of them */
export const timeOfDay = (clock: Clock.Clock): number => monotonic(clock) + driftOf(clock)

/** finer than a millisecond and exact in a double: a node's stamps strictly increase */
export const tick = 1 / 1024

/**
 * Stamps order what happens to entries. In a medium that is shared they are its own time, so that processes agree;
 * in one that has none, the time of day; in one that is not shared, a count will do.
 */
export class Stamps {
  private readonly live = Clock.make()
  private last = 0
  private readonly offset: (() => number) | undefined

  constructor(offset: (() => number) | undefined) {
    this.offset = offset
  }

  next(): number {
    if (this.offset === undefined) return ++this.last
    const now = monotonic(this.live) + this.offset()
    this.last = now > this.last ? now : this.last + tick
    return this.last
  }

  /** the stamp of a moment on the live clock, now that the medium's time is known */
  at(moment: number): number {
    return moment + (this.offset === undefined ? 0 : this.offset())
  }

  /** what comes after something with this stamp was seen gets a later one */
  observe(stamp: number): void {
    if (stamp > this.last) this.last = stamp
  }
}

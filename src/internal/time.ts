/**
 * The two clocks, and stamps.
 *
 * Lifetimes, schedules and load timeouts follow the fiber's `Clock`, so that `TestClock` drives them. Stamps, leases
 * and the I/O of a backend follow a live clock: adjusting a `TestClock` must not make a real socket time out.
 */
import * as Clock from "effect/Clock"
import type * as Fiber from "effect/Fiber"
import type * as Backend from "../Backend.js"

const clockKey = Clock.Clock.key

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

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
 * By how many milliseconds a shared backend's count is raised at least by an authoritative write. A process has room for
 * stamps of its own between two counts.
 */
export const countStep = 1 / 16

/** By how many milliseconds the clocks of two processes may differ. A stamp that is further in the future is not used. */
export const maxSkew = 60_000

/**
 * The stamps of a store. They order the changes to its entries.
 *
 * A shared backend that counts (`Backend.stamps`) gives authoritative writes their stamps. A load then repeats the
 * highest count that an answer of the backend had shown when its lookup began. So nothing depends on a clock: what was
 * invalidated after the load began has a higher count, and a count that lags behind is safe. The stamps that this
 * process adds order its own marks and loads between two answers, and stay below the next count.
 *
 * Without such a backend, stamps are the time of day if processes share the backend, and else a count of this process.
 */
export class Stamps {
  private readonly live = Clock.make()
  private last = 0
  /** The latest stamp that was observed, and is noted once the backend is away. */
  private beyond = 0
  /** Whether `last` is the stamp of a mark, so that a load must get a later one. */
  private isMark = false
  private readonly backend: Pick<Backend.Backend, "stamps" | "remote">

  constructor(backend: Pick<Backend.Backend, "stamps" | "remote">) {
    this.backend = backend
  }

  /** A new stamp, for a mark: above every stamp that this process gave or observed. */
  next(): number {
    this.catchUp()
    this.last = this.above()
    this.isMark = true
    return this.last
  }

  /**
   * The stamp of a load or an entry that begins now: above every mark of this process. Where the backend counts, loads
   * between two marks may have the same stamp.
   */
  begin(): number {
    const { stamps } = this.backend
    this.catchUp()
    if (stamps === undefined || this.isMark || this.isAhead) this.last = this.above()
    else this.last = Math.max(this.last, stamps.seen() + tick)
    this.isMark = false
    return this.last
  }

  /** The time of day, where processes share the backend; elsewhere 0. */
  time(): number {
    return this.backend.remote ? timeOfDay(this.live) : 0
  }

  /**
   * Notes what was observed, once the backend is away: a load that begins then is later than a mark of which another
   * process has notified this one, so its value counts.
   */
  private catchUp(): void {
    if (this.beyond <= this.last || this.backend.stamps?.isCurrent() === true) return
    this.last = this.beyond
    this.isMark = true
  }

  private above(): number {
    const { remote, stamps } = this.backend
    if (stamps !== undefined) {
      const seen = stamps.seen()
      const above = this.last + tick
      // A stamp that reached the next count would win over a later write of another process.
      return Math.max(seen + tick, stamps.isCurrent() ? Math.min(above, seen + countStep - tick) : above)
    }
    if (!remote) return this.last + 1
    const now = timeOfDay(this.live)
    return now > this.last ? now : this.last + tick
  }

  /**
   * Notes a stamp of another process, or of an entry that was read: a mark that this process raises afterwards is not
   * below it. A backend that counts shows its count with every answer. While it answers, a stamp that reaches the next
   * count comes from elsewhere, such as another tier or a notification, and is not noted until the backend is away.
   * One from the future never is: what this process stamps afterwards would be out of reach of all others.
   */
  observe(stamp: number): void {
    if (!(stamp > this.last)) return
    const { remote, stamps } = this.backend
    if (remote && stamp > Math.max(stamps?.seen() ?? 0, timeOfDay(this.live)) + maxSkew) return
    const isNoted = stamps === undefined || (stamps.isCurrent() && stamp < stamps.seen() + countStep)
    if (isNoted) this.last = stamp
    else if (stamp > this.beyond) this.beyond = stamp
  }

  /**
   * Notes a time of this process's own, by whatever clock its fibers have: a mark that it raises afterwards is not below
   * it.
   */
  advance(time: number): void {
    if (time > this.last) this.last = time
  }

  /**
   * Whether stamps were given that the backend's next counts may not be above. A load with such a stamp must not be
   * written once the backend is back.
   */
  get isAhead(): boolean {
    const { stamps } = this.backend
    return stamps?.isCurrent() === true && this.last >= stamps.seen() + countStep
  }
}

/**
 * Marks, here and in the medium, and the delivery of what the medium did not confirm.
 *
 * A mark counts in this process from the moment it is raised. Where the medium does not confirm it, it is owed, with its
 * stamp, as owed writes are: delivered as soon as the medium is back, marks first.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import type { Entry } from "../../../Entry.js"
import { everything, maxMarks, ownerMark, tagMark } from "../../markNames.js"
import { type Stamps, tick } from "../../time.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import { MarkTable } from "./markTable.js"
import { failure } from "./readBatcher.js"
import type { WriteQueue } from "./writeQueue.js"

/** how often what is owed is tried again; a medium that tells when it is back is served at once */
const deliverEvery = "1 second"

/** by how many milliseconds the medium's time may be known too early; beyond, its clock was set since */
const clockError = 1_000

/** how many marks may be owed apart; beyond, everything older is invalidated instead */
const maxUndelivered = 1_000

export class Invalidation {
  readonly marks: MarkTable
  /** those that were raised in this process, whatever the medium has lost since */
  private readonly own = new MarkTable(() => {})
  private lost = Number.NEGATIVE_INFINITY
  /** the marks the medium has not confirmed, their stamps, and when they were raised, on the live clock */
  private readonly owed = new Map<string, { readonly asked: number; readonly stamp: number }>()
  private courier: Fiber.RuntimeFiber<unknown> | undefined = undefined
  private readonly backend: Backend.Backend
  private readonly runtime: StoreRuntime
  private readonly telemetry: Telemetry
  private readonly stamps: Stamps
  private readonly writeQueue: () => WriteQueue

  constructor(
    backend: Backend.Backend,
    runtime: StoreRuntime,
    telemetry: Telemetry,
    stamps: Stamps,
    writeQueue: () => WriteQueue
  ) {
    this.backend = backend
    this.marks = new MarkTable(() =>
      telemetry.warnOnce(
        "marks",
        `more than ${maxMarks} tags and functions invalidated, the oldest now take others along`
      )
    )
    this.runtime = runtime
    this.telemetry = telemetry
    this.stamps = stamps
    this.writeQueue = writeQueue
  }

  /** everything under these names that began before now is gone */
  unsafeRaise(names: ReadonlyArray<string>): Effect.Effect<void, CacheStoreError> {
    const stamp = this.stamps.next()
    for (const name of names) {
      this.marks.raise(name, stamp)
      this.own.raise(name, stamp)
    }
    this.telemetry.publish(() => ({ _tag: "Cleared", marks: names }))
    return this.share(
      names.map((name) => ({ name, stamp, authoritative: true })),
      this.runtime.now()
    )
  }

  /** too much is owed to tell apart */
  overflow(): void {
    this.telemetry.warnOnce("owed", "too much to deliver after an outage, everything older is invalidated")
    const stamp = this.stamps.next()
    this.marks.raise(everything, stamp)
    this.own.raise(everything, stamp)
    this.owed.clear()
    this.owed.set(everything, { asked: this.runtime.now(), stamp })
    this.owe()
  }

  /** what the medium tells of marks */
  merge(marks: Backend.Marks): void {
    this.marks.merge(marks)
    this.lost = Math.max(this.lost, marks.lost)
    this.stamps.observe(marks.floor)
    for (const [, stamp] of marks.raised) this.stamps.observe(stamp)
  }

  /** asks the medium for its marks */
  get hear(): Effect.Effect<void> {
    const { marks } = this.backend
    return marks === undefined
      ? Effect.void
      : Effect.ignore(Effect.map(marks.read, (heard) => heard !== undefined && this.merge(heard)))
  }

  /**
   * Whether what the medium holds may be what an owed mark has invalidated: until that is delivered it is a miss here,
   * whatever its stamp.
   */
  holds(entry: Entry): boolean {
    const { owed } = this
    return (
      owed.size > 0 &&
      (owed.has(everything) || owed.has(ownerMark(entry.owner)) || entry.tags.some((tag) => owed.has(tagMark(tag))))
    )
  }

  /**
   * The stamp with which an owed write is delivered: that of when it was asked for, in the medium's time; `given` is the
   * one it got then. `undefined` for an entry that was invalidated here since.
   */
  stampOwed(entry: Entry | undefined, asked: number, given: number): number | undefined {
    return entry !== undefined && !this.own.admits(entry) ? undefined : this.stampAt(asked, given)
  }

  /**
   * Above a floor that was raised only because the medium came back without its marks. All that is owed from before that
   * is then of one time, whoever owes it, and what invalidates goes before what was set.
   */
  private stampAt(asked: number, given: number): number {
    const at = this.stamps.at(asked)
    // the medium's time is known too early rather than too late; what was given is above all that was seen by then
    const stamp = given - at > clockError ? at : Math.max(at, given)
    return stamp > this.lost ? stamp : this.lost + tick
  }

  get owes(): boolean {
    return this.owed.size > 0 || this.writeQueue().owed > 0
  }

  /** tries again until nothing is owed */
  owe(): void {
    if (this.courier !== undefined) return
    this.courier = this.runtime.background(
      Effect.suspend(() => (this.backend.isUp?.() === false ? Effect.void : this.deliver)).pipe(
        Effect.delay(deliverEvery),
        Effect.repeat({ while: () => this.owes }),
        Effect.asVoid
      )
    )
    this.courier.addObserver(() => {
      this.courier = undefined
    })
  }

  /** what was raised is told before what was written after it */
  get deliver(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const owed = Array.from(this.owed, ([name, { asked, stamp }]) => ({
        name,
        stamp: this.stampAt(asked, stamp),
        authoritative: false
      }))
      const told = owed.length === 0 ? Effect.void : Effect.ignore(this.share(owed, this.runtime.now()))
      return Effect.zipRight(told, this.writeQueue().deliver)
    })
  }

  get stop(): Effect.Effect<void> {
    return Effect.sync(() => this.courier?.unsafeInterruptAsFork(this.courier.id()))
  }

  /** tells the medium, or owes what it does not confirm; `now` is when that was last raised at the latest */
  private share(raised: ReadonlyArray<Backend.Mark>, now: number): Effect.Effect<void, CacheStoreError> {
    const { marks } = this.backend
    if (marks === undefined) return Effect.void
    // what was set before goes out before
    this.writeQueue().flush()
    return Effect.async((resume) => {
      const ask = () => marks.raise(raised)
      this.runtime.run(ask, (exit) => {
        if (exit._tag === "Success") {
          this.telemetry.answered("mark")
          this.merge(exit.value)
          // what was raised again meanwhile is still owed
          for (const { name } of raised) if ((this.owed.get(name)?.asked ?? now) <= now) this.owed.delete(name)
          return resume(Effect.void)
        }
        const error = failure(exit.cause, this.backend.name, "raise")
        // a medium of several tiers tells of each
        if (this.backend.attach === undefined) this.telemetry.failed("mark", error)
        for (const { authoritative, name, stamp } of raised)
          if (authoritative) this.owed.set(name, { asked: now, stamp })
        if (this.owed.size > maxUndelivered) this.overflow()
        this.owe()
        resume(Effect.fail(error))
      })
    })
  }
}

/**
 * The problems of one store or backend: each is logged at Warning when it begins, and listed for `CacheStore.health`.
 * This keeps law 18 (nothing wrong is silent).
 *
 * A problem is identified by its name and its subject. A _state_ begins and ends. An _event_ has no end, and is
 * forgotten when it has not happened for an hour. Log lines and subjects are bounded per name, so that one kind of
 * problem neither fills the log nor hides another kind: law 17 (bounded).
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type { CacheProblem, Name } from "../CacheProblem.js"
import { monotonic, timeOfDay } from "./time.js"

/** After how many milliseconds an event is forgotten if it does not happen again. */
const forgetAfter = 3_600_000

/** The most log lines per minute of one name. A problem that was not logged for this reason is when it is next seen. */
const maxLines = 10

const minute = 60_000

/** The most subjects of one name. Further ones are counted under the subject `other`. */
const maxSubjects = 100

interface Listed {
  readonly subject: string
  message: string
  readonly isState: boolean
  readonly since: number
  last: number
  /** As `last`, on the live clock. */
  seenAt: number
  count: number
  isLogged: boolean
  /** Whether it counts among those that were left out of the log. */
  isLeftOut: boolean
}

/** The problems of one name. */
interface Kind {
  readonly bySubject: Map<string, Listed>
  /** When the latest lines were logged, on the live clock. */
  lines: ReadonlyArray<number>
  /** How many problems were left out of the log since the last line. */
  leftOut: number
}

export interface ReportOptions {
  /** Whether it is logged. Default: `true`. */
  readonly isLogged?: boolean | undefined
  /** The failure that the log line shows. */
  readonly cause?: Cause.Cause<unknown> | undefined
}

export class Problems {
  private readonly kinds = new Map<string, Kind>()
  private readonly store: string
  private readonly log: (effect: Effect.Effect<void>) => void
  private readonly live: Clock.Clock

  constructor(store: string, log: (effect: Effect.Effect<void>) => void, live = Clock.make()) {
    this.store = store
    this.log = log
    this.live = live
  }

  /** Makes the problems of a backend, which are logged by the loggers of the place where the backend is made. */
  static make(store: string): Effect.Effect<Problems> {
    return Effect.map(
      Effect.runtime<never>(),
      (runtime) => new Problems(store, (effect) => void Runtime.runFork(runtime, effect))
    )
  }

  /** Reports an event. `message` begins with the store's name. */
  report(name: Name, subject: string, message: string, options?: ReportOptions): void {
    this.add(name, subject, message, false, options)
  }

  /**
   * Reports a state, which lasts until `end` is called. `message` begins with the store's name. Of a state that is
   * reported again, the latest message is listed, because its reason may have changed.
   */
  begin(name: Name, subject: string, message: string, options?: ReportOptions): void {
    this.add(name, subject, message, true, options)
  }

  /** Ends a state. Returns whether its beginning was logged, so that its end should be. */
  end(name: Name, subject: string): boolean {
    const bySubject = this.kinds.get(name)?.bySubject
    const listed = bySubject?.get(subject)
    bySubject?.delete(subject)
    return listed?.isLogged === true
  }

  /** The problems that there are, the oldest of each name first. */
  get list(): ReadonlyArray<CacheProblem> {
    if (this.kinds.size === 0) return []
    const now = monotonic(this.live)
    return Array.from(this.kinds, ([name, { bySubject }]) => {
      forget(bySubject, now)
      return Array.from(bySubject.values(), ({ count, last, message, since, subject }) => ({
        name,
        subject,
        message,
        since,
        last,
        count
      }))
    }).flat()
  }

  private add(name: Name, given: string, message: string, isState: boolean, options: ReportOptions = {}) {
    const { cause, isLogged = true } = options
    const kind: Kind = this.kinds.get(name) ?? { bySubject: new Map(), lines: [], leftOut: 0 }
    this.kinds.set(name, kind)
    const { bySubject } = kind
    const now = monotonic(this.live)
    if (!bySubject.has(given) && bySubject.size >= maxSubjects) forget(bySubject, now)
    const subject = bySubject.has(given) || bySubject.size < maxSubjects ? given : "other"
    let listed = bySubject.get(subject)
    const at = Math.round(timeOfDay(this.live))
    if (listed === undefined || isForgotten(listed, now)) {
      listed = {
        subject,
        message,
        isState,
        since: at,
        last: at,
        seenAt: now,
        count: 0,
        isLogged: false,
        isLeftOut: false
      }
      bySubject.set(subject, listed)
    }
    if (isState) listed.message = message
    listed.last = at
    listed.seenAt = now
    listed.count++
    if (!isLogged || listed.isLogged) return
    kind.lines = kind.lines.filter((line) => now - line < minute)
    if (kind.lines.length >= maxLines) {
      if (!listed.isLeftOut) kind.leftOut++
      listed.isLeftOut = true
      return
    }
    const others = kind.leftOut - (listed.isLeftOut ? 1 : 0)
    const text = others === 0 ? message : `${message} (${others} more like this were not logged)`
    kind.lines = [...kind.lines, now]
    kind.leftOut = 0
    listed.isLogged = true
    const line = cause === undefined ? Effect.logWarning(text) : Effect.logWarning(text, cause)
    this.log(Effect.annotateLogs(line, { "cache.store": this.store, "cache.problem": name }))
  }
}

const isForgotten = ({ isState, seenAt }: Listed, now: number): boolean => !isState && now - seenAt >= forgetAfter

const forget = (bySubject: Map<string, Listed>, now: number): void => {
  for (const [subject, listed] of bySubject) if (isForgotten(listed, now)) bySubject.delete(subject)
}

/**
 * A circuit breaker in front of a remote backend. After several failures in a row the backend is not asked for a pause:
 * operations fail at once, as they do while a client is not connected. So reads miss without waiting, and what was set or
 * invalidated is undelivered. After the pause one operation is let through as a probe. If it succeeds, everything is.
 *
 * Failures. A timeout always counts. An error that the backend answered with counts for reads only: it costs a writer no
 * time, and a full server or disk that refuses values still answers reads and takes removals. That the client is not
 * connected does not count where the backend says so by itself (`isUp`), because it then skips operations itself.
 *
 * Hysteresis. A breaker that opens again within a minute of its last failure logs nothing: it is the same outage. Its end
 * is logged when nothing has failed for a minute.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Stream from "effect/Stream"
import type * as Backend from "../../Backend.js"
import { CacheStoreError } from "../../CacheError.js"
import * as AsyncEffect from "../asyncEffect.js"
import { checkCount, decodeFinite } from "../options.js"
import { Problems } from "../problems.js"
import { monotonic, timeOfDay } from "../time.js"

/** The options of a breaker, as a user writes them. `false`: there is none. */
export type Options =
  | {
      readonly failures?: number | undefined
      readonly pause?: Duration.DurationInput | undefined
    }
  | false

const defaultFailures = 5
const defaultPause = "2 seconds"

/** For how many milliseconds nothing must have failed before the end of an outage is logged. */
const outageEnd = 60_000

/** After how many milliseconds an operation that has no answer counts as failed: no store waits longer. */
const longestOperation = 10_000

/** How an operation has ended. `refused`: with an error that says nothing about whether the backend answers reads. */
export type Outcome = "answered" | "failed" | "refused" | "skipped"

export interface BreakerOptions {
  readonly failures: number
  /** In milliseconds. */
  readonly pause: number
  /** The live clock. */
  readonly now: () => number
  /** Called when the breaker opens, after a closed phase or a probe. `isLogged`: it is the beginning of an outage. */
  readonly onOpen: (isLogged: boolean) => void
  readonly onClose: () => void
  /** Called once when nothing has failed for a minute after the breaker was open. */
  readonly onOver: () => void
}

/** Operations run. `failures` of them in a row have failed. */
interface Closed {
  readonly _tag: "Closed"
  readonly failures: number
}

/** Operations are skipped until `until`; then the next one is the probe. */
interface Open {
  readonly _tag: "Open"
  readonly until: number
}

/** One operation runs as the probe, and the others are skipped. */
interface Probing {
  readonly _tag: "Probing"
  readonly since: number
}

const closed = (failures: number): Closed => ({ _tag: "Closed", failures })

/** A running operation. */
export interface Pass {
  /** The state in which it was let through. */
  readonly state: Closed | Probing
  readonly since: number
}

export class Breaker {
  private state: Closed | Open | Probing = closed(0)
  /** How many operations were skipped. */
  skipped = 0
  /** The operations that run, the oldest first. One that was given up stays until it counts as failed. */
  private readonly running = new Set<Pass>()
  /** When an operation failed last in an outage whose end was not logged. */
  private lastFailure: number | undefined = undefined
  private readonly options: BreakerOptions

  constructor(options: BreakerOptions) {
    this.options = options
  }

  get isOpen(): boolean {
    return this.state._tag !== "Closed"
  }

  /** Whether an operation would be let through now. */
  get mayAsk(): boolean {
    const { state } = this
    if (state._tag === "Closed") return true
    const now = this.options.now()
    return state._tag === "Open" ? now >= state.until : now - state.since >= longestOperation
  }

  /** Lets an operation through, or skips it. */
  enter(): Pass | undefined {
    const since = this.options.now()
    this.endOverdue(since)
    const { state } = this
    if (state._tag === "Closed") {
      const pass: Pass = { state, since }
      this.running.add(pass)
      return pass
    }
    if (!this.mayAsk) {
      this.skipped++
      return undefined
    }
    const probe: Probing = { _tag: "Probing", since }
    this.state = probe
    return { state: probe, since }
  }

  /** An operation that was let through has ended. */
  leave(pass: Pass, outcome: Outcome): void {
    if (pass.state._tag === "Probing") {
      // another probe may have begun meanwhile, or the connection was made anew
      if (this.state === pass.state) this.endProbe(outcome)
      return
    }
    const wasOverdue = !this.running.delete(pass)
    if (!wasOverdue || outcome === "answered") this.count(outcome)
  }

  private count(outcome: Outcome): void {
    if (this.state._tag === "Closed") {
      if (outcome === "failed") this.fail(this.state.failures + 1)
      else if (outcome === "answered") this.succeed()
    }
  }

  /** The backend reports that it answers again: the next operation is the probe, without a further pause. */
  endPause(): void {
    if (this.state._tag === "Open") this.state = { _tag: "Open", until: Number.NEGATIVE_INFINITY }
  }

  /**
   * Counts operations that have had no answer for too long as failed. The handlers of one that was interrupted did not
   * run: handlers that run in any case would cost each read more than the rest of the breaker.
   */
  private endOverdue(now: number): void {
    for (const pass of this.running) {
      if (now - pass.since < longestOperation) return
      this.running.delete(pass)
      this.count("failed")
    }
  }

  private endProbe(outcome: Outcome): void {
    if (outcome === "failed" || outcome === "skipped") return this.fail(this.options.failures)
    // after a refusal, one more failure opens it again
    this.state = closed(outcome === "answered" ? 0 : this.options.failures - 1)
    this.options.onClose()
  }

  private succeed(): void {
    if (this.state !== healthy) this.state = healthy
    if (this.lastFailure === undefined || this.options.now() - this.lastFailure < outageEnd) return
    this.lastFailure = undefined
    this.options.onOver()
  }

  private fail(failures: number): void {
    const now = this.options.now()
    if (failures < this.options.failures) {
      if (this.lastFailure !== undefined && now - this.lastFailure < outageEnd) this.lastFailure = now
      this.state = closed(failures)
      return
    }
    const isLogged = this.lastFailure === undefined || now - this.lastFailure >= outageEnd
    this.lastFailure = now
    this.state = { _tag: "Open", until: now + this.options.pause }
    this.options.onOpen(isLogged)
  }
}

const healthy = /*#__PURE__*/ closed(0)

// ------------------------------------------------------------------------------------------------- in front of a backend

type Kind = "read" | "write"

/** Puts a breaker in front of a remote backend. `of` is the name of the store or tier, for `InvalidOption`. */
export const guard = (
  backend: Backend.Backend,
  options: Options | undefined,
  of: string
): Effect.Effect<Backend.Backend> => {
  if (options === false || !backend.remote) return Effect.succeed(backend)
  return Effect.gen(function* () {
    const failures = checkCount("breaker.failures", options?.failures ?? defaultFailures, of)
    const pause = decodeFinite("breaker.pause", options?.pause ?? defaultPause, of)
    const problems = yield* Problems.make(backend.name)
    const runtime = yield* Effect.runtime<never>()
    return new Guard(backend, { failures, pause }, { problems, runtime }).backend
  })
}

class Guard {
  private readonly inner: Backend.Backend
  private readonly problems: Problems
  private readonly live = Clock.make()
  private readonly breaker: Breaker
  private readonly listeners = new Set<(change: Backend.Change) => void>()
  /** When the breaker was opened, in milliseconds since 1970, while it is open. */
  private openSince: number | undefined = undefined

  constructor(
    inner: Backend.Backend,
    { failures, pause }: { readonly failures: number; readonly pause: number },
    { problems, runtime }: { readonly problems: Problems; readonly runtime: Runtime.Runtime<never> }
  ) {
    this.inner = inner
    this.problems = problems
    const { name } = inner
    this.breaker = new Breaker({
      failures,
      pause,
      now: () => monotonic(this.live),
      onOpen: (isLogged) => {
        this.openSince ??= timeOfDay(this.live)
        problems.begin(
          "BreakerOpen",
          "",
          `${name}: ${failures} operations in a row failed, so its breaker is open: for ${pause} ms nothing is sent to it, ` +
            "and then one operation as a probe. Until that succeeds, reads run their lookups, and what is set or " +
            "invalidated applies in this process and is delivered later. Check that the backend is reachable and fast " +
            "enough.",
          { isLogged }
        )
      },
      onClose: () => {
        this.openSince = undefined
        problems.end("BreakerOpen", "")
        for (const listener of this.listeners) listener({ _tag: "Up", isProbed: true })
      },
      onOver: () => {
        Runtime.runFork(runtime, Effect.logInfo(`${name}: the breaker is closed, and nothing has failed for a minute`))
      }
    })
  }

  get backend(): Backend.Backend {
    const { breaker, inner } = this
    const { list, lock, marks, renew, stamps, sweep } = inner
    return {
      ...inner,
      getMany: (reads) =>
        reads.some(({ explains }) => explains === true)
          ? this.explaining(inner.getMany(reads))
          : this.run("read", "getMany", inner.getMany(reads), ({ found }) => allFailed(found, errorFound)),
      setMany: (writes) => this.run("write", "setMany", inner.setMany(writes), (all) => allFailed(all, errorOf)),
      setIfAbsent: (write, options) =>
        this.run("write", "setIfAbsent", inner.setIfAbsent(write, options), (one) => errorOf(one)),
      removeMany: (removals) =>
        this.run("write", "removeMany", inner.removeMany(removals), (all) => allFailed(all, errorOf)),
      // no caller waits for it, so it is no probe
      renew:
        renew &&
        ((renewals) =>
          Effect.suspend(() =>
            breaker.isOpen
              ? Effect.fail(this.skipped("renew"))
              : this.run("write", "renew", renew(renewals), (all) => allFailed(all, errorOf))
          )),
      sweep: sweep && ((request) => this.run("write", "sweep", sweep(request))),
      list: list && ((listing) => this.run("write", "list", list(listing))),
      marks: marks && {
        ...marks,
        read: this.run("read", "marks", marks.read),
        raise: (raised) => this.run("write", "raise", marks.raise(raised))
      },
      lock: lock && ((key, lease) => this.run("write", "lock", lock(key, lease))),
      stamps: stamps && {
        seen: stamps.seen,
        raise: this.run("write", "raise", stamps.raise),
        isCurrent: () => !breaker.isOpen && stamps.isCurrent()
      },
      changes: Stream.merge(this.innerChanges, this.ownChanges),
      isUp: () => breaker.mayAsk && inner.isUp?.() !== false,
      problems: () => [...this.problems.list, ...(inner.problems?.() ?? [])],
      states: () => [
        {
          tier: inner.name,
          isUp: !breaker.isOpen && inner.isUp?.() !== false,
          openSince: this.openSince,
          skipped: breaker.skipped
        }
      ]
    }
  }

  /** The changes of the backend. What reports that it is up need not wait for the end of a pause. */
  private get innerChanges(): Stream.Stream<Backend.Change> {
    return Stream.tap(this.inner.changes ?? Stream.empty, (change) =>
      Effect.sync(() => {
        if (change._tag === "Up") this.breaker.endPause()
      })
    )
  }

  private get ownChanges(): Stream.Stream<Backend.Change> {
    return Stream.async((emit) => {
      const listener = (change: Backend.Change) => void emit.single(change)
      this.listeners.add(listener)
      return Effect.sync(() => this.listeners.delete(listener))
    })
  }

  /** Runs an operation, or skips it. `failure` finds the error of an answer in which every part failed. */
  private run<A>(
    kind: Kind,
    method: string,
    operation: Effect.Effect<A, CacheStoreError>,
    failure: (answer: A) => CacheStoreError | undefined = () => undefined
  ): Effect.Effect<A, CacheStoreError> {
    return AsyncEffect.suspend(() => {
      const pass = this.breaker.enter()
      if (pass === undefined) return Exit.fail(this.skipped(method))
      return AsyncEffect.andThen(operation, (exit) => {
        const reason = exit._tag === "Success" ? failure(exit.value)?.reason : reasonOf(exit.cause)
        this.breaker.leave(pass, this.outcomeOf(kind, reason))
        return exit
      })
    })
  }

  /** An explanation asks where a read would, and counts neither as a success, nor as a failure, nor as skipped. */
  private explaining<A>(operation: Effect.Effect<A, CacheStoreError>): Effect.Effect<A, CacheStoreError> {
    return AsyncEffect.suspend(() => (this.breaker.mayAsk ? operation : Exit.fail(this.skipped("getMany"))))
  }

  private skipped(method: string): CacheStoreError {
    return new CacheStoreError({ reason: "Disconnected", store: this.inner.name, method })
  }

  private outcomeOf(kind: Kind, reason: CacheStoreError["reason"] | undefined): Outcome {
    switch (reason) {
      case undefined:
        return "answered"
      case "Timeout":
        return "failed"
      case "Rejected":
        return kind === "read" ? "failed" : "refused"
      default:
        return this.inner.isUp === undefined ? "failed" : "skipped"
    }
  }
}

/** Why an operation failed. One that was interrupted was given up, because it did not answer in time. */
const reasonOf = (cause: Cause.Cause<CacheStoreError>): CacheStoreError["reason"] => {
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  return error?.reason ?? (Cause.isInterrupted(cause) ? "Timeout" : "Rejected")
}

const errorFound = (found: Backend.Found): CacheStoreError | undefined =>
  found instanceof CacheStoreError ? found : undefined

/** A backend of somebody else may answer with fewer results than there were requests. */
const errorOf = (written: Backend.Written | undefined): CacheStoreError | undefined =>
  written?._tag === "Failed" ? written.error : undefined

/** The first error of an answer in which every part is one. */
const allFailed = <A>(
  parts: ReadonlyArray<A>,
  errorOf: (part: A) => CacheStoreError | undefined
): CacheStoreError | undefined => {
  const errors = parts.map(errorOf)
  return errors.every((error) => error !== undefined) ? errors[0] : undefined
}

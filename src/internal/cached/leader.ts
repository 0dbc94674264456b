/**
 * Leadership: of several processes only the one that holds the lock of a key runs a term. Every write of a term
 * carries the token of its lock, so that a leader that lost its lease without noticing (its process was frozen, say)
 * writes nothing.
 *
 * Leases follow the live clock. Where the backend has no lock, this process is the only one and leads at once.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { Definition } from "../engine/definition.js"
import type { Engine } from "../engine/engine.js"
import { type Acquired, firstPause, Lease, longestPause } from "../engine/peers/loadLock.js"

/**
 * - `Standby`: another process leads, or none does yet
 * - `Leading`: this process holds the lock; without a lease where the backend has no lock
 * - `Lost`: the term is over, by the loss of the lease, a refused write or its own end
 *
 * A term goes from `Standby` to `Leading` to `Lost`, and never back.
 */
type State =
  | { readonly _tag: "Standby" }
  | { readonly _tag: "Leading"; readonly lease: Lease | undefined }
  | { readonly _tag: "Lost"; readonly lease: Lease | undefined }

/** One term of leadership, from standby to its end. */
class Term {
  private state: State = { _tag: "Standby" }
  private readonly loss = Deferred.unsafeMake<void>(FiberId.none)

  get isStandby(): boolean {
    return this.state._tag === "Standby"
  }

  get isLeading(): boolean {
    return this.state._tag === "Leading"
  }

  /** Ends when the term is lost. */
  get lost(): Effect.Effect<void> {
    return Deferred.await(this.loss)
  }

  elect(lease: Lease | undefined): void {
    if (this.state._tag === "Standby") this.state = { _tag: "Leading", lease }
  }

  /** Does nothing unless the term leads: one of its writes may be refused after it is over. */
  lose(): void {
    if (this.state._tag !== "Leading") return
    this.state = { _tag: "Lost", lease: this.state.lease }
    Deferred.unsafeDone(this.loss, Exit.void)
  }

  /** Ends the term and gives the lock back, so that another process can lead at once. */
  resign(): void {
    this.lose()
    if (this.state._tag === "Lost") this.state.lease?.release()
  }
}

export class Leader {
  private term: Term | undefined = undefined
  private readonly engine: Engine
  private readonly def: Definition
  private readonly key: string
  private readonly lease: number

  constructor(engine: Engine, def: Definition, key: string, lease: number) {
    this.engine = engine
    this.def = def
    this.key = key
    this.lease = lease
  }

  /** Whether this process leads, as far as it knows. */
  get leads(): boolean {
    return this.term?.isLeading === true
  }

  /**
   * Runs `work` whenever this process leads. `work` is interrupted when the lease is lost, and receives whether another
   * term came before this one. When `work` ends by itself, or this effect is interrupted, the lock is given back at
   * once.
   */
  during<E, R>(work: (tookOver: boolean) => Effect.Effect<void, E, R>): Effect.Effect<void, E, R> {
    const { engine } = this
    if (engine.backend.lock === undefined) {
      if (engine.backend.remote) engine.telemetry.recordNoLock(this.def.name)
      return this.alone(Effect.suspend(() => work(false)))
    }
    return Effect.suspend(() => {
      engine.notifications.listen()
      let tookOver = false
      const once = Effect.suspend(() => {
        const term = this.once(work, tookOver)
        tookOver = true
        return term
      })
      return Effect.asVoid(Effect.repeat(once, { until: (isDone) => isDone }))
    })
  }

  private alone<E, R>(work: Effect.Effect<void, E, R>): Effect.Effect<void, E, R> {
    return Effect.suspend(() => {
      const term = this.newTerm()
      term.elect(undefined)
      return Effect.ensuring(
        work,
        Effect.sync(() => term.resign())
      )
    })
  }

  private newTerm(): Term {
    const term = new Term()
    this.term = term
    return term
  }

  /**
   * Runs one term, as soon as this process is elected. Returns whether `work` ended by itself, before the term was
   * lost.
   */
  private once<E, R>(
    work: (tookOver: boolean) => Effect.Effect<void, E, R>,
    isSuccessor: boolean
  ): Effect.Effect<boolean, E, R> {
    return Effect.suspend(() => {
      const { engine, key } = this
      const term = this.newTerm()
      return Effect.ensuring(
        Effect.flatMap(this.campaign(term), (metLeader) =>
          Effect.raceFirst(
            Effect.as(
              Effect.suspend(() => work(isSuccessor || metLeader)),
              true
            ),
            Effect.as(term.lost, false)
          )
        ),
        // the last write of the term needs the lock
        Effect.zipRight(
          engine.writeQueue.awaitEnd(key),
          Effect.sync(() => term.resign())
        )
      )
    })
  }

  /** Requests the lock until this process has it. Returns whether another process was found to hold it. */
  private campaign(term: Term): Effect.Effect<boolean> {
    const { engine, key } = this
    let metLeader = false
    const request = engine.loadLock.acquire({
      key,
      lease: this.lease,
      onAcquired: (acquired) => this.elected(term, acquired)
    })
    const attempt = (pause: number): Effect.Effect<boolean> => {
      const ask = Effect.map(request, (remaining) => {
        if (!term.isStandby) return undefined
        if (remaining !== undefined) metLeader = true
        return Math.max(1, Math.min(remaining ?? pause, longestPause))
      })
      return Effect.flatMap(engine.notifications.waitAfter(key, ask), () =>
        term.isStandby ? attempt(Math.min(pause * 2, longestPause)) : Effect.succeed(metLeader)
      )
    }
    return attempt(firstPause)
  }

  private elected(term: Term, acquired: Acquired): void {
    const { engine } = this
    const lease = new Lease(engine.runtime, acquired, {
      millis: this.lease,
      // a leader whose lock nobody confirmed for a whole lease must assume that another process has it
      isWanted: (unconfirmed) => unconfirmed < this.lease,
      onEnd: (isLost) => {
        if (isLost) engine.telemetry.recordLockLost(this.def.name, "another process may lead now")
        term.lose()
      }
    })
    if (acquired.isAbandoned) return lease.release()
    term.elect(lease)
    const refused = () => {
      engine.telemetry.recordFenced(this.def.name)
      term.lose()
    }
    this.def.fence = { token: acquired.held.token, refused }
  }
}

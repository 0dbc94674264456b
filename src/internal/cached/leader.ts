/**
 * One process among several does something, by the lock of a key: whoever holds it leads, until the lease is lost. What
 * it writes names its lock, so that a leader who has lost it unawares, frozen say, writes nothing.
 *
 * Leases run on the live clock. Where the medium knows no lock this process is the only one, and leads at once.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Backend from "../../Backend.js"
import type { Definition } from "../engine/definition.js"
import type { Engine } from "../engine/engine.js"
import { firstPause, longestPause } from "../engine/peers/news.js"

export class Leader {
  /** whether this process leads, as far as it knows; mutable by design */
  leads = false
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

  /**
   * Does it whenever this process leads. It is interrupted when the lease is lost, and told whether another led before;
   * when it ends by itself, or this does, the lead is handed over at once.
   */
  during<E, R>(term: (tookOver: boolean) => Effect.Effect<void, E, R>): Effect.Effect<void, E, R> {
    const { engine } = this
    if (engine.backend.lock === undefined) {
      return Effect.suspend(() => {
        this.leads = true
        return Effect.ensuring(
          term(false),
          Effect.sync(() => {
            this.leads = false
          })
        )
      })
    }
    return Effect.suspend(() => {
      engine.peers.listen()
      return Effect.flatMap(this.once(term, false), (isDone) =>
        isDone
          ? Effect.void
          : Effect.repeat(
              Effect.suspend(() => this.once(term, true)),
              { until: (isDone) => isDone }
            )
      )
    })
  }

  /** one term, once it is this process's turn; `false` when the lease was lost */
  private once<E, R>(
    term: (tookOver: boolean) => Effect.Effect<void, E, R>,
    tookOver: boolean
  ): Effect.Effect<boolean, E, R> {
    return Effect.suspend(() => {
      const { engine, key } = this
      const lost = Deferred.unsafeMake<void>(FiberId.none)
      let resign = () => {}
      let elected = false
      let over = false
      const lose = () => {
        // a write of this term may be refused when the next has begun
        if (over) return
        over = true
        this.leads = false
        Deferred.unsafeDone(lost, Exit.void)
      }
      let ledBefore = tookOver
      const onHeld = (held: Backend.Held, asked: number, gone: boolean) => {
        const release = () =>
          engine.runtime.run(
            () => held.release,
            () => {}
          )
        if (gone) return release()
        elected = true
        this.leads = true
        const refused = () => {
          engine.telemetry.fenced(key)
          lose()
        }
        this.def.fence = { token: held.token, refused }
        const watch = engine.runtime.background(Effect.map(this.renewing(held, asked), lose))
        resign = () => {
          lose()
          watch.unsafeInterruptAsFork(FiberId.none)
          release()
        }
      }
      /** asks for the lead; gives for how long to wait before it asks again */
      const ask = (pause: number) =>
        Effect.suspend(() => {
          const asked = engine.runtime.now()
          const answer = engine.peers.ask(key, this.lease, (held, gone) => onHeld(held, asked, gone))
          return Effect.map(answer, (left) => {
            if (elected) return undefined
            if (left !== undefined) ledBefore = true
            return Math.max(1, Math.min(left ?? pause, longestPause))
          })
        })
      const campaign = (pause: number): Effect.Effect<void> =>
        Effect.flatMap(engine.peers.inTurn(key, ask(pause)), () =>
          elected ? Effect.void : campaign(Math.min(pause * 2, longestPause))
        )
      const whole = Effect.suspend(() => Effect.as(term(ledBefore), true))
      return Effect.ensuring(
        Effect.zipRight(campaign(firstPause), Effect.raceFirst(whole, Effect.as(Deferred.await(lost), false))),
        // what was loaded last is written while it still may be
        Effect.zipRight(
          engine.writeQueue.ended(key),
          Effect.sync(() => resign())
        )
      )
    })
  }

  /** keeps a lock; ends when it is lost, or when nobody could say for a whole lease that it is not */
  private renewing(held: Backend.Held, asked: number): Effect.Effect<void> {
    const { runtime } = this.engine
    let confirmed = asked
    const renew = Effect.suspend(() => {
      const now = runtime.now()
      return Effect.matchCause(held.renew, {
        onFailure: () => runtime.now() - confirmed < this.lease,
        onSuccess: (still) => {
          if (still) confirmed = now
          return still
        }
      })
    })
    return Effect.repeat(Effect.zipRight(runtime.sleep(Math.max(1, this.lease / 3)), renew), {
      while: (still) => still
    }).pipe(Effect.asVoid)
  }
}

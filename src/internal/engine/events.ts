/**
 * The events of one store. No event is made as long as nobody subscribes. A subscriber never delays the store: what it
 * has not taken yet waits in a buffer of its own, from which the oldest events are dropped.
 *
 * Of the events of reads and writes (`Hit`, `Stale`, `Miss` and `Set`) a part may be enough, because a busy store has
 * many: `sampling` is the likelihood with which each is published.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import type * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CacheEvent, MissReason } from "../../CacheEvent.js"

/** How many events a slow subscriber may be behind. Beyond that, it loses the oldest. */
const capacity = 1_024

/** Why a read was a miss. */
export interface MissCause {
  readonly reason: MissReason
  /** The tag that was invalidated. */
  readonly tag?: string | undefined
}

/** How long a load took. Only listeners hear it. */
export interface Timing {
  readonly _tag: "Timing"
  readonly name: string
  readonly millis: number
  readonly isRefresh: boolean
  readonly isSuccess: boolean
}

/** What a subscriber hears. */
export type Heard = CacheEvent | Timing

interface Subscriber {
  readonly isTimed: boolean
  readonly onEvent: (event: Heard) => void
  readonly onEnd: () => void
}

/** The events that a subscriber has not taken yet. */
interface Subscription<E> {
  readonly mailbox: Mailbox.Mailbox<E>
  /** Call it with the number of events that were taken: how many were dropped since the last call. */
  readonly takeLost: (taken: number) => number
}

export class Events {
  /** Whether anybody subscribes. Mutable by design. */
  isHeard = false
  /** Called when the first subscriber comes, and when the last one leaves. Mutable by design: the engine sets it. */
  onHeard: () => void = () => {}
  private closed = false
  private readonly subscribers = new Set<Subscriber>()
  private readonly sampling: number
  private readonly random: Random.Random
  /** How many events of reads and writes are still left out before the next one; `undefined` before the first. */
  private leftOut: number | undefined = undefined

  constructor(random: Random.Random, sampling: number) {
    this.random = random
    this.sampling = sampling
  }

  readonly publish = (event: () => CacheEvent): void => {
    if (this.isHeard) this.send(event())
  }

  /** Whether the present read or write is to be published: somebody subscribes, and it is one of the sample. */
  wantsRead(): boolean {
    return this.isHeard && (this.sampling === 1 || this.isSampled())
  }

  /** Tells those who have asked for it how long a load took. */
  publishTiming(timing: () => Omit<Timing, "_tag">): void {
    if (!this.isHeard) return
    for (const { isTimed, onEvent } of this.subscribers) if (isTimed) onEvent({ _tag: "Timing", ...timing() })
  }

  /** Publishes an event that is wanted. */
  send(event: CacheEvent): void {
    for (const { onEvent } of this.subscribers) onEvent(event)
  }

  /** Draws once per sampled event how many are left out: as likely as to draw for each, and cheaper. */
  private isSampled(): boolean {
    this.leftOut ??= this.draw()
    if (this.leftOut > 0) {
      this.leftOut--
      return false
    }
    this.leftOut = this.draw()
    return true
  }

  private draw(): number {
    if (this.sampling === 0) return Number.POSITIVE_INFINITY
    return Math.floor(Math.log(1 - Effect.runSync(this.random.next)) / Math.log(1 - this.sampling))
  }

  /** The events from the moment of subscription on. */
  get stream(): Stream.Stream<CacheEvent> {
    return Stream.unwrapScoped(
      Effect.map(this.subscribed<CacheEvent>(false), ({ mailbox }) => Mailbox.toStream(mailbox))
    )
  }

  /** What a subscriber has not taken yet, until the scope closes. With `isTimed` it also hears how long loads took. */
  subscribed<E extends Heard = Heard>(isTimed: boolean): Effect.Effect<Subscription<E>, never, Scope.Scope> {
    return Effect.flatMap(Mailbox.make<E>({ capacity, strategy: "sliding" }), (mailbox) => {
      let untaken = 0
      const onEvent = (event: Heard) => {
        untaken++
        mailbox.unsafeOffer(event as E)
      }
      const takeLost = (taken: number): number => {
        const waiting = Option.getOrElse(mailbox.unsafeSize(), () => 0)
        const lost = untaken - taken - waiting
        untaken = waiting
        return lost
      }
      const subscriber = { isTimed, onEvent, onEnd: () => void mailbox.unsafeDone(Exit.void) }
      const subscribing = Effect.sync(() => this.subscribe(subscriber))
      const leaving = (leave: () => void) => Effect.zipRight(Effect.sync(leave), mailbox.shutdown)
      return Effect.as(Effect.acquireRelease(subscribing, leaving), { mailbox, takeLost })
    })
  }

  private subscribe(subscriber: Subscriber): () => void {
    if (this.closed) subscriber.onEnd()
    else this.subscribers.add(subscriber)
    this.hear()
    return () => {
      this.subscribers.delete(subscriber)
      this.hear()
    }
  }

  private hear(): void {
    this.isHeard = this.subscribers.size > 0
    this.onHeard()
  }

  /** Ends every stream. */
  get close(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.closed = true
      for (const { onEnd } of this.subscribers) onEnd()
      this.subscribers.clear()
      this.hear()
    })
  }
}

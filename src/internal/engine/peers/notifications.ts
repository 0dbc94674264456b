/**
 * The notifications of what other processes on the same backend did. Each is applied to the store and its copies.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type * as Backend from "../../../Backend.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import type { Coherence } from "./coherence.js"
import { KeyListeners } from "./keyListeners.js"
import { Signal } from "./signal.js"

/** The store that notifications are applied to. */
export interface NotifiedStore {
  readonly closed: boolean
  /** Another process wrote or removed a key. */
  readonly changed: (changed: Backend.Changed) => void
  /** Another process raised marks. */
  readonly raised: (marks: Backend.Marks) => void
  /** No notification is missed from now on. */
  readonly armed: () => void
}

/** A shorter silence, in milliseconds, is no sign of a fault: a heartbeat takes its time to Redis and back. */
const shortestSilence = 100

/** The longest in milliseconds that notifications take to begin, once the backend is up. */
const longestArming = 5_000

export interface PeerNotificationsOptions {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly coherence: Coherence | undefined
  /** How many milliseconds copies in memory count while no notifications arrive. */
  readonly blindTtl: number
}

export class PeerNotifications {
  /** Whether notifications arrive. */
  private isArmed = false
  private listening: Fiber.RuntimeFiber<unknown> | undefined = undefined
  /** Fibers that wait until another process has written a key or given its lock back. */
  private readonly waiting = new KeyListeners()
  private readonly store: NotifiedStore
  private readonly options: PeerNotificationsOptions

  constructor(store: NotifiedStore, options: PeerNotificationsOptions) {
    this.store = store
    this.options = options
  }

  /** Listens from now on. Does nothing when it listens already, or the backend sends no notifications. */
  listen(): void {
    const { backend, blindTtl, runtime } = this.options
    if (backend.notifications === undefined || this.listening !== undefined || this.store.closed) return
    const applied = Stream.runForEach(backend.notifications(Math.max(blindTtl, shortestSilence)), (notification) =>
      Effect.sync(() => this.apply(notification))
    )
    this.listening = runtime.background(
      Effect.raceFirst(
        // a stream that ends, or dies, reports nothing any more
        Effect.zipRight(
          Effect.exit(applied),
          Effect.sync(() => this.goBlind(runtime.now()))
        ),
        this.watch
      )
    )
  }

  /**
   * Reports from time to time that notifications do not arrive although the backend is up: its stream says so only when
   * they cease to arrive.
   */
  private get watch(): Effect.Effect<never> {
    const check = Effect.sync(() => {
      if (!this.isArmed && this.options.backend.isUp?.() !== false) this.reportBlind()
    })
    return Effect.forever(Effect.zipRight(this.options.runtime.sleep(longestArming), check))
  }

  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { listening } = this
      return listening === undefined ? Effect.void : this.options.runtime.end(listening)
    })
  }

  private apply(notification: Backend.Notification): void {
    const { store } = this
    switch (notification._tag) {
      case "Armed":
        this.isArmed = true
        this.options.coherence?.arm()
        this.options.telemetry.notificationsRestored()
        return store.armed()
      case "Blind":
        return this.goBlind(notification.since)
      case "Keys":
        for (const changed of notification.keys) {
          store.changed(changed)
          this.waiting.notify(changed.key)
        }
        return
      case "Marks":
        return store.raised(notification.marks)
      case "Free":
        this.waiting.notify(notification.key)
    }
  }

  private goBlind(since: number): void {
    const { backend, coherence } = this.options
    this.isArmed = false
    coherence?.goBlind(since)
    // without copies in memory, an outage of the backend has no further consequence
    if (coherence !== undefined || backend.isUp?.() !== false) this.reportBlind()
  }

  /** A store that keeps no copies listens for mirrors and locks, which then ask at intervals. */
  private reportBlind(): void {
    const { blindTtl, coherence, telemetry } = this.options
    telemetry.notificationsLost(
      coherence === undefined
        ? "mirrors and waits for a lock ask the backend at intervals instead"
        : `a copy in memory is served for ${blindTtl} ms at most, and slower tiers are read more often`
    )
  }

  /**
   * Runs `ask`, then waits for the number of milliseconds it returned, or until a notification about the key arrives.
   * Returns that number; `undefined` means that there was nothing to wait for.
   */
  waitAfter(key: string, ask: Effect.Effect<number | undefined>): Effect.Effect<number | undefined> {
    return Effect.suspend(() => {
      const signal = new Signal()
      // listens before it asks, because the notification may arrive before the answer
      const leave = this.waiting.listen(key, signal.notify)
      const wait = (millis: number) => Effect.raceFirst(signal.wait, this.options.runtime.sleep(millis))
      return Effect.ensuring(
        Effect.tap(ask, (millis) => (millis === undefined ? Effect.void : wait(millis))),
        Effect.sync(leave)
      )
    })
  }
}

/**
 * Other processes on the same medium: what they tell of their writes, and the lock that lets one of them load.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import type { Entry } from "../../../Entry.js"
import { failure } from "../io/readBatcher.js"
import type { Flight } from "../loads/flight.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import type { Coherence } from "./coherence.js"

/** what it needs of the engine that listens */
export interface Host {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly closed: boolean
  readonly changed: (changed: Backend.Changed) => void
  readonly raised: (marks: Backend.Marks) => void
  readonly armed: () => void
}

/** a lock that somebody else holds is asked for again after this many milliseconds, and twice as long each time */
export const firstPause = 50
export const longestPause = 1_000

/** a silence of fewer milliseconds is none: a beat takes its time to Redis and back */
const shortestSilence = 100

/** rung when something is told of a key */
interface Bell {
  rung: boolean
  ring: () => void
}

export class Peers {
  private listening: Fiber.RuntimeFiber<unknown> | undefined = undefined
  private isTold = false
  private readonly bells = new Map<string, Set<Bell>>()
  private readonly host: Host
  private readonly coherence: Coherence | undefined
  private readonly blindTtl: number

  constructor(host: Host, coherence: Coherence | undefined, blindTtl: number) {
    this.host = host
    this.coherence = coherence
    this.blindTtl = blindTtl
  }

  /** from now on what other processes do is heard */
  listen(): void {
    const { notifications } = this.host.backend
    if (notifications === undefined || this.listening !== undefined || this.host.closed) return
    this.listening = this.host.runtime.background(
      Stream.runForEach(notifications(Math.max(this.blindTtl, shortestSilence)), (each) =>
        Effect.sync(() => this.hear(each))
      )
    )
  }

  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { listening } = this
      return listening === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(listening))
    })
  }

  private hear(news: Backend.Notification): void {
    const { host } = this
    switch (news._tag) {
      case "Armed":
        this.coherence?.arm()
        if (this.isTold && this.coherence !== undefined) host.telemetry.heard()
        this.isTold = false
        return host.armed()
      case "Blind":
        this.coherence?.blind(news.since)
        if (!this.isTold && this.coherence !== undefined) host.telemetry.deaf(this.blindTtl)
        this.isTold = true
        return
      case "Keys":
        for (const changed of news.keys) {
          host.changed(changed)
          this.ring(changed.key)
        }
        return
      case "Marks":
        host.raised(news.marks)
        return
      case "Free":
        this.ring(news.key)
    }
  }

  private ring(key: string): void {
    const bells = this.bells.get(key)
    if (bells === undefined) return
    this.bells.delete(key)
    for (const bell of bells) bell.ring()
  }

  private hang(key: string): Bell {
    const bell: Bell = {
      rung: false,
      ring: () => {
        bell.rung = true
      }
    }
    const bells = this.bells.get(key)
    if (bells === undefined) this.bells.set(key, new Set([bell]))
    else bells.add(bell)
    return bell
  }

  private takeDown(key: string, bell: Bell): void {
    const bells = this.bells.get(key)
    if (bells?.delete(bell) && bells.size === 0) this.bells.delete(key)
  }

  /**
   * One load among all processes: whoever gets the lock loads, the others wait for what it brings. `ready` looks for
   * that. A lock that cannot be had because the medium is silent is no lock: everybody loads, nobody fails.
   */
  lead(flight: Flight, ready: Effect.Effect<Entry | undefined>): Effect.Effect<Entry | undefined> {
    const { key } = flight
    const attempt = (pause: number): Effect.Effect<Entry | undefined> =>
      Effect.suspend(() => {
        // what it brought would be kept by nobody: it loads for its waiters alone
        if (!flight.attached) return Effect.succeed(undefined)
        // hung before the lock is asked for: it may be given back before the answer is here
        const bell = this.hang(key)
        return Effect.ensuring(
          Effect.flatMap(this.acquire(flight), (left) =>
            left === undefined
              ? flight.unlock === undefined
                ? Effect.succeed(undefined)
                : ready
              : Effect.zipRight(
                  this.wait(bell, Math.max(1, Math.min(pause, left))),
                  Effect.flatMap(ready, (entry) =>
                    entry === undefined ? attempt(Math.min(pause * 2, longestPause)) : Effect.succeed(entry)
                  )
                )
          ),
          Effect.sync(() => this.takeDown(key, bell))
        )
      })
    return Effect.suspend(() => {
      this.listen()
      return attempt(firstPause)
    })
  }

  private wait(bell: Bell, millis: number): Effect.Effect<void> {
    return Effect.raceFirst(
      Effect.async<void>((resume) => {
        if (bell.rung) return resume(Effect.void)
        bell.ring = () => resume(Effect.void)
      }),
      this.host.runtime.sleep(millis)
    )
  }

  /** asks, and waits for so many milliseconds as it is answered, or until something is told of the key since it asked */
  inTurn(key: string, ask: Effect.Effect<number | undefined>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const bell = this.hang(key)
      return Effect.ensuring(
        Effect.flatMap(ask, (millis) => (millis === undefined ? Effect.void : this.wait(bell, millis))),
        Effect.sync(() => this.takeDown(key, bell))
      )
    })
  }

  /** takes the lock for a flight, or tells for how long somebody else may have it; `undefined` with no lock is: silent */
  private acquire(flight: Flight): Effect.Effect<number | undefined> {
    return this.ask(flight.key, flight.def.lease, (held, gone) => {
      const unlock = this.hold(held, flight)
      if (gone || !flight.attached) unlock()
      else flight.unlock = unlock
    })
  }

  /** asks for a lock; `onHeld` is told at once, and whether nobody waits for it any more */
  ask(
    key: string,
    lease: number,
    onHeld: (held: Backend.Held, gone: boolean) => void
  ): Effect.Effect<number | undefined> {
    const { backend, runtime, telemetry } = this.host
    return Effect.async((resume) => {
      let gone = false
      runtime.run<Backend.Held | number, CacheStoreError>(
        () => backend.lock!(key, lease),
        (exit) => {
          if (exit._tag === "Failure") {
            telemetry.failed("lock", failure(exit.cause, backend.name, "lock"))
            return resume(Effect.succeed(undefined))
          }
          telemetry.answered("lock")
          if (typeof exit.value === "number") return resume(Effect.succeed(exit.value))
          onHeld(exit.value, gone)
          resume(Effect.succeed(undefined))
        }
      )
      return Effect.sync(() => {
        gone = true
      })
    })
  }

  /** keeps a lock until it is given back, lost, or its load takes so long that nobody waits for it any more (law 4) */
  private hold(held: Backend.Held, flight: Flight): () => void {
    const { runtime } = this.host
    const { lease } = flight.def
    let lost = false
    const renew = Effect.map(
      Effect.catchAllCause(held.renew, () => Effect.succeed(true)),
      (still) => {
        lost = !still
      }
    )
    let over = false
    const unlock = () => {
      if (over) return
      over = true
      renewal.unsafeInterruptAsFork(renewal.id())
      runtime.run(
        () => held.release,
        () => {}
      )
    }
    const renewal = runtime.background(
      Effect.zipRight(
        Effect.repeat(Effect.zipRight(runtime.sleep(Math.max(1, lease / 3)), renew), {
          while: () => !lost && !flight.isLate(flight.clock.unsafeCurrentTimeMillis())
        }),
        Effect.sync(unlock)
      )
    )
    return unlock
  }
}

/**
 * What the page is sent while it is open: a sample and a snapshot at each interval, and the latest events.
 *
 * Samples are taken all the time, in the Scope of the dashboard, so that the plots have a past when the page is opened:
 * one call of `stats` per interval, in a buffer of fixed size. Everything else happens only while somebody watches.
 * Events are limited per interval, because a store may have a million of them in a second.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CacheEvent } from "../../CacheEvent.js"
import * as CacheStats from "../../CacheStats.js"
import type { CacheStore } from "../../CacheStore.js"
import { type Engine, EngineId } from "../engine/engine.js"
import { runningLoads } from "./loads.js"
import { type Sample, sampleOf, snapshotOf } from "./samples.js"
import { type Disclosure, isRead, isShown, type ShownEvent, shownEvent } from "./shownEvents.js"

/** The most events that are looked at in one interval. Beyond it, nobody subscribes until the next one. */
const maxSeen = 200

/** The most events of one interval that are shown, and how many of them are reads. */
const maxEvents = 40
const maxReads = 15

/** The most events that a page gets when it is opened. */
const maxRecent = 100

/** How many messages a slow viewer may be behind before it loses the oldest. */
const maxBehind = 8

export interface FeedOptions extends Disclosure {
  /** The time between two samples, in milliseconds. */
  readonly interval: number
  /** How many samples are kept. */
  readonly history: number
  readonly maxViewers: number
  /** What the page shows of the process in its heading, and the token of its requests. Another process has others. */
  readonly identity: { readonly title: string; readonly process: string; readonly token: string }
}

/** A message in the format of server-sent events. JSON has no line breaks. */
const message = (event: string, data: object): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`

export interface Feed {
  /** The messages to one page, from now on. `undefined` if too many pages are open. */
  readonly open: Effect.Effect<Stream.Stream<string> | undefined>
}

export const make = (store: CacheStore.Service, options: FeedOptions): Effect.Effect<Feed, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const engine = store[EngineId] as Engine
    const hub = yield* Effect.acquireRelease(PubSub.sliding<string>(maxBehind), PubSub.shutdown)
    const samples: Array<Sample> = []
    let viewers = 0
    let recent: Array<ShownEvent> = []
    /** The events since the last message. */
    let fresh: Array<ShownEvent> = []
    let collector: Fiber.RuntimeFiber<void> | undefined
    let before = yield* store.stats
    let takenAt = yield* Clock.currentTimeMillis

    const snapshot = (stats: CacheStats.Stats) =>
      Effect.map(store.health, (health) => ({
        ...snapshotOf(stats, health, { isOpen: options.values, functions: engine.telemetry.functionNames }),
        running: runningLoads(engine, options)
      }))

    const sample = Effect.gen(function* () {
      const stats = yield* store.stats
      const at = yield* Clock.currentTimeMillis
      const seconds = Math.max(at - takenAt, 1) / 1_000
      samples.push(sampleOf(CacheStats.minus(stats, before), { at, seconds }))
      if (samples.length > options.history) samples.shift()
      before = stats
      takenAt = at
      return stats
    })

    let reads = 0
    const keep = (event: CacheEvent, at: number): void => {
      if (!isShown(event) || fresh.length >= maxEvents || (isRead(event) && reads++ >= maxReads)) return
      fresh.push(shownEvent(event, at, options))
    }

    /** Collects events until there are enough for one interval. */
    const collect = Effect.suspend(() => {
      reads = 0
      if (collector !== undefined && collector.unsafePoll() === null) return Effect.void
      const events = Stream.take(store.events, maxSeen)
      const collected = Stream.runForEach(events, (event) =>
        Effect.map(Clock.currentTimeMillis, (at) => keep(event, at))
      )
      return Effect.flatMap(Effect.forkIn(collected, scope), (fiber) =>
        Effect.sync(() => {
          collector = fiber
        })
      )
    })

    const stopCollecting = Effect.suspend(() => {
      const running = collector
      collector = undefined
      recent = []
      fresh = []
      return running === undefined ? Effect.void : Effect.asVoid(Fiber.interruptFork(running))
    })

    const tick = Effect.gen(function* () {
      const stats = yield* sample
      if (viewers === 0) return
      const events = fresh
      fresh = []
      recent = [...recent, ...events].slice(-maxRecent)
      const data = { sample: samples.at(-1), snapshot: yield* snapshot(stats), events }
      yield* PubSub.publish(hub, message("tick", data))
      yield* collect
    })
    yield* Effect.forkScoped(Effect.forever(Effect.delay(tick, options.interval)))

    const viewer = Effect.acquireRelease(
      Effect.sync(() => viewers++),
      () => Effect.suspend(() => (--viewers === 0 ? stopCollecting : Effect.void))
    )
    const messages = Effect.gen(function* () {
      yield* viewer
      const queue = yield* PubSub.subscribe(hub)
      yield* collect
      const { interval } = options
      const first = {
        ...options.identity,
        interval,
        history: options.history,
        samples,
        snapshot: yield* snapshot(yield* store.stats),
        events: recent
      }
      return Stream.concat(Stream.succeed(message("hello", first)), Stream.fromQueue(queue))
    })
    return {
      open: Effect.sync(() => (viewers >= options.maxViewers ? undefined : Stream.unwrapScoped(messages)))
    }
  })

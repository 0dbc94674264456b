/**
 * The notifications that the processes on one Redis exchange.
 *
 * The scripts publish what they change. A process subscribes over a separate connection to each server that publishes:
 * the one server, or every master of a cluster. On a cluster a message also arrives through the other masters, so a
 * notification may be handled twice, and handling it twice must be harmless.
 *
 * The subscription is checked end to end. At intervals the process publishes a heartbeat to itself, by the connection
 * that carries its commands, and waits for it on the subscription. Messages from one server arrive in order, so a
 * heartbeat that arrives proves that everything published before it has arrived too. `Armed` is reported once the first
 * heartbeat of every server has arrived. When heartbeats stop arriving, a connection ends, or the set of servers
 * changes, `Blind` is reported, if `Armed` was. Its `since` is the time at which the last heartbeat that arrived was
 * sent; with several servers, the earliest of these times. After any of these faults all subscriptions are made again.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Backend from "../../../Backend.js"
import { reported } from "../../report.js"
import { sleep } from "../../sleep.js"
import { isAnswer, type Source } from "./client.js"
import * as Messages from "./messages.js"

export interface Options {
  /** The servers that publish, as they are known now. */
  readonly sources: () => ReadonlyArray<Source>
  /** The channel of the scripts. */
  readonly channel: string
  /** The channel of heartbeats, to which only this process subscribes. */
  readonly heartbeats: string
  /** How messages are read. Those of this process are ignored. */
  readonly reader: Messages.Reader
  /** Milliseconds on the live clock. */
  readonly now: () => number
  /** The latest stamp that a message can have, as far as this process knows. */
  readonly latest: () => number
  /** Asks the server how far the stamps are, which `latest` then takes into account. Returns the marks it tells of. */
  readonly ask: Effect.Effect<Backend.Marks | undefined, unknown>
  /** Called for a message that this version cannot read, and for one with stamps that the server has not reached. */
  readonly onForeign: () => void
  /** Called when the server refuses to subscribe or to publish. */
  readonly onRefused: (why: string) => void
  /** Called when notifications arrive from now on. */
  readonly onArmed: () => void
  readonly warn: (message: string) => Effect.Effect<void>
}

/** Milliseconds between attempts to subscribe. */
const shortestPause = 50
const longestPause = 1_000

// -------------------------------------------------------------------------------------------------------- subscription

/** The subscription to one server. Mutable by design. */
class Subscription {
  /** The heartbeats on their way, in the order in which they were sent, and when that was. */
  private readonly sent = new Map<string, number>()
  /** When the last heartbeat that arrived was sent. */
  confirmed: number | undefined = undefined
  readonly source: Source

  constructor(source: Source) {
    this.source = source
  }

  send(channel: string, text: string, now: number): Effect.Effect<unknown, unknown> {
    this.sent.set(text, now)
    return this.source.publish(channel, text)
  }

  /**
   * Called when a heartbeat has arrived. A heartbeat that was sent to another server came through the cluster, and
   * proves nothing about this connection.
   */
  onHeartbeat(text: string): void {
    const at = this.sent.get(text)
    if (at === undefined) return
    for (const earlier of this.sent.keys()) {
      this.sent.delete(earlier)
      if (earlier === text) break
    }
    this.confirmed = at
  }
}

/**
 * The number of heartbeats that this process has sent. It numbers them across all subscriptions, so that a late
 * heartbeat of an earlier subscription is not mistaken for one of a current subscription. Mutable by design.
 */
let heartbeatCount = 0

/** The subscriptions to all servers, from the first connection until one of them fails. */
interface Listening {
  readonly options: Options
  /** After how many milliseconds without a heartbeat the subscriptions count as broken. */
  readonly within: number
  readonly emit: (notification: Backend.Notification) => void
  readonly subscriptions: ReadonlyArray<Subscription>
  /** Whether a heartbeat of every server has arrived. Mutable by design. */
  isArmed: boolean
}

const idsOf = (sources: ReadonlyArray<Source>): string => sources.map(({ id }) => id).join()

/** The time up to which no notification was missed. `undefined` until a heartbeat of every server has arrived. */
const confirmedUntil = ({ subscriptions }: Listening): number | undefined => {
  let oldest = Number.POSITIVE_INFINITY
  for (const subscription of subscriptions) {
    if (subscription.confirmed === undefined) return undefined
    oldest = Math.min(oldest, subscription.confirmed)
  }
  return oldest
}

const onMessage = (listening: Listening, subscription: Subscription) => (channel: string, text: string) => {
  const { emit, options } = listening
  if (channel !== options.heartbeats) {
    const parsed = Messages.parse(text, options.reader)
    if (parsed === undefined) options.onForeign()
    // Whatever a message reports that is not read, all copies count as outdated.
    else if (parsed === "too long") emit({ _tag: "Armed" })
    else if (parsed !== "own") emit(parsed)
    return
  }
  subscription.onHeartbeat(text)
  if (listening.isArmed || confirmedUntil(listening) === undefined) return
  listening.isArmed = true
  options.onArmed()
  emit({ _tag: "Armed" })
}

/** Reports an error that the server itself answered. Any other one is the end of a connection. */
const reportingRefusal = <A>({ options }: Listening, effect: Effect.Effect<A, unknown>): Effect.Effect<A, unknown> =>
  Effect.tapError(effect, (error) =>
    Effect.sync(() => {
      if (isAnswer(error)) options.onRefused(error.message)
    })
  )

/** Connects to one server and subscribes. `end` is called when the connection ends. */
const subscribe = (listening: Listening, subscription: Subscription, end: () => void) =>
  Effect.gen(function* () {
    const { channel, heartbeats } = listening.options
    const client = yield* subscription.source.connect
    const listener = onMessage(listening, subscription)
    yield* Effect.acquireRelease(
      Effect.sync(() => client.on("message", listener).on("close", end).on("end", end).on("error", end)),
      () => Effect.sync(() => client.off("message", listener).off("close", end).off("end", end))
    )
    const ask = Effect.tryPromise({
      try: () => client.connect().then(() => client.subscribe(channel, heartbeats)),
      catch: (error) => error
    })
    yield* reportingRefusal(listening, ask)
  })

/** Sends heartbeats, and ends when they have not arrived for too long or when the set of servers has changed. */
const watch = (listening: Listening): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { options, subscriptions, within } = listening
    const { now } = options
    const servers = idsOf(subscriptions.map(({ source }) => source))
    const period = Math.max(1, within / 4)
    const begun = now()
    let due = begun
    /**
     * The value of `until` when a silence was last excused because this process was late; `"nothing"` before the first
     * one. No silence is excused twice.
     */
    let excused: number | "nothing" | undefined = "nothing"
    while (true) {
      const late = now() - due
      const until = confirmedUntil(listening)
      // The connection that sends the first heartbeat may not be open yet, so it is sent again soon.
      const pause = until === undefined ? Math.min(period, shortestPause) : period
      due = now() + pause
      if (now() - (until ?? begun) >= within - period) {
        // After a delay of this process, a heartbeat may have arrived and not been handled yet: wait one more turn.
        if (late < period || excused === until) return
        excused = until
      }
      if (idsOf(options.sources()) !== servers) return
      for (const subscription of subscriptions) {
        const sent = subscription.send(options.heartbeats, String(++heartbeatCount), now())
        yield* Effect.forkScoped(Effect.ignore(reportingRefusal(listening, sent)))
      }
      yield* sleep(pause)
    }
  })

/** Subscribes to all servers, until one of the subscriptions fails. Returns whether all of them worked at some time. */
const listen = (
  options: Options,
  within: number,
  emit: (notification: Backend.Notification) => void
): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.gen(function* () {
    const listening: Listening = {
      options,
      within,
      emit,
      subscriptions: options.sources().map((source) => new Subscription(source)),
      isArmed: false
    }
    if (listening.subscriptions.length === 0) return false
    const ended = yield* Deferred.make<void>()
    const end = () => Deferred.unsafeDone(ended, Exit.void)
    const subscribed = Effect.timeout(
      Effect.forEach(listening.subscriptions, (subscription) => subscribe(listening, subscription, end), {
        concurrency: "unbounded",
        discard: true
      }),
      Duration.millis(Math.max(within, longestPause))
    )
    yield* Effect.raceFirst(Effect.zipRight(subscribed, watch(listening)), Deferred.await(ended)).pipe(
      Effect.ignore,
      Effect.ensuring(
        Effect.sync(() => {
          if (listening.isArmed) emit({ _tag: "Blind", since: confirmedUntil(listening)! })
        })
      )
    )
    return listening.isArmed
  })

/** The fewest milliseconds between two times at which the server is asked about a stamp. */
const askEvery = 1_000

/**
 * Holds back a notification whose stamps are from the future: a process that used one would take everything for older.
 * The server is asked first, because the clock of this process may be behind, and nothing may have been read for long. If
 * it does not answer, all copies count as outdated.
 */
const onlyReached = (
  options: Options
): ((notification: Backend.Notification) => Effect.Effect<ReadonlyArray<Backend.Notification>>) => {
  let askedAt = Number.NEGATIVE_INFINITY
  return (notification) => {
    const stamp = Messages.latestStamp(notification)
    if (stamp <= options.latest()) return Effect.succeed([notification])
    const reached = (marks: Backend.Marks | undefined): ReadonlyArray<Backend.Notification> => {
      const known: ReadonlyArray<Backend.Notification> = marks === undefined ? [] : [{ _tag: "Marks", marks }]
      if (stamp <= options.latest()) return [...known, notification]
      options.onForeign()
      return known
    }
    if (options.now() - askedAt < askEvery) return Effect.sync(() => reached(undefined))
    askedAt = options.now()
    return Effect.match(options.ask, { onFailure: () => [{ _tag: "Armed" }], onSuccess: reached })
  }
}

/**
 * The notifications of other processes, for as long as the stream runs. `Blind` follows when no heartbeat has arrived
 * for `within` milliseconds.
 */
export const make = (options: Options, within: number): Stream.Stream<Backend.Notification> =>
  Stream.asyncPush<Backend.Notification>(
    (emit) => {
      const { channel } = options
      let isBroken = false
      const onDefect = (defect: unknown) => {
        if (isBroken) return Effect.succeed(false)
        isBroken = true
        const warning =
          `cannot subscribe to the channel ${channel} (${reported(defect).message}): ` +
          `copies in memory count for \`blindTtl\` only until it works; retrying`
        return Effect.as(options.warn(warning), false)
      }
      const attempt = Effect.catchAllDefect(
        Effect.scoped(listen(options, within, (notification) => emit.single(notification))),
        onDefect
      )
      const again = (pause: number): Effect.Effect<never> =>
        Effect.flatMap(attempt, (hasWorked) => {
          const next = hasWorked ? shortestPause : Math.min(pause * 2, longestPause)
          return Effect.zipRight(
            Effect.sleep(Duration.millis(next)),
            Effect.suspend(() => again(next))
          )
        })
      return Effect.forkScoped(Effect.interruptible(again(shortestPause)))
    },
    { bufferSize: "unbounded" }
  ).pipe(Stream.mapConcatEffect(onlyReached(options)))

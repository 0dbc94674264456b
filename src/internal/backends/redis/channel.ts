/**
 * What the processes on one Redis tell each other: a connection of its own to each server that publishes (one, or every
 * master of a cluster), subscribed to the channel of the scripts, and kept under watch.
 *
 * They are watched end to end: at short intervals the process publishes a beat to itself, by the connection that carries
 * its commands, and waits for it here. Messages of one server arrive in order, so when the beat is here, whatever was
 * told there before it was sent is here, too. When every server's first beat has come, that is `Armed`; a beat that stays
 * away, a connection that ends, or another set of servers is `Blind` since the oldest of the last ones that came was
 * sent. Then all is made anew, whatever is wrong with it.
 *
 * On a cluster a message also comes around by the other masters: all that is done with one may be done again.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Backend from "../../../Backend.js"
import type { Source } from "./client.js"

export interface Options {
  /** the servers that publish, as they are known now */
  readonly sources: () => ReadonlyArray<Source>
  readonly channel: string
  /** heard by nobody else */
  readonly beats: string
  /** the name under which this process tells: it does not listen to itself */
  readonly node: string
  readonly logicalKey: (key: string) => string | undefined
  /** milliseconds on the live clock */
  readonly now: () => number
  readonly warn: (message: string) => Effect.Effect<void>
}

const shortestPause = 50
const longestPause = 1_000

/** what a message says; `undefined` for what is none of this version */
const parse = (text: string, options: Options): Backend.Notification | "own" | undefined => {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof message !== "object" || message === null) return undefined
  const { f, k, l, m, n, u } = message as Readonly<Record<string, unknown>>
  if (typeof n !== "string") return undefined
  if (n === options.node) return "own"
  if (typeof u === "string") {
    const key = options.logicalKey(u)
    return key === undefined ? undefined : { _tag: "Free", key }
  }
  if (Array.isArray(k)) {
    const keys: Array<Backend.Changed> = []
    for (const [name, stamp] of pairs(k)) {
      const key = options.logicalKey(name)
      if (key !== undefined) keys.push({ key, stamp })
    }
    return { _tag: "Keys", keys }
  }
  const [floor, lost] = [Number(f), Number(l)]
  // an empty list is an empty record to the one who encodes it
  if (Number.isNaN(floor) || Number.isNaN(lost)) return undefined
  return { _tag: "Marks", marks: { floor, lost, raised: Array.isArray(m) ? pairs(m) : [] } }
}

const pairs = (list: ReadonlyArray<unknown>): ReadonlyArray<readonly [string, number]> =>
  Array.from({ length: list.length >> 1 }, (_, i) => [String(list[2 * i]), Number(list[2 * i + 1])] as const).filter(
    ([, stamp]) => Number.isFinite(stamp)
  )

/** one server that is listened to; mutable by design */
class Listening {
  /** beats under way, in the order in which they were sent, and when that was */
  private readonly sent = new Map<string, number>()
  /** when the last beat that came was sent */
  confirmed: number | undefined = undefined
  readonly source: Source

  constructor(source: Source) {
    this.source = source
  }

  send(channel: string, text: string, now: number): Effect.Effect<void> {
    this.sent.set(text, now)
    return Effect.ignore(this.source.publish(channel, text))
  }

  /** a beat has come back; that of another server has come around */
  came(text: string): void {
    const at = this.sent.get(text)
    if (at === undefined) return
    for (const earlier of this.sent.keys()) {
      this.sent.delete(earlier)
      if (earlier === text) break
    }
    this.confirmed = at
  }
}

/** beats of all connections that ever were: a late one vouches for nothing that came after it; mutable by design */
let beats = 0

/** one connection to each server, from the first's beginning to the first's end; answers whether they were ever good */
const listen = (
  options: Options,
  within: number,
  emit: (news: Backend.Notification) => void,
  onForeign: Effect.Effect<void>
): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { now } = options
    const all = options.sources().map((source) => new Listening(source))
    if (all.length === 0) return false
    const servers = all.map(({ source }) => source.id).join()
    const ended = yield* Deferred.make<void>()
    const end = () => Deferred.unsafeDone(ended, Exit.void)
    const runFork = Runtime.runFork(yield* Effect.runtime<never>())
    /** up to when everything is known */
    const confirmed = (): number | undefined => {
      let oldest = Number.POSITIVE_INFINITY
      for (const one of all) {
        if (one.confirmed === undefined) return undefined
        oldest = Math.min(oldest, one.confirmed)
      }
      return oldest
    }
    let isArmed = false
    const onMessage = (one: Listening) => (channel: string, text: string) => {
      if (channel !== options.beats) {
        const news = parse(text, options)
        if (news === undefined) runFork(onForeign)
        else if (news !== "own") emit(news)
        return
      }
      one.came(text)
      if (isArmed || confirmed() === undefined) return
      isArmed = true
      emit({ _tag: "Armed" })
    }
    const subscribe = (one: Listening) =>
      Effect.gen(function* () {
        const client = yield* one.source.connect
        const listener = onMessage(one)
        yield* Effect.acquireRelease(
          Effect.sync(() => client.on("message", listener).on("close", end).on("end", end).on("error", end)),
          () => Effect.sync(() => client.off("message", listener).off("close", end).off("end", end))
        )
        yield* Effect.tryPromise(() => client.connect().then(() => client.subscribe(options.channel, options.beats)))
      })
    const period = Math.max(1, within / 4)
    const watch = Effect.gen(function* () {
      const begun = now()
      let due = begun
      /** what was confirmed when it was last let pass that too much time had gone by */
      let spared: number | "nothing" | undefined = "nothing"
      while (true) {
        const late = now() - due
        const until = confirmed()
        // the connection of the commands may not be there yet
        const pause = until === undefined ? Math.min(period, shortestPause) : period
        due = now() + pause
        if (now() - (until ?? begun) >= within - period) {
          // who is late himself may find what he waits for in the next turn: he judges if it was not there either
          if (late < period || spared === until) return
          spared = until
        }
        const known = options.sources()
        if (known.map(({ id }) => id).join() !== servers) return
        for (const one of all) yield* Effect.forkScoped(one.send(options.beats, String(++beats), now()))
        yield* Effect.sleep(Duration.millis(pause))
      }
    })
    const subscribed = Effect.timeout(
      Effect.forEach(all, subscribe, { concurrency: "unbounded", discard: true }),
      Duration.millis(Math.max(within, longestPause))
    )
    yield* Effect.raceFirst(Effect.zipRight(subscribed, watch), Deferred.await(ended)).pipe(
      Effect.ignore,
      Effect.ensuring(
        Effect.sync(() => {
          if (isArmed) emit({ _tag: "Blind", since: confirmed()! })
        })
      )
    )
    return isArmed
  })

/** the news of other processes, for as long as somebody listens */
export const make = (options: Options, within: number): Stream.Stream<Backend.Notification> =>
  Stream.asyncPush<Backend.Notification>(
    (emit) => {
      let foreign = false
      const onForeign = Effect.suspend(() => {
        if (foreign) return Effect.void
        foreign = true
        return options.warn(`a message on ${options.channel} could not be read, it is passed over`)
      })
      let broken = false
      const onDefect = (defect: unknown) => {
        if (broken) return Effect.succeed(false)
        broken = true
        return Effect.as(
          options.warn(`cannot listen on ${options.channel}, it is tried again: ${String(defect)}`),
          false
        )
      }
      const attempt = Effect.catchAllDefect(
        Effect.scoped(listen(options, within, (news) => emit.single(news), onForeign)),
        onDefect
      )
      const again = (pause: number): Effect.Effect<never> =>
        Effect.flatMap(attempt, (wasGood) => {
          const next = wasGood ? shortestPause : Math.min(pause * 2, longestPause)
          return Effect.zipRight(
            Effect.sleep(Duration.millis(next)),
            Effect.suspend(() => again(next))
          )
        })
      return Effect.forkScoped(Effect.interruptible(again(shortestPause)))
    },
    { bufferSize: "unbounded" }
  )

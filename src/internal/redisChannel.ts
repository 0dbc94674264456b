/**
 * What the processes on one Redis tell each other: a connection of its own, subscribed to the channel on which the
 * scripts publish, and kept under watch.
 *
 * It is watched end to end: at short intervals the process publishes a beat to itself, by the connection that carries
 * its commands, and waits for it here. Messages of one server arrive in order, so when the beat is here, whatever was
 * told before it was sent is here, too. The first beat is `Armed`; a beat that stays away, or a connection that ends, is
 * `Blind` since the last one that came was sent. Then the connection is made anew, whatever is wrong with it.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Redis } from "ioredis"
import type * as Backend from "../Backend.js"

export interface Options {
  /** a connection for subscribing alone, not yet begun, which ends with the Scope and does not come back by itself */
  readonly connect: Effect.Effect<Redis, never, Scope.Scope>
  readonly channel: string
  /** heard by nobody else */
  readonly beats: string
  /** publishes on `beats`, by the connection of the commands */
  readonly beat: (text: string) => Effect.Effect<unknown, unknown>
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
const parse = (text: string, options: Options): Backend.News | "own" | undefined => {
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

/** one connection, from its beginning to its end; answers whether it was ever good */
const listen = (
  options: Options,
  within: number,
  emit: (news: Backend.News) => void,
  onForeign: Effect.Effect<void>
): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { now } = options
    const client = yield* options.connect
    const ended = yield* Deferred.make<void>()
    const end = () => Deferred.unsafeDone(ended, Exit.void)
    const runFork = Runtime.runFork(yield* Effect.runtime<never>())
    /** beats under way, in the order in which they were sent, and when that was */
    const sent = new Map<string, number>()
    let confirmed: number | undefined
    const onBeat = (text: string) => {
      const at = sent.get(text)
      if (at === undefined) return
      for (const earlier of sent.keys()) {
        sent.delete(earlier)
        if (earlier === text) break
      }
      const isFirst = confirmed === undefined
      confirmed = at
      if (isFirst) emit({ _tag: "Armed" })
    }
    const onMessage = (channel: string, text: string) => {
      if (channel === options.beats) return onBeat(text)
      const news = parse(text, options)
      if (news === undefined) runFork(onForeign)
      else if (news !== "own") emit(news)
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => client.on("message", onMessage).on("close", end).on("end", end).on("error", end)),
      () => Effect.sync(() => client.off("message", onMessage).off("close", end).off("end", end))
    )
    const subscribe = Effect.tryPromise(() =>
      client.connect().then(() => client.subscribe(options.channel, options.beats))
    )
    const period = Math.max(1, within / 4)
    let beats = 0
    const watch = Effect.gen(function* () {
      const begun = now()
      let due = begun
      /** what was confirmed when it was last let pass that too much time had gone by */
      let spared: number | "nothing" | undefined = "nothing"
      while (true) {
        const late = now() - due
        // the connection of the commands may not be there yet
        const pause = confirmed === undefined ? Math.min(period, shortestPause) : period
        due = now() + pause
        if (now() - (confirmed ?? begun) >= within - period) {
          // who is late himself may find what he waits for in the next turn: he judges if it was not there either
          if (late < period || spared === confirmed) return
          spared = confirmed
        }
        const text = String(++beats)
        sent.set(text, now())
        yield* Effect.forkScoped(Effect.ignore(options.beat(text)))
        yield* Effect.sleep(Duration.millis(pause))
      }
    })
    yield* Effect.raceFirst(
      Effect.zipRight(Effect.timeout(subscribe, Duration.millis(Math.max(within, longestPause))), watch),
      Deferred.await(ended)
    ).pipe(
      Effect.ignore,
      Effect.ensuring(
        Effect.sync(() => {
          if (confirmed !== undefined) emit({ _tag: "Blind", since: confirmed })
        })
      )
    )
    return confirmed !== undefined
  })

/** the news of other processes, for as long as somebody listens */
export const make = (options: Options, within: number): Stream.Stream<Backend.News> =>
  Stream.asyncPush<Backend.News>(
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

/**
 * The mirror behind `Cached.bgRead`: the last value of a key, kept in the memory of this process. A read looks at
 * nothing else. A fiber in the reader's scope fetches new values, when the store notifies it and at intervals.
 *
 * A value is kept until its lifetime is over, or until it is known to have been invalidated, cleared or removed. It is
 * kept when the store has no entry, because the store may have lost the entry.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { AnySchema } from "../../Backend.js"
import { SerializerError } from "../../CacheError.js"
import type { Explanation } from "../../CacheEvent.js"
import { Entry, freshEnd, isFailure, staleEnd } from "../../Entry.js"
import { cacheStatusOf } from "../cacheStatus.js"
import { noArgs } from "../engine/definition.js"
import type { Engine } from "../engine/engine.js"
import type { MarkTable } from "../engine/io/markTable.js"
import { type OnError, runOnError } from "../engine/onError.js"
import { Signal } from "../engine/peers/signal.js"
import { halfSecond, type WallClock } from "../engine/wallClock.js"
import { decodeMillis, decodePositive } from "../options.js"
import * as StoredFailure from "../serializers/storedFailure.js"
import { sleep } from "../sleep.js"
import { clockOf, nowOf } from "../time.js"
import { refusePartition, Spec, type SpecOptions } from "./cached.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * A mirror of a key: the last value that a writer stored, in the memory of this process.
 *
 * It is an effect that reads in one step, without waiting and without I/O. It is `None` before the first value arrives
 * and after the last one has ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface CachedReader<out A> extends Effect.Effect<Option.Option<A>> {
  /** The key in the store, the version included, without the store's prefix. */
  readonly key: string
  /**
   * What a read returns, for code outside of Effect: `None` before the first value and after the last one has ended.
   *
   * @since 0.2.0
   */
  readonly unsafePeek: () => Option.Option<A>
  /** Waits until there is a value, and returns it. Interrupted when the scope of the reader closes. */
  readonly ready: Effect.Effect<A>
  /** What the next read would do, and why. A miss is `None`: the reader never loads. */
  readonly explain: Effect.Effect<Explanation>
  /** How long ago the load of the current value ended. `None` when there is no value. */
  readonly age: Effect.Effect<Option.Option<Duration.Duration>>
  /**
   * The current value, if there is one, and every later one. Ends when the scope of the reader closes. A slow consumer
   * loses the oldest values beyond 16.
   */
  readonly changes: Stream.Stream<A>
}

export interface MirrorOptions {
  /** The name of what it mirrors, for reports. */
  readonly name: string
  readonly key: string
  readonly schema: AnySchema | undefined
  /** Milliseconds from one look into the store to the next, when there is no notification in between. */
  readonly interval: number
  /** The shortest time that a value is kept after the end of its load, in milliseconds. */
  readonly ttl: number
  readonly onError: OnError | undefined
}

/** A fiber or a stream that waits for values. */
interface Follower {
  readonly onValue: (value: unknown) => void
  readonly onEnd: () => void
}

/** How many values `changes` holds for a slow consumer. */
const bufferSize = 16

/** The followers of a mirror. They end with it. */
class Followers {
  private isClosed = false
  private readonly followers = new Set<Follower>()

  /** Adds a follower, and returns the function that removes it. */
  add(follower: Follower): () => void {
    if (this.isClosed) follower.onEnd()
    else this.followers.add(follower)
    return () => this.followers.delete(follower)
  }

  publish(value: unknown): void {
    for (const follower of this.followers) follower.onValue(value)
  }

  close(): void {
    this.isClosed = true
    for (const follower of this.followers) follower.onEnd()
    this.followers.clear()
  }
}

/** The value of the mirror, its end, and the reads of it. Mutable by design: a read looks at three fields. */
class Mirror {
  /** What a read returns before `until`. */
  private answer: Option.Option<unknown> = Option.none()
  private until = Number.NEGATIVE_INFINITY
  /** The epoch of the marks in which `entry` was last compared with them. */
  private epoch = 0
  private entry: Entry | undefined = undefined
  /** When the load of `entry` ended, as the store has it. */
  private createdAt = Number.NEGATIVE_INFINITY
  readonly followers = new Followers()
  private readonly marks: MarkTable
  private readonly wallClock: WallClock
  private readonly ttl: number
  /** The clock of the place where the mirror was made, for readers that are no fibers. */
  private readonly clock: Clock.Clock

  constructor({ marks, wallClock }: Pick<Engine, "marks" | "wallClock">, clock: Clock.Clock, ttl: number) {
    this.marks = marks
    this.wallClock = wallClock
    this.clock = clock
    this.ttl = ttl
  }

  readonly read: Effect.Effect<Option.Option<unknown>> = Effect.sync(() => this.at(clockOf(currentFiber())))

  readonly unsafePeek = (): Option.Option<unknown> => this.at(this.clock)

  private at(clock: Clock.Clock): Option.Option<unknown> {
    const now = clock.unsafeCurrentTimeMillis()
    if (!(Math.abs(now - this.wallClock.middle) <= halfSecond)) this.wallClock.check(now, clock)
    return (this.epoch === this.marks.epoch || this.isStillValid()) && now < this.until ? this.answer : Option.none()
  }

  /** Until when a value is kept. */
  private endOf(entry: Entry): number {
    return Math.max(staleEnd(entry), entry.createdAt + this.ttl)
  }

  /**
   * Compares the value with the marks and the clock again. A loss of marks does not outdate it, unlike the entries of a
   * store.
   */
  private isStillValid(): boolean {
    if (this.entry !== undefined && this.marks.admitsDespiteLoss(this.entry)) {
      this.epoch = this.marks.epoch
      this.wallClock.adjust(this.entry)
      this.until = this.endOf(this.entry)
      return true
    }
    this.drop()
    return false
  }

  drop(): void {
    this.entry = undefined
    this.answer = Option.none()
    this.until = Number.NEGATIVE_INFINITY
  }

  /** Takes over what the store has: an entry, the stamp of a removal, or nothing. */
  take(found: Entry | number | undefined, now: number): void {
    const { entry } = this
    if (!(found instanceof Entry)) {
      if (found !== undefined && entry !== undefined && found > entry.stamp) this.drop()
      return
    }
    if (isFailure(found)) return
    const { createdAt } = found
    const held = this.wallClock.copyOf(found, now)
    // a value that was only expired is kept
    const until = createdAt === this.createdAt ? Math.max(this.endOf(held), this.until) : this.endOf(held)
    if (now >= until || !this.marks.admitsExpired(found)) return
    // newer by its stamp; or by its creation, where the clock of the store was set back
    if (entry !== undefined && found.stamp <= entry.stamp && createdAt <= this.createdAt) return
    // an expiry changes the entry in the store, which a mirror does not follow
    this.entry = new Entry(held.value, held)
    this.createdAt = createdAt
    this.epoch = this.marks.epoch
    this.answer = Option.some(found.value)
    this.until = until
    this.followers.publish(found.value)
  }

  get ready(): Effect.Effect<unknown> {
    return Effect.flatMap(this.read, (answer) =>
      answer._tag === "Some"
        ? Effect.succeed(answer.value)
        : Effect.async<unknown>((resume) => {
            const leave = this.followers.add({
              onValue: (value) => {
                leave()
                resume(Effect.succeed(value))
              },
              onEnd: () => resume(Effect.interrupt)
            })
            return Effect.sync(leave)
          })
    )
  }

  get explain(): Effect.Effect<Explanation> {
    return Effect.withFiberRuntime((fiber) => {
      const now = nowOf(fiber)
      const isThere = Option.isSome(this.at(clockOf(fiber)))
      const { entry } = this
      const state = entry !== undefined && now < freshEnd(entry) ? "fresh" : "stale"
      if (!isThere || entry === undefined) {
        const reason = entry === undefined ? "absent" : "expired"
        return Effect.succeed({ outcome: "miss", reason, cacheStatus: cacheStatusOf({ outcome: "miss", reason }) })
      }
      const outcome = state === "fresh" ? "hit" : "stale"
      const freshUntil = freshEnd(entry)
      return Effect.succeed({
        outcome,
        state,
        freshUntil,
        staleUntil: this.until,
        expiresAt: this.until,
        cacheStatus: cacheStatusOf({ outcome, ttl: freshUntil - now })
      })
    })
  }

  get age(): Effect.Effect<Option.Option<Duration.Duration>> {
    return Effect.withFiberRuntime((fiber) =>
      Effect.succeed(
        Option.isSome(this.at(clockOf(fiber)))
          ? Option.some(Duration.millis(Math.max(0, nowOf(fiber) - this.entry!.createdAt)))
          : Option.none()
      )
    )
  }

  get changes(): Stream.Stream<unknown> {
    return Stream.asyncPush<unknown>(
      (emit) =>
        Effect.acquireRelease(
          Effect.map(this.read, (answer) => {
            if (answer._tag === "Some") emit.single(answer.value)
            return this.followers.add({ onValue: (value) => void emit.single(value), onEnd: () => emit.end() })
          }),
          (leave) => Effect.sync(leave)
        ),
      { bufferSize, strategy: "sliding" }
    )
  }
}

/** The fiber that evaluates this. An effect that asks for its own fiber takes one step more. */
const currentFiber = (): AnyFiber => (Fiber.getCurrentFiber() as Option.Some<AnyFiber>).value

/** Looks into the store once. A store that cannot be asked, or has bytes that are no entry, changes nothing. */
const look = (
  engine: Engine,
  mirror: Mirror,
  { key, name, onError, schema }: MirrorOptions
): Effect.Effect<unknown, never, unknown> => {
  const report = (error: unknown) =>
    onError === undefined
      ? Effect.void
      : runOnError(onError, { telemetry: engine.telemetry, name, cause: Cause.fail(error) })
  return Effect.withFiberRuntime<unknown, never, unknown>((fiber) =>
    Effect.matchEffect(engine.stored.startInspect(key, { schema }, nowOf(fiber)), {
      onFailure: report,
      onSuccess: (found) => {
        if (found instanceof SerializerError) return StoredFailure.isFor(found) ? Effect.void : report(found)
        // all readers of the mirror get this value, of which memory has another copy
        if (found instanceof Entry) engine.backend.freeze?.(found.value)
        mirror.take(found, nowOf(fiber))
        return Effect.void
      }
    })
  )
}

/** Calls `listener` when something happens to the key, until the scope closes. */
const listen = (engine: Engine, key: string, listener: (isRemoved: boolean) => void) =>
  Effect.acquireRelease(
    Effect.sync(() => engine.keyListeners.listen(key, listener)),
    (leave) => Effect.sync(leave)
  )

/** Follows a store that is all in memory: a value is in the mirror as soon as it is in the store. */
const followLocal = (engine: Engine, mirror: Mirror, { key }: MirrorOptions, clock: Clock.Clock) => {
  const pull = () => {
    const now = clock.unsafeCurrentTimeMillis()
    mirror.take(engine.localTier.locate(key, now), now)
  }
  return Effect.map(
    listen(engine, key, (isRemoved) => (isRemoved ? mirror.drop() : pull())),
    () => {
      pull()
      return Effect.never
    }
  )
}

/** Reports a mirror without a value. When it has just begun, `isDue` is false: its writer may not have run yet. */
const reportEmpty = ({ telemetry }: Engine, mirror: Mirror, name: string, isDue: boolean) =>
  Effect.map(mirror.read, (answer) => {
    if (answer._tag === "Some") return telemetry.end("MirrorEmpty", name, `the mirror of ${name} has a value again`)
    if (!isDue) return
    telemetry.begin(
      "MirrorEmpty",
      name,
      `the mirror of ${name} has no value, so its readers get None: nobody wrote one, or the last one has expired. ` +
        "Check that Cached.bgWrite runs for the same key and version, on a store with the same prefix."
    )
  })

/** Follows a store through I/O: looks into it at intervals, and whenever there is a notification about the key. */
const followRemote = (engine: Engine, mirror: Mirror, options: MirrorOptions) => {
  const signal = new Signal()
  const next = Number.isFinite(options.interval) ? Effect.raceFirst(signal.wait, sleep(options.interval)) : signal.wait
  let startedAt: number | undefined
  const once = Effect.withFiberRuntime<unknown, never, unknown>((fiber) => {
    signal.reset()
    startedAt ??= nowOf(fiber)
    const isDue = nowOf(fiber) - startedAt >= options.interval
    return Effect.zipRight(look(engine, mirror, options), reportEmpty(engine, mirror, options.name, isDue))
  })
  return Effect.map(
    listen(engine, options.key, (isRemoved) => (isRemoved ? mirror.drop() : signal.notify())),
    () => {
      engine.notifications.listen()
      return Effect.forever(Effect.zipRight(once, next))
    }
  )
}

/** Makes a mirror that follows the store until the scope or the store closes. */
const make = (engine: Engine, options: MirrorOptions): Effect.Effect<Mirror, never, unknown> =>
  Effect.gen(function* () {
    const clock = yield* Effect.withFiberRuntime<Clock.Clock>((fiber) => Effect.succeed(clockOf(fiber)))
    const mirror = new Mirror(engine, clock, options.ttl)
    const following: Effect.Effect<unknown, never, unknown> = engine.backend.remote
      ? yield* followRemote(engine, mirror, options)
      : yield* followLocal(engine, mirror, options, clock)
    const fiber: AnyFiber = yield* Effect.forkScoped(Effect.interruptible(following))
    fiber.addObserver(() => mirror.followers.close())
    engine.supervise(fiber)
    return mirror
  })

export interface ReaderOptions
  extends Pick<SpecOptions, "name" | "version" | "schema" | "store">,
    Pick<MirrorOptions, "onError"> {
  readonly key: string
  readonly interval?: Duration.DurationInput | undefined
  readonly ttl?: Duration.DurationInput | undefined
}

/** Makes the reader of `Cached.bgRead`: the read of a mirror, with the members around it. */
export const read = (
  { interval, onError, ttl, ...options }: ReaderOptions,
  storeKey: string
): Effect.Effect<CachedReader<unknown>, never, unknown> =>
  Effect.flatMap(Effect.context<unknown>(), (context) => {
    refusePartition(options, options.name ?? options.key)
    const spec = new Spec(Effect.never, options, "options", storeKey, undefined)
    const key = spec.physicalKey(noArgs)
    const mirror = make(spec.engine(context), {
      name: spec.name,
      key,
      schema: options.schema,
      interval: decodePositive("interval", interval ?? "30 seconds", spec.name),
      ttl: decodeMillis("ttl", ttl ?? 0, spec.name),
      onError
    })
    return Effect.map(mirror, ({ age, changes, explain, read, ready, unsafePeek }) =>
      Object.assign(read, { key, unsafePeek, ready, explain, age, changes })
    )
  })

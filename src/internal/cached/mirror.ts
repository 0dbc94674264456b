/**
 * The mirror behind `Cached.bgRead`: what a key held last, kept in this process for whoever reads it. A read looks into
 * nothing else; a fiber of the reader's scope brings what is new, when the store tells of it, or by asking.
 *
 * A value stays until its life is over, or until it is known to have been taken away: invalidated, cleared, removed. That
 * a store has nothing is no reason to have nothing: it may have lost what it had.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AnySchema } from "../../Backend.js"
import type { CacheStoreError, SerializerError } from "../../CacheError.js"
import { Entry } from "../../Entry.js"
import type { Engine } from "../engine/engine.js"
import { Signal } from "../engine/peers/bell.js"
import { decodeMillis, decodePositive } from "../options.js"
import { clockOf, nowOf } from "../time.js"
import { Spec, type SpecOptions } from "./spec.js"

type AnyFiber = Fiber.RuntimeFiber<any, any>

/**
 * A mirror of a key: the last value that a writer stored, in the memory of this process. It is read in one step, which
 * waits for nothing and asks nobody; before the first value, and after the end of the last, it is `None`.
 *
 * @category models
 * @since 0.1.0
 */
export interface CachedReader<out A> extends Effect.Effect<Option.Option<A>> {
  /** the logical key */
  readonly key: string
  /** the value, as soon as there is one */
  readonly ready: Effect.Effect<A>
  /** how long ago the load of the value ended */
  readonly age: Effect.Effect<Option.Option<Duration.Duration>>
  /** the value, if there is one, and every later one; who is slow misses the oldest of more than 16. Ends with the reader */
  readonly changes: Stream.Stream<A>
}

export interface MirrorOptions {
  readonly key: string
  readonly schema: AnySchema | undefined
  /** milliseconds from one look to the next, where nothing is told meanwhile */
  readonly interval: number
  /** how many milliseconds a value lives at least */
  readonly ttl: number
  readonly onError: ((cause: Cause.Cause<any>) => Effect.Effect<unknown, unknown, any>) | undefined
}

/** who waits for values */
interface Follower {
  readonly value: (value: unknown) => void
  readonly end: () => void
}

/** how many values a stream of changes holds for one that is slow; the oldest go first */
const bufferSize = 16

class Mirror {
  // what a read looks at; mutable by design
  /** the answer of a read until then */
  answer: Option.Option<unknown> = Option.none()
  until = Number.NEGATIVE_INFINITY
  /** the marks' epoch in which the entry was last found to be spared */
  epoch = 0
  private entry: Entry | undefined = undefined
  private closed = false
  private readonly followers = new Set<Follower>()
  private readonly engine: Engine
  private readonly options: MirrorOptions

  constructor(engine: Engine, options: MirrorOptions) {
    this.engine = engine
    this.options = options
  }

  readonly read: Effect.Effect<Option.Option<unknown>> = Effect.sync(() => this.at(currentFiber()))

  private at(fiber: AnyFiber): Option.Option<unknown> {
    return nowOf(fiber) < this.until && (this.epoch === this.engine.marks.epoch || this.isSpared())
      ? this.answer
      : Option.none()
  }

  private isSpared(): boolean {
    const { marks } = this.engine
    if (this.entry !== undefined && marks.admitsDespiteLoss(this.entry)) {
      this.epoch = marks.epoch
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

  /** what the store was found to have */
  take(found: Entry | number | undefined, now: number): void {
    const { entry } = this
    if (!(found instanceof Entry)) {
      if (found !== undefined && entry !== undefined && found > entry.stamp) this.drop()
      return
    }
    const until = Math.max(found.expiresAt, found.createdAt + this.options.ttl)
    if (now >= until || !this.engine.marks.admits(found)) return
    // one that began later, or was made later where the store's time has gone back
    if (entry !== undefined && found.stamp <= entry.stamp && found.createdAt <= entry.createdAt) return
    this.entry = found
    this.epoch = this.engine.marks.epoch
    this.answer = Option.some(found.value)
    this.until = until
    for (const follower of this.followers) follower.value(found.value)
  }

  private join(follower: Follower): () => void {
    if (this.closed) follower.end()
    else this.followers.add(follower)
    return () => this.followers.delete(follower)
  }

  close(): void {
    this.closed = true
    for (const follower of this.followers) follower.end()
    this.followers.clear()
  }

  get ready(): Effect.Effect<unknown> {
    return Effect.flatMap(this.read, (answer) =>
      answer._tag === "Some"
        ? Effect.succeed(answer.value)
        : Effect.async<unknown>((resume) => {
            const leave = this.join({
              value: (value) => {
                leave()
                resume(Effect.succeed(value))
              },
              end: () => resume(Effect.interrupt)
            })
            return Effect.sync(leave)
          })
    )
  }

  get age(): Effect.Effect<Option.Option<Duration.Duration>> {
    return Effect.withFiberRuntime((fiber) => {
      const isThere = Option.isSome(this.at(fiber))
      return Effect.succeed(
        isThere ? Option.some(Duration.millis(Math.max(0, nowOf(fiber) - this.entry!.createdAt))) : Option.none()
      )
    })
  }

  get changes(): Stream.Stream<unknown> {
    return Stream.asyncPush<unknown>(
      (emit) =>
        Effect.acquireRelease(
          Effect.map(this.read, (answer) => {
            if (answer._tag === "Some") emit.single(answer.value)
            return this.join({ value: (value) => void emit.single(value), end: () => emit.end() })
          }),
          (leave) => Effect.sync(leave)
        ),
      { bufferSize, strategy: "sliding" }
    )
  }

  /** looks once; a store that cannot be asked changes nothing */
  get look(): Effect.Effect<void, never, any> {
    const { key, onError, schema } = this.options
    return Effect.withFiberRuntime<void, never, any>((fiber) =>
      Effect.matchEffect(this.engine.startInspect(key, { schema }, nowOf(fiber)), {
        onFailure: (error) => report(error),
        onSuccess: (found) => {
          if (found !== undefined && typeof found !== "number" && !(found instanceof Entry)) return report(found)
          this.take(found, nowOf(fiber))
          return Effect.void
        }
      })
    )

    // an error handler of the user's can break nothing
    function report(error: CacheStoreError | SerializerError) {
      return onError === undefined
        ? Effect.void
        : Effect.suspend(() => onError(Cause.fail(error))).pipe(
            Effect.catchAllCause((cause) => Effect.logWarning(`the onError of "${key}" failed`, cause)),
            Effect.forkScoped
          )
    }
  }
}

/** an effect that asks for its own fiber takes one step more */
const currentFiber = (): AnyFiber => (Fiber.getCurrentFiber() as Option.Some<AnyFiber>).value

const make = (engine: Engine, options: MirrorOptions): Effect.Effect<Mirror, never, Scope.Scope> =>
  Effect.gen(function* () {
    const mirror = new Mirror(engine, options)
    const signal = new Signal()
    const clock = yield* Effect.withFiberRuntime<ReturnType<typeof clockOf>>((fiber) => Effect.succeed(clockOf(fiber)))
    const isLocal = !engine.backend.remote
    /** a store in memory is asked at once, so that what is written is in the mirror when it is in the store */
    const pull = () => {
      const now = clock.unsafeCurrentTimeMillis()
      mirror.take(engine.localTier.locate(options.key, now), now)
    }
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        engine.keyListeners.listen(options.key, (gone) => {
          if (gone) mirror.drop()
          else if (isLocal) pull()
          else signal.notify()
        })
      ),
      (leave) => Effect.sync(leave)
    )
    if (isLocal) pull()
    else engine.notifications.listen()
    const next = Number.isFinite(options.interval)
      ? Effect.raceFirst(signal.wait, Effect.sleep(Duration.millis(options.interval)))
      : signal.wait
    const once = Effect.suspend(() => {
      signal.reset()
      return mirror.look
    })
    const fiber: AnyFiber = yield* Effect.forkScoped(
      Effect.interruptible(isLocal ? Effect.never : Effect.forever(Effect.zipRight(once, next)))
    )
    fiber.addObserver(() => mirror.close())
    engine.supervise(fiber)
    return mirror
  })

export interface ReaderOptions
  extends Pick<SpecOptions, "version" | "schema" | "store">,
    Pick<MirrorOptions, "onError"> {
  readonly key: string
  readonly interval?: Duration.DurationInput | undefined
  readonly ttl?: Duration.DurationInput | undefined
}

const noArgs: ReadonlyArray<never> = []

/** a mirror as `Cached.bgRead` gives it: the read, and the members around it */
export const read = (
  { interval, onError, ttl, ...options }: ReaderOptions,
  storeKey: string
): Effect.Effect<CachedReader<any>, never, any> =>
  Effect.flatMap(Effect.context<any>(), (context) => {
    const spec = new Spec(() => Effect.never, options, "options", storeKey, undefined)
    const key = spec.logicalKey(noArgs)
    const mirror = make(spec.engine(context), {
      key: spec.physicalKey(noArgs),
      schema: options.schema,
      interval: decodePositive("interval", interval ?? "30 seconds"),
      ttl: decodeMillis("ttl", ttl ?? 0),
      onError
    })
    return Effect.map(mirror, ({ age, changes, read, ready }) => Object.assign(read, { key, ready, age, changes }))
  })

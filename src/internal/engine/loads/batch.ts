/**
 * A batch: one call of the lookup of a batched function, for the keys that several loads ask for.
 *
 * Every key keeps a load of its own, whose lookup enters a batch and waits for its part of the result. So what holds for
 * a load (single flight, invalidation, locks, refreshes) holds for a load in a batch. A load leaves its batch when it is
 * interrupted, which happens when its last waiter leaves. Its key is not asked for if the batch has not begun yet. A
 * batch that has begun runs on until no load is left.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as FiberId from "effect/FiberId"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { InvalidBatch } from "../../../CacheError.js"
import { clockOf } from "../../time.js"
import type { Batching } from "../definition.js"
import type { Partition } from "../partition.js"
import { isTraced } from "../tracing.js"
import { type Environment, environmentOf } from "./environment.js"
import type { Flight } from "./flight.js"
import { LoadScope, LoadServices } from "./loadContext.js"
import * as LoadFiber from "./loadFiber.js"
import type { Permit } from "./permits.js"
import { type Waiting, Waits } from "./reentry.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** A request for one key: by a load, or by a read whose load is not shared. */
export interface Asker {
  readonly key: string
  readonly id: unknown
  /** The fiber that waits for the value. */
  readonly fiber: AnyFiber
  /** The load, if it is shared. */
  readonly flight: Flight | undefined
  /** Whether another load waits for the value, so that the batch needs no permit. */
  readonly isUrgent: boolean
  readonly resume: (answer: Effect.Effect<unknown, unknown>) => void
}

export class Batch implements Waiting {
  readonly batching: Batching
  /** Identifies the store that it belongs to. */
  readonly store: object
  readonly environment: Environment
  /** The partition of its ids, which is the one of its first asker. */
  readonly partition: Partition | undefined
  /** The fiber of its first asker. The batch waits on its scheduler and clock, and belongs to its trace. */
  readonly opener: AnyFiber
  /** Begins the batch at the end of its window. Mutable by design. */
  timer: AnyFiber | undefined = undefined
  /** The permit that it waits for or holds. Mutable by design. */
  permit: Permit | undefined = undefined
  /** Whether its lookup was called. */
  hasBegun = false
  /** Whether all askers have their answers, or have left. */
  isDone = false
  private readonly askers = new Map<string, Set<Asker>>()
  private waiting = 0
  private fiber: AnyFiber | undefined = undefined
  private readonly waits = new Waits()

  constructor(batching: Batching, store: object, opener: AnyFiber, partition: Partition | undefined) {
    this.batching = batching
    this.partition = partition
    this.store = store
    this.opener = opener
    this.environment = environmentOf(opener)
  }

  /** The number of keys. */
  get size(): number {
    return this.askers.size
  }

  /** Whether another load waits for one of its keys, so that it needs no permit. */
  get isUrgent(): boolean {
    return this.everyone().some(({ flight, isUrgent }) => isUrgent || flight?.isUrgent === true)
  }

  add(asker: Asker): void {
    const askers = this.askers.get(asker.key)
    if (askers === undefined) this.askers.set(asker.key, new Set([asker]))
    else askers.add(asker)
    this.waiting++
    asker.flight?.link(this)
  }

  /** An asker leaves. When nobody is left, the lookup is interrupted, and the effect waits for its end. */
  remove(asker: Asker): Effect.Effect<void> {
    if (this.isDone) return Effect.void
    asker.flight?.unlink(this)
    this.waiting--
    if (!this.hasBegun) {
      const askers = this.askers.get(asker.key)
      askers?.delete(asker)
      if (askers?.size === 0) this.askers.delete(asker.key)
    }
    if (this.waiting > 0) return Effect.void
    this.isDone = true
    return this.fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(this.fiber))
  }

  /** Calls the lookup. */
  begin(): void {
    this.hasBegun = true
    const ids = Array.from(this.askers.values(), ([first]) => first!.id)
    const scope = new LoadScope()
    const services = new LoadServices(this.environment.context.unsafeMap, scope)
    const span = this.makeSpan(ids.length)
    if (span !== undefined) services.set(Tracer.ParentSpan.key, span)
    const context = Context.unsafeMake<unknown>(services)
    this.fiber = LoadFiber.fork(this.lookup(ids), scope, context, {
      immediate: true,
      refs: (id) => this.refsOf(id, context)
    })
    const finish = (exit: Exit.Exit<unknown, unknown>) => {
      span?.end(clockOf(this.opener).unsafeCurrentTimeNanos(), exit)
      this.settle(exit)
      this.permit?.release()
    }
    const exit = this.fiber.unsafePoll()
    if (exit !== null) finish(exit)
    else this.fiber.addObserver(finish)
  }

  private refsOf(id: FiberId.Runtime, context: Context.Context<unknown>): FiberRefs.FiberRefs {
    const refs = FiberRefs.forkAs(this.environment.refs, id)
    return LoadFiber.withOwn(refs, id, context, this)
  }

  /** The span of the lookup: a child of the first load, linked to the others. */
  private makeSpan(size: number): Tracer.Span | undefined {
    const { opener } = this
    if (!isTraced(opener)) return undefined
    const links: Array<Tracer.SpanLink> = []
    for (const { fiber } of this.everyone()) {
      const span = fiber.currentSpan
      if (span !== undefined && span !== opener.currentSpan) links.push({ _tag: "SpanLink", span, attributes: {} })
    }
    const start = clockOf(opener).unsafeCurrentTimeNanos()
    const parent = Option.fromNullable(opener.currentSpan)
    const span = opener.currentTracer.span("Cached.batch", parent, opener.currentContext, links, start, "internal")
    span.attribute("cache.name", this.batching.name)
    span.attribute("cache.batch_size", size)
    return span
  }

  // Results.

  /** The lookup, whose result is made to values by key. */
  private lookup(ids: ReadonlyArray<unknown>): Effect.Effect<ReadonlyMap<string, unknown>, unknown, unknown> {
    const { isOrdered, lookupMany } = this.batching
    const lookup = Effect.suspend(() => lookupMany(ids))
    return Effect.map(this.partition === undefined ? lookup : this.partition.provide(lookup), (result) =>
      isOrdered ? this.inOrder(result) : this.byKey(result)
    )
  }

  /** The values of pairs. A pair whose id was not asked for is ignored. */
  private byKey(pairs: Iterable<unknown>): ReadonlyMap<string, unknown> {
    const found = new Map<string, unknown>()
    for (const pair of pairs) {
      if (!Array.isArray(pair) || pair.length !== 2)
        throw this.invalid("an element of its result is no pair [id, value]")
      const key = this.keyOf(pair[0])
      if (key !== undefined && this.askers.has(key)) found.set(key, pair[1])
    }
    return found
  }

  /** The key of an id; `undefined` if it has none, so that nobody can have asked for it. */
  private keyOf(id: unknown): string | undefined {
    try {
      return this.batching.keyOf(id, this.partition)
    } catch {
      return undefined
    }
  }

  /** The values of a list of options in the order of the ids. */
  private inOrder(result: Iterable<unknown>): ReadonlyMap<string, unknown> {
    const options = Array.from(result)
    const keys = Array.from(this.askers.keys())
    if (options.length !== keys.length) {
      throw this.invalid(`it was called with ${keys.length} ids and returned ${options.length} values`)
    }
    const found = new Map<string, unknown>()
    for (const [i, option] of options.entries()) {
      if (!Option.isOption(option)) throw this.invalid("an element of its result is no Option")
      if (Option.isSome(option)) found.set(keys[i]!, option.value)
    }
    return found
  }

  private invalid(detail: string): InvalidBatch {
    return new InvalidBatch({ of: this.batching.name, detail })
  }

  /** Answers all askers. */
  private settle(exit: Exit.Exit<unknown, unknown>): void {
    this.isDone = true
    const found = exit._tag === "Success" ? (exit.value as ReadonlyMap<string, unknown>) : undefined
    for (const { key, resume } of this.everyone()) {
      if (found === undefined) resume(exit)
      else resume(Exit.succeed(found.has(key) ? Option.some(found.get(key)) : Option.none()))
    }
  }

  private everyone(): ReadonlyArray<Asker> {
    return Array.from(this.askers.values()).flatMap((askers) => Array.from(askers))
  }

  // In the search for loads that wait for themselves.

  readonly key = undefined

  get def(): { readonly name: string } {
    return this.batching
  }

  get flights(): ReadonlyArray<Flight> {
    return this.everyone().flatMap(({ flight }) => (flight === undefined ? [] : [flight]))
  }

  get parents(): Iterable<Waiting> {
    return this.flights
  }

  get targets(): Iterable<Waiting> {
    return this.waits.targets
  }

  link(to: Waiting): void {
    this.waits.add(to)
  }

  unlink(to: Waiting): void {
    this.waits.delete(to)
  }
}

/**
 * Spans. A span is made only if something may record it. A span never contains a key, which may be an e-mail address or a
 * token.
 */
import { hmac } from "@noble/hashes/hmac.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { randomBytes } from "@noble/hashes/utils.js"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"
import type { Outcome } from "../../CacheEvent.js"
import { encoder } from "../serializers/utf8.js"
import { clockOf } from "../time.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

const nativeTracer = /*#__PURE__*/ Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** Whether a span of this fiber would have a parent, or a tracer that exports it. */
export const isTraced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  (fiber.currentSpan !== undefined || fiber.currentTracer !== nativeTracer) &&
  fiber.getFiberRef(FiberRef.currentTracerEnabled)

/**
 * Computes what spans contain of a key: the start of an HMAC of it.
 *
 * A plain hash would confirm a guess, because keys are made of e-mail addresses and numbers, of which all can be tried.
 * Nobody can compute this one without the secret, which is random unless it is given.
 */
export class KeyHashes {
  private readonly secret: Redacted.Redacted | undefined
  /** Made for the first span, because many stores have none. */
  private keyed: ReturnType<typeof hmac.create> | undefined = undefined

  constructor(secret: Redacted.Redacted | undefined) {
    this.secret = secret
  }

  /** Eight characters that differ between keys. */
  of(key: string): string {
    this.keyed ??= hmac.create(sha256, this.secret === undefined ? randomBytes(32) : bytesOf(this.secret))
    const digest = this.keyed.clone().update(encoder.encode(key)).digest()
    return Encoding.encodeBase64Url(digest.subarray(0, 6))
  }
}

const bytesOf = (secret: Redacted.Redacted): Uint8Array => encoder.encode(Redacted.value(secret))

/** What the names in spans are looked up in. */
export interface Traced {
  readonly keyHashes: KeyHashes
  readonly tierName: (tier: number | undefined) => string | undefined
}

const describe = (
  span: Tracer.Span,
  outcome: Outcome,
  tier: number | undefined,
  { tierName }: Pick<Traced, "tierName">
): void => {
  span.attribute("cache.outcome", outcome)
  const name = outcome === "miss" ? undefined : tierName(tier)
  if (name !== undefined) span.attribute("cache.tier", name)
}

/** Writes into the span of a reader how its read was answered. */
export const annotate = (
  fiber: AnyFiber,
  outcome: Outcome,
  tier: number | undefined,
  traced: Pick<Traced, "tierName">
): void => {
  const span = fiber.currentSpan
  if (span?._tag === "Span" && isTraced(fiber)) describe(span, outcome, tier, traced)
}

/** A load, as far as its span is concerned. */
export interface TracedLoad {
  /** The span of its lookup, from the beginning of that, if it is traced. */
  span: Tracer.Span | undefined
  /** The spans of those who have joined it while it waited for its permit, and so had no span. */
  waitingSpans: Array<Tracer.Span> | undefined
}

const link = (from: Tracer.Span, to: Tracer.Span): void => {
  from.addLinks([{ _tag: "SpanLink", span: to, attributes: {} }])
}

/** Links the span of a waiter to that of the load that it has joined, once that has one. */
export const linkToLoad = (fiber: AnyFiber, load: TracedLoad & { readonly isQueued: boolean }): void => {
  const span = fiber.currentSpan
  if (span?._tag !== "Span" || !isTraced(fiber)) return
  if (load.span !== undefined) link(span, load.span)
  else if (load.isQueued) {
    load.waitingSpans ??= []
    load.waitingSpans.push(span)
  }
}

/** Gives a load its span, to which those who have joined it are linked. */
export const beginSpan = (load: TracedLoad, span: Tracer.Span): void => {
  load.span = span
  for (const waiting of load.waitingSpans ?? []) link(waiting, span)
  load.waitingSpans = undefined
}

/**
 * The span of a read by a function that asks the backend. It begins when the backend is asked, and ends when its answer
 * has been judged, before a load begins: or with the read, if there is no answer by then.
 */
export class ReadSpan {
  private span: Tracer.Span | undefined = undefined
  private isOpen = true
  private readonly fiber: AnyFiber
  private readonly traced: Traced

  constructor(fiber: AnyFiber, traced: Traced) {
    this.fiber = fiber
    this.traced = traced
  }

  /** The backend is asked, perhaps once more. */
  begin(name: string, key: string): void {
    if (this.span !== undefined) return
    const { fiber, traced } = this
    const span = fiber.currentTracer.span(
      "CacheStore.get",
      Option.fromNullable(fiber.currentSpan),
      fiber.currentContext as Context.Context<never>,
      [],
      clockOf(fiber).unsafeCurrentTimeNanos(),
      "internal"
    )
    HashMap.forEach(fiber.getFiberRef(FiberRef.currentTracerSpanAnnotations), (value, key) =>
      span.attribute(key, value)
    )
    span.attribute("cache.name", name)
    span.attribute("cache.key_hash", traced.keyHashes.of(key))
    this.span = span
  }

  /** The answer was judged. */
  judged(outcome: Outcome, tier: number | undefined): void {
    if (this.span === undefined || !this.isOpen) return
    describe(this.span, outcome, tier, this.traced)
    this.end(Exit.void)
  }

  /** The read has ended. */
  end(exit: Exit.Exit<unknown, unknown>): void {
    if (this.isOpen) this.span?.end(clockOf(this.fiber).unsafeCurrentTimeNanos(), exit)
    this.isOpen = false
  }
}

/** Wraps the read of many keys by a function in a span. */
export const readingMany = <A>(name: string, size: number, answers: Effect.Effect<A>): Effect.Effect<A> =>
  Effect.withSpan(answers, "CacheStore.getMany", {
    captureStackTrace: false,
    attributes: { "cache.name": name, "cache.batch_size": size }
  })

/** Wraps an operation of the store itself in a span. */
export const verb = <A, E, R>(
  { keyHashes, store }: { readonly keyHashes: KeyHashes; readonly store: string },
  name: string,
  key: string | undefined,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) =>
    isTraced(fiber)
      ? Effect.withSpan(effect, `CacheStore.${name}`, {
          captureStackTrace: false,
          attributes: { "cache.name": store, ...(key === undefined ? {} : { "cache.key_hash": keyHashes.of(key) }) }
        })
      : effect
  )

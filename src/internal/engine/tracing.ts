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
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"
import { encoder } from "../serializers/utf8.js"

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

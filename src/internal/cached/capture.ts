/**
 * `Cached.capture`: a cached effect or function, or what is made of one, with the services of the place where it runs.
 */
import * as Effect from "effect/Effect"
import { captureOf } from "../engine/loads/captured.js"
import { asEffect, asFunction, CaptureId, type Spec, SpecId } from "./cached.js"

interface Capturable {
  readonly [SpecId]?: Spec
  readonly [CaptureId]?: (captured: ReturnType<typeof captureOf>) => unknown
}

export const capture = (cached: object): Effect.Effect<unknown> =>
  Effect.withFiberRuntime((fiber) => {
    const { [CaptureId]: captured, [SpecId]: uncaptured } = cached as Capturable
    if (captured !== undefined) return Effect.succeed(captured(captureOf(fiber)))
    if (uncaptured === undefined) return Effect.succeed(cached) // a stub
    const spec = uncaptured.capturedAt(captureOf(fiber))
    return Effect.succeed(Effect.isEffect(cached) ? asEffect(spec) : asFunction(spec))
  })

/**
 * The environments of loads: the services and FiberRefs that a lookup sees. Loads of one environment may share a batch.
 *
 * Services are compared by reference. Span and Scope belong to a moment, and so do the FiberRefs that say how and where
 * a fiber runs, or describe it in logs and spans: with them, hardly two readers would share a batch. The batch has those
 * of its first load.
 */
import type * as Context from "effect/Context"
import * as Equal from "effect/Equal"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { ownRefs } from "./captured.js"
import { LoadServices } from "./loadContext.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>
type Services = ReadonlyMap<string, unknown>

/** `any`, because a FiberRef is invariant. */
type AnyFiberRef = FiberRef.FiberRef<any>

export interface Environment {
  readonly context: Context.Context<unknown>
  readonly refs: FiberRefs.FiberRefs
}

export const environmentOf = (fiber: AnyFiber): Environment => ({
  context: fiber.currentContext as Context.Context<unknown>,
  refs: fiber.getFiberRefs()
})

const isOfMoment = (key: string): boolean => key === Scope.Scope.key || key === Tracer.ParentSpan.key

const visit = (services: Services, f: (service: unknown, key: string) => void): void => {
  if (services instanceof LoadServices) services.visit(f)
  else services.forEach(f)
}

/** Whether two contexts have the same services, those of a moment aside. */
export const sameServices = (a: Services, b: Services): boolean => {
  if (a === b) return true
  let isSame = true
  let count = 0
  visit(a, (service, key) => {
    if (isOfMoment(key)) return
    count++
    if (b.get(key) !== service) isSame = false
  })
  if (!isSame) return false
  visit(b, (_, key) => {
    if (!isOfMoment(key)) count--
  })
  return count === 0
}

/** Made when first needed, because a FiberRef is made by the module that holds it. */
let momentRefs: ReadonlySet<AnyFiberRef> | undefined

const refsOfMoment = (): ReadonlySet<AnyFiberRef> => {
  momentRefs ??= new Set<AnyFiberRef>([
    ...ownRefs(),
    FiberRef.currentConcurrency,
    FiberRef.currentLogAnnotations,
    FiberRef.currentLogSpan,
    FiberRef.currentMaxOpsBeforeYield,
    FiberRef.currentRequestBatchingEnabled,
    FiberRef.currentSchedulingPriority,
    FiberRef.currentTracerSpanAnnotations,
    FiberRef.currentTracerSpanLinks
  ])
  return momentRefs
}

const sameRefs = (a: FiberRefs.FiberRefs, b: FiberRefs.FiberRefs): boolean => {
  if (a === b) return true
  const ofMoment = refsOfMoment()
  const covers = (refs: FiberRefs.FiberRefs): boolean => {
    for (const ref of refs.locals.keys()) {
      if (
        !ofMoment.has(ref) &&
        !Equal.equals<unknown, unknown>(FiberRefs.getOrDefault(a, ref), FiberRefs.getOrDefault(b, ref))
      )
        return false
    }
    return true
  }
  return covers(a) && covers(b)
}

/** Whether lookups in two environments see the same. */
export const isSame = (a: Environment, b: Environment): boolean =>
  sameServices(a.context.unsafeMap, b.context.unsafeMap) && sameRefs(a.refs, b.refs)

/**
 * Jitter: a random part of a lifetime, so that entries that were stored at the same time do not expire at the same time.
 * Chance comes from the `Random` of the fiber that started the load.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"

const randomKey = Random.Random.key

/** The source of chance for the lifetimes of a function; `undefined` if it has no jitter. */
export const randomFor = (
  { jitter }: { readonly jitter: number },
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Random.Random | undefined => (jitter > 0 ? fiber.currentDefaultServices.unsafeMap.get(randomKey) : undefined)

/** A lifetime with a random part of it added: whole milliseconds, less than `jitter` of the lifetime. */
export const jittered = (ttl: number, jitter: number, random: Random.Random | undefined): number =>
  random === undefined || !(ttl > 0 && ttl < Number.POSITIVE_INFINITY)
    ? ttl
    : ttl + Math.floor(ttl * jitter * Effect.runSync(random.next))

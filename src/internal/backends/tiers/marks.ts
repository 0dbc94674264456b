/**
 * Invalidation marks of several tiers: they are read from and raised in every tier that keeps marks.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import { everything } from "../../markNames.js"
import type { Method, Tier, Tiers } from "./tiers.js"

type Marks = NonNullable<Backend.Backend["marks"]>
type Marked = Tier & { readonly backend: { readonly marks: Marks } }

const keepsMarks = (tier: Tier): tier is Marked => tier.backend.marks !== undefined

/** The marks of the tiers as one; `undefined` if no tier keeps marks. */
export const make = (tiers: Tiers): Marks | undefined => {
  const marked = tiers.lower.filter(keepsMarks)
  if (marked.length === 0) return undefined
  const [leading, ...others] = [
    ...marked.filter((tier) => tier === tiers.lower[tiers.leading]),
    ...marked.filter((tier) => tier !== tiers.lower[tiers.leading])
  ] as [Marked, ...Array<Marked>]
  const all = { concurrency: "unbounded" } as const
  return {
    every: Math.min(...marked.map(({ backend }) => backend.marks.every ?? Number.POSITIVE_INFINITY)),
    read: Effect.map(
      Effect.forEach(marked, (tier) => notifying(tiers, tier, tier.backend.marks.read), all),
      (read) => read.reduce(merged, undefined)
    ),
    raise: (raised) =>
      Effect.flatMap(notifying(tiers, leading, leading.backend.marks.raise(raised)), (answer) => {
        const again = followingMarks(raised, answer)
        return Effect.map(
          Effect.forEach(others, (tier) => notifying(tiers, tier, tier.backend.marks.raise(again)), all),
          (rest) => rest.reduce<Backend.Marks>((sum, each) => merged(sum, each)!, answer)
        )
      })
  }
}

/**
 * Passes the marks of a tier to the store as soon as the tier has answered. It does not wait for the other tiers: the
 * tier reports each mark once, and reads that run meanwhile must know it.
 */
const notifying = <M extends Backend.Marks | undefined>(tiers: Tiers, tier: Tier, method: Method<M>): Method<M> =>
  Effect.tap(tiers.watch(tier, "mark", method), (marks) =>
    Effect.sync(() => {
      if (marks !== undefined) tiers.store.notify(marks)
    })
  )

/** The marks to raise in the other tiers, with the stamps that the leading tier gave them. */
const followingMarks = (raised: ReadonlyArray<Backend.Mark>, answer: Backend.Marks): ReadonlyArray<Backend.Mark> => {
  const stamps = new Map(answer.raised)
  stamps.set(everything, answer.floor)
  return raised.map(({ name, stamp }) => ({
    name,
    stamp: Math.max(stamp, stamps.get(name) ?? stamp),
    authoritative: false
  }))
}

const merged = (a: Backend.Marks | undefined, b: Backend.Marks | undefined): Backend.Marks | undefined =>
  a === undefined
    ? b
    : b === undefined
      ? a
      : { floor: Math.max(a.floor, b.floor), lost: Math.max(a.lost, b.lost), raised: [...a.raised, ...b.raised] }

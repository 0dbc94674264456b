/**
 * Renewals of entries that were read, in every tier below memory. The slowest tier comes first: no tier keeps an entry
 * for longer than a slower one that has it (law 14, a tier never outlives its source).
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import type { Method, Tier, Tiers } from "./tiers.js"

type Results = ReadonlyArray<Backend.Written>

/** The renewals of all tiers as one; `undefined` if a tier cannot renew. */
export const make = (tiers: Tiers): Backend.Backend["renew"] => {
  const { lower } = tiers
  if (lower.length === 0 || lower.some(({ backend }) => backend.renew === undefined)) return undefined
  return (renewals) =>
    Effect.reduce(
      Array.from(lower).reverse(),
      renewals.map(() => superseded),
      (results, tier) =>
        Effect.map(renewIn(tiers, tier, renewals, results), (own) =>
          results.map((result, i) => better(result, own[i]!))
        )
    )
}

const superseded: Backend.Written = { _tag: "Superseded" }

/** The result for two tiers: an entry that a tier failed to renew ends there, so it is not renewed. */
const better = (slower: Backend.Written, faster: Backend.Written): Backend.Written =>
  slower._tag === "Failed" || faster._tag === "Superseded" ? slower : faster

/**
 * Renews in one tier what no slower tier has failed to renew. A tier that limits how long it holds an entry ends it as
 * long after its creation.
 */
const renewIn = (
  tiers: Tiers,
  tier: Tier,
  renewals: ReadonlyArray<Backend.Renewal>,
  results: Results
): Method<Results> => {
  const out: Array<Backend.Written> = renewals.map(() => superseded)
  const places: Array<number> = []
  const sent = renewals.flatMap((renewal, i) => {
    const lifetime = Math.min(renewal.lifetime, renewal.createdAt + tier.ttl - renewal.at)
    if (results[i]!._tag === "Failed" || lifetime < 1) return []
    places.push(i)
    return [{ ...renewal, lifetime }]
  })
  if (sent.length === 0) return Effect.succeed(out)
  return Effect.map(tiers.watch(tier, "renew", tier.backend.renew!(sent)), (own) => {
    places.forEach((place, i) => {
      out[place] = own[i] ?? superseded
    })
    const broken = own.find((result) => result._tag === "Failed")
    if (broken !== undefined) tiers.failed(tier, "renew", broken.error)
    return out
  })
}

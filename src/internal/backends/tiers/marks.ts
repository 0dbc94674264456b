/**
 * Invalidation marks of several tiers: they are read from and raised in every tier that keeps marks.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import { everything } from "../../markNames.js"
import { Losses } from "./losses.js"
import type { Marked, Method, Tier, Tiers } from "./tiers.js"

type Marks = NonNullable<Backend.Backend["marks"]>
const keepsMarks = (tier: Tier): tier is Marked => tier.backend.marks !== undefined

/** The marks of the tiers as one; `undefined` if no tier keeps marks. */
export const make = (tiers: Tiers): Marks | undefined => {
  const marked = tiers.lower.filter(keepsMarks)
  if (marked.length === 0) return undefined
  tiers.losses = new Losses(tiers, marked)
  const [leading, ...others] = [
    ...marked.filter((tier) => tier === tiers.lower[tiers.leading]),
    ...marked.filter((tier) => tier !== tiers.lower[tiers.leading])
  ] as [Marked, ...Array<Marked>]
  const all = { concurrency: "unbounded" } as const
  return {
    every: Math.min(...marked.map(({ backend }) => backend.marks.every ?? Number.POSITIVE_INFINITY)),
    // each tier by itself: a failure of one must not interrupt another, which reports each mark once
    read: Effect.flatMap(
      Effect.forEach(marked, (tier) => Effect.either(notifying(tiers, tier, tier.backend.marks.read)), all),
      (read) => {
        const answers = read.filter(Either.isRight).map((answer) => answer.right)
        const failure = read.find(Either.isLeft)
        return answers.length === 0 && failure !== undefined
          ? failure
          : Effect.succeed(answers.reduce(merged, undefined))
      }
    ),
    raise: (raised) =>
      Effect.flatMap(raiseIn(tiers, leading, raised), (first) => {
        const again = first !== undefined && Either.isLeft(first) ? raised : followingMarks(tiers, raised, first?.right)
        return Effect.flatMap(
          Effect.forEach(others, (tier) => raiseIn(tiers, tier, again), all),
          (rest) => together(tiers, [leading, ...others], [first, ...rest])
        )
      })
  }
}

type Raised = Either.Either<Backend.Marks, CacheStoreError> | undefined

/** Raises the marks that concern a tier; `undefined` if none does. */
const raiseIn = (tiers: Tiers, tier: Marked, raised: ReadonlyArray<Backend.Mark>): Effect.Effect<Raised> => {
  const own = tiers.requestsFor(tier, raised)
  return own.length === 0
    ? Effect.succeed(undefined)
    : Effect.either(notifying(tiers, tier, tier.backend.marks.raise(own)))
}

/**
 * The answers of the tiers as one. A raise has failed if no tier took the marks. What one tier missed is raised again in
 * that tier alone, so that the others are used meanwhile.
 */
const together = (tiers: Tiers, asked: ReadonlyArray<Tier>, answers: ReadonlyArray<Raised>): Method<Backend.Marks> => {
  let sum: Backend.Marks | undefined
  let error: CacheStoreError | undefined
  const missed: Array<number> = []
  answers.forEach((answer, i) => {
    if (answer === undefined) return
    if (Either.isRight(answer)) {
      sum = merged(sum, answer.right)
    } else {
      error ??= answer.left
      missed.push(tiers.indexOf(asked[i]!))
    }
  })
  if (sum !== undefined) return Effect.succeed({ ...sum, missed })
  return error === undefined ? Effect.succeed(noMarks) : Effect.fail(error)
}

const noMarks: Backend.Marks = { floor: Number.NEGATIVE_INFINITY, lost: Number.NEGATIVE_INFINITY, raised: [] }

/**
 * Passes the marks of a tier to the store as soon as the tier has answered. It does not wait for the other tiers: the
 * tier reports each mark once, and reads that run meanwhile must know it.
 */
const notifying = <M extends Backend.Marks | undefined>(tiers: Tiers, tier: Tier, method: Method<M>): Method<M> =>
  Effect.flatMap(tiers.watch(tier, "mark", method), (marks) =>
    marks === undefined ? Effect.succeed(marks) : Effect.map(tiers.losses.judge(tier, marks), (judged) => judged as M)
  )

/**
 * The marks to raise in the other tiers, with the stamps that the leading tier gave them. While the leading tier is away,
 * the others give them stamps of their own: a mark that is too late costs loads only.
 */
const followingMarks = (
  marked: Tiers,
  raised: ReadonlyArray<Backend.Mark>,
  answer: Backend.Marks | undefined
): ReadonlyArray<Backend.Mark> => {
  const stamps = new Map(answer?.raised)
  if (answer !== undefined) stamps.set(everything, answer.floor)
  return raised.map(({ expires, name, stamp, tiers }) =>
    marked.following<Backend.Mark>({
      name,
      expires,
      stamp: Math.max(stamp, stamps.get(name) ?? stamp),
      authoritative: false,
      tiers
    })
  )
}

const merged = (a: Backend.Marks | undefined, b: Backend.Marks | undefined): Backend.Marks | undefined =>
  a === undefined
    ? b
    : b === undefined
      ? a
      : {
          floor: Math.max(a.floor, b.floor),
          lost: Math.max(a.lost, b.lost),
          isLoss: a.isLoss === true || b.isLoss === true,
          isRepaired: a.isRepaired === true || b.isRepaired === true,
          raised: [...a.raised, ...b.raised],
          buckets: [...(a.buckets ?? []), ...(b.buckets ?? [])]
        }

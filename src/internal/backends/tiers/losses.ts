/**
 * Tiers that lost their marks. Such a tier raises its floor above everything that was written before the loss. If
 * another tier still has its marks, that is not necessary: every mark is raised in every tier, so that tier knows which
 * entries are invalidated.
 *
 * A tier knows the marks since its own latest loss. The floor that counts is therefore the earliest loss among the tiers
 * that answer.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../../Backend.js"
import type { Marked, Tier, Tiers } from "./tiers.js"

/** A loss of marks, and the floor that counts because of it. */
interface Loss {
  readonly lost: number
  readonly floor: number
}

export class Losses {
  /** The latest loss of each tier that had one. */
  private readonly latest = new Map<Tier, number>()
  /** The losses that were compared with the other tiers. */
  private readonly judged = new Map<Tier, Loss>()
  private readonly tiers: Tiers
  /** The tiers that keep marks. */
  private readonly marked: ReadonlyArray<Marked>

  constructor(tiers: Tiers, marked: ReadonlyArray<Marked>) {
    this.tiers = tiers
    this.marked = marked
  }

  /**
   * Passes the marks of a tier to the store, and returns them. A floor that the tier raised because it lost its marks is
   * replaced by the floor that is known from the other tiers.
   */
  judge(tier: Tier, marks: Backend.Marks): Effect.Effect<Backend.Marks> {
    const { store } = this.tiers
    const isShared = this.marked.length > 1 && isLoss(marks)
    const judged = isShared ? this.judged.get(tier) : undefined
    if (!isShared || judged?.lost === marks.lost) {
      const known = judged === undefined ? marks : { ...marks, floor: judged.floor }
      return Effect.sync(() => {
        store.notify(known)
        return known
      })
    }
    const { lost } = marks
    store.notify({ ...marks, floor: Number.NEGATIVE_INFINITY, isLoss: false })
    this.latest.set(tier, lost)
    return Effect.map(
      Effect.forEach(
        this.marked.filter((other) => other !== tier),
        (other) => this.knownSince(other),
        { concurrency: "unbounded" }
      ),
      (since) => {
        const floor = Math.min(lost, ...since)
        this.judged.set(tier, { lost, floor })
        // the earliest loss counts, and it is one of this tier's only if no tier knows more
        const known = { ...marks, floor, isLoss: marks.isLoss === true && floor === lost }
        store.notify(known)
        return known
      }
    )
  }

  /** The stamp since which a tier has all marks. `Infinity` if it does not answer. */
  private knownSince(tier: Marked): Effect.Effect<number> {
    const { tiers } = this
    return Effect.map(Effect.either(tiers.watch(tier, "mark", tier.backend.marks.read)), (read) => {
      if (Either.isLeft(read)) return Number.POSITIVE_INFINITY
      const marks = read.right
      if (marks !== undefined) {
        const isLost = isLoss(marks)
        if (isLost) this.latest.set(tier, marks.lost)
        // the caller compares a loss of this tier with its own
        tiers.store.notify(isLost ? { ...marks, floor: Number.NEGATIVE_INFINITY, isLoss: false } : marks)
      }
      return this.latest.get(tier) ?? Number.NEGATIVE_INFINITY
    })
  }
}

/** Whether the floor was raised only because marks were lost. */
const isLoss = (marks: Backend.Marks): boolean => marks.floor === marks.lost

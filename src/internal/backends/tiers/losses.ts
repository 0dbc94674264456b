/**
 * Tiers that lost their marks. Such a tier raises its floor above everything that was written before the loss. If
 * another tier still has its marks, that is not necessary: every mark is raised in every tier, so that tier knows which
 * entries are invalidated.
 *
 * A tier knows the marks since its own latest loss. The floor that counts is therefore the earliest loss among the tiers
 * that answer.
 *
 * While the leading tier does not answer, a loss of another tier is open. That tier dates it by its own clock, which may
 * be ahead of the stamps that the leading tier gives: as a floor it would also refuse what is written later. So only
 * entries of that tier are compared with it. The floor is the latest stamp that this process has seen, because a copy in
 * memory may have been invalidated by a mark that was lost. Both are decided once the leading tier answers.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../../Backend.js"
import type { Entry } from "../../../Entry.js"
import type { LostMarks, Marked, Tier, Tiers } from "./tiers.js"

/** A loss of marks, and the floor that counts because of it. */
interface Loss {
  readonly lost: number
  readonly floor: number
}

export class Losses implements LostMarks {
  /** The latest loss of each tier that had one. */
  private readonly latest = new Map<Tier, number>()
  /** The losses that were compared with the other tiers. */
  private readonly judged = new Map<Tier, Loss>()
  /** The marks of the tiers whose loss is open. */
  private readonly open = new Map<Tier, Backend.Marks>()
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
        if (!isShared) this.open.delete(tier)
        store.notify(known)
        return known
      })
    }
    const { lost } = marks
    store.notify({ ...marks, floor: Number.NEGATIVE_INFINITY, isLoss: false })
    this.latest.set(tier, lost)
    const others = this.marked.filter((other) => other !== tier)
    return Effect.map(
      Effect.forEach(others, (other) => this.knownSince(other), { concurrency: "unbounded" }),
      (since) => {
        const earliest = Math.min(lost, ...since)
        const isOpen = earliest === lost && this.isAway(tier, others, since)
        const floor = isOpen ? Math.min(lost, this.tiers.lower[this.tiers.leading]!.backend.stamps!.seen()) : earliest
        if (isOpen) {
          this.open.set(tier, marks)
        } else {
          this.open.delete(tier)
          this.judged.set(tier, { lost, floor })
        }
        // the earliest loss counts, and it is one of this tier's only if no tier knows more
        const known = { ...marks, floor, isLoss: marks.isLoss === true && floor === lost }
        store.notify(known)
        return known
      }
    )
  }

  /** The marks of a tier whose loss is open, to be judged again. */
  openOf(tier: Tier): Backend.Marks | undefined {
    return this.open.get(tier)
  }

  /** Whether an entry of a tier may have been invalidated by a mark that the tier lost, in a loss that is open. */
  mayConcern(tier: Tier, { stamp }: Entry): boolean {
    const marks = this.open.get(tier)
    return marks !== undefined && stamp <= marks.lost
  }

  /** Whether a loss must wait for the leading tier, which gives the stamps and does not answer. */
  private isAway(tier: Tier, others: ReadonlyArray<Tier>, since: ReadonlyArray<number>): boolean {
    const { isCounted, leading, lower } = this.tiers
    const first = lower[leading]!
    return isCounted && tier !== first && since[others.indexOf(first)] === Number.POSITIVE_INFINITY
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

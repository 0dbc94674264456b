/**
 * Writes to several tiers. The leading tier is written first. It assigns the stamps that the other tiers take over, so
 * that a key has the same history in all of them. Where it counts, no other tier gives a stamp by its own clock or count,
 * also while the leading tier is away: the two may differ by any time.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Backend from "../../../Backend.js"
import { Entry } from "../../../Entry.js"
import * as AsyncEffect from "../../asyncEffect.js"
import type { Method, Tier, Tiers } from "./tiers.js"

type Results = ReadonlyArray<Backend.Written>

/** An operation that all tiers execute. */
interface Operation<W> {
  readonly execute: (tiers: Tiers, tier: Tier, requests: ReadonlyArray<W>) => Method<Results>
  /** The request to the other tiers after the leading tier has answered; `undefined` if they need none. */
  readonly following: (request: W, answer: Backend.Written) => W | undefined
}

export const setMany = (tiers: Tiers, writes: ReadonlyArray<Backend.Write>): Method<Results> =>
  everywhere(tiers, writes, { execute: setIn, following: followingSet })

export const removeMany = (tiers: Tiers, removals: ReadonlyArray<Backend.Removal>): Method<Results> =>
  everywhere(tiers, removals, { execute: removeIn, following: followingRemoval })

/**
 * Writes to the slowest tier if the key is absent there, because faster tiers may have lost an entry that it still has.
 * If that succeeds, writes to the other tiers, except the one in memory, which the store writes itself.
 */
export const setIfAbsent = (
  tiers: Tiers,
  write: Backend.Write,
  options: Parameters<Backend.Backend["setIfAbsent"]>[1]
): Method<Backend.Written> => {
  const slowest = tiers.lower[tiers.lower.length - 1]
  if (slowest === undefined) return tiers.local!.backend.setIfAbsent(write, options)
  return Effect.flatMap(ticketed(tiers, slowest, write), (write) => {
    const asked = tiers.timed(slowest, "set", () => slowest.backend.setIfAbsent(capped(slowest)(write), options))
    return Effect.tap(asked, (written) => {
      if (written._tag === "Failed") tiers.failed(slowest, "write", written.error)
      if (written._tag !== "Written") return Effect.void
      slowest.counters.set(1)
      const { follows: _, ...given } = write
      const copy: Backend.Write = { ...given, authoritative: false, entry: stamped(write.entry, written.stamp) }
      const writeCopy = (tier: Tier) =>
        Effect.ignore(setIn(tiers, tier, [isLeading(tiers, tier) ? copy : tiers.following(copy)]))
      return Effect.forEach(tiers.lower.slice(0, -1), writeCopy, { concurrency: "unbounded", discard: true })
    })
  })
}

const isLeading = ({ leading, lower }: Tiers, tier: Tier): boolean => tier === lower[leading]

/**
 * A write for a tier that decides whether the key is absent. If it does not lead, it must not give the stamp: the write
 * gets a new count of the leading tier, so that it is later than everything that was written or invalidated there.
 */
const ticketed = (tiers: Tiers, tier: Tier, write: Backend.Write): Effect.Effect<Backend.Write> => {
  const leading = tiers.lower[tiers.leading]!
  const { stamps } = leading.backend
  if (stamps === undefined || tier === leading) return Effect.succeed(write)
  return Effect.map(Effect.either(tiers.watch(leading, "write", stamps.raise)), (raised) => {
    const stamp = Either.isRight(raised) ? stamps.seen() : write.entry.stamp
    return tiers.following({ ...write, entry: stamped(write.entry, Math.max(stamp, write.entry.stamp)) })
  })
}

/** Limits a write to the `ttl` of a tier. */
export const capped =
  (tier: Tier) =>
  (write: Backend.Write): Backend.Write =>
    write.lifetime <= tier.ttl ? write : { ...write, lifetime: tier.ttl }

/** Executes an operation on the leading tier, and then on all others at once. */
const everywhere = <W extends Request>(
  tiers: Tiers,
  requests: ReadonlyArray<W>,
  operation: Operation<W>
): Method<Results> => {
  const { leading, lower } = tiers
  if (lower.length === 1) return operation.execute(tiers, lower[0]!, requests)
  const attempt = (tier: Tier, requests: ReadonlyArray<W>): Effect.Effect<Results> => {
    if (requests.length === 0) return Effect.succeed([])
    return AsyncEffect.catchAll(operation.execute(tiers, tier, requests), (error) =>
      Exit.succeed(requests.map((): Backend.Written => ({ _tag: "Failed", error })))
    )
  }
  const first = lower[leading]!
  const led = tiers.requestsFor(first, requests)
  return AsyncEffect.flatMap(attempt(first, led), (answers) => {
    const byRequest = new Map(led.map((request, i) => [request, answers[i] ?? superseded]))
    const progress = requests.map((request): Progress<W> => {
      const answer = byRequest.get(request)
      const next = answer === undefined ? request : operation.following(request, answer)
      return { answer, next: next && tiers.following(next), missed: [], failure: undefined }
    })
    const others = lower.filter((_, place) => place !== leading)
    const attemptIn = (tier: Tier): Effect.Effect<void> => {
      const concerned = progress.filter(({ next }) => next !== undefined && tiers.requestsFor(tier, [next]).length > 0)
      return AsyncEffect.map(
        attempt(
          tier,
          concerned.map(({ next }) => next!)
        ),
        (results) => {
          concerned.forEach((each, i) => {
            note(each, tiers.indexOf(tier), results[i] ?? superseded)
          })
        }
      )
    }
    const followed =
      others.length === 1
        ? attemptIn(others[0]!)
        : Effect.forEach(others, attemptIn, { concurrency: "unbounded", discard: true })
    return AsyncEffect.map(followed, () => progress.map(resultOf))
  })
}

type Request = {
  readonly tiers?: ReadonlyArray<number> | undefined
  readonly follows?: boolean | undefined
}

const superseded: Backend.Written = { _tag: "Superseded" }

/** A request while the tiers execute it. Mutable by design. */
interface Progress<W> {
  /** The answer of the leading tier or, if it was not asked, of the first tier that was. */
  answer: Backend.Written | undefined
  /** The request to the other tiers, if they need one. */
  readonly next: W | undefined
  /** The tiers that failed, or found the write too late, after another one had answered. */
  readonly missed: Array<number>
  /** The last failure among them. */
  failure: Backend.Written | undefined
}

const note = <W>(progress: Progress<W>, tier: number, result: Backend.Written): void => {
  if (progress.answer === undefined) progress.answer = result
  else if (result._tag === "Failed" || result._tag === "Late") {
    progress.missed.push(tier)
    if (result._tag === "Failed") progress.failure = result
  }
}

/**
 * The result of a request: that of the leading tier. What other tiers missed is tried again in those tiers alone if the
 * leading tier has the write. Otherwise the request has failed.
 */
const resultOf = <W>({ answer = superseded, failure, missed }: Progress<W>): Backend.Written => {
  if (missed.length === 0 || answer._tag === "Refused") return answer
  return answer._tag === "Written" ? { ...answer, missed } : (failure ?? answer)
}

const stamped = (entry: Entry, stamp: number): Entry => new Entry(entry.value, { ...entry, stamp })

const followingSet = ({ fence, ...write }: Backend.Write, answer: Backend.Written): Backend.Write | undefined => {
  switch (answer._tag) {
    case "Written":
      return answer.stamp === write.entry.stamp
        ? { ...write, authoritative: false }
        : { ...write, authoritative: false, entry: stamped(write.entry, answer.stamp) }
    case "Failed":
      // a fenced write ends here, because only the leading tier knows whether the lock is still held
      return fence === undefined ? write : undefined
    case "Fenced":
    case "Refused":
      return undefined
    default:
      // The leading tier has something newer, so a loaded value is dropped. A value that was set is sent on: this may
      // be a retry, for another tier that missed the first attempt.
      return write.maxAge === undefined ? { ...write, authoritative: false } : undefined
  }
}

/** The leading tier alone keeps an entry as stale: another one may hold an older entry under the key. */
const followingRemoval = ({ stale: _, ...removal }: Backend.Removal, answer: Backend.Written): Backend.Removal =>
  answer._tag === "Written" ? { ...removal, authoritative: false, stamp: answer.stamp } : removal

const setIn = (tiers: Tiers, tier: Tier, writes: ReadonlyArray<Backend.Write>): Method<Results> =>
  AsyncEffect.map(
    tiers.timed(tier, "set", () => tier.backend.setMany(writes.map(capped(tier)))),
    (results) => {
      reportFailure(tiers, tier, results)
      tier.counters.set(results.filter((result) => result._tag === "Written").length)
      return results
    }
  )

const removeIn = (tiers: Tiers, tier: Tier, removals: ReadonlyArray<Backend.Removal>): Method<Results> =>
  AsyncEffect.map(
    tiers.timed(tier, "remove", () => tier.backend.removeMany(removals)),
    (results) => {
      reportFailure(tiers, tier, results)
      tier.counters.remove(results.filter((result) => result._tag === "Written").length)
      return results
    }
  )

/** Reports the first failed result: a part of the tier could not be reached. */
const reportFailure = (tiers: Tiers, tier: Tier, results: Results): void => {
  const broken = results.find((result) => result._tag === "Failed")
  if (broken !== undefined) tiers.failed(tier, "write", broken.error)
}

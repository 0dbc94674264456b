/**
 * Writes to several tiers. The leading tier is written first. It assigns the stamps that the other tiers take over, so
 * that a key has the same history in all of them.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import { Entry } from "../../../Entry.js"
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
  const slowest = tiers.lower[tiers.lower.length - 1]!
  const asked = tiers.watch(slowest, "write", slowest.backend.setIfAbsent(capped(slowest)(write), options))
  return Effect.tap(asked, (written) => {
    if (written._tag === "Failed") tiers.failed(slowest, "write", written.error)
    if (written._tag !== "Written") return Effect.void
    slowest.counters.set(1)
    const copy = { ...write, authoritative: false, entry: stamped(write.entry, written.stamp) }
    return Effect.forEach(tiers.lower.slice(0, -1), (tier) => Effect.ignore(setIn(tiers, tier, [copy])), {
      concurrency: "unbounded",
      discard: true
    })
  })
}

/** Limits a write to the `ttl` of a tier. */
export const capped =
  (tier: Tier) =>
  (write: Backend.Write): Backend.Write =>
    write.lifetime <= tier.ttl ? write : { ...write, lifetime: tier.ttl }

/** Executes an operation on the leading tier, and then on all others at once. */
const everywhere = <W>(tiers: Tiers, requests: ReadonlyArray<W>, operation: Operation<W>): Method<Results> => {
  const { leading, lower } = tiers
  if (lower.length === 1) return operation.execute(tiers, lower[0]!, requests)
  const attempt = (tier: Tier, requests: ReadonlyArray<W>): Effect.Effect<Results> =>
    Effect.catchAll(operation.execute(tiers, tier, requests), (error) =>
      Effect.succeed(requests.map((): Backend.Written => ({ _tag: "Failed", error })))
    )
  return Effect.flatMap(attempt(lower[leading]!, requests), (answers) => {
    const indexes: Array<number> = []
    const rest: Array<W> = []
    requests.forEach((request, i) => {
      const next = operation.following(request, answers[i] ?? { _tag: "Superseded" })
      if (next === undefined) return
      indexes.push(i)
      rest.push(next)
    })
    if (rest.length === 0) return Effect.succeed(answers)
    const others = lower.filter((_, place) => place !== leading)
    return Effect.map(
      Effect.forEach(others, (tier) => attempt(tier, rest), { concurrency: "unbounded" }),
      (results) => withFailures(answers, indexes, results)
    )
  })
}

/**
 * The results of the leading tier, except where another tier failed: a write has succeeded only if all tiers have it.
 */
const withFailures = (leading: Results, indexes: ReadonlyArray<number>, others: ReadonlyArray<Results>): Results => {
  const all = Array.from(leading)
  for (const results of others) {
    indexes.forEach((i, j) => {
      const each = results[j]
      if (each?._tag === "Failed" && all[i]!._tag !== "Refused") all[i] = each
    })
  }
  return all
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

const followingRemoval = (removal: Backend.Removal, answer: Backend.Written): Backend.Removal =>
  answer._tag === "Written" ? { ...removal, authoritative: false, stamp: answer.stamp } : removal

const setIn = (tiers: Tiers, tier: Tier, writes: ReadonlyArray<Backend.Write>): Method<Results> =>
  Effect.tap(tiers.watch(tier, "write", tier.backend.setMany(writes.map(capped(tier)))), (results) =>
    Effect.sync(() => {
      reportFailure(tiers, tier, results)
      tier.counters.set(results.filter((result) => result._tag === "Written").length)
    })
  )

const removeIn = (tiers: Tiers, tier: Tier, removals: ReadonlyArray<Backend.Removal>): Method<Results> =>
  Effect.tap(tiers.watch(tier, "write", tier.backend.removeMany(removals)), (results) =>
    Effect.sync(() => reportFailure(tiers, tier, results))
  )

/** Reports the first failed result: a part of the tier could not be reached. */
const reportFailure = (tiers: Tiers, tier: Tier, results: Results): void => {
  const broken = results.find((result) => result._tag === "Failed")
  if (broken !== undefined) tiers.failed(tier, "write", broken.error)
}

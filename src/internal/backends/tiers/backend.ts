/**
 * A backend of several tiers. A read is answered by the first tier that has the key, and the entry is copied to the
 * faster ones. A write goes to all tiers. Tiers fail independently: a tier that cannot be read is skipped. If one tier
 * cannot be written, the others still are. What it missed is undelivered for that tier alone: the store tries it again
 * there, and until then accepts from that tier nothing that it concerns.
 *
 * One tier leads: the first one that counts the writes of all processes, or else the first below memory. It is written first, and
 * the other tiers take over the stamps that it assigns, so that a key has the same history in all of them.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Backend from "../../../Backend.js"
import type { TierCounters } from "../../../CacheMetrics.js"
import type { CacheProblem } from "../../../CacheProblem.js"
import { Entry } from "../../../Entry.js"
import type { Problems } from "../../problems.js"
import * as Marks from "./marks.js"
import { getMany } from "./reads.js"
import * as Renewals from "./renewals.js"
import { type Tier, Tiers } from "./tiers.js"
import { removeMany, setIfAbsent, setMany } from "./writes.js"

export type { Tier } from "./tiers.js"

/** `own` are the problems of the tiers together. */
export const compose = (
  name: string,
  all: readonly [Tier, ...ReadonlyArray<Tier>],
  own?: Problems
): Backend.Backend => {
  const tiers = new Tiers(all)
  const { local, lower } = tiers
  const leading = lower[tiers.leading]?.backend
  const changes = lower.flatMap(({ backend }) => (backend.changes === undefined ? [] : [backend.changes]))
  const notifier = lower.find(({ backend }) => backend.notifications !== undefined)
  return {
    name,
    remote: lower.length > 0,
    isOwnerless: lower.some(({ backend }) => backend.isOwnerless === true),
    hits: local?.backend.hits,
    limitEntries: local?.backend.limitEntries,
    unsafeGet: local?.backend.unsafeGet,
    unsafePeek: local?.backend.unsafePeek,
    unsafeSet: local && setLocal(local),
    unsafeRemove: local && removeLocal(local),
    unsafeSize: local?.backend.unsafeSize,
    unsafeMeasure: local?.backend.unsafeMeasure,
    followMarks: local?.backend.followMarks,
    unsafeClear: local?.backend.unsafeClear,
    unsafeFree: local?.backend.unsafeFree,
    unsafeReserve: local?.backend.unsafeReserve,
    // what memory knows says nothing of a slower tier
    wasCleared: lower.length === 0 ? local?.backend.wasCleared : undefined,
    freeze: local?.backend.freeze,
    onRemoved: local?.backend.onRemoved,
    keepsFailures: lower.every(({ backend }) => backend.keepsFailures !== false),
    getMany: (reads) => getMany(tiers, reads),
    setMany: (writes) => setMany(tiers, writes),
    setIfAbsent: (write, options) => setIfAbsent(tiers, write, options),
    removeMany: (removals) => removeMany(tiers, removals),
    renew: Renewals.make(tiers),
    sweep: (sweep) => sweepAll(tiers, sweep),
    list: listDeepest(tiers),
    marks: Marks.make(tiers),
    changes: changes.length === 0 ? undefined : Stream.mergeAll(changes, { concurrency: "unbounded" }),
    notifications: notifier && ((within) => judging(tiers, notifier, within)),
    needsNotifications: notifier?.backend.needsNotifications,
    // the lock of the leading tier, because fenced writes go there first
    lock: leading?.lock,
    isUp: lower.length === 0 ? undefined : () => lower.some(({ backend }) => backend.isUp?.() !== false),
    problems: () => [...(own?.list ?? []), ...all.flatMap(problemsOf)],
    stamps: leading?.stamps,
    attach: (store) => {
      tiers.store = store
    },
    tiers: () => all.map(({ counters }) => countsOf(counters)),
    states: () => all.map(stateOf)
  }
}

/** The notifications of a tier, in which losses of marks are compared with the other tiers. */
const judging = (tiers: Tiers, tier: Tier, within: number): Stream.Stream<Backend.Notification> =>
  Stream.mapEffect(
    tier.backend.notifications!(within),
    (notification): Effect.Effect<Backend.Notification> =>
      notification._tag === "Marks"
        ? Effect.map(tiers.losses.judge(tier, notification.marks), (marks) => ({ _tag: "Marks", marks }))
        : Effect.succeed(notification)
  )

/** Writes to the tier in memory, and counts the write if memory takes the value: as a backfill if the entry came from a slower tier. */
const setLocal =
  (tier: Tier): NonNullable<Backend.Backend["unsafeSet"]> =>
  (key, entry, now, isBackfill) => {
    const isTaken = tier.backend.unsafeSet!(key, heldFor(entry, tier.ttl, now), now) !== false
    if (isTaken && isBackfill) tier.counters.backfill(1)
    else if (isTaken) tier.counters.set(1)
    return isTaken
  }

/** Removes a key from the tier in memory, and counts it if it was there. */
const removeLocal =
  ({ backend, counters }: Tier): NonNullable<Backend.Backend["unsafeRemove"]> =>
  (key) => {
    const wasThere = backend.unsafeRemove!(key)
    if (wasThere) counters.remove(1)
    return wasThere
  }

/** An entry for the tier in memory, which may hold it for less time than the entry has left. */
const heldFor = (given: Entry, ttl: number, now: number): Entry => {
  if (ttl === Number.POSITIVE_INFINITY) return given
  // another store in memory may hold the entry, for longer
  const entry = new Entry(given.value, given)
  entry.copy = { ...given.copy, since: given.copy?.since ?? 0, held: now + ttl }
  // the next read takes this end into account
  entry.until = Number.NEGATIVE_INFINITY
  return entry
}

/** Sweeps every tier, the slowest first, so that what hides an older entry of a slower tier goes after it. */
const sweepAll = ({ all }: Tiers, sweep: Backend.Sweep): Effect.Effect<void> =>
  Effect.forEach(
    Array.from(all).reverse(),
    ({ backend, counters }) => {
      if (backend.sweep === undefined) return Effect.sync(() => sweep.failed(counters.tier))
      return Effect.catchAll(backend.sweep(sweep), (error) =>
        Effect.sync(() => {
          counters.error()
          sweep.failed(counters.tier, error)
        })
      )
    },
    { discard: true }
  )

/** Lists the keys of the slowest tier that can list them: the faster ones hold a part of them. */
const listDeepest = (tiers: Tiers): Backend.Backend["list"] => {
  const tier = Array.from(tiers.all)
    .reverse()
    .find(({ backend }) => backend.list !== undefined)
  return tier && ((listing) => tiers.watch(tier, "read", tier.backend.list!(listing)))
}

/** The problems of a tier. One that concerns the tier as a whole gets the name of the tier as its subject. */
const problemsOf = ({ backend, counters }: Tier): ReadonlyArray<CacheProblem> =>
  (backend.problems?.() ?? []).map((problem) =>
    problem.subject === "" ? { ...problem, subject: counters.tier } : problem
  )

const stateOf = ({ backend, counters: { tier } }: Tier): Backend.TierState => {
  const state = backend.states?.()[0]
  return {
    tier,
    isUp: state?.isUp ?? backend.isUp?.() !== false,
    openSince: state?.openSince,
    skipped: state?.skipped ?? 0
  }
}

const countsOf = (counters: TierCounters): Backend.TierCounts => {
  const { backfills, errors, hits, misses, removals, sets, staleHits, tier, times } = counters
  return { tier, hits, staleHits, misses, sets, removals, backfills, errors, latency: times.latency }
}

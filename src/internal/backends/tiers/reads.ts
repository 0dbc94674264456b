/**
 * Reads of several tiers: each key is answered by the first tier that has it, and copied to the faster ones.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import { Entry, freshEnd, isFailure, lifeEnd, staleEnd } from "../../../Entry.js"
import * as AsyncEffect from "../../asyncEffect.js"
import { defaultLoad } from "../../lifespans.js"
import { timeOfDay } from "../../time.js"
import type { Method, Tiers } from "./tiers.js"
import { capped } from "./writes.js"

const live = /*#__PURE__*/ Clock.make()

/** For how many milliseconds after its read began an entry may be copied: every tombstone stays that long. */
const longestCopy = defaultLoad

/** The progress of one batch of reads through the tiers. */
interface Search {
  readonly reads: ReadonlyArray<Backend.Read>
  /** Whether it is counted and reported. An explanation is not. It is asked for alone. */
  readonly isCounted: boolean
  /** When it began, as time of day. */
  readonly began: number
  /** For each tier, what `Backend.Write.since` says of a copy. */
  readonly since: ReadonlyArray<number>
  readonly found: Array<Backend.Found>
  /** For each read, the index among all tiers of the last tier that was asked. (`place` is an index in `lower`.) */
  readonly lastAsked: Array<number>
  /**
   * For each read, the latest stamp of a tombstone or of an unusable entry that a tier had. An entry of a slower tier
   * that is not newer is on its way out: its removal or its replacement reaches the faster tiers first.
   */
  readonly outdated: Array<number>
  /** For each read, the latest entry that answers in place of a load that fails, and the index of its tier. */
  readonly retained: Map<number, { readonly entry: Entry; readonly tier: number }>
  /** The indexes of the reads that no tier has answered yet. */
  open: ReadonlyArray<number>
  /** Whether a tier was asked that could be reached. */
  isSent: boolean
  /** Whether a tier with marks has answered, or none has marks. */
  knowsMarks: boolean
  /** For each read, the latest stamp of a tombstone; `undefined` while there is none. */
  tombstones: Array<number | undefined> | undefined
}

type Hit = readonly [read: Backend.Read, entry: Entry]

/** Asks one tier after the other until every read is answered. A tier that fails is skipped. */
export const getMany = (tiers: Tiers, reads: ReadonlyArray<Backend.Read>): Method<Backend.Answers> =>
  AsyncEffect.suspend(() => {
    const { lower } = tiers
    const began = timeOfDay(live)
    const search: Search = {
      reads,
      isCounted: !reads.some(({ explains }) => explains === true),
      began,
      since: lower.map(({ backend }) => backend.stamps?.seen() ?? began),
      found: new Array<Backend.Found>(reads.length).fill(undefined),
      lastAsked: new Array<number>(reads.length).fill(tiers.all.length - lower.length),
      outdated: new Array<number>(reads.length).fill(Number.NEGATIVE_INFINITY),
      retained: new Map(),
      open: Array.from(reads.keys()),
      isSent: false,
      knowsMarks: !tiers.keepsMarks,
      tombstones: undefined
    }
    return AsyncEffect.map(askFrom(tiers, search, 0), () => {
      answerRetained(search)
      const { found, isSent, lastAsked, tombstones } = search
      return { found, tombstones, tiers: lastAsked, isSent }
    })
  })

/** Asks the tiers from a place on. */
const askFrom = (tiers: Tiers, search: Search, first: number): Effect.Effect<void> => {
  const place = tiers.lower.findIndex(
    // a tier without marks of its own relies on one above it to know what was invalidated
    ({ backend }, place) => place >= first && (backend.marks !== undefined || search.knowsMarks)
  )
  if (place === -1 || search.open.length === 0) return Exit.void
  const tier = tiers.lower[place]!
  const method = () => tier.backend.getMany(search.open.map((i) => requestOf(tiers, search.reads[i]!)))
  const answered = AsyncEffect.flatMap(search.isCounted ? tiers.timed(tier, "get", method) : method(), (answers) => {
    search.isSent = true
    if (tier.backend.marks !== undefined) search.knowsMarks = true
    // to judge an open loss again is to ask other tiers, which an explanation does not
    const marks = answers.marks ?? (search.isCounted ? tiers.losses.openOf(tier) : undefined)
    // before the entries are checked: the marks decide which of them are still valid
    return AsyncEffect.map(marks === undefined ? Exit.void : tiers.losses.judge(tier, marks), () => {
      const hits = collect(tiers, search, place, answers)
      if (place > 0 && hits.length > 0) backfill(tiers, search, place, hits)
    })
  })
  const ended = AsyncEffect.catchAll(answered, (error) => {
    search.isSent ||= error.reason !== "Disconnected"
    for (const i of search.open) search.found[i] = error
    return Exit.void
  })
  return AsyncEffect.flatMap(ended, () => askFrom(tiers, search, place + 1))
}

/**
 * The request to a tier. It must not renew the entry by itself where a slower tier has to be renewed as well (law 14, a
 * tier never outlives its source), or where its own limit ends the entry earlier.
 */
const requestOf = ({ lower }: Tiers, read: Backend.Read): Backend.Read =>
  read.renews !== true || (lower.length === 1 && lower[0]!.ttl === Number.POSITIVE_INFINITY)
    ? read
    : { ...read, renews: false }

/** Takes the answers of one tier into the search, and returns the entries that it found. */
const collect = (
  tiers: Tiers,
  search: Search,
  place: number,
  { found, tombstones }: Backend.Answers
): ReadonlyArray<Hit> => {
  const tier = tiers.lower[place]!
  const broken = found.find((each) => each instanceof CacheStoreError)
  if (broken !== undefined && search.isCounted) tiers.failed(tier, "read", broken)
  const hits: Array<Hit> = []
  const rest: Array<number> = []
  search.open.forEach((i, j) => {
    const read = search.reads[i]!
    const each = found[j]
    search.lastAsked[i] = tiers.all.length - tiers.lower.length + place
    const tombstone = tombstones?.[j]
    if (tombstone !== undefined) noteTombstone(search, i, tombstone)
    const isOutdated = each instanceof Entry && each.stamp <= search.outdated[i]!
    const isDoubtful = each instanceof Entry && tiers.losses.mayConcern(tier, each)
    if (!isOutdated && !isDoubtful && isUsable(tiers, each, read, search.lastAsked[i]!)) {
      if (search.isCounted) {
        tier.counters.hits++
        if (read.now !== undefined && read.now >= freshEnd(each)) tier.counters.staleHits++
      }
      search.found[i] = each
      hits.push([read, each])
    } else {
      if (search.isCounted) tier.counters.misses++
      // an error of an earlier tier is kept: that tier may have had the entry
      if (each !== undefined && !isOutdated && !isDoubtful && !(search.found[i] instanceof CacheStoreError)) {
        search.found[i] = each
      }
      if (each instanceof Entry) search.outdated[i] = Math.max(each.stamp, search.outdated[i]!)
      if (!isOutdated && !isDoubtful && isRetained(tiers, each, read, search.lastAsked[i]!)) {
        search.retained.set(i, { entry: each, tier: search.lastAsked[i]! })
      }
      rest.push(i)
    }
  })
  search.open = rest
  return hits
}

const noteTombstone = (search: Search, i: number, stamp: number): void => {
  search.tombstones ??= new Array<number | undefined>(search.reads.length).fill(undefined)
  search.tombstones[i] = Math.max(stamp, search.tombstones[i] ?? stamp)
  search.outdated[i] = Math.max(stamp, search.outdated[i]!)
}

/**
 * Whether a tier found an entry that is fresh or stale and that no mark invalidates. Otherwise the next tier is asked.
 */
const isUsable = (tiers: Tiers, found: Backend.Found, { key, now }: Backend.Read, tier: number): found is Entry =>
  found instanceof Entry && (now === undefined || now < staleEnd(found)) && tiers.store.admits(found, key, tier)

/**
 * Answers what no tier has a usable entry of with the latest one that may replace a load that fails. It is better than
 * the error of another tier.
 */
const answerRetained = (search: Search): void => {
  for (const i of search.open) {
    const retained = search.retained.get(i)
    if (retained === undefined || retained.entry.stamp <= (search.tombstones?.[i] ?? Number.NEGATIVE_INFINITY)) continue
    search.found[i] = retained.entry
    search.lastAsked[i] = retained.tier
  }
}

/** Whether a tier found an entry that answers in place of a load that fails. */
const isRetained = (tiers: Tiers, found: Backend.Found, { key, now }: Backend.Read, tier: number): found is Entry =>
  found instanceof Entry && now !== undefined && now < lifeEnd(found) && tiers.store.admits(found, key, tier)

/**
 * Copies entries from the tier at `place` to the faster ones, in the background. The store itself copies them to the
 * tier in memory. A copy expires when its source does (law 14, a tier never outlives its source). An entry that was
 * read before this process changed its key is not copied: a faster tier may have been changed already, and not every
 * backend keeps a tombstone that rejects the copy. Neither is one that was read so slowly, or by a machine that slept
 * meanwhile, that such a tombstone may be gone.
 */
const backfill = (tiers: Tiers, { began, since }: Search, place: number, hits: ReadonlyArray<Hit>): void => {
  if (timeOfDay(live) - began > longestCopy) return
  const writes = hits.flatMap(
    ([read, entry]): ReadonlyArray<Backend.Write> =>
      read.now === undefined || !tiers.store.isCurrent(read)
        ? []
        : [
            {
              key: read.key,
              entry,
              schema: isFailure(entry) ? read.failures?.schema : read.schema,
              lifetime: lifeEnd(entry) - read.now,
              authoritative: false
            }
          ]
  )
  if (writes.length === 0) return
  tiers.lower.slice(0, place).forEach((tier, i) => {
    if (tier.backend.isUp?.() === false) return
    const copies = writes.map((write) => ({ ...capped(tier)(write), since: since[i] }))
    tiers.store.run(
      Effect.map(
        tiers.watch(
          tier,
          "write",
          AsyncEffect.suspend(() => tier.backend.setMany(copies))
        ),
        (results) => tier.counters.backfill(results.filter((result) => result._tag === "Written").length)
      )
    )
  })
}

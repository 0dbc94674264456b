/**
 * Several media as one: what is read comes from the first that has it and is copied to those before it, what is written
 * goes to all. Each may fail by itself: a tier that cannot be read is passed over, a tier that cannot be written costs
 * the others nothing.
 *
 * One tier orders the others: the first that is shared by processes and keeps their time. It is written first; the rest
 * take over its stamps, so that one key has one history in all of them.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type * as Backend from "../../Backend.js"
import { CacheStoreError } from "../../CacheError.js"
import type { TierCounters } from "../../CacheMetrics.js"
import { Entry } from "../../Entry.js"
import { everything } from "../markNames.js"

export interface Tier {
  readonly backend: Backend.Backend
  /** the longest an entry stays in it, in milliseconds */
  readonly ttl: number
  readonly counters: TierCounters
}

type Method<A> = Effect.Effect<A, CacheStoreError>

const silent: Backend.Above = {
  admits: () => true,
  notify: () => {},
  run: () => {},
  failed: () => {},
  answered: () => {}
}

/** an entry for the tier in memory: it may hold it for less long than the entry lives */
const holding = (given: Entry, ttl: number, now: number): Entry => {
  if (ttl === Number.POSITIVE_INFINITY) return given
  // an entry has one place in memory
  const entry = given.key === undefined ? given : new Entry(given.value, given)
  const held = now + ttl
  entry.copy = { since: given.copy?.since ?? 0, held }
  entry.until = Math.min(entry.freshUntil, held)
  return entry
}

export const compose = (name: string, tiers: readonly [Tier, ...ReadonlyArray<Tier>]): Backend.Backend => {
  const [first] = tiers
  const local = first.backend.unsafeGet === undefined || first.backend.remote ? undefined : first
  const lower = local === undefined ? tiers : tiers.slice(1)
  /** the place of the first of `lower` among all */
  const offset = tiers.length - lower.length
  const leading = Math.max(
    0,
    lower.findIndex(({ backend }) => backend.offset !== undefined)
  )
  let above = silent

  /** counts how it went, and says so */
  const watched = <A>(tier: Tier, operation: Backend.Operation, method: Method<A>): Method<A> =>
    Effect.tapBoth(method, {
      onFailure: (error) => Effect.sync(() => failed(tier, operation, error)),
      onSuccess: () => Effect.sync(() => above.answered(tier.counters.tier, operation))
    })
  const failed = (tier: Tier, operation: Backend.Operation, error: CacheStoreError): void => {
    tier.counters.error()
    above.failed(tier.counters.tier, operation, error)
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  const isAlive = (found: Backend.Found, now: number | undefined): found is Entry =>
    found instanceof Entry && (now === undefined || now < found.expiresAt) && above.admits(found)

  /** a part of a tier that could not be asked is a failure of its own */
  const told = (tier: Tier, found: ReadonlyArray<Backend.Found>): void => {
    const broken = found.find((each) => each instanceof CacheStoreError)
    if (broken !== undefined) failed(tier, "read", broken)
  }

  const getMany = (reads: ReadonlyArray<Backend.Read>): Method<Backend.Answers> =>
    Effect.gen(function* () {
      const found = new Array<Backend.Found>(reads.length).fill(undefined)
      const places = new Array<number>(reads.length).fill(offset)
      let tombstone: number | undefined
      let open = Array.from(reads.keys())
      for (let place = 0; place < lower.length && open.length > 0; place++) {
        const tier = lower[place]!
        const answer = yield* Effect.either(watched(tier, "read", tier.backend.getMany(open.map((i) => reads[i]!))))
        if (Either.isLeft(answer)) {
          for (const i of open) found[i] = answer.left
          continue
        }
        const answers = answer.right
        told(tier, answers.found)
        if (answers.marks !== undefined) above.notify(answers.marks)
        if (answers.tombstone !== undefined) tombstone = Math.max(answers.tombstone, tombstone ?? 0)
        const rest: Array<number> = []
        const here: Array<number> = []
        open.forEach((i, j) => {
          const each = answers.found[j]
          places[i] = offset + place
          if (isAlive(each, reads[i]!.now)) {
            tier.counters.hits++
            found[i] = each
            here.push(i)
            return
          }
          tier.counters.misses++
          // a tier that could not be asked may have had it
          if (each !== undefined && !(found[i] instanceof CacheStoreError)) found[i] = each
          rest.push(i)
        })
        if (place > 0 && here.length > 0) {
          backfill(
            place,
            here.map((i) => [reads[i]!, found[i] as Entry] as const)
          )
        }
        open = rest
      }
      return { found, tombstone, tiers: places }
    })

  /** copies what was found in one tier to those before it, with what is left of its life (law 14) */
  const backfill = (place: number, entries: ReadonlyArray<readonly [Backend.Read, Entry]>): void => {
    const writes = entries.flatMap(
      ([{ key, now, schema }, entry]): ReadonlyArray<Backend.Write> =>
        now === undefined ? [] : [{ key, entry, schema, lifetime: entry.expiresAt - now, authoritative: false }]
    )
    if (writes.length === 0) return
    for (const tier of lower.slice(0, place)) {
      if (tier.backend.isUp?.() === false) continue
      above.run(
        Effect.map(watched(tier, "write", tier.backend.setMany(writes.map(capped(tier)))), (results) =>
          tier.counters.backfill(results.filter((result) => result._tag === "Written").length)
        )
      )
    }
  }

  // ---------------------------------------------------------------------------------------------------------- writes

  const capped =
    (tier: Tier) =>
    (write: Backend.Write): Backend.Write =>
      write.lifetime <= tier.ttl ? write : { ...write, lifetime: tier.ttl }

  const setIn = (tier: Tier, writes: ReadonlyArray<Backend.Write>): Method<ReadonlyArray<Backend.Written>> =>
    Effect.tap(watched(tier, "write", tier.backend.setMany(writes.map(capped(tier)))), (results) =>
      Effect.sync(() => {
        const broken = results.find((result) => result._tag === "Failed")
        if (broken !== undefined) failed(tier, "write", broken.error)
        tier.counters.set(results.filter((result) => result._tag === "Written").length)
      })
    )

  /** carries out on the leading tier, then, with the stamps it gave, on all others at once */
  const everywhere = <W extends { readonly key: string }>(
    asked: ReadonlyArray<W>,
    carryOut: (tier: Tier, asked: ReadonlyArray<W>) => Method<ReadonlyArray<Backend.Written>>,
    /** for the others; `undefined` where they need not be told */
    after: (asked: W, led: Backend.Written) => W | undefined
  ): Method<ReadonlyArray<Backend.Written>> => {
    const attempt = (tier: Tier, asked: ReadonlyArray<W>): Effect.Effect<ReadonlyArray<Backend.Written>> =>
      Effect.catchAll(carryOut(tier, asked), (error) =>
        Effect.succeed(asked.map((): Backend.Written => ({ _tag: "Failed", error })))
      )
    return Effect.flatMap(attempt(lower[leading]!, asked), (led) => {
      const indexes: Array<number> = []
      const rest: Array<W> = []
      asked.forEach((each, i) => {
        const next = after(each, led[i] ?? { _tag: "Superseded" })
        if (next === undefined) return
        indexes.push(i)
        rest.push(next)
      })
      if (rest.length === 0) return Effect.succeed(led)
      const others = lower.filter((_, place) => place !== leading)
      return Effect.map(
        Effect.forEach(others, (tier) => attempt(tier, rest), { concurrency: "unbounded" }),
        (results) => {
          const all = Array.from(led)
          for (const result of results) {
            // what one tier has missed is missing, whatever the others did
            indexes.forEach((i, j) => {
              const each = result[j]
              if (each?._tag === "Failed" && all[i]!._tag !== "Refused") all[i] = each
            })
          }
          return all
        }
      )
    })
  }

  /** a write as the other tiers get it */
  const setAfter = ({ fence, ...write }: Backend.Write, led: Backend.Written): Backend.Write | undefined => {
    switch (led._tag) {
      case "Written":
        return led.stamp === write.entry.stamp
          ? { ...write, authoritative: false }
          : {
              ...write,
              authoritative: false,
              entry: new Entry(write.entry.value, { ...write.entry, stamp: led.stamp })
            }
      case "Failed":
        // nobody can say whether its lock is still held
        return fence === undefined ? write : undefined
      case "Fenced":
      case "Refused":
        return undefined
      default:
        // a loaded value that came too late; one that was set may be a second try, for a tier that missed the first
        return write.maxAge === undefined ? { ...write, authoritative: false } : undefined
    }
  }

  const removeAfter = (removal: Backend.Removal, led: Backend.Written): Backend.Removal =>
    led._tag === "Written" ? { ...removal, authoritative: false, stamp: led.stamp } : removal

  const removeIn = (tier: Tier, removals: ReadonlyArray<Backend.Removal>) =>
    Effect.tap(watched(tier, "write", tier.backend.removeMany(removals)), (results) =>
      Effect.sync(() => {
        const broken = results.find((result) => result._tag === "Failed")
        if (broken !== undefined) failed(tier, "write", broken.error)
      })
    )

  const setIfAbsent: Backend.Backend["setIfAbsent"] = (write, options) => {
    // the deepest has what all others may have lost
    const deepest = lower[lower.length - 1]!
    const asked = watched(deepest, "write", deepest.backend.setIfAbsent(capped(deepest)(write), options))
    return Effect.tap(asked, (written) => {
      if (written._tag === "Failed") failed(deepest, "write", written.error)
      if (written._tag !== "Written") return Effect.void
      deepest.counters.set(1)
      const own = {
        ...write,
        authoritative: false,
        entry: new Entry(write.entry.value, { ...write.entry, stamp: written.stamp })
      }
      return Effect.forEach(lower.slice(0, -1), (tier) => Effect.ignore(setIn(tier, [own])), {
        concurrency: "unbounded",
        discard: true
      })
    })
  }

  // ----------------------------------------------------------------------------------------------------------- marks

  /** told at once: a tier tells of a mark only once, and reads go on while another is still asked */
  const heard = <M extends Backend.Marks | undefined>(tier: Tier, method: Method<M>): Method<M> =>
    Effect.tap(watched(tier, "mark", method), (marks) =>
      Effect.sync(() => {
        if (marks !== undefined) above.notify(marks)
      })
    )

  const marked = lower.filter(({ backend }) => backend.marks !== undefined)
  const marks: Backend.Backend["marks"] =
    marked.length === 0
      ? undefined
      : {
          every: marked.reduce<number | undefined>(
            (least, { backend }) =>
              Math.min(least ?? Number.POSITIVE_INFINITY, backend.marks?.every ?? Number.POSITIVE_INFINITY),
            undefined
          ),
          read: Effect.map(
            Effect.forEach(marked, (tier) => heard(tier, tier.backend.marks!.read), { concurrency: "unbounded" }),
            (all) => all.reduce(merged, undefined)
          ),
          raise: (raised) => {
            const [lead, ...others] = [
              ...marked.filter((tier) => tier === lower[leading]),
              ...marked.filter((tier) => tier !== lower[leading])
            ] as [Tier, ...Array<Tier>]
            return Effect.flatMap(heard(lead, lead.backend.marks!.raise(raised)), (told) => {
              const stamps = new Map(told.raised)
              stamps.set(everything, told.floor)
              const again = raised.map((mark) => ({
                name: mark.name,
                stamp: Math.max(mark.stamp, stamps.get(mark.name) ?? mark.stamp),
                authoritative: false
              }))
              return Effect.map(
                Effect.forEach(others, (tier) => heard(tier, tier.backend.marks!.raise(again)), {
                  concurrency: "unbounded"
                }),
                (all) => all.reduce<Backend.Marks>((sum, each) => merged(sum, each)!, told)
              )
            })
          }
        }

  const changes = lower.flatMap(({ backend }) => (backend.changes === undefined ? [] : [backend.changes]))
  const only = lower.length === 1 ? lower[0]! : undefined
  const source = lower.find(({ backend }) => backend.notifications !== undefined)

  return {
    name,
    remote: lower.length > 0,
    isOwnerless: lower.some(({ backend }) => backend.isOwnerless === true),
    unsafeGet: local?.backend.unsafeGet,
    unsafeSet:
      local &&
      ((key, entry, now, isBackfill) => {
        if (isBackfill) local.counters.backfill(1)
        else local.counters.set(1)
        local.backend.unsafeSet!(key, holding(entry, local.ttl, now), now)
      }),
    unsafeRemove: local?.backend.unsafeRemove,
    unsafeSize: local?.backend.unsafeSize,
    onRemoved: local?.backend.onRemoved,
    getMany,
    setMany: (writes) => (only === undefined ? everywhere(writes, setIn, setAfter) : setIn(only, writes)),
    setIfAbsent,
    removeMany: (removals) =>
      only === undefined ? everywhere(removals, removeIn, removeAfter) : removeIn(only, removals),
    marks,
    changes: changes.length === 0 ? undefined : Stream.mergeAll(changes, { concurrency: "unbounded" }),
    notifications: source?.backend.notifications,
    // a write that is fenced by it goes there first
    lock: lower[leading]?.backend.lock,
    isUp: lower.length === 0 ? undefined : () => lower.some(({ backend }) => backend.isUp?.() !== false),
    offset: lower[leading]?.backend.offset,
    attach: (store) => {
      above = store
    },
    tiers: () =>
      tiers.map(({ counters: { backfills, errors, hits, misses, sets, tier } }) => ({
        tier,
        hits,
        misses,
        sets,
        backfills,
        errors
      }))
  }
}

const merged = (a: Backend.Marks | undefined, b: Backend.Marks | undefined): Backend.Marks | undefined =>
  a === undefined
    ? b
    : b === undefined
      ? a
      : { floor: Math.max(a.floor, b.floor), lost: Math.max(a.lost, b.lost), raised: [...a.raised, ...b.raised] }

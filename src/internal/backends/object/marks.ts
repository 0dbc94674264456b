/**
 * The marks of a medium of objects: one object, changed by comparing and swapping, so that what two processes raise at
 * the same time is raised both. It is looked at again when it is older than `every`.
 *
 * Where it is gone, or older than what was seen, marks were lost: everything older than now is then invalid (law 16).
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import { everything, maxMarks } from "../../markNames.js"
import { monotonic, timeOfDay } from "../../time.js"
import { PendingMarks } from "../pendingMarks.js"
import { digest, markName } from "./format.js"
import { maxSkew, type Objects } from "./objectStore.js"

declare const TextEncoder: { new (): { readonly encode: (text: string) => Uint8Array } }
declare const TextDecoder: { new (): { readonly decode: (bytes: Uint8Array) => string } }

const encoder = /*#__PURE__*/ new TextEncoder()
const decoder = /*#__PURE__*/ new TextDecoder()

/** how often a change is tried again when another process was faster */
const attempts = 30

interface Table {
  /** of the object */
  readonly version: string | null
  /** one more with every change */
  readonly count: number
  readonly floor: number
  readonly lost: number
  readonly marks: ReadonlyMap<string, number>
}

/** a mark is followed further into the future than an entry is: by one too many, entries are misses, by one too few they return */
const maxAhead = 24 * 3_600_000

const isTime = (value: unknown, now: number): value is number =>
  typeof value === "number" && Number.isFinite(value) && value <= now + maxAhead

const parse = (bytes: Uint8Array, version: string, now: number): Table | undefined => {
  try {
    // the count stands first: a medium without versions goes by the first bytes
    const { count, floor, lost, marks } = JSON.parse(decoder.decode(bytes)) as Record<string, unknown>
    if (!isTime(floor, now) || !isTime(lost, now) || typeof count !== "number" || !Array.isArray(marks))
      return undefined
    if (!marks.every(([name, stamp]) => typeof name === "string" && isTime(stamp, now))) return undefined
    return { version, count, floor, lost, marks: new Map(marks) }
  } catch {
    return undefined
  }
}

const print = ({ count, floor, lost, marks }: Omit<Table, "version">): Uint8Array =>
  encoder.encode(JSON.stringify({ count, floor, lost, marks: Array.from(marks) }))

export interface ObjectMarks {
  /** whether the medium was ever asked; what is written before might be taken for what lost marks concerned */
  readonly isKnown: () => boolean
  readonly isFresh: () => boolean
  /** asks the medium, unless somebody just has */
  readonly look: Effect.Effect<void, CacheStoreError>
  readonly read: Effect.Effect<void, CacheStoreError>
  readonly raise: (raised: ReadonlyArray<Backend.Mark>) => Effect.Effect<void, CacheStoreError>
  /** what has not been told yet */
  readonly tell: () => Backend.Marks | undefined
  /** the same after these were raised */
  readonly told: (raised: ReadonlyArray<Backend.Mark>) => Backend.Marks
}

/**
 * `seen`: the latest stamp that was read. `countsBefore`: what stood there before there were marks counts for whoever has
 * seen none.
 */
export const make = (
  objects: Objects,
  every: number,
  live: Clock.Clock,
  seen: () => number,
  countsBefore: boolean
): ObjectMarks => {
  const now = () => timeOfDay(live)
  const one = Effect.unsafeMakeSemaphore(1).withPermits(1)
  let known: Table | undefined
  let lookedAt = Number.NEGATIVE_INFINITY
  const pending = new PendingMarks()

  const learn = (table: Table): void => {
    const raised = Array.from(table.marks).filter(([name, stamp]) => known?.marks.get(name) !== stamp)
    if (known === undefined || raised.length > 0 || table.floor > known.floor) {
      pending.add({ floor: table.floor, lost: table.lost, raised })
    }
    known = table
  }

  const contended = Effect.fail(
    new CacheStoreError({
      reason: "Rejected",
      store: objects.name,
      method: "raise",
      cause: new Error(`the marks were changed by others ${attempts} times in a row`)
    })
  )

  /** writes a table in the place of the one it was made from */
  const swap = (table: Table): Effect.Effect<boolean, CacheStoreError> => {
    const bytes = print(table)
    const put = { bytes, meta: undefined, lifetime: Number.POSITIVE_INFINITY, content: digest(bytes) }
    return objects.write(markName, put, table.version)
  }

  /** what stands there; what is lost is begun anew */
  const look = (attempt = 0): Effect.Effect<Table, CacheStoreError> =>
    Effect.gen(function* () {
      const began = now()
      const asked = monotonic(live)
      const found = yield* objects.read(markName, (head) => head.version !== known?.version)
      if (found !== undefined && found.bytes === undefined && known !== undefined) {
        lookedAt = asked
        return known
      }
      const table = found?.bytes === undefined ? undefined : parse(found.bytes, found.version, began)
      // who has seen more than there is has seen what was lost since
      if (table !== undefined && table.count >= (known?.count ?? 0)) {
        lookedAt = asked
        learn(table)
        return table
      }
      if (attempt === attempts) return yield* contended
      const isFirst = found === undefined && known === undefined
      const floor = isFirst && countsBefore ? -1 : Math.max(began, known?.floor ?? 0)
      const count = Math.max(Math.floor(began), known?.count ?? 0, table?.count ?? 0) + 1
      yield* swap({ version: found?.version ?? null, count, floor, lost: floor, marks: new Map() })
      return yield* look(attempt + 1)
    })

  const raise = (raised: ReadonlyArray<Backend.Mark>, attempt = 0): Effect.Effect<void, CacheStoreError> =>
    Effect.gen(function* () {
      const table = yield* look()
      const at = Math.max(now(), seen())
      const marks = new Map(table.marks)
      let { floor } = table
      for (const { authoritative, name, stamp: asked } of raised) {
        // after all that this process knows of, whatever its clock says
        const given = Math.min(now() + maxSkew, asked)
        const stamp = authoritative ? Math.max(at, given) : given
        if (name === everything) {
          floor = Math.max(floor, stamp)
          continue
        }
        const latest = Math.max(stamp, marks.get(name) ?? stamp)
        // deleted first, so that the order of the map is that of raising
        marks.delete(name)
        marks.set(name, latest)
      }
      for (const [name, stamp] of marks) {
        // what came after a floor stays, also where that came from a clock behind
        if (stamp > floor && marks.size <= maxMarks) continue
        marks.delete(name)
        floor = Math.max(floor, stamp)
      }
      if (yield* swap({ ...table, count: table.count + 1, floor, marks })) {
        // read again: what was written has a version now, and where nothing is compared another's may stand there
        const there = yield* look()
        const stampOf = (name: string) => Math.max(there.floor, there.marks.get(name) ?? there.floor)
        if (raised.every(({ name }) => stampOf(name) >= (marks.get(name) ?? floor))) return
      }
      if (attempt === attempts) return yield* contended
      yield* Effect.sleep(Duration.millis(5 * Math.min(attempt, 10)))
      yield* raise(raised, attempt + 1)
    })

  const isFresh = () => monotonic(live) - lookedAt < every

  return {
    isKnown: () => known !== undefined,
    isFresh,
    look: one(Effect.suspend(() => (isFresh() ? Effect.void : look()))),
    read: Effect.asVoid(one(look())),
    raise: (raised) => one(raise(raised)),
    tell: () => pending.take(),
    told: (raised) => pending.takeRaised(raised, known!)
  }
}

/**
 * One Redis with one key and one tag: the rules of `src/internal/backends/redis/scripts.ts` in a small form.
 *
 * Numbers are small integers. Each script takes the server as much time as the count is raised by, so the count is
 * ahead of the clock only after the clock was set back.
 */

/** The count is raised by so much at least. */
export const step = 4

/** A load is above the count that its process has seen by so much. */
export const tick = 1

/** How long tombstones stay, and how late a load, a set or a ticket may be. */
export const age = 40

export interface Entry {
  readonly stamp: number
  readonly isTombstone: boolean
  /** How many sets and invalidations had been carried out when its load began. Not part of Redis. */
  readonly since: number
  readonly isSet: boolean
  /** Which value it is. Of two loads with one stamp, the later one stays. */
  readonly id: number
  /** When it expires, on the clock of the server. */
  readonly ends: number
}

/** The place of a value of which nothing is expected: a limit of law 8 (invalidation wins). */
export const excused = Number.MAX_SAFE_INTEGER

/** The rules that a test leaves out, to show that the model needs them. */
export type Rule = "late" | "long life" | "longer life" | "new count" | "retry" | "superseded life" | "ticket"

export interface Server {
  readonly without: Rule | null
  clock: number
  count: { count: number; written: number; marked: number } | null
  entry: Entry | null
  /** The stamp of the latest mark, and the floor. */
  mark: number
  floor: number
  /** How many sets and invalidations had been asked for when the count was lost last. Not part of Redis. */
  lost: number
}

export type Written =
  | {
      readonly _tag: "Written"
      readonly stamp: number
      readonly announced: boolean
      /** Whether the value kept its stamp although the count was lost. */
      readonly isUnordered?: boolean
    }
  | { readonly _tag: "Superseded" | "Late" }
  | { readonly _tag: "Again"; readonly ticket: number }

/** What a write brings along. */
export interface Write {
  readonly stamp: number
  readonly since: number
  readonly isSet: boolean
  readonly id: number
  readonly lifetime: number
  /** The highest count that its process had seen when it was sent. */
  readonly seen: number
}

export const make = (without: Rule | null, isEmpty: boolean): Server => ({
  without,
  clock: 100,
  count: { count: 100, written: 100, marked: 100 },
  entry: isEmpty ? null : { stamp: 97, isTombstone: false, since: 0, isSet: false, id: 0, ends: 10_000 },
  mark: 0,
  floor: 0,
  lost: 0
})

/** Copies what scripts change. Entries are only replaced. */
export const copy = ({ clock, count, entry, floor, lost, mark, without }: Server): Server => ({
  without,
  clock,
  count: count && { count: count.count, written: count.written, marked: count.marked },
  entry,
  mark,
  floor,
  lost
})

/** Redis expires a key when it is used, or earlier. */
const found = (server: Server): Entry | null => {
  if (server.entry !== null && server.clock > server.entry.ends) server.entry = null
  return server.entry
}

interface Counting {
  readonly count: { count: number; written: number; marked: number }
  readonly isLost: boolean
  readonly raise: () => number
  readonly isLate: (stamp: number) => boolean
  /** How long the stamp of a set or a removal stays: until a load that is older is late. */
  readonly least: number
}

/** The beginning of every script. */
const counting = (server: Server, seen: number): Counting => {
  server.clock += step
  const before = server.count
  const isLost = before !== null && before.count < seen
  let isRaised = false
  const first = Math.max(server.clock, seen, before?.count ?? 0) + step
  const count = before === null || isLost ? { count: first, written: first, marked: first } : { ...before! }
  return {
    count,
    isLost,
    raise: () => {
      if (!isRaised) count.count = Math.max(count.count + step, server.clock)
      isRaised = true
      server.count = count
      return count.count
    },
    isLate: (stamp) =>
      server.without !== "late" && count.written > stamp && Math.max(count.count, server.clock) - stamp > age,
    least: age + (server.without === "longer life" ? 0 : Math.max(0, count.count + step - server.clock))
  }
}

/** Keeps a count that a script has begun anew, also if the script changes nothing else. */
const keepNew = (server: Server, { count, isLost }: Pick<Counting, "count" | "isLost">): void => {
  if (server.count === null || isLost) server.count = count
}

const stampOf = (entry: Entry | null): number => entry?.stamp ?? Number.NEGATIVE_INFINITY

/** Of two loads with one stamp the later one stays. */
const givesWay = (there: Entry | null, { id, stamp }: Write): boolean =>
  there?.stamp === stamp && !there.isTombstone && there.id <= id

const write = (
  server: Server,
  { since, id, isSet, lifetime }: Write,
  stamp: number,
  least: number
): Extract<Written, { readonly _tag: "Written" }> => {
  const announced = server.entry !== null && !server.entry.isTombstone
  const kept = server.without === "long life" ? 0 : least
  server.entry = { stamp, isTombstone: false, since, isSet, id, ends: server.clock + Math.max(lifetime, kept) }
  return { _tag: "Written", stamp, announced }
}

/** A write that is superseded was carried out: the stamp that shows it stays as long as its own would. */
const stays = (server: Server, least: number): void => {
  const { entry } = server
  if (entry !== null) server.entry = { ...entry, ends: Math.max(entry.ends, server.clock + least) }
}

/** A value that was loaded. */
export const load = (server: Server, given: Write): Written => {
  const script = counting(server, given.seen)
  keepNew(server, script)
  const there = found(server)
  const { stamp } = given
  if (stamp > Math.max(server.clock, script.count.count) + step || script.isLate(stamp)) return { _tag: "Late" }
  if (stampOf(there) >= stamp && !givesWay(there, given)) return { _tag: "Superseded" }
  return write(server, given, stamp, there === null ? 0 : Math.min(script.least, there.ends - server.clock))
}

/**
 * A value that was set and is sent again, with the stamp of when it was asked for. It is written as at its first attempt,
 * if nothing was since; a ticket would tell nothing about what came in between. Where the count was lost lately, nothing
 * was counted since, and nothing is stored, it keeps its stamp.
 */
export const retry = (server: Server, given: Write): Written => {
  const { count, isLate, least, raise, ...script } = counting(server, given.seen)
  keepNew(server, { count, isLost: script.isLost })
  const there = stampOf(found(server))
  const { stamp } = given
  const sinceNew = Math.max(server.clock, count.count) - count.marked
  const isNew =
    count.written === count.marked &&
    there === Number.NEGATIVE_INFINITY &&
    (server.without === "new count" || sinceNew <= least)
  if (there > stamp) return { _tag: "Superseded" }
  if (stamp > Math.max(server.clock, count.count) + step) return { _tag: "Late" }
  if (server.without === "retry") return write(server, given, stamp, least)
  const isFirst = count.marked <= stamp && !isLate(stamp)
  if (!isFirst && !isNew) return { _tag: "Late" }
  if (isFirst) count.written = raise()
  if (isFirst) return write(server, given, count.count, least)
  // what was asked for before the loss may return: a limit of law 8 (invalidation wins)
  const since = given.since <= server.lost ? excused : given.since
  return { ...write(server, { ...given, since }, stamp, least), isUnordered: true }
}

/** The first attempt of a set, or with a ticket the second one. */
export const set = (server: Server, given: Write, ticket: number | undefined): Written => {
  const { count, isLate, least, raise, ...script } = counting(server, given.seen)
  keepNew(server, { count, isLost: script.isLost })
  const there = stampOf(found(server))
  const { seen } = given
  if (ticket !== undefined) {
    if (isLate(ticket)) return { _tag: "Late" }
    count.written = raise()
    if (there <= ticket) return write(server, given, ticket, least)
    if (server.without !== "superseded life") stays(server, least)
    return { _tag: "Superseded" }
  }
  if (server.without !== "ticket" && (there >= seen + step || count.marked > seen || isLate(seen))) {
    count.marked = raise()
    return { _tag: "Again", ticket: count.count }
  }
  count.written = raise()
  return write(server, given, count.count, least)
}

/** Replaces what is stored by a tombstone, whenever it runs. */
export const remove = (server: Server, seen: number): number => {
  const { count, least, raise } = counting(server, seen)
  const there = stampOf(found(server))
  raise()
  if (there > count.count) count.count = there + step
  count.written = count.count
  server.entry = { stamp: count.count, isTombstone: true, since: 0, isSet: false, id: 0, ends: server.clock + least }
  return count.count
}

/** Sets another key. */
export const setOther = (server: Server, seen: number): number => {
  const { count, raise } = counting(server, seen)
  count.written = raise()
  return count.count
}

/** Sets another key in one script with a third one, which gets a ticket. */
export const setOthers = (server: Server, seen: number): number => {
  const { count, raise } = counting(server, seen)
  count.written = raise()
  count.marked = server.without === "new count" ? count.count : count.count + step
  count.count = count.marked
  return count.written
}

/** Raises the count for a forced load. */
export const raise = (server: Server, seen: number): number => {
  const { count, raise } = counting(server, seen)
  count.marked = raise()
  return count.count
}

/** Reads the marks, and raises the one of the tag if `raises`. A count that was lost raises the floor. */
export const marks = (server: Server, seen: number, raises: boolean): void => {
  const script = counting(server, seen)
  keepNew(server, script)
  const { count, isLost, raise } = script
  if (raises) {
    count.marked = raise()
    server.mark = Math.max(server.mark, count.count)
  }
  if (isLost) server.floor = Math.max(count.count, server.floor)
  if (server.mark > count.count || server.floor > count.count) raise()
}

export interface Answer {
  readonly entry: Entry | null
  readonly mark: number
  readonly floor: number
  readonly count: number | null
}

/** Reads the entry, the head of the marks and the count. */
export const read = (server: Server): Answer => ({
  entry: found(server),
  mark: server.mark,
  floor: server.floor,
  count: server.count?.count ?? null
})

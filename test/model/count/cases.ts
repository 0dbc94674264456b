/**
 * What the model explores: a few processes with a few operations each, and what may go wrong meanwhile.
 */
import type { Options } from "./process.js"

export type Case = readonly [name: string, options: Options]

const isEmpty = true
/** A long life, one that ends before the second script after it, and one that ends before the first. */
const [long, brief, none] = [10_000, 6, 1]
const lifetimes = [long, none]
const memory = true

/** Explored completely. The letters say what a process may do: read, invalidate, set, tag, refresh, set other keys. */
// biome-ignore format: one line is one case
export const complete: ReadonlyArray<Case> = [
  ["reads and invalidations", { processes: [["ri", 2], ["ri", 2]] }],
  ["tags", { processes: [["rt", 2], ["rt", 2]] }],
  ["sets", { processes: [["rs", 2], ["rs", 1], ["r", 1]] }],
  ["refreshes", { processes: [["rf", 1], ["ris", 2]] }],
  ["a refresh, a write and a read", { processes: [["f", 1], ["ist", 1], ["r", 1]] }],
  ["a set that is given up, and an invalidation", { processes: [["s", 1], ["ir", 2]], gives: 1 }],
  ["two sets of a process that are given up", { processes: [["s", 2], ["r", 1]], gives: 2 }],
  ["a set that is given up, and a refresh", { processes: [["s", 1], ["fr", 2]], gives: 1 }],
  ["a set that is sent again, and a load under way", { isEmpty, processes: [["s", 1], ["r", 2]], gives: 1 }],
  ["an invalidation that is given up, and a set", { processes: [["i", 1], ["sr", 2]], gives: 1 }],
  ["loads with a short life", { isEmpty, processes: [["r", 1], ["ir", 3]], lifetimes }],
  ["sets with a short life", { isEmpty, processes: [["r", 1], ["sr", 2]], lifetimes, time: 1 }],
  ["a load that outlasts tombstones", { isEmpty, processes: [["r", 1], ["ir", 2]], time: 2 }],
  ["the clock goes forward", { isEmpty, processes: [["r", 1], ["ir", 2]], gives: 1, jumps: 1, jumpsTo: "forward" }],
  ["the clock goes back, and time passes", { isEmpty, processes: [["r", 1], ["ir", 2]], jumps: 1, jumpsTo: "back", time: 2 }],
  ["the clock goes back and forward", { isEmpty, processes: [["r", 1], ["ir", 2]], jumps: 2 }],
  ["the count or everything is lost", { processes: [["r", 1], ["ir", 2]], losses: 1 }],
  ["the count or everything is lost, with sets and tags", { processes: [["rs", 1], ["tr", 2]], losses: 1 }],
  ["copies in memory, and writes", { processes: [["rst", 2], ["rit", 1]], memory }],
  ["copies in memory of three processes", { processes: [["r", 2], ["r", 1], ["i", 1]], memory }],
  ["copies in memory, and missed messages", { processes: [["r", 2], ["ri", 2]], memory, deaf: 1 }]
]

/** In each of these a rule is left out, and an outdated value is read. */
// biome-ignore format: one line is one case
export const mutants: ReadonlyArray<Case> = [
  ["a late set is written at once", { processes: [["s", 1], ["ir", 2]], gives: 1, without: "ticket" }],
  ["a load is never late", { isEmpty, processes: [["r", 1], ["ir", 2]], time: 2, without: "late" }],
  ["the stamp of a tombstone goes with what replaces it", { isEmpty, processes: [["r", 1], ["ir", 3]], lifetimes, without: "long life" }],
  ["tombstones end by a clock that was set back", { isEmpty, processes: [["r", 1], ["ir", 2]], jumps: 2, without: "longer life" }],
  ["a set that is sent again keeps its place", { processes: [["s", 2], ["r", 1]], gives: 2, without: "retry" }],
  ["a set that is sent again gives way to a load under way", { isEmpty, processes: [["s", 1], ["r", 2]], gives: 1, without: "retry" }],
  ["the count looks new although it was not lost", { processes: [["s", 1], ["io", 2], ["r", 1]], gives: 1, time: 2, without: "new count" }]
]

/** Traces that are too long to be found, each of which needs one of the rules. */
export const traces: ReadonlyArray<readonly [name: string, options: Options, trace: ReadonlyArray<string>]> = [
  [
    "what supersedes a set ends before it",
    {
      isEmpty,
      processes: [
        ["s", 1],
        ["ts", 2],
        ["r", 2]
      ],
      gives: 1,
      lifetimes: [long, brief],
      without: "superseded life"
    },
    [
      ...["P1 invalidates the tag", "P1 mark runs", "P1 mark is answered"],
      // two sets get tickets, of which the first one hangs
      ...[`P0 sets for ${long}`, "P0 set runs", "P0 set is answered", "P0 gives up its set"],
      ...[`P1 sets for ${long}`, "P1 set runs", "P1 set is answered"],
      ...["P2 reads", "P2 read runs", "P2 read is answered", `P2 has loaded for ${brief}`],
      ...["P2 load runs", "P2 load is answered", "P1 set runs", "P1 set is answered"],
      ...["set 2 that P0 gave up runs", "P2 reads", "P2 read runs", "P2 read is answered"]
    ]
  ]
]

/** Too large to be explored completely: random steps. */
// biome-ignore format: one line is one case
export const wide: ReadonlyArray<Case> = [
  ["everything", { processes: [["rist", 4], ["rist", 4], ["ristf", 4]], gives: 3, time: 4, lifetimes: [long, brief, none] }],
  ["the clock goes forward", { processes: [["rs", 2], ["rit", 3], ["r", 3]], gives: 3, jumps: 2, jumpsTo: "forward", time: 4 }],
  ["the clock goes back", { processes: [["rs", 2], ["rit", 3], ["r", 3]], gives: 3, jumps: 2, jumpsTo: "back", time: 4 }],
  ["the clock goes back and forward", { processes: [["rs", 2], ["rit", 3], ["r", 3]], gives: 3, jumps: 2, time: 4 }],
  ["the count or everything is lost", { processes: [["ris", 3], ["rist", 3], ["rf", 3]], losses: 2, time: 2 }],
  ["the count or everything is lost, and sets are given up", { processes: [["rs", 3], ["rist", 3], ["rf", 2]], gives: 3, losses: 2, time: 2 }],
  ["sets that are given up, and other keys", { processes: [["os", 3], ["os", 3], ["r", 3]], gives: 4 }],
  ["sets that are given up, other keys and invalidations", { processes: [["rs", 3], ["rio", 3], ["rso", 3]], gives: 4, time: 4 }],
  ["two sets of two processes that are given up, and an invalidation", { processes: [["rs", 2], ["rs", 2], ["ri", 2]], gives: 5, time: 2 }],
  ["sets that are given up", { processes: [["rs", 3], ["rs", 3], ["rs", 3]], gives: 4 }],
  ["copies in memory", { processes: [["rist", 3], ["rist", 3], ["rf", 3]], gives: 2, memory, deaf: 2, time: 2 }]
]

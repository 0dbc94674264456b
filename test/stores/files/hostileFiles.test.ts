/**
 * Files that a foreign writer, or a clock that was ahead, has left with stamps from the future.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Option } from "effect"
import { Cached, Envelope } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import { minute, nodeOf, realNow } from "../../support/redis-nodes.js"

const hour = 3_600_000

const makeDirectory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-hostile-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

const open = (directory: string) =>
  Effect.map(
    Effect.provide(FileCache.make({ directory, name: `files ${directory}`, marksEvery: 0 }), NodeContext.layer),
    nodeOf
  )

type Node = Effect.Effect.Success<ReturnType<typeof open>>

const entries = (directory: string): ReadonlyArray<string> =>
  fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => /^[0-9a-f]{2}\/[0-9a-f]{62}$/.test(file))
    .map((file) => path.join(directory, file))

const names = (of: Node) =>
  Effect.map(of.store.health, ({ problems }) =>
    problems.map(({ name }) => name).filter((name) => name !== "BuiltTooOften")
  )

let nextId = 0

/** How many loads three reads of a new key take: at first, after its tag was invalidated, and after `clear`. */
const caches = (of: Node, what: string) =>
  Effect.gen(function* () {
    let calls = 0
    const user = Cached.ttl((_: number) => Effect.sync(() => ++calls), { key: "user:{}", tags: ["t"], ...minute })
    const id = nextId++
    const loads = Effect.gen(function* () {
      calls = 0
      for (let i = 0; i < 3; i++) {
        yield* of.run(user(id))
        yield* of.written
      }
      return calls
    })
    const first = yield* loads
    yield* of.run(Cached.invalidateTags(["t"]))
    const afterTag = yield* loads
    yield* of.store.clear
    deepStrictEqual([first, afterTag, yield* loads], [1, 1, 1], what)
  })

interface Content {
  count: unknown
  floor: number
  lost: number
  marks: Array<[string, number]>
  buckets?: Array<[string, number]>
}

const spoils: Readonly<Record<string, (content: Content, stamp: number) => void>> = {
  floor: (content, stamp) => {
    content.floor = stamp
  },
  lost: (content, stamp) => {
    content.lost = stamp
  },
  "the mark of the tag": (content, stamp) => void content.marks.push(["t:t", stamp]),
  "the mark of the function": (content, stamp) => void content.marks.push(["f:user:{}", stamp]),
  "a bucket": (content, stamp) => {
    content.buckets = [["t7", stamp]]
  },
  count: (content, stamp) => {
    content.count = stamp
  }
}

describe("FileCache, files of strangers", () => {
  it.scoped("an entry of 3 GB - is not read into memory: a miss, and overwritten", () =>
    Effect.gen(function* () {
      const directory = yield* makeDirectory
      const node = yield* open(directory)
      const user = Cached.ttl(Effect.succeed(1), { key: "user", ...minute })
      yield* node.run(user)
      yield* node.written
      const [file] = entries(directory)
      // a file with holes takes no room on the disk
      fs.truncateSync(file!, 3_000_000_000)
      deepStrictEqual(yield* node.run(user.peek), Option.none())
      deepStrictEqual(yield* names(node), ["EntryUnreadable"])
      yield* node.run(user)
      yield* node.written
      deepStrictEqual(yield* node.run(user.peek), Option.some(1))
    })
  )

  const replacements: Readonly<Record<string, (file: string) => void>> = {
    // opening one waits for a writer, and would occupy a thread of Node for good
    "a pipe": (file) => void execFileSync("mkfifo", [file]),
    "a link to a pipe": (file) => {
      execFileSync("mkfifo", [`${file}.pipe`])
      fs.symlinkSync(`${file}.pipe`, file)
    },
    // reading one never ends
    "a link to a device": (file) => fs.symlinkSync("/dev/zero", file)
  }
  for (const [what, make] of Object.entries(replacements)) {
    it.scoped(`${what} in place of each file - is not opened: entries are misses, and all is overwritten`, () =>
      Effect.gen(function* () {
        const directory = yield* makeDirectory
        const known = yield* open(directory)
        const user = Cached.ttl((id: number) => Effect.succeed(id), { key: "replaced:{}", ...minute })
        const ids = [1, 2, 3, 4, 5]
        const all = known.run(Effect.forEach(ids, user.peek, { concurrency: "unbounded" }))
        yield* known.run(Effect.forEach(ids, (id) => user(id)))
        yield* known.run(Cached.invalidateTags(["existing"]))
        yield* known.written
        for (const file of [...entries(directory), path.join(directory, "marks")]) {
          fs.rmSync(file)
          make(file)
        }
        deepStrictEqual(yield* all, ids.map(Option.none))
        yield* known.run(Effect.forEach(ids, (id) => user(id)))
        yield* known.written
        deepStrictEqual(yield* all, ids.map(Option.some))
        deepStrictEqual(Array.from(yield* names(known)).sort(), ["EntryUnreadable", "MarksLost"])
        yield* caches(yield* open(directory), "a process that starts")
        yield* caches(known, "a process that was there")
      })
    )
  }

  it.scoped("marks of 3 GB - are not read into memory: they count as lost, and are replaced", () =>
    Effect.gen(function* () {
      const directory = yield* makeDirectory
      const known = yield* open(directory)
      yield* known.run(Cached.invalidateTags(["existing"]))
      const file = path.join(directory, "marks")
      fs.truncateSync(file, 3_000_000_000)
      yield* caches(yield* open(directory), "a process that starts")
      yield* caches(known, "a process that was there")
      deepStrictEqual(fs.statSync(file).size < 10_000, true)
    })
  )

  for (const [what, spoil] of Object.entries(spoils)) {
    for (const [when, stamp] of [
      ["an hour ahead", () => realNow() + hour],
      ["beyond all", () => 1e300]
    ] as const) {
      it.scoped(`marks, ${what} ${when} - every process goes on to cache, and the object is repaired`, () =>
        Effect.gen(function* () {
          const directory = yield* makeDirectory
          const known = yield* open(directory)
          yield* known.run(Cached.invalidateTags(["existing"]))
          const file = path.join(directory, "marks")
          const content = JSON.parse(fs.readFileSync(file, "utf8")) as Content
          spoil(content, stamp())
          content.count = typeof content.count === "number" && what !== "count" ? content.count + 1 : content.count
          fs.writeFileSync(file, JSON.stringify(content))
          const fresh = yield* open(directory)
          yield* caches(fresh, "a process that starts")
          yield* caches(known, "a process that was there")
          yield* caches(yield* open(directory), "a later process")
          const { buckets = [], floor, lost, marks } = JSON.parse(fs.readFileSync(file, "utf8")) as Content
          const stamps = [floor, lost, ...[...marks, ...buckets].map(([, stamp]) => stamp)]
          deepStrictEqual(
            stamps.filter((stamp) => stamp > realNow() + 60_000),
            []
          )
          if (what !== "count") deepStrictEqual(yield* names(fresh), ["MarksRepaired"])
        })
      )
    }
  }

  for (const [when, stamp] of [
    ["an hour ahead", () => realNow() + hour],
    ["beyond all", () => 1e300],
    ["NaN", () => Number.NaN]
  ] as const) {
    it.scoped(`an entry and a tombstone, ${when} - are misses, also after clear, and are overwritten`, () =>
      Effect.gen(function* () {
        const directory = yield* makeDirectory
        const writer = yield* open(directory)
        let calls = 0
        const user = Cached.ttl((_: number) => Effect.sync(() => ++calls), { key: "user:{}", ...minute })
        yield* writer.run(user(-1))
        yield* writer.run(user(-2))
        yield* writer.written
        const [first, second] = entries(directory).filter((file) => fs.statSync(file).size > 12)
        const bytes = fs.readFileSync(first!)
        bytes.writeDoubleBE(stamp(), 4)
        fs.writeFileSync(first!, bytes)
        fs.writeFileSync(second!, Envelope.tombstone(stamp()))
        const reader = yield* open(directory)
        calls = 0
        for (let i = 0; i < 3; i++) {
          yield* reader.run(Effect.zipRight(user(-1), user(-2)))
          yield* reader.written
        }
        deepStrictEqual(calls, 2)
        deepStrictEqual(yield* names(reader), ["EntryUnreadable"])
        const later = yield* open(directory)
        yield* later.run(Effect.zipRight(user(-1), user(-2)))
        deepStrictEqual(calls, 2, "another process has what was loaded")
        yield* caches(reader, "the reader")
      })
    )
  }

  it.scoped("a mark from the future - still covers what it invalidated", () =>
    Effect.gen(function* () {
      const directory = yield* makeDirectory
      const a = yield* open(directory)
      yield* a.store.set("k", "old", { ...minute, tags: ["t"] })
      // written within the allowed skew, by a machine whose clock was ahead
      const [file] = entries(directory)
      const bytes = fs.readFileSync(file!)
      bytes.writeDoubleBE(realNow() + 50_000, 4)
      fs.writeFileSync(file!, bytes)
      const marks = path.join(directory, "marks")
      const content = JSON.parse(fs.readFileSync(marks, "utf8")) as Content
      content.marks.push(["t:t", realNow() + hour])
      fs.writeFileSync(marks, JSON.stringify({ ...content, count: Number(content.count) + 1 }))
      const b = yield* open(directory)
      deepStrictEqual(yield* b.store.get("k"), Option.none())
      deepStrictEqual(yield* a.store.get("k"), Option.none())
    })
  )
})

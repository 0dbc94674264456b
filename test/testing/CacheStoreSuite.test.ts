/**
 * Tests that the suite finds faults: backends that are each broken in one way, and the cases that must fail for them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { type Backend, CacheStore, Entry, InvalidOption, MemoryCache, Serializer } from "../../src/index.js"
import { CacheStoreSuite } from "../../src/testing.js"
import * as Shelf from "../support/shelf.js"

type Bytes = Backend.Backend<Uint8Array>

const onShelf = (
  differs: Parameters<typeof Shelf.backend>[1],
  options?: Parameters<typeof CacheStore.fromBytes>[1]
): CacheStoreSuite.Options["medium"] =>
  Effect.sync(() => {
    const shelf = new Shelf.Shelf()
    return {
      backend: Effect.sync(() => CacheStore.fromBytes(Shelf.backend(shelf, differs), options)),
      corrupt: (key) => Effect.sync(() => shelf.corrupt(key))
    }
  })

/** Changes every key on its way to the backend. */
const keyed =
  (change: (key: string) => string) =>
  (honest: Bytes): Partial<Bytes> => {
    const changed = <T extends { readonly key: string }>(asked: T): T => ({ ...asked, key: change(asked.key) })
    return {
      getMany: (reads) => honest.getMany(reads.map(changed)),
      setMany: (writes) => honest.setMany(writes.map(changed)),
      setIfAbsent: (write, options) => honest.setIfAbsent(changed(write), options),
      removeMany: (removals) => honest.removeMany(removals.map(changed))
    }
  }

/** Changes every entry on its way from the backend. */
const headed =
  (change: (entry: Entry.Header) => Partial<Entry.Header>) =>
  (honest: Bytes): Partial<Bytes> => ({
    getMany: (reads) =>
      Effect.map(honest.getMany(reads), (answers) => ({
        ...answers,
        found: answers.found.map((each) =>
          each instanceof Entry.Entry ? new Entry.Entry(each.value, { ...each, ...change(each) }) : each
        )
      }))
  })

/** Changes every write on its way to the backend. */
const written =
  (change: (write: Backend.Write<Uint8Array>) => Partial<Backend.Write<Uint8Array>>) =>
  (honest: Bytes): Partial<Bytes> => ({
    setMany: (writes) => honest.setMany(writes.map((write) => ({ ...write, ...change(write) })))
  })

const mutants: ReadonlyArray<
  readonly [broken: string, differs: Parameters<typeof Shelf.backend>[1], found: ReadonlyArray<string>]
> = [
  [
    "ignores removals",
    () => ({
      removeMany: (removals) => Effect.succeed(removals.map(({ stamp }) => ({ _tag: "Written", stamp }) as const))
    }),
    ["set and remove - each takes", "hostile - removing", "set and remove - the later", "removed - an entry"]
  ],
  ["loses the kind of an entry", headed(() => ({ extension: undefined })), ["stored failure - comes back"]],
  ["takes keys without regard to case", keyed((key) => key.toLowerCase()), ["hostile - each", "keys - are"]],
  ["trims keys", keyed((key) => key.trim()), ["hostile - each", "hostile - each is loaded once"]],
  ["cuts keys at 255 characters", keyed((key) => key.slice(0, 255)), ["long - each"]],
  ["normalizes keys", keyed((key) => key.normalize()), ["hostile - each"]],
  [
    "sends keys as UTF-8",
    keyed((key) => Buffer.from(key, "utf8").toString("utf8")),
    ["hostile - each", "hostile - setIfAbsent"]
  ],
  ["ends keys at NUL", keyed((key) => key.split("\u0000")[0]!), ["hostile - each"]],
  [
    "prolongs lifetimes",
    headed(() => ({ expiresAt: Number.POSITIVE_INFINITY })),
    ["set - a stale value", "entry - has"]
  ],
  [
    "keeps times in seconds",
    headed(({ freshUntil }) => ({ freshUntil: Math.floor(freshUntil / 1_000) })),
    ["entry - has", "times - are those"]
  ],
  [
    "expires stale entries",
    written(({ entry }) => ({ lifetime: entry.freshUntil - entry.createdAt })),
    ["stale - the backend keeps"]
  ],
  [
    "keeps the lifetime of the first write",
    (honest, shelf) =>
      written(({ key, lifetime }) => ({
        lifetime: Math.min(lifetime, (shelf.at(key)?.until ?? Infinity) - performance.now())
      }))(honest),
    ["longer - an entry that is written again"]
  ],
  [
    "has a timer of 32 bits",
    written(({ lifetime }) => ({ lifetime: lifetime > 0x7fffffff ? 1 : lifetime })),
    ["60 days", "forever - an entry"]
  ],
  [
    "writes only 100 entries of a batch",
    (honest) => ({
      setMany: (writes) =>
        Effect.map(honest.setMany(writes.slice(0, 100)), (answers) =>
          writes.map(({ entry }, i) => answers[i] ?? { _tag: "Written", stamp: entry.stamp })
        )
    }),
    ["300 keys"]
  ],
  [
    "answers in alphabetical order",
    (honest) => ({ getMany: (reads) => honest.getMany(reads.toSorted((a, b) => (a.key < b.key ? -1 : 1))) }),
    ["getMany - answers in the order", "hostile - each", "100 keys at once"]
  ],
  [
    "omits absent keys from its answer",
    (honest) => ({
      getMany: (reads) =>
        Effect.map(honest.getMany(reads), (answers) => ({
          ...answers,
          found: answers.found.filter((each) => each !== undefined)
        }))
    }),
    ["getMany - answers in the order"]
  ],
  [
    "reads and then writes in setIfAbsent",
    (honest, shelf) => ({
      setIfAbsent: (write) =>
        Effect.suspend(() => {
          const isThere = shelf.at(write.key)?.entry !== undefined
          return Effect.delay(
            isThere
              ? Effect.succeed({ _tag: "Superseded" } as const)
              : Effect.map(honest.setMany([write]), ([all]) => all!),
            1
          )
        })
    }),
    ["at once - exactly one", "setIfAbsent - of 50", "lifetime - a stale entry", "work on a damaged key"]
  ],
  [
    "ignores which entry setIfAbsent may replace",
    (honest) => ({ setIfAbsent: (write, { now }) => honest.setIfAbsent(write, { now, replacing: undefined }) }),
    ["removed - an entry", "work on a damaged key"]
  ],
  [
    "treats every write as authoritative",
    (honest) => ({
      setMany: (writes) => honest.setMany(writes.map((write) => ({ ...write, authoritative: true })))
    }),
    ["remove - an earlier load", "set - an earlier load"]
  ],
  [
    "leaves no tombstone",
    (honest, shelf) => ({
      removeMany: (removals) =>
        Effect.tap(honest.removeMany(removals), () => {
          for (const { key } of removals) shelf.places.delete(key)
        })
    }),
    ["remove - an earlier load"]
  ],
  [
    "has no marks",
    () => ({ marks: undefined }),
    [
      "clear of all entries",
      "tags - reach all other",
      "a new process",
      "clear - an earlier load",
      "tags.invalidate - an earlier load"
    ]
  ],
  [
    "reports marks only to the first process that reads",
    (honest, shelf) => ({
      getMany: (reads) =>
        Effect.tap(honest.getMany(reads), () => {
          shelf.marks.clear()
        })
    }),
    ["tags - reach all other"]
  ],
  [
    "reports no marks to a new process",
    (honest, shelf) => {
      const since = shelf.version
      const silent = () => shelf.version === since
      return {
        getMany: (reads) =>
          Effect.map(honest.getMany(reads), (answers) => (silent() ? { ...answers, marks: undefined } : answers))
      }
    },
    ["a new process"]
  ],
  [
    "forgets tags",
    written(({ entry }) => ({ entry: new Entry.Entry(entry.value, { ...entry, tags: [] }) })),
    ["tags - removes entries", "hostile tags", "300 tags"]
  ],
  [
    "forgets the owner of an entry",
    headed(() => ({ owner: "" })),
    ["cold - 100 readers", "set and load - the other", "clear of a function"]
  ],
  [
    "fails if one entry of many is broken",
    (honest, shelf) => ({
      getMany: (reads) =>
        reads.some(({ key }) => shelf.at(key)?.entry?.value[0] === 0xff) ? Effect.die("broken") : honest.getMany(reads)
    }),
    ["get and getMany - a damaged key", "a load - overwrites"]
  ],
  [
    "does not overwrite broken entries",
    (honest, shelf) => ({
      setMany: (writes) => honest.setMany(writes.filter(({ key }) => shelf.at(key)?.entry?.value[0] !== 0xff))
    }),
    ["a load - overwrites", "set, remove and setIfAbsent"]
  ]
]

const limits: ReadonlyArray<readonly [string, Parameters<typeof CacheStore.fromBytes>[1], ReadonlyArray<string>]> = [
  [
    "drops values that JSON drops",
    { serializer: Serializer.json },
    ["set - a value comes back", "load - a value", "values - come back"]
  ],
  ["holds no large values", { maxValueBytes: 10_000 }, ["set - a value comes back", "load - a value"]]
]

type Medium = CacheStoreSuite.Options["medium"]

/** The names that no failing case contains. */
const unseen = (medium: Medium, names: ReadonlyArray<string>) =>
  Effect.filter(
    names,
    (name) => {
      const cases = CacheStoreSuite.cases({ medium, within: "200 millis" }).filter((each) => each.name.includes(name))
      assert.isAtLeast(cases.length, 1, name)
      return Effect.exists(cases, ({ effect }) => Effect.map(Effect.either(effect), Either.isLeft))
    },
    { concurrency: "unbounded", negate: true }
  )

const finds = (name: string, medium: Medium, names: ReadonlyArray<string>) =>
  it.live(`a backend that ${name} - fails the suite`, () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* unseen(medium, names), [])
      // an unrelated case still passes
      const other = "an unknown key - is absent"
      assert.deepStrictEqual(yield* unseen(medium, [other]), [other])
    })
  )

/** The tests that the suite registers with a framework. */
const registered = (options: CacheStoreSuite.Options) => {
  const tests: Array<{ readonly path: string; readonly body: () => Promise<void> }> = []
  let path: ReadonlyArray<string> = []
  CacheStoreSuite.run("store", options, {
    describe: (name, body) => {
      path = [...path, name]
      body()
      path = path.slice(0, -1)
    },
    it: (name, body) => tests.push({ path: [...path, name].join(" > "), body })
  })
  return tests
}

describe("CacheStoreSuite", () => {
  describe("cases", () => {
    for (const [name, differs, names] of mutants) finds(name, onShelf(differs), names)
    for (const [name, options, names] of limits) finds(name, onShelf(undefined, options), names)

    const local = (differs: (honest: Backend.Backend) => Partial<Backend.Backend>) =>
      Effect.succeed({
        backend: Effect.map(MemoryCache.backend(), (honest) => ({ ...honest, ...differs(honest) }))
      })
    finds(
      "is in memory and ignores removals",
      local(() => ({ unsafeRemove: () => false })),
      ["set and remove - each takes"]
    )
    finds(
      "is in memory and does not declare that it is not shared",
      local(() => ({})),
      ["set and load - the other", "values - come back", "keys - are"]
    )
  })

  describe("run", () => {
    const medium = Effect.succeed({ backend: MemoryCache.backend() })

    it("left out - a case is a test whose title gives the reason", async () => {
      const full = registered({ medium })
      const without = registered({ medium, without: { shared: "it ends with its process" } })
      assert.strictEqual(full.length, CacheStoreSuite.cases({ medium }).length)
      assert.strictEqual(without.length, full.length)
      const left = without.filter(({ path }) => path.endsWith(" (left out: it ends with its process)"))
      assert.strictEqual(left.length, full.filter(({ path }) => /processes|garbage/.test(path)).length)
      for (const { body } of left) await body()
      // every title is unique
      assert.strictEqual(new Set(full.map(({ path }) => path)).size, full.length)
    })

    it("a broken law - rejects with what was found", async () => {
      const broken = registered({ medium, within: 0 }).find(({ path }) => path.includes("set and load - the other"))
      const error = await broken!.body().then(
        () => undefined,
        (cause: Error) => cause
      )
      assert.strictEqual(
        error?.message,
        'get of the value that the other process set, after 0 ms: expected {"_id":"Option","_tag":"Some","value":"by a"}, found {"_id":"Option","_tag":"None"}'
      )
    })

    it("a missing hook - fails its cases instead of leaving them out silently", async () => {
      const damaged = registered({ medium }).filter(({ path }) => path.includes("law 12: garbage heals"))
      assert.isAtLeast(damaged.length, 1)
      for (const { body } of damaged) {
        const message = await body().then(
          () => "",
          (error: Error) => error.message
        )
        assert.include(message, "without.garbage")
      }
    })

    it("without - an empty reason is refused", () => {
      assert.throws(() => CacheStoreSuite.cases({ medium, without: { marks: " " } }), InvalidOption)
    })

    it.live("timeout - a case that does not end fails with its name", () =>
      Effect.gen(function* () {
        const hangs = { backend: Effect.never }
        const [first] = CacheStoreSuite.cases({ medium: Effect.succeed(hangs), timeout: "20 millis" })
        const error = yield* Effect.flip(first!.effect)
        assert.strictEqual(error.message, `${first!.name}: the case did not end within 20 ms`)
      })
    )

    it("node:test - is a valid framework", () => {
      const check = (framework: typeof import("node:test")): CacheStoreSuite.Framework => framework
      assert.isFunction(check)
    })
  })
})

/**
 * Law 18 (nothing wrong is silent): walks the table of problems in `docs/failures.md`. Each is produced on a store, and
 * must be one Warning and one of the `problems` of its `health`.
 */
import * as fs from "node:fs"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { CacheStore } from "effect-cached"
import { awaitUntil } from "../support/redis.js"
import { produced } from "./problems.js"
import { recordWarnings } from "./support.js"

const root = new URL("../../", import.meta.url)
const textOf = (file: string): string => fs.readFileSync(new URL(file, root), "utf8")

/** The problems that tests elsewhere produce. */
const elsewhere: Readonly<Record<string, string>> = {
  ClientResends: "test/stores/redis/settings.test.ts",
  EvictsTombstones: "test/stores/redis/settings.test.ts",
  ServerIsReplica: "test/stores/redis/failover.test.ts",
  SubscribeRefused: "test/stores/redis/settings.test.ts",
  CommandRefused: "test/stores/redis/settings.test.ts",
  Disconnected: "test/stores/redis/faults.test.ts",
  KeyIncomplete: "test/laws/keys.ts",
  MarksLost: "test/stores/redis/RedisCache.test.ts",
  MarksRepaired: "test/stores/redis/hostileKeys.test.ts",
  PolicyNameUnused: "test/cached/policy.test.ts",
  RefreshesFail: "test/laws/18-nothing-wrong-is-silent.test.ts"
}

describe("law 18: nothing wrong is silent", () => {
  const rows = Array.from(
    /\n## Problems\n([\s\S]*?)\n## /.exec(textOf("docs/failures.md"))![1]!.matchAll(/^\| `(\w+)` /gm),
    (row) => row[1]!
  )

  it("the table of problems - has a row for each name, and each has a test", () => {
    const names = Array.from(textOf("src/CacheProblem.ts").matchAll(/^ {2}\| "(\w+)"/gm), (name) => name[1]!)
    assert.deepStrictEqual(rows, [...names].sort())
    assert.deepStrictEqual(Object.keys({ ...produced, ...elsewhere }).sort(), rows)
    for (const [name, file] of Object.entries(elsewhere)) assert.include(textOf(file), `"${name}"`)
  })

  for (const [name, { health = {}, store, subject = "" }] of Object.entries(produced)) {
    it.scopedLive(`${name} - is one Warning, and in \`health\``, () => {
      const { layer, lines } = recordWarnings({ builds: true })
      return Effect.gen(function* () {
        const { health: asked } = yield* store
        const problem = Effect.map(asked, ({ problems }) => problems.find((problem) => problem.name === name))
        yield* awaitUntil(
          Effect.map(problem, (found) => found !== undefined),
          name
        )
        // long enough for a second Warning
        yield* Effect.sleep(30)
        const found = (yield* problem)!
        assert.strictEqual(found.subject, subject)
        // a cause is logged behind the message
        assert.lengthOf(
          lines.filter((line) => line.startsWith(found.message)),
          1,
          lines.join("\n")
        )
        assert.isAtMost(found.since, found.last)
        assert.isAtLeast(found.count, 1)
        const all = yield* asked
        for (const [field, value] of Object.entries(health)) {
          assert.strictEqual(all[field as keyof CacheStore.Health], value, field)
        }
      }).pipe(Effect.provide(Layer.merge(layer, NodeContext.layer)))
    })
  }
})

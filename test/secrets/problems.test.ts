/**
 * Warnings contain no secrets: each problem that a store can have is produced with secrets in its keys, values, failures
 * and credentials, and everything that is written meanwhile is searched.
 */
import * as fs from "node:fs"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { produced } from "../laws/problems.js"
import { awaitUntil } from "../support/redis.js"
import { expectNoSecrets, metrics, recorder } from "./support.js"

const textOf = (file: string): string => fs.readFileSync(new URL(file, import.meta.url), "utf8")

/** The problems without a case, and why their messages can contain nothing. */
const fixed: Readonly<Record<string, string>> = {
  MarksLost: "a fixed message",
  PolicyNameUnused: "a minute of real time, and names that the policy itself has"
}

describe("problems - contain no keys, values or credentials", () => {
  it("each problem - has a case here or in stores.test.ts", () => {
    const names = Array.from(textOf("../../src/CacheProblem.ts").matchAll(/^ {2}\| "(\w+)"/gm), (name) => name[1]!)
    const stores = textOf("stores.test.ts")
    assert.isAbove(names.length, 40)
    assert.deepStrictEqual(
      names.filter((name) => !(name in produced) && !(name in fixed) && !stores.includes(`"${name}"`)),
      []
    )
  })

  for (const [name, { store }] of Object.entries(produced)) {
    it.scopedLive(name, () => {
      const { layer, written } = recorder()
      return Effect.gen(function* () {
        const { health } = yield* store
        yield* awaitUntil(
          Effect.map(health, ({ problems }) => problems.some((problem) => problem.name === name)),
          name
        )
        yield* Effect.sleep(10)
        const { problems } = yield* health
        written.push({ where: "health", text: JSON.stringify(problems) })
        expectNoSecrets([...written, ...(yield* metrics)])
      }).pipe(Effect.provide(Layer.merge(layer, NodeContext.layer)))
    })
  }
})

import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Layer, Option } from "effect"
import { type Backend, Cached, CacheStore } from "effect-cached"

/** A remote backend that stores nothing and has the given faults. */
const faulty = (faults: Partial<Backend.Backend>): Backend.Backend => ({
  name: "faulty",
  remote: true,
  getMany: (reads) => Effect.succeed({ found: reads.map(() => undefined) }),
  setMany: (writes) => Effect.succeed(writes.map((write) => ({ _tag: "Written", stamp: write.entry.stamp }) as const)),
  setIfAbsent: (write) => Effect.succeed({ _tag: "Written", stamp: write.entry.stamp }),
  removeMany: (removals) => Effect.succeed(removals.map(() => ({ _tag: "Superseded" as const }))),
  ...faults
})

const broken = (): never => {
  throw new Error("broken")
}

const faults: ReadonlyArray<readonly [string, Partial<Backend.Backend>]> = [
  ["getMany throws", { getMany: broken }],
  ["getMany dies", { getMany: () => Effect.die("broken") }],
  ["getMany answers something else", { getMany: () => Effect.succeed({} as never) }],
  ["setMany throws", { setMany: broken }],
  ["setMany answers for too few keys", { setMany: () => Effect.succeed([]) }],
  ["removeMany throws", { removeMany: broken }],
  ["getMany interrupts itself", { getMany: () => Effect.interrupt }]
]

describe("Backend", () => {
  describe("law 6: the store may fail, the caller may not - a backend that misbehaves", () => {
    for (const [name, fault] of faults) {
      it.effect(`${name} - reads load, writes end, and the next read works`, () =>
        Effect.gen(function* () {
          let calls = 0
          const find = Cached.ttl((id: number) => Effect.sync(() => `${id} ${++calls}`), {
            key: "k:{}",
            ttl: "1 minute"
          })
          const all = yield* Effect.all([find(1), find(2), find(1)], { concurrency: "unbounded" })
          deepStrictEqual(
            all.map((text) => text.slice(0, 1)),
            ["1", "2", "1"]
          )
          yield* find.set(1)("by hand")
          yield* find.invalidate(1)
          deepStrictEqual(yield* find.peek(1), Option.none())
          assert.match(yield* find(3), /^3 /)
        }).pipe(Effect.provide(Layer.scoped(CacheStore, CacheStore.make(faulty(fault)))))
      )
    }
  })
})

import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Option, Queue, Schema, Stream } from "effect"
import { type Backend, Cached, CacheStore } from "effect-cached"
import * as Entry from "../../src/Entry.js"
import { gate, minute, settled, until } from "../laws/support.js"

describe("ReadBatcher", () => {
  it.scopedLive("law 8: invalidation wins - over every read in progress, also over reads with different schemas", () =>
    Effect.gen(function* () {
      const answering = gate()
      const old = new Entry.Entry("old", {
        stamp: 1,
        createdAt: Date.now(),
        freshUntil: Date.now() + 60_000,
        expiresAt: Date.now() + 60_000,
        owner: "k",
        tags: []
      })
      let isRemoved = false
      let reads = 0
      const store = yield* CacheStore.make({
        name: "gated",
        remote: true,
        getMany: (asked) =>
          Effect.suspend(() => {
            // the backend answers with what it held when it was asked
            const found = asked.map(() => (isRemoved ? undefined : old))
            reads += asked.length
            return isRemoved ? Effect.succeed({ found }) : Effect.as(answering.pass, { found })
          }),
        setMany: (writes) => Effect.succeed(writes.map((write) => ({ _tag: "Written", stamp: write.entry.stamp }))),
        setIfAbsent: (write) => Effect.succeed({ _tag: "Written", stamp: write.entry.stamp }),
        removeMany: (removals) =>
          Effect.sync(() => {
            isRemoved = true
            return removals.map(({ stamp }) => ({ _tag: "Written", stamp }))
          })
      })
      const find = Cached.ttl(Effect.succeed("new"), { key: "k", schema: Schema.String, ...minute })
      const withSchema = yield* Effect.fork(Effect.provideService(find, CacheStore, store))
      yield* until(() => reads === 1, "the read with a schema is sent")
      const withoutSchema = yield* Effect.fork(store.get("k"))
      yield* until(() => reads === 2, "the read without a schema is sent")
      yield* store.remove("k")
      yield* answering.open
      assert.strictEqual(yield* Fiber.join(withSchema), "new")
      assert.notStrictEqual(Option.getOrUndefined(yield* Fiber.join(withoutSchema)), "old")
    })
  )

  describe("a key that other processes change while it is read", () => {
    /**
     * A backend whose answer to read number n of the key `k` is an entry with the stamp `answers[n - 1]`, after
     * notifications of changes with the stamps `changes[n - 1]`.
     */
    const changing = (changes: ReadonlyArray<ReadonlyArray<number>>, answers: ReadonlyArray<number>, owner: string) =>
      Effect.gen(function* () {
        const notifications = yield* Queue.unbounded<Backend.Notification>()
        const copied: Array<unknown> = []
        let reads = 0
        const answer = (stamp: number) =>
          new Entry.Entry(stamp, {
            stamp,
            createdAt: Date.now(),
            freshUntil: Date.now() + 60_000,
            expiresAt: Date.now() + 60_000,
            owner,
            tags: []
          })
        const store = yield* CacheStore.make({
          name: "changing",
          remote: true,
          unsafeGet: () => undefined,
          unsafeSet: (_, entry) => {
            copied.push(entry.value)
          },
          notifications: () => Stream.fromQueue(notifications),
          getMany: (asked) =>
            Effect.gen(function* () {
              const n = reads++
              for (const stamp of changes[n] ?? []) {
                yield* notifications.offer({ _tag: "Keys", keys: [{ key: "k", stamp }] })
              }
              yield* settled
              return { found: asked.map(() => answer(answers[n]!)) }
            }),
          setMany: (writes) => Effect.succeed(writes.map((write) => ({ _tag: "Written", stamp: write.entry.stamp }))),
          setIfAbsent: (write) => Effect.succeed({ _tag: "Written", stamp: write.entry.stamp }),
          removeMany: (removals) => Effect.succeed(removals.map(({ stamp }) => ({ _tag: "Written", stamp })))
        })
        yield* notifications.offer({ _tag: "Armed" })
        yield* settled
        return { store, copied, reads: () => reads }
      })
    const loads = Cached.ttl(Effect.succeed(-1), { key: "k", ...minute })

    for (const [name, changes, answers, expected] of [
      ["an answer with a later stamp - is valid, and copied", [[3, 5]], [7], { value: 7, reads: 1, copied: [7] }],
      [
        "answers with the stamp of the change - the first is valid, and not copied: two loads may have one stamp",
        [[1], [2], [3], [4], [5]],
        [1, 2, 3, 4, 5],
        { value: 1, reads: 1, copied: [] }
      ],
      [
        "an answer older than the latest of several changes - is asked for again",
        [[5, 7]],
        [6, 8],
        { value: 8, reads: 2, copied: [8] }
      ],
      ["changes in no order - the latest stamp counts", [[7, 5]], [6, 7], { value: 7, reads: 2, copied: [7] }]
    ] as const) {
      it.scopedLive(name, () =>
        Effect.gen(function* () {
          const forGet = yield* changing(changes, answers, "")
          const got = Option.getOrUndefined(yield* forGet.store.get("k"))
          deepStrictEqual<unknown>({ value: got, reads: forGet.reads(), copied: forGet.copied }, expected)
          const forRead = yield* changing(changes, answers, "k")
          const read = yield* Effect.provideService(loads, CacheStore, forRead.store)
          deepStrictEqual<unknown>({ value: read, reads: forRead.reads(), copied: forRead.copied }, expected)
        })
      )
    }

    it.scopedLive("law 17: bounded - a key that changes during every read is answered after four", () =>
      Effect.gen(function* () {
        const always = Array.from({ length: 9 }, (_, n) => [n + 2])
        const answers = always.map((_, n) => n + 1)
        const forGet = yield* changing(always, answers, "")
        deepStrictEqual(yield* forGet.store.get("k"), Option.some(4))
        assert.strictEqual(forGet.reads(), 4)
        const forRead = yield* changing(always, answers, "k")
        assert.strictEqual(yield* Effect.provideService(loads, CacheStore, forRead.store), -1)
        assert.strictEqual(forRead.reads(), 4)
      })
    )
  })
})

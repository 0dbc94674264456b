/**
 * Mutations that invalidate and refresh.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option, pipe, Schema } from "effect"
import { Cached, InvalidOption } from "effect-cached"
import { on } from "./support.js"

/** A table of names, cached by id and as a list. */
const table = () => {
  const rows = new Map([
    [1, "Ada"],
    [2, "Alan"]
  ])
  let reads = 0
  const read = Effect.sync(() => {
    reads++
  })
  return {
    rows,
    reads: () => reads,
    byId: Cached.ttl((id: number) => Effect.as(read, id).pipe(Effect.map(() => rows.get(id))), {
      key: "name:{}",
      ttl: "1 hour",
      tags: ["names"]
    }),
    list: Cached.ttl(
      Effect.map(read, () => [...rows.values()].join()),
      {
        key: "names",
        ttl: "1 hour",
        tags: ["names", "lists"]
      }
    ),
    rename: (id: number, name: string) =>
      Effect.sync(() => {
        rows.set(id, name)
        return name.length
      })
  }
}

const refuse = <E>(error: E) => Effect.fail(error)

describe("Cached.invalidates", () => {
  it.effect("a cached function - the entry of the mutation's arguments is invalidated, and no other", () =>
    Effect.gen(function* () {
      const { byId, reads, rename } = table()
      yield* Effect.all([byId(1), byId(2)])
      assert.strictEqual(yield* Cached.invalidates(rename, byId)(1, "Grace"), 5)
      assert.strictEqual(yield* byId(1), "Grace")
      assert.strictEqual(yield* byId(2), "Alan")
      assert.strictEqual(reads(), 3)
    }).pipe(on)
  )

  it.effect("a mutation that is an effect, and an effect as a target", () =>
    Effect.gen(function* () {
      const { list, rows } = table()
      yield* list
      const wipe = Effect.sync(() => rows.clear())
      yield* wipe.pipe(Cached.invalidates(list))
      assert.strictEqual(yield* list, "")
    }).pipe(on)
  )

  it.effect("tags - those of the default store", () =>
    Effect.gen(function* () {
      const { byId, list, rename } = table()
      yield* Effect.all([byId(1), list])
      yield* Cached.invalidates(rename, ["lists"])(1, "Grace")
      assert.strictEqual(yield* list, "Grace,Alan")
      assert.strictEqual(yield* byId(1), "Ada")
    }).pipe(on)
  )

  it.effect("a list - all kinds of targets, lists of tags included", () =>
    Effect.gen(function* () {
      const { byId, list, rename } = table()
      const copy = Cached.ttl(byId, { key: "copy:{}", ttl: "1 hour" })
      yield* Effect.all([byId(1), list, copy(1)])
      const seen: Array<unknown> = []
      const renamed = Cached.invalidates(rename, [
        byId,
        ["lists"],
        (length, id, name) =>
          Effect.zipRight(
            Effect.sync(() => seen.push(length, id, name)),
            copy.invalidate(id)
          )
      ])
      yield* renamed(1, "Grace")
      assert.deepStrictEqual(seen, [5, 1, "Grace"])
      assert.deepStrictEqual(yield* Effect.all([byId(1), list, copy(1)]), ["Grace", "Grace,Alan", "Grace"])
    }).pipe(on)
  )

  it.effect("an entity - the entry of the mutation's first argument, in each form", () =>
    Effect.gen(function* () {
      const user = Schema.Struct({ id: Schema.Number, name: Schema.String })
      const users = Cached.entity(user, { name: "user", key: ["id"], ttl: "1 hour" })
      let renames = 0
      const rename = (_id: number, _name: string) => Effect.sync(() => ++renames)
      const forms = [
        Cached.invalidates(rename, users),
        Cached.invalidates(rename, users, { when: "both" }),
        Cached.invalidates(rename, [users]),
        pipe(rename, Cached.invalidates(users)),
        pipe(rename, Cached.invalidates(users, { when: "before" }))
      ]
      for (const [i, renamed] of forms.entries()) {
        yield* users.putMany([
          { id: 1, name: "Ada" },
          { id: 2, name: "Grace" }
        ])
        assert.strictEqual(yield* renamed(1, "Joan"), i + 1)
        assert.deepStrictEqual((yield* users.getMany([1, 2])).map(Option.isSome), [false, true])
      }
    }).pipe(on)
  )

  it.effect("a target is not read", () =>
    Effect.gen(function* () {
      const { byId, reads, rename } = table()
      yield* Cached.invalidates(rename, byId)(1, "Grace")
      assert.strictEqual(reads(), 0)
    }).pipe(on)
  )

  describe("when", () => {
    /** Caches the old name, runs a mutation that ends as given, and returns what a read then finds. */
    const nameAfter = (end: Effect.Effect<unknown, string>, when: Cached.WhenToInvalidate) =>
      Effect.gen(function* () {
        const { byId, rename } = table()
        yield* byId(1)
        const mutation = (id: number, name: string) => Effect.zipRight(rename(id, name), end)
        yield* Effect.exit(Cached.invalidates(mutation, byId, { when })(1, "Grace"))
        return yield* byId(1)
      }).pipe(on)

    for (const when of ["after", "both"] as const) {
      it.effect(`${when} - after a success, a defect and an interruption`, () =>
        Effect.gen(function* () {
          for (const end of [Effect.void, Effect.die("broken"), Effect.interrupt, Effect.failCause(both)]) {
            assert.strictEqual(yield* nameAfter(end, when), "Grace")
          }
        })
      )
    }

    /** The cause of a mutation of which one part failed and another one died. */
    const both = Cause.parallel(Cause.fail("refused"), Cause.die("broken"))

    it.effect("after - not after a typed failure", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* nameAfter(refuse("refused"), "after"), "Ada")
      })
    )

    it.effect("before - whatever becomes of the mutation", () =>
      Effect.gen(function* () {
        for (const end of [Effect.void, refuse("refused"), Effect.die("broken"), Effect.interrupt]) {
          assert.strictEqual(yield* nameAfter(end, "before"), "Grace")
        }
      })
    )

    it.effect("before - a read during the mutation stores the old value; both - it stays no longer than that", () =>
      Effect.gen(function* () {
        for (const when of ["before", "both"] as const) {
          const { byId, rename } = table()
          yield* byId(1)
          const mutation = (id: number, name: string) => Effect.zipRight(byId(id), rename(id, name))
          yield* Cached.invalidates(mutation, byId, { when })(1, "Grace")
          assert.strictEqual(yield* byId(1), when === "before" ? "Ada" : "Grace")
        }
      }).pipe(on)
    )

    it.effect("before and both - target functions get the arguments alone", () =>
      Effect.gen(function* () {
        for (const when of ["before", "both"] as const) {
          const { byId, rename } = table()
          yield* byId(1)
          const calls: Array<[number, string]> = []
          const target = (id: number, name: string) =>
            Effect.zipRight(
              Effect.sync(() => calls.push([id, name])),
              byId.invalidate(id)
            )
          yield* Cached.invalidates(rename, target, { when })(1, "Grace")
          assert.strictEqual(yield* byId(1), "Grace")
          assert.lengthOf(calls, when === "both" ? 2 : 1)
          assert.deepStrictEqual(calls[0], [1, "Grace"])
        }
      }).pipe(on)
    )

    it.effect("before - a target that fails ends it, and the mutation does not run", () =>
      Effect.gen(function* () {
        const { rename, rows } = table()
        const renamed = Cached.invalidates(rename, () => refuse("unreachable"), { when: "before" })
        assert.strictEqual(yield* Effect.flip(renamed(1, "Grace")), "unreachable")
        assert.strictEqual(rows.get(1), "Ada")
      }).pipe(on)
    )

    it.effect("anything else - is the defect InvalidOption", () =>
      Effect.gen(function* () {
        const { byId, rename } = table()
        // @ts-expect-error no such time
        const exit = yield* Effect.exit(Cached.invalidates(rename, byId, { when: "later" })(1, "Grace"))
        assert.include(String(exit), "when")
        assert.instanceOf(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, InvalidOption)
      }).pipe(on)
    )
  })

  describe("interruption", () => {
    it.effect("during the mutation - invalidates, because the mutation may have been carried out", () =>
      Effect.gen(function* () {
        const { byId, rename } = table()
        yield* byId(1)
        const carriedOut = yield* Deferred.make<void>()
        const renamed = Cached.invalidates(
          (id: number, name: string) =>
            rename(id, name).pipe(
              Effect.zipRight(Deferred.succeed(carriedOut, undefined)),
              Effect.zipRight(Effect.never)
            ),
          byId
        )
        const fiber = yield* Effect.fork(renamed(1, "Grace"))
        yield* Deferred.await(carriedOut)
        const exit = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isInterrupted(exit))
        assert.strictEqual(yield* byId(1), "Grace")
      }).pipe(on)
    )

    it.effect("during the invalidation - has to wait for its end", () =>
      Effect.gen(function* () {
        const { byId, rename } = table()
        yield* byId(1)
        const begun = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const renamed = Cached.invalidates(rename, (_, id) =>
          Deferred.succeed(begun, undefined).pipe(
            Effect.zipRight(Deferred.await(go)),
            Effect.zipRight(byId.invalidate(id))
          )
        )
        const fiber = yield* Effect.fork(renamed(1, "Grace"))
        yield* Deferred.await(begun)
        const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* Effect.yieldNow()
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(interrupting)
        assert.strictEqual(yield* byId(1), "Grace")
      }).pipe(on)
    )

    it.effect("a target function gets undefined in place of the result", () =>
      Effect.gen(function* () {
        const { byId, rename } = table()
        yield* byId(1)
        const results: Array<unknown> = []
        const renamed = Cached.invalidates(
          (id: number, name: string) => Effect.zipLeft(rename(id, name), Effect.interrupt),
          (result, id) =>
            Effect.zipRight(
              Effect.sync(() => results.push(result)),
              byId.invalidate(id)
            )
        )
        yield* Effect.exit(renamed(1, "Grace"))
        assert.deepStrictEqual(results, [undefined])
        assert.strictEqual(yield* byId(1), "Grace")
      }).pipe(on)
    )
  })

  it.effect("a target that fails - the others are invalidated, and the failure is that of the mutation", () =>
    Effect.gen(function* () {
      const { byId, rename } = table()
      yield* byId(1)
      const renamed = Cached.invalidates(rename, [() => refuse("unreachable"), byId])
      assert.strictEqual(yield* Effect.flip(renamed(1, "Grace")), "unreachable")
      assert.strictEqual(yield* byId(1), "Grace")
    }).pipe(on)
  )

  it.effect("a target that dies after a mutation without a result - the cause has both", () =>
    Effect.gen(function* () {
      const renamed = Cached.invalidates(Effect.die("broken"), () => Effect.die("no result"))
      const exit = yield* Effect.exit(renamed)
      assert.deepStrictEqual(Exit.isFailure(exit) && [...Cause.defects(exit.cause)], ["broken", "no result"])
    }).pipe(on)
  )

  it.effect("law 8: invalidation wins - over a load that began before the mutation ended", () =>
    Effect.gen(function* () {
      const { rename, rows } = table()
      const read = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const slow = Cached.ttl(
        (id: number) =>
          Effect.sync(() => rows.get(id)).pipe(
            Effect.tap(() => Deferred.succeed(read, undefined)),
            Effect.tap(() => Deferred.await(go))
          ),
        { key: "slow:{}", ttl: "1 hour" }
      )
      const reader = yield* Effect.fork(slow(1))
      yield* Deferred.await(read)
      yield* Cached.invalidates(rename, slow)(1, "Grace")
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(reader)
      assert.strictEqual(yield* slow(1), "Grace")
    }).pipe(on)
  )

  it.effect("data-last - with options", () =>
    Effect.gen(function* () {
      const { byId, rename } = table()
      yield* byId(1)
      const refused = pipe(
        (id: number, name: string) => Effect.zipRight(rename(id, name), refuse("refused")),
        Cached.invalidates(byId, { when: "before" })
      )
      yield* Effect.exit(refused(1, "Grace"))
      assert.strictEqual(yield* byId(1), "Grace")
    }).pipe(on)
  )

  it.effect("what is no target - is a defect that says so", () =>
    Effect.gen(function* () {
      const { rename } = table()
      // @ts-expect-error no target
      const exit = yield* Effect.exit(Cached.invalidates(rename, [undefined])(1, "Grace"))
      assert.include(String(exit), "a target is neither cached, nor tags, nor a function")
    }).pipe(on)
  )

  it.effect("a captured function - is a target, and needs no store", () =>
    Effect.gen(function* () {
      const { byId, rename } = table()
      const captured = yield* Cached.capture(byId)
      yield* captured(1)
      const renamed: Effect.Effect<number> = Cached.invalidates(rename, captured)(1, "Grace")
      yield* renamed
      assert.strictEqual(yield* captured(1), "Grace")
    }).pipe(on)
  )
})

describe("Cached.refreshes", () => {
  it.effect("after a success - the entry has the new value, and the result is that of the mutation", () =>
    Effect.gen(function* () {
      const { byId, reads, rename } = table()
      yield* byId(1)
      assert.strictEqual(yield* Cached.refreshes(rename, byId)(1, "Grace"), 5)
      assert.strictEqual(reads(), 2)
      assert.strictEqual(yield* byId(1), "Grace")
      assert.strictEqual(reads(), 2)
    }).pipe(on)
  )

  it.effect("data-last, with an effect", () =>
    Effect.gen(function* () {
      const { list, reads, rows } = table()
      yield* list
      yield* Effect.sync(() => rows.delete(2)).pipe(Cached.refreshes(list))
      assert.strictEqual(yield* list, "Ada")
      assert.strictEqual(reads(), 2)
    }).pipe(on)
  )

  it.effect("after a typed failure - nothing happens", () =>
    Effect.gen(function* () {
      const { byId, reads, rename } = table()
      yield* byId(1)
      const refused = (id: number, name: string) => Effect.zipRight(rename(id, name), refuse("refused"))
      yield* Effect.exit(Cached.refreshes(refused, byId)(1, "Grace"))
      assert.strictEqual(yield* byId(1), "Ada")
      assert.strictEqual(reads(), 1)
    }).pipe(on)
  )

  it.effect("after a defect - invalidates", () =>
    Effect.gen(function* () {
      const { byId, rename } = table()
      yield* byId(1)
      const broken = (id: number, name: string) => Effect.zipRight(rename(id, name), Effect.die("broken"))
      yield* Effect.exit(Cached.refreshes(broken, byId)(1, "Grace"))
      assert.strictEqual(yield* byId(1), "Grace")
    }).pipe(on)
  )

  it.effect("a refresh that fails - invalidates, and the mutation succeeds", () =>
    Effect.gen(function* () {
      let calls = 0
      const cached = Cached.ttl(
        Effect.suspend(() => (++calls === 2 ? refuse("down") : Effect.succeed(calls))),
        { key: "k", ttl: "1 hour" }
      )
      yield* cached
      assert.strictEqual(yield* Cached.refreshes(Effect.succeed("done"), cached), "done")
      assert.strictEqual(yield* cached, 3)
    }).pipe(on)
  )

  it.effect("a refresh that is interrupted - invalidates", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      let calls = 0
      const cached = Cached.ttl(
        Effect.suspend(() =>
          ++calls === 2 ? Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never) : Effect.succeed(calls)
        ),
        { key: "k", ttl: "1 hour" }
      )
      yield* cached
      const fiber = yield* Effect.fork(Cached.refreshes(Effect.void, cached))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* cached, 3)
    }).pipe(on)
  )
})

describe("Cached.warm", () => {
  it.effect("onProgress - runs after each effect, with how many have ended and failed", () =>
    Effect.gen(function* () {
      const { byId } = table()
      const seen: Array<Cached.WarmProgress> = []
      const exit = yield* Effect.exit(
        Cached.warm([byId(1), refuse("down"), byId(2)], {
          concurrency: 1,
          onProgress: (progress) => Effect.sync(() => seen.push(progress))
        })
      )
      assert.deepStrictEqual(exit, Exit.fail("down"))
      assert.deepStrictEqual(seen, [
        { done: 1, failed: 0, total: 3 },
        { done: 2, failed: 1, total: 3 },
        { done: 3, failed: 1, total: 3 }
      ])
    }).pipe(on)
  )
})

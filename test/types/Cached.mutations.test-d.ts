/**
 * The types of mutations: which targets they accept, and what results. `types.test.ts` checks the messages.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, pipe, Schema } from "effect"
import { Cached, CacheStore, type CacheStoreError } from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, object>() {}
class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}
interface User {
  readonly id: number
  readonly name: string
}
interface Patch {
  readonly name: string
}

declare const update: (id: number, patch: Patch) => Effect.Effect<User, "refused", Db>
declare const remove: (id: number) => Effect.Effect<void, "refused", Db>
declare const touch: (id: number, times: number) => Effect.Effect<void>
declare const wipe: Effect.Effect<number, "refused", Db>
declare const find: (id: number) => Effect.Effect<User, "absent", Db>

const byId = Cached.ttl(find, { key: "user:{}", ttl: 1 })
const strict = Cached.ttl(find, { key: "strict:{}", ttl: 1, onStoreError: "fail", store: Sessions })
const byName = Cached.ttl((name: string) => Effect.succeed(name), { key: "name:{}", ttl: 1 })
const page = Cached.ttl((id: number, page?: number) => Effect.succeed([id, page]), {
  key: (id, page) => `page:${id}:${page}`,
  name: "page",
  ttl: 1
})
const all = Cached.ttl(wipe, { key: "users", ttl: 1 })

type Updating<E = never, R = CacheStore> = (id: number, patch: Patch) => Effect.Effect<User, "refused" | E, Db | R>

describe("Cached.invalidates", () => {
  it("targets - their errors and requirements are added, those of their lookups are not", () => {
    expectTypeOf(Cached.invalidates(update, byId)).toEqualTypeOf<Updating>()
    expectTypeOf(Cached.invalidates(update, all)).toEqualTypeOf<Updating>()
    expectTypeOf(Cached.invalidates(update, ["users", "names"])).toEqualTypeOf<Updating>()
    expectTypeOf(Cached.invalidates(update, [byId, all, ["users"]])).toEqualTypeOf<Updating>()
    expectTypeOf(Cached.invalidates(update, [byId, strict])).toEqualTypeOf<
      Updating<CacheStoreError, CacheStore | Sessions>
    >()
    expectTypeOf(Cached.invalidates(wipe, all)).toEqualTypeOf<Effect.Effect<number, "refused", Db | CacheStore>>()
  })

  it("target functions - get the result and the arguments, alone and in a list", () => {
    const alone = Cached.invalidates(update, (user, id, patch) => {
      expectTypeOf(user).toEqualTypeOf<User>()
      expectTypeOf(id).toEqualTypeOf<number>()
      expectTypeOf(patch).toEqualTypeOf<Patch>()
      return Effect.all([byId.invalidate(id), byName.invalidate(user.name)])
    })
    expectTypeOf(alone).toEqualTypeOf<Updating>()
    const listed = Cached.invalidates(update, [
      byId,
      (user, id) => {
        expectTypeOf(user).toEqualTypeOf<User>()
        return strict.invalidate(id)
      }
    ])
    expectTypeOf(listed).toEqualTypeOf<Updating<CacheStoreError, CacheStore | Sessions>>()
    const effect = Cached.invalidates(wipe, (count) => {
      expectTypeOf(count).toEqualTypeOf<number>()
      return byId.clear
    })
    expectTypeOf(effect).toEqualTypeOf<Effect.Effect<number, "refused", Db | CacheStore>>()
  })

  it("before and both - target functions get the arguments alone", () => {
    for (const when of ["before", "both"] as const) {
      Cached.invalidates(
        update,
        [
          byId,
          (id, patch) => {
            expectTypeOf(id).toEqualTypeOf<number>()
            return byName.invalidate(patch.name)
          }
        ],
        { when }
      )
    }
  })

  it("an inline mutation, Effect.fn included", () => {
    const inline = Cached.invalidates((id: number) => remove(id), byId)
    expectTypeOf(inline).toEqualTypeOf<(id: number) => Effect.Effect<void, "refused", Db | CacheStore>>()
    const fn = Cached.invalidates(
      Effect.fn("remove")(function* (id: number) {
        return yield* remove(id)
      }),
      [byId, (_, id) => byId.invalidate(id)]
    )
    expectTypeOf(fn).toEqualTypeOf<(id: number) => Effect.Effect<void, "refused", Db | CacheStore>>()
  })

  it("data-last - in pipe, with options, and kept for later", () => {
    expectTypeOf(pipe(update, Cached.invalidates(byId))).toEqualTypeOf<Updating>()
    expectTypeOf(pipe(update, Cached.invalidates(byId, { when: "both" }))).toEqualTypeOf<Updating>()
    expectTypeOf(wipe.pipe(Cached.invalidates(all))).toEqualTypeOf<Effect.Effect<number, "refused", Db | CacheStore>>()
    const computed = pipe(
      update,
      Cached.invalidates((user, id) => {
        expectTypeOf(user).toEqualTypeOf<User>()
        return byId.invalidate(id)
      })
    )
    expectTypeOf(computed).toEqualTypeOf<Updating>()
    const kept = Cached.invalidates(byId)
    expectTypeOf(kept(update)).toEqualTypeOf<Updating>()
    // @ts-expect-error no argument
    kept(wipe)
  })

  it("an entity - takes the first argument of the mutation as its id", () => {
    const users = Cached.entity(Schema.Struct({ id: Schema.Number }), { name: "user", key: ["id"], ttl: 1 })
    const names = Cached.entity(Schema.Struct({ name: Schema.String }), { name: "name", key: ["name"], ttl: 1 })
    expectTypeOf(Cached.invalidates(update, users)).toEqualTypeOf<Updating>()
    expectTypeOf(pipe(update, Cached.invalidates(users))).toEqualTypeOf<Updating>()
    // @ts-expect-error a name
    Cached.invalidates(remove, names)
    // @ts-expect-error it has no refresh
    Cached.refreshes(remove, users)
  })

  it("a target that takes other arguments - is refused", () => {
    // @ts-expect-error a name
    Cached.invalidates(remove, byName)
    // @ts-expect-error a name, in a list
    Cached.invalidates(remove, [byId, byName])
    // @ts-expect-error an effect has no arguments
    Cached.invalidates(wipe, byId)
    // @ts-expect-error the second argument of the mutation would become the page
    Cached.invalidates(touch, page)
    // @ts-expect-error a name
    pipe(remove, Cached.invalidates(byName))
  })

  it("what is no target - is refused", () => {
    // @ts-expect-error an effect that is not cached
    Cached.invalidates(remove, wipe)
    // @ts-expect-error a function that returns no effect
    Cached.invalidates(remove, () => 1)
    // @ts-expect-error a single tag
    Cached.invalidates(remove, "users")
    // @ts-expect-error no such time
    Cached.invalidates(remove, byId, { when: "later" })
  })
})

describe("Cached.refreshes", () => {
  it("adds the requirements of the lookup, and no error of it", () => {
    expectTypeOf(Cached.refreshes(update, byId)).toEqualTypeOf<Updating>()
    expectTypeOf(Cached.refreshes(update, strict)).toEqualTypeOf<Updating<CacheStoreError, Sessions>>()
    expectTypeOf(Cached.refreshes(wipe, all)).toEqualTypeOf<Effect.Effect<number, "refused", Db | CacheStore>>()
    expectTypeOf(pipe(update, Cached.refreshes(byId))).toEqualTypeOf<Updating>()
    expectTypeOf(Cached.refreshes(byId)(update)).toEqualTypeOf<Updating>()
  })

  it("a target that takes other arguments - is refused", () => {
    // @ts-expect-error a name
    Cached.refreshes(remove, byName)
    // @ts-expect-error tags cannot be refreshed
    Cached.refreshes(remove, ["users"])
    // @ts-expect-error a name
    pipe(remove, Cached.refreshes(byName))
  })
})

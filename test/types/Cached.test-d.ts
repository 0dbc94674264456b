/**
 * The types of `Cached`: which lookups it accepts, which types result, and what does not compile. `types.test.ts` checks
 * on which line and with which message a wrong option is reported.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Cause, Scope } from "effect"
import { Context, Effect, type Exit, type Option, pipe, Schedule, Schema } from "effect"
import type { CacheEvent, CacheStats, CacheStoreError, DuplicateLoader, Entry } from "../../src/index.js"
import { Cached, type CachePolicy, CacheStore } from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, { readonly find: (id: number) => Effect.Effect<User, DbError> }>() {}
class Mail extends Context.Tag("Mail")<Mail, { readonly send: (text: string) => Effect.Effect<void> }>() {}
class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}
class DbError {
  readonly _tag = "DbError"
}
class MailError {
  readonly _tag = "MailError"
}
interface User {
  readonly id: number
  readonly name: string
}

declare const find: (id: number) => Effect.Effect<User, DbError, Db>
declare const all: Effect.Effect<ReadonlyArray<User>, DbError, Db>
declare const order: (of: { readonly userId: string; readonly orderId: number }) => Effect.Effect<number, DbError, Db>
declare const rented: Effect.Effect<string, DbError, Db | Scope.Scope>
declare const users: ReadonlyArray<User>

const ada: User = { id: 1, name: "Ada" }

type IsAny<T> = 0 extends 1 & T ? true : false
/** Names those of the value, error and requirement of an effect that are `any`; `never` when none is. */
type AnyIn<T> =
  T extends Effect.Effect<infer A, infer E, infer R>
    ?
        | (IsAny<A> extends true ? "value" : never)
        | (IsAny<E> extends true ? "error" : never)
        | (IsAny<R> extends true ? "requirement" : never)
    : "no effect"
/** The same for all members of a cached effect or function, arguments included. */
type AnyInside<C> =
  C extends Cached.CachedFunction<infer Args, any, any, any, any>
    ?
        | (IsAny<Args[number]> extends true ? "arguments" : never)
        | AnyIn<ReturnType<C>>
        | AnyIn<ReturnType<C["invalidate"]>>
        | AnyIn<ReturnType<C["expire"]>>
        | AnyIn<ReturnType<C["refresh"]>>
        | AnyIn<ReturnType<C["peek"]>>
        | AnyIn<ReturnType<C["entry"]>>
        | AnyIn<ReturnType<C["explain"]>>
        | AnyIn<C["stats"]>
        | AnyIn<ReturnType<ReturnType<C["set"]>>>
        | AnyIn<C["clear"]>
        | AnyIn<C["expireAll"]>
    : C extends Cached.CachedEffect<any, any, any, any>
      ?
          | AnyIn<C>
          | AnyIn<C["invalidate"]>
          | AnyIn<C["expire"]>
          | AnyIn<C["refresh"]>
          | AnyIn<C["peek"]>
          | AnyIn<C["entry"]>
          | AnyIn<C["explain"]>
          | AnyIn<C["stats"]>
          | AnyIn<ReturnType<C["set"]>>
      : "nothing cached"

type FindUser = Cached.CachedFunction<[id: number], User, DbError, Db | CacheStore, CacheStore>
type AllUsers = Cached.CachedEffect<ReadonlyArray<User>, DbError, Db | CacheStore, CacheStore>

describe("Cached", () => {
  describe("lookups", () => {
    it("effect - becomes a CachedEffect, which also requires the store", () => {
      const cached = Cached.ttl(all, { key: "users", ttl: "1 minute" })
      expectTypeOf(cached).toEqualTypeOf<AllUsers>()
      expectTypeOf(Cached.swr(all, { key: "users", ttl: "1 minute", stale: 10 })).toEqualTypeOf<AllUsers>()
      expectTypeOf<AnyInside<typeof cached>>().toBeNever()
    })

    it("effect - subtypes of Effect are accepted: an Option, a Tag", () => {
      const tag = Cached.ttl(Mail, { key: "mail", ttl: 1 })
      expectTypeOf(tag).toEqualTypeOf<
        Cached.CachedEffect<Context.Tag.Service<Mail>, never, Mail | CacheStore, CacheStore>
      >()
      const some = Cached.ttl({} as Option.Option<number>, { key: "some", ttl: 1 })
      expectTypeOf(some).toEqualTypeOf<
        Cached.CachedEffect<number, Cause.NoSuchElementException, CacheStore, CacheStore>
      >()
    })

    it("effect - one that never succeeds, one that never fails", () => {
      expectTypeOf(Cached.ttl(Effect.never, { key: "never", ttl: 1 })).toEqualTypeOf<
        Cached.CachedEffect<never, never, CacheStore, CacheStore>
      >()
      expectTypeOf(Cached.ttl(Effect.fail(new DbError()), { key: "fails", ttl: 1 })).toEqualTypeOf<
        Cached.CachedEffect<never, DbError, CacheStore, CacheStore>
      >()
    })

    it("function - becomes a CachedFunction that keeps the names of the arguments", () => {
      const cached = Cached.ttl(find, { key: "user:{}", ttl: "1 minute" })
      expectTypeOf(cached).toEqualTypeOf<FindUser>()
      expectTypeOf(Cached.swr(find, { key: "user:{}", ttl: "1 minute", stale: 10 })).toEqualTypeOf<FindUser>()
      expectTypeOf(cached(1)).toEqualTypeOf<Effect.Effect<User, DbError, Db | CacheStore>>()
      expectTypeOf<AnyInside<typeof cached>>().toBeNever()
      // @ts-expect-error a string is not an id
      cached("1")
      // @ts-expect-error an id is missing
      cached()
    })

    it("function - no argument, a record, optional ones, defaults, rest", () => {
      const none = Cached.ttl(() => all, { key: "users", ttl: 1 })
      expectTypeOf(none).toEqualTypeOf<
        Cached.CachedFunction<[], ReadonlyArray<User>, DbError, Db | CacheStore, CacheStore>
      >()
      const record = Cached.ttl(order, { key: "order:{userId}:{orderId}", ttl: 1 })
      expectTypeOf<Parameters<typeof record>>().toEqualTypeOf<
        [of: { readonly userId: string; readonly orderId: number }]
      >()
      const optional = Cached.ttl((id: number, full?: boolean) => find(full ? id : 0), {
        key: (id, full) => `${id}:${full ?? false}`,
        name: "user",
        ttl: 1
      })
      expectTypeOf<Parameters<typeof optional>>().toEqualTypeOf<[id: number, full?: boolean | undefined]>()
      const byDefault = Cached.ttl((id: number, page = 1) => Effect.succeed(id * page), {
        key: (id, page) => `${id}:${page ?? 1}`,
        name: "page",
        ttl: 1
      })
      expectTypeOf<Parameters<typeof byDefault>>().toEqualTypeOf<[id: number, page?: number | undefined]>()
      expectTypeOf(byDefault(1)).toEqualTypeOf<Effect.Effect<number, never, CacheStore>>()
      expectTypeOf<AnyInside<typeof byDefault>>().toBeNever()
      const rest = Cached.ttl((...ids: Array<number>) => Effect.succeed(ids.length), {
        key: (...ids) => ids.join(),
        name: "count",
        ttl: 1
      })
      expectTypeOf(rest).toEqualTypeOf<Cached.CachedFunction<Array<number>, number, never, CacheStore, CacheStore>>()
    })

    it("function - readonly rest arguments are accepted", () => {
      const cached = Cached.ttl((...ids: ReadonlyArray<number>) => Effect.succeed(ids.length), {
        key: (...ids) => ids.join(),
        name: "count",
        ttl: 1
      })
      expectTypeOf(cached(1, 2)).toEqualTypeOf<Effect.Effect<number, never, CacheStore>>()
    })

    it("function - an argument without a type is an error, as everywhere, and not `any`", () => {
      // @ts-expect-error Parameter 'id' implicitly has an 'any' type
      Cached.ttl((id) => Effect.succeed(id), { key: "static", ttl: 1 })
    })

    it("function - the types of its branches are united", () => {
      const cached = Cached.ttl((id: number) => (id > 0 ? find(id) : Effect.fail(new MailError())), {
        key: "user:{}",
        ttl: 1
      })
      expectTypeOf(cached).toEqualTypeOf<
        Cached.CachedFunction<[id: number], User, DbError | MailError, Db | CacheStore, CacheStore>
      >()
    })

    it("Effect.fn - inline, data-first and in pipe", () => {
      const first = Cached.ttl(
        Effect.fn("findUser")(function* (id: number) {
          return yield* find(id)
        }),
        { key: "user:{}", ttl: (user, id) => user.id + id, tags: (user, id) => [user.name, id.toFixed()] }
      )
      expectTypeOf(first).toEqualTypeOf<FindUser>()
      const piped = pipe(
        Effect.fn("findUser")(function* (id: number) {
          return yield* find(id)
        }),
        Cached.ttl({ key: "user:{}", ttl: 1 })
      )
      expectTypeOf(piped).toEqualTypeOf<FindUser>()
      const untraced = Cached.swr(
        Effect.fnUntraced(function* (id: number) {
          return yield* find(id)
        }),
        { key: "user:{}", ttl: 1, stale: 1 }
      )
      expectTypeOf(untraced).toEqualTypeOf<FindUser>()
      expectTypeOf<AnyInside<typeof first> | AnyInside<typeof piped>>().toBeNever()
    })

    it("Effect.fn - inline, a wrong placeholder is still reported", () => {
      Cached.ttl(
        Effect.fn("findUser")(function* (id: number) {
          return yield* find(id)
        }),
        {
          // @ts-expect-error "{name} names a property, but the first argument is not a record"
          key: "user:{name}",
          ttl: 1
        }
      )
      pipe(
        Effect.fn("findUser")(function* (id: number) {
          return yield* find(id)
        }),
        // @ts-expect-error "{name} names a property, but the first argument is not a record"
        Cached.ttl({ key: "user:{name}", ttl: 1 })
      )
    })

    it("data-last - in pipe, the options know the lookup", () => {
      const cached = pipe(
        find,
        Cached.ttl({
          key: "user:{}",
          ttl: (user, id) => {
            expectTypeOf(user).toEqualTypeOf<User>()
            expectTypeOf(id).toEqualTypeOf<number>()
            return 1
          }
        })
      )
      expectTypeOf(cached).toEqualTypeOf<FindUser>()
      const method = all.pipe(
        Cached.swr({
          key: "users",
          stale: 1,
          ttl: 1,
          tags: (users) => {
            expectTypeOf(users).toEqualTypeOf<ReadonlyArray<User>>()
            return []
          }
        })
      )
      expectTypeOf(method).toEqualTypeOf<AllUsers>()
      expectTypeOf<AnyInside<typeof cached> | AnyInside<typeof method>>().toBeNever()
    })

    it("data-last - in pipe, a wrong placeholder is reported", () => {
      // @ts-expect-error "{} (number 2) names no argument of the lookup"
      pipe(find, Cached.ttl({ key: "user:{}:{}", ttl: 1 }))
      // @ts-expect-error "{} (number 1) names no argument of the lookup"
      all.pipe(Cached.swr({ key: "users:{}", ttl: 1, stale: 1 }))
    })

    it("data-last - without a context it can be applied to many lookups, and checks the template then", () => {
      const minute = Cached.ttl({ key: "user:{}", ttl: "1 minute" })
      expectTypeOf(minute(find)).toEqualTypeOf<FindUser>()
      expectTypeOf(pipe(find, minute)).toEqualTypeOf<FindUser>()
      expectTypeOf<AnyInside<ReturnType<typeof minute<typeof find>>>>().toBeNever()
      // @ts-expect-error "{} (number 1) names no argument of the lookup"
      minute(all)
      const elsewhere = Cached.swr({ key: "users", ttl: 1, stale: 1, store: Sessions, onStoreError: "fail" })
      expectTypeOf(elsewhere(all)).toEqualTypeOf<
        Cached.CachedEffect<ReadonlyArray<User>, DbError | CacheStoreError, Db | Sessions, Sessions>
      >()
      const late = Cached.policy({ key: "users" })
      expectTypeOf(late(all)).toEqualTypeOf<
        Cached.CachedEffect<ReadonlyArray<User>, DbError, Db | CacheStore | CachePolicy, CacheStore | CachePolicy>
      >()
    })

    it("per call - the key may name the argument itself", () => {
      const user = (id: number) => find(id).pipe(Cached.ttl({ key: `user:${id}`, name: "user", ttl: 1 }))
      expectTypeOf(user).returns.toEqualTypeOf<Cached.CachedEffect<User, DbError, Db | CacheStore, CacheStore>>()
    })

    it("Effect.fn - a policy among its arguments gets one effect per call, and is refused if the function has arguments", () => {
      const users = Effect.fn("users")(
        function* () {
          return yield* all
        },
        Cached.ttl({ key: "users", ttl: 1 })
      )
      expectTypeOf(users).toEqualTypeOf<() => Effect.Effect<ReadonlyArray<User>, DbError, Db | CacheStore>>()
      Effect.fn("user")(
        // @ts-expect-error every id would have the same key
        function* (id: number) {
          return yield* find(id)
        },
        Cached.ttl({ key: "user", ttl: 1 })
      )
    })

    it("generic wrappers - compile, and keep their type parameters", () => {
      const effect = <A, E, R>(load: Effect.Effect<A, E, R>) => Cached.ttl(load, { key: "generic", ttl: 1 })
      expectTypeOf(effect(all)).toEqualTypeOf<AllUsers>()
      expectTypeOf(effect(rented)).toEqualTypeOf<Cached.CachedEffect<string, DbError, Db | CacheStore, CacheStore>>()
      const byId = <A, E, R>(load: (id: number) => Effect.Effect<A, E, R>) =>
        Cached.swr(load, { key: "generic:{}", ttl: 1, stale: 1 })
      expectTypeOf(byId(find)).toEqualTypeOf<FindUser>()
      const any = <Args extends ReadonlyArray<string>, A, E, R>(load: (...args: Args) => Effect.Effect<A, E, R>) =>
        Cached.ttl(load, { key: (...args) => args.join(), name: "generic", ttl: 1 })
      const applied = any((_a: string, _b: string) => all)
      expectTypeOf(applied("a", "b")).toEqualTypeOf<Effect.Effect<ReadonlyArray<User>, DbError, Db | CacheStore>>()
    })

    it("limits - a generic lookup collapses to its bound, an overloaded one to its last signature", () => {
      const generic = Cached.ttl(<T extends string>(text: T) => Effect.succeed(text), { key: "echo:{}", ttl: 1 })
      expectTypeOf(generic).toEqualTypeOf<
        Cached.CachedFunction<[text: string], string, never, CacheStore, CacheStore>
      >()
      const overloaded = Cached.ttl(
        {} as {
          (a: string): Effect.Effect<string>
          (a: number, b: number): Effect.Effect<number>
        },
        { key: "sum:{}:{}", ttl: 1 }
      )
      expectTypeOf(overloaded).toEqualTypeOf<
        Cached.CachedFunction<[a: number, b: number], number, never, CacheStore, CacheStore>
      >()
    })

    it("limits - a computed template is accepted unchecked, with a name", () => {
      const prefix: string = "user"
      expectTypeOf(Cached.ttl(find, { key: `${prefix}:{}`, name: "user", ttl: 1 })).toEqualTypeOf<FindUser>()
      const options = { key: "user:{}", name: "user", ttl: 1 }
      expectTypeOf(Cached.ttl(find, options)).toEqualTypeOf<FindUser>()
      const constant = { key: "user:{x}", ttl: 1 } as const
      // @ts-expect-error "{x} names a property, but the first argument is not a record"
      Cached.ttl(find, constant)
    })

    it("limits - after an inline Effect.fn in pipe, callbacks of the options must annotate their parameters", () => {
      const piped = pipe(
        Effect.fn("findUser")(function* (id: number) {
          return yield* find(id)
        }),
        Cached.ttl({ key: "user:{}", ttl: (user: User, id: number) => user.id + id })
      )
      expectTypeOf(piped).toEqualTypeOf<FindUser>()
    })

    it("refused - a value that is neither an effect nor a function that returns one", () => {
      // @ts-expect-error a number
      Cached.ttl(1, { key: "n", ttl: 1 })
      // @ts-expect-error a promise
      Cached.ttl(async (id: number) => id, { key: "n:{}", ttl: 1 })
      const generator = function* (id: number) {
        return yield* find(id)
      }
      // @ts-expect-error a generator function, not wrapped by Effect.fn
      Cached.ttl(generator, { key: "n:{}", ttl: 1 })
    })

    it("nesting - a cached function is itself a lookup", () => {
      const inner = Cached.ttl(find, { key: "user:{}", ttl: 1 })
      expectTypeOf(Cached.swr(inner, { key: "outer:{}", ttl: 1, stale: 1, store: Sessions })).toEqualTypeOf<
        Cached.CachedFunction<[id: number], User, DbError, Db | CacheStore | Sessions, Sessions>
      >()
    })
  })

  describe("requirements", () => {
    it("Scope - every load gets its own, so it is no longer required", () => {
      expectTypeOf(Cached.ttl(rented, { key: "rented", ttl: 1 })).toEqualTypeOf<
        Cached.CachedEffect<string, DbError, Db | CacheStore, CacheStore>
      >()
      const scoped = Cached.ttl((_id: number) => rented, { key: "rented:{}", ttl: 1 })
      expectTypeOf(scoped(1)).toEqualTypeOf<Effect.Effect<string, DbError, Db | CacheStore>>()
      expectTypeOf(scoped.refresh(1)).toEqualTypeOf<Effect.Effect<string, DbError, Db | CacheStore>>()
      const last = rented.pipe(Cached.swr({ key: "rented", ttl: 1, stale: 1 }))
      expectTypeOf(last).toEqualTypeOf<Cached.CachedEffect<string, DbError, Db | CacheStore, CacheStore>>()
    })

    it("members - require the store; refresh requires everything", () => {
      const user = Cached.ttl(find, { key: "user:{}", ttl: 1 })
      expectTypeOf(user.key).toEqualTypeOf<(id: number) => string>()
      expectTypeOf(user.invalidate).toEqualTypeOf<(id: number) => Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(user.expire).toEqualTypeOf<(id: number) => Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(user.refresh).toEqualTypeOf<(id: number) => Effect.Effect<User, DbError, Db | CacheStore>>()
      expectTypeOf(user.peek).toEqualTypeOf<(id: number) => Effect.Effect<Option.Option<User>, never, CacheStore>>()
      expectTypeOf(user.explain).toEqualTypeOf<
        (id: number) => Effect.Effect<CacheEvent.Explanation, never, CacheStore>
      >()
      expectTypeOf(user.entry(1)).toEqualTypeOf<Effect.Effect<Option.Option<Entry.View<User>>, never, CacheStore>>()
      expectTypeOf(user.set).toEqualTypeOf<(id: number) => (value: User) => Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(user.clear).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(user.expireAll).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()

      const list = Cached.ttl(all, { key: "users", ttl: 1 })
      expectTypeOf(list.key).toEqualTypeOf<string>()
      expectTypeOf(list.invalidate).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(list.expire).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(list.refresh).toEqualTypeOf<Effect.Effect<ReadonlyArray<User>, DbError, Db | CacheStore>>()
      expectTypeOf(list.peek).toEqualTypeOf<Effect.Effect<Option.Option<ReadonlyArray<User>>, never, CacheStore>>()
      expectTypeOf(user.stats).toEqualTypeOf<Effect.Effect<CacheStats.FunctionStats, never, CacheStore>>()
      expectTypeOf(list.stats).toEqualTypeOf<Effect.Effect<CacheStats.FunctionStats, never, CacheStore>>()
      expectTypeOf(list.explain).toEqualTypeOf<Effect.Effect<CacheEvent.Explanation, never, CacheStore>>()
      expectTypeOf(list.entry).toEqualTypeOf<
        Effect.Effect<Option.Option<Entry.View<ReadonlyArray<User>>>, never, CacheStore>
      >()
      expectTypeOf(list.set(users)).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    })

    it("members - set accepts the type of the value and no other", () => {
      const user = Cached.ttl(find, { key: "user:{}", ttl: 1 })
      user.set(1)(ada)
      // @ts-expect-error not a user
      user.set(1)({ id: 1 })
      // @ts-expect-error not an id
      user.set("1")(ada)
      // @ts-expect-error not a list of users
      Cached.ttl(all, { key: "users", ttl: 1 }).set(ada)
    })

    it("store - the tag of another store replaces CacheStore everywhere", () => {
      const user = Cached.ttl(find, { key: "user:{}", ttl: 1, store: Sessions })
      expectTypeOf(user).toEqualTypeOf<Cached.CachedFunction<[id: number], User, DbError, Db | Sessions, Sessions>>()
      expectTypeOf(user.invalidate(1)).toEqualTypeOf<Effect.Effect<void, never, Sessions>>()
      expectTypeOf(user.clear).toEqualTypeOf<Effect.Effect<void, never, Sessions>>()
      const list = all.pipe(Cached.swr({ key: "users", ttl: 1, stale: 1, store: Sessions }))
      expectTypeOf(list).toEqualTypeOf<Cached.CachedEffect<ReadonlyArray<User>, DbError, Db | Sessions, Sessions>>()
      expectTypeOf(Cached.ttl(all, { key: "users", ttl: 1, store: CacheStore })).toEqualTypeOf<AllUsers>()
      expectTypeOf(Cached.ttl(all, { key: "users", ttl: 1, store: undefined })).toEqualTypeOf<AllUsers>()
      // @ts-expect-error a tag, but not of a store
      Cached.ttl(all, { key: "users", ttl: 1, store: Mail })
    })
  })

  describe("onStoreError", () => {
    it("fail - CacheStoreError in reads and in every member", () => {
      const user = Cached.ttl(find, { key: "user:{}", ttl: 1, onStoreError: "fail" })
      expectTypeOf(user).toEqualTypeOf<
        Cached.CachedFunction<[id: number], User, DbError | CacheStoreError, Db | CacheStore, CacheStore>
      >()
      expectTypeOf(user.refresh(1)).toEqualTypeOf<Effect.Effect<User, DbError | CacheStoreError, Db | CacheStore>>()
      expectTypeOf(user.invalidate(1)).toEqualTypeOf<Effect.Effect<void, CacheStoreError, CacheStore>>()
      expectTypeOf(user.expire(1)).toEqualTypeOf<Effect.Effect<void, CacheStoreError, CacheStore>>()
      expectTypeOf(user.set(1)(ada)).toEqualTypeOf<Effect.Effect<void, CacheStoreError, CacheStore>>()
      expectTypeOf(user.clear).toEqualTypeOf<Effect.Effect<void, CacheStoreError, CacheStore>>()
      expectTypeOf(user.expireAll).toEqualTypeOf<Effect.Effect<void, CacheStoreError, CacheStore>>()
      expectTypeOf(user.peek(1)).toEqualTypeOf<Effect.Effect<Option.Option<User>, CacheStoreError, CacheStore>>()
      expectTypeOf(user.explain(1)).toEqualTypeOf<Effect.Effect<CacheEvent.Explanation, never, CacheStore>>()
      expectTypeOf(user.entry(1)).toEqualTypeOf<
        Effect.Effect<Option.Option<Entry.View<User>>, CacheStoreError, CacheStore>
      >()
      const list = all.pipe(Cached.swr({ key: "users", ttl: 1, stale: 1, onStoreError: "fail" }))
      expectTypeOf(list).toEqualTypeOf<
        Cached.CachedEffect<ReadonlyArray<User>, DbError | CacheStoreError, Db | CacheStore, CacheStore>
      >()
      expectTypeOf(list.invalidate).toEqualTypeOf<Effect.Effect<void, CacheStoreError, CacheStore>>()
      expectTypeOf(list.peek).toEqualTypeOf<
        Effect.Effect<Option.Option<ReadonlyArray<User>>, CacheStoreError, CacheStore>
      >()
      expectTypeOf(list.set(users)).toEqualTypeOf<Effect.Effect<void, CacheStoreError, CacheStore>>()
      expectTypeOf<AnyInside<typeof user> | AnyInside<typeof list>>().toBeNever()
    })

    it("miss - leaves the error channel as it is", () => {
      expectTypeOf(Cached.ttl(find, { key: "user:{}", ttl: 1, onStoreError: "miss" })).toEqualTypeOf<FindUser>()
      expectTypeOf(pipe(find, Cached.ttl({ key: "user:{}", ttl: 1, onStoreError: "miss" }))).toEqualTypeOf<FindUser>()
      const never = Cached.ttl(Effect.succeed(1), { key: "one", ttl: 1 })
      expectTypeOf<Effect.Effect.Error<typeof never>>().toBeNever()
      expectTypeOf(never.invalidate).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    })

    it("a value known at run time only - counts as fail", () => {
      const user = (onStoreError: "miss" | "fail") => Cached.ttl(find, { key: "user:{}", ttl: 1, onStoreError })
      expectTypeOf(user).returns.toEqualTypeOf<
        Cached.CachedFunction<[id: number], User, DbError | CacheStoreError, Db | CacheStore, CacheStore>
      >()
    })

    it("refused - any other text", () => {
      // @ts-expect-error "ignore" is neither "miss" nor "fail"
      Cached.ttl(find, { key: "user:{}", ttl: 1, onStoreError: "ignore" })
    })
  })

  describe("annotations", () => {
    it("four parameters - the store of the members is found among the requirements", () => {
      const first: Cached.CachedFunction<[number], User, DbError, Db | CacheStore> = Cached.ttl(find, {
        key: "user:{}",
        ttl: 1
      })
      const last: Cached.CachedFunction<[number], User, DbError, Db | CacheStore> = pipe(
        find,
        Cached.ttl({ key: "user:{}", ttl: 1 })
      )
      const effect: Cached.CachedEffect<ReadonlyArray<User>, DbError, Db | CacheStore> = Cached.swr(all, {
        key: "users",
        ttl: 1,
        stale: 1
      })
      const other: Cached.CachedEffect<ReadonlyArray<User>, DbError, Db | Sessions> = all.pipe(
        Cached.ttl({ key: "users", ttl: 1, store: Sessions })
      )
      const fails: Cached.CachedFunction<[number], User, DbError | CacheStoreError, Db | CacheStore> = Cached.ttl(
        find,
        {
          key: "user:{}",
          ttl: 1,
          onStoreError: "fail"
        }
      )
      expectTypeOf(first.invalidate(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(last.invalidate(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(effect.invalidate).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(other.invalidate).toEqualTypeOf<Effect.Effect<void, never, Sessions>>()
      expectTypeOf(fails.invalidate(1)).toEqualTypeOf<Effect.Effect<void, CacheStoreError, CacheStore>>()
    })

    it("four parameters - for policy as well", () => {
      const user: Cached.CachedFunction<[number], User, DbError, Db | CacheStore | CachePolicy> = Cached.policy(find, {
        key: "user:{}"
      })
      const list: Cached.CachedEffect<ReadonlyArray<User>, DbError, Db | Sessions | CachePolicy> = all.pipe(
        Cached.policy({ key: "users", store: Sessions })
      )
      expectTypeOf(user.invalidate(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore | CachePolicy>>()
      expectTypeOf(list.invalidate).toEqualTypeOf<Effect.Effect<void, never, Sessions | CachePolicy>>()
    })

    it("wider - an additional error, store or service is accepted", () => {
      const wide: Cached.CachedFunction<[number], User, DbError | MailError, Db | Mail | CacheStore | Sessions> =
        Cached.ttl(find, { key: "user:{}", ttl: 1 })
      expectTypeOf(wide.invalidate(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore | Sessions>>()
      const effect: Cached.CachedEffect<ReadonlyArray<User>, DbError | MailError, Db | CacheStore | Mail> = all.pipe(
        Cached.ttl({ key: "users", ttl: 1 })
      )
      expectTypeOf(effect.invalidate).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    })

    it("narrower - the store cannot be left out", () => {
      // @ts-expect-error CacheStore is required
      const user: Cached.CachedFunction<[number], User, DbError, Db> = Cached.ttl(find, { key: "user:{}", ttl: 1 })
      // @ts-expect-error Sessions is required, not CacheStore
      const list: Cached.CachedEffect<ReadonlyArray<User>, DbError, Db | CacheStore> = Cached.ttl(all, {
        key: "users",
        ttl: 1,
        store: Sessions
      })
      // @ts-expect-error a function that may fail is not one that cannot
      const fails: FindUser = Cached.ttl(find, { key: "user:{}", ttl: 1, onStoreError: "fail" })
      expectTypeOf([user, list, fails]).toBeArray()
    })

    it("plain types - it is also an Effect, or a function", () => {
      const effect: Effect.Effect<ReadonlyArray<User>, DbError, Db | CacheStore> = Cached.ttl(all, {
        key: "users",
        ttl: 1
      })
      const user: (id: number) => Effect.Effect<{ readonly id: number }, unknown, Db | CacheStore> = Cached.ttl(find, {
        key: "user:{}",
        ttl: 1
      })
      expectTypeOf([effect, user]).toBeArray()
    })
  })

  describe("variance", () => {
    type Named = { readonly name: string }

    it("value - invariant because of set; the effect itself may widen", () => {
      expectTypeOf<Cached.CachedEffect<User>>().not.toExtend<Cached.CachedEffect<Named>>()
      expectTypeOf<Cached.CachedEffect<Named>>().not.toExtend<Cached.CachedEffect<User>>()
      expectTypeOf<Cached.CachedEffect<User>>().toExtend<Effect.Effect<Named>>()
      expectTypeOf<Cached.CachedFunction<[number], User>>().not.toExtend<Cached.CachedFunction<[number], Named>>()
      expectTypeOf<Cached.CachedFunction<[number], Named>>().not.toExtend<Cached.CachedFunction<[number], User>>()
      expectTypeOf<Cached.CachedFunction<[number], User>>().toExtend<(id: 1) => Effect.Effect<Named>>()
    })

    it("error, requirement and store - covariant", () => {
      expectTypeOf<Cached.CachedEffect<User, DbError>>().toExtend<Cached.CachedEffect<User, DbError | MailError>>()
      expectTypeOf<Cached.CachedEffect<User, DbError>>().not.toExtend<Cached.CachedEffect<User>>()
      expectTypeOf<Cached.CachedEffect<User, never, Db>>().toExtend<Cached.CachedEffect<User, never, Db | Mail>>()
      expectTypeOf<Cached.CachedEffect<User, never, Db>>().not.toExtend<Cached.CachedEffect<User>>()
      expectTypeOf<Cached.CachedEffect<User>>().toExtend<Cached.CachedEffect<User, never, CacheStore>>()
      expectTypeOf<Cached.CachedEffect<User, never, CacheStore, CacheStore>>().not.toExtend<
        Cached.CachedEffect<User, never, CacheStore, never>
      >()
      expectTypeOf<Cached.CachedFunction<[number], User>>().toExtend<
        Cached.CachedFunction<[number], User, DbError, Db | CacheStore>
      >()
    })

    it("arguments - invariant", () => {
      expectTypeOf<Cached.CachedFunction<[1 | 2], User>>().not.toExtend<Cached.CachedFunction<[1], User>>()
      expectTypeOf<Cached.CachedFunction<[1], User>>().not.toExtend<Cached.CachedFunction<[1 | 2], User>>()
    })
  })

  describe("options", () => {
    it("key - the parameters of a key function are inferred; an annotated one may take fewer", () => {
      const user = Cached.ttl(find, {
        key: (id) => {
          expectTypeOf(id).toEqualTypeOf<number>()
          return id.toFixed()
        },
        name: "user",
        ttl: 1
      })
      expectTypeOf(user).toEqualTypeOf<FindUser>()
      const last = pipe(
        order,
        Cached.swr({
          key: (of) => {
            expectTypeOf(of).toEqualTypeOf<{ readonly userId: string; readonly orderId: number }>()
            return of.userId
          },
          name: "order",
          ttl: 1,
          stale: 1
        })
      )
      expectTypeOf<AnyInside<typeof last>>().toBeNever()
      Cached.ttl(find, { key: () => "all", name: "user", ttl: 1 })
      // @ts-expect-error the lookup's argument is a number
      Cached.ttl(find, { key: (id: string) => id, name: "user", ttl: 1 })
      // @ts-expect-error a key is a string
      Cached.ttl(find, { key: (id: number) => id, name: "user", ttl: 1 })
    })

    it("key - beside a key function `name` is required", () => {
      Cached.ttl(find, { key: "user:{}", ttl: 1, name: "user" })
      // @ts-expect-error Property 'name' is missing
      Cached.ttl(find, { key: (id: number) => `${id}`, ttl: 1 })
      // @ts-expect-error Property 'name' is missing
      Cached.swr(find, { key: (id: number) => `${id}`, ttl: 1, stale: 1 })
      // @ts-expect-error Property 'name' is missing
      Cached.policy(find, { key: (id: number) => `${id}` })
      // @ts-expect-error Property 'name' is missing
      pipe(find, Cached.ttl({ key: (id: number) => `${id}`, ttl: 1 }))
      // @ts-expect-error undefined is not a name
      Cached.ttl(find, { key: (id: number) => `${id}`, ttl: 1, name: undefined })
      // @ts-expect-error a key is required
      Cached.ttl(find, { ttl: 1 })
    })

    it("key - every wrong placeholder is an error on `key`", () => {
      Cached.ttl(all, {
        // @ts-expect-error "{} (number 1) names no argument of the lookup"
        key: "users:{}",
        ttl: 1
      })
      Cached.ttl(find, {
        // @ts-expect-error "{1} names no argument of the lookup"
        key: "user:{0}:{1}",
        ttl: 1
      })
      Cached.ttl(order, {
        // @ts-expect-error "{userID} names no property of the first argument"
        key: "order:{userID}",
        ttl: 1
      })
      Cached.ttl(order, {
        // @ts-expect-error "{} (number 1) is not a string, number, bigint or boolean: use a key function, or Key.hash"
        key: "order:{}",
        ttl: 1
      })
      Cached.swr((_id?: number) => all, {
        // @ts-expect-error "{} (number 1) names an argument that may be absent: use a key function"
        key: "users:{}",
        ttl: 1,
        stale: 1
      })
      Cached.swr((_id: number, _page = 1) => all, {
        // @ts-expect-error "{1} names an argument that may be absent: use a key function"
        key: "users:{0}:{1}",
        ttl: 1,
        stale: 1
      })
      Cached.swr((_id: number | undefined) => all, {
        // @ts-expect-error "{} (number 1) may be undefined: use a key function that says what that means"
        key: "users:{}",
        ttl: 1,
        stale: 1
      })
      Cached.policy((_id: string | number) => all, {
        // @ts-expect-error "{} (number 1) mixes types, so 1 and "1" would share a key: use a key function"
        key: "users:{}"
      })
      Cached.policy((_a: string, _b: string) => all, {
        // @ts-expect-error "{} (number 1) and {} are adjacent: put a text such as ":" between them"
        key: "users:{}{}"
      })
      Cached.policy((_a: any) => all, {
        // @ts-expect-error "{} (number 1) is any: give it a type"
        key: "users:{}"
      })
    })

    it("ttl - a duration, or a function of the value and the arguments, which are inferred", () => {
      Cached.ttl(find, { key: "user:{}", ttl: "1 minute" })
      Cached.ttl(find, { key: "user:{}", ttl: 60_000 })
      Cached.ttl((_id: number, _name: string) => Effect.succeed(ada), {
        key: "user:{}:{}",
        ttl: (value, ...args) => {
          expectTypeOf(value).toEqualTypeOf<User>()
          expectTypeOf(args).toEqualTypeOf<[_id: number, _name: string]>()
          return "1 minute"
        }
      })
      Cached.swr((_id: number) => Effect.succeed(ada), {
        key: "user:{}",
        ttl: (value, id) => value.id + id,
        stale: "1 minute"
      })
      Cached.ttl(all, {
        key: "users",
        ttl: (value, ...args) => {
          expectTypeOf(value).toEqualTypeOf<ReadonlyArray<User>>()
          expectTypeOf(args).toEqualTypeOf<[]>()
          return 1
        }
      })
      // @ts-expect-error not a duration
      Cached.ttl(find, { key: "user:{}", ttl: "soon" })
      // @ts-expect-error not a duration
      Cached.ttl(find, { key: "user:{}", ttl: () => "soon" })
      // @ts-expect-error ttl is required
      Cached.ttl(find, { key: "user:{}" })
    })

    it("tags - a list, or a function of the value and the arguments, which are inferred", () => {
      const cached = Cached.swr((_id: number) => Effect.succeed(ada), {
        key: "user:{}",
        ttl: 1,
        stale: 1,
        tags: (value, ...args) => {
          expectTypeOf(value).toEqualTypeOf<User>()
          expectTypeOf(args).toEqualTypeOf<[_id: number]>()
          return [value.name]
        }
      })
      expectTypeOf(cached).toEqualTypeOf<Cached.CachedFunction<[_id: number], User, never, CacheStore, CacheStore>>()
      Cached.ttl(all, { key: "users", ttl: 1, tags: ["users"] as const })
      Cached.policy(find, { key: "user:{}", tags: (value, id) => [value.name, id.toFixed()] })
      // @ts-expect-error a tag is a string
      Cached.ttl(all, { key: "users", ttl: 1, tags: [1] })
      // @ts-expect-error tags are a list
      Cached.ttl(all, { key: "users", ttl: 1, tags: "users" })
    })

    it("callbacks - all of them together do not change the result", () => {
      const user = Cached.ttl(find, {
        key: (id) => id.toFixed(),
        name: "user",
        ttl: (value, id) => value.id + id,
        tags: (value, id) => [value.name, id.toFixed()]
      })
      expectTypeOf(user).toEqualTypeOf<FindUser>()
      expectTypeOf<AnyInside<typeof user>>().toBeNever()
    })

    it("schema - has the type of the value and requires no service", () => {
      class Point extends Schema.Class<Point>("Point")({ x: Schema.Number, at: Schema.Date }) {}
      const point = (x: number) => Effect.succeed(new Point({ x, at: new Date() }))
      expectTypeOf(Cached.ttl(point, { key: "point:{}", ttl: 1, schema: Point })).toEqualTypeOf<
        Cached.CachedFunction<[x: number], Point, never, CacheStore, CacheStore>
      >()
      expectTypeOf(pipe(point, Cached.ttl({ key: "point:{}", ttl: 1, schema: Point }))).toEqualTypeOf<
        Cached.CachedFunction<[x: number], Point, never, CacheStore, CacheStore>
      >()
      Cached.ttl(find, { key: "user:{}", ttl: 1, schema: Schema.Struct({ id: Schema.Number, name: Schema.String }) })
      Cached.policy(find, { key: "user:{}", schema: Schema.Struct({ id: Schema.Number, name: Schema.String }) })
      // @ts-expect-error the value is a User
      Cached.ttl(find, { key: "user:{}", ttl: 1, schema: Schema.String })
      // @ts-expect-error the value has a name
      Cached.swr(find, { key: "user:{}", ttl: 1, stale: 1, schema: Schema.Struct({ id: Schema.Number }) })
      // @ts-expect-error the value is a User
      all.pipe(Cached.policy({ key: "users", schema: Schema.String }))
      // @ts-expect-error a schema that needs a service
      Cached.ttl(find, { key: "user:{}", ttl: 1, schema: {} as Schema.Schema<User, User, Mail> })
    })

    it("version, flightTimeout - are a text or a number, and a duration", () => {
      Cached.ttl(find, { key: "user:{}", ttl: 1, version: 2, flightTimeout: "1 second" })
      Cached.ttl(find, { key: "user:{}", ttl: 1, version: "b", flightTimeout: undefined })
      // @ts-expect-error neither a text nor a number
      Cached.ttl(find, { key: "user:{}", ttl: 1, version: true })
      // @ts-expect-error not a duration
      Cached.ttl(find, { key: "user:{}", ttl: 1, flightTimeout: "late" })
    })

    it("stale - required by swr, refused elsewhere", () => {
      // @ts-expect-error Property 'stale' is missing
      Cached.swr(find, { key: "user:{}", ttl: 1 })
      // @ts-expect-error Property 'stale' is missing
      all.pipe(Cached.swr({ key: "users", ttl: 1 }))
      // @ts-expect-error 'stale' does not exist in ttl
      Cached.ttl(find, { key: "user:{}", ttl: 1, stale: 1 })
      // @ts-expect-error 'stale' comes from the Layer
      Cached.policy(find, { key: "user:{}", stale: 1 })
    })

    it("unknown options - are refused", () => {
      // @ts-expect-error 'tll' does not exist
      Cached.ttl(find, { key: "user:{}", ttl: 1, tll: 1 })
      // @ts-expect-error 'capacity' does not exist
      Cached.swr(find, { key: "user:{}", ttl: 1, stale: 1, capacity: 1 })
      // @ts-expect-error 'tll' does not exist
      all.pipe(Cached.ttl({ key: "users", ttl: 1, tll: 1 }))
      // @ts-expect-error 'every' does not exist
      Cached.bg(all, { key: "users", interval: 1, every: 1 })
    })
  })

  describe("policy", () => {
    it("requirement - reads and members require the CachePolicy", () => {
      const user = Cached.policy(find, { key: "user:{}" })
      type S = CacheStore | CachePolicy
      expectTypeOf(user).toEqualTypeOf<Cached.CachedFunction<[id: number], User, DbError, Db | S, S>>()
      expectTypeOf(pipe(find, Cached.policy({ key: "user:{}" }))).toEqualTypeOf<typeof user>()
      expectTypeOf(user.set(1)(ada)).toEqualTypeOf<Effect.Effect<void, never, S>>()
      expectTypeOf(Cached.policy(rented, { key: "rented", store: Sessions, onStoreError: "fail" })).toEqualTypeOf<
        Cached.CachedEffect<string, DbError | CacheStoreError, Db | Sessions | CachePolicy, Sessions | CachePolicy>
      >()
      expectTypeOf<AnyInside<typeof user>>().toBeNever()
    })

    it("lifetimes - cannot be given as options", () => {
      // @ts-expect-error 'ttl' comes from the Layer
      Cached.policy(find, { key: "user:{}", ttl: 1 })
      // @ts-expect-error 'flightTimeout' comes from the Layer
      Cached.policy(find, { key: "user:{}", flightTimeout: 1 })
    })
  })

  describe("bg", () => {
    type Reader = Cached.CachedEffect<ReadonlyArray<User>, DbError>

    it("interval - the reader requires nothing; its start requires a Scope, the store and the services of the loader", () => {
      const start = Cached.bg(all, { key: "users", interval: "1 minute" })
      expectTypeOf(start).toEqualTypeOf<
        Effect.Effect<
          Cached.CachedEffect<ReadonlyArray<User>, DbError, never, never>,
          DuplicateLoader,
          Db | CacheStore | Scope.Scope
        >
      >()
      expectTypeOf<Effect.Effect.Success<typeof start>>().toEqualTypeOf<Reader>()
      expectTypeOf<AnyIn<typeof start> | AnyInside<Reader>>().toBeNever()
      const reader = {} as Effect.Effect.Success<typeof start>
      expectTypeOf(reader.invalidate).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(reader.refresh).toEqualTypeOf<Effect.Effect<ReadonlyArray<User>, DbError>>()
      expectTypeOf(reader.peek).toEqualTypeOf<Effect.Effect<Option.Option<ReadonlyArray<User>>>>()
      expectTypeOf(reader.entry).toEqualTypeOf<Effect.Effect<Option.Option<Entry.View<ReadonlyArray<User>>>>>()
      expectTypeOf(reader.set(users)).toEqualTypeOf<Effect.Effect<void>>()
    })

    it("store, onStoreError - as for other policies; one Scope only", () => {
      expectTypeOf(
        Cached.bg(rented, { key: "rented", interval: 1, store: Sessions, onStoreError: "fail" })
      ).toEqualTypeOf<
        Effect.Effect<
          Cached.CachedEffect<string, DbError | CacheStoreError>,
          DuplicateLoader,
          Db | Sessions | Scope.Scope
        >
      >()
    })

    it("schedule - requires a ttl and its own services", () => {
      const start = Cached.bg(all, { key: "users", schedule: Schedule.spaced("1 minute"), ttl: "2 minutes" })
      expectTypeOf(start).toEqualTypeOf<Effect.Effect<Reader, DuplicateLoader, Db | CacheStore | Scope.Scope>>()
      const needs = {} as Schedule.Schedule<number, unknown, Mail>
      expectTypeOf(Cached.bg(all, { key: "users", schedule: needs, ttl: 1 })).toEqualTypeOf<
        Effect.Effect<Reader, DuplicateLoader, Db | Mail | CacheStore | Scope.Scope>
      >()
    })

    it("schedule - receives the Exit of the last run", () => {
      const onExit = {} as Schedule.Schedule<number, Exit.Exit<unknown, unknown>>
      expectTypeOf(Cached.bg(all, { key: "users", schedule: onExit, ttl: 1 })).toEqualTypeOf<
        Effect.Effect<Reader, DuplicateLoader, Db | CacheStore | Scope.Scope>
      >()
      // @ts-expect-error a run does not end with a number
      Cached.bg(all, { key: "users", schedule: {} as Schedule.Schedule<number, number>, ttl: 1 })
    })

    it("interval or schedule - exactly one, and a schedule with a ttl", () => {
      Cached.bg(all, { key: "users", interval: 1, ttl: "1 hour" })
      // @ts-expect-error neither
      Cached.bg(all, { key: "users" })
      // @ts-expect-error neither
      Cached.bg(all, { key: "users", ttl: 1 })
      // @ts-expect-error both
      Cached.bg(all, { key: "users", interval: 1, schedule: Schedule.spaced(1), ttl: 1 })
      // @ts-expect-error a schedule gives no ttl
      Cached.bg(all, { key: "users", schedule: Schedule.spaced(1) })
    })

    it("onError - receives the cause of the loader; its services are required at the start; its failures go nowhere", () => {
      const start = Cached.bg(all, {
        key: "users",
        interval: 1,
        onError: (cause) => {
          expectTypeOf(cause).toEqualTypeOf<Cause.Cause<DbError>>()
          return Effect.flatMap(Mail, (mail) => Effect.zipRight(mail.send("down"), Effect.fail(new MailError())))
        }
      })
      expectTypeOf(start).toEqualTypeOf<Effect.Effect<Reader, DuplicateLoader, Db | Mail | CacheStore | Scope.Scope>>()
      expectTypeOf<AnyIn<typeof start>>().toBeNever()
    })

    it("key - a text without placeholders", () => {
      Cached.bg(all, {
        // @ts-expect-error "{} (number 1) names no argument of the lookup"
        key: "users:{}",
        interval: 1
      })
      // @ts-expect-error not a key function
      Cached.bg(all, { key: () => "users", interval: 1, name: "users" })
    })

    it("a function - gives a cached function that requires nothing, and does not fail with DuplicateLoader", () => {
      const start = Cached.bg(find, { key: "user:{}", interval: "1 minute" })
      expectTypeOf(start).toEqualTypeOf<
        Effect.Effect<Cached.CachedFunction<[id: number], User, DbError>, never, Db | CacheStore | Scope.Scope>
      >()
      expectTypeOf<AnyIn<typeof start> | AnyInside<Effect.Effect.Success<typeof start>>>().toBeNever()
      const reader = {} as Effect.Effect.Success<typeof start>
      expectTypeOf(reader(1)).toEqualTypeOf<Effect.Effect<User, DbError>>()
      expectTypeOf(reader.refresh(1)).toEqualTypeOf<Effect.Effect<User, DbError>>()
      expectTypeOf(reader.expire(1)).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(reader.clear).toEqualTypeOf<Effect.Effect<void>>()
      const inline = Cached.bg(
        Effect.fn("flags")(function* (tenant: string, region: string) {
          return yield* Effect.succeed(`${tenant}${region}`)
        }),
        { key: "f:{}:{}", interval: 1, store: Sessions, onStoreError: "fail" }
      )
      expectTypeOf(inline).toEqualTypeOf<
        Effect.Effect<
          Cached.CachedFunction<[tenant: string, region: string], string, CacheStoreError>,
          never,
          Sessions | Scope.Scope
        >
      >()
    })

    it("a function - its callbacks get the arguments, and its key is checked as in every policy", () => {
      const start = Cached.bg(find, {
        key: (id) => `user:${id.toFixed()}`,
        name: "user",
        interval: 1,
        idleTimeToLive: "1 hour",
        maxDaemons: 10,
        tags: (user, id) => {
          expectTypeOf(user).toEqualTypeOf<User>()
          expectTypeOf(id).toEqualTypeOf<number>()
          return []
        },
        onError: (cause, id) => {
          expectTypeOf(cause).toEqualTypeOf<Cause.Cause<DbError>>()
          expectTypeOf(id).toEqualTypeOf<number>()
          return Effect.flatMap(Mail, (mail) => mail.send(`${id}`))
        }
      })
      expectTypeOf(start).toEqualTypeOf<
        Effect.Effect<Cached.CachedFunction<[id: number], User, DbError>, never, Db | Mail | CacheStore | Scope.Scope>
      >()
      Cached.bg(find, { key: "user", ignore: [0], interval: 1 })
      // @ts-expect-error neither interval nor schedule
      Cached.bg(find, { key: "user:{}" })
      // @ts-expect-error not a duration
      Cached.bg(find, { key: "user:{}", interval: 1, idleTimeToLive: "soon" })
      // @ts-expect-error an effect has one daemon
      Cached.bg(all, { key: "users", interval: 1, maxDaemons: 10 })
      // @ts-expect-error an effect has one daemon, which does not end before its scope
      Cached.bg(all, { key: "users", interval: 1, idleTimeToLive: "1 hour" })
    })

    it("options - tags, schema and ttl match the value", () => {
      Cached.bg(all, { key: "users", interval: 1, tags: (value) => value.map((user) => user.name), name: "users" })
      // @ts-expect-error the value is a list of users
      Cached.bg(all, { key: "users", interval: 1, schema: Schema.String })
      // @ts-expect-error the key leaves out the argument
      Cached.bg(find, { key: "users", interval: 1 })
      // @ts-expect-error an option of swr
      Cached.bg(all, { key: "users", interval: 1, stale: 1 })
    })
  })

  describe("capture", () => {
    it("effect - requires nothing", () => {
      const captured = Cached.capture(Cached.ttl(all, { key: "users", ttl: 1 }))
      expectTypeOf(captured).toEqualTypeOf<
        Effect.Effect<Cached.CachedEffect<ReadonlyArray<User>, DbError>, never, Db | CacheStore>
      >()
      expectTypeOf<AnyIn<typeof captured> | AnyInside<Effect.Effect.Success<typeof captured>>>().toBeNever()
    })

    it("function - requires nothing, and keeps its arguments", () => {
      const captured = Cached.capture(Cached.policy(find, { key: "user:{}", store: Sessions, onStoreError: "fail" }))
      expectTypeOf(captured).toEqualTypeOf<
        Effect.Effect<
          Cached.CachedFunction<[id: number], User, DbError | CacheStoreError>,
          never,
          Db | Sessions | CachePolicy
        >
      >()
      expectTypeOf<AnyIn<typeof captured> | AnyInside<Effect.Effect.Success<typeof captured>>>().toBeNever()
    })

    it("pipe - works there, and for a function that requires nothing already", () => {
      expectTypeOf(Cached.ttl(all, { key: "users", ttl: 1 }).pipe(Cached.capture)).toEqualTypeOf<
        Effect.Effect<Cached.CachedEffect<ReadonlyArray<User>, DbError>, never, Db | CacheStore>
      >()
      expectTypeOf(Cached.capture({} as Cached.CachedEffect<User>)).toEqualTypeOf<
        Effect.Effect<Cached.CachedEffect<User>>
      >()
    })

    it("unsafePeek - only of what carries its store", () => {
      const user = Cached.ttl(find, { key: "user:{}", ttl: 1 })
      const captured = {} as Effect.Effect.Success<ReturnType<typeof Cached.capture<typeof user>>>
      expectTypeOf(captured.unsafePeek).toEqualTypeOf<(id: number) => Option.Option<User>>()
      // @ts-expect-error another argument
      captured.unsafePeek("1")
      // @ts-expect-error the store is in the context of the reader
      user.unsafePeek(1)
      // @ts-expect-error a store of another tag is, too
      Cached.ttl(all, { key: "users", ttl: 1, store: Sessions }).unsafePeek()
      const bg = {} as Effect.Effect.Success<ReturnType<typeof start>>
      expectTypeOf(bg.unsafePeek).toEqualTypeOf<() => Option.Option<ReadonlyArray<User>>>()
      const wide: Cached.CachedFunction<[id: number], User, DbError, CacheStore> = captured
      // @ts-expect-error it may have no store
      wide.unsafePeek(1)
    })
    const start = () => Cached.bg(all, { key: "users", interval: 1 })

    it("refused - a plain effect or function", () => {
      // @ts-expect-error a plain effect
      Cached.capture(all)
      // @ts-expect-error a plain function
      Cached.capture(find)
    })
  })

  describe("bypass, reload", () => {
    it("types - do not change", () => {
      const user = Cached.ttl(find, { key: "user:{}", ttl: 1 })
      expectTypeOf(Cached.bypass(user(1))).toEqualTypeOf<Effect.Effect<User, DbError, Db | CacheStore>>()
      expectTypeOf(user(1).pipe(Cached.reload)).toEqualTypeOf<Effect.Effect<User, DbError, Db | CacheStore>>()
      expectTypeOf(Cached.ttl(all, { key: "users", ttl: 1 }).pipe(Cached.bypass)).toEqualTypeOf<
        Effect.Effect<ReadonlyArray<User>, DbError, Db | CacheStore>
      >()
    })
  })

  describe("warm", () => {
    const user = Cached.ttl(find, { key: "user:{}", ttl: 1 })
    const text = Cached.ttl(Effect.fail(new MailError()) as Effect.Effect<string, MailError, Mail>, {
      key: "text",
      ttl: 1,
      store: Sessions
    })

    it("errors and requirements - are united", () => {
      const warmed = Cached.warm([user(1), text, all])
      expectTypeOf(warmed).toEqualTypeOf<Effect.Effect<void, DbError | MailError, Db | Mail | CacheStore | Sessions>>()
      expectTypeOf<AnyIn<typeof warmed>>().toBeNever()
      expectTypeOf(Cached.warm([user(1), text] as const)).toEqualTypeOf<
        Effect.Effect<void, DbError | MailError, Db | Mail | CacheStore | Sessions>
      >()
    })

    it("effects - any iterable, and an empty one", () => {
      expectTypeOf(
        Cached.warm(
          [1, 2].map((id) => user(id)),
          { concurrency: 4 }
        )
      ).toEqualTypeOf<Effect.Effect<void, DbError, Db | CacheStore>>()
      expectTypeOf(Cached.warm(new Set([user(1)]))).toEqualTypeOf<Effect.Effect<void, DbError, Db | CacheStore>>()
      expectTypeOf(Cached.warm([])).toEqualTypeOf<Effect.Effect<void>>()
    })

    it("refused - a function that has not been called", () => {
      // @ts-expect-error a function
      Cached.warm([user])
    })
  })

  describe("expireTags", () => {
    it("requires the store, and takes another one", () => {
      expectTypeOf(Cached.expireTags(["users"])).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(Cached.expireTags(new Set(["users"]), { store: Sessions })).toEqualTypeOf<
        Effect.Effect<void, never, Sessions>
      >()
      // @ts-expect-error a tag, but not of a store
      Cached.expireTags(["users"], { store: Mail })
    })
  })

  describe("invalidateTags", () => {
    it("store - the default or another", () => {
      expectTypeOf(Cached.invalidateTags(["users"])).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
      expectTypeOf(Cached.invalidateTags(new Set(["users"]), {})).toEqualTypeOf<
        Effect.Effect<void, never, CacheStore>
      >()
      expectTypeOf(Cached.invalidateTags(["users"], { store: Sessions })).toEqualTypeOf<
        Effect.Effect<void, never, Sessions>
      >()
      // @ts-expect-error a tag, but not of a store
      Cached.invalidateTags(["users"], { store: Mail })
    })
  })
})

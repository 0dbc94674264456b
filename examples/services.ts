/**
 * A cache inside services: methods that do not show it, a second store beside the first, lifetimes from one place.
 *
 *     npx tsx examples/services.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect, Layer, Option } from "effect"
import { Cached, CachePolicy, CacheStore, MemoryCache, MemoryCacheLive } from "effect-cached"

interface User {
  readonly id: number
  readonly name: string
}

class UserNotFound extends Data.TaggedError("UserNotFound")<{ readonly id: number }> {
  override get message(): string {
    return `there is no user ${this.id}`
  }
}

/** Stands for a database: slow, and it prints its queries. */
class Database extends Effect.Service<Database>()("Database", {
  sync: () => {
    const users = new Map([
      [1, "Ada"],
      [2, "Grace"]
    ])
    return {
      findUser: (id: number) =>
        Effect.gen(function* () {
          yield* Console.log(`  database: SELECT … WHERE id = ${id}`)
          yield* Effect.sleep("50 millis")
          const name = users.get(id)
          if (name === undefined) return yield* new UserNotFound({ id })
          const user: User = { id, name }
          return user
        }),
      rename: (id: number, name: string) => Effect.sync(() => void users.set(id, name))
    }
  }
}) {}

// `Cached.capture` takes the store, the policy and the database from this context, once. `find` is then a CachedFunction
// that requires nothing, and users of UserRepo need not know that there is a cache.
class UserRepo extends Effect.Service<UserRepo>()("UserRepo", {
  effect: Effect.gen(function* () {
    const database = yield* Database
    const find = yield* Cached.capture(Cached.policy((id: number) => database.findUser(id), { key: "user:{}" }))
    return {
      find,
      rename: (id: number, name: string) => Effect.zipRight(database.rename(id, name), find.invalidate(id))
    }
  }),
  dependencies: [Database.Default]
}) {}

// A second store with its own tag: many users must not evict sessions.
class SessionStore extends CacheStore.Tag("SessionStore")<SessionStore>() {}

class Sessions extends Effect.Service<Sessions>()("Sessions", {
  effect: Effect.gen(function* () {
    const store = yield* SessionStore
    return {
      open: (token: string, userId: number) => store.set(`session:${token}`, userId, { ttl: "20 minutes" }),
      userOf: (token: string) => store.get<number>(`session:${token}`),
      close: (token: string) => store.remove(`session:${token}`)
    }
  })
}) {}

const program = Effect.gen(function* () {
  const users = yield* UserRepo
  const sessions = yield* Sessions

  yield* Console.log("100 concurrent requests for user 1: one query")
  yield* Effect.all(Effect.replicate(users.find(1), 100), { concurrency: "unbounded", discard: true })

  yield* Console.log("\nUser 1 once more: no query")
  yield* Console.log(`  ${(yield* users.find(1)).name}`)

  yield* Console.log("\nRenaming invalidates the user: one query, and the new name")
  yield* users.rename(1, "Ada Lovelace")
  yield* Console.log(`  ${(yield* users.find(1)).name}`)

  yield* Console.log("\nA failure is not stored: two reads, two queries")
  for (const _ of [1, 2])
    yield* users.find(3).pipe(Effect.catchTag("UserNotFound", (e) => Console.log(`  ${e.message}`)))

  yield* Console.log("\nA session, in the second store")
  yield* sessions.open("t-1", 2)
  const who = Effect.flatMap(
    sessions.userOf("t-1"),
    Option.match({
      onNone: () => Effect.succeed("nobody"),
      onSome: (id) => Effect.map(users.find(id), (user) => user.name)
    })
  )
  yield* Console.log(`  open:   ${yield* who}`)
  yield* sessions.close("t-1")
  yield* Console.log(`  closed: ${yield* who}`)

  const { caches, coalesced, hits, loads } = yield* (yield* CacheStore).stats
  yield* Console.log(
    `\nThe caches of the first store: ${Object.keys(caches).join(", ")}. Loads: ${loads}, hits: ${hits}, reads that joined a load: ${coalesced}`
  )
})

// The lifetime of users is set here, not where they are read. A function is named by its key template.
const Lifetimes = CachePolicy.layer({
  ttl: "1 minute",
  functions: { "user:{}": { ttl: "10 minutes", stale: "1 hour" } }
})

const Stores = Layer.mergeAll(
  MemoryCacheLive,
  Layer.scoped(SessionStore, MemoryCache.make({ capacity: 1_000, name: "sessions" }))
)

// The stores are provided once, below everything: a Layer that is built twice is two stores.
const Live = Layer.mergeAll(UserRepo.Default, Sessions.Default).pipe(Layer.provideMerge(Layer.merge(Stores, Lifetimes)))

program.pipe(Effect.provide(Live), NodeRuntime.runMain)

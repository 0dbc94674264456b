/**
 * Transactions of a real SQLite file: rows that were rolled back are never served, and committed ones are at once.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Deferred, Effect, Fiber, Layer, Option } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"

/** The native client, loaded by name: the tests compile where it could not be built. */
interface Sqlite {
  readonly layer: (config: { readonly filename: string }) => Layer.Layer<SqlClient.SqlClient>
}
const client = "@effect/sql-sqlite-node/SqliteClient"
const sqlite = (await import(client)) as Sqlite

/** Two connections to one new file, as two processes have them, and a store. */
const database = (options: CacheStore.Options) =>
  Effect.gen(function* () {
    const dir = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-sqlite-"))),
      (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
    )
    const store = yield* MemoryCache.make(options)
    const connect = Effect.map(
      Layer.build(Layer.fresh(sqlite.layer({ filename: path.join(dir, "test.db") }))),
      (context) =>
        <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient | CacheStore>): Effect.Effect<A, E> =>
          // not that of the other connection, which may be inside a transaction
          Effect.mapInputContext(effect, (_: Context.Context<never>) => Context.add(context, CacheStore, store))
    )
    const writer = yield* connect
    const reader = yield* connect
    yield* writer(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)`
        yield* sql`INSERT INTO users ${sql.insert({ id: 1, name: "old" })}`
      })
    )
    return { store, writer, reader }
  })

const findName = Effect.fn("findName")(function* (id: number) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly name: string }>`SELECT name FROM users WHERE id = ${id}`
  return rows[0]?.name ?? "none"
})

const nameOf = () => Cached.ttl(findName, { key: "name:{}", ttl: "1 hour" })

/** Renames a user in a transaction, and runs `then` before its end. */
const rename = <A, E, R>(name: string, then: Effect.Effect<A, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(Effect.zipRight(sql`UPDATE users SET name = ${name} WHERE id = 1`, then))
  )

const inTransaction = { bypassIn: [SqlClient.TransactionConnection] }

describe("a SQLite file", () => {
  it.scoped("a row that was rolled back - is never served", () =>
    Effect.gen(function* () {
      const { reader, store, writer } = yield* database(inTransaction)
      const getName = nameOf()
      const seen: Array<string> = []
      const rolledBack = rename(
        "lost",
        Effect.gen(function* () {
          seen.push(yield* getName(1), yield* getName.refresh(1), yield* Cached.reload(getName(1)))
          yield* getName.set(1)("lost")
          // another connection does not see it
          seen.push(yield* reader(getName(1)))
          return yield* Effect.fail("rollback" as const)
        })
      )
      assert.strictEqual(yield* writer(getName(1)), "old")
      assert.strictEqual(yield* Effect.flip(writer(rolledBack)), "rollback")
      deepStrictEqual(seen, ["lost", "lost", "lost", "old"])
      assert.strictEqual(yield* writer(getName(1)), "old")
      assert.strictEqual(yield* reader(getName(1)), "old")
      deepStrictEqual(yield* store.get(getName.key(1)), Option.some("old"))
    })
  )

  it.scoped("without bypassIn - a row that was rolled back would be served", () =>
    Effect.gen(function* () {
      const { reader, writer } = yield* database({})
      const getName = nameOf()
      yield* Effect.flip(writer(rename("lost", Effect.zipRight(getName(1), Effect.fail("rollback")))))
      assert.strictEqual(yield* reader(getName(1)), "lost")
    })
  )

  it.scoped("a mutation wrapped from outside - its row is served from the commit on", () =>
    Effect.gen(function* () {
      const { reader, writer } = yield* database(inTransaction)
      const getName = nameOf()
      const inside = yield* Deferred.make<void>()
      const commit = yield* Deferred.make<void>()
      const renamed = Cached.invalidates(
        (_id: number, name: string) =>
          rename(name, Effect.zipRight(Deferred.succeed(inside, undefined), Deferred.await(commit))),
        getName
      )
      yield* reader(getName(1))
      const mutation = yield* Effect.fork(writer(renamed(1, "new")))
      yield* Deferred.await(inside)
      assert.strictEqual(yield* reader(getName(1)), "old")
      yield* Deferred.succeed(commit, undefined)
      yield* Fiber.join(mutation)
      assert.strictEqual(yield* reader(getName(1)), "new")
      assert.strictEqual(yield* writer(getName(1)), "new")
    })
  )

  it.scoped("an invalidation inside - is too early: another connection stores the old row, and a Warning says so", () =>
    Effect.gen(function* () {
      const { reader, store, writer } = yield* database(inTransaction)
      const getName = nameOf()
      yield* writer(rename("new", Effect.zipRight(getName.invalidate(1), reader(getName(1)))))
      assert.strictEqual(yield* reader(getName(1)), "old")
      const { problems } = yield* store.health
      deepStrictEqual(
        problems.map(({ name }) => name),
        ["InvalidatedEarly"]
      )
    })
  )

  it.scoped("a captured function inside - reads what is committed", () =>
    Effect.gen(function* () {
      const { reader, writer } = yield* database(inTransaction)
      const getName = yield* reader(Cached.capture(nameOf()))
      const seen = yield* writer(rename("new", getName(1)))
      assert.strictEqual(seen, "old")
    })
  )
})

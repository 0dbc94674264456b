/**
 * N+1 lookups behind a cache that stay one query: an order list that shows the customer of each order.
 *
 *     npx tsx examples/batches.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Option } from "effect"
import { Cached, CacheStore, MemoryCacheLive } from "effect-cached"

interface Order {
  readonly id: number
  readonly customerId: number
}

interface Customer {
  readonly id: number
  readonly name: string
}

/** Stands for a database: slow, and it prints its queries. */
class Database extends Effect.Service<Database>()("Database", {
  sync: () => {
    const names = new Map([
      [1, "Ada"],
      [2, "Grace"],
      [3, "Edith"]
    ])
    const query = (sql: string) => Effect.zipRight(Console.log(`  database: ${sql}`), Effect.sleep("50 millis"))
    return {
      orders: Effect.as(
        query("SELECT * FROM orders"),
        [1, 2, 1, 3, 9, 2].map((customerId, index): Order => ({ id: 100 + index, customerId }))
      ),
      customer: (id: number) => Effect.as(query(`SELECT * FROM customers WHERE id = ${id}`), names.get(id)),
      customers: (ids: ReadonlyArray<number>) =>
        Effect.as(
          query(`SELECT * FROM customers WHERE id IN (${ids.join(", ")})`),
          Array.from(names, ([id, name]): Customer => ({ id, name })).filter(({ id }) => ids.includes(id))
        )
    }
  }
}) {}

// `Cached.capture` gives all loads the services of this place, so that reads of different requests share a query, too.
class Customers extends Effect.Service<Customers>()("Customers", {
  effect: Effect.gen(function* () {
    const database = yield* Database
    const one = yield* Cached.capture(
      Cached.ttl((id: number) => database.customer(id), { key: "one:{}", ttl: "5 minutes" })
    )
    const byId = yield* Cached.capture(
      Cached.batched(
        (ids: ReadonlyArray<number>) =>
          Effect.map(database.customers(ids), (rows) => rows.map((customer) => [customer.id, customer] as const)),
        { key: "customer:{}", ttl: "5 minutes", absentTtl: "10 seconds" }
      )
    )
    return { one, byId }
  }),
  dependencies: [Database.Default]
}) {}

const nameOf = Option.match({ onNone: () => "(deleted)", onSome: ({ name }: Customer) => name })

const program = Effect.gen(function* () {
  const { byId, one } = yield* Customers
  const database = yield* Database
  const concurrent = { concurrency: "unbounded" } as const

  yield* Console.log("Cached.ttl: one query for the orders, and one for each customer")
  const orders = yield* database.orders
  yield* Effect.forEach(orders, ({ customerId }) => one(customerId), { ...concurrent, discard: true })

  yield* Console.log("\nCached.batched: one query for all customers")
  const shown = yield* Effect.forEach(
    orders,
    ({ customerId, id }) => Effect.map(byId(customerId), (customer) => `${id} ${nameOf(customer)}`),
    concurrent
  )
  yield* Console.log(`  ${shown.join(", ")}`)

  yield* Console.log("\nOnce more: no query, not even for the customer that does not exist")
  const again = yield* byId.many(orders.map(({ customerId }) => customerId))
  yield* Console.log(`  ${again.map(nameOf).join(", ")}`)

  yield* Console.log("\nTwo requests at the same time, after an invalidation: one query for what is missing")
  yield* byId.invalidate(2)
  yield* Effect.all([byId.many([1, 2, 4]), byId.many([2, 3, 5])], { ...concurrent, discard: true })

  const { caches } = yield* (yield* CacheStore).stats
  const { hits, loads } = caches["customer:{}"]!
  yield* Console.log(`\nCustomers: ${loads} loads in 2 queries, ${hits} hits`)
})

const Live = Layer.mergeAll(Customers.Default, Database.Default).pipe(Layer.provideMerge(MemoryCacheLive))

program.pipe(Effect.provide(Live), NodeRuntime.runMain)

/**
 * Keys that are functions: five cases that no template can express. Each shows calls, their keys, and whether the call
 * ran the lookup or was answered from the cache.
 *
 *     npx tsx examples/keys.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Ref } from "effect"
import { Cached, Key, MemoryCacheLive } from "effect-cached"
import * as Print from "./support/print.js"

/** How many lookups have run. */
class Lookups extends Effect.Service<Lookups>()("Lookups", { effect: Ref.make(0) }) {}

/** Stands for slow work. */
const work = <A>(value: A) =>
  Effect.as(
    Effect.flatMap(
      Lookups,
      Ref.update((count) => count + 1)
    ),
    value
  )

// ------------------------------------------------------------------------------------------------------- the functions

/** A default argument: the key states the default, so that leaving it out and passing it is one entry. */
const translations = Cached.ttl((language?: string) => work(`texts in ${language ?? "en"}`), {
  key: (language = "en") => `translations:${Key.part(language)}`,
  name: "translations",
  ttl: "1 hour"
})

interface Request {
  readonly tenant: { readonly id: string; readonly plan: string }
  readonly report: number
}

/** A tenant inside the argument: it comes first in the key, so that no tenant sees the report of another. */
const report = Cached.ttl((request: Request) => work(`report ${request.report} of ${request.tenant.id}`), {
  key: ({ report, tenant }) => `tenant:${Key.part(tenant.id)}:report:${report}`,
  name: "report",
  ttl: "1 hour"
})

interface User {
  readonly id: number
  readonly isAdmin: boolean
}

/** A condition: all administrators share one dashboard, every other user has their own. */
const dashboard = Cached.ttl((user: User) => work(user.isAdmin ? "everything" : `the orders of user ${user.id}`), {
  key: (user) => (user.isAdmin ? "dashboard:admin" : `dashboard:user:${user.id}`),
  name: "dashboard",
  ttl: "1 hour"
})

interface Query {
  readonly text: string
  readonly tags: ReadonlyArray<string>
}

/** A value too long for a key: 22 characters that are different for every query. */
const search = Cached.ttl((query: Query) => work([query.text]), {
  key: (query) => `search:${Key.hash(query)}`,
  name: "search",
  ttl: "1 hour"
})

/** Any number of arguments: sorted, because their order does not change the sum. */
const total = Cached.ttl((...orders: ReadonlyArray<number>) => work(orders.reduce((a, b) => a + b, 0)), {
  key: (...orders) => `total:${[...orders].sort((a, b) => a - b).join(",")}`,
  name: "total",
  ttl: "1 hour"
})

// ------------------------------------------------------------------------------------------------------------ the tour

/** The row of one call: what was called, its key, and how it was answered. */
const call = Effect.fn("call")(function* <A, E, R>(text: string, key: string, read: Effect.Effect<A, E, R>) {
  const count = yield* Lookups
  const before = yield* count
  yield* read
  return [text, key, (yield* count) === before ? "from the cache" : "runs the lookup"]
})

const columns = ["call", "key", "answered"]

const program = Effect.gen(function* () {
  yield* Console.log("effect-cached: keys that are functions")

  yield* Print.heading(
    "1. A default argument",
    "The key states the default: no argument and the default are one entry."
  )
  yield* Print.table(columns, [
    yield* call("translations()", translations.key(), translations()),
    yield* call('translations("en")', translations.key("en"), translations("en")),
    yield* call('translations("de")', translations.key("de"), translations("de"))
  ])

  yield* Print.heading("2. A tenant", "It is a part of an argument, and the first part of the key.")
  const [acme, globex] = [
    { id: "acme", plan: "small" },
    { id: "globex:eu", plan: "large" }
  ] as const
  const reports = [acme, globex, { ...acme, plan: "large" }].map((tenant) => ({ tenant, report: 7 }))
  yield* Print.table(
    columns,
    yield* Effect.forEach(reports, (request) =>
      call(`report 7 of ${request.tenant.id}, ${request.tenant.plan}`, report.key(request), report(request))
    )
  )

  yield* Print.heading("3. A condition", "All administrators share one entry, every other user has their own.")
  const users = [
    { id: 1, isAdmin: true },
    { id: 2, isAdmin: true },
    { id: 3, isAdmin: false },
    { id: 4, isAdmin: false }
  ]
  yield* Print.table(
    columns,
    yield* Effect.forEach(users, (user) =>
      call(`dashboard of ${user.isAdmin ? "admin" : "user"} ${user.id}`, dashboard.key(user), dashboard(user))
    )
  )

  yield* Print.heading("4. A long value", "A hash of the whole query. The order of its properties does not matter.")
  const queries: ReadonlyArray<readonly [string, Query]> = [
    ["a long text", { text: "tea ".repeat(100), tags: ["new"] }],
    ["the same", { tags: ["new"], text: "tea ".repeat(100) }],
    ["without the tag", { text: "tea ".repeat(100), tags: [] }]
  ]
  yield* Print.table(
    columns,
    yield* Effect.forEach(queries, ([text, query]) => call(text, search.key(query), search(query)))
  )

  yield* Print.heading("5. Any number of arguments", "They are sorted, because their order does not matter.")
  yield* Print.table(columns, [
    yield* call("total(3, 1, 2)", total.key(3, 1, 2), total(3, 1, 2)),
    yield* call("total(1, 2, 3)", total.key(1, 2, 3), total(1, 2, 3)),
    yield* call("total(1, 2)", total.key(1, 2), total(1, 2))
  ])

  yield* Print.heading("Invalidation", "A member takes the arguments of its function, and makes the same key of them.")
  yield* translations.invalidate()
  yield* Print.table(columns, [
    yield* call('translations("en")', translations.key("en"), translations("en")),
    yield* call('translations("de")', translations.key("de"), translations("de"))
  ])
})

program.pipe(Effect.provide([Lookups.Default, MemoryCacheLive]), NodeRuntime.runMain)

/**
 * Two processes, each with memory in front of the same Redis: loads, writes and invalidations of one reach the other.
 *
 *     npx tsx examples/two-nodes.ts                        on its own redis-server, which is killed during the tour
 *     REDIS_URL=redis://… npx tsx examples/two-nodes.ts    on yours, which is not killed
 *
 * The process you start sends the requests. It starts this file twice more, as the nodes A and B, and prints what
 * happens on them, and when.
 */
import { fileURLToPath } from "node:url"
import { Config, Console, Duration, Effect, Exit, Fiber, Option, Runtime, Schedule } from "effect"
import { Cached, CacheStore } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import * as Child from "../test/support/child.js"
import type { RedisServer } from "../test/support/redis.js"
import * as Print from "./support/print.js"
import { onRedis, Refused, runMain } from "./support/redis.js"

/** Milliseconds on a clock that all processes of the machine share. */
const clock = Effect.sync(() => Number(process.hrtime.bigint()) / 1e6)

const seconds = (millis: number): string => `${(millis / 1000).toFixed(2)} s`

// -------------------------------------------------------------------------------------------------------------- a node

interface Stock {
  readonly pieces: number
  /** The origin of the number, such as "counted by A at 0.10 s". */
  readonly how: string
}

/** The commands that a node answers. */
const makeNode = (name: string) => {
  let begin = 0
  const how = (verb: string) => Effect.map(clock, (now) => `${verb} by ${name} at ${seconds(now - begin)}`)

  // Counting is slow, and two nodes must not do it at once: `lock` makes it one load for all nodes.
  const stock = Cached.ttl(
    Effect.fn("count")(function* (article: string) {
      yield* Child.emit(`counts the ${article}`)
      yield* Effect.sleep("100 millis")
      const counted: Stock = { pieces: 12, how: yield* how("counted") }
      return counted
    }),
    { key: "stock:{}", ttl: "1 minute", tags: ["warehouse"], lock: { lease: "2 seconds" } }
  )

  return {
    /** Sets the time that all printed times are relative to. */
    begin: (at: number) =>
      Effect.sync(() => {
        begin = at
      }),
    /** Reads `times` times: in as many fibers at once, or in one fiber. */
    read: (article: string, times: number, concurrency: "unbounded" | 1) =>
      Effect.gen(function* () {
        const [took, exits] = yield* Effect.timed(
          Effect.all(Effect.replicate(Effect.exit(stock(article)), times), { concurrency })
        )
        const answers = exits.filter(Exit.isSuccess).map((exit) => exit.value)
        return { took: Duration.toMillis(took), answer: answers[0], failed: times - answers.length }
      }),
    // each of these returns the time of its call
    set: (article: string, pieces: number) =>
      Effect.zipLeft(
        clock,
        Effect.flatMap(how("set"), (how) => stock.set(article)({ pieces, how }))
      ),
    invalidate: (article: string) => Effect.zipLeft(clock, stock.invalidate(article)),
    invalidateAll: () => Effect.zipLeft(clock, Cached.invalidateTags(["warehouse"])),
    clear: () => stock.clear,
    /** Peeks until the stored value is no longer `before`; returns the time. */
    changed: (article: string, before: Stock | undefined) =>
      stock.peek(article).pipe(
        Effect.repeat({
          until: (there) => Option.getOrUndefined(there)?.how !== before?.how,
          schedule: Schedule.spaced("1 millis")
        }),
        Effect.zipRight(clock)
      ),
    /** The number of reads that each tier has answered. */
    answered: () =>
      Effect.map(
        Effect.flatMap(CacheStore, ({ stats }) => stats),
        ({ tiers }) => tiers.map(({ hits }) => hits)
      ),
    health: () => Effect.flatMap(CacheStore, ({ health }) => health)
  }
}

const beNode = (name: string) =>
  Effect.flatMap(Config.redacted("REDIS_URL"), (url) =>
    Effect.provide(Child.serve(makeNode(name)), RedisCache.layerHybrid({ l2: { url, prefix: "two-nodes:" } }))
  )

// ------------------------------------------------------------------------------------------------------------ the tour

interface Node extends Child.Child<ReturnType<typeof makeNode>> {
  readonly name: string
}

const tour = Effect.fn("tour")(function* (url: string, own: RedisServer.Service | undefined) {
  const runSync = Runtime.runSync(yield* Effect.runtime<never>())
  let begin = 0
  let loads = 0
  let reads = 0
  let failures = 0

  const say = (who: string, what: string) =>
    Effect.flatMap(clock, (now) => Console.log(`  ${seconds(now - begin).padStart(7)}   ${who.padEnd(5)}   ${what}`))
  const start = (name: string) =>
    Effect.map(
      Child.start<ReturnType<typeof makeNode>>(fileURLToPath(import.meta.url), {
        args: ["node", name],
        env: { REDIS_URL: url },
        onEvent: (event: string) => {
          loads++
          runSync(say(name, event))
        }
      }),
      (child): Node => ({ ...child, name })
    )
  const both = <A, E>(f: (node: Node) => Effect.Effect<A, E>) => Effect.all([f(a), f(b)], { concurrency: 2 })
  const until = (node: Node, what: string, is: (health: CacheStore.Health) => boolean) =>
    node.ask("health").pipe(
      Effect.repeat({ until: is, schedule: Schedule.spaced("10 millis") }),
      Effect.timeoutFail({
        duration: "10 seconds",
        onTimeout: () => new Refused({ message: `after 10 s node ${node.name} has not reached this state: ${what}` })
      }),
      Effect.zipRight(say(node.name, what))
    )
  const read = (node: Node, article: string, howOften = 1, concurrency: "unbounded" | 1 = "unbounded") =>
    Effect.tap(node.ask("read", article, howOften, concurrency), ({ answer, failed, took }) => {
      reads += howOften
      failures += failed
      const order = concurrency === 1 ? "one after the other" : "at once"
      const times = howOften === 1 ? "reads" : `reads ${Print.number(howOften)} times, ${order}`
      const answered = answer === undefined ? "no answer" : `${answer.pieces} pieces, ${answer.how}`
      return say(node.name, `${times}: ${answered} (took ${Print.time(Duration.millis(took))})`)
    })
  /** Reads on both nodes, and prints whether they agree. */
  const agreed = Effect.fn("agreed")(function* (article: string) {
    const [{ answer: one }, { answer: other }] = [yield* read(a, article), yield* read(b, article)]
    yield* Console.log(`  ${one !== undefined && one.how === other?.how ? "Both agree." : "They do not agree."}`)
  })
  /** Prints how long after the call at `from` on one node the change arrived on the other. */
  const travelled = (node: Node, from: number, arrived: number, what: string) =>
    say(node.name, `${what}, ${Print.time(Duration.millis(arrived - from))} after ${node === a ? "B" : "A"} was called`)

  yield* Console.log("effect-cached: two processes, each with memory in front of the same Redis\n")
  const [a, b] = yield* Effect.all([start("A"), start("B")], { concurrency: 2 })
  const place = `Redis at ${new URL(url).host}`
  if ((yield* a.ask("health")).status === "down") {
    return yield* new Refused({ message: `${place} cannot be reached` })
  }
  yield* Console.log(`Redis    ${new URL(url).host}, ${own === undefined ? "yours" : "started for this"}`)
  for (const node of [a, b]) yield* Console.log(`Node ${node.name}   process ${node.pid}`)
  begin = yield* clock
  yield* both((node) => node.ask("begin", begin))
  yield* a.ask("clear")

  yield* Print.heading(
    "1. One load for both",
    "On each node, 100 fibers read the stock of tea, which has not been counted yet."
  )
  yield* both((node) => until(node, "is connected to the other", ({ coherent }) => coherent))
  const before = loads
  yield* both((node) => read(node, "tea", 100))
  yield* Console.log(`  ${Print.count(loads - before, "load")} for 200 reads.`)

  yield* Print.heading("2. Hits", "A node answers from its own memory what it has read once. Redis is not asked.")
  const answered = (node: Node) => node.ask("answered")
  const earlier = yield* both(answered)
  yield* both((node) => read(node, "tea", 1_000, 1))
  const later = yield* both(answered)
  for (const [i, node] of [a, b].entries()) {
    const [memory, redis] = later[i]!.map((hits, tier) => Print.number(hits - earlier[i]![tier]!))
    yield* say(node.name, `answered ${memory} from memory, ${redis} from Redis`)
  }

  yield* Print.heading(
    "3. A value that is set",
    "A sets the stock of tea, and the copy in the memory of B is replaced."
  )
  const counted = (yield* b.ask("read", "tea", 1, 1)).answer
  const watching = yield* Effect.fork(b.ask("changed", "tea", counted))
  const set = yield* a.ask("set", "tea", 11)
  yield* say("A", "sets 11 pieces of tea")
  yield* travelled(b, set, yield* Fiber.join(watching), "has the new value")
  yield* agreed("tea")

  yield* Print.heading(
    "4. An invalidation",
    "A invalidates the tea, and B drops its copy. The first read loads, for both nodes."
  )
  const held = (yield* b.ask("read", "tea", 1, 1)).answer
  const forgetting = yield* Effect.fork(b.ask("changed", "tea", held))
  const invalidated = yield* a.ask("invalidate", "tea")
  yield* say("A", "invalidates the tea")
  yield* travelled(b, invalidated, yield* Fiber.join(forgetting), "has dropped its copy")
  yield* agreed("tea")

  yield* Print.heading("5. A tag", "The stocks of tea and coffee have the tag warehouse. This time B invalidates.")
  yield* both((node) => read(node, "coffee"))
  const tagged = (yield* a.ask("read", "coffee", 1, 1)).answer
  const leaving = yield* Effect.fork(a.ask("changed", "coffee", tagged))
  const tag = yield* b.ask("invalidateAll")
  yield* say("B", "invalidates the tag warehouse")
  yield* travelled(a, tag, yield* Fiber.join(leaving), "has dropped the coffee")
  for (const article of ["tea", "coffee"]) yield* agreed(article)

  if (own === undefined) {
    yield* Console.log("\nThis Redis is yours and is not killed. Run without REDIS_URL to see an outage.")
  } else {
    yield* Print.heading(
      "6. Redis is killed",
      "Copies in memory count for one more second, then each node loads for itself."
    )
    yield* own.kill
    yield* say("Redis", "is killed")
    yield* both((node) => until(node, "reports that Redis is down", ({ status }) => status === "down"))
    const copies = yield* both((node) => read(node, "tea", 100))
    yield* Effect.all([a.ask("changed", "tea", copies[0].answer), b.ask("changed", "tea", copies[1].answer)], {
      concurrency: 2
    })
    yield* both((node) => read(node, "tea", 100))
    yield* a.ask("invalidate", "tea")
    yield* until(a, "has invalidated the tea; Redis has not received it", ({ undelivered }) => undelivered > 0)
    yield* both((node) => read(node, "tea", 100))

    yield* Print.heading(
      "7. Redis is back, and empty",
      "The invalidation of A is delivered first. Then both nodes share one stock again."
    )
    yield* own.start
    yield* say("Redis", "is back")
    yield* until(a, "has delivered its invalidation", ({ undelivered }) => undelivered === 0)
    yield* both((node) =>
      until(node, "is connected to the other", ({ coherent, status }) => coherent && status === "up")
    )
    yield* agreed("tea")
  }

  yield* both((node) => node.end)
  yield* Console.log(
    `\n${Print.count(reads, "read")}, ${Print.count(loads, "load")}, ${Print.count(failures, "failure")}.`
  )
})

// ------------------------------------------------------------------------------------------------------------- the run

const [role, name] = process.argv.slice(2)

runMain(role === "node" ? beNode(name!) : onRedis(tour))

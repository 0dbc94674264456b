/**
 * Memory in front of Redis, in separate processes. They share no event loop, no table of running loads and no clock,
 * and the holder of a lock can be killed or stopped while it holds it.
 */
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option, type Scope } from "effect"
import { bundle } from "../../support/bundle.js"
import * as Child from "../../support/child.js"
import type { Commands, Loading } from "../../support/hybrid-process.js"
import { awaitUntil, freshPrefix, live, RedisServer } from "../../support/redis.js"
import { realNow, same } from "../../support/redis-nodes.js"

/** The program of a process. */
class Script extends Context.Tag("test/Script")<Script, string>() {
  static readonly layer = Layer.scoped(
    Script,
    bundle(fileURLToPath(new URL("../../support/hybrid-process.ts", import.meta.url)))
  )
}

type Process = Child.Child<Commands>

interface Service {
  readonly redis: RedisServer.Service
  readonly prefix: string
  readonly nodes: ReadonlyArray<Process>
  /** Starts another process, and waits until it receives notifications. */
  readonly start: (name: string) => Effect.Effect<Process, never, Scope.Scope>
  /** The processes in which loads of a key began, in that order. */
  readonly loads: (key: string) => ReadonlyArray<string>
}

/** Processes with a Redis of their own. */
const make = (...names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    const prefix = yield* freshPrefix
    const file = yield* Script
    const loading: Array<Loading> = []
    const start = (name: string) =>
      Effect.tap(
        Child.start<Commands>(file, {
          args: [redis.url, prefix, name],
          onEvent: (one: Loading) => loading.push(one)
        }),
        (node) => node.ask("well")
      )
    const service: Service = {
      redis,
      prefix,
      nodes: yield* Effect.forEach(names, start, { concurrency: "unbounded" }),
      start,
      loads: (key) => loading.filter((one) => one.key === key).map((one) => one.node)
    }
    return service
  })

const begun = ({ loads }: Service, key: string, howMany = 1) =>
  awaitUntil(
    Effect.sync(() => loads(key).length >= howMany),
    `${howMany} loads of ${key} have begun`
  )

const locks = ({ prefix, redis }: Service) => Effect.promise(() => redis.client.keys(`${prefix}!l*`))

const free = (service: Service) =>
  awaitUntil(
    Effect.map(locks(service), (held) => held.length === 0),
    "the lock is free"
  )

const everyNode = <A>(nodes: ReadonlyArray<Process>, f: (node: Process) => Effect.Effect<A>) =>
  Effect.forEach(nodes, f, { concurrency: "unbounded" })

const becomes = (node: Process, key: string, value: string | undefined) =>
  awaitUntil(
    Effect.map(node.ask("peek", key), (there) => there === value),
    `${key} is ${value}`
  )

const endsByItself = (node: Process) =>
  Effect.gen(function* () {
    same(yield* live(Effect.timeoutOption(node.end, "20 seconds")), Option.some(0), node.output())
  })

class Four extends Context.Tag("test/Four")<Four, Service>() {
  static readonly layer = Layer.scoped(Four, make("a", "b", "c", "d"))
}

layer(Script.layer)("TieredCache processes", (it) => {
  it.layer(Four.layer, { timeout: "30 seconds" })("four, memory in front of Redis", (it) => {
    it.scoped("lock - 250 fibers in each of four processes that read one cold key cause one load", () =>
      Effect.gen(function* () {
        const four = yield* Four
        yield* everyNode(four.nodes, (node) => node.ask("hold", "cold"))
        const herds = yield* Effect.fork(everyNode(four.nodes, (node) => node.ask("herd", "cold", 250, 5_000)))
        yield* begun(four, "cold")
        yield* everyNode(four.nodes, (node) => node.ask("release", "cold"))
        const [loader] = four.loads("cold")
        const answers = yield* Fiber.join(herds)
        for (const counts of answers) same([Object.values(counts), Object.keys(counts)[0]![0]], [[250], loader])
        same(new Set(answers.flatMap(Object.keys)).size, 1)
        same(four.loads("cold").length, 1)
        yield* free(four)
      })
    )

    it.scoped("set, invalidate, a tag, clear - reach the memory of the other processes", () =>
      Effect.gen(function* () {
        const { nodes } = yield* Four
        const [a, ...others] = nodes as [Process, ...ReadonlyArray<Process>]
        for (const [what, act] of [
          ["invalidate", a.ask("invalidate", "x")],
          ["tag", a.ask("invalidateTag", "x")],
          ["clear", a.ask("clear")]
        ] as const) {
          yield* a.ask("set", "x", what)
          for (const node of others) yield* becomes(node, "x", what)
          yield* act
          yield* everyNode(others, (node) => becomes(node, "x", undefined))
        }
      })
    )

    it.scoped("a process that starts after an invalidation - does not serve invalidated entries", () =>
      Effect.gen(function* () {
        const four = yield* Four
        const [a, b] = four.nodes as [Process, Process]
        for (const key of ["one", "tagged", "kept"]) {
          yield* a.ask("set", key, "old")
          yield* becomes(b, key, "old")
        }
        yield* a.ask("invalidate", "one")
        // the entry itself stays in Redis, invalidated by a mark
        yield* a.ask("invalidateTag", "tagged")
        const late = yield* four.start("e")
        same(yield* late.ask("read", "one"), "e1")
        same(yield* late.ask("read", "tagged"), "e2")
        same(yield* late.ask("read", "kept"), "old")
        yield* endsByItself(late)
      })
    )

    it.scoped(
      "Redis is killed and restarted under load, twice - no reader fails, and all processes agree in the end",
      () =>
        Effect.gen(function* () {
          const { nodes, redis } = yield* Four
          const keys = 20
          yield* everyNode(nodes, (node) => node.ask("traffic", keys))
          for (let round = 0; round < 2; round++) {
            yield* everyNode(nodes, (node) => node.ask("serves", 200))
            yield* redis.kill
            yield* everyNode(nodes, (node) => node.ask("cut"))
            yield* everyNode(nodes, (node) => node.ask("serves", 500))
            yield* redis.start
            yield* everyNode(nodes, (node) => node.ask("well"))
          }
          yield* everyNode(nodes, (node) => node.ask("serves", 200))
          same(yield* everyNode(nodes, (node) => node.ask("quiet")), [[], [], [], []])
          yield* everyNode(nodes, (node) => node.ask("well"))
          for (let i = 0; i < keys; i++) {
            yield* awaitUntil(
              Effect.map(
                everyNode(nodes, (node) => node.ask("read", `t${i}`)),
                (values) => new Set(values).size === 1
              ),
              `all agree on t${i}`
            )
          }
        }),
      30_000
    )

    it.scoped("shutdown - every process exits by itself, and leaves no connection", () =>
      Effect.gen(function* () {
        const { nodes, redis } = yield* Four
        yield* everyNode(nodes, endsByItself)
        const clients = yield* Effect.promise(() => redis.client.client("LIST") as Promise<string>)
        assert.lengthOf(clients.trim().split("\n"), 1)
      })
    )
  })

  it.scoped(
    "the holder of a lock is killed during its load - costs the rest of its lease, and every reader is answered",
    () =>
      Effect.gen(function* () {
        const three = yield* make("a", "b", "c")
        const [a, ...others] = three.nodes as [Process, ...ReadonlyArray<Process>]
        const lease = 1_500
        yield* a.ask("hold", "k")
        yield* Effect.fork(Effect.sandbox(a.ask("herd", "k", 1, lease)))
        yield* begun(three, "k")
        const herds = yield* Effect.fork(everyNode(others, (node) => node.ask("herd", "k", 250, lease)))
        // longer than a lease, which is renewed while its holder is alive
        yield* live(Effect.sleep(2 * lease))
        same(three.loads("k"), ["a"])
        const killed = realNow()
        yield* a.signal("SIGKILL")
        same(yield* a.gone, "SIGKILL")
        const answers = yield* Fiber.join(herds)
        assert.isBelow(realNow() - killed, lease + 5_000)
        const [, second, ...more] = three.loads("k")
        same(more, [])
        for (const counts of answers) same(counts, { [`${second}1`]: 250 })
        yield* everyNode(others, endsByItself)
      })
  )

  it.scoped("a holder is stopped past its lease - its late write changes nothing, and releases no other lock", () =>
    Effect.gen(function* () {
      const two = yield* make("a", "b")
      const [a, b] = two.nodes as [Process, Process]
      const lease = 1_000
      yield* a.ask("hold", "over")
      yield* a.ask("hold", "under way")
      yield* b.ask("hold", "under way")
      const late = yield* Effect.fork(
        Effect.all([a.ask("herd", "over", 1, lease), a.ask("herd", "under way", 1, lease)], { concurrency: 2 })
      )
      yield* begun(two, "over")
      yield* begun(two, "under way")
      yield* a.signal("SIGSTOP")
      // b waits for the leases to end, then loads both keys: one load ends, and the other holds the lock now
      const { b1: over } = yield* b.ask("herd", "over", 1, lease)
      same(over, 1)
      const other = yield* Effect.fork(b.ask("herd", "under way", 1, lease))
      yield* begun(two, "under way", 2)
      const held = yield* locks(two)
      const token = yield* Effect.promise(() => two.redis.client.get(held[0]!))
      same(held.length, 1)

      yield* a.signal("SIGCONT")
      yield* a.ask("release", "over")
      yield* a.ask("release", "under way")
      // its own waiters get the value that it loaded
      same(yield* Fiber.join(late), [{ a1: 1 }, { a2: 1 }])
      yield* becomes(a, "over", "b1")
      yield* becomes(b, "over", "b1")
      yield* becomes(b, "under way", "a2")
      // one connection carries all commands in order, so a has sent everything about its locks
      yield* a.ask("set", "barrier", "")
      same(yield* Effect.promise(() => two.redis.client.get(held[0]!)), token)
      yield* b.ask("release", "under way")
      same(yield* Fiber.join(other), { b2: 1 })
      for (const node of [a, b]) yield* becomes(node, "under way", "b2")
      yield* free(two)
      for (const node of [a, b]) yield* endsByItself(node)
    })
  )
})

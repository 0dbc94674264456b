/**
 * A rolling deployment: two processes of the previous release and two of this one on one Redis.
 */
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, type Scope } from "effect"
import { bundle } from "../../support/bundle.js"
import * as Child from "../../support/child.js"
import type { Commands, Loading } from "../../support/hybrid-process.js"
import { bundlePrevious } from "../../support/previousRelease.js"
import { awaitUntil, freshPrefix, RedisServer } from "../../support/redis.js"

type Process = Child.Child<Commands>

/** The programs of both releases. */
class Programs extends Context.Tag("test/Programs")<
  Programs,
  { readonly previous: string; readonly current: string }
>() {
  static readonly layer = Layer.scoped(
    Programs,
    Effect.all({
      previous: bundlePrevious("hybrid-process.ts"),
      current: bundle(fileURLToPath(new URL("../../support/hybrid-process.ts", import.meta.url)))
    })
  )
}

interface Deployment {
  readonly nodes: ReadonlyArray<readonly [name: string, process: Process]>
  /** How many loads of a key have begun. */
  readonly loads: (key: string) => number
}

const deploy = (kind: "hybrid" | "plain"): Effect.Effect<Deployment, never, RedisServer | Programs | Scope.Scope> =>
  Effect.gen(function* () {
    const { url } = yield* RedisServer
    const { current, previous } = yield* Programs
    const prefix = yield* freshPrefix
    const loading: Array<Loading> = []
    const start = (name: string, file: string) =>
      Effect.gen(function* () {
        const process = yield* Child.start<Commands>(file, {
          args: [url, prefix, name, kind],
          onEvent: (one: Loading) => loading.push(one)
        })
        yield* process.ask("well")
        return [name, process] as const
      })
    const nodes = yield* Effect.all(
      [start("old1-", previous), start("new1-", current), start("old2-", previous), start("new2-", current)],
      { concurrency: 2 }
    )
    return { nodes, loads: (key) => loading.filter((one) => one.key === key).length }
  })

/** Runs a case for each pair of different processes. */
const everyPair = (
  { nodes }: Deployment,
  run: (
    key: string,
    a: readonly [name: string, process: Process],
    b: readonly [name: string, process: Process]
  ) => Effect.Effect<void>
) =>
  Effect.forEach(
    nodes.flatMap((a) => nodes.filter((b) => b !== a).map((b) => [a, b] as const)),
    ([a, b]) => run(`${a[0]}${b[0]}`, a, b),
    { discard: true }
  )

const readEverywhere = ({ nodes }: Deployment, key: string) =>
  Effect.forEach(nodes, ([, node]) => node.ask("read", key))

/** Waits until no process of the previous release has a value, before another process writes a new one. */
const oldHaveNone = ({ nodes }: Deployment, key: string) =>
  Effect.forEach(
    nodes.filter(([name]) => name.startsWith("old")),
    ([name, node]) =>
      awaitUntil(
        Effect.map(node.ask("peek", key), (found) => found === undefined || found === null),
        `${name} has dropped its copy of ${key}`
      ),
    { discard: true }
  )

/** Waits until all processes return one value, which `isNew` accepts: notifications take their time. */
const agree = (deployment: Deployment, key: string, isNew: (value: string) => boolean, what: string) =>
  Effect.suspend(() => {
    let last: ReadonlyArray<string> = []
    return awaitUntil(
      Effect.map(readEverywhere(deployment, key), (values) => {
        last = values
        return isNew(values[0]!) && values.every((value) => value === values[0])
      }),
      what
    ).pipe(Effect.catchAllDefect(() => Effect.dieMessage(`${what}: after 10 s they read ${last.join(", ")}`)))
  })

layer(Layer.merge(Programs.layer, RedisServer.layer), { timeout: "120 seconds" })("rolling deployment", (it) => {
  for (const kind of ["hybrid", "plain"] as const) {
    it.scoped(
      `${kind}: every process reads what any other has loaded or set`,
      () =>
        Effect.gen(function* () {
          const deployment = yield* deploy(kind)
          yield* everyPair(deployment, (key, [, a], [, b]) =>
            Effect.gen(function* () {
              const value = yield* a.ask("read", key)
              // the reader is answered before its value is written
              yield* awaitUntil(
                Effect.map(b.ask("peek", key), (found) => found === value),
                `${value} is stored: ${key}`
              )
              assert.deepStrictEqual(yield* readEverywhere(deployment, key), Array(4).fill(value))
              assert.strictEqual(deployment.loads(key), 1, key)
              yield* b.ask("set", key, `set by ${key}`)
              yield* agree(deployment, key, (found) => found === `set by ${key}`, `all read what was set: ${key}`)
            })
          )
        }),
      120_000
    )

    it.scoped(
      `${kind}: law 8: invalidation wins - in every process, whoever invalidates, and however`,
      () =>
        Effect.gen(function* () {
          const deployment = yield* deploy(kind)
          const expiries = ["expire", "expireTag", "expireAll", "expireStore"] as const
          for (const how of ["invalidate", "invalidateTag", "clear", ...expiries] as const) {
            yield* everyPair(deployment, (pair, [, a], [name, b]) =>
              Effect.gen(function* () {
                // the previous release expires nothing, and must not serve what this one has expired
                if (how.startsWith("expire") && name.startsWith("old")) return
                const key = `${how}-${pair}`
                const old = yield* a.ask("read", key)
                yield* readEverywhere(deployment, key)
                yield* b.ask(how, key)
                if (how === "expireStore" && kind === "hybrid") yield* oldHaveNone(deployment, key)
                yield* agree(deployment, key, (found) => found !== old, `nobody reads ${old} after ${how} of ${pair}`)
              })
            )
          }
        }),
      120_000
    )

    it.scoped(
      `${kind}: law 8: invalidation wins - over a load that began before it in another process`,
      () =>
        Effect.gen(function* () {
          const deployment = yield* deploy(kind)
          for (const how of ["invalidate", "invalidateTag", "clear", "set"] as const) {
            yield* everyPair(deployment, (pair, [, a], [, b]) =>
              Effect.gen(function* () {
                const key = `slow-${how}-${pair}`
                yield* a.ask("hold", key)
                const reading = yield* Effect.fork(a.ask("read", key))
                yield* awaitUntil(
                  Effect.sync(() => deployment.loads(key) === 1),
                  `the load of ${key} has begun`
                )
                yield* how === "set" ? b.ask("set", key, "set") : b.ask(how, key)
                yield* a.ask("release", key)
                const old = yield* Fiber.join(reading)
                yield* agree(deployment, key, (found) => found !== old, `nobody reads ${old}: ${key}`)
                if (how === "set") assert.deepStrictEqual(yield* readEverywhere(deployment, key), Array(4).fill("set"))
              })
            )
          }
        }),
      120_000
    )
  }
})

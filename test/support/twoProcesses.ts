/**
 * Two real processes on one Redis, `a` and `b`, with a cached function for each option of resilience
 * (`options-process.ts`). They are started once for many tests, which use keys of their own.
 */
import { fileURLToPath } from "node:url"
import { Context, Effect, Layer, type Scope } from "effect"
import { becomes } from "../laws/support.js"
import { bundle } from "./bundle.js"
import * as Child from "./child.js"
import type { Commands, Kind, Name, Settings } from "./options-process.js"
import { freshPrefix, RedisServer, TcpProxy } from "./redis.js"

export type { Kind, Name } from "./options-process.js"

export interface Process extends Child.Child<Commands> {
  /** Reads, and waits until what was loaded is in Redis. */
  readonly load: (of: Name, key: string) => Effect.Effect<string>
  /** Waits until the process sees this value, or none, without a load. */
  readonly sees: (of: Name, key: string, value: string | undefined) => Effect.Effect<void>
  /** Waits until a number of loads of a key have begun. */
  readonly loads: (key: string, count: number) => Effect.Effect<void>
}

export interface Pair {
  readonly kind: Kind
  readonly prefix: string
  readonly a: Process
  readonly b: Process
  /** The way of `a` to Redis. */
  readonly wayOfA: TcpProxy.TcpProxy
  /** Lets time go by in both, or in some. */
  readonly pass: (millis: number, processes?: ReadonlyArray<Process>) => Effect.Effect<void>
  /** Starts a third process, whose clock agrees with theirs. */
  readonly start: (settings: Partial<Settings>) => Effect.Effect<Process, never, Scope.Scope>
}

const extend = (child: Child.Child<Commands>): Process => ({
  ...child,
  load: (of, key) => Effect.zipLeft(child.ask("read", of, key), child.ask("written")),
  sees: (of, key, value) => becomes(child.ask("peek", of, key), value),
  loads: (key, count) => becomes(child.ask("loads", key), count)
})

export class Pairs extends Context.Tag("test/Pairs")<Pairs, Readonly<Record<Kind, Pair>>>() {
  static readonly layer: Layer.Layer<Pairs | RedisServer> = Layer.provideMerge(
    Layer.scoped(
      Pairs,
      Effect.gen(function* () {
        const program = yield* bundle(fileURLToPath(new URL("options-process.ts", import.meta.url)))
        return yield* Effect.all(
          { redis: startPair(program, "redis"), hybrid: startPair(program, "hybrid") },
          { concurrency: 2 }
        )
      })
    ),
    RedisServer.layer
  )
}

const startPair = (program: string, kind: Kind): Effect.Effect<Pair, never, RedisServer | Scope.Scope> =>
  Effect.gen(function* () {
    const { port, url } = yield* RedisServer
    const prefix = yield* freshPrefix
    const wayOfA = yield* TcpProxy.make(port)
    let elapsed = 0
    const start = (settings: Partial<Settings>) =>
      Effect.tap(
        Effect.map(
          Child.start<Commands>(program, {
            args: [JSON.stringify({ name: "c", url, prefix, kind, ...settings } satisfies Settings)]
          }),
          extend
        ),
        (child) => child.ask("pass", elapsed)
      )
    const [a, b] = yield* Effect.all([start({ name: "a", url: wayOfA.url, chance: 0.5 }), start({ name: "b" })], {
      concurrency: 2
    })
    yield* Effect.all([a.ask("well"), b.ask("well")])
    const pass: Pair["pass"] = (millis, processes = [a, b]) =>
      Effect.suspend(() => {
        if (processes.includes(b)) elapsed += millis
        return Effect.asVoid(Effect.forEach(processes, (each) => each.ask("pass", millis)))
      })
    return { kind, prefix, a, b, wayOfA, pass, start }
  })

/** Registers a test, which gets the pair and a key that no other test uses. */
export type Test = (
  name: string,
  body: (pair: Pair & { readonly key: string }) => Effect.Effect<void, never, RedisServer | Scope.Scope>
) => void

/**
 * A process with a store in memory and its snapshot: `snapshot-process.ts <path> <name>`. It runs the commands of a test.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, Option } from "effect"
import * as CacheSnapshot from "../../src/CacheSnapshot.js"
import { CacheStore, MemoryCache } from "../../src/index.js"
import { emit, serve } from "./child.js"

const [path, name] = process.argv.slice(2) as [string, string]

const store = <A, E>(use: (store: CacheStore.Service) => Effect.Effect<A, E>) => Effect.flatMap(CacheStore, use)
const keys = (count: number) => Array.from({ length: count }, (_, i) => `k${i}`)
const failureOf = <A, E extends Error, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: ({ message }) => message, onSuccess: () => undefined })

const commands = {
  /** Writes entries that have the name of this process and a generation. */
  fill: (generation: number, count: number) =>
    store((all) =>
      all.setMany(
        keys(count).map((key) => [key, `${name} ${generation} `.repeat(20)] as const),
        { ttl: "1 hour" }
      )
    ),
  save: () => CacheSnapshot.save({ path }),
  /** Saves over and over. */
  saveForever: () => Effect.forever(Effect.zipRight(CacheSnapshot.save({ path }), emit({ saved: name }))),
  /** How many entries there are, and the different values that they have. */
  all: (count: number) =>
    store((all) =>
      Effect.map(all.getMany<string>(keys(count)), (found) => {
        const values = found.flatMap(Option.toArray).map((value) => value.split(" ").slice(0, 2).join(" "))
        return { count: values.length, values: Array.from(new Set(values)) }
      })
    ),
  problems: () => store((all) => Effect.map(all.health, ({ problems }) => problems.map(({ name }) => name))),
  /** What loading and saving say once this process is that of another user. */
  asNobody: () =>
    Effect.suspend(() => {
      if (process.getuid!() === 0) {
        process.setegid!(65_534)
        process.seteuid!(65_534)
      }
      return Effect.all([failureOf(CacheSnapshot.load({ path })), failureOf(CacheSnapshot.save({ path }))])
    })
}

export type Commands = typeof commands

await serve<CacheStore | FileSystem.FileSystem | Path.Path>(commands).pipe(
  Effect.provide(
    Layer.provideMerge(
      Layer.provide(CacheSnapshot.layer({ path }), MemoryCache.layer({ capacity: Number.POSITIVE_INFINITY })),
      NodeContext.layer
    )
  ),
  Effect.runPromise
)

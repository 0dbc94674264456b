/**
 * A process with a store in a directory: `file-process.ts <directory> <name>`. It runs the commands of a test.
 */
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, Option } from "effect"
import * as FileCache from "../../src/FileCache.js"
import { Cached, CacheStore } from "../../src/index.js"
import { emit, serve } from "./child.js"

const [directory, name] = process.argv.slice(2) as [string, string]

const held = new Map<string, () => void>()

const find = Cached.ttl(
  (key: string) =>
    Effect.zipRight(
      emit({ loading: key }),
      Effect.async<string>((resume) => void held.set(key, () => resume(Effect.succeed(`loaded by ${name}`))))
    ),
  { key: "find:{}", ttl: "1 hour" }
)

const store = <A, E>(use: (store: CacheStore.Service) => Effect.Effect<A, E>) => Effect.flatMap(CacheStore, use)
const hour = { ttl: "1 hour" } as const

const commands = {
  get: (key: string) => store((all) => Effect.map(all.get(key), Option.getOrUndefined)),
  set: (key: string, value: unknown) => store((all) => all.set(key, value, hour)),
  remove: (key: string) => store((all) => all.remove(key)),
  clear: () => store((all) => all.clear),
  /** Calls `setIfAbsent` for each of `keys` keys. Returns how many of them this process has written. */
  absent: (keys: number) =>
    store((all) =>
      Effect.map(
        Effect.all(
          Array.from({ length: keys }, (_, i) => all.setIfAbsent(`absent:${i}`, name, hour)),
          { concurrency: 8 }
        ),
        (won) => won.filter((one) => one).length
      )
    ),
  /** Writes values whose every byte can be checked, and reports each hundred. */
  burst: (from: number, keys: number) =>
    store((all) =>
      Effect.forEach(
        Array.from({ length: keys / 100 }, (_, i) => from + 100 * i),
        (first) =>
          Effect.zipRight(
            all.setMany(
              Array.from({ length: 100 }, (_, i) => [`burst:${first + i}`, `${first + i} `.repeat(500)] as const),
              hour
            ),
            emit({ written: first + 100 })
          ),
        { discard: true }
      )
    ),
  /** Starts a load that ends after `loaded`. */
  load: (key: string) => find(key),
  loaded: (key: string) => Effect.sync(() => held.get(key)!()),
  peek: (key: string) => Effect.map(find.peek(key), Option.getOrUndefined),
  invalidate: (key: string) => find.invalidate(key),
  errors: () => store((all) => Effect.map(all.stats, ({ storeErrors }) => storeErrors))
}

export type Commands = typeof commands

await serve(commands).pipe(
  Effect.provide(Layer.provide(FileCache.layer({ directory, marksEvery: "50 millis" }), NodeContext.layer)),
  Effect.runPromise
)

/**
 * A store in memory that survives a restart: a program runs twice, and then once more with a damaged file.
 *
 *     npx tsx examples/snapshot.ts
 */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"
import * as CacheSnapshot from "effect-cached/CacheSnapshot"

interface Forecast {
  readonly city: string
  readonly degrees: number
}

/** Stands for a slow service: it prints what it is asked. */
const askService = (city: string): Effect.Effect<Forecast> =>
  Console.log(`  asks the service for ${city}`).pipe(
    Effect.zipRight(Effect.sleep("50 millis")),
    Effect.as({ city, degrees: city.length })
  )

const forecast = Cached.ttl(askService, { key: "forecast:{}", ttl: "1 hour", tags: (found) => [found.city] })

/** One run of the program: it reads some forecasts, and a storm changes one of them. */
const program = (storm?: string) =>
  Effect.gen(function* () {
    for (const city of ["Oslo", "Rome", "Lima"]) {
      const { degrees } = yield* forecast(city)
      yield* Console.log(`  ${city}: ${degrees} °C`)
    }
    if (storm === undefined) return
    const store = yield* CacheStore
    yield* store.tags.invalidate([storm])
    yield* Console.log(`  a storm over ${storm}: its forecast is invalidated`)
  })

const main = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const { join } = yield* Path.Path
  const directory = yield* files.makeTempDirectoryScoped()
  const path = join(directory, "forecasts.snapshot")

  // the store of one run; the file is saved when its Layer closes
  const Store = CacheSnapshot.layer({ path, every: "1 minute" }).pipe(
    Layer.provide(MemoryCache.layer({ capacity: 1_000 }))
  )
  const run = (title: string, effect: Effect.Effect<void, never, CacheStore>) =>
    Effect.zipRight(Console.log(`\n${title}`), Effect.provide(effect, Store))

  yield* run("The first run has no file, and loads everything.", program("Lima"))
  const { mode, size } = yield* files.stat(path)
  yield* Console.log(`  the file has ${size} bytes, and the mode ${(mode & 0o777).toString(8)}`)

  yield* run("The second run loads what was invalidated.", program())

  yield* files.truncate(path, 100)
  yield* run("A file that was cut is a Warning, and an empty start.", program())
})

main.pipe(Effect.scoped, Effect.provide(NodeContext.layer), NodeRuntime.runMain)

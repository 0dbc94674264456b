/**
 * What do events cost a hit in memory? With nobody listening, with a subscriber, with a subscriber and sampling, and
 * with a listener. The last three include the time in which the events are taken.
 */
import { Effect, Layer, ManagedRuntime, Stream } from "effect"
import { Cached, CacheListener, CacheStore, MemoryCache } from "effect-cached"
import { type Contender, type Group, groupSection, type Section } from "./support/harness.js"

const hits = 50_000

/** After how many hits the fiber lets the subscriber take the events, as a server does between requests. */
const turn = 100

const loop = (once: (i: number) => Effect.Effect<unknown, never, CacheStore>): Effect.Effect<void, never, CacheStore> =>
  Effect.gen(function* () {
    for (let i = 0; i < hits; i++) yield* once(i)
  })

/** Hits in memory on a store of their own, with somebody who listens. */
const contender = (
  name: string,
  store: Layer.Layer<CacheStore>,
  listening: Layer.Layer<never, never, CacheStore> = Layer.empty
): Contender => ({
  name,
  operations: hits,
  run: Effect.suspend(() => {
    const runtime = ManagedRuntime.make(Layer.provideMerge(listening, store))
    const cached = Cached.ttl(Effect.succeed(42), { key: "answer", ttl: "1 hour" })
    const once = (i: number) => (i % turn === 0 ? Effect.zipRight(Effect.yieldNow(), cached) : cached)
    return Effect.map(
      Effect.promise(() => runtime.runtime()),
      ({ context }) => Effect.provide(loop(once), context)
    )
  })
})

const subscriber = Layer.scopedDiscard(
  Effect.flatMap(CacheStore, (store) => Effect.forkScoped(Stream.runDrain(store.events)))
)

const group = (): Omit<Group, "title"> => ({
  floor: "nobody listens",
  clock: "cpu",
  rounds: 21,
  contenders: [
    contender("nobody listens", MemoryCache.layer({ name: "nobody" })),
    contender("nobody listens, another store", MemoryCache.layer({ name: "another" })),
    contender("a subscriber", MemoryCache.layer({ name: "subscribed" }), subscriber),
    contender(
      "a subscriber, eventSampling 0.01",
      MemoryCache.layer({ name: "sampled", eventSampling: 0.01 }),
      subscriber
    ),
    contender(
      "a listener",
      MemoryCache.layer({ name: "listened" }),
      CacheListener.layer({ onHit: ({ key }) => void key.length })
    )
  ]
})

export const events: ReadonlyArray<Section> = [groupSection("events, a hit in memory", group)]

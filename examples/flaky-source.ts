/**
 * A day in front of a source that fails, is slow and is overloaded: what callers see with each option, as a table. Time
 * is virtual, so that the day takes seconds.
 *
 *     npx tsx examples/flaky-source.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Data, Duration, Effect, Random } from "effect"
import { Cached, type CacheStore, MemoryCacheLive } from "effect-cached"
import { number, time } from "./support/print.js"
import * as VirtualClock from "./support/virtualClock.js"

class SourceDown extends Data.TaggedError("SourceDown")<{}> {}

const hours = (count: number): number => count * 3_600_000

/** Stands for the API of another company. It fails now and then, and has three bad times a day. */
const makeSource = () => {
  let calls = 0
  const price = (id: string) =>
    Effect.gen(function* () {
      calls++
      const now = yield* Clock.currentTimeMillis
      const chance = yield* Random.next
      const isIn = (from: number, to: number): boolean => now >= hours(from) && now < hours(to)
      if (isIn(6, 6.5)) return yield* Effect.delay(new SourceDown(), "2 seconds")
      if (isIn(12, 12.5)) yield* Effect.sleep("8 seconds")
      const isOverloaded = isIn(18, 20)
      yield* Effect.sleep(isOverloaded ? "1 second" : "100 millis")
      return chance < (isOverloaded ? 0.3 : 0.02) ? yield* new SourceDown() : `${id}: ${Math.ceil(100 * chance)}`
    })
  return { price, calls: () => calls }
}

type Price = (id: string) => Effect.Effect<string, SourceDown, CacheStore>

const base = { key: "price:{}", ttl: "5 minutes" } as const
// failures that no caller sees are expected here, so they are not logged
const kept = { ...base, staleIfError: "6 hours", retryAfter: "30 seconds", onError: () => Effect.void } as const
const ahead = { ...kept, refreshAhead: 0.8, jitter: 0.1 } as const

const variants: Readonly<Record<string, (price: Price) => Price>> = {
  "no cache": (price) => price,
  ttl: Cached.ttl(base),
  "and staleIfError": Cached.ttl(kept),
  "and refreshAhead": Cached.ttl(ahead),
  "and timeout": Cached.ttl({ ...ahead, timeout: { soft: "300 millis" } })
}

/** A request every twenty seconds, for one of six prices, some of which are asked for more often. */
const every = Duration.seconds(20)
const requests = (24 * 3_600) / 20

const day = (variant: (price: Price) => Price) =>
  Effect.gen(function* () {
    const clock = VirtualClock.make()
    const { calls, price } = makeSource()
    const read = variant(price)
    let failed = 0
    let slow = 0
    let longest = 0
    const request = Effect.gen(function* () {
      const began = clock.unsafeCurrentTimeMillis()
      const exit = yield* Effect.exit(read(`p${Math.floor(6 * (yield* Random.next) ** 3)}`))
      const waited = clock.unsafeCurrentTimeMillis() - began
      if (exit._tag === "Failure") failed++
      if (waited > 500) slow++
      longest = Math.max(longest, waited)
    })
    const traffic = Effect.repeatN(Effect.zipRight(Effect.sleep(every), Effect.fork(request)), requests - 1)
    const all = Effect.zipRight(Effect.fork(traffic), clock.pass(hours(24) + 60_000))
    yield* Effect.scoped(Effect.provide(all, MemoryCacheLive)).pipe(
      Effect.withClock(clock),
      Effect.withRandom(Random.make("the same day"))
    )
    return { calls: calls(), failed, slow, longest }
  })

const columns = [18, 11, 11, 9, 13, 12]
const row = (...cells: ReadonlyArray<string>): string =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(columns[i]!) : cell.padStart(columns[i]!))).join("")

const program = Effect.gen(function* () {
  yield* Console.log(row("", "requests", "failed", "calls", "over 500 ms", "longest"))
  for (const [name, variant] of Object.entries(variants)) {
    const { calls, failed, longest, slow } = yield* day(variant)
    yield* Console.log(
      row(name, number(requests), number(failed), number(calls), number(slow), time(Duration.millis(longest)))
    )
  }
})

program.pipe(NodeRuntime.runMain)

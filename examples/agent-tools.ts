/**
 * An agent with three tools: two that read and one that writes. The agent is a script, so that everybody sees the same:
 * what the cache answers, what a write invalidates, how a loop ends.
 *
 *     npx tsx examples/agent-tools.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect } from "effect"
import { type AgentLoopDetected, type CacheStore, MemoryCacheLive, ToolCache } from "effect-cached"

class Refused extends Data.TaggedError("Refused")<{ readonly reason: string }> {
  override get message(): string {
    return this.reason
  }
}

// ---------------------------------------------------------------------------------------------------------- the tools

/** Stands for the API of an airline: slow, and it prints its requests. */
const seats = new Map([
  ["LH 454", 2],
  ["UA 901", 0]
])
const request = (text: string) => Effect.zipRight(Console.log(`      API: ${text}`), Effect.sleep("30 millis"))

// The same for every user, so all sessions share the entries.
const seatsLeft = ToolCache.read(
  (query: { readonly flight: string }) =>
    Effect.gen(function* () {
      yield* request(`seats of ${query.flight}`)
      const left = seats.get(query.flight)
      return left === undefined ? yield* new Refused({ reason: `there is no flight ${query.flight}` }) : left
    }),
  { name: "seatsLeft", resource: "seats", ttl: "1 minute" }
)

// What this tool answers depends on who asks, and no argument says who that is: an entry belongs to one session.
const preferences = ToolCache.read(() => Effect.as(request("preferences of the user"), "window"), {
  name: "preferences",
  resource: "profile",
  ttl: "10 minutes",
  scope: "session"
})

const book = ToolCache.write(
  (flight: string, seat: string) =>
    Effect.gen(function* () {
      yield* request(`book ${flight}, ${seat}`)
      const left = seats.get(flight) ?? 0
      if (left === 0) return yield* new Refused({ reason: `${flight} is full` })
      seats.set(flight, left - 1)
      return `${left - 1} left`
    }),
  { name: "book", resource: "seats" }
)

// ---------------------------------------------------------------------------------------------------------- the agents

type Step = Effect.Effect<string | number, Refused | AgentLoopDetected, CacheStore | ToolCache.Session>

/** Stands for a language model: it calls one tool after the other and reads the answers. */
const agent = (id: string, steps: ReadonlyArray<readonly [call: string, step: Step]>) =>
  Effect.gen(function* () {
    yield* Console.log(`\n${id}`)
    for (const [call, step] of steps) {
      yield* Console.log(`  ${call}`)
      const answer = yield* step.pipe(
        // the model gets to know why, so that it can do something else
        Effect.catchAll((error) => Effect.succeed(`${error._tag}: ${error.message}`))
      )
      yield* Console.log(`      ${answer}`)
    }
    const { counts } = yield* ToolCache.Session
    for (const [tool, { calls, hits, loops, runs }] of Object.entries(yield* counts) as ReadonlyArray<
      [string, ToolCache.ToolCounts]
    >) {
      yield* Console.log(`  ${tool}: ${calls} calls, ${hits} from the cache, ${runs} runs, ${loops} in a loop`)
    }
  }).pipe(ToolCache.session({ id, maxRepeats: 3 }))

const left = (flight: string) => [`seatsLeft ${flight}`, seatsLeft({ flight })] as const

const program = Effect.gen(function* () {
  yield* agent("Ada's agent books a seat", [
    left("LH 454"),
    left("LH 454"),
    ["preferences", preferences()],
    ["book LH 454", book("LH 454", "window")],
    left("LH 454"),
    ["preferences", preferences()]
  ])

  yield* agent("Grace's agent shares what is the same for all, and nothing else", [
    left("LH 454"),
    ["preferences", preferences()]
  ])

  yield* agent("An agent that waits for a seat, and never stops asking", [
    left("UA 901"),
    left("UA 901"),
    left("UA 901"),
    left("UA 901")
  ])

  yield* agent("An agent that tries the same two things in turn", [
    left("UA 901"),
    ["book UA 901", book("UA 901", "aisle")],
    left("UA 901"),
    ["book UA 901", book("UA 901", "aisle")]
  ])
})

program.pipe(Effect.provide(MemoryCacheLive), NodeRuntime.runMain)

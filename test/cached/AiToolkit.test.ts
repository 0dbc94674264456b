/**
 * The toolkits of `@effect/ai`, cached: through their handlers, and as a language model calls them.
 */
import { LanguageModel, type Response, Tool, Toolkit } from "@effect/ai"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { AgentLoopDetected, CacheStore, MemoryCache, MemoryCacheLive, ToolCache } from "effect-cached"
import * as AiToolkit from "../../src/AiToolkit.js"
import * as RedisCache from "../../src/RedisCache.js"
import { defectOf, stats } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"

class Note extends Schema.Class<Note>("Note")({ id: Schema.String, text: Schema.String, at: Schema.Date }) {}

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.String }) {}

class Notebook extends Context.Tag("test/Notebook")<Notebook, { readonly texts: Map<string, string> }>() {}

const ReadNote = Tool.make("ReadNote", {
  parameters: { id: Schema.String, trim: Schema.optional(Schema.Boolean) },
  success: Note,
  failure: Schema.Union(NotFound, AiToolkit.AgentLoop)
})
const WriteNote = Tool.make("WriteNote", {
  parameters: { id: Schema.String, text: Schema.String },
  failure: Schema.String
})
const ReadMine = Tool.make("ReadMine", { success: Schema.Number, dependencies: [ToolCache.Session] })
const Ping = Tool.make("Ping", { success: Schema.String })

const Notes = Toolkit.make(ReadNote, WriteNote, ReadMine, Ping)

/** The handlers of a toolkit, which count their runs. */
const setUp = (store: Layer.Layer<CacheStore, unknown> = MemoryCacheLive) => {
  const runs: Array<string> = []
  const texts = new Map([["a", "first"]])
  const handlers = AiToolkit.cached(
    Notes,
    {
      ReadNote: ({ id }) =>
        Effect.gen(function* () {
          runs.push(`read ${id}`)
          const text = (yield* Notebook).texts.get(id)
          return text === undefined ? yield* new NotFound({ id }) : new Note({ id, text, at: new Date(0) })
        }),
      WriteNote: ({ id, text }) =>
        Effect.flatMap(Notebook, ({ texts }) => {
          runs.push(`write ${id}`)
          if (text === "") return Effect.fail("no text")
          texts.set(id, text)
          return Effect.void
        }),
      ReadMine: () => Effect.sync(() => runs.push("mine")),
      Ping: () => Effect.sync(() => `pong ${runs.push("ping")}`)
    },
    {
      ReadNote: { reads: "notes", ttl: "1 hour" },
      WriteNote: { writes: "notes", onLoop: (loop) => loop.reason },
      ReadMine: { reads: "mine", ttl: "1 hour", scope: "session", onLoop: "die" }
    }
  )
  const live = Notes.toLayer(handlers).pipe(
    Layer.provide(Layer.succeed(Notebook, { texts })),
    Layer.provideMerge(Layer.orDie(store))
  )
  return { runs, live }
}

const inSession = ToolCache.session({ id: "s", maxRepeats: 2 })

describe("AiToolkit.cached", () => {
  it.effect("reads - are cached by their parameters, and a tool without a policy is not", () => {
    const { live, runs } = setUp()
    return Effect.gen(function* () {
      const { handle } = yield* Notes
      const { encodedResult, isFailure, result } = yield* handle("ReadNote", { id: "a" })
      assert.deepStrictEqual(result, new Note({ id: "a", text: "first", at: new Date(0) }))
      assert.deepStrictEqual(
        [isFailure, encodedResult],
        [false, { id: "a", text: "first", at: new Date(0).toISOString() }]
      )
      yield* handle("ReadNote", { id: "a" })
      yield* handle("ReadNote", { id: "a", trim: true })
      yield* Effect.all([handle("Ping", {}), handle("Ping", {})])
      assert.deepStrictEqual(runs, ["read a", "read a", "ping", "ping"])
      // a failure is not stored
      assert.strictEqual((yield* Effect.flip(handle("ReadNote", { id: "z" })))._tag, "NotFound")
      assert.strictEqual((yield* Effect.flip(handle("ReadNote", { id: "z" })))._tag, "NotFound")
      assert.lengthOf(runs, 6)
    }).pipe(Effect.provide(live), inSession)
  })

  it.effect("writes - invalidate what tools of the resource have read, also if they fail", () => {
    const { live, runs } = setUp()
    return Effect.gen(function* () {
      const { handle } = yield* Notes
      yield* handle("ReadNote", { id: "a" })
      yield* handle("WriteNote", { id: "a", text: "second" })
      assert.strictEqual(((yield* handle("ReadNote", { id: "a" })).result as Note).text, "second")
      assert.strictEqual(yield* Effect.flip(handle("WriteNote", { id: "a", text: "" })), "no text")
      yield* handle("ReadNote", { id: "a" })
      assert.deepStrictEqual(runs, ["read a", "write a", "read a", "write a", "read a"])
    }).pipe(Effect.provide(live), ToolCache.session({ id: "s" }))
  })

  it.effect("scope session - an entry belongs to the session of the call, not to the place of the Layer", () => {
    const { live, runs } = setUp()
    const twice = Effect.flatMap(Notes, ({ handle }) => Effect.all([handle("ReadMine", {}), handle("ReadMine", {})]))
    return Effect.gen(function* () {
      yield* Effect.all([inSession(twice), inSession(twice)])
      assert.deepStrictEqual(runs, ["mine", "mine"])
      assert.deepStrictEqual((yield* stats).entries, Option.some(0))
    }).pipe(Effect.provide(live), ToolCache.session({ id: "outer" }))
  })

  it.effect("a loop - is the failure of the tool, what onLoop makes of it, or a defect", () => {
    const { live } = setUp()
    return Effect.gen(function* () {
      const { handle } = yield* Notes
      const third = <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.zipRight(Effect.zipRight(call, call), call)
      assert.instanceOf(yield* Effect.flip(third(handle("ReadNote", { id: "a" }))), AgentLoopDetected)
      assert.strictEqual(yield* Effect.flip(third(handle("WriteNote", { id: "a", text: "x" }))), "Repeated")
      const died = defectOf(yield* Effect.exit(third(handle("ReadMine", {}))))
      assert.instanceOf(died, AgentLoopDetected)
      assert.deepStrictEqual((died as AgentLoopDetected).tools, ["ReadMine"])
    }).pipe(Effect.provide(live), inSession)
  })

  it.effect("key, tags, version, name and store - as in ToolCache.read", () => {
    class Other extends CacheStore.Tag("test/AiStore")<Other>() {}
    const runs: Array<number> = []
    const Square = Toolkit.make(Tool.make("Square", { parameters: { n: Schema.Number }, success: Schema.Number }))
    const live = Square.toLayer(
      AiToolkit.cached(
        Square,
        { Square: ({ n }) => Effect.sync(() => runs.push(n)).pipe(Effect.as(n * n)) },
        {
          Square: {
            reads: "numbers",
            ttl: (value, { n }) => (value === n ? "1 second" : "1 minute"),
            key: ({ n }) => `square:${Math.abs(n)}`,
            tags: (value, { n }) => [`${n}/${value}`],
            version: 2,
            name: "mine",
            onLoop: "die"
          }
        },
        { store: Other }
      )
    ).pipe(Layer.provideMerge(Layer.scoped(Other, MemoryCache.make())))
    return Effect.gen(function* () {
      const { handle } = yield* Square
      yield* handle("Square", { n: 3 })
      yield* handle("Square", { n: -3 })
      const store = yield* Other
      assert.isTrue(yield* store.has("square:3#v2"))
      assert.strictEqual((yield* store.stats).caches.mine?.hits, 1)
      yield* store.tags.invalidate(["3/9"])
      yield* handle("Square", { n: -3 })
      assert.deepStrictEqual(runs, [3, -3])
    }).pipe(Effect.provide(live))
  })

  it.effect("a language model - its calls are answered from the cache, and a loop is a result that it reads", () => {
    const runs: Array<string> = []
    const Search = Toolkit.make(
      Tool.make("Search", {
        parameters: { text: Schema.String },
        success: Schema.String,
        failure: AiToolkit.AgentLoop,
        failureMode: "return"
      })
    )
    const live = Search.toLayer(
      AiToolkit.cached(
        Search,
        { Search: ({ text }) => Effect.sync(() => `found ${runs.push(text)}`) },
        { Search: { reads: "web", ttl: "1 hour" } }
      )
    )
    const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }
    // a model that asks for the same search in each of its turns
    const model = LanguageModel.make({
      generateText: () =>
        Effect.succeed<Array<Response.PartEncoded>>([
          { type: "tool-call", id: "1", name: "Search", params: { text: "cache" } },
          { type: "finish", reason: "tool-calls", usage }
        ]),
      streamText: () => Stream.empty
    })
    return Effect.gen(function* () {
      const turn = LanguageModel.generateText({ prompt: "search", toolkit: Search })
      const results = (yield* Effect.all([turn, turn, turn])).map(({ toolResults }) => toolResults[0]!)
      assert.deepStrictEqual(
        results.map(({ isFailure, encodedResult }) => [isFailure, encodedResult]),
        [
          [false, "found 1"],
          [false, "found 1"],
          [
            true,
            {
              _tag: "AgentLoopDetected",
              reason: "Repeated",
              tools: ["Search"],
              limit: 2,
              message: (results[2]!.result as AgentLoopDetected).message
            }
          ]
        ]
      )
      assert.deepStrictEqual(yield* (yield* ToolCache.Session).counts, {
        Search: { calls: 3, hits: 1, runs: 1, loops: 1 }
      })
    }).pipe(
      Effect.provide(live),
      Effect.provideServiceEffect(LanguageModel.LanguageModel, model),
      Effect.provide(MemoryCacheLive),
      inSession
    )
  })

  layer(RedisServer.layer)("on Redis", (it) => {
    it.scoped("results - come back in another process as the success schema of the tool makes them", () =>
      Effect.gen(function* () {
        const { url } = yield* RedisServer
        const prefix = yield* freshPrefix
        const read = Effect.flatMap(Notes, ({ handle }) => handle("ReadNote", { id: "a" }))
        const processes = [setUp(RedisCache.layer({ url, prefix })), setUp(RedisCache.layer({ url, prefix }))]
        for (const { live } of processes) {
          const { result } = yield* read.pipe(Effect.provide(live), inSession)
          assert.instanceOf(result, Note)
          assert.deepStrictEqual((result as Note).at, new Date(0))
        }
        assert.deepStrictEqual(
          processes.map(({ runs }) => runs.length),
          [1, 0]
        )
      })
    )
  })
})

describe("AiToolkit.AgentLoop", () => {
  it("what is encoded - has the names and the message, and neither arguments nor session", () => {
    const loop = new AgentLoopDetected({
      reason: "Alternating",
      tools: ["a", "b"],
      limit: 2,
      args: ["secret"],
      session: "secret"
    })
    const encoded = Schema.encodeSync(AiToolkit.AgentLoop)(loop)
    assert.notInclude(JSON.stringify(encoded), "secret")
    const decoded = Schema.decodeSync(AiToolkit.AgentLoop)(JSON.parse(JSON.stringify(encoded)))
    assert.deepStrictEqual([decoded.message, decoded.tools, decoded.args], [loop.message, loop.tools, []])
  })
})

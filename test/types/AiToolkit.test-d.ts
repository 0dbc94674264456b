/**
 * The types of cached toolkits: which policies a tool accepts, and what its handlers still require.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { Tool, Toolkit } from "@effect/ai"
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, type Layer, Schema } from "effect"
import * as AiToolkit from "../../src/AiToolkit.js"
import { CacheStore, ToolCache } from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, object>() {}
class Encoder extends Context.Tag("Encoder")<Encoder, object>() {}
class Others extends CacheStore.Tag("Others")<Others>() {}

const Read = Tool.make("Read", {
  parameters: { id: Schema.Number },
  success: Schema.String,
  failure: AiToolkit.AgentLoop
})
const Write = Tool.make("Write", { parameters: { id: Schema.Number }, failure: Schema.String })
const Mine = Tool.make("Mine", { success: Schema.Number, dependencies: [ToolCache.Session] })
const tools = Toolkit.make(Read, Write, Mine)

declare const db: Effect.Effect<string, never, Db>

const handlers = {
  Read: (_: { readonly id: number }) => db,
  Write: (_: { readonly id: number }) => Effect.asVoid(db),
  Mine: () => Effect.succeed(1)
}
const policies = {
  Read: { reads: "r", ttl: 1 },
  Write: { writes: "r", onLoop: "die" },
  Mine: { reads: "m", ttl: 1, scope: "session", onLoop: "die" }
} as const

describe("AiToolkit.cached", () => {
  it("handlers - may require what their tools do not declare, and the store", () => {
    const cached = AiToolkit.cached(tools, handlers, policies)
    expectTypeOf(cached).toEqualTypeOf<
      Effect.Effect<Toolkit.HandlersFrom<(typeof tools)["tools"]>, never, Db | CacheStore>
    >()
    expectTypeOf(tools.toLayer(cached)).toEqualTypeOf<
      Layer.Layer<Tool.HandlersFor<(typeof tools)["tools"]>, never, Db | CacheStore>
    >()
    expectTypeOf<Effect.Effect.Context<ReturnType<typeof store>>>().toEqualTypeOf<Db | Others>()
  })
  const store = () => AiToolkit.cached(tools, handlers, policies, { store: Others })

  it("inline handlers and callbacks - get the types of their tool", () => {
    AiToolkit.cached(
      tools,
      {
        ...handlers,
        Read: ({ id }) => {
          expectTypeOf(id).toEqualTypeOf<number>()
          return Effect.succeed("a")
        }
      },
      {
        Read: {
          reads: "r",
          ttl: (value, { id }) => {
            expectTypeOf(value).toEqualTypeOf<string>()
            expectTypeOf(id).toEqualTypeOf<number>()
            return 1
          },
          key: ({ id }) => `${id}`
        },
        Write: {
          writes: "r",
          onLoop: (loop) => loop.message
        }
      }
    )
  })

  it("onLoop - is required unless the tool may fail with AgentLoopDetected", () => {
    // @ts-expect-error Write fails with texts
    AiToolkit.cached(tools, handlers, { Write: { writes: "r" } })
    // @ts-expect-error not a failure of the tool
    AiToolkit.cached(tools, handlers, { Write: { writes: "r", onLoop: (loop) => loop } })
    AiToolkit.cached(tools, handlers, { Read: { reads: "r", ttl: 1, onLoop: "die" } })
  })

  it("scope session - is for tools that depend on a session", () => {
    // @ts-expect-error Read does not depend on one
    AiToolkit.cached(tools, handlers, { Read: { reads: "r", ttl: 1, scope: "session" } })
    // @ts-expect-error Mine depends on one, so other sessions would get its result
    AiToolkit.cached(tools, handlers, { Mine: { reads: "m", ttl: 1, onLoop: "die" } })
    // @ts-expect-error Mine depends on one, so other sessions would get its result
    AiToolkit.cached(tools, handlers, { Mine: { reads: "m", ttl: 1, scope: "global", onLoop: "die" } })
  })

  it("schema - is required if the success schema requires services", () => {
    const Encoded = Schema.transformOrFail(Schema.String, Schema.String, {
      strict: true,
      decode: (text) => Effect.as(Encoder, text),
      encode: (text) => Effect.as(Encoder, text)
    })
    const encoding = Toolkit.make(Tool.make("Encode", { success: Encoded, failure: AiToolkit.AgentLoop }))
    const encode = { Encode: () => Effect.succeed("a") }
    // @ts-expect-error no schema
    AiToolkit.cached(encoding, encode, { Encode: { reads: "r", ttl: 1 } })
    AiToolkit.cached(encoding, encode, { Encode: { reads: "r", ttl: 1, schema: Schema.String } })
  })

  it("wrong use - does not compile", () => {
    // @ts-expect-error no such tool
    AiToolkit.cached(tools, handlers, { Raed: { reads: "r", ttl: 1 } })
    // @ts-expect-error no ttl
    AiToolkit.cached(tools, handlers, { Read: { reads: "r" } })
    // @ts-expect-error both
    AiToolkit.cached(tools, handlers, { Read: { reads: "r", writes: "r", ttl: 1 } })
    // @ts-expect-error a handler is missing
    AiToolkit.cached(tools, { Read: handlers.Read, Write: handlers.Write }, {})
    // @ts-expect-error another result
    AiToolkit.cached(tools, { ...handlers, Mine: () => Effect.succeed("a") }, {})
  })
})

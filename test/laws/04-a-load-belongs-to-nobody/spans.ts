/**
 * The spans of loads and refreshes.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../../src/Cached.js"
import { recordingTracer } from "../../support/tracer.js"
import {
  begun,
  eventually,
  gate,
  isInterrupted,
  makeLookup,
  numbered,
  type StoreUnderTest,
  testOn,
  waiting
} from "../support.js"

export const spans = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("spans", () => {
    test("load - Cached.load is a child of the first caller's span and ends with the load", () =>
      Effect.gen(function* () {
        const { spans, tracer } = recordingTracer()
        const door = gate()
        const { lookup } = makeLookup((_: number) =>
          Effect.zipRight(door.pass, Effect.orDie(Effect.currentSpan)).pipe(Effect.map((span) => span.name))
        )
        const find = Cached.ttl(lookup, { key: "user:{}", ttl: "1 minute" })
        const traced = (name: string) => find(1).pipe(Effect.withSpan(name), Effect.withTracer(tracer))
        const first = yield* Effect.fork(traced("first"))
        yield* door.reached
        const second = yield* Effect.fork(traced("second"))
        yield* waiting(2)
        const [caller, load] = ["first", "Cached.load"].map((name) => spans.find((span) => span.name === name)!)
        assert.strictEqual(load!.parent, caller!.span)
        assert.strictEqual(load!.attributes.get("cache.name"), "user:{}")
        assert.strictEqual(load!.attributes.get("cache.outcome"), "miss")
        assert.match(String(load!.attributes.get("cache.key_hash")), /^[\w-]{8}$/)
        assert.strictEqual(load!.ends, 0)
        yield* door.open
        assert.strictEqual(yield* Fiber.join(first), "Cached.load")
        yield* Fiber.join(second)
        assert.strictEqual(load!.ends, 1)
        assert.strictEqual(load!.exit?._tag, "Success")
        assert.strictEqual(spans.filter((span) => span.name === "Cached.load").length, 1)
      }))

    test("refresh - Cached.refresh is linked to the reader's span, not its child", () =>
      Effect.gen(function* () {
        const { spans, tracer } = recordingTracer()
        const { lookup } = numbered((call) => Effect.succeed(call))
        const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        yield* find().pipe(Effect.withSpan("reader"), Effect.withTracer(tracer))
        yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
        const [reader, refresh] = ["reader", "Cached.refresh"].map((name) => spans.find((span) => span.name === name))
        assert.isUndefined(refresh!.parent)
        deepStrictEqual(
          refresh!.links.map(({ span }) => span),
          [reader!.span]
        )
        assert.strictEqual(refresh!.ends, 1)
        assert.isUndefined(spans.find((span) => span.name === "Cached.load"))
      }))

    test("refresh - with tracing disabled, the reader's span is not the parent of the lookup", () =>
      Effect.gen(function* () {
        const { spans, tracer } = recordingTracer()
        const seen: Array<unknown> = []
        const { lookup } = makeLookup(() =>
          Effect.map(Effect.option(Effect.currentParentSpan), (span) => {
            seen.push(Option.map(span, (span) => span._tag === "Span" && span.name))
            return seen.length
          })
        )
        const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        yield* find().pipe(Effect.withTracerEnabled(false), Effect.withSpan("reader"), Effect.withTracer(tracer))
        yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
        deepStrictEqual(seen, [Option.none(), Option.none()])
        deepStrictEqual(
          spans.map(({ name }) => name),
          ["reader"]
        )
      }))

    test("failure and interruption - the span ends with the load's exit", () =>
      Effect.gen(function* () {
        const { spans, tracer } = recordingTracer()
        const { calls, lookup } = makeLookup((key: string) => (key === "fail" ? Effect.fail("no") : Effect.never))
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
        const traced = (key: string) => find(key).pipe(Effect.withSpan("reader"), Effect.withTracer(tracer))
        yield* Effect.flip(traced("fail"))
        const fiber = yield* Effect.fork(traced("never"))
        yield* begun(calls, 2)
        yield* Fiber.interrupt(fiber)
        const loads = spans.filter(({ name }) => name === "Cached.load")
        deepStrictEqual(
          loads.map(({ ends, exit }) => [ends, exit?._tag, exit !== undefined && isInterrupted(exit)]),
          [
            [1, "Failure", false],
            [1, "Failure", true]
          ]
        )
      }))

    if (!store.remote) {
      test("hit - creates no span", () =>
        Effect.gen(function* () {
          const { spans, tracer } = recordingTracer()
          const find = Cached.ttl(Effect.succeed(1), { key: "k", ttl: "1 minute" })
          yield* find
          yield* find.pipe(Effect.withSpan("reader"), Effect.withTracer(tracer))
          deepStrictEqual(
            spans.map(({ name }) => name),
            ["reader"]
          )
        }))
    }
  })
}

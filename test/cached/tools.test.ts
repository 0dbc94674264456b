/**
 * The tools of AI agents: cached reads, writes that invalidate, and sessions with their loops and counts.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Logger, Option, pipe, TestClock } from "effect"
import {
  AgentLoopDetected,
  Cached,
  CacheStore,
  InvalidOption,
  Key,
  KeyError,
  MemoryCache,
  ToolCache,
  type ToolCache as Types
} from "effect-cached"
import * as RedisCache from "../../src/RedisCache.js"
import { becomes, defectOf, gate, makeLookup, numbered, settled, stats } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { hybrid } from "../support/redis-nodes.js"
import { on } from "./support.js"

const inSession = ToolCache.session({ id: "s" })

const lookUpOptions = { name: "lookUp", resource: "words", ttl: "1 hour" } as const

/** A tool that returns its argument and the number of its run. */
const lookUpTool = () => numbered((run, word: string) => Effect.succeed(`${word}${run}`))

const counts = Effect.flatMap(ToolCache.Session, (session) => session.counts)

/** The loop that a call is refused for. */
const loopOf = <A, E, R>(call: Effect.Effect<A, E | AgentLoopDetected, R>) =>
  Effect.map(Effect.flip(call), (error) => {
    assert.instanceOf(error, AgentLoopDetected)
    return error as AgentLoopDetected
  })

/** Runs a test on its own logger. Returns the Warnings that were logged. */
const warnings = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const messages: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel.label === "WARN") messages.push(String(message))
  })
  return Effect.as(Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger)), messages)
}

describe("ToolCache.read", () => {
  it.effect("is a cached function: one run per arguments, and for its ttl", () =>
    Effect.gen(function* () {
      const { calls, lookup } = lookUpTool()
      const lookUp = ToolCache.read(lookup, lookUpOptions)
      assert.deepStrictEqual(yield* Effect.all([lookUp("a"), lookUp("a"), lookUp("b")]), ["a1", "a1", "b2"])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* lookUp("a"), "a3")
      assert.lengthOf(calls, 3)
    }).pipe(on)
  )

  it.effect("key - by default Key.hash of all arguments, of any number and type", () =>
    Effect.gen(function* () {
      const { calls, lookup } = numbered(
        (_, text: string, of: { readonly tags: ReadonlyArray<string> }, page?: number) =>
          Effect.succeed([text, of.tags.length, page])
      )
      const search = ToolCache.read(lookup, { name: "search", resource: "r", ttl: "1 hour" })
      yield* search("a", { tags: ["x"] })
      yield* search("a", { tags: ["x"] })
      yield* search("a", { tags: ["y"] })
      yield* search("a", { tags: ["y"] }, 2)
      assert.lengthOf(calls, 3)
      assert.strictEqual(search.key("a", { tags: [] }, 1), `tool:search:${Key.hash(["a", { tags: [] }, 1])}`)
      yield* (yield* CacheStore).remove(search.key("a", { tags: ["x"] }))
      yield* search("a", { tags: ["x"] })
      assert.lengthOf(calls, 4)
    }).pipe(on)
  )

  it.effect("key - two tools with equal arguments share nothing", () =>
    Effect.gen(function* () {
      const one = ToolCache.read((x: number) => Effect.succeed(x), { name: "one", resource: "r", ttl: "1 hour" })
      const two = ToolCache.read((x: number) => Effect.succeed(-x), { name: "two", resource: "r", ttl: "1 hour" })
      assert.deepStrictEqual(yield* Effect.all([one(1), two(1), one(1)]), [1, -1, 1])
    }).pipe(on)
  )

  it.effect("key - a function or a template of the arguments, and what a template ignores", () =>
    Effect.gen(function* () {
      const { calls, lookup } = numbered((_, id: number, note: string) => Effect.succeed(`${id}${note}`))
      const byFunction = ToolCache.read(lookup, { ...lookUpOptions, key: (id, note) => `f:${id}:${note}` })
      const byTemplate = ToolCache.read(lookup, { ...lookUpOptions, name: "t", key: "t:{0}", ignore: [1] })
      yield* Effect.all([byFunction(1, "a"), byFunction(1, "a"), byFunction(1, "b")])
      assert.lengthOf(calls, 2)
      yield* Effect.all([byTemplate(1, "a"), byTemplate(1, "b"), byTemplate(2, "b")])
      assert.lengthOf(calls, 4)
      assert.deepStrictEqual([byFunction.key(1, "a"), byTemplate.key(1, "a")], ["f:1:a", "t:1"])
    }).pipe(on)
  )

  it.effect("arguments without a hash are the defect KeyError, which names the tool", () =>
    Effect.gen(function* () {
      const tool = ToolCache.read((_: () => void) => Effect.succeed(1), { name: "odd", resource: "r", ttl: 1 })
      for (const run of [tool(() => {}), inSession(tool(() => {}))]) {
        const defect = defectOf(yield* Effect.exit(run))
        assert.instanceOf(defect, KeyError)
        assert.include((defect as KeyError).message, "odd")
      }
    }).pipe(on)
  )

  it.effect("members - act on the entry of their arguments", () =>
    Effect.gen(function* () {
      const { lookup } = lookUpTool()
      const lookUp = ToolCache.read(lookup, lookUpOptions)
      assert.deepStrictEqual(yield* lookUp.peek("a"), Option.none())
      yield* lookUp("a")
      assert.strictEqual(yield* lookUp.refresh("a"), "a2")
      assert.deepStrictEqual(yield* lookUp.peek("a"), Option.some("a2"))
      assert.strictEqual(Option.getOrThrow(yield* lookUp.entry("a")).state, "fresh")
      yield* lookUp.set("a")("set")
      assert.strictEqual(yield* lookUp("a"), "set")
      yield* lookUp.invalidate("a")
      assert.strictEqual(yield* lookUp("a"), "a3")
      yield* lookUp.clear
      assert.strictEqual(yield* lookUp("a"), "a4")
    }).pipe(on)
  )

  it.effect("data-last - the same", () =>
    Effect.gen(function* () {
      const { calls, lookup } = lookUpTool()
      const lookUp = pipe(lookup, ToolCache.read(lookUpOptions))
      yield* Effect.all([lookUp("a"), lookUp("a")])
      assert.lengthOf(calls, 1)
    }).pipe(on)
  )

  it.effect("ttl, tags and version - as in Cached.ttl, with the value and the arguments", () =>
    Effect.gen(function* () {
      const { calls, lookup } = lookUpTool()
      const lookUp = ToolCache.read(lookup, {
        ...lookUpOptions,
        version: 2,
        ttl: (value, word) => (value.startsWith(word) && word === "short" ? "1 minute" : "1 hour"),
        tags: (value, word) => [`${word}/${value.length}`]
      })
      yield* Effect.all([lookUp("short"), lookUp("long")])
      assert.match(lookUp.key("long"), /#v2$/)
      yield* TestClock.adjust("1 minute")
      yield* Effect.all([lookUp("short"), lookUp("long")])
      assert.lengthOf(calls, 3)
      yield* Cached.invalidateTags(["long/5"])
      yield* Effect.all([lookUp("short"), lookUp("long")])
      assert.lengthOf(calls, 4)
    }).pipe(on)
  )

  it.effect("store - the tag of another store, for reads and for writes", () => {
    class Other extends CacheStore.Tag("test/ToolStore")<Other>() {}
    return Effect.gen(function* () {
      const { calls, lookup } = lookUpTool()
      const lookUp = ToolCache.read(lookup, { ...lookUpOptions, store: Other })
      yield* inSession(Effect.all([lookUp("a"), lookUp("a")]))
      assert.deepStrictEqual((yield* (yield* Other).stats).entries, Option.some(1))
      yield* ToolCache.write(() => Effect.void, { resource: "words", store: Other })()
      yield* lookUp("a")
      assert.lengthOf(calls, 2)
    }).pipe(Effect.provide(Layer.scoped(Other, MemoryCache.make())))
  })

  it.effect("Cached.capture - the captured tool needs no store, and its calls and runs are still counted", () =>
    Effect.gen(function* () {
      class Words extends Context.Tag("test/Words")<Words, { readonly of: (word: string) => string }>() {}
      const inner = ToolCache.read((word: string) => Effect.map(Words, ({ of }) => of(word)), lookUpOptions)
      const outer = ToolCache.read((word: string) => inner(word), { name: "outer", resource: "words", ttl: "1 hour" })
      const captured = yield* pipe(
        Cached.capture(outer),
        Effect.provideService(Words, { of: (word) => word.toUpperCase() })
      )
      const run: Effect.Effect<void, AgentLoopDetected, Types.Session> = Effect.gen(function* () {
        assert.strictEqual(yield* captured("a"), "A")
        assert.strictEqual(yield* captured("a"), "A")
        assert.deepStrictEqual(yield* counts, {
          outer: { calls: 2, hits: 1, runs: 1, loops: 0 },
          lookUp: { calls: 1, hits: 0, runs: 1, loops: 0 }
        })
      })
      yield* inSession(run)
    }).pipe(on)
  )

  it.effect("options - an empty name or resource, and an unknown scope, are the defect InvalidOption", () =>
    Effect.sync(() => {
      const tool = (x: number) => Effect.succeed(x)
      for (const options of [
        { ...lookUpOptions, name: "" },
        { ...lookUpOptions, resource: "" },
        { ...lookUpOptions, scope: "user" as "global" }
      ]) {
        assert.throws(() => ToolCache.read(tool, options), InvalidOption)
      }
      assert.throws(() => ToolCache.write(tool, { resource: "" }), InvalidOption)
    })
  )
})

describe("ToolCache.write", () => {
  it.effect("invalidates every entry of its resource, and none of another", () =>
    Effect.gen(function* () {
      const { calls, lookup } = lookUpTool()
      const lookUp = ToolCache.read(lookup, lookUpOptions)
      const other = ToolCache.read(lookup, { ...lookUpOptions, name: "other", resource: "others" })
      const reads = Effect.all([lookUp("a"), lookUp("b"), other("a")])
      yield* reads
      assert.strictEqual(yield* ToolCache.write((x: number) => Effect.succeed(x), { resource: "words" })(7), 7)
      yield* reads
      assert.lengthOf(calls, 5)
    }).pipe(on)
  )

  for (const [how, end] of [
    ["succeeds", Effect.succeed(1)],
    ["fails", Effect.fail("refused")],
    ["dies", Effect.die("broken")],
    ["is interrupted", Effect.interrupt]
  ] as const) {
    it.effect(`invalidates before it runs and again when it ${how}`, () =>
      Effect.gen(function* () {
        let stored = "old"
        const lookUp = ToolCache.read((_: string) => Effect.sync(() => stored), lookUpOptions)
        yield* lookUp("a")
        const seen: Array<unknown> = []
        const write = ToolCache.write(
          () =>
            Effect.gen(function* () {
              seen.push(Option.isSome(yield* lookUp.peek("a")))
              // a read while it runs stores the old value
              seen.push(yield* lookUp("a"))
              stored = "new"
              return yield* end
            }),
          { resource: "words" }
        )
        yield* Effect.exit(write())
        assert.deepStrictEqual(seen, [false, "old"])
        assert.strictEqual(yield* lookUp("a"), "new")
      }).pipe(on)
    )
  }

  it.effect("a run of a read that began before the write ended stores nothing", () =>
    Effect.gen(function* () {
      const door = gate()
      const { calls, lookup } = makeLookup((_: string) => Effect.as(door.pass, "old"))
      const lookUp = ToolCache.read(lookup, lookUpOptions)
      const reading = yield* Effect.fork(lookUp("a"))
      yield* door.reached
      yield* ToolCache.write(() => Effect.void, { resource: "words" })()
      yield* door.open
      assert.strictEqual(yield* Fiber.join(reading), "old")
      yield* lookUp("a")
      assert.lengthOf(calls, 2)
    }).pipe(on)
  )

  it.effect("an interruption that arrives while it runs waits for the second invalidation", () =>
    Effect.gen(function* () {
      const lookUp = ToolCache.read((word: string) => Effect.succeed(word), lookUpOptions)
      const door = gate()
      const write = ToolCache.write(() => Effect.zipRight(lookUp("a"), door.pass), { resource: "words" })
      const writing = yield* Effect.fork(write())
      yield* door.reached
      assert.isTrue(Option.isSome(yield* lookUp.peek("a")))
      yield* Fiber.interrupt(writing)
      assert.isTrue(Option.isNone(yield* lookUp.peek("a")))
    }).pipe(on)
  )

  it.effect("reaches the entries of all sessions, and other functions with the tag", () =>
    Effect.gen(function* () {
      const { calls, lookup } = lookUpTool()
      const lookUp = ToolCache.read(lookup, { ...lookUpOptions, scope: "session" })
      const plain = Cached.ttl(
        Effect.sync(() => calls.length),
        { key: "plain", ttl: "1 hour", tags: ["words"] }
      )
      yield* inSession(
        Effect.gen(function* () {
          yield* lookUp("a")
          assert.strictEqual(yield* plain, 1)
          yield* ToolCache.session(ToolCache.write(() => Effect.void, { resource: "words" })(), { id: "other" })
          yield* lookUp("a")
          assert.strictEqual(yield* plain, 2)
        })
      )
    }).pipe(on)
  )

  it.effect("data-last - the same; the name is that of the function, or the resource", () =>
    Effect.gen(function* () {
      const rename = (_: number) => Effect.void
      const renamed = pipe(rename, ToolCache.write({ resource: "words" }))
      yield* Effect.gen(function* () {
        yield* renamed(1)
        yield* ToolCache.write(
          (
            () => () =>
              Effect.void
          )(),
          { resource: "words" }
        )()
        yield* ToolCache.write(rename, { resource: "words", name: "mine" })(1)
        assert.hasAllKeys(yield* counts, ["rename", "words", "mine"])
      }).pipe(inSession)
    }).pipe(on)
  )
})

describe("ToolCache.session", () => {
  const tool = (options: Partial<Pick<Types.SessionOptions, "onLoop" | "maxDepth" | "maxRepeats">> = {}) => {
    const { calls, lookup } = lookUpTool()
    return {
      calls,
      lookUp: ToolCache.read(lookup, lookUpOptions),
      session: ToolCache.session({ id: "s", ...options })
    }
  }

  describe("loops", () => {
    it.effect("the same call more than maxRepeats times - the 6th with the default of 5, hits included", () =>
      Effect.gen(function* () {
        const { calls, lookUp, session } = tool()
        yield* session(
          Effect.gen(function* () {
            for (let i = 0; i < 5; i++) assert.strictEqual(yield* lookUp("a"), "a1")
            const loop = yield* loopOf(lookUp("a"))
            assert.deepStrictEqual([loop.reason, loop.tools, loop.limit], ["Repeated", ["lookUp"], 5])
            // other arguments are another call
            assert.strictEqual(yield* lookUp("b"), "b2")
            assert.strictEqual((yield* loopOf(lookUp("a"))).reason, "Repeated")
          })
        )
        assert.lengthOf(calls, 2)
      }).pipe(on)
    )

    it.effect("the same call - need not be consecutive, and counts while it runs", () =>
      Effect.gen(function* () {
        const { lookUp, session } = tool({ maxRepeats: 2 })
        yield* session(
          Effect.gen(function* () {
            for (const word of ["a", "b", "c", "a", "d", "e"]) yield* lookUp(word)
            assert.strictEqual((yield* loopOf(lookUp("a"))).reason, "Repeated")
            const exits = yield* Effect.all(Effect.replicate(Effect.exit(lookUp("z")), 4), { concurrency: "unbounded" })
            assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, true, false, false])
          })
        )
      }).pipe(on)
    )

    it.effect("other tools with the same arguments, or with the same key - are other calls", () =>
      Effect.gen(function* () {
        const write = (name: string) => ToolCache.write((_: string) => Effect.void, { resource: "words", name })
        const read = (name: string) =>
          ToolCache.read((id: string) => Effect.succeed(id), { name, resource: "words", ttl: "1 hour", key: "item:{}" })
        const names = ["a", "b", "c"]
        yield* ToolCache.session({ id: "s", maxRepeats: 1 })(
          Effect.gen(function* () {
            yield* Effect.forEach(names, (name) => write(name)("x"))
            yield* Effect.forEach(names, (name) => read(name)("x"))
          })
        )
        const [first, second] = [write("first"), write("second")]
        const loop = yield* inSession(loopOf(Effect.all([first("x"), second("x"), first("x"), second("x")])))
        assert.deepStrictEqual([loop.reason, loop.tools], ["Alternating", ["first", "second"]])
      }).pipe(on)
    )

    it.effect("A-B-A-B - the fourth of two calls that take turns", () =>
      Effect.gen(function* () {
        const { lookUp, session } = tool()
        const write = ToolCache.write((_: string) => Effect.void, { resource: "words", name: "write" })
        yield* session(
          Effect.gen(function* () {
            yield* lookUp("x")
            for (let i = 0; i < 2; i++) {
              yield* lookUp("a")
              if (i === 0) yield* write("b")
            }
            const loop = yield* loopOf(write("b"))
            assert.deepStrictEqual([loop.reason, loop.tools], ["Alternating", ["lookUp", "write"]])
            assert.include(loop.message, '"lookUp" and "write"')
          })
        )
        // other arguments, or a call between them, make it no loop
        yield* session(
          Effect.forEach(["a", "b", "a", "c", "a", "b", "c", "b", "a"], (word) => lookUp(word), { discard: true })
        )
        const alone = yield* session(loopOf(Effect.forEach(["a", "b", "a", "b"], (word) => lookUp(word))))
        assert.deepStrictEqual([alone.reason, alone.tools], ["Alternating", ["lookUp", "lookUp"]])
      }).pipe(on)
    )

    /** A tool that calls itself until it is as deep as asked. */
    const nest: (depth: number, of: string) => Effect.Effect<number, AgentLoopDetected, CacheStore> = ToolCache.read(
      (depth: number, of: string): Effect.Effect<number, AgentLoopDetected, CacheStore> =>
        depth === 1 ? Effect.succeed(1) : Effect.map(nest(depth - 1, of), (below) => below + 1),
      { name: "nest", resource: "r", ttl: "1 hour" }
    )

    it.effect("depth - 50 tools within each other by default, the 51st is a loop", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* inSession(nest(50, "x")), 50)
        const loop = yield* inSession(loopOf(nest(51, "y")))
        assert.deepStrictEqual([loop.reason, loop.tools, loop.limit], ["TooDeep", ["nest"], 50])
        assert.strictEqual((yield* ToolCache.session(loopOf(nest(3, "z")), { id: "s", maxDepth: 2 })).limit, 2)
        assert.strictEqual(yield* nest(60, "without a session"), 60)
      }).pipe(on)
    )

    it.effect("depth - is that of a chain, not of the session, and a write counts", () =>
      Effect.gen(function* () {
        const { lookUp } = tool()
        const write = ToolCache.write((word: string) => lookUp(word), { resource: "r", name: "write" })
        yield* ToolCache.session({ id: "s", maxDepth: 2 })(
          Effect.forEach(["a", "b", "c"], (word) => write(word), { discard: true })
        )
        const loop = yield* ToolCache.session({ id: "s", maxDepth: 1 })(loopOf(write("z")))
        assert.deepStrictEqual([loop.reason, loop.tools], ["TooDeep", ["write", "lookUp"]])
      }).pipe(on)
    )

    it.effect("what a tool calls while it runs - is compared with other calls of that run only", () =>
      Effect.gen(function* () {
        const settings = ToolCache.read(() => Effect.succeed("en"), { name: "settings", resource: "s", ttl: "1 hour" })
        const send = ToolCache.write((_: number) => settings(), { resource: "mail", name: "send" })
        yield* inSession(Effect.forEach([1, 2, 3, 4, 5, 6, 7], (n) => send(n)))
        const stuck = ToolCache.write(() => Effect.all(Effect.replicate(settings(), 6)), { resource: "mail" })
        assert.strictEqual((yield* inSession(loopOf(stuck()))).reason, "Repeated")
      }).pipe(on)
    )

    it.effect("limits of Infinity - look for no loop", () =>
      Effect.gen(function* () {
        const { lookUp, session } = tool({ maxRepeats: Infinity, maxDepth: Infinity })
        yield* session(Effect.forEach(["a", "b", "a", "b", "a", "b", "a", "a", "a", "a", "a"], (word) => lookUp(word)))
        assert.strictEqual(yield* session(nest(70, "x")), 70)
      }).pipe(on)
    )

    it.effect("a write whose arguments have no hash - is compared with no other call, and runs", () =>
      Effect.gen(function* () {
        const write = ToolCache.write((_: () => void) => Effect.succeed(1), { resource: "r" })
        const odd = () => {}
        yield* inSession(Effect.all(Effect.replicate(write(odd), 10)))
      }).pipe(on)
    )

    it.effect("a call that a loop refuses - does not run, and a write invalidates nothing", () =>
      Effect.gen(function* () {
        const { calls, lookUp } = tool()
        let writes = 0
        const write = ToolCache.write(() => Effect.sync(() => ++writes), { resource: "words" })
        yield* ToolCache.session({ id: "s", maxRepeats: 1 })(
          Effect.gen(function* () {
            yield* write()
            yield* lookUp("a")
            yield* loopOf(write())
            assert.strictEqual(writes, 1)
            assert.deepStrictEqual(yield* lookUp.peek("a"), Option.some("a1"))
          })
        )
        assert.lengthOf(calls, 1)
      }).pipe(on)
    )
  })

  describe("onLoop", () => {
    it.effect(
      "fail - AgentLoopDetected has the names of tools in its message, arguments and session in fields only",
      () =>
        Effect.gen(function* () {
          const { lookUp } = tool()
          const loop = yield* ToolCache.session({ id: "secret-session", maxRepeats: 1 })(
            loopOf(Effect.zipRight(lookUp("secret-word"), lookUp("secret-word")))
          )
          assert.strictEqual(loop._tag, "AgentLoopDetected")
          assert.deepStrictEqual([loop.args, loop.session], [["secret-word"], "secret-session"])
          assert.include(loop.message, '"lookUp"')
          const shown = [String(loop), loop.message, JSON.stringify(loop), Cause.pretty(Cause.fail(loop)), loop.stack]
          for (const text of shown) assert.notInclude(text, "secret")
        }).pipe(on)
    )

    it.effect("warn - the tool goes on, and a loop is one Warning per session", () =>
      Effect.gen(function* () {
        const { calls, lookUp, session } = tool({ onLoop: "warn", maxRepeats: 2 })
        const logged = yield* warnings(
          session(
            Effect.gen(function* () {
              for (let i = 0; i < 6; i++) assert.strictEqual(yield* lookUp("a"), "a1")
              yield* lookUp.invalidate("a")
              assert.strictEqual(yield* lookUp("a"), "a2")
              assert.strictEqual((yield* counts).lookUp?.loops, 5)
            })
          )
        )
        assert.lengthOf(calls, 2)
        assert.lengthOf(logged, 1)
        assert.include(logged[0], '"lookUp"')
        assert.lengthOf(yield* warnings(session(Effect.all(Effect.replicate(lookUp("a"), 4)))), 1)
      }).pipe(on)
    )

    it.effect("shortCircuit - the stored value, and the tool does not run", () =>
      Effect.gen(function* () {
        const { calls, lookUp, session } = tool({ onLoop: "shortCircuit", maxRepeats: 2 })
        yield* session(
          Effect.gen(function* () {
            yield* Effect.all([lookUp("a"), lookUp("a")])
            assert.strictEqual(yield* lookUp("a"), "a1")
            yield* lookUp.set("a")("set")
            assert.strictEqual(yield* lookUp("a"), "set")
            assert.deepStrictEqual(yield* counts, { lookUp: { calls: 4, hits: 3, runs: 1, loops: 2 } })
            // nothing is stored: the failure
            yield* lookUp.invalidate("a")
            assert.strictEqual((yield* loopOf(lookUp("a"))).reason, "Repeated")
          })
        )
        assert.lengthOf(calls, 1)
      }).pipe(on)
    )

    it.effect("shortCircuit - a write has no stored value, so it fails", () =>
      Effect.gen(function* () {
        const write = ToolCache.write(() => Effect.succeed(1), { resource: "r" })
        yield* ToolCache.session({ id: "s", maxRepeats: 1, onLoop: "shortCircuit" })(
          Effect.zipRight(write(), loopOf(write()))
        )
      }).pipe(on)
    )
  })

  describe("scope session", () => {
    const ofSession = { ...lookUpOptions, scope: "session" } as const

    it.effect("entries - belong to the session, also beside one with the same id and after one with it", () =>
      Effect.gen(function* () {
        const { calls, lookup } = lookUpTool()
        const lookUp = ToolCache.read(lookup, ofSession)
        const twice = Effect.all([lookUp("a"), lookUp("a")])
        assert.deepStrictEqual(yield* inSession(twice), ["a1", "a1"])
        assert.deepStrictEqual(yield* inSession(twice), ["a2", "a2"])
        const both = yield* Effect.all([inSession(twice), inSession(twice)], { concurrency: "unbounded" })
        assert.deepStrictEqual(
          both.map(([first, second]) => first === second),
          [true, true]
        )
        assert.lengthOf(calls, 4)
      }).pipe(on)
    )

    it.effect("keys - have the random nonce of the session", () =>
      Effect.gen(function* () {
        const lookUp = ToolCache.read((word: string) => Effect.succeed(word), { ...ofSession, key: "word:{}" })
        const one = yield* inSession(lookUp.key("a"))
        const two = yield* inSession(lookUp.key("a"))
        assert.match(one, /^session:[\w-]{22}:word:a$/)
        assert.notStrictEqual(one, two)
        assert.strictEqual(...(yield* inSession(Effect.all([lookUp.key("a"), lookUp.key("a")]))))
      }).pipe(on)
    )

    it.effect("members - act on the entry of the current session; clear on those of all", () =>
      Effect.gen(function* () {
        const { lookup } = lookUpTool()
        const lookUp = ToolCache.read(lookup, ofSession)
        yield* inSession(
          Effect.gen(function* () {
            yield* lookUp("a")
            yield* inSession(Effect.all([lookUp.invalidate("a"), lookUp.set("a")("other"), lookUp.peek("a")]))
            assert.deepStrictEqual(yield* lookUp.peek("a"), Option.some("a1"))
            assert.strictEqual(Option.getOrThrow(yield* lookUp.entry("a")).value, "a1")
            assert.strictEqual(yield* lookUp.refresh("a"), "a2")
            yield* inSession(lookUp.clear)
            assert.strictEqual(yield* lookUp("a"), "a3")
          })
        )
      }).pipe(on)
    )

    it.effect("without a session - is a defect that says what is missing", () =>
      Effect.gen(function* () {
        const lookUp = ToolCache.read((word: string) => Effect.succeed(word), ofSession)
        // the types require a session
        const exit = yield* Effect.exit(lookUp("a") as Effect.Effect<string, AgentLoopDetected, CacheStore>)
        assert.include(String(defectOf(exit)), "ToolCache.session")
      }).pipe(on)
    )

    it.effect("the end - memory keeps no entry of the session, and those of others; no mark is raised", () =>
      Effect.gen(function* () {
        const { lookup } = lookUpTool()
        const lookUp = ToolCache.read(lookup, ofSession)
        const shared = ToolCache.read(lookup, { ...lookUpOptions, name: "shared" })
        yield* inSession(
          Effect.gen(function* () {
            yield* Effect.all([lookUp("other session"), shared("a")])
            const before = yield* stats
            for (const end of [Effect.void, Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
              yield* Effect.exit(inSession(Effect.all([lookUp("a"), lookUp("b"), lookUp.set("c")("c"), end])))
            }
            const after = yield* stats
            assert.deepStrictEqual(after.entries, before.entries)
            assert.strictEqual(after.evictions.explicit, 12)
            assert.deepStrictEqual(yield* lookUp.peek("other session"), Option.some("other session1"))
          })
        )
        assert.deepStrictEqual((yield* stats).entries, Option.some(1))
      }).pipe(on)
    )

    it.effect("the end - a load that still runs stores nothing, and neither does a later read", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = makeLookup((word: string) => Effect.as(door.pass, word))
        const lookUp = ToolCache.read(lookup, ofSession)
        const again = gate()
        const late = yield* inSession(
          Effect.gen(function* () {
            const late = yield* Effect.forkDaemon(
              Effect.zipRight(lookUp("a"), Effect.zipRight(again.pass, lookUp("a")))
            )
            yield* door.reached
            return late
          })
        )
        yield* door.open
        yield* again.open
        assert.strictEqual(yield* Fiber.join(late), "a")
        assert.lengthOf(calls, 2)
        assert.deepStrictEqual((yield* stats).entries, Option.some(0))
      }).pipe(on)
    )

    it.effect(
      "the end - at most 10 000 entries are remembered, the last ones; the rest is a problem of the store",
      () =>
        Effect.gen(function* () {
          const read = ToolCache.read((n: number) => Effect.succeed(n), { ...ofSession, key: "n:{}" })
          yield* inSession(
            Effect.forEach(
              Array.from({ length: 10_003 }, (_, n) => n),
              (n) => read(n),
              { discard: true }
            )
          )
          assert.deepStrictEqual((yield* stats).entries, Option.some(3))
          const { problems } = yield* (yield* CacheStore).health
          assert.deepStrictEqual(
            problems.map(({ name, subject }) => [name, subject]),
            [["SessionTooLarge", "lookUp"]]
          )
        }).pipe(Effect.provide(MemoryCache.layer({ capacity: 100_000 })))
    )
  })

  describe("sessions", () => {
    it.effect("parallel sessions - do not see each other's calls", () =>
      Effect.gen(function* () {
        const { calls, lookUp, session } = tool({ maxRepeats: 3 })
        const agent = Effect.zipRight(
          Effect.all(Effect.replicate(Effect.zipLeft(lookUp("a"), Effect.yieldNow()), 3)),
          counts
        )
        const all = yield* Effect.all(Effect.replicate(session(agent), 4), { concurrency: "unbounded" })
        assert.deepStrictEqual(
          all.map((counts) => counts.lookUp?.calls),
          [3, 3, 3, 3]
        )
        assert.lengthOf(calls, 1)
      }).pipe(on)
    )

    it.effect("a run that a loop of one session ends - is begun again for the sessions that joined it", () =>
      Effect.gen(function* () {
        const { lookUp } = tool()
        const door = gate()
        const outer = ToolCache.read(() => Effect.zipRight(door.pass, Effect.all(Effect.replicate(lookUp("a"), 3))), {
          name: "outer",
          resource: "r",
          ttl: "1 hour"
        })
        const strict = ToolCache.session({ id: "strict", maxRepeats: 2 })
        const first = yield* Effect.fork(strict(loopOf(outer())))
        yield* door.reached
        const joined = yield* Effect.fork(inSession(outer()))
        const without = yield* Effect.fork(outer())
        yield* settled
        yield* door.open
        assert.strictEqual((yield* Fiber.join(first)).session, "strict")
        assert.deepStrictEqual(yield* Fiber.join(joined), ["a1", "a1", "a1"])
        assert.deepStrictEqual(yield* Fiber.join(without), ["a1", "a1", "a1"])
      }).pipe(on)
    )

    it.effect("runs that loops of many sessions end - fail none that has no loop", () =>
      Effect.gen(function* () {
        const { lookUp } = tool()
        const door = gate()
        const outer = ToolCache.read(() => Effect.zipRight(door.pass, Effect.all(Effect.replicate(lookUp("a"), 3))), {
          name: "outer",
          resource: "r",
          ttl: "1 hour"
        })
        const strict = yield* Effect.forEach(["1", "2", "3", "4", "5", "6"], (id) =>
          Effect.fork(ToolCache.session({ id, maxRepeats: 2 })(loopOf(outer())))
        )
        yield* door.reached
        const joined = yield* Effect.fork(inSession(outer()))
        yield* settled
        yield* door.open
        const loops = yield* Effect.forEach(strict, Fiber.join)
        assert.deepStrictEqual(
          loops.map(({ session }) => session),
          ["1", "2", "3", "4", "5", "6"]
        )
        assert.deepStrictEqual(yield* Fiber.join(joined), ["a1", "a1", "a1"])
      }).pipe(on)
    )

    it.effect("a session within a session - replaces it, and the outer one goes on after it", () =>
      Effect.gen(function* () {
        const { lookUp, session } = tool({ maxRepeats: 2 })
        yield* session(
          Effect.gen(function* () {
            yield* Effect.all([lookUp("a"), lookUp("a")])
            yield* session(Effect.all([lookUp("a"), lookUp("a")]))
            assert.strictEqual((yield* loopOf(lookUp("a"))).reason, "Repeated")
          })
        )
      }).pipe(on)
    )

    it.effect("counts - calls, hits, runs and loops of each tool; members are no calls", () =>
      Effect.gen(function* () {
        const { lookUp } = tool()
        const write = ToolCache.write(() => Effect.fail("no"), { resource: "words", name: "write" })
        yield* ToolCache.session({ id: "chat", maxRepeats: 2 })(
          Effect.gen(function* () {
            yield* Effect.all([lookUp("a"), lookUp("a"), Effect.flip(lookUp("a")), lookUp("b")])
            yield* Effect.flip(write())
            yield* lookUp.peek("a")
            yield* lookUp.refresh("a")
            assert.deepStrictEqual(yield* counts, {
              lookUp: { calls: 4, hits: 1, runs: 3, loops: 1 },
              write: { calls: 1, hits: 0, runs: 1, loops: 0 }
            })
            assert.strictEqual((yield* ToolCache.Session).id, "chat")
          })
        )
      }).pipe(on)
    )

    it.effect("a tool that throws - is a defect of its call", () =>
      Effect.gen(function* () {
        const throwing = (): Effect.Effect<number> => {
          throw new Error("thrown")
        }
        for (const tool of [
          ToolCache.read(throwing, { name: "t", resource: "r", ttl: 1 }),
          ToolCache.write(throwing, { resource: "r" })
        ]) {
          for (const run of [tool(), inSession(tool())]) {
            assert.include(String(defectOf(yield* Effect.exit(run))), "thrown")
          }
        }
      }).pipe(on)
    )

    it.effect("a store that caches nothing - every call runs its tool, and loops are found", () =>
      Effect.gen(function* () {
        const { calls, lookup } = lookUpTool()
        const lookUp = ToolCache.read(lookup, { ...lookUpOptions, scope: "session" })
        yield* ToolCache.session({ id: "s", maxRepeats: 2 })(
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* Effect.all([lookUp("a"), lookUp("a")]), ["a1", "a2"])
            yield* loopOf(lookUp("a"))
            assert.deepStrictEqual(yield* counts, { lookUp: { calls: 3, hits: 0, runs: 2, loops: 1 } })
          })
        )
        assert.lengthOf(calls, 2)
      }).pipe(Effect.provide(CacheStore.layerNoop))
    )

    it.effect("Cached.reload and Cached.bypass - run the tool, and the call is counted", () =>
      Effect.gen(function* () {
        const { lookUp } = tool()
        yield* inSession(
          Effect.gen(function* () {
            yield* lookUp("a")
            assert.strictEqual(yield* Cached.reload(lookUp("a")), "a2")
            assert.strictEqual(yield* Cached.bypass(lookUp("a")), "a3")
            assert.strictEqual(yield* lookUp("a"), "a2")
            assert.deepStrictEqual(yield* counts, { lookUp: { calls: 4, hits: 1, runs: 3, loops: 0 } })
          })
        )
      }).pipe(on)
    )

    it.effect("Cached.invalidates - takes a tool of a session as its target", () =>
      Effect.gen(function* () {
        const { lookup } = lookUpTool()
        const lookUp = ToolCache.read(lookup, { ...lookUpOptions, scope: "session" })
        const change = Cached.invalidates((_: string) => Effect.void, lookUp)
        yield* inSession(
          Effect.gen(function* () {
            yield* lookUp("a")
            yield* change("a")
            assert.strictEqual(yield* lookUp("a"), "a2")
          })
        )
      }).pipe(on)
    )

    it.effect("options - an invalid one is the defect InvalidOption, when the session begins", () =>
      Effect.gen(function* () {
        for (const options of [
          { id: "" },
          { id: "s", maxRepeats: 0 },
          { id: "s", maxDepth: 1.5 },
          { id: "s", onLoop: "ignore" as "warn" }
        ]) {
          assert.instanceOf(defectOf(yield* Effect.exit(ToolCache.session(Effect.void, options))), InvalidOption)
        }
      })
    )
  })
})

describe("ToolCache on Redis", () => {
  layer(RedisServer.layer)((it) => {
    const keysOf = (prefix: string) =>
      Effect.flatMap(RedisServer, ({ client }) =>
        Effect.map(
          Effect.promise(() => client.keys(`${prefix}*`)),
          (keys) => keys.map((key) => key.slice(prefix.length)).sort()
        )
      )
    const kinds = {
      redis: (prefix: string) => Effect.map(RedisServer, ({ url }) => RedisCache.layer({ url, prefix })),
      hybrid: (prefix: string) => Effect.map(RedisServer, ({ url }) => RedisCache.layerHybrid({ l2: { url, prefix } }))
    } as const

    for (const [kind, layerOf] of Object.entries(kinds)) {
      it.scoped(`${kind} - reads, a write that invalidates, and a loop`, () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const { calls, lookup } = lookUpTool()
          const lookUp = ToolCache.read(lookup, lookUpOptions)
          const write = ToolCache.write(() => Effect.void, { resource: "words" })
          yield* Effect.gen(function* () {
            assert.deepStrictEqual(yield* Effect.all([lookUp("a"), lookUp("a")]), ["a1", "a1"])
            yield* write()
            assert.strictEqual(yield* lookUp("a"), "a2")
            yield* Effect.all([lookUp("a"), lookUp("a")])
            assert.strictEqual((yield* loopOf(lookUp("a"))).reason, "Repeated")
          }).pipe(inSession, Effect.provide(yield* layerOf(prefix)))
          assert.lengthOf(calls, 2)
        })
      )

      it.scoped(
        `${kind} - a session leaves its entries to their ttl, raises no mark, and no later session finds them`,
        () =>
          Effect.gen(function* () {
            const prefix = yield* freshPrefix
            const { client } = yield* RedisServer
            const { calls, lookup } = lookUpTool()
            const lookUp = ToolCache.read(lookup, { ...lookUpOptions, key: "word:{}", scope: "session" })
            yield* Effect.gen(function* () {
              const marks = Effect.promise(() => client.hgetall(`${prefix}!{marks}:stamps`))
              const [before, marksBefore] = yield* Effect.all([keysOf(prefix), marks])
              const key = yield* inSession(Effect.zipRight(lookUp("a"), lookUp.key("a")))
              yield* becomes(
                Effect.map(keysOf(prefix), (keys) => keys.filter((key) => !before.includes(key))),
                [key]
              )
              const left = yield* Effect.promise(() => client.pttl(prefix + key))
              assert.isTrue(left > 0 && left <= 3_600_000, `${left}`)
              const entries = (yield* stats).entries
              if (kind === "hybrid") assert.deepStrictEqual(entries, Option.some(0))
              assert.strictEqual(yield* inSession(lookUp("a")), "a2")
              assert.deepStrictEqual(yield* marks, marksBefore)
              // a write is what raises one
              yield* ToolCache.write(() => Effect.void, { resource: "words" })()
              assert.notDeepEqual(yield* marks, marksBefore)
            }).pipe(Effect.provide(yield* layerOf(prefix)))
            assert.lengthOf(calls, 2)
          })
      )
    }

    it.scoped("two processes - a write in one invalidates what a session of the other has read", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const [a, b] = [yield* hybrid({ l2: { prefix } }), yield* hybrid({ l2: { prefix } })]
        const { calls, lookup } = lookUpTool()
        const lookUp = ToolCache.read(lookup, { ...lookUpOptions, scope: "session" })
        const write = ToolCache.write(() => Effect.void, { resource: "words" })
        yield* a.run(
          inSession(
            Effect.gen(function* () {
              yield* lookUp("a")
              yield* b.run(write())
              yield* becomes(Effect.map(lookUp.peek("a"), Option.isNone), true)
              yield* lookUp("a")
            })
          )
        )
        assert.lengthOf(calls, 2)
      })
    )
  })
})

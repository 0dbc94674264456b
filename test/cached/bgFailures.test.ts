// node:assert, because the deep equality of chai accepts Some and None as equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import { Cached } from "../../src/index.js"
import { becomes, numbered, recordWarnings, stats, until } from "../laws/support.js"
import { every, on } from "./support.js"

describe("Cached.bg", () => {
  describe("onError", () => {
    it.scoped("cause - it receives each failure, defects included, and no Warning is logged", () => {
      const { lines, layer } = recordWarnings()
      const seen: Array<Cause.Cause<string>> = []
      const { lookup } = numbered((call) =>
        call === 1
          ? Effect.fail("one")
          : call === 2
            ? Effect.die("two")
            : call === 3
              ? Effect.succeed(3)
              : Effect.fail("four")
      )
      return Effect.gen(function* () {
        yield* Effect.asVoid(Cached.bg(lookup(), { ...every, onError: (cause) => Effect.sync(() => seen.push(cause)) }))
        yield* until(() => seen.length === 1, "the first failure")
        yield* TestClock.adjust("60 seconds")
        yield* until(() => seen.length === 2, "the second failure")
        yield* TestClock.adjust("60 seconds")
        yield* TestClock.adjust("60 seconds")
        yield* until(() => seen.length === 3, "the third failure")
        deepStrictEqual(seen, [Cause.fail("one"), Cause.die("two"), Cause.fail("four")])
        deepStrictEqual(lines, [])
      }).pipe(on, Effect.provide(layer))
    })

    for (const [what, onError] of [
      [
        "throws",
        (): Effect.Effect<never> => {
          throw new Error("in onError")
        }
      ],
      ["dies", () => Effect.die("in onError")],
      ["fails", () => Effect.fail("in onError")],
      ["interrupts itself", () => Effect.interrupt],
      ["never ends", () => Effect.never]
    ] as const) {
      it.scoped(`a handler that ${what} - the value stays, and the schedule goes on`, () => {
        const { lookup, calls } = numbered((call) => (call === 2 ? Effect.fail("down") : Effect.succeed(call)))
        return on(
          Effect.gen(function* () {
            const flags = yield* Cached.bg(lookup(), { ...every, onError })
            yield* becomes(flags.peek, Option.some(1))
            yield* TestClock.adjust("60 seconds")
            yield* until(() => calls.length === 2, "a run failed")
            assert.strictEqual(yield* flags, 1)
            yield* TestClock.adjust("60 seconds")
            yield* becomes(flags.peek, Option.some(3))
            assert.strictEqual(yield* flags, 3)
          })
        )
      })
    }

    it.scoped("a handler that never ends - is interrupted when the scope closes", () => {
      let ended = 0
      const { lookup } = numbered(() => Effect.fail("down"))
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const hanging = Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
          let began = 0
          const onError = () =>
            Effect.zipRight(
              Effect.sync(() => began++),
              hanging
            )
          yield* Effect.asVoid(Scope.extend(Cached.bg(lookup(), { ...every, onError }), scope))
          yield* until(() => began === 1, "onError began")
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual(ended, 1)
        })
      )
    })

    it.scoped("no handler - a Warning names the function", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        yield* Effect.asVoid(Cached.bg(Effect.fail("down"), every))
        yield* until(() => lines.length === 1, "the Warning")
        assert.include(lines[0], "loader of k failed")
      }).pipe(on, Effect.provide(layer))
    })

    it.scoped("services - it gets those of the place where the loader was started", () => {
      class Reporter extends Context.Tag("test/Reporter")<Reporter, { readonly seen: Array<unknown> }>() {}
      const seen: Array<unknown> = []
      return on(
        Effect.gen(function* () {
          yield* Effect.asVoid(
            Cached.bg(Effect.fail("down"), {
              ...every,
              onError: (cause) => Effect.map(Reporter, (reporter) => reporter.seen.push(Cause.squash(cause)))
            })
          )
          yield* until(() => seen.length === 1, "the report")
          deepStrictEqual(seen, ["down"])
        }).pipe(Effect.provideService(Reporter, { seen }))
      )
    })
  })

  describe("flightTimeout", () => {
    const hangsAt = (which: number) => numbered((call) => (call === which ? Effect.never : Effect.succeed(call)))

    for (const [interval, timeout] of [
      [60_000, 120_000],
      [5_000, 30_000]
    ] as const) {
      it.scoped(
        `default - with an interval of ${interval} ms, a hanging run is ended after ${timeout} ms and reported, and the schedule goes on`,
        () => {
          const seen: Array<Cause.Cause<never>> = []
          const { lookup, calls } = hangsAt(2)
          return on(
            Effect.gen(function* () {
              const flags = yield* Cached.bg(lookup(), {
                key: "k",
                interval,
                onError: (cause) => Effect.sync(() => seen.push(cause))
              })
              yield* becomes(flags.peek, Option.some(1))
              yield* TestClock.setTime(interval)
              yield* until(() => calls.length === 2, "a run hangs")
              yield* TestClock.setTime(interval + timeout - 1)
              assert.lengthOf(seen, 0)
              yield* TestClock.setTime(interval + timeout)
              yield* until(() => seen.length === 1, "it is reported")
              assert.isTrue(Cause.isDie(seen[0]!))
              assert.strictEqual((yield* stats).refreshFailures, 1)
              yield* TestClock.adjust(interval)
              yield* becomes(
                Effect.map(
                  flags.peek,
                  Option.exists((run) => run > 2)
                ),
                true
              )
            })
          )
        }
      )
    }

    it.scoped("option - replaces the default", () => {
      let failures = 0
      const { lookup, calls } = hangsAt(2)
      return on(
        Effect.gen(function* () {
          const onError = () => Effect.sync(() => failures++)
          const flags = yield* Cached.bg(lookup(), { ...every, flightTimeout: "2 seconds", onError })
          yield* becomes(flags.peek, Option.some(1))
          yield* TestClock.setTime(60_000)
          yield* until(() => calls.length === 2, "a run hangs")
          yield* TestClock.setTime(61_999)
          assert.strictEqual(failures, 0)
          yield* TestClock.setTime(62_000)
          yield* until(() => failures === 1, "it is reported")
        })
      )
    })

    it.scoped("joined readers - those of a run that hangs read again", () => {
      const { lookup, calls } = hangsAt(1)
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), { ...every, onError: () => Effect.void })
          yield* until(() => calls.length === 1, "the first run hangs")
          const reader = yield* Effect.fork(flags)
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            1
          )
          yield* TestClock.setTime(120_000)
          assert.strictEqual(yield* Fiber.join(reader), 2)
        })
      )
    })

    it.scoped(
      "a reader's load that hangs - the run that joined it fails and is reported, and the schedule goes on",
      () => {
        let failures = 0
        const { lookup, calls } = hangsAt(1)
        return on(
          Effect.gen(function* () {
            const onError = () => Effect.sync(() => failures++)
            // the read comes before the daemon's first turn: it started the load
            yield* Effect.fork(Effect.flatten(Cached.bg(lookup(), { ...every, onError })))
            yield* until(() => calls.length === 1, "a load hangs")
            assert.strictEqual((yield* stats).refreshes, 0)
            yield* TestClock.setTime(120_000)
            yield* until(() => failures === 1, "the run is reported")
            yield* TestClock.setTime(180_000)
            yield* until(() => calls.length === 2, "the next run")
          })
        )
      }
    )

    it.scoped("a run that ends slowly - the next one waits for it, so runs never overlap", () => {
      let running = 0
      let most = 0
      const { lookup, calls } = numbered((call) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            most = Math.max(most, ++running)
          }),
          () => (call === 2 ? Effect.never : Effect.succeed(call)),
          () =>
            Effect.zipRight(
              Effect.sleep(call === 2 ? "8 seconds" : 0),
              Effect.sync(() => running--)
            )
        )
      )
      return on(
        Effect.gen(function* () {
          yield* Effect.asVoid(Cached.bg(lookup(), { key: "k", interval: "5 seconds", onError: () => Effect.void }))
          for (let second = 0; second < 60; second++) yield* TestClock.adjust("1 second")
          assert.isAtLeast(calls.length, 3)
          assert.strictEqual(most, 1)
        })
      )
    })
  })
})

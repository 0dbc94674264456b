/**
 * Law 18 (nothing wrong is silent): an outage is one Warning and one line at its end, also where some operations succeed
 * meanwhile.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, LogLevel } from "effect"
import { type Backend, Cached, CacheStore, CacheStoreError } from "effect-cached"
import type { CacheEvent } from "../../src/CacheEvent.js"
import type { Events } from "../../src/internal/engine/events.js"
import type { StoreRuntime } from "../../src/internal/engine/storeRuntime.js"
import { Telemetry } from "../../src/internal/engine/telemetry.js"
import { Meter } from "../../src/internal/meter.js"
import { minute } from "../laws/support.js"
import { bytesBackend } from "../secrets/backends.js"
import { awaitUntil } from "../support/redis.js"

/** Records the levels and the beginnings of all lines. */
const recordLines = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel.label} ${String(message).replace(/: .*/, "")}`)
  })
  const layer = Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.Info))
  return { lines, layer }
}

const full = new CacheStoreError({ reason: "Rejected", store: "disk", method: "write", cause: new Error("full") })

/** The telemetry of a store, on a clock that the test sets. */
const make = () => {
  const { layer, lines } = recordLines()
  let now = 0
  const events: Array<string> = []
  const runtime = {
    now: () => now,
    log: (effect: Effect.Effect<void>) => Effect.runSync(Effect.provide(effect, layer))
  }
  const telemetry = new Telemetry(runtime as unknown as StoreRuntime, {
    store: "disk",
    labels: {},
    tiers: [],
    isTiered: false,
    events: { publish: (event: () => CacheEvent) => void events.push(event()._tag) } as Events,
    meter: new Meter()
  })
  return { events, lines, telemetry, pass: (millis: number) => (now += millis) }
}

const begun = "WARN disk.write"
const over = "INFO disk"

describe("law 18: nothing wrong is silent", () => {
  it("an outage in which some operations succeed - is one Warning, and one line when it is over", () => {
    const { lines, pass, telemetry } = make()
    for (let i = 0; i < 1_000; i++) {
      telemetry.recordFailure("write", full)
      pass(1_000)
      telemetry.recordSuccess("write")
      pass(1_000)
    }
    assert.deepStrictEqual(lines, [begun])
    pass(60_000)
    telemetry.recordSuccess("write")
    telemetry.recordSuccess("write")
    assert.deepStrictEqual(lines, [begun, over])
    telemetry.recordFailure("write", full)
    assert.deepStrictEqual(lines, [begun, over, begun])
  })

  it("an operation that was not sent - is over when another one of its tier succeeds", () => {
    const away = new CacheStoreError({ reason: "Disconnected", store: "disk", method: "getMany" })
    const { events, telemetry } = make()
    telemetry.recordTierFailure("disk", "read", away)
    telemetry.recordTierFailure("disk", "lock", full)
    telemetry.recordSuccess("write", "memory")
    assert.isTrue(telemetry.isFailing)
    telemetry.recordSuccess("write", "disk")
    assert.deepStrictEqual(
      telemetry.problems.list.map(({ name }) => name),
      ["LocksFail"]
    )
    telemetry.recordSuccess("lock", "disk")
    assert.isFalse(telemetry.isFailing)
    assert.deepStrictEqual(events.slice(-1), ["StoreUp"])
  })

  it("an outage after a minute without a failure - is another one", () => {
    const { lines, pass, telemetry } = make()
    telemetry.recordFailure("write", full)
    telemetry.recordSuccess("write")
    pass(60_000)
    telemetry.recordFailure("write", full)
    telemetry.recordSuccess("write")
    assert.deepStrictEqual(lines, [begun, begun])
  })

  it("an outage - is in `problems` and in the events as long as it lasts, whatever is logged", () => {
    const { events, pass, telemetry } = make()
    for (let i = 0; i < 3; i++) {
      telemetry.recordFailure("write", full)
      assert.isTrue(telemetry.isFailing)
      assert.deepStrictEqual(
        telemetry.problems.list.map(({ name }) => name),
        ["WritesFail"]
      )
      pass(10)
      telemetry.recordSuccess("write")
      assert.isFalse(telemetry.isFailing)
      assert.deepStrictEqual(telemetry.problems.list, [])
    }
    assert.deepStrictEqual(events, ["StoreFailed", "StoreUp", "StoreFailed", "StoreUp", "StoreFailed", "StoreUp"])
  })

  it("an outage of another kind - is logged, and the end is logged when all are over", () => {
    const { lines, pass, telemetry } = make()
    telemetry.recordFailure("write", full)
    telemetry.recordSuccess("write")
    telemetry.recordFailure("read", full)
    assert.deepStrictEqual(lines, [begun, begun])
    pass(60_000)
    telemetry.recordSuccess("write")
    assert.lengthOf(lines, 2)
    telemetry.recordSuccess("read")
    pass(60_000)
    telemetry.recordSuccess("read")
    assert.deepStrictEqual(lines, [begun, begun, over])
  })

  it("a backend that reports that it is up again - ends an outage at once", () => {
    const { lines, telemetry } = make()
    telemetry.recordFailure("write", full)
    telemetry.recordUp()
    telemetry.recordUp()
    assert.deepStrictEqual(lines, [begun, over])
    telemetry.recordFailure("write", full)
    assert.deepStrictEqual(lines, [begun, over, begun])
  })

  it.scopedLive("a store that refuses every other write - logs it once", () => {
    const { layer, lines } = recordLines()
    return Effect.gen(function* () {
      const inner = bytesBackend()
      let writes = 0
      const backend: Backend.Backend<Uint8Array> = {
        ...inner,
        name: "disk",
        setMany: (all) => (writes++ % 2 === 0 ? Effect.fail(full) : inner.setMany(all))
      }
      const store = yield* CacheStore.makeBytes(backend)
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ...minute })
      for (let i = 0; i < 40; i++) {
        yield* Effect.provideService(find(i), CacheStore, store)
        yield* awaitUntil(
          Effect.sync(() => writes > i),
          "the write"
        )
      }
      assert.deepStrictEqual(lines, [begun])
    }).pipe(Effect.provide(layer))
  })
})

/**
 * The keys of a store, for people and not for requests: they are listed page by page, and each page asks the backend to
 * look at entries.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as Backend from "../../Backend.js"
import { CacheStoreError } from "../../CacheError.js"
import { Reported } from "../report.js"
import { toStoreError } from "../storeError.js"
import { nowOf } from "../time.js"
import type { Engine } from "./engine.js"
import { judgeOf } from "./sweep.js"

/** The keys of the entries that are alive, page by page. */
export const keysOf = (engine: Engine): Stream.Stream<string, CacheStoreError> =>
  Stream.suspend(() => {
    const { backend, invalidation } = engine
    if (backend.list === undefined) {
      const cause = new Reported("it cannot list its keys")
      return Stream.fail(new CacheStoreError({ reason: "Rejected", store: backend.name, method: "list", cause }))
    }
    // what was invalidated before is not listed
    return Stream.unwrap(
      Effect.as(
        engine.runtime.await(invalidation.fetchMarks),
        Stream.paginateChunkEffect(undefined as unknown, (from) => pageOf(engine, from))
      )
    )
  })

type Page = readonly [Chunk.Chunk<string>, Option.Option<unknown>]

/** One page, read in a fiber of the store on its live clock. Entries expire by the clock of the caller. */
const pageOf = (engine: Engine, from: unknown): Effect.Effect<Page, CacheStoreError> =>
  Effect.withFiberRuntime((caller) => {
    const { backend, marks, runtime, telemetry, writeQueue } = engine
    if (engine.closed) return telemetry.ended
    const judge = judgeOf(engine, () => nowOf(caller))
    const listed = Effect.suspend(() => backend.list!({ from, judge, needsNames: marks.hasNames }))
    // a removal that is not delivered yet counts in this process
    const isRemoved = (key: string): boolean => {
      const pending = writeQueue.newest(key)
      return pending !== undefined && pending.answer === undefined
    }
    return Effect.async<Page, CacheStoreError>((resume) => {
      let result: Effect.Effect<Page, CacheStoreError> = Effect.interrupt
      const onExit = (exit: Exit.Exit<Backend.KeyPage, CacheStoreError>): void => {
        if (Exit.isFailure(exit)) {
          result = Effect.fail(toStoreError(exit.cause, backend.name, "list"))
          return
        }
        const { keys, next } = exit.value
        const found = Chunk.unsafeFromArray(keys.filter((key) => !isRemoved(key)))
        result = Effect.succeed([found, next === undefined ? Option.none() : Option.some(next)])
      }
      const fiber = runtime.background(Effect.map(Effect.exit(listed), onExit))
      engine.supervise(fiber)
      fiber.addObserver(() => resume(result))
      return Fiber.interrupt(fiber)
    })
  })

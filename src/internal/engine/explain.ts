/**
 * What the next read of a key would do, and why. It takes the steps of the read path, in the same order: memory, the
 * pending write, the running load, the backend. It asks the backend by itself, because a read that joined its question
 * would not copy the answer to memory, and it judges copies of entries, because the comparison with marks changes them.
 *
 * It counts nothing, reports nothing, starts nothing and lets no entry live on. What the backend tells about marks is
 * kept, because it tells that once.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Backend from "../../Backend.js"
import { CacheStoreError } from "../../CacheError.js"
import type { Explanation, Outcome } from "../../CacheEvent.js"
import { Entry, freshEnd, type State } from "../../Entry.js"
import { cacheStatusOf } from "../cacheStatus.js"
import { toStoreError } from "../storeError.js"
import { clockOf, nowOf } from "../time.js"
import type { Args, Definition } from "./definition.js"
import type { MissCause } from "./events.js"
import type { WriteQueue } from "./io/writeQueue.js"
import type { Flight } from "./loads/flight.js"
import type { FlightTable } from "./loads/flightTable.js"
import type { SingleFlight } from "./loads/singleFlight.js"
import { modeOf } from "./mode.js"
import type { Ownership } from "./ownership.js"
import type { LoaderKeys } from "./peers/loaderKeys.js"
import { isHeld, type LocalTier } from "./peers/localTier.js"
import { absent, bypassed, disabled, type Evidence, type Miss, type Reasons } from "./reasons.js"
import type { StoreRuntime } from "./storeRuntime.js"
import type { Telemetry } from "./telemetry.js"
import type { Transactions } from "./transactions.js"
import type { WallClock } from "./wallClock.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

export interface ExplainerParts {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly wallClock: WallClock
  readonly ownership: Ownership
  readonly localTier: LocalTier
  readonly loaderKeys: LoaderKeys
  readonly writeQueue: WriteQueue
  readonly flights: FlightTable
  readonly singleFlight: SingleFlight
  readonly reasons: Reasons
  readonly transactions: Transactions | undefined
  /** Whether caching is switched off for the whole store. */
  readonly off: boolean
  readonly onAnswers: (answers: Backend.Answers) => void
}

/** The read that is explained. */
interface Question extends Miss {
  readonly fiber: AnyFiber
}

/** What a step of the read has found out. */
interface Verdict {
  readonly outcome: Outcome
  readonly cause?: MissCause | undefined
  /** The entry that answers, or would if it were younger. */
  readonly entry?: Entry | undefined
  readonly state?: State | undefined
  readonly tier?: number | undefined
}

const missed = (cause: MissCause): Verdict => ({ outcome: "miss", cause })

export class Explainer {
  private readonly parts: ExplainerParts

  constructor(parts: ExplainerParts) {
    this.parts = parts
  }

  explain(fiber: AnyFiber, def: Definition, key: string, args: Args): Effect.Effect<Explanation> {
    const now = nowOf(fiber)
    const question: Question = { fiber, def, key, args, now }
    const uncached = this.uncached(question)
    if (uncached !== undefined) return Effect.succeed(this.toExplanation(question, missed(uncached), undefined))
    const { backend, wallClock } = this.parts
    wallClock.check(now, clockOf(fiber))
    const here = this.inMemory(question)
    if (here !== undefined && (!backend.remote || here.outcome !== "miss")) {
      return Effect.succeed(this.toExplanation(question, here, this.flightOf(question)))
    }
    const pending = this.pendingOf(question)
    if (pending !== undefined) return Effect.succeed(this.toExplanation(question, pending, this.flightOf(question)))
    const isJoined = this.parts.singleFlight.hasLoadForReaders(fiber, def, key)
    return Effect.map(this.below(question), (below) => {
      // the reader of a key whose load runs waits for that, whatever the backend has
      const verdict = isJoined ? missed(below.cause ?? absent) : below
      return this.toExplanation(question, verdict, this.flightOf(question))
    })
  }

  /** Why the read would not look for an entry, if it would not. */
  private uncached({ def, fiber }: Question): MissCause | undefined {
    const { off, transactions } = this.parts
    if (def.off || off) return disabled
    return modeOf(fiber) !== undefined || transactions?.hasLoads(fiber, def) === true ? bypassed : undefined
  }

  /** What the memory of this process has; `undefined` if it does not keep the key, or nothing that counts. */
  private inMemory(question: Question): Verdict | undefined {
    const { backend, localTier, reasons } = this.parts
    const found = (backend.unsafePeek ?? backend.unsafeGet)?.(question.key)
    if (found === undefined) return backend.remote ? undefined : missed(reasons.of(question, found))
    const { coherence } = localTier
    const isTrusted = coherence === undefined || coherence.counts(found)
    const verdict = this.judge(question, found, backend.remote ? 0 : undefined)
    if (!backend.remote) return verdict
    // a slower tier may have a newer entry than one past its stale end
    const answers = verdict.state === "fresh" || verdict.state === "stale"
    return answers && isTrusted && isHeld(found, question.now) ? verdict : undefined
  }

  /** What the write of the key says that the backend has not confirmed. */
  private pendingOf(question: Question): Verdict | undefined {
    const { localTier, reasons, writeQueue } = this.parts
    const pending = writeQueue.newest(question.key)
    if (pending === undefined) return undefined
    const { coherence } = localTier
    const counts = coherence === undefined || coherence.isCurrent(pending.asked)
    return counts && pending.answer !== undefined
      ? this.judge(question, pending.answer, undefined)
      : missed(reasons.ofPending(question, pending))
  }

  /** What the backend has. */
  private below(question: Question): Effect.Effect<Verdict> {
    const { backend, runtime } = this.parts
    const { def, key, now } = question
    const { failures, owner, schema, stale, staleIfError } = def
    const read: Backend.Read = {
      key,
      owner,
      schema,
      failures,
      now,
      stale: staleIfError > 0 ? Math.max(stale, staleIfError) : stale,
      explains: true
    }
    return Effect.async((resume) => {
      const ask = () => backend.getMany([read])
      runtime.run(ask, (exit) => resume(Effect.sync(() => this.onAnswer(question, exit))))
    })
  }

  private onAnswer(asked: Question, exit: Exit.Exit<Backend.Answers, CacheStoreError>): Verdict {
    const { backend, onAnswers, reasons } = this.parts
    const question = { ...asked, now: nowOf(asked.fiber) }
    if (exit._tag === "Failure") return this.withoutAnswer(question, toStoreError(exit.cause, backend.name, "getMany"))
    onAnswers(exit.value)
    const { found, tiers, tombstones } = exit.value
    const evidence: Evidence = found[0] ?? tombstones?.[0]
    if (evidence instanceof CacheStoreError) return this.withoutAnswer(question, evidence)
    const tier = tiers?.[0]
    return evidence instanceof Entry
      ? this.judge(question, evidence, tier)
      : missed(reasons.of({ ...question, tier }, evidence))
  }

  /** While the backend does not answer, what this process knows of the key answers. */
  private withoutAnswer(question: Question, error: CacheStoreError): Verdict {
    const { loaderKeys, localTier, reasons } = this.parts
    const { def, key, now } = question
    const known = def.strict ? undefined : (loaderKeys.lastWritten(key) ?? localTier.locate(key, now))
    const verdict = known && this.judge(question, known, undefined)
    const mayAnswer = verdict !== undefined && (verdict.outcome !== "miss" || verdict.state === "retained")
    return mayAnswer ? verdict : missed(reasons.of(question, error))
  }

  /** What a read does that finds an entry. */
  private judge(asked: Question, found: Entry, tier: number | undefined): Verdict {
    const { ownership, reasons, singleFlight, wallClock } = this.parts
    const { args, def, key, now } = asked
    const question = { ...asked, tier }
    const refusal = reasons.refusalOf(question, found)
    if (refusal !== undefined) return missed(refusal)
    const entry = new Entry(found.value, found)
    wallClock.adjust(entry)
    ownership.accepts(entry, def)
    if (now < freshEnd(entry)) return { outcome: "hit", entry, state: "fresh", tier }
    if (now < ownership.staleEndOf(entry, def, args)) return { outcome: "stale", entry, state: "stale", tier }
    const cause = reasons.of(question, entry)
    const state = cause.reason === "retained" ? "retained" : "expired"
    const isKept = def.keeps(entry, now) || (state === "retained" && singleFlight.isPaused(key, now))
    return isKept ? { outcome: "stale", entry, state, tier } : { outcome: "miss", cause, entry, state, tier }
  }

  private flightOf({ key }: Question): Flight | undefined {
    return this.parts.flights.get(key)
  }

  private toExplanation(question: Question, verdict: Verdict, flight: Flight | undefined): Explanation {
    const { ownership, singleFlight, telemetry } = this.parts
    const { args, def, fiber, key, now } = question
    const { cause, entry, outcome, state, tier } = verdict
    const isCollapsed = outcome === "miss" && flight !== undefined && singleFlight.hasLoad(fiber, def, key)
    const freshUntil = entry && freshEnd(entry)
    const answeredBy = telemetry.tierName(tier)
    return {
      outcome,
      ...cause,
      ...(state !== undefined && { state }),
      ...(outcome !== "miss" && answeredBy !== undefined && { tier: answeredBy }),
      ...(entry !== undefined && {
        freshUntil,
        staleUntil: ownership.staleEndOf(entry, def, args),
        expiresAt: ownership.endOf(entry, def, args)
      }),
      ...(flight !== undefined && { load: { age: Math.max(0, now - flight.startedAt), waiters: flight.waiters } }),
      cacheStatus: cacheStatusOf({ outcome, reason: cause?.reason, ttl: freshUntil && freshUntil - now, isCollapsed })
    }
  }
}

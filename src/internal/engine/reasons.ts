/**
 * Why a read is a miss. The events of a store and the explanations of a read ask the same function.
 */
import type * as Backend from "../../Backend.js"
import { CacheStoreError, SerializerError } from "../../CacheError.js"
import { type Entry, freshEnd, isFailure } from "../../Entry.js"
import * as StoredFailure from "../serializers/storedFailure.js"
import type { Args, Definition } from "./definition.js"
import type { MissCause } from "./events.js"
import type { Invalidation } from "./io/invalidation.js"
import type { MarkTable } from "./io/markTable.js"
import type { PendingWrite } from "./io/pendingWrite.js"
import type { Ownership } from "./ownership.js"

/** What a read has found that does not answer it: a number is the stamp of a removal. */
export type Evidence = Backend.Found | number

/** A read, as far as the reason of its miss is concerned. */
export interface Miss {
  readonly def: Definition
  readonly key: string
  readonly args: Args
  readonly now: number
  /** The tier that answered, if there are several. */
  readonly tier?: number | undefined
}

const causes = {
  absent: { reason: "absent" },
  expired: { reason: "expired" },
  retained: { reason: "retained" },
  invalidated: { reason: "invalidated" },
  owner: { reason: "owner" },
  decode: { reason: "decode" },
  store: { reason: "store" },
  blind: { reason: "blind" },
  cleared: { reason: "cleared" },
  failure: { reason: "failure" }
} as const satisfies Record<string, MissCause>

export const { absent, store: unanswered } = causes
export const bypassed: MissCause = { reason: "bypassed" }
export const disabled: MissCause = { reason: "disabled" }

export interface ReasonsParts {
  readonly backend: Backend.Backend
  readonly marks: MarkTable
  readonly ownership: Ownership
  readonly invalidation: Invalidation
}

export class Reasons {
  private readonly parts: ReasonsParts

  constructor(parts: ReasonsParts) {
    this.parts = parts
  }

  /** Why what a read has found does not answer it. */
  of(miss: Miss, found: Evidence): MissCause {
    if (found === undefined) {
      return this.parts.backend.wasCleared?.(miss.key) === true ? causes.cleared : causes.absent
    }
    if (typeof found === "number") return causes.invalidated
    if (found instanceof CacheStoreError) return this.isKeptBlindly(miss) ? causes.blind : causes.store
    if (found instanceof SerializerError) return StoredFailure.isFor(found) ? causes.failure : causes.decode
    return this.refusalOf(miss, found) ?? this.endOf(miss, found) ?? causes.blind
  }

  /** Why the write of a key that is not confirmed yet does not answer a read. */
  ofPending(miss: Miss, pending: PendingWrite): MissCause {
    const { answer, stale } = pending
    if (answer !== undefined) return this.of(miss, answer)
    return stale === undefined ? causes.invalidated : causes.expired
  }

  /** Why a read may not use an entry, whatever its age. It changes nothing, and reports nothing. */
  refusalOf({ def, key, tier }: Miss, entry: Entry): MissCause | undefined {
    const { invalidation, marks, ownership } = this.parts
    const isOwn = entry.owner === def.owner
    if (!isOwn && !ownership.sharesAll(def)) return causes.owner
    if (isFailure(entry) && !(isOwn && def.failures !== undefined)) return causes.failure
    const refusal = marks.refusalOf(entry, ownership.ownerFor(entry, def))
    if (refusal !== undefined) return refusal
    return invalidation.isOutdatedIn(tier, key, entry) ? causes.invalidated : undefined
  }

  /** Whether the times of an entry speak against it. */
  private endOf({ args, def, now }: Miss, entry: Entry): MissCause | undefined {
    const { ownership } = this.parts
    if (now >= ownership.endOf(entry, def, args)) return causes.expired
    return now >= ownership.staleEndOf(entry, def, args) ? causes.retained : undefined
  }

  /** Whether the memory of this process has a fresh entry of a key, which would answer if notifications arrived. */
  private isKeptBlindly(miss: Miss): boolean {
    const { unsafePeek, unsafeGet } = this.parts.backend
    const kept = (unsafePeek ?? unsafeGet)?.(miss.key)
    return kept !== undefined && miss.now < freshEnd(kept) && this.refusalOf({ ...miss, tier: 0 }, kept) === undefined
  }
}

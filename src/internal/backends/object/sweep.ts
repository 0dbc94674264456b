/**
 * The sweep of an object store: visits all entries page by page, and removes those that are dead. An object is removed or
 * replaced only if it still is the one that was judged.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import type { Parts } from "./entries.js"
import type { Head, Listed, Put, Stored } from "./objectStore.js"

type Method<A> = Effect.Effect<A, CacheStoreError>

/** What a sweep does with an object: it stays, it is removed, or it is replaced. */
export type Verdict = "keep" | "remove" | Put

export interface Judge {
  /** Whether the bytes of most objects are needed, so that they are read with the head. */
  readonly needsBytes: boolean
  /** Whether the bytes of an object are needed to judge it. */
  readonly wants: (head: Head) => boolean
  /** Judges an object. `isRemovable`: this store can remove it on the condition that it has not changed. */
  readonly verdict: (stored: Stored, isRemovable: boolean) => Verdict
}

/** Visits all objects. It stops after the first page on which an operation has failed. */
export const sweep = ({ limits, objects }: Parts, judge: Judge, request: Backend.Sweep): Method<void> =>
  Effect.gen(function* () {
    const { list } = objects
    if (list === undefined) return request.failed("")
    const isRemovable = objects.canRemoveIf === undefined || (yield* limits.within("sweep", objects.canRemoveIf()))
    let cursor: string | undefined
    do {
      const page = yield* limits.within("sweep", list.call(objects, cursor))
      const freed = yield* limits.forEach(page.objects, (listed) =>
        Effect.either(limits.within("sweep", sweepOne(objects, listed, judge, isRemovable)))
      )
      request.count(page.objects.length, freed.filter((one) => one._tag === "Right" && one.right).length)
      const failure = freed.find(Either.isLeft)
      if (failure !== undefined) return yield* Effect.fail(failure.left)
      cursor = page.next
    } while (cursor !== undefined)
  })

/** Frees an object if it is dead, and returns whether it was freed. */
const sweepOne = (
  objects: Parts["objects"],
  { head, name }: Listed,
  { needsBytes, verdict, wants }: Judge,
  isRemovable: boolean
): Method<boolean> => {
  const look = (head: Head | undefined): Method<Stored | undefined> =>
    head === undefined
      ? Effect.succeed(undefined)
      : wants(head)
        ? objects.read(name, wants)
        : Effect.succeed({ ...head, bytes: undefined })
  const known =
    head !== undefined ? look(head) : needsBytes ? objects.read(name, wants) : Effect.flatMap(objects.head(name), look)
  return Effect.flatMap(known, (stored) => {
    const what = stored === undefined ? "keep" : verdict(stored, isRemovable && objects.removeIf !== undefined)
    if (stored === undefined || what === "keep") return Effect.succeed(false)
    return what === "remove" ? objects.removeIf!(name, stored.version) : objects.write(name, what, stored.version)
  })
}

/**
 * A backend of bytes over an object store. Entries and marks have modules of their own; this one bounds batches, keeps
 * the marks fresh, and puts the answers together.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import * as Envelope from "../../../Envelope.js"
import { maxObjectMarks } from "../../markNames.js"
import { checkCount, decodeFinite, decodeMillis } from "../../options.js"
import { type ByteCodec, type ByteCodecs, maxEnvelope } from "../../serializers/compression.js"
import { timeOfDay } from "../../time.js"
import { limitsOf } from "../fromBytes.js"
import type { Answer, Entries } from "./entries.js"
import { EntriesV1 } from "./envelopeV1.js"
import { ForeignEntries } from "./foreignEnvelope.js"
import * as Limits from "./limits.js"
import { ObjectMarks } from "./marks.js"
import type { ObjectStore } from "./objectStore.js"

export interface Options {
  /**
   * How long one operation may take before it counts as failed. Default: 5 seconds. A time that is zero or infinite is
   * the defect `InvalidOption`. A batch of operations ends after 10 seconds, whatever this option says.
   */
  readonly timeout?: Duration.DurationInput | undefined
  /** How many operations of a batch run at once. Default: 16. */
  readonly concurrency?: number | undefined
  /**
   * How long a `clear` or an invalidation of tags by another process may go unnoticed. Default: 1 second. `"above"`
   * means that a faster tier keeps the shared marks, and this store is not asked for any.
   */
  readonly marksEvery?: Duration.DurationInput | "above" | undefined
  /**
   * How entries become bytes. Default: `Envelope.v1`. With another envelope an object is exactly its bytes. It contains
   * no key to compare, the last write wins, and an invalidation leaves no tombstone: law 8 (invalidation wins) then
   * holds within a process, not across processes.
   */
  readonly envelope?: Envelope.Envelope | undefined
  /** How many invalidated tags and functions are kept apart, default 10 000: see `CacheStore.Options`. */
  readonly maxMarks?: number | undefined
}

const plain: ByteCodec = { encode: Either.right, decode: Either.right }

/** How long building the Layer waits for the first read of the marks before it continues without it. */
const startTimeout = "1 second"

/** The error of the first result if all results are errors: then the backend as a whole has failed. */
const commonFailure = <A>(
  results: ReadonlyArray<A>,
  errorOf: (result: A) => CacheStoreError | undefined
): CacheStoreError | undefined => {
  const first = results.length === 0 ? undefined : errorOf(results[0]!)
  return first !== undefined && results.every((result) => errorOf(result) !== undefined) ? first : undefined
}

const unlessAllFailed = (
  results: ReadonlyArray<Backend.Written>
): Effect.Effect<ReadonlyArray<Backend.Written>, CacheStoreError> => {
  const failure = commonFailure(results, (result) => (result._tag === "Failed" ? result.error : undefined))
  return failure === undefined ? Effect.succeed(results) : Effect.fail(failure)
}

const tombstonesOf = (answers: ReadonlyArray<Answer>): Backend.Answers["tombstones"] =>
  answers.some(({ tombstone }) => tombstone !== undefined) ? answers.map(({ tombstone }) => tombstone) : undefined

const readMany =
  (entries: Entries, limits: Limits.Limits, marks: ObjectMarks | undefined) =>
  (reads: ReadonlyArray<Backend.Read>): Effect.Effect<Backend.Answers<Uint8Array>, CacheStoreError> =>
    Effect.suspend(() => {
      const readOne = (read: Backend.Read): Effect.Effect<Answer> =>
        Effect.catchAll(entries.get(read), (error) => Effect.succeed({ found: error }))
      const all =
        reads.length === 1 ? Effect.map(readOne(reads[0]!), (answer) => [answer]) : limits.forEach(reads, readOne)
      // Without the marks no entry is known to be valid. If they cannot be read, the whole read fails.
      const answers =
        marks === undefined || marks.isFresh()
          ? all
          : Effect.flatMap(
              Effect.zip(limits.within("marks", marks.refresh()), all, { concurrent: true }),
              ([, answers]) => Effect.as(announcing(marks, limits), answers)
            )
      return Effect.flatMap(answers, (answers) => {
        const found = answers.map((answer) => answer.found)
        for (const one of found) if (one instanceof Entry) marks?.note(one)
        const failure = commonFailure(found, (one) => (one instanceof CacheStoreError ? one : undefined))
        return failure === undefined
          ? Effect.succeed({ found, marks: marks?.take(), tombstones: tombstonesOf(answers) })
          : Effect.fail(failure)
      })
    })

/** Announces the longest lifespan, if it is longer than what is known. */
const announcing = (marks: ObjectMarks | undefined, limits: Limits.Limits): Effect.Effect<void> =>
  marks === undefined ? Effect.void : Effect.ignore(limits.within("marks", marks.announce()))

const writeMany =
  (entries: Entries, limits: Limits.Limits, marks: ObjectMarks | undefined) =>
  (writes: ReadonlyArray<Backend.Write<Uint8Array>>): Effect.Effect<ReadonlyArray<Backend.Written>> =>
    Effect.suspend(() => {
      for (const { entry, tombstone } of writes) marks?.note(entry, tombstone)
      const written = limits.forEach(writes, (write) =>
        Effect.catchAll(entries.set(write), (error) => Effect.succeed<Backend.Written>({ _tag: "Failed", error }))
      )
      return Effect.zipLeft(written, announcing(marks, limits), { concurrent: true })
    })

const sharedMarks = (marks: ObjectMarks, limits: Limits.Limits, every: number): Backend.Backend["marks"] => ({
  every,
  // Taken only after the time limit: marks that are taken by a read that then times out would never be reported.
  read: Effect.map(limits.within("marks", marks.read()), () => marks.take()),
  raise: (raised) => Effect.map(limits.within("raise", marks.raise(raised)), () => marks.takeRaised(raised))
})

export const make = Effect.fnUntraced(function* (
  objects: ObjectStore,
  options: Options & Parameters<typeof limitsOf>[0],
  codecs: ByteCodecs = { value: plain, whole: plain }
): Effect.fn.Return<Backend.Backend<Uint8Array>> {
  const timeout = yield* Effect.sync(() => decodeFinite("timeout", options.timeout ?? "5 seconds", objects.name))
  const concurrency = yield* Effect.sync(() =>
    checkCount("concurrency", options.concurrency ?? Limits.defaultConcurrency, objects.name)
  )
  const limits = Limits.make(objects.name, timeout, concurrency)
  const live = Clock.make()
  const { envelope = Envelope.v1 } = options
  const isForeign = envelope !== Envelope.v1
  const { maxValueBytes } = yield* Effect.sync(() => limitsOf(options, objects.name))
  const parts = { objects, limits, maxBytes: maxValueBytes + maxEnvelope, now: () => timeOfDay(live) }
  const entries: Entries = isForeign
    ? new ForeignEntries(parts, envelope, codecs.whole)
    : new EntriesV1(parts, codecs.value)

  const { marksEvery = "1 second" } = options
  const every = marksEvery === "above" ? undefined : decodeMillis("marksEvery", marksEvery, objects.name)
  const marks =
    every === undefined
      ? undefined
      : new ObjectMarks({
          objects,
          every,
          live,
          latestStamp: () => entries.latestStamp(),
          acceptsEarlierEntries: isForeign,
          drops: !isForeign,
          maxMarks: checkCount("maxMarks", options.maxMarks ?? maxObjectMarks, objects.name)
        })
  // A write waits for the first read of the marks. If that read finds that marks were lost, it invalidates everything
  // written before it.
  const marksKnown =
    marks === undefined
      ? Effect.void
      : Effect.suspend(() => (marks.isKnown() ? Effect.void : Effect.ignore(limits.within("marks", marks.refresh()))))
  yield* marksKnown.pipe(Effect.timeout(startTimeout), Effect.ignore, Effect.withClock(live))

  const setMany = writeMany(entries, limits, marks)
  return {
    name: objects.name,
    remote: true,
    isOwnerless: envelope.isOwnerless,
    keepsFailures: !isForeign,
    getMany: readMany(entries, limits, marks),
    setMany: (writes) => Effect.flatMap(Effect.zipRight(marksKnown, setMany(writes)), unlessAllFailed),
    setIfAbsent: (write, condition) =>
      Effect.suspend(() => {
        marks?.note(write.entry, write.tombstone)
        return Effect.zipLeft(
          Effect.zipRight(marksKnown, entries.setIfAbsent(write, condition)),
          announcing(marks, limits)
        )
      }),
    removeMany: (removals) => Effect.flatMap(entries.removeMany(removals), unlessAllFailed),
    sweep: objects.list && ((sweep) => entries.sweep(sweep)),
    list: objects.list && entries.list && ((listing) => entries.list!(listing)),
    marks: marks && sharedMarks(marks, limits, every!)
  }
})

/**
 * A medium of objects as a backend of bytes: which object an entry is, and how what stands there decides what may be
 * written (law 8).
 *
 * An object begins with `Envelope.v1`, in whose value the key stands before the bytes. Its first 36 bytes are the times,
 * so that a write looks at these alone, and then writes only if nothing else was written meanwhile. What was removed
 * leaves a trace in its place.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError, SerializerError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import * as Envelope from "../../../Envelope.js"
import { checkCount, decodeFinite } from "../../options.js"
import type { ByteCodec, ByteCodecs } from "../../serializers/compression.js"
import { tick, timeOfDay } from "../../time.js"
import * as FormedObjects from "./foreignEnvelope.js"
import { digest, headLength, keyed, metaIn, nameOf, unkeyed } from "./format.js"
import * as ObjectMarks from "./marks.js"
import { type Condition, type Head, type Meta, maxSkew, type Objects, type Put } from "./objectStore.js"

export interface Options {
  /**
   * how long one operation may take before it counts as failed, default 5 seconds; no finite time is the defect
   * `InvalidOption`. A batch of them is given up after 10 seconds, whatever stands here
   */
  readonly timeout?: Duration.DurationInput | undefined
  /** how many operations of one batch run at once, default 16 */
  readonly concurrency?: number | undefined
  /**
   * how long a `clear`, or an invalidation of tags, by another process may go unnoticed, default 1 second; `above` where
   * a faster tier keeps the marks that are shared, and this one is not asked
   */
  readonly marksEvery?: Duration.DurationInput | "above" | undefined
  /**
   * How entries become bytes, default `Envelope.v1`. With any other an object is that form and nothing else: it has no
   * key to compare, the last write stands, and no trace stays of an invalidation: that it wins over a load under way
   * holds within a process, not across them
   */
  readonly envelope?: Envelope.Envelope | undefined
}

const plain: ByteCodec = { encode: (bytes) => bytes, decode: Either.right }

/** how long building the Layer waits for the medium before it goes on without */
const startWithin = "1 second"

/** how often a write looks again when another process was faster */
const attempts = 10

const traceOf = (stamp: number): Meta => ({
  isTrace: true,
  stamp,
  createdAt: stamp,
  freshUntil: stamp,
  expiresAt: stamp
})

interface Answer {
  readonly found: Backend.Found<Uint8Array>
  readonly tombstone?: number | undefined
}

const isDone = (written: Backend.Written): written is Exclude<Backend.Written, { readonly _tag: "Failed" }> =>
  written._tag !== "Failed"

/** the very same, times and stamp included */
const isThere = (put: Put, { content, meta }: Head): boolean =>
  meta !== undefined &&
  content !== undefined &&
  meta.isTrace === put.meta?.isTrace &&
  meta.stamp === put.meta.stamp &&
  meta.createdAt === put.meta.createdAt &&
  meta.freshUntil === put.meta.freshUntil &&
  meta.expiresAt === put.meta.expiresAt &&
  content === put.content

export const make = Effect.fnUntraced(function* (
  objects: Objects,
  options: Options,
  codecs: ByteCodecs = { value: plain, whole: plain }
): Effect.fn.Return<Backend.Backend<Uint8Array>> {
  const timeout = yield* Effect.sync(() => decodeFinite("timeout", options.timeout ?? "5 seconds"))
  const concurrency = yield* Effect.sync(() => checkCount("concurrency", options.concurrency ?? 16))
  const live = Clock.make()
  const now = () => timeOfDay(live)

  const within =
    (method: string) =>
    <A>(effect: Effect.Effect<A, CacheStoreError>): Effect.Effect<A, CacheStoreError> =>
      Effect.timeoutFail(effect, {
        duration: timeout,
        onTimeout: () => new CacheStoreError({ reason: "Timeout", store: objects.name, method })
      })

  const each = <A, B>(all: ReadonlyArray<A>, run: (one: A) => Effect.Effect<B>): Effect.Effect<Array<B>> =>
    Effect.forEach(all, run, { concurrency })

  const failed = (error: CacheStoreError): Effect.Effect<Backend.Written> =>
    Effect.succeed<Backend.Written>({ _tag: "Failed", error })

  /** what fails for every key is a fault of the whole */
  const faultOfAll = <A>(
    all: ReadonlyArray<A>,
    faultOf: (one: A) => CacheStoreError | undefined
  ): CacheStoreError | undefined => {
    const first = all.length === 0 ? undefined : faultOf(all[0]!)
    return first !== undefined && all.every((one) => faultOf(one) !== undefined) ? first : undefined
  }
  const unlessAllFailed = (all: ReadonlyArray<Backend.Written>) => {
    const fault = faultOfAll(all, (one) => (one._tag === "Failed" ? one.error : undefined))
    return fault === undefined ? Effect.succeed(all) : Effect.fail(fault)
  }

  const { envelope = Envelope.v1 } = options
  const formed = envelope === Envelope.v1 ? undefined : FormedObjects.make(objects, envelope, codecs.whole, now)

  const marksEvery = options.marksEvery === "above" ? undefined : Duration.toMillis(options.marksEvery ?? "1 second")
  /** the latest stamp among the entries that were read: of a process whose clock is ahead */
  let seen = Number.NEGATIVE_INFINITY
  const marks =
    marksEvery === undefined ? undefined : ObjectMarks.make(objects, marksEvery, live, () => seen, formed !== undefined)
  const begin =
    marks === undefined
      ? Effect.void
      : Effect.suspend(() => (marks.isKnown() ? Effect.void : Effect.ignore(within("marks")(marks.look))))
  yield* begin.pipe(Effect.timeout(startWithin), Effect.ignore, Effect.withClock(live))

  /** what cannot be must be neither protected nor followed */
  const stampIn = (meta: Meta | undefined): number => {
    const stamp = meta?.stamp ?? Number.NaN
    return Number.isFinite(stamp) && stamp <= now() + maxSkew ? stamp : Number.NEGATIVE_INFINITY
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  const isWanted =
    ({ now }: Backend.Read) =>
    ({ meta }: Head): boolean =>
      meta === undefined || (!meta.isTrace && (now === undefined || now < meta.expiresAt))

  const decode = (key: string, bytes: Uint8Array, meta: Meta | undefined): Backend.Found<Uint8Array> => {
    const decoded = Envelope.v1.decode(bytes)
    if (decoded._tag === "Left") return broken(decoded.left, meta ?? metaIn(bytes))
    if (decoded.right._tag === "Tombstone") return undefined
    const { entry } = decoded.right
    const value = Either.flatMap(unkeyed(key, entry.value), codecs.value.decode)
    return value._tag === "Left" ? broken(value.left, meta) : new Entry(value.right, { ...entry, ...meta })
  }
  const broken = ({ detail, path, reason }: SerializerError, meta: Meta | undefined) =>
    new SerializerError({ reason, path, detail, stamp: meta?.stamp })

  const find = (read: Backend.Read): Effect.Effect<Answer, CacheStoreError> =>
    Effect.map(objects.read(nameOf(read.key), isWanted(read)), (stored) => {
      if (stored === undefined) return { found: undefined }
      const meta = stored.meta ?? (stored.bytes && metaIn(stored.bytes))
      const stamp = stampIn(meta)
      if (meta?.isTrace === true) return { found: undefined, tombstone: Number.isFinite(stamp) ? stamp : undefined }
      seen = Math.max(seen, stamp)
      return { found: stored.bytes && decode(read.key, stored.bytes, stored.meta) }
    })

  const getOne = (read: Backend.Read): Effect.Effect<Answer> =>
    (formed === undefined ? find(read) : Effect.map(formed.get(read), (found): Answer => ({ found }))).pipe(
      within("getMany"),
      Effect.catchAll((error) => Effect.succeed({ found: error }))
    )

  const getMany = (reads: ReadonlyArray<Backend.Read>): Effect.Effect<Backend.Answers<Uint8Array>, CacheStoreError> =>
    Effect.suspend(() => {
      const all = reads.length === 1 ? Effect.map(getOne(reads[0]!), (answer) => [answer]) : each(reads, getOne)
      // what is not known to be marked is not known to be there: without marks all are misses
      const both =
        marks === undefined || marks.isFresh()
          ? all
          : Effect.map(Effect.zip(within("marks")(marks.look), all, { concurrent: true }), ([, answers]) => answers)
      return Effect.flatMap(both, (answers) => {
        const found = answers.map((answer) => answer.found)
        const fault = faultOfAll(found, (one) => (one instanceof CacheStoreError ? one : undefined))
        if (fault !== undefined) return Effect.fail(fault)
        let tombstone: number | undefined
        for (const answer of answers) {
          if (answer.tombstone !== undefined) tombstone = Math.max(answer.tombstone, tombstone ?? answer.tombstone)
        }
        return Effect.succeed({ found, marks: marks?.tell(), tombstone })
      })
    })

  // ---------------------------------------------------------------------------------------------------------- writes

  const stampOf = (head: Head | undefined): number => stampIn(head?.meta)

  /** the stamp a process gave, or that of the tier that orders: its clock may be ahead of this one */
  const stampGiven = (stamp: number): number => Math.min(now() + maxSkew, stamp)

  /** looks at what stands there, decides, and writes if that still stands there */
  const swap = (
    name: string,
    method: string,
    decide: (head: Head | undefined) => Put | Backend.Written,
    answer: (put: Put) => Backend.Written,
    attempt = 0
  ): Effect.Effect<Backend.Written, CacheStoreError> =>
    Effect.gen(function* () {
      const head = yield* objects.head(name)
      const put = decide(head)
      if ("_tag" in put) return put
      // sent before by somebody, or by this process without an answer
      if (head !== undefined && isThere(put, head)) return answer(put)
      const condition: Condition = head === undefined ? null : head.version
      const { restate } = objects
      const done =
        head?.content !== undefined && restate !== undefined && head.content === put.content
          ? restate(name, put, head.version)
          : objects.write(name, put, condition)
      if (yield* done) return answer(put)
      return attempt === attempts
        ? yield* new CacheStoreError({
            reason: "Rejected",
            store: objects.name,
            method,
            cause: new Error(`the object was changed by others ${attempts} times in a row`)
          })
        : yield* swap(name, method, decide, answer, attempt + 1)
    })

  const putOf = (
    { entry, key, lifetime }: Backend.Write<Uint8Array>,
    stamp: number
  ): Either.Either<Put, SerializerError> =>
    Either.map(
      Envelope.v1.encode(new Entry(keyed(key, codecs.value.encode(entry.value)), { ...entry, stamp })),
      (bytes): Put => ({
        bytes,
        meta: metaIn(bytes)!,
        lifetime,
        // not every medium keeps it, and of a large value it takes its time
        get content() {
          return digest(bytes.subarray(headLength - 8))
        }
      })
    )

  const writtenAs = (put: Put): Backend.Written => ({ _tag: "Written", stamp: put.meta!.stamp })

  const write = (
    one: Backend.Write<Uint8Array>,
    method: string,
    decide: (head: Head | undefined) => number | Backend.Written
  ): Effect.Effect<Backend.Written> =>
    swap(
      nameOf(one.key),
      method,
      (head) => {
        const stamp = decide(head)
        if (typeof stamp !== "number") return stamp
        const put = putOf(one, stamp)
        return put._tag === "Left" ? { _tag: "Refused", error: put.left } : put.right
      },
      writtenAs
    ).pipe(within(method), Effect.catchAll(failed))

  const setOne = (one: Backend.Write<Uint8Array>): Effect.Effect<Backend.Written> => {
    if (formed !== undefined) return formed.set(one).pipe(within("setMany"), Effect.catchAll(failed))
    return write(one, "setMany", (head) => {
      const there = stampOf(head)
      const at = now()
      if (one.authoritative) return Math.max(at, there + tick)
      const own = stampGiven(one.entry.stamp)
      if (one.maxAge !== undefined && at - own > one.maxAge) return { _tag: "Late" }
      // of one stamp, an invalidation stays, and of two values the one made later
      const isNewer =
        there > own || (there === own && !(head?.meta?.isTrace === false && head.meta.createdAt <= one.entry.createdAt))
      return isNewer ? { _tag: "Superseded" } : own
    })
  }

  const removeOne = (removal: Backend.Removal): Effect.Effect<Backend.Written> =>
    swap(
      nameOf(removal.key),
      "removeMany",
      (head) => {
        const there = stampOf(head)
        const own = removal.authoritative ? Math.max(now(), there + tick) : stampGiven(removal.stamp)
        if (there > own) return { _tag: "Written", stamp: own }
        return { bytes: Envelope.tombstone(own), meta: traceOf(own), lifetime: removal.tombstone, content: "" }
      },
      writtenAs
    ).pipe(within("removeMany"), Effect.catchAll(failed))

  const setIfAbsent: Backend.Backend<Uint8Array>["setIfAbsent"] = (one, { now: at, replacing }) => {
    if (formed !== undefined) return within("setIfAbsent")(formed.setIfAbsent(one, { now: at, replacing }))
    const written = write(one, "setIfAbsent", (head) => {
      const there = stampOf(head)
      const { meta } = head ?? {}
      const isAlive =
        meta !== undefined &&
        !meta.isTrace &&
        there !== Number.NEGATIVE_INFINITY &&
        meta.expiresAt > at &&
        there !== replacing
      return isAlive ? { _tag: "Superseded" } : Math.max(now(), there + tick)
    })
    return Effect.filterOrFail(written, isDone, ({ error }) => error)
  }

  return {
    name: objects.name,
    remote: true,
    isOwnerless: envelope.isOwnerless,
    getMany,
    setMany: (writes) => Effect.flatMap(Effect.zipRight(begin, each(writes, setOne)), unlessAllFailed),
    setIfAbsent: (one, options) => Effect.zipRight(begin, setIfAbsent(one, options)),
    removeMany: (removals) =>
      Effect.flatMap(
        formed === undefined ? each(removals, removeOne) : within("removeMany")(formed.removeMany(removals)),
        unlessAllFailed
      ),
    marks: marks && {
      every: marksEvery,
      // what is told is told once: only where nothing else has ended the wait by then
      read: Effect.map(within("marks")(marks.read), marks.tell),
      raise: (raised) => Effect.map(within("raise")(marks.raise(raised)), () => marks.told(raised))
    }
  }
})

/**
 * The reads of the Redis backend. Every batch brings the head of the marks and the count along.
 */
import { Buffer } from "node:buffer"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError, SerializerError } from "../../../CacheError.js"
import * as AsyncEffect from "../../asyncEffect.js"
import { maxSkew, timeOfDay } from "../../time.js"
import type { Count } from "./count.js"
import { type Bytes, decode, live, px, type Store, stampIn } from "./store.js"
import { ticket } from "./writes.js"

export const getMany =
  (store: Store): Bytes["getMany"] =>
  (reads) =>
    AsyncEffect.suspend(() => {
      const { count, keys, marks } = store
      const before = count?.seen ?? 0
      const names = reads.map((read) => keys.entry(read.key))
      const uses = count !== undefined && reads.some(({ renews }) => renews === true) ? reads.map(useOf) : undefined
      return AsyncEffect.andThen(readAll(store, names, uses), (exit): ReturnType<Bytes["getMany"]> => {
        if (exit._tag === "Failure") {
          if (isTimeout(exit.cause)) noteTimeout(store, names)
          return Exit.failCause(exit.cause)
        }
        const values = exit.value
        const head = values[reads.length]?.toString()
        const found = count?.parse(values[reads.length + 1]?.toString())
        const isLost = count !== undefined && (found === undefined || found < before)
        const answer = () => {
          const { found, tombstones } = decodeAll(store, reads, values)
          return AsyncEffect.andThen(isLost ? marks.readAgain : marks.readIfChanged(head), (exit) =>
            exit._tag === "Failure"
              ? Exit.failCause(exit.cause)
              : Exit.succeed({ found, tombstones, marks: exit.value })
          )
        }
        return count !== undefined && isBehindAny(count, values, reads.length)
          ? Effect.zipRight(Effect.ignore(ticket(store)), Effect.suspend(answer))
          : answer()
      })
    })

/** The time of a read that renews an entry, and empty text for any other one. */
const useOf = ({ now, renews }: Backend.Read): string => (renews === true && now !== undefined ? String(now) : "")

/** What is found under a Redis key. A `SerializerError` is a value that is too long to be read. */
type Value = Buffer | CacheStoreError | SerializerError | null

type Values = Effect.Effect<ReadonlyArray<Value>, CacheStoreError>

/**
 * Reads the values of Redis keys, then the head of the marks and the count. A value that takes longer to transfer than
 * the timeout would fail each read, and the write that is to overwrite it: so the length of what was not answered in time
 * is asked for before it is read again.
 */
const readAll = (store: Store, names: ReadonlyArray<string>, uses: ReadonlyArray<string> | undefined): Values => {
  const { batches, unanswered } = store
  if (unanswered.isEmpty) return batches.read("getMany", names, uses)
  const doubtful = names.filter((name) => unanswered.get(name) === true)
  if (doubtful.length === 0) return batches.read("getMany", names, uses)
  return Effect.flatMap(tooLongOf(store, doubtful), (tooLong) => {
    const others = names.filter((name) => !tooLong.has(name))
    const usesOfOthers = uses?.filter((_, i) => !tooLong.has(names[i]!))
    return Effect.map(batches.read("getMany", others, usesOfOthers), (values) => {
      let next = 0
      return [...names.map((name) => tooLong.get(name) ?? values[next++]!), ...values.slice(next)]
    })
  })
}

const noteTimeout = ({ unanswered }: Store, names: ReadonlyArray<string>): void => {
  for (const name of names) unanswered.set(name, true)
}

const isTimeout = (cause: Cause.Cause<CacheStoreError>): boolean =>
  Cause.isFailType(cause) && cause.error.reason === "Timeout"

const tooLarge = (maxBytes: number): SerializerError =>
  new SerializerError({
    reason: "Decode",
    path: "envelope",
    detail: `is larger than ${maxBytes} bytes, the limit that maxValueBytes sets for a value with its tags`
  })

/** The keys whose values are too long to be read. The others are not doubtful any more. */
const tooLongOf = (
  { connection, keys, maxBytes, unanswered }: Store,
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, SerializerError>> =>
  Effect.map(
    connection.callAll(
      "getMany",
      names.map((name) => ({ slot: keys.slot(name), send: (client) => client.strlen(name) }))
    ),
    (lengths) => {
      const tooLong = new Map<string, SerializerError>()
      names.forEach((name, i) => {
        const length = lengths[i]
        if (Number(length) > maxBytes) tooLong.set(name, tooLarge(maxBytes))
        else if (!(length instanceof CacheStoreError && length.reason !== "Rejected")) unanswered.delete(name)
      })
      return tooLong
    }
  )

/**
 * Whether the count is behind what is stored: a process with an earlier release stamps its writes with the server's time.
 * A ticket raises the count to that time; a stamp that is still far above it is then refused.
 */
const isBehind = ({ seen }: Count, value: Value): boolean => {
  if (!Buffer.isBuffer(value)) return false
  const stamp = stampIn(value)
  return stamp !== undefined && stamp > (value[3] === 1 ? seen : seen + maxSkew)
}

/** Whether the count is behind one of the first values. */
const isBehindAny = (count: Count, values: ReadonlyArray<Value>, length: number): boolean => {
  for (let i = 0; i < length; i++) if (isBehind(count, values[i]!)) return true
  return false
}

const decodeAll = (
  store: Store,
  reads: ReadonlyArray<Backend.Read>,
  values: ReadonlyArray<Value>
): Backend.Answers<Uint8Array> => {
  let tombstones: Array<number | undefined> | undefined
  const at = timeOfDay(live)
  const found = reads.map((read, i): Backend.Found<Uint8Array> => {
    const value = values[i] ?? null
    // on a cluster each node fails by itself
    if (value instanceof CacheStoreError && value.reason === "Timeout") noteTimeout(store, [store.keys.entry(read.key)])
    const decoded = value instanceof SerializerError ? value : decode(store, value, read, at)
    if (decoded === undefined || decoded instanceof SerializerError || decoded instanceof CacheStoreError) {
      return decoded
    }
    if (decoded._tag === "Entry") {
      store.marks.note(decoded.entry)
      return decoded.entry
    }
    tombstones ??= new Array<number | undefined>(reads.length).fill(undefined)
    tombstones[i] = decoded.stamp
    return undefined
  })
  return { found, tombstones }
}

/** Renews entries that were read. Only the form of `Envelope.v1` has a place for the time of a read. */
export const renew = ({ batches, keys, noMemory, scripts }: Store): Bytes["renew"] => {
  const { renew: script } = scripts
  if (script === undefined) return undefined
  return (renewals) =>
    Effect.map(
      batches.run({
        method: "renew",
        script,
        keys: renewals.map(({ key }) => keys.entry(key)),
        args: renewals.flatMap(({ at, lifetime, stamp }) => [String(stamp), String(at), px(lifetime)])
      }),
      (answers) =>
        answers.map((answer, i): Backend.Written => {
          if (answer instanceof CacheStoreError) return { _tag: "Failed", error: answer }
          if (answer === "full") return { _tag: "Failed", error: noMemory }
          return answer === "renewed" ? { _tag: "Written", stamp: renewals[i]!.stamp } : { _tag: "Superseded" }
        })
    )
}

/**
 * The reads of the Redis backend. Every batch brings the head of the marks and the count along.
 */
import type { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError, SerializerError } from "../../../CacheError.js"
import { maxSkew, timeOfDay } from "../../time.js"
import { type Count, parseCount } from "./count.js"
import { type Bytes, decode, live, type Store, stampIn } from "./store.js"
import { ticket } from "./writes.js"

export const getMany =
  (store: Store): Bytes["getMany"] =>
  (reads) =>
    Effect.suspend(() => {
      const { batches, count, keys, marks } = store
      const before = count?.seen ?? 0
      return Effect.flatMap(
        batches.read(
          "getMany",
          reads.map((read) => keys.entry(read.key))
        ),
        (values) => {
          const [head, counted] = [values[reads.length], values[reads.length + 1]].map((text) => text?.toString())
          const found = parseCount(counted)
          if (found !== undefined) count?.observe(found)
          const isLost = count !== undefined && (found === undefined || found < before)
          const current = Effect.suspend(() => {
            const answers = decodeAll(store, reads, values)
            return Effect.map(isLost ? marks.readAgain : marks.readIfChanged(head), (marks) => ({ ...answers, marks }))
          })
          return count !== undefined && values.some((value, i) => i < reads.length && isBehind(count, value))
            ? Effect.zipRight(Effect.ignore(ticket(store)), current)
            : current
        }
      )
    })

/**
 * Whether the count is behind what is stored: a process with an earlier release stamps its writes with the server's time.
 * A ticket raises the count to that time; a stamp that is still far above it is then refused.
 */
const isBehind = ({ seen }: Count, value: Buffer | CacheStoreError | null): boolean => {
  if (value === null || value instanceof CacheStoreError) return false
  const stamp = stampIn(value)
  return stamp !== undefined && stamp > (value[3] === 1 ? seen : seen + maxSkew)
}

const decodeAll = (
  store: Store,
  reads: ReadonlyArray<Backend.Read>,
  values: ReadonlyArray<Buffer | CacheStoreError | null>
): Backend.Answers<Uint8Array> => {
  let tombstones: Array<number | undefined> | undefined
  const at = timeOfDay(live)
  const found = reads.map((read, i): Backend.Found<Uint8Array> => {
    const decoded = decode(store, values[i] ?? null, read, at)
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

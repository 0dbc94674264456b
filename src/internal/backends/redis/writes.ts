/**
 * The writes and removals of the Redis backend. On one server an authoritative write is tried without a ticket first; on
 * a cluster it always takes one.
 */
import type { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import { defaultLoad } from "../../lifespans.js"
import { tick, timeOfDay } from "../../time.js"
import type { Args, Script } from "./scriptParts.js"
import * as Scripts from "./scripts.js"
import { asBuffer, type Bytes, decode, live, px, type Store, stampOf, type Write } from "./store.js"

const failed = (error: CacheStoreError): Backend.Written => ({ _tag: "Failed", error })

/** The ticket in a script's answer, if the write is to be sent again with one. */
const ticketIn = (answer: string | CacheStoreError): number | undefined =>
  typeof answer === "string" && answer.startsWith("again ") ? Number(answer.slice(6)) : undefined

/** Whether a write sends a value again that was set, and that the backend has not confirmed. */
const isRetry = ({ authoritative, follows, maxAge, tombstone }: Write): boolean =>
  !authoritative && follows !== true && maxAge === undefined && tombstone !== undefined

/** Whether a write takes its stamp from the count. */
const isCounted = ({ authoritative, follows }: Write): boolean => authoritative && follows !== true

/**
 * Whether a write with the stamp of another tier comes so late that a tombstone above that stamp may be gone. This count
 * cannot tell, so the time of this process does.
 */
const isOverdue = ({ grace }: Store, { authoritative, began, follows, maxAge, tombstone }: Write): boolean =>
  follows === true &&
  !authoritative &&
  began !== undefined &&
  timeOfDay(live) - began > (maxAge ?? tombstone ?? Number.POSITIVE_INFINITY) + grace

/** What a script's answer to a write means. */
const written = (store: Store, write: Write, answer: string | CacheStoreError): Backend.Written => {
  if (answer instanceof CacheStoreError) return failed(answer)
  const { count, keys, noMemory, own } = store
  switch (answer) {
    case "": {
      // a value that is sent again, because its answer was lost, had been written before it was superseded
      const before = isRetry(write) ? own.get(keys.entry(write.key)) : undefined
      return before?.createdAt === write.entry.createdAt
        ? { _tag: "Written", stamp: before.stamp }
        : { _tag: "Superseded" }
    }
    case "late":
      return { _tag: "Late" }
    case "fenced":
      return { _tag: "Fenced" }
    case "full":
      return failed(noMemory)
    default: {
      const stamp = Number(answer)
      if (isCounted(write) && Number.isFinite(stamp)) count?.observe(stamp)
      return { _tag: "Written", stamp: stamp || write.entry.stamp }
    }
  }
}

/** The arguments of a script for one write. `kind` is its ticket, or `first`: where it takes its stamp from the count. */
const writeArgs = (store: Store, write: Write, encoded: Uint8Array, kind: string): Args => {
  const { announces, authoritative, entry, follows, lifetime, maxAge, tombstone } = write
  const { grace } = store
  const bytes = asBuffer(encoded)
  if (store.count === undefined) return [bytes, px(lifetime), String(stampOf(store, bytes, entry))]
  const least = tombstone === undefined ? 0 : Math.ceil(tombstone + grace)
  return [
    bytes,
    px(lifetime),
    follows === true ? (authoritative ? "above" : "follow") : authoritative ? kind : "load",
    authoritative || follows === true ? "" : ageOf(write, grace, least),
    String(least),
    maxAge === undefined ? "2" : announces ? "1" : ""
  ]
}

/** The age at which a write is late: a value that was set and is sent again may be as late as the tombstones allow. */
const ageOf = (write: Write, grace: number, least: number): string => {
  const { maxAge, since } = write
  if (since !== undefined) return `${defaultLoad} ${since}`
  return isRetry(write) ? String(least) : maxAge === undefined ? "" : px(maxAge + grace)
}

/** Takes a ticket, which is the place of an authoritative write among the writes of all processes. */
export const ticket = ({ connection, count, keys }: Store): Effect.Effect<number, CacheStoreError> =>
  Effect.suspend(() =>
    Effect.map(connection.run("raise", Scripts.raise, [keys.count], [String(count!.seen)]), (answer) => {
      count!.observe(Number(answer))
      return Number(answer)
    })
  )

/** The kind of the authoritative writes of a batch. */
const kindOf = (store: Store, isNeeded: boolean): Effect.Effect<string, CacheStoreError> =>
  store.takesTickets && isNeeded ? Effect.map(ticket(store), String) : Effect.succeed("first")

/** The entry to write. A value that is sent again is later than what this process has set before. */
const entryOf = ({ keys, own }: Store, write: Write): Write["entry"] => {
  const { entry } = write
  const before = isRetry(write) ? own.get(keys.entry(write.key)) : undefined
  if (before === undefined || before.stamp < entry.stamp) return entry
  return new Entry(entry.value, { ...entry, stamp: before.stamp + tick })
}

/** A write with its bytes, and its place in the batch. */
interface Encoded {
  readonly at: number
  readonly write: Write
  readonly bytes: Uint8Array
}

/** Notes the lifespans of writes, of which `RedisMarks.use` then announces the longest. */
const noting = ({ grace, marks }: Store, writes: ReadonlyArray<Write>): Store["marks"] => {
  for (const { entry, tombstone = 0 } of writes) marks.note(entry, tombstone + grace)
  return marks
}

export const setMany =
  (store: Store): Bytes["setMany"] =>
  (writes) =>
    Effect.suspend(() => {
      const out = new Array<Backend.Written>(writes.length)
      const plain: Array<Encoded> = []
      const fenced: Array<Effect.Effect<void, CacheStoreError>> = []
      const { use } = noting(store, writes)
      writes.forEach((write, at) => {
        const bytes = store.envelope.encode(entryOf(store, write))
        if (bytes._tag === "Left") out[at] = { _tag: "Refused", error: bytes.left }
        else if (isOverdue(store, write)) out[at] = { _tag: "Late" }
        else if (write.fence === undefined) plain.push({ at, write, bytes: bytes.right })
        else {
          const sent = setFenced(store, write, write.fence, writeArgs(store, write, bytes.right, "first"))
          fenced.push(
            Effect.map(sent, (written) => {
              out[at] = written
            })
          )
        }
      })
      return Effect.flatMap(
        Effect.all([use, setPlain(store, plain, out), ...fenced], { concurrency: "unbounded", discard: true }),
        () =>
          out.length > 0 && out.every((result) => result._tag === "Failed" && result.error === store.noMemory)
            ? Effect.fail(store.noMemory)
            : Effect.succeed(out)
      )
    })

/** Writes entries that need no lock as one batch, and fills their places in `out`. */
const setPlain = (
  store: Store,
  writes: ReadonlyArray<Encoded>,
  out: Array<Backend.Written>
): Effect.Effect<void, CacheStoreError> => {
  if (writes.length === 0) return Effect.void
  const set = new Map(
    writes.flatMap(({ write }) => (isCounted(write) ? [[store.keys.entry(write.key), write.entry]] : []))
  )
  const send = (writes: ReadonlyArray<Encoded>, kind: string) =>
    store.batches.run({
      method: "setMany",
      script: store.scripts.set,
      keys: writes.map(({ write }) => store.keys.entry(write.key)),
      args: writes.flatMap(({ bytes, write }) => writeArgs(store, write, bytes, kind)),
      onAnswer: (keys, answers) => {
        keys.forEach((key, i) => {
          const stamp = Number(answers[i])
          const entry = stamp > 0 ? set.get(key) : undefined
          if (entry !== undefined) store.own.set(key, { stamp, createdAt: entry.createdAt })
        })
      }
    })
  return Effect.gen(function* () {
    const answers = yield* send(
      writes,
      yield* kindOf(
        store,
        writes.some(({ write }) => isCounted(write))
      )
    )
    const again: Array<Encoded> = []
    let last = 0
    writes.forEach((encoded, i) => {
      const ticket = ticketIn(answers[i]!)
      if (ticket === undefined) out[encoded.at] = written(store, encoded.write, answers[i]!)
      else {
        again.push(encoded)
        last = ticket
      }
    })
    if (again.length === 0) return
    store.count!.observe(last)
    const second = yield* send(again, String(last))
    again.forEach(({ at, write }, i) => {
      out[at] = written(store, write, second[i]!)
    })
  })
}

/** Writes one entry while its lock has a token. Entry and lock share a slot, so one script sees both. */
const setFenced = (
  store: Store,
  write: Write,
  token: string,
  args: Args
): Effect.Effect<Backend.Written, CacheStoreError> =>
  Effect.suspend(() => {
    const { batches, connection, count, keys, scripts, takesTickets } = store
    const entry = keys.entry(write.key)
    const slot = keys.slot(entry)
    const isCounted = count !== undefined && !takesTickets
    const send = connection.script(
      scripts.setFenced,
      isCounted ? [entry, keys.lock(entry), keys.count] : [entry, keys.lock(entry)],
      count === undefined ? [...args, token] : [...args, token, String(count.seen)]
    )
    return connection.callOn("setMany", slot, send).pipe(
      Effect.map((answer) => written(store, write, (answer as ReadonlyArray<string>)[0]!)),
      Effect.catchAll((error) => (batches.isOutOfReach() ? Effect.fail(error) : Effect.succeed(failed(error))))
    )
  })

export const setIfAbsent =
  (store: Store): Bytes["setIfAbsent"] =>
  (write, { now, replacing }) =>
    Effect.suspend(() => {
      const bytes = store.envelope.encode(write.entry)
      if (bytes._tag === "Left") return Effect.succeed<Backend.Written>({ _tag: "Refused", error: bytes.left })
      const buffer = asBuffer(bytes.right)
      if (store.count === undefined) return putIfAbsent(store, write, buffer, { now, replacing })
      const { use } = noting(store, [write])
      const least = String(Math.ceil((write.tombstone ?? 0) + store.grace))
      const dead = replacing === undefined ? "" : String(replacing)
      const send = (kind: string) =>
        sendIfAbsent(store, write, store.scripts.setIfAbsent, [
          buffer,
          px(write.lifetime),
          String(now),
          dead,
          kind,
          least
        ])
      return Effect.gen(function* () {
        const { entry, follows = false } = write
        const answer = yield* send(follows ? `@${entry.stamp}` : yield* kindOf(store, true))
        yield* use
        const ticket = ticketIn(answer)
        if (ticket === undefined) return written(store, write, answer)
        store.count!.observe(ticket)
        return written(store, write, yield* send(String(ticket)))
      })
    })

const sendIfAbsent = (
  { batches, keys }: Store,
  write: Write,
  script: Script,
  args: Args
): Effect.Effect<string | CacheStoreError, CacheStoreError> =>
  Effect.map(batches.run({ method: "setIfAbsent", script, keys: [keys.entry(write.key)], args }), ([answer]) => answer!)

/** `setIfAbsent` for an envelope that scripts cannot read: compares and swaps the bytes that were read before. */
const putIfAbsent = (
  store: Store,
  write: Write,
  buffer: Buffer,
  { now, replacing }: Parameters<Bytes["setIfAbsent"]>[1]
): Effect.Effect<Backend.Written, CacheStoreError> =>
  Effect.flatMap(store.batches.read("getMany", [store.keys.entry(write.key)]), ([there]) => {
    const found = decode(store, there ?? null, { now })
    if (found instanceof CacheStoreError) return Effect.succeed(failed(found))
    if (found?._tag === "Entry" && now < found.entry.expiresAt && found.entry.stamp !== replacing) {
      return Effect.succeed<Backend.Written>({ _tag: "Superseded" })
    }
    const sent = sendIfAbsent(store, write, Scripts.putInstead, [
      buffer,
      px(write.lifetime),
      String(stampOf(store, buffer, write.entry)),
      (there as Buffer | null) ?? ""
    ])
    return Effect.map(sent, (answer) => written(store, write, answer))
  })

export const removeMany =
  (store: Store): Bytes["removeMany"] =>
  (removals) =>
    Effect.gen(function* () {
      const { batches, count, grace, keys, scripts } = store
      const isNeeded = removals.some(({ follows }) => follows !== true)
      const kind = count === undefined ? "" : yield* kindOf(store, isNeeded)
      const answers = yield* batches.run({
        method: "removeMany",
        script: scripts.remove,
        keys: removals.map((removal) => keys.entry(removal.key)),
        args: removals.flatMap(({ follows, stamp, tombstone }) =>
          count === undefined
            ? ["", "0", String(stamp)]
            : [px(tombstone + grace), follows === true ? `@${stamp}` : kind]
        )
      })
      return answers.map((answer, i): Backend.Written => {
        if (answer instanceof CacheStoreError) return failed(answer)
        const stamp = Number(answer)
        if (removals[i]!.follows !== true) count?.observe(stamp)
        return { _tag: "Written", stamp }
      })
    })

/**
 * The writes and removals of the Redis backend. On one server an authoritative write is tried without a ticket first; on
 * a cluster it always takes one.
 */
import type { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import * as AsyncEffect from "../../asyncEffect.js"
import { defaultLoad } from "../../lifespans.js"
import { timeOfDay } from "../../time.js"
import type { Args, Script } from "./scriptParts.js"
import * as Scripts from "./scripts.js"
import { asBuffer, type Bytes, decode, live, px, type Store, stampOf, type Write } from "./store.js"

const failed = (error: CacheStoreError): Backend.Written => ({ _tag: "Failed", error })

/** The ticket in a script's answer, if the write is to be sent again with one. */
const ticketIn = (answer: string | CacheStoreError): number | undefined =>
  typeof answer === "string" && answer.startsWith("again ") ? Number(answer.slice(6)) : undefined

/** Whether a write sends a value again that was set, and gets its place from the count. */
const isRetry = ({ follows, isRetry }: Write): boolean => isRetry === true && follows !== true

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
  const { count, keys, noMemory, ownSets } = store
  switch (answer) {
    case "":
    case "late": {
      // the answer to its first attempt may have come meanwhile
      const stamp = isRetry(write) ? ownSets.confirmedStamp(keys.entry(write.key), write.entry) : undefined
      if (stamp !== undefined) return { _tag: "Written", stamp }
      return { _tag: answer === "" ? "Superseded" : "Late" }
    }
    case "fenced":
      return { _tag: "Fenced" }
    case "full":
      return failed(noMemory)
    default: {
      const stamp = Number(answer)
      if ((isCounted(write) || isRetry(write)) && Number.isFinite(stamp)) count?.observe(stamp)
      return { _tag: "Written", stamp: stamp || write.entry.stamp }
    }
  }
}

/** For how many milliseconds the stamp of a write must stay at least. */
const leastOf = ({ grace }: Store, { tombstone }: Write): number =>
  tombstone === undefined ? 0 : Math.ceil(tombstone + grace)

/** The ticket that a set had when it was sent before. */
const ticketBefore = ({ keys, ownSets }: Store, write: Write): number | undefined =>
  isRetry(write) ? ownSets.ticketOf(keys.entry(write.key), write.entry) : undefined

/** The kind of a write for its script. `ticket` is that of a set, or `first`. */
const kindOfWrite = (store: Store, write: Write, ticket: string): string => {
  const { authoritative, follows } = write
  if (follows === true) return authoritative ? "above" : "follow"
  if (authoritative) return ticket
  return isRetry(write) ? String(ticketBefore(store, write) ?? "retry") : "load"
}

/** The arguments of a script for one write. `ticket` is that of a set, or `first`. */
const writeArgs = (store: Store, write: Write, encoded: Uint8Array, ticket: string): Args => {
  const { announces, entry, givesWay, lifetime, maxAge } = write
  const bytes = asBuffer(encoded)
  if (store.count === undefined) return [bytes, px(lifetime), String(stampOf(store, bytes, entry))]
  const kind = kindOfWrite(store, write, ticket)
  return [
    bytes,
    px(lifetime),
    givesWay === undefined || kind !== "load" ? kind : `load ${givesWay.dead ?? ""}`,
    kind === "retry" ? ticket : kind === "load" ? ageOf(store, write) : "",
    String(leastOf(store, write)),
    maxAge === undefined ? "2" : announces ? "1" : ""
  ]
}

/**
 * The age at which a write that keeps its stamp is late. What another tier has taken may be as late as the tombstones
 * allow.
 */
const ageOf = (store: Store, write: Write): string => {
  const { maxAge, since, tombstone } = write
  if (since !== undefined) return `${defaultLoad} ${since}`
  if (maxAge !== undefined) return px(maxAge + store.grace)
  return tombstone === undefined ? "" : String(leastOf(store, write))
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

/** The entry to write. A set that is sent again is later than what this process has set before. */
const entryOf = ({ keys, ownSets }: Store, write: Write): Write["entry"] => {
  const { entry } = write
  const stamp = isRetry(write) ? ownSets.retryStamp(keys.entry(write.key), entry.stamp) : entry.stamp
  return stamp === entry.stamp ? entry : new Entry(entry.value, { ...entry, stamp })
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
    AsyncEffect.suspend(() => {
      const out = new Array<Backend.Written>(writes.length)
      const plain: Array<Encoded> = []
      const others: Array<Effect.Effect<void, CacheStoreError>> = []
      const { use } = noting(store, writes)
      if (use !== undefined) others.push(use)
      writes.forEach((write, at) => {
        const stamp = isRetry(write)
          ? store.ownSets.confirmedStamp(store.keys.entry(write.key), write.entry)
          : undefined
        if (stamp !== undefined) {
          // its answer came after it was given up
          out[at] = { _tag: "Written", stamp }
          return
        }
        const bytes = store.envelope.encode(entryOf(store, write))
        if (bytes._tag === "Left") out[at] = { _tag: "Refused", error: bytes.left }
        else if (isOverdue(store, write)) out[at] = { _tag: "Late" }
        else if (write.fence === undefined) plain.push({ at, write, bytes: bytes.right })
        else {
          const sent = setFenced(store, write, write.fence, writeArgs(store, write, bytes.right, "first"))
          others.push(
            Effect.map(sent, (written) => {
              out[at] = written
            })
          )
        }
      })
      const own = setPlain(store, plain, out)
      return AsyncEffect.flatMap(
        others.length === 0 ? own : Effect.all([own, ...others], { concurrency: "unbounded", discard: true }),
        () =>
          out.length > 0 && out.every((result) => result._tag === "Failed" && result.error === store.noMemory)
            ? Exit.fail(store.noMemory)
            : Exit.succeed(out)
      )
    })

/** Writes entries that need no lock as one batch, and fills their places in `out`. */
const setPlain = (
  store: Store,
  writes: ReadonlyArray<Encoded>,
  out: Array<Backend.Written>
): Effect.Effect<void, CacheStoreError> => {
  if (writes.length === 0) return Effect.void
  const sets = new Map<string, { readonly number: number; readonly createdAt: number }>(
    writes.flatMap(({ write }) => {
      if (!isCounted(write) && !isRetry(write)) return []
      const name = store.keys.entry(write.key)
      const { createdAt } = write.entry
      return [[name, { number: store.ownSets.sends(name, createdAt, isRetry(write)), createdAt }]]
    })
  )
  const send = (writes: ReadonlyArray<Encoded>, ticketOf: (encoded: Encoded) => string) =>
    store.batches.run({
      method: "setMany",
      script: store.scripts.set,
      keys: writes.map(({ write }) => store.keys.entry(write.key)),
      args: writes.flatMap((encoded) => writeArgs(store, encoded.write, encoded.bytes, ticketOf(encoded))),
      onAnswer: (keys, answers) => {
        keys.forEach((key, i) => {
          const stamp = Number(answers[i])
          const set = stamp > 0 ? sets.get(key) : undefined
          if (set !== undefined) store.ownSets.confirms(key, set.number, { stamp, createdAt: set.createdAt })
        })
      }
    })
  const takeTicket = (taken: ReadonlyArray<Encoded>, ticket: number): void => {
    for (const { write } of taken) {
      const name = store.keys.entry(write.key)
      if (isCounted(write)) store.ownSets.takes(name, sets.get(name)!.number, ticket)
    }
  }
  const sendAll = (sent: ReadonlyArray<Encoded>, first: string, retries?: ReadonlyMap<Encoded, string>) =>
    AsyncEffect.flatMap(
      send(sent, (encoded) => retries?.get(encoded) ?? first),
      (answers) => {
        const again: Array<Encoded> = []
        let last = 0
        sent.forEach((encoded, i) => {
          const ticket = ticketIn(answers[i]!)
          if (ticket === undefined) out[encoded.at] = written(store, encoded.write, answers[i]!)
          else {
            again.push(encoded)
            last = ticket
          }
        })
        if (again.length === 0) return Exit.void
        store.count!.observe(last)
        takeTicket(again, last)
        return AsyncEffect.map(
          send(again, () => String(last)),
          (second) =>
            again.forEach(({ at, write }, i) => {
              out[at] = written(store, write, second[i]!)
            })
        )
      }
    )
  if (!store.takesTickets) return sendAll(writes, "first")
  return Effect.gen(function* () {
    const retries = yield* ticketsOfRetries(store, writes)
    const sent = writes.filter((encoded) => retries.get(encoded) !== "late")
    for (const encoded of writes) {
      if (retries.get(encoded) === "late") out[encoded.at] = written(store, encoded.write, "late")
    }
    if (sent.length === 0) return
    const first = yield* kindOf(
      store,
      sent.some(({ write }) => isCounted(write))
    )
    if (first !== "first") takeTicket(sent, Number(first))
    yield* sendAll(sent, first, retries)
  })
}

/** Takes a ticket for the sets of a batch that are sent again, on a cluster. Each has it, or `late`, or is to be without. */
const ticketsOfRetries = (
  store: Store,
  writes: ReadonlyArray<Encoded>
): Effect.Effect<ReadonlyMap<Encoded, string>, CacheStoreError> => {
  const { connection, count, keys } = store
  const retries = writes.filter(({ write }) => isRetry(write))
  if (retries.length === 0) return Effect.succeed(new Map())
  const args = retries.flatMap(({ bytes, write }) => [
    String(asBuffer(bytes).readDoubleBE(4)),
    String(leastOf(store, write)),
    String(ticketBefore(store, write) ?? "")
  ])
  const script = connection.run("raise", Scripts.ticketOfRetries, [keys.count], [...args, String(count!.seen)])
  return Effect.map(script, (answer) => {
    const [ticket, ...tickets] = answer as ReadonlyArray<string>
    count!.observe(Number(ticket))
    return new Map(retries.map((encoded, i) => [encoded, tickets[i]!]))
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
        if (use !== undefined) yield* use
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

/** Whether a removal has a stamp already: that of another tier, or a ticket. */
const isGiven = ({ follows, stale }: Backend.Removal): boolean => follows === true || stale !== undefined

export const removeMany =
  (store: Store): Bytes["removeMany"] =>
  (removals) =>
    AsyncEffect.suspend(() => {
      const { batches, count, grace, keys, scripts } = store
      const isNeeded = removals.some((removal) => !isGiven(removal))
      const send = (kind: string) =>
        batches.run({
          method: "removeMany",
          script: scripts.remove,
          keys: removals.map((removal) => keys.entry(removal.key)),
          args: removals.flatMap((removal) => {
            const { stale, stamp, tombstone } = removal
            if (count === undefined) return ["", "0", String(stamp)]
            const lifetime = px(tombstone + grace)
            return [
              stale === undefined ? lifetime : `${lifetime} ${stale.at} ${stale.of}`,
              isGiven(removal) ? `@${stamp}` : kind
            ]
          })
        })
      const answers = count === undefined ? send("") : AsyncEffect.flatMap(kindOf(store, isNeeded), send)
      return AsyncEffect.map(answers, (answers) =>
        answers.map((answer, i): Backend.Written => {
          if (answer instanceof CacheStoreError) return failed(answer)
          const stamp = Number(answer)
          if (!isGiven(removals[i]!)) count?.observe(stamp)
          return { _tag: "Written", stamp }
        })
      )
    })

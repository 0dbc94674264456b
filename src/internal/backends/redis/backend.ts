/**
 * Redis as a backend of bytes: which command or script each verb of the Backend is.
 */
import { Buffer } from "node:buffer"
import { randomUUID } from "node:crypto"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError, SerializerError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import * as Envelope from "../../../Envelope.js"
import { BoundedMap } from "../../boundedMap.js"
import { maxMarks as defaultMarks } from "../../markNames.js"
import { checkCount, decodeFinite, decodeMillis } from "../../options.js"
import { Problems } from "../../problems.js"
import { tick, timeOfDay } from "../../time.js"
import * as Audit from "./audit.js"
import * as Channel from "./channel.js"
import { type Client, isCluster, sources } from "./client.js"
import { Connection } from "./connection.js"
import { Count, parseCount } from "./count.js"
import { Keys } from "./keys.js"
import * as Lock from "./lock.js"
import { RedisMarks } from "./marks.js"
import * as Scripts from "./scripts.js"
import { type Batches, BySlot, together } from "./slots.js"

export interface Options {
  readonly prefix?: string | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly connectTimeout?: Duration.DurationInput | undefined
  readonly name?: string | undefined
  readonly envelope?: Envelope.Envelope | undefined
  readonly maxMarks?: number | undefined
}

/** For how many keys the stamps of values that this process has set are kept. */
const maxOwn = 10_000

/** The time of day, for envelopes without stamps, whose entries have times only. */
const live = /*#__PURE__*/ Clock.make()

type Bytes = Backend.Backend<Uint8Array>
type Write = Backend.Write<Uint8Array>

/** The scripts of one server, or of the nodes of a cluster, which have no count. */
interface StoreScripts {
  readonly set: Scripts.Script
  readonly setFenced: Scripts.Script
  readonly setIfAbsent: Scripts.Script
  readonly remove: Scripts.Script
}

/** A value that this process has set: the stamp that the server gave it, and when it was made. */
interface OwnValue {
  readonly stamp: number
  readonly createdAt: number
}

/** What the verbs share. */
interface Store {
  readonly connection: Connection
  readonly batches: Batches
  readonly keys: Keys
  readonly marks: RedisMarks
  readonly envelope: Envelope.Envelope
  /**
   * The count that orders writes. Only entries in the form of `Envelope.v1` have stamps that the scripts read;
   * `undefined` for any other envelope, whose writes are not ordered.
   */
  readonly count: Count | undefined
  /**
   * The values that this process has set, by Redis key, also those whose answers came too late. What this process sets
   * afterwards is later. Mutable by design.
   */
  readonly own: BoundedMap<OwnValue>
  readonly scripts: StoreScripts
  /** Whether an authoritative write takes a ticket first, because the node of its key does not have the count. */
  readonly takesTickets: boolean
  /** How many milliseconds a tombstone outlasts the loads that it rejects: a command may take that long. */
  readonly grace: number
  /** The error of a write for which the server has no memory. */
  readonly noMemory: CacheStoreError
}

const onServer: StoreScripts = {
  set: Scripts.set,
  setFenced: Scripts.setFenced,
  setIfAbsent: Scripts.setIfAbsent,
  remove: Scripts.remove
}

const onNodes: StoreScripts = {
  set: Scripts.setOnNode,
  setFenced: Scripts.setFencedOnNode,
  setIfAbsent: Scripts.setIfAbsentOnNode,
  remove: Scripts.removeOnNode
}

const unordered: StoreScripts = {
  set: Scripts.put,
  setFenced: Scripts.putFenced,
  setIfAbsent: Scripts.putInstead,
  remove: Scripts.put
}

/** A lifetime as scripts take it: whole milliseconds, or empty text for an entry that never expires. */
const px = (lifetime: number): string =>
  lifetime > Number.MAX_SAFE_INTEGER ? "" : String(Math.max(1, Math.ceil(lifetime)))

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

// ------------------------------------------------------------------------------------------------------------ decoding

const decode = (
  store: Store,
  bytes: Buffer | CacheStoreError | null,
  { now, owner = "", stale = 0 }: Omit<Backend.Read, "key">,
  at = timeOfDay(live)
): Envelope.Decoded | SerializerError | CacheStoreError | undefined => {
  if (bytes === null) return undefined
  if (bytes instanceof CacheStoreError) return bytes
  const decoded = store.envelope.decode(bytes, { owner, stale, now: now ?? at, storeNow: at })
  if (decoded._tag === "Right") return decoded.right
  const { detail, path, reason } = decoded.left
  const hasStamp = store.count !== undefined && bytes.length >= 12 && bytes.toString("latin1", 0, 3) === "EC\u0001"
  return new SerializerError({ reason, path, detail, stamp: hasStamp ? bytes.readDoubleBE(4) : undefined })
}

/** The stamp with which others will decode an entry. */
const stampOf = (store: Store, bytes: Buffer, entry: Write["entry"]): number => {
  const found = decode(store, bytes, { now: entry.createdAt })
  return found?._tag === "Entry" ? found.entry.stamp : entry.stamp
}

// --------------------------------------------------------------------------------------------------------------- reads

const getMany =
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
          const answers = decodeAll(store, reads, values)
          const found = parseCount(counted)
          if (found !== undefined) count?.observe(found)
          const isLost = count !== undefined && (found === undefined || found < before)
          const current = Effect.map(isLost ? marks.readAgain : marks.readIfChanged(head), (marks) => ({
            ...answers,
            marks
          }))
          return count !== undefined && isBehind(count, answers)
            ? Effect.zipRight(Effect.ignore(ticket(store)), current)
            : current
        }
      )
    })

/** Whether a tombstone is above the count: a process with an earlier release stamps it with the server's time. */
const isBehind = ({ seen }: Count, { tombstones }: Backend.Answers<Uint8Array>): boolean =>
  tombstones?.some((stamp) => stamp !== undefined && stamp > seen) === true

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
    if (decoded._tag === "Entry") return decoded.entry
    tombstones ??= new Array<number | undefined>(reads.length).fill(undefined)
    tombstones[i] = decoded.stamp
    return undefined
  })
  return { found, tombstones }
}

// -------------------------------------------------------------------------------------------------------------- writes

const failed = (error: CacheStoreError): Backend.Written => ({ _tag: "Failed", error })

/** The ticket in a script's answer, if the write is to be sent again with one. */
const ticketIn = (answer: string | CacheStoreError): number | undefined =>
  typeof answer === "string" && answer.startsWith("again ") ? Number(answer.slice(6)) : undefined

/** Whether a write sends a value again that was set, and that the backend has not confirmed. */
const isRetry = ({ authoritative, maxAge, tombstone }: Write): boolean =>
  !authoritative && maxAge === undefined && tombstone !== undefined

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
      if (write.authoritative && Number.isFinite(stamp)) count?.observe(stamp)
      return { _tag: "Written", stamp: stamp || write.entry.stamp }
    }
  }
}

/** The arguments of a script for one write. `kind` is that of an authoritative write: its ticket, or `first`. */
const writeArgs = (store: Store, write: Write, encoded: Uint8Array, kind: string): Scripts.Args => {
  const { announces, authoritative, entry, lifetime, maxAge, tombstone } = write
  const { grace } = store
  const bytes = asBuffer(encoded)
  if (store.count === undefined) return [bytes, px(lifetime), String(stampOf(store, bytes, entry))]
  const least = tombstone === undefined ? 0 : Math.ceil(tombstone + grace)
  // a value that was set and is sent again may be as late as the tombstones allow; a copy from another tier is not late
  const age = isRetry(write) ? String(least) : maxAge === undefined ? "" : px(maxAge + grace)
  return [
    bytes,
    px(lifetime),
    authoritative ? kind : "load",
    authoritative ? "" : age,
    String(least),
    maxAge === undefined ? "2" : announces ? "1" : ""
  ]
}

/** Takes a ticket, which is the place of an authoritative write among the writes of all processes. */
const ticket = ({ connection, count, keys }: Store): Effect.Effect<number, CacheStoreError> =>
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

const setMany =
  (store: Store): Bytes["setMany"] =>
  (writes) =>
    Effect.suspend(() => {
      const out = new Array<Backend.Written>(writes.length)
      const plain: Array<Encoded> = []
      const fenced: Array<Effect.Effect<void, CacheStoreError>> = []
      writes.forEach((write, at) => {
        const bytes = store.envelope.encode(entryOf(store, write))
        if (bytes._tag === "Left") out[at] = { _tag: "Refused", error: bytes.left }
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
        Effect.all([setPlain(store, plain, out), ...fenced], { concurrency: "unbounded", discard: true }),
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
    writes.flatMap(({ write }) => (write.authoritative ? [[store.keys.entry(write.key), write.entry]] : []))
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
        writes.some(({ write }) => write.authoritative)
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
  args: Scripts.Args
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

const setIfAbsent =
  (store: Store): Bytes["setIfAbsent"] =>
  (write, { now, replacing }) =>
    Effect.suspend(() => {
      const bytes = store.envelope.encode(write.entry)
      if (bytes._tag === "Left") return Effect.succeed<Backend.Written>({ _tag: "Refused", error: bytes.left })
      const buffer = asBuffer(bytes.right)
      if (store.count === undefined) return putIfAbsent(store, write, buffer, { now, replacing })
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
        const answer = yield* send(yield* kindOf(store, true))
        const ticket = ticketIn(answer)
        if (ticket === undefined) return written(store, write, answer)
        store.count!.observe(ticket)
        return written(store, write, yield* send(String(ticket)))
      })
    })

const sendIfAbsent = (
  { batches, keys }: Store,
  write: Write,
  script: Scripts.Script,
  args: Scripts.Args
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

const removeMany =
  (store: Store): Bytes["removeMany"] =>
  (removals) =>
    Effect.gen(function* () {
      const { batches, count, grace, keys, scripts } = store
      const kind = count === undefined ? "" : yield* kindOf(store, true)
      const answers = yield* batches.run({
        method: "removeMany",
        script: scripts.remove,
        keys: removals.map((removal) => keys.entry(removal.key)),
        args: removals.flatMap(({ stamp, tombstone }) =>
          count === undefined ? ["", "0", String(stamp)] : [px(tombstone + grace), kind]
        )
      })
      return answers.map((answer): Backend.Written => {
        if (answer instanceof CacheStoreError) return failed(answer)
        const stamp = Number(answer)
        count?.observe(stamp)
        return { _tag: "Written", stamp }
      })
    })

// -------------------------------------------------------------------------------------------------------- construction

/** Makes the backend over a client, which may be lent. Waits at most `connectTimeout` for the connection. */
export const backendOf = Effect.fnUntraced(function* (
  client: Client,
  lent: boolean,
  options: Options
): Effect.fn.Return<Bytes, never, Scope.Scope> {
  const { envelope = Envelope.v1, name = "redis" } = options
  const timeout = yield* Effect.sync(() => decodeFinite("timeout", options.timeout ?? "500 millis", name))
  const maxMarks = yield* Effect.sync(() => checkCount("maxMarks", options.maxMarks ?? defaultMarks, name))
  const count = envelope === Envelope.v1 ? new Count() : undefined
  const takesTickets = count !== undefined && isCluster(client)
  const keys = new Keys(client, options.prefix ?? "ec1:")
  // Not from the service Random: a seed that two processes share must not give them one id.
  const processId = randomUUID()
  const problems = yield* Problems.make(name)
  if (lent) Audit.checkClient(client, { name, problems })
  let evictsTombstones = false
  const checkEviction = Effect.suspend(() => Audit.checkEviction(connection, { name, problems })).pipe(
    Effect.tap((isWeak) =>
      Effect.sync(() => {
        evictsTombstones = isWeak
      })
    )
  )
  const connection: Connection = new Connection({
    client,
    name,
    problems,
    timeout,
    lent,
    runtime: yield* Effect.runtime<never>(),
    prepare: Effect.suspend(() =>
      Effect.zipRight(connection.checkDatabase, Effect.zip(marks.prepare, checkEviction, { concurrent: true }))
    ),
    marksSlot: keys.slot(keys.head),
    publisher: [keys.channel, processId]
  })
  const marks: RedisMarks = new RedisMarks({ connection, keys, count, maxMarks })
  yield* connection.start(decodeMillis("connectTimeout", options.connectTimeout ?? "1 second", name))

  const batches = isCluster(client) ? new BySlot(connection, keys, count) : together(connection, keys, count)
  const scripts = count === undefined ? unordered : takesTickets ? onNodes : onServer
  const own = new BoundedMap<OwnValue>(maxOwn)
  const noMemory = new CacheStoreError({
    reason: "Rejected",
    store: connection.name,
    method: "setMany",
    cause: new Error("OOM: Redis has reached `maxmemory`, and its `maxmemory-policy` lets it evict nothing")
  })
  const store: Store = {
    connection,
    batches,
    keys,
    marks,
    envelope,
    count,
    own,
    scripts,
    takesTickets,
    grace: timeout,
    noMemory
  }
  return {
    name: connection.name,
    remote: true,
    isOwnerless: envelope.isOwnerless,
    isUp: () => connection.isUp(),
    problems: () => problems.list,
    stamps: count && {
      seen: () => count.seen,
      raise: Effect.asVoid(ticket(store)),
      isCurrent: () => connection.isUp()
    },
    changes: connection.changes,
    notifications: (within) =>
      Channel.make(
        {
          sources: () => sources(client),
          channel: keys.channel,
          heartbeats: keys.heartbeats(processId),
          processId,
          keyOf: (reported) => keys.keyOf(reported),
          now: () => connection.now(),
          onForeign: () =>
            problems.report(
              "MessageIgnored",
              "",
              `${name}: a message on the channel ${keys.channel} could not be read and is ignored, so what it reports ` +
                "is missed: another program, or another version of this library, publishes there. Update it, or give " +
                "this store a prefix of its own."
            ),
          onRefused: (why) =>
            problems.begin(
              "SubscribeRefused",
              "",
              `${name}: Redis does not let this store exchange notifications (${why}): a copy in memory counts for ` +
                "`blindTtl` only, and whoever waits for a lock asks again at intervals. Allow the user `+subscribe`, " +
                `\`+publish\` and the channels that begin with ${keys.channel.replace(/!.*/, "")}; retrying`
            ),
          onArmed: () => void problems.end("SubscribeRefused", ""),
          warn: (message) => Effect.logWarning(`${connection.name}: ${message}`)
        },
        within
      ),
    needsNotifications: () => evictsTombstones,
    lock: Lock.make({ connection, keys, processId, px }),
    getMany: getMany(store),
    setMany: setMany(store),
    setIfAbsent: setIfAbsent(store),
    removeMany: removeMany(store),
    marks: { read: marks.read, raise: (raised) => marks.raise(raised) }
  }
})

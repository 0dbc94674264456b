/**
 * Redis as a backend of bytes: which command or script each verb of the Backend is.
 */
import { Buffer } from "node:buffer"
import { randomUUID } from "node:crypto"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError, SerializerError } from "../../../CacheError.js"
import * as Envelope from "../../../Envelope.js"
import { maxMarks as defaultMarks } from "../../markNames.js"
import { checkCount, decodeFinite, decodeMillis } from "../../options.js"
import { Problems } from "../../problems.js"
import * as Audit from "./audit.js"
import * as Channel from "./channel.js"
import { type Client, isCluster, sources } from "./client.js"
import { Connection } from "./connection.js"
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

type Bytes = Backend.Backend<Uint8Array>
type Write = Backend.Write<Uint8Array>

/** What the verbs share. */
interface Store {
  readonly connection: Connection
  readonly batches: Batches
  readonly keys: Keys
  readonly marks: RedisMarks
  readonly envelope: Envelope.Envelope
  /** Whether entries are in the form of `Envelope.v1`, the only one whose stamps the scripts read to order writes. */
  readonly isOrdered: boolean
  /**
   * How many milliseconds after its request an authoritative write still gets a new stamp. A command may wait in a
   * server that hangs. When it runs after the store has given it up, a later request may have been made, which must
   * win.
   */
  readonly grace: number
  /** The error of a write for which the server has no memory. */
  readonly noMemory: CacheStoreError
}

/** A lifetime as scripts take it: whole milliseconds, or empty text for an entry that never expires. */
const px = (lifetime: number): string =>
  lifetime > Number.MAX_SAFE_INTEGER ? "" : String(Math.max(1, Math.ceil(lifetime)))

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

// ------------------------------------------------------------------------------------------------------------ decoding

const storeNow = ({ connection }: Store): number => connection.now() + connection.stampOffset()

const decode = (
  store: Store,
  bytes: Buffer | CacheStoreError | null,
  { now, owner = "", stale = 0 }: Omit<Backend.Read, "key">,
  at = storeNow(store)
): Envelope.Decoded | SerializerError | CacheStoreError | undefined => {
  if (bytes === null) return undefined
  if (bytes instanceof CacheStoreError) return bytes
  const decoded = store.envelope.decode(bytes, { owner, stale, now: now ?? at, storeNow: at })
  if (decoded._tag === "Right") return decoded.right
  const { detail, path, reason } = decoded.left
  const hasStamp = store.isOrdered && bytes.length >= 12 && bytes.toString("latin1", 0, 3) === "EC\u0001"
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
    Effect.flatMap(
      store.batches.read(
        "getMany",
        reads.map((read) => store.keys.entry(read.key))
      ),
      (values) => {
        const head = values[reads.length] as Buffer | null | undefined
        return Effect.map(store.marks.readIfChanged(head?.toString()), (marks) => ({
          ...decodeAll(store, reads, values),
          marks
        }))
      }
    )

const decodeAll = (
  store: Store,
  reads: ReadonlyArray<Backend.Read>,
  values: ReadonlyArray<Buffer | CacheStoreError | null>
): Backend.Answers<Uint8Array> => {
  let tombstones: Array<number | undefined> | undefined
  const at = storeNow(store)
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

/** What a script's answer to a write means. */
const written = ({ noMemory }: Store, write: Write, answer: string | CacheStoreError): Backend.Written => {
  if (answer instanceof CacheStoreError) return failed(answer)
  switch (answer) {
    case "":
      return { _tag: "Superseded" }
    case "late":
      return { _tag: "Late" }
    case "fenced":
      return { _tag: "Fenced" }
    case "full":
      return failed(noMemory)
    default:
      return { _tag: "Written", stamp: Number(answer) || write.entry.stamp }
  }
}

/** The arguments of a script for one write. */
const writeArgs = (store: Store, write: Write, encoded: Uint8Array): Scripts.Args => {
  const { announces, authoritative, entry, lifetime, maxAge } = write
  const { grace } = store
  const bytes = asBuffer(encoded)
  return store.isOrdered
    ? [
        bytes,
        px(lifetime),
        authoritative ? String(grace) : "",
        maxAge === undefined ? "" : px(maxAge + grace),
        announces ? "1" : ""
      ]
    : [bytes, px(lifetime), String(stampOf(store, bytes, entry))]
}

const setMany =
  (store: Store): Bytes["setMany"] =>
  (writes) =>
    Effect.suspend(() => {
      const out = new Array<Backend.Written>(writes.length)
      const plain: Array<number> = []
      const args: Array<string | Buffer> = []
      const fenced: Array<Effect.Effect<void, CacheStoreError>> = []
      writes.forEach((write, i) => {
        const bytes = store.envelope.encode(write.entry)
        if (bytes._tag === "Left") {
          out[i] = { _tag: "Refused", error: bytes.left }
          return
        }
        const own = writeArgs(store, write, bytes.right)
        if (write.fence === undefined) {
          plain.push(i)
          args.push(...own)
        } else {
          fenced.push(
            Effect.map(setFenced(store, write, write.fence, own), (written) => {
              out[i] = written
            })
          )
        }
      })
      const sent = Effect.map(
        setPlain(
          store,
          plain.map((i) => writes[i]!),
          args
        ),
        (results) => {
          plain.forEach((i, j) => {
            out[i] = results[j]!
          })
        }
      )
      return Effect.flatMap(Effect.all([sent, ...fenced], { concurrency: "unbounded", discard: true }), () =>
        out.length > 0 && out.every((result) => result._tag === "Failed" && result.error === store.noMemory)
          ? Effect.fail(store.noMemory)
          : Effect.succeed(out)
      )
    })

/** Writes entries that need no lock, as one batch. */
const setPlain = (
  store: Store,
  writes: ReadonlyArray<Write>,
  args: Scripts.Args
): Effect.Effect<ReadonlyArray<Backend.Written>, CacheStoreError> => {
  if (writes.length === 0) return Effect.succeed([])
  const answers = store.batches.run({
    method: "setMany",
    script: store.isOrdered ? Scripts.set : Scripts.put,
    keys: writes.map((write) => store.keys.entry(write.key)),
    args,
    stamps: writes.map((write) => write.entry.stamp)
  })
  return Effect.map(answers, (answers) => writes.map((write, i) => written(store, write, answers[i]!)))
}

/** Writes one entry while its lock has a token. Entry and lock share a slot, so one script sees both. */
const setFenced = (
  store: Store,
  write: Write,
  token: string,
  args: Scripts.Args
): Effect.Effect<Backend.Written, CacheStoreError> => {
  const { batches, connection, isOrdered, keys } = store
  const entry = keys.entry(write.key)
  const slot = keys.slot(entry)
  const script = isOrdered ? Scripts.setFenced : Scripts.putFenced
  const clock = batches.clock(slot, [write.entry.stamp])
  const send = connection.script(script, [entry, keys.lock(entry)], [...args, token, ...clock])
  return connection.callOn("setMany", slot, send).pipe(
    Effect.map((answer) => written(store, write, (answer as ReadonlyArray<string>)[0]!)),
    Effect.catchAll((error) => (batches.isOutOfReach() ? Effect.fail(error) : Effect.succeed(failed(error))))
  )
}

const setIfAbsent =
  (store: Store): Bytes["setIfAbsent"] =>
  (write, { now, replacing }) =>
    Effect.suspend(() => {
      const bytes = store.envelope.encode(write.entry)
      if (bytes._tag === "Left") return Effect.succeed<Backend.Written>({ _tag: "Refused", error: bytes.left })
      const buffer = asBuffer(bytes.right)
      return store.isOrdered
        ? setOneIfAbsent(store, write, Scripts.setIfAbsent, [
            buffer,
            px(write.lifetime),
            String(now),
            replacing === undefined ? "" : String(replacing)
          ])
        : putIfAbsent(store, write, buffer, { now, replacing })
    })

const setOneIfAbsent = (
  store: Store,
  write: Write,
  script: Scripts.Script,
  args: Scripts.Args
): Effect.Effect<Backend.Written, CacheStoreError> =>
  Effect.map(
    store.batches.run({
      method: "setIfAbsent",
      script,
      keys: [store.keys.entry(write.key)],
      args,
      stamps: [write.entry.stamp]
    }),
    ([answer]) => written(store, write, answer!)
  )

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
    return setOneIfAbsent(store, write, Scripts.putInstead, [
      buffer,
      px(write.lifetime),
      String(stampOf(store, buffer, write.entry)),
      (there as Buffer | null) ?? ""
    ])
  })

const removeMany =
  ({ batches, grace, isOrdered, keys }: Store): Bytes["removeMany"] =>
  (removals) =>
    Effect.map(
      batches.run({
        method: "removeMany",
        script: isOrdered ? Scripts.remove : Scripts.put,
        keys: removals.map((removal) => keys.entry(removal.key)),
        args: removals.flatMap(({ authoritative, stamp, tombstone }) =>
          isOrdered
            ? [px(tombstone + grace), String(stamp), authoritative ? String(grace) : ""]
            : ["", "0", String(stamp)]
        ),
        stamps: removals.map((removal) => removal.stamp)
      }),
      (answers) =>
        answers.map(
          (stamp): Backend.Written =>
            stamp instanceof CacheStoreError ? failed(stamp) : { _tag: "Written", stamp: Number(stamp) }
        )
    )

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
  const isOrdered = envelope === Envelope.v1
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
  const marks: RedisMarks = new RedisMarks({ connection, keys, grace: timeout, maxMarks })
  yield* connection.start(decodeMillis("connectTimeout", options.connectTimeout ?? "1 second", name))

  const batches = isCluster(client) ? new BySlot(connection, keys, timeout) : together(connection, keys)
  const noMemory = new CacheStoreError({
    reason: "Rejected",
    store: connection.name,
    method: "setMany",
    cause: new Error("OOM: Redis has reached `maxmemory`, and its `maxmemory-policy` lets it evict nothing")
  })
  const store: Store = { connection, batches, keys, marks, envelope, isOrdered, grace: timeout, noMemory }
  return {
    name: connection.name,
    remote: true,
    isOwnerless: envelope.isOwnerless,
    isUp: () => connection.isUp(),
    problems: () => problems.list,
    offset: () => connection.stampOffset(),
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

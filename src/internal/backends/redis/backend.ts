/**
 * Redis as a medium: where keys, marks and locks stand, and which script or command each verb is.
 */
import { Buffer } from "node:buffer"
import { randomUUID } from "node:crypto"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError, SerializerError } from "../../../CacheError.js"
import * as Envelope from "../../../Envelope.js"
import { decodeFinite } from "../../options.js"
import { PendingMarks } from "../pendingMarks.js"
import * as Channel from "./channel.js"
import { type Client, isCluster, sources } from "./client.js"
import { Connection } from "./connection.js"
import { lockKey } from "./lock.js"
import * as Scripts from "./scripts.js"
import { Slots, slotOf } from "./slots.js"

export interface Options {
  readonly prefix?: string | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly connectTimeout?: Duration.DurationInput | undefined
  readonly name?: string | undefined
  readonly envelope?: Envelope.Envelope | undefined
}

const px = (lifetime: number): string =>
  lifetime > Number.MAX_SAFE_INTEGER ? "" : String(Math.max(1, Math.ceil(lifetime)))

const escapeHalves = (key: string): string =>
  key.replace(/[%\p{Surrogate}]/gu, (half) => `%${half.charCodeAt(0).toString(16)}`)

const unescapeHalves = (text: string): string =>
  text.replace(/%(25|d[89a-f][0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const backendOf = Effect.fnUntraced(function* (
  client: Client,
  lent: boolean,
  options: Options
): Effect.fn.Return<Backend.Backend<Uint8Array>, never, Scope.Scope> {
  const prefix = options.prefix ?? "ec1:"
  const timeout = yield* Effect.sync(() => decodeFinite("timeout", options.timeout ?? "500 millis"))
  const envelope = options.envelope ?? Envelope.v1
  // the scripts order the writes of this form, and of no other
  const isOrdered = envelope === Envelope.v1
  // what begins with "!" is written with two: one is for the marks, and for keys that UTF-8 would change
  const physical = (key: string) =>
    /\p{Surrogate}/u.test(key)
      ? `${prefix}!u${escapeHalves(key)}`
      : key.startsWith("!")
        ? `${prefix}!${key}`
        : prefix + key
  // what the client puts before a key is in what the server tells of it, but not in names of channels
  const told = (client.options.keyPrefix ?? "") + prefix
  const logicalKey = (key: string) => {
    if (!key.startsWith(told)) return undefined
    const text = key.slice(told.length)
    return !text.startsWith("!") ? text : text.startsWith("!u") ? unescapeHalves(text.slice(2)) : text.slice(1)
  }
  const headKey = `${prefix}!{marks}:head`
  const markKeys = [`${prefix}!{marks}:versions`, `${prefix}!{marks}:stamps`, headKey]

  let locks = 0
  const pending = new PendingMarks()
  const hear = (answer: unknown): void => {
    const [floor, version, lost, now, raised] = answer as [string, string, string, string, ReadonlyArray<string>]
    connection.measured(Number(now))
    head = `${floor} ${version} ${lost}`
    pending.add({
      floor: Number(floor),
      lost: Number(lost),
      raised: Array.from({ length: raised.length / 2 }, (_, i) => [raised[2 * i]!, Number(raised[2 * i + 1])] as const)
    })
  }
  // the head as this process knows it: floor, version, and when marks were last lost
  let head = ""
  const marksArgs = (raise: ReadonlyArray<string>) => [head.split(" ")[1] ?? (isOrdered ? "0" : "-1"), ...raise]

  // a name for this process, on which nobody else may hit, whatever seed its Random has
  const node = randomUUID()
  // channels are those of the whole server, whatever its databases and prefixes of clients keep apart
  const database = isCluster(client) ? 0 : (client.options.db ?? 0)
  const channel = `${told}!news${database === 0 ? "" : `@${database}`}`
  const beats = `${told}!beat:${node}`
  const who = [channel, node]

  const connection: Connection = new Connection(
    client,
    options.name ?? "redis",
    timeout,
    lent,
    yield* Effect.runtime<never>(),
    Effect.suspend(() =>
      Effect.map(connection.runFirst("marks", Scripts.marks, markKeys, [...who, ...marksArgs([])]), hear)
    ),
    slotOf(client, headKey)
  )
  const slots = isCluster(client) ? new Slots(connection, timeout) : undefined
  yield* connection.start(options.connectTimeout ?? "1 second")

  const marks = (method: string, raise: ReadonlyArray<string>) =>
    Effect.suspend(() =>
      Effect.map(connection.run(method, Scripts.marks, markKeys, [...who, ...marksArgs(raise)]), hear)
    )
  /** fetches marks only where the head, which every batch brings along, says that some were raised */
  const news = (seen: Buffer | null | undefined): Effect.Effect<Backend.Marks | undefined, CacheStoreError> =>
    Effect.map(seen?.toString() === head ? Effect.void : marks("getMany", []), () => pending.take())

  const decode = (
    bytes: Buffer | CacheStoreError | null,
    { now, owner = "", stale = 0 }: Omit<Backend.Read, "key">,
    storeNow = connection.now() + connection.stampOffset()
  ): Envelope.Decoded | SerializerError | CacheStoreError | undefined => {
    if (bytes === null) return undefined
    if (bytes instanceof CacheStoreError) return bytes
    const decoded = envelope.decode(bytes, { owner, stale, now: now ?? storeNow, storeNow })
    if (decoded._tag === "Right") return decoded.right
    const { detail, path, reason } = decoded.left
    const isHeader = isOrdered && bytes.length >= 12 && bytes.toString("latin1", 0, 3) === "EC\u0001"
    return new SerializerError({ reason, path, detail, stamp: isHeader ? bytes.readDoubleBE(4) : undefined })
  }
  /** the stamp under which others will find it */
  const stampOf = (bytes: Buffer, entry: Backend.Write<Uint8Array>["entry"]): number => {
    const found = decode(bytes, { now: entry.createdAt })
    return found?._tag === "Entry" ? found.entry.stamp : entry.stamp
  }

  // a command may wait in a server that hangs: carried out after it was given up, when it is owed and something else may
  // have been asked for, it is not what came last
  const late = timeout

  const getAll = (keys: ReadonlyArray<string>) =>
    slots === undefined
      ? connection.call("getMany", (client) => client.mgetBuffer([...keys, headKey]))
      : slots.read("getMany", keys, headKey)

  /** `args` are as many for each key */
  const run = (
    method: string,
    script: Scripts.Script,
    keys: ReadonlyArray<string>,
    args: Scripts.Args,
    stamps: ReadonlyArray<number>
  ): Effect.Effect<ReadonlyArray<string | CacheStoreError>, CacheStoreError> =>
    slots === undefined
      ? (connection.run(method, script, keys, [...who, ...args]) as Effect.Effect<
          ReadonlyArray<string>,
          CacheStoreError
        >)
      : slots.run(method, script, who, keys, args, stamps)

  const scriptOn = (script: Scripts.Script, key: string, args: Scripts.Args) =>
    connection.script(script, [key], [...who, ...args])
  const sendTo = (method: string, key: string, send: (client: Client) => Promise<unknown>) =>
    Effect.flatMap(connection.callAll(method, [{ slot: slotOf(client, key), send }]), ([answer]) =>
      answer instanceof CacheStoreError ? Effect.fail(answer) : Effect.succeed(answer)
    )
  const runOn = (method: string, script: Scripts.Script, key: string, args: Scripts.Args) =>
    sendTo(method, key, scriptOn(script, key, args))

  const failed = (error: CacheStoreError): Backend.Written => ({ _tag: "Failed", error })

  const written = (write: Backend.Write<Uint8Array>, answer: string | CacheStoreError): Backend.Written =>
    answer instanceof CacheStoreError
      ? failed(answer)
      : answer === ""
        ? { _tag: "Superseded" }
        : answer === "late"
          ? { _tag: "Late" }
          : answer === "fenced"
            ? { _tag: "Fenced" }
            : { _tag: "Written", stamp: Number(answer) || write.entry.stamp }

  const setArgs = (
    { announces, entry, authoritative, lifetime, maxAge }: Backend.Write<Uint8Array>,
    encoded: Uint8Array
  ) => {
    const bytes = asBuffer(encoded)
    return isOrdered
      ? [
          bytes,
          px(lifetime),
          authoritative ? String(late) : "",
          maxAge === undefined ? "" : px(maxAge + late),
          announces ? "1" : ""
        ]
      : [bytes, px(lifetime), String(stampOf(bytes, entry))]
  }

  const setFenced = (write: Backend.Write<Uint8Array>, token: string, args: Scripts.Args) => {
    const key = physical(write.key)
    const slot = slotOf(client, key)
    const clock = slots === undefined ? [] : slots.clock(slot, write.entry.stamp)
    const send = connection.script(
      isOrdered ? Scripts.setFenced : Scripts.putFenced,
      [key, lockKey(client, prefix, key)],
      [...who, ...args, token, ...clock]
    )
    return Effect.flatMap(connection.callAll("setMany", [{ slot, send }]), ([answer]) => {
      if (!(answer instanceof CacheStoreError)) {
        return Effect.succeed(written(write, (answer as ReadonlyArray<string>)[0]!))
      }
      return slots === undefined || !connection.isUp() ? Effect.fail(answer) : Effect.succeed(failed(answer))
    })
  }

  return {
    name: connection.name,
    remote: true,
    isOwnerless: envelope.isOwnerless,
    isUp: () => connection.isUp(),
    offset: () => connection.stampOffset(),
    changes: connection.changes,
    notifications: (within) =>
      Channel.make(
        {
          sources: () => sources(client),
          channel,
          beats,
          node,
          logicalKey,
          now: () => connection.now(),
          warn: (message) => Effect.logWarning(`${connection.name}: ${message}`)
        },
        within
      ),
    lock: (key, lease) =>
      Effect.suspend(() => {
        const token = `${node}:${++locks}`
        const at = lockKey(client, prefix, physical(key))
        const ask = scriptOn(Scripts.lock, at, [token, px(lease)])
        const giveBack = scriptOn(Scripts.unlock, at, [token, told + physical(key).slice(prefix.length)])
        let isGivenUp = false
        const send = (client: Client) =>
          ask(client).then((left) => {
            // nobody would hold it for its lease
            if (isGivenUp && left === 0) giveBack(client).catch(() => {})
            return left
          })
        const giveUp = Effect.sync(() => {
          isGivenUp = true
        })
        return Effect.map(
          Effect.tapError(sendTo("lock", at, send), () => giveUp),
          (left): Backend.Held | number =>
            Number(left) > 0
              ? Number(left)
              : {
                  token,
                  renew: Effect.map(runOn("renew", Scripts.renew, at, [token, px(lease)]), (still) => still === 1),
                  release: Effect.asVoid(sendTo("unlock", at, giveBack))
                }
        )
      }),
    getMany: (reads) =>
      Effect.flatMap(getAll(reads.map((read) => physical(read.key))), (values) =>
        Effect.map(news(values[reads.length] as Buffer | null), (marks) => {
          let tombstone: number | undefined
          const now = connection.now() + connection.stampOffset()
          const found = reads.map((read, i): Backend.Found<Uint8Array> => {
            const decoded = decode(values[i] ?? null, read, now)
            if (decoded === undefined || decoded instanceof SerializerError) return decoded
            if (decoded instanceof CacheStoreError) return decoded
            if (decoded._tag === "Entry") return decoded.entry
            tombstone = Math.max(decoded.stamp, tombstone ?? 0)
            return undefined
          })
          return { found, marks, tombstone }
        })
      ),
    setMany: (writes) =>
      Effect.suspend(() => {
        const out = new Array<Backend.Written>(writes.length)
        const all: Array<number> = []
        const fenced: Array<Effect.Effect<void, CacheStoreError>> = []
        const args: Array<string | Buffer> = []
        writes.forEach((write, i) => {
          const bytes = envelope.encode(write.entry)
          if (bytes._tag === "Left") {
            out[i] = { _tag: "Refused", error: bytes.left }
            return
          }
          const own = setArgs(write, bytes.right)
          if (write.fence === undefined) {
            all.push(i)
            args.push(...own)
          } else {
            fenced.push(
              Effect.map(setFenced(write, write.fence, own), (written) => {
                out[i] = written
              })
            )
          }
        })
        const keys = all.map((i) => physical(writes[i]!.key))
        const stamps = all.map((i) => writes[i]!.entry.stamp)
        const sent =
          all.length === 0
            ? Effect.void
            : Effect.map(run("setMany", isOrdered ? Scripts.set : Scripts.put, keys, args, stamps), (answers) => {
                all.forEach((i, j) => {
                  out[i] = written(writes[i]!, answers[j]!)
                })
              })
        return Effect.as(Effect.all([sent, ...fenced], { concurrency: "unbounded", discard: true }), out)
      }),
    setIfAbsent: (write, { now, replacing }) =>
      Effect.suspend(() => {
        const bytes = envelope.encode(write.entry)
        if (bytes._tag === "Left") return Effect.succeed<Backend.Written>({ _tag: "Refused", error: bytes.left })
        const buffer = asBuffer(bytes.right)
        const key = physical(write.key)
        const send = (script: Scripts.Script, args: Scripts.Args) =>
          Effect.map(
            run("setIfAbsent", script, [key], [buffer, px(write.lifetime), ...args], [write.entry.stamp]),
            (answer) => written(write, typeof answer === "string" ? answer : answer[0]!)
          )
        if (isOrdered) {
          return send(Scripts.setIfAbsent, [String(now), replacing === undefined ? "" : String(replacing)])
        }
        return Effect.flatMap(getAll([key]), ([there]) => {
          const found = decode(there ?? null, { now })
          if (found instanceof CacheStoreError) return Effect.succeed(failed(found))
          if (found?._tag === "Entry" && now < found.entry.expiresAt && found.entry.stamp !== replacing) {
            return Effect.succeed<Backend.Written>({ _tag: "Superseded" })
          }
          return send(Scripts.putInstead, [String(stampOf(buffer, write.entry)), (there as Buffer | null) ?? ""])
        })
      }),
    removeMany: (removals) =>
      Effect.map(
        run(
          "removeMany",
          isOrdered ? Scripts.remove : Scripts.put,
          removals.map((removal) => physical(removal.key)),
          removals.flatMap(({ authoritative, stamp, tombstone }) =>
            isOrdered
              ? [px(tombstone + late), String(stamp), authoritative ? String(late) : ""]
              : ["", "0", String(stamp)]
          ),
          removals.map((removal) => removal.stamp)
        ),
        (answers) =>
          answers.map(
            (stamp): Backend.Written =>
              stamp instanceof CacheStoreError ? failed(stamp) : { _tag: "Written", stamp: Number(stamp) }
          )
      ),
    marks: {
      read: Effect.map(marks("marks", []), () => pending.take()),
      raise: (raised) =>
        Effect.map(
          marks(
            "raise",
            raised.flatMap(({ authoritative, name, stamp }) => [name, String(stamp), authoritative ? String(late) : ""])
          ),
          () => {
            const [floor, , lost] = head.split(" ").map(Number)
            return pending.takeRaised(raised, { floor: floor!, lost: lost! })
          }
        )
    }
  }
})

/**
 * Redis as a backend of bytes: makes its parts, and gives each verb of the Backend to them.
 */
import { randomUUID } from "node:crypto"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { CacheStoreError, InvalidOption } from "../../../CacheError.js"
import { withChecksum } from "../../../Entry.js"
import * as Envelope from "../../../Envelope.js"
import { BoundedMap } from "../../boundedMap.js"
import { maxMarks as defaultMarks } from "../../markNames.js"
import { checkCount, decodeFinite, decodeMillis } from "../../options.js"
import { Problems } from "../../problems.js"
import { Reported, scrub } from "../../report.js"
import { maxEnvelope } from "../../serializers/compression.js"
import { maxSkew, timeOfDay } from "../../time.js"
import { limitsOf } from "../fromBytes.js"
import * as Audit from "./audit.js"
import * as Channel from "./channel.js"
import { type Client, isCluster, secretsOf, sources } from "./client.js"
import { Connection } from "./connection.js"
import { Count } from "./count.js"
import { Keys } from "./keys.js"
import * as Lock from "./lock.js"
import { RedisMarks } from "./marks.js"
import { OwnSets } from "./ownSets.js"
import { getMany, renew } from "./reads.js"
import { BySlot, together } from "./slots.js"
import { type Bytes, live, onNodes, onServer, px, type Store, unordered } from "./store.js"
import { list, sweep } from "./sweep.js"
import { removeMany, setIfAbsent, setMany, ticket } from "./writes.js"

export interface Options {
  readonly prefix?: string | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly connectTimeout?: Duration.DurationInput | undefined
  readonly name?: string | undefined
  readonly envelope?: Envelope.Envelope | undefined
  readonly checksum?: boolean | undefined
  readonly maxMarks?: number | undefined
  readonly maxValueBytes?: number | undefined
  readonly required?: boolean | undefined
}

/** `Envelope.v1`, with a checksum in each entry. */
const checksummed: Envelope.Envelope = {
  ...Envelope.v1,
  encode: (entry) => Envelope.v1.encode(withChecksum(entry))
}

/** Of how many keys it is kept that a read got no answer in time. */
const maxUnanswered = 10_000

/**
 * Makes the backend over a client, which may be lent. Waits at most `connectTimeout` for the connection, and fails
 * without one only if it is `required`.
 */
export const backendOf = Effect.fnUntraced(function* (
  client: Client,
  lent: boolean,
  options: Options
): Effect.fn.Return<Bytes, CacheStoreError, Scope.Scope> {
  const { checksum = false, envelope = Envelope.v1, name = "redis" } = options
  const timeout = yield* Effect.sync(() => decodeFinite("timeout", options.timeout ?? "500 millis", name))
  const maxMarks = yield* Effect.sync(() => checkCount("maxMarks", options.maxMarks ?? defaultMarks, name))
  const { maxValueBytes } = yield* Effect.sync(() => limitsOf(options, name))
  const isOwn = envelope === Envelope.v1
  if (checksum && !isOwn) {
    return yield* Effect.die(
      new InvalidOption({ option: "checksum", detail: `the envelope ${envelope.name} has no place for one`, of: name })
    )
  }
  const count = isOwn ? new Count() : undefined
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
  const connectTimeout = decodeMillis("connectTimeout", options.connectTimeout ?? "1 second", name)
  yield* connection.start(connectTimeout, options.required === true)

  const batches = isCluster(client) ? new BySlot(connection, keys, count) : together(connection, keys, count)
  const scripts = count === undefined ? unordered : takesTickets ? onNodes : onServer
  const noMemory = new CacheStoreError({
    reason: "Rejected",
    store: connection.name,
    method: "setMany",
    cause: new Reported("OOM: Redis has reached `maxmemory`, and its `maxmemory-policy` lets it evict nothing")
  })
  const store: Store = {
    connection,
    batches,
    keys,
    marks,
    envelope: checksum ? checksummed : envelope,
    count,
    ownSets: new OwnSets(),
    unanswered: new BoundedMap<boolean>(maxUnanswered),
    maxBytes: maxValueBytes + maxEnvelope,
    scripts,
    takesTickets,
    grace: timeout,
    noMemory
  }
  return {
    name: connection.name,
    remote: true,
    isOwnerless: envelope.isOwnerless,
    keepsFailures: isOwn,
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
          reader: { processId, keyOf: (reported) => keys.keyOf(reported) },
          now: () => connection.now(),
          latest: () => Math.max(marks.latest, count?.seen ?? 0, timeOfDay(live)) + maxSkew,
          ask: marks.read,
          onForeign: () =>
            problems.report(
              "MessageIgnored",
              "",
              `${name}: a message on the channel ${keys.channel} could not be read, or has a stamp from the future, ` +
                "and is ignored, so what it reports is missed: another program, or another version of this library, publishes there. Update it, or give " +
                "this store a prefix of its own."
            ),
          onRefused: (why) =>
            problems.begin(
              "SubscribeRefused",
              "",
              `${name}: Redis does not let this store exchange notifications (${scrub(why, secretsOf(client))}): a copy in memory counts for ` +
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
    renew: renew(store),
    sweep: sweep(store),
    list: list(store),
    marks: { read: marks.read, raise: (raised) => marks.raise(raised) }
  }
})

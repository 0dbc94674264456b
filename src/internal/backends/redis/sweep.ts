/**
 * The sweep of the Redis backend. It is the only code that scans: each server is asked for its keys page by page, so that
 * no command keeps other clients waiting. Of each entry the beginning is read, and those that are dead are removed by a
 * script that compares it again.
 */
import { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import type { ChainableCommander, Redis } from "ioredis"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import { lifeEnd } from "../../../Entry.js"
import type { ClusterNode } from "./nodes.js"
import * as Scripts from "./scripts.js"
import { type Bytes, decode, type Store, stampIn } from "./store.js"

type Method<A> = Effect.Effect<A, CacheStoreError>

/** How many keys Redis looks at for one page: a hundred or so microseconds of its time. */
const pageSize = 200

/** How many bytes of an entry are read at first. They contain its times, and its owner and tags unless these are long. */
const beginning = 1_024

/** The part of an entry that is compared before it is removed: the stamp and the times. */
const headerLength = 36

/** An entry as a sweep sees it. */
interface Look {
  readonly key: string
  readonly bytes: Buffer
}

export const sweep =
  (store: Store): NonNullable<Bytes["sweep"]> =>
  (request) => {
    const { connection, keys } = store
    const servers = Effect.sync(() => connection.servers)
    const each = (visit: (server: ClusterNode, names: ReadonlyArray<string>) => Method<void>): Method<void> =>
      Effect.flatMap(servers, (servers) =>
        Effect.forEach(servers, (server) => scan(store, server, (names) => visit(server, names)), { discard: true })
      )
    return Effect.suspend(() => {
      const others = new Set<string>()
      const findOthers = each((_, names) =>
        Effect.sync(() => {
          for (const name of names) {
            const other = keys.prefixWithin(name)
            if (other !== undefined) others.add(other)
          }
        })
      )
      const isOwn = (name: string): boolean => {
        if (!keys.isEntry(name)) return false
        for (const other of others) if (name.startsWith(other)) return false
        return true
      }
      // first, so that no entry of another store is judged by the marks of this one
      return Effect.zipRight(
        findOthers,
        each((server, names) => sweepPage(store, server, names.filter(isOwn), request))
      )
    })
  }

/** Visits the names of a server page by page. SCAN may return a name twice. */
const scan = (
  { connection, keys }: Store,
  server: ClusterNode,
  visit: (names: ReadonlyArray<string>) => Method<void>
): Method<void> =>
  Effect.gen(function* () {
    let cursor = "0"
    do {
      const from = cursor
      const [next, names] = yield* connection.callServer("sweep", server, (redis) =>
        redis.scan(from, "MATCH", keys.pattern, "COUNT", pageSize)
      )
      cursor = next
      yield* visit(names)
    } while (cursor !== "0")
  })

const sweepPage = (
  store: Store,
  server: ClusterNode,
  names: ReadonlyArray<string>,
  request: Backend.Sweep
): Method<void> =>
  Effect.gen(function* () {
    if (names.length === 0) return
    const { dead } = yield* judgeAll(store, server, names, request)
    request.count(names.length, dead.length === 0 ? 0 : yield* free(store, server, dead, request.tombstone))
  })

/** Reads entries, and tells those that are dead from the others. */
const judgeAll = (
  store: Store,
  server: ClusterNode,
  names: ReadonlyArray<string>,
  request: Pick<Backend.Sweep, "judge">
): Method<{ readonly alive: ReadonlyArray<Look>; readonly dead: ReadonlyArray<Look> }> =>
  Effect.gen(function* () {
    const alive: Array<Look> = []
    const dead: Array<Look> = []
    const longer: Array<string> = []
    for (const each of yield* look(store, server, names)) {
      const verdict = judge(store, each.bytes, request)
      if (verdict === "cut") longer.push(each.key)
      else if (verdict === "dead") dead.push(each)
      else alive.push(each)
    }
    if (longer.length > 0) {
      for (const each of yield* look(store, server, longer, -1)) {
        if (judge(store, each.bytes, request) === "dead") dead.push(each)
        else alive.push(each)
      }
    }
    return { alive, dead }
  })

/** Reads the beginning of entries. Without a count, their envelope is not known to have one, and they are read whole. */
const look = (
  { connection, count }: Store,
  server: ClusterNode,
  names: ReadonlyArray<string>,
  last = count === undefined ? -1 : beginning - 1
): Method<ReadonlyArray<Look>> =>
  Effect.map(
    pipelined(connection, server, names, (pipeline, key) => pipeline.getrangeBuffer(key, 0, last)),
    (answers) => answers.flatMap((bytes, i) => (Buffer.isBuffer(bytes) ? [{ key: names[i]!, bytes }] : []))
  )

/** Removes entries, and returns how many of them had not changed. */
const free = (
  { connection, count, grace }: Store,
  server: ClusterNode,
  dead: ReadonlyArray<Look>,
  tombstone: number
): Method<number> => {
  const age = count === undefined ? "" : String(Math.ceil(tombstone + grace))
  const names = dead.map(({ key }) => key)
  return Effect.map(
    pipelined(connection, server, names, (pipeline, key, i) => {
      const { bytes } = dead[i]!
      const expected = count === undefined ? bytes : bytes.subarray(0, headerLength)
      // the text of the script makes its digest known to the server
      return i === 0
        ? pipeline.eval(Scripts.free.text, 1, key, expected, age)
        : pipeline.evalsha(Scripts.free.digest, 1, key, expected, age)
    }),
    (answers) => answers.filter((answer) => Number(answer) === 1).length
  )
}

/** Whether a command failed for its key alone: the key has another type, or its slot is moving to another node. */
const concernsKey = ({ message }: Error): boolean => /^(WRONGTYPE|MOVED|ASK|TRYAGAIN)\b/.test(message)

/** Sends one command for each name, all at once. The answer of one that failed for its key alone is `undefined`. */
const pipelined = (
  connection: Store["connection"],
  server: ClusterNode,
  names: ReadonlyArray<string>,
  command: (pipeline: ChainableCommander, key: string, i: number) => ChainableCommander
): Method<ReadonlyArray<unknown>> =>
  connection.callServer("sweep", server, async (redis: Redis) => {
    // the connection adds the prefix of its client, which the reported names have
    const { keyPrefix = "" } = redis.options
    let pipeline = redis.pipeline()
    names.forEach((name, i) => {
      pipeline = command(pipeline, name.slice(keyPrefix.length), i)
    })
    return ((await pipeline.exec()) ?? []).map(([error, answer]) => {
      if (error !== null && !concernsKey(error)) throw error
      return error === null ? answer : undefined
    })
  })

/** Where a list goes on: it looks for the prefixes of other stores first, and then for keys, on one server after the other. */
interface Cursor {
  readonly isFirst: boolean
  readonly servers: ReadonlyArray<ClusterNode>
  readonly at: number
  readonly cursor: string
  readonly others: Set<string>
}

const startOf = ({ connection }: Store): Cursor => ({
  isFirst: true,
  servers: connection.servers,
  at: 0,
  cursor: "0",
  others: new Set()
})

/** The cursor after a page whose answer was `cursor`; `undefined` after the last one. */
const after = (at: Cursor, cursor: string): Cursor | undefined => {
  if (cursor !== "0") return { ...at, cursor }
  if (at.at + 1 < at.servers.length) return { ...at, at: at.at + 1, cursor }
  return at.isFirst ? { ...at, isFirst: false, at: 0, cursor } : undefined
}

/** Lists the keys of one page. SCAN may return a name twice. */
export const list =
  (store: Store): NonNullable<Bytes["list"]> =>
  (request) =>
    Effect.gen(function* () {
      const { connection, keys } = store
      const cursor = (request.from as Cursor | undefined) ?? startOf(store)
      const { at, isFirst, others, servers } = cursor
      const server = servers[at]
      if (server === undefined) return { keys: [], next: undefined }
      const [answer, names] = yield* connection.callServer("list", server, (redis) =>
        redis.scan(cursor.cursor, "MATCH", keys.pattern, "COUNT", pageSize)
      )
      const next = after(cursor, answer)
      if (isFirst) {
        for (const other of names.map((name) => keys.prefixWithin(name))) if (other !== undefined) others.add(other)
        return { keys: [], next }
      }
      const own = names.filter(
        (name) => keys.isEntry(name) && !Array.from(others).some((other) => name.startsWith(other))
      )
      const alive = own.length === 0 ? [] : (yield* judgeAll(store, server, own, request)).alive
      const listed = alive.filter(({ bytes }) => isEntry(store, bytes))
      return { keys: listed.map(({ key }) => keys.keyOf(key)!), next }
    })

/** Whether bytes are an entry, and no tombstone. */
const isEntry = (store: Store, bytes: Buffer): boolean =>
  store.count === undefined ? bytes.length > 0 : stampIn(bytes) !== undefined && bytes[3]! % 2 === 0

/** What a sweep does with an entry. `cut`: its owner and tags are longer than what was read. */
const judge = (store: Store, bytes: Buffer, request: Pick<Backend.Sweep, "judge">): "alive" | "cut" | "dead" => {
  const { count, envelope } = store
  // the lifetime of an entry without one of its own depends on its reader, so only Redis itself lets it expire
  const decoded = decode(store, bytes, { now: 0, ...(envelope.isOwnerless ? { stale: Number.POSITIVE_INFINITY } : {}) })
  if (decoded === undefined) return "alive"
  if (decoded instanceof Error) return count !== undefined && bytes.length === beginning ? "cut" : "alive"
  if (decoded._tag === "Tombstone") return "alive"
  const { owner, stamp, tags } = decoded.entry
  return request.judge({ expiresAt: lifeEnd(decoded.entry), owner, stamp, tags }) === undefined ? "alive" : "dead"
}

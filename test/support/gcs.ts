/**
 * A double of Google Cloud Storage, because no emulator is available: the part of the JSON API that the
 * store uses, with generations, preconditions and checksums. Tests can make it fail.
 */
import { createHash } from "node:crypto"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { Storage, type StorageOptions } from "@google-cloud/storage"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface StoredObject {
  readonly bytes: Buffer
  readonly generation: number
  readonly metageneration: number
  readonly metadata: Readonly<Record<string, string>>
  readonly contentType: string
}

/** A request that the double has received. */
export interface Asked {
  readonly method: string
  /** The name of the object. */
  readonly name: string
  readonly query: Readonly<Record<string, string>>
  readonly range: string | undefined
  /** The bytes of the answer's body, once it is sent. */
  sent: number
}

/** What happens instead of the right answer: an error status, no answer, or damaged bytes. */
export type Fault = number | "hang" | "corrupt" | undefined

export interface Gcs {
  readonly port: number
  /** The options of a client that connects to the double, or to a proxy in front of it. */
  readonly clientOptions: (port?: number) => StorageOptions
  readonly objects: Map<string, StoredObject>
  readonly requests: Array<Asked>
  /** The largest number of requests in progress at once. */
  readonly busiest: () => number
  /** Chooses the fault of each request. Tests replace it. */
  fault: (asked: Asked) => Fault
  /** How many milliseconds every answer takes. */
  latency: number
}

export const bucket = "caches"

const polynomial = 0x82f63b78
const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ polynomial : c >>> 1
  return c
})

/** The checksum as in `x-goog-hash`: big-endian, in base64. */
export const crc32c = (bytes: Uint8Array): string => {
  let c = 0xffffffff
  for (const byte of bytes) c = table[(c ^ byte) & 0xff]! ^ (c >>> 8)
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE((c ^ 0xffffffff) >>> 0)
  return buffer.toString("base64")
}

const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("base64")

interface Resource {
  readonly contentType?: string
  readonly crc32c?: string
  readonly md5Hash?: string
  readonly metadata?: Record<string, string | null>
}

/** The two parts of an upload: the properties of the object, and its bytes. */
const partsOf = (type: string, body: Buffer): readonly [Resource, Buffer] | undefined => {
  const boundary = /^multipart\/related;.*boundary="?([^";]+)"?/.exec(type)?.[1]
  if (boundary === undefined) return undefined
  const parts: Array<Buffer> = []
  const mark = Buffer.from(`--${boundary}`)
  for (let at = body.indexOf(mark); at !== -1; ) {
    const next = body.indexOf(mark, at + mark.length)
    if (next === -1) break
    const part = body.subarray(at + mark.length + 2, next - 2)
    parts.push(part.subarray(part.indexOf("\r\n\r\n") + 4))
    at = next
  }
  return parts.length === 2 ? [JSON.parse(parts[0]!.toString()), parts[1]!] : undefined
}

class Refusal extends Error {
  readonly status: number
  constructor(status: number, message = http.STATUS_CODES[status]!) {
    super(message)
    this.status = status
  }
}

const withoutNulls = (metadata: Record<string, string | null>): Record<string, string> =>
  Object.fromEntries(Object.entries(metadata).filter((entry): entry is [string, string] => entry[1] !== null))

/** Starts a double, which is stopped with the Scope. */
export const make: Effect.Effect<Gcs, never, Scope.Scope> = Effect.gen(function* () {
  const objects = new Map<string, StoredObject>()
  const requests: Array<Asked> = []
  let generation = 1_700_000_000_000_000
  let running = 0
  let busiest = 0

  const check = (query: Readonly<Record<string, string>>, there: StoredObject | undefined): void => {
    const { ifGenerationMatch, ifMetagenerationMatch } = query
    if (ifGenerationMatch !== undefined && Number(ifGenerationMatch) !== (there?.generation ?? 0))
      throw new Refusal(412)
    if (ifMetagenerationMatch !== undefined && Number(ifMetagenerationMatch) !== there?.metageneration) {
      throw new Refusal(412)
    }
  }

  const resource = (name: string, there: StoredObject) => ({
    kind: "storage#object",
    name,
    bucket,
    generation: String(there.generation),
    metageneration: String(there.metageneration),
    contentType: there.contentType,
    size: String(there.bytes.length),
    crc32c: crc32c(there.bytes),
    md5Hash: md5(there.bytes),
    metadata: there.metadata
  })

  /** A page of the objects whose names begin with a prefix, in the order of their names. */
  const list = ({ maxResults = "1000", pageToken = "", prefix = "" }: Readonly<Record<string, string>>) => {
    const names = Array.from(objects.keys(), (name) => name)
      .filter((name) => name.startsWith(prefix) && name > pageToken)
      .sort()
    const page = names.slice(0, Number(maxResults))
    const nextPageToken = names.length > page.length ? page[page.length - 1] : undefined
    return json({ items: page.map((name) => resource(name, objects.get(name)!)), nextPageToken })
  }

  const json = (body: unknown) => ({
    status: 200,
    headers: { "content-type": "application/json" },
    body: Buffer.from(JSON.stringify(body))
  })

  const media = (there: StoredObject, range: string | undefined) => {
    const headers: Record<string, string> = {
      "content-type": there.contentType,
      "x-goog-generation": String(there.generation),
      "x-goog-metageneration": String(there.metageneration),
      "x-goog-hash": `crc32c=${crc32c(there.bytes)},md5=${md5(there.bytes)}`,
      "x-goog-stored-content-encoding": "identity",
      "x-goog-stored-content-length": String(there.bytes.length)
    }
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? []
    if (from === undefined) return { status: 200, headers, body: there.bytes }
    const start = Number(from)
    if (start >= there.bytes.length) throw new Refusal(416)
    const end = Math.min(to === "" ? Number.POSITIVE_INFINITY : Number(to), there.bytes.length - 1)
    headers["content-range"] = `bytes ${start}-${end}/${there.bytes.length}`
    return { status: 206, headers, body: there.bytes.subarray(start, end + 1) }
  }

  const upload = (name: string, query: Readonly<Record<string, string>>, type: string, body: Buffer) => {
    const parts = query.uploadType === "multipart" ? partsOf(type, body) : undefined
    if (parts === undefined) throw new Refusal(400, "no multipart upload")
    const [properties, bytes] = parts
    check(query, objects.get(name))
    if (properties.crc32c !== undefined && properties.crc32c !== crc32c(bytes))
      throw new Refusal(400, "crc32c does not match")
    if (properties.md5Hash !== undefined && properties.md5Hash !== md5(bytes))
      throw new Refusal(400, "md5Hash does not match")
    objects.set(name, {
      bytes,
      generation: ++generation,
      metageneration: 1,
      metadata: withoutNulls(properties.metadata ?? {}),
      contentType: properties.contentType ?? "application/octet-stream"
    })
    return json(resource(name, objects.get(name)!))
  }

  const answer = (asked: Asked, path: ReadonlyArray<string>, request: http.IncomingMessage, body: Buffer) => {
    const { method, name, query } = asked
    if (path[path.indexOf("b") + 1] !== bucket) throw new Refusal(404, "The specified bucket does not exist.")
    if (method === "GET" && name === "") return list(query)
    if (method === "POST") return upload(name, query, request.headers["content-type"] ?? "", body)
    const there = objects.get(name)
    if (there === undefined || (query.generation !== undefined && Number(query.generation) !== there.generation)) {
      throw new Refusal(404, `No such object: ${bucket}/${name}`)
    }
    check(query, there)
    switch (method) {
      case "GET":
        return query.alt === "media" ? media(there, asked.range) : json(resource(name, there))
      case "PATCH": {
        const { metadata = {} } = JSON.parse(body.toString()) as Resource
        const next = {
          ...there,
          metageneration: there.metageneration + 1,
          metadata: withoutNulls({ ...there.metadata, ...metadata })
        }
        objects.set(name, next)
        return json(resource(name, next))
      }
      case "DELETE":
        objects.delete(name)
        return { status: 204, headers: {}, body: Buffer.alloc(0) }
      default:
        throw new Refusal(405)
    }
  }

  const gcs: Gcs = {
    port: 0,
    clientOptions: (port = gcs.port) => ({
      apiEndpoint: `http://127.0.0.1:${port}`,
      useAuthWithCustomEndpoint: false,
      projectId: "test"
    }),
    objects,
    requests,
    busiest: () => busiest,
    fault: () => undefined,
    latency: 0
  }

  const handle = (request: http.IncomingMessage, body: Buffer, response: http.ServerResponse): void => {
    const url = new URL(request.url!, "http://localhost")
    const query = Object.fromEntries(url.searchParams)
    const path = url.pathname.split("/").map(decodeURIComponent)
    const asked: Asked = {
      method: request.method!,
      name: query.name ?? path[path.indexOf("o") + 1] ?? "",
      query,
      range: request.headers.range,
      sent: 0
    }
    requests.push(asked)
    busiest = Math.max(busiest, ++running)
    response.once("close", () => {
      running--
    })
    const fault = gcs.fault(asked)
    if (fault === "hang") return
    const respond = () => {
      try {
        if (typeof fault === "number") throw new Refusal(fault)
        const answered = answer(asked, path, request, body)
        const bytes = Buffer.from(answered.body)
        if (fault === "corrupt" && bytes.length > 0) bytes[bytes.length - 1]! ^= 1
        asked.sent = bytes.length
        response.writeHead(answered.status, answered.headers).end(bytes)
      } catch (error) {
        const { message, status } = error instanceof Refusal ? error : new Refusal(500, String(error))
        const text = JSON.stringify({ error: { code: status, message, errors: [{ message, reason: "double" }] } })
        response.writeHead(status, { "content-type": "application/json" }).end(text)
      }
    }
    if (gcs.latency === 0) respond()
    else setTimeout(respond, gcs.latency)
  }

  const server = yield* Effect.acquireRelease(
    Effect.async<http.Server>((resume) => {
      const server = http.createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => handle(request, Buffer.concat(chunks), response))
        request.on("error", () => {})
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  return Object.assign(gcs, { port: (server.address() as AddressInfo).port })
})

export const client = (gcs: Gcs, port?: number): Storage =>
  new Storage({ retryOptions: { autoRetry: false }, ...gcs.clientOptions(port) })

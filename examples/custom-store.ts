/**
 * A store of your own, over a service that is not made for caches, and the suite that tests whether it keeps the laws.
 *
 *     npx tsx examples/custom-store.ts
 *
 * The service can read several names at once, and write one name if nobody else has written it meanwhile. Nearly every
 * service can do that; everything else is in this file.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Cause, Console, Data, Duration, Effect, Either, Exit, Layer, Logger, LogLevel } from "effect"
import { type Backend, Cached, CacheStore, CacheStoreError, Entry, Envelope, Key } from "effect-cached"
import { CacheStoreSuite } from "effect-cached/testing"
import * as Print from "./support/print.js"

// --------------------------------------------------------------------------------------------------------- the service

interface Hole {
  readonly bytes: Uint8Array
  /** Changes with every write; 0 stands for an empty hole. */
  readonly version: number
}

/** Stands for a service on the network: it keeps bytes under short names, and answers with promises. */
class Pigeonholes {
  private readonly holes = new Map<string, Hole & { readonly until: number }>()
  private version = 0

  async read(names: ReadonlyArray<string>): Promise<ReadonlyArray<Hole | undefined>> {
    await this.travel()
    return names.map((name) => this.at(name))
  }

  /** Writes if the version is still the one that was seen, and returns whether it did. */
  async write(name: string, bytes: Uint8Array, seen: number, lifetime: number): Promise<boolean> {
    await this.travel()
    if ((this.at(name)?.version ?? 0) !== seen) return false
    this.holes.set(name, { bytes, version: ++this.version, until: performance.now() + lifetime })
    return true
  }

  private at(name: string): Hole | undefined {
    const hole = this.holes.get(name)
    return hole !== undefined && hole.until > performance.now() ? hole : undefined
  }

  private travel(): Promise<void> {
    return new Promise((arrived) => setTimeout(arrived, 1))
  }
}

// ----------------------------------------------------------------------------------------------------------- the store

/** The marks in their hole. The oldest ones are folded into the floor, so that their number is bounded. */
interface Marks {
  readonly floor: number
  readonly raised: ReadonlyArray<readonly [name: string, stamp: number]>
}
const mostMarks = 1_000

const encodeMarks = (marks: Marks): Uint8Array => new TextEncoder().encode(JSON.stringify(marks))
const decodeMarks = (bytes: Uint8Array): Marks => JSON.parse(new TextDecoder().decode(bytes))

const raise = (marks: Marks, raised: ReadonlyArray<Backend.Mark>): Marks => {
  const stamps = new Map(marks.raised)
  let { floor } = marks
  for (const { name, stamp } of raised) {
    // "*" marks everything
    if (name === "*") floor = Math.max(floor, stamp)
    else stamps.set(name, Math.max(stamp, stamps.get(name) ?? 0))
  }
  const newest = Array.from(stamps).sort(([, a], [, b]) => b - a)
  for (const [, stamp] of newest.slice(mostMarks)) floor = Math.max(floor, stamp)
  return { floor, raised: newest.slice(0, mostMarks) }
}

/** The next content of a hole (an entry or a tombstone), or the result where nothing is to be written. */
type Next = { readonly bytes: Uint8Array; readonly lifetime: number; readonly stamp: number } | Backend.Written

const pigeonholes = (service: Pigeonholes): Effect.Effect<Backend.Backend<Uint8Array>> =>
  Effect.gen(function* () {
    const name = "pigeonholes"

    // The service may fail, hang or throw. The store gets a CacheStoreError instead, in time.
    const ask = <A>(method: string, run: () => Promise<A>): Effect.Effect<A, CacheStoreError> =>
      Effect.tryPromise({
        try: run,
        catch: (cause) => new CacheStoreError({ reason: "Rejected", store: name, method, cause })
      }).pipe(
        Effect.timeoutFail({
          duration: "500 millis",
          onTimeout: () => new CacheStoreError({ reason: "Timeout", store: name, method })
        })
      )

    // A key may be any text of any length; a name of the service may not.
    const nameOf = (key: string) => `entry-${Key.hash(key)}`
    const stampIn = (hole: Hole | undefined) =>
      Either.match(Envelope.v1.decode(hole?.bytes ?? new Uint8Array()), {
        onLeft: () => 0,
        onRight: (found) => (found._tag === "Entry" ? found.entry.stamp : found.stamp)
      })

    /** Reads a hole and writes its next content, again until no other write came between. */
    const change = (
      method: string,
      key: string,
      next: (hole: Hole | undefined) => Next
    ): Effect.Effect<Backend.Written, CacheStoreError> =>
      Effect.gen(function* () {
        while (true) {
          const [hole] = yield* ask(method, () => service.read([nameOf(key)]))
          const made = next(hole)
          if ("_tag" in made) return made
          const { bytes, lifetime, stamp } = made
          const isWritten = yield* ask(method, () => service.write(nameOf(key), bytes, hole?.version ?? 0, lifetime))
          if (isWritten) return { _tag: "Written", stamp }
        }
      })

    const entryWith = (write: Backend.Write<Uint8Array>, stamp: number): Next =>
      Either.match(Envelope.v1.encode(new Entry.Entry(write.entry.value, { ...write.entry, stamp })), {
        onLeft: (error): Next => ({ _tag: "Refused", error }),
        onRight: (bytes) => ({ bytes, lifetime: write.lifetime, stamp })
      })

    // ------------------------------------------------------------------------------------------------------------ marks

    let seen = -1
    const newMarks = (hole: Hole): Backend.Marks | undefined => {
      if (hole.version === seen) return undefined
      seen = hole.version
      return { ...decodeMarks(hole.bytes), lost: 0 }
    }
    /** Reads the marks and adds to them. If the marks are lost, every entry older than now counts as invalidated. */
    const mark = (method: string, raised: ReadonlyArray<Backend.Mark>): Effect.Effect<Backend.Marks, CacheStoreError> =>
      Effect.gen(function* () {
        while (true) {
          const now = performance.timeOrigin + performance.now()
          const [hole] = yield* ask(method, () => service.read(["marks"]))
          const marks = raise(hole === undefined ? { floor: now, raised: [] } : decodeMarks(hole.bytes), raised)
          const bytes = encodeMarks(marks)
          if (hole !== undefined && raised.length === 0) return { ...marks, lost: 0 }
          if (yield* ask(method, () => service.write("marks", bytes, hole?.version ?? 0, Number.POSITIVE_INFINITY))) {
            return { ...marks, lost: 0 }
          }
        }
      })

    // Create the marks before the first entry is written: marks created later would invalidate it.
    yield* Effect.ignore(mark("marks", []))

    // ------------------------------------------------------------------------------------------------------------ verbs

    return {
      name,
      remote: true,
      getMany: (reads) =>
        Effect.gen(function* () {
          const names = [...reads.map(({ key }) => nameOf(key)), "marks"]
          const holes = yield* ask("getMany", () => service.read(names))
          const marks = holes[reads.length]
          let tombstone: number | undefined
          const found = reads.map((_, i): Backend.Found<Uint8Array> => {
            const hole = holes[i]
            if (hole === undefined) return undefined
            return Either.match(Envelope.v1.decode(hole.bytes), {
              onLeft: (error) => error,
              onRight: (decoded) => {
                if (decoded._tag === "Entry") return decoded.entry
                tombstone = Math.max(tombstone ?? 0, decoded.stamp)
                return undefined
              }
            })
          })
          return { found, tombstone, marks: marks === undefined ? yield* mark("getMany", []) : newMarks(marks) }
        }),
      setMany: (writes) =>
        Effect.forEach(
          writes,
          (write) =>
            change("setMany", write.key, (hole) => {
              const there = stampIn(hole)
              // A loaded value gives way to a later write. A `set` is authoritative: it comes last.
              if (!write.authoritative && there > write.entry.stamp) return { _tag: "Superseded" }
              return entryWith(write, Math.max(write.entry.stamp, there))
            }),
          { concurrency: 16 }
        ),
      setIfAbsent: (write, { now, replacing }) =>
        change("setIfAbsent", write.key, (hole) => {
          const found = hole && Either.getOrUndefined(Envelope.v1.decode(hole.bytes))
          const isAlive = found?._tag === "Entry" && found.entry.expiresAt > now && found.entry.stamp !== replacing
          return isAlive ? { _tag: "Superseded" } : entryWith(write, Math.max(write.entry.stamp, stampIn(hole)))
        }),
      removeMany: (removals) =>
        Effect.forEach(
          removals,
          ({ authoritative, key, stamp, tombstone }) =>
            change("removeMany", key, (hole) => {
              const there = stampIn(hole)
              if (!authoritative && there > stamp) return { _tag: "Superseded" }
              const own = Math.max(stamp, there)
              return { bytes: Envelope.tombstone(own), lifetime: tombstone, stamp: own }
            }),
          { concurrency: 16 }
        ),
      marks: { read: mark("marks", []), raise: (raised) => mark("raise", raised) }
    }
  })

/** The Layer that users of the store provide. */
const layer = (service: Pigeonholes, options: CacheStore.Options & CacheStore.BytesOptions = {}) =>
  Layer.scoped(
    CacheStore,
    Effect.flatMap(pigeonholes(service), (backend) => CacheStore.makeBytes(backend, options))
  )

// ------------------------------------------------------------------------------------------------------------ the tour

/** A law that does not hold: one line, and exit code 1. */
class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

const inUse = Effect.gen(function* () {
  const find = Cached.ttl((id: number) => Effect.zipLeft(Effect.succeed({ id }), Console.log(`  loads user ${id}`)), {
    key: "user:{}",
    ttl: "1 minute"
  })
  const service = new Pigeonholes()
  const processes = yield* Effect.all([Layer.build(layer(service)), Layer.build(layer(service))])
  for (const [i, process] of processes.entries()) {
    const user = yield* Effect.provide(find(42), process)
    yield* Console.log(`  process ${i + 1} has user ${user.id}`)
    // a reader is answered before its value is written to the store
    yield* Effect.sleep("50 millis")
  }
})

const suite = Effect.gen(function* () {
  const cases = CacheStoreSuite.cases({
    medium: Effect.sync(() => {
      const service = new Pigeonholes()
      return { backend: Effect.map(pigeonholes(service), (backend) => CacheStore.fromBytes(backend)) }
    }),
    without: { garbage: "nobody but this store writes to the service" }
  })
  const results = yield* Effect.forEach(
    cases,
    (each) => Effect.map(Effect.exit(each.effect), (exit) => ({ ...each, exit })),
    { concurrency: 8 }
  )
  const laws = Array.from(new Set(cases.map(({ law }) => law)))
  yield* Print.table(
    ["law", "cases", "held", "left out"],
    laws.map((law) => {
      const own = results.filter((each) => each.law === law)
      const left = own.filter(({ leftOut }) => leftOut !== undefined)
      const held = own.filter(({ exit, leftOut }) => leftOut === undefined && Exit.isSuccess(exit))
      return [law, String(own.length), String(held.length), left[0]?.leftOut ?? ""]
    })
  )
  const broken = results.filter(({ exit }) => Exit.isFailure(exit))
  for (const { exit, law, name } of broken) {
    yield* Console.log(`\n  ${law}: ${name}\n  ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""}`)
  }
  return broken.length
})

const main = Effect.gen(function* () {
  yield* Print.heading("1. In use", "Two processes over one service: the second gets what the first has loaded.")
  yield* Effect.scoped(inUse)

  yield* Print.heading("2. The suite", "Each case runs on a new service.")
  const [took, broken] = yield* Effect.timed(suite)
  if (broken > 0) return yield* new Refused({ message: `${Print.count(broken, "case")} did not hold` })
  yield* Console.log(`\nAll laws hold (took ${Print.time(Duration.decode(took))}).`)
})

main.pipe(
  Effect.tapError((error) => Console.error(error.message)),
  // the suite itself prints what is wrong
  Logger.withMinimumLogLevel(LogLevel.Error),
  NodeRuntime.runMain({ disableErrorReporting: true })
)

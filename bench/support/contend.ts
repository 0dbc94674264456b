/** The libraries as contenders of a group: each is checked, and is left out with the reason if it fails. */
import { Effect, type Scope } from "effect"
import { rivals } from "../rivals/index.js"
import type { Cache, Place, Rival } from "../rivals/rival.js"
import { type Contender, countOf, LeftOut, verify } from "./harness.js"

/** A library with a cache of its own, and the number of loads so far. */
export interface Entrant<A> {
  readonly rival: Rival
  readonly cache: Cache<A>
  readonly loads: () => number
}

/** A call of a library: it returns an effect or a promise, as `cache.kind` says. */
type Call = (i: number) => any

/** The result of one call. */
export const result = <A>(cache: Cache<any>, call: () => any): Effect.Effect<A, LeftOut> =>
  Effect.tryPromise({
    try: async () => (cache.kind === "effect" ? cache.run(call()) : call()),
    catch: (error) => new LeftOut({ reason: `it fails: ${String(error)}` })
  })

/** Calls `n` times, one after the other. */
export const repeated = (cache: Cache<any>, call: Call, n: number): Effect.Effect<void> =>
  Effect.promise(
    cache.kind === "effect"
      ? () =>
          cache.run(
            Effect.gen(function* () {
              for (let i = 0; i < n; i++) yield* call(i)
            })
          )
      : async () => {
          for (let i = 0; i < n; i++) await call(i)
        }
  )

/** Calls `n` times, `atOnce` calls at once. */
export const concurrently = (cache: Cache<any>, call: Call, n: number, atOnce: number): Effect.Effect<void> => {
  const workers = Array.from({ length: atOnce }, (_, worker) => worker)
  return Effect.promise<unknown>(
    cache.kind === "effect"
      ? () =>
          cache.run(
            Effect.forEach(
              workers,
              (worker) =>
                Effect.gen(function* () {
                  for (let i = worker; i < n; i += atOnce) yield* call(i)
                }),
              { concurrency: atOnce, discard: true }
            )
          )
      : () =>
          Promise.all(
            workers.map(async (worker) => {
              for (let i = worker; i < n; i += atOnce) await call(i)
            })
          )
  ).pipe(Effect.asVoid)
}

/** Waits until what was loaded is stored. The other libraries do not tell, so they get some time. */
export const stored = (cache: Cache<any>): Effect.Effect<void> =>
  cache.kind === "effect" && cache.stored !== undefined
    ? Effect.asVoid(Effect.promise(cache.stored))
    : Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))

export interface Question<A> {
  readonly place: Place
  /** The only library that takes part. Default: all. */
  readonly only?: Rival
  readonly url?: string
  readonly capacity?: number
  readonly isStale?: boolean
  readonly load: (id: number) => A | Promise<A>
  readonly idOf: (value: A) => number
  /** Whether a library has the operation at all. */
  readonly has: (cache: Cache<A>) => boolean
  /** The operations of a run; a tenth of them if the library is slow. */
  readonly operations: number
  /** How many calls one of these operations is; they are not divided by it. */
  readonly fixed?: boolean
  /** Prepares and checks the cache. Its value is the effect to time. */
  readonly prepare: (entrant: Entrant<A>, operations: number) => Effect.Effect<Effect.Effect<void>, LeftOut>
}

/** Takes part: this library, and those others whose names contain `BENCH_RIVALS`. Default: all. */
const takesPart = ({ isOther, name }: Rival): boolean => !isOther || name.includes(process.env.BENCH_RIVALS ?? "")

let made = 0

/**
 * The libraries that have the operation of a question. Their caches are closed with the scope. A library that is not
 * installed is a contender that is left out.
 */
export const contenders = <A>(question: Question<A>): Effect.Effect<ReadonlyArray<Contender>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const found: Array<Contender> = []
    for (const rival of question.only === undefined ? rivals : [question.only]) {
      if (!takesPart(rival) || !rival.places.includes(question.place) || (question.isStale === true && !rival.hasStale))
        continue
      let loads = 0
      const cache = yield* Effect.either(
        rival.make<A>({
          place: question.place,
          url: question.url ?? "redis://localhost",
          prefix: `bench${made++}:`,
          capacity: question.capacity ?? 50_000,
          isStale: question.isStale === true,
          idOf: question.idOf,
          load: (id) => {
            loads++
            return question.load(id)
          }
        })
      )
      const all = countOf(question.operations)
      const operations = rival.isSlow && question.fixed !== true ? Math.ceil(all / 10) : all
      const { isOther } = rival
      const name = isOther || question.isStale !== true ? rival.name : "Cached.swr"
      if (cache._tag === "Left") found.push({ name, isOther, operations, run: Effect.fail(cache.left) })
      else if (question.has(cache.right)) {
        const entrant = { rival, cache: cache.right, loads: () => loads }
        found.push({ name, isOther, operations, run: Effect.suspend(() => question.prepare(entrant, operations)) })
      }
    }
    return found
  })

/** Reads the value of the number 7 twice: the first read loads it, the second one does not. */
export const verifyOne = <A>({ cache, loads }: Entrant<A>, idOf: (value: A) => number): Effect.Effect<void, LeftOut> =>
  Effect.gen(function* () {
    const one = cache.calls.one!
    yield* verify("the loaded value", idOf(yield* result<A>(cache, one)), 7)
    yield* stored(cache)
    yield* verify("the stored value", idOf(yield* result<A>(cache, one)), 7)
    yield* verify("loads", loads(), 1)
  })

/** Reads the values of the first numbers: each is loaded once, and no longer when it is read again. */
export const verifyMany = <A>(
  { cache, loads }: Entrant<A>,
  idOf: (value: A) => number,
  keys: number
): Effect.Effect<void, LeftOut> =>
  Effect.gen(function* () {
    const read = cache.calls.read!
    for (let from = 0; from < keys; from += 1_000) {
      yield* repeated(cache, (i) => read(from + i), Math.min(1_000, keys - from))
      yield* stored(cache)
    }
    yield* verify("loads of the first round", loads(), keys)
    for (const id of [0, 7, keys - 1]) {
      yield* verify("the stored value", idOf(yield* result<A>(cache, () => read(id))), id)
    }
    yield* repeated(cache, read, keys)
    yield* verify("loads after the second round", loads(), keys)
  })

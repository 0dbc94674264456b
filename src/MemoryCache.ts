/**
 * A store in the memory of this process. It is the fastest store, and the one to start with.
 *
 * Values are shared, unless `values` says otherwise: a caller that mutates a value changes it for every caller. The number
 * of entries is bounded; the SIEVE policy evicts entries, and a hit only sets one bit. All entries are lost when the Layer closes.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCache } from "effect-cached"
 *
 * const square = Cached.ttl((n: number) => Effect.sync(() => n * n), { key: "square:{}", ttl: "1 minute" })
 *
 * square(12).pipe(Effect.provide(MemoryCache.layer({ capacity: 1_000 })), Effect.runPromise)
 * ```
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Backend from "./Backend.js"
import { InvalidOption } from "./CacheError.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import type { Entry } from "./Entry.js"
import { make as frozen } from "./internal/backends/memory/frozen.js"
import { make as serialized } from "./internal/backends/memory/serialized.js"
import { Sieve } from "./internal/backends/memory/sieve.js"
import { checkLimit } from "./internal/options.js"

/**
 * The options of a store in memory as a tier.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackendOptions {
  /**
   * How values are kept. Default: `"shared"`, which costs nothing: a read returns the value itself.
   *
   * With `"frozen"` a value is frozen, with everything in it, before it is stored. A reader that changes it gets a
   * `TypeError`, in place of changing it for everybody. This is the value that the lookup returned, or that was set: it
   * is frozen in place, not copied. Plain objects and arrays are frozen; the properties of `Data`, `Schema.Class`,
   * `Option` and `Either` become read-only; so do the elements of a `Chunk`. A typed array, `Map`, `Set`, `Date`, an error,
   * and an instance of any other class stays as it is, with everything in it.
   */
  readonly values?: "shared" | "frozen" | undefined
  /** The largest number of entries. Default: 10 000. `Infinity` means no limit. */
  readonly capacity?: number | undefined
  /** The store's name in metrics and logs. Default: `memory`. Give each store of a process a different name. */
  readonly name?: string | undefined
}

/**
 * The options of a store in memory.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Omit<BackendOptions, "values">, CacheStore.Options, CacheStore.BytesOptions {
  /**
   * How values are kept. Default: `"shared"`. `"shared"` and `"frozen"` are described in `BackendOptions`.
   *
   * With `"serialized"` every write encodes its value, by the schema of its function and the `serializer`, and every
   * read decodes it, as in Redis. So what a read returns is a copy, and a value that a store of bytes would refuse is
   * returned, not stored, and the problem `ValueRefused`. It is for development and tests: what works there works with
   * Redis. Entries are read and written as those of a remote store are, with its spans and its cost.
   *
   * `serializer` and `maxValueBytes` apply to serialized values only. Otherwise they are the defect `InvalidOption`.
   */
  readonly values?: "shared" | "frozen" | "serialized" | undefined
}

/** How many entries a sweep, or the list of keys, visits before it lets other fibers run. */
const sweepPart = 1_000

const sweepAll = (sieve: Sieve, { count, judge }: Backend.Sweep): Effect.Effect<void> =>
  Effect.gen(function* () {
    let seen = 0
    let removed = 0
    for (const entry of sieve.all()) {
      const cause = judge(entry)
      if (cause !== undefined && sieve.free(entry, cause)) removed++
      if (++seen < sweepPart) continue
      count(seen, removed)
      seen = 0
      removed = 0
      yield* Effect.yieldNow()
    }
    count(seen, removed)
  })

/** Counts the entries that are alive, and the bytes of their values, if values are bytes. */
const measure = (sieve: Sieve, areBytes: boolean, isAlive: (entry: Entry) => boolean): Backend.Usage => {
  let entries = 0
  let bytes = 0
  for (const entry of sieve.all()) {
    if (!isAlive(entry)) continue
    entries++
    if (areBytes) bytes += (entry.value as Uint8Array).byteLength
  }
  return { entries, bytes: areBytes ? bytes : undefined }
}

/** Lists the keys of a part of the entries. The iterator of the entries is where the next part begins. */
const listPart = (sieve: Sieve, { from, judge }: Backend.Listing): Backend.KeyPage => {
  const entries = from === undefined ? sieve.all() : (from as ReturnType<Sieve["all"]>)
  const keys: Array<string> = []
  for (let visited = 0; visited < sweepPart; visited++) {
    const { done, value } = entries.next()
    if (done === true) return { keys, next: undefined }
    if (judge(value) === undefined) keys.push(value.key!)
  }
  return { keys, next: entries }
}

const inMemory = (
  { capacity = 10_000, name = "memory" }: Omit<BackendOptions, "values">,
  areBytes = false
): Backend.Backend => {
  const sieve = new Sieve(checkLimit("capacity", capacity, name))
  return Backend.fromLocal({
    name,
    unsafeGet: (key) => sieve.get(key),
    unsafePeek: (key) => sieve.peek(key),
    unsafeSet: (key, entry, now) => sieve.set(key, entry, now),
    unsafeRemove: (key) => sieve.remove(key),
    unsafeSize: () => sieve.size,
    unsafeMeasure: (isAlive) => measure(sieve, areBytes, isAlive),
    unsafeClear: (floor) => sieve.clear(floor),
    followMarks: (isInvalidated) => {
      sieve.isInvalidated = isInvalidated
    },
    sweep: (sweep) => sweepAll(sieve, sweep),
    list: (listing) => Effect.sync(() => listPart(sieve, listing)),
    onRemoved: (listener) => {
      sieve.listener = listener
    }
  })
}

const forms = ["shared", "frozen", "serialized"] as const

const checkValues = ({ name = "memory", values = "shared" }: Pick<Options, "name" | "values">) => {
  if (forms.includes(values)) return values
  throw new InvalidOption({ option: "values", of: name, detail: `must be one of ${forms.join(", ")}` })
}

/** Memory with values that are shared or frozen. */
const withValues = (options: BackendOptions): Backend.Backend => {
  const local = inMemory(options)
  return options.values === "frozen" ? frozen(local) : local
}

/**
 * The backend alone, for a tier of `TieredCache`. Dies with `InvalidOption` if `capacity` is neither a whole number
 * above zero nor `Infinity`, or if `values` is neither `shared` nor `frozen`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: BackendOptions = {}): Effect.Effect<Backend.Backend, never, Scope.Scope> =>
  Effect.sync(() => {
    if (checkValues(options) !== "serialized") return withValues(options)
    throw new InvalidOption({
      option: "values",
      of: options.name ?? "memory",
      detail: "cannot be serialized in a tier"
    })
  })

const backendOf = (options: Options): Backend.Backend => {
  const { maxValueBytes, name = "memory", serializer } = options
  const values = checkValues(options)
  if (values === "serialized") {
    // it returns what it was given, which is bytes
    const bytes = inMemory(options, true) as Backend.Backend<Uint8Array>
    return serialized(bytes, (bytes) => fromBytes(bytes, options))
  }
  const unused = Object.entries({ maxValueBytes, serializer }).find(([, given]) => given !== undefined)
  if (unused === undefined) return withValues({ ...options, values })
  throw new InvalidOption({ option: unused[0], of: name, detail: 'applies to `values: "serialized"` only' })
}

/**
 * The store as a service, for a tag of your own: `Layer.scoped(Sessions, MemoryCache.make({ name: "sessions" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
  Effect.suspend(() => CacheStore.make(backendOf(options), options))

/**
 * A Layer that provides `CacheStore` in memory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<CacheStore> => Layer.scoped(CacheStore, make(options))

/**
 * The same as `layer`, with options from `Config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Config.Wrap<Options>): Layer.Layer<CacheStore, ConfigError> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

/**
 * A store of up to 10 000 entries in memory: `layer` with its default options.
 *
 * @category layers
 * @since 0.1.0
 */
export const MemoryCacheLive: Layer.Layer<CacheStore> = /*#__PURE__*/ layer()

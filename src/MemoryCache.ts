/**
 * A store in the memory of this process. It is the fastest store, and the one to start with.
 *
 * Values are shared, unless `values` says otherwise: a caller that mutates a value changes it for every caller. The number
 * of entries is bounded, or their weight; `eviction` says which leave. All entries are lost when the Layer closes.
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
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Backend from "./Backend.js"
import { InvalidOption } from "./CacheError.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import type { Entry } from "./Entry.js"
import type { Eviction } from "./internal/backends/memory/eviction.js"
import { make as frozen } from "./internal/backends/memory/frozen.js"
import { make as serialized } from "./internal/backends/memory/serialized.js"
import { MemoryStore } from "./internal/backends/memory/store.js"
import { checkFunction, checkLimit } from "./internal/options.js"
import { Problems } from "./internal/problems.js"
import { Turns } from "./internal/turns.js"

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
  /** The largest number of entries. Default: 10 000. `Infinity` means no limit. With `maxWeight` it is not given. */
  readonly capacity?: number | undefined
  /**
   * Which entry leaves when there is no room. Default: `"adaptive"`, which watches the reads and chooses the policy that
   * would have had most hits: see `docs/eviction.md`. With `"lru"` it is the entry that was used longest ago, exactly.
   */
  readonly eviction?: "adaptive" | "lru" | undefined
  /**
   * How much a value weighs, with its key: a whole number from 0 to 4 294 967 295, such as its bytes. It is called once
   * for each write. It needs `maxWeight`. With `values: "serialized"` it gets the bytes. If it throws, or returns
   * something else, the value is not stored, and that is the problem `HandlerFailed`.
   */
  readonly weigh?: ((value: unknown, key: string) => number) | undefined
  /**
   * The largest weight of all entries together, in place of `capacity`. A value that is heavier is not stored, and the
   * value before it is removed.
   */
  readonly maxWeight?: number | undefined
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
   * `serializer`, `maxValueBytes` and `maxDecodedBytes` apply to serialized values only. Otherwise they are the defect
   * `InvalidOption`.
   */
  readonly values?: "shared" | "frozen" | "serialized" | undefined
}

/** How many entries a sweep, or the list of keys, visits before it lets others run. */
const sweepPart = 1_000

const sweepAll = (store: MemoryStore, { count, judge }: Backend.Sweep): Effect.Effect<void> =>
  Effect.gen(function* () {
    const turns = new Turns()
    for (let left = store.leave(0, 0); left > 0; ) {
      const before = left
      left = store.leave(sweepPart, Number.NEGATIVE_INFINITY)
      count(before - left, before - left)
      yield* turns.next
    }
    let seen = 0
    let removed = 0
    for (const entry of store.all()) {
      const cause = judge(entry)
      if (cause !== undefined && store.removeDead(entry, cause)) removed++
      if (++seen < sweepPart) continue
      count(seen, removed)
      seen = 0
      removed = 0
      yield* turns.next
    }
    count(seen, removed)
    store.shrink()
  })

/** Counts the entries that are alive, and the bytes of their values, if values are bytes. */
const measure = (store: MemoryStore, areBytes: boolean, isAlive: (entry: Entry) => boolean): Backend.Usage => {
  let entries = 0
  let bytes = 0
  for (const entry of store.all()) {
    if (!isAlive(entry)) continue
    entries++
    if (areBytes) bytes += (entry.value as Uint8Array).byteLength
  }
  return { entries, bytes: areBytes ? bytes : undefined }
}

/** Lists the keys of a part of the entries. The iterator of the entries is where the next part begins. */
const listPart = (store: MemoryStore, { from, judge }: Backend.Listing): Backend.KeyPage => {
  const entries = from === undefined ? store.all() : (from as ReturnType<MemoryStore["all"]>)
  const keys: Array<string> = []
  for (let visited = 0; visited < sweepPart; visited++) {
    const { done, value } = entries.next()
    if (done === true) return { keys, next: undefined }
    if (judge(value) === undefined) keys.push(value.key!)
  }
  return { keys, next: entries }
}

const evictions: ReadonlyArray<Eviction> = ["adaptive", "lru"]

/** What a store in memory is made with, beside its options. */
interface Parts {
  readonly seed: number
  readonly problems: Problems
  /** Frees a store when the scope closes, although somebody may hold it. */
  readonly onClose: (store: MemoryStore) => void
}

/** What keeps a value out, whatever the limit is. */
const tooHeavy = Number.POSITIVE_INFINITY

/** Calls `weigh` of the user. A value whose weight is not known is not stored. */
const weighing =
  (weigh: NonNullable<BackendOptions["weigh"]>, name: string, problems: Problems) =>
  (value: unknown, key: string): number => {
    const report = (what: string, cause?: unknown) => {
      const message = `${name}: weigh ${what}, so the value is not stored. Let it return a whole number from 0 to 4294967295.`
      problems.report("HandlerFailed", "weigh", message, cause === undefined ? undefined : { cause: Cause.die(cause) })
      return tooHeavy
    }
    try {
      const weight = weigh(value, key)
      return Number.isInteger(weight) && weight >= 0 && weight < 2 ** 32 ? weight : report("returned no weight")
    } catch (cause) {
      return report("threw", cause)
    }
  }

const storeOf = (options: Omit<BackendOptions, "values">, { problems, seed }: Parts): MemoryStore => {
  const { capacity, eviction = "adaptive", maxWeight, name = "memory", weigh } = options
  const refuse = (option: string, detail: string) => {
    throw new InvalidOption({ option, of: name, detail })
  }
  if (!evictions.includes(eviction)) refuse("eviction", `must be one of ${evictions.join(", ")}`)
  if (weigh === undefined) {
    if (maxWeight !== undefined) refuse("maxWeight", "needs `weigh`, which says how much a value weighs")
    return new MemoryStore({ eviction, seed, capacity: checkLimit("capacity", capacity ?? 10_000, name) })
  }
  if (maxWeight === undefined) return refuse("weigh", "needs `maxWeight`, the largest weight of all entries together")
  if (capacity !== undefined) refuse("capacity", "cannot be given with `maxWeight`: the weight is the limit")
  return new MemoryStore({
    eviction,
    seed,
    capacity: checkLimit("maxWeight", maxWeight, name),
    weigh: weighing(checkFunction("weigh", weigh, name), name, problems)
  })
}

const inMemory = (options: Omit<BackendOptions, "values">, parts: Parts, areBytes = false): Backend.Backend => {
  const store = storeOf(options, parts)
  parts.onClose(store)
  const { name = "memory" } = options
  const local = Backend.fromLocal({
    name,
    unsafeGet: (key) => store.get(key),
    unsafePeek: (key) => store.peek(key),
    unsafeSet: (key, entry, now) => store.set(key, entry, now),
    unsafeRemove: (key) => store.remove(key),
    unsafeSize: () => store.size,
    unsafeMeasure: (isAlive) => measure(store, areBytes, isAlive),
    unsafeClear: (floor) => store.clear(floor),
    limitEntries: (owner, most) => store.limitEntries(owner, most),
    unsafeFree: (most, now) => store.leave(most, now) > 0,
    unsafeReserve: (entries) => store.reserve(entries),
    wasCleared: (key) => store.wasCleared(key),
    followMarks: (isInvalidated, hasLoader) => {
      store.isInvalidated = isInvalidated
      store.hasLoader = hasLoader
    },
    sweep: (sweep) => sweepAll(store, sweep),
    list: (listing) => Effect.sync(() => listPart(store, listing)),
    problems: () => parts.problems.list,
    onRemoved: (listener) => {
      store.listener = listener
    }
  })
  return { ...local, hits: store }
}

const forms = ["shared", "frozen", "serialized"] as const

const checkValues = ({ name = "memory", values = "shared" }: Pick<Options, "name" | "values">) => {
  if (forms.includes(values)) return values
  throw new InvalidOption({ option: "values", of: name, detail: `must be one of ${forms.join(", ")}` })
}

/** The seed makes it impossible to choose keys that steer the eviction of a store. */
const partsOf = ({ name = "memory" }: Pick<Options, "name">): Effect.Effect<Parts, never, Scope.Scope> =>
  Effect.gen(function* () {
    const stores: Array<MemoryStore> = []
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const store of stores) store.end()
      })
    )
    const problems = yield* Problems.make(name)
    return { problems, seed: yield* Random.nextIntBetween(-(2 ** 31), 2 ** 31), onClose: (store) => stores.push(store) }
  })

/** Memory with values that are shared or frozen. */
const withValues = (options: BackendOptions, parts: Parts): Backend.Backend => {
  const local = inMemory(options, parts)
  return options.values === "frozen" ? frozen(local) : local
}

/**
 * The backend alone, for a tier of `TieredCache`. Dies with `InvalidOption` if `capacity` or `maxWeight` is neither a
 * whole number above zero nor `Infinity`, if `weigh` and `maxWeight` are not given together or `capacity` with them, or
 * if `values` is neither `shared` nor `frozen`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: BackendOptions = {}): Effect.Effect<Backend.Backend, never, Scope.Scope> =>
  Effect.map(partsOf(options), (parts) => {
    if (checkValues(options) !== "serialized") return withValues(options, parts)
    throw new InvalidOption({
      option: "values",
      of: options.name ?? "memory",
      detail: "cannot be serialized in a tier"
    })
  })

const backendOf = (options: Options, parts: Parts): Backend.Backend => {
  const { maxDecodedBytes, maxValueBytes, name = "memory", serializer } = options
  const values = checkValues(options)
  if (values === "serialized") {
    // it returns what it was given, which is bytes
    const bytes = inMemory(options, parts, true) as Backend.Backend<Uint8Array>
    return serialized(bytes, (bytes) => fromBytes(bytes, options))
  }
  const unused = Object.entries({ maxDecodedBytes, maxValueBytes, serializer }).find(([, given]) => given !== undefined)
  if (unused === undefined) return withValues({ ...options, values }, parts)
  throw new InvalidOption({ option: unused[0], of: name, detail: 'applies to `values: "serialized"` only' })
}

/**
 * The store as a service, for a tag of your own: `Layer.scoped(Sessions, MemoryCache.make({ name: "sessions" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
  Effect.flatMap(partsOf(options), (parts) => CacheStore.make(backendOf(options, parts), options))

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

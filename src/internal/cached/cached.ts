/**
 * A cached effect or function: its read, and the members around it. Their types are in `Cached`.
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { AnySchema } from "../../Backend.js"
import { InvalidOption, KeyError } from "../../CacheError.js"
import type { Explanation } from "../../CacheEvent.js"
import type { FunctionStats } from "../../CacheStats.js"
import { type Entry, type View, view } from "../../Entry.js"
import * as AsyncEffect from "../asyncEffect.js"
import {
  type Args,
  type Batching,
  type Captured,
  Definition,
  type DefinitionOptions,
  decodeLifetimes,
  decodeTimeouts,
  type Lifetimes,
  makeEntry,
  noArgs,
  type PolicyInUse
} from "../engine/definition.js"
import { type Engine, EngineId } from "../engine/engine.js"
import { decodeFailures, type FailureStorageOptions } from "../engine/failureStorage.js"
import { randomFor } from "../engine/jitter.js"
import type { OnError } from "../engine/onError.js"
import { type Partition, withPartition } from "../engine/partition.js"
import { type ReadPath, ReadPathId } from "../engine/readPath.js"
import { functionStatsOf } from "../engine/stats.js"
import { argumentLeftOut, type Covered, propertiesLeftOut } from "../keyCoverage.js"
import { type Compiled, compile } from "../keyTemplate.js"
import { kindOf } from "../kindOf.js"
import { ownerMark } from "../markNames.js"
import { checkCount, decodeFinite, decodeMillis } from "../options.js"
import { optionOf } from "../serializers/optionSchema.js"
import { nowOf } from "../time.js"
import { quiet, startChange } from "./changes.js"
import type { LifeOptions } from "./lifeOptions.js"
import type { Lookup } from "./lookup.js"
import { unsafePeekOf } from "./unsafePeek.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** The options of a policy as the user wrote them. */
export interface SpecOptions extends Omit<LifeOptions<Args, unknown>, "ttl"> {
  readonly key: string | ((...args: Args) => string)
  readonly ttl?: Duration.DurationInput | ((value: unknown, ...args: Args) => Duration.DurationInput)
  readonly stale?: Duration.DurationInput | ((value: unknown, ...args: Args) => Duration.DurationInput) | undefined
  readonly jitter?: number | undefined
  readonly ignore?: ReadonlyArray<number | string> | undefined
  readonly name?: string | undefined
  readonly version?: string | number | undefined
  readonly schema?: AnySchema | undefined
  readonly tags?: ReadonlyArray<string> | ((value: unknown, ...args: Args) => ReadonlyArray<string>) | undefined
  /** `any`, because a tag is invariant. */
  readonly store?: Context.Tag<any, any> | undefined
  readonly onStoreError?: "miss" | "fail" | undefined
  readonly flightTimeout?: Duration.DurationInput | undefined
  readonly onError?: OnError | undefined
  readonly failures?: FailureStorageOptions | undefined
  readonly timeout?:
    | {
        readonly soft?: Duration.DurationInput | undefined
        readonly hard?: Duration.DurationInput | undefined
        readonly then?: "continue" | "interrupt" | undefined
      }
    | undefined
  readonly lock?: { readonly lease: Duration.DurationInput } | undefined
  /** The tenant, from the context of the reader: a tag, or a tag and a function. Only `makeSpec` takes it. */
  readonly partition?: Context.Tag<any, any> | readonly [Context.Tag<any, any>, (service: any) => string] | undefined
  /** Given for a batched function. */
  readonly batch?: BatchOptions | undefined
  /** Given for the function of a resolver, in place of `batch`: its lookup enters a batch by itself. */
  readonly batching?: Batching | undefined
}

/** The options of a batched function that are not those of a policy. */
export interface BatchOptions {
  readonly absentTtl?: Duration.DurationInput | undefined
  readonly window?: Duration.DurationInput | undefined
  readonly maxBatchSize?: number | undefined
  readonly ordered?: boolean | undefined
}

const defaultBatchSize = 100

const usable = (entry: Option.Option<View<unknown>>): Option.Option<unknown> =>
  Option.isSome(entry) && entry.value.state !== "retained" ? Option.some(entry.value.value) : Option.none()

/** Where the lifetimes of entries come from: the options, or a Layer around the read. A tag is invariant: `any`. */
export type LifetimesFrom = "options" | Context.Tag<any, PolicyService>

interface PolicyService extends PolicyInUse {
  readonly lifetimesOf: (name: string) => Lifetimes
}

/** The number of arguments that a lookup declares, without those that are optional by a default or a rest. */
const arityOf = (lookup: Lookup): number =>
  Effect.isEffect(lookup) ? 0 : (lookup as unknown as { readonly length: number }).length

const noMembers = {}

/**
 * The specification of a cached effect or function: a lookup and its options, which are not decoded before the first
 * read. So making one costs next to nothing, which matters because `find(id).pipe(Cached.ttl({ … }))` makes one per
 * call.
 */
export class Spec {
  readonly lookup: Lookup
  readonly options: SpecOptions
  readonly lifetimesFrom: LifetimesFrom
  /** The services that replace those of the reader, after `capture` and for `bg`. */
  readonly env: Context.Context<unknown> | undefined
  private readonly captured: Captured | undefined
  protected readonly storeKey: string
  private compiled: ((args: Args) => string) | undefined = undefined
  /** What the key covers, as long as no call has shown what it leaves out of a record. */
  private covered: Covered | undefined = undefined
  /**
   * The physical key of a single argument. Present when the template has one placeholder, which takes the first
   * argument, and makes the physical key as it is: a hit of a function of one argument then needs no array.
   */
  keyOfArg: ((arg: unknown) => string) | undefined = undefined
  /** The physical key, present when the template has no placeholder: it is the same for every read. */
  private staticKey: string | undefined = undefined
  /**
   * Whether the template makes the physical key as it is: it has neither a version nor a `#`. (Values bring in no `#`
   * either, it is escaped in them.)
   */
  private readonly isPhysical: boolean
  private def: Definition | undefined = undefined
  /** The `CachePolicy` that `def` was made with, where the lifetimes come from a Layer. */
  private policy: PolicyService | undefined = undefined

  constructor(
    lookup: Lookup,
    options: SpecOptions,
    lifetimesFrom: LifetimesFrom,
    storeKey: string,
    captured: Captured | undefined
  ) {
    this.lookup = lookup
    this.options = options
    this.lifetimesFrom = lifetimesFrom
    this.storeKey = storeKey
    this.captured = captured
    this.env = captured?.context
    this.isPhysical = options.version === undefined && typeof options.key === "string" && !options.key.includes("#")
  }

  /** The same specification with these services in place of the reader's. The first capture counts. */
  capturedAt(captured: Captured): Spec {
    return this.captured === undefined
      ? new Spec(this.lookup, this.options, this.lifetimesFrom, this.storeKey, captured)
      : this
  }

  private compile(): (args: Args) => string {
    this.checkNames()
    const { key } = this.options
    if (typeof key === "string") {
      const compiled = compile(key)
      this.checkCoverage(compiled)
      if (compiled.static !== undefined) this.staticKey = this.versioned(compiled.static)
      if (this.isPhysical) this.keyOfArg = compiled.one
      return compiled.key
    }
    return (args) => {
      let made: string
      try {
        made = key(...args)
      } catch (cause) {
        throw new KeyError({ template: this.name, detail: "the key function threw", cause })
      }
      if (typeof made === "string") return made
      const detail = `the key function returned ${kindOf(made)} instead of a string`
      throw new KeyError({ template: this.name, detail })
    }
  }

  /**
   * Refuses a template that leaves out an argument. A template that the compiler does not know is never without a
   * `name`, so without one there is nothing to check.
   */
  private checkCoverage({ mentioned, template }: Compiled): void {
    const { ignore, name } = this.options
    if (name === undefined) return
    const covered = { mentioned, ignored: ignore ?? [] }
    const position = argumentLeftOut(covered, arityOf(this.lookup))
    if (position !== undefined) {
      throw new KeyError({
        template,
        detail:
          `argument ${position} of ${name} is not part of the key: mention it, use a key function, ` +
          "or list it in `ignore`"
      })
    }
    this.covered = covered
  }

  /**
   * Reports what the key leaves out of the first record that it is made of. It is no error: a caller may pass a record
   * with more properties than the lookup declares.
   */
  private checkRecord(engine: Engine, args: Args): void {
    const { covered } = this
    if (covered === undefined) return
    this.covered = undefined
    const names = propertiesLeftOut(covered, args[0])
    if (names.length > 0) engine.telemetry.warnIncompleteKey(this.name, names)
  }

  /** The arguments as the engine takes them, for a read in this fiber. */
  argsOf(_fiber: AnyFiber, args: Args): Args {
    return args
  }

  /** The members that only this kind of function has. */
  get ownMembers(): object {
    return noMembers
  }

  /** The member `key` of the function. */
  key(args: Args): string | Effect.Effect<string> {
    return this.physicalKey(args)
  }

  /** The key in the store, without the store's prefix. Throws `KeyError`. */
  physicalKey(args: Args): string {
    if (this.staticKey !== undefined) return this.staticKey
    this.compiled ??= this.compile()
    const key = this.compiled(args)
    return this.isPhysical ? key : this.versioned(key)
  }

  /**
   * Appends the version, which is part of the physical key and of the owner, so that versions never share an entry.
   * `#v` begins the version: every `#` before it is written as `#-`, so no other `#` is followed by a `v`.
   */
  private versioned(text: string): string {
    const { version } = this.options
    const escaped = text.includes("#") ? text.replaceAll("#", "#-") : text
    return version === undefined ? escaped : `${escaped}#v${version}`
  }

  /** Refuses a `key` and a `name` that the types refuse: a program in JavaScript may pass anything. */
  private checkNames(): void {
    const { key, name }: { readonly key: unknown; readonly name?: unknown } = this.options
    const isKey = typeof key === "string" || typeof key === "function"
    const isName = name === undefined || typeof name === "string"
    if (isKey && isName) return
    const ofLookup = typeof this.lookup === "function" ? this.lookup.name : undefined
    const of = typeof name === "string" ? name : typeof key === "string" ? key : ofLookup
    throw isKey
      ? new InvalidOption({ option: "name", of, detail: "is not a string" })
      : new InvalidOption({
          option: "key",
          of,
          detail: 'is neither a template such as "user:{}" nor a function that returns the key'
        })
  }

  /** The label of the function and, with the version, the owner of its entries. */
  get name(): string {
    this.checkNames()
    const { key, name } = this.options
    return name ?? (typeof key === "string" ? key : key.name)
  }

  /** The identity that entries carry. One without it was written through the store; `#` is the owner of no other name. */
  get owner(): string {
    return this.versioned(this.name) || "#"
  }

  definition(context: Context.Context<unknown>): Definition {
    if (this.lifetimesFrom === "options")
      return this.def ?? this.define(decodeLifetimes({ ...this.options, ttl: this.options.ttl! }, this.name))
    const policy = context.unsafeMap.get(this.lifetimesFrom.key)
    if (policy === undefined) {
      throw new Error(
        `Service not found: ${this.lifetimesFrom.key}: Cached.policy takes the lifetimes of ${this.name} from it. ` +
          'Provide one, such as CachePolicy.layer({ ttl: "1 minute" }), or use Cached.ttl'
      )
    }
    if (this.def !== undefined && this.policy === policy) return this.def
    this.policy = policy
    return this.define(policy.lifetimesOf(this.name))
  }

  private define(lifetimes: Lifetimes): Definition {
    const { batching: given, failures, lock, onError, onStoreError, schema, tags, timeout } = this.options
    const { owner } = this
    const batching = this.batching({ owner, concurrency: lifetimes.concurrency })
    this.def = new Definition(
      {
        ...lifetimes,
        name: this.name,
        owner,
        isNamed: this.options.name !== undefined,
        lookup: batching === undefined ? this.lookup : this.asking(batching),
        load: this.loadOf(batching),
        batching: batching ?? given,
        tags,
        // the values of a batched function are options
        schema: batching === undefined || schema === undefined ? schema : optionOf(schema),
        strict: onStoreError === "fail",
        onError,
        timeouts: decodeTimeouts(timeout, lifetimes, this.name),
        failures: decodeFailures(failures, this.name),
        policy: this.policy,
        lease: lock === undefined ? 0 : decodeFinite("lock.lease", lock.lease, this.name)
      },
      this.captured
    )
    return this.def
  }

  private batching(limited: Pick<Batching, "owner" | "concurrency">): Batching | undefined {
    const { batch } = this.options
    if (batch === undefined) return undefined
    const { name } = this
    const window = decodeMillis("window", batch.window ?? 0, name)
    return {
      ...limited,
      name,
      lookupMany: this.lookup as unknown as Batching["lookupMany"],
      keyOf: (id, partition) => this.physicalKey(partition === undefined ? [id] : withPartition([id], partition)),
      window: window === 0 ? 0 : decodeFinite("window", window, name),
      maxBatchSize: checkCount("maxBatchSize", batch.maxBatchSize ?? defaultBatchSize, name),
      isOrdered: batch.ordered === true,
      absentTtl: decodeMillis("absentTtl", batch.absentTtl ?? 0, name)
    }
  }

  /** The lookup of one id of a batched function. */
  private asking(batching: Batching): Lookup {
    return (id: unknown) => this.ask(batching, id)
  }

  /** Enters a batch of the store of the fiber. */
  protected ask(batching: Batching, id: unknown, partition?: Partition): Effect.Effect<unknown, unknown> {
    return Effect.withFiberRuntime<unknown, unknown>((fiber) =>
      this.engine(fiber.currentContext as Context.Context<unknown>).batches.ask(batching, id, partition)
    )
  }

  /** What runs the lookup, if that takes more than a call. */
  protected loadOf(_batching: Batching | undefined): DefinitionOptions["load"] {
    return undefined
  }

  context(fiber: AnyFiber): Context.Context<unknown> {
    return this.env === undefined ? (fiber.currentContext as Context.Context<unknown>) : this.env
  }

  engine(context: Context.Context<unknown>): Engine {
    const { storeKey } = this
    const service = context.unsafeMap.get(storeKey)
    if (service === undefined) {
      throw new Error(`Service not found: ${storeKey}: provide a store such as MemoryCacheLive or RedisCacheLive`)
    }
    if (service[EngineId] === undefined) {
      throw new Error(
        `${storeKey}: the service of this tag was not made by CacheStore.make, so nothing can be cached in it: ` +
          "provide a store such as MemoryCache.make"
      )
    }
    return service[EngineId]
  }

  /** The read. A hit passes only through here and `ReadPath.read`. */
  read(fiber: AnyFiber, args: Args): Effect.Effect<unknown, unknown, unknown> {
    const { unsafeMap } = this.env === undefined ? fiber.currentContext : this.env
    const service = unsafeMap.get(this.storeKey)
    const def = this.def
    if (def === undefined || this.policy !== undefined || service === undefined) return this.readFirst(fiber, args)
    return (service[ReadPathId] as ReadPath).read(fiber, def, this.physicalKey(args), args)
  }

  /** The read of one argument: a hit makes no array of the arguments. */
  readOne(fiber: AnyFiber, arg: unknown): Effect.Effect<unknown, unknown, unknown> {
    const { def, keyOfArg } = this
    if (def !== undefined && keyOfArg !== undefined && this.policy === undefined) {
      const { unsafeMap } = this.env === undefined ? fiber.currentContext : this.env
      const service = unsafeMap.get(this.storeKey)
      if (service !== undefined)
        return (service[ReadPathId] as ReadPath).read(fiber, def, keyOfArg(arg), undefined, arg)
    }
    return this.read(fiber, [arg])
  }

  /** Decodes the options at the first read, and whenever the lifetimes come from a Layer. */
  private readFirst(fiber: AnyFiber, args: Args): Effect.Effect<unknown, unknown, unknown> {
    const context = this.context(fiber)
    const def = this.definition(context)
    const engine = this.engine(context)
    const key = this.physicalKey(args)
    this.checkRecord(engine, args)
    return engine.readPath.read(fiber, def, key, args)
  }

  /** The read of many ids, for a batched function. */
  readMany(fiber: AnyFiber, ids: ReadonlyArray<unknown>): Effect.Effect<Array<unknown>, unknown, unknown> {
    const context = this.context(fiber)
    const def = this.definition(context)
    const engine = this.engine(context)
    const args = ids.map((id) => this.argsOf(fiber, [id]))
    const keys = args.map((one) => this.physicalKey(one))
    if (args.length > 0) this.checkRecord(engine, args[0]!)
    return engine.readPath.readMany(fiber, def, keys, args)
  }

  private with<A>(
    given: Args,
    f: (engine: Engine, def: Definition, key: string, fiber: AnyFiber, args: Args) => Effect.Effect<A, unknown, unknown>
  ): Effect.Effect<A, unknown, unknown> {
    return Effect.withFiberRuntime<A, unknown, unknown>((fiber) => {
      const context = this.context(fiber)
      const engine = this.engine(context)
      const def = this.definition(context)
      if (def.store !== engine.readPath.identity) {
        engine.renewals.check(def)
        engine.ownership.compareLookup(def)
      }
      const args = this.argsOf(fiber, given)
      const key = this.physicalKey(args)
      this.checkRecord(engine, args)
      return f(engine, def, key, fiber, args)
    })
  }

  refresh(given: Args): Effect.Effect<unknown, unknown, unknown> {
    return this.with(given, (engine, def, key, _, args) => engine.readPath.forced(def, key, args))
  }

  invalidate(args: Args): Effect.Effect<void, unknown, unknown> {
    return this.with(args, (engine, def, key, fiber) => startChange(engine, def, key, fiber, undefined))
  }

  set(args: Args, value: unknown): Effect.Effect<void, unknown, unknown> {
    return this.with(args, (engine, def, key, fiber) => {
      if (def.off) return Effect.void
      // what a reader inside a transaction knows may never be committed
      if (engine.transactions?.has(fiber)) return startChange(engine, def, key, fiber, undefined)
      const now = nowOf(fiber)
      const lifetime = def.lifetimeOf(value, args, randomFor(def, fiber))
      const entry =
        lifetime.ttl <= 0
          ? undefined
          : makeEntry(value, lifetime, { stamp: engine.stamps.begin(), now, owner: def.owner })
      return startChange(engine, def, key, fiber, entry)
    })
  }

  entry(args: Args): Effect.Effect<Option.Option<View<unknown>>, unknown, unknown> {
    return this.viewOf(args, () => {})
  }

  private viewOf(
    args: Args,
    onAlive: (engine: Engine, key: string, entry: Entry, now: number) => void
  ): Effect.Effect<Option.Option<View<unknown>>, unknown, unknown> {
    return this.with(args, (engine, def, key, fiber) => {
      if (def.off) return Effect.succeedNone
      const found = engine.stored.startPeek(key, def, nowOf(fiber))
      const entry = def.strict ? found : AsyncEffect.catchAll(found, () => Effect.succeed(undefined))
      return AsyncEffect.map(entry, (entry) => {
        const now = nowOf(fiber)
        const alive = engine.ownership.alive(entry, def, now, args)
        if (alive === undefined) return Option.none()
        onAlive(engine, key, alive, now)
        return Option.fromNullable(view(alive, now))
      })
    })
  }

  /** What the next read would do. Unlike the other members it neither adopts the function nor reports anything. */
  explain(given: Args): Effect.Effect<Explanation> {
    return Effect.withFiberRuntime((fiber) => {
      const context = this.context(fiber)
      const engine = this.engine(context)
      const def = this.definition(context)
      const args = this.argsOf(fiber, given)
      return engine.explainer.explain(fiber, def, this.physicalKey(args), args)
    })
  }

  /** The numbers of the function in the store. */
  get stats(): Effect.Effect<FunctionStats> {
    return Effect.withFiberRuntime((fiber) =>
      Effect.succeed(functionStatsOf(this.engine(this.context(fiber)), this.name))
    )
  }

  peek(args: Args): Effect.Effect<Option.Option<unknown>, unknown, unknown> {
    return Effect.map(this.entry(args), usable)
  }

  /** The value that is stored. Unlike `peek` it is a use of the entry, so the entry lives on (`maxIdle`). */
  readStored(args: Args): Effect.Effect<Option.Option<unknown>, unknown, unknown> {
    return Effect.map(
      this.viewOf(args, (engine, key, entry, now) => engine.renewals.used(key, entry, now)),
      usable
    )
  }

  /** Makes the entry stale, or removes it if it may not be served as stale. */
  expire(args: Args): Effect.Effect<void, unknown, unknown> {
    return this.with(args, (engine, def, key, fiber) => quiet(def, engine.expiry.startExpire(fiber, key)))
  }

  /** Runs a list query, and stores the values that `primedOf` finds in its result, each with its arguments. */
  prime<A>(
    list: Effect.Effect<A, unknown, unknown>,
    primedOf: (result: A) => ReadonlyArray<{ readonly args: Args; readonly value: unknown }>
  ): Effect.Effect<A, unknown, unknown> {
    return Effect.withFiberRuntime<A, unknown, unknown>((fiber) => {
      const context = this.context(fiber)
      const engine = this.engine(context)
      const def = this.definition(context)
      if (def.off || engine.closed || engine.options.off || engine.transactions?.has(fiber)) return list
      engine.renewals.check(def)
      return engine.primer.prime(def, list, (result) =>
        primedOf(result).map(({ args: given, value }) => {
          const args = this.argsOf(fiber, given)
          return { args, value, key: this.physicalKey(args) }
        })
      )
    })
  }

  get clear(): Effect.Effect<void, unknown, unknown> {
    return Effect.withFiberRuntime<void, unknown, unknown>((fiber) => {
      const context = this.context(fiber)
      const def = this.definition(context)
      return quiet(def, this.engine(context).writePath.raise([ownerMark(def.owner)]))
    })
  }

  get expireAll(): Effect.Effect<void, unknown, unknown> {
    return Effect.withFiberRuntime<void, unknown, unknown>((fiber) => {
      const context = this.context(fiber)
      const def = this.definition(context)
      return quiet(def, this.engine(context).writePath.expire([ownerMark(def.owner)]))
    })
  }
}

/** The property under which a cached effect or function keeps its specification. */
export const SpecId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/Spec") as never

/**
 * The property of a cached function that is more than its specification: a function that takes what was captured, and
 * returns the captured function.
 */
export const CaptureId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/Capture") as never

export const asEffect = (spec: Spec): Effect.Effect<unknown, unknown, unknown> => {
  const effect = Effect.withFiberRuntime<unknown, unknown, unknown>((fiber) => spec.read(fiber, noArgs))
  const cached = Object.assign(effect, {
    ...spec.ownMembers,
    [SpecId]: spec,
    invalidate: spec.invalidate(noArgs),
    expire: spec.expire(noArgs),
    refresh: spec.refresh(noArgs),
    peek: spec.peek(noArgs),
    entry: spec.entry(noArgs),
    unsafePeek: unsafePeekOf(spec),
    explain: spec.explain(noArgs),
    stats: spec.stats,
    set: (value: unknown) => spec.set(noArgs, value)
  })
  return Object.defineProperty(cached, "key", { get: () => spec.key(noArgs), enumerable: true })
}

/**
 * The function that reads. Most functions have one argument; for those a hit makes no array of the arguments. Without
 * arguments, every call returns the same effect.
 */
const reader = (spec: Spec) => {
  const withoutArgs = Effect.withFiberRuntime<unknown, unknown, unknown>((fiber) => spec.read(fiber, noArgs))
  const withArgs = (...args: Args) =>
    Effect.withFiberRuntime<unknown, unknown, unknown>((fiber) => spec.read(fiber, args))
  return function () {
    // biome-ignore lint/complexity/noArguments: a rest parameter would make that array
    const given = arguments
    if (given.length === 0) return withoutArgs
    if (given.length === 1) {
      const arg = given[0]
      return Effect.withFiberRuntime<unknown, unknown, unknown>((fiber) => spec.readOne(fiber, arg))
    }
    return withArgs.apply(undefined, given as never)
  }
}

export const asFunction = (spec: Spec): ((...args: Args) => Effect.Effect<unknown, unknown, unknown>) =>
  Object.assign(reader(spec), {
    ...spec.ownMembers,
    [SpecId]: spec,
    key: (...args: Args) => spec.key(args),
    invalidate: (...args: Args) => spec.invalidate(args),
    expire: (...args: Args) => spec.expire(args),
    refresh: (...args: Args) => spec.refresh(args),
    peek: (...args: Args) => spec.peek(args),
    entry: (...args: Args) => spec.entry(args),
    unsafePeek: unsafePeekOf(spec),
    explain: (...args: Args) => spec.explain(args),
    stats: spec.stats,
    set:
      (...args: Args) =>
      (value: unknown) =>
        spec.set(args, value),
    clear: spec.clear,
    expireAll: spec.expireAll
  })

/** Refuses the option `partition` where the types refuse it: ignored, it would mix the entries of tenants. */
export const refusePartition = (options: object, of: string): void => {
  if ("partition" in options && options.partition !== undefined) {
    throw new InvalidOption({ option: "partition", of, detail: "is not possible here: make the tenant an argument" })
  }
}

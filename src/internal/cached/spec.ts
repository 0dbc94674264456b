/**
 * A cached function or effect as it was written: options undecoded, until it runs for the first time. Making one costs
 * next to nothing, because `find(id).pipe(Cached.ttl({ … }))` makes one per call.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { AnySchema } from "../../Backend.js"
import { type CacheStoreError, KeyError } from "../../CacheError.js"
import { view } from "../../Entry.js"
import * as Key from "../../Key.js"
import { type Args, Definition, decodeLifetimes, type Lifetimes, makeEntry } from "../engine/definition.js"
import { type Engine, EngineId } from "../engine/engine.js"
import { modeKey } from "../engine/mode.js"
import { ownerMark } from "../markNames.js"
import { decodeFinite } from "../options.js"
import { nowOf } from "../time.js"

type AnyFiber = Fiber.RuntimeFiber<any, any>

export interface SpecOptions {
  readonly key: string | ((...args: Args) => string)
  readonly ttl?: Duration.DurationInput | ((value: any, ...args: Args) => Duration.DurationInput)
  readonly stale?: Duration.DurationInput | undefined
  readonly name?: string | undefined
  readonly version?: string | number | undefined
  readonly schema?: AnySchema | undefined
  readonly tags?: ReadonlyArray<string> | ((value: any, ...args: Args) => ReadonlyArray<string>) | undefined
  readonly store?: Context.Tag<any, any> | undefined
  readonly onStoreError?: "miss" | "fail" | undefined
  readonly flightTimeout?: Duration.DurationInput | undefined
  readonly lock?: { readonly lease: Duration.DurationInput } | undefined
}

/** where lives come from: the options, or a Layer above the read */
export type LivesFrom = "options" | Context.Tag<any, { readonly lifetimesOf: (name: string) => Lifetimes }>

export class Spec {
  readonly lookup: (...args: Args) => Effect.Effect<any, any, any>
  readonly options: SpecOptions
  readonly livesFrom: LivesFrom
  readonly env: Context.Context<any> | undefined
  private readonly storeKey: string
  private compiled: ((args: Args) => string) | undefined = undefined
  /** the key in the store of one argument, where a plain template that asks for no other is compiled */
  private keyOfOne: ((arg: unknown) => string) | undefined = undefined
  /** the key in the store, where the template has no placeholder and is compiled */
  private fixed: string | undefined = undefined
  /** a template without version and `#`, which values do not bring in: the key is as it is in the store */
  private readonly plain: boolean
  private def: Definition | undefined = undefined
  /** whose lives `def` has, where they come from a Layer */
  private policy: unknown = undefined

  constructor(
    lookup: (...args: Args) => Effect.Effect<any, any, any>,
    options: SpecOptions,
    livesFrom: LivesFrom,
    storeKey: string,
    env: Context.Context<any> | undefined
  ) {
    this.lookup = lookup
    this.options = options
    this.livesFrom = livesFrom
    this.storeKey = storeKey
    this.env = env
    this.plain = options.version === undefined && typeof options.key === "string" && !options.key.includes("#")
  }

  /** the same with these services in place of a reader's; what belongs to the moment (span, Scope, mode) is not among them */
  captured(context: Context.Context<any>): Spec {
    const services = new Map(context.unsafeMap)
    services.delete(Scope.Scope.key)
    services.delete(Tracer.ParentSpan.key)
    services.delete(modeKey)
    if (this.env !== undefined) for (const [key, service] of this.env.unsafeMap) services.set(key, service)
    return new Spec(this.lookup, this.options, this.livesFrom, this.storeKey, Context.unsafeMake(services))
  }

  // ------------------------------------------------------------------------------------------------------------ keys

  /** the key as the user wrote it, without version; throws `KeyError` */
  get logicalKey(): (args: Args) => string {
    this.compiled ??= this.compile()
    return this.compiled
  }

  private compile(): (args: Args) => string {
    const { key } = this.options
    if (typeof key === "string") {
      const compiled = Key.compile(key)
      if (compiled.static !== undefined) this.fixed = this.versioned(compiled.static)
      if (this.plain) this.keyOfOne = compiled.one
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
      const what = made === null ? "null" : `a ${typeof made}`
      throw new KeyError({ template: this.name, detail: `the key function gave ${what}` })
    }
  }

  /** the key in the store, less its prefix */
  physicalKey(args: Args): string {
    if (this.fixed !== undefined) return this.fixed
    const key = this.compiled === undefined ? this.logicalKey(args) : this.compiled(args)
    return this.plain ? key : this.versioned(key)
  }

  /**
   * In the key and in the identity, so that versions never meet: `#v` ends what is not version, and no other `#` is
   * followed by a `v`.
   */
  private versioned(text: string): string {
    const { version } = this.options
    const escaped = text.includes("#") ? text.replaceAll("#", "#-") : text
    return version === undefined ? escaped : `${escaped}#v${version}`
  }

  get name(): string {
    const { key, name } = this.options
    return name ?? (typeof key === "string" ? Key.name(key) : key.name)
  }

  // ------------------------------------------------------------------------------------------------------ definition

  definition(context: Context.Context<any>): Definition {
    if (this.livesFrom === "options")
      return this.def ?? this.define(decodeLifetimes({ ...this.options, ttl: this.options.ttl! }))
    const policy = Context.unsafeGet(context, this.livesFrom)
    if (this.def !== undefined && this.policy === policy) return this.def
    this.policy = policy
    return this.define(policy.lifetimesOf(this.name))
  }

  private define(lives: Lifetimes): Definition {
    const { key, lock, name, onStoreError, schema, tags } = this.options
    this.def = new Definition(
      {
        ...lives,
        name: this.name,
        owner: this.versioned(name ?? (typeof key === "string" ? key : key.name)),
        lookup: this.lookup,
        tags,
        schema,
        strict: onStoreError === "fail",
        lease: lock === undefined ? 0 : decodeFinite("lock.lease", lock.lease)
      },
      this.env
    )
    return this.def
  }

  // ----------------------------------------------------------------------------------------------------------- verbs

  context(fiber: AnyFiber): Context.Context<any> {
    return this.env === undefined ? (fiber.currentContext as Context.Context<any>) : this.env
  }

  engine(context: Context.Context<any>): Engine {
    const service = context.unsafeMap.get(this.storeKey)
    if (service === undefined) {
      throw new Error(`Service not found: ${this.storeKey}: provide a store such as MemoryCacheLive or RedisCacheLive`)
    }
    if (service[EngineId] === undefined) throw new Error(`${this.storeKey}: no Service made by CacheStore.make`)
    return service[EngineId]
  }

  /** the path of a hit */
  read(fiber: AnyFiber, args: Args): Effect.Effect<any, any, any> {
    const { unsafeMap } = this.env === undefined ? fiber.currentContext : this.env
    const service = unsafeMap.get(this.storeKey)
    const def = this.def
    if (def === undefined || this.policy !== undefined || service === undefined) return this.readFirst(fiber, args)
    return (service[EngineId] as Engine).read(fiber, def, this.physicalKey(args), args)
  }

  /** the same for one argument: the list of it is made where the read is no hit */
  readOne(fiber: AnyFiber, arg: unknown): Effect.Effect<any, any, any> {
    const { def, keyOfOne } = this
    if (def !== undefined && keyOfOne !== undefined && this.policy === undefined) {
      const { unsafeMap } = this.env === undefined ? fiber.currentContext : this.env
      const service = unsafeMap.get(this.storeKey)
      if (service !== undefined) return (service[EngineId] as Engine).read(fiber, def, keyOfOne(arg), undefined, arg)
    }
    return this.read(fiber, [arg])
  }

  private readFirst(fiber: AnyFiber, args: Args): Effect.Effect<any, any, any> {
    const context = this.context(fiber)
    const def = this.definition(context)
    return this.engine(context).read(fiber, def, this.physicalKey(args), args)
  }

  private with<A>(
    args: Args,
    f: (engine: Engine, def: Definition, key: string, fiber: AnyFiber) => Effect.Effect<A, any, any>
  ): Effect.Effect<A, any, any> {
    return Effect.withFiberRuntime<A, any, any>((fiber) => {
      const context = this.context(fiber)
      return f(this.engine(context), this.definition(context), this.physicalKey(args), fiber)
    })
  }

  refresh(args: Args): Effect.Effect<any, any, any> {
    return this.with(args, (engine, def, key) => engine.forced(def, key, args))
  }

  invalidate(args: Args): Effect.Effect<void, any, any> {
    return this.with(args, (engine, def, key, fiber) => quiet(def, engine.startWrite(fiber, key, undefined, def)))
  }

  set(args: Args, value: unknown): Effect.Effect<void, any, any> {
    return this.with(args, (engine, def, key, fiber) => {
      if (def.off) return Effect.void
      const now = nowOf(fiber)
      const lifetime = def.lifetimeOf(value, args)
      const entry =
        lifetime.ttl <= 0
          ? undefined
          : makeEntry(value, lifetime, { stamp: engine.stamps.next(), now, owner: def.owner })
      return quiet(def, engine.startWrite(fiber, key, entry, def))
    })
  }

  entry(args: Args): Effect.Effect<Option.Option<any>, any, any> {
    return this.with(args, (engine, def, key, fiber) => {
      if (def.off) return Effect.succeedNone
      const there = engine.startPeek(key, def, nowOf(fiber))
      return Effect.map(def.strict ? there : Effect.catchAll(there, () => Effect.succeed(undefined)), (entry) => {
        const now = nowOf(fiber)
        const alive = engine.ownership.alive(entry, def, now)
        return Option.fromNullable(alive === undefined ? undefined : view(alive, now))
      })
    })
  }

  peek(args: Args): Effect.Effect<Option.Option<any>, any, any> {
    return Effect.map(
      this.entry(args),
      Option.map((entry) => entry.value)
    )
  }

  get clear(): Effect.Effect<void, any, any> {
    return Effect.withFiberRuntime<void, any, any>((fiber) => {
      const context = this.context(fiber)
      const def = this.definition(context)
      return quiet(def, this.engine(context).raise([ownerMark(def.owner)]))
    })
  }
}

const quiet = (def: Definition, effect: Effect.Effect<void, CacheStoreError>): Effect.Effect<void, CacheStoreError> =>
  def.strict ? effect : Effect.ignore(effect)

/**
 * Resolvers: a `RequestResolver` behind a cache. Every request is read like a call of a cached function; the loads of one
 * batch of requests share one batch of the inner resolver, each with a result of its own.
 *
 * `any` stands in the bounds of types, where every type has to fit.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as PrimaryKey from "effect/PrimaryKey"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { InvalidOption } from "../../CacheError.js"
import type { Batching } from "../engine/definition.js"
import { addMoment } from "../engine/loads/captured.js"
import { sameServices } from "../engine/loads/environment.js"
import { refusePartition, Spec } from "./cached.js"
import type { Lookup } from "./lookup.js"

type AnyRequest = Request.Request<any, any>

interface Tagged {
  readonly _tag: string
}

type ValueOf<Req> = Req extends Request.Request<infer A, any> ? A : never

/** A schema of the values or, where the requests have several types, one for each of their tags. */
type SchemaOf<Req> =
  | Schema.Schema<ValueOf<Req>, any>
  | { readonly [Each in Extract<Req, Tagged> as Each["_tag"]]?: Schema.Schema<ValueOf<Each>, any> }

/** The key of a request. A request that has a `PrimaryKey` needs none. */
type KeyOption<Req> = [Req] extends [PrimaryKey.PrimaryKey]
  ? {
      /** The key of a request. Its `_tag` is put in front. Default: its `PrimaryKey`. */
      readonly key?: ((request: Req) => string) | undefined
    }
  : {
      /** The key of a request, different for different requests of one `_tag`. The `_tag` is put in front. */
      readonly key: (request: Req) => string
    }

/** The options that do not depend on whether a request has a `PrimaryKey`. */
interface CommonOptions<Req, S, Store> {
  /** The name of the resolver: its label in metrics, spans and events, and the owner of its entries. */
  readonly name: string
  /**
   * How long a value is fresh, from the end of its load, or a function of the value and its request. A bare number is
   * milliseconds, zero is not cached.
   */
  readonly ttl: Duration.DurationInput | ((value: ValueOf<Req>, request: Req) => Duration.DurationInput)
  /**
   * How much longer a value is served while a refresh runs, or a function of the value and its request. Default: not at
   * all.
   */
  readonly stale?: Duration.DurationInput | ((value: ValueOf<Req>, request: Req) => Duration.DurationInput) | undefined
  /** The fraction of `ttl`, from 0 to 1, that is added to it at random. Default: 0. */
  readonly jitter?: number | undefined
  /**
   * The fraction, from 0 to 1, of its lifetime after which a fresh value is refreshed behind the next read. Default: it
   * is not.
   */
  readonly refreshAhead?: number | undefined
  /**
   * An entry that nobody reads for this long expires, before its end. In memory and Redis only. Default: no limit.
   */
  readonly maxIdle?: Duration.DurationInput | undefined
  /** How many entries it may have in the memory of this process. As for `Cached.ttl`. Default: no limit. */
  readonly maxEntries?: number | undefined
  /**
   * How long after its `ttl` a value still answers when the load fails. A read tries the load first, and such a value is
   * absent to `peek` and the store's `get`. Counted from `ttl`, not from the end of `stale`. Default: 0.
   */
  readonly staleIfError?: Duration.DurationInput | undefined
  /**
   * How long a key is not loaded after a failed load, while an old value can answer: reads get that value at once. For
   * each key and process. Where nothing can answer, every read loads. Default: the smallest of 10 seconds, the `ttl`, and
   * a tenth of the time for which the value can still answer.
   */
  readonly retryAfter?: Duration.DurationInput | undefined
  /** The tags of a value, or a function of the value and its request. Default: none. */
  readonly tags?: ReadonlyArray<string> | ((value: ValueOf<Req>, request: Req) => ReadonlyArray<string>) | undefined
  /**
   * The schema that converts a value which the serializer of the store cannot carry. For requests of several types, a
   * record of schemas by `_tag`.
   */
  readonly schema?: SchemaOf<Req> | undefined
  /** Part of the key and of the owner: entries of another version are misses. Default: none. */
  readonly version?: string | number | undefined
  /** After this time nobody joins a load any more, and it can no longer store its value. Default: 30 seconds. */
  readonly flightTimeout?: Duration.DurationInput | undefined
  /** The tag of the store. Default: `CacheStore`. */
  readonly store?: Context.Tag<S, Store> | undefined
}

/** The options of a resolver. `S` is the tag of its store, and `Store` the service. */
export type Options<Req, S, Store> = CommonOptions<Req, S, Store> & KeyOption<Req>

type Fix<T> = [T][T extends any ? 0 : never]

/** The overloads of `Cached.resolver`. `DefaultStore` is the tag of the store that is used unless the options name one. */
export interface Resolver<DefaultStore, Store> {
  <Req extends AnyRequest, S = DefaultStore>(
    options: Options<Req, S, Store>
  ): <R>(
    self: RequestResolver.RequestResolver<Req, R>
  ) => Effect.Effect<RequestResolver.RequestResolver<Req>, never, Exclude<R, Scope.Scope> | S>
  <Req extends AnyRequest, R, S = DefaultStore>(
    self: RequestResolver.RequestResolver<Req, R>,
    options: Options<Fix<Req>, S, Store>
  ): Effect.Effect<RequestResolver.RequestResolver<Req>, never, Exclude<R, Scope.Scope> | S>
}

/** The options as the engine takes them: it knows no types. */
interface AnyOptions extends Omit<CommonOptions<any, any, any>, "schema"> {
  readonly key?: ((request: any) => string) | undefined
  readonly schema?: unknown
}

type CachedRequests = RequestResolver.RequestResolver<AnyRequest>

/** The most resolvers of a store, each for other services, that a context is compared with. */
const maxResolvers = 256

/**
 * The resolvers of one store, one for each set of services. A server has as many at once as it handles requests, and no
 * request must be kept in memory after its end. So a resolver is referenced weakly, except by the contexts that it was
 * found for.
 */
class ResolversOfStore {
  private readonly byContext = new WeakMap<Context.Context<unknown>, CachedRequests>()
  private readonly contexts = new WeakMap<CachedRequests, Context.Context<unknown>>()
  /** The latest used first. */
  private recent: Array<WeakRef<CachedRequests>> = []

  /** The resolver for the services of a context. `make` makes one for those that it is given. */
  get(context: Context.Context<unknown>, make: (services: Context.Context<unknown>) => CachedRequests): CachedRequests {
    let resolver = this.byContext.get(context)
    if (resolver !== undefined) return resolver
    resolver = this.find(context)
    if (resolver === undefined) {
      const services = servicesOf(context)
      resolver = make(services)
      this.contexts.set(resolver, services)
      this.recent.unshift(new WeakRef(resolver))
      if (this.recent.length > maxResolvers) this.recent.pop()
    }
    this.byContext.set(context, resolver)
    return resolver
  }

  /** Finds the resolver for the same services, and moves it to the front. */
  private find({ unsafeMap }: Context.Context<unknown>): CachedRequests | undefined {
    for (const [at, ref] of this.recent.entries()) {
      const resolver = ref.deref()
      const services = resolver && this.contexts.get(resolver)
      if (services === undefined || !sameServices(services.unsafeMap, unsafeMap)) continue
      if (at > 0) this.recent = [ref, ...this.recent.filter((other) => other !== ref && other.deref() !== undefined)]
      return resolver
    }
    return undefined
  }
}

const tagOf = (request: unknown): string => {
  const { _tag } = request as { readonly _tag?: unknown }
  return typeof _tag === "string" ? _tag : ""
}

/** The tag in front of a key: the first colon ends it. */
const escapeTag = (tag: string): string => tag.replace(/[%:]/g, (char) => `%${char.charCodeAt(0).toString(16)}`)

export class CachedResolver {
  private readonly inner: RequestResolver.RequestResolver<AnyRequest, unknown>
  private readonly options: AnyOptions
  private readonly storeKey: string
  /** The function of each type of request. */
  private readonly specs = new Map<string, Spec>()
  private readonly batching: Batching
  /** The resolvers of each store. */
  private readonly resolvers = new WeakMap<object, ResolversOfStore>()

  constructor(inner: RequestResolver.RequestResolver<AnyRequest, unknown>, options: AnyOptions, storeKey: string) {
    refusePartition(options, options.name)
    this.inner = inner
    this.options = options
    this.storeKey = storeKey
    this.batching = {
      name: options.name,
      owner: options.name,
      concurrency: Number.POSITIVE_INFINITY,
      lookupMany: (requests) => this.resolve(requests as ReadonlyArray<AnyRequest>),
      keyOf: (request) => this.specOf(request).physicalKey([request]),
      window: 0,
      maxBatchSize: Number.POSITIVE_INFINITY,
      isOrdered: true,
      absentTtl: 0,
      isPlain: true
    }
  }

  /**
   * The resolver for the store and the services of the fiber: the same one for the same store and services, because
   * Effect puts only requests of one resolver into one batch.
   */
  readonly forFiber: Effect.Effect<CachedRequests, never, any> = /*#__PURE__*/ Effect.withFiberRuntime((fiber) => {
    const store = fiber.currentContext.unsafeMap.get(this.storeKey)
    if (store === undefined) {
      throw new Error(`Service not found: ${this.storeKey}: provide a store such as MemoryCacheLive or RedisCacheLive`)
    }
    let resolvers = this.resolvers.get(store)
    if (resolvers === undefined) {
      resolvers = new ResolversOfStore()
      this.resolvers.set(store, resolvers)
    }
    return Effect.succeed(resolvers.get(fiber.currentContext as Context.Context<unknown>, this.makeResolver))
  })

  /** The resolver that reads with these services. */
  private readonly makeResolver = (services: Context.Context<unknown>): CachedRequests =>
    RequestResolver.makeWithEntry((blocks: Array<Array<Request.Entry<AnyRequest>>>) =>
      Effect.mapInputContext(this.readAll(blocks), (reader: Context.Context<never>) => withServices(services, reader))
    )

  /** Reads the requests of each block, one block after the other. */
  private readAll(
    blocks: ReadonlyArray<ReadonlyArray<Request.Entry<AnyRequest>>>
  ): Effect.Effect<void, never, unknown> {
    return Effect.forEach(blocks, (block) => this.readBlock(block.filter(({ state }) => !state.completed)), {
      discard: true
    })
  }

  /** Reads requests. All reads begin in one turn, so a remote backend gets one request. */
  private readBlock(block: ReadonlyArray<Request.Entry<AnyRequest>>): Effect.Effect<void, never, unknown> {
    return Effect.withFiberRuntime((fiber) => {
      const reads = block.map(({ request }) => {
        try {
          return this.specOf(request).readOne(fiber, request)
        } catch (defect) {
          // of its key function
          return Effect.die(defect)
        }
      })
      return Effect.forEach(
        block,
        ({ request }, i) => Effect.flatMap(Effect.exit(reads[i]!), (exit) => Request.complete(request, exit)),
        { concurrency: "unbounded", batching: false, discard: true }
      )
    })
  }

  /**
   * The lookup of many requests: one batch of the inner resolver. A result is the exit of its request.
   *
   * An interruption of `Effect.forEach` with batching does not reach the resolver. So it runs in a fiber of its own, and
   * the resolver ends when `stop` says so.
   */
  private resolve(requests: ReadonlyArray<AnyRequest>): Effect.Effect<ReadonlyArray<unknown>, never, unknown> {
    return Effect.uninterruptibleMask((restore) => {
      const stop = Deferred.unsafeMake<never>(FiberId.none)
      const stoppable = RequestResolver.makeWithEntry((blocks: Array<Array<Request.Entry<AnyRequest>>>) =>
        Effect.raceFirst(this.inner.runAll(blocks), Deferred.await(stop))
      )
      const asked = Effect.forEach(
        requests,
        // the context has the services that the resolver needs
        (request) => Effect.exit(Effect.request(request, stoppable as RequestResolver.RequestResolver<AnyRequest>)),
        { concurrency: "unbounded", batching: true }
      )
      // in Effect's own cache, a request would wait for itself
      const apart = Effect.withRequestCaching(Effect.interruptible(asked), false)
      return Effect.flatMap(Effect.forkDaemon(apart), (fiber) =>
        Effect.onInterrupt(restore(Effect.flatten(Fiber.await(fiber))), () =>
          Effect.zipRight(Deferred.interrupt(stop), Fiber.await(fiber))
        )
      )
    }).pipe(Effect.map((exits) => exits.map(Option.some)))
  }

  private specOf(request: unknown): Spec {
    const tag = tagOf(request)
    let spec = this.specs.get(tag)
    if (spec === undefined) {
      spec = this.makeSpec(tag)
      this.specs.set(tag, spec)
    }
    return spec
  }

  private makeSpec(tag: string): Spec {
    const { flightTimeout, jitter, maxEntries, maxIdle, name, refreshAhead, retryAfter, schema, stale } = this.options
    const { staleIfError, tags, ttl, version } = this.options
    const { batching } = this
    const prefix = `${escapeTag(tag)}:`
    const ofTag = Schema.isSchema(schema) ? schema : (schema as Record<string, unknown> | undefined)?.[tag]
    const lookup = (request: unknown) =>
      Effect.withFiberRuntime<unknown, unknown>((fiber) => {
        const { batches } = spec.engine(fiber.currentContext as Context.Context<unknown>)
        return Effect.flatMap(batches.ask(batching, request), (exit) => (exit as Option.Some<Exit.Exit<unknown>>).value)
      })
    const options = {
      key: (request: unknown) => prefix + this.textOf(request),
      name,
      ttl,
      stale,
      jitter,
      refreshAhead,
      maxEntries,
      maxIdle,
      staleIfError,
      retryAfter,
      tags,
      version,
      flightTimeout,
      batching,
      schema: ofTag as never
    }
    const spec: Spec = new Spec(lookup as Lookup, options as never, "options", this.storeKey, undefined)
    return spec
  }

  /** The key of a request, without its tag. */
  private textOf(request: unknown): string {
    const { key, name } = this.options
    if (key !== undefined) {
      const text: unknown = key(request)
      if (typeof text === "string") return text
      throw new InvalidOption({ option: "key", of: name, detail: "did not return a string" })
    }
    if (typeof request === "object" && request !== null && PrimaryKey.symbol in request) {
      return PrimaryKey.value(request as PrimaryKey.PrimaryKey)
    }
    throw new InvalidOption({ option: "key", of: name, detail: "is missing, and the request has no PrimaryKey" })
  }
}

/** The services of a context, without those of a moment. A mode is kept: the resolver was asked for in it. */
const servicesOf = (context: Context.Context<unknown>): Context.Context<unknown> => {
  const services = new Map(context.unsafeMap)
  for (const key of [Scope.Scope.key, Tracer.ParentSpan.key]) services.delete(key)
  return Context.unsafeMake(services)
}

/** The captured services, with the span and the mode of a reader. */
const withServices = (captured: Context.Context<unknown>, reader: Context.Context<never>): Context.Context<unknown> => {
  const services = new Map(captured.unsafeMap)
  addMoment(services, reader as Context.Context<unknown>)
  return Context.unsafeMake(services)
}

/** The implementation of the overloads of `Cached.resolver`, which give it its types. It takes the inner one first or last. */
export const resolverOf =
  (defaultStore: string) =>
  (...args: ReadonlyArray<any>): any => {
    const make = (self: RequestResolver.RequestResolver<AnyRequest, unknown>, options: AnyOptions) =>
      new CachedResolver(self, options, options.store?.key ?? defaultStore).forFiber
    return args.length === 1
      ? (self: RequestResolver.RequestResolver<AnyRequest, unknown>) => make(self, args[0])
      : make(args[0], args[1])
  }

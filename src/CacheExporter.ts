/**
 * Exports the metrics of Effect's registry, those of every cache among them: as text for Prometheus, or by OTLP to an
 * OpenTelemetry collector. It is a thin layer over `@effect/opentelemetry`. A program that provides the `NodeSdk.layer`
 * of that package exports the metrics of its caches already, and needs nothing of this module.
 *
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Effect, Layer } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 * import * as CacheExporter from "effect-cached/CacheExporter"
 *
 * const getUser = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "user:{}", ttl: "1 hour" })
 *
 * const Exporters = Layer.mergeAll(
 *   // http://127.0.0.1:9464/metrics, for Prometheus
 *   CacheExporter.layerPrometheus({ host: "127.0.0.1", port: 9464 }),
 *   // for an OpenTelemetry collector
 *   CacheExporter.layerOtlp({ url: "http://127.0.0.1:4318", resource: { serviceName: "shop" } })
 * ).pipe(Layer.provide(FetchHttpClient.layer))
 *
 * const program = Effect.provide(getUser(1), Layer.merge(MemoryCacheLive, Exporters))
 * ```
 *
 * @since 0.2.0
 */

import * as OtlpMetrics from "@effect/opentelemetry/OtlpMetrics"
import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import type * as Headers from "@effect/platform/Headers"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { InvalidOption } from "./CacheError.js"
import { decodeFinite, decodeMillis } from "./internal/options.js"

/**
 * An exporter could not be started.
 *
 * - `Package`: one of the optional packages it needs is not installed; the message names them
 * - `Listen`: the port is taken, or may not be used
 *
 * @category errors
 * @since 0.2.0
 */
export class ExporterError extends /*#__PURE__*/ Data.TaggedError("ExporterError")<{
  readonly reason: "Package" | "Listen"
  readonly message: string
  readonly cause?: unknown
}> {}

/**
 * What is known of the process that exports. OpenTelemetry calls it the resource.
 *
 * @category models
 * @since 0.2.0
 */
export interface Resource {
  /** The name of the service. Prometheus has it as the label `service_name` of `target_info`. */
  readonly serviceName?: string | undefined
  readonly serviceVersion?: string | undefined
  /** Further attributes, such as `service.instance.id`. */
  readonly attributes?: Readonly<Record<string, string | number | boolean>> | undefined
}

/**
 * The options of the text for Prometheus.
 *
 * @category models
 * @since 0.2.0
 */
export interface PrometheusOptions {
  /** A prefix of the names of all metrics: with `shop`, `cache_hits_total` is `shop_cache_hits_total`. Default: none. */
  readonly prefix?: string | undefined
  /** It becomes the metric `target_info`. Default: none, and no such metric. */
  readonly resource?: Resource | undefined
}

/**
 * The options of a server for Prometheus on a port of its own.
 *
 * @category models
 * @since 0.2.0
 */
export interface ServerOptions extends PrometheusOptions {
  readonly port: number
  /** The address to listen on. Default: all addresses of the machine. */
  readonly host?: string | undefined
  /** The path of the text. Default: `/metrics`. */
  readonly path?: `/${string}` | undefined
}

/**
 * The options of a route for Prometheus in a router of the program.
 *
 * @category models
 * @since 0.2.0
 */
export interface RouteOptions<Self, Name extends string, E, R> extends PrometheusOptions {
  /** The tag of the router, such as `HttpRouter.Default`. */
  readonly router: HttpRouter.HttpRouter.TagClass<Self, Name, E, R>
  /** The path of the route. Default: `/metrics`. */
  readonly path?: `/${string}` | undefined
}

/**
 * The options of an export by OTLP.
 *
 * @category models
 * @since 0.2.0
 */
export interface OtlpOptions {
  /** The base URL of the receiver, such as `http://127.0.0.1:4318`. Metrics go to `/v1/metrics` below it. */
  readonly url: string
  /**
   * Default: what the environment variables `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say. Without a name, the
   * service is `unknown_service`.
   */
  readonly resource?: Resource | undefined
  /** Headers of every request, such as one that authorises it. Default: none. */
  readonly headers?: Headers.Input | undefined
  /** The time between two exports. Default: 10 seconds. */
  readonly interval?: Duration.DurationInput | undefined
  /** How long the last export may take when the Layer closes. Default: 3 seconds. */
  readonly shutdownTimeout?: Duration.DurationInput | undefined
  /** How requests are encoded. Default: `protobuf`, which every receiver knows. */
  readonly encoding?: "protobuf" | "json" | undefined
  /** Whether spans are exported as well, to `/v1/traces`. The Layer then sets the tracer. Default: `false`. */
  readonly traces?: boolean | undefined
}

const packages = "@effect/opentelemetry@0.64 @opentelemetry/exporter-prometheus @opentelemetry/sdk-metrics"

/** Loads the packages that only Prometheus needs, so that OTLP works without them. */
const load = <A>(module: () => Promise<A>): Effect.Effect<A, ExporterError> =>
  Effect.tryPromise({
    try: module,
    catch: (cause) =>
      new ExporterError({
        reason: "Package",
        message: `the metrics for Prometheus need packages that are not installed: npm install ${packages}`,
        cause
      })
  })

/** The name that OpenTelemetry prescribes for a service without one. */
const unknownService = "unknown_service"

/**
 * The name of the service: that of the options, else of the environment. `undefined` if it is among the attributes in the
 * environment. `@effect/opentelemetry` would die if there is none.
 */
const serviceNameOf = ({ attributes, serviceName }: Resource): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    if (serviceName !== undefined || attributes?.["service.name"] !== undefined) return serviceName
    const name = yield* Config.withDefault(Config.string("OTEL_SERVICE_NAME"), "")
    if (name !== "") return name
    const others = yield* Config.withDefault(Config.string("OTEL_RESOURCE_ATTRIBUTES"), "")
    return /(^|,)\s*service\.name\s*=/.test(others) ? undefined : unknownService
  }).pipe(Effect.orDie)

/** An attribute that is `undefined` would be exported as an empty text. */
const resourceOf = ({ attributes, serviceName, serviceVersion }: Resource) => ({
  serviceName: serviceName ?? unknownService,
  ...(serviceVersion === undefined ? undefined : { serviceVersion }),
  ...(attributes === undefined ? undefined : { attributes })
})

/** A reader of the registry, and its text. `listen` starts the server of the reader. */
const makeReader = Effect.fnUntraced(function* (options: PrometheusOptions & Partial<ServerOptions>) {
  const { PrometheusExporter, PrometheusSerializer } = yield* load(() => import("@opentelemetry/exporter-prometheus"))
  const Metrics = yield* load(() => import("@effect/opentelemetry/Metrics"))
  const Resources = yield* load(() => import("@effect/opentelemetry/Resource"))
  const withoutTargetInfo = options.resource === undefined
  const exporter = new PrometheusExporter({
    preventServerStart: true,
    withoutScopeInfo: true,
    withoutTargetInfo,
    ...(options.prefix === undefined ? undefined : { prefix: options.prefix }),
    ...(options.port === undefined ? undefined : { port: options.port }),
    ...(options.host === undefined ? undefined : { host: options.host }),
    endpoint: options.path ?? "/metrics"
  })
  const resource = options.resource === undefined ? Resources.layerEmpty : Resources.layer(resourceOf(options.resource))
  exporter.setMetricProducer(yield* Effect.provide(Metrics.makeProducer, resource))
  yield* Effect.addFinalizer(() => Effect.promise(() => exporter.shutdown()))
  const serializer = new PrometheusSerializer(options.prefix, false, undefined, withoutTargetInfo, true)
  const text = Effect.map(
    Effect.promise(() => exporter.collect()),
    ({ resourceMetrics }) => serializer.serialize(resourceMetrics)
  )
  const listen = Effect.tryPromise({
    try: () => exporter.startServer(),
    catch: (cause) =>
      new ExporterError({
        reason: "Listen",
        message:
          `the metrics for Prometheus cannot be served on port ${options.port}` +
          (cause instanceof Error ? `: ${cause.message}` : ""),
        cause
      })
  })
  return { text, listen }
})

/**
 * Makes the answer to a scrape by Prometheus, to be mounted in a router as a value:
 *
 * ```ts
 * import { HttpRouter } from "@effect/platform"
 * import { Effect } from "effect"
 * import * as CacheExporter from "effect-cached/CacheExporter"
 *
 * const router = Effect.map(CacheExporter.prometheus(), (metrics) =>
 *   HttpRouter.empty.pipe(HttpRouter.get("/metrics", metrics))
 * )
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const prometheus = (
  options: PrometheusOptions = {}
): Effect.Effect<Effect.Effect<HttpServerResponse.HttpServerResponse>, ExporterError, Scope.Scope> =>
  Effect.map(makeReader(options), ({ text }) =>
    Effect.map(text, (body) =>
      HttpServerResponse.text(body, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
    )
  )

const checkPort = (port: number): number => {
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new InvalidOption({ option: "port", of: "layerPrometheus", detail: "must be a whole number from 1 to 65535" })
}

const onPort = (options: ServerOptions): Layer.Layer<never, ExporterError> =>
  Layer.scopedDiscard(
    Effect.flatMap(
      Effect.suspend(() => makeReader({ ...options, port: checkPort(options.port) })),
      ({ listen }) => listen
    )
  )

const onRouter = <Self, Name extends string, E, R>({
  path = "/metrics",
  router,
  ...options
}: RouteOptions<Self, Name, E, R>): Layer.Layer<never, ExporterError, Self> =>
  Layer.scopedDiscard(
    Effect.flatMap(prometheus(options), (app) => Effect.flatMap(router, (service) => service.get(path, app)))
  )

/**
 * Serves the metrics of the process as text for Prometheus: on a port of its own, or at a path of a router of the
 * program. It needs the packages `@opentelemetry/exporter-prometheus` and `@opentelemetry/sdk-metrics`, and fails with
 * `ExporterError` if they are not installed or the port cannot be used.
 *
 * ```ts
 * import { HttpRouter } from "@effect/platform"
 * import * as CacheExporter from "effect-cached/CacheExporter"
 *
 * const onItsOwnPort = CacheExporter.layerPrometheus({ port: 9464 })
 * const inTheRouter = CacheExporter.layerPrometheus({ router: HttpRouter.Default, path: "/metrics" })
 * ```
 *
 * **Details**
 *
 * Counters end in `_total`. Anybody who can reach the port or the path can read the metrics: they have the names of
 * functions, stores and tiers, and never a key. For a router as a value, use `prometheus`.
 *
 * @category layers
 * @since 0.2.0
 */
export function layerPrometheus(options: ServerOptions): Layer.Layer<never, ExporterError>
export function layerPrometheus<Self, Name extends string, E, R>(
  options: RouteOptions<Self, Name, E, R>
): Layer.Layer<never, ExporterError, Self>
export function layerPrometheus<Self, Name extends string, E, R>(
  options: ServerOptions | RouteOptions<Self, Name, E, R>
): Layer.Layer<never, ExporterError, Self> {
  return "router" in options ? onRouter(options) : onPort(options)
}

/**
 * Sends the metrics of the process by OTLP over HTTP, at an interval and once more when the Layer closes. A receiver that
 * does not answer costs nothing but a log line at Debug, and is left alone for a minute.
 *
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer } from "effect"
 * import * as CacheExporter from "effect-cached/CacheExporter"
 *
 * const Otlp = CacheExporter.layerOtlp({
 *   url: "http://127.0.0.1:4318",
 *   resource: { serviceName: "shop", attributes: { "service.instance.id": "shop-1" } },
 *   interval: "30 seconds",
 *   traces: true
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 * ```
 *
 * **Details**
 *
 * All metrics go in one request. A receiver that limits the data points of a request, as Google Cloud does, is reached
 * through a collector, which splits them.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerOtlp = (options: OtlpOptions): Layer.Layer<never, never, HttpClient.HttpClient> =>
  Layer.unwrapEffect(
    Effect.map(serviceNameOf(options.resource ?? {}), (serviceName) => {
      const base = HttpClientRequest.get(options.url)
      const { attributes, serviceVersion } = options.resource ?? {}
      const common = {
        resource: { serviceName, serviceVersion, ...(attributes === undefined ? undefined : { attributes }) },
        headers: options.headers,
        exportInterval: decodeFinite("interval", options.interval ?? "10 seconds", "layerOtlp"),
        shutdownTimeout: decodeMillis("shutdownTimeout", options.shutdownTimeout ?? "3 seconds", "layerOtlp")
      }
      const metrics = OtlpMetrics.layer({ ...common, url: HttpClientRequest.appendUrl(base, "/v1/metrics").url })
      const traces =
        options.traces === true
          ? OtlpTracer.layer({ ...common, url: HttpClientRequest.appendUrl(base, "/v1/traces").url })
          : Layer.empty
      return Layer.provide(
        Layer.merge(metrics, traces),
        options.encoding === "json" ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf
      )
    })
  )

/**
 * A page that shows what a store does: hit rate, load and latency over time, functions, tiers, background runs, events,
 * and what is known of a key. It is a router of `@effect/platform`, to be mounted anywhere in the server of a program.
 *
 * ```ts
 * import { createServer } from "node:http"
 * import { HttpRouter, HttpServer } from "@effect/platform"
 * import { NodeHttpServer } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { MemoryCacheLive } from "effect-cached"
 * import * as Dashboard from "effect-cached/Dashboard"
 *
 * const Server = Layer.unwrapScoped(
 *   Effect.map(Dashboard.make(), (dashboard) =>
 *     HttpRouter.empty.pipe(HttpRouter.mount("/cache", dashboard), HttpServer.serve())
 *   )
 * ).pipe(Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 3000 })), Layer.provide(MemoryCacheLive))
 * ```
 *
 * It is read-only, and shows neither keys nor values, unless the options say so. It shows the store of the process that
 * answers. Whoever can open it can read the names of functions and their numbers, so mount it where only your own people
 * get, as you would a page of metrics.
 *
 * @since 0.2.0
 */

import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { randomBytes } from "@noble/hashes/utils.js"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CacheStore } from "./CacheStore.js"
import * as Actions from "./internal/dashboard/actions.js"
import { script } from "./internal/dashboard/client/script.js"
import * as Feed from "./internal/dashboard/feed.js"
import { guarded, isFromPage } from "./internal/dashboard/guard.js"
import { icon, page } from "./internal/dashboard/page.js"
import { processName } from "./internal/dashboard/processName.js"
import { style } from "./internal/dashboard/style.js"
import { type Engine, EngineId } from "./internal/engine/engine.js"
import { decodeFinite } from "./internal/options.js"

/**
 * The options of a dashboard.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options<R = never, S = CacheStore> {
  /** The tag of the store. Default: `CacheStore`. */
  readonly store?: Context.Tag<S, CacheStore.Service> | undefined
  /** The heading. Default: the name of the store. */
  readonly title?: string | undefined
  /** What the page calls the process that it shows. Default: its host and its id, as far as the runtime tells them. */
  readonly process?: string | undefined
  /** Whether keys and tags are shown. Default: `false`; then their hashes are, those of `cache.key_hash` in spans. */
  readonly keys?: boolean | undefined
  /** Whether the look-up of a key shows its value, and events the messages of errors. Default: `false`. */
  readonly values?: boolean | undefined
  /**
   * Whether a request may invalidate: a key, a tag, or everything of a function. It has the `HttpServerRequest`, and
   * refuses with `false` or by failing. Default: none, so that the page is read-only.
   */
  readonly authorize?: Effect.Effect<boolean, unknown, R> | undefined
  /** The time between two samples. Default: 1 second. */
  readonly interval?: Duration.DurationInput | undefined
  /** The time that the plots show. Default: 5 minutes. There are 3 600 samples at most. */
  readonly history?: Duration.DurationInput | undefined
  /** How many pages may be open at once. Default: 16. */
  readonly maxViewers?: number | undefined
}

/** What a route of the dashboard requires of the context it is mounted in. */
type Needed<R> = Exclude<R, HttpRouter.HttpRouter.Provided>

const maxSamples = 3_600

/** The most bytes of a request. */
const maxBody = Option.some(16_384)

const text = (body: string, contentType: string) => Effect.succeed(HttpServerResponse.text(body, { contentType }))

/** The path of a URL, which is one with a host in some runtimes, and its query. */
const partsOf = (url: string): readonly [path: string, query: string] => {
  const [path = "/", query] = url.replace(/^[a-z]+:\/\/[^/]*/i, "").split("?", 2)
  return [path, query === undefined ? "" : `?${query}`]
}

const notFound = HttpServerResponse.empty({ status: 404 })

const refusal = (status: number, message: string) => HttpServerResponse.unsafeJson({ message }, { status })

/**
 * Makes the router of a dashboard. It takes samples of the store in the current Scope, one at each `interval`, and ends
 * with it.
 *
 * ```ts
 * import { HttpRouter, HttpServerRequest } from "@effect/platform"
 * import { Effect } from "effect"
 * import * as Dashboard from "effect-cached/Dashboard"
 *
 * const isAdmin = Effect.map(
 *   HttpServerRequest.HttpServerRequest,
 *   ({ headers }) => headers["x-forwarded-user"] === "ada@example.com"
 * )
 *
 * const router = Effect.map(Dashboard.make({ keys: true, authorize: isAdmin }), (dashboard) =>
 *   HttpRouter.empty.pipe(HttpRouter.mount("/cache", dashboard))
 * )
 * ```
 *
 * **Details**
 *
 * What changes something must come from the page itself: a POST with its token, which the browser says is of the same
 * origin. Its scripts and styles are files of their own, so that the page needs no exception from a strict
 * `Content-Security-Policy`, which it sends. It loads nothing from elsewhere.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = <R = never, S = CacheStore>(
  options: Options<R, S> = {}
): Effect.Effect<HttpRouter.HttpRouter<never, Needed<R>>, never, S | Scope.Scope> =>
  Effect.gen(function* () {
    const store = yield* (options.store ?? CacheStore) as Context.Tag<S, CacheStore.Service>
    const { keyHashes } = (store[EngineId] as Engine).telemetry
    const interval = decodeFinite("interval", options.interval ?? "1 second", "Dashboard")
    const history = decodeFinite("history", options.history ?? "5 minutes", "Dashboard")
    const { maxViewers = 16 } = options
    const disclosure = {
      keys: options.keys === true,
      values: options.values === true,
      keyHash: (key: string) => keyHashes.of(key)
    }
    const token = Encoding.encodeBase64Url(randomBytes(24))
    const title = options.title ?? (yield* store.health).store
    const process = options.process ?? processName()
    const feed = yield* Feed.make(store, {
      ...disclosure,
      identity: { title, process, token },
      interval,
      history: Math.min(maxSamples, Math.max(2, Math.ceil(history / interval))),
      maxViewers
    })
    const { authorize } = options
    const document = page({
      title,
      process,
      token,
      keys: disclosure.keys,
      canInvalidate: authorize !== undefined
    })

    /** The page has links relative to its folder, so its own path has to end with a slash. */
    const index = Effect.map(HttpServerRequest.HttpServerRequest, ({ originalUrl }) => {
      const [path, query] = partsOf(originalUrl)
      return path.endsWith("/")
        ? HttpServerResponse.text(document, { contentType: "text/html; charset=utf-8" })
        : HttpServerResponse.redirect(`${path.slice(path.lastIndexOf("/") + 1)}/${query}`, { status: 307 })
    })

    const live = Effect.map(feed.open, (messages) =>
      messages === undefined
        ? refusal(503, `No more than ${maxViewers} pages of this dashboard may be open at once (maxViewers).`)
        : HttpServerResponse.stream(Stream.encodeText(messages), {
            contentType: "text/event-stream",
            headers: { "x-accel-buffering": "no" }
          })
    )

    /** Does something for a page of this dashboard, and refuses every other request. */
    const forPage = <A, I, E, R2>(
      schema: Schema.Schema<A, I>,
      act: (input: A) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R2>
    ) =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        if (!isFromPage(request, token)) return refusal(403, "This is not a request of the page. Load it anew.")
        const input = yield* Effect.option(
          HttpIncomingMessage.withMaxBodySize(HttpServerRequest.schemaBodyJson(schema), maxBody)
        )
        return Option.isNone(input) ? refusal(400, "The request is not understood.") : yield* act(input.value)
      })

    const lookUp = forPage(Actions.LookUp, ({ key }) =>
      Effect.map(Actions.lookUp(store, key, disclosure), (found) => HttpServerResponse.unsafeJson(found))
    )

    const invalidate = (mayInvalidate: Effect.Effect<boolean, unknown, R>) =>
      forPage(Actions.Invalidation, (input) =>
        Effect.gen(function* () {
          const isAllowed = yield* Effect.catchAllCause(mayInvalidate, () => Effect.succeed(false))
          if (!isAllowed) return refusal(403, "You may not invalidate here.")
          const failure = yield* Actions.invalidate(store, input)
          return failure === undefined ? HttpServerResponse.unsafeJson({ ok: true }) : refusal(404, failure)
        })
      )

    const router = HttpRouter.empty.pipe(
      HttpRouter.get("/", index),
      HttpRouter.get("/dashboard.js", text(script, "text/javascript; charset=utf-8")),
      HttpRouter.get("/dashboard.css", text(style, "text/css; charset=utf-8")),
      HttpRouter.get("/icon.svg", text(icon, "image/svg+xml")),
      HttpRouter.get("/live", live),
      HttpRouter.post("/lookup", lookUp),
      HttpRouter.post(
        "/invalidate",
        authorize === undefined ? Effect.succeed(refusal(403, "This dashboard is read-only.")) : invalidate(authorize)
      ),
      HttpRouter.get(
        "/*",
        Effect.flatMap(HttpRouter.params, (params) => (params["*"] === "" ? index : Effect.succeed(notFound)))
      )
    )
    return HttpRouter.use(router, Effect.map(guarded)) as HttpRouter.HttpRouter<never, Needed<R>>
  })

/**
 * The dashboard in a router of the program, of which the tag is given, such as `HttpRouter.Default`.
 *
 * ```ts
 * import { HttpRouter } from "@effect/platform"
 * import * as Dashboard from "effect-cached/Dashboard"
 *
 * const CachePage = Dashboard.layer({ router: HttpRouter.Default, path: "/internal/cache" })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <Self, Name extends string, RouterE, RouterR, R extends RouterR = never, S = CacheStore>({
  path = "/cache",
  router,
  ...options
}: Options<R, S> & {
  readonly router: HttpRouter.HttpRouter.TagClass<Self, Name, RouterE, RouterR>
  /** The path of the page. Default: `/cache`. */
  readonly path?: `/${string}` | undefined
}): Layer.Layer<never, never, Self | S> =>
  Layer.scopedDiscard(
    Effect.flatMap(make(options as Options<R, S>), (dashboard) =>
      Effect.flatMap(router, (service) => service.mount(path, dashboard as never))
    )
  )

/**
 * A server with a dashboard, and requests to it.
 */
import { createServer } from "node:http"
import { HttpRouter, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer, type Scope } from "effect"
import { CacheStore, MemoryCache } from "effect-cached"
import * as Dashboard from "../../src/Dashboard.js"
import { freePort } from "../support/ports.js"

export interface Opened {
  /** The URL of the page, with a slash at its end. */
  readonly url: string
  readonly store: CacheStore.Service
  /** Runs an effect on the store of the dashboard. */
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, CacheStore>>
}

let stores = 0

/** Serves a dashboard at `/cache` until the Scope closes. `at` is its port. Default: a free one. */
export const open = (
  options: Dashboard.Options = {},
  storeLayer: Layer.Layer<CacheStore> = MemoryCache.layer({ name: `shop-${++stores}` }),
  at?: number
): Effect.Effect<Opened, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Layer.build(storeLayer)
    const port = at ?? (yield* freePort)
    const http = createServer()
    const server = Layer.unwrapScoped(
      Effect.map(Dashboard.make({ interval: 50, ...options }), (dashboard) =>
        HttpRouter.empty.pipe(HttpRouter.mount("/cache", dashboard), HttpServer.serve())
      )
    ).pipe(Layer.provide(NodeHttpServer.layer(() => http, { port, host: "127.0.0.1" })))
    yield* Effect.orDie(Layer.build(Layer.provide(server, Layer.succeedContext(context))))
    // it would wait for the connections that fetch keeps open
    yield* Effect.addFinalizer(() => Effect.sync(() => http.closeAllConnections()))
    return {
      url: `http://127.0.0.1:${port}/cache/`,
      store: Context.get(context, CacheStore),
      run: (effect) => Effect.provide(effect, context)
    }
  })

export const get = (url: string, init: RequestInit = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, { redirect: "manual", ...init })
    return { status: response.status, headers: response.headers, text: await response.text() }
  })

/** The token of a page. */
export const tokenOf = (url: string) =>
  Effect.map(get(url), ({ text }) => /name="dashboard-token" content="([^"]+)"/.exec(text)![1]!)

/** A request as the page sends it. `headers` replace those of the page. */
export const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) })
    const text = await response.text()
    return { status: response.status, text, json: text.startsWith("{") ? JSON.parse(text) : undefined }
  })

export const pageHeaders = (token: string): Record<string, string> => ({
  "content-type": "application/json",
  "sec-fetch-site": "same-origin",
  "x-dashboard-token": token
})

interface Message {
  readonly event: string
  readonly data: any
}

/** The messages of the stream, from its beginning, until `isEnough`. */
export const messages = (url: string, isEnough: (messages: ReadonlyArray<Message>) => boolean) =>
  Effect.async<ReadonlyArray<Message>>((resume) => {
    const controller = new AbortController()
    const received: Array<Message> = []
    const read = async () => {
      const response = await fetch(`${url}live`, { signal: controller.signal })
      let text = ""
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk
        const parts = text.split("\n\n")
        text = parts.pop()!
        for (const part of parts) {
          const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(part)!
          received.push({ event: event!, data: JSON.parse(data!) })
        }
        if (isEnough(received)) break
      }
      controller.abort()
      resume(Effect.succeed(received))
    }
    read().catch((error) => resume(Effect.die(error)))
    return Effect.sync(() => controller.abort())
  })

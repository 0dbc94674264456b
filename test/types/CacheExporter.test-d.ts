/**
 * The Layers of the exporters: what they need, and how they fail.
 */
import type { HttpClient } from "@effect/platform"
import { HttpRouter } from "@effect/platform"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import type { Effect, Layer, Scope } from "effect"
import { describe, expectTypeOf, it } from "vitest"
import * as CacheExporter from "../../src/CacheExporter.js"

describe("CacheExporter", () => {
  it("layerPrometheus - needs the router it is mounted in, and nothing on a port", () => {
    expectTypeOf(CacheExporter.layerPrometheus({ port: 1 })).toEqualTypeOf<
      Layer.Layer<never, CacheExporter.ExporterError>
    >()
    expectTypeOf(CacheExporter.layerPrometheus({ router: HttpRouter.Default })).toEqualTypeOf<
      Layer.Layer<never, CacheExporter.ExporterError, HttpRouter.Default>
    >()
    // @ts-expect-error: neither a port nor a router
    CacheExporter.layerPrometheus({ path: "/metrics" })
    // @ts-expect-error: a path begins with a slash
    CacheExporter.layerPrometheus({ port: 1, path: "metrics" })
  })

  it("prometheus - is the handler of a route", () => {
    expectTypeOf(CacheExporter.prometheus()).toEqualTypeOf<
      Effect.Effect<Effect.Effect<HttpServerResponse>, CacheExporter.ExporterError, Scope.Scope>
    >()
  })

  it("layerOtlp - needs an HTTP client", () => {
    expectTypeOf(CacheExporter.layerOtlp({ url: "http://127.0.0.1:4318" })).toEqualTypeOf<
      Layer.Layer<never, never, HttpClient.HttpClient>
    >()
    // @ts-expect-error: the URL is required
    CacheExporter.layerOtlp({})
  })
})

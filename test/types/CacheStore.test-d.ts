import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Layer, type Option, Schema, type Scope, type Stream } from "effect"
import type { Backend, CacheEvent, CacheStoreError, Entry } from "../../src/index.js"
import { Cached, CacheStore, MemoryCache, MemoryCacheLive } from "../../src/index.js"

// @effect-diagnostics floatingEffect:off missingEffectContext:off missingLayerContext:off

class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}
class Tokens extends CacheStore.Tag("Tokens")<Tokens>() {}
class Mail extends Context.Tag("Mail")<Mail, string>() {}

declare const store: CacheStore.Service

describe("CacheStore", () => {
  it("tag - yields the service", () => {
    expectTypeOf(Effect.map(CacheStore, (service) => service)).toEqualTypeOf<
      Effect.Effect<CacheStore.Service, never, CacheStore>
    >()
    const program = Effect.gen(function* () {
      const service = yield* CacheStore
      return yield* service.get<number>("n")
    })
    expectTypeOf(program).toEqualTypeOf<Effect.Effect<Option.Option<number>, never, CacheStore>>()
  })

  describe("verbs", () => {
    it("get, getMany, has - unknown without a type argument; absence is an Option; they do not fail", () => {
      expectTypeOf(store.get("a")).toEqualTypeOf<Effect.Effect<Option.Option<unknown>>>()
      expectTypeOf(store.get<string>("a", { schema: Schema.String })).toEqualTypeOf<
        Effect.Effect<Option.Option<string>>
      >()
      expectTypeOf(store.getMany(["a"])).toEqualTypeOf<Effect.Effect<Array<Option.Option<unknown>>>>()
      expectTypeOf(store.getMany<string>(new Set(["a"]))).toEqualTypeOf<Effect.Effect<Array<Option.Option<string>>>>()
      expectTypeOf(store.has("a")).toEqualTypeOf<Effect.Effect<boolean>>()
      // @ts-expect-error a key is a string
      store.get(1)
    })

    it("entry - a view of the value with its state and times; it does not fail", () => {
      expectTypeOf(store.entry("a")).toEqualTypeOf<Effect.Effect<Option.Option<Entry.View<unknown>>>>()
      expectTypeOf(store.entry<string>("a", { schema: Schema.String })).toEqualTypeOf<
        Effect.Effect<Option.Option<Entry.View<string>>>
      >()
    })

    it("getOrSet - has the value, the errors and the requirements of the lookup, without its Scope", () => {
      const lookup = {} as Effect.Effect<{ readonly id: number }, "gone", Mail | Scope.Scope>
      expectTypeOf(store.getOrSet("a", lookup, { ttl: 1 })).toEqualTypeOf<
        Effect.Effect<{ readonly id: number }, "gone", Mail>
      >()
      expectTypeOf(store.getOrSet("a", Effect.succeed(1))).toEqualTypeOf<Effect.Effect<number>>()
      // callbacks get the value
      store.getOrSet("a", lookup, {
        ttl: (value) => {
          expectTypeOf(value).toEqualTypeOf<{ readonly id: number }>()
          return value.id
        },
        tags: (value) => [`id:${value.id}`],
        stale: "1 minute",
        name: "a",
        flightTimeout: "1 minute"
      })
      // the type of a schema of the lookup's value
      const many = store.getOrSet("a", Effect.succeed([1]), { ttl: 1, schema: Schema.Array(Schema.Number) })
      expectTypeOf(many).toEqualTypeOf<Effect.Effect<ReadonlyArray<number>>>()
      // @ts-expect-error a schema of another value
      store.getOrSet("a", Effect.succeed(1), { ttl: 1, schema: Schema.String })
      // @ts-expect-error a schema that needs a service
      store.getOrSet("a", Effect.succeed(1), { ttl: 1, schema: {} as Schema.Schema<number, number, Mail> })
      // @ts-expect-error the lookup is an effect
      store.getOrSet("a", () => 1, { ttl: 1 })
      // @ts-expect-error 'tll' does not exist
      store.getOrSet("a", Effect.succeed(1), { tll: 1 })
      // @ts-expect-error a ttl is a duration
      store.getOrSet("a", Effect.succeed(1), { ttl: "soon" })
    })

    it("set, setMany - may leave out the ttl, which the store may have, and do not fail", () => {
      expectTypeOf(store.set("a", 1, { ttl: "1 minute" })).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.set("a", undefined, { ttl: 1, stale: 1, tags: ["t"], schema: Schema.Number })).toEqualTypeOf<
        Effect.Effect<void>
      >()
      expectTypeOf(store.setMany(new Map([["a", 1]]), { ttl: 1 })).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.setMany([["a", 1] as const, ["b", "two"]], { ttl: 1 })).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.set("a", 1)).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.set("a", 1, { tags: ["t"] })).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.setMany([["a", 1]])).toEqualTypeOf<Effect.Effect<void>>()
      // @ts-expect-error 'tll' does not exist
      store.set("a", 1, { ttl: 1, tll: 1 })
      // @ts-expect-error a schema that needs a service
      store.set("a", 1, { ttl: 1, schema: {} as Schema.Schema<number, number, Mail> })
    })

    it("setIfAbsent - returns whether it wrote, and is the only one that may fail", () => {
      expectTypeOf(store.setIfAbsent("a", 1, { ttl: 1 })).toEqualTypeOf<Effect.Effect<boolean, CacheStoreError>>()
    })

    it("remove, removeMany, clear, tags.invalidate - do not fail", () => {
      expectTypeOf(store.remove("a")).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.removeMany(new Set(["a"]))).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.clear).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.expireAll).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.tags.invalidate(["t"])).toEqualTypeOf<Effect.Effect<void>>()
      // @ts-expect-error expects a list of names
      store.tags.invalidate(1)
    })

    it("expire, keys - expire does not fail, and keys fails with the store", () => {
      expectTypeOf(store.expire("a")).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.tags.expire(["a"])).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(store.keys).toEqualTypeOf<Stream.Stream<string, CacheStoreError>>()
      // @ts-expect-error a key is a string
      store.expire(1)
    })

    it("stats, events, health - have closed sets of literals", () => {
      expectTypeOf(store.stats).toEqualTypeOf<Effect.Effect<CacheStore.Stats>>()
      expectTypeOf(store.events).toEqualTypeOf<Stream.Stream<CacheEvent.CacheEvent>>()
      expectTypeOf(store.health).toEqualTypeOf<Effect.Effect<CacheStore.Health>>()
      expectTypeOf<CacheStore.Health["status"]>().toEqualTypeOf<"up" | "down">()
      expectTypeOf<keyof CacheStore.Stats["evictions"]>().toEqualTypeOf<
        "explicit" | "replaced" | "expired" | "capacity"
      >()
      expectTypeOf<CacheStore.Stats["caches"][string]>().toEqualTypeOf<CacheStore.Counts | undefined>()
      expectTypeOf<CacheStore.Stats["entries"]>().toEqualTypeOf<Option.Option<number>>()
    })

    it("values - no verb returns `any`", () => {
      expectTypeOf<Effect.Effect.Success<ReturnType<typeof store.get>>>().toEqualTypeOf<Option.Option<unknown>>()
      expectTypeOf<Parameters<typeof store.set>[1]>().toBeUnknown()
    })
  })

  describe("make, makeBytes", () => {
    it("backend - they require a Scope and a backend of matching values", () => {
      const values = {} as Backend.Backend
      const bytes = {} as Backend.Backend<Uint8Array>
      expectTypeOf(CacheStore.make(values)).toEqualTypeOf<Effect.Effect<CacheStore.Service, never, Scope.Scope>>()
      expectTypeOf(CacheStore.makeBytes(bytes, { maxRefreshes: 1, maxValueBytes: 1 })).toEqualTypeOf<
        Effect.Effect<CacheStore.Service, never, Scope.Scope>
      >()
      // @ts-expect-error the backend does not store bytes only
      CacheStore.makeBytes(values)
      // @ts-expect-error a store of values has no serializer
      CacheStore.make(values, { maxValueBytes: 1 })
    })
  })

  describe("Tag", () => {
    it("another store - has the same service and another requirement", () => {
      expectTypeOf(Effect.map(Sessions, (service) => service)).toEqualTypeOf<
        Effect.Effect<CacheStore.Service, never, Sessions>
      >()
      expectTypeOf<Context.Tag.Service<typeof Sessions>>().toEqualTypeOf<CacheStore.Service>()
      expectTypeOf(Sessions.key).toEqualTypeOf<"Sessions">()
    })

    it("another store - differs from the default and from other tags", () => {
      expectTypeOf<Sessions>().not.toExtend<CacheStore>()
      expectTypeOf<CacheStore>().not.toExtend<Sessions>()
      expectTypeOf<Sessions>().not.toExtend<Tokens>()
      expectTypeOf<Sessions>().toExtend<CacheStore.Any>()
      expectTypeOf<CacheStore>().toExtend<CacheStore.Any>()
      expectTypeOf<Mail>().not.toExtend<CacheStore.Any>()
    })

    it("layer - the Layer of the default does not provide it", () => {
      const layer = Layer.scoped(Sessions, MemoryCache.make({ capacity: 10 }))
      expectTypeOf(layer).toEqualTypeOf<Layer.Layer<Sessions>>()
      const one = Cached.ttl(Effect.succeed(1), { key: "one", ttl: 1, store: Sessions })
      expectTypeOf(Effect.provide(one, layer)).toEqualTypeOf<Effect.Effect<number>>()
      expectTypeOf(Effect.provide(one, MemoryCacheLive)).toEqualTypeOf<Effect.Effect<number, never, Sessions>>()
    })
  })

  describe("layers", () => {
    it("layers - provide the store and require nothing", () => {
      expectTypeOf(CacheStore.layerNoop).toEqualTypeOf<Layer.Layer<CacheStore>>()
      expectTypeOf(MemoryCacheLive).toEqualTypeOf<Layer.Layer<CacheStore>>()
      const one = Cached.ttl(Effect.succeed(1), { key: "one", ttl: 1 })
      expectTypeOf(Effect.provide(one, CacheStore.layerNoop)).toEqualTypeOf<Effect.Effect<number>>()
    })
  })
})

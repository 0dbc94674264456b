import { Effect, type Option } from "effect"
import { describe, expectTypeOf, it } from "vitest"
import { Cached, type CacheStore } from "../../src/index.js"

interface Page {
  readonly etag: string
}

declare const page: Page
declare const isOld: boolean

describe("conditional", () => {
  const lookup = Cached.conditional((previous: Option.Option<Page>, url: string, lang?: string) =>
    Effect.succeed(isOld && previous._tag === "Some" && url !== lang ? Cached.notModified : page)
  )

  it("is a lookup of the arguments after the previous value, and of its value without notModified", () => {
    expectTypeOf(lookup).toEqualTypeOf<(url: string, lang?: string) => Effect.Effect<Page>>()
    const get = Cached.ttl(lookup, { key: (url, lang = "") => `${url} ${lang}`, name: "page", ttl: "1 minute" })
    expectTypeOf(get("a")).toEqualTypeOf<Effect.Effect<Page, never, CacheStore>>()
  })

  it("keeps errors and services", () => {
    const failing = Cached.conditional((_: Option.Option<Page>) =>
      isOld ? Effect.fail("down" as const) : Effect.succeed(Cached.notModified)
    )
    expectTypeOf(failing).toEqualTypeOf<() => Effect.Effect<Page, "down">>()
  })

  it("a key that leaves an argument out - does not compile, as for every lookup", () => {
    // @ts-expect-error argument 1 is not part of the key
    Cached.ttl(lookup, { key: "page:{}", ttl: "1 minute" })
  })

  it("another value than the previous one - does not compile", () => {
    // @ts-expect-error a number is no page
    Cached.conditional((_: Option.Option<Page>) => Effect.succeed(isOld ? Cached.notModified : 1))
  })
})

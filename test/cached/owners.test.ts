import * as fs from "node:fs"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { Cached } from "../../src/index.js"
import * as KeyValueCache from "../../src/KeyValueCache.js"

const forever = { ttl: Duration.infinity } as const
const byId = (_: number) => Effect.succeed<unknown>("loaded")
const byTwo = (_: string, __: string) => Effect.succeed<unknown>("loaded")
const byOrder = (_: { readonly userId: string; readonly orderId: number }) => Effect.succeed<unknown>("loaded")
const flags = Effect.succeed<unknown>("loaded")
const userKey = (id: number) => `user-${id}`

/** The functions that wrote `test/golden/owners-v1.json`, each with the value that it stored. */
const functions = {
  "a template": [Cached.ttl(byId, { key: "user:{}", ...forever })(1), { id: 1 }],
  "a template by position": [Cached.ttl(byTwo, { key: "pair:{1}:{0}", ...forever })("a", "b"), ["a", "b"]],
  "a template by property": [
    Cached.ttl(byOrder, { key: "order:{userId}:{orderId}", ...forever })({ userId: "u", orderId: 7 }),
    { userId: "u", orderId: 7 }
  ],
  "a template with a version": [Cached.ttl(byId, { key: "user:{}", version: 2, ...forever })(1), { id: 1 }],
  "a template with a name": [Cached.ttl(byId, { key: "user:{}", name: "users", ...forever })(2), { id: 2 }],
  "a template with a name and a version": [
    Cached.ttl(byId, { key: "user:{}", name: "users", version: "b", ...forever })(2),
    { id: 2 }
  ],
  "a template with a #": [Cached.ttl(byId, { key: "user#{}", version: 1, ...forever })(1), { id: 1 }],
  "a static key": [Cached.ttl(flags, { key: "flags", ...forever }), { dark: true }],
  "a static key with a version": [Cached.ttl(flags, { key: "flags", version: 3, ...forever }), { dark: true }],
  "a static key with a name": [Cached.ttl(flags, { key: "named-flags", name: "flags", ...forever }), { dark: true }],
  "a static key with a name and a version": [
    Cached.ttl(flags, { key: "named-flags", name: "flags", version: 1, ...forever }),
    { dark: true }
  ],
  "a key function": [Cached.ttl(byId, { key: userKey, name: "user", ...forever })(1), { id: 1 }],
  "a key function with a version": [
    Cached.ttl(byId, { key: userKey, name: "user", version: 1, ...forever })(1),
    { id: 1 }
  ]
} as const

/** A store with the entries that the first build wrote. */
const golden = (): KeyValueStore.KeyValueStore => {
  const path = new URL("../golden/owners-v1.json", import.meta.url)
  const all = new Map(Object.entries<string>(JSON.parse(fs.readFileSync(path, "utf8"))))
  const bytes = (key: string) =>
    Effect.sync(() => Option.map(Option.fromNullable(all.get(key)), (hex) => new Uint8Array(Buffer.from(hex, "hex"))))
  return KeyValueStore.make({
    get: (key) =>
      Effect.map(
        bytes(key),
        Option.map((found) => new TextDecoder().decode(found))
      ),
    getUint8Array: bytes,
    set: (key, value) => Effect.sync(() => void all.set(key, Buffer.from(value as Uint8Array).toString("hex"))),
    remove: (key) => Effect.sync(() => void all.delete(key)),
    clear: Effect.sync(() => all.clear()),
    size: Effect.sync(() => all.size)
  })
}

describe("owners", () => {
  for (const [title, [read, stored]] of Object.entries(functions)) {
    it.live(`golden, ${title} - an entry that the first build wrote is still this function's`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* read, stored)
      }).pipe(Effect.provide(KeyValueCache.layerFromClient(golden())))
    )
  }
})

/**
 * `cache.key_hash` in spans: it distinguishes keys, and tells nothing of them to somebody who does not know the secret of
 * the store.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Option, Redacted, type Scope } from "effect"
import { Cached, CacheStore, InvalidOption, Key, MemoryCache } from "effect-cached"
import { minute } from "../laws/support.js"
import { recordingTracer } from "../support/tracer.js"
import { bytesBackend } from "./backends.js"

const secret = Redacted.make("0123456789abcdef")

const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "user:{}", ...minute })

type Open = Effect.Effect<CacheStore.Service, never, Scope.Scope>

/** The hashes of the spans of two loads, and of a verb on the first key again. */
const hashes = (open: Open) =>
  Effect.gen(function* () {
    const { spans, tracer } = recordingTracer()
    const store = yield* open
    const use = Effect.all([find("ada@example.org"), find("bob@example.org"), store.get("user:ada@example.org")])
    yield* use.pipe(Effect.provideService(CacheStore, store), Effect.withTracer(tracer))
    const hashesOf = (isRead: boolean) =>
      spans.flatMap(({ attributes, name }) => {
        const hash = attributes.get("cache.key_hash")
        // the read of a remote store by a function, which has the name of the function
        const isOne = name === "CacheStore.get" && attributes.get("cache.name") === "user:{}"
        return typeof hash === "string" && isOne === isRead ? [hash] : []
      })
    const [loadsAndVerb, reads] = [hashesOf(false), hashesOf(true)]
    assert.deepStrictEqual(reads, loadsAndVerb.slice(0, reads.length))
    return loadsAndVerb
  })

const memory = (keyHashSecret?: Redacted.Redacted): Open => MemoryCache.make({ keyHashSecret })
const remote = (keyHashSecret?: Redacted.Redacted): Open => CacheStore.makeBytes(bytesBackend(), { keyHashSecret })

describe("cache.key_hash", () => {
  it.scoped("is eight characters that differ between keys, and is the same for a load and a verb", () =>
    Effect.gen(function* () {
      const [ada, bob, verb, ...others] = yield* hashes(remote())
      assert.match(ada!, /^[\w-]{8}$/)
      assert.notStrictEqual(ada, bob)
      assert.strictEqual(verb, ada)
      assert.deepStrictEqual(others, [])
    })
  )

  it.scoped("without a secret - differs between stores, so nobody can compute it from a guessed key", () =>
    Effect.gen(function* () {
      const [first] = yield* hashes(memory())
      const [second] = yield* hashes(memory())
      assert.notStrictEqual(first, second)
      assert.notInclude([first, second], Key.hash("user:ada@example.org").slice(0, 8))
    })
  )

  it.scoped("with a secret - is the same in every store that has it, and another with another secret", () =>
    Effect.gen(function* () {
      const [ada, bob] = yield* hashes(memory(secret))
      assert.deepStrictEqual(yield* hashes(remote(secret)), [ada!, bob!, ada!])
      assert.notStrictEqual((yield* hashes(memory(Redacted.make("fedcba9876543210"))))[0], ada)
    })
  )

  for (const [what, wrong] of [
    ["a short secret", Redacted.make("0123456789abcde")],
    ["a secret that is not Redacted", "0123456789abcdef" as never],
    ["a secret that is no text", Redacted.make(1) as never]
  ] as const) {
    it.scoped(`${what} - is InvalidOption, which does not repeat it`, () =>
      Effect.gen(function* () {
        const cause = yield* Effect.flip(Effect.sandbox(memory(wrong)))
        const error = Option.getOrThrow(Cause.dieOption(cause))
        assert.instanceOf(error, InvalidOption)
        assert.strictEqual(
          (error as InvalidOption).message,
          '"memory": keyHashSecret: is not a Redacted text of at least 16 characters'
        )
      })
    )
  }
})

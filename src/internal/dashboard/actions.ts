/**
 * What the page can ask for: the entry of a key, and an invalidation.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { CacheStore } from "../../CacheStore.js"
import { Definition, decodeLifetimes } from "../engine/definition.js"
import { type Engine, EngineId } from "../engine/engine.js"
import { ownerMark } from "../markNames.js"
import { type Disclosure, shownKey } from "./shownEvents.js"

/** The longest key, tag or name that is accepted. */
const maxText = 4_096

/** The longest value that is shown. */
const maxValue = 20_000

const Text = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(maxText))

/** What is looked up. */
export const LookUp = Schema.Struct({ key: Text })

/** What is invalidated. */
export const Invalidation = Schema.Struct({ kind: Schema.Literal("key", "tag", "function"), name: Text })

/** A time for JSON, which has no infinity. */
const timeOf = (time: number): number | "never" => (Number.isFinite(time) ? time : "never")

const valueOf = (value: unknown): string => {
  const text = Inspectable.toStringUnknown(value, 2)
  return text.length <= maxValue ? text : `${text.slice(0, maxValue)}…`
}

/** A reader who uses the entries of every function, as the store itself does. It never loads. */
const anyone = /*#__PURE__*/ (() =>
  new Definition(
    {
      ...decodeLifetimes({ ttl: 1 }, "Dashboard"),
      name: "Dashboard",
      owner: "",
      isNamed: true,
      lookup: Effect.never,
      tags: undefined,
      schema: undefined,
      strict: false,
      lease: 0,
      policy: undefined
    },
    undefined
  ))()

/** What the next read of a key would do. A tag may contain data, as a key may. */
const explain = (store: CacheStore.Service, key: string, disclosure: Disclosure) =>
  Effect.withFiberRuntime<object>((fiber) =>
    Effect.map(
      (store[EngineId] as Engine).explainer.explain(fiber, anyone, key, []),
      ({ cacheStatus, load, outcome, reason, tag, tier }) => ({
        cacheStatus,
        load,
        outcome,
        reason,
        tag: tag === undefined ? undefined : shownKey(tag, disclosure),
        tier
      })
    )
  )

/** What is stored under a key, and what its next read would do. It neither loads, nor counts as a read. */
export const lookUp = (store: CacheStore.Service, key: string, disclosure: Disclosure) =>
  Effect.gen(function* () {
    const explanation = yield* explain(store, key, disclosure)
    const found = yield* store.entry(key)
    const now = yield* Clock.currentTimeMillis
    const common = { now, hash: disclosure.keyHash(key), explanation }
    if (Option.isNone(found)) return { ...common, state: "absent" as const }
    const { createdAt, expiresAt, freshUntil, staleUntil, state, value } = found.value
    return {
      ...common,
      state,
      createdAt: timeOf(createdAt),
      freshUntil: timeOf(freshUntil),
      staleUntil: timeOf(staleUntil),
      expiresAt: timeOf(expiresAt),
      ...(disclosure.values ? { value: valueOf(value) } : undefined)
    }
  })

/** Invalidates a key, everything with a tag, or everything of a function. `false` if there is no such function. */
export const invalidate = (
  store: CacheStore.Service,
  { kind, name }: typeof Invalidation.Type
): Effect.Effect<boolean> => {
  if (kind === "key") return Effect.as(store.remove(name), true)
  if (kind === "tag") return Effect.as(store.tags.invalidate([name]), true)
  return Effect.flatMap(store.stats, ({ caches }) =>
    Object.hasOwn(caches, name)
      ? Effect.as(Effect.ignore((store[EngineId] as Engine).writePath.raise([ownerMark(name)])), true)
      : Effect.succeed(false)
  )
}

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
import { maxOwners } from "../engine/telemetry.js"
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

/** A reader of the entries of every function, as the store itself is. It never loads. */
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

/**
 * What the next read of a key would do. While a load of the key runs, it is a read by the function that loads: no other
 * one joins the load. A tag may contain data, as a key may.
 */
const explain = (store: CacheStore.Service, key: string, disclosure: Disclosure) =>
  Effect.withFiberRuntime<object>((fiber) => {
    const { explainer, singleFlight } = store[EngineId] as Engine
    const flight = singleFlight.flights.get(key)
    return Effect.map(
      explainer.explain(fiber, flight?.def ?? anyone, key, flight?.request.args ?? []),
      ({ cacheStatus, load, outcome, reason, tag, tier }) => ({
        cacheStatus,
        load,
        outcome,
        reason,
        tag: tag === undefined ? undefined : shownKey(tag, disclosure),
        tier
      })
    )
  })

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

/** Why a name is not that of a function whose entries could be invalidated. */
const unknown = (name: string, isCounted: boolean): string =>
  !isCounted
    ? `No function of the name ${name} has used this store in this process, or it came after ${maxOwners} others. ` +
      "Invalidate a key or a tag, or call the clear of the function."
    : name === "other"
      ? "There is no function of this name: these are the numbers of all functions that have no row. Give the name of one."
      : `${name} is not a function: values were loaded through the store under this name. Invalidate a key or a tag.`

/**
 * Invalidates a key, everything with a tag, or everything of a function, in each of its versions. Returns why it could
 * not, if it could not.
 */
export const invalidate = (
  store: CacheStore.Service,
  { kind, name }: typeof Invalidation.Type
): Effect.Effect<string | undefined> => {
  if (kind === "key") return Effect.as(store.remove(name), undefined)
  if (kind === "tag") return Effect.as(store.tags.invalidate([name]), undefined)
  const { telemetry, writePath } = store[EngineId] as Engine
  return Effect.suspend(() => {
    const owners = telemetry.ownersOf(name)
    return owners.length === 0
      ? Effect.succeed(unknown(name, telemetry.byName.has(name)))
      : Effect.as(Effect.ignore(writePath.raise(owners.map(ownerMark))), undefined)
  })
}

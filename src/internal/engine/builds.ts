/**
 * How often this process builds a store. A Layer that is provided per request builds an empty store for each request,
 * which then never hits: that looks like a cache, and is none.
 */
import type * as Clock from "effect/Clock"
import { globalValue } from "effect/GlobalValue"

/** How many builds of one name in a minute are not too many. */
const maxBuilds = 10

const minute = 60_000

/** The most names that are counted, so that names that contain data of a request do not pile up. */
const maxNames = 256

/**
 * The times of the latest builds by the store's name. Each clock has its own, because times of different clocks cannot
 * be compared: every program under `TestClock` begins anew. Shared by all copies of this module, and mutable by design.
 */
const builds = /*#__PURE__*/ globalValue("effect-cached/builds", () => ({
  byClock: new WeakMap<Clock.Clock, Map<string, ReadonlyArray<number>>>(),
  warned: new Set<string>()
}))

export interface Builds {
  /** Whether the store was built too often within the last minute. */
  readonly isTooOften: boolean
  /** Whether this is the first time in this process that it was. */
  readonly isFirst: boolean
}

/** Counts a build of the store with this name. */
export const countBuild = (name: string, clock: Clock.Clock): Builds => {
  let byName = builds.byClock.get(clock)
  if (byName === undefined) {
    byName = new Map()
    builds.byClock.set(clock, byName)
  }
  const now = clock.unsafeCurrentTimeMillis()
  const latest = [...(byName.get(name) ?? []).filter((time) => now - time < minute), now].slice(-maxBuilds - 1)
  if (byName.has(name) || byName.size < maxNames) byName.set(name, latest)
  const isTooOften = latest.length > maxBuilds
  const isFirst = isTooOften && !builds.warned.has(name) && builds.warned.size < maxNames
  if (isFirst) builds.warned.add(name)
  return { isTooOften, isFirst }
}

/**
 * The setup of each test file. Files of one worker share their modules, so what these keep would reach the files that run
 * later:
 *
 * - `layer` of @effect/vitest assigns its own `effect` and `scoped` to `it`.
 * - A store that is built more than ten times within a minute is a problem in `health`: see `builds.ts`. Many tests build
 *   stores of one name, and how many run within a minute depends on the machine.
 */
import { beforeEach, effect, it, scoped } from "@effect/vitest"
import { globalValue } from "effect/GlobalValue"

Object.assign(it, { effect, scoped })

const builds = globalValue("effect-cached/builds", () => ({ byClock: new WeakMap(), warned: new Set<string>() }))

beforeEach(() => {
  builds.byClock = new WeakMap()
})

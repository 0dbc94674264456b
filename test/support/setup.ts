/**
 * The setup of each test file. Files of one worker share their modules, and `layer` of @effect/vitest assigns its own
 * `effect` and `scoped` to `it`. Without this file they would stay there for the files that run later.
 */
import { effect, it, scoped } from "@effect/vitest"

Object.assign(it, { effect, scoped })

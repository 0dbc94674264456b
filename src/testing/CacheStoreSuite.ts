/**
 * The laws of this library as a suite that any store can be held to: what a medium can break is tried, case by case, each
 * on a medium of its own.
 *
 * It brings no test framework: `run` takes `describe` and `it` of the one you have (vitest, node:test, jest, mocha), and
 * `cases` gives the cases as effects.
 *
 * ```ts
 * import { describe, it } from "@effect/vitest"
 * import { Effect } from "effect"
 * import { MemoryCache } from "effect-cached"
 * import { CacheStoreSuite } from "effect-cached/testing"
 *
 * CacheStoreSuite.run(
 *   "MemoryCache",
 *   { medium: Effect.succeed({ backend: MemoryCache.backend() }), without: { shared: "it ends with its process" } },
 *   { describe, it }
 * )
 * ```
 *
 * - Lives follow a clock of the case, which it turns; the medium runs on the real one. A case takes milliseconds of its own,
 *   and some wait up to a second for what the store delivers later.
 * - What one process does another need not see at once: it has `within`.
 * - Law 6 is tried with `ChaosCache` around the medium.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type * as Scope from "effect/Scope"
import * as TestContext from "effect/TestContext"
import { InvalidOption } from "../CacheError.js"
import { toMillis } from "../internal/time.js"
import { type Ability, type Law, LawBroken, live, type Medium, placeOf } from "./suite/bench.js"
import { faults } from "./suite/faults.js"
import { garbage } from "./suite/garbage.js"
import { keys } from "./suite/keys.js"
import { lives } from "./suite/lives.js"
import { loads } from "./suite/loads.js"
import { marks } from "./suite/marks.js"
import { processes } from "./suite/processes.js"
import { values } from "./suite/values.js"
import { verbs } from "./suite/verbs.js"

export {
  /**
   * @category models
   * @since 0.1.0
   */
  type Ability,
  /**
   * @category errors
   * @since 0.1.0
   */
  LawBroken,
  /**
   * @category models
   * @since 0.1.0
   */
  type Medium
} from "./suite/bench.js"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** run once for each case: a medium with nothing in it, gone when its Scope closes */
  readonly medium: Effect.Effect<Medium, unknown, Scope.Scope>
  /** the longest until one process sees what another does, default 2 seconds; the suite goes on as soon as it does */
  readonly within?: Duration.DurationInput | undefined
  /** the longest a case may take, default 20 seconds */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * what the medium cannot do, each with the reason: cases that need it are left out, by name. No reason is the defect
   * `InvalidOption`
   */
  readonly without?: { readonly [A in Ability]?: string | undefined } | undefined
}

/**
 * One case: `effect` fails when the law does not hold.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case {
  readonly law: string
  readonly name: string
  /** why it does not apply, where it does not: `effect` then does nothing */
  readonly leftOut: string | undefined
  readonly effect: Effect.Effect<void, LawBroken>
}

/**
 * What `run` needs of a test framework: `describe` and `it` of vitest, node:test, jest or mocha.
 *
 * @category models
 * @since 0.1.0
 */
export interface Framework {
  readonly describe: (name: string, body: () => void) => unknown
  readonly it: (name: string, body: () => Promise<void>, timeout?: number) => unknown
}

const laws: ReadonlyArray<Law> = [
  ...lives,
  ...values,
  ...keys,
  ...verbs,
  ...loads,
  ...marks,
  ...processes,
  ...garbage,
  ...faults
]

/** what the framework allows beyond what a case does */
const margin = 10_000

const proof = ({ isQuiet, name, prove }: Law, options: Options): Effect.Effect<void, LawBroken> => {
  const timeout = toMillis(options.timeout ?? "20 seconds")
  const within = toMillis(options.within ?? "2 seconds")
  return Effect.orDie(live(options.medium)).pipe(
    Effect.flatMap((medium) => prove(placeOf(medium, within))),
    Effect.scoped,
    Effect.provide(TestContext.TestContext),
    Logger.withMinimumLogLevel(isQuiet ? LogLevel.Fatal : LogLevel.Warning),
    Effect.timeoutFail({
      duration: timeout,
      onTimeout: () => new LawBroken({ message: `${name}: it did not end within ${timeout} ms` })
    }),
    live
  )
}

/**
 * The cases, those that are left out included, in groups of one law.
 *
 * @category constructors
 * @since 0.1.0
 */
export const cases = (options: Options): ReadonlyArray<Case> => {
  const without = options.without ?? {}
  for (const [ability, reason] of Object.entries(without)) {
    if (reason !== undefined && reason.trim() === "") {
      throw new InvalidOption({ option: `without.${ability}`, detail: "must say why" })
    }
  }
  return laws.map((each): Case => {
    const leftOut = each.needs.map((ability) => without[ability]).find((reason) => reason !== undefined)
    return {
      law: each.law,
      name: each.name,
      leftOut,
      effect: leftOut === undefined ? proof(each, options) : Effect.void
    }
  })
}

/**
 * Every case as a test. One that is left out is a test, too, whose name says why.
 *
 * @category testing
 * @since 0.1.0
 */
export const run = (name: string, options: Options, { describe, it }: Framework): void => {
  const all = cases(options)
  const limit = toMillis(options.timeout ?? "20 seconds") + margin
  describe(name, () => {
    for (const law of new Set(all.map((each) => each.law))) {
      describe(law, () => {
        for (const { effect, leftOut, name } of all.filter((each) => each.law === law)) {
          it(leftOut === undefined ? name : `${name} (left out: ${leftOut})`, () => Effect.runPromise(effect), limit)
        }
      })
    }
  })
}

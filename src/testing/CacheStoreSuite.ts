/**
 * A conformance suite: the laws of this library as test cases for the backend of any store. Each case runs on a new
 * backend.
 *
 * The suite includes no test framework. `run` takes the `describe` and `it` of yours (vitest, node:test, jest or
 * mocha), and `cases` returns the cases as effects.
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
 * - Lifetimes follow a test clock that the case adjusts, while the backend runs on the real clock. A case takes
 *   milliseconds; some cases wait up to a second for a delayed delivery.
 * - A process may see the changes of another one later, after `within` at most.
 * - Law 6 (the store may fail, the caller may not) is tested with `ChaosCache` around the backend.
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
import { decodeMillis } from "../internal/options.js"
import { faults } from "./suite/faults.js"
import { garbage } from "./suite/garbage.js"
import { type Ability, LawBroken, type LawCase, live, type Medium, setupOf } from "./suite/harness.js"
import { keys } from "./suite/keys.js"
import { lifetimes } from "./suite/lifetimes.js"
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
} from "./suite/harness.js"

/**
 * The options of the suite.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Makes the backend of a case. It runs once per case, and returns an empty backend that lasts until its Scope closes.
   */
  readonly medium: Effect.Effect<Medium, unknown, Scope.Scope>
  /**
   * The longest time until one process sees what another does. Default: 2 seconds. A case continues as soon as it sees
   * the change.
   */
  readonly within?: Duration.DurationInput | undefined
  /** The timeout of a case. Default: 20 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * The abilities that the backend lacks, each with the reason. Cases that need one of them are left out, and their
   * titles give the reason. An empty reason is the defect `InvalidOption`.
   */
  readonly without?: { readonly [A in Ability]?: string | undefined } | undefined
}

/**
 * A case of the suite. `effect` fails with `LawBroken` if the store does not keep the law.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case {
  readonly law: string
  readonly name: string
  /** The reason why the case is left out, if it is. `effect` then does nothing. */
  readonly leftOut: string | undefined
  readonly effect: Effect.Effect<void, LawBroken>
}

/**
 * The part of a test framework that `run` needs: `describe` and `it` of vitest, node:test, jest or mocha.
 *
 * @category models
 * @since 0.1.0
 */
export interface Framework {
  readonly describe: (name: string, body: () => void) => unknown
  readonly it: (name: string, body: () => Promise<void>, timeout?: number) => unknown
}

const laws: ReadonlyArray<LawCase> = [
  ...lifetimes,
  ...values,
  ...keys,
  ...verbs,
  ...loads,
  ...marks,
  ...processes,
  ...garbage,
  ...faults
]

/** How much longer the framework waits than the timeout of a case, in milliseconds. */
const margin = 10_000

const proof = ({ isQuiet, name, prove }: LawCase, options: Options): Effect.Effect<void, LawBroken> => {
  const timeout = decodeMillis("timeout", options.timeout ?? "20 seconds")
  const within = decodeMillis("within", options.within ?? "2 seconds")
  return Effect.orDie(live(options.medium)).pipe(
    Effect.flatMap((medium) => prove(setupOf(medium, within))),
    Effect.scoped,
    Effect.provide(TestContext.TestContext),
    Logger.withMinimumLogLevel(isQuiet ? LogLevel.Fatal : LogLevel.Warning),
    Effect.timeoutFail({
      duration: timeout,
      onTimeout: () => new LawBroken({ message: `${name}: the case did not end within ${timeout} ms` })
    }),
    live
  )
}

/**
 * All cases, grouped by law, including those that are left out.
 *
 * @category constructors
 * @since 0.1.0
 */
export const cases = (options: Options): ReadonlyArray<Case> => {
  const without = options.without ?? {}
  for (const [ability, reason] of Object.entries(without)) {
    if (reason !== undefined && reason.trim() === "") {
      throw new InvalidOption({
        option: `without.${ability}`,
        detail: "must give the reason why the cases are left out"
      })
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
 * Registers every case as a test. A case that is left out is a test as well, and its title gives the reason.
 *
 * @category testing
 * @since 0.1.0
 */
export const run = (name: string, options: Options, { describe, it }: Framework): void => {
  const all = cases(options)
  const limit = decodeMillis("timeout", options.timeout ?? "20 seconds") + margin
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

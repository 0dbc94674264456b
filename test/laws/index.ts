/**
 * The laws as groups of tests that a store runs, so that one test file of a store registers one or several groups and
 * vitest can run the files in parallel. A law whose tests are here is in the file of its number. The laws that concern
 * one kind of store only are tested beside that store: `docs/laws.md` names the file.
 */
import { describe } from "@effect/vitest"
import { freshness } from "./01-freshness.js"
import { zeroAndInfinity } from "./02-zero-and-infinity.js"
import { oneLoadPerKey } from "./03-one-load-per-key.js"
import { loadBelongsToNobody } from "./04-a-load-belongs-to-nobody.js"
import { failuresAreShared } from "./05-failures-are-shared.js"
import { throwingCallbacks } from "./05-throwing-callbacks.js"
import { valuesComeBackEqual } from "./07-values-come-back-equal.js"
import { detachedLoads } from "./08-detached-loads.js"
import { invalidationWins } from "./08-invalidation-wins.js"
import { staleWhileAllowed } from "./09-stale-while-allowed.js"
import { answeredWhenLoaded } from "./10-answered-when-loaded.js"
import { scopeEndsEverything } from "./11-the-scope-ends-everything.js"
import { reentryIsCaught } from "./13-re-entry-is-caught.js"
import { noScans } from "./16-no-scans.js"
import { bounded } from "./17-bounded.js"
import { boundedRefreshes } from "./17-bounded-refreshes.js"
import { combinators } from "./combinators.js"
import { keys } from "./keys.js"
import type { StoreUnderTest } from "./support.js"

const group =
  (...laws: ReadonlyArray<(store: StoreUnderTest) => void>) =>
  (store: StoreUnderTest): void => {
    describe(store.name, () => {
      for (const law of laws) law(store)
    })
  }

/** How long an entry lives, and what is served meanwhile. */
export const lifetimeLaws = group(freshness, zeroAndInfinity, staleWhileAllowed)

/** What is stored, under which key, and what may overwrite it. */
export const valueLaws = group(throwingCallbacks, valuesComeBackEqual, invalidationWins, keys, combinators)

/** What `clear` and tags concern, and which limits there are. */
export const boundLaws = group(noScans, bounded)

/** All laws that every store keeps whatever its backend. */
export const storeLaws = (store: StoreUnderTest): void => {
  lifetimeLaws(store)
  valueLaws(store)
  boundLaws(store)
}

/**
 * Who loads, who waits, and what a load may write. These tests depend on the engine rather than on the backend, so they
 * run on a store in memory, on a remote store, and on both in tiers.
 */
export const loadLaws = group(
  oneLoadPerKey,
  loadBelongsToNobody,
  failuresAreShared,
  detachedLoads,
  answeredWhenLoaded,
  scopeEndsEverything,
  reentryIsCaught,
  boundedRefreshes
)

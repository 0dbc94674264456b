/**
 * The tests of the laws, in groups that a store registers. A store may register its groups in several test files, which
 * vitest runs in parallel. The tests of a law are in the file with its number; a law that concerns one kind of store only is
 * tested beside that store (`docs/laws.md` names the file).
 */
import { describe } from "@effect/vitest"
import { freshness } from "./01-freshness.js"
import { zeroAndInfinity } from "./02-zero-and-infinity.js"
import { oneLoadPerKey } from "./03-one-load-per-key.js"
import { loadBelongsToNobody } from "./04-a-load-belongs-to-nobody.js"
import { failuresAreShared } from "./05-failures-are-shared.js"
import { storedFailures } from "./05-stored-failures.js"
import { throwingCallbacks } from "./05-throwing-callbacks.js"
import { valuesComeBackEqual } from "./07-values-come-back-equal.js"
import { detachedLoads } from "./08-detached-loads.js"
import { invalidationWins } from "./08-invalidation-wins.js"
import { retained } from "./09-retained.js"
import { staleWhileAllowed } from "./09-stale-while-allowed.js"
import { answeredWhenLoaded } from "./10-answered-when-loaded.js"
import { scopeEndsEverything } from "./11-the-scope-ends-everything.js"
import { reentryIsCaught } from "./13-re-entry-is-caught.js"
import { noScans } from "./16-no-scans.js"
import { sweeping } from "./16-sweep.js"
import { bounded } from "./17-bounded.js"
import { boundedRefreshes } from "./17-bounded-refreshes.js"
import { combinators } from "./combinators.js"
import { expiring } from "./expire.js"
import { explaining } from "./explain.js"
import { keys } from "./keys.js"
import { storeVerbs } from "./storeVerbs.js"
import type { StoreUnderTest } from "./support.js"

const group =
  (...laws: ReadonlyArray<(store: StoreUnderTest) => void>) =>
  (store: StoreUnderTest): void => {
    describe(store.name, () => {
      for (const law of laws) law(store)
    })
  }

/** Lifetimes of entries, and stale reads. */
export const lifetimeLaws = group(freshness, zeroAndInfinity, staleWhileAllowed, retained, expiring, storedFailures)

/** Values, keys, and the order of writes. */
export const valueLaws = group(
  throwingCallbacks,
  valuesComeBackEqual,
  invalidationWins,
  keys,
  combinators,
  explaining,
  storeVerbs
)

/** The reach of `clear` and tags, and limits. */
export const boundLaws = group(noScans, sweeping, bounded)

/** What a sweep frees. */
export const sweepLaws = group(sweeping)

/** All laws that depend on the backend of a store. */
export const storeLaws = (store: StoreUnderTest): void => {
  lifetimeLaws(store)
  valueLaws(store)
  boundLaws(store)
}

/**
 * Loads and their waiters. These tests depend on the engine rather than on the backend, so they run on a store in memory,
 * on a remote store, and on both in tiers.
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

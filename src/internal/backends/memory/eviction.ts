/** Chooses the eviction policy of a store. */
import { Adaptive } from "./adaptive.js"
import { Lru } from "./lru.js"
import type { Options, Policy } from "./policy.js"
import type { Records } from "./record.js"
import { Unbounded } from "./unbounded.js"

/** `adaptive` learns which entries are worth keeping, `lru` is strict. */
export type Eviction = "adaptive" | "lru"

/** Makes the policy of a store with these records. With a capacity of `Infinity` nothing leaves, whatever is chosen. */
export const make = (records: Records, eviction: Eviction, options: Options): Policy =>
  options.capacity === Number.POSITIVE_INFINITY
    ? new Unbounded(records, options)
    : eviction === "lru"
      ? new Lru(records, options)
      : new Adaptive(records, options)

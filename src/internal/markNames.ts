/**
 * The names of invalidation marks. A mark has a name and a stamp, and invalidates everything that carries the name and
 * began before the stamp. Every backend stores marks under these names, so processes of different releases understand
 * each other.
 */

/** The mark that `CacheStore.clear` raises. It applies to every entry. */
export const everything = "*"

/** The mark that invalidates every entry of one function. */
export const ownerMark = (owner: string): string => `f:${owner}`

/** The mark that invalidates every entry with one tag. */
export const tagMark = (tag: string): string => `t:${tag}`

export const isTagMark = (name: string): boolean => name.startsWith("t:")

/**
 * How many marks a store keeps apart. Beyond it, the oldest are merged into the floor, and older entries become misses.
 */
export const maxMarks = 10_000

/**
 * The detection of loads that wait for themselves (law 13: re-entry is caught).
 *
 * A load that joins another one waits for it. When the other one waits for the first in turn, directly or through
 * further loads, neither would ever end. The chain between them becomes a `ReentrantLoad`.
 */

import { ReentrantLoad } from "../../../CacheError.js"

/** A load as this search sees it. Loads that are done wait for nothing. */
export interface Waiting {
  readonly key: string
  /** Whose load it is. */
  readonly def: { readonly name: string }
  /** The store that it belongs to: a chain may cross stores, where equal keys are different loads. */
  readonly store: object
  readonly isDone: boolean
  /** The load whose lookup started this one. */
  readonly parent: Waiting | undefined
  /** The loads that its lookup has joined. */
  readonly targets: Iterable<Waiting>
}

/**
 * The chain from `start` to `goal` along what unfinished loads wait for, both ends included, or `undefined` if `start`
 * does not wait for `goal`. It is iterative because a chain may be longer than the stack.
 */
export const chainBetween = (start: Waiting, goal: Waiting): ReadonlyArray<Waiting> | undefined => {
  const cameFrom = new Map<Waiting, Waiting | undefined>([[start, undefined]])
  const open = [start]
  while (open.length > 0) {
    const at = open.pop()!
    if (at === goal) {
      const chain: Array<Waiting> = []
      for (let step: Waiting | undefined = at; step !== undefined; step = cameFrom.get(step)) chain.push(step)
      return chain.reverse()
    }
    for (const next of at.targets) {
      if (!next.isDone && !cameFrom.has(next)) {
        cameFrom.set(next, at)
        open.push(next)
      }
    }
  }
  return undefined
}

/**
 * The loads from one of `key` down to `from`, which begins a new load of the same key; `undefined` if `from` does not
 * run within a load of it. A forced load joins nothing, so no chain of waits would show that it forces itself.
 */
export const chainFromAncestor = (
  from: Waiting | undefined,
  store: object,
  key: string
): ReadonlyArray<Waiting> | undefined => {
  const chain: Array<Waiting> = []
  for (let load = from; load !== undefined && !load.isDone; load = load.parent) {
    chain.unshift(load)
    if (load.key === key && load.store === store) return chain
  }
  return undefined
}

/** The error of loads that wait for each other, of which the last waits for the first. */
export const reentrantLoad = (loads: ReadonlyArray<Waiting>): ReentrantLoad => {
  const chain = [...loads, ...loads.slice(0, 1)]
  return new ReentrantLoad({ chain: chain.map(({ key }) => key), of: chain.map(({ def }) => def.name) })
}

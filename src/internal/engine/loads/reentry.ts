/**
 * The detection of loads that wait for themselves (law 13: re-entry is caught).
 *
 * A load that joins another one waits for it. When the other one waits for the first in turn, directly or through
 * further loads, neither would ever end. The chain between them becomes the message of a `ReentrantLoad`.
 */

/** A load as this search sees it. Loads that are done wait for nothing. */
export interface Waiting {
  readonly key: string
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
 * The keys from a load of `key` down to a new load of the same key, if `from` runs within such a load; otherwise
 * `undefined`. A forced load joins nothing, so no chain of waits would show that it forces itself.
 */
export const chainFromAncestor = (
  from: Waiting | undefined,
  store: object,
  key: string
): ReadonlyArray<string> | undefined => {
  const chain = [key]
  for (let load = from; load !== undefined && !load.isDone; load = load.parent) {
    chain.unshift(load.key)
    if (load.key === key && load.store === store) return chain
  }
  return undefined
}

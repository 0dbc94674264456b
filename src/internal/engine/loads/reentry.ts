/**
 * The detection of loads that wait for themselves (law 13: re-entry is caught).
 *
 * A load that joins another one waits for it. When the other one waits for the first in turn, directly or through
 * further loads, neither would ever end. The chain between them becomes a `ReentrantLoad`.
 */

import { ReentrantLoad } from "../../../CacheError.js"

/** A load, or a batch of loads, as this search sees it. What is done waits for nothing. */
export interface Waiting {
  /** The key of a load. A batch has none. */
  readonly key: string | undefined
  /** Whose load it is. */
  readonly def: { readonly name: string }
  /** The store that it belongs to: a chain may cross stores, where equal keys are different loads. */
  readonly store: object
  readonly isDone: boolean
  /** The load or batch whose lookup started this one. For a batch, its loads. */
  readonly parents: Iterable<Waiting>
  /** The loads that its lookup has joined. For a load of a batch, the batch. */
  readonly targets: Iterable<Waiting>
  /** Notes that a fiber of its lookup waits for another load. */
  readonly link: (to: Waiting) => void
  /** Notes that the fiber waits no more. */
  readonly unlink: (to: Waiting) => void
}

/** What a load waits for, each with the number of fibers that do. */
export class Waits {
  private readonly counts = new Map<Waiting, number>()

  add(to: Waiting): void {
    this.counts.set(to, (this.counts.get(to) ?? 0) + 1)
  }

  delete(to: Waiting): void {
    const count = this.counts.get(to)
    if (count === undefined) return
    if (count > 1) this.counts.set(to, count - 1)
    else this.counts.delete(to)
  }

  get targets(): Iterable<Waiting> {
    return this.counts.keys()
  }
}

/** The end of a way through loads: `at`, and what it was reached from, in order. */
const wayTo = (at: Waiting, cameFrom: ReadonlyMap<Waiting, Waiting | undefined>): Array<Waiting> => {
  const way: Array<Waiting> = []
  for (let step: Waiting | undefined = at; step !== undefined; step = cameFrom.get(step)) way.push(step)
  return way
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
    if (at === goal) return wayTo(at, cameFrom).reverse()
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
  if (from === undefined || from.isDone) return undefined
  const cameFrom = new Map<Waiting, Waiting | undefined>([[from, undefined]])
  const open = [from]
  while (open.length > 0) {
    const at = open.pop()!
    if (at.key === key && at.store === store) return wayTo(at, cameFrom)
    for (const next of at.parents) {
      if (!next.isDone && !cameFrom.has(next)) {
        cameFrom.set(next, at)
        open.push(next)
      }
    }
  }
  return undefined
}

/** The error of loads that wait for each other, of which the last waits for the first. Batches are left out. */
export const reentrantLoad = (waiting: ReadonlyArray<Waiting>): ReentrantLoad => {
  const loads = waiting.flatMap(({ def, key }) => (key === undefined ? [] : [{ key, name: def.name }]))
  const chain = [...loads, ...loads.slice(0, 1)]
  return new ReentrantLoad({ chain: chain.map(({ key }) => key), of: chain.map(({ name }) => name) })
}

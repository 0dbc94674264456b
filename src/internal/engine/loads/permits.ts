/**
 * The permits of functions with a `concurrency`: how many loads of such a function run at once. Further ones wait in the
 * order in which they came.
 *
 * Only outermost loads take a permit. A load that another one waits for takes none, or leaves the queue and begins at
 * once: the one that waits may hold the last permit.
 *
 * Permits belong to the owner of entries and not to the definition of a function, because a policy that is applied at
 * every call makes a new definition each time.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Definition } from "../definition.js"
import { type AwaitedPermit, currentFlight } from "./flight.js"
import type { Waiting } from "./reentry.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** A function, as far as its permits are concerned. */
export interface Limited {
  readonly owner: string
  /** How many outermost loads run at once. `Infinity` if there is no limit. */
  readonly concurrency: number
}

/** Whether a fiber runs within a load. */
export const isInLoad = (fiber: AnyFiber): boolean => {
  const current = fiber.getFiberRef(currentFlight)
  return current !== undefined && !current.isDone
}

export class Permit implements AwaitedPermit {
  hasBegun = false
  private state: "queued" | "held" | "none" = "queued"
  private onTurn: (() => void) | undefined = undefined
  private readonly queue: Queue
  readonly most: number

  constructor(queue: Queue, most: number) {
    this.queue = queue
    this.most = most
  }

  get isQueued(): boolean {
    return this.state === "queued"
  }

  /** Calls `onTurn` once, when the permit is given or is no longer needed. At most one call waits. */
  wait(onTurn: () => void): void {
    if (this.isQueued) this.onTurn = onTurn
    else onTurn()
  }

  /** Waits until the lookup may begin. */
  get turn(): Effect.Effect<void> {
    return Effect.async((resume) => this.wait(() => resume(Effect.void)))
  }

  /** Takes the permit out of the queue. The queue has counted it. */
  give(): void {
    this.state = "held"
    this.onTurn?.()
  }

  skip(): void {
    if (!this.isQueued) return
    this.queue.leave(this)
    this.state = "none"
    this.onTurn?.()
  }

  /** Gives the permit back, or leaves the queue. */
  release(): void {
    const { state } = this
    this.state = "none"
    this.onTurn = undefined
    if (state === "queued") this.queue.leave(this)
    else if (state === "held") this.queue.returned()
  }
}

/** The permits of one function. */
class Queue {
  private held = 0
  private readonly waiting = new Set<Permit>()
  private isGiving = false
  private readonly onEmpty: () => void

  constructor(onEmpty: () => void) {
    this.onEmpty = onEmpty
  }

  enter(most: number): Permit {
    const permit = new Permit(this, most)
    this.waiting.add(permit)
    this.giveNext()
    return permit
  }

  leave(permit: Permit): void {
    this.waiting.delete(permit)
    this.giveNext()
  }

  returned(): void {
    this.held--
    this.giveNext()
  }

  /** Gives out free permits. A lookup that ends before `give` returns does not nest another call in this one. */
  private giveNext(): void {
    if (this.isGiving) return
    this.isGiving = true
    try {
      for (const permit of this.waiting) {
        if (this.held >= permit.most) break
        this.waiting.delete(permit)
        this.held++
        permit.give()
      }
    } finally {
      this.isGiving = false
    }
    if (this.held === 0 && this.waiting.size === 0) this.onEmpty()
  }
}

export class Permits {
  /** The functions with a load that holds a permit or waits for one, by owner. */
  private readonly queues = new Map<string, Queue>()

  /** Requests a permit. It is given at once if one is free and nobody waits. */
  request({ concurrency, owner }: Limited): Permit {
    let queue = this.queues.get(owner)
    if (queue === undefined) {
      queue = new Queue(() => this.queues.delete(owner))
      this.queues.set(owner, queue)
    }
    return queue.enter(concurrency)
  }

  /** Runs a lookup that nobody can join, once it has a permit. `begin` makes it. */
  limit(
    limited: Limited & { readonly name: string },
    begin: () => Effect.Effect<unknown, unknown, unknown>
  ): Effect.Effect<unknown, unknown, unknown> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiberRuntime<unknown, unknown, unknown>((fiber) => {
        if (isInLoad(fiber)) return restore(begin())
        const permit = this.request(limited)
        const load = new Unshared(limited, this)
        return Effect.ensuring(
          restore(Effect.zipRight(permit.turn, Effect.locally(Effect.suspend(begin), currentFlight, load))),
          Effect.sync(() => {
            load.isDone = true
            permit.release()
          })
        )
      })
    )
  }
}

/** A load that nobody can join, so that the reads of its lookup are known to be within a load. */
class Unshared implements Waiting {
  readonly key = undefined
  readonly def: { readonly name: string }
  readonly store: object
  isDone = false
  readonly parents: ReadonlyArray<Waiting> = []
  readonly targets: ReadonlyArray<Waiting> = []

  constructor(def: { readonly name: string }, store: object) {
    this.def = def
    this.store = store
  }

  // nobody waits for it, so no chain of waits goes through it

  link(): void {}

  unlink(): void {}
}

/** Whether each load of a function takes a permit. Those of a batched function do not: their batch takes one. */
export const isLimited = ({ batching, concurrency }: Definition): boolean =>
  concurrency !== Number.POSITIVE_INFINITY && batching === undefined

/**
 * The events of one store. No event is made as long as nobody subscribes.
 */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import type { CacheEvent } from "../../CacheEvent.js"
import type { StoreRuntime } from "./storeRuntime.js"

/** How many events a slow subscriber may be behind. Beyond that, it loses the oldest. */
const capacity = 1_024

export class Events {
  private subscribers = 0
  private readonly hub: PubSub.PubSub<CacheEvent>
  private readonly runtime: StoreRuntime

  private constructor(hub: PubSub.PubSub<CacheEvent>, runtime: StoreRuntime) {
    this.hub = hub
    this.runtime = runtime
  }

  static readonly make = (runtime: StoreRuntime): Effect.Effect<Events> =>
    Effect.map(PubSub.sliding<CacheEvent>(capacity), (hub) => new Events(hub, runtime))

  readonly publish = (event: () => CacheEvent): void => {
    if (this.subscribers > 0) this.runtime.background(Effect.asVoid(PubSub.publish(this.hub, event())))
  }

  /** The events from the moment of subscription on. */
  get stream(): Stream.Stream<CacheEvent> {
    const subscribed = Effect.acquireRelease(
      Effect.sync(() => this.subscribers++),
      () => Effect.sync(() => this.subscribers--)
    )
    return Stream.unwrapScoped(
      Effect.map(Effect.zipRight(subscribed, PubSub.subscribe(this.hub)), (queue) => Stream.fromQueue(queue))
    )
  }

  /** Ends every stream. */
  get close(): Effect.Effect<void> {
    return PubSub.shutdown(this.hub)
  }
}

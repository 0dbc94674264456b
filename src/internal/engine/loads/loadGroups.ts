/**
 * The loads of batched functions, counted for the limits of a store. The loads of one batch count as one.
 *
 * Until its batch begins, a load belongs to the forming group of its function, which holds as many loads as a batch
 * does. When a batch begins, its loads become a group of their own.
 */
import type { Batching } from "../definition.js"
import type { Flight, LoadGroup } from "./flight.js"

export class LoadGroups {
  /** The number of loads in the table that do not count, because another one of their group does. */
  spare = 0
  /** The number of groups with refreshes. */
  refreshing = 0
  private readonly forming = new Map<Batching, LoadGroup>()

  /** The group that a further load of a function enters, if it does not count there. */
  private withRoom(batching: Batching): LoadGroup | undefined {
    const group = this.forming.get(batching)
    return group !== undefined && group.attached > 0 && group.attached < batching.maxBatchSize ? group : undefined
  }

  /** Whether a further load would not count, because it enters a group that has one. */
  hasRoom(batching: Batching): boolean {
    return this.withRoom(batching) !== undefined
  }

  /** Whether a further refresh would not count. */
  hasRoomForRefresh(batching: Batching): boolean {
    const group = this.withRoom(batching)
    return group !== undefined && group.refreshes > 0
  }

  /** Adds a load that enters the table. */
  add(flight: Flight): void {
    const { batching } = flight.def
    if (batching === undefined) return
    let group = this.withRoom(batching)
    if (group === undefined) {
      group = { attached: 0, refreshes: 0 }
      this.forming.set(batching, group)
    }
    this.enter(flight, group)
  }

  private enter(flight: Flight, group: LoadGroup): void {
    flight.group = group
    if (flight.attached && group.attached++ > 0) this.spare++
    if (flight.request.kind === "refresh" && group.refreshes++ === 0) this.refreshing++
  }

  /** A load leaves the table. */
  detach({ def, group }: Flight): void {
    if (group === undefined) return
    if (--group.attached > 0) this.spare--
    else if (this.forming.get(def.batching!) === group) this.forming.delete(def.batching!)
  }

  /** A load has ended. It has left the table already. */
  end(flight: Flight): void {
    const { group } = flight
    if (group === undefined) return
    flight.group = undefined
    if (flight.request.kind === "refresh" && --group.refreshes === 0) this.refreshing--
  }

  /** Makes the loads of a batch a group of their own: the batch begins. */
  begin(flights: Iterable<Flight>): void {
    const group: LoadGroup = { attached: 0, refreshes: 0 }
    for (const flight of flights) {
      if (flight.group === undefined) continue
      if (flight.attached) this.detach(flight)
      this.end(flight)
      this.enter(flight, group)
    }
  }
}

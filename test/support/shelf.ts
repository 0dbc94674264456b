/**
 * A backend of bytes in this process that behaves like a correct one over a network: all stores made of one shelf share
 * its entries. It writes by stamp, leaves tombstones, and keeps marks.
 */
import * as Effect from "effect/Effect"
import { type Backend, Entry } from "effect-cached"

type Bytes = Backend.Backend<Uint8Array>

interface Place {
  readonly stamp: number
  /** `undefined` for a tombstone. */
  readonly entry: Entry.Entry<Uint8Array> | undefined
  /** The time at which it is dropped, on the clock of this process. */
  readonly until: number
}

export class Shelf {
  readonly places = new Map<string, Place>()
  readonly marks = new Map<string, number>()
  floor = 0
  /** Increases each time marks are raised. */
  version = 0

  at(key: string): Place | undefined {
    const place = this.places.get(key)
    if (place === undefined || place.until > performance.now()) return place
    this.places.delete(key)
    return undefined
  }

  put(key: string, stamp: number, entry: Entry.Entry<Uint8Array> | undefined, lifetime: number): Backend.Written {
    const own = entry && new Entry.Entry(entry.value, { ...entry, stamp })
    this.places.set(key, { stamp, entry: own, until: performance.now() + lifetime })
    return { _tag: "Written", stamp }
  }

  corrupt(key: string): void {
    const place = this.places.get(key)
    if (place?.entry !== undefined) {
      this.places.set(key, { ...place, entry: new Entry.Entry(Uint8Array.of(0xff), place.entry) })
    }
  }
}

/** A backend of one process on a shelf. `differs` replaces members, to make it incorrect on purpose. */
export const backend = (shelf: Shelf, differs: (honest: Bytes, shelf: Shelf) => Partial<Bytes> = () => ({})): Bytes => {
  let seen = -1
  const marks = (): Backend.Marks | undefined => {
    if (seen === shelf.version) return undefined
    seen = shelf.version
    return { floor: shelf.floor, lost: 0, raised: Array.from(shelf.marks) }
  }
  /** Takes a turn of the scheduler instead of a round trip. */
  const ask = <A>(answer: () => A) => Effect.zipRight(Effect.yieldNow(), Effect.sync(answer))

  const honest: Bytes = {
    name: "shelf",
    remote: true,
    getMany: (reads) =>
      ask(() => {
        const places = reads.map(({ key }) => shelf.at(key))
        return {
          found: places.map((place) => place?.entry),
          marks: marks(),
          tombstones: places.map((place) =>
            place === undefined || place.entry !== undefined ? undefined : place.stamp
          )
        }
      }),
    setMany: (writes) =>
      ask(() =>
        writes.map(({ entry, authoritative, key, lifetime }): Backend.Written => {
          const there = shelf.at(key)?.stamp ?? 0
          if (!authoritative && there > entry.stamp) return { _tag: "Superseded" }
          return shelf.put(key, Math.max(entry.stamp, there), entry, lifetime)
        })
      ),
    setIfAbsent: ({ entry, key, lifetime }, { now, replacing }) =>
      ask(() => {
        const there = shelf.at(key)
        const isAlive = there?.entry !== undefined && there.entry.expiresAt > now && there.stamp !== replacing
        return isAlive
          ? { _tag: "Superseded" }
          : shelf.put(key, Math.max(entry.stamp, there?.stamp ?? 0), entry, lifetime)
      }),
    removeMany: (removals) =>
      ask(() =>
        removals.map(({ authoritative, key, stamp, tombstone }): Backend.Written => {
          const there = shelf.at(key)?.stamp ?? 0
          if (!authoritative && there > stamp) return { _tag: "Superseded" }
          return shelf.put(key, Math.max(stamp, there), undefined, tombstone)
        })
      ),
    marks: {
      read: ask(marks),
      raise: (raised) =>
        ask(() => {
          for (const { name, stamp } of raised) {
            if (name === "*") shelf.floor = Math.max(shelf.floor, stamp)
            else shelf.marks.set(name, Math.max(shelf.marks.get(name) ?? 0, stamp))
          }
          shelf.version++
          return marks()!
        })
    }
  }
  return { ...honest, ...differs(honest, shelf) }
}

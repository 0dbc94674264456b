/**
 * A backend of bytes in memory, or one whose operations all do something else.
 */
import { Effect } from "effect"
import type { Backend, CacheStoreError, Entry } from "effect-cached"

/** Makes the backend. `answer` replaces every operation. */
export const bytesBackend = (answer?: Effect.Effect<never, CacheStoreError>): Backend.Backend<Uint8Array> => {
  const kept = new Map<string, Entry.Entry<Uint8Array>>()
  const or = <A>(effect: () => A): Effect.Effect<A, CacheStoreError> => answer ?? Effect.sync(effect)
  const put = ({ entry, key }: Backend.Write<Uint8Array>): Backend.Written => {
    kept.set(key, entry)
    return { _tag: "Written", stamp: entry.stamp }
  }
  return {
    name: "bytes",
    remote: true,
    getMany: (reads) => or(() => ({ found: reads.map(({ key }) => kept.get(key)) })),
    setMany: (writes) => or(() => writes.map(put)),
    setIfAbsent: (write) => or(() => put(write)),
    removeMany: (removals) =>
      or(() =>
        removals.map(({ key, stamp }): Backend.Written => {
          kept.delete(key)
          return { _tag: "Written", stamp }
        })
      )
  }
}

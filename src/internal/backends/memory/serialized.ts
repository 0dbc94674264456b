/**
 * Memory that keeps the bytes of its values, as a store of bytes does: for tests, which so find what Redis, files or a
 * bucket would refuse or change. The engine takes it for a remote backend, so that values pass through the same code.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import * as Envelope from "../../../Envelope.js"

type Bytes = Backend.Backend<Uint8Array>

const nothing = Number.NEGATIVE_INFINITY

/** No other process writes here, so the marks of the engine are all there are, and every lock is free. */
const alone: Pick<Bytes, "lock" | "marks"> = {
  marks: {
    read: Effect.succeed(undefined),
    raise: () => Effect.succeed({ floor: nothing, lost: nothing, raised: [] })
  },
  lock: () => Effect.succeed({ token: "", renew: Effect.succeed(true), release: Effect.void })
}

/** Refuses the entries that `Envelope.v1` cannot hold: an owner or a tag may be no text, or too long. */
const refusal = ({ entry }: Backend.Write<Uint8Array>): Backend.Written | undefined => {
  const bytes = Envelope.v1.encode(entry)
  return bytes._tag === "Left" ? { _tag: "Refused", error: bytes.left } : undefined
}

/** Makes the backend from one in memory for bytes. `toValues` adds the serializer. */
export const make = (local: Bytes, toValues: (bytes: Bytes) => Backend.Backend): Backend.Backend => {
  const values = toValues({
    ...alone,
    name: local.name,
    remote: true,
    getMany: local.getMany,
    setMany: (writes) =>
      Effect.forEach(writes, (write) => {
        const refused = refusal(write)
        return refused === undefined
          ? Effect.map(local.setMany([write]), ([written]) => written!)
          : Effect.succeed(refused)
      }),
    setIfAbsent: (write, options) => {
      const refused = refusal(write)
      return refused === undefined ? local.setIfAbsent(write, options) : Effect.succeed(refused)
    },
    removeMany: local.removeMany,
    renew: local.renew,
    sweep: local.sweep,
    list: local.list
  })
  const { followMarks, limitEntries, onRemoved, wasCleared } = local as Backend.Backend
  const { unsafeClear, unsafeFree, unsafeMeasure, unsafeReserve, unsafeSize } = local as Backend.Backend
  const told = { followMarks, limitEntries, onRemoved, wasCleared }
  return { ...values, ...told, unsafeClear, unsafeFree, unsafeMeasure, unsafeReserve, unsafeSize, isInProcess: true }
}

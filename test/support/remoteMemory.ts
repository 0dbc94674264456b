/**
 * Values in memory behind a backend that the store takes for remote, for tests that count its operations.
 */
import { Effect } from "effect"
import { type Backend, MemoryCache } from "../../src/index.js"

export const remoteMemory = (name: string): Effect.Effect<Backend.Backend> =>
  Effect.scoped(
    Effect.map(MemoryCache.backend(), ({ getMany, removeMany, setIfAbsent, setMany }) => ({
      name,
      remote: true,
      getMany,
      removeMany,
      setIfAbsent,
      setMany
    }))
  )

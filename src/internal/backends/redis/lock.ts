/**
 * The lock of a key among all processes: a token that expires with its lease.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import type { Client } from "./client.js"
import type { Connection } from "./connection.js"
import type { Keys } from "./keys.js"
import * as Scripts from "./scripts.js"

export interface Options {
  readonly connection: Connection
  readonly keys: Keys
  /** The first part of the tokens of this process. */
  readonly processId: string
  /** A lifetime as scripts take it. */
  readonly px: (millis: number) => string
}

/** Makes the `lock` of a backend. */
export const make = ({ connection, keys, processId, px }: Options): NonNullable<Backend.Backend["lock"]> => {
  let count = 0
  return (key, lease) =>
    Effect.suspend(() => {
      const token = `${processId}:${++count}`
      const entry = keys.entry(key)
      const lock = keys.lock(entry)
      const slot = keys.slot(lock)
      const renewal = connection.script(Scripts.renew, [lock], [token, px(lease)])
      const release = connection.script(Scripts.unlock, [lock], [token, keys.asReported(entry)])
      // A client with `stringNumbers` answers with text.
      const held: Backend.Held = {
        token,
        renew: Effect.map(connection.callOn("renew", slot, renewal), (still) => Number(still) === 1),
        release: Effect.asVoid(connection.callOn("unlock", slot, release))
      }
      const acquire = connection.script(Scripts.lock, [lock], [token, px(lease)])
      return Effect.map(acquireWith(connection, slot, acquire, release), (left) => (left > 0 ? left : held))
    })
}

/**
 * Asks for the lock. Succeeds with 0, or with the number of milliseconds for which another process holds it at most. A
 * lock that is granted after the request timed out is released at once: this process would not use it, and others would
 * wait for its whole lease.
 */
const acquireWith = (
  connection: Connection,
  slot: number,
  acquire: (client: Client) => Promise<unknown>,
  release: (client: Client) => Promise<unknown>
): Effect.Effect<number, CacheStoreError> => {
  let isGivenUp = false
  const send = (client: Client) =>
    acquire(client).then((left) => {
      if (isGivenUp && Number(left) === 0) release(client).catch(() => {})
      return left
    })
  const giveUp = Effect.sync(() => {
    isGivenUp = true
  })
  return Effect.map(
    Effect.tapError(connection.callOn("lock", slot, send), () => giveUp),
    Number
  )
}

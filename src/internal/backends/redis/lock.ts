/**
 * Where the lock of a key stands: on a cluster in the slot of the key, so that a script may look at both. The key's own
 * braces bring it there, or else a number in braces: the least that does, so that all processes find the same.
 */
import calculateSlot from "cluster-key-slot"
import { type Client, isCluster } from "./client.js"
import { slotOf } from "./slots.js"

/** the numbers that were tried, by slot, and the next to try; mutable by design */
const numbers = /*#__PURE__*/ new Map<number, number>()
let next = 0

const numberOf = (slot: number): number => {
  let number = numbers.get(slot)
  while (number === undefined) {
    const found = calculateSlot(String(next))
    if (!numbers.has(found)) numbers.set(found, next)
    next++
    number = numbers.get(slot)
  }
  return number
}

/** `key` begins with `prefix` */
export const lockKey = (client: Client, prefix: string, key: string): string => {
  const rest = key.slice(prefix.length)
  const plain = `${prefix}!l${rest}`
  if (!isCluster(client)) return plain
  const slot = slotOf(client, key)
  return slotOf(client, plain) === slot ? plain : `${prefix}!l{${numberOf(slot)}}${rest}`
}

/**
 * Where the lock of a key stands: in the slot of the key, so that a script may look at both. The key's own braces bring
 * it there, or a number in braces that is found by trying.
 */
import { type Client, isCluster } from "./redisClient.js"
import { slotOf } from "./redisSlots.js"

export class LockKeys {
  private readonly numbers = new Map<number, number>()
  private readonly client: Client
  private readonly prefix: string

  constructor(client: Client, prefix: string) {
    this.client = client
    this.prefix = prefix
  }

  of(key: string): string {
    const { client, numbers, prefix } = this
    const rest = key.slice(prefix.length)
    const plain = `${prefix}!l${rest}`
    if (!isCluster(client)) return plain
    const slot = slotOf(client, key)
    if (slotOf(client, plain) === slot) return plain
    const at = (number: number) => `${prefix}!l{${number}}${rest}`
    let number = numbers.get(slot) ?? 0
    // with braces in the prefix the number that suits one key may not suit another
    while (slotOf(client, at(number)) !== slot) number++
    numbers.set(slot, number)
    return at(number)
  }
}

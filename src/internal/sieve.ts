/**
 * A bounded map that evicts by SIEVE (Zhang et al., NSDI 2024): a hit sets a bit and moves nothing; a hand goes from the
 * oldest to the newest, clears the bits it finds set and takes out the first entry whose bit is clear. On a list through
 * the entries, because the order of a Map degrades under deletion.
 *
 * What has expired goes first: each write looks at two entries behind a second hand, so that dead entries leave without
 * being met, and nothing has to run in the background.
 */
import type { RemovalCause } from "../CacheEvent.js"
import type { Entry } from "../Entry.js"

class Node {
  visited = false
  /** towards the newest */
  newer: Node | undefined = undefined
  /** towards the oldest */
  older: Node | undefined = undefined
  readonly key: string
  entry: Entry

  constructor(key: string, entry: Entry) {
    this.key = key
    this.entry = entry
  }
}

export class Sieve {
  private readonly nodes = new Map<string, Node>()
  private newest: Node | undefined = undefined
  private oldest: Node | undefined = undefined
  private hand: Node | undefined = undefined
  private sweeper: Node | undefined = undefined
  private readonly capacity: number
  listener: (key: string, cause: RemovalCause) => void = () => {}

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get size(): number {
    return this.nodes.size
  }

  get(key: string): Entry | undefined {
    const node = this.nodes.get(key)
    if (node === undefined) return undefined
    node.visited = true
    return node.entry
  }

  set(key: string, entry: Entry, now: number): void {
    const node = this.nodes.get(key)
    if (node !== undefined) {
      const cause = node.entry.expiresAt <= now ? "expired" : "replaced"
      node.entry = entry
      node.visited = true
      this.listener(key, cause)
    } else {
      if (this.nodes.size >= this.capacity) this.evict(now)
      const added = new Node(key, entry)
      added.older = this.newest
      if (this.newest === undefined) this.oldest = added
      else this.newest.newer = added
      this.newest = added
      this.nodes.set(key, added)
    }
    this.sweep(now)
    this.sweep(now)
  }

  remove(key: string): boolean {
    const node = this.nodes.get(key)
    if (node === undefined) return false
    this.take(node, "explicit")
    return true
  }

  private sweep(now: number): void {
    const node = this.sweeper ?? this.oldest
    if (node === undefined) return
    this.sweeper = node.newer
    if (node.entry.expiresAt <= now) this.take(node, "expired")
  }

  private evict(now: number): void {
    let node = this.hand ?? this.oldest
    while (node?.visited && node.entry.expiresAt > now) {
      node.visited = false
      node = node.newer ?? this.oldest
    }
    if (node === undefined) return
    this.hand = node.newer
    this.take(node, node.entry.expiresAt <= now ? "expired" : "capacity")
  }

  private take(node: Node, cause: RemovalCause): void {
    if (this.hand === node) this.hand = node.newer
    if (this.sweeper === node) this.sweeper = node.newer
    if (node.newer === undefined) this.newest = node.older
    else node.newer.older = node.older
    if (node.older === undefined) this.oldest = node.newer
    else node.older.newer = node.newer
    this.nodes.delete(node.key)
    this.listener(node.key, cause)
  }
}

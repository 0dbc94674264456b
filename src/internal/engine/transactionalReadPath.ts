/**
 * The read path of a store with `bypassIn`, whose readers may be inside a transaction.
 */
import * as Effect from "effect/Effect"
import type { Args, Definition } from "./definition.js"
import { type Deadline, limit } from "./loads/timeouts.js"
import { modeOf } from "./mode.js"
import { ReadPath, type ReadPathParts } from "./readPath.js"
import type { Transactions } from "./transactions.js"
import type { WritePath } from "./writePath.js"

export class TransactionalReadPath extends ReadPath {
  private readonly transactions: Transactions
  private readonly writes: Pick<WritePath, "startWrite">

  constructor(parts: ReadPathParts, transactions: Transactions, writes: Pick<WritePath, "startWrite">) {
    super(parts)
    this.transactions = transactions
    this.writes = writes
  }

  override read(...call: Parameters<ReadPath["read"]>): Effect.Effect<unknown, unknown, unknown> {
    const [fiber, def, key, args, arg] = call
    if (!this.transactions.hasLoads(fiber, def)) return super.read(...call)
    const mode = modeOf(fiber) === "reload" ? "reload" : "bypass"
    return this.readUncached(fiber, def, key, args ?? [arg], mode)
  }

  /** Inside a transaction, loads and invalidates. */
  override forced(
    def: Definition,
    key: string,
    args: Args,
    deadline?: Deadline
  ): Effect.Effect<unknown, unknown, unknown> {
    return Effect.withFiberRuntime<unknown, unknown, unknown>((fiber) => {
      if (!this.transactions.hasLoads(fiber, def)) return super.forced(def, key, args, deadline)
      const loaded = limit(deadline, this.alone(def, key, args))
      if (def.off) return loaded
      const written = Effect.suspend(() => this.writes.startWrite(fiber, key, undefined, def))
      return Effect.zipLeft(loaded, def.strict ? written : Effect.ignore(written))
    })
  }
}

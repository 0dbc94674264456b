/**
 * The invalidation marks in Redis: reading them, raising them, and noticing that another process raised some.
 *
 * Every batch of reads brings the head of the marks along. Its version counts raises, so marks are fetched only when
 * the head differs from the one that this process saw last.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import { PendingMarks } from "../pendingMarks.js"
import type { Connection } from "./connection.js"
import type { Keys } from "./keys.js"
import * as Scripts from "./scripts.js"

type Marks = Effect.Effect<Backend.Marks | undefined, CacheStoreError>

export interface Options {
  readonly connection: Connection
  readonly keys: Keys
  /** Whether entries that are older than the first marks are valid. Otherwise missing marks invalidate them. */
  readonly acceptsEarlierEntries: boolean
  /** The number of milliseconds after which an authoritative raise keeps its own stamp. */
  readonly grace: number
}

export class RedisMarks {
  private readonly pending = new PendingMarks()
  /** The head as this process saw it last: floor, version, and when marks were last lost. Mutable by design. */
  private head = ""
  private readonly options: Options

  constructor(options: Options) {
    this.options = options
  }

  /** Fetches the marks before the connection counts as open. */
  get prepare(): Effect.Effect<void, CacheStoreError> {
    const { connection, keys } = this.options
    return Effect.suspend(() =>
      Effect.map(connection.runFirst("marks", Scripts.marks, keys.marks, this.args([])), this.learn)
    )
  }

  get read(): Marks {
    return Effect.map(this.run("marks", []), () => this.pending.take())
  }

  /** Fetches the marks if `head`, which came with a batch of reads, differs from the head that was seen last. */
  readIfChanged(head: string | undefined): Marks {
    return Effect.map(head === this.head ? Effect.void : this.run("getMany", []), () => this.pending.take())
  }

  raise(raised: ReadonlyArray<Backend.Mark>): Effect.Effect<Backend.Marks, CacheStoreError> {
    const grace = String(this.options.grace)
    const args = raised.flatMap(({ authoritative, name, stamp }) => [name, String(stamp), authoritative ? grace : ""])
    return Effect.map(this.run("raise", args), () => {
      const [floor, , lost] = this.head.split(" ").map(Number)
      return this.pending.takeRaised(raised, { floor: floor!, lost: lost! })
    })
  }

  private run(method: string, raise: ReadonlyArray<string>): Effect.Effect<void, CacheStoreError> {
    const { connection, keys } = this.options
    return Effect.suspend(() =>
      Effect.map(connection.run(method, Scripts.marks, keys.marks, this.args(raise)), this.learn)
    )
  }

  /** The version that was seen last, or the one that means that no version was seen; then the marks to raise. */
  private args(raise: ReadonlyArray<string>): Scripts.Args {
    return [this.head.split(" ")[1] ?? (this.options.acceptsEarlierEntries ? "-1" : "0"), ...raise]
  }

  private readonly learn = (answer: unknown): void => {
    const [floor, version, lost, now, raised] = answer as [string, string, string, string, ReadonlyArray<string>]
    this.options.connection.observeTime(Number(now))
    this.head = `${floor} ${version} ${lost}`
    this.pending.add({
      floor: Number(floor),
      lost: Number(lost),
      raised: Array.from({ length: raised.length / 2 }, (_, i) => [raised[2 * i]!, Number(raised[2 * i + 1])] as const)
    })
  }
}

/**
 * How a batch of keys is sent: as one command to one server, or on a cluster as one command per hash slot, all in the
 * same turn of the event loop.
 *
 * Stamps on a cluster are in the time of one node, the one that keeps the marks, wherever a key is stored. A process
 * measures that clock and passes its reading to a script. The script uses the clock of its own node, corrected by the
 * difference that the process has measured, only to notice that it runs late.
 */
import type { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import { CacheStoreError } from "../../../CacheError.js"
import type { Connection, Sent } from "./connection.js"
import { isSplitSlot } from "./ioredisWorkarounds.js"
import type { Keys } from "./keys.js"
import type { Args, Script } from "./scripts.js"

type Answers<A> = Effect.Effect<ReadonlyArray<A | CacheStoreError>, CacheStoreError>

/** A script to run over keys. */
export interface Batch {
  readonly method: string
  readonly script: Script
  readonly keys: ReadonlyArray<string>
  /** The arguments of the first key, then those of the second: each has the same number. */
  readonly args: Args
  /** The stamp of each key. */
  readonly stamps: ReadonlyArray<number>
}

export interface Batches {
  /** Reads the values of keys, and the head of the marks as the last one. Without it the other values are useless. */
  readonly read: (method: string, keys: ReadonlyArray<string>) => Answers<Buffer | null>
  /** Runs a script over keys. Fails only when the whole store is out of reach. */
  readonly run: (batch: Batch) => Answers<string>
  /** The last arguments of a script on a cluster, which contain the time. */
  readonly clock: (slot: number, stamps: ReadonlyArray<number>) => Args
  /** Whether a command that failed means that the whole store is out of reach, and not only one node of several. */
  readonly isOutOfReach: () => boolean
}

/** A script answers with a list, or with text where there is one key. */
const asList = (answer: unknown): ReadonlyArray<string> =>
  Array.isArray(answer) ? (answer as ReadonlyArray<string>) : [answer as string]

/** The batches of one server. */
export const together = (connection: Connection, names: Keys): Batches => ({
  read: (method, keys) => connection.call(method, (client) => client.mgetBuffer([...keys, names.head])),
  run: ({ args, keys, method, script }) => Effect.map(connection.run(method, script, keys, args), asList),
  clock: () => [],
  isOutOfReach: () => true
})

/** The keys of one slot, as indices into a batch. */
interface Group {
  readonly slot: number
  readonly indices: ReadonlyArray<number>
}

/** Makes the command for some keys of a batch, which share a slot. */
type Command<A> = (group: Group) => Sent<ReadonlyArray<A>>["send"]

/** The batches of a cluster. */
export class BySlot implements Batches {
  private readonly connection: Connection
  private readonly names: Keys
  private readonly timeout: number

  constructor(connection: Connection, names: Keys, timeout: number) {
    this.connection = connection
    this.names = names
    this.timeout = timeout
  }

  read(method: string, keys: ReadonlyArray<string>): Answers<Buffer | null> {
    const { head } = this.names
    const all = [...keys, head]
    const isHead = ({ indices }: Group) => indices.length === 1 && indices[0] === keys.length
    const answers = this.each<Buffer | null>(method, all, (group) =>
      isHead(group)
        ? (client) => client.getBuffer(head).then((value) => [value])
        : (client) => client.mgetBuffer(group.indices.map((index) => all[index]!))
    )
    return Effect.flatMap(answers, (answers) => {
      const last = answers[keys.length]
      return last instanceof CacheStoreError ? Effect.fail(last) : Effect.succeed(answers)
    })
  }

  run({ args, keys, method, script, stamps }: Batch): Answers<string> {
    const arity = args.length / keys.length
    const answers = this.each<string>(method, keys, ({ indices, slot }) => {
      const own = indices.flatMap((index) => args.slice(index * arity, (index + 1) * arity))
      const clock = this.clock(
        slot,
        indices.map((index) => stamps[index]!)
      )
      const send = this.connection.script(
        script,
        indices.map((index) => keys[index]!),
        [...own, ...clock]
      )
      return (client) => send(client).then(asList)
    })
    return Effect.flatMap(answers, (answers) => {
      const failed = answers.find((answer) => answer instanceof CacheStoreError)
      const isWhole = failed !== undefined && this.isOutOfReach() && !answers.some((one) => typeof one === "string")
      return isWhole ? Effect.fail(failed as CacheStoreError) : Effect.succeed(answers)
    })
  }

  /**
   * How far the clock of the marks is ahead of the one of the slot's node; what it reads now, which is never less than
   * a stamp this process has seen; and how much later a script may run for that to count as the time.
   */
  clock(slot: number, stamps: ReadonlyArray<number>): Args {
    const { connection } = this
    const asked = stamps.reduce((latest, stamp) => Math.max(latest, stamp), connection.marksTime())
    return [String(connection.skew(slot)), String(asked), String(this.timeout)]
  }

  isOutOfReach(): boolean {
    return !this.connection.isUp()
  }

  /**
   * Sends a command per slot. While a slot moves from one node to another, some of its keys may be on each node: then
   * the command is refused as a whole, and is sent again for each key by itself.
   */
  private each<A>(
    method: string,
    keys: ReadonlyArray<string>,
    command: Command<A>
  ): Effect.Effect<Array<A | CacheStoreError>> {
    const send = (groups: ReadonlyArray<Group>) =>
      this.connection.callAll(
        method,
        groups.map((group) => ({ slot: group.slot, send: command(group) }))
      )
    return Effect.suspend(() => {
      const groups = this.groups(keys)
      const out = new Array<A | CacheStoreError>(keys.length)
      const place = ({ indices }: Group, answer: ReadonlyArray<A> | CacheStoreError) =>
        indices.forEach((index, i) => {
          out[index] = answer instanceof CacheStoreError ? answer : answer[i]!
        })
      return Effect.flatMap(send(groups), (answers) => {
        const split: Array<Group> = []
        answers.forEach((answer, i) => {
          const group = groups[i]!
          if (group.indices.length > 1 && answer instanceof CacheStoreError && isSplitSlot(answer.cause)) {
            for (const index of group.indices) split.push({ slot: group.slot, indices: [index] })
          } else place(group, answer)
        })
        if (split.length === 0) return Effect.succeed(out)
        return Effect.map(send(split), (answers) => {
          answers.forEach((answer, i) => {
            place(split[i]!, answer)
          })
          return out
        })
      })
    })
  }

  private groups(keys: ReadonlyArray<string>): ReadonlyArray<Group> {
    const groups = new Map<number, Array<number>>()
    keys.forEach((key, i) => {
      const slot = this.names.slot(key)
      const group = groups.get(slot)
      if (group === undefined) groups.set(slot, [i])
      else group.push(i)
    })
    return Array.from(groups, ([slot, indices]) => ({ slot, indices }))
  }
}

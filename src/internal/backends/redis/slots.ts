/**
 * How a batch of keys is sent: as one command to one server, or on a cluster as one command per hash slot, all in the
 * same turn of the event loop.
 *
 * The count is on the node that keeps the marks. With one server the scripts read it beside the entries; on a cluster
 * they cannot, and an authoritative write takes a ticket there before it goes to the node of its key.
 */
import type { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import { CacheStoreError } from "../../../CacheError.js"
import * as AsyncEffect from "../../asyncEffect.js"
import { type Client, isAnswer } from "./client.js"
import type { Connection, Sent } from "./connection.js"
import type { Count } from "./count.js"
import { isSplitSlot } from "./ioredisWorkarounds.js"
import type { Keys } from "./keys.js"
import type { Args, Script } from "./scriptParts.js"
import { readAndRenew } from "./scripts.js"

type Answers<A> = Effect.Effect<ReadonlyArray<A | CacheStoreError>, CacheStoreError>

/** A script to run over keys. */
export interface Batch {
  readonly method: string
  readonly script: Script
  readonly keys: ReadonlyArray<string>
  /** The arguments of the first key, then those of the second: each has the same number. */
  readonly args: Args
  /** Called with the answers about some keys, also when they come after the timeout. */
  readonly onAnswer?: ((keys: ReadonlyArray<string>, answers: ReadonlyArray<string>) => void) | undefined
}

export interface Batches {
  /**
   * Reads the values of keys, and as the last ones the head of the marks and the count. Without those the other values
   * are useless. `uses` has for each key the time of a reader whose read renews an entry, and empty text for the others.
   */
  readonly read: (method: string, keys: ReadonlyArray<string>, uses?: ReadonlyArray<string>) => Answers<Buffer | null>
  /** Runs a script over keys. Fails only when the whole store is out of reach. */
  readonly run: (batch: Batch) => Answers<string>
  /** Whether a command that failed means that the whole store is out of reach, and not only one node of several. */
  readonly isOutOfReach: () => boolean
}

/** A script answers with a list, or with text where there is one key. */
const asList = (answer: unknown): ReadonlyArray<string> =>
  Array.isArray(answer) ? (answer as ReadonlyArray<string>) : [answer as string]

const answersTo =
  (keys: ReadonlyArray<string>, onAnswer: Batch["onAnswer"]) =>
  (answer: unknown): ReadonlyArray<string> => {
    const answers = asList(answer)
    onAnswer?.(keys, answers)
    return answers
  }

type Values = Promise<Array<Buffer | null>>

/**
 * The command that reads keys, and with `uses` renews entries. Where the server lets this client run no scripts, the keys
 * are read without.
 */
const reading = (
  connection: Connection,
  keys: ReadonlyArray<string>,
  uses: ReadonlyArray<string>
): ((client: Client) => Values) => {
  const read = (client: Client): Values => client.mgetBuffer([...keys])
  if (uses.every((use) => use === "")) return read
  const send = connection.bufferScript(readAndRenew, keys, uses)
  return (client) =>
    (send(client) as Values).catch((error: unknown) =>
      isAnswer(error) && !isSplitSlot(error) ? read(client) : Promise.reject(error)
    )
}

/** The batches of one server. With a count, it is the last key of every script, and what was seen of it the last argument. */
export const together = (connection: Connection, names: Keys, count: Count | undefined): Batches => ({
  read: (method, keys, uses = []) =>
    connection.call(method, reading(connection, [...keys, names.head, names.count], uses)),
  run: ({ args, keys, method, onAnswer, script }) =>
    AsyncEffect.suspend(() => {
      const send =
        count === undefined
          ? connection.script(script, keys, args)
          : connection.script(script, [...keys, names.count], [...args, String(count.seen)])
      return connection.call(method, (client) => send(client).then(answersTo(keys, onAnswer)))
    }),
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
  private readonly count: Count | undefined

  constructor(connection: Connection, names: Keys, count: Count | undefined) {
    this.connection = connection
    this.names = names
    this.count = count
  }

  read(method: string, keys: ReadonlyArray<string>, uses: ReadonlyArray<string> = []): Answers<Buffer | null> {
    const all = [...keys, this.names.head, this.names.count]
    const answers = this.each<Buffer | null>(method, all, ({ indices }) =>
      reading(
        this.connection,
        indices.map((index) => all[index]!),
        indices.map((index) => uses[index] ?? "")
      )
    )
    return Effect.flatMap(answers, (answers) => {
      const head = answers[keys.length]
      return head instanceof CacheStoreError ? Effect.fail(head) : Effect.succeed(answers)
    })
  }

  run({ args, keys, method, onAnswer, script }: Batch): Answers<string> {
    const arity = args.length / keys.length
    const answers = this.each<string>(method, keys, ({ indices }) => {
      const own = indices.flatMap((index) => args.slice(index * arity, (index + 1) * arity))
      const ownKeys = indices.map((index) => keys[index]!)
      const send = this.connection.script(
        script,
        ownKeys,
        this.count === undefined ? own : [...own, String(this.count.seen)]
      )
      return (client) => send(client).then(answersTo(ownKeys, onAnswer))
    })
    return Effect.flatMap(answers, (answers) => {
      const failed = answers.find((answer) => answer instanceof CacheStoreError)
      const isWhole = failed !== undefined && this.isOutOfReach() && !answers.some((one) => typeof one === "string")
      return isWhole ? Effect.fail(failed as CacheStoreError) : Effect.succeed(answers)
    })
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

/**
 * A batch on a cluster: one command per hash slot, all sent in the same turn.
 *
 * Stamps on a cluster are in the time of one node, the one that keeps the marks, wherever a key lives: a process measures
 * that clock, and tells a script what it shows. The script uses its own node's clock, brought to that time by the
 * difference the process has measured, only to see that it was carried out late.
 */
import type { Buffer } from "node:buffer"
import calculateSlot from "cluster-key-slot"
import * as Effect from "effect/Effect"
import { CacheStoreError } from "../../../CacheError.js"
import type { Client } from "./client.js"
import type { Connection, Sent } from "./connection.js"
import type { Args, Script } from "./scripts.js"

type Answers<A> = Effect.Effect<ReadonlyArray<A | CacheStoreError>, CacheStoreError>

/** where a key lives, with what the client puts before it */
export const slotOf = (client: Client, key: string): number => calculateSlot((client.options.keyPrefix ?? "") + key)

export class Slots {
  private readonly connection: Connection
  private readonly timeout: number

  constructor(connection: Connection, timeout: number) {
    this.connection = connection
    this.timeout = timeout
  }

  private groups(keys: ReadonlyArray<string>): ReadonlyArray<readonly [slot: number, indices: ReadonlyArray<number>]> {
    const groups = new Map<number, Array<number>>()
    keys.forEach((key, i) => {
      const slot = slotOf(this.connection.client, key)
      const group = groups.get(slot)
      if (group === undefined) groups.set(slot, [i])
      else group.push(i)
    })
    return Array.from(groups)
  }

  /**
   * Asks for all keys by slot. A slot that is on its way from one node to another may have some of its keys on each;
   * such a group is refused as a whole, and is asked for key by key.
   */
  private each<A>(
    method: string,
    keys: ReadonlyArray<string>,
    send: (indices: ReadonlyArray<number>, slot: number) => Sent<ReadonlyArray<A>>["send"]
  ): Effect.Effect<Array<A | CacheStoreError>> {
    const ask = (groups: ReadonlyArray<readonly [number, ReadonlyArray<number>]>) =>
      this.connection.callAll(
        method,
        groups.map(([slot, indices]) => ({ slot, send: send(indices, slot) }))
      )
    return Effect.suspend(() => {
      const groups = this.groups(keys)
      const out = new Array<A | CacheStoreError>(keys.length)
      return Effect.flatMap(ask(groups), (answers) => {
        const split: Array<readonly [number, ReadonlyArray<number>]> = []
        const place = (group: readonly [number, ReadonlyArray<number>], answer: ReadonlyArray<A> | CacheStoreError) =>
          group[1].forEach((index, i) => {
            out[index] = answer instanceof CacheStoreError ? answer : answer[i]!
          })
        answers.forEach((answer, i) => {
          const group = groups[i]!
          if (group[1].length > 1 && answer instanceof CacheStoreError && isSplit(answer)) {
            for (const index of group[1]) split.push([group[0], [index]])
          } else place(group, answer)
        })
        if (split.length === 0) return Effect.succeed(out)
        return Effect.map(ask(split), (answers) => {
          answers.forEach((answer, i) => {
            place(split[i]!, answer)
          })
          return out
        })
      })
    })
  }

  /** the values of all keys, and the head's as the last one, without which the rest is worth nothing */
  read(method: string, keys: ReadonlyArray<string>, head: string): Answers<Buffer | null> {
    const all = [...keys, head]
    const isHead = (indices: ReadonlyArray<number>) => indices.length === 1 && indices[0] === keys.length
    const mget = this.each<Buffer | null>(method, all, (indices) =>
      isHead(indices)
        ? (client) => client.getBuffer(head).then((value) => [value])
        : (client) => client.mgetBuffer(indices.map((index) => all[index]!))
    )
    return Effect.flatMap(mget, (answers) => {
      const last = answers[keys.length]
      return last instanceof CacheStoreError ? Effect.fail(last) : Effect.succeed(answers)
    })
  }

  /**
   * Runs a script over keys, each with as many arguments and a stamp, after what comes `first` for all. Fails only where
   * there is no connection to the whole.
   */
  run(
    method: string,
    script: Script,
    first: Args,
    keys: ReadonlyArray<string>,
    args: Args,
    stamps: ReadonlyArray<number>
  ): Answers<string> {
    const arity = args.length / keys.length
    const answers = this.each<string>(method, keys, (indices, slot) => {
      const own = indices.flatMap((index) => args.slice(index * arity, (index + 1) * arity))
      const send = this.connection.script(
        script,
        indices.map((index) => keys[index]!),
        [...first, ...own, ...this.clock(slot, ...indices.map((index) => stamps[index]!))]
      )
      return (client) => send(client).then((answer) => (Array.isArray(answer) ? answer : [answer]))
    })
    return Effect.flatMap(answers, (answers) => {
      const failed = answers.find((answer) => answer instanceof CacheStoreError)
      const whole = failed !== undefined && !this.connection.isUp() && !answers.some((one) => typeof one === "string")
      return whole ? Effect.fail(failed as CacheStoreError) : Effect.succeed(answers)
    })
  }

  /**
   * What a script is told of time: how far the marks' clock is ahead of its node's, what it shows now, not less than
   * anything this process has seen, and how long after that it is still carried out in time.
   */
  clock(slot: number, ...stamps: ReadonlyArray<number>): ReadonlyArray<string> {
    const { connection } = this
    const asked = stamps.reduce((latest, stamp) => Math.max(latest, stamp), connection.marksTime())
    return [String(connection.skew(slot)), String(asked), String(this.timeout)]
  }
}

/** ioredis follows `TRYAGAIN` to any node, and may end with what that one says */
const isSplit = ({ cause }: CacheStoreError): boolean =>
  cause instanceof Error && /TRYAGAIN|Too many Cluster redirections/.test(cause.message)

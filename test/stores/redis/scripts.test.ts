import { createHash } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Scripts from "../../../src/internal/backends/redis/scripts.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"
import { same } from "../../support/redis-nodes.js"

const run = (script: Scripts.Script, keys: ReadonlyArray<string>, args: ReadonlyArray<string>) =>
  Effect.flatMap(RedisServer, ({ client }) =>
    Effect.promise(() => client.eval(script.text, keys.length, ...keys, "channel", "node", ...args) as Promise<any>)
  )

const serverTime = Effect.flatMap(RedisServer, ({ client }) =>
  Effect.map(
    Effect.promise(() => client.time()),
    ([seconds, micros]) => Number(seconds) * 1_000 + Number(micros) / 1_000
  )
)

/** Bytes with the header of an envelope, which has this stamp and never expires. */
const envelope = (stamp: number): Buffer => {
  const bytes = Buffer.alloc(48)
  bytes.write("EC\u0001", "latin1")
  for (const [offset, value] of [
    [4, stamp],
    [28, Number.POSITIVE_INFINITY]
  ] as const) {
    bytes.writeDoubleBE(value, offset)
  }
  return bytes
}

layer(RedisServer.layer)("redisScripts", (it) => {
  describe("digests", () => {
    for (const [name, script] of Object.entries(Scripts)) {
      it.effect(`${name} - is the SHA-1 of its text, and Redis compiles it`, () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          assert.strictEqual(script.digest, createHash("sha1").update(script.text).digest("hex"))
          assert.strictEqual(yield* Effect.promise(() => client.script("LOAD", script.text)), script.digest)
        })
      )
    }
  })

  describe("on a cluster, with the marks on another node", () => {
    const eval_ = (script: Scripts.Script, key: string, ...args: ReadonlyArray<string | Buffer>) =>
      Effect.flatMap(RedisServer, ({ client }) =>
        Effect.promise(() => client.eval(script.text, 1, key, "channel", "node", ...args) as Promise<any>)
      )
    /** How far the clock of the other node is ahead, in milliseconds. */
    for (const skew of [0, 2_000, -2_000, 3_600_000]) {
      const there = Effect.map(serverTime, (time) => time + skew)
      const clock = (asked: number) => [String(skew), String(asked), "500"]

      it.effect(
        `clock ahead by ${skew} ms - an authoritative write gets the time of the marks, as it came with the command`,
        () =>
          Effect.gen(function* () {
            const key = yield* freshPrefix
            const asked = yield* there
            const set = (stamp: number, authoritative: boolean, now: number) =>
              eval_(Scripts.set, key, envelope(stamp), "", authoritative ? "1000" : "", "", "", ...clock(now))
            same((yield* set(asked - 5, true, asked)).map(Number), [asked])
            // a load that began before it does not overwrite it, one that began later does, with its own stamp
            same(yield* set(asked - 1, false, asked + 1), [""])
            same((yield* set(asked + 1, false, asked + 2)).map(Number), [asked + 1])
            const removed = yield* eval_(Scripts.remove, key, "60000", String(asked + 2), "1000", ...clock(asked + 3))
            same(removed.map(Number), [asked + 3])
            same(yield* set(asked + 2, false, asked + 4), [""])
            assert.strictEqual(
              Number(
                yield* eval_(Scripts.setIfAbsent, key, envelope(asked), "", String(asked), "", ...clock(asked + 5))
              ),
              asked + 5
            )
            assert.strictEqual(
              yield* eval_(Scripts.setIfAbsent, key, envelope(asked), "", String(asked), "", ...clock(asked + 6)),
              ""
            )
          })
      )

      it.effect(`clock ahead by ${skew} ms - an authoritative command that runs late keeps its own stamp`, () =>
        Effect.gen(function* () {
          const key = yield* freshPrefix
          const asked = yield* there
          const later = asked - 100
          yield* eval_(Scripts.set, key, envelope(later), "", "1000", "", "", ...clock(later))
          const before = asked - 5_000
          same(yield* eval_(Scripts.set, key, envelope(before), "", "1000", "", "", ...clock(before)), [""])
          yield* eval_(Scripts.remove, key, "60000", String(before), "1000", ...clock(before))
          const { client } = yield* RedisServer
          assert.strictEqual((yield* Effect.promise(() => client.getBuffer(key)))?.readDoubleBE(4), later)
        })
      )
    }
  })

  describe("marks", () => {
    const keys = Effect.map(freshPrefix, (prefix) => ["versions", "stamps", "head"].map((key) => prefix + key))
    // names and stamps by turns; "" raises now, within the grace period
    const raise = (keys: ReadonlyArray<string>, seen: string, ...names: ReadonlyArray<string>) =>
      raiseWithin(
        keys,
        seen,
        names.flatMap((text, i) => (i % 2 === 0 ? [text] : text === "" ? ["9e15", "0"] : [text, ""]))
      )
    const raiseWithin = (keys: ReadonlyArray<string>, seen: string, args: ReadonlyArray<string>) =>
      Effect.map(run(Scripts.marks, keys, [seen, ...args]), ([floor, version, history, now, raised]) => ({
        floor: Number(floor),
        version: version as string,
        history: history as string,
        now: Number(now),
        raised: raised as ReadonlyArray<string>
      }))

    it.effect("keys that are gone, where no mark was raised - are made again, and the floor stays below all", () =>
      Effect.gen(function* () {
        const three = yield* keys
        const first = yield* raise(three, "0")
        assert.strictEqual(first.floor, -1)
        const { client } = yield* RedisServer
        const subsets = [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]
        for (const gone of subsets) {
          yield* Effect.promise(() => client.del(...gone.map((i) => three[i]!)))
          same((yield* raise(three, "0")).floor, -1, `gone: ${gone}`)
          same(yield* Effect.promise(() => client.exists(...three)), 3)
        }
      })
    )

    for (const kind of ["t:a", "*"]) {
      it.effect(`keys that are gone, where ${kind} was raised - are a loss: the floor is raised to now`, () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          for (const gone of [[0], [1], [2], [0, 1], [0, 2], [1, 2]]) {
            const three = yield* keys
            yield* raise(three, "0", kind, "")
            const before = yield* serverTime
            yield* Effect.promise(() => client.del(...gone.map((i) => three[i]!)))
            const after = yield* raise(three, "0")
            assert.isAtLeast(after.floor, before, `gone: ${gone}`)
            // it is a loss once
            same((yield* raise(three, "0")).floor, after.floor)
          }
        })
      )
    }

    it.effect("all keys gone - are a loss for a process that knows of marks, also after another began anew", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        for (const isBegunAnew of [false, true]) {
          const three = yield* keys
          const { history, version } = yield* raise(three, "0", "t:a", "")
          yield* Effect.promise(() => client.del(...three))
          const before = yield* serverTime
          if (isBegunAnew) {
            const first = yield* raise(three, "0")
            assert.isAbove(Number(first.version), Number(version))
            same(first.floor, -1)
          }
          const after = yield* raise(three, `${version} ${history}`)
          assert.isAtLeast(after.floor, before)
          assert.isAbove(Number(after.version), Number(version))
          same((yield* raise(three, `${after.version} ${after.history}`)).floor, after.floor)
        }
      })
    )

    it.effect("marks raised since the version that was seen - are returned, and no others", () =>
      Effect.gen(function* () {
        const three = yield* keys
        const first = yield* raise(three, "0", "t:a", "")
        const second = yield* raise(three, first.version, "t:b", "")
        same(
          second.raised.filter((_, i) => i % 2 === 0),
          ["t:b"]
        )
        const all = yield* raise(three, "0")
        same(
          all.raised.filter((_, i) => i % 2 === 0),
          ["t:a", "t:b"]
        )
      })
    )

    it.effect("a stamp an hour ahead - counts as now, for a tag and for everything", () =>
      Effect.gen(function* () {
        const three = yield* keys
        const ahead = String((yield* serverTime) + 3_600_000)
        const tag = yield* raise(three, "0", "t:a", ahead)
        assert.isAtMost(Number(tag.raised[1]), tag.now)
        const all = yield* raise(three, tag.version, "*", ahead)
        assert.isAtMost(all.floor, all.now)
      })
    )

    it.effect("a stamp older than the stored one - changes nothing", () =>
      Effect.gen(function* () {
        const three = yield* keys
        const first = yield* raise(three, "0", "t:a", "")
        const second = yield* raise(three, "0", "t:a", "5", "*", "5")
        same([second.floor, second.raised], [5, first.raised])
      })
    )

    it.effect("a mark that is raised late - keeps its stamp, and one in time gets the current time", () =>
      Effect.gen(function* () {
        const three = yield* keys
        const asked = (yield* serverTime) - 5_000
        const late = yield* raiseWithin(three, "0", ["t:late", String(asked), "1000"])
        assert.approximately(Number(late.raised[1]), asked, 1)
        const inTime = yield* raiseWithin(three, late.version, ["t:inTime", String(asked), "60000"])
        assert.isAbove(Number(inTime.raised[1]), asked + 4_000)
      })
    )

    it.effect("versions - increase across a loss of everything", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        const three = yield* keys
        const first = yield* raise(three, "0", "t:a", "", "t:b", "")
        yield* Effect.promise(() => client.del(...three))
        const second = yield* raise(three, `${first.version} ${first.history}`)
        assert.isAbove(Number(second.version), Number(first.version))
        assert.isAbove(second.floor, first.floor)
      })
    )
  })
})

import { createHash } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, FastCheck, Runtime } from "effect"
import * as MarkScripts from "../../../src/internal/backends/redis/markScripts.js"
import type { Script } from "../../../src/internal/backends/redis/scriptParts.js"
import * as Scripts from "../../../src/internal/backends/redis/scripts.js"
import { freshPrefix, live, RedisServer } from "../../support/redis.js"
import { same } from "../../support/redis-nodes.js"

const run = (script: Script, keys: ReadonlyArray<string>, args: ReadonlyArray<string>) =>
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
    for (const [name, script] of Object.entries({ ...Scripts, ...MarkScripts })) {
      it.effect(`${name} - is the SHA-1 of its text, and Redis compiles it`, () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          assert.strictEqual(script.digest, createHash("sha1").update(script.text).digest("hex"))
          assert.strictEqual(yield* Effect.promise(() => client.script("LOAD", script.text)), script.digest)
        })
      )
    }
  })

  describe("law 8: invalidation wins - the count", () => {
    const step = 1 / 16
    const tick = 1 / 1024

    const store = Effect.gen(function* () {
      const { client } = yield* RedisServer
      const prefix = yield* freshPrefix
      const [key, count, lock] = ["k", "count", "lock"].map((name) => prefix + name) as [string, string, string]
      const eval_ = (script: Script, keys: ReadonlyArray<string>, ...args: ReadonlyArray<string | Buffer>) =>
        Effect.promise(() => client.eval(script.text, keys.length, ...keys, "channel", "node", ...args) as Promise<any>)
      return {
        count,
        key,
        client,
        /** The count, as a process reads it together with entries. */
        read: Effect.map(
          Effect.promise(() => client.get(count)),
          (text) => Number(text?.split(" ")[0] ?? Number.NaN)
        ),
        raise: (seen: number) => Effect.map(eval_(Scripts.raise, [count], String(seen)), Number),
        load: (stamp: number, seen = stamp - tick, { age = 60_000, least = 0, lifetime = "" } = {}) =>
          Effect.map(
            eval_(Scripts.set, [key, count], envelope(stamp), lifetime, "load", `${age}`, `${least}`, "", `${seen}`),
            ([answer]) => answer as string
          ),
        set: (seen: number, kind = "first", { least = 30_000, lifetime = "" } = {}) =>
          Effect.map(
            eval_(Scripts.set, [key, count], envelope(1), lifetime, kind, "", `${least}`, "", `${seen}`),
            ([answer]) => answer as string
          ),
        remove: (seen: number, lifetime = "60000") =>
          Effect.map(eval_(Scripts.remove, [key, count], lifetime, "", `${seen}`), ([answer]) => Number(answer)),
        setIfAbsent: (seen: number, kind = "first") =>
          Effect.map(
            eval_(Scripts.setIfAbsent, [key, count], envelope(1), "", "0", "", kind, "30000", `${seen}`),
            (answer) => answer as string
          ),
        /** A value that was set and is sent again, with the stamp of when it was asked for. */
        retry: (stamp: number, seen: number) =>
          Effect.map(
            eval_(Scripts.set, [key, count], envelope(stamp), "", "retry", "", "30000", "", `${seen}`),
            ([answer]) => answer as string
          ),
        /** A copy of an entry of a slower tier, which was asked for when the count was `since`. */
        copy: (stamp: number, since: number) =>
          Effect.map(
            eval_(Scripts.set, [key, count], envelope(stamp), "", "load", `30000 ${since}`, "0", "2", `${since}`),
            ([answer]) => answer as string
          ),
        /** A write with the stamp that another tier gave. */
        follow: (stamp: number, kind: "above" | "follow", seen: number) =>
          Effect.map(
            eval_(Scripts.set, [key, count], envelope(stamp), "", kind, "", "30000", "2", `${seen}`),
            ([answer]) => answer as string
          ),
        fenced: (stamp: number, token: string) =>
          Effect.map(
            eval_(Scripts.setFenced, [key, lock, count], envelope(stamp), "", "load", "", "0", "", token, `${stamp}`),
            ([answer]) => answer as string
          ),
        marks: (seen: number, ...names: ReadonlyArray<string>) =>
          Effect.map(
            eval_(
              MarkScripts.marks,
              [`${prefix}v`, `${prefix}s`, `${prefix}h`, `${prefix}b`, `${prefix}l`, count],
              "0",
              ...names,
              `${seen}`
            ),
            ([floor, , , now]) => ({ floor: Number(floor), now: Number(now) })
          ),
        lock: (token: string) => Effect.promise(() => client.set(lock, token)),
        there: Effect.map(
          Effect.promise(() => client.getBuffer(key)),
          (bytes) => bytes?.readDoubleBE(4)
        ),
        left: Effect.promise(() => client.pttl(key))
      }
    })

    it.effect("a tombstone, and a lock - were used now, so that a Redis that evicts keeps them for longest", () =>
      Effect.gen(function* () {
        const { client, key, raise, remove } = yield* store
        const lock = `${key}:lock`
        const idle = (name: string) => Effect.promise(() => client.call("OBJECT", "IDLETIME", name))
        const take = Effect.promise(() =>
          client.eval(Scripts.lock.text, 1, lock, "channel", "node", "a token", "60000")
        )
        // Redis uses the short arguments of an earlier script again, with the time at which they were used
        const readMarks = Effect.promise(() =>
          client.eval("return redis.call('ZRANGEBYSCORE', KEYS[1], '(1795953790961000', '+inf')", 1, `${key}:none`)
        )
        const seen = yield* raise(0)
        for (const [write, name] of [
          [remove(seen), key],
          [take, lock]
        ] as const) {
          yield* readMarks
          yield* live(Effect.sleep("3200 millis"))
          yield* write
          assert.isAtMost(Number(yield* idle(name)), 1)
        }
      })
    )

    it.effect("a copy that was asked for before a tombstone that is gone - is late", () =>
      Effect.gen(function* () {
        const { client, copy, count, key, raise, read, remove } = yield* store
        const since = yield* raise(0)
        const stamp = since - 3_600_000
        assert.strictEqual(Number(yield* copy(stamp, since)), stamp)
        yield* remove(since)
        assert.strictEqual(yield* copy(stamp, since), "")
        const [now, ...rest] = (yield* Effect.promise(() => client.get(count)))!.split(" ")
        yield* Effect.promise(() => client.set(count, [Number(now) + 40_000, ...rest].join(" ")))
        yield* Effect.promise(() => client.del(key))
        assert.strictEqual(yield* copy(stamp, since), "late")
        assert.strictEqual(Number(yield* copy(stamp, yield* read)), stamp)
      })
    )

    it.effect("a copy with a stamp above the count - raises it, so that a later mark covers the entry", () =>
      Effect.gen(function* () {
        const { copy, marks, raise } = yield* store
        const since = yield* raise(0)
        assert.strictEqual(Number(yield* copy(since + 5_000, since)), since + 5_000)
        assert.isAbove((yield* marks(since, "t:x")).now, since + 5_000)
        assert.strictEqual(yield* copy(since + 500_000, since), "late")
      })
    )

    it.effect("a stamp that another tier gave - is kept, whatever the count is, which follows it", () =>
      Effect.gen(function* () {
        const { follow, raise, read } = yield* store
        const seen = yield* raise(0)
        for (const stamp of [seen - 3_600_000, seen + 3_600_000]) {
          assert.strictEqual(Number(yield* follow(stamp, "follow", seen)), stamp)
          assert.isAtLeast(yield* read, stamp)
          assert.strictEqual(yield* follow(stamp - 1, "follow", seen), "")
          assert.strictEqual(Number(yield* follow(stamp - 1, "above", seen)), stamp + tick)
        }
      })
    )

    it.effect("the first count - is not below the time of the server, and every raise is a step above the last", () =>
      Effect.gen(function* () {
        const { raise, read } = yield* store
        const time = yield* serverTime
        const first = yield* raise(0)
        assert.isAtLeast(first, time)
        assert.strictEqual(yield* read, first)
        assert.isAtLeast(yield* raise(first), first + step)
      })
    )

    it.effect("a load that began before an invalidation - is not written, one that began after it is", () =>
      Effect.gen(function* () {
        const { load, raise, remove, there } = yield* store
        const seen = yield* raise(0)
        const removed = yield* remove(seen)
        assert.isAbove(removed, seen + tick)
        assert.strictEqual(yield* load(seen + tick), "")
        assert.strictEqual(Number(yield* load(removed + tick)), removed + tick)
        assert.strictEqual(yield* there, removed + tick)
      })
    )

    it.effect(
      "a count ahead of the server's clock - goes on from there, so a clock that is set back changes nothing",
      () =>
        Effect.gen(function* () {
          const { client, count, load, remove, set } = yield* store
          const ahead = Math.ceil(yield* serverTime) + 3_600_000
          yield* Effect.promise(() => client.set(count, `${ahead} 0 0`))
          const removed = yield* remove(ahead)
          assert.strictEqual(removed, ahead + step)
          assert.strictEqual(yield* load(ahead + tick), "")
          assert.strictEqual(Number(yield* load(removed + tick)), removed + tick)
          assert.strictEqual(Number(yield* set(removed)), removed + step)
        })
    )

    it.effect(
      "a clock that has stepped forward - a load from before it is written, and the next set wins over it",
      () =>
        Effect.gen(function* () {
          const { client, count, load, set } = yield* store
          const behind = Math.floor(yield* serverTime) - 3_600_000
          yield* Effect.promise(() => client.set(count, `${behind} ${behind} ${behind}`))
          assert.strictEqual(Number(yield* load(behind + tick)), behind + tick)
          assert.isAtLeast(Number(yield* set(behind)), behind + 3_600_000)
        })
    )

    it.effect("a set after which nothing was written - is written at once", () =>
      Effect.gen(function* () {
        const { raise, set } = yield* store
        const first = Number(yield* set(yield* raise(0)))
        assert.isAbove(Number(yield* set(first)), first)
      })
    )

    for (const [name, write] of [
      ["a removal", (it: Effect.Effect.Success<typeof store>, seen: number) => it.remove(seen)],
      ["a set", (it: Effect.Effect.Success<typeof store>, seen: number) => it.set(seen)],
      ["a mark", (it: Effect.Effect.Success<typeof store>, seen: number) => it.marks(seen, "t:a")],
      ["a ticket of another set", (it: Effect.Effect.Success<typeof store>, seen: number) => it.raise(seen)]
    ] as const) {
      it.effect(`a set that runs late, after ${name} - is not written, and its ticket orders it`, () =>
        Effect.gen(function* () {
          const it = yield* store
          const seen = yield* it.raise(0)
          yield* write(it, seen)
          const before = yield* it.there
          const answer = yield* it.set(seen)
          assert.match(answer, /^again /)
          assert.strictEqual(yield* it.there, before)
          const ticket = Number(answer.slice(6))
          assert.strictEqual(yield* it.read, ticket)
          // whatever comes between the ticket and the write is later than it
          assert.strictEqual(Number(yield* it.set(ticket, String(ticket))), ticket)
        })
      )

      it.effect(`a setIfAbsent that runs late, after ${name} - is not written`, () =>
        Effect.gen(function* () {
          const it = yield* store
          const seen = yield* it.raise(0)
          yield* write(it, seen)
          const before = yield* it.there
          const answer = yield* it.setIfAbsent(seen)
          assert.isTrue(answer === "" || answer.startsWith("again "), answer)
          assert.strictEqual(yield* it.there, before)
        })
      )
    }

    it.effect("a set with a ticket that runs late - gives way to what was written after its ticket was given", () =>
      Effect.gen(function* () {
        const { raise, remove, set, there } = yield* store
        const ticket = yield* raise(0)
        const removed = yield* remove(ticket)
        assert.strictEqual(yield* set(removed, String(ticket)), "")
        assert.strictEqual(yield* there, removed)
      })
    )

    it.effect("a ticket that is older than tombstones are kept - is late once something was written since", () =>
      Effect.gen(function* () {
        const { client, count, key, set } = yield* store
        const now = Math.floor(yield* serverTime)
        const ticket = now - 40_000
        yield* Effect.promise(() => client.set(count, `${now} ${ticket} ${ticket}`))
        assert.strictEqual(Number(yield* set(now, String(ticket))), ticket)
        yield* Effect.promise(() => client.del(key))
        yield* Effect.promise(() => client.set(count, `${now} ${now} ${now}`))
        assert.strictEqual(yield* set(now, String(ticket)), "late")
      })
    )

    it.effect("a load that is older than its age - is late only if something was written since it began", () =>
      Effect.gen(function* () {
        const { client, count, key, load } = yield* store
        const now = Math.floor(yield* serverTime)
        const began = now - 40_000
        yield* Effect.promise(() => client.set(count, `${began} ${began} ${began}`))
        assert.strictEqual(Number(yield* load(began + tick, began, { age: 30_000 })), began + tick)
        yield* Effect.promise(() => client.del(key))
        yield* Effect.promise(() => client.set(count, `${now} ${began + 5_000} ${began}`))
        assert.strictEqual(yield* load(began + tick, began, { age: 30_000 }), "late")
        assert.strictEqual(Number(yield* load(began + tick, began, { age: 50_000 })), began + tick)
      })
    )

    it.effect("a load above the count - is late: the count was lost, and with it what it had counted", () =>
      Effect.gen(function* () {
        const { load, raise } = yield* store
        const count = yield* raise(0)
        assert.strictEqual(yield* load(count + 5_000, count), "late")
      })
    )

    for (const [name, broken] of [
      ["missing", undefined],
      ["text", "hello"],
      ["infinite", "inf 0 0"],
      ["not a number", "nan nan nan"],
      ["negative", "-5 -5 -5"],
      ["in the far future", `${2 ** 44} 0 0`]
    ] as const) {
      it.effect(`a count that is ${name} - begins again above the clock and above what the caller has seen`, () =>
        Effect.gen(function* () {
          const { client, count, raise } = yield* store
          if (broken !== undefined) yield* Effect.promise(() => client.set(count, broken))
          const time = yield* serverTime
          const first = yield* raise(0)
          assert.isAtLeast(first, time)
          assert.isBelow(first, time + 60_000)
          yield* Effect.promise(() => client.del(count))
          assert.isAbove(yield* raise(first + 7_000), first + 7_000)
        })
      )
    }

    it.effect("a count below what the caller has seen - writes were lost: the floor rises, and the count too", () =>
      Effect.gen(function* () {
        const { client, count, marks } = yield* store
        const before = yield* marks(0)
        assert.strictEqual((yield* marks(before.now)).floor, before.floor)
        yield* Effect.promise(() => client.set(count, `${before.now - 5_000} 0 0`))
        const after = yield* marks(before.now + 9_000)
        assert.isAbove(after.now, before.now + 9_000)
        assert.isAbove(after.floor, before.now)
      })
    )

    it.effect(
      "a load with a short life in place of a tombstone - keeps its stamp as long as the tombstone would stay",
      () =>
        Effect.gen(function* () {
          const { left, load, raise, remove } = yield* store
          const seen = yield* raise(0)
          const removed = yield* remove(seen)
          yield* load(removed + tick, removed, { least: 30_000, lifetime: "5" })
          assert.isAbove(yield* left, 15_000)
          // and so does the next one
          yield* load(removed + 2 * tick, removed, { least: 30_000, lifetime: "5" })
          assert.isAbove(yield* left, 15_000)
          yield* Effect.promise(() => new Promise((resume) => setTimeout(resume, 20)))
          assert.strictEqual(yield* load(seen + tick), "")
        })
    )

    it.effect("a set with a short life - keeps its stamp as long as a tombstone", () =>
      Effect.gen(function* () {
        const { left, raise, set } = yield* store
        yield* set(yield* raise(0), "first", { lifetime: "5" })
        assert.isAbove(yield* left, 15_000)
      })
    )

    it.effect("a set that is superseded by a load with a short life - leaves a stamp for as long as its own", () =>
      Effect.gen(function* () {
        const { left, load, raise, set } = yield* store
        const [older, ticket] = [yield* raise(0), yield* raise(0)]
        yield* load(ticket + tick, ticket, { lifetime: "5000" })
        assert.strictEqual(yield* set(ticket, String(ticket)), "")
        assert.isAbove(yield* left, 15_000)
        // so that an older one which hangs cannot come after it
        assert.strictEqual(yield* set(ticket, String(older)), "")
      })
    )

    it.effect("a load with a short life, where nothing was - stays for its life only", () =>
      Effect.gen(function* () {
        const { left, load, raise } = yield* store
        yield* load((yield* raise(0)) + tick, undefined, { least: 30_000, lifetime: "900" })
        assert.isAtMost(yield* left, 900)
      })
    )

    it.effect("a set that is sent again, after which nothing was written - is later than all that has begun", () =>
      Effect.gen(function* () {
        const { load, raise, retry, set, there } = yield* store
        const [asked, other] = [yield* raise(0), yield* raise(0)]
        yield* load(asked + tick)
        const written = Number(yield* retry(other + tick, other))
        assert.isAbove(written, other + tick)
        assert.strictEqual(yield* there, written)
        // neither a load that began before it was sent again, nor a first attempt from before
        assert.strictEqual(yield* load(other + tick), "")
        assert.match(yield* set(other), /^again /)
        assert.strictEqual(yield* there, written)
      })
    )

    it.effect(
      "two processes send a set again, the earlier one with the higher stamp - it does not come after the later",
      () =>
        Effect.gen(function* () {
          const { client, count, raise, retry, there } = yield* store
          const seen = yield* raise(0)
          // one of the two has set other keys before the outage, so it has seen more
          const more = seen + 2 * step
          yield* Effect.promise(() => client.set(count, `${more} ${more} ${seen}`))
          const later = Number(yield* retry(seen + tick, more))
          assert.isAbove(later, 0)
          assert.strictEqual(yield* retry(more + tick, more), "")
          assert.strictEqual(yield* there, later)
        })
    )

    it.effect("a set that is sent again after the count was lost - is written where nothing is, and at most once", () =>
      Effect.gen(function* () {
        const { client, count, key, raise, retry, there } = yield* store
        const [asked, later] = [yield* raise(0), yield* raise(0)]
        yield* Effect.promise(() => client.del(count))
        assert.strictEqual(Number(yield* retry(asked + tick, 0)), asked + tick)
        assert.strictEqual(yield* retry(later + tick, 0), "late")
        assert.strictEqual(yield* there, asked + tick)
        yield* raise(0)
        yield* Effect.promise(() => client.del(key))
        assert.strictEqual(yield* retry(later + tick, 0), "late")
      })
    )

    for (const [name, write] of [
      ["a removal", (it: Effect.Effect.Success<typeof store>, seen: number) => it.remove(seen)],
      ["a set", (it: Effect.Effect.Success<typeof store>, seen: number) => it.set(seen)],
      ["a mark", (it: Effect.Effect.Success<typeof store>, seen: number) => it.marks(seen, "t:a")],
      ["a ticket", (it: Effect.Effect.Success<typeof store>, seen: number) => it.raise(seen)],
      ["another one", (it: Effect.Effect.Success<typeof store>, seen: number) => it.retry(seen + tick, seen)]
    ] as const) {
      it.effect(
        `a set that is sent again, after ${name} - is not written: which was asked for later is not known`,
        () =>
          Effect.gen(function* () {
            const it = yield* store
            const seen = yield* it.raise(0)
            yield* write(it, seen)
            const before = yield* it.there
            const answer = yield* it.retry(seen + 2 * tick, yield* it.read)
            assert.isTrue(answer === "" || answer === "late", answer)
            assert.strictEqual(yield* it.there, before)
          })
      )
    }

    for (const [name, write] of [
      ["a removal", (it: Effect.Effect.Success<typeof store>, _: number) => it.remove(0)],
      ["a set", (it: Effect.Effect.Success<typeof store>, asked: number) => it.set(0, `${asked}`)],
      ["a mark", (it: Effect.Effect.Success<typeof store>, _: number) => it.marks(0, "t:a")],
      ["a ticket", (it: Effect.Effect.Success<typeof store>, _: number) => it.raise(0)]
    ] as const) {
      it.effect(`a set that is sent again, after ${name} that found the count lost - is not written`, () =>
        Effect.gen(function* () {
          const it = yield* store
          const asked = yield* it.raise(0)
          yield* Effect.promise(() => it.client.del(it.count))
          yield* write(it, asked)
          // what it left under the key has expired
          yield* Effect.promise(() => it.client.del(it.key))
          assert.strictEqual(yield* it.retry(asked + tick, asked), "late")
        })
      )
    }

    it.effect("a set that is sent again long after the count was lost - is late: what was set first may be gone", () =>
      Effect.gen(function* () {
        const { client, count, retry, there } = yield* store
        const lost = Math.floor(yield* serverTime) - 40_000
        yield* Effect.promise(() => client.set(count, `${lost} ${lost} ${lost}`))
        assert.strictEqual(yield* retry(lost - 10 + tick, lost), "late")
        assert.isUndefined(yield* there)
      })
    )

    it.effect("one script that writes an entry and gives a ticket for another - does not look like a lost count", () =>
      Effect.gen(function* () {
        const { client, count, key, raise, retry, set, there } = yield* store
        const seen = yield* raise(0)
        yield* set(seen)
        const args = [Buffer.from(envelope(1)), "", "first", "", "30000", ""]
        const answers = yield* Effect.promise(
          () =>
            client.eval(
              Scripts.set.text,
              3,
              `${key}2`,
              key,
              count,
              "channel",
              "node",
              ...args,
              ...args,
              `${seen}`
            ) as Promise<ReadonlyArray<string>>
        )
        assert.isAbove(Number(answers[0]), seen)
        assert.match(answers[1]!, /^again /)
        yield* Effect.promise(() => client.del(key))
        assert.strictEqual(yield* retry(seen + tick, seen), "late")
        assert.isUndefined(yield* there)
      })
    )

    it.effect(
      "a set that is sent again when tombstones may have ended - is late once something was written since",
      () =>
        Effect.gen(function* () {
          const { client, count, retry } = yield* store
          const now = Math.floor(yield* serverTime)
          const asked = now - 40_000
          yield* Effect.promise(() => client.set(count, `${now} ${now} ${asked}`))
          assert.strictEqual(yield* retry(asked + tick, now), "late")
          yield* Effect.promise(() => client.set(count, `${now} ${asked} ${asked}`))
          assert.isAtLeast(Number(yield* retry(asked + tick, now)), now)
        })
    )

    it.effect("a set that is sent again to a node of a cluster - is written with the ticket it got there, or not", () =>
      Effect.gen(function* () {
        const { client, count, key, load, raise, there } = yield* store
        const eval_ = (script: Script, keys: ReadonlyArray<string>, ...args: ReadonlyArray<string | Buffer>) =>
          Effect.promise(
            () => client.eval(script.text, keys.length, ...keys, "channel", "node", ...args) as Promise<any>
          )
        const onNode = (stamp: number, ticket: string) =>
          Effect.map(
            eval_(Scripts.setOnNode, [key], envelope(stamp), "", "retry", ticket, "30000", "", ticket),
            ([answer]) => answer as string
          )
        const tickets = (seen: number, ...stamps: ReadonlyArray<number>) =>
          Effect.map(
            eval_(Scripts.ticketOfRetries, [count], ...stamps.flatMap((stamp) => [`${stamp}`, "30000", ""]), `${seen}`),
            (answer) => answer as ReadonlyArray<string>
          )
        const seen = yield* raise(yield* raise(0))
        const [ticket, ...answers] = yield* tickets(seen, seen + tick, seen - 1)
        same(answers, [ticket, "late"])
        assert.isAtLeast(Number(ticket), seen + step)
        // a ticket of another one says nothing about what was asked for
        assert.isAbove(Number((yield* tickets(seen, seen + tick))[1]), Number(ticket))
        assert.strictEqual(yield* onNode(seen + tick, ticket!), ticket)
        assert.strictEqual(yield* there, Number(ticket))
        assert.strictEqual(yield* onNode(seen + tick, String(Number(ticket) + step)), "")
        assert.strictEqual(yield* load(seen + tick), "")
        // one that had a ticket keeps it, unless what came after it may have expired
        const keeps = (ticket: number) =>
          Effect.map(
            eval_(Scripts.ticketOfRetries, [count], `${ticket - step}`, "30000", `${ticket}`, "0"),
            (answer) => (answer as ReadonlyArray<string>)[1]
          )
        const had = yield* raise(seen)
        yield* raise(had)
        assert.strictEqual(Number(yield* keeps(had)), had)
        assert.strictEqual(yield* keeps(had - 40_000), "late")
        // a value that was set before another one, which then expired with its stamp
        const long = Math.floor(yield* serverTime) - 40_000
        yield* Effect.promise(() => client.set(count, `${long + step} ${long + step} ${long - 1}`))
        same((yield* tickets(0, long)).slice(1), ["late"])
        yield* Effect.promise(() => client.set(count, `${long + step} ${long - 1} ${long - 1}`))
        assert.isAbove(Number((yield* tickets(0, long))[1]), long)
        yield* raise(seen)
        same((yield* tickets(seen, seen + tick)).slice(1), ["late"])
        yield* Effect.promise(() => client.del(count))
        same((yield* tickets(0, seen, seen + 60_000)).slice(1), ["", "late"])
        yield* raise(0)
        same((yield* tickets(0, seen)).slice(1), ["late"])
      })
    )

    it.effect("a count ahead of a clock that was set back - tombstones stay until loads from before are late", () =>
      Effect.gen(function* () {
        const { client, count, left, load, remove, set, setIfAbsent } = yield* store
        const ahead = Math.ceil(yield* serverTime) + 3_600_000
        yield* Effect.promise(() => client.set(count, `${ahead} 0 0`))
        const removed = yield* remove(ahead, "30000")
        assert.isAbove(yield* left, 3_600_000)
        yield* load(removed + tick, removed, { least: 30_000, lifetime: "5" })
        assert.isAbove(yield* left, 3_600_000)
        const written = Number(yield* set(removed, "first", { lifetime: "5" }))
        assert.isAbove(yield* left, 3_600_000)
        yield* remove(written, "5")
        yield* setIfAbsent(written)
        yield* Effect.promise(() => client.set(count, `${2 ** 42} 0 0`))
        yield* remove(2 ** 42, "30000")
        assert.isAtMost(yield* left, 86_430_000)
      })
    )

    it.effect("any sequence of scripts - a load is below every invalidation that began after it", () =>
      Effect.gen(function* () {
        const { load, marks, raise, read, remove, retry, set, there } = yield* store
        const names = ["begin", "end", "late set", "mark", "raise", "read", "remove", "retry", "set"] as const
        const first = yield* raise(0)
        const check = (commands: ReadonlyArray<{ name: (typeof names)[number]; process: number }>) =>
          Effect.gen(function* () {
            const start = yield* read
            const processes = [0, 1, 2].map(() => ({ seen: first, loads: [] as Array<number>, asked: start }))
            const begun: Array<number> = []
            let latest = start
            /** What is carried out now is above every load that has begun, and above what was carried out before. */
            const invalidated = (stamp: number) => {
              for (const load of begun) assert.isBelow(load, stamp)
              assert.isAbove(stamp, latest)
              latest = stamp
            }
            for (const { name, process } of commands) {
              const it = processes[process]!
              switch (name) {
                case "begin":
                  it.loads.push(it.seen + tick)
                  begun.push(it.seen + tick)
                  break
                case "end": {
                  const stamp = it.loads.shift()
                  if (stamp === undefined) break
                  const before = yield* there
                  const isNewer = before === undefined || stamp >= before
                  const answer = yield* load(stamp, it.seen)
                  // the script prints 17 digits, which may be more than JavaScript prints of the same number
                  assert.strictEqual(answer === "" ? undefined : Number(answer), isNewer ? stamp : undefined)
                  break
                }
                case "late set": {
                  // it was sent when its process had seen the first count, and nobody waits for its answer
                  const answer = yield* set(it.asked)
                  if (!answer.startsWith("again ")) invalidated(Number(answer))
                  break
                }
                case "mark":
                  it.seen = (yield* marks(it.seen, "t:a")).now
                  invalidated(it.seen)
                  break
                case "raise":
                  it.seen = yield* raise(it.seen)
                  invalidated(it.seen)
                  break
                case "read":
                  it.seen = yield* read
                  break
                case "remove":
                  it.seen = yield* remove(it.seen)
                  invalidated(it.seen)
                  break
                case "retry":
                  yield* retry(it.seen + tick, it.seen)
                  break
                case "set": {
                  const answer = yield* set(it.seen)
                  const ticket = answer.startsWith("again ") ? Number(answer.slice(6)) : undefined
                  it.seen = ticket ?? Number(answer)
                  invalidated(it.seen)
                  if (ticket !== undefined) assert.strictEqual(Number(yield* set(ticket, String(ticket))), ticket)
                }
              }
            }
          })
        const runtime = yield* Effect.runtime()
        const command = FastCheck.record({ name: FastCheck.constantFrom(...names), process: FastCheck.nat(2) })
        const property = FastCheck.asyncProperty(FastCheck.array(command, { maxLength: 30 }), (commands) =>
          Runtime.runPromise(runtime)(check(commands))
        )
        yield* Effect.promise(() => FastCheck.assert(property, { numRuns: 60 }))
      })
    )

    it.effect("a write with a lock - is ordered by the count too", () =>
      Effect.gen(function* () {
        const { fenced, lock, raise, remove } = yield* store
        const seen = yield* raise(0)
        assert.strictEqual(yield* fenced(seen + tick, "mine"), "fenced")
        yield* lock("mine")
        assert.strictEqual(Number(yield* fenced(seen + tick, "mine")), seen + tick)
        const removed = yield* remove(seen)
        assert.strictEqual(yield* fenced(seen + 2 * tick, "mine"), "")
        assert.strictEqual(Number(yield* fenced(removed + tick, "mine")), removed + tick)
      })
    )
  })

  describe("law 8: invalidation wins - the nodes of a cluster, which have no count", () => {
    const eval_ = (script: Script, key: string, ...args: ReadonlyArray<string | Buffer>) =>
      Effect.flatMap(RedisServer, ({ client }) =>
        Effect.promise(() => client.eval(script.text, 1, key, "channel", "node", ...args) as Promise<any>)
      )
    for (const ahead of [0, 3_600_000, -3_600_000]) {
      it.effect(`tickets from a clock that is ${ahead} ms ahead - order writes, removals and loads`, () =>
        Effect.gen(function* () {
          const key = yield* freshPrefix
          const seen = Math.floor(yield* serverTime) + ahead
          const set = (kind: string, stamp = 1) =>
            Effect.map(
              eval_(Scripts.setOnNode, key, envelope(stamp), "", kind, "", "0", "", String(seen)),
              ([answer]) => answer as string
            )
          assert.strictEqual(Number(yield* set(String(seen + 2))), seen + 2)
          assert.strictEqual(yield* set("load", seen + 1), "")
          assert.strictEqual(Number(yield* set("load", seen + 3)), seen + 3)
          same((yield* eval_(Scripts.removeOnNode, key, "60000", String(seen + 5), String(seen))).map(Number), [
            seen + 5
          ])
          assert.strictEqual(yield* set("load", seen + 4), "")
          assert.strictEqual(yield* set(String(seen + 4)), "")
          const ifAbsent = (ticket: number) =>
            eval_(Scripts.setIfAbsentOnNode, key, envelope(1), "", "0", "", String(ticket), "0", String(seen))
          assert.strictEqual(yield* ifAbsent(seen + 4), "")
          assert.strictEqual(Number(yield* ifAbsent(seen + 6)), seen + 6)
          assert.strictEqual(yield* ifAbsent(seen + 7), "")
        })
      )
    }
  })

  describe("marks", () => {
    const keys = Effect.map(freshPrefix, (prefix) => ["versions", "stamps", "head"].map((key) => prefix + key))
    const learned = ([floor, version, history, now, raised]: ReadonlyArray<any>) => ({
      floor: Number(floor),
      version: version as string,
      history: history as string,
      now: Number(now),
      raised: raised as ReadonlyArray<string>
    })
    const raise = (keys: ReadonlyArray<string>, seen: string, ...names: ReadonlyArray<string>) =>
      Effect.map(
        run(
          MarkScripts.marks,
          [...keys, `${keys[0]}:buckets`, `${keys[0]}:lifespans`, `${keys[0]}:count`],
          [seen, ...names, "0"]
        ),
        learned
      )

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
            const { now } = yield* raise(three, "0", kind)
            yield* Effect.promise(() => client.del(...gone.map((i) => three[i]!)))
            const after = yield* raise(three, "0")
            assert.isAtLeast(after.floor, now, `gone: ${gone}`)
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
          const { history, now, version } = yield* raise(three, "0", "t:a")
          yield* Effect.promise(() => client.del(...three))
          if (isBegunAnew) {
            // the count, and versions with it, may be ahead of the clock by some steps of a sixteenth of a millisecond
            yield* live(Effect.sleep(5))
            const first = yield* raise(three, "0")
            assert.isAbove(Number(first.version), Number(version))
            same(first.floor, -1)
          }
          const after = yield* raise(three, `${version} ${history}`)
          assert.isAtLeast(after.floor, now)
          assert.isAbove(Number(after.version), Number(version))
          same((yield* raise(three, `${after.version} ${after.history}`)).floor, after.floor)
        }
      })
    )

    it.effect("marks raised since the version that was seen - are returned, and no others", () =>
      Effect.gen(function* () {
        const three = yield* keys
        const first = yield* raise(three, "0", "t:a")
        const second = yield* raise(three, first.version, "t:b")
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

    it.effect("a mark - is above every stamp that was given before, and everything is above it afterwards", () =>
      Effect.gen(function* () {
        const three = yield* keys
        const first = yield* raise(three, "0", "t:a")
        const second = yield* raise(three, first.version, "t:a", "*")
        assert.strictEqual(Number(first.raised[1]), first.now)
        assert.isAbove(second.now, first.now)
        assert.strictEqual(second.floor, second.now)
      })
    )

    it.effect("versions - increase across a loss of everything", () =>
      Effect.gen(function* () {
        const { client } = yield* RedisServer
        const three = yield* keys
        const first = yield* raise(three, "0", "t:a", "t:b")
        yield* Effect.promise(() => client.del(...three))
        const second = yield* raise(three, `${first.version} ${first.history}`)
        assert.isAbove(Number(second.version), Number(first.version))
        assert.isAtLeast(second.floor, first.floor)
      })
    )

    describe("that are not needed any more", () => {
      const wait = (millis: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, millis)))
      /** The four words of a process that keeps 1 000 marks apart and knows this lifespan. */
      const words = (lifespan: number, seen = "0", bound = 1_000) => `${seen} - ${bound} ${lifespan}`
      const kept = (keys: ReadonlyArray<string>) =>
        Effect.map(
          Effect.flatMap(RedisServer, ({ client }) => Effect.promise(() => client.zrange(keys[0]!, 1, -1))),
          (names) => names as ReadonlyArray<string>
        )

      it.effect("the longest lifespan after a mark - the floor takes its place, and not before", () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          const three = yield* keys
          const first = yield* raise(three, words(3_000), "t:a", "t:b")
          yield* wait(1_500)
          const second = yield* raise(three, words(10), "t:c")
          assert.isBelow(second.floor, 0)
          same(yield* kept(three), ["t:a", "t:b", "t:c"])
          yield* wait(1_600)
          const third = yield* raise(three, words(10), "t:d")
          assert.strictEqual(third.floor, first.now)
          same(yield* kept(three), ["t:c", "t:d"])
          same(Object.keys(yield* Effect.promise(() => client.hgetall(three[1]!))).sort(), ["#", "t:c", "t:d"])
          // a process that knows nothing learns the floor and the rest, and marks were not lost
          const fresh = yield* raise(three, words(0))
          assert.strictEqual(fresh.floor, first.now)
          same(
            fresh.raised.filter((_, i) => i % 2 === 0),
            ["t:c", "t:d"]
          )
          same((yield* raise(three, `${first.version} ${first.history}`)).floor, first.now)
        })
      )

      it.effect("a longer lifespan - counts from when it is announced, also without a mark", () =>
        Effect.gen(function* () {
          const three = yield* keys
          yield* raise(three, words(50), "t:a")
          yield* raise(three, words(60_000))
          yield* wait(100)
          assert.isBelow((yield* raise(three, words(50), "t:b")).floor, 0)
          same(yield* kept(three), ["t:a", "t:b"])
        })
      )

      it.effect("an entry without an end - keeps all marks, until `clear`", () =>
        Effect.gen(function* () {
          const three = yield* keys
          yield* raise(three, words(1e300), "t:a")
          yield* raise(three, words(1), "t:b")
          yield* wait(20)
          assert.isBelow((yield* raise(three, words(1), "t:c")).floor, 0)
          yield* raise(three, words(1), "*")
          yield* raise(three, words(1), "t:d")
          yield* wait(20)
          yield* raise(three, words(1), "t:e")
          same(yield* kept(three), ["t:e"])
        })
      )

      it.effect("where no mark was raised - no lifespan is kept", () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          const three = yield* keys
          yield* raise(three, words(1_000))
          yield* raise(three, words(2_000))
          same(yield* Effect.promise(() => client.exists(`${three[0]}:lifespans`)), 0)
        })
      )

      for (const garbage of ["x", "", "-1 nan nan", "10 1e300 1", "10 5", "nan 1 1", "list"]) {
        it.effect(`lifespans that are broken (${garbage}) - drop nothing that is needed, and heal`, () =>
          Effect.gen(function* () {
            const { client } = yield* RedisServer
            const three = yield* keys
            const key = `${three[0]}:lifespans`
            yield* raise(three, words(100), "t:a")
            yield* Effect.promise<unknown>(() =>
              garbage === "list" ? client.del(key).then(() => client.rpush(key, "1")) : client.set(key, garbage)
            )
            const next = yield* raise(three, words(100), "t:b")
            assert.isAtMost(next.floor, next.now)
            assert.include(yield* kept(three), "t:b")
            yield* wait(120)
            yield* raise(three, words(100), "t:c")
            same(yield* kept(three), ["t:c"])
          })
        )
      }

      it.effect("lifespans that are lost - count from the next mark on", () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          const three = yield* keys
          yield* raise(three, words(100), "t:a")
          yield* wait(120)
          yield* Effect.promise(() => client.del(`${three[0]}:lifespans`))
          assert.isBelow((yield* raise(three, words(100), "t:b")).floor, 0)
          yield* wait(120)
          yield* raise(three, words(100), "t:c")
          same(yield* kept(three), ["t:c"])
        })
      )

      it.effect("buckets - are dropped once the floor covers every mark in them", () =>
        Effect.gen(function* () {
          const { client } = yield* RedisServer
          const three = yield* keys
          const names = Array.from({ length: 20 }, (_, i) => `t:${i}`)
          yield* raise(three, words(50, "0", 5), ...names)
          const buckets = `${three[0]}:buckets`
          same(yield* Effect.promise(() => client.hlen(buckets)), 17)
          yield* wait(60)
          const { floor } = yield* raise(three, words(50, "0", 5), "t:a")
          same(yield* kept(three), ["t:a"])
          same(yield* Effect.promise(() => client.exists(buckets)), 0)
          same((yield* raise(three, words(50, "0", 5))).floor, floor)
        })
      )

      it.effect("more marks than one call drops - the rest goes with later ones", () =>
        Effect.gen(function* () {
          const three = yield* keys
          const names = Array.from({ length: 2_500 }, (_, i) => `t:${i}`)
          yield* raise(three, words(50, "0", 10_000), ...names)
          yield* wait(60)
          const left: Array<number> = []
          for (const i of [1, 2, 3]) {
            yield* raise(three, words(50, "0", 10_000), `t:new${i}`)
            left.push((yield* kept(three)).filter((name) => !name.startsWith("t:new")).length)
          }
          same(
            left.map((count) => count > 0),
            [true, true, false]
          )
        })
      )
    })
  })
})

/**
 * One random history: three processes with memory in front of one Redis, each behind its own network, with reads, writes
 * and faults. The model judges every answer.
 */
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import { Cached, type CacheStore } from "../../src/index.js"
import { awaitUntil, live, RedisServer, TcpProxy } from "../support/redis.js"
import { hybrid, minute, type Node, realNow } from "../support/redis-nodes.js"
import { makeFaults } from "./faults.js"
import { Model, type Value } from "./model.js"
import * as Random from "./random.js"

export interface Options {
  readonly seed: number
  /** The number of operations. */
  readonly length: number
}

export interface Outcome {
  readonly seed: number
  readonly violations: ReadonlyArray<string>
  readonly log: ReadonlyArray<string>
  readonly reads: number
}

const blindTtl = 500
/** The extra time a busy machine may need: for a late heartbeat, a late timer, or a message on its way. */
const margin = 400
const timeout = 200
/** The time between writes of two processes when one of them cannot reach Redis. */
const apart = 220
/** The longest time of a read: it asks the backend a few times at most, and each time gets an answer or times out. */
const longest = 4_000

const ids = [0, 1, 2] as const
type Id = (typeof ids)[number]

interface Family {
  readonly name: string
  readonly fn: Cached.CachedFunction<[Id], Value, never, CacheStore, CacheStore>
  /** The whole lifetime of a value, in milliseconds. */
  readonly lifetime: number
}

const families = (model: Model, random: Random.Random): ReadonlyArray<Family> => {
  const lookup = (name: string, lifetime: number) => (id: Id) =>
    Effect.gen(function* () {
      const key = `${name}:${id}`
      // The version in the database when the lookup begins, not when it ends.
      const value = model.make(key, `load ${model.loads(key)}`, model.version(key))
      const pause = random.pick([0, 0, 0, 1, 10, 60])
      if (pause > 0) yield* live(Effect.sleep(pause))
      model.startLifetime(value, lifetime)
      return value
    })
  const tags = (_: Value, id: Id) => [`tag${id}`]
  return [
    {
      name: "long",
      lifetime: 60_000,
      fn: Cached.ttl(lookup("long", 60_000), { key: "long:{}", ttl: 60_000, tags })
    },
    {
      name: "brief",
      lifetime: 250,
      fn: Cached.ttl(lookup("brief", 250), { key: "brief:{}", ttl: 250, tags })
    },
    {
      name: "stale",
      lifetime: 500,
      fn: Cached.swr(lookup("stale", 500), { key: "stale:{}", ttl: 150, stale: 350, tags })
    }
  ]
}

export const run = ({ length, seed }: Options): Effect.Effect<Outcome> =>
  Effect.scoped(
    Effect.gen(function* () {
      const random = Random.make(seed)
      const model = new Model(blindTtl + margin)
      const redis = yield* RedisServer.make()
      const proxies = yield* Effect.forEach([0, 1, 2], () => TcpProxy.make(redis.port))
      const nodes: ReadonlyArray<Node> = yield* Effect.forEach(
        proxies,
        (proxy) =>
          hybrid({
            blindTtl,
            l1: random.chance(0.2) ? { ttl: 100 } : {},
            l2: { url: proxy.url, timeout, connectTimeout: 1_000 }
          }),
        { concurrency: 3 }
      ).pipe(Effect.provideService(RedisServer, redis))
      const all = families(model, random)
      const keys = all.flatMap(({ name }) => ids.map((id) => `${name}:${id}`))
      const faults = makeFaults(model, random, redis, proxies)
      let reads = 0
      let markers = 0
      let lastWrite = { node: 0, at: 0 }
      const pending = new Set<Fiber.RuntimeFiber<void>>()

      const sweep = Effect.forEach(nodes, (node, i) =>
        Effect.map(node.store.health, ({ owes }) => {
          if (!owes) model.confirm(i)
        })
      )

      const isCalm = Effect.map(
        Effect.forEach(nodes, ({ store }) => store.health),
        (healths) =>
          faults.isHealed() && healths.every(({ coherent, owes, status }) => coherent && !owes && status === "up")
      )

      const read = (i: number, { fn, name }: Family, id: Id, how: "read" | "peek" | "refresh" | "reload") =>
        Effect.gen(function* () {
          const key = `${name}:${id}`
          const { owes } = yield* nodes[i]!.store.health
          const began = realNow()
          const floor = model.floor(i, key)
          reads++
          const asked: Effect.Effect<Option.Option<Value>, never, CacheStore> = how === "read"
            ? Effect.asSome(fn(id))
            : how === "peek"
              ? fn.peek(id)
              : how === "reload"
                ? Effect.asSome(Cached.reload(fn(id)))
                : Effect.as(fn.refresh(id), Option.none())
          return yield* Effect.map(Effect.exit(Effect.timeout(nodes[i]!.run(asked), longest)), (exit) => {
            if (Exit.isFailure(exit)) {
              model.violation(
                `${how} ${key} on ${i} failed after ${Math.round(realNow() - began)} ms: ${Cause.pretty(exit.cause)}`
              )
              return undefined
            }
            const value = Option.getOrUndefined(exit.value)
            model.say(
              `  ${i} ${how} ${key} from ${Math.round(realNow() - began)} ms ago: ${value === undefined ? "none" : `version ${value.version}, made ${value.made}`}`
            )
            // A `peek` returns a value that this process has set and not delivered yet, because it knows of no other.
            if (value !== undefined && !(how === "peek" && owes)) model.judge(i, key, floor, began, value)
            return value
          })
        })

      const fork = (effect: Effect.Effect<unknown>) =>
        Effect.map(Effect.forkDaemon(Effect.asVoid(effect)), (fiber) => {
          pending.add(fiber)
          fiber.addObserver(() => pending.delete(fiber))
        })
      const settle = Effect.suspend(() => Fiber.awaitAll(Array.from(pending)))

      const write = Effect.gen(function* () {
        const i = random.below(3)
        const family = random.pick(all)
        const id = random.pick(ids)
        const key = `${family.name}:${id}`
        const how = random.pick(["invalidate", "invalidate", "set", "set", "tag", "clear", "clear store"] as const)
        const touched =
          how === "tag"
            ? all.map(({ name }) => `${name}:${id}`)
            : how === "clear"
              ? ids.map((id) => `${family.name}:${id}`)
              : how === "clear store"
                ? keys
                : [key]
        // While one process is cut off, the order of two writes is known only as precisely as the clocks agree.
        if (lastWrite.node !== i && !(yield* isCalm)) {
          yield* awaitUntil(
            Effect.sync(() => realNow() - lastWrite.at >= apart),
            "some time has passed"
          )
        }
        lastWrite = { node: i, at: realNow() }
        for (const each of touched) if (each === key || random.chance(0.5)) model.bump(each)
        const { fn, lifetime } = family
        const { store } = nodes[i]!
        const asked = Effect.suspend((): Effect.Effect<void, never, CacheStore> => {
          switch (how) {
            case "invalidate":
              return fn.invalidate(id)
            case "set": {
              const value = model.make(key, `set on ${i}`, model.version(key))
              model.startLifetime(value, lifetime)
              return fn.set(id)(value)
            }
            case "tag":
              return store.tags.invalidate([`tag${id}`])
            case "clear":
              return fn.clear
            case "clear store":
              return store.clear
          }
        })
        const began = realNow()
        model.say(`${i} ${how} ${key}: ${touched.map((each) => `${each}=${model.version(each)}`).join(" ")}`)
        const exit = yield* Effect.exit(Effect.timeout(nodes[i]!.run(asked), longest))
        if (Exit.isFailure(exit)) model.violation(`${how} ${key} on ${i} failed: ${Cause.pretty(exit.cause)}`)
        model.changed(i, how, touched)
        const { owes } = yield* store.health
        model.say(`${i} ${how} ${key} took ${Math.round(realNow() - began)} ms${owes ? ", undelivered" : ""}`)
      })

      const readSome = Effect.gen(function* () {
        const i = random.below(3)
        const family = random.pick(all)
        const id = random.pick(ids)
        const how = random.pick(["read", "read", "read", "read", "read", "read", "peek", "refresh", "reload"] as const)
        const times = random.pick([1, 1, 3])
        for (let n = 0; n < times; n++) yield* fork(read(n === 0 ? i : random.below(3), family, id, how))
      })

      const readAll = Effect.gen(function* () {
        for (const i of [0, 1, 2])
          for (const family of all) for (const id of ids) yield* fork(read(i, family, id, "read"))
      })

      const logMarker = (key: string, marker: number) =>
        Effect.gen(function* () {
          const there = yield* Effect.forEach(nodes, ({ store }) => store.get<number>(key))
          const healths = yield* Effect.forEach(nodes, ({ store }) => store.health)
          const bytes = yield* Effect.promise(() => redis.client.getBuffer(`ec1:${key}`))
          const head = yield* Effect.promise(() => redis.client.get(`ec1:!{marks}:head`))
          model.say(
            `marker ${marker}: ${there.map(String).join()} ${JSON.stringify(healths)} in Redis ${bytes?.toString("latin1").slice(-60)} stamp ${bytes?.readDoubleBE(4)} head ${head} now ${Date.now()}`
          )
        })

      /** Waits until all others are notified of what `from` has written: notifications arrive in order. */
      const barrier = (from: number) =>
        Effect.gen(function* () {
          const key = `marker:${from}`
          const set = Effect.suspend(() => nodes[from]!.store.set(key, ++markers, minute))
          const isCoherent = (i: number) => Effect.map(nodes[i]!.store.health, ({ coherent }) => coherent)
          yield* set
          // Every process gets the marker into its memory, so that only a notification can change it.
          yield* Effect.forEach(nodes, ({ store }) => store.get(key))
          yield* sweep
          const known = model.confirmedOf(from)
          const before = yield* Effect.forEach(nodes, (_, i) => isCoherent(i))
          yield* set
          const marker = markers
          for (const [i, node] of nodes.entries()) {
            if (i === from || before[i] !== true) continue
            yield* awaitUntil(
              Effect.map(node.store.get<number>(key), Option.contains(marker)),
              `process ${i} is notified of the marker of process ${from}`
            ).pipe(Effect.tapErrorCause(() => logMarker(key, marker)))
            if (yield* isCoherent(i)) for (const change of known) change.notified.add(i)
          }
          model.say(`all are notified of the writes of ${from}`)
        })

      const calm = Effect.gen(function* () {
        yield* settle
        if (!(yield* isCalm)) return
        yield* barrier(random.below(3))
        yield* readAll
        yield* settle
        yield* sharing(all[0]!, random.pick(ids))
      })

      /**
       * Checks that a value loaded by one process is found by all others without a load. This holds at once, except for
       * copies of values that Redis did not accept, which are served for `blindTtl`.
       */
      const sharing = (family: Family, id: Id) =>
        Effect.gen(function* () {
          const key = `${family.name}:${id}`
          const from = random.below(3)
          for (const i of [0, 1, 2]) yield* barrier(i)
          const began = realNow()
          while (true) {
            const first = yield* read(from, family, id, "read")
            yield* nodes[from]!.written
            const loads = model.loads(key)
            const others = yield* Effect.forEach([0, 1, 2], (i) => read(i, family, id, "read"), { concurrency: 3 })
            const isShared = model.loads(key) === loads && others.every((value) => value?.made === first?.made)
            if (isShared || !(yield* isCalm)) return
            if (realNow() - began > 2 * (blindTtl + margin)) {
              const made = others.map((value) => value?.made).join()
              return model.violation(`${key}: not shared, ${from} has ${first?.made}, all have ${made}`)
            }
            yield* live(Effect.sleep(20))
          }
        })

      const steps = [
        [30, readSome],
        [4, readAll],
        [24, write],
        [10, Effect.suspend(() => live(Effect.sleep(random.pick([5, 30, 100, 300, 800]))))],
        [8, calm],
        [6, faults.breakNetwork],
        [4, Effect.suspend(() => faults.healNetwork(random.below(3)))],
        [3, faults.breakServer],
        [3, faults.healServer]
      ] as const
      const total = steps.reduce((sum, [weight]) => sum + weight, 0)
      const step = Effect.suspend((): Effect.Effect<unknown> => {
        let at = random.below(total)
        for (const [weight, effect] of steps) {
          if (at < weight) return effect
          at -= weight
        }
        return Effect.void
      })

      const history = Effect.gen(function* () {
        for (let n = 0; n < length; n++) {
          yield* step
          yield* sweep
        }
        yield* faults.healServer
        for (const i of [0, 1, 2]) yield* faults.healNetwork(i)
        yield* awaitUntil(isCalm, "all is well again")
        yield* sweep
        yield* settle
        model.say("all is well again")
        for (const i of [0, 1, 2]) yield* barrier(i)
        for (const family of all) {
          for (const id of ids) {
            const key = `${family.name}:${id}`
            for (const i of [0, 1, 2]) {
              const value = yield* read(i, family, id, "read")
              if (value !== undefined && value.version !== model.version(key)) {
                model.violation(
                  `${key} on ${i}: version ${value.version} in the end, and ${model.version(key)} is the last`
                )
              }
            }
          }
        }
        for (const id of ids) yield* sharing(all[0]!, id)
        yield* settle
        for (const [i, { store }] of nodes.entries()) {
          yield* awaitUntil(
            Effect.map(store.stats, ({ inFlight }) => inFlight === 0),
            `nothing is in flight on ${i}`
          )
        }
      })

      const exit = yield* Effect.exit(history)
      if (Exit.isFailure(exit)) model.violation(Cause.pretty(exit.cause))
      return { seed, violations: model.violations, log: model.log, reads }
    })
  )

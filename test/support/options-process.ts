/**
 * A process with a cached function for each option of resilience: `options-process.ts <settings>`, where the settings are
 * JSON. It runs the commands of a test.
 *
 * Its lifetimes follow a clock that only the test moves. The functions share one source, whose values are the name of the
 * process and a number: "a1", "a2".
 */
import { Console, Context, Duration, Effect, Fiber, Option, Random, Schema } from "effect"
import { Cached, CacheStore, type LoadTimeout } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"
import { serve } from "./child.js"
import { awaitUntil } from "./live.js"
import * as ManualClock from "./manualClock.js"

export interface Settings {
  readonly name: string
  readonly url: string
  readonly prefix: string
  readonly kind: Kind
  /** What `jitter` draws: 0 to 1. */
  readonly chance?: number | undefined
  /** By default Redis is waited for. */
  readonly connectTimeout?: string | undefined
  readonly drain?: string | undefined
}

/** Redis alone, or memory in front of Redis. */
export type Kind = "redis" | "hybrid"

const settings: Settings = JSON.parse(process.argv[2]!)
const { name } = settings

class Down extends Schema.TaggedError<Down>()("Down", { of: Schema.String }) {}

class Tenant extends Context.Tag("options-process/Tenant")<Tenant, string>() {}

class Transaction extends Context.Tag("options-process/Transaction")<Transaction, true>() {}

const manual = ManualClock.make()
/** For how many milliseconds fibers sleep. */
let sleeping: ReadonlyArray<number> = []
const clock: ManualClock.ManualClock = {
  ...manual,
  sleep: (duration) =>
    Effect.suspend(() => {
      const millis = Duration.toMillis(duration)
      sleeping = [...sleeping, millis]
      return Effect.ensuring(
        manual.sleep(duration),
        Effect.sync(() => {
          const at = sleeping.indexOf(millis)
          sleeping = sleeping.filter((_, index) => index !== at)
        })
      )
    })
}

let values = 0
/** The keys whose loads have begun, and how often. */
const loads = new Map<string, number>()
/** The previous values that conditional lookups have got. */
const previous = new Map<string, Array<string | undefined>>()
/** How the loads of a key end, if not with a new value. */
const ends = new Map<string, "fails" | "isTheSame">()
/** The loads of these keys wait until the test releases them. */
const held = new Map<string, Array<() => void>>()
const errors: Array<string> = []
const background: Array<Fiber.RuntimeFiber<unknown, unknown>> = []

const lookup = (key: string): Effect.Effect<string, Down> =>
  Effect.suspend(() => {
    loads.set(key, (loads.get(key) ?? 0) + 1)
    const waiting = held.get(key)
    return waiting === undefined
      ? Effect.void
      : Effect.async<void>((resume) => void waiting.push(() => resume(Effect.void)))
  }).pipe(
    Effect.zipRight(
      Effect.suspend(() => (ends.get(key) === "fails" ? new Down({ of: name }) : Effect.succeed(`${name}${++values}`)))
    )
  )

const conditional = Cached.conditional((before: Option.Option<string>, key: string) =>
  Effect.suspend((): Effect.Effect<string | Cached.NotModified, Down> => {
    previous.set(key, [...(previous.get(key) ?? []), Option.getOrUndefined(before)])
    return ends.get(key) === "isTheSame" ? Effect.succeed(Cached.notModified) : lookup(key)
  })
)

const ttl = "10 seconds"
const kept = { ttl, staleIfError: "100 seconds", retryAfter: "2 seconds" } as const
const lock = { lease: "5 seconds" } as const
const onError = (cause: unknown, key: string) => Effect.sync(() => void errors.push(`${key}: ${String(cause)}`))

/** A cached function of any policy. */
interface Find {
  (key: string): Effect.Effect<string, Down | LoadTimeout, CacheStore | Tenant>
  readonly refresh: (key: string) => Effect.Effect<string, Down | LoadTimeout, CacheStore | Tenant>
  readonly peek: (key: string) => Effect.Effect<Option.Option<string>, never, CacheStore | Tenant>
  readonly entry: (key: string) => Effect.Effect<Option.Option<View>, never, CacheStore | Tenant>
  readonly set: (key: string) => (value: string) => Effect.Effect<void, never, CacheStore | Tenant>
  readonly invalidate: (key: string) => Effect.Effect<void, never, CacheStore | Tenant>
  readonly expire: (key: string) => Effect.Effect<void, never, CacheStore | Tenant>
  readonly clear: Effect.Effect<void, never, CacheStore>
  readonly expireAll: Effect.Effect<void, never, CacheStore>
}

interface View {
  readonly state: string
  readonly createdAt: number
  readonly freshUntil: number
  readonly staleUntil: number
  readonly idleUntil?: number | undefined
}

const functions = {
  plain: Cached.ttl(lookup, { key: "plain:{}", ttl, tags: ["plain"] }),
  swr: Cached.swr(lookup, { key: "swr:{}", ttl, stale: "100 seconds", tags: ["swr"], onError }),
  kept: Cached.ttl(lookup, { key: "kept:{}", ...kept, tags: ["kept"], onError }),
  soft: Cached.ttl(lookup, { key: "soft:{}", ...kept, lock, timeout: { soft: "300 millis" } }),
  hard: Cached.ttl(lookup, { key: "hard:{}", ttl, lock, timeout: { hard: "700 millis" } }),
  leaving: Cached.ttl(lookup, { key: "leaving:{}", ttl, lock, timeout: { hard: "700 millis", then: "interrupt" } }),
  failing: Cached.ttl(lookup, {
    key: "failing:{}",
    ttl,
    tags: ["failing"],
    failures: { ttl: "5 seconds", schema: Down }
  }),
  unshared: Cached.ttl(lookup, { key: "unshared:{}", ttl, failures: { ttl: "5 seconds" } }),
  lasting: Cached.swr(lookup, { key: "lasting:{}", ttl, stale: (value) => (value.startsWith("a") ? 20_000 : 5_000) }),
  jittered: Cached.ttl(lookup, { key: "jittered:{}", ttl, jitter: 1 }),
  ahead: Cached.ttl(lookup, { key: "ahead:{}", ttl, refreshAhead: 0.5 }),
  idle: Cached.ttl(lookup, { key: "idle:{}", ttl: "10 minutes", maxIdle: "16 seconds", tags: ["idle"] }),
  idleSwr: Cached.swr(lookup, {
    key: "idleSwr:{}",
    ttl: "1 minute",
    stale: "1 minute",
    maxIdle: "16 seconds",
    tags: ["idleSwr"]
  }),
  conditional: Cached.ttl(conditional, {
    key: "conditional:{}",
    ttl,
    staleIfError: "100 seconds",
    tags: ["conditional"]
  }),
  narrow: Cached.ttl(lookup, { key: "narrow:{}", ttl, concurrency: 1 }),
  lockedNarrow: Cached.ttl(lookup, { key: "lockedNarrow:{}", ttl, lock, concurrency: 1 }),
  tenants: Cached.ttl(lookup, { key: "tenants:{}", ttl, partition: Tenant, tags: ["tenants"] })
} satisfies Record<string, Find>

export type Name = keyof typeof functions

const find = (of: Name): Find => functions[of]

const answer = (read: Effect.Effect<string, Down | LoadTimeout, CacheStore | Tenant>, tenant = "none") =>
  read.pipe(
    Effect.catchTags({
      Down: (down) => Effect.succeed(`down: ${down.of}`),
      LoadTimeout: ({ _tag }) => Effect.succeed(_tag)
    }),
    Effect.provideService(Tenant, tenant)
  )

const inside = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Transaction, true)

const none = Effect.provideService(Tenant, "none")

const health = (what: string, is: (health: CacheStore.Health) => boolean) =>
  Effect.flatMap(CacheStore, (store) => awaitUntil(Effect.map(store.health, is), `${name}: ${what}`))

const commands = {
  /** Lets time go by. */
  pass: (millis: number) => Effect.sync(() => clock.pass(millis)),
  /** Waits until a fiber sleeps for this long. */
  sleeps: (millis: number) =>
    awaitUntil(
      Effect.sync(() => sleeping.includes(millis)),
      `a fiber of ${name} sleeps for ${millis} ms`
    ),
  /** How the loads of a key end from now on. */
  end: (key: string, how: "loads" | "fails" | "isTheSame") =>
    Effect.sync(() => void (how === "loads" ? ends.delete(key) : ends.set(key, how))),
  hold: (key: string) => Effect.sync(() => void held.set(key, [])),
  release: (key: string) =>
    Effect.sync(() => {
      for (const resume of held.get(key) ?? []) resume()
      held.delete(key)
    }),
  loads: (key: string) => Effect.sync(() => loads.get(key) ?? 0),
  previous: (key: string) => Effect.sync(() => previous.get(key) ?? []),
  errors: (key: string) => Effect.sync(() => errors.filter((error) => error.startsWith(`${key}: `)).length),

  read: (of: Name, key: string, tenant?: string) => answer(find(of)(key), tenant),
  refresh: (of: Name, key: string) => answer(find(of).refresh(key)),
  peek: (of: Name, key: string, tenant?: string) =>
    Effect.provideService(Effect.map(find(of).peek(key), Option.getOrUndefined), Tenant, tenant ?? "none"),
  /** The state of an entry, and for how long it is fresh and may be served, counted from its creation. */
  entry: (of: Name, key: string) =>
    none(
      Effect.map(find(of).entry(key), (view) =>
        Option.isNone(view)
          ? undefined
          : ([
              view.value.state,
              view.value.freshUntil - view.value.createdAt,
              view.value.staleUntil - view.value.createdAt
            ] as const)
      )
    ),
  /** How long an entry still lives if nobody reads it. */
  idleFor: (of: Name, key: string) =>
    none(
      Effect.map(find(of).entry(key), (view) =>
        Option.isNone(view) ? 0 : (view.value.idleUntil ?? Infinity) - clock.unsafeCurrentTimeMillis()
      )
    ),
  set: (of: Name, key: string, value: string) => none(find(of).set(key)(value)),
  invalidate: (of: Name, key: string) => none(find(of).invalidate(key)),
  invalidateTag: (of: Name) => Cached.invalidateTags([of]),
  clear: (of: Name) => find(of).clear,
  expire: (of: Name, key: string) => none(find(of).expire(key)),
  expireTag: (of: Name) => Cached.expireTags([of]),
  expireAll: (of: Name) => find(of).expireAll,
  readInside: (of: Name, key: string) => inside(answer(find(of)(key))),
  setInside: (of: Name, key: string, value: string) => inside(none(find(of).set(key)(value))),
  invalidateInside: (of: Name, key: string) => inside(none(find(of).invalidate(key))),

  /** Waits until earlier writes are done in Redis: one connection carries all commands, in order. */
  written: () =>
    Effect.flatMap(CacheStore, (store) =>
      Effect.zipRight(store.set("barrier", 0, { ttl: "1 minute" }), store.remove("barrier"))
    ),
  /** Waits until the fibers that outlive their readers have ended, and returns how many there were. */
  background: () =>
    Effect.suspend(() => Effect.map(Effect.forEach(background.splice(0), Fiber.await), (exits) => exits.length)),
  /** Waits until notifications arrive and nothing is undelivered to Redis. */
  well: () =>
    health("all is well", ({ coherent, status, undelivered }) => coherent && undelivered === 0 && status === "up"),
  /** How many reads have found nothing stored, and load or wait for a load. */
  misses: () => Effect.flatMap(CacheStore, (store) => Effect.map(store.stats, (stats) => stats.misses)),
  undelivered: () => Effect.flatMap(CacheStore, (store) => Effect.map(store.health, (health) => health.undelivered)),
  /** Whether the breaker in front of Redis is open. */
  isOpen: () =>
    Effect.flatMap(CacheStore, (store) =>
      Effect.map(store.health, ({ tiers }) => tiers.some(({ openSince }) => Option.isSome(openSince)))
    )
}

export type Commands = typeof commands

const redis = {
  url: settings.url,
  prefix: settings.prefix,
  timeout: "500 millis",
  required: true,
  connectTimeout: (settings.connectTimeout ?? "20 seconds") as "20 seconds"
} as const
const options = {
  bypassIn: [Transaction],
  breaker: { failures: 2, pause: "300 millis" },
  background: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => void background.push(fiber),
  ...(settings.drain === undefined ? {} : { drain: settings.drain as "10 seconds" })
} as const

await serve(commands).pipe(
  Effect.zipRight(Console.log("closing")),
  Effect.provide(
    settings.kind === "redis"
      ? RedisCache.layer({ ...redis, ...options })
      : RedisCache.layerHybrid({ ...options, l2: redis })
  ),
  Effect.catchTag("CacheStoreError", ({ reason }) => Console.log(`not built: ${reason}`)),
  Effect.withRandom(Random.fixed([settings.chance ?? 0])),
  Effect.withClock(clock),
  Effect.runPromise
)

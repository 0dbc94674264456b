/**
 * The problems of a store that one process produces by itself. Their keys, values and failures contain secrets, which
 * `test/secrets` searches for.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as NodeContext from "@effect/platform-node/NodeContext"
import { assert } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Layer, Schedule, Scope, Stream } from "effect"
import {
  type Backend,
  Cached,
  CacheListener,
  CachePolicy,
  CacheStore,
  CacheStoreError,
  Entry,
  MemoryCache,
  SerializerError,
  TieredCache,
  ToolCache
} from "effect-cached"
import * as CacheSnapshot from "effect-cached/CacheSnapshot"
import * as FileCache from "effect-cached/FileCache"
import * as RedisCache from "effect-cached/RedisCache"
import { secrets } from "../secrets/support.js"
import { awaitUntil, freshPrefix, RedisServer } from "../support/redis.js"
import { minute } from "./support.js"

/** An argument that is a secret, as each key with it is. */
const id = (n: number): string => `${secrets.key}-${n}`

/** A value that is a secret. */
const value = (of: string | number): string => `${secrets.value}-${of}`

// Backends.

const written = (stamp: number): Backend.Written => ({ _tag: "Written", stamp })

/** A remote backend that keeps nothing, apart from the members given. */
const backendWith = (members: Partial<Backend.Backend> = {}): Backend.Backend => ({
  name: "faulty",
  remote: true,
  getMany: (reads) => Effect.succeed({ found: reads.map(() => undefined) }),
  setMany: (writes) => Effect.succeed(writes.map((write) => written(write.entry.stamp))),
  setIfAbsent: (write) => Effect.succeed(written(write.entry.stamp)),
  removeMany: (removals) => Effect.succeed(removals.map(({ stamp }) => written(stamp))),
  ...members
})

const error = new CacheStoreError({
  reason: "Rejected",
  store: "faulty",
  method: "call",
  cause: Object.assign(new Error(`no: "${id(0)}"`), {
    args: [id(1), value(1)],
    config: { headers: { Authorization: secrets.token } }
  })
})
const failing = () => Effect.fail(error)

const fenced = (): Backend.Written => ({ _tag: "Fenced" })

const answering = (answer: Backend.Written): Partial<Backend.Backend> => ({
  setMany: (writes) => Effect.succeed(writes.map(() => answer))
})

/** Marks that work only to be read. */
const noRaise: Partial<Backend.Backend> = { marks: { read: Effect.as(Effect.void, undefined), raise: failing } }

/** A lock that is always free; `isKept` says whether it can be renewed. */
const lock = (isKept: boolean): Partial<Backend.Backend> => ({
  lock: () => Effect.succeed({ token: "t", renew: Effect.succeed(isKept), release: Effect.void })
})

const open = (members?: Partial<Backend.Backend>, options?: CacheStore.Options) =>
  CacheStore.make(backendWith(members), options)

const memory = (options: MemoryCache.Options = {}) => MemoryCache.make({ name: "faulty", ...options })

// Functions.

const user = Cached.ttl((id: string) => Effect.succeed(value(id)), { key: "user:{}", ...minute })

const stale = Cached.swr((id: string) => Effect.as(Effect.sleep(5), value(id)), {
  key: "stale:{}",
  ttl: 1,
  stale: "1 minute",
  flightTimeout: 500
})

const locked = (millis: number) =>
  Cached.ttl((id: string) => Effect.as(Effect.sleep(millis), value(id)), {
    key: "locked:{}",
    lock: { lease: 30 },
    ...minute
  })

const idler = Cached.ttl((id: string) => Effect.succeed(value(id)), {
  key: "idle:{}",
  maxIdle: "30 seconds",
  ...minute
})

/** Finds entries of `idler`, of whose idle time half has passed. */
const idle: Backend.Backend["getMany"] = (reads) =>
  Effect.map(Clock.currentTimeMillis, (now) => ({
    found: reads.map(
      () =>
        new Entry.Entry(value(0), {
          stamp: now,
          createdAt: now - 15_000,
          freshUntil: now + 45_000,
          expiresAt: now + 45_000,
          owner: "idle:{}",
          tags: [],
          extension: { idle: 30_000 }
        })
    )
  }))

/** Runs effects on a store, one after the other. */
const on = <R = never>(
  opened: Effect.Effect<CacheStore.Service, unknown, R | Scope.Scope>,
  ...effects: ReadonlyArray<Effect.Effect<unknown, unknown, CacheStore | Scope.Scope>>
) =>
  Effect.gen(function* () {
    const store = yield* opened
    for (const effect of effects) yield* Effect.provideService(effect, CacheStore, store)
    return store
  })

/** Makes a store, uses it, and closes it. */
const closed = (members: Partial<Backend.Backend>, effect: Effect.Effect<unknown, unknown, CacheStore>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const store = yield* Scope.extend(on(open(members), effect), scope)
    yield* Scope.close(scope, Exit.void)
    return store
  })

const clear = Effect.flatMap(CacheStore, (store) => store.clear)
const tags = (count: number) => Cached.invalidateTags(Array.from({ length: count }, (_, i) => `${id(i)}`))

export interface Produced {
  /** Makes the store that has the problem. */
  readonly store: Effect.Effect<CacheStore.Service, unknown, Scope.Scope | NodeContext.NodeContext>
  /** What it concerns. Default: the whole store. */
  readonly subject?: string
  /** What else `health` says. */
  readonly health?: Partial<CacheStore.Health>
}

let builds = 0

class Transaction extends Context.Tag("Transaction")<Transaction, string>() {}

const down = { status: "down" } as const

const loader = (onError?: () => Effect.Effect<never>) =>
  Cached.bg(Effect.fail("down"), { key: `loader:${id(0)}`, name: "loader", interval: 5, onError })

/** A store with a value and a snapshot, in a directory in which there is one file, with secrets. */
const snapshotted = (pathIn: (directory: string) => string, held: unknown = value(1)) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const directory = yield* files.makeTempDirectoryScoped()
    yield* files.writeFileString(`${directory}/file`, `${secrets.key} ${secrets.value}`)
    const memory = Layer.scoped(CacheStore, MemoryCache.make())
    const layer = CacheSnapshot.layer({ path: pathIn(directory), every: 5 }).pipe(Layer.provide(memory))
    const store = Context.get(yield* Layer.build(layer), CacheStore)
    yield* store.set(id(1), held, { ...minute, tags: [secrets.key] })
    return store
  })

export const produced: Readonly<Record<string, Produced>> = {
  BreakerOpen: {
    store: on(
      open({ getMany: failing }),
      ...Array.from({ length: 6 }, (_, i) => Effect.flatMap(CacheStore, (store) => store.get(id(i))))
    )
  },
  BuiltTooOften: {
    store: Effect.suspend(() => {
      // the Warning is given once per name in a process
      const built = memory({ name: `built-${++builds}` })
      return Effect.zipRight(Effect.replicateEffect(Effect.scoped(built), 11), built)
    })
  },
  CachingOff: {
    store: Effect.suspend(() => {
      const off = Cached.policy((id: string) => Effect.succeed(value(id)), { key: "user:{}" })
      const read = Effect.provide(off(id(1)), CachePolicy.layer({ ttl: 0 }))
      return on(memory(), read, read)
    }),
    subject: "user:{}"
  },
  ClosedUndelivered: {
    store: closed(
      { removeMany: failing },
      Effect.flatMap(CacheStore, (store) => store.remove(id(1)))
    ),
    health: { status: "down", undelivered: 1 }
  },
  EntryUnreadable: {
    store: on(
      open({
        getMany: (reads) =>
          Effect.succeed({
            found: reads.map(() => new SerializerError({ reason: "Decode", path: "$", detail: "is not an entry" }))
          })
      }),
      user(id(1)),
      user(id(2))
    ),
    subject: "user:{}"
  },
  EventsLost: {
    store: Effect.gen(function* () {
      const store = yield* memory()
      const keys = Array.from({ length: 1_100 }, (_, n) => id(n))
      const listener = Effect.provideService(Layer.build(CacheListener.layer({})), CacheStore, store)
      yield* Effect.zipRight(
        listener,
        on(
          Effect.succeed(store),
          Effect.forEach(keys, (key) => user(key))
        )
      )
      return store
    })
  },
  HandlerFailed: {
    store: on(
      memory(),
      loader(() => Effect.die("handler"))
    ),
    subject: "loader"
  },
  InvalidatedEarly: {
    store: on(memory({ bypassIn: [Transaction] }), Effect.provideService(clear, Transaction, secrets.value))
  },
  KeyShared: {
    store: Effect.suspend(() => {
      const other = Cached.ttl((id: string) => Effect.succeed(value(id)), { key: "user:{}", name: "other", ...minute })
      return on(memory(), user(id(1)), other(id(1)), user(id(1)))
    }),
    subject: '"other" and "user:{}"'
  },
  LoadTooLong: {
    store: Effect.suspend(() => {
      const late = Cached.ttl((id: string) => Effect.as(Effect.sleep(20), value(id)), {
        key: "late:{}",
        flightTimeout: 1,
        ...minute
      })
      return on(memory(), late(id(1)), late(id(2)))
    }),
    subject: "late:{}"
  },
  LoaderEnded: {
    store: on(
      memory(),
      Cached.bg(Effect.succeed(1), {
        key: `loader:${id(0)}`,
        name: "loader",
        ...minute,
        schedule: Schedule.map(Schedule.spaced(1), () => {
          throw new Error("schedule")
        })
      })
    ),
    subject: "loader"
  },
  LoaderFailed: { store: on(memory(), loader()), subject: "loader" },
  LockLost: { store: on(open(lock(false)), locked(200)(id(1))), subject: "locked:{}" },
  LocksFail: { store: on(open({ lock: failing }), locked(0)(id(1)), locked(0)(id(2))), health: down },
  MarksFail: { store: on(open(noRaise), clear, clear), health: { ...down, undelivered: 1 } },
  MessageIgnored: {
    store: Effect.gen(function* () {
      const redis = yield* RedisServer
      const prefix = yield* freshPrefix
      const store = yield* RedisCache.makeHybrid({ l2: { url: redis.url, prefix } })
      yield* awaitUntil(
        Effect.map(store.health, ({ coherent }) => coherent),
        "notifications"
      )
      for (const text of [`garbage ${id(0)}`, `more ${id(1)}`]) {
        yield* Effect.promise(() => redis.client.publish(`${prefix}!news`, text))
      }
      return store
    }).pipe(Effect.provide(RedisServer.layer)),
    subject: "redis"
  },
  MirrorEmpty: {
    store: on(open(), Cached.bgRead({ key: `mirror:${id(0)}`, name: "mirror", interval: 5 })),
    subject: "mirror"
  },
  NameShared: {
    store: Effect.suspend(() => {
      const other = Cached.ttl((id: string) => Effect.succeed(`other ${value(id)}`), { key: "user:{}", ...minute })
      return on(memory(), user(id(1)), other(id(2)), user(id(3)))
    }),
    subject: "user:{}"
  },
  NoLock: { store: on(open(), locked(0)(id(1)), locked(0)(id(2))), subject: "locked:{}" },
  NoMaxEntries: {
    store: Effect.suspend(() => {
      const limited = Cached.ttl((id: string) => Effect.succeed(value(id)), {
        key: "limited:{}",
        ...minute,
        maxEntries: 2
      })
      return on(open(), limited(id(1)), limited(id(2)), limited(id(3)))
    }),
    subject: "limited:{}"
  },
  NoMarks: { store: on(open(), clear, tags(1)) },
  NoNotifications: {
    store: open({
      unsafeGet: () => undefined,
      unsafeSet: () => {},
      unsafeRemove: () => false,
      notifications: () =>
        Stream.concat(
          Stream.fromIterable<Backend.Notification>([{ _tag: "Armed" }, { _tag: "Blind", since: 0 }]),
          Stream.never
        )
    }),
    health: { coherent: false }
  },
  PartFails: {
    store: on(open({ getMany: (reads) => Effect.succeed({ found: reads.map(() => error) }) }), user(id(1)), user(id(2)))
  },
  ReadsFail: { store: on(open({ getMany: failing }), user(id(1)), user(id(2))), health: down },
  RefreshTooLong: {
    store: Effect.suspend(() => {
      let calls = 0
      const hangs = Cached.swr((id: string) => (++calls > 1 ? Effect.never : Effect.succeed(value(id))), {
        key: "hangs:{}",
        ttl: 1,
        stale: "1 minute",
        flightTimeout: 200
      })
      return on(memory(), hangs(id(1)), Effect.sleep(10), hangs(id(1)))
    }),
    subject: "hangs:{}"
  },
  RenewalsFail: { store: on(open({ getMany: idle, renew: failing }), idler(id(1))), health: down },
  SweepFails: {
    store: Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const directory = yield* files.makeTempDirectoryScoped()
      yield* files.makeDirectory(`${directory}/00`)
      // a file where the sweep expects a directory
      for (const name of ["01", "02"]) yield* files.writeFileString(`${directory}/${name}`, "")
      return yield* FileCache.make({ directory, sweepEvery: 5 })
    })
  },
  DirectoryFull: {
    store: Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const directory = yield* files.makeTempDirectoryScoped()
      return yield* on(
        FileCache.make({ directory, maxFiles: 3, sweepEvery: 5 }),
        Effect.forEach(
          Array.from({ length: 20 }, (_, i) => id(i)),
          user
        )
      )
    })
  },
  SnapshotFails: { store: snapshotted((directory) => `${directory}/file/store.snapshot`) },
  SnapshotIncomplete: {
    store: snapshotted(
      (directory) => `${directory}/store.snapshot`,
      new (class Secret {
        readonly [secrets.property] = secrets.value
      })()
    )
  },
  SnapshotUnreadable: { store: snapshotted((directory) => `${directory}/file`) },
  SessionTooLarge: {
    store: Effect.suspend(() => {
      const tool = ToolCache.read((id: string) => Effect.succeed(value(id)), {
        name: "tool",
        resource: "users",
        scope: "session",
        ...minute
      })
      const reads = Effect.forEach(
        Array.from({ length: 10_001 }, (_, i) => id(i)),
        (id) => tool(id),
        { discard: true }
      )
      return on(memory({ capacity: 20_000 }), ToolCache.session({ id: id(0) })(reads))
    }),
    subject: "tool"
  },
  TierOrder: {
    store: Effect.suspend(() => {
      const tier = (name: string, members?: Partial<Backend.Backend>) => ({
        name,
        backend: Effect.succeed(backendWith(members))
      })
      return TieredCache.make({ tiers: [tier("files"), tier("redis", { notifications: () => Stream.never })] })
    }),
    subject: "files"
  },
  TooManyDaemons: {
    store: on(
      memory(),
      Effect.flatMap(
        Cached.bg((id: string) => Effect.succeed(value(id)), { key: "loader:{}", interval: "1 minute", maxDaemons: 1 }),
        (loader) => Effect.zipRight(loader(id(1)), loader(id(2)))
      )
    ),
    subject: "loader:{}"
  },
  TooManyFunctions: {
    store: on(
      memory(),
      ...Array.from({ length: 260 }, (_, i) => Cached.ttl(Effect.succeed(i), { key: "k", name: `f${i}`, ...minute }))
    )
  },
  TooManyLoads: {
    store: Effect.suspend(() => {
      const slow = Cached.ttl((id: string) => Effect.as(Effect.sleep(20), value(id)), { key: "slow:{}", ...minute })
      return on(memory({ maxFlights: 1 }), Effect.forEach([1, 2, 3].map(id), slow, { concurrency: 3 }))
    })
  },
  TooManyMarks: { store: on(memory({ maxMarks: 10 }), tags(11), tags(12)) },
  TooManyRefreshes: {
    store: on(
      memory({ maxRefreshes: 1 }),
      Effect.forEach([1, 2, 3].map(id), stale),
      Effect.sleep(20),
      Effect.forEach([1, 2, 3].map(id), stale, { concurrency: 3 })
    )
  },
  TooManyUndelivered: { store: on(open(noRaise), tags(1_001), tags(1_001)), health: { undelivered: 1 } },
  UsedAfterClose: {
    store: Effect.gen(function* () {
      const store = yield* closed({}, user(id(1)))
      const read = Effect.exit(Effect.provideService(user(id(1)), CacheStore, store))
      assert.isTrue(Exit.isInterrupted(yield* read))
      yield* awaitUntil(
        Effect.zipRight(
          read,
          Effect.map(store.health, ({ problems }) => problems.some(({ name }) => name === "UsedAfterClose"))
        ),
        "the report"
      )
      return store
    })
  },
  ValueRefused: {
    store: on(
      open(
        answering({
          _tag: "Refused",
          error: new SerializerError({ reason: "Encode", path: "$.at", detail: "is a class instance" })
        })
      ),
      user(id(1)),
      user(id(2))
    ),
    subject: "user:{}"
  },
  WriteFenced: {
    store: on(
      open({ ...lock(true), setMany: (writes) => Effect.delay(Effect.as(Effect.void, writes.map(fenced)), 5) }),
      Cached.bgWrite(Effect.succeed(1), {
        key: `writer:${id(0)}`,
        name: "writer",
        interval: 5,
        leader: { lease: "1 second" }
      })
    ),
    subject: "writer"
  },
  WriteLate: { store: on(open(answering({ _tag: "Late" })), user(id(1)), user(id(2))), subject: "user:{}" },
  WritesFail: { store: on(open({ setMany: failing }), user(id(1)), user(id(2))), health: down }
}

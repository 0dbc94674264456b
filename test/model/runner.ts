/**
 * Runs a program on a store, and compares what happens with the model.
 *
 * Writes follow each other; reads run beside them. When everything is calm, and at the end, the program waits until all
 * processes have been notified, and then every process must return the last version.
 */
import { Cause, Effect, Exit, Fiber, Option, Schedule } from "effect"
import { awaitUntil, live, type RedisServer } from "../support/redis.js"
import { realNow } from "../support/redis-nodes.js"
import * as Faults from "./faults.js"
import * as Functions from "./functions.js"
import { Model, type Value } from "./model.js"
import * as Operations from "./operations.js"
import * as Processes from "./processes.js"
import { type FunctionName, functions, type Id, ids, type Program, type Step } from "./program.js"
import * as Random from "./random.js"
import { blindTtl, type Kind } from "./worlds.js"

export interface Outcome {
  readonly violations: ReadonlyArray<string>
  readonly log: ReadonlyArray<string>
  readonly reads: number
}

/** The server of a program whose clock can be set. */
export interface SetServer {
  /** The environment of the server. */
  readonly env: RedisServer.Options["env"]
  readonly stepClock: (millis: number) => void
}

/** The extra time a busy machine may need: for a late heartbeat, a late timer, or a message on its way. */
const margin = 400

interface Run {
  readonly kind: Kind
  readonly model: Model
  readonly processes: Processes.Processes
  readonly faults: Faults.Faults
  readonly operations: Operations.Operations
  readonly isCalm: Effect.Effect<boolean>
  /** Starts a read, which runs beside the next steps. */
  readonly fork: (effect: Effect.Effect<unknown>) => Effect.Effect<void>
  /** Waits for all reads. */
  readonly settle: Effect.Effect<void>
}

const every = 5

/** Measures for how long this process stands still, which on a busy machine may be a tenth of a second. */
const watchPauses = (model: Model) =>
  Effect.suspend(() => {
    let last = realNow()
    const measure = Effect.sync(() => {
      const now = realNow()
      model.paused(now - last - every)
      last = now
    })
    return Effect.forkScoped(Effect.repeat(measure, Schedule.spaced(every)))
  })

export const run = (kind: Kind, program: Program, server?: SetServer): Effect.Effect<Outcome> =>
  Effect.scoped(
    Effect.gen(function* () {
      const model = new Model(blindTtl + margin)
      yield* watchPauses(model)
      const random = Random.make(program.seed + 1)
      const world = yield* kind.make(random, server?.env)
      const processes = yield* Processes.make(model, world, kind.processes, kind)
      const faults = Faults.make(model, world.shared)
      const isCalm = Effect.map(
        Effect.forEach(processes.all(), ({ store }) => store.health),
        (healths) =>
          faults.isHealed() &&
          healths.every(({ coherent, owes, status }) => (coherent || !kind.isNotified) && !owes && status === "up")
      )
      const pending = new Set<Fiber.RuntimeFiber<void>>()
      const started: Run = {
        kind,
        model,
        processes,
        faults,
        isCalm,
        operations: Operations.make({
          model,
          processes,
          isCalm,
          functions: Functions.make(model, random),
          isNotified: kind.isNotified,
          chance: random.chance
        }),
        fork: (effect) =>
          Effect.map(Effect.forkDaemon(Effect.asVoid(effect)), (fiber) => {
            pending.add(fiber)
            fiber.addObserver(() => pending.delete(fiber))
          }),
        settle: Effect.suspend(() => Effect.asVoid(Fiber.awaitAll(Array.from(pending))))
      }
      const exit = yield* Effect.exit(Effect.zipRight(perform(started, program, server), finish(started)))
      if (Exit.isFailure(exit)) model.violation(Cause.pretty(exit.cause))
      return { violations: model.violations, log: model.log, reads: model.reads }
    })
  )

const perform = (run: Run, { steps }: Program, server: SetServer | undefined): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (const step of steps) {
      yield* stepOf(run, step, server)
      yield* confirm(run)
    }
  })

/** Notes which processes have delivered everything. */
const confirm = ({ model, processes }: Run): Effect.Effect<void> =>
  Effect.forEach(
    processes.all(),
    ({ number, store }) =>
      Effect.map(store.health, ({ owes }) => {
        if (!owes) model.confirm(number)
      }),
    { discard: true }
  )

const stepOf = (run: Run, step: Step, server: SetServer | undefined): Effect.Effect<unknown> => {
  const { faults, fork, model, operations, processes, settle } = run
  switch (step._tag) {
    case "Read":
      return Effect.forEach(step.by, ({ leaves, process }) =>
        fork(operations.read(process, step.name, step.id, step.how, leaves))
      )
    case "ReadAll":
      return readAll(run)
    case "Write":
      return operations.write(step)
    case "Store":
      return operations.store(step)
    case "Wait":
      return live(Effect.sleep(step.millis))
    case "Calm":
      return calm(run, step.process, step.id)
    case "Network":
      return faults.breakNetwork(step.process, step.fault)
    case "HealNetwork":
      return faults.healNetwork(step.process)
    case "Server":
      return faults.breakServer(step.fault)
    case "HealServer":
      return faults.healServer
    case "Evict":
      // the load that an evicted value has outdated must not be under way: nothing is left to reject it
      return Effect.zipRight(settle, faults.evict(`${step.name}:${step.id}`))
    case "Clock":
      return Effect.sync(() => processes.stepClock(step.process, step.millis))
    case "ServerClock":
      return Effect.zipRight(
        settle,
        Effect.sync(() => {
          model.say(`the clock of Redis is set by ${step.millis} ms`)
          server?.stepClock(step.millis)
        })
      )
    case "Restart":
      return processes.restart(step.process)
  }
}

const readAll = ({ fork, operations, processes }: Run): Effect.Effect<unknown> =>
  Effect.forEach(processes.all(), (_, place) =>
    Effect.forEach(functions, (name) => Effect.forEach(ids, (id) => fork(operations.read(place, name, id, "read"))))
  )

const calm = (run: Run, process: number, id: Id): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* run.settle
    if (!(yield* run.isCalm)) return
    yield* barrier(run, process)
    yield* readAll(run)
    yield* run.settle
    yield* sharing(run, "long", id, process)
  })

let markers = 0

/** Longer than clocks differ: a process whose clock is ahead must not find a marker expired. */
const markerLife = { ttl: "1 day" } as const

/** Waits until all others are notified of what one process has written: notifications arrive in order. */
const barrier = (run: Run, from: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { faults, kind, model, processes } = run
    if (!kind.isNotified) return
    const writer = processes.at(from)
    const key = `marker:${from}`
    const all = processes.all()
    const isCoherent = ({ store }: Processes.Process) => Effect.map(store.health, ({ coherent }) => coherent)
    yield* writer.run(writer.store.set(key, ++markers, markerLife))
    // no memory has this key, so every process notices now if the server has lost its marks: that outdates the first marker
    yield* Effect.forEach(all, ({ run, store }) => run(store.get(`nothing:${markers}`)))
    // every process gets the marker into its memory, so that only a notification can change it
    yield* Effect.forEach(all, ({ run, store }) => run(store.get(key)))
    yield* confirm(run)
    const known = model.confirmedOf(writer.number)
    const before = yield* Effect.forEach(all, isCoherent)
    const marker = ++markers
    // the marker itself is lost if a process finds only afterwards that the server has lost the marks
    const isThere = (value: Option.Option<number>) =>
      Option.contains(value, marker) || (faults.hasLost() && Option.isNone(value))
    yield* writer.run(writer.store.set(key, marker, markerLife))
    for (const [place, process] of all.entries()) {
      if (place === from || before[place] !== true) continue
      yield* awaitUntil(
        Effect.map(process.run(process.store.get<number>(key)), isThere),
        `process ${place} is notified of the marker of process ${from}`
      )
      if (yield* isCoherent(process)) for (const change of known) change.notified.add(process.number)
    }
    model.say(`all are notified of the writes of ${from}`)
  })

/**
 * Checks that a value loaded by one process is found by all others without a load. This holds at once, except for
 * copies of values that the server did not accept, which are served for `blindTtl`. Where the server has lost values, or
 * a slower tier has some that the server did not get, processes may have copies of different loads of the latest version.
 */
const sharing = (run: Run, name: FunctionName, id: Id, from: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { faults, isCalm, kind, model, operations, processes } = run
    const places = processes.all().map((_, place) => place)
    yield* Effect.forEach(places, (place) => barrier(run, place))
    const key = `${name}:${id}`
    const began = realNow()
    while (true) {
      const first = yield* operations.read(from, name, id, "read")
      if (run.kind.isRemote) yield* processes.at(from).written
      const loads = model.loads(key)
      const others = yield* Effect.forEach(places, (place) => operations.read(place, name, id, "read"), {
        concurrency: "unbounded"
      })
      const mayDiffer = kind.hasSlowerTier === true || (kind.isNotified && faults.hasLost())
      const isSame = (value: Value | undefined) =>
        value?.made === first?.made || (mayDiffer && value?.version === model.version(key))
      const isShared = first === undefined || (model.loads(key) === loads && others.every(isSame))
      if (isShared || !(yield* isCalm)) return
      if (realNow() - began > 2 * (blindTtl + margin)) {
        const made = others.map((value) => value?.made).join()
        return model.violation(`${key}: not shared, ${from} has ${first?.made}, all have ${made}`)
      }
      yield* live(Effect.sleep(20))
    }
  })

/** Heals everything. Then all processes agree on the last versions, and nothing runs any more. */
const finish = (run: Run): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { faults, isCalm, model, operations, processes, settle } = run
    const places = processes.all().map((_, place) => place)
    yield* faults.healServer
    yield* Effect.forEach(places, faults.healNetwork)
    // an outage of reads or of writes ends with one that succeeds
    const probe = Effect.forEach(processes.all(), ({ run, store }) =>
      run(Effect.zipRight(store.get("probe"), store.set("probe", 0, { ttl: "1 minute" })))
    )
    const diagnosis = Effect.forEach(processes.all(), ({ number, store }) =>
      Effect.map(store.health, (health) => model.say(`health of ${number}: ${JSON.stringify(health)}`))
    )
    yield* awaitUntil(Effect.zipRight(probe, isCalm), "all is well again", 30_000).pipe(
      Effect.tapDefect(() => diagnosis)
    )
    yield* confirm(run)
    yield* settle
    model.say("all is well again")
    yield* Effect.forEach(places, (place) => barrier(run, place))
    for (const name of functions) {
      for (const id of ids) {
        const key = `${name}:${id}`
        for (const place of places) {
          const value = yield* operations.read(place, name, id, "read")
          const { change, version } = model.finally(key)
          if (value === undefined || value.version >= version) continue
          model.violation(
            `law 8 (invalidation wins): ${key} on ${place}: version ${value.version} in the end, after ${change?.what} of ${version}`
          )
        }
      }
    }
    for (const id of ids) yield* sharing(run, "long", id, 0)
    yield* settle
    const isIdle = Effect.map(
      Effect.forEach(processes.all(), ({ store }) => store.stats),
      (stats) => model.running === 0 && model.openScopes === 0 && stats.every(({ inFlight }) => inFlight === 0)
    )
    yield* awaitUntil(isIdle, "no load runs and no scope of a load is open")
  })

/**
 * A process that counts the bytes that hits in memory allocate, beside those of the least code that could do the same:
 * `hit-process.ts <hits>`. It prints them as JSON. The tests of one process change how V8 compiles what they share, so
 * the hits have a process of their own.
 */
import { Context, Effect, Exit, type Fiber, Option } from "effect"
import { Cached, CacheStore, MemoryCache } from "../../src/index.js"

const hits = Number(process.argv[2])

/** How many hits are counted at once. */
const part = 5_000
const warmUp = 40

const heap = (): number => process.memoryUsage().heapUsed

/** The bytes per hit: the median of the parts, so that those in which garbage is collected do not matter. */
const bytesPer = (run: Effect.Effect<void>): Effect.Effect<number> =>
  Effect.gen(function* () {
    for (let i = 0; i < warmUp; i++) yield* run
    const bytes: Array<number> = []
    for (let i = 0; i < hits / part; i++) {
      const before = heap()
      yield* run
      bytes.push((heap() - before) / part)
    }
    return bytes.sort((a, b) => a - b)[Math.floor(bytes.length / 2)]!
  })

const keys = 1_000
const map = new Map<string, number>([["k", 1]])
for (let i = 0; i < keys; i++) map.set(`user:${i}`, i)

/** Reads the clock, as a hit has to. V8 allocates the number. */
const isTime = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  Context.get(fiber.currentContext as Context.Context<CacheStore>, CacheStore) !== undefined && Date.now() > 0

const floor = Effect.withFiberRuntime<unknown>((fiber) => (isTime(fiber) ? Exit.succeed(map.get("k")) : Effect.void))
const floorOf = (id: number) =>
  Effect.withFiberRuntime<unknown>((fiber) => (isTime(fiber) ? Exit.succeed(map.get(`user:${id}`)) : Effect.void))

const program = Effect.gen(function* () {
  const effect = Cached.ttl(Effect.succeed(1), { key: "effect", ttl: "1 hour" })
  const constant = Cached.ttl(() => Effect.succeed(1), { key: "constant", ttl: "1 hour" })
  const byId = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ttl: "1 hour" })
  const captured = yield* Cached.capture(constant)
  const store = yield* CacheStore
  const loop = (read: (i: number) => Effect.Effect<unknown, never, CacheStore>) =>
    Effect.provideService(
      Effect.gen(function* () {
        for (let i = 0; i < part; i++) yield* read(i)
      }),
      CacheStore,
      store
    )
  const loopSync = (read: () => unknown) =>
    Effect.sync(() => {
      for (let i = 0; i < part; i++) read()
    })
  const results: Record<string, number> = {}
  const loops = {
    floor: loop(() => floor),
    effect: loop(() => effect),
    "function without arguments": loop(() => constant()),
    "floor of an argument": loop((i) => floorOf(i % keys)),
    "function of an argument": loop((i) => byId(i % keys)),
    "floor of unsafePeek": loopSync(() => Option.some(Date.now() > 0 ? map.get("k") : undefined)),
    unsafePeek: loopSync(() => captured.unsafePeek()),
    unsafeGet: loopSync(() => store.unsafeGet("constant"))
  }
  for (const [name, run] of Object.entries(loops)) results[name] = yield* bytesPer(run)
  return results
})

const results = await Effect.runPromise(Effect.provide(program, MemoryCache.layer()))
process.stdout.write(JSON.stringify(results))

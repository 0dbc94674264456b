/**
 * A Redis server on a core of its own. Otherwise the system moves it to the core of this process at times, where a round
 * trip takes a third of the time: in some rounds, of some contenders.
 */
import { execFile } from "node:child_process"
import { availableParallelism } from "node:os"
import { Effect, type Scope } from "effect"
import { RedisServer } from "../../test/support/redis.js"

/** Lets the main thread of a process run on some cores only. Without `taskset`, it stays as it is. */
const runOn = (pid: number, cores: string): Effect.Effect<void> =>
  Effect.async((resume) => {
    execFile("taskset", ["-p", "-c", cores, String(pid)], () => resume(Effect.void))
  })

export const serverApart: Effect.Effect<RedisServer.Service, never, Scope.Scope> = Effect.gen(function* () {
  const server = yield* RedisServer.make()
  const cores = availableParallelism()
  if (cores === 1) return server
  yield* runOn(yield* server.pid, "1")
  yield* Effect.acquireRelease(runOn(process.pid, "0"), () => runOn(process.pid, `0-${cores - 1}`))
  return server
})

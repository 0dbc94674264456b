/**
 * A child process whose functions are called over Node's IPC.
 *
 * The child runs `yield* serve(commands)`, and its parent calls `yield* child.ask("name", …args)`. A child ends when its
 * parent asks it to, and when its parent is gone for whatever reason. Nothing is closed before `serve` has ended, and the
 * process is not forced to exit afterwards: a handle that is left open keeps it alive.
 */
import { fork } from "node:child_process"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

/** The functions of a child. Arguments and results are copied by `structuredClone`. */
export type Commands<R = any> = Readonly<Record<string, (...args: any) => Effect.Effect<any, any, R>>>

type Answer<F> = F extends (...args: any) => Effect.Effect<infer A, any, any> ? A : never
type Asked<F> = F extends (...args: infer A) => any ? A : never

interface Request {
  readonly id: number
  readonly name: string
  readonly args: ReadonlyArray<any>
}

/** A message from a child. A failure is the text of its cause. */
type Message =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Event"; readonly event: unknown }
  | { readonly _tag: "Done"; readonly id: number; readonly answer: unknown }
  | { readonly _tag: "Broken"; readonly id: number; readonly cause: string }

const send = (message: Message): void => {
  // A parent that has disconnected needs no answer.
  if (process.connected) process.send!(message, undefined, undefined, () => {})
}

/** Sends an event to the parent. */
export const emit = (event: unknown): Effect.Effect<void> => Effect.sync(() => send({ _tag: "Event", event }))

/** Runs the commands it receives, concurrently, until the parent asks it to end or is gone. */
export const serve = <R>(commands: Commands<R>): Effect.Effect<void, never, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const runtime = yield* Effect.runtime<R>()
      const scope = yield* Effect.scope
      const run = Runtime.runFork(runtime)
      yield* Effect.async<void>((resume) => {
        const onMessage = (message: Request | "end") => {
          if (message === "end") return resume(Effect.void)
          const { args, id, name } = message
          const command = Effect.suspend(() => commands[name]!(...args))
          run(
            Effect.map(Effect.exit(command), (exit) =>
              send(
                Exit.isSuccess(exit)
                  ? { _tag: "Done", id, answer: exit.value }
                  : { _tag: "Broken", id, cause: Cause.pretty(exit.cause) }
              )
            ),
            { scope }
          )
        }
        const onGone = () => resume(Effect.void)
        process.on("message", onMessage).once("disconnect", onGone)
        send({ _tag: "Ready" })
        return Effect.sync(() => process.off("message", onMessage).off("disconnect", onGone))
      })
      if (process.connected) process.disconnect()
    })
  )

export interface Child<C extends Commands> {
  readonly pid: number
  readonly ask: <K extends keyof C & string>(name: K, ...args: Asked<C[K]>) => Effect.Effect<Answer<C[K]>>
  readonly signal: (name: NodeJS.Signals) => Effect.Effect<void>
  /** Waits until the process has ended, and returns its exit code or the signal that ended it. */
  readonly gone: Effect.Effect<number | NodeJS.Signals>
  /** Asks the process to end, and waits until it has. */
  readonly end: Effect.Effect<number | NodeJS.Signals>
  /** What the process has printed so far. */
  readonly output: () => string
}

export interface Options {
  readonly args?: ReadonlyArray<string> | undefined
  /** Environment variables in addition to those of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly execArgv?: ReadonlyArray<string> | undefined
  /** Receives the events that the child sends. */
  readonly onEvent?: ((event: any) => void) | undefined
}

/** Starts a process and waits until it accepts commands. It is killed when the scope closes. */
export const start = <C extends Commands>(
  file: string,
  { args = [], env, execArgv, onEvent }: Options = {}
): Effect.Effect<Child<C>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const ready = yield* Deferred.make<void>()
    const gone = yield* Deferred.make<number | NodeJS.Signals>()
    const asked = new Map<number, (answer: Effect.Effect<any>) => void>()
    let asks = 0
    let output = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const child = fork(file, args, {
          stdio: ["ignore", "pipe", "pipe", "ipc"],
          serialization: "advanced",
          env: { ...process.env, ...env },
          ...(execArgv === undefined ? {} : { execArgv: [...execArgv] })
        })
        for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (chunk) => (output += chunk))
        child.on("message", (message: Message) => {
          switch (message._tag) {
            case "Ready":
              return Deferred.unsafeDone(ready, Exit.void)
            case "Event":
              return onEvent?.(message.event)
            case "Done":
              return settle(message.id, Effect.succeed(message.answer))
            case "Broken":
              return settle(message.id, Effect.dieMessage(message.cause))
          }
        })
        child.on("error", () => {})
        child.on("close", (code, signal) => {
          Deferred.unsafeDone(gone, Exit.succeed(code ?? signal ?? 0))
          const death = Effect.dieMessage(`process ${child.pid} is gone (${code ?? signal}):\n${output.slice(-2_000)}`)
          Deferred.unsafeDone(
            ready,
            Exit.die(new Error(`process ${child.pid} did not start:\n${output.slice(-2_000)}`))
          )
          for (const id of asked.keys()) settle(id, death)
        })
        return child
      }),
      (child) =>
        Effect.suspend(() => {
          child.kill("SIGKILL")
          return Deferred.await(gone)
        })
    )
    const settle = (id: number, answer: Effect.Effect<any>): void => {
      const resume = asked.get(id)
      asked.delete(id)
      resume?.(answer)
    }
    yield* Deferred.await(ready)
    return {
      pid: child.pid!,
      ask: (name, ...args) =>
        Effect.async((resume) => {
          const id = asks++
          asked.set(id, resume)
          const request: Request = { id, name, args }
          child.send(request, (error) => {
            if (error !== null) settle(id, Effect.die(error))
          })
          return Effect.sync(() => void asked.delete(id))
        }),
      signal: (name) => Effect.sync(() => void child.kill(name)),
      gone: Deferred.await(gone),
      end: Effect.suspend(() => {
        if (child.connected) child.send("end")
        return Deferred.await(gone)
      }),
      output: () => output
    }
  })

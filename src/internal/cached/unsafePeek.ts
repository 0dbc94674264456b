/**
 * `unsafePeek`: what a cached effect or function has in the memory of this process, for code outside of Effect. It needs
 * a store without the context of a reader, so only what carries its store has it. `any` stands in the bounds of types.
 */
import type * as Context from "effect/Context"
import type * as Option from "effect/Option"
import { type Args, type Definition, noArgs } from "../engine/definition.js"
import type { Engine } from "../engine/engine.js"
import type { MemoryReads } from "../engine/memoryReads.js"

/**
 * The type of the member `unsafePeek`. `S` is what the members require. If that is more than nothing, the member cannot be
 * called, and the compiler prints the text.
 */
export type UnsafePeek<Args extends ReadonlyArray<any>, A, S> = ((...args: Args) => Option.Option<A>) | NoStore<S>

// distributive, so it is `never` where `S` is, and a change of `S` from `never` to a store only adds to the type
type NoStore<S> = S extends unknown
  ? "unsafePeek needs a store, and this function takes its store from the context of its reader: use Cached.capture"
  : never

type Peek = (...args: ReadonlyArray<unknown>) => Option.Option<unknown>

/** The member of what takes its store from its reader. The types refuse the call: a program in JavaScript may make it. */
const withoutStore: Peek = () => {
  throw new Error(
    "unsafePeek needs a store, and this function takes its store from the context of its reader: use Cached.capture"
  )
}

/** What `unsafePeek` needs of a specification. */
interface Peekable {
  readonly env: Context.Context<unknown> | undefined
  readonly keyOfArg: ((arg: unknown) => string) | undefined
  readonly definition: (context: Context.Context<unknown>) => Definition
  readonly engine: (context: Context.Context<unknown>) => Engine
  readonly physicalKey: (args: Args) => string
}

/** The memory of the store in these services. */
const memoryIn = (spec: Peekable, context: Context.Context<unknown>): MemoryReads => {
  const { memoryReads, transactions } = spec.engine(context)
  return transactions?.includes(context) === true ? memoryReads.none : memoryReads
}

/**
 * The member of an effect or a function. Store and options are those of the first call, because the services do not
 * change. For one argument, as for a read, a hit makes no array.
 */
export const unsafePeekOf = (spec: Peekable): Peek => {
  const { env } = spec
  if (env === undefined) return withoutStore
  let memory: MemoryReads | undefined
  let def: Definition
  const peek = (args: Args): Option.Option<unknown> => {
    def ??= spec.definition(env)
    memory ??= memoryIn(spec, env)
    return memory.peek(def, spec.physicalKey(args), args)
  }
  const withArgs = (...args: Args) => peek(args)
  return function () {
    // biome-ignore lint/complexity/noArguments: a rest parameter would make that array
    const given = arguments
    if (given.length === 0) return peek(noArgs)
    if (given.length !== 1) return withArgs.apply(undefined, given as never)
    const arg = given[0]
    const { keyOfArg } = spec
    return memory === undefined || keyOfArg === undefined
      ? peek([arg])
      : memory.peek(def, keyOfArg(arg), undefined, arg)
  }
}

/**
 * What a snapshot is of: the engine of a store in memory, and how its values become bytes.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Backend from "../../Backend.js"
import { InvalidOption } from "../../CacheError.js"
import { Entry, isFailure, lifeEnd } from "../../Entry.js"
import * as Lossless from "../../Serializer.js"
import * as Bytes from "../backends/fromBytes.js"
import { type Codec, codecsOf } from "../cached/codecs.js"
import type { Engine } from "../engine/engine.js"
import type { Form } from "./format.js"

export interface TargetOptions {
  readonly serializer?: Lossless.Serializer | undefined
  readonly maxValueBytes?: number | undefined
  readonly maxDecodedBytes?: number | undefined
  readonly functions?: ReadonlyArray<object> | undefined
}

export interface Target {
  readonly engine: Engine
  readonly form: Form
  /** The schemas of the functions, by the owners of their entries. */
  readonly codecs: ReadonlyMap<string, Codec>
  readonly encode: ReturnType<typeof Bytes.encoderOf>
  readonly decode: ReturnType<typeof Bytes.decoderOf>
}

/** Throws `InvalidOption` for an invalid option, and for a store that is not memory alone. */
export const targetOf = (engine: Engine, options: TargetOptions): Target => {
  const { backend } = engine
  const { name } = backend
  const isMemory = backend.isInProcess === true || (!backend.remote && backend.unsafeGet !== undefined)
  if (!engine.options.off && (!isMemory || backend.list === undefined)) {
    const detail =
      "is not memory alone, so what other processes invalidate while this one is down would come back: let the " +
      "slower tier keep the entries"
    throw new InvalidOption({ option: "store", of: `CacheSnapshot of ${name}`, detail })
  }
  const limits = Bytes.limitsOf(options, name)
  const serializer = options.serializer ?? Lossless.lossless
  return {
    engine,
    form: backend.remote ? "stored" : "values",
    // a store of serialized values has applied the schemas already
    codecs: backend.remote ? new Map() : codecsOf(options.functions ?? [], `CacheSnapshot of ${name}`),
    encode: Bytes.encoderOf(serializer, limits),
    decode: Bytes.decoderOf(serializer, limits)
  }
}

/** The schema of the value of an entry, or of the error of a stored failure, if its function was given. */
export const schemaOf = (
  { codecs }: Target,
  entry: Pick<Entry, "owner" | "extension">
): Backend.AnySchema | undefined => {
  const codec = codecs.get(entry.owner)
  return isFailure(entry) ? codec?.failures : codec?.schema
}

/** A reader of entries as they are stored, failures included. */
export const plainly = { failures: { schema: Schema.Unknown } } as const

/** The entries under keys, as they are stored. The eviction policy does not count it as a use. */
export const peek = (
  { engine: { backend } }: Target,
  keys: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Entry | undefined>> => {
  const unsafePeek = backend.unsafePeek ?? backend.unsafeGet
  if (unsafePeek !== undefined) return Effect.sync(() => keys.map((key) => unsafePeek(key)))
  const reads = keys.map((key) => ({ ...plainly, key, explains: true }))
  return Effect.match(backend.getMany(reads), {
    onFailure: () => [],
    onSuccess: ({ found }) => found.map((each) => (each instanceof Entry ? each : undefined))
  })
}

/** Whether a read may return an entry at `now`. It adjusts the times of the entry to the clock and to expiries. */
export const isAlive = ({ engine: { marks, wallClock } }: Target, entry: Entry, now: number): boolean => {
  wallClock.adjust(entry)
  return marks.admits(entry) && now < lifeEnd(entry)
}

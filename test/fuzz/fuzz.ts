/**
 * Runs a property on random input. A failure has the smallest input that fails, and the seed that makes it again.
 *
 * | variable       | meaning                                                          |
 * | -------------- | ---------------------------------------------------------------- |
 * | `FUZZ_SEED`    | the seed, and with it all inputs; random by default              |
 * | `FUZZ_COUNT`   | how many inputs of each kind, default 1 000                      |
 * | `FUZZ_MINUTES` | tries inputs of each kind for so many minutes instead            |
 */
import * as fs from "node:fs"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import type * as Scope from "effect/Scope"

const number = (name: string): number | undefined =>
  process.env[name] === undefined ? undefined : Number(process.env[name])

const minutes = number("FUZZ_MINUTES")
const count = number("FUZZ_COUNT") ?? 1_000

/** How long a test may take, in milliseconds. */
export const limit = minutes === undefined ? 60_000 : minutes * 60_000 + 60_000

const parameters = <T>(slowness: number): FastCheck.Parameters<T> => {
  const seed = number("FUZZ_SEED")
  return {
    ...(seed === undefined ? {} : { seed }),
    ...(minutes === undefined
      ? { numRuns: Math.max(1, Math.round(count / slowness)) }
      : { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: minutes * 60_000 })
  }
}

const report = <T>(details: FastCheck.RunDetails<T>): void => {
  if (minutes !== undefined) console.log(`${details.numRuns} inputs, seed ${details.seed}`)
  if (details.failed) {
    assert.fail(`FUZZ_SEED=${details.seed} makes this input again.\n${FastCheck.defaultReportMessage(details) ?? ""}`)
  }
}

/** Fails unless the property holds for all inputs. */
export const holds = <T>(inputs: FastCheck.Arbitrary<T>, property: (input: T) => void): void =>
  report(FastCheck.check(FastCheck.property(inputs, property), parameters(1)))

/** Fails unless the property, an effect, holds for all inputs. There are `slowness` times fewer of them. */
export const holdsEffect = <T, E>(
  inputs: FastCheck.Arbitrary<T>,
  slowness: number,
  property: (input: T) => Effect.Effect<void, E, Scope.Scope>
): Effect.Effect<void> =>
  Effect.map(
    Effect.promise(() =>
      FastCheck.check(
        FastCheck.asyncProperty(inputs, (input) => Effect.runPromise(Effect.scoped(property(input)))),
        parameters(slowness)
      )
    ),
    report
  )

/** The text of a golden file. */
export const golden = (name: string): string => fs.readFileSync(new URL(`../golden/${name}`, import.meta.url), "utf8")

/** The bytes of a golden file in hexadecimal. */
export const goldenBytes = (name: string): Uint8Array =>
  Uint8Array.from(Buffer.from(golden(name).replaceAll(/\s/g, ""), "hex"))

// ------------------------------------------------------------------------------------------------------------ mutation

type Edit = (bytes: Uint8Array) => Uint8Array

/** Puts `inserted` in place of `removed` bytes. The position is a fraction of the length, so that inputs shrink well. */
const splice =
  (position: number, removed: number, inserted: Uint8Array): Edit =>
  (bytes) => {
    const at = Math.floor(position * (bytes.length + 1))
    return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + removed)])
  }

const flip =
  (position: number, bit: number): Edit =>
  (bytes) => {
    if (bytes.length === 0) return bytes
    const changed = Uint8Array.from(bytes)
    changed[Math.floor(position * bytes.length)]! ^= 1 << bit
    return changed
  }

const position = FastCheck.double({ min: 0, max: 0.999_999, noNaN: true })
const filler = FastCheck.tuple(FastCheck.constantFrom(0, 0x7f, 0x80, 0xff), FastCheck.integer({ min: 1, max: 8 })).map(
  ([byte, length]) => new Uint8Array(length).fill(byte)
)

/**
 * Bytes that begin as one of the originals, and are changed in one to four places: bits, bytes, lengths, whole parts of
 * another original, or one of the tokens. Some are random altogether.
 */
export const mutated = (
  originals: ReadonlyArray<Uint8Array>,
  tokens: ReadonlyArray<Uint8Array> = []
): FastCheck.Arbitrary<Uint8Array> => {
  const original = FastCheck.constantFrom(...originals)
  const part = FastCheck.tuple(original, position).map(([bytes, from]) =>
    bytes.subarray(Math.floor(from * bytes.length))
  )
  const edit = FastCheck.oneof(
    FastCheck.tuple(position, FastCheck.nat(7)).map(([at, bit]) => flip(at, bit)),
    FastCheck.tuple(position, FastCheck.nat(255)).map(([at, byte]) => splice(at, 1, Uint8Array.of(byte))),
    FastCheck.tuple(position, FastCheck.nat(255)).map(([at, byte]) => splice(at, 0, Uint8Array.of(byte))),
    FastCheck.tuple(position, filler).map(([at, bytes]) => splice(at, bytes.length, bytes)),
    FastCheck.tuple(position, FastCheck.integer({ min: 1, max: 20 })).map(([at, length]) =>
      splice(at, length, new Uint8Array())
    ),
    position.map((at) => splice(at, Number.POSITIVE_INFINITY, new Uint8Array())),
    FastCheck.tuple(position, part).map(([at, bytes]) => splice(at, Number.POSITIVE_INFINITY, bytes)),
    ...(tokens.length === 0
      ? []
      : [FastCheck.tuple(position, FastCheck.constantFrom(...tokens)).map(([at, bytes]) => splice(at, 0, bytes))])
  )
  return FastCheck.oneof(
    {
      weight: 9,
      arbitrary: FastCheck.tuple(original, FastCheck.array(edit, { minLength: 1, maxLength: 4 })).map(
        ([bytes, edits]) => Uint8Array.from(edits.reduce((all, edit) => edit(all), bytes))
      )
    },
    { weight: 1, arbitrary: FastCheck.uint8Array({ maxLength: 80 }) }
  )
}

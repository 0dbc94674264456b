/**
 * Explores the states that a model can reach: all of them, breadth first, or some of them in long random runs.
 */

/** A step from a state. `take` changes the state that it gets, and returns the promise that it broke, if any. */
export interface Step<S> {
  readonly label: string
  readonly take: (state: S) => string | undefined
}

export interface Model<S> {
  readonly initial: () => S
  /** Copies what steps change in a state. What they only replace is shared. */
  readonly copy: (state: S) => S
  readonly steps: (state: S) => ReadonlyArray<Step<S>>
}

export interface Result {
  /** The shortest trace that was found to each broken promise. */
  readonly broken: ReadonlyMap<string, ReadonlyArray<string>>
  /** The number of states, or of steps in random runs. */
  readonly explored: number
  /** Whether no state was left out. */
  readonly isComplete: boolean
}

/** Numbers for the names of properties and the texts of a state, which are few. */
const numbers = new Map<string, number>()
const numberOf = (text: string): number => {
  let number = numbers.get(text)
  if (number === undefined) {
    number = numbers.size + 1
    numbers.set(text, number)
  }
  return number
}

let a = 0
let b = 0
const mix = (word: number): void => {
  a = Math.imul(a ^ word, 2654435761)
  b = Math.imul(b ^ word, 1597334677)
}

/** Mixes a value into the hash: its kind, and then its parts. */
const mixValue = (value: unknown): void => {
  switch (typeof value) {
    case "number":
      if (Number.isSafeInteger(value)) {
        mix(value)
        if (value > 0x7fffffff || value < -0x80000000) mix(value / 0x100000000)
        return
      }
      return mix(numberOf(String(value)) ^ 0x10000000)
    case "string":
      return mix(numberOf(value) ^ 0x20000000)
    case "object": {
      if (value === null) return mix(0x30000000)
      if (Array.isArray(value)) {
        mix(value.length ^ 0x40000000)
        for (let i = 0; i < value.length; i++) mixValue(value[i])
        return
      }
      mix(0x50000000)
      for (const key in value) {
        const part = (value as Record<string, unknown>)[key]
        if (part === undefined) continue
        mix(numberOf(key) ^ 0x60000000)
        mixValue(part)
      }
      return mix(0x70000000)
    }
    default:
      return mix(numberOf(String(value)) ^ 0x80000000)
  }
}

/** A hash of 53 bits. Two states with one hash count as the same state. */
const hash = (state: unknown): number => {
  a = 0xdeadbeef
  b = 0x41c6ce57
  mixValue(state)
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return 4294967296 * (2097151 & b) + (a >>> 0)
}

/** Explores every state, up to `maxStates`, until a promise is broken. */
export const explore = <S>({ copy, initial, steps }: Model<S>, maxStates: number): Result => {
  const states: Array<S | undefined> = [initial()]
  const seen = new Set([hash(states[0])])
  const from: Array<readonly [before: number, label: string]> = [[-1, ""]]
  const broken = new Map<string, ReadonlyArray<string>>()
  const traceTo = (index: number, last: string): ReadonlyArray<string> => {
    const trace = [last]
    for (let [at, label] = from[index]!; at >= 0; [at, label] = from[at]!) trace.push(label)
    return trace.reverse()
  }
  let at = 0
  for (; at < states.length && states.length <= maxStates; at++) {
    const state = states[at]!
    for (const { label, take } of steps(state)) {
      const next = copy(state)
      const promise = take(next)
      if (promise !== undefined) {
        broken.set(promise, traceTo(at, label))
        return { broken, explored: states.length, isComplete: false }
      }
      const id = hash(next)
      if (seen.has(id)) continue
      seen.add(id)
      states.push(next)
      from.push([at, label])
    }
    states[at] = undefined
  }
  return { broken, explored: states.length, isComplete: at === states.length }
}

/** Takes the steps with these labels, as far as they are possible. Returns those up to a broken promise, if one breaks. */
export const replay = <S>(
  { initial, steps }: Model<S>,
  labels: ReadonlyArray<string>
): ReadonlyArray<string> | undefined => {
  const state = initial()
  const taken: Array<string> = []
  for (const label of labels) {
    const step = steps(state).find((step) => step.label === label)
    if (step === undefined) continue
    taken.push(label)
    if (step.take(state) !== undefined) return taken
  }
  return undefined
}

/** Leaves out of a trace what it does not need to break a promise: long parts first, then single steps. */
const shrink = <S>(model: Model<S>, trace: ReadonlyArray<string>): ReadonlyArray<string> => {
  let shortest = trace
  let isShorter = false
  for (let size = trace.length >> 1; size >= 1; size = size > 1 || isShorter ? Math.max(1, size >> 1) : 0) {
    isShorter = false
    for (let at = 0; at < shortest.length; ) {
      const without = replay(model, [...shortest.slice(0, at), ...shortest.slice(at + size)])
      if (without === undefined) at += size
      else {
        isShorter = without.length < shortest.length
        shortest = without
      }
    }
  }
  return shortest
}

/** How many milliseconds random runs take before they let the event loop go on. */
const pause = 500

/** Takes random steps for so many milliseconds, in runs of at most `depth` steps. A trace that breaks a promise ends it. */
export const wander = async <S>(
  model: Model<S>,
  { depth, millis, random }: { depth: number; millis: number; random: (below: number) => number }
): Promise<Result> => {
  const end = performance.now() + millis
  let explored = 0
  for (let paused = performance.now(); performance.now() < end; ) {
    if (performance.now() - paused > pause) {
      await new Promise((resume) => setImmediate(resume))
      paused = performance.now()
    }
    const state = model.initial()
    const trace: Array<string> = []
    for (let i = 0; i < depth; i++) {
      const choices = model.steps(state)
      if (choices.length === 0) break
      const { label, take } = choices[random(choices.length)]!
      trace.push(label)
      explored++
      const promise = take(state)
      if (promise !== undefined)
        return { broken: new Map([[promise, shrink(model, trace)]]), explored, isComplete: false }
    }
  }
  return { broken: new Map(), explored, isComplete: false }
}

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

export const clone = <A>(value: A): A => {
  if (value === null || typeof value !== "object") return value
  if (Array.isArray(value)) return value.map(clone) as A
  const copy: Record<string, unknown> = {}
  for (const key in value) copy[key] = clone(value[key])
  return copy as A
}

/** A hash of 53 bits. Two states with one hash count as the same state. */
const hash = (text: string): number => {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    a = Math.imul(a ^ code, 2654435761)
    b = Math.imul(b ^ code, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return 4294967296 * (2097151 & b) + (a >>> 0)
}

/** Explores every state, up to `maxStates`, until a promise is broken. */
export const explore = <S>({ initial, steps }: Model<S>, maxStates: number): Result => {
  const states: Array<S | undefined> = [initial()]
  const seen = new Set([hash(JSON.stringify(states[0]))])
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
      const next = clone(state)
      const promise = take(next)
      if (promise !== undefined) {
        broken.set(promise, traceTo(at, label))
        return { broken, explored: states.length, isComplete: false }
      }
      const id = hash(JSON.stringify(next))
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

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

/** Takes random steps for so many milliseconds, in runs of at most `depth` steps. */
export const wander = <S>(
  { initial, steps }: Model<S>,
  { depth, millis, random }: { depth: number; millis: number; random: (below: number) => number }
): Result => {
  const broken = new Map<string, ReadonlyArray<string>>()
  const end = performance.now() + millis
  let explored = 0
  while (performance.now() < end) {
    const state = initial()
    const trace: Array<string> = []
    for (let i = 0; i < depth; i++) {
      const choices = steps(state)
      if (choices.length === 0) break
      const { label, take } = choices[random(choices.length)]!
      trace.push(label)
      explored++
      const promise = take(state)
      if (promise === undefined) continue
      if ((broken.get(promise)?.length ?? Number.POSITIVE_INFINITY) > trace.length) broken.set(promise, trace)
      break
    }
  }
  return { broken, explored, isComplete: false }
}

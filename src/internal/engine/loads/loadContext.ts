import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

const scopeKey = Scope.Scope.key

/**
 * The Scope of a load: made when the lookup first asks for it, which most never do, and closed when the load ends. Who
 * asks later, a daemon of the lookup say, gets it closed: what is added to it is released at once.
 */
export class LoadScope {
  private made: Scope.CloseableScope | undefined = undefined
  private exit: Exit.Exit<any, any> | undefined = undefined

  get scope(): Scope.CloseableScope {
    if (this.made === undefined) {
      this.made = Effect.runSync(Scope.make())
      if (this.exit !== undefined) Effect.runSync(Scope.close(this.made, this.exit))
    }
    return this.made
  }

  /** ends as the load did, or as the finalizers would not have it */
  close(exit: Exit.Exit<any, any>): Effect.Effect<any, any> {
    this.exit = exit
    return this.made === undefined
      ? exit
      : Effect.matchCauseEffect(Scope.close(this.made, exit), {
          onFailure: (cause) => Effect.failCause(exit._tag === "Failure" ? Cause.sequential(exit.cause, cause) : cause),
          onSuccess: () => exit
        })
  }
}

/**
 * The services of a reader with those of a load before them, and without a copy of all: copying twenty takes longer than
 * everything else about a short load. Whoever asks for one service is answered from below; whatever looks at the whole
 * makes the copy first, and from then on this is a Map like any other.
 */
export class LoadServices extends Map<string, any> {
  private below: ReadonlyMap<string, any> | undefined
  private readonly own: LoadScope

  constructor(below: ReadonlyMap<string, any>, own: LoadScope) {
    super()
    this.below = below
    this.own = own
    if (below instanceof LoadServices && below.below !== undefined) {
      // loads within loads do not pile up
      this.below = below.below
      Map.prototype.forEach.call(below, (service, key) => super.set(key, service))
    }
  }

  private copy(): void {
    const { below } = this
    if (below === undefined) return
    this.below = undefined
    if (!super.has(scopeKey)) super.set(scopeKey, this.own.scope)
    below.forEach((service, key) => {
      if (!super.has(key)) super.set(key, service)
    })
  }

  override get(key: string): any {
    const { below } = this
    if (below === undefined || super.has(key)) return super.get(key)
    return key === scopeKey ? this.own.scope : below.get(key)
  }

  override has(key: string): boolean {
    return super.has(key) || (this.below !== undefined && (key === scopeKey || this.below.has(key)))
  }

  override get size(): number {
    this.copy()
    return super.size
  }

  override delete(key: string): boolean {
    this.copy()
    return super.delete(key)
  }

  override clear(): void {
    this.below = undefined
    super.clear()
  }

  override forEach(f: (service: any, key: string, map: Map<string, any>) => void, self?: unknown): void {
    this.copy()
    super.forEach(f, self)
  }

  override keys() {
    this.copy()
    return super.keys()
  }

  override values() {
    this.copy()
    return super.values()
  }

  override entries() {
    this.copy()
    return super.entries()
  }

  override [Symbol.iterator]() {
    return this.entries()
  }
}

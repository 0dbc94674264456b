/**
 * The services and the Scope of a load. Both are made as late as possible, because most lookups use few services and no
 * Scope.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

const scopeKey = Scope.Scope.key

/**
 * The Scope of a load. It is made when the lookup first asks for it, which most lookups never do, and closed when the
 * load ends. A fiber that asks later, such as a daemon of the lookup, gets a closed Scope: finalizers that are added to
 * it run at once.
 */
export class LoadScope {
  private made: Scope.CloseableScope | undefined = undefined
  private exit: Exit.Exit<unknown, unknown> | undefined = undefined

  get scope(): Scope.CloseableScope {
    if (this.made === undefined) {
      this.made = Effect.runSync(Scope.make())
      if (this.exit !== undefined) Effect.runSync(Scope.close(this.made, this.exit))
    }
    return this.made
  }

  /** Closes the Scope and returns the result of the load, or the failure of a finalizer. */
  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<unknown, unknown> {
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
 * The services of a load: the reader's services, overridden by those of the load. Nothing is copied at first, because
 * copying twenty services takes longer than the rest of a short load. A look-up of one service falls through to the
 * reader's Map. An operation on the Map as a whole makes the copy first, and from then on this is an ordinary Map.
 */
export class LoadServices extends Map<string, unknown> {
  private below: ReadonlyMap<string, unknown> | undefined
  private readonly loadScope: LoadScope

  constructor(below: ReadonlyMap<string, unknown>, loadScope: LoadScope) {
    super()
    this.below = below
    this.loadScope = loadScope
    if (below instanceof LoadServices && below.below !== undefined) {
      // nested loads are flattened, so that a look-up never goes through a chain of Maps
      this.below = below.below
      Map.prototype.forEach.call(below, (service, key) => super.set(key, service))
    }
  }

  private copy(): void {
    const { below } = this
    if (below === undefined) return
    this.below = undefined
    if (!super.has(scopeKey)) super.set(scopeKey, this.loadScope.scope)
    below.forEach((service, key) => {
      if (!super.has(key)) super.set(key, service)
    })
  }

  /** Visits the services without making a copy. The Scope of the load is left out if nothing has asked for it. */
  visit(f: (service: unknown, key: string) => void): void {
    super.forEach(f)
    this.below?.forEach((service, key) => {
      if (!super.has(key)) f(service, key)
    })
  }

  override get(key: string): unknown {
    const { below } = this
    if (below === undefined || super.has(key)) return super.get(key)
    return key === scopeKey ? this.loadScope.scope : below.get(key)
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

  override forEach(f: (service: unknown, key: string, map: Map<string, unknown>) => void, self?: unknown): void {
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

/**
 * The runs of the background loaders of one function: `Cached.bg`, `Cached.bgWrite`, or `Cached.bg` of a function with
 * arguments, of which each key that is read has a loader. Times are those of the loaders' clock.
 */
import * as Cause from "effect/Cause"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { Background } from "../../CacheStats.js"

/** The most characters of an error's text. */
const longestMessage = 200

/** What an error says of itself. The fields of one that is no `Error` may be values, and are left out. */
const textOf = (error: unknown): string => {
  if (error instanceof Error) return error.message === "" ? error.name : `${error.name}: ${error.message}`
  if (typeof error === "string") return error
  return Predicate.hasProperty(error, "_tag") ? String(error._tag) : typeof error
}

/** The first line of an error. */
const messageOf = (cause: Cause.Cause<unknown>): string => {
  const [line = ""] = textOf(Cause.squash(cause)).split("\n")
  return line.length > longestMessage ? `${line.slice(0, longestMessage)}…` : line
}

export class BackgroundRuns {
  private runs = 0
  private failures = 0
  private lastSuccess: number | undefined = undefined
  private lastError: { readonly at: number; readonly message: string } | undefined = undefined
  /** When the loader of each key runs next. */
  private readonly due = new Map<string, number>()

  /** The next run of a key begins at this time; `undefined` if it runs, or if it is not known. */
  dueAt(key: string, at: number | undefined): void {
    if (at === undefined) this.due.delete(key)
    else this.due.set(key, at)
  }

  ended(exit: Exit.Exit<unknown, unknown>, now: number): void {
    this.runs++
    if (exit._tag === "Success") {
      this.lastSuccess = now
      return
    }
    this.failures++
    this.lastError = { at: now, message: messageOf(exit.cause) }
  }

  get stats(): Background {
    let next: number | undefined
    for (const at of this.due.values()) if (next === undefined || at < next) next = at
    return {
      runs: this.runs,
      failures: this.failures,
      lastSuccess: Option.fromNullable(this.lastSuccess),
      lastError: Option.fromNullable(this.lastError),
      nextDue: Option.fromNullable(next)
    }
  }
}

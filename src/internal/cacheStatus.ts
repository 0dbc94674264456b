/**
 * The line of the HTTP field `Cache-Status` (RFC 9211) for a read.
 */
import type { MissReason, Outcome } from "../CacheEvent.js"

/** The largest integer of a structured field (RFC 8941). */
const largest = 999_999_999_999_999

/** Why the request went forward, in the words of the RFC. */
const forwards = (reason: MissReason | undefined): string => {
  switch (reason) {
    case "expired":
    case "retained":
      return "stale"
    case "bypassed":
    case "disabled":
      return "bypass"
    default:
      return "miss"
  }
}

/** The line. `ttl` is the rest of the fresh time in milliseconds, and negative for a stale value. */
export const cacheStatusOf = ({
  isCollapsed = false,
  outcome,
  reason,
  ttl
}: {
  readonly outcome: Outcome
  readonly reason?: MissReason | undefined
  readonly ttl?: number | undefined
  /** Whether the read waits for a load that another one has started. */
  readonly isCollapsed?: boolean | undefined
}): string => {
  if (outcome === "miss") return `effect-cached; fwd=${forwards(reason)}${isCollapsed ? "; collapsed" : ""}`
  const isFinite = ttl !== undefined && Number.isFinite(ttl)
  const seconds = isFinite ? Math.max(-largest, Math.min(largest, Math.floor(ttl / 1_000))) : undefined
  return `effect-cached; hit${seconds === undefined ? "" : `; ttl=${seconds}`}`
}

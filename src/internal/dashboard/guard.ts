/**
 * Who may have something done: a request of the page itself. Another site can make a browser send requests here, with the
 * cookies of this site, but it can neither read the token of the page nor claim to be this site.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"

/** The header that carries the token of the page. */
export const tokenHeader = "x-dashboard-token"

/** Whether two texts are equal. It takes as long for a near miss as for any other text of the length. */
const equals = (a: string, b: string): boolean => {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}

/**
 * Whether the browser says that a page of this site sent the request. `Sec-Fetch-Site` compares with the address that the
 * browser sees, so that a proxy which changes `Host` does no harm. Browsers without it send `Origin` with a POST.
 */
const isSameSite = ({ headers }: HttpServerRequest.HttpServerRequest): boolean => {
  const site = headers["sec-fetch-site"]
  if (site !== undefined) return site === "same-origin"
  const { host, origin } = headers
  if (origin === undefined || host === undefined || !URL.canParse(origin)) return false
  return new URL(origin).host === host
}

/** Whether a request comes from a page with this token. */
export const isFromPage = (request: HttpServerRequest.HttpServerRequest, token: string): boolean =>
  isSameSite(request) &&
  equals(request.headers[tokenHeader] ?? "", token) &&
  (request.headers["content-type"] ?? "").startsWith("application/json")

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'"
].join("; ")

const headers = {
  "content-security-policy": policy,
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "x-frame-options": "DENY",
  "cache-control": "no-store"
}

/** The headers of every response. */
export const guarded: (response: HttpServerResponse.HttpServerResponse) => HttpServerResponse.HttpServerResponse =
  HttpServerResponse.setHeaders(headers)

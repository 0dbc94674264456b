/**
 * What is kept of an error that a client, a server or a file system gave.
 *
 * Such errors carry what was sent: ioredis the command with its key and value, the clients of S3 and Google Cloud the
 * headers with their tokens, a file system the name of a file. Programs log a `CacheStoreError` with all that hangs on
 * it, so its cause is an error of this module instead. It has a name, a code, and a message from which everything is
 * removed that may repeat what was sent.
 */
import { kindOf } from "./kindOf.js"

/** An error with nothing but a name, a message and numbers. */
export class Reported extends Error {
  override readonly name: string
  /** The code of the error, such as `ECONNREFUSED`. */
  readonly code?: string | number
  /** The status of an HTTP answer. */
  readonly status?: number
  /** How often the client of S3 had sent the request. */
  readonly attempts?: number

  constructor(message: string, { attempts, code, name = "Error", status }: ReportedOptions = {}) {
    super(message)
    this.name = name
    // the frames of a client's socket help nobody
    Object.defineProperty(this, "stack", { value: `${name}: ${message}`, enumerable: false })
    if (code !== undefined) this.code = code
    if (status !== undefined) this.status = status
    if (attempts !== undefined) this.attempts = attempts
  }
}

export interface ReportedOptions {
  readonly name?: string | undefined
  readonly code?: string | number | undefined
  readonly status?: number | undefined
  readonly attempts?: number | undefined
}

/** The most characters of a message. */
const maxLength = 300

/** The text in quotes that servers write themselves: names of commands and of settings. */
const ownWords = /(?:\bthe|\bfor) '[a-z][a-z|_-]{0,40}' command\b|'maxmemory'/g

/** From the first quote to the last one, because what is quoted may contain quotes. */
const quoted = [/(?<!\w)'[\s\S]*'(?!\w)|(?<!\w)'[^']*$/g, /"[\s\S]*"|"[^"]*$/g, /`[\s\S]*`|`[^`]*$/g]

const withoutQuotes = (text: string): string => quoted.reduce((rest, quote) => rest.replace(quote, "…"), text)

/** Characters that begin a new line in a log, or change what a terminal shows. */
const isControl = (char: string): boolean =>
  char < " " || (char >= "\x7f" && char < "\xa0") || /[\u2028\u2029]/.test(char)

/**
 * A message without what it may repeat: the texts that were `sent`, whatever is in quotes or markup, credentials, the
 * rest of a URL behind its host, and the names of objects, which are hashes of keys.
 */
export const scrub = (message: string, sent: ReadonlyArray<string> = []): string => {
  const kept: Array<string> = []
  let text = message.slice(0, 10_000)
  for (const each of [...sent].sort((a, b) => b.length - a.length)) {
    if (each.length > 2 && text.includes(each)) text = text.replaceAll(each, "…")
  }
  text = text
    .replace(/,? with args beginning with[\s\S]*$/, "")
    .replace(/\bUser \S+ has no\b/g, "User … has no")
    .replace(/([a-z][\w+.-]*:\/\/)(?:\S*@)?([^\s/?#"'<>]*)[^\s"'<>]*/gi, "$1$2")
    .replace(/<\?xml[\s\S]*|<\w[\s\S]*<\/[\s\S]*>/g, "…")
    .replace(/\b(bearer|basic)\s+[^\s,;]+/gi, "$1 …")
    .replace(
      /\b([\w-]*(?:authorization|credential|key|password|secret|signature|token)[\w-]*\s*[=:]\s*)[^\s,;&]+/gi,
      "$1…"
    )
    .replace(/\b[0-9a-f]{32,}\b/gi, "…")
    .replace(ownWords, (own) => `\0${kept.push(own) - 1}\0`)
  text = withoutQuotes(text).replace(/\0(\d+)\0/g, (_, index: string) => kept[Number(index)] ?? "…")
  text = Array.from(text, (char) => (isControl(char) ? " " : char)).join("")
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text
}

const isWord = (value: unknown): value is string => typeof value === "string" && /^[A-Za-z][\w.]{0,63}$/.test(value)

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value)

/** The name of an error, or of whatever else was thrown. */
export const nameOf = (cause: unknown): string => {
  const name: unknown = cause instanceof Error ? cause.name : undefined
  return isWord(name) ? name : cause instanceof Error ? "Error" : typeof cause
}

/** The properties that the errors of clients and file systems may have. */
interface Foreign {
  readonly _tag?: unknown
  readonly name?: unknown
  readonly message?: unknown
  readonly code?: unknown
  readonly status?: unknown
  readonly cause?: unknown
  /** The errors of S3. */
  readonly Code?: unknown
  readonly Message?: unknown
  readonly $metadata?: { readonly httpStatusCode?: unknown; readonly attempts?: unknown }
  /** The errors of `@effect/platform`. */
  readonly reason?: unknown
  readonly module?: unknown
  readonly method?: unknown
  /** The command behind an error of ioredis. */
  readonly command?: { readonly args?: unknown }
}

const argumentsOf = ({ command }: Foreign): ReadonlyArray<string> =>
  Array.isArray(command?.args) ? command.args.flat().map((arg) => (typeof arg === "string" ? arg : String(arg))) : []

const messageOf = (error: Foreign, sent: ReadonlyArray<string>): string => {
  const { _tag, cause, method, module, reason } = error
  if (_tag === "SystemError" && isWord(reason)) {
    const code = (cause as Foreign | undefined)?.code
    const where = isWord(module) && isWord(method) ? `: ${module}.${method}` : ""
    return `${reason}${where}${isWord(code) ? ` (${code})` : ""}`
  }
  const message = error.message ?? error.Message
  const said = typeof message === "string" ? scrub(message, [...sent, ...argumentsOf(error)]) : ""
  const code = error.Code ?? (error.$metadata === undefined ? undefined : error.name)
  return isWord(code) && !said.startsWith(code) ? `${code}: ${said}` : said
}

/**
 * What is kept of an error. `sent` are texts that it must not repeat. The arguments of a command of ioredis are known
 * from the error itself.
 */
export const reported = (cause: unknown, sent: ReadonlyArray<string> = []): Reported => {
  if (cause instanceof Reported) return cause
  if (typeof cause !== "object" || cause === null) {
    return new Reported(typeof cause === "string" ? scrub(cause, sent) : `${kindOf(cause)} was thrown`)
  }
  const error = cause as Foreign
  const name = error.name ?? error.Code
  const status = error.$metadata?.httpStatusCode ?? error.status ?? error.code
  const isHttp = isNumber(status) && status >= 100 && status < 600
  const attempts = error.$metadata?.attempts
  return new Reported(`${messageOf(error, sent) || "no message"}${isHttp ? ` (HTTP ${status})` : ""}`, {
    name: isWord(name) ? name : undefined,
    code: isWord(error.code) || isNumber(error.code) ? error.code : undefined,
    status: isHttp ? status : undefined,
    attempts: isNumber(attempts) ? attempts : undefined
  })
}

/**
 * A step of a path as messages show it. The keys of a record may be data, such as e-mail addresses or tokens, so only what
 * looks like the name of a property is shown: an identifier of at most 40 characters, three of them digits.
 */
export const segmentOf = (segment: PropertyKey): string => {
  if (typeof segment === "number") return `[${segment}]`
  if (typeof segment === "string" && /^[\p{L}_$][\p{L}\p{N}_$]{0,39}$/u.test(segment)) {
    if (!/(?:\p{N}.*){4}/u.test(segment)) return `.${segment}`
  }
  return "[…]"
}

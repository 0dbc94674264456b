/**
 * The addresses of servers, in the forms in which users write them. Whatever ioredis would misunderstand is the defect
 * `InvalidOption`. No message repeats the text, which may hold a password.
 */
import * as Redacted from "effect/Redacted"
import type { RedisOptions } from "ioredis"
import { InvalidOption } from "../../../CacheError.js"
import { isRedisUrl } from "./ioredisWorkarounds.js"

export type Secret = string | Redacted.Redacted

/** The address of a server: a URL, or its parts. */
export type Address = Secret | { readonly host: string; readonly port: number }

export const reveal = (secret: Secret): string => (Redacted.isRedacted(secret) ? Redacted.value(secret) : secret)

const invalid = (option: string, detail: string): never => {
  throw new InvalidOption({ option, detail })
}

const decoded = (option: string, text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return invalid(option, "contains a % that does not begin a percent-encoded character: write it as %25")
  }
}

/** Checks the number of a database. ioredis would take a text that is not a number for database 0. */
export const checkDatabase = (option: string, database: string | number | null | undefined): void => {
  if (database == null || /^\d+$/.test(String(database))) return
  invalid(option, "names a database that is not a whole number of at least 0: Redis numbers its databases")
}

const parse = (option: string, text: string): URL => {
  if (!isRedisUrl(text)) {
    return invalid(
      option,
      "is not of the form redis://host:port or rediss://host:port; characters such as / # ? % in a password must be " +
        "percent-encoded"
    )
  }
  const url = new URL(text)
  decoded(option, url.username)
  decoded(option, url.password)
  if (url.hash !== "") invalid(option, "has a #: write one in a password as %23")
  // ioredis would take any parameter for an option, in place of what this library decides
  for (const name of url.searchParams.keys()) {
    if (name === "db" || name === "family") continue
    invalid(option, "has a parameter that is not db or family: pass other options as `redis`, and write a ? as %3F")
  }
  return url
}

/** Options of a Unix socket, from a URL such as `redis+unix:///run/redis.sock?db=1&user=me&pass=secret`. */
const socketOf = (text: string): RedisOptions => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || url.host !== "" || url.pathname.length < 2) {
    return invalid("url", "is not of the form redis+unix:///path/of/the/socket?db=1&user=name&pass=secret")
  }
  const { db, pass, user, ...others } = Object.fromEntries(url.searchParams)
  if (Object.keys(others).length > 0) invalid("url", "has a parameter that is not db, user or pass")
  checkDatabase("url", db)
  return {
    path: decoded("url", url.pathname),
    ...(db === undefined ? {} : { db: Number(db) }),
    ...(user === undefined ? {} : { username: user }),
    ...(pass === undefined ? {} : { password: pass })
  }
}

/** The address of one server as ioredis takes it: a URL that was checked, or the options of a Unix socket. */
export const serverOf = (url: Secret): string | RedisOptions => {
  const text = reveal(url)
  if (/^redis\+unix:/.test(text)) return socketOf(text)
  const { pathname, searchParams } = parse("url", text)
  checkDatabase("url", pathname.slice(1) === "" ? undefined : pathname.slice(1))
  checkDatabase("url", searchParams.get("db"))
  return text
}

/** Host and port of each node of a cluster or sentinel, and the user, password and TLS that their URLs ask for. */
export const nodesOf = (option: string, nodes: ReadonlyArray<Address>, defaultPort: number) => {
  if (nodes.length === 0) invalid(option, "is empty: name at least one node")
  const extra: { username?: string; password?: string; tls?: {} } = {}
  const addresses = nodes.map((node) => {
    if (typeof node === "object" && !Redacted.isRedacted(node)) return { host: node.host, port: node.port }
    const url = parse(option, reveal(node))
    if (url.pathname.length > 1 || url.searchParams.has("db")) {
      invalid(
        option,
        "names a database in the URL of a node: a cluster has none to choose from, and for the master of sentinels " +
          "it is `redis: { db }`"
      )
    }
    if (url.username !== "") extra.username ??= decoded(option, url.username)
    if (url.password !== "") extra.password ??= decoded(option, url.password)
    if (url.protocol === "rediss:") extra.tls ??= {}
    return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || defaultPort) }
  })
  return { addresses, extra }
}

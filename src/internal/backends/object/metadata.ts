/**
 * The object names and the metadata of a bucket. The times of an entry are stored in the metadata too, so that they are
 * known before the bytes are fetched. Numbers are stored as text that parses to exactly the same number.
 */
import { isEntryName } from "./format.js"
import type { Head, Meta, Put } from "./objectStore.js"

type Metadata = Readonly<Record<string, unknown>>

/**
 * The key of an object in a bucket. Entries have a folder of their own, so that a lifecycle rule of the bucket can
 * delete them by age and leaves the marks alone.
 */
export const bucketKey = (prefix: string, name: string): string =>
  isEntryName(name) ? entriesPrefix(prefix) + name : prefix + name

/** The beginning of the key of every entry. */
export const entriesPrefix = (prefix: string): string => `${prefix}entries/`

export const print = ({ contentDigest, meta }: Put): Record<string, string> =>
  meta === undefined
    ? {}
    : {
        kind: meta.isTombstone ? "trace" : "entry",
        stamp: String(meta.stamp),
        created: String(meta.createdAt),
        fresh: String(meta.freshUntil),
        expires: String(meta.expiresAt),
        content: contentDigest
      }

const time = (metadata: Metadata, name: string): number => {
  const text = metadata[name]
  return typeof text === "string" && text !== "" ? Number(text) : Number.NaN
}

/** The times in the metadata. `undefined` if this library did not write them: then the bytes of the object count. */
const metaOf = (metadata: Metadata): Meta | undefined => {
  const { kind } = metadata
  const stamp = time(metadata, "stamp")
  const createdAt = time(metadata, "created")
  const freshUntil = time(metadata, "fresh")
  const expiresAt = time(metadata, "expires")
  return (kind === "trace" || kind === "entry") &&
    Number.isFinite(stamp) &&
    createdAt <= freshUntil &&
    freshUntil <= expiresAt
    ? { isTombstone: kind === "trace", stamp, createdAt, freshUntil, expiresAt }
    : undefined
}

export const parse = (metadata: Metadata | undefined): Pick<Head, "contentDigest" | "meta"> => {
  const { content } = metadata ?? {}
  return { meta: metadata && metaOf(metadata), contentDigest: typeof content === "string" ? content : undefined }
}

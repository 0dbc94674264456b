/**
 * What a bucket keeps beside an object: the times of an entry, so that they are known before its bytes. Doubles are
 * written so that the very same come back.
 */
import type { Head, Meta, Put } from "./objectStore.js"

type Metadata = Readonly<Record<string, unknown>>

/** where entries are, below a prefix: the marks are elsewhere, so that a rule of the bucket may end entries by age */
export const entries = "entries/"

export const print = ({ content, meta }: Put): Record<string, string> =>
  meta === undefined
    ? {}
    : {
        kind: meta.isTrace ? "trace" : "entry",
        stamp: String(meta.stamp),
        created: String(meta.createdAt),
        fresh: String(meta.freshUntil),
        expires: String(meta.expiresAt),
        content
      }

const time = (metadata: Metadata, name: string): number => {
  const text = metadata[name]
  return typeof text === "string" && text !== "" ? Number(text) : Number.NaN
}

/** `undefined` where it is not ours: the bytes then tell */
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
    ? { isTrace: kind === "trace", stamp, createdAt, freshUntil, expiresAt }
    : undefined
}

export const parse = (metadata: Metadata | undefined): Pick<Head, "content" | "meta"> => {
  const { content } = metadata ?? {}
  return { meta: metadata && metaOf(metadata), content: typeof content === "string" ? content : undefined }
}

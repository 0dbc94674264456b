/**
 * Traces of one's own: files with one key per line, or with keys as integers of four or eight bytes, compressed with
 * gzip if the name ends with `.gz`.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { gunzipSync } from "node:zlib"
import { type NamedTrace, numbered, type Trace } from "./traces.js"

/** How the keys of a file are written. */
export const formats = ["lines", "int32be", "int32le", "int64be", "int64le"] as const
export type Format = (typeof formats)[number]

/** Views four or eight bytes as a key. Keys of eight bytes that differ are different numbers or different texts. */
const integers = (bytes: Buffer, width: 4 | 8, read: (at: number) => number | bigint): ReadonlyArray<number | bigint> =>
  Array.from({ length: Math.floor(bytes.length / width) }, (_, i) => read(i * width))

const readers: Record<Format, (bytes: Buffer) => ReadonlyArray<string | number | bigint>> = {
  // a line with "*" alone separates parts in some collections
  lines: (bytes) =>
    bytes
      .toString("latin1")
      .split(/\r?\n/)
      .filter((line) => line !== "" && line !== "*"),
  int32be: (bytes) => integers(bytes, 4, (at) => bytes.readInt32BE(at)),
  int32le: (bytes) => integers(bytes, 4, (at) => bytes.readInt32LE(at)),
  int64be: (bytes) => integers(bytes, 8, (at) => bytes.readBigInt64BE(at)),
  int64le: (bytes) => integers(bytes, 8, (at) => bytes.readBigInt64LE(at))
}

export const parse = (bytes: Buffer, format: Format): Trace => numbered(readers[format](bytes))

/** A file as a trace, named as the file. A format may stand before the path: `int32be:web07.trace.gz`. */
export const file = (argument: string): NamedTrace => {
  const prefix = formats.find((format) => argument.startsWith(`${format}:`))
  const name = prefix === undefined ? argument : argument.slice(prefix.length + 1)
  return {
    name: path.basename(name).replace(/\.gz$/, ""),
    load: () => {
      const bytes = fs.readFileSync(name)
      return parse(name.endsWith(".gz") ? gunzipSync(bytes) : bytes, prefix ?? "lines")
    }
  }
}

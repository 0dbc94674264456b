/** The slow work of the quickstart: walking a folder and hashing its files. Nothing here depends on a cache. */
import { createHash } from "node:crypto"
import { FileSystem, Path } from "@effect/platform"
import { Effect, Option, Stream } from "effect"

/** How many files are worked on at once. */
export const concurrency = 16

/** The limits of one walk, so that walking a whole disk ends, too. */
const most = { files: 20_000, bytes: 1_000_000_000 }

const skipped = new Set(["node_modules", ".git", "dist"])

export interface File {
  readonly path: string
  /** The extension, such as `.ts`, or `extensionless`. */
  readonly kind: string
  readonly size: number
  /** The time of the last change, in milliseconds. */
  readonly changed: number
}

export interface Found {
  readonly files: ReadonlyArray<File>
  readonly bytes: number
  /** Whether the folder holds more than the limits allow. */
  readonly more: boolean
}

const list = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* fs.readDirectory(folder)
  return names
    .filter((name) => !skipped.has(name))
    .sort()
    .map((name) => path.join(folder, name))
})

const look = Effect.fnUntraced(function* (entry: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const info = yield* fs.stat(entry)
  if (info.type === "Directory") {
    // a link to a folder may form a cycle
    const isLink = yield* Effect.isSuccess(fs.readLink(entry))
    return isLink ? undefined : entry
  }
  if (info.type !== "File") return undefined
  const changed = Option.match(info.mtime, { onNone: () => 0, onSome: (date) => date.getTime() })
  const file: File = { path: entry, kind: path.extname(entry) || "extensionless", size: Number(info.size), changed }
  return file
})

/** Every file below a folder, level by level. Fails if the folder cannot be listed; subfolders that cannot be are skipped. */
export const walk = Effect.fn("walk")(function* (root: string) {
  const files: Array<File> = []
  let bytes = 0
  let more = false
  let entries = yield* list(root)
  while (entries.length > 0 && !more) {
    const found = yield* Effect.forEach(entries, (entry) => Effect.option(look(entry)), { concurrency })
    const folders: Array<string> = []
    for (const one of found) {
      if (one._tag === "None" || one.value === undefined) continue
      if (typeof one.value === "string") folders.push(one.value)
      else if (files.length === most.files || bytes + one.value.size > most.bytes) more = true
      else {
        files.push(one.value)
        bytes += one.value.size
      }
    }
    const below = yield* Effect.forEach(folders, (folder) => Effect.orElseSucceed(list(folder), () => []), {
      concurrency
    })
    entries = below.flat()
  }
  const result: Found = { files, bytes, more }
  return result
})

/** The SHA-256 of a file, in hexadecimal. Large files are streamed. */
export const sha256 = Effect.fn("sha256")(function* (file: File) {
  const fs = yield* FileSystem.FileSystem
  const hash = createHash("sha256")
  if (file.size <= 1_000_000) hash.update(yield* fs.readFile(file.path))
  else yield* Stream.runForEach(fs.stream(file.path), (chunk) => Effect.sync(() => hash.update(chunk)))
  return hash.digest("hex")
})

/**
 * The file of a snapshot. It is written under a name of its own, flushed to the disk, and renamed, so that there is the
 * old file or the new one, whole. Several processes may save to one path: the last one to rename wins.
 */
import { randomUUID } from "node:crypto"
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { timeOfDay } from "../time.js"

export interface Files {
  readonly fs: FileSystem.FileSystem
  readonly path: Path.Path
}

type Method<A, R = never> = Effect.Effect<A, PlatformError, R>

const mode = 0o600
const directoryMode = 0o700

/** After how many milliseconds without a write a draft counts as left behind by a process that was killed. */
const draftLease = 60_000

export const isNotFound = (error: unknown): boolean =>
  typeof error === "object" &&
  error !== null &&
  (error as PlatformError)._tag === "SystemError" &&
  (error as { readonly reason?: unknown }).reason === "NotFound"

/**
 * Runs one operation on a file to its end. The threads of Node would go on with it after an interruption, while the file
 * was closed and its number given to another one.
 */
export const whole = Effect.uninterruptible

const openDraft = ({ fs, path }: Files, draft: string): Method<FileSystem.File, Scope.Scope> => {
  const opened = fs.open(draft, { flag: "wx", mode })
  return Effect.catchIf(opened, isNotFound, () =>
    Effect.zipRight(fs.makeDirectory(path.dirname(draft), { recursive: true, mode: directoryMode }), opened)
  )
}

/** Flushes the name of a file to the disk, where the file system can. */
const syncDirectory = ({ fs, path }: Files, file: string): Effect.Effect<void> =>
  Effect.ignore(Effect.scoped(Effect.flatMap(fs.open(path.dirname(file), { flag: "r" }), ({ sync }) => whole(sync))))

/** Where a path leads to, through links. A link may lead to a file that is not there yet. */
const realPath = ({ fs, path }: Files, file: string): Effect.Effect<string> =>
  Effect.orElse(fs.realPath(file), () =>
    Effect.match(fs.readLink(file), {
      onFailure: () => file,
      onSuccess: (target) => path.resolve(path.dirname(file), target)
    })
  )

/** Puts a new file, which `write` fills, in the place of `path`. A link there stays, and leads to the new file. */
export const replace = <A, E>(
  files: Files,
  path: string,
  write: (draft: FileSystem.File) => Effect.Effect<A, E>
): Effect.Effect<A, E | PlatformError> =>
  Effect.flatMap(realPath(files, path), (file) => {
    const draft = `${file}.${randomUUID()}.tmp`
    const filled = Effect.scoped(
      Effect.flatMap(openDraft(files, draft), (opened) => Effect.zipLeft(write(opened), whole(opened.sync)))
    )
    const renamed = Effect.zipRight(whole(files.fs.rename(draft, file)), syncDirectory(files, file))
    return Effect.onError(Effect.zipLeft(filled, renamed), () => Effect.ignore(files.fs.remove(draft)))
  })

/** Removes the drafts of processes that were killed. */
export const removeDrafts = (files: Files, file: string): Effect.Effect<void> =>
  Effect.flatMap(realPath(files, file), (real) => removeDraftsOf(files, real))

const removeDraftsOf = ({ fs, path }: Files, file: string): Effect.Effect<void> => {
  const directory = path.dirname(file)
  const before = `${path.basename(file)}.`
  const isDraft = (name: string) => name.startsWith(before) && /^[0-9a-f-]{36}\.tmp$/.test(name.slice(before.length))
  return Effect.ignore(
    Effect.flatMap(fs.readDirectory(directory), (names) =>
      Effect.forEach(names.filter(isDraft), (name) => {
        const draft = path.join(directory, name)
        return Effect.flatMap(fs.stat(draft), ({ mtime }) => {
          const written = Option.match(mtime, { onNone: () => Number.POSITIVE_INFINITY, onSome: (at) => at.getTime() })
          return written < timeOfDay(Clock.make()) - draftLease ? fs.remove(draft) : Effect.void
        })
      })
    )
  )
}

/** Keeps a file that is no snapshot under another name, which is returned. `undefined` if that is not possible. */
export const setAside = (files: Files, path: string): Effect.Effect<string | undefined> =>
  Effect.flatMap(realPath(files, path), (file) => {
    const aside = `${file}.unreadable`
    return Effect.match(files.fs.rename(file, aside), { onFailure: () => undefined, onSuccess: () => aside })
  })

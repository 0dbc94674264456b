/**
 * Objects as files: how they are named, replaced as a whole, locked, and swept.
 */
import { randomUUID } from "node:crypto"
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { CacheStoreError } from "../../../CacheError.js"
import { monotonic, timeOfDay } from "../../time.js"
import { headLength, metaIn, versionIn } from "./format.js"
import type { Condition, Head, Objects, Put, Stored } from "./objectStore.js"

/** how many milliseconds one holder may keep a lock before it counts as dead; a write takes a few */
const lockLease = 2_000

/** how long a holder itself goes by it: what stood still longer neither replaces a file nor gives back what may be another's */
const lockTime = lockLease / 2

/** what is never needed again after so many milliseconds: files under way, locks of the dead */
const litterAge = 3_600_000

/** the last moment a file is told to be needed, in seconds: 2100 */
const forEver = 4_102_444_800

/** how many files one sweep looks at */
const sweepSize = 1_000

type Method<A> = Effect.Effect<A, PlatformError>

const isNotFound = (error: PlatformError): boolean => error._tag === "SystemError" && error.reason === "NotFound"

const ifThere = <A>(method: Method<A>): Method<A | undefined> =>
  Effect.catchIf(method, isNotFound, () => Effect.succeed(undefined))

const headOf = (bytes: Uint8Array): Head => ({ version: versionIn(bytes), meta: metaIn(bytes) })

export class Files implements Objects {
  readonly name: string
  private readonly fs: FileSystem.FileSystem
  private readonly path: Path.Path
  private readonly directory: string
  private readonly live = Clock.make()
  /** on which nobody else may hit, whatever seed its Random has */
  private readonly process = randomUUID()
  private count = 0

  constructor(fs: FileSystem.FileSystem, path: Path.Path, directory: string, name: string) {
    this.fs = fs
    this.path = path
    // of where the process is now, wherever it goes
    this.directory = path.resolve(directory)
    this.name = name
  }

  /** for how long something has been so */
  private now(): number {
    return monotonic(this.live)
  }

  /** what the time of a file is compared with */
  private time(): number {
    return timeOfDay(this.live)
  }

  /** entries are spread over 256 directories by the first two digits of their names */
  private pathOf(name: string): string {
    return name.length === 64
      ? this.path.join(this.directory, name.slice(0, 2), name.slice(2))
      : this.path.join(this.directory, name)
  }

  private unique(): string {
    return `${this.process}-${++this.count}`
  }

  private rejected<A>(method: string, effect: Method<A>): Effect.Effect<A, CacheStoreError> {
    return Effect.mapError(
      effect,
      (cause) => new CacheStoreError({ reason: "Rejected", store: this.name, method, cause })
    )
  }

  /** makes the directory of a file where it is missing, once that has turned out */
  private inDirectory<A>(file: string, method: Method<A>): Method<A> {
    return Effect.catchIf(method, isNotFound, () =>
      Effect.zipRight(this.fs.makeDirectory(this.path.dirname(file), { recursive: true }), method)
    )
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  head(name: string): Effect.Effect<Head | undefined, CacheStoreError> {
    return this.rejected("head", this.headAt(this.pathOf(name)))
  }

  private headAt(file: string): Method<Head | undefined> {
    return ifThere(
      Effect.scoped(
        Effect.flatMap(this.fs.open(file), (opened) =>
          Effect.map(opened.readAlloc(headLength), (bytes) => headOf(Option.getOrElse(bytes, () => new Uint8Array())))
        )
      )
    )
  }

  /** at once as a whole: a file is read faster than its beginning and then its rest */
  read(name: string): Effect.Effect<Stored | undefined, CacheStoreError> {
    return this.rejected(
      "read",
      Effect.map(ifThere(this.fs.readFile(this.pathOf(name))), (bytes) => bytes && { ...headOf(bytes), bytes })
    )
  }

  // ---------------------------------------------------------------------------------------------------------- writes

  write(name: string, { bytes, lifetime }: Put, condition: Condition): Effect.Effect<boolean, CacheStoreError> {
    const file = this.pathOf(name)
    return this.rejected(
      "write",
      // when it may be swept is its time, which is looked at without opening it
      this.drafted(
        bytes,
        Effect.sync(() => Math.min((this.time() + lifetime) / 1_000, forEver)),
        (draft) =>
          // where nothing stands a name can be taken in one step, and is never taken otherwise
          condition === null ? this.take(draft, file) : this.replace(draft, file, condition)
      )
    )
  }

  /** a file of its own with these bytes, for as long as it is used under that name */
  private drafted<A>(bytes: Uint8Array, time: Effect.Effect<number>, use: (draft: string) => Method<A>): Method<A> {
    const { fs } = this
    const draft = this.path.join(this.directory, "drafts", this.unique())
    const write = Effect.zipRight(
      this.inDirectory(draft, fs.writeFile(draft, bytes)),
      Effect.flatMap(time, (until) => fs.utimes(draft, until, until))
    )
    return Effect.ensuring(
      Effect.zipRight(
        write,
        Effect.suspend(() => use(draft))
      ),
      this.discard(draft)
    )
  }

  /** gives a file another name, if nobody has that */
  private take(file: string, name: string): Method<boolean> {
    return Effect.catchIf(
      Effect.as(this.inDirectory(name, this.fs.link(file, name)), true),
      (error) => error._tag === "SystemError" && error.reason === "AlreadyExists",
      () => Effect.succeed(false)
    )
  }

  private replace(draft: string, file: string, version: string | undefined): Method<boolean> {
    const rename = Effect.as(this.fs.rename(draft, file), true)
    return this.locked(file, draft, (isHeld) =>
      version === undefined
        ? rename
        : Effect.flatMap(this.headAt(file), (there) =>
            there?.version === version && isHeld() ? rename : Effect.succeed(false)
          )
    )
  }

  private discard(file: string): Effect.Effect<void> {
    return Effect.ignore(this.fs.remove(file))
  }

  remove(names: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<CacheStoreError | undefined>> {
    return Effect.forEach(names, (name) =>
      Effect.match(this.rejected("remove", ifThere(this.fs.remove(this.pathOf(name)))), {
        onFailure: (error) => error,
        onSuccess: () => undefined
      })
    )
  }

  // ----------------------------------------------------------------------------------------------------------- locks

  /** one at a time among all processes: the lock of a file is a second name of the draft that shall replace it */
  private locked<A>(file: string, draft: string, use: (isHeld: () => boolean) => Method<A>): Method<A> {
    const lock = `${file}.lock`
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(this.lock(restore, lock, draft), (since) => {
        const isHeld = () => this.now() - since < lockTime
        return Effect.ensuring(
          restore(use(isHeld)),
          Effect.suspend(() => (isHeld() ? this.discard(lock) : Effect.void))
        )
      })
    )
  }

  /** gives when it was not held yet */
  private lock(
    restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>,
    lock: string,
    draft: string
  ): Method<number> {
    return Effect.gen(this, function* () {
      let holder: string | undefined
      let since = this.now()
      for (;;) {
        const before = this.now()
        if (yield* this.take(draft, lock)) return before
        const now = yield* ifThere(this.identity(lock))
        if (now !== holder) since = this.now()
        else if (now !== undefined && this.now() - since > lockLease) yield* this.seize(lock, now)
        holder = now
        yield* restore(Effect.sleep(Duration.millis(2)))
      }
    })
  }

  private identity(file: string): Method<string> {
    return Effect.map(
      this.fs.stat(file),
      ({ ino, mtime }) => `${Option.getOrElse(ino, () => 0)}:${Option.getOrUndefined(mtime)?.getTime()}`
    )
  }

  /** takes away the lock of a dead holder, and puts back what turns out to be another's */
  private seize(lock: string, holder: string): Method<void> {
    const aside = `${lock}.${this.unique()}`
    return Effect.gen(this, function* () {
      yield* ifThere(this.fs.rename(lock, aside))
      const taken = yield* ifThere(this.identity(aside))
      if (taken !== undefined && taken !== holder) yield* Effect.ignore(this.take(aside, lock))
      yield* this.discard(aside)
    })
  }

  // ----------------------------------------------------------------------------------------------------------- sweep

  /** removes what nobody needs any more, a little at a time, until the Scope closes */
  sweeping(every: number): Effect.Effect<void, never, Scope.Scope> {
    let shard = -1
    let files: Array<string> = []
    const list = (directory: string): Effect.Effect<Array<string>> =>
      Effect.map(
        Effect.orElseSucceed(this.fs.readDirectory(directory), () => []),
        (names) => names.map((name) => this.path.join(directory, name))
      )
    const sweep = Effect.gen(this, function* () {
      let budget = sweepSize
      // a round is 256 directories and that of the drafts
      for (let listed = 0; budget > 0; ) {
        const file = files.pop()
        if (file === undefined) {
          if (++listed > 257) return
          shard = (shard + 1) % 257
          files = yield* list(
            this.path.join(this.directory, shard === 256 ? "drafts" : shard.toString(16).padStart(2, "0"))
          )
          continue
        }
        budget--
        yield* Effect.ignore(this.sweepOne(file))
      }
    })
    return sweep.pipe(
      Effect.delay(Duration.millis(every)),
      Effect.forever,
      Effect.withClock(this.live),
      Effect.forkScoped,
      Effect.asVoid
    )
  }

  private sweepOne(file: string): Method<void> {
    const isBefore = (date: Option.Option<Date>, time: number): boolean =>
      date._tag === "Some" && date.value.getTime() > 0 && date.value.getTime() < time
    if (!/^[0-9a-f]{62}$/.test(this.path.basename(file))) {
      // what came of a draft has the time until which that was to be needed, which may be for ever
      return Effect.flatMap(this.fs.stat(file), ({ birthtime, mtime }) => {
        const before = this.time() - litterAge
        return isBefore(birthtime, before) || isBefore(mtime, before) ? this.discard(file) : Effect.void
      })
    }
    const isOver = Effect.map(this.fs.stat(file), ({ mtime }) => isBefore(mtime, this.time()))
    const remove = Effect.flatMap(isOver, (over) => (over ? this.discard(file) : Effect.void))
    // asked again where nobody can replace it meanwhile
    const sweep = this.drafted(
      new Uint8Array(),
      Effect.sync(() => this.time() / 1_000),
      (draft) => this.locked(file, draft, () => remove)
    )
    return Effect.flatMap(isOver, (over) => (over ? sweep : Effect.void))
  }
}

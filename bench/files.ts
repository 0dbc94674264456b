/**
 * What do a hit in a file and a write to one cost, beside a bare read and a bare write of the same bytes?
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, ManagedRuntime, Option } from "effect"
import { Cached, CacheStore } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import { type Contender, check, report, type Section, section } from "./support/harness.js"

const keys = 500
const bytes = 4_000

const value = (id: number): string => `${id} `.padEnd(bytes, "x")

const timed = (title: string) =>
  Effect.gen(function* () {
    const directory = yield* Effect.acquireRelease(
      Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "effect-cached-bench-"))),
      (directory) => Effect.promise(() => fs.rm(directory, { recursive: true, force: true }))
    )
    const runtime = yield* Effect.acquireRelease(
      Effect.sync(() =>
        ManagedRuntime.make(
          Layer.provide(FileCache.layer({ directory: path.join(directory, "store") }), NodeContext.layer)
        )
      ),
      (runtime) => runtime.disposeEffect
    )
    const inside = <A, E>(effect: Effect.Effect<A, E, CacheStore>): Effect.Effect<A> =>
      Effect.promise(() => runtime.runPromise(effect))
    const plain = (id: number) => path.join(directory, `plain-${id}`)
    const ids = Array.from({ length: keys }, (_, id) => id)
    const cached = Cached.ttl((id: number) => Effect.succeed(value(id)), { key: "page:{}", ttl: "1 hour" })
    const store = <A>(use: (store: CacheStore.Service) => Effect.Effect<A>) => Effect.flatMap(CacheStore, use)

    const contender = (name: string, once: (id: number) => Promise<unknown>): Contender => ({
      name,
      operations: keys,
      run: Effect.succeed(
        Effect.promise(async () => {
          for (const id of ids) await once(id)
        })
      )
    })
    const effectful = (name: string, all: Effect.Effect<unknown, never, CacheStore>): Contender => ({
      name,
      operations: keys,
      run: Effect.succeed(Effect.asVoid(inside(all)))
    })

    const bareWrite = async (file: string, id: number) => {
      const draft = path.join(directory, randomUUID())
      await fs.writeFile(draft, JSON.stringify(value(id)))
      await fs.rename(draft, file)
    }
    for (const id of ids) yield* Effect.promise(() => bareWrite(plain(id), id))
    yield* inside(Effect.forEach(ids, (id) => cached.set(id)(value(id)), { concurrency: 16, discard: true }))
    yield* check("a hit", Option.getOrThrow(yield* inside(cached.peek(7))), value(7))

    let fresh = 0
    yield* report({
      title,
      floor: title.includes("hit") ? "bare read + JSON.parse" : "bare write + rename",
      clock: "wall",
      rounds: 9,
      contenders: title.includes("hit")
        ? [
            contender("bare read + JSON.parse", async (id) => JSON.parse(await fs.readFile(plain(id), "utf8"))),
            effectful(
              "Cached.ttl, one after the other",
              Effect.forEach(ids, (id) => cached(id), { discard: true })
            ),
            effectful(
              "Cached.ttl, 16 at once",
              Effect.forEach(ids, (id) => cached(id), { discard: true, concurrency: 16 })
            ),
            effectful(
              `getMany of ${keys}`,
              store((all) => all.getMany(ids.map((id) => `page:${id}`)))
            )
          ]
        : [
            contender("bare write + rename", (id) => bareWrite(plain(id), id)),
            effectful(
              "set, a new key",
              Effect.suspend(() => {
                const round = ++fresh
                return Effect.forEach(ids, (id) =>
                  store((all) => all.set(`${round}:${id}`, value(id), { ttl: "1 hour" }))
                )
              })
            ),
            effectful(
              "set, an existing key",
              Effect.forEach(ids, (id) => cached.set(id)(value(id)), { discard: true })
            ),
            effectful(
              `setMany of ${keys}, existing keys`,
              store((all) =>
                all.setMany(
                  ids.map((id) => [`many:${id}`, value(id)] as const),
                  { ttl: "1 hour" }
                )
              )
            )
          ]
    })
  })

export const files: ReadonlyArray<Section> = [
  section(`hit in a file of ${bytes} bytes`, timed),
  section(`write to a file of ${bytes} bytes`, timed)
]

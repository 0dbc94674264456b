/**
 * How long does it take to import the library, and how large is it in a bundle?
 */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { Effect } from "effect"
import { build } from "esbuild"
import { record, roundsOf, rowsOf, type Section, section } from "./support/harness.js"
import { peersDirectory, versionOf } from "./support/peers.js"

const root = fileURLToPath(new URL("..", import.meta.url))
const peers = fileURLToPath(peersDirectory)

interface Package {
  readonly name: string
  readonly isOther: boolean
  readonly directory: string
  /** What a program imports. */
  readonly code: string
  readonly module: string
}

const bare: Package = {
  name: "effect alone",
  isOther: true,
  directory: root,
  module: "effect",
  code: 'export { Effect, Layer } from "effect"'
}

const ofPeer = (module: string, names: string): Package => ({
  name: module,
  isOther: true,
  directory: peers,
  module,
  code: `export { ${names} } from "${module}"`
})

const packages: ReadonlyArray<Package> = [
  bare,
  {
    name: "effect-cached, with effect",
    isOther: false,
    directory: root,
    module: "effect-cached",
    code: 'export { Effect, Layer } from "effect"; export { Cached, MemoryCache } from "effect-cached"'
  },
  {
    name: "PersistedCache, with effect",
    isOther: true,
    directory: root,
    module: "@effect/experimental/PersistedCache",
    code: 'export { Effect, Layer } from "effect"; export * from "@effect/experimental/PersistedCache"; export { layerResultMemory } from "@effect/experimental/Persistence"'
  },
  ofPeer("lru-cache", "LRUCache"),
  ofPeer("layered-loader", "Loader"),
  ofPeer("async-cache-dedupe", "createCache"),
  ofPeer("cacheable", "Cacheable"),
  ofPeer("cache-manager", "createCache"),
  {
    ...ofPeer("bentocache", "BentoCache, bentostore"),
    code: 'export { BentoCache, bentostore } from "bentocache"; export { memoryDriver } from "bentocache/drivers/memory"'
  },
  ofPeer("@epic-web/cachified", "cachified")
]

const installed = packages.filter(({ directory, module }) => directory === root || versionOf(module) !== undefined)
const leftOut = packages
  .filter((one) => !installed.includes(one))
  .map(({ name }) => ({ name, reason: "it is not installed, see bench/README.md" }))

const importTime = ({ directory, module }: Package): number =>
  Number(
    execFileSync(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `const begun = performance.now(); await import("${module}"); console.log(performance.now() - begun)`
      ],
      { cwd: directory, encoding: "utf8" }
    )
  )

const importing = (title: string) =>
  Effect.gen(function* () {
    const samples = installed.map((): Array<number> => [])
    const rounds = roundsOf(7)
    for (let round = -1; round < rounds; round++) {
      for (const [i, one] of installed.entries()) {
        const took = yield* Effect.sync(() => importTime(one))
        if (round >= 0) samples[i]!.push(took)
      }
    }
    yield* record({
      title,
      floor: bare.name,
      unit: "ms",
      clock: "wall",
      rounds,
      rows: rowsOf(installed, samples, bare.name),
      leftOut
    })
  })

const bundling = (title: string) =>
  Effect.gen(function* () {
    const sizes: Array<{ readonly minified: number; readonly zipped: number }> = []
    for (const { code, directory } of installed) {
      const { outputFiles } = yield* Effect.promise(() =>
        build({
          stdin: { contents: code, resolveDir: directory },
          bundle: true,
          write: false,
          minify: true,
          format: "esm",
          platform: "node",
          target: "node20",
          // Optional packages that a program in memory does not need.
          external: ["ioredis", "knex", "kysely", "orchid-orm", "@aws-sdk/*"],
          logLevel: "error"
        })
      )
      const bytes = outputFiles[0]!.contents
      sizes.push({ minified: bytes.length / 1_000, zipped: gzipSync(bytes).length / 1_000 })
    }
    const figures = (what: string, of: "minified" | "zipped") =>
      record({
        title: `${title}, ${what}`,
        floor: bare.name,
        unit: "kB",
        rounds: 1,
        rows: rowsOf(
          installed,
          sizes.map((size) => [size[of]]),
          bare.name
        ),
        leftOut
      })
    yield* figures("minified", "minified")
    yield* figures("minified and zipped", "zipped")
  })

export const loading: ReadonlyArray<Section> = [
  section("import time", importing),
  section("size in a bundle", bundling)
]

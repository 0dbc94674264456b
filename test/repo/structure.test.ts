/**
 * The shape of the source: who may import whom, what may not be in it, what is promised to bundlers.
 */

import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { build, transform } from "esbuild"

const root = fileURLToPath(new URL("../..", import.meta.url))
const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")
const filesUnder = (dir: string, ending: string): ReadonlyArray<string> =>
  fs
    .readdirSync(path.join(root, dir), { recursive: true, encoding: "utf8" })
    .map((file) => file.split(path.sep).join("/"))
    .filter((file) => file.endsWith(ending))
    .sort()

/**
 * The floors, from bottom to top. A module imports from its own room and from lower floors. Rooms on one floor do not
 * import each other, so `engine/` and `backends/` know of each other only what `Backend` says.
 */
const floors: ReadonlyArray<ReadonlyArray<ReadonlyArray<string>>> = [
  [
    [
      "Key",
      "Entry",
      "CacheError",
      "CacheMetrics",
      "CacheEvent",
      "CacheProblem",
      "CacheStats",
      "Backend",
      "internal/time",
      "internal/keyCoverage",
      "internal/keyProblem",
      "internal/keyTemplate",
      "internal/keyHash",
      "internal/kindOf",
      "internal/report",
      "internal/structural",
      "internal/histogram",
      "internal/statsTypes",
      "internal/statsFormats",
      "internal/meter"
    ]
  ],
  [
    [
      "internal/boundedMap",
      "internal/cacheStatus",
      "internal/options",
      "internal/lifespans",
      "internal/markNames",
      "internal/sleep",
      "internal/turns",
      "internal/callSafely",
      "internal/asyncEffect",
      "internal/storeError",
      "internal/watchdog",
      "internal/problems"
    ]
  ],
  [["Serializer", "Envelope", "internal/serializers/*"]],
  [["internal/engine/*"], ["internal/backends/*"]],
  [["CacheStore"], ["internal/cached/*"]],
  [["MemoryCache", "TieredCache"], ["CacheListener"], ["Cached", "CachePolicy", "ToolCache", "internal/models"]],
  [["RedisCache"], ["FileCache"], ["S3Cache"], ["GcsCache"], ["KeyValueCache"]],
  [["index"]]
]

/** Entries of their own: they may import anything, nothing imports them. */
const outside: ReadonlyArray<string> = [
  "testing",
  "testing/*",
  "AiToolkit",
  "CacheExporter",
  "CacheSnapshot",
  "Dashboard",
  "internal/dashboard/*",
  "internal/snapshot/*",
  "NodeSerializer",
  "MsgpackSerializer",
  "ProtobufSerializer"
]

const matches = (module: string) => (name: string) =>
  name.endsWith("/*") ? module.startsWith(name.slice(0, -1)) : name === module
const floorOf = (module: string): number => floors.findIndex((rooms) => rooms.flat().some(matches(module)))
const roomOf = (module: string): ReadonlyArray<string> | undefined =>
  floors.flat().find((room) => room.some(matches(module)))
const isOutside = (module: string): boolean => outside.some(matches(module))

/** What a module imports or exports from, `import type` and `import(...)` included, examples in comments not. */
const specifiers = (source: string): ReadonlyArray<string> => {
  const code = source.replace(/^\s*(?:\/?\*|\/\/).*$/gm, "")
  return [
    /^(?:import|export)\s[\w\s{},*$]*?\bfrom\s*["']([^"']+)["']/gm,
    /^import\s*["']([^"']+)["']/gm,
    /\b(?:import|require)\(\s*["'`]([^"'`]+)["'`]/g
  ].flatMap((pattern) => Array.from(code.matchAll(pattern), (match) => match[1]!))
}

interface Module {
  readonly source: string
  /** specifiers as written, of packages and of Node */
  readonly packages: ReadonlyArray<string>
  /** modules of `src/`, named as in `floors` */
  readonly imports: ReadonlyArray<string>
}

type Modules = ReadonlyMap<string, Module>

const moduleOf = (name: string, source: string): Module => {
  const all = specifiers(source)
  return {
    source,
    packages: all.filter((specifier) => !specifier.startsWith(".")),
    imports: all
      .filter((specifier) => specifier.startsWith("."))
      .map((specifier) => path.posix.join(path.posix.dirname(name), specifier).replace(/\.[jt]s$/, ""))
  }
}

const modules: Modules = new Map(
  filesUnder("src", ".ts").map((file) => {
    const name = file.replace(/\.ts$/, "")
    return [name, moduleOf(name, read(`src/${file}`))]
  })
)

const floorFaults = (modules: Modules): ReadonlyArray<string> => {
  const faults: Array<string> = []
  for (const [name, module] of modules) {
    if (floorOf(name) === -1 && !isOutside(name)) {
      faults.push(`src/${name}.ts is on no floor: place it in \`floors\` or \`outside\` of test/structure.test.ts`)
    }
    for (const target of module.imports) {
      if (!modules.has(target)) faults.push(`src/${name}.ts imports src/${target}.ts, which is not there`)
      else if (isOutside(target)) {
        const sameRoom =
          (/^testing(?:\/|$)/.test(name) && target.startsWith("testing/")) ||
          (/^(?:Dashboard$|internal\/dashboard\/)/.test(name) && target.startsWith("internal/dashboard/")) ||
          (/^(?:CacheSnapshot$|internal\/snapshot\/)/.test(name) && target.startsWith("internal/snapshot/"))
        if (!sameRoom) faults.push(`src/${name}.ts imports ${target}, which is an entry of its own`)
      } else if (!isOutside(name) && floorOf(target) > floorOf(name)) {
        faults.push(`src/${name}.ts imports ${target}, which is on a floor above it`)
      } else if (!isOutside(name) && floorOf(target) === floorOf(name) && roomOf(target) !== roomOf(name)) {
        faults.push(`src/${name}.ts imports ${target}, which is in another room of its floor`)
      }
    }
  }
  return faults
}

/** The first cycle there is, as the names along it. */
const findCycle = (modules: Modules): ReadonlyArray<string> | undefined => {
  const done = new Set<string>()
  const visit = (name: string, way: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    if (way.includes(name)) return [...way.slice(way.indexOf(name)), name]
    if (done.has(name)) return undefined
    for (const target of modules.get(name)?.imports ?? []) {
      const cycle = visit(target, [...way, name])
      if (cycle !== undefined) return cycle
    }
    done.add(name)
    return undefined
  }
  for (const name of modules.keys()) {
    const cycle = visit(name, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}

const reachable = (modules: Modules, from: string, seen = new Set<string>()): ReadonlySet<string> => {
  if (!seen.has(from)) {
    seen.add(from)
    for (const target of modules.get(from)?.imports ?? []) reachable(modules, target, seen)
  }
  return seen
}

const parse = (sources: Record<string, string>): Modules =>
  new Map(Object.entries(sources).map(([name, source]) => [name, moduleOf(name, source)]))

const forbidden =
  /\b(?:Date\.now|Math\.random|performance\.now|console\.|setTimeout|setInterval|setImmediate|queueMicrotask)\b|\bnew (?:Promise\b|Date\b(?!\((?!\))))/g

/** Without its comments, which may say why. */
const forbiddenIn = async (source: string): Promise<ReadonlyArray<string>> => {
  const { code } = await transform(source, { loader: "ts", minifyWhitespace: true, legalComments: "none" })
  return Array.from(code.matchAll(forbidden), (match) => match[0])
}

describe("src", () => {
  describe("floors", () => {
    it("imports - go to the same floor or down", () => {
      assert.deepStrictEqual(floorFaults(modules), [])
    })

    it("the lists - name only modules and folders that exist", () => {
      const phantoms = [...floors.flat(2), ...outside].filter(
        (name) => !Array.from(modules.keys()).some((module) => matches(module)(name))
      )
      assert.deepStrictEqual(phantoms, [])
    })

    it("imports - make no cycle, types included", () => {
      assert.isUndefined(findCycle(modules))
    })

    it("the check itself - sees every form of import and every fault", () => {
      const forms = [
        'import * as A from "a"',
        'import type { B } from "b"',
        'import {\n  type C,\n  D as E\n} from "c"',
        'export * from "d"',
        'export type { F } from "e"',
        'import "f"',
        'const g = () => import("g")',
        'type H = import("h").H',
        ' * import { not } from "not"',
        '// import { not } from "not"',
        'export const from = "not"'
      ]
      assert.deepStrictEqual([...specifiers(forms.join("\n"))].sort(), ["a", "b", "c", "d", "e", "f", "g", "h"])
      assert.lengthOf(
        floorFaults(
          parse({
            Key: 'import type * as C from "./Cached.js"',
            Cached: 'import { x } from "./testing/Chaos.js"\nimport { y } from "./Missing.js"',
            Novelty: "",
            "internal/engine/flight":
              'import { x } from "../../Cached.js"\nimport { y } from "../backends/tiers.js"\nimport { z } from "./mode.js"',
            "internal/engine/mode": 'import { y } from "../../Key.js"',
            "internal/backends/tiers": "",
            "testing/Chaos": 'import { x } from "../index.js"',
            index: ""
          })
        ),
        6
      )
      assert.deepStrictEqual(
        findCycle(parse({ Key: 'import "./Entry.js"', Entry: 'import type { K } from "./Key.js"' })),
        ["Key", "Entry", "Key"]
      )
    })
  })

  describe("packages", () => {
    it("the root - reaches effect and @noble/hashes, no client and no part of Node", () => {
      const foreign = Array.from(reachable(modules, "index")).flatMap((name) =>
        (modules.get(name)?.packages ?? [])
          .filter((specifier) => !/^(?:effect\/|@noble\/hashes\/)/.test(specifier))
          .map((specifier) => `src/${name}.ts imports ${specifier}`)
      )
      assert.deepStrictEqual(foreign, [])
    })

    it("effect - is imported module by module, never as a barrel", () => {
      const barrels = Array.from(modules).filter(([, module]) => module.packages.includes("effect"))
      assert.deepStrictEqual(
        barrels.map(([name]) => name),
        []
      )
    })
  })

  describe("code", () => {
    it("time and chance - come from Clock and Random, waiting and printing from Effect", async () => {
      const found: Array<string> = []
      for (const [name, { source }] of modules) {
        // the script of a page, as a text, which runs in a browser
        if (name.startsWith("internal/dashboard/client/")) continue
        for (const what of await forbiddenIn(source)) found.push(`src/${name}.ts: ${what}`)
      }
      assert.deepStrictEqual(found, [])
    })

    it("the check itself - sees code and not comments", async () => {
      const bad = ["Date.now()", "new Date()", "Math.random()", "console.log(1)", "setTimeout(f)", "new Promise(f)"]
      for (const code of bad) assert.lengthOf(await forbiddenIn(`/** ${code} */\nx(${code}) // ${code}`), 1, code)
      assert.deepStrictEqual(await forbiddenIn("new Date(0); x as Promise<Date>; clearTimeout"), [])
    })

    it("files - hold at most 500 lines, comments not counted: a longer one hides a second noun", () => {
      const long = Array.from(modules).filter(
        ([, { source }]) => source.split("\n").filter((line) => !/^\s*(?:\/?\*|\/\/|$)/.test(line)).length > 500
      )
      assert.deepStrictEqual(
        long.map(([name]) => name),
        []
      )
    })
  })

  describe("bundles", () => {
    /** What is imported and the most bytes it may cost, minified. Unannotated top-level calls are what exceeds it. */
    const table: ReadonlyArray<readonly [code: string, bytes: number]> = [
      ['export { stateAt } from "./src/Entry.ts"', 400]
    ]
    for (const [code, bound] of table) {
      it(`${code} - less than ${bound} bytes`, async () => {
        const result = await build({
          stdin: { contents: code, resolveDir: root, loader: "ts" },
          bundle: true,
          write: false,
          format: "esm",
          platform: "neutral",
          mainFields: ["module", "main"],
          minify: true
        })
        assert.isBelow(result.outputFiles[0]!.contents.length, bound)
      })
    }
  })
})

describe("package.json", () => {
  const exported: Record<string, string | { readonly types: string; readonly default: string }> = JSON.parse(
    read("package.json")
  ).exports

  it("exports - every subpath has a source file of its name", () => {
    const faults: Array<string> = []
    for (const [subpath, target] of Object.entries(exported)) {
      // what is inside is nobody's to import; a pattern is held to the form alone
      if (target === null) continue
      if (typeof target === "string") {
        if (!fs.existsSync(path.join(root, target))) faults.push(`${subpath}: ${target} is not there`)
        continue
      }
      const name = subpath === "." ? "index" : subpath.replace(/^\.\//, "")
      if (name !== "*" && !modules.has(name)) faults.push(`${subpath}: src/${name}.ts is not there`)
      if (target.types !== `./dist/${name}.d.ts` || target.default !== `./dist/${name}.js`) {
        faults.push(`${subpath}: does not point at ./dist/${name}.d.ts and .js`)
      }
    }
    assert.deepStrictEqual(faults, [])
  })

  it("exports - what needs a client, a peer or Node has a subpath", () => {
    const media = floorOf("RedisCache")
    const hidden = Array.from(modules.keys()).filter(
      (name) =>
        (isOutside(name) || floorOf(name) === media) &&
        // what is in this room is behind its door
        !/^(?:testing|internal)\//.test(name) &&
        exported[`./${name}`] === undefined
    )
    assert.deepStrictEqual(hidden, [])
  })
})

describe("tsc", () => {
  it("a floating Effect - fails the type check", () => {
    const modules = path.join(root, "node_modules")
    // Inside `node_modules`, where nothing else looks and `effect` is found.
    const dir = fs.mkdtempSync(path.join(modules, ".floating-"))
    try {
      const config = {
        extends: "../../tsconfig.json",
        compilerOptions: { types: [], paths: {} },
        include: [],
        files: ["x.ts"]
      }
      fs.writeFileSync(path.join(dir, "tsconfig.json"), JSON.stringify(config))
      const source = 'import * as Effect from "effect/Effect"\nexport const f = () => {\n  Effect.void\n}\n'
      fs.writeFileSync(path.join(dir, "x.ts"), source)
      const tsc = spawnSync(path.join(modules, ".bin", "tsc"), ["-p", dir], { encoding: "utf8" })
      assert.include(tsc.stdout, "floatingEffect")
      assert.notStrictEqual(tsc.status, 0)
    } finally {
      fs.rmSync(dir, { recursive: true, force: true })
    }
  })
})

describe("test", () => {
  it("tests - none is skipped, put off or run alone", () => {
    const found = filesUnder("test", ".ts").flatMap((file) =>
      Array.from(
        read(`test/${file}`).matchAll(
          /\b(?!typecheck\b)\w+\.(?:skip|only|todo|skipIf|runIf)\b|\b(?:skip|only|todo):\s*true\b/g
        ),
        (match) => `test/${file}: ${match[0]}`
      )
    )
    assert.deepStrictEqual(found, [])
  })
})

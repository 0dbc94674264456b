/**
 * What the documentation shows compiles without a diagnostic, runs, and prints what it says it prints.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { format } from "node:util"
import { afterAll, assert, beforeAll, beforeEach, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Docs from "../support/docsBlocks.js"
import { RedisServer } from "../support/redis.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const blocks = Docs.all(root)
const examples = blocks.filter((block) => !block.nocheck)
const nameOf = (block: Docs.Block): string => `${block.file.replaceAll("/", ".")}.${block.line}.ts`

fs.mkdirSync(path.join(root, ".cache"), { recursive: true })
const dir = fs.mkdtempSync(path.join(root, ".cache", "docs-"))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))

const write = (file: string, text: string): string => {
  const to = path.join(dir, file)
  fs.mkdirSync(path.dirname(to), { recursive: true })
  fs.writeFileSync(to, text)
  return to
}

/** a block stands in its file at the line where it stands in the documentation, so that diagnostics name that */
const placed = (block: Docs.Block): string => `${"\n".repeat(block.line - 1)}${block.code}\nexport {}\n`

/** what a source calls by a name that `pattern` captures */
const named = (file: string, pattern: RegExp): ReadonlyArray<string> =>
  Array.from(fs.readFileSync(path.join(root, file), "utf8").matchAll(pattern), (match) => match[1]!)

/** the properties of these interfaces and type aliases */
const properties = (file: string, ...types: ReadonlyArray<string>): ReadonlyArray<string> =>
  types.flatMap((type) => {
    // no blank line stands in one
    const found = named(file, new RegExp(`(?:interface|type) ${type}\\b([\\s\\S]*?)\\n\\n`, "g"))
    assert.lengthOf(found, 1, `${type} in ${file}`)
    return Array.from(found[0]!.matchAll(/^ +readonly (\w+)\??:/gm), (match) => match[1]!)
  })

/** what stands in the first column of the tables between two headings of the README */
const rows = (from: string, to: string): ReadonlyArray<string> => {
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8")
  const text = readme.slice(readme.indexOf(`\n## ${from}\n`), readme.indexOf(`\n## ${to}\n`))
  return Array.from(text.matchAll(/^\| ((?:`[^`]+` ?)+) *\|/gm)).flatMap((row) =>
    Array.from(row[1]!.matchAll(/`(\w+)[^`]*`/g), (name) => name[1]!)
  )
}

const sorted = (names: Iterable<string>): ReadonlyArray<string> => Array.from(new Set(names)).sort()

describe("README", () => {
  it("Options - are those that there are", () => {
    assert.deepStrictEqual(
      sorted(rows("Options", "Members")),
      sorted(
        properties(
          "src/Cached.ts",
          "PolicyOptions",
          "TtlOptions",
          "SwrOptions",
          "NameOf",
          "When",
          "LoaderOptions",
          "BgWriteOptions",
          "BgReadOptions"
        )
      )
    )
  })

  it("Where entries live - names every option of every store", () => {
    const options = [
      ...properties("src/CacheStore.ts", "Options", "BytesOptions"),
      ...properties("src/MemoryCache.ts", "Options"),
      ...properties("src/internal/backends/object/backend.ts", "Options"),
      ...properties("src/FileCache.ts", "Options"),
      ...properties("src/KeyValueCache.ts", "Options"),
      ...properties("src/S3Cache.ts", "CommonOptions", "Options"),
      ...properties("src/GcsCache.ts", "CommonOptions", "Options"),
      ...properties("src/RedisCache.ts", "CommonOptions", "Options", "ClusterOptions", "SentinelOptions")
    ]
    assert.deepStrictEqual(
      sorted(rows("Where entries live", "Serializers").filter((name) => !/Cache|^layer/.test(name))),
      sorted(options)
    )
  })

  it("Members - are those that there are", () => {
    assert.deepStrictEqual(
      sorted(rows("Members", "Combinators")),
      sorted(properties("src/Cached.ts", "CachedFunction"))
    )
  })

  it("Watching it - names every metric", () => {
    assert.deepStrictEqual(
      sorted(rows("Watching it", "Testing")),
      sorted(named("src/CacheMetrics.ts", /"(cache_\w+)"/g))
    )
  })
})

describe("documentation", () => {
  it("blocks - are there, and few are not checked", () => {
    assert.isAtLeast(examples.filter((block) => block.file === "README.md").length, 10)
    assert.isAtLeast(examples.filter((block) => block.file.startsWith("src/")).length, 10)
    assert.isAtMost(blocks.length - examples.length, 2)
  })

  it("types - every block compiles, with no diagnostic of Effect's, and refusals read as they are quoted", () => {
    const refusal = /^(\s*)\/\/ @ts-expect-error:? (.*)$/
    const quoted: Array<{ readonly file: string; readonly line: number; readonly text: string }> = []
    for (const block of examples) {
      write(`check/${nameOf(block)}`, placed(block))
      const lines = block.code.split("\n")
      if (!lines.some((line) => refusal.test(line))) continue
      const file = nameOf(block).replace(/ts$/, "refused.ts")
      const bare = lines.map((line, i) => {
        const [, indent, text] = refusal.exec(line) ?? []
        if (text === undefined) return line
        quoted.push({ file, line: block.line + i + 1, text })
        return `${indent}//`
      })
      write(`check/${file}`, placed({ ...block, code: bare.join("\n") }))
    }
    write(
      "tsconfig.json",
      JSON.stringify({
        extends: "../../tsconfig.json",
        // an example may define what it does not use
        compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
        include: ["check"]
      })
    )
    const tsc = spawnSync(path.join(root, "node_modules/.bin/tsc"), ["-p", dir, "--pretty", "false"], {
      cwd: root,
      encoding: "utf8"
    })
    const output = `${tsc.stdout}${tsc.stderr}`.trim()
    const diagnostics = output === "" ? [] : output.replaceAll('\\"', '"').split(/\n(?!\s)/)
    assert.deepStrictEqual(
      // those of the sources are told by the type check
      diagnostics.filter((text) => !text.startsWith("src/") && !text.includes(".refused.ts(")),
      []
    )
    for (const { file, line, text } of quoted) {
      const found = diagnostics.filter((one) => one.includes(`${file}(${line},`))
      assert.isTrue(
        found.some((one) => one.includes(text)),
        `${file}:${line} says "${text}"; the compiler says\n${found.join("\n")}`
      )
    }
  })
})

const server = ManagedRuntime.make(RedisServer.layer)

describe("documentation, run", () => {
  beforeAll(async () => {
    const { url } = await server.runPromise(RedisServer)
    vi.stubEnv("REDIS_URL", url)
  })
  afterAll(async () => {
    vi.unstubAllEnvs()
    await server.dispose()
  })
  // one block's entries are not the next one's
  beforeEach(() =>
    server.runPromise(Effect.flatMap(RedisServer, ({ client }) => Effect.promise(() => client.flushall())))
  )

  for (const block of examples) {
    const title = `${block.file}:${block.line}`
    const file = write(
      `run/${nameOf(block)}`,
      // what a block starts and does not wait for is waited for here
      `const __run = globalThis[Symbol.for("effect-cached/docs")]\n${placed(block).replace(/\n/, "").replaceAll("Effect.runPromise", "__run")}`
    )
    const url = pathToFileURL(file).href

    // its tests become tests here
    if (block.code.includes('"@effect/vitest"')) {
      describe(title, async () => {
        await import(url)
      })
      continue
    }

    it(title, async () => {
      const printed: Array<string> = []
      const log = vi.spyOn(console, "log").mockImplementation((...args) => void printed.push(format(...args)))
      const running: Array<Promise<unknown>> = []
      Object.assign(globalThis, {
        [Symbol.for("effect-cached/docs")]: (effect: Effect.Effect<unknown, unknown>) => {
          const promise = Effect.runPromise(effect)
          running.push(promise)
          return promise
        }
      })
      try {
        await import(url)
        await Promise.all(running)
      } finally {
        log.mockRestore()
      }
      // what warns is no example to follow
      assert.deepStrictEqual(
        printed.filter((line) => /level=(WARN|ERROR|FATAL)/.test(line)),
        []
      )
      let from = 0
      for (const line of Docs.promised(block)) {
        const at = printed.indexOf(line, from)
        assert.notStrictEqual(at, -1, `"${line}" is not printed in its turn:\n${printed.join("\n")}`)
        from = at + 1
      }
    })
  }
})

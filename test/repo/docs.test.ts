/**
 * Tests of the documentation: every code block compiles without a diagnostic, runs, and prints what it promises; tables
 * agree with the interfaces; links resolve.
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
const pages = Docs.pages(root)
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

/** The code of a block, at the line it has in the documentation, so that diagnostics name that line. */
const placed = (block: Docs.Block): string => `${"\n".repeat(block.line - 1)}${block.code}\nexport {}\n`

/** What a source calls by a name that `pattern` captures. */
const named = (file: string, pattern: RegExp): ReadonlyArray<string> =>
  Array.from(fs.readFileSync(path.join(root, file), "utf8").matchAll(pattern), (match) => match[1]!)

/** The text of an interface or type alias; it contains no blank line. */
const declaration = (file: string, type: string): string => {
  const found = named(file, new RegExp(`(?:interface|type) ${type}\\b([\\s\\S]*?)\\n(?:\\n|$)`, "g"))
  assert.lengthOf(found, 1, `${type} in ${file}`)
  return found[0]!
}

/** The properties of these interfaces and type aliases. */
const properties = (file: string, ...types: ReadonlyArray<string>): ReadonlyArray<string> =>
  types.flatMap((type) => Array.from(declaration(file, type).matchAll(/^ +readonly (\w+)\??:/gm), (match) => match[1]!))

/** The names in the first column of the tables of a page, between a heading of level two and the next one. */
const rows = (file: string, heading: string): ReadonlyArray<string> => {
  const page = pages.find((page) => page.file === file)?.text ?? ""
  const start = page.indexOf(`\n## ${heading}\n`)
  assert.notStrictEqual(start, -1, `"## ${heading}" in ${file}`)
  const next = page.indexOf("\n## ", start + 1)
  const text = page.slice(start, next === -1 ? undefined : next)
  return Array.from(text.matchAll(/^\| ((?:`[^`]+` ?)+) *\|/gm)).flatMap((row) =>
    Array.from(row[1]!.matchAll(/`(\w+)[^`]*`/g), (name) => name[1]!)
  )
}

const sorted = (names: Iterable<string>): ReadonlyArray<string> => Array.from(new Set(names)).sort()

describe("tables", () => {
  it("options of functions - are exactly those of the interfaces", () => {
    assert.deepStrictEqual(
      sorted([
        ...rows("docs/options.md", "Every policy"),
        ...rows("docs/options.md", "Background loaders"),
        ...rows("docs/options.md", "Mirrors")
      ]),
      sorted([
        ...properties("src/Cached.ts", "PolicyOptions", "TtlOptions", "SwrOptions", "BgWriteOptions"),
        ...properties("src/internal/cached/mirrorOptions.ts", "MirrorOptions"),
        ...properties("src/internal/cached/lifeOptions.ts", "LifeOptions"),
        ...properties("src/internal/cached/loaderOptions.ts", "When", "LoaderOptions"),
        ...properties("src/internal/cached/failureOptions.ts", "FailureOptions"),
        ...properties("src/internal/cached/timeoutOptions.ts", "TimeoutOption"),
        ...properties("src/internal/cached/keyedLoader.ts", "KeyedOptions"),
        ...properties("src/internal/cached/checks.ts", "NameOf"),
        ...properties("src/internal/cached/partition.ts", "PartitionOption")
      ])
    )
  })

  it("options of mirrors - are exactly those of the interface", () => {
    assert.deepStrictEqual(
      sorted(rows("docs/options.md", "Mirrors")),
      sorted(properties("src/internal/cached/mirrorOptions.ts", "MirrorOptions"))
    )
  })

  it("options of CachePolicy - are exactly those of the interfaces", () => {
    assert.deepStrictEqual(
      sorted(rows("docs/options.md", "CachePolicy")),
      sorted(properties("src/CachePolicy.ts", "Policy", "Options"))
    )
  })

  it("options of tools and sessions - are exactly those of the interfaces", () => {
    for (const [heading, file, ...types] of [
      ["Reading", "src/ToolCache.ts", "ReadOptions", "AnyScope"],
      ["Writing", "src/ToolCache.ts", "WriteOptions"],
      ["Sessions", "src/internal/cached/agentSession.ts", "SessionOptions"]
    ] as const) {
      const names = rows("docs/agents.md", heading).filter((name) => !/^(fail|warn|shortCircuit)$/.test(name))
      assert.deepStrictEqual(sorted(names), sorted(properties(file, ...types)), heading)
    }
  })

  const ofObjects = () => properties("src/internal/backends/object/backend.ts", "Options")
  const ofStores: Record<string, () => ReadonlyArray<string>> = {
    "docs/stores/memory.md": () => properties("src/MemoryCache.ts", "BackendOptions", "Options"),
    "docs/stores/redis.md": () =>
      properties(
        "src/RedisCache.ts",
        "CommonOptions",
        "RequiredOption",
        "Options",
        "ClusterOptions",
        "SentinelOptions",
        "HybridOptions"
      ),
    "docs/stores/files.md": () => [...properties("src/FileCache.ts", "Options"), ...ofObjects()],
    "docs/stores/s3.md": () => [...properties("src/S3Cache.ts", "CommonOptions", "Options"), ...ofObjects()],
    "docs/stores/gcs.md": () => [...properties("src/GcsCache.ts", "CommonOptions", "Options"), ...ofObjects()],
    "docs/stores/key-value.md": () => [...properties("src/KeyValueCache.ts", "Options"), ...ofObjects()],
    "docs/tiers.md": () => properties("src/TieredCache.ts", "Options", "Tier")
  }

  it("options of every store - are exactly those of the interfaces", () => {
    assert.deepStrictEqual(
      sorted(rows("docs/stores/README.md", "Options of every store")),
      sorted([...properties("src/CacheStore.ts", "Options", "BytesOptions"), "name"])
    )
  })

  for (const [file, options] of Object.entries(ofStores)) {
    it(`options in ${file} - are exactly those of the interfaces`, () => {
      assert.deepStrictEqual(sorted(rows(file, "Options")), sorted(options()))
    })
  }

  it("members - are exactly those of a cached function", () => {
    const members = sorted(properties("src/internal/models.ts", "CachedFunction"))
    assert.deepStrictEqual(sorted(rows("README.md", "Members and combinators")), members)
    assert.deepStrictEqual(sorted(rows("docs/policies.md", "Members")), members)
  })

  it("metrics - all are named", () => {
    assert.deepStrictEqual(
      sorted(rows("docs/observability.md", "Metrics")),
      sorted(named("src/internal/meter.ts", /^ {2}(cache_\w+):/gm))
    )
  })

  it("events and health - are those that there are", () => {
    assert.deepStrictEqual(
      sorted(rows("docs/observability.md", "Events")),
      sorted(named("src/CacheEvent.ts", /_tag: "(\w+)"/g))
    )
    assert.deepStrictEqual(
      sorted(rows("docs/observability.md", "Health")),
      sorted(properties("src/CacheStore.ts", "Health"))
    )
  })

  it("Backend - every member is named, and so is every member and result of a write", () => {
    const text = rows("docs/stores/write-a-store.md", "A write")
    assert.deepStrictEqual(
      sorted(text.filter((name) => /^[a-z]/.test(name))),
      sorted(properties("src/Backend.ts", "Write"))
    )
    assert.deepStrictEqual(
      sorted(text.filter((name) => /^[A-Z]/.test(name))),
      sorted(Array.from(declaration("src/Backend.ts", "Written").matchAll(/_tag: "(\w+)"/g), (match) => match[1]!))
    )
    // members of members are indented further
    const members = declaration("src/Backend.ts", "Backend").replace(/\/\*\* @internal .*\n.*/g, "")
    assert.deepStrictEqual(
      sorted(rows("docs/stores/write-a-store.md", "The Backend interface")),
      sorted(Array.from(members.matchAll(/^ {2}readonly (\w+)\??:/gm), (match) => match[1]!))
    )
  })
})

describe("pages", () => {
  const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")) as {
    readonly repository: { readonly url: string }
  }
  /** Where the files of the main branch are shown: npm resolves no relative links. */
  const blob = `${manifest.repository.url.replace(/^git\+|\.git$/g, "")}/blob/main/`
  const others = ["CHANGELOG.md", "CONTRIBUTING.md"].map((file) => ({
    file,
    text: fs.readFileSync(path.join(root, file), "utf8")
  }))
  const linked = [...pages, ...others]

  it("README - has at most 350 lines and a table of contents", () => {
    const readme = pages[0]!.text
    assert.isAtMost(readme.trimEnd().split("\n").length, 350)
    const contents = Docs.links(readme).flatMap(({ target }) => (target?.startsWith("#") ? [target.slice(1)] : []))
    const headings = Array.from(Docs.anchors(readme)).slice(1)
    assert.deepStrictEqual(
      headings.filter((heading) => !contents.includes(heading)),
      []
    )
  })

  it("code - fits into 100 columns", () => {
    const wide = linked.flatMap(({ file, text }) => {
      let language: string | undefined
      return text.split("\n").flatMap((line, i) => {
        const fence = /^```(.*)$/.exec(line)
        if (fence !== null) language = language === undefined ? fence[1] : undefined
        // diagrams are rendered
        const isShown = language !== undefined && language !== "mermaid"
        return isShown && line.length > 100 ? [`${file}:${i + 1}: ${line.length} columns`] : []
      })
    })
    assert.deepStrictEqual(wide, [])
  })

  it("links - every relative link and anchor resolves, and so do those to the repository", () => {
    const isFile = (file: string) => fs.existsSync(path.join(root, file))
    const anchorsIn = (file: string) => Docs.anchors(fs.readFileSync(path.join(root, file), "utf8"))
    const broken = linked.flatMap(({ file, text }) =>
      Docs.links(text).flatMap(({ line, target, text: label }) => {
        const at = `${file}:${line}: [${label}]`
        if (target === undefined) return [`${at} names no reference`]
        const isAbsolute = target.startsWith(blob)
        if (!isAbsolute && /^\w+:/.test(target)) {
          return target.includes("/blob/") ? [`${at} is not in the repository of package.json`] : []
        }
        const [to, anchor] = (isAbsolute ? target.slice(blob.length) : target).split("#") as [string, string?]
        if (file === "README.md" && !isAbsolute && to !== "") return [`${at} is relative: npm does not resolve it`]
        const resolved = to === "" ? file : isAbsolute ? to : path.posix.join(path.posix.dirname(file), to)
        if (!isFile(resolved)) return [`${at}: there is no ${resolved}`]
        if (anchor === undefined) return []
        return anchorsIn(resolved).has(anchor) ? [] : [`${at}: ${resolved} has no #${anchor}`]
      })
    )
    assert.deepStrictEqual(broken, [])
  })

  it("files - every file that a page names exists", () => {
    const missing = linked.flatMap(({ file, text }) =>
      Array.from(
        text.matchAll(/(?<![\w/.])(?:src|test|bench|examples|docs)\/[\w./-]+\.(?:ts|md)/g),
        ([named]) => named
      ).flatMap((named) => (fs.existsSync(path.join(root, named)) ? [] : [`${file}: ${named}`]))
    )
    assert.deepStrictEqual(missing, [])
  })

  it("index - docs/README.md links every page", () => {
    const index = pages.find(({ file }) => file === "docs/README.md")!
    const targets = Docs.links(index.text).map(({ target }) => `docs/${target?.split("#")[0]}`)
    assert.deepStrictEqual(
      pages.map(({ file }) => file).filter((file) => file !== "README.md" && file !== "docs/README.md"),
      pages.map(({ file }) => file).filter((file) => targets.includes(file) && file !== "docs/README.md")
    )
  })
})

describe("documentation", () => {
  it("blocks - are found, and at most two are not checked", () => {
    assert.isAtLeast(examples.filter((block) => block.file === "README.md").length, 10)
    assert.isAtLeast(examples.filter((block) => block.file.startsWith("docs/")).length, 30)
    assert.isAtLeast(examples.filter((block) => block.file.startsWith("src/")).length, 10)
    assert.isAtMost(blocks.length - examples.length, 2)
  })

  it("types - every block compiles without a diagnostic, and rejected code is rejected with the quoted message", () => {
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
        // an example may define something and not use it
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
      // diagnostics of the sources belong to the type check
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
  }, 60_000)
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
  // each block begins with an empty Redis
  beforeEach(() =>
    server.runPromise(Effect.flatMap(RedisServer, ({ client }) => Effect.promise(() => client.flushall())))
  )

  for (const block of examples) {
    const title = `${block.file}:${block.line}`
    const file = write(
      `run/${nameOf(block)}`,
      // the effects that a block starts without waiting for them are awaited here
      `const __run = globalThis[Symbol.for("effect-cached/docs")]\n${placed(block).replace(/\n/, "").replaceAll("Effect.runPromise", "__run")}`
    )
    const url = pathToFileURL(file).href

    // the tests of a block become tests of this file
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
      // an example that logs a warning is not one to follow
      assert.deepStrictEqual(
        // the examples of all pages run in one process, so they build more stores than a program does
        printed.filter((line) => /level=(WARN|ERROR|FATAL)/.test(line) && !line.includes("built more than ten times")),
        []
      )
      let from = 0
      for (const line of Docs.promised(block)) {
        const at = printed.indexOf(line, from)
        assert.notStrictEqual(at, -1, `"${line}" is not printed, or not in this order:\n${printed.join("\n")}`)
        from = at + 1
      }
    })
  }
})

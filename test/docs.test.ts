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
import * as Docs from "./support/docs-blocks.js"
import { RedisServer } from "./support/redis.js"

const root = fileURLToPath(new URL("..", import.meta.url))
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
      diagnostics.filter((text) => !text.includes(".refused.ts(")),
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

/**
 * Citations of laws. `docs/laws.md` defines the laws; everything else cites them by number and exact name, as in
 * `law 8 (invalidation wins)`, or as the title `law 8: invalidation wins`.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))
const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

interface Law {
  readonly number: number
  readonly name: string
  readonly section: string
}

/** The sections of docs/laws.md. */
const laws: ReadonlyArray<Law> = read("docs/laws.md")
  .split(/^## (?=Law )/m)
  .slice(1)
  .map((section) => {
    const [, number, name] = /^Law (\d+)\. (.+)$/m.exec(section)!
    return { number: Number(number), name: name!, section }
  })

/** Tracked files of these folders, and files not yet tracked that git does not ignore. */
const files = execFileSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard", "src", "test", "docs", "bench", "examples", "*.md"],
  { cwd: root, encoding: "utf8" }
)
  .trim()
  .split("\n")
  .filter((file) => /\.(ts|md)$/.test(file) && fs.existsSync(path.join(root, file)))
  .filter((file) => file !== "docs/laws.md" && file !== "test/repo/laws.test.ts")

/** Text without line breaks and comment leaders, so that a citation may be wrapped. */
const unwrapped = (text: string): string => text.replace(/\s*\n\s*(?:\*\s|\/\/\s|>\s)?\s*/g, " ")

/** What is wrong with the citations in a text. */
const faultsIn = (text: string): ReadonlyArray<string> =>
  Array.from(unwrapped(text).matchAll(/\blaws? #?(\d+)(.{0,70})/gi)).flatMap(([cited, number, rest]) => {
    const law = laws.find((law) => law.number === Number(number))
    if (law === undefined) return [`${cited}: there is no such law`]
    const name = law.name.toLowerCase()
    const given = rest!.toLowerCase()
    return [" (", ": ", ", "].some((mark) => given.startsWith(mark + name))
      ? []
      : [`${cited}: cite it as "law ${number} (${name})" or "law ${number}: ${name}"`]
  })

describe("docs/laws.md", () => {
  it("laws - are numbered from 1 without a gap, and the table lists each", () => {
    assert.deepStrictEqual(
      laws.map((law) => law.number),
      Array.from({ length: 18 }, (_, i) => i + 1)
    )
    const rows = Array.from(read("docs/laws.md").matchAll(/^\| (\d+) +\| (.+?) +\|/gm), ([, number, name]) => [
      Number(number),
      name
    ])
    assert.deepStrictEqual(
      rows,
      laws.map((law) => [law.number, law.name])
    )
  })

  for (const { name, number, section } of laws) {
    it(`law ${number} - names a source file and tests that exist, and the tests cite it`, () => {
      const [, keeper, proof] = /Kept by `([^`]+)`, proved by (.+)/.exec(unwrapped(section))!
      const proofs = Array.from(proof!.matchAll(/`([^`]+\.ts)`/g), ([, file]) => file!)
      assert.deepStrictEqual(
        [keeper!, ...proofs].filter((file) => !fs.existsSync(path.join(root, file))),
        []
      )
      const title = `law ${number}: ${name.toLowerCase()}`
      assert.isTrue(
        proofs.some((file) => read(file).toLowerCase().includes(title)),
        `no file of ${proofs.join(", ")} has tests under "${title}"`
      )
    })
  }
})

describe("citations", () => {
  it("laws - are cited by number and name", () => {
    const faults = files.flatMap((file) => faultsIn(read(file)).map((fault) => `${file}: ${fault}`))
    assert.deepStrictEqual(faults, [])
  })

  it("scenarios - are not cited by number", () => {
    const found = files.filter((file) => /\bscenarios? \d/i.test(read(file)))
    assert.deepStrictEqual(found, [])
  })

  it("the check itself - sees wrong numbers, wrong names and bare numbers, also across lines", () => {
    for (const wrong of ["law 19 (x)", "law 8", "Laws 4 and 8", "law 8 (freshness)", "law 8:\n * freshness"]) {
      assert.lengthOf(faultsIn(wrong), 1, wrong)
    }
    for (const right of [
      "law 8 (invalidation wins)",
      "law 8:\n * invalidation wins",
      "law 1 (freshness), law 17 (bounded)"
    ]) {
      assert.deepStrictEqual(faultsIn(right), [], right)
    }
  })
})

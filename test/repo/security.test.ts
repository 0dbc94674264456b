/**
 * The promises of `docs/security.md`: each row of its tables of promises names a test, by file and a part of its title.
 */
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("../../", import.meta.url))
const page = fs.readFileSync(`${root}docs/security.md`, "utf8")

interface Row {
  readonly text: string
  readonly file: string | undefined
  readonly title: string | undefined
}

/** The rows of the tables whose last column is `test`. */
const rowsOf = (text: string): ReadonlyArray<Row> => {
  const rows: Array<Row> = []
  let isTable = false
  for (const line of text.split("\n")) {
    if (!line.startsWith("|")) isTable = false
    else if (/\| test +\|$/.test(line)) isTable = true
    else if (isTable && !/^\| -/.test(line)) {
      const [, file, title] = /`((?:test|src)\/[^`]+\.ts)` "([^"]+)" *\|$/.exec(line) ?? []
      rows.push({ text: line, file, title })
    }
  }
  return rows
}

/** Whether a test file exists and has a title with this text. */
const isThere = ({ file, title }: Row): boolean =>
  file !== undefined &&
  title !== undefined &&
  fs.existsSync(root + file) &&
  fs.readFileSync(root + file, "utf8").includes(title)

describe("docs/security.md", () => {
  it("promises - each names a test that exists", () => {
    const rows = rowsOf(page)
    assert.isAbove(rows.length, 10)
    assert.deepStrictEqual(
      rows.filter((row) => !isThere(row)).map((row) => row.text),
      []
    )
  })

  it("the check itself - sees a row without a test, without the file and without the title", () => {
    const table = (cell: string) => `| a | test |\n| --- | --- |\n| promise | ${cell} |\n`
    for (const wrong of [
      "",
      "`test/repo/security.test.ts`",
      '`test/none.test.ts` "promises"',
      '`test/repo/laws.test.ts` "nowhere"'
    ]) {
      assert.deepStrictEqual(rowsOf(table(wrong)).map(isThere), [false], wrong)
    }
    assert.deepStrictEqual(rowsOf(table('`test/repo/laws.test.ts` "are cited by number and name"')).map(isThere), [
      true
    ])
  })
})

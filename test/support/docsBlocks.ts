/**
 * The examples of the documentation: every block of TypeScript in README.md and in the doc comments of `src`.
 */
import * as fs from "node:fs"
import * as path from "node:path"

export interface Block {
  /** from the root, with slashes */
  readonly file: string
  /** of its first line, from 1 */
  readonly line: number
  readonly code: string
  /** `ts nocheck`: neither compiled nor run */
  readonly nocheck: boolean
}

/** the blocks in a text of Markdown whose first line stands at `offset` in its file */
const inMarkdown = (file: string, text: string, offset: number): ReadonlyArray<Block> => {
  const blocks: Array<Block> = []
  let info: string | undefined
  let first = 0
  let code: Array<string> = []
  text.split("\n").forEach((line, i) => {
    const fence = /^```(.*)$/.exec(line)
    if (fence === null) code.push(line)
    else if (info === undefined) {
      info = fence[1]!.trim()
      first = i + 1
      code = []
    } else {
      if (/^(ts|typescript)\b/.test(info)) {
        blocks.push({ file, line: offset + first, code: code.join("\n"), nocheck: info.endsWith(" nocheck") })
      }
      info = undefined
    }
  })
  if (info !== undefined) throw new Error(`${file}:${offset + first - 1}: a block that is never closed`)
  return blocks
}

const inComments = (file: string, source: string): ReadonlyArray<Block> =>
  Array.from(source.matchAll(/\/\*\*[\s\S]*?\*\//g)).flatMap((comment) => {
    const text = comment[0].replace(/^[^\S\n]*\* ?/gm, "")
    return inMarkdown(file, text, source.slice(0, comment.index).split("\n").length)
  })

export const all = (root: string): ReadonlyArray<Block> => {
  const read = (file: string) => fs.readFileSync(path.join(root, file), "utf8")
  const sources = fs
    .readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" })
    .map((file) => `src/${file.split(path.sep).join("/")}`)
    .filter((file) => file.endsWith(".ts"))
    .sort()
  return [...inMarkdown("README.md", read("README.md"), 1), ...sources.flatMap((file) => inComments(file, read(file)))]
}

/** what a block says it prints: in a comment behind a `console.log`, or in the line below it */
export const promised = (block: Block): ReadonlyArray<string> => {
  const lines = block.code.split("\n")
  return lines.flatMap((line, i) => {
    const log = /[cC]onsole\.log\(.*\)[^/]*(?:\/\/ (.*))?$/.exec(line)
    if (log === null) return []
    return log[1] ?? /^\s*\/\/ (.*)$/.exec(lines[i + 1] ?? "")?.[1] ?? []
  })
}

/**
 * The pages of the documentation, and every block of TypeScript in them and in the doc comments of `src`.
 */
import * as fs from "node:fs"
import * as path from "node:path"

export interface Block {
  /** The file, relative to the root, with slashes. */
  readonly file: string
  /** The line of the block's first line of code, from 1. */
  readonly line: number
  readonly code: string
  /** `ts nocheck`: the block is neither compiled nor run. */
  readonly nocheck: boolean
}

/** A page of Markdown. */
export interface Page {
  /** The file, relative to the root, with slashes. */
  readonly file: string
  readonly text: string
}

/** The blocks in a text of Markdown whose first line is line `offset` of its file. */
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
  if (info !== undefined) throw new Error(`${file}:${offset + first - 1}: the block is never closed`)
  return blocks
}

const inComments = (file: string, source: string): ReadonlyArray<Block> =>
  Array.from(source.matchAll(/\/\*\*[\s\S]*?\*\//g)).flatMap((comment) => {
    const text = comment[0].replace(/^[^\S\n]*\* ?/gm, "")
    return inMarkdown(file, text, source.slice(0, comment.index).split("\n").length)
  })

const filesIn = (root: string, folder: string, extension: string): ReadonlyArray<string> =>
  fs
    .readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .map((file) => `${folder}/${file.split(path.sep).join("/")}`)
    .filter((file) => file.endsWith(extension))
    .sort()

/** README.md, and every page of `docs`. */
export const pages = (root: string): ReadonlyArray<Page> =>
  ["README.md", ...filesIn(root, "docs", ".md")].map((file) => ({
    file,
    text: fs.readFileSync(path.join(root, file), "utf8")
  }))

/** Every block of README.md, of `docs` and of the doc comments of `src`. */
export const all = (root: string): ReadonlyArray<Block> => [
  ...pages(root).flatMap(({ file, text }) => inMarkdown(file, text, 1)),
  ...filesIn(root, "src", ".ts").flatMap((file) => inComments(file, fs.readFileSync(path.join(root, file), "utf8")))
]

/** The output that a block promises: in a comment after a `console.log`, or in the line below it. */
export const promised = (block: Block): ReadonlyArray<string> => {
  const lines = block.code.split("\n")
  return lines.flatMap((line, i) => {
    const log = /[cC]onsole\.log\(.*\)[^/]*(?:\/\/ (.*))?$/.exec(line)
    if (log === null) return []
    return log[1] ?? /^\s*\/\/ (.*)$/.exec(lines[i + 1] ?? "")?.[1] ?? []
  })
}

// --------------------------------------------------------------------------------------------------------------- links

/** The text of a page with the content of its code blocks and code spans blanked out, line by line. */
export const prose = (text: string): ReadonlyArray<string> => {
  let isCode = false
  return text.split("\n").map((line) => {
    if (line.startsWith("```")) {
      isCode = !isCode
      return ""
    }
    return isCode ? "" : line.replace(/`[^`]*`/g, "``")
  })
}

/** The anchors that GitHub makes of the headings of a page. */
export const anchors = (text: string): ReadonlySet<string> => {
  const found = new Set<string>()
  let isCode = false
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) isCode = !isCode
    const heading = isCode ? null : /^#{1,6} (.*)$/.exec(line)
    if (heading === null) continue
    const slug = heading[1]!
      .replace(/\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])/g, "$1")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-")
    let anchor = slug
    for (let n = 1; found.has(anchor); n++) anchor = `${slug}-${n}`
    found.add(anchor)
  }
  return found
}

/** A link of a page: its target as written, `undefined` where it names a reference that the page does not define. */
export interface Link {
  readonly line: number
  readonly text: string
  readonly target: string | undefined
}

/** Every link of a page: `[text](target)`, `[text][reference]`, `[reference]` and the definitions of references. */
export const links = (text: string): ReadonlyArray<Link> => {
  const lines = prose(text)
  const definition = /^\[([^\]]+)\]: +(\S+)$/
  const references = new Map<string, string>()
  for (const line of lines) {
    const [, name, target] = definition.exec(line) ?? []
    if (name !== undefined) references.set(name.toLowerCase(), target!)
  }
  return lines.flatMap((line, i): ReadonlyArray<Link> => {
    const defined = definition.exec(line)
    if (defined !== null) return [{ line: i + 1, text: defined[1]!, target: defined[2]! }]
    return Array.from(line.matchAll(/\[([^\]]+)\](?:\(([^)\s]+)\)|\[([^\]]*)\])?/g)).flatMap((match) => {
      const [, label, target, reference] = match as unknown as [string, string, string | undefined, string | undefined]
      if (target !== undefined) return { line: i + 1, text: label, target }
      const name = (reference || label).toLowerCase()
      // brackets alone are a link only where a reference has their name
      if (reference === undefined && !references.has(name)) return []
      return { line: i + 1, text: label, target: references.get(name) }
    })
  })
}

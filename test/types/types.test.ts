/**
 * The compiler's reports on wrong code: on which line, with which message. All snippets are one compilation, by the plain
 * compiler that most users have. And the declarations that it emits for users of the package.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))

const preamble = `import { Context, Effect, pipe, Schedule, Schema } from "effect"
import { Cached, ToolCache } from "effect-cached"
declare const one: Effect.Effect<number>
declare const byId: (id: number) => Effect.Effect<number>
declare const byOrder: (order: { readonly userId: string; readonly at: Date; readonly note?: string }) => Effect.Effect<number>
declare const byPage: (id: number, page?: number) => Effect.Effect<number>
declare const byEither: (id: string | number) => Effect.Effect<number>
declare const byTwo: (a: string, b: string) => Effect.Effect<number>
declare const byTenant: (tenant: string, id: number) => Effect.Effect<number>
declare const byMany: (id: number, ...more: Array<string>) => Effect.Effect<number>
declare const byRecord: (order: { readonly userId: string; readonly region: string }) => Effect.Effect<number>
declare const byBag: (bag: { readonly id: string; readonly [name: string]: string }) => Effect.Effect<number>
declare const byUnion: (of: { kind: "a"; id: 1 } | { kind: "b"; id: 2 }) => Effect.Effect<number>
declare const prefix: string
class Tenant extends Context.Tag("Tenant")<Tenant, string>() {}
class Limit extends Context.Tag("Limit")<Limit, number>() {}
declare const many: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyMap<number, string>>
const byName = Cached.ttl((name: string) => Effect.succeed(name), { key: "name:{}", ttl: 1 })
declare const pattern: \`u:\${string}\`
`

interface Snippet {
  readonly code: string
  /** How the reported line begins; `undefined` when there is nothing to report. */
  readonly on: string | undefined
  /** Texts that the report contains. */
  readonly says: ReadonlyArray<string>
}

/** A call with one option per line, as most are written. */
const call = (policy: string, lookup: string, options: ReadonlyArray<string>): string =>
  `export const cached = Cached.${policy}(\n  ${lookup},\n  {\n    ${options.join(",\n    ")}\n  }\n)\n`

const wrongKey = (
  policy: string,
  lookup: string,
  key: string,
  says: string,
  ...more: ReadonlyArray<string>
): Snippet => ({
  code: call(policy, lookup, [...more, `key: ${JSON.stringify(key)}`, `version: 1`]),
  on: `key: ${JSON.stringify(key)}`,
  // the message is the expected type
  says: [`Type '"${key}"' is not assignable to type '${JSON.stringify(says)}'`]
})

const help = " (Key.part and Key.hash make the texts of a key function)"

/** A key that leaves out an argument. The compiler prints the name of the argument beside the message. */
const incompleteKey = (lookup: string, key: string, says: string, argument: string): Snippet => ({
  ...wrongKey("ttl", lookup, key, says, "ttl: 1"),
  says: [`Type '"${key}"' is not assignable to type '${JSON.stringify(says)} & Argument<${argument}>'`]
})

const snippets: Record<string, Snippet> = {
  "right code - no report": { code: call("ttl", "byId", ['key: "user:{}"', "ttl: 1"]), on: undefined, says: [] },

  "ttl - too many placeholders": wrongKey(
    "ttl",
    "byId",
    "u:{}:{}",
    "{} (number 2) names no argument of the lookup",
    "ttl: 1"
  ),
  "ttl - an effect has no arguments": wrongKey(
    "ttl",
    "one",
    "u:{}",
    "{} (number 1) names no argument of the lookup",
    "ttl: 1"
  ),
  "ttl - a position without an argument": wrongKey(
    "ttl",
    "byId",
    "u:{3}",
    "{3} names no argument of the lookup",
    "ttl: 1"
  ),
  "ttl - a misspelt property": wrongKey(
    "ttl",
    "byOrder",
    "u:{userID}",
    "{userID} names no property of the first argument",
    "ttl: 1"
  ),
  "ttl - a property of an argument that is not a record": wrongKey(
    "ttl",
    "byId",
    "u:{id}",
    "{id} names a property, but the first argument is not a record",
    "ttl: 1"
  ),
  "ttl - a Date": wrongKey(
    "ttl",
    "byOrder",
    "u:{at}",
    "{at} is not a string, number, bigint or boolean: use a key function, or Key.hash",
    "ttl: 1"
  ),
  "ttl - an inline Effect.fn": wrongKey(
    "ttl",
    'Effect.fn("f")(function* (id: number) { return yield* byId(id) })',
    "u:{x}",
    "{x} names a property, but the first argument is not a record",
    "ttl: 1"
  ),
  "swr - an optional property": wrongKey(
    "swr",
    "byOrder",
    "u:{note}",
    "{note} may be undefined: use a key function that says what that means",
    "ttl: 1",
    "stale: 1"
  ),
  "swr - an optional argument": wrongKey(
    "swr",
    "byPage",
    "u:{0}:{1}",
    "{1} names an argument that may be absent: use a key function",
    "ttl: 1",
    "stale: 1"
  ),
  "swr - a key after a callback": wrongKey(
    "swr",
    "byId",
    "u:{1}",
    "{1} names no argument of the lookup",
    "ttl: (value, id) => value + id",
    "tags: (value, id) => [value.toFixed(), id.toFixed()]",
    "stale: 1"
  ),
  "policy - mixed types": wrongKey(
    "policy",
    "byEither",
    "u:{}",
    '{} (number 1) mixes types, so 1 and "1" would share a key: use a key function'
  ),
  "policy - adjacent placeholders": wrongKey(
    "policy",
    "byTwo",
    "u:{}{}",
    '{} (number 1) and {} are adjacent: put a text such as ":" between them'
  ),
  "policy - a placeholder followed by a letter": wrongKey(
    "policy",
    "byTwo",
    "u:{}x{}",
    "{} (number 1) is followed by x: begin that text with a character that is not a letter, a digit or %"
  ),
  "policy - a placeholder that is never closed": wrongKey(
    "policy",
    "byId",
    "u:{",
    "{ is never closed: write {{ for a literal brace"
  ),
  "bg - a placeholder without arguments": wrongKey(
    "bg",
    "one",
    "u:{}",
    "{} (number 1) names no argument of the lookup",
    "interval: 1"
  ),
  "bg - a key that leaves out an argument of a function": {
    ...wrongKey("bg", "byTenant", "f:{}", "", "interval: 1"),
    says: ["argument 1 is not part of the key: mention it, or list it in `ignore`"]
  },
  "bg - a key function of an effect": {
    code: call("bg", "one", ['key: () => "users"', 'name: "users"', "interval: 1"]),
    on: 'key: () => "users"',
    says: ['"the key of an effect is a text"']
  },
  "coverage - a static key": incompleteKey(
    "byId",
    "users",
    "argument 0 is not part of the key: mention it, or list it in `ignore`",
    "[id: number]"
  ),
  "coverage - an argument": incompleteKey(
    "byTenant",
    "u:{1}",
    "argument 0 is not part of the key: mention it, or list it in `ignore`",
    "[tenant: string]"
  ),
  "coverage - an inline Effect.fn": incompleteKey(
    'Effect.fn("f")(function* (tenant: string, id: number) { return yield* byTenant(tenant, id) })',
    "u:{1}",
    "argument 0 is not part of the key: mention it, or list it in `ignore`",
    "[tenant: string]"
  ),
  "coverage - an optional argument": incompleteKey(
    "byPage",
    "u:{}",
    `argument 1 is not part of the key: use a key function, or list it in \`ignore\`${help}`,
    "[page: number]"
  ),
  "coverage - a default": incompleteKey(
    "(id: number, page = 1) => byPage(id, page)",
    "u:{}",
    `argument 1 is not part of the key: use a key function, or list it in \`ignore\`${help}`,
    "[page: number]"
  ),
  "coverage - a rest argument": incompleteKey(
    "byMany",
    "u:{}",
    `arguments from 1 on are not part of the key: use a key function, or list 1 in \`ignore\`${help}`,
    "string[]"
  ),
  "coverage - a record without placeholders": incompleteKey(
    "byRecord",
    "orders",
    "argument 0 is not part of the key: mention its properties, or list it in `ignore`",
    "[order: { readonly userId: string; readonly region: string; }]"
  ),
  "coverage - a property": wrongKey(
    "ttl",
    "byRecord",
    "o:{userId}",
    "{region} is not part of the key: mention it, or list it in `ignore`",
    "ttl: 1"
  ),
  "coverage - properties that no placeholder takes": {
    ...wrongKey("ttl", "byOrder", "o:{userId}", "", "ttl: 1"),
    says: [
      `{at} is not part of the key: use a key function, or list it in \`ignore\`${help}`,
      `{note} is not part of the key: use a key function, or list it in \`ignore\`${help}`
    ]
  },
  "coverage - an index signature": {
    ...wrongKey("ttl", "byBag", "b:{id}", "", "ttl: 1"),
    says: [
      `argument 0 has an index signature, so there may be more of it than the key says: use a key function, or list 0 in \`ignore\`${help}`
    ]
  },
  "coverage - a union of records": wrongKey(
    "ttl",
    "byUnion",
    "o:{id}",
    "{kind} is not part of the key: mention it, or list it in `ignore`",
    "ttl: 1"
  ),
  "coverage - a generic lookup": incompleteKey(
    "<T extends string>(t: T) => Effect.succeed(t)",
    "g",
    "argument 0 is not part of the key: mention it, or list it in `ignore`",
    "[t: string]"
  ),
  "coverage - data-last, applied directly": {
    code: 'export const cached = Cached.ttl({ key: "u:{1}", ttl: 1 })(\n  byTenant\n)\n',
    on: "byTenant",
    says: ['"argument 0 is not part of the key: mention it, or list it in `ignore`" & Argument<[tenant: string]>']
  },
  "ignore - right": {
    code: call("ttl", "byTenant", ['key: "u:{1}"', "ignore: [0]", "ttl: 1"]),
    on: undefined,
    says: []
  },
  "ignore - a misspelt name": {
    code: call("ttl", "byOrder", ['key: "u:{userId}"', "ttl: 1", 'ignore: ["at", "noet"]']),
    on: 'ignore: ["at", "noet"]',
    says: [`Type '"noet"' is not assignable to type`]
  },
  "ignore - nothing is left out": {
    code: call("ttl", "byId", ['key: "u:{}"', "ttl: 1", "ignore: [0]"]),
    on: "ignore: [0]",
    says: ['"every argument is part of the key: there is nothing to ignore"']
  },
  "ignore - a key function": {
    code: call("ttl", "byId", ["key: (id) => id.toFixed()", 'name: "u"', "ttl: 1", "ignore: [0]"]),
    on: "ignore: [0]",
    says: ['"a key function decides what counts: there is nothing to ignore"']
  },

  "name - a computed text": {
    code: call("ttl", "one", ["key: prefix", "ttl: 1"]),
    on: "{",
    says: ["Property 'name' is missing", "NameRequired"]
  },
  "name - a pattern": {
    code: call("ttl", "one", ["key: pattern", "ttl: 1"]),
    on: "{",
    says: ["Property 'name' is missing", "NameRequired"]
  },
  "name - a union": {
    code: call("swr", "one", ['key: prefix === "" ? "a" : "b"', "ttl: 1", "stale: 1"]),
    on: "{",
    says: ["Property 'name' is missing", "NameRequired"]
  },

  "schema - of another type": {
    code: call("ttl", "one", ['key: "u"', "schema: Schema.String", "ttl: 1"]),
    on: "schema: Schema.String",
    says: ["Schema<number, any, never>", "Type 'string' is not assignable to type 'number'"]
  },
  "schema - leaves out a property": {
    code: call("ttl", "Effect.succeed({ id: 1, name: '' })", [
      'key: "u"',
      "schema: Schema.Struct({ id: Schema.Number })",
      "ttl: 1"
    ]),
    on: "schema: Schema.Struct({ id: Schema.Number })",
    says: ['"the schema leaves out {name} of the value: it would not come back"']
  },
  "data-last, applied directly - the schema": {
    code: 'export const cached = Cached.ttl({ key: "u:{}", schema: Schema.String, ttl: 1 })(\n  byId\n)\n',
    on: "byId",
    says: ['"the schema of this policy does not take the lookup\'s value"']
  },
  "data-last, applied directly - a schema that leaves out a property": {
    code: 'export const cached = Cached.ttl({ key: "u", schema: Schema.Struct({ a: Schema.Number }), ttl: 1 })(\n  Effect.succeed({ a: 1, b: 2 })\n)\n',
    on: "Effect.succeed",
    says: ['"the schema leaves out {b} of the value: it would not come back"']
  },
  "data-last, applied directly - ttl": {
    code: 'export const cached = Cached.ttl({ key: "u:{}", ttl: (s: string) => s.length })(\n  byId\n)\n',
    on: "byId",
    says: ['"`ttl` of this policy takes another value, or other arguments, than the lookup has"']
  },
  "data-last, applied directly - tags": {
    code: 'export const cached = Cached.ttl({ key: "u:{}", ttl: 1, tags: (s: string) => [s] })(\n  byId\n)\n',
    on: "byId",
    says: ['"`tags` of this policy takes another value, or other arguments, than the lookup has"']
  },
  "data-last, applied directly - a key function": {
    code: 'export const cached = Cached.ttl({ key: (s: string) => s, name: "u", ttl: 1 })(\n  byId\n)\n',
    on: "byId",
    says: ['"the key function of this policy takes other arguments than the lookup"']
  },

  "pipe - a wrong property": {
    code: 'export const cached = pipe(\n  byId,\n  Cached.ttl({\n    ttl: 1,\n    key: "u:{x}"\n  })\n)\n',
    on: 'key: "u:{x}"',
    says: ['"{x} names a property, but the first argument is not a record"']
  },
  "method pipe - a wrong placeholder": {
    code: 'export const cached = one.pipe(\n  Cached.swr({\n    ttl: 1,\n    stale: 1,\n    key: "u:{}"\n  })\n)\n',
    on: 'key: "u:{}"',
    says: ['"{} (number 1) names no argument of the lookup"']
  },
  "data-last - a policy applied to a lookup that it does not fit": {
    code: 'const policy = Cached.ttl({ key: "u:{}", ttl: 1 })\nexport const cached = policy(\n  one\n)\n',
    on: "one",
    says: ['"{} (number 1) names no argument of the lookup"']
  },

  "key - a key function without a name": {
    code: call("ttl", "byId", ["key: (id) => id.toFixed()", "ttl: 1"]),
    on: "{",
    says: ["Property 'name' is missing"]
  },
  "swr - without stale": {
    code: call("swr", "byId", ['key: "u:{}"', "ttl: 1"]),
    on: "{",
    says: ["Property 'stale' is missing"]
  },
  "options - an unknown one": {
    code: call("ttl", "byId", ['key: "u:{}"', "ttl: 1", "tll: 2"]),
    on: "tll: 2",
    says: ["'tll' does not exist"]
  },
  "policy - with a ttl": {
    code: call("policy", "byId", ['key: "u:{}"', "ttl: 1"]),
    on: "ttl: 1",
    says: ["'ttl' does not exist"]
  },
  "bg - a schedule without a ttl": {
    code: call("bg", "one", ['key: "u"', "schedule: Schedule.spaced(1)"]),
    on: "{",
    says: ["Property 'ttl' is missing"]
  },
  "ttl - not a duration": {
    code: call("ttl", "byId", ['key: "u:{}"', 'ttl: "soon"']),
    on: 'ttl: "soon"',
    says: ["DurationInput"]
  },
  "lookup - returns a promise": {
    code: call("ttl", "async (id: number) => id", ['key: "u:{}"', "ttl: 1"]),
    on: "async (id: number) => id",
    says: ["Promise<number>", "Effect<any, any, any>"]
  },
  "lookup - an argument without a type": {
    code: call("ttl", "(id) => Effect.succeed(id)", ['key: "u"', "ignore: [0]", "ttl: 1"]),
    on: "(id) => Effect.succeed(id)",
    says: ["Parameter 'id' implicitly has an 'any' type"]
  },

  "partition - a service that is no string": {
    code: call("ttl", "byId", ['key: "u:{}"', "ttl: 1", "partition: Limit"]),
    on: "partition: Limit",
    says: ['"the service of this tag is no string: pass [Tag, (service) => string]"']
  },
  "partition - a background loader": {
    code: call("bg", "one", ['key: "u"', "interval: 1", "partition: Tenant"]),
    on: "partition: Tenant",
    says: ["'partition' does not exist"]
  },

  "unsafePeek - a function without a store": {
    code: 'export const peeked =\n  byName.unsafePeek("a")\n',
    on: "byName.unsafePeek",
    says: ["This expression is not callable", "takes its store from the context of its reader: use Cached.capture"]
  },

  "batched - another id": {
    code: call("batched", '(ids: ReadonlyArray<number>) => Effect.succeed(new Map([["a", ids.length]]))', [
      'key: "u:{}"',
      "ttl: 1"
    ]),
    on: "(ids: ReadonlyArray<number>)",
    says: ["Type 'string' is not assignable to type 'number'"]
  },
  "batched - no pairs": {
    code: call("batched", "(ids: ReadonlyArray<number>) => Effect.succeed(ids)", ['key: "u:{}"', "ttl: 1"]),
    on: "(ids: ReadonlyArray<number>)",
    says: ['"the lookup returns no pairs [id, value]: return a Map, or pass `ordered` for a list of options"']
  },
  "batched - one id": {
    code: call("batched", "(id: string) => Effect.succeed(new Map([[id, 1]]))", ['key: "u:{}"', "ttl: 1"]),
    on: "(id: string)",
    says: ['"the lookup takes no array of ids: it is called with all that are missing"']
  },
  "batched - ordered, without options": {
    code: call("batched", "(ids: ReadonlyArray<number>) => Effect.succeed(ids)", [
      'key: "u:{}"',
      "ttl: 1",
      "ordered: true"
    ]),
    on: "(ids: ReadonlyArray<number>)",
    says: ['"with `ordered` the lookup returns an Option for each id, in their order"']
  },
  "batched - a key without the id": {
    code: call("batched", "many", ['key: "users"', "ttl: 1"]),
    on: 'key: "users"',
    says: ["argument 0 is not part of the key: mention it, or list it in `ignore`", "Argument<[id: number]>"]
  },

  "ToolCache.read - a tool that depends on its session, with the scope of all": {
    code: 'export const tool = ToolCache.read(\n  () => ToolCache.Session,\n  {\n    name: "t", resource: "r", ttl: 1\n  }\n)\n',
    on: "{",
    says: ["Property 'scope' is missing", "SessionRequired"]
  },
  "ToolCache.read - a template that leaves out an argument": {
    code: 'export const tool = ToolCache.read(\n  byTenant,\n  {\n    name: "t", resource: "r", ttl: 1,\n    key: "t:{}"\n  }\n)\n',
    on: 'key: "t:{}"',
    says: ["argument 1 is not part of the key: mention it, or list it in `ignore`"]
  },
  "invalidates - a target that takes other arguments": {
    code: "export const mutation = Cached.invalidates(byId, byName)\n",
    on: "export const mutation",
    says: ["'\"this target takes other arguments than the mutation: pass a function that calls its `invalidate`\"'"]
  },
  "invalidates - a kept one, passed another mutation": {
    code: "export const mutation = Cached.invalidates(byName)(byId)\n",
    on: "export const mutation",
    says: ['"a target takes other arguments than this mutation"']
  }
}

const names = Object.keys(snippets)

interface Report {
  readonly line: string
  readonly text: string
}

/** The output of the compiler. It runs beside this process, which has to answer the test runner meanwhile. */
const tsc = (args: ReadonlyArray<string>): Promise<string> =>
  new Promise((done) => {
    const bin = path.join(root, "node_modules/.bin/tsc")
    const options = { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 } as const
    execFile(bin, [...args, "--pretty", "false"], options, (_exit, stdout) => done(stdout))
  })

const write = (dir: string, files: Record<string, string>): void => {
  for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, file), text)
}

const inScratch = async <A>(f: (dir: string) => Promise<A>): Promise<A> => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-types-"))
  try {
    return await f(dir)
  } finally {
    fs.rmSync(dir, { recursive: true, force: true })
  }
}

const compilerOptions = {
  target: "ES2022",
  module: "NodeNext",
  lib: ["ES2023"],
  types: [],
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true
}

/** Compiles all snippets. Returns the reports by snippet. */
const compile = (): Promise<ReadonlyMap<string, ReadonlyArray<Report>>> =>
  inScratch(async (dir) => {
    fs.symlinkSync(path.join(root, "node_modules"), path.join(dir, "node_modules"), "junction")
    const sources = names.map((name) => preamble + snippets[name]!.code)
    write(dir, {
      ...Object.fromEntries(sources.map((source, index) => [`${index}.ts`, source])),
      "package.json": JSON.stringify({ type: "module" }),
      "tsconfig.json": JSON.stringify({
        compilerOptions: {
          ...compilerOptions,
          noEmit: true,
          paths: { "effect-cached": [path.join(root, "src/index.ts")] }
        },
        files: sources.map((_, index) => `${index}.ts`)
      })
    })
    const reports = new Map<string, Array<Report>>(names.map((name) => [name, []]))
    for (const block of (await tsc(["-p", dir])).split(/\n(?=\S)/)) {
      const match = /(\d+)\.ts\((\d+),\d+\): error TS\d+: ([\s\S]*)$/.exec(block.trim())
      if (match === null) {
        assert.strictEqual(block.trim(), "", "the compiler reports something outside of the snippets")
        continue
      }
      const [, file, line, text] = match
      reports.get(names[Number(file)]!)!.push({
        line: sources[Number(file)]!.split("\n")[Number(line) - 1]!.trim(),
        text: text!
      })
    }
    return reports
  })

/** The directory of the declarations of the package, which are emitted once. */
let emitted: Promise<string> | undefined
const emit = async (): Promise<string> => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-declarations-"))
  await tsc(["-p", "tsconfig.build.json", "--emitDeclarationOnly", "--outDir", dir])
  return dir
}
afterAll(async () => {
  if (emitted !== undefined) fs.rmSync(await emitted, { recursive: true, force: true })
})

/** Installs the declarations of the package in `dir`. */
const install = async (dir: string): Promise<void> => {
  const installed = path.join(dir, "node_modules/effect-cached")
  emitted ??= emit()
  // a link would be resolved to where it points, where no peers are installed
  fs.cpSync(await emitted, path.join(installed, "dist"), { recursive: true })
  fs.copyFileSync(path.join(root, "package.json"), path.join(installed, "package.json"))
}

/** What the compiler reports in the declarations of the package when it checks them, over every entry. */
const checkDeclarations = (): Promise<ReadonlyArray<string>> =>
  inScratch(async (dir) => {
    await install(dir)
    const { exports } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"))
    const entries = Object.keys(exports).filter((entry) => !/\*|json$/.test(entry))
    // the peers and their types
    for (const name of fs.readdirSync(path.join(root, "node_modules"))) {
      if (name === "effect-cached" || name.startsWith(".")) continue
      fs.symlinkSync(path.join(root, "node_modules", name), path.join(dir, "node_modules", name), "junction")
    }
    write(dir, {
      "package.json": JSON.stringify({ type: "module" }),
      "tsconfig.json": JSON.stringify({
        compilerOptions: { ...compilerOptions, types: ["node"], skipLibCheck: false, noEmit: true },
        files: ["user.ts"]
      }),
      "user.ts": entries.map((entry, i) => `export * as e${i} from "effect-cached${entry.slice(1)}"\n`).join("")
    })
    return (await tsc(["-p", dir]))
      .split(/\n(?=\S)/)
      .filter((report) => /effect-cached[\\/]dist|^user\.ts/.test(report))
  })

/** Emits the declarations of two modules of a user, the second of which does not import the package. */
const declare = (): Promise<{ readonly reported: string; readonly own: string; readonly passedOn: string }> =>
  inScratch(async (dir) => {
    await install(dir)
    fs.symlinkSync(path.join(root, "node_modules/effect"), path.join(dir, "node_modules/effect"), "junction")
    write(dir, {
      "package.json": JSON.stringify({ type: "module" }),
      "tsconfig.json": JSON.stringify({
        compilerOptions: { ...compilerOptions, declaration: true, emitDeclarationOnly: true, outDir: "out" },
        files: ["own.ts", "passedOn.ts"]
      }),
      "own.ts": `import { Context, Effect } from "effect"
import { Cached, CacheStore } from "effect-cached"
export class Db extends Context.Tag("Db")<Db, 1>() {}
export class Tenant extends Context.Tag("Tenant")<Tenant, string>() {}
export class DbError { readonly _tag = "DbError" }
export interface User { readonly id: number }
export declare const find: (id: number) => Effect.Effect<User, DbError, Db>
export const user = Cached.ttl(find, { key: "user:{}", ttl: 1 })
export const failing = Cached.ttl(find, { key: "user:{}", ttl: 1, onStoreError: "fail" })
export const policy = Cached.ttl({ key: "user:{}", ttl: 1 })
export declare const findMany: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyMap<number, User>, DbError, Db>
export const users = Cached.batched(findMany, { key: "users:{}", ttl: 1 })
export const ofTenant = Cached.ttl(find, { key: "user:{}", ttl: 1, partition: Tenant })
export const start = Cached.bg(find(1), { key: "user", interval: 1 })
export const timed = Cached.ttl(find, { key: "timed:{}", ttl: 1, timeout: { hard: "1 second" } })
export const timedPolicy = Cached.ttl({ key: "timed:{}", ttl: 1, timeout: { hard: "1 second" } })
export const entry = user.entry(1)
export const store: typeof CacheStore = CacheStore
`,
      "passedOn.ts": `import * as Own from "./own.js"
export const user = Own.user
export const failing = Own.failing
export const policy = Own.policy
export const users = Own.users
export const ofTenant = Own.ofTenant
export const start = Own.start
export const timed = Own.timed
export const timedPolicy = Own.timedPolicy
export const entry = Own.entry
`
    })
    const reported = await tsc(["-p", dir])
    const read = (file: string) =>
      fs.existsSync(path.join(dir, file)) ? fs.readFileSync(path.join(dir, file), "utf8") : ""
    return { reported, own: read("out/own.d.ts"), passedOn: read("out/passedOn.d.ts") }
  })

describe("types", () => {
  describe("reports of the compiler", { timeout: 120_000 }, () => {
    let reports: Promise<ReadonlyMap<string, ReadonlyArray<Report>>> | undefined

    for (const name of names) {
      it(name, async () => {
        reports ??= compile()
        const { on, says } = snippets[name]!
        const found = (await reports).get(name)!
        assert.strictEqual(found.length, on === undefined ? 0 : 1, JSON.stringify(found, undefined, 2))
        for (const { line, text } of found) {
          assert.isTrue(line.startsWith(on!), `reported on: ${line}`)
          for (const part of says) assert.include(text, part)
        }
      })
    }
  })

  describe("declarations", { timeout: 120_000 }, () => {
    it("every entry - compiles without skipLibCheck", async () => {
      assert.deepStrictEqual(await checkDeclarations(), [])
    })

    it("inferred types - can be named by a user of the package, and are readable", async () => {
      const { own, passedOn, reported } = await declare()
      assert.strictEqual(reported, "")
      assert.notMatch(own + passedOn, /\bany\b/)
      // without the imports, whose order may differ
      const plain = own.replace(/import\("[^"]+"\)\./g, "")
      assert.include(plain, "user: Cached.CachedFunction<[id: number], User, DbError, CacheStore | Db, CacheStore>;")
      assert.include(
        plain,
        "timed: Cached.CachedFunction<[id: number], User, DbError | LoadTimeout, CacheStore | Db, CacheStore>;"
      )
      assert.include(plain, "users: Cached.BatchedFunction<number, User, DbError, CacheStore | Db, CacheStore>;")
      assert.include(
        plain,
        "ofTenant: Cached.PartitionedFunction<[id: number], User, Tenant, DbError, CacheStore | Db, CacheStore>;"
      )
      assert.include(
        plain,
        "CachedFunction<[id: number], User, CacheStoreError | DbError, CacheStore | Db, CacheStore>;"
      )
      assert.match(
        plain,
        /policy: <L2 extends Cached.Lookup>\(lookup: Cached.Checked<L2, "user:{}", never, {}>, \.\.\.none: (?:Array<Cached.NoArgument>|Cached.NoArgument\[\])\) => Cached.Wrapped<L2, CacheStore, "miss", never, never, never, never>;/
      )
    })
  })
})

/**
 * Secrets to plant, and what looks for them in everything that a program may write.
 */
import * as util from "node:util"
import { assert } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Logger, LogLevel, Metric, MetricKey, Option } from "effect"
import { recordingTracer } from "../support/tracer.js"

/** Texts that must never be written. Each occurs in one role only, and none is a part of another. */
export const secrets = {
  /** In arguments of cached functions, and so in keys and tags. */
  key: "K3ySecret@example.com",
  /** In values. */
  value: "V4lueSecret+0",
  /** The keys of records and maps inside of values. */
  property: "Pr0pertySecret@example.com",
  /** A user and a password of Redis. */
  username: "us3rSecret",
  password: "S3cretPassw0rd",
  /** The credentials of S3. */
  accessKeyId: "AKIDSECRET7EXAMPLE",
  secretAccessKey: "SKSECRET/bPxRfi+EXAMPLEKEY",
  sessionToken: "FwoGSESSIONSECRET",
  /** A bearer token of Google Cloud. */
  token: "ya29.B34rerT0ken",
  /** The signature of a URL. */
  signature: "s1gnatureSecretOfUrl"
} as const

/** The forms in which a text may be written: as it is, escaped, in base64, in hexadecimal, as a list of bytes. */
const forms = (text: string): ReadonlyArray<string> => {
  const bytes = Buffer.from(text)
  return [
    text,
    encodeURIComponent(text),
    bytes.toString("hex"),
    bytes.toString("base64").replace(/=+$/, ""),
    Array.from(bytes).join(","),
    Array.from(bytes, (byte) => `\n${byte}`).join(","),
    Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ")
  ]
}

const searched = Object.entries(secrets).flatMap(([role, text]) => forms(text).map((form) => ({ form, role })))

export interface Written {
  readonly where: string
  readonly text: string
}

/** Texts without secrets. Many texts are written again and again, such as those of metrics, and are searched once. */
const clean = new Set<string>()

/** Fails if one of the texts contains a secret, and says where. */
export const expectNoSecrets = (written: ReadonlyArray<Written>): void => {
  const found = written.flatMap(({ text, where }) => {
    if (clean.has(text)) return []
    const forms = searched.filter(({ form }) => text.includes(form))
    if (forms.length === 0) clean.add(text)
    return forms.map(({ form, role }) => {
      const at = text.indexOf(form)
      return `${role} in ${where}: …${text.slice(Math.max(0, at - 150), at + form.length + 20)}…`
    })
  })
  assert.deepStrictEqual(found.slice(0, 10), [])
}

const inspected = { depth: Number.POSITIVE_INFINITY, showHidden: true, maxStringLength: null, maxArrayLength: null }

const json = (value: unknown): string => {
  const seen = new Set<unknown>()
  const text: string | undefined = JSON.stringify(value, (_, each) => {
    if (typeof each === "bigint") return String(each)
    if (typeof each !== "object" || each === null) return each
    if (seen.has(each)) return "seen"
    seen.add(each)
    return each
  })
  return text ?? ""
}

/** Every way in which programs write an error, and each error behind it. */
export const rendered = (where: string, error: unknown): ReadonlyArray<Written> => {
  const texts: Array<Written> = []
  const seen = new Set<unknown>()
  for (let at = error; at !== undefined && !seen.has(at); at = (at as { cause?: unknown } | null)?.cause) {
    seen.add(at)
    const of = `${where}, ${seen.size} deep`
    texts.push(
      { where: `String of ${of}`, text: String(at) },
      { where: `JSON of ${of}`, text: json(at) },
      { where: `inspect of ${of}`, text: util.inspect(at, inspected) },
      {
        where: `inspect without its own method of ${of}`,
        text: util.inspect(at, { ...inspected, customInspect: false })
      }
    )
    if (at instanceof Error) {
      texts.push({ where: `message of ${of}`, text: at.message }, { where: `stack of ${of}`, text: at.stack ?? "" })
    }
  }
  return texts
}

/** Every way in which programs write a cause. */
export const renderedCause = (where: string, cause: Cause.Cause<unknown>): ReadonlyArray<Written> => [
  { where: `pretty ${where}`, text: Cause.pretty(cause, { renderErrorCause: true }) },
  { where: `inspect of ${where}`, text: util.inspect(cause, { ...inspected, showHidden: false }) },
  { where: `JSON of ${where}`, text: json(cause) },
  ...[...Cause.failures(cause), ...Cause.defects(cause)].flatMap((error) => rendered(where, error)),
  // a pretty error refers to its span, and that to all services there are
  ...Cause.prettyErrors(cause).map(({ message, stack }) => ({ where: `pretty ${where}`, text: `${message} ${stack}` }))
]

export interface Recorder {
  /** What was written up to now. */
  readonly written: Array<Written>
  /** Replaces the loggers and the tracer. */
  readonly layer: Layer.Layer<never>
}

/** Records everything that loggers of all kinds and a tracer write. */
export const recorder = (): Recorder => {
  const written: Array<Written> = []
  const write = (where: string, text: unknown) =>
    void written.push({ where, text: typeof text === "string" ? text : util.inspect(text, inspected) })
  const loggers: Record<string, Logger.Logger<unknown, unknown>> = {
    string: Logger.stringLogger,
    logfmt: Logger.logfmtLogger,
    json: Logger.jsonLogger,
    structured: Logger.structuredLogger
  }
  const pretty = Logger.prettyLogger({ colors: false, mode: "tty" })
  const all = Logger.make((options) => {
    for (const [name, logger] of Object.entries(loggers)) {
      const line = logger.log(options)
      write(`the ${name} log`, line)
      if (typeof line !== "string") write(`the ${name} log as JSON`, json(line))
    }
    const printed = printing(() => pretty.log(options))
    write("the pretty log", printed)
    for (const message of [options.message].flat())
      if (message instanceof Error) written.push(...rendered("a log", message))
    written.push(...renderedCause("the cause of a log", options.cause))
  })
  const { tracer } = recordingTracer({
    started: (name) => write("the name of a span", name),
    // as the tracer of OpenTelemetry does: each error becomes an event with its message and its stack
    ended: (name, exit) => {
      if (Exit.isFailure(exit)) written.push(...renderedCause(`the exit of the span ${name}`, exit.cause))
    },
    attribute: (name, key, value) =>
      write(`an attribute of the span ${name}`, `${key}=${util.inspect(value, inspected)}`),
    event: (name, event, of) => write(`an event of the span ${name}`, `${event} ${util.inspect(of, inspected)}`),
    links: (name, more) => write(`the links of the span ${name}`, json(more.map(({ attributes }) => attributes)))
  })
  const layer = Layer.mergeAll(
    Logger.replace(Logger.defaultLogger, all),
    Logger.minimumLogLevel(LogLevel.All),
    Layer.setTracer(tracer)
  )
  return { written, layer }
}

/** What a synchronous function prints on the console. */
const printing = (run: () => void): string => {
  const lines: Array<string> = []
  const methods = ["log", "error", "warn", "info", "debug", "group", "groupCollapsed", "groupEnd", "trace"] as const
  const kept = methods.map((method) => console[method])
  for (const method of methods) console[method] = (...args: Array<unknown>) => void lines.push(util.format(...args))
  try {
    run()
  } finally {
    methods.forEach((method, i) => {
      console[method] = kept[i]!
    })
  }
  return lines.join("\n")
}

const textsOfMetrics = new WeakMap<object, string>()
const textOfMetric = (key: MetricKey.MetricKey.Untyped): string => {
  let text = textsOfMetrics.get(key)
  if (text === undefined) {
    const tags = MetricKey.isMetricKey(key) ? json(key.tags) : ""
    text = `${key.name} ${tags} ${Option.getOrElse(key.description, () => "")}`
    textsOfMetrics.set(key, text)
  }
  return text
}

/** The names and the labels of all metrics. */
export const metrics: Effect.Effect<ReadonlyArray<Written>> = Effect.map(Metric.snapshot, (pairs) =>
  pairs.map(({ metricKey }) => ({ where: "a metric", text: textOfMetric(metricKey) }))
)

/** Logs how an effect failed in the ways in which programs do, and returns its exit. */
export const logged = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.tap(Effect.exit(Effect.withSpan(effect, "program")), (exit) => {
    if (Exit.isSuccess(exit)) return Effect.void
    const errors = [...Cause.failures(exit.cause), ...Cause.defects(exit.cause)]
    return Effect.zipRight(
      Effect.logError("it failed", exit.cause),
      Effect.forEach(errors, (error) => Effect.annotateLogs(Effect.logError(error), { error }))
    )
  })

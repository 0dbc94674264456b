/**
 * A tracer that records what programs write into spans.
 */
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

export interface SpanRecord {
  readonly name: string
  readonly span: Tracer.Span
  readonly parent: Tracer.AnySpan | undefined
  readonly links: ReadonlyArray<Tracer.SpanLink>
  readonly attributes: Map<string, unknown>
  /** The exit of the span, once it has ended. */
  exit: Exit.Exit<unknown, unknown> | undefined
  ends: number
}

/** What is called when something is written into a span. */
export interface Listener {
  readonly started: (name: string) => void
  readonly ended: (name: string, exit: Exit.Exit<unknown, unknown>) => void
  readonly attribute: (name: string, key: string, value: unknown) => void
  readonly event: (name: string, event: string, attributes: unknown) => void
  readonly links: (name: string, links: ReadonlyArray<Tracer.SpanLink>) => void
}

/** A tracer that keeps all spans in the order of their starts. */
export const recordingTracer = (
  listener: Partial<Listener> = {}
): { readonly tracer: Tracer.Tracer; readonly spans: Array<SpanRecord> } => {
  const spans: Array<SpanRecord> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const span: Tracer.Span = {
        _tag: "Span",
        name,
        spanId: `span-${spans.length}`,
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links,
        sampled: true,
        kind,
        end: (_, exit) => {
          record.exit = exit
          record.ends++
          listener.ended?.(name, exit)
        },
        attribute: (key, value) => {
          attributes.set(key, value)
          listener.attribute?.(name, key, value)
        },
        event: (event, _, of) => listener.event?.(name, event, of),
        addLinks: (more) => listener.links?.(name, more)
      }
      const record: SpanRecord = {
        name,
        span,
        parent: Option.getOrUndefined(parent),
        links,
        attributes,
        exit: undefined,
        ends: 0
      }
      spans.push(record)
      listener.started?.(name)
      return span
    },
    context: (run) => run()
  })
  return { tracer, spans }
}

/**
 * What a process is called: by its host and its id, where the runtime tells them. This module imports nothing of Node, so
 * that the dashboard runs wherever the store does.
 */

/** The parts of the global `process` of Node, Bun and Deno that are used here. */
interface ProcessLike {
  readonly pid?: number
  readonly getBuiltinModule?: (name: string) => { readonly hostname?: () => string } | undefined
}

/** The host and the id of this process, such as `web-1 · 4711`. */
export const processName = (): string => {
  const { process } = globalThis as { readonly process?: ProcessLike }
  const host = process?.getBuiltinModule?.("node:os")?.hostname?.()
  const names = [host, process?.pid].filter((name) => name !== undefined && name !== "")
  return names.length === 0 ? "unknown" : names.join(" · ")
}

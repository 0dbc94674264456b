/**
 * Starts the gateway before the tests and stops it after them.
 */
import type { TestProject } from "vitest/node"
import * as Rgw from "./rgw.js"

declare module "vitest" {
  export interface ProvidedContext {
    readonly s3Port: number
  }
}

export default async ({ provide }: TestProject): Promise<() => Promise<void>> => {
  const { port, stop } = await Rgw.start()
  provide("s3Port", port)
  return stop
}

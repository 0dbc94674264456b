import { defineConfig } from "vitest/config"
import base, { elsewhere } from "./vitest.config.js"

/** The tests on a cluster of Redis, behind sentinels, and of failovers: `npm run test:cluster`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: elsewhere["test:cluster"],
    exclude: [],
    maxWorkers: 1
  }
})

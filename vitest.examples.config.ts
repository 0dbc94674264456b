import { defineConfig } from "vitest/config"
import base, { elsewhere } from "./vitest.config.js"

/** Every example, run as a reader would run it: `npm run test:examples`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: elsewhere["test:examples"],
    // writer-reader, which forks workers, does not start under tsx if TMPDIR is in memory
    env: {},
    exclude: [],
    maxWorkers: 1
  }
})

import { defineConfig } from "vitest/config"
import base, { elsewhere } from "./vitest.config.js"

/** The dashboard in a real browser, which is installed where it is missing: `npm run test:browser`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: elsewhere["test:browser"],
    exclude: [],
    hookTimeout: 300_000,
    maxWorkers: 1
  }
})

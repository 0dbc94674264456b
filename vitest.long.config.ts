import { defineConfig } from "vitest/config"
import base from "./vitest.config.js"

/**
 * The model for hours: `npm run test:long`. It runs for `MODEL_MINUTES` on each store, default 30, and takes the other
 * variables of `test/model/harness.ts` as well.
 */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/model/*.test.ts"],
    exclude: [],
    env: { MODEL_MINUTES: process.env.MODEL_MINUTES ?? "30" }
  }
})

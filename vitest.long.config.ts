import { defineConfig } from "vitest/config"
import base, { elsewhere } from "./vitest.config.js"

/**
 * The model for hours, clocks that step, and two releases on one Redis: `npm run test:long`. The model runs for
 * `MODEL_MINUTES` on each store, default 30, and takes the other variables of `test/model/harness.ts` as well.
 */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/model/*.test.ts", ...elsewhere["test:long"]],
    exclude: [],
    env: { MODEL_MINUTES: process.env.MODEL_MINUTES ?? "30" }
  }
})

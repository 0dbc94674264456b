import { defineConfig } from "vitest/config"
import base from "./vitest.config.js"

/** The tests that need a real S3: `npm run test:s3`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/stores/s3/*.test.ts"],
    exclude: [],
    globalSetup: ["test/support/rgwSetup.ts"]
  }
})

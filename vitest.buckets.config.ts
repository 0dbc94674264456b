import { defineConfig } from "vitest/config"
import base, { elsewhere } from "./vitest.config.js"

/** The tests of buckets, S3 among them on a real gateway: `npm run test:buckets`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: elsewhere["test:buckets"],
    exclude: [],
    globalSetup: ["test/support/rgwSetup.ts"]
  }
})

import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

/**
 * The tests that run alone, one file after the other, because they start processes and servers, break connections, or must
 * meet a real deadline.
 */
const alone = [
  "test/stores/{redis,tiered}/{faults,hybridFaults,processes,cluster,sentinel}.test.ts",
  "test/cached/{leader,lock}.test.ts",
  "test/model/*.test.ts",
  "test/repo/examples.test.ts"
]
const s3 = ["test/stores/s3/**"]

/** The tests that `npm run test:long` runs, and `npm test` does not. */
export const long = ["test/stores/redis/{rolling,clocks}.test.ts", "test/model/clocks.test.ts"]

/**
 * The two parts of the tests, chosen by the environment variable `TEST_PART`. `npm test` runs one after the other. Without
 * a part, all tests run, one file after the other.
 */
const parts: Record<string, { include?: Array<string>; exclude?: Array<string>; maxWorkers?: number }> = {
  alone: { include: alone, exclude: [...s3, ...long] },
  together: { exclude: [...s3, ...long, ...alone], maxWorkers: 2 }
}

const src = fileURLToPath(new URL("./src", import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-cached$/, replacement: `${src}/index.ts` },
      { find: /^effect-cached\/(.*)$/, replacement: `${src}/$1.ts` }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...s3, ...long],
    testTimeout: 60_000,
    ...parts[process.env.TEST_PART ?? ""],
    typecheck: { include: ["test/**/*.test-d.ts"], tsconfig: "./tsconfig.json" }
  }
})

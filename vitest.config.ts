import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

/** what starts processes and servers, breaks connections, or must be done before a real deadline: nothing runs beside it */
const alone = [
  "test/stores/{redis,tiered}/{faults,hybridFaults,processes,cluster,sentinel}.test.ts",
  "test/cached/{leader,lock}.test.ts",
  "test/model/*.test.ts",
  "test/repo/examples.test.ts"
]
const s3 = ["test/stores/s3/**"]

/** `npm test` runs the two parts of the tests one after the other; all at once, one file after the other, without a part */
const parts: Record<string, { include?: Array<string>; exclude?: Array<string>; maxWorkers?: number }> = {
  alone: { include: alone },
  together: { exclude: [...s3, ...alone], maxWorkers: 2 }
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
    exclude: s3,
    testTimeout: 20_000,
    ...parts[process.env.TEST_PART ?? ""],
    typecheck: { include: ["test/**/*.test-d.ts"], tsconfig: "./tsconfig.json" }
  }
})

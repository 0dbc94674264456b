import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { defineConfig, type ViteUserConfig } from "vitest/config"

/**
 * The tests that run after all others, because they start processes and servers, break connections, or must meet a real
 * deadline. They mostly wait.
 */
const isolated = [
  "test/stores/{redis,tiered}/{faults,hybridFaults,processes,twoProcesses}.test.ts",
  "test/cached/{leader,lock}.test.ts",
  "test/model/model.test.ts"
]

/** The tests that `npm test` does not run, by the script that runs them. */
export const elsewhere = {
  "test:browser": ["test/dashboard/browser.test.ts"],
  "test:buckets": ["test/stores/{s3,gcs}/*.test.ts"],
  "test:cluster": ["test/stores/redis/{cluster,clusterLaws,failover,sentinel}.test.ts"],
  "test:examples": ["test/repo/examples.test.ts"],
  "test:long": [
    "test/stores/redis/{rolling,clocks,manyTags}.test.ts",
    "test/stores/tiered/clocks.test.ts",
    "test/stores/memory/eviction/hitRatios.test.ts",
    "test/stores/memory/churn.test.ts",
    "test/model/clocks.test.ts",
    "test/exporters/promtool.test.ts"
  ]
}
const exclude = Object.values(elsewhere).flat()

/**
 * The two parts of the tests, chosen by the environment variable `TEST_PART`. `npm test` runs one after the other. Without
 * a part, all tests run, one file after the other.
 */
const parts: Record<string, Pick<ViteUserConfig["test"] & {}, "include" | "exclude" | "isolate" | "maxWorkers">> = {
  // Loading the modules anew for each file takes two thirds of the time.
  shared: { exclude: [...exclude, ...isolated], isolate: false, maxWorkers: 2 },
  // They use a core for a third of their time.
  isolated: { include: isolated, maxWorkers: 3 }
}

/**
 * The directory for temporary files: in memory where the machine has one with room, because stores of files sync every
 * write to the disk.
 */
const memoryDirectory = "/dev/shm"
const hasRoom = (directory: string): boolean => {
  try {
    const { bavail, bsize } = fs.statfsSync(directory)
    return bavail * bsize >= 2 ** 30
  } catch {
    return false
  }
}
const env = process.env.TMPDIR === undefined && hasRoom(memoryDirectory) ? { TMPDIR: memoryDirectory } : {}

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
    exclude,
    setupFiles: ["test/support/setup.ts"],
    testTimeout: 60_000,
    env,
    ...parts[process.env.TEST_PART ?? ""],
    typecheck: { include: ["test/**/*.test-d.ts"], tsconfig: "./tsconfig.json" }
  }
})

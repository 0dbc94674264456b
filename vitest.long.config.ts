import { defineConfig } from "vitest/config"
import base, { elsewhere } from "./vitest.config.js"

/**
 * What takes long: `npm run test:long`. The model and random input for hours, clocks that step, a million invalidated tags,
 * two releases on one Redis, and the hit ratios of all seeded traces. The model runs for `MODEL_MINUTES` on each store, default 30, and each test in
 * `test/fuzz` for `FUZZ_MINUTES`, default 5. `COUNT_MINUTES` is for the random runs of `count.test.ts`, default 0.01. The
 * other variables of `test/model/harness.ts` and `test/fuzz/fuzz.ts` apply as well. `TAGS_COUNT` is how many tags are
 * invalidated, default a million, `CARDINALITY_COUNT` how many keys and definitions are used, default 100 000,
 * `CHURN_COUNT` how many writes each store in memory gets in `churn.test.ts`, default a million, and `HIT_COUNT` how many
 * hits are counted, default ten million.
 */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/{fuzz,model}/*.test.ts", "test/engine/{allocation,cardinality}.test.ts", ...elsewhere["test:long"]],
    exclude: [],
    env: {
      ...base.test?.env,
      HIT_COUNT: process.env.HIT_COUNT ?? "10000000",
      CARDINALITY_COUNT: process.env.CARDINALITY_COUNT ?? "100000",
      MODEL_MINUTES: process.env.MODEL_MINUTES ?? "30",
      FUZZ_MINUTES: process.env.FUZZ_MINUTES ?? "5"
    }
  }
})

/**
 * The text for Prometheus, and the alert rules of the documentation, as Prometheus's own checker sees them.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Cached, CacheStore, MemoryCache, TieredCache } from "effect-cached"
import * as CacheExporter from "../../src/CacheExporter.js"
import * as FileCache from "../../src/FileCache.js"
import { freePort } from "../support/ports.js"
import { promtool } from "../support/promtool.js"

const page = fs.readFileSync(fileURLToPath(new URL("../../docs/exporters.md", import.meta.url)), "utf8")

/** Work that touches every kind of metric: two tiers, stale hits, refreshes, failures, evictions. */
const work = Effect.gen(function* () {
  const store = yield* CacheStore
  const user = Cached.swr((id: number) => Effect.succeed(id), { key: "user:{}", ttl: 1, stale: "1 hour" })
  const broken = Cached.ttl(Effect.fail("down"), { key: "broken", ttl: "1 hour" })
  for (const id of [1, 2, 1, 2]) {
    yield* user(id)
    yield* Effect.sleep(2)
  }
  yield* Effect.flip(broken)
  yield* store.remove("user:1")
  yield* store.sweep
})

describe("promtool", () => {
  it.live("check metrics - has nothing to say", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const directory = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-promtool-"))
      const tiers = TieredCache.layer({
        tiers: [{ backend: MemoryCache.backend({ capacity: 1 }) }, { backend: FileCache.backend({ directory }) }]
      }).pipe(Layer.provide(NodeContext.layer))
      const exporter = CacheExporter.layerPrometheus({ port, host: "127.0.0.1", resource: { serviceName: "shop" } })
      const text = yield* Effect.zipRight(
        work,
        Effect.promise(async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text())
      ).pipe(Effect.provide(Layer.merge(tiers, exporter)))
      fs.rmSync(directory, { recursive: true })
      assert.include(text, "cache_hits_total")
      assert.deepStrictEqual(promtool(["check", "metrics"], text), { code: 0, output: "" })
      assert.notStrictEqual(promtool(["check", "metrics"], "# TYPE cache_hits counter\ncache_hits 1\n").output, "")
    })
  )

  it("check rules - accepts the alert rules of the documentation", () => {
    const [, rules] = /```yaml\n(groups:\n[\s\S]*?)```/.exec(page) ?? assert.fail("no rules in docs/exporters.md")
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-rules-")), "rules.yml")
    fs.writeFileSync(file, rules!)
    const { code, output } = promtool(["check", "rules", file])
    fs.rmSync(path.dirname(file), { recursive: true })
    assert.strictEqual(code, 0, output)
    assert.match(output, /SUCCESS: \d+ rules found/)
  })
})

/// <reference lib="dom" />
/**
 * The dashboard in a real browser. With `UPDATE_SCREENSHOTS=1` the pictures of the documentation are taken anew.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { NodeContext } from "@effect/platform-node"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Data, Effect, Exit, Layer, Random, Schedule, Scope } from "effect"
import { Cached, MemoryCache, TieredCache } from "effect-cached"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import * as FileCache from "../../src/FileCache.js"
import { launch } from "../support/chromium.js"
import { freePort } from "../support/ports.js"
import { open } from "./support.js"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
})
afterAll(() => browser.close())

const hostile = `<script>document.title="broken"</script><img src=x onerror="document.title='broken'">`

class NotFound extends Data.TaggedError("NotFound")<{ readonly id: string }> {}

const getUser = Cached.swr((id: number) => Effect.delay(Effect.succeed({ id, name: "Ada" }), 4), {
  key: "user:{}",
  name: "getUser",
  ttl: "2 seconds",
  stale: "1 minute",
  tags: ["users"]
})
const getText = Cached.ttl((text: string) => Effect.succeed(text), { key: "text:{}", name: "getText", ttl: "1 hour" })

/** An error of the page, a message on its console, or something that its policy forbids. */
const faultsOf = (page: Page): Array<string> => {
  const faults: Array<string> = []
  page.on("pageerror", (error) => faults.push(error.message))
  page.on("console", (message) => faults.push(`${message.type()}: ${message.text()}`))
  return faults
}

interface Visit {
  readonly page: Page
  readonly faults: ReadonlyArray<string>
}

const visit = (url: string, options: BrowserContextOptions = {}): Effect.Effect<Visit, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const page = await browser.newPage(options)
      page.setDefaultTimeout(30_000)
      const faults = faultsOf(page)
      await page.goto(url)
      await page.getByText("live", { exact: true }).waitFor()
      return { page, faults }
    }),
    ({ page }) => Effect.promise(() => page.close())
  )

const step = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

/** A cell of a table, by the name of its row and the heading of its column. */
const cell = (page: Page, table: string, row: string, column: string): Promise<string> =>
  page.evaluate(
    ([table, row, column]) => {
      const section = document.getElementById(table!)!
      const headings = Array.from(section.querySelectorAll("thead th"), (th) => th.textContent)
      const found = Array.from(section.querySelectorAll("tbody tr")).find((tr) => tr.firstChild!.textContent === row)
      return found?.children[headings.indexOf(column!)]?.textContent ?? ""
    },
    [table, row, column]
  )

const untilCell = (page: Page, [table, row, column]: readonly [string, string, string], text: string) =>
  step(async () => {
    const deadline = Date.now() + 10_000
    while ((await cell(page, table, row, column)) !== text) {
      if (Date.now() > deadline)
        assert.fail(`${column} of ${row} is ${await cell(page, table, row, column)}, not ${text}`)
      await page.waitForTimeout(20)
    }
  })

const numberOf = (page: Page, id: string) => page.locator(`#${id} strong`).textContent()

describe("dashboard", () => {
  it.scopedLive("renders - and follows the traffic, without an error or a message", () =>
    Effect.gen(function* () {
      const { run, url } = yield* open({ title: "shop", process: "test" })
      yield* run(Effect.forEach([1, 2, 1, 1], (id) => getUser(id)))
      const { faults, page } = yield* visit(url)
      yield* untilCell(page, ["functions", "getUser", "Reads"], "4")
      assert.strictEqual(yield* step(() => cell(page, "functions", "getUser", "Hit rate")), "50.0 %")
      assert.strictEqual(yield* step(() => page.title()), "shop · effect-cached")
      assert.match((yield* step(() => page.locator(".what p").textContent())) ?? "", /^process testup /)
      yield* run(Effect.repeatN(getUser(1), 95))
      yield* untilCell(page, ["functions", "getUser", "Reads"], "100")
      assert.strictEqual(yield* step(() => numberOf(page, "hit-rate")), "98.0 %")
      for (const id of ["plot-rate", "plot-load", "plot-time"]) {
        assert.isAbove(yield* step(() => page.locator(`#${id} svg path, #${id} svg circle`).count()), 0, id)
        assert.match(
          (yield* step(() => page.locator(`#${id} .canvas`).getAttribute("aria-label"))) ?? "",
          /latest: \d\d:\d\d:\d\d/
        )
      }
      assert.deepStrictEqual(faults, [])
    })
  )

  it.scopedLive("a hostile key - is text, in events and in the look-up", () =>
    Effect.gen(function* () {
      const { run, store, url } = yield* open({ keys: true, values: true })
      const { faults, page } = yield* visit(url)
      yield* run(getText(hostile))
      yield* store.set(hostile, hostile, { ttl: "1 hour" })
      yield* step(() => page.locator("#events code").first().waitFor())
      yield* step(async () => {
        await page.fill("#key", hostile)
        await page.keyboard.press("Enter")
        await page.locator("#look-up pre").waitFor()
      })
      assert.include((yield* step(() => page.locator("#events").textContent())) ?? "", "<script>")
      assert.include((yield* step(() => page.locator("#look-up .answer").textContent())) ?? "", hostile)
      assert.notInclude(yield* step(() => page.title()), "broken")
      assert.strictEqual(yield* step(() => page.locator("main script, main img").count()), 0)
      assert.deepStrictEqual(faults, [])
    })
  )

  it.scopedLive("read-only - offers no invalidation, and shows hashes in place of keys", () =>
    Effect.gen(function* () {
      const { run, url } = yield* open()
      const { page } = yield* visit(url)
      yield* run(getUser(4_711))
      yield* step(() => page.locator("#events code").first().waitFor())
      assert.match((yield* step(() => page.locator("#events code").first().textContent())) ?? "", /^#[\w-]{8}$/)
      assert.notInclude((yield* step(() => page.locator("main").textContent())) ?? "", "4711")
      assert.strictEqual(yield* step(() => page.getByRole("button", { name: /invalidate/i }).count()), 0)
      assert.include((yield* step(() => page.locator("#look-up .note").textContent())) ?? "", "read-only")
    })
  )

  it.scopedLive("invalidation - asks once more, and says when it is refused", () =>
    Effect.gen(function* () {
      let mayInvalidate = false
      const { run, store, url } = yield* open({ authorize: Effect.sync(() => mayInvalidate) })
      yield* run(getUser(1))
      const { page } = yield* visit(url)
      const button = page.getByRole("button", { name: "Invalidate getUser" })
      const answer = page.locator("#look-up .answer")
      const press = step(async () => {
        await button.click()
        assert.strictEqual(await button.textContent(), "Really?")
        await button.click()
      })
      yield* press
      yield* step(() => answer.getByText("You may not invalidate here.").waitFor())
      assert.isTrue(yield* store.has("user:1"))
      mayInvalidate = true
      yield* press
      yield* step(() => answer.getByText("What getUser stored is invalidated.").waitFor())
      assert.isFalse(yield* store.has("user:1"))
      yield* run(getUser(1))
      yield* step(async () => {
        await page.fill("#tag", "users")
        await page.keyboard.press("Enter")
        await answer.getByText("What has the tag is invalidated.").waitFor()
      })
      assert.isFalse(yield* store.has("user:1"))
    })
  )

  it.scopedLive("functions - only those that the store can invalidate have a button, others are found by name", () =>
    Effect.gen(function* () {
      const { run, store, url } = yield* open({ authorize: Effect.succeed(true) })
      yield* run(getUser(1))
      yield* store.getOrSet("loaded", Effect.succeed(1), { ttl: "1 hour", name: "label" })
      const { page } = yield* visit(url)
      yield* untilCell(page, ["functions", "label", "Reads"], "1")
      const answer = page.locator("#look-up .answer")
      yield* step(async () => {
        assert.strictEqual(await page.locator("#functions button").count(), 1)
        await page.fill("#function", "label")
        await page.keyboard.press("Enter")
        await answer.getByText("label is not a function").waitFor()
        await page.fill("#function", "getUser")
        await page.keyboard.press("Enter")
        await answer.getByText("What getUser stored is invalidated.").waitFor()
      })
      assert.isFalse(yield* store.has("user:1"))
    })
  )

  it.scopedLive("another process at the same address - is shown, also after refusals of what is before it", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const options = { authorize: Effect.succeed(true) }
      const layer = (name: string) => MemoryCache.layer({ name })
      const first = yield* Scope.make()
      const { url } = yield* open({ ...options, process: "web-1" }, layer("north"), port).pipe(Scope.extend(first))
      const { page } = yield* visit(url)
      yield* Scope.close(first, Exit.void)
      const proxy = http.createServer((_, response) => response.writeHead(502).end("bad gateway"))
      yield* step(() => new Promise<void>((resume) => proxy.listen(port, "127.0.0.1", resume)))
      yield* step(() => page.getByText("The server answered 502. This page tries again.").waitFor())
      proxy.closeAllConnections()
      yield* step(() => new Promise((resume) => proxy.close(resume)))
      const { run, store } = yield* open({ ...options, process: "web-2" }, layer("south"), port)
      yield* step(() => page.getByText("live", { exact: true }).waitFor())
      const heading = yield* step(() =>
        Promise.all([page.textContent("h1"), page.textContent("#process"), page.title()])
      )
      assert.deepStrictEqual(heading, ["south", "web-2", "south · effect-cached"])
      assert.isFalse(yield* step(() => page.locator("#refusal").isVisible()))
      // the token is that of the new process
      yield* run(getUser(1))
      yield* step(async () => {
        await page.fill("#tag", "users")
        await page.keyboard.press("Enter")
        await page.getByText("What has the tag is invalidated.").waitFor()
      })
      assert.isFalse(yield* store.has("user:1"))
    })
  )

  it.scopedLive("a page too many - says why it shows nothing, and becomes live once there is room", () =>
    Effect.gen(function* () {
      const { run, url } = yield* open({ maxViewers: 1 })
      yield* run(getUser(1))
      const inner = yield* Scope.make()
      yield* visit(url).pipe(Scope.extend(inner))
      const page = yield* Effect.acquireRelease(
        step(() => browser.newPage()),
        (page) => step(() => page.close())
      )
      yield* step(() => page.goto(url))
      yield* step(() => page.getByText("No more than 1 pages of this dashboard may be open").waitFor())
      // "No cached function has been read yet" would be false
      assert.strictEqual(yield* step(() => page.locator(".empty:visible").count()), 0)
      yield* Scope.close(inner, Exit.void)
      yield* untilCell(page, ["functions", "getUser", "Reads"], "1")
      assert.isFalse(yield* step(() => page.locator("#refusal").isVisible()))
    })
  )

  it.scopedLive("a key that ends with a space - is shown with it, and said to have one", () =>
    Effect.gen(function* () {
      const { url } = yield* open()
      const { page } = yield* visit(url)
      yield* step(async () => {
        await page.fill("#key", " user:1 ")
        await page.keyboard.press("Enter")
        await page.getByText("(begins or ends with white space)").waitFor()
      })
      const [text, whiteSpace] = yield* step(() =>
        page.evaluate(() => {
          const code = document.querySelector("#look-up .answer code")!
          return [code.textContent, getComputedStyle(code).whiteSpace]
        })
      )
      assert.deepStrictEqual([text, whiteSpace], [" user:1 ", "pre-wrap"])
    })
  )

  it.scopedLive("a page of another site - neither invalidates nor reads anything", () =>
    Effect.gen(function* () {
      const { run, store, url } = yield* open({ authorize: Effect.succeed(true) })
      yield* run(getUser(1))
      const port = yield* freePort
      yield* Effect.acquireRelease(
        Effect.async<http.Server>((resume) => {
          const server = http.createServer((_, response) => response.end("<!doctype html><title>evil</title>"))
          server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const results = yield* step(async () => {
        const page = await browser.newPage()
        await page.goto(`http://127.0.0.1:${port}/`)
        const results = await page.evaluate(async (url) => {
          const body = JSON.stringify({ kind: "key", name: "user:1" })
          const attempt = (promise: Promise<unknown>) => promise.then(String, () => "refused")
          const frame = document.createElement("iframe")
          frame.src = url
          document.body.append(frame)
          await new Promise((loaded) => frame.addEventListener("load", loaded))
          const form = document.createElement("form")
          form.method = "post"
          form.enctype = "text/plain"
          form.action = `${url}invalidate`
          form.target = "sink"
          const sink = document.createElement("iframe")
          sink.name = "sink"
          const input = document.createElement("input")
          input.name = '{"kind":"key","name":"user:1","x":"'
          input.value = '"}'
          form.append(input)
          document.body.append(sink, form)
          form.submit()
          return [
            await attempt(fetch(url).then((response) => response.text())),
            await attempt(
              fetch(`${url}invalidate`, { method: "POST", headers: { "content-type": "application/json" }, body })
            ),
            await attempt(fetch(`${url}invalidate`, { method: "POST", mode: "no-cors", body })),
            await attempt(Promise.resolve(frame.contentDocument?.title ?? "closed"))
          ]
        }, url)
        await page.waitForTimeout(300)
        await page.close()
        return results
      })
      assert.deepStrictEqual(results, ["refused", "refused", "refused", "closed"])
      assert.isTrue(yield* store.has("user:1"))
    })
  )

  it.scopedLive("keyboard - reaches everything in order, and reads the plots", () =>
    Effect.gen(function* () {
      const { run, url } = yield* open({ authorize: Effect.succeed(true) })
      yield* run(getUser(1))
      const { page } = yield* visit(url)
      yield* run(getUser(2))
      yield* step(() => page.locator("#events tbody tr").first().waitFor())
      const reached = yield* step(async () => {
        const reached: Array<string> = []
        for (let i = 0; i < 30; i++) {
          await page.keyboard.press("Tab")
          const [name, isVisible] = await page.evaluate(() => {
            const element = document.activeElement as HTMLElement
            const style = getComputedStyle(element)
            const box = element.getBoundingClientRect()
            const hasRing = style.outlineStyle !== "none" || element.matches(".skip")
            return [element.id || element.closest("[id]")?.id || "", hasRing && box.width > 0] as const
          })
          if (name === "") break
          assert.isTrue(isVisible, `the focus on ${name} is not visible`)
          reached.push(name)
        }
        return reached
      })
      const places = [
        "content",
        "plot-rate",
        "plot-load",
        "plot-time",
        "skip-functions",
        "functions",
        "tiers",
        "key",
        "tag",
        "events",
        "pause"
      ]
      for (const place of places.slice(1)) assert.include(reached, place)
      yield* step(async () => {
        await page.locator("#skip-functions").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        const name = await page.evaluate(() => document.activeElement!.closest("[id]")!.id)
        assert.strictEqual(name, "tiers")
      })
      yield* step(async () => {
        await page.locator("#plot-load .canvas").focus()
        await page.keyboard.press("ArrowLeft")
        assert.match((await page.locator("#plot-load .readout").textContent()) ?? "", /hits .* stale .* misses/)
        assert.strictEqual(await page.locator("#plot-load .cross").count(), 1)
      })
    })
  )

  it.scopedLive("names and roles - every control, table and plot has one, and the state is announced", () =>
    Effect.gen(function* () {
      const { run, url } = yield* open({ authorize: Effect.succeed(true) })
      yield* run(getUser(1))
      const { page } = yield* visit(url)
      yield* untilCell(page, ["functions", "getUser", "Reads"], "1")
      yield* step(async () => {
        for (const name of ["Functions", "Tiers", "Look up a key", "Events"]) {
          assert.isAbove(await page.getByRole("region", { name }).count(), 0, name)
        }
        for (const name of [/^Hit rate/, /^Reads/, /^Latency/])
          assert.strictEqual(await page.getByRole("img", { name }).count(), 1)
        assert.strictEqual(await page.getByRole("textbox", { name: "Key" }).count(), 1)
        assert.strictEqual(await page.getByRole("heading", { level: 1 }).count(), 1)
        assert.strictEqual(await page.locator('header [aria-live="polite"]').count(), 1)
        assert.strictEqual(await page.locator("html").getAttribute("lang"), "en")
      })
    })
  )

  for (const colorScheme of ["light", "dark"] as const) {
    it.scopedLive(`contrast - is at least 4.5 for every text, ${colorScheme}`, () =>
      Effect.gen(function* () {
        const { run, url } = yield* open({ authorize: Effect.succeed(true), keys: true })
        const { page } = yield* visit(url, { colorScheme })
        yield* run(Effect.zipRight(getUser(1), getUser(1)))
        yield* step(() => page.locator("#events code").first().waitFor())
        const low = yield* step(() => page.evaluate(lowContrast))
        assert.deepStrictEqual(low, [])
      })
    )
  }

  it.scopedLive("a phone - has nothing wider than itself", () =>
    Effect.gen(function* () {
      const { run, url } = yield* open({ authorize: Effect.succeed(true), keys: true })
      const { page } = yield* visit(url, { viewport: { width: 360, height: 740 }, hasTouch: true })
      yield* run(Effect.zipRight(getUser(1), getText(hostile)))
      yield* untilCell(page, ["functions", "getUser", "Reads"], "1")
      yield* step(() => page.locator("#events code").first().waitFor())
      const [width, small] = yield* step(() =>
        page.evaluate(() => [
          document.documentElement.scrollWidth,
          Array.from(document.querySelectorAll("button, input"), (one) => one.getBoundingClientRect().height).filter(
            (height) => height < 30
          ).length
        ])
      )
      assert.deepStrictEqual([width, small], [360, 0])
    })
  )

  it.scopedLive("screenshots - light, dark and on a phone", () =>
    Effect.gen(function* () {
      const directory = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-dashboard-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(directory, { recursive: true })))
      const tiers = TieredCache.layer({
        name: "shop",
        tiers: [{ backend: MemoryCache.backend({ capacity: 300 }) }, { backend: FileCache.backend({ directory }) }]
      }).pipe(Layer.provide(NodeContext.layer))
      const { run, url } = yield* open(
        { authorize: Effect.succeed(true), keys: true, process: "web-1 · 4711", interval: 400, history: "1 minute" },
        tiers
      )
      yield* Effect.forkScoped(run(Effect.scoped(shop)))
      yield* Effect.sleep(isUpdating ? "24 seconds" : "1 second")
      const target = isUpdating ? images : directory
      // one of them shows that it works
      const pictures = [
        ["dashboard-light.png", { colorScheme: "light", viewport: { width: 1280, height: 1080 } }],
        ["dashboard-dark.png", { colorScheme: "dark", viewport: { width: 1280, height: 1080 } }],
        ["dashboard-phone.png", { colorScheme: "light", viewport: { width: 390, height: 844 } }]
      ] as const
      for (const [name, options] of isUpdating ? pictures : pictures.slice(0, 1)) {
        const { faults, page } = yield* visit(url, options)
        yield* step(async () => {
          await page.locator("#events tbody tr").first().waitFor()
          if (isUpdating) await page.waitForTimeout(3_000)
          await page.fill("#key", "product:7")
          await page.getByRole("button", { name: "Explain" }).click()
          await page.locator("#look-up dl").waitFor()
          if (name !== "dashboard-phone.png") await page.evaluate(() => (document.activeElement as HTMLElement).blur())
          await page.evaluate(() => window.scrollTo(0, 0))
          await page.screenshot({ path: path.join(target, name) })
        })
        assert.isAbove(fs.statSync(path.join(target, name)).size, 20_000)
        assert.deepStrictEqual(faults, [])
      }
    })
  )
})

/** Whether the pictures of the documentation are taken anew. */
const isUpdating = process.env.UPDATE_SCREENSHOTS === "1"

const images = fileURLToPath(new URL("../../docs/images/", import.meta.url))

/** The traffic of a shop: popular and rare products, slow searches, users, and rates that a daemon loads. */
const shop = Effect.gen(function* () {
  const getProduct = Cached.swr((id: number) => Effect.delay(Effect.succeed({ id }), 8 + (id % 9)), {
    key: "product:{}",
    name: "getProduct",
    ttl: "5 seconds",
    stale: "1 minute",
    tags: ["products"]
  })
  const search = Cached.ttl((text: string) => Effect.delay(Effect.succeed([text]), 60), {
    key: "search:{}",
    name: "search",
    ttl: "4 seconds"
  })
  const getCart = Cached.ttl(
    (id: number) => (id % 50 === 0 ? new NotFound({ id: String(id) }) : Effect.delay(Effect.succeed(id), 5)),
    {
      key: "cart:{}",
      name: "getCart",
      ttl: "1 second"
    }
  )
  yield* Effect.asVoid(Cached.bg(Effect.delay(Effect.succeed({ EUR: 1 }), 20), { key: "rates", interval: "5 seconds" }))
  const words = ["lamp", "chair", "desk", "shelf", "sofa", "rug"]
  const customer = Effect.gen(function* () {
    const rank = yield* Random.next
    yield* getProduct(Math.floor(90 ** rank))
    if ((yield* Random.next) < 0.15) yield* search(words[yield* Random.nextIntBetween(0, words.length)]!)
    if ((yield* Random.next) < 0.2) yield* Effect.ignore(getCart(yield* Random.nextIntBetween(0, 60)))
    yield* Effect.sleep(yield* Random.nextIntBetween(5, 40))
  })
  yield* Effect.all(Effect.replicate(Effect.repeat(customer, Schedule.forever), 6), { concurrency: "unbounded" })
})

/** The texts of a page whose contrast to what is behind them is below 4.5. It runs in the page. */
const lowContrast = () => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!
  const rgba = (color: string): ReadonlyArray<number> => {
    context.clearRect(0, 0, 1, 1)
    context.fillStyle = color
    context.fillRect(0, 0, 1, 1)
    return Array.from(context.getImageData(0, 0, 1, 1).data)
  }
  const luminance = (color: ReadonlyArray<number>): number =>
    color.slice(0, 3).reduce((sum, part, i) => {
      const value = part / 255
      return sum + [0.2126, 0.7152, 0.0722][i]! * (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    }, 0)
  const behind = (element: Element | null): ReadonlyArray<number> => {
    for (let one = element; one !== null; one = one.parentElement) {
      const color = rgba(getComputedStyle(one).backgroundColor)
      if (color[3] === 255) return color
    }
    return [255, 255, 255, 255]
  }
  const low: Array<string> = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent!.trim()
    const element = walker.currentNode.parentElement!
    if (text === "" || element.getClientRects().length === 0) continue
    const style = getComputedStyle(element)
    const isSvg = element.namespaceURI === "http://www.w3.org/2000/svg"
    const [a, b] = [luminance(rgba(isSvg ? style.fill : style.color)), luminance(behind(element))]
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    if (contrast < 4.5) low.push(`${text}: ${contrast.toFixed(2)}`)
  }
  return low
}

/**
 * The dashboard over HTTP: what it sends, what it does not tell, and whom it refuses.
 */
import { HttpRouter, HttpServer, HttpServerRequest } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Data, Deferred, Effect, Exit, Fiber, Layer, Logger, Option, Scope, TestClock } from "effect"
import { Cached, CacheStore, InvalidOption, MemoryCache, TieredCache } from "effect-cached"
import * as Dashboard from "../../src/Dashboard.js"
import { script } from "../../src/internal/dashboard/client/script.js"
import { defectOf } from "../laws/support.js"
import { awaitUntil } from "../support/live.js"
import { get, messages, open, pageHeaders, post, tokenOf } from "./support.js"

const secret = "ada@example.com"
const getUser = Cached.ttl((email: string) => Effect.succeed({ email, password: "hunter2" }), {
  key: "user:{}",
  name: "user",
  ttl: "1 hour",
  tags: (user) => [`mail:${user.email}`]
})
class NoMail extends Data.TaggedError("NoMail")<{ readonly message: string }> {}

const broken = Cached.ttl((email: string) => Effect.fail(new NoMail({ message: `no mail for ${email}` })), {
  key: "broken:{}",
  name: "broken",
  ttl: "1 hour"
})

const tick = ({ event }: { readonly event: string }) => event === "tick"

describe("page", () => {
  it.scopedLive("every response - forbids what the page does not need", () =>
    Effect.gen(function* () {
      const { url } = yield* open()
      for (const [path, type] of [
        ["", "text/html; charset=utf-8"],
        ["dashboard.js", "text/javascript; charset=utf-8"],
        ["dashboard.css", "text/css; charset=utf-8"],
        ["icon.svg", "image/svg+xml"]
      ] as const) {
        const { headers, status, text } = yield* get(url + path)
        assert.deepStrictEqual([status, headers.get("content-type")], [200, type], path)
        const policy = headers.get("content-security-policy") ?? ""
        for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) {
          assert.include(policy, rule, path)
        }
        assert.notInclude(policy, "unsafe")
        assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
        assert.strictEqual(headers.get("cache-control"), "no-store")
        assert.notMatch(text, /https?:\/\/(?!www\.w3\.org)/, `${path} loads from elsewhere`)
      }
      const { text } = yield* get(url)
      assert.notMatch(text, /<script(?![^>]*src=)|<style|\son\w+=|\sstyle=/)
      assert.strictEqual((yield* get(`${url}nothing`)).status, 404)
    })
  )

  it.scopedLive("the path without a slash at its end - leads to the one with it, whatever the prefix", () =>
    Effect.gen(function* () {
      const { url } = yield* open()
      const { headers, status } = yield* get(`${url.slice(0, -1)}?a=b`)
      assert.deepStrictEqual([status, headers.get("location")], [307, "cache/?a=b"])
    })
  )

  it.scopedLive("title and process - are texts, whatever they contain", () =>
    Effect.gen(function* () {
      const { url } = yield* open({ title: '<b>"&', process: "<script>" })
      const { text } = yield* get(url)
      assert.include(text, "<h1>&#60;b&#62;&#34;&#38;</h1>")
      assert.notMatch(text, /<script>|<b>"/)
    })
  )

  it("script - contains nothing that makes markup of text", () => {
    assert.notMatch(script, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function/)
  })
})

describe("live", () => {
  it.scopedLive("numbers - are those of the store, and follow it", () =>
    Effect.gen(function* () {
      const { run, url } = yield* open({ title: "shop", process: "web-1" })
      yield* run(Effect.forEach(["a", "b", "a", "a"], (email) => getUser(email)))
      const [hello, ...ticks] = yield* messages(url, (all) => all.filter(tick).length === 2)
      assert.strictEqual(hello!.event, "hello")
      assert.deepInclude(hello!.data, { title: "shop", process: "web-1", token: yield* tokenOf(url) })
      const { caches, entries, hits, misses, tiers } = hello!.data.snapshot
      assert.deepStrictEqual([hits, misses, entries], [2, 2, 2])
      assert.deepInclude(caches[0], { name: "user", reads: 4, hits: 2, misses: 2, loads: 2, hitRate: 0.5 })
      assert.deepInclude(tiers[0], { status: "up", hits: 2, misses: 2, sets: 2 })
      yield* run(getUser("a"))
      assert.strictEqual(ticks.length, 2)
      const [later] = yield* messages(url, () => true)
      assert.strictEqual(later!.data.snapshot.hits, 3)
      assert.isNotEmpty(later!.data.samples)
    })
  )

  it.scopedLive("tiers - each has its condition and its numbers", () =>
    Effect.gen(function* () {
      const memory = (name: string) => ({ name, backend: MemoryCache.backend() })
      const { run, url } = yield* open({}, TieredCache.layer({ tiers: [memory("near"), memory("far")] }))
      yield* run(Effect.forEach(["a", "a"], (email) => getUser(email)))
      const [hello] = yield* messages(url, () => true)
      assert.deepStrictEqual(
        hello!.data.snapshot.tiers.map((tier: any) => [tier.name, tier.status, tier.hits, tier.misses, tier.sets]),
        [
          ["near", "up", 1, 1, 1],
          ["far", "up", 0, 1, 1]
        ]
      )
    })
  )

  it.scopedLive("loads in flight - each with its age and its waiters, the oldest first, while it runs", () =>
    Effect.gen(function* () {
      const { run, url } = yield* open()
      const door = yield* Deferred.make<void>()
      const slow = Cached.ttl((email: string) => Effect.as(Deferred.await(door), email), {
        key: "slow:{}",
        name: "slow",
        ttl: "1 hour",
        concurrency: 1
      })
      const running = Effect.map(
        messages(url, () => true),
        ([hello]) => hello!.data.snapshot.running as ReadonlyArray<any>
      )
      const read = (email: string) => Effect.forkScoped(run(slow(email)))
      const readers = [yield* read(secret), yield* read(secret)]
      yield* awaitUntil(
        Effect.map(running, ([first]) => first?.waiters === 2),
        "the load is shown"
      )
      readers.push(yield* read("b"))
      yield* awaitUntil(
        Effect.map(running, (loads) => loads.length === 2),
        "both are shown"
      )
      const loads = yield* running
      assert.deepStrictEqual(
        loads.map(({ kind, name, waiters }) => [name, kind, waiters]),
        [
          ["slow", "load", 2],
          ["slow", "queued", 1]
        ]
      )
      assert.isAbove(loads[0].age, loads[1].age)
      for (const { key } of loads) assert.match(key, /^#[\w-]{8}$/)
      assert.notInclude(JSON.stringify(loads), secret)
      yield* Deferred.succeed(door, undefined)
      yield* Fiber.joinAll(readers)
      assert.deepStrictEqual(yield* running, [])
    })
  )

  it.scopedLive("keys, tags, values and messages of errors - are not in it unless the options say so", () =>
    Effect.gen(function* () {
      for (const isOpen of [false, true]) {
        const { run, store, url } = yield* open({ keys: isOpen, values: isOpen })
        const act = run(
          Effect.gen(function* () {
            yield* getUser(secret)
            yield* Effect.flip(broken(secret))
            yield* Cached.invalidateTags([`mail:${secret}`])
          })
        )
        let isConnected = false
        const read = messages(url, (all) => {
          isConnected ||= all.length > 0
          const events = all.flatMap(({ data }) => data.events)
          return ["Loaded", "LoadFailed", "Cleared"].every((kind) => events.some((event) => event.kind === kind))
        })
        const connected = awaitUntil(
          Effect.sync(() => isConnected),
          "the page is connected"
        )
        const [received] = yield* Effect.all([read, Effect.zipRight(connected, act)], { concurrency: 2 })
        const text = JSON.stringify(received)
        for (const part of [secret, "no mail for"]) assert.strictEqual(text.includes(part), isOpen, part)
        assert.notInclude(text, "hunter2")
        const events = received.flatMap(({ data }) => data.events)
        const loaded = events.find(({ kind }) => kind === "Loaded")
        assert.strictEqual(loaded.name, "user")
        if (!isOpen) assert.match(loaded.key, /^#[\w-]{8}$/)
        assert.strictEqual(
          events.find(({ kind }) => kind === "LoadFailed").detail,
          isOpen ? `failed: NoMail: no mail for ${secret}` : "failed: NoMail"
        )
        yield* store.clear
      }
    })
  )

  it.scopedLive("events - nobody subscribes while no page is open", () =>
    Effect.gen(function* () {
      const { run, store, url } = yield* open()
      let subscribers = 0
      const { url: counted } = yield* open(
        {},
        Layer.succeed(CacheStore, {
          ...store,
          get events() {
            subscribers++
            return store.events
          }
        })
      )
      yield* run(getUser("a"))
      yield* Effect.sleep(150)
      assert.strictEqual(subscribers, 0)
      yield* messages(counted, () => true)
      assert.isAbove(subscribers, 0)
      yield* messages(url, () => true)
    })
  )

  it.scopedLive("pages - there are maxViewers at most, and a closed one makes room", () =>
    Effect.gen(function* () {
      const { url } = yield* open({ maxViewers: 1 })
      const first = yield* Effect.promise(() => fetch(`${url}live`))
      const reader = first.body!.getReader()
      yield* Effect.promise(() => reader.read())
      const refused = yield* get(`${url}live`)
      assert.strictEqual(refused.status, 503)
      assert.include(refused.text, "No more than 1 pages")
      yield* Effect.promise(() => reader.cancel())
      yield* awaitUntil(
        Effect.promise(async () => {
          const { body, status } = await fetch(`${url}live`)
          await body?.cancel()
          return status === 200
        }),
        "there is room again"
      )
    })
  )

  it.scoped(
    "samples - are taken in the Scope of the router, whether or not anybody watches, and not after its end",
    () =>
      Effect.gen(function* () {
        let samples = 0
        const store = yield* MemoryCache.make()
        const counted: CacheStore.Service = {
          ...store,
          stats: Effect.tap(store.stats, () => Effect.sync(() => samples++))
        }
        const scope = yield* Scope.make()
        yield* Effect.asVoid(Dashboard.make()).pipe(Effect.provideService(CacheStore, counted), Scope.extend(scope))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(samples, 11)
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(samples, 11)
      })
  )

  it.live("options - an interval of zero is the defect InvalidOption", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(open({ interval: 0 })))
      assert.instanceOf(defectOf(exit), InvalidOption)
    })
  )
})

describe("look-up", () => {
  it.scopedLive("a key - its state and times, its value only with values", () =>
    Effect.gen(function* () {
      for (const values of [false, true]) {
        const { run, url } = yield* open({ values })
        const headers = pageHeaders(yield* tokenOf(url))
        yield* run(getUser(secret))
        const found = yield* post(`${url}lookup`, { key: `user:${secret}` }, headers)
        assert.deepStrictEqual([found.status, found.json.state], [200, "fresh"])
        assert.approximately(found.json.freshUntil - found.json.createdAt, 3_600_000, 1)
        assert.strictEqual(found.text.includes("hunter2"), values)
        assert.match(found.json.explanation.cacheStatus, /^effect-cached; hit; ttl=3(600|59\d)$/)
        const other = yield* post(`${url}lookup`, { key: "user:other" }, headers)
        assert.deepStrictEqual([other.json.state, other.json.explanation.reason], ["absent", "absent"])
        yield* run(Cached.invalidateTags([`mail:${secret}`]))
        const gone = yield* post(`${url}lookup`, { key: `user:${secret}` }, headers)
        assert.deepInclude(gone.json.explanation, { outcome: "miss", reason: "tag" })
        assert.match(gone.json.explanation.tag, /^#[\w-]{8}$/)
        assert.notInclude(gone.text, secret)
        const before = yield* run(Effect.flatMap(CacheStore, (store) => store.stats))
        assert.deepStrictEqual([before.reads, before.loads], [1, 1])
        assert.strictEqual((yield* post(`${url}lookup`, { nothing: 1 }, headers)).status, 400)
        assert.strictEqual((yield* post(`${url}lookup`, { key: "x".repeat(5_000) }, headers)).status, 400)
      }
    })
  )
})

describe("look-up of a key that is being loaded", () => {
  it.scopedLive("says what explain of the function says, that the read would join the load included", () =>
    Effect.gen(function* () {
      const { run, url } = yield* open()
      const headers = pageHeaders(yield* tokenOf(url))
      const slow = Cached.ttl((_id: number) => Effect.never, { key: "slow:{}", ttl: "1 hour" })
      yield* Effect.forkScoped(run(slow(1)))
      yield* awaitUntil(
        Effect.map(run(slow.explain(1)), ({ load }) => load?.waiters === 1),
        "the load runs"
      )
      const { cacheStatus } = yield* run(slow.explain(1))
      assert.strictEqual(cacheStatus, "effect-cached; fwd=miss; collapsed")
      const { explanation } = (yield* post(`${url}lookup`, { key: "slow:1" }, headers)).json
      assert.deepInclude(explanation, { cacheStatus, outcome: "miss", reason: "absent" })
      assert.strictEqual(explanation.load.waiters, 1)
    })
  )
})

describe("invalidation", () => {
  const allowed = { authorize: Effect.succeed(true) }
  const input = { kind: "key", name: "user:a" }

  it.scopedLive("without authorize - is refused, and the entry stays", () =>
    Effect.gen(function* () {
      const { run, store, url } = yield* open()
      yield* run(getUser("a"))
      const headers = pageHeaders(yield* tokenOf(url))
      assert.strictEqual((yield* post(`${url}invalidate`, input, headers)).status, 403)
      assert.isTrue(yield* store.has("user:a"))
      assert.notInclude((yield* get(url)).text, "Invalidate")
    })
  )

  it.scopedLive("authorize - refuses with false, a failure and a defect, and decides by the request", () =>
    Effect.gen(function* () {
      const isAda = Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) => headers["x-user"] === "ada")
      for (const authorize of [Effect.succeed(false), Effect.fail("no"), Effect.die("oops"), isAda]) {
        const { run, store, url } = yield* open({ authorize: authorize as typeof allowed.authorize })
        yield* run(getUser("a"))
        const headers = pageHeaders(yield* tokenOf(url))
        assert.strictEqual((yield* post(`${url}invalidate`, input, headers)).status, 403)
        assert.isTrue(yield* store.has("user:a"))
        if (authorize !== isAda) continue
        assert.strictEqual((yield* post(`${url}invalidate`, input, { ...headers, "x-user": "ada" })).status, 200)
        assert.isFalse(yield* store.has("user:a"))
      }
    })
  )

  it.scopedLive("requests of other sites, without the token, or as a form - are refused", () =>
    Effect.gen(function* () {
      const { run, store, url } = yield* open(allowed)
      yield* run(getUser("a"))
      const token = yield* tokenOf(url)
      const { "sec-fetch-site": _, ...others } = pageHeaders(token)
      const origin = new URL(url).origin
      for (const [headers, status] of [
        [{ ...others, "sec-fetch-site": "cross-site" }, 403],
        [{ ...others, "sec-fetch-site": "same-site" }, 403],
        [{ ...others, "sec-fetch-site": "none" }, 403],
        [{ ...others, "sec-fetch-site": "cross-site", origin }, 403],
        [{ ...others, origin: "https://evil.example" }, 403],
        [{ ...others, origin: "null" }, 403],
        [others, 403],
        [{ ...pageHeaders(""), origin }, 403],
        [pageHeaders(`${token.slice(0, -1)}!`), 403],
        [{ ...pageHeaders(token), "content-type": "application/x-www-form-urlencoded" }, 403],
        [{ ...pageHeaders(token), "content-type": "text/plain" }, 403]
      ] as const) {
        const answer = yield* post(`${url}invalidate`, input, headers)
        assert.strictEqual(answer.status, status, JSON.stringify(headers))
        assert.isTrue(yield* store.has("user:a"), JSON.stringify(headers))
      }
      assert.strictEqual((yield* get(`${url}invalidate`)).status, 404)
      assert.strictEqual((yield* post(`${url}invalidate`, input, { ...others, origin })).status, 200)
      assert.isFalse(yield* store.has("user:a"))
    })
  )

  it.scopedLive("a function - is found by its own name, in each version, and a row that is none is refused", () =>
    Effect.gen(function* () {
      const { run, store, url } = yield* open(allowed)
      const headers = pageHeaders(yield* tokenOf(url))
      const make = (i: number) =>
        Cached.ttl((id: number) => Effect.succeed(id), { key: `f${i}:{}`, name: `f ${i}`, ttl: "1 hour" })
      const versions = [1, 2].map((version) =>
        Cached.ttl((id: number) => Effect.succeed(id), { key: "v:{}", name: "v#", version, ttl: "1 hour" })
      )
      yield* run(Effect.forEach(versions, (read) => read(1)))
      yield* store.getOrSet("loaded", Effect.succeed(1), { ttl: "1 hour", name: "label" })
      yield* run(
        Effect.forEach(
          Array.from({ length: 260 }, (_, i) => make(i)),
          (read) => read(1)
        )
      )
      const [hello] = yield* messages(url, () => true)
      const rows = new Map(hello!.data.snapshot.caches.map((row: any) => [row.name, row.isFunction]))
      assert.deepStrictEqual(
        ["f 1", "v#", "label", "other"].map((name) => rows.get(name)),
        [true, true, false, false]
      )
      const invalidate = (name: string) => post(`${url}invalidate`, { kind: "function", name }, headers)
      for (const [name, message] of [
        ["other", "all functions that have no row"],
        ["label", "is not a function"],
        ["f 260", "No function of the name f 260"]
      ] as const) {
        const { json, status } = yield* invalidate(name)
        assert.strictEqual(status, 404)
        assert.include(json.message, message)
      }
      assert.isTrue(yield* store.has("f259:1"))
      assert.strictEqual((yield* invalidate("f 259")).status, 200)
      assert.deepStrictEqual([yield* store.has("f259:1"), yield* store.has("f258:1")], [false, true])
      assert.strictEqual((yield* invalidate("v#")).status, 200)
      for (const read of versions) assert.strictEqual((yield* run(read.explain(1))).reason, "cleared")
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))
  )

  it.scopedLive("key, tag and function - each invalidates what it says, and nothing else", () =>
    Effect.gen(function* () {
      const other = Cached.ttl((id: string) => Effect.succeed(id), { key: "other:{}", name: "other", ttl: "1 hour" })
      const { run, store, url } = yield* open(allowed)
      const headers = pageHeaders(yield* tokenOf(url))
      const fill = run(Effect.all([getUser("a"), getUser("b"), other("c")], { discard: true }))
      const left = Effect.map(store.getMany(["user:a", "user:b", "other:c"]), (all) => all.map(Option.isSome))
      for (const [kind, name, status, expected] of [
        ["key", "user:a", 200, [false, true, true]],
        ["tag", "mail:b", 200, [true, false, true]],
        ["function", "user", 200, [false, false, true]],
        ["function", "nobody", 404, [true, true, true]],
        ["function", "__proto__", 404, [true, true, true]],
        ["everything", "*", 400, [true, true, true]]
      ] as const) {
        yield* fill
        assert.strictEqual((yield* post(`${url}invalidate`, { kind, name }, headers)).status, status, `${kind} ${name}`)
        assert.deepStrictEqual(yield* left, [...expected], `${kind} ${name}`)
      }
    })
  )
})

describe("layer", () => {
  class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}

  it.scopedLive("mounts in a router of the program, with the store of a tag", () =>
    Effect.gen(function* () {
      const page = Dashboard.layer({ router: HttpRouter.Default, path: "/internal/cache", store: Sessions })
      const app = HttpRouter.Default.unwrap(HttpServer.serve()).pipe(
        Layer.provide(Layer.provideMerge(page, HttpRouter.Default.Live)),
        Layer.provideMerge(NodeHttpServer.layerTest),
        Layer.provide(Layer.scoped(Sessions, MemoryCache.make({ name: "sessions" })))
      )
      const { address } = Context.get(yield* Layer.build(app), HttpServer.HttpServer)
      if (address._tag !== "TcpAddress") return assert.fail(address._tag)
      const { status, text } = yield* get(`http://127.0.0.1:${address.port}/internal/cache/`)
      assert.strictEqual(status, 200)
      assert.include(text, "<h1>sessions</h1>")
    })
  )
})

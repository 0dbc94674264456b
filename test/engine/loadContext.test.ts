import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Equal, Scope } from "effect"
import { LoadScope, LoadServices } from "../../src/internal/engine/loads/loadContext.js"

class Db extends Context.Tag("test/Db")<Db, string>() {}
class Api extends Context.Tag("test/Api")<Api, string>() {}
class Extra extends Context.Tag("test/Extra")<Extra, string>() {}

const below = () => new Map([[Db.key, "db"] as const, [Api.key, "api"] as const])

const make = () => {
  const base = below()
  const own = new LoadScope()
  const services = new LoadServices(base, own)
  services.set(Api.key, "own")
  services.set(Extra.key, "extra")
  return { base, own, services }
}

const all = [
  [Api.key, "own"],
  [Db.key, "db"],
  [Extra.key, "extra"]
]

const sorted = (entries: Iterable<readonly [string, unknown]>) =>
  [...entries].map(([key, value]) => [key, value]).sort((a, b) => String(a[0]).localeCompare(String(b[0])))

describe("LoadServices", () => {
  it("one service - comes from the load itself, otherwise from the reader", () => {
    const { services } = make()
    assert.deepStrictEqual(
      [services.get(Api.key), services.get(Db.key), services.get(Extra.key)],
      ["own", "db", "extra"]
    )
    assert.isUndefined(services.get("test/None"))
    assert.deepStrictEqual(
      [services.has(Api.key), services.has(Db.key), services.has("test/None")],
      [true, true, false]
    )
  })

  const views: Record<string, (services: LoadServices) => Iterable<readonly [string, unknown]>> = {
    iteration: (services) => services,
    "new Map": (services) => new Map(services),
    entries: (services) => services.entries(),
    "keys and values": (services) => {
      const values = [...services.values()]
      return [...services.keys()].map((key, i) => [key, values[i]] as const)
    },
    forEach: (services) => {
      const seen: Array<readonly [string, unknown]> = []
      services.forEach((value, key) => {
        seen.push([key, value])
      })
      return seen
    }
  }
  for (const [name, view] of Object.entries(views)) {
    it(`all services - ${name} yields each of them once, the Scope included`, () => {
      const { own, services } = make()
      const seen = sorted(view(services))
      assert.deepStrictEqual(
        seen.filter(([key]) => key !== Scope.Scope.key),
        all
      )
      assert.strictEqual(seen.length, all.length + 1)
      assert.strictEqual(new Map(services).get(Scope.Scope.key), own.scope)
    })
  }

  it("all services - size counts each of them once", () => {
    assert.strictEqual(make().services.size, 4)
  })

  it("changes - stay in the load and do not reach the reader's services", () => {
    const { base, services } = make()
    services.delete(Db.key)
    services.set(Extra.key, "later")
    assert.isFalse(services.has(Db.key))
    assert.strictEqual(services.get(Extra.key), "later")
    assert.deepStrictEqual([...base], [...below()])
    const emptied = make()
    emptied.services.clear()
    assert.deepStrictEqual([emptied.services.size, emptied.services.get(Db.key)], [0, undefined])
    assert.strictEqual(emptied.base.size, 2)
  })

  it("nesting - a load in a load finds the services of both, without a chain of look-ups", () => {
    const { own, services } = make()
    const innerScope = new LoadScope()
    const inner = new LoadServices(services, innerScope)
    inner.set(Extra.key, "inner")
    assert.deepStrictEqual(
      [inner.get(Extra.key), inner.get(Api.key), inner.get(Db.key), services.get(Extra.key)],
      ["inner", "own", "db", "extra"]
    )
    assert.strictEqual(inner.get(Scope.Scope.key), innerScope.scope)
    assert.strictEqual(services.get(Scope.Scope.key), own.scope)
    assert.strictEqual(inner.size, 4)
    let deep = inner
    for (let i = 0; i < 100_000; i++) deep = new LoadServices(deep, innerScope)
    assert.strictEqual(deep.get(Db.key), "db")
  })

  it.effect("as a Context - Effect finds, adds, merges, provides and compares services as in any other", () =>
    Effect.gen(function* () {
      const { services } = make()
      const context = Context.unsafeMake<Db | Api | Extra>(services)
      assert.deepStrictEqual([Context.get(context, Db), Context.get(context, Api)], ["db", "own"])
      assert.deepStrictEqual(
        yield* Effect.all([Db, Api, Extra]).pipe(Effect.provideService(Db, "other"), Effect.provide(context)),
        ["other", "own", "extra"]
      )
      const plain = Context.unsafeMake<Db | Api | Extra>(new Map(services))
      assert.isTrue(Equal.equals(context, plain))
      const merged = Context.merge(context, Context.make(Db, "merged"))
      assert.deepStrictEqual([Context.get(merged, Db), Context.get(merged, Extra)], ["merged", "extra"])
      assert.isTrue(Context.getOption(Context.omit(Db)(context), Db)._tag === "None")
    })
  )
})

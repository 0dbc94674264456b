import { describe, expectTypeOf, it } from "@effect/vitest"
import type * as Brand from "effect/Brand"
import type * as Key from "../../src/Key.js"

type Problem<T extends string, Args extends ReadonlyArray<any>> = Key.KeyProblem<T, Args>
type UserId = string & Brand.Brand<"UserId">
type Age = number & Brand.Brand<"Age">
declare class User {
  readonly id: number
  get label(): string
  load(): void
}

/** Takes a template as the options do. */
declare const define: <Args extends ReadonlyArray<any>, const K extends string>(
  lookup: (...args: Args) => unknown,
  options: { readonly key: [Problem<K, Args>] extends [never] ? K : Problem<K, Args> }
) => K

describe("KeyProblem", () => {
  it("right - a static text, and texts that the compiler does not know", () => {
    expectTypeOf<Problem<"flags", []>>().toBeNever()
    expectTypeOf<Problem<"", []>>().toBeNever()
    expectTypeOf<Problem<string, []>>().toBeNever()
    expectTypeOf<Problem<`user:${string}`, []>>().toBeNever()
    expectTypeOf<Problem<`user:${number}`, []>>().toBeNever()
    expectTypeOf<Problem<"user:{}", any>>().toBeNever()
  })

  it("right - placeholders in order, by position, by name", () => {
    expectTypeOf<Problem<"user:{}", [number]>>().toBeNever()
    expectTypeOf<Problem<"{}", readonly [string]>>().toBeNever()
    expectTypeOf<Problem<"pair:{}:{}", [a: string, b: bigint]>>().toBeNever()
    expectTypeOf<Problem<"pair:{1}:{0}:{0}", [a: string, b: boolean]>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [id: number, options?: object]>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [id: number, ...rest: Array<object>]>>().toBeNever()
    expectTypeOf<Problem<"order:{userId}:{orderId}", [{ userId: number; orderId: string }]>>().toBeNever()
    expectTypeOf<Problem<"u:{id}/{label}", [User]>>().toBeNever()
    expectTypeOf<Problem<"u:{id}:{1}", [{ readonly id: number }, string]>>().toBeNever()
    expectTypeOf<Problem<"u:{id}", [{ id: string; [name: string]: unknown }]>>().toBeNever()
    expectTypeOf<Problem<"u:{id}", [{ kind: "a"; id: string } | { kind: "b"; id: string }]>>().toBeNever()
    expectTypeOf<Problem<"u:{user id}", [{ "user id": string }]>>().toBeNever()
  })

  it("right - types of one kind: unions of literals, boolean, brands", () => {
    expectTypeOf<Problem<"u:{}", ["a" | "b"]>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [1 | 2]>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [boolean]>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [UserId]>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [Age]>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [`v${number}`]>>().toBeNever()
    expectTypeOf<Problem<"u:{id}", [{ id: UserId }]>>().toBeNever()
  })

  it("right - literal braces", () => {
    expectTypeOf<Problem<"{{}}", []>>().toBeNever()
    expectTypeOf<Problem<"a{{0}}b", []>>().toBeNever()
    expectTypeOf<Problem<"{{{}}}", [number]>>().toBeNever()
    expectTypeOf<
      Problem<"{{{id}}}:{}", [{ id: 1 }]>
    >().toEqualTypeOf<"{} (number 1) is not a string, number, bigint or boolean: use a key function, or Key.hash">()
    expectTypeOf<Problem<"{}{{{1}", [string, string]>>().toBeNever()
  })

  it("wrong - a placeholder that names nothing", () => {
    expectTypeOf<Problem<"u:{}", []>>().toEqualTypeOf<"{} (number 1) names no argument of the lookup">()
    expectTypeOf<Problem<"u:{}:{}", [1]>>().toEqualTypeOf<"{} (number 2) names no argument of the lookup">()
    expectTypeOf<Problem<"u:{1}", [1]>>().toEqualTypeOf<"{1} names no argument of the lookup">()
    expectTypeOf<
      Problem<"u:{01}", [1, 2]>
    >().toEqualTypeOf<"{01} names a property, but the first argument is not a record">()
    expectTypeOf<Problem<"u:{id}", []>>().toEqualTypeOf<"{id} names no argument of the lookup">()
    expectTypeOf<
      Problem<"u:{userID}", [{ userId: number }]>
    >().toEqualTypeOf<"{userID} names no property of the first argument">()
    expectTypeOf<
      Problem<"u:{id}", [{ kind: "a"; id: string } | { kind: "b" }]>
    >().toEqualTypeOf<"{id} names no property of the first argument">()
    expectTypeOf<
      Problem<"u:{length}", [string]>
    >().toEqualTypeOf<"{length} names a property, but the first argument is not a record">()
    expectTypeOf<
      Problem<"u:{length}", [UserId]>
    >().toEqualTypeOf<"{length} names a property, but the first argument is not a record">()
    expectTypeOf<
      Problem<"u:{length}", [ReadonlyArray<string>]>
    >().toEqualTypeOf<"{length} names a property, but the first argument is not a record">()
    expectTypeOf<
      Problem<"u:{id}", [unknown]>
    >().toEqualTypeOf<"{id} names a property, but the first argument is not a record">()
    expectTypeOf<
      Problem<"u:{id}", [{ id: string } | undefined]>
    >().toEqualTypeOf<"{id} names a property, but the first argument is not a record">()
  })

  it("wrong - an argument that may be absent", () => {
    expectTypeOf<
      Problem<"u:{}", [id?: string]>
    >().toEqualTypeOf<"{} (number 1) names an argument that may be absent: use a key function">()
    expectTypeOf<
      Problem<"u:{0}", Array<string>>
    >().toEqualTypeOf<"{0} names an argument that may be absent: use a key function">()
    expectTypeOf<
      Problem<"u:{id}", [user?: { id: string }]>
    >().toEqualTypeOf<"{id} names an argument that may be absent: use a key function">()
    expectTypeOf<
      Problem<"u:{}", [string | undefined]>
    >().toEqualTypeOf<"{} (number 1) may be undefined: use a key function that says what that means">()
    expectTypeOf<
      Problem<"u:{}", [string | null]>
    >().toEqualTypeOf<"{} (number 1) may be null: use a key function that says what that means">()
    expectTypeOf<
      Problem<"u:{id}", [{ id?: string }]>
    >().toEqualTypeOf<"{id} may be undefined: use a key function that says what that means">()
    expectTypeOf<
      Problem<"u:{id}", [Record<string, string>]>
    >().toEqualTypeOf<"{id} comes from an index signature and may be absent: use a key function">()
  })

  it("wrong - a type that cannot be part of a key", () => {
    type No<L extends string> = `${L} is not a string, number, bigint or boolean: use a key function, or Key.hash`
    expectTypeOf<Problem<"u:{}", [Date]>>().toEqualTypeOf<No<"{} (number 1)">>()
    expectTypeOf<Problem<"u:{}", [unknown]>>().toEqualTypeOf<No<"{} (number 1)">>()
    expectTypeOf<Problem<"u:{}", [symbol]>>().toEqualTypeOf<No<"{} (number 1)">>()
    expectTypeOf<Problem<"u:{}", [{ id: string }]>>().toEqualTypeOf<No<"{} (number 1)">>()
    expectTypeOf<Problem<"u:{}", [string | Date]>>().toEqualTypeOf<No<"{} (number 1)">>()
    expectTypeOf<Problem<"u:{0}", [Array<string>]>>().toEqualTypeOf<No<"{0}">>()
    expectTypeOf<Problem<"u:{load}", [User]>>().toEqualTypeOf<No<"{load}">>()
    expectTypeOf<Problem<"u:{}", [any]>>().toEqualTypeOf<"{} (number 1) is any: give it a type">()
    expectTypeOf<Problem<"u:{id}", [{ id: any }]>>().toEqualTypeOf<"{id} is any: give it a type">()
    expectTypeOf<
      Problem<"u:{id}", [any]>
    >().toEqualTypeOf<"{id} names a property, but the first argument is any: give it a type">()
  })

  it("wrong - mixed types", () => {
    type Mixed<L extends string> = `${L} mixes types, so 1 and "1" would share a key: use a key function`
    expectTypeOf<Problem<"u:{}", [string | number]>>().toEqualTypeOf<Mixed<"{} (number 1)">>()
    expectTypeOf<Problem<"u:{}", [1 | "1"]>>().toEqualTypeOf<Mixed<"{} (number 1)">>()
    expectTypeOf<Problem<"u:{}", [number | bigint]>>().toEqualTypeOf<Mixed<"{} (number 1)">>()
    expectTypeOf<Problem<"u:{0}", [boolean | "true"]>>().toEqualTypeOf<Mixed<"{0}">>()
    expectTypeOf<Problem<"u:{id}", [{ id: string | number }]>>().toEqualTypeOf<Mixed<"{id}">>()
    expectTypeOf<Problem<"u:{id}", [{ id: string } | { id: number }]>>().toEqualTypeOf<Mixed<"{id}">>()
  })

  it("wrong - adjacent placeholders, or one followed by a character that an escape may contain", () => {
    expectTypeOf<
      Problem<"{}{}", [1, 2]>
    >().toEqualTypeOf<'{} (number 1) and {} are adjacent: put a text such as ":" between them'>()
    expectTypeOf<
      Problem<"{a}{b}", [{ a: 1; b: 2 }]>
    >().toEqualTypeOf<'{a} and {b} are adjacent: put a text such as ":" between them'>()
    type Followed<
      L extends string,
      C extends string
    > = `${L} is followed by ${C}: begin that text with a character that is not a letter, a digit or %`
    expectTypeOf<Problem<"{}a", [1]>>().toEqualTypeOf<Followed<"{} (number 1)", "a">>()
    expectTypeOf<Problem<"{}:{}Z{}", [1, 2, 3]>>().toEqualTypeOf<Followed<"{} (number 2)", "Z">>()
    expectTypeOf<Problem<"{0}7", [1]>>().toEqualTypeOf<Followed<"{0}", "7">>()
    expectTypeOf<Problem<"{id}%", [{ id: 1 }]>>().toEqualTypeOf<Followed<"{id}", "%">>()
    expectTypeOf<Problem<"{id}é", [{ id: 1 }]>>().toEqualTypeOf<Followed<"{id}", "é">>()
    expectTypeOf<Problem<"{0} {0}-{0}_{0}·{0}💩{0}", [1]>>().toBeNever()
  })

  it("wrong - braces", () => {
    type Never<P extends string> = `${P} is never closed: write {{ for a literal brace`
    type Lone = "a lone } in the template: write }} for a literal brace"
    expectTypeOf<Problem<"u:{", [1]>>().toEqualTypeOf<Never<"{">>()
    expectTypeOf<Problem<"u:{id", [1]>>().toEqualTypeOf<Never<"{id">>()
    expectTypeOf<Problem<"u:{a{b}", [1]>>().toEqualTypeOf<Never<"{a{b">>()
    expectTypeOf<Problem<"u:}", [1]>>().toEqualTypeOf<Lone>()
    expectTypeOf<Problem<"u:{}}", [1]>>().toEqualTypeOf<Lone>()
    expectTypeOf<Problem<"u:}}}", [1]>>().toEqualTypeOf<Lone>()
    expectTypeOf<Problem<"{{}", []>>().toEqualTypeOf<Lone>()
    expectTypeOf<Problem<"}:{}", [1]>>().toEqualTypeOf<Lone>()
  })

  it("wrong - the first problem is reported", () => {
    expectTypeOf<
      Problem<"{}:{x}:{9}", [Date]>
    >().toEqualTypeOf<"{} (number 1) is not a string, number, bigint or boolean: use a key function, or Key.hash">()
  })

  it("long templates - sixty placeholders compile", () => {
    type Ten = "{0}:{0}:{0}:{0}:{0}:{0}:{0}:{0}:{0}:{0}:"
    expectTypeOf<Problem<`${Ten}${Ten}${Ten}${Ten}${Ten}${Ten}`, [1]>>().toBeNever()
    expectTypeOf<
      Problem<`${Ten}${Ten}${Ten}${Ten}${Ten}${Ten}{1}`, [1]>
    >().toEqualTypeOf<"{1} names no argument of the lookup">()
  })

  it("as an option - the template is inferred, and the error is on `key`", () => {
    expectTypeOf(define((_: number) => 1, { key: "user:{}" })).toEqualTypeOf<"user:{}">()
    expectTypeOf(define((_: { readonly id: number }) => 1, { key: "user:{id}" })).toEqualTypeOf<"user:{id}">()
    define((_: { readonly userId: number }) => 1, {
      // @ts-expect-error "{userID} names no property of the first argument"
      key: "user:{userID}"
    })
    define((_: string | number) => 1, {
      // @ts-expect-error "{} (number 1) mixes types …"
      key: "user:{}"
    })
  })
})

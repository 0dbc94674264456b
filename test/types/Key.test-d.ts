import { describe, expectTypeOf, it } from "@effect/vitest"
import type * as Brand from "effect/Brand"
import * as Data from "effect/Data"
import * as PrimaryKey from "effect/PrimaryKey"
import * as Schema from "effect/Schema"
import type * as Key from "../../src/Key.js"

type Problem<T extends string, Args extends ReadonlyArray<any>, Ignored = never> = Key.KeyProblem<T, Args, Ignored>
type Mention<L extends string> = `${L} is not part of the key: mention it, or list it in \`ignore\``
type Function<
  L extends string,
  It extends string | number = "it"
> = `${L}: use a key function, or list ${It} in \`ignore\` (Key.part and Key.hash make the texts of a key function)`
type UseFunction<L extends string> = Function<`${L} is not part of the key`>
type Index = Function<"argument 0 has an index signature, so there may be more of it than the key says", 0>
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
    expectTypeOf<Problem<"order:{userId}:{orderId}", [{ userId: number; orderId: string }]>>().toBeNever()
    expectTypeOf<Problem<"u:{id}/{label}", [User]>>().toBeNever()
    expectTypeOf<Problem<"u:{id}:{1}", [{ readonly id: number }, string]>>().toBeNever()
    expectTypeOf<Problem<"u:{kind}:{id}", [{ kind: "a"; id: string } | { kind: "b"; id: string }]>>().toBeNever()
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

  it("every argument counts - positions", () => {
    expectTypeOf<Problem<"u", [id: number]>>().toEqualTypeOf<Mention<"argument 0">>()
    expectTypeOf<Problem<"u:{1}", [tenant: string, id: number]>>().toEqualTypeOf<Mention<"argument 0">>()
    expectTypeOf<Problem<"u:{1}", readonly [tenant: string, id: number]>>().toEqualTypeOf<Mention<"argument 0">>()
    expectTypeOf<Problem<"u:{}", [tenant: string, id: number]>>().toEqualTypeOf<Mention<"argument 1">>()
    expectTypeOf<Problem<"u:{}", [tenant: string, id: number, at: Date]>>().toEqualTypeOf<Mention<"argument 1">>()
    expectTypeOf<Problem<"u:{}:{}", [string, number, at: Date]>>().toEqualTypeOf<UseFunction<"argument 2">>()
    expectTypeOf<Problem<"u:{}", [string, { id: string }]>>().toEqualTypeOf<UseFunction<"argument 1">>()
    expectTypeOf<Problem<"u:{}", [string, string | number]>>().toEqualTypeOf<UseFunction<"argument 1">>()
    expectTypeOf<Problem<"u:{}", [string, (user: User) => string]>>().toEqualTypeOf<UseFunction<"argument 1">>()
    expectTypeOf<Problem<"u", [any]>>().toEqualTypeOf<UseFunction<"argument 0">>()
    expectTypeOf<Problem<"u", [unknown]>>().toEqualTypeOf<UseFunction<"argument 0">>()
    expectTypeOf<Problem<"u", [ReadonlyArray<string>]>>().toEqualTypeOf<UseFunction<"argument 0">>()
    expectTypeOf<
      Problem<"u", [{ id: string }]>
    >().toEqualTypeOf<"argument 0 is not part of the key: mention its properties, or list it in `ignore`">()
    expectTypeOf<Problem<"u", [{ load(): void }]>>().toEqualTypeOf<UseFunction<"argument 0">>()
    expectTypeOf<Problem<"a:{}" | "b", [id: number]>>().toEqualTypeOf<Mention<"argument 0">>()
  })

  it("every argument counts - optional and rest arguments", () => {
    expectTypeOf<Problem<"u:{}", [id: number, page?: number]>>().toEqualTypeOf<UseFunction<"argument 1">>()
    type Rest = Function<"arguments from 1 on are not part of the key", 1>
    expectTypeOf<Problem<"u:{}", [id: number, ...rest: Array<number>]>>().toEqualTypeOf<Rest>()
    expectTypeOf<Problem<"u", Array<number>>>().toEqualTypeOf<
      Function<"arguments from 0 on are not part of the key", 0>
    >()
  })

  it("every argument counts - properties of a record", () => {
    type Order = {
      readonly userId: string
      readonly orderId: number
      readonly at: Date
      readonly note?: string
      readonly total: any
    }
    expectTypeOf<Problem<"o:{userId}", [Order]>>().toEqualTypeOf<
      Mention<"{orderId}"> | UseFunction<"{at}"> | UseFunction<"{note}"> | UseFunction<"{total}">
    >()
    expectTypeOf<Problem<"u:{id}", [User]>>().toEqualTypeOf<Mention<"{label}">>()
    expectTypeOf<Problem<"o:{id}", [{ id: 2; kind: 1 } | { id: 3; kind: 2 }]>>().toEqualTypeOf<Mention<"{kind}">>()
    expectTypeOf<
      Problem<"o:{id}:{kind}", [{ kind: "a"; id: number } | { kind: "b"; id: number; x: 1 }]>
    >().toEqualTypeOf<UseFunction<"{x}">>()
    expectTypeOf<Problem<"o:{id}", [{ id: string; [name: string]: unknown }]>>().toEqualTypeOf<Index>()
    expectTypeOf<Problem<"o:{id}", [{ id: string; [name: `x-${string}`]: string }]>>().toEqualTypeOf<Index>()
    expectTypeOf<Problem<"o:{id}", [{ id: string }, number]>>().toEqualTypeOf<Mention<"argument 1">>()
  })

  it("every argument counts - except what cannot tell two calls apart", () => {
    expectTypeOf<Problem<"u:{1}", [kind: "user", id: number]>>().toBeNever()
    expectTypeOf<Problem<"u:{1}", [kind: null, id: number]>>().toBeNever()
    expectTypeOf<Problem<"u:{1}", [kind: true, id: number]>>().toBeNever()
    expectTypeOf<Problem<"u", [nothing: void]>>().toBeNever()
    expectTypeOf<Problem<"u:{id}", [{ readonly _tag: "User"; id: number }]>>().toBeNever()
    expectTypeOf<Problem<"u:{1}", [kind: boolean, id: number]>>().toEqualTypeOf<Mention<"argument 0">>()
    expectTypeOf<Problem<"u:{1}", [kind: `v${number}`, id: number]>>().toEqualTypeOf<Mention<"argument 0">>()
    expectTypeOf<Problem<"u", [UserId]>>().toEqualTypeOf<Mention<"argument 0">>()
    // symbols
    expectTypeOf<Problem<"u:{id}", [{ id: string } & Brand.Brand<"User">]>>().toBeNever()
    // methods, but not properties that are functions with parameters
    type Methods = {
      id: string
      run(): void
      add(x: number): string
      map<B>(f: (a: string) => B): Array<B>
      readonly now: () => Date
      readonly select: (x: number) => string
    }
    expectTypeOf<Problem<"u:{id}", [Methods]>>().toEqualTypeOf<UseFunction<"{select}">>()
    expectTypeOf<Problem<"u:{id}", [Readonly<Omit<Methods, "select">>]>>().toBeNever()
  })

  it("every argument counts - classes", () => {
    class Point extends Data.Class<{ readonly x: number; readonly y: number }> {
      get length() {
        return Math.hypot(this.x, this.y)
      }
    }
    class Place extends Schema.TaggedClass<Place>()("Place", { x: Schema.Number, y: Schema.String }) {}
    expectTypeOf<Problem<"p:{x}", [Point]>>().toEqualTypeOf<Mention<"{y}"> | Mention<"{length}">>()
    expectTypeOf<Problem<"p:{x}", [Place]>>().toEqualTypeOf<Mention<"{y}">>()
    expectTypeOf<Problem<"p:{x}:{y}", [Place]>>().toBeNever()
  })

  it("a PrimaryKey - stands for the whole argument", () => {
    class GetUser extends Schema.TaggedRequest<GetUser>()("GetUser", {
      failure: Schema.Never,
      success: Schema.String,
      payload: { id: Schema.String }
    }) {
      [PrimaryKey.symbol]() {
        return this.id
      }
    }
    class GetTeam extends GetUser {
      readonly team = 1
    }
    expectTypeOf<Problem<"u:{}", [GetUser]>>().toBeNever()
    expectTypeOf<Problem<"u:{id}", [GetUser]>>().toBeNever()
    expectTypeOf<Problem<"u", [GetUser]>>().toEqualTypeOf<Mention<"argument 0">>()
    type Mixed = '{} (number 1) mixes types, so 1 and "1" would share a key: use a key function'
    expectTypeOf<Problem<"u:{}", [GetUser | string]>>().toEqualTypeOf<Mixed>()
    expectTypeOf<Problem<"u:{}", [GetUser | (PrimaryKey.PrimaryKey & { readonly other: 1 })]>>().toEqualTypeOf<Mixed>()
    expectTypeOf<Problem<"u:{}", [GetTeam]>>().toBeNever()
  })

  it("ignored - counts as mentioned", () => {
    expectTypeOf<Problem<"u", [id: number], 0>>().toBeNever()
    expectTypeOf<Problem<"u:{1}", [tenant: string, id: number], 0>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [id: number, page?: number], 1>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [id: number, ...rest: Array<number>], 1>>().toBeNever()
    expectTypeOf<Problem<"u:{id}", [{ id: string; at: Date }], "at">>().toBeNever()
    expectTypeOf<Problem<"u:{id}", [{ id: string; at: Date }], 0>>().toBeNever()
    expectTypeOf<Problem<"u:{id}", [{ id: string; [name: string]: unknown }], 0>>().toBeNever()
    expectTypeOf<Problem<"u:{}", [string, number, Date], 2>>().toEqualTypeOf<Mention<"argument 1">>()
    expectTypeOf<Problem<"u:{id}", [{ id: string; at: Date }, number], 0>>().toEqualTypeOf<Mention<"argument 1">>()
  })

  it("the name of the argument - stands beside the message", () => {
    type Told<T extends string, Args extends ReadonlyArray<any>> = Key.WithArgument<Problem<T, Args>, Args>
    type Named<M extends string, Args extends ReadonlyArray<any>> = M & Key.Argument<Args>
    expectTypeOf<Told<"u:{1}", [tenant: string, id: number]>>().toEqualTypeOf<
      Named<Mention<"argument 0">, [tenant: string]>
    >("" as never)
    expectTypeOf<Told<"u:{}", [tenant: string, page?: number]>>().toEqualTypeOf<
      Named<UseFunction<"argument 1">, [page: number]>
    >("" as never)
    expectTypeOf<Told<"u:{}", [id: number]>>().toBeNever()
  })

  it("Ignorable - what the template leaves out", () => {
    expectTypeOf<Key.Ignorable<"u:{}", [tenant: string, id: number]>>().toEqualTypeOf<1>()
    expectTypeOf<Key.Ignorable<"u:{1}", [string, id?: number, ...more: Array<string>]>>().toEqualTypeOf<0 | 2>()
    expectTypeOf<Key.Ignorable<"u:{a}", [{ a: string; b: number; f(): void }, 1]>>().toEqualTypeOf<0 | 1 | "b">()
    expectTypeOf<Key.Ignorable<string, [a: string]>>().toEqualTypeOf<0>()
    expectTypeOf<
      Key.Ignorable<"u", []>
    >().toEqualTypeOf<"every argument is part of the key: there is nothing to ignore">()
    expectTypeOf<
      Key.Ignorable<() => string, [string]>
    >().toEqualTypeOf<"a key function decides what counts: there is nothing to ignore">()
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

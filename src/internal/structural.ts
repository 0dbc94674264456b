/**
 * Recognizes the values that `Data` makes, and views that are nothing but their elements. What `Data` makes has no type
 * id: it differs from plain data by its prototype.
 */
import * as Data from "effect/Data"
import * as Equal from "effect/Equal"

/** The prototype of `Data.struct`, `Data.case`, `Data.tagged` and tagged enums. */
export const structPrototype: object = /*#__PURE__*/ Object.getPrototypeOf(/*#__PURE__*/ Data.struct({}))

/** The prototype of `Data.array` and `Data.tuple`. */
export const arrayPrototype: object = /*#__PURE__*/ Object.getPrototypeOf(/*#__PURE__*/ Data.array([]))

const equalsStruct = /*#__PURE__*/ Reflect.get(structPrototype, Equal.symbol)

/** Whether `Equal.equals` compares a value by its own enumerable properties, as it does for `Data` and `Schema.Class`. */
export const isStructural = (value: object): boolean => Reflect.get(value, Equal.symbol) === equalsStruct

/** The most elements of a view that are listed in order to find other properties. Listing takes longer than reading. */
const maxListed = 1024

/**
 * Whether a typed array or a `DataView` has no properties besides its elements. In one of more than 1 024 elements only
 * symbols are looked for.
 */
export const hasOnlyElements = (view: ArrayBufferView): boolean => {
  const { length = 0 } = view as { readonly length?: number }
  return (
    Object.getOwnPropertySymbols(view).length === 0 &&
    (length > maxListed || Object.getOwnPropertyNames(view).length <= length)
  )
}

/**
 * Recognizes the values that `Data` makes. They have no type id: they differ from plain data by their prototypes.
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

/**
 * What a stored failure is to a reader that does not take it: absent, with a stamp, so that it can be written over.
 */
import { SerializerError } from "../../CacheError.js"

const detail = "is a stored failure, which only its own function reads"

/** The stored failure with a stamp, for a reader that does not take it. */
export const at = (stamp: number): SerializerError =>
  new SerializerError({ reason: "Decode", path: "envelope", detail, stamp })

/** Whether something that could not be read is a stored failure. That is no fault of the bytes. */
export const isFor = (error: SerializerError): boolean => error.path === "envelope" && error.detail === detail

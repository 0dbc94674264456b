/** Law 7 (every value comes back equal, or is not stored), for random values and every serializer. */
import { describe, it } from "@effect/vitest"
import { Serializer } from "../../src/index.js"
import { msgpack } from "../../src/MsgpackSerializer.js"
import { compressed, v8 } from "../../src/NodeSerializer.js"
import { equalOrRefused } from "../support/serializers.js"
import { holds, limit } from "./fuzz.js"
import { value } from "./values.js"

const serializers = {
  lossless: Serializer.lossless,
  msgpack,
  v8,
  "gzip of lossless": compressed(Serializer.lossless, { algorithm: "gzip", threshold: 10 }),
  "brotli of v8": compressed(v8, { algorithm: "brotli", threshold: 10 })
}

describe("round trips of random values", () => {
  for (const [name, serializer] of Object.entries(serializers)) {
    it(`law 7: every value comes back equal, or is not stored - ${name}`, { timeout: limit }, () =>
      holds(value, (value) => equalOrRefused(serializer, value))
    )
  }
})

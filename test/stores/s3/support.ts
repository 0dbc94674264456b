/**
 * Stores on the gateway that `rgwSetup.ts` has started.
 */
import { S3Client } from "@aws-sdk/client-s3"
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import * as S3Cache from "../../../src/S3Cache.js"
import type { StoreUnderTest } from "../../laws/support.js"
import * as Rgw from "../../support/rgw.js"

let count = 0

/** A prefix that no other test uses. */
export const freshPrefix = (): string => `t${process.pid}-${++count}/`

export const port = inject("s3Port")

/** The options of a store that reaches the gateway directly, or through a proxy. */
export const optionsOf = (prefix: string, to = port) => ({
  bucket: Rgw.bucket,
  prefix,
  client: Rgw.clientConfig(to)
})

export const store: StoreUnderTest = {
  name: "s3",
  layer: Layer.unwrapEffect(Effect.sync(() => S3Cache.layer(optionsOf(freshPrefix())))),
  remote: true
}

/** A client to look at the objects in the bucket. */
export const plain = new S3Client(Rgw.clientConfig(port))

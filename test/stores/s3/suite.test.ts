import { PutObjectCommand } from "@aws-sdk/client-s3"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { nameOf } from "../../../src/internal/backends/object/format.js"
import * as S3Cache from "../../../src/S3Cache.js"
import { CacheStoreSuite } from "../../../src/testing.js"
import * as Rgw from "../../support/rgw.js"
import { freshPrefix, optionsOf, plain } from "./support.js"

CacheStoreSuite.run(
  "S3Cache",
  {
    medium: Effect.sync(() => {
      const prefix = freshPrefix()
      return {
        backend: S3Cache.backend(optionsOf(prefix)),
        corrupt: (key: string) =>
          Effect.promise(() =>
            plain.send(
              new PutObjectCommand({ Bucket: Rgw.bucket, Key: `${prefix}entries/${nameOf(key)}`, Body: "broken" })
            )
          )
      }
    }),
    // The gateway answers some hundred requests a second, and all cases run at once.
    timeout: "1 minute"
  },
  { describe: describe.concurrent, it }
)

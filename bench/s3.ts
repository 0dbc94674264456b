/**
 * What do 100 keys in S3 cost, read at once and one after the other, beside the client alone? This benchmark starts its own
 * gateway and runs by itself: `npx tsx --tsconfig bench/tsconfig.json bench/s3.ts`, after `npm run build`.
 */
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, ManagedRuntime, Option } from "effect"
import { CacheStore } from "effect-cached"
import * as S3Cache from "effect-cached/S3Cache"
import * as Rgw from "../test/support/rgw.js"
import * as TcpProxy from "../test/support/tcpProxy.js"
import { type Contender, check, type Group, report } from "./support/harness.js"

const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)

/** The milliseconds that every answer is delayed, as within a region. */
const distance = 10

const value = "x".repeat(700)

const groupOn = (port: number): Group & { readonly close: Effect.Effect<void> } => {
  const client = new S3Client(Rgw.clientConfig(port))
  const runtime = ManagedRuntime.make(S3Cache.layer({ bucket: Rgw.bucket, client: Rgw.clientConfig(port) }))
  const run = <A>(effect: Effect.Effect<A, never, CacheStore>) => Effect.promise(() => runtime.runPromise(effect))
  const store = <A>(use: (store: CacheStore.Service) => Effect.Effect<A>) => run(Effect.flatMap(CacheStore, use))
  const isThere = (found: Option.Option<unknown>) => check("the value", Option.getOrUndefined(found) === value, true)

  const contender = (name: string, all: Effect.Effect<void>, fill: Effect.Effect<unknown>): Contender => ({
    name,
    operations: keys.length,
    run: Effect.as(fill, all)
  })
  const bare = Effect.promise(async () => {
    for (const key of keys) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: Rgw.bucket, Key: `bare/${key}` }))
      if ((await Body!.transformToString()) !== value) throw new Error(`${key} has another value than the one written`)
    }
  })
  const fill = store((all) =>
    all.setMany(
      keys.map((key) => [key, value] as const),
      { ttl: "1 hour" }
    )
  )
  return {
    title: `100 values of 700 bytes in S3, ${distance} ms away`,
    floor: "GetObject, one after the other",
    clock: "wall",
    rounds: 5,
    contenders: [
      contender(
        "GetObject, one after the other",
        bare,
        Effect.promise(() =>
          Promise.all(
            keys.map((key) =>
              client.send(new PutObjectCommand({ Bucket: Rgw.bucket, Key: `bare/${key}`, Body: value }))
            )
          )
        )
      ),
      contender(
        "store.get, one after the other",
        store((all) => Effect.forEach(keys, (key) => Effect.flatMap(all.get(key), isThere), { discard: true })),
        fill
      ),
      contender(
        "store.getMany",
        store((all) => Effect.flatMap(all.getMany(keys), (found) => Effect.forEach(found, isThere, { discard: true }))),
        fill
      )
    ],
    close: Effect.promise(async () => {
      client.destroy()
      await runtime.dispose()
    })
  }
}

const gateway = Effect.acquireRelease(Effect.promise(Rgw.start), ({ stop }) => Effect.promise(stop))

NodeRuntime.runMain(
  Effect.scoped(
    Effect.gen(function* () {
      const { port } = yield* gateway
      const proxy = yield* TcpProxy.make(port)
      yield* proxy.latency(distance)
      const group = groupOn(proxy.port)
      yield* report(group)
      yield* group.close
    })
  )
)

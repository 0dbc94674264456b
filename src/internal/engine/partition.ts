/**
 * The partition of a read: the tenant whose entries it concerns.
 *
 * It comes from the context of the reader and goes with the arguments of the read, as a property of their list. So the
 * callbacks of the user, which take the arguments one by one, do not see it, and whatever keeps the arguments of a read
 * keeps its partition.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"

type Args = ReadonlyArray<unknown>

/** `any`, because a tag is invariant. */
type AnyTag = Context.Tag<any, any>

export class Partition {
  readonly text: string
  /** The text as the first part of a key: escaped, with the colon that ends it. */
  readonly prefix: string
  private readonly tag: AnyTag
  private readonly service: unknown

  constructor(text: string, prefix: string, tag: AnyTag, service: unknown) {
    this.text = text
    this.prefix = prefix
    this.tag = tag
    this.service = service
  }

  /** Gives an effect the service that the partition was taken from, which captured services do not contain. */
  provide<A>(effect: Effect.Effect<A, unknown, unknown>): Effect.Effect<A, unknown, unknown> {
    return Effect.withFiberRuntime((fiber) =>
      fiber.currentContext.unsafeMap.get(this.tag.key) === this.service
        ? effect
        : Effect.provideService(effect, this.tag, this.service)
    )
  }
}

interface PartitionedArgs extends Array<unknown> {
  partition?: Partition
}

/** The same arguments, in a partition. */
export const withPartition = (args: Args, partition: Partition): Args => {
  const partitioned: PartitionedArgs = args.slice()
  partitioned.partition = partition
  return partitioned
}

/** The partition of arguments that have one. */
export const partitionOf = (args: Args): Partition => {
  const { partition } = args as PartitionedArgs
  if (partition === undefined) throw new Error("the arguments of a partitioned function have no partition")
  return partition
}

/** Gives an effect the service of the partition of arguments, if they have one. */
export const provideFor = <A>(
  args: Args,
  effect: Effect.Effect<A, unknown, unknown>
): Effect.Effect<A, unknown, unknown> => (args as PartitionedArgs).partition?.provide(effect) ?? effect

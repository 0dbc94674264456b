/**
 * Partitioned functions: cached effects and functions whose entries belong to a tenant, which is a service of the
 * reader.
 *
 * `any` stands in the bounds of types, and for the service of a tag, which is invariant.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { InvalidOption, KeyError } from "../../CacheError.js"
import type { Args, Batching, Captured, LookupFunction } from "../engine/definition.js"
import { Partition, partitionOf, withPartition } from "../engine/partition.js"
import { encoder } from "../keyTemplate.js"
import { kindOf } from "../kindOf.js"
import { asEffect, asFunction, type LifetimesFrom, Spec, type SpecOptions } from "./cached.js"
import type { Lookup } from "./lookup.js"

/** A tag whose service is a text. */
type TextTag<P, V> = [V] extends [string]
  ? Context.Tag<P, V>
  : "the service of this tag is no string: pass [Tag, (service) => string]"

/**
 * The option of every policy that makes a function partitioned. `P` is the identifier of the tag, `V` its service.
 *
 * @category models
 * @since 0.2.0
 */
export interface PartitionOption<P, V> {
  /**
   * The tenant: a tag whose service is a string, or a tag and a function that makes a string of its service. It is read
   * from the context of the reader, and is the first part of the key: tenants share neither entries nor loads. The tag
   * stays in the requirements, also after `Cached.capture`. `clear` and tags concern all tenants. Default: none, all
   * readers share the entries.
   */
  readonly partition?: TextTag<P, V> | readonly [tag: Context.Tag<P, V>, part: (service: V) => string] | undefined
}

interface Decoded {
  readonly tag: Context.Tag<any, any>
  readonly part: ((service: unknown) => unknown) | undefined
  readonly encode: (text: unknown) => string
}

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** The specification of a partitioned function. Its arguments go with the partition of the fiber that reads. */
class PartitionedSpec extends Spec {
  private decoded: Decoded | undefined = undefined
  /** The latest partition whose service is a text. An object may belong to a request, and is not kept. */
  private latest: { readonly service: string; readonly partition: Partition } | undefined = undefined

  override capturedAt(captured: Captured): Spec {
    return this.env === undefined
      ? new PartitionedSpec(this.lookup, this.options, this.lifetimesFrom, this.storeKey, captured)
      : this
  }

  override get ownMembers(): object {
    return { partition: Effect.withFiberRuntime<string>((fiber) => Effect.succeed(this.partitionIn(fiber).text)) }
  }

  override argsOf(fiber: AnyFiber, args: Args): Args {
    return withPartition(args, this.partitionIn(fiber))
  }

  override key(args: Args): Effect.Effect<string> {
    return Effect.withFiberRuntime((fiber) => Effect.succeed(this.physicalKey(this.argsOf(fiber, args))))
  }

  override physicalKey(args: Args): string {
    return partitionOf(args).prefix + super.physicalKey(args)
  }

  override read(fiber: AnyFiber, args: Args): Effect.Effect<unknown, unknown, unknown> {
    return super.read(fiber, this.argsOf(fiber, args))
  }

  override readOne(fiber: AnyFiber, arg: unknown): Effect.Effect<unknown, unknown, unknown> {
    return this.read(fiber, [arg])
  }

  /** The partition of what runs in a fiber. */
  private partitionIn(fiber: AnyFiber): Partition {
    this.decoded ??= this.decode()
    const { encode, part, tag } = this.decoded
    const service = fiber.currentContext.unsafeMap.get(tag.key)
    const { latest } = this
    if (latest !== undefined && latest.service === service) return latest.partition
    if (service === undefined) {
      throw new Error(
        `Service not found: ${tag.key}: the entries of ${this.name} are partitioned by it. Provide it around the read`
      )
    }
    const text = part === undefined ? service : this.made(part, service)
    if (typeof text !== "string") {
      throw new KeyError({ template: this.name, detail: `its partition is ${kindOf(text)} instead of a string` })
    }
    const partition = new Partition(text, `${encode(text)}:`, tag, service)
    if (typeof service === "string") this.latest = { service, partition }
    return partition
  }

  private made(part: (service: unknown) => unknown, service: unknown): unknown {
    try {
      return part(service)
    } catch (cause) {
      throw new KeyError({ template: this.name, detail: "the function of its partition threw", cause })
    }
  }

  /** Decodes the option. The types refuse what is refused here: a program in JavaScript may pass anything. */
  private decode(): Decoded {
    const { partition: option } = this.options
    const [tag, part]: ReadonlyArray<any> = Array.isArray(option) ? option : [option]
    if (!Context.isTag(tag) || (Array.isArray(option) && typeof part !== "function")) {
      throw new InvalidOption({
        option: "partition",
        of: this.name,
        detail: "is neither a tag nor a list of a tag and a function"
      })
    }
    return { tag, part, encode: encoder(this.name, "the partition", ":") }
  }

  /** A load gets the service of its reader, beside what was captured. */
  protected override loadOf(batching: Batching | undefined): (args: Args) => Effect.Effect<unknown, unknown, unknown> {
    if (batching !== undefined) return (args) => this.ask(batching, args[0], partitionOf(args))
    const { lookup } = this
    if (Effect.isEffect(lookup)) return (args) => partitionOf(args).provide(lookup)
    const call = lookup as LookupFunction
    return (args) => partitionOf(args).provide(call(...args))
  }
}

/** Makes the specification of a function, which is partitioned if its options say so. */
export const makeSpec = (lookup: Lookup, options: SpecOptions, lifetimesFrom: LifetimesFrom, storeKey: string): Spec =>
  options.partition === undefined
    ? new Spec(lookup, options, lifetimesFrom, storeKey, undefined)
    : new PartitionedSpec(lookup, options, lifetimesFrom, storeKey, undefined)

/** Makes the cached effect or function of a lookup. */
export const wrap = (lookup: Lookup, options: SpecOptions, lifetimesFrom: LifetimesFrom, storeKey: string) => {
  const spec = makeSpec(lookup, options, lifetimesFrom, storeKey)
  // asks for an Effect first: a Tag is both a class and an effect
  return Effect.isEffect(lookup) ? asEffect(spec) : asFunction(spec)
}

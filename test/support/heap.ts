/** The memory of this process. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")

/** Collects everything that nothing refers to. */
export const collect = runInNewContext("gc") as () => void

/** The bytes of all objects and array buffers, after a collection. */
export const usedBytes = (): number => {
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/**
 * The hash of a key that eviction works with: FNV-1a over the UTF-16 units, from a seed, with the finish of MurmurHash3.
 * Its value says which keys are simulated (`tuner.ts`) and which counters of the sketch are theirs (`sketch.ts`), so the
 * seed is random in each process: whoever can choose keys cannot steer the choice. Equal hashes of two keys cost hits,
 * never correctness.
 */
export const hashOf = (key: string, seed: number): number => {
  let hash = seed ^ 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

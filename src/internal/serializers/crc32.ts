/**
 * CRC-32, as in zlib and PNG. It finds damage, not forgery.
 */

/** The remainder of each byte. Made when first needed. */
let table: Uint32Array | undefined

const makeTable = (): Uint32Array =>
  Uint32Array.from({ length: 256 }, (_, byte) => {
    let rest = byte
    for (let bit = 0; bit < 8; bit++) rest = (rest >>> 1) ^ (rest & 1 ? 0xedb88320 : 0)
    return rest
  })

/** The checksum of the bytes between two positions, after those with the checksum `before`. */
export const crc32 = (bytes: Uint8Array, from: number, to: number, before = 0): number => {
  table ??= makeTable()
  let rest = ~before
  for (let i = from; i < to; i++) rest = (rest >>> 8) ^ table[(rest ^ bytes[i]!) & 0xff]!
  return ~rest >>> 0
}

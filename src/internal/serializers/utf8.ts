/**
 * UTF-8. `TextEncoder` and `TextDecoder` are present in every runtime, but in none of the type libraries that this
 * package compiles against (neither DOM nor Node), so they are declared here.
 */
declare const TextEncoder: {
  new (): {
    readonly encode: (text: string) => Uint8Array
    readonly encodeInto: (text: string, target: Uint8Array) => { readonly written: number }
  }
}
declare const TextDecoder: {
  new (
    label: string,
    options: { readonly fatal: boolean; readonly ignoreBOM: boolean }
  ): { readonly decode: (bytes: Uint8Array) => string }
}

export const encoder = /*#__PURE__*/ new TextEncoder()

/** A strict decoder: it throws on bytes that are not UTF-8, and keeps a leading byte order mark as a character. */
export const decoder = /*#__PURE__*/ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

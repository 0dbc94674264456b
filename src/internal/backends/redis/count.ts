/**
 * The count that orders the writes of all processes, as this process knows it. The scripts raise it in the server; every
 * answer shows it.
 */

/** The count in the text of its key, which holds further numbers. `undefined` if the key is missing or broken. */
export const parseCount = (text: string | undefined): number | undefined => {
  const count = Number.parseFloat(text ?? "")
  return Number.isFinite(count) ? count : undefined
}

export class Count {
  /** The highest count that an answer has shown. Mutable by design. */
  private highest = 0

  get seen(): number {
    return this.highest
  }

  observe(count: number): void {
    if (count > this.highest) this.highest = count
  }
}

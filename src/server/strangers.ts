/** How many connections of each address have not logged in: nobody may take all there are without having to say who he is. */

export class Strangers {
  private readonly counts: Map<string, number> = new Map()

  of(address: string): number {
    return this.counts.get(address) ?? 0
  }

  came(address: string): Stranger {
    this.counts.set(address, this.of(address) + 1)
    return new Stranger(() => this.left(address))
  }

  private left(address: string): void {
    const count = this.of(address) - 1
    if (count > 0) this.counts.set(address, count)
    else this.counts.delete(address)
  }
}

export class Stranger {
  private left: (() => void) | null

  constructor(left: () => void) {
    this.left = left
  }

  /** Logged in, or gone: who it is is known, or does not matter any more. */
  known(): void {
    this.left?.()
    this.left = null
  }
}

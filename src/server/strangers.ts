/** How many connections of each address have not logged in: nobody may take all there are without having to say who he is. */

export class Strangers {
  private readonly counts: Map<string, number> = new Map()

  of(address: string): number {
    return this.counts.get(address) ?? 0
  }

  came(address: string): void {
    this.counts.set(address, this.of(address) + 1)
  }

  /** Logged in, or gone. */
  left(address: string): void {
    const count = this.of(address) - 1
    if (count > 0) this.counts.set(address, count)
    else this.counts.delete(address)
  }
}

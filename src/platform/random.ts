/** Randomness: names, salts, jitter. The simulator's is seeded. */

export interface Random {
  /** Fills `target` with random bytes fit for secrets. */
  fill(target: Buffer): void
  /** A number in [0, 1), not fit for secrets. */
  next(): number
}

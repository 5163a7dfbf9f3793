/** Independent seeds from one: what is drawn for one thing changes nothing for another. */

const purposes = ['disk', 'broker', 'bus', 'fault', 'crash'] as const

/** The largest seed of a test. The rest of a generator's seed says what it is for. */
export const seedMax: number = 2 ** 32 - 1

/** For the `count`th thing of its kind, from 0. */
export function seedFor(seed: number, purpose: (typeof purposes)[number], count = 0): number {
  return seed + 2 ** 32 * (purposes.indexOf(purpose) + purposes.length * count)
}

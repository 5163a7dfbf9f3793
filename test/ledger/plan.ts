// What is sent in the ledger, and what is to become of it: both follow from a seed.
import { Prng } from '../../src/lib/prng.ts'

/** What an attempt does: the first two are followed by another one, unless it was the last. */
type Step = 'throw' | 'retry' | 'process' | 'dead-letter'

export interface Planned {
  readonly index: number
  readonly key: string
  /** Counted per key, from 1. */
  readonly number: number
  /** One for each attempt. */
  readonly steps: readonly Step[]
}

const attemptsMax = 3

export function planOf(seed: number, count: number, keys: number): Planned[] {
  const prng = new Prng(seed)
  const numbers = new Map<string, number>()
  return Array.from({ length: count }, (_, index) => {
    const key = `key ${prng.below(keys)}`
    const number = (numbers.get(key) ?? 0) + 1
    numbers.set(key, number)
    return { index, key, number, steps: stepsOf(prng) }
  })
}

export function endsAsDeadLetter({ steps }: Planned): boolean {
  return steps.at(-1) !== 'process'
}

/** Most go well, a fifth does not at once, one in twenty never. */
function stepsOf(prng: Prng): Step[] {
  const failure = (): Step => (prng.chance(0.5) ? 'throw' : 'retry')
  const chance = prng.next()
  if (chance < 0.8) return ['process']
  if (chance < 0.89) return [failure(), 'process']
  if (chance < 0.95) return [failure(), failure(), 'process']
  if (chance < 0.97) return [...Array.from({ length: attemptsMax - 1 }, failure), 'throw']
  return chance < 0.985 ? ['dead-letter'] : [failure(), 'dead-letter']
}

/**
 * Which of the things that a power cut may or may not leave are tried: every subset where there are few, and where there
 * are many a selection that is the same each time:
 *
 *     none, all
 *     each one alone, each one missing
 *     every prefix (nothing was reordered, and it stopped there)
 *     each one torn in the middle, with all the others there
 *
 * A bug that needs two of many to be missing and two others to be there is left to chance, that is to seeds.
 */

export type Way = readonly ('kept' | 'lost' | 'torn')[]

/** With so many things or fewer, every subset is tried: 64 of them. */
const subsetsOf = 6

export function crashWays(count: number): Way[] {
  const ways: Way[] = []
  if (count <= subsetsOf) {
    for (let bits = 0; bits < 1 << count; bits++) ways.push(make(count, (at) => (bits & (1 << at)) !== 0))
  } else {
    ways.push(...noneAndAll(count))
    for (let one = 0; one < count; one++) {
      ways.push(
        make(count, (at) => at === one),
        make(count, (at) => at !== one),
        make(count, (at) => at < one),
      )
    }
  }
  for (let torn = 0; torn < count; torn++)
    ways.push(make(count, () => true).map((fate, at) => (at === torn ? 'torn' : fate)))
  return ways
}

export function noneAndAll(count: number): Way[] {
  return [make(count, () => false), make(count, () => true)]
}

function make(count: number, isKept: (at: number) => boolean): ('kept' | 'lost')[] {
  return Array.from({ length: count }, (_, at) => (isKept(at) ? 'kept' : 'lost'))
}

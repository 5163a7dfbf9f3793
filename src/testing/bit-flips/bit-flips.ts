/** Many flipped bits, in folders of every kind, each file type with its share; and what became of them in numbers. */
import { Prng } from '../../lib/prng.ts'
import { type BusyFolder, folderKinds, makeBusyFolder } from './busy-folder.ts'
import { type SalvageOutcome, type StrictOutcome, type Trial, tryFlip } from './flip-trial.ts'
import { type FileType, type MappedFile, mapFolder } from './folder-map.ts'
import { type Witness, witnessFolder } from './witness.ts'

export interface FlipOptions {
  readonly flips: number
  /** Of the first folder; each further one has the next. */
  readonly seed: number
  /** Before there is another folder. */
  readonly flipsPerFolder: number
  /** Told of each flip. */
  readonly onTrial?: (trial: Trial, done: number) => void
}

export interface FlipCounts {
  flips: number
  readonly strict: Record<StrictOutcome, number>
  readonly salvage: Record<SalvageOutcome, number>
}

export interface FlipResult {
  readonly types: Readonly<Record<FileType, FlipCounts>>
  readonly folders: number
  /** What should not be, each with how to see it again. */
  readonly problems: readonly string[]
}

/** In a hundred flips. */
const shares: readonly (readonly [FileType, number])[] = [
  ['FORMAT', 5],
  ['log, open', 20],
  ['log, sealed', 25],
  ['cold', 20],
  ['idx', 15],
  ['ckpt', 15],
]
export async function flipBits({ flips, seed, flipsPerFolder, onTrial }: FlipOptions): Promise<FlipResult> {
  const types = Object.fromEntries(shares.map(([type]) => [type, noCounts()])) as Record<FileType, FlipCounts>
  const problems: string[] = []
  let folders = 0
  for (let done = 0; done < flips; folders++) {
    const folderSeed = seed + folders
    const kind = folderKinds[folderSeed % folderKinds.length] as BusyFolder['kind']
    const folder = await makeBusyFolder(folderSeed, kind)
    const before = await witnessFolder(folder)
    const sound = soundness(before)
    if (sound !== '') problems.push(`seed ${folderSeed}, ${kind}, before anything was flipped: ${sound}`)
    const files = mapFolder(folder.files)
    const prng = new Prng(folderSeed)
    const end = Math.min(flips, done + flipsPerFolder)
    for (; done < end; done++) {
      const file = choose(files, prng)
      const trial = await tryFlip(folder, before, file, prng.below(file.bytes), prng.below(8))
      note(types[file.type], trial)
      const { part, offset, bit } = trial
      const what = `${part.kind}${part.kind === 'record' ? ` of type ${part.type}` : ''}`
      const where = `seed ${folderSeed}, ${kind}: ${file.path} at ${offset}, bit ${bit}, ${what}`
      for (const problem of trial.problems) problems.push(`${where}: ${problem}`)
      onTrial?.(trial, done + 1)
    }
  }
  return { types, folders, problems }
}

function noCounts(): FlipCounts {
  return {
    flips: 0,
    strict: { refused: 0, reported: 0, stopped: 0, harmless: 0, unprovable: 0, silent: 0 },
    salvage: { unneeded: 0, whole: 0, refused: 0, more: 0 },
  }
}

function note(counts: FlipCounts, { strict, salvage }: Trial): void {
  counts.flips++
  counts.strict[strict]++
  counts.salvage[salvage]++
}

/** A file type by its share, of those that are there; then a file by its length. */
function choose(files: readonly MappedFile[], prng: Prng): MappedFile {
  const there = shares.filter(([type]) => files.some((file) => file.type === type))
  const type = pick(there, ([, share]) => share, prng)[0]
  return pick(
    files.filter((file) => file.type === type),
    ({ bytes }) => bytes,
    prng,
  )
}

function pick<Item>(items: readonly Item[], weightOf: (item: Item) => number, prng: Prng): Item {
  let left = prng.below(items.reduce((sum, item) => sum + weightOf(item), 0))
  for (const item of items) {
    left -= weightOf(item)
    if (left < 0) return item
  }
  throw new Error('there is something to pick from')
}

/** What is wrong with the folder itself; empty if nothing is. */
function soundness({ error, failure, notes, damaged }: Witness): string {
  return [error?.message ?? '', failure?.message ?? '', ...notes, ...damaged].filter((text) => text !== '').join('; ')
}

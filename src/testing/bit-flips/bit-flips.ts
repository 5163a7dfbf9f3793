/** Many flipped bits, in folders of every kind, each sort of bytes with its share; and what became of them in numbers. */
import { Prng } from '../../lib/prng.ts'
import { recordTypes } from '../../store/record.ts'
import { type BusyFolder, folderKinds, makeBusyFolder } from './busy-folder.ts'
import { type SalvageOutcome, type StrictOutcome, type Trial, tryFlip } from './flip-trial.ts'
import { type FileType, type MappedFile, mapFolder, type Part } from './folder-map.ts'
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
  /** By what the bit was flipped in. */
  readonly types: Readonly<Record<string, FlipCounts>>
  readonly folders: number
  /** What should not be, each with how to see it again. */
  readonly problems: readonly string[]
}

/** Bytes to flip a bit of, and how often in a hundred flips. */
interface Target {
  readonly name: string
  readonly share: number
  has(file: FileType, part: Part): boolean
}

/** Bytes in a part of a file. */
interface Stretch {
  readonly file: MappedFile
  readonly part: Part
}

const notesSection = 6
const bodiesSection = 7

const targets: readonly Target[] = [
  inFiles('FORMAT', 4),
  inFiles('log, open', 14),
  inFiles('log, sealed', 18),
  inFiles('cold', 16),
  inFiles('idx', 13),
  inFiles('ckpt', 12),
  inFiles('body', 10),
  // Of these there are few bytes among the others.
  inRecords('NOTE', 3, recordTypes.note),
  inRecords('SETTLED', 3, recordTypes.settled),
  inRecords('REFERRING', 4, recordTypes.referring),
  {
    name: 'ckpt, notes and bodies',
    share: 3,
    has: (file, { type }) => file === 'ckpt' && (type === notesSection || type === bodiesSection),
  },
]

function inFiles(type: FileType, share: number): Target {
  return { name: type, share, has: (file) => file === type }
}

function inRecords(name: string, share: number, wanted: number): Target {
  return { name, share, has: (_file, { kind, type }) => kind === 'record' && type === wanted }
}

export async function flipBits({ flips, seed, flipsPerFolder, onTrial }: FlipOptions): Promise<FlipResult> {
  const types = Object.fromEntries(targets.map(({ name }) => [name, noCounts()]))
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
      const [{ name }, { file, part: chosen }] = choose(files, prng)
      const at = chosen.start + prng.below(chosen.end - chosen.start)
      const trial = await tryFlip(folder, before, file, at, prng.below(8))
      note(types[name] as FlipCounts, trial)
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

/** A target by its share, of those that are there; then a part by its length. */
function choose(files: readonly MappedFile[], prng: Prng): [Target, Stretch] {
  const all = files.flatMap((file) => file.parts.map((part): Stretch => ({ file, part })))
  const stretchesOf = (target: Target): Stretch[] => all.filter(({ file, part }) => target.has(file.type, part))
  const there = targets.filter((target) => all.some(({ file, part }) => target.has(file.type, part)))
  const target = pick(there, ({ share }) => share, prng)
  return [target, pick(stretchesOf(target), ({ part }) => part.end - part.start, prng)]
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

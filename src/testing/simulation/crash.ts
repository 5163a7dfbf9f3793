/** The ways a machine can die, as far as its disk is concerned. */
import type { Prng } from '../../lib/prng.ts'
import type { SimDisk } from '../sim-disk.ts'
import { type SectorFate, sectorBytes } from '../sim-inode.ts'

/** The power goes; what becomes of unsynced sectors is chosen by the seed. Returns how, in words. */
export function cutPower(disk: SimDisk, prng: Prng): string {
  const way = prng.below(6)
  switch (way) {
    case 0:
      disk.crash(() => 'lost')
      return 'power: nothing unsynced survives'
    case 1:
      disk.crash(() => 'kept')
      return 'power: every unsynced sector survives'
    case 2: {
      disk.crash(() => (prng.chance(0.9) ? 'kept' : otherFate(prng)))
      return 'power: most unsynced sectors survive'
    }
    case 3: {
      // The end of a write is there and its beginning is not.
      const sectors = 1 + prng.below(6)
      disk.crash((_path, sector) => (sector % (sectors + 1) === 0 ? 'lost' : 'kept'))
      return `power: one in ${sectors + 1} unsynced sectors is lost`
    }
    default:
      disk.crash()
      return 'power: unsynced sectors survive, vanish, tear or rot'
  }
}

function otherFate(prng: Prng): SectorFate {
  return (['lost', 'torn', 'garbage'] as const)[prng.below(3)] as SectorFate
}

/** Only the process goes: what it wrote is in the page cache, synced or not. */
export function endProcess(disk: SimDisk): string {
  disk.crash(undefined, true)
  return 'process: the page cache survives'
}

export function crashDisk(disk: SimDisk, prng: Prng): { readonly how: string; readonly isProcessOnly: boolean } {
  const isProcessOnly = prng.chance(0.25)
  return { how: isProcessOnly ? endProcess(disk) : cutPower(disk, prng), isProcessOnly }
}

/** Files whose every byte says something. */
export function isPromise(path: string): boolean {
  return /\.(log|ckpt|idx)$/.test(path)
}

/** What a disk has after damage, and in words what was done to it. */
export interface Loss {
  readonly snapshot: ReadonlyMap<string, Buffer>
  readonly damage: string
}

/**
 * What is on the disk but for a sector or a whole file; and which, in words. Nothing of the last segment: where no checkpoint
 * knows of its end, all that proves its frames may be in that one sector, and then it looks like a crash before they were
 * written.
 */
export function loseSomething(disk: SimDisk, prng: Prng, mayBe: (path: string) => boolean): Loss | null {
  const snapshot = disk.snapshot()
  const paths = [...snapshot.keys()].filter(mayBe).sort()
  const last = paths.findLast((one) => one.endsWith('.log'))
  const path = paths[prng.below(paths.length)] as string
  if (path === last) return null
  const content = snapshot.get(path) as Buffer
  if (prng.chance(0.5)) {
    snapshot.delete(path)
    return { snapshot, damage: `${path} was lost` }
  }
  const at = prng.below(content.length)
  const sector = at - (at % sectorBytes)
  content.fill(0, sector, Math.min(content.length, sector + sectorBytes))
  return { snapshot, damage: `the sector at ${sector} of ${path} was zeroed` }
}

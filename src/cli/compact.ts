/** `leveret compact`: gives back the space that nothing needs any more, in a folder that nobody uses. */
import { FolderError } from '../store/folder-error.ts'
import type { Reporting } from './fail.ts'
import { folderBytes, folderOf, sizeText, withView } from './folder.ts'
import { withOpenFolder } from './open-folder.ts'

interface CompactCommand extends Reporting {
  readonly folder: string
}

/** A store that can do it: copies what lives out of every segment in which something is dead, and deletes those. */
interface Compactable {
  /** Resolves with the bytes that were given back. */
  compactAll(): Promise<number>
}

export async function run(options: CompactCommand): Promise<number> {
  const folder = folderOf(options.folder)
  const sizeOf = (): Promise<number> => withView(folder, 'reading', async (_platform, view) => folderBytes(view))
  const before = await sizeOf()
  // Nobody else wants the disk.
  const settings = { compactionBytesPerSecond: Number.MAX_SAFE_INTEGER }
  const freed = await withOpenFolder(folder, settings, async (store) => {
    if (!isCompactable(store)) throw new FolderError('E_UNSUPPORTED', 'this version cannot compact a folder at will')
    return await store.compactAll()
  })
  const after = await sizeOf()
  if (options.json) process.stdout.write(`${JSON.stringify({ folder, before, after, freed })}\n`)
  else process.stdout.write(`${folder}: ${sizeText(before)} before, ${sizeText(after)} after\n`)
  return 0
}

function isCompactable(store: object): store is Compactable {
  return 'compactAll' in store && typeof store.compactAll === 'function'
}

/** `leveret backup`: a second folder that has everything that was confirmed before, also while the first one is in use. */
import { backupFolder, needEmptyFolder } from '../store/folder-backup.ts'
import type { Reporting } from './fail.ts'
import { counted, folderOf, sizeText, withView } from './folder.ts'

interface BackupCommand extends Reporting {
  readonly folder: string
  readonly target: string
}

export async function run(options: BackupCommand): Promise<number> {
  const folder = folderOf(options.folder)
  const target = folderOf(options.target)
  const report = await withView(folder, 'backing up', async (platform, view) => {
    await needEmptyFolder(platform.disk, target)
    return await backupFolder(platform, view, target)
  })
  if (options.json) process.stdout.write(`${JSON.stringify({ folder, target, ...report })}\n`)
  else {
    const { files, bytes, linked, copiedBytes } = report
    const how = `${sizeText(copiedBytes)} copied, ${counted(linked, 'file')} linked`
    process.stdout.write(`${folder} backed up to ${target}: ${counted(files, 'file')}, ${sizeText(bytes)} (${how})\n`)
  }
  return 0
}

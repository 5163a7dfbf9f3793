/** `leveret restore`: makes a folder from a backup, after checking it. The backup stays as it is. */
import { needEmptyFolder, restoreFolder } from '../store/folder-backup.ts'
import type { Reporting } from './fail.ts'
import { counted, folderOf, sizeText, withView } from './folder.ts'

interface RestoreCommand extends Reporting {
  readonly backup: string
  readonly folder: string
  readonly force: boolean
}

export async function run(options: RestoreCommand): Promise<number> {
  const backup = folderOf(options.backup)
  const folder = folderOf(options.folder)
  const report = await withView(backup, 'restoring', async (platform, view) => {
    await needEmptyFolder(platform.disk, folder)
    return await restoreFolder(platform, view, folder, options.force)
  })
  const { verified, files, bytes } = report
  const { damages, messages, messagesLost } = verified
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ backup, folder, files, bytes, damages, messages, messagesLost })}\n`)
  } else {
    const size = `${counted(files, 'file')}, ${sizeText(bytes)}, ${counted(messages, 'message')} in queues`
    process.stdout.write(`${backup} restored to ${folder}: ${size}\n`)
    if (damages > 0) process.stdout.write(`${counted(damages, 'place')} damaged. next: leveret salvage ${folder}\n`)
  }
  return 0
}

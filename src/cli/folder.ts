/** What the commands that work on a folder's files share. */
import { NodePlatform } from '../platform/node-platform.ts'
import { folderFailure } from '../store/folder-error.ts'
import { FolderView } from '../store/folder-view.ts'
import { Progress } from './progress.ts'

export { sizeText } from './progress.ts'

/** The path of a folder that may be written as a URL, as elsewhere. */
export function folderOf(text: string): string {
  const path = text.replace(/^file:/i, '')
  return path.length > 1 ? path.replace(/\/+$/, '') : path
}

/** Looks at the folder, does something with what is there, and lets it go. Reading shows progress. */
export async function withView<Result>(
  folder: string,
  doing: string,
  use: (platform: NodePlatform, view: FolderView) => Promise<Result>,
): Promise<Result> {
  const platform = new NodePlatform()
  let view: FolderView | null = null
  let progress: Progress | null = null
  try {
    view = await FolderView.take(platform.disk, folder)
    const shown = new Progress(`${doing} ${folder}`, null)
    progress = shown
    view.onRead = (bytes) => shown.add(bytes)
    return await use(platform, view)
  } catch (error) {
    throw folderFailure(`${folder} cannot be read`, error)
  } finally {
    progress?.end()
    await view?.close()
  }
}

export function folderBytes(view: FolderView): number {
  return view.files.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** A time that was given, for people and programs alike. */
export function timeText(ms: number | null): string {
  return ms === null ? '' : new Date(ms).toISOString()
}

/** `1 place`, `2 places`. */
export function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

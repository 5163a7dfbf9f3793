/**
 * A second folder that opens like the first one would after a crash at the moment when the backup began: the newest
 * checkpoint, what it names, and the log from there on. Whoever uses the folder meanwhile notices nothing.
 *
 * What will never change is linked, not copied, where both are on one file system: sealed segments, cold segments, bodies,
 * full page files. FORMAT comes last: without it the target is no folder that anybody would open.
 */

import { coldName } from '../log/cold-segment.ts'
import { decodeSegmentHeader, framesStart, headerCopyOffset, segmentIdOf } from '../log/segment.ts'
import { isErrorCode, isSystemError } from '../log/small-file.ts'
import type { Disk } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import { FolderError, folderFailure } from './folder-error.ts'
import { type VerifyReport, verifyFolder } from './folder-verify.ts'
import type { FolderView } from './folder-view.ts'
import { pageFileName } from './page-files.ts'

const bufferBytes = 1_048_576
const comparedBytes = framesStart

export interface CopyReport {
  readonly files: number
  readonly bytes: number
  /** Files that are linked, not copied. */
  readonly linked: number
  /** Bytes that were copied. */
  readonly copiedBytes: number
  /** The checkpoint that recovery will begin with, if there is one. */
  readonly checkpoint: string | null
}

/** Rejects with E_NOT_EMPTY, before anything was made. */
export async function needEmptyFolder(disk: Disk, directory: string): Promise<void> {
  const names = await disk.list(directory).catch((error: unknown) => {
    if (isErrorCode(error, 'ENOENT')) return []
    if (isErrorCode(error, 'ENOTDIR')) {
      throw new FolderError('E_NOT_EMPTY', `${directory} is there, and is not a folder: name another one`, error)
    }
    throw error
  })
  if (names.length === 0) return
  throw new FolderError('E_NOT_EMPTY', `${directory} is not empty: name a folder that is, or is not there yet`)
}

/** Makes the folder `target` from what the view shows. `target` is checked before. */
export async function backupFolder(platform: Platform, view: FolderView, target: string): Promise<CopyReport> {
  if (!view.has('FORMAT')) throw damaged(view.directory, 'FORMAT is missing')
  const { checkpoint } = view
  if (checkpoint === null && view.checkpoints.length > 0) {
    throw damaged(view.directory, 'no checkpoint of it can be used')
  }
  const linkable = await linkableNames(view)
  const wanted = view.files.map(({ name }) => name).filter((name) => name.startsWith('log/'))
  if (checkpoint !== null) {
    wanted.push(`ckpt/${checkpoint.name}`)
    // One that is not there went with the last message in it, which the log says.
    const cold = checkpoint.checkpoint?.cold.map(({ number }) => `cold/${coldName(number)}`) ?? []
    wanted.push(...cold.filter((name) => view.has(name)))
    for (const id of checkpoint.checkpoint?.pageFiles ?? []) wanted.push(`idx/${pageFileName(id)}`)
  }
  // Those of which no message is left are removed when the copy is opened.
  wanted.push(...view.files.map(({ name }) => name).filter((name) => name.startsWith('body/')))
  const missing = wanted.find((name) => !view.has(name))
  if (missing !== undefined) throw damaged(view.directory, `${missing} is missing`)
  return await new Copy(platform, view, target, linkable).run(wanted, checkpoint?.name ?? null)
}

export interface RestoreReport extends CopyReport {
  /** What was found in the backup. */
  readonly verified: VerifyReport
}

/**
 * Makes the folder `target` from a backup, which stays as it is: everything is copied. Rejects with E_STORAGE_CORRUPT if
 * the backup is damaged, unless `force`. `target` is checked before.
 */
export async function restoreFolder(
  platform: Platform,
  view: FolderView,
  target: string,
  force: boolean,
): Promise<RestoreReport> {
  const verified = await verifyFolder(platform, view)
  if (verified.damages > 0 && !force) {
    const { file, findings } = verified.files.find(({ status }) => status === 'damaged' || status === 'missing') ?? {}
    const first = `${file}: ${findings?.[0]?.detail}`
    throw new FolderError(
      'E_STORAGE_CORRUPT',
      `the backup ${view.directory} is damaged in ${count(verified.damages, 'place')} (${first}), and nothing was ` +
        'restored. Use another backup; leveret verify shows all; --force restores what is there',
    )
  }
  const names = view.files.map(({ name }) => name).filter((name) => name !== 'FORMAT')
  const checkpoint = view.checkpoint?.name ?? null
  return { ...(await new Copy(platform, view, target, new Set()).run(names, checkpoint)), verified }
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

class Copy {
  private readonly disk: Disk
  private readonly view: FolderView
  private readonly target: string
  private readonly linkable: ReadonlySet<string>
  private readonly buffer = Buffer.allocUnsafeSlow(bufferBytes)
  private bytes = 0
  private linked = 0
  private copiedBytes = 0

  constructor(platform: Platform, view: FolderView, target: string, linkable: ReadonlySet<string>) {
    this.disk = platform.disk
    this.view = view
    this.target = target
    this.linkable = linkable
  }

  async run(names: readonly string[], checkpoint: string | null): Promise<CopyReport> {
    const { disk, target } = this
    try {
      const folders = ['log', ...new Set(names.map((name) => name.split('/')[0] as string))]
      for (const folder of folders) await disk.makeDirectory(`${target}/${folder}`)
      for (const name of names) await this.put(name)
      for (const folder of folders) await disk.syncDirectory(`${target}/${folder}`)
      if (this.view.has('FORMAT')) await this.copy('FORMAT')
      await disk.syncDirectory(target)
      // The folder's own name, if this process may sync the folder above.
      await disk.syncDirectory(`${target}/..`).catch(() => {})
    } catch (error) {
      throw folderFailure(`${target} is incomplete, without FORMAT, and can be deleted`, error)
    }
    const { bytes, linked, copiedBytes } = this
    return { files: names.length + 1, bytes, linked, copiedBytes, checkpoint }
  }

  private async put(name: string): Promise<void> {
    if (!this.linkable.has(name) || !(await this.link(name))) await this.copy(name)
  }

  private async link(name: string): Promise<boolean> {
    const { disk, view, target } = this
    const path = `${target}/${name}`
    try {
      await disk.link(`${view.directory}/${name}`, path)
    } catch (error) {
      // Another file system, one without links, or the name has gone: the open file can be copied in any case.
      if (isSystemError(error) && !isErrorCode(error, 'EEXIST')) return false
      throw error
    }
    if (!(await this.isSame(name))) {
      await disk.remove(path)
      return false
    }
    this.linked++
    this.bytes += this.bytesOf(name)
    return true
  }

  /** Whether the name led to the file that is open: if somebody else opened the folder meanwhile it may be another. */
  private async isSame(name: string): Promise<boolean> {
    const wanted = Buffer.alloc(comparedBytes)
    const found = Buffer.alloc(comparedBytes)
    const bytes = await this.view.readAt(name, wanted, 0, comparedBytes, 0)
    const file = await this.disk.open(`${this.target}/${name}`, 'read')
    try {
      const read = await file.read(found, 0, bytes, 0)
      return read === bytes && wanted.equals(found) && (await file.size()) >= this.bytesOf(name)
    } finally {
      await file.close()
    }
  }

  private async copy(name: string): Promise<void> {
    const { buffer, view } = this
    const file = await this.disk.open(`${this.target}/${name}`, 'create')
    try {
      let position = 0
      for (;;) {
        const bytes = await view.readAt(name, buffer, 0, buffer.length, position)
        if (bytes === 0) break
        await file.write(buffer, 0, bytes, position)
        position += bytes
      }
      await file.sync()
      this.bytes += position
      this.copiedBytes += position
    } finally {
      await file.close()
    }
  }

  private bytesOf(name: string): number {
    return this.view.files.find((file) => file.name === name)?.bytes ?? 0
  }
}

/**
 * Files that only ever vanish. A segment is one of them if there is a later one whose header says so: the file of the one
 * that the log goes on in grows, and the next opening may cut it off where its frames are not proven.
 */
async function linkableNames(view: FolderView): Promise<Set<string>> {
  const names = view.files.map(({ name }) => name)
  const linkable = new Set(names.filter((name) => name.startsWith('cold/') || name.startsWith('body/')))
  const segments = names.filter((name) => name.startsWith('log/'))
  let last = segments.length - 1
  while (last > 0 && !(await hasHeader(view, segments[last] as string))) last--
  for (const name of segments.slice(0, Math.max(0, last))) linkable.add(name)
  // Pages are added to the last one.
  const pageFiles = names.filter((name) => name.startsWith('idx/'))
  for (const name of pageFiles.slice(0, -1)) linkable.add(name)
  return linkable
}

async function hasHeader(view: FolderView, name: string): Promise<boolean> {
  const head = Buffer.alloc(framesStart)
  await view.readAt(name, head, 0, head.length, 0)
  const id = segmentIdOf(name.slice(4))
  return [0, headerCopyOffset].some((at) => decodeSegmentHeader(head, at)?.id === id)
}

function damaged(directory: string, detail: string): FolderError {
  return new FolderError(
    'E_STORAGE_CORRUPT',
    `${directory} is damaged, and a backup would be, too: ${detail}. leveret verify shows more; to keep the files as they ` +
      'are, copy the folder',
  )
}

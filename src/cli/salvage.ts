/** `leveret salvage`: opens a damaged folder and keeps all of it that can be read. Shows first, changes only if told to. */

import { LogError } from '../log/log-error.ts'
import type { Damage } from '../log/recovery.ts'
import { segmentName } from '../log/segment.ts'
import { isErrorCode } from '../log/small-file.ts'
import { NodePlatform } from '../platform/node-platform.ts'
import { FolderError } from '../store/folder-error.ts'
import { FolderState } from '../store/folder-state.ts'
import { type VerifyReport, verifyFolder } from '../store/folder-verify.ts'
import { leftOut } from '../store/store-salvage.ts'
import type { Reporting } from './fail.ts'
import { counted, folderOf, withView } from './folder.ts'
import { withOpenFolder } from './open-folder.ts'
import { verifyText } from './verify.ts'

interface SalvageCommand extends Reporting {
  readonly folder: string
  readonly yes: boolean
}

interface Found {
  readonly report: VerifyReport
  /** What opening will leave out. */
  readonly damages: readonly Damage[]
  /** Opening would throw away what only a checkpoint names, and none can be read. */
  readonly needsCheckpoint: boolean
}

export async function run(options: SalvageCommand): Promise<number> {
  const folder = folderOf(options.folder)
  const { report, damages, needsCheckpoint } = await look(folder)
  if (!options.json) process.stdout.write(verifyText(report, ''))
  if (report.damages === 0) {
    say(options, { folder, damages: 0, changed: false }, 'nothing is damaged: there is nothing to salvage')
    return 0
  }
  if (!options.yes) throw needsYes(folder, report)
  const before = await quarantined(folder)
  if (needsCheckpoint) {
    throw beyondSalvage(folder, 'No checkpoint can be read, and much is only in them; nothing was changed')
  }
  const notes = await open(folder)
  const files = (await quarantined(folder)).filter((name) => !before.includes(name))
  const after = await look(folder)
  const { damages: left, messages, messagesLost } = after.report
  const json = {
    folder,
    changed: true,
    skipped: damages,
    notes,
    quarantine: files,
    messages,
    damages: left,
    messagesLost,
  }
  say(options, json, salvagedText(folder, damages, notes, files, after.report))
  return losesPages(after.report) ? 1 : 0
}

function look(folder: string): Promise<Found> {
  return withView(folder, 'verifying', async (platform, view) => {
    const report = await verifyFolder(platform, view)
    if (report.damages === 0) return { report, damages: [], needsCheckpoint: false }
    const state = await FolderState.load(platform, view)
    const { damages } = state.report
    await state.close()
    // A log that is there from its first segment on says everything itself.
    const isWhole = view.has(`log/${segmentName(1)}`) && !view.files.some(({ name }) => name.startsWith('cold/'))
    const needsCheckpoint = view.checkpoints.length > 0 && view.checkpoint === null && !isWhole
    return { report, damages, needsCheckpoint }
  })
}

/** Returns what there is to say beside what was left out of the log, which is told with its length. */
async function open(folder: string): Promise<string[]> {
  try {
    return await withOpenFolder(folder, { salvage: true }, async (_store, { report }) =>
      report.notes.filter((note) => !note.endsWith(leftOut)),
    )
  } catch (error) {
    if (!isErrorCode(error, 'E_STORAGE_CORRUPT')) throw error
    const { cause } = error as Error
    const where = cause instanceof LogError ? `${cause.file} at ${cause.offset}: ${cause.detail}` : String(error)
    throw beyondSalvage(folder, where, error)
  }
}

function beyondSalvage(folder: string, detail: string, cause?: unknown): FolderError {
  const text = `salvage cannot go around this damage of ${folder}: restore a backup. ${detail}`
  return new FolderError('E_STORAGE_CORRUPT', text, cause)
}

function needsYes(folder: string, { damages, messagesLost }: VerifyReport): FolderError {
  const lost = messagesLost > 0 ? ` and ${counted(messagesLost, 'message')} cannot be read` : ''
  return new FolderError(
    'E_NEEDS_YES',
    `${counted(damages, 'place')} damaged${lost}; nothing was changed. Copy the folder, then: leveret salvage ${folder} --yes`,
  )
}

async function quarantined(folder: string): Promise<string[]> {
  const { disk } = new NodePlatform()
  return await disk.list(`${folder}/quarantine`).catch(() => [])
}

function salvagedText(
  folder: string,
  skipped: readonly Damage[],
  notes: readonly string[],
  files: readonly string[],
  report: VerifyReport,
): string {
  const { damages, messages, messagesLost } = report
  const lines = ['', `salvaged ${folder}: it can be opened, with ${counted(messages, 'message')} in its queues`]
  for (const { file, offset, bytes, detail } of skipped) {
    lines.push(`  left out: ${file} at ${offset} (${bytes > 0 ? counted(bytes, 'byte') : 'length unknown'}): ${detail}`)
  }
  for (const note of notes) lines.push(`  ${note}`)
  for (const name of files) lines.push(`  set aside: ${folder}/quarantine/${name}`)
  if (messagesLost > 0)
    lines.push(`  ${counted(messagesLost, 'message')} in queues cannot be read and will not be delivered`)
  if (damages > 0)
    lines.push(`  still damaged: ${counted(damages, 'place')}, in files that are kept for what is right in them`)
  if (losesPages(report))
    lines.push('  queues stop where a page of their index is damaged: restore a backup if there is one')
  return lines.join('\n')
}

function losesPages({ files }: VerifyReport): boolean {
  return files.some(({ file, status }) => file.startsWith('idx/') && status !== 'ok')
}

function say({ json }: Reporting, value: object, text: string): void {
  process.stdout.write(`${json ? JSON.stringify(value) : text}\n`)
}

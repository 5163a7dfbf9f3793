/** `leveret verify`: whether every byte of a folder that matters is what was written. Changes nothing. */
import type { Finding } from '../store/folder-findings.ts'
import { printable } from '../store/folder-records.ts'
import { type FileVerdict, type VerifyReport, verifyFolder } from '../store/folder-verify.ts'
import { fail, type Reporting } from './fail.ts'
import { counted, folderOf, sizeText, withView } from './folder.ts'

interface VerifyCommand extends Reporting {
  readonly folder: string
}

const messagesShown = 20

/** 0: all is well; 1: something is damaged; 2: it cannot be said. */
export async function run(options: VerifyCommand): Promise<number> {
  const folder = folderOf(options.folder)
  try {
    const report = await withView(folder, 'verifying', verifyFolder)
    if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`)
    else process.stdout.write(verifyText(report, nextStep(report)))
    return report.damages > 0 ? 1 : 0
  } catch (error) {
    fail(error, options)
    return 2
  }
}

/** The report for people. */
export function verifyText(report: VerifyReport, next: string): string {
  const { files, damages, messages, messagesLost } = report
  const width = Math.max(...files.map(({ file }) => file.length))
  const lines = files.flatMap((verdict) => verdictLines(verdict, width))
  const bytes = files.reduce((sum, file) => sum + (file.bytes ?? 0), 0)
  const lost = messagesLost > 0 ? `, ${messagesLost} of them cannot be read` : ''
  const state = damages > 0 ? `${counted(damages, 'place')} damaged` : 'all well'
  lines.push(
    `${counted(files.length, 'file')}, ${sizeText(bytes)}, ${counted(messages, 'message')} in queues${lost}: ${state}`,
  )
  if (next !== '') lines.push(next)
  return `${lines.join('\n')}\n`
}

function nextStep({ damages, directory }: VerifyReport): string {
  if (damages === 0) return ''
  return `next: restore a backup, or keep all that is readable: leveret salvage ${directory}`
}

function verdictLines({ file, bytes, status, findings }: FileVerdict, width: number): string[] {
  const word = status === 'ok' || status === 'torn' ? status : status.toUpperCase()
  const lines = [`${word.padEnd(8)} ${file.padEnd(width)}  ${bytes === null ? '' : sizeText(bytes)}`.trimEnd()]
  for (const finding of findings) lines.push(...findingLines(finding))
  return lines
}

function findingLines({ offset, bytes, detail, messages }: Finding): string[] {
  const extent = bytes > 0 ? ` (${counted(bytes, 'byte')})` : ''
  const lines = [`         at ${offset}${extent}: ${printable(detail)}`]
  for (const { queue, sequence, waits } of messages.slice(0, messagesShown)) {
    const state = waits
      ? 'waits there and cannot be read'
      : 'is not in the queue: it was settled before, or is lost with this record'
    lines.push(printable(`           message ${sequence} of ${queue} ${state}`))
  }
  const more = messages.length - messagesShown
  if (more > 0) lines.push(`           and ${counted(more, 'message')} more`)
  return lines
}

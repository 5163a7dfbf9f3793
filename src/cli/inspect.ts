/** `leveret inspect`: what is in a folder, in a queue, or in one file, for people. Changes nothing. */
import { basename, isAbsolute, join } from 'node:path'
import { NodePlatform } from '../platform/node-platform.ts'
import { type DumpLine, dumpFile } from '../store/folder-dump.ts'
import { FolderError, folderFailure } from '../store/folder-error.ts'
import { type FolderSummary, messagesOf, type SegmentSummary, summarizeFolder } from '../store/folder-inspect.ts'
import { printable } from '../store/folder-records.ts'
import { FolderState } from '../store/folder-state.ts'
import type { Reporting } from './fail.ts'
import { folderOf, sizeText, timeText, withView } from './folder.ts'
import { integerOption } from './options.ts'
import { type Cell, table } from './table.ts'

interface InspectCommand extends Reporting {
  readonly folder: string
  readonly queue?: string
  readonly file?: string
  readonly limit: string
}

export async function run(options: InspectCommand): Promise<number> {
  const folder = folderOf(options.folder)
  const limit = integerOption('--limit', options.limit, 0, 1e15) || Number.MAX_SAFE_INTEGER
  if (options.file !== undefined) await showFile(folder, options.file, limit, options.json)
  else if (options.queue === undefined) await showFolder(folder, options.json)
  else await showQueue(folder, options.queue, limit, options.json)
  return 0
}

function print(text: string): void {
  process.stdout.write(text)
}

// -------------------------------------------------------------------------------------------------- the folder

async function showFolder(folder: string, json: boolean): Promise<void> {
  const summary = await withView(folder, 'reading', async (platform, view) => {
    const state = await FolderState.load(platform, view)
    const made = await summarizeFolder(platform, state)
    await state.close()
    return made
  })
  print(json ? `${JSON.stringify(summary)}\n` : summaryText(summary))
}

function summaryText(summary: FolderSummary): string {
  const { directory, format, uuid, bytes, owner, clean, damages, segments, coldSegments, bodies, queues } = summary
  const parts = [
    `${directory}: ${sizeText(bytes)}, format ${format}, ${uuid}\n`,
    `${ownerText(owner)}${clean || owner?.isRunning === true ? '' : '; the last one to have it did not end in order'}\n`,
  ]
  if (damages > 0) parts.push(`DAMAGED in what opening reads: leveret verify ${directory} shows where\n`)
  parts.push('\n', queuesText(summary), '\n', segmentsText('segment', segments))
  if (coldSegments.length > 0) parts.push('\n', segmentsText('cold segment', coldSegments))
  parts.push(checkpointsText(summary))
  if (bodies.files > 0)
    parts.push('\n', table(['bodies', 'bytes', 'unused'], [[bodies.files, bodies.bytes, bodies.unused]]))
  if (queues.length === 0) parts[parts.indexOf('\n')] = ''
  return parts.join('')
}

function ownerText(owner: FolderSummary['owner']): string {
  if (owner === null || !owner.isRunning) return 'not in use'
  const where = owner.addresses.length > 0 ? `, served at ${owner.addresses.join(', ')}` : ''
  return printable(`in use by process ${owner.pid} on ${owner.host}${where}`)
}

function queuesText({ queues }: FolderSummary): string {
  if (queues.length === 0) return 'no queues\n'
  const rows = queues.map(({ name, virtualHost, ready, readyBytes, delayed, oldestSequence, oldestMs }): Cell[] => {
    const shown = virtualHost === '/' ? name : `${name} of ${virtualHost}`
    return [shown, ready, readyBytes, delayed, oldestSequence, oldestMs === null ? null : timeText(oldestMs)]
  })
  return table(['queue', 'ready', 'bytes', 'delayed', 'oldest', 'written'], rows)
}

function segmentsText(title: string, segments: readonly SegmentSummary[]): string {
  const rows = segments.map(({ file, bytes, epoch, firstFrame, live, references }): Cell[] => [
    file,
    bytes,
    epoch,
    firstFrame === 0 ? null : firstFrame,
    live,
    references,
  ])
  return table([title, 'bytes', 'opening', 'from frame', 'live', 'of'], rows)
}

function checkpointsText({ checkpoints, pageFiles }: FolderSummary): string {
  const rows = checkpoints.map(({ file, bytes, isWhole, isUsed, isFinal, frame }): Cell[] => {
    const state = [isUsed ? 'used' : '', isFinal ? 'final' : '', isWhole ? '' : 'damaged'].filter((word) => word !== '')
    return [file, bytes, frame, state.join(', ') || null]
  })
  const files = pageFiles.map(({ file, bytes, isNamed }): Cell[] => [file, bytes, isNamed ? 'named' : 'unused'])
  const first = rows.length > 0 ? `\n${table(['checkpoint', 'bytes', 'frame', 'state'], rows)}` : ''
  return first + (files.length > 0 ? `\n${table(['page file', 'bytes', 'state'], files)}` : '')
}

// --------------------------------------------------------------------------------------------------- a queue

async function showQueue(folder: string, name: string, limit: number, json: boolean): Promise<void> {
  await withView(folder, 'reading', async (platform, view) => {
    const state = await FolderState.load(platform, view)
    try {
      const queues = state.queues.filter((queue) => queue.name === name)
      if (queues.length === 0) {
        const text = `there is no queue '${name}' in ${folder}: leveret inspect ${folder} shows those that are`
        throw new FolderError('E_BAD_OPTION', text)
      }
      for (const queue of queues) {
        let count = 0
        for await (const message of messagesOf(state, queue, limit)) {
          print(json ? `${JSON.stringify(message)}\n` : messageText(message))
          count++
        }
        const waiting = queue.index.readyCount + queue.index.delayedCount
        const more = waiting - count
        if (more > 0 && !json) print(`… and ${more} more (--limit 0 shows all)\n`)
        if (waiting === 0 && !json) print('no message waits\n')
      }
    } finally {
      await state.close()
    }
  })
}

type Message = ReturnType<typeof messagesOf> extends AsyncGenerator<infer One> ? One : never

function messageText(message: Message): string {
  const { sequence, priority, hiddenUntilMs, deliveries, file, offset, writtenMs, exchange, routingKey } = message
  const { contentType, bytes } = message
  const facts = [`${bytes} bytes`]
  if (contentType !== '') facts.push(contentType)
  if (exchange !== '') facts.push(`from ${exchange} with key '${routingKey}'`)
  if (priority > 0) facts.push(`priority ${priority}`)
  if (hiddenUntilMs !== null) facts.push(`hidden until ${timeText(hiddenUntilMs)}`)
  if (deliveries > 0) facts.push(`handed out ${deliveries} times`)
  if (writtenMs !== null) facts.push(timeText(writtenMs))
  const content = message.fault === null ? message.preview : `DAMAGED: ${message.fault}`
  return `#${sequence}  ${file} at ${offset}  ${printable(facts.join(', '))}\n    ${content}\n`
}

// ---------------------------------------------------------------------------------------------------- a file

/** A path from the folder on, or any other path. Names of queues come from the folder, if it has them. */
async function showFile(folder: string, path: string, limit: number, json: boolean): Promise<void> {
  const { disk } = new NodePlatform()
  const inside = isAbsolute(path) ? path : join(folder, path)
  const isInside = await disk.open(inside, 'read').then(
    async (file) => (await file.close(), true),
    () => false,
  )
  const nameOf = await namesOf(folder)
  const target = isInside ? inside : path
  try {
    const file = await disk.open(target, 'read')
    try {
      let shown = 0
      for await (const line of dumpFile(file, basename(target), nameOf)) {
        if (shown++ === limit) {
          if (!json) print('… (--limit 0 shows all)\n')
          break
        }
        print(json ? `${JSON.stringify(line)}\n` : lineText(line))
      }
    } finally {
      await file.close()
    }
  } catch (error) {
    throw folderFailure(`${target} cannot be read`, error)
  }
}

function lineText({ offset, kind, bytes, text, depth, writtenMs }: DumpLine): string {
  const at = offset === null ? '' : String(offset)
  const size = bytes === null ? '' : `${bytes} B`
  const time = writtenMs === null ? '' : `, ${timeText(writtenMs)}`
  return (
    `${at.padStart(10)}  ${'  '.repeat(depth)}${kind} ${size === '' ? '' : `(${size}) `}${text}${time}`.trimEnd() + '\n'
  )
}

async function namesOf(folder: string): Promise<(queueId: number) => string> {
  try {
    return await withView(folder, 'reading', async (platform, view) => {
      const state = await FolderState.load(platform, view)
      await state.close()
      return (queueId: number) => state.nameOf(queueId)
    })
  } catch {
    // The file may be one that somebody kept: numbers have to do.
    return (queueId) => `queue number ${queueId}`
  }
}

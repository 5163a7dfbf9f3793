/** `leveret peek`: shows messages that wait in a queue, and changes nothing. */
import type { QueuedMessage } from '../index.ts'
import { type QueueCommand, withQueue } from './one-queue.ts'
import { integerOption } from './options.ts'
import { bodyForJson, toJsonLine } from './printer.ts'
import { type Cell, table } from './table.ts'

interface PeekCommand extends QueueCommand {
  readonly limit: string
  readonly skip: string
  readonly delayed: boolean
}

/** So much of a body is shown in a table. */
const previewMax = 60

export async function run(options: PeekCommand): Promise<number> {
  const limit = integerOption('--limit', options.limit, 1, 1_000_000)
  const skip = integerOption('--skip', options.skip, 0, 100_000)
  const state = options.delayed ? 'delayed' : 'ready'
  await withQueue(options, async (queue) => {
    const shown: QueuedMessage[] = []
    for await (const message of queue.peek({ limit, skip, state })) {
      if (options.json) process.stdout.write(`${toJsonLine(describe(message))}\n`)
      else shown.push(message)
    }
    if (!options.json) print(shown, options)
  })
  return 0
}

function describe(message: QueuedMessage): object {
  const { id, state, bytes, attempt, deliveries, dueAt, expiresAt, failure, headers } = message
  const { contentType = '' } = message.properties
  const content = isShown(message) ? bodyForJson(message.body, contentType) : {}
  const error = failure === null ? {} : { error: failure.error }
  return { id, state, bytes, attempt, deliveries, dueAt, expiresAt, ...error, contentType, headers, ...content }
}

function print(shown: readonly QueuedMessage[], { queue, delayed }: PeekCommand): void {
  if (shown.length === 0) {
    process.stdout.write(`nothing ${delayed ? 'is delayed' : 'is ready'} in ${queue}\n`)
    return
  }
  const times = delayed ? ['due'] : []
  const rows = shown.map((message): Cell[] => [
    message.id ?? null,
    ...(delayed ? [message.dueAt?.toISOString() ?? null] : []),
    message.bytes,
    message.attempt,
    message.deliveries,
    preview(message),
  ])
  process.stdout.write(table(['id', ...times, 'bytes', 'attempt', 'deliveries', 'body'], rows))
}

/** A body of over 1 MiB is not read. */
function isShown({ data, bytes }: QueuedMessage): boolean {
  return data !== undefined || bytes === 0
}

function preview(message: QueuedMessage): string | null {
  if (!isShown(message)) return null
  const { contentType = '' } = message.properties
  const content = bodyForJson(message.body, contentType)
  if ('base64' in content) return `${message.bytes} bytes`
  const text = typeof content.data === 'string' ? content.data : JSON.stringify(content.data)
  return text.length <= previewMax ? text : `${text.slice(0, previewMax - 1)}…`
}

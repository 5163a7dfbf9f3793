/** `leveret redrive`: takes dead letters of a queue back into it. */
import type { Rate } from '../index.ts'
import { type QueueCommand, say, withQueue } from './one-queue.ts'
import { integerOption } from './options.ts'
import { countOf } from './plural.ts'

interface RedriveCommand extends QueueCommand {
  readonly from?: string
  readonly rate?: string
  readonly limit?: string
}

export async function run(options: RedriveCommand): Promise<number> {
  const { queue, from, rate, limit } = options
  const ending = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort())
  const chosen = {
    ...(from === undefined ? {} : { from }),
    // Its text is checked by the library.
    ...(rate === undefined ? {} : { rate: rate as Rate }),
    ...(limit === undefined ? {} : { limit: integerOption('--limit', limit, 1, 2 ** 31) }),
  }
  const moved = await withQueue(options, (opened) => opened.redrive({ ...chosen, signal: ending.signal }))
  say(options, `${countOf(moved, 'dead letter')} moved back into ${queue}`, { queue, moved })
  return 0
}

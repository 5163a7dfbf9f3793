/** `leveret cancel`: removes messages that wait, by their ids. */
import { LeveretError } from '../model/errors.ts'
import { type QueueCommand, say, withQueue } from './one-queue.ts'
import { countOf } from './plural.ts'

interface CancelCommand extends QueueCommand {
  readonly ids: readonly string[]
}

export async function run(options: CancelCommand): Promise<number> {
  const { queue, ids } = options
  const cancelled: string[] = []
  const missed: string[] = []
  await withQueue(options, async (opened) => {
    // Asked for at the same time, they share one way through the queue.
    const answers = await Promise.all(ids.map((id) => opened.cancel(id)))
    for (const [at, id] of ids.entries()) (answers[at] === true ? cancelled : missed).push(id)
  })
  if (cancelled.length > 0 || options.json) {
    say(options, `${countOf(cancelled.length, 'message')} removed from ${queue}`, { queue, cancelled, missed })
  }
  if (missed.length === 0) return 0
  if (options.json) return 1
  throw new LeveretError(
    'E_REFUSED',
    `${countOf(missed.length, 'message')} did not wait in ${queue} (a worker has it, or had it, or it never was): ${missed.join(', ')}`,
  )
}

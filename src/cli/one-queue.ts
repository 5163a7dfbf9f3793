/** What the commands on one queue have in common. */
import type { Queue } from '../index.ts'
import type { Reporting } from './fail.ts'
import { openTarget, targetOf } from './target.ts'

export interface QueueCommand extends Reporting {
  readonly queue: string
  readonly at: string
}

/** The queue must be there: rejects with NOT_FOUND, in the broker's words. */
export async function withQueue<Result>(
  { queue, at }: QueueCommand,
  use: (queue: Queue) => Promise<Result>,
): Promise<Result> {
  const bus = await openTarget(targetOf(at), () => {})
  try {
    return await use(await bus.openQueue(queue))
  } finally {
    await bus.close()
  }
}

/** The line for people, or the object for programs. */
export function say({ json }: Reporting, text: string, value: object): void {
  process.stdout.write(`${json ? JSON.stringify(value) : text}\n`)
}

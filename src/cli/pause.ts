/** `leveret pause` and `resume`: whether a queue hands out its messages. */
import { type QueueCommand, say, withQueue } from './one-queue.ts'

interface PauseCommand extends QueueCommand {
  readonly paused: boolean
}

export async function run(options: PauseCommand): Promise<number> {
  const { queue, paused } = options
  await withQueue(options, (opened) => (paused ? opened.pause() : opened.resume()))
  say(options, `${queue} ${paused ? 'hands out nothing' : 'hands out its messages'}`, { queue, paused })
  return 0
}

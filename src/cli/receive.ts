/** `leveret receive`: prints messages, one per line, and acknowledges each once its line is written. */
import { type Duration, durationMs } from '../client/duration.ts'
import { setLivingTimer } from '../client/keep-alive.ts'
import type { Queue } from '../index.ts'
import type { Clock } from '../platform/clock.ts'
import { NodeClock } from '../platform/node-clock.ts'
import type { Reporting } from './fail.ts'
import { integerOption } from './options.ts'
import { Printer } from './printer.ts'
import { openQueue, openTarget, targetOf } from './target.ts'

interface ReceiveCommand extends Reporting {
  readonly queue: string
  readonly from: string
  readonly count?: string
  readonly idle?: string
  readonly prefetch: string
}

/** How often a folder is asked whether it is empty: nobody else can send into it, so that is the end. */
const folderIdleMs = 50

export async function run(options: ReceiveCommand): Promise<number> {
  const target = targetOf(options.from)
  const countMax = options.count === undefined ? null : integerOption('--count', options.count, 1, 1e15)
  const idleMs = options.idle === undefined ? null : durationMs(options.idle as Duration, '--idle')
  const prefetch = integerOption('--prefetch', options.prefetch, 1, 65_535)
  const clock = new NodeClock()
  let lost: Error | null = null
  const bus = await openTarget(target, (error) => {
    lost ??= error
  })
  try {
    const queue = await openQueue(bus, options.queue)
    const messages = queue.receive({ raw: true, prefetch: Math.min(prefetch, countMax ?? prefetch) })
    const printer = new Printer(clock, messages, process.stdout, options.json)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => printer.stop())
    const cancel = stopWhenIdle(clock, printer, queue, idleMs, target.isFolder)
    await printer.printAll(countMax)
    cancel()
  } catch (error) {
    // The lost connection is why the iteration ended, and says more.
    throw lost ?? error
  } finally {
    await bus.close()
  }
  return 0
}

function stopWhenIdle(
  clock: Clock,
  printer: Printer,
  queue: Queue,
  idleMs: number | null,
  isFolder: boolean,
): () => void {
  if (idleMs === null && !isFolder) return () => {}
  const allowedMs = idleMs ?? folderIdleMs
  let seen = -1
  let cancel = (): void => {}
  const look = async (): Promise<void> => {
    const isIdle = printer.count === seen && (idleMs !== null || (await queue.count()).ready === 0)
    if (isIdle) printer.stop()
    else wait()
  }
  const wait = (): void => {
    seen = printer.count
    cancel = setLivingTimer(clock, allowedMs, () => void look().catch(() => printer.stop()))
  }
  wait()
  return () => cancel()
}

/** `leveret send`: each line of standard input becomes a message, and the command ends when all are stored. */
import type { Readable } from 'node:stream'
import type { Queue } from '../index.ts'
import { LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Reporting } from './fail.ts'
import { LineSplitter } from './line-splitter.ts'
import { integerOption } from './options.ts'
import { openQueue, openTarget, targetOf } from './target.ts'

interface SendCommand extends Reporting {
  readonly queue: string
  readonly to: string
  readonly skip: string
  readonly window: string
  readonly contentType: string
}

export async function run(options: SendCommand): Promise<number> {
  const skip = integerOption('--skip', options.skip, 0, Number.MAX_SAFE_INTEGER)
  const window = integerOption('--window', options.window, 1, 100_000)
  const target = targetOf(options.to)
  let lines: Lines | null = null
  const bus = await openTarget(target, (error) => lines?.end(error))
  try {
    lines = new Lines(await openQueue(bus, options.queue), options.contentType, skip, window)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => lines?.end(interrupted()))
    await lines.sendAll(process.stdin)
  } finally {
    await bus.close()
  }
  if (lines.error !== null) throw lines.explain()
  const { stored } = lines
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ queue: options.queue, at: options.to, stored, skipped: skip })}\n`)
  } else {
    const behind = skip === 0 ? '' : ` behind the first ${skip}`
    process.stdout.write(`${stored} messages stored in ${options.queue}${behind}\n`)
  }
  return 0
}

function interrupted(): LeveretError {
  return new LeveretError('E_CLOSED', 'interrupted')
}

/** Sends lines with a bounded number on their way, and knows up to which one all are stored. */
class Lines {
  /** The first thing that went wrong; nothing more is sent then. */
  error: Error | null = null
  private readonly queue: Queue
  private readonly contentType: string
  private readonly skip: number
  private readonly window: number
  private readonly splitter = new LineSplitter(limits.messageBytesMax)
  private sent = 0
  private open = 0
  private storedUpTo = 0
  /** Stored ahead of one that is not yet: a broker may confirm out of turn. */
  private readonly storedAhead = new Set<number>()
  private wake: () => void = () => {}
  private input: Readable | null = null

  constructor(queue: Queue, contentType: string, skip: number, window: number) {
    this.queue = queue
    this.contentType = contentType
    this.skip = skip
    this.window = window
  }

  /** Lines behind the skipped ones that are stored without a gap. */
  get stored(): number {
    return this.storedUpTo
  }

  /** Reads to the end, or until something goes wrong, and waits until nothing is on its way. */
  async sendAll(input: Readable): Promise<void> {
    this.input = input
    try {
      await this.sendFrom(input)
    } catch (error) {
      this.end(error as Error)
    }
    while (this.open > 0) await this.change()
  }

  /** Sends nothing more; the feeder may never end, so its stream is closed. */
  end(error: Error): void {
    this.error ??= error
    this.input?.destroy()
    this.wake()
  }

  /** The error with what a script needs to go on. */
  explain(): LeveretError {
    const first = this.error as Error
    const code = first instanceof LeveretError ? first.code : 'E_REFUSED'
    const confirmed = this.skip + this.storedUpTo
    const text = first.message.replace(/^E_\w+: /, '')
    return new LeveretError(
      code,
      `${text}; ${confirmed} lines are stored for certain: go on with --skip ${confirmed}`,
      first,
    )
  }

  private async sendFrom(input: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of input) {
      for (const line of this.splitter.push(chunk)) {
        this.send(line)
        while (this.open >= this.window && this.error === null) await this.change()
        if (this.error !== null) return
      }
    }
    const last = this.splitter.end()
    if (last !== null) this.send(last)
  }

  private send(line: Buffer): void {
    if (this.splitter.count <= this.skip) return
    const number = ++this.sent
    this.open++
    this.queue.send(line, { contentType: this.contentType }).then(
      () => this.settled(number),
      (error: Error) => {
        this.open--
        this.end(error)
      },
    )
  }

  private settled(number: number): void {
    this.open--
    if (number === this.storedUpTo + 1) {
      this.storedUpTo = number
      while (this.storedAhead.delete(this.storedUpTo + 1)) this.storedUpTo++
    } else this.storedAhead.add(number)
    this.wake()
  }

  private change(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve
    })
  }
}

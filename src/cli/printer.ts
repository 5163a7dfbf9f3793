/**
 * Messages into lines, lines into writes, writes into acknowledgements.
 *
 * Lines that came in one turn go out in one write, and their messages are acknowledged when the write is done. What could
 * not be written, because the reader of the pipe has gone, goes back to the queue. A slow reader holds the next write up
 * and with it the acknowledgements, so no more than the prefetch is in memory.
 */
import type { Writable } from 'node:stream'
import type { MessageIterator, ReceivedMessage } from '../index.ts'
import type { Clock } from '../platform/clock.ts'

type RawMessage = ReceivedMessage<Buffer>

const lineFeed: Buffer = Buffer.from('\n')

export class Printer {
  /** Messages printed. */
  count = 0
  private readonly clock: Clock
  private readonly messages: MessageIterator<Buffer, unknown>
  private readonly output: Writable
  private readonly json: boolean
  private lines: Buffer[] = []
  private unwritten: RawMessage[] = []
  private isScheduled = false
  private openWrites = 0
  private isStopping = false
  private error: NodeJS.ErrnoException | null = null

  constructor(clock: Clock, messages: MessageIterator<Buffer, unknown>, output: Writable, json: boolean) {
    this.clock = clock
    this.messages = messages
    this.output = output
    this.json = json
    output.on('error', (error) => this.fail(error))
  }

  /** Until `countMax` are printed (null: no end), `stop` is called, or the queue is gone. A closed pipe is an end, too. */
  async printAll(countMax: number | null): Promise<void> {
    for await (const message of this.messages) {
      // What comes while we stop is given back when the iteration closes.
      if (this.isStopping) continue
      this.print(message)
      if (this.count === countMax) this.stop()
    }
    if (this.error !== null && this.error.code !== 'EPIPE') throw this.error
  }

  /** Writes and acknowledges what was taken, then ends. */
  stop(): void {
    if (this.isStopping) return
    this.isStopping = true
    this.write()
    this.endWhenWritten()
  }

  private print(message: RawMessage): void {
    this.count++
    this.lines.push(this.json ? jsonLine(message) : message.data, lineFeed)
    this.unwritten.push(message)
    if (this.isScheduled) return
    this.isScheduled = true
    // Whatever else is there already is taken first, one promise after the other.
    this.clock.defer(() => this.write())
  }

  private write(): void {
    this.isScheduled = false
    if (this.lines.length === 0 || this.error !== null) return
    const { unwritten } = this
    const chunk = Buffer.concat(this.lines)
    this.lines = []
    this.unwritten = []
    this.openWrites++
    this.output.write(chunk, (error) => {
      this.openWrites--
      if (error != null) return this.fail(error)
      for (const message of unwritten) message.ack().catch(() => {})
      if (this.isStopping) this.endWhenWritten()
    })
  }

  private fail(error: NodeJS.ErrnoException): void {
    this.error ??= error
    this.isStopping = true
    this.endWhenWritten()
  }

  private endWhenWritten(): void {
    if (this.openWrites === 0 || this.error !== null) void this.messages.close()
  }
}

/** One message as one line of JSON. */
function jsonLine(message: RawMessage): Buffer {
  const { contentType = '' } = message.properties
  const { id, redelivered, headers } = message
  return Buffer.from(toJsonLine({ id, redelivered, contentType, headers, ...bodyForJson(message.data, contentType) }))
}

/** One line; integers beyond 2^53, as headers may have them, are text. */
export function toJsonLine(value: object): string {
  return JSON.stringify(value, (_key, one) => (typeof one === 'bigint' ? String(one) : (one as unknown)))
}

/** The body as its content type says what it is, else its bytes in base64. */
export function bodyForJson(body: Buffer, contentType: string): { data: unknown } | { base64: string } {
  if (contentType.startsWith('text/')) return { data: body.toString() }
  try {
    if (/json/.test(contentType)) return { data: JSON.parse(body.toString()) }
  } catch {
    // It is not what it says it is: show what it is.
  }
  return { base64: body.toString('base64') }
}

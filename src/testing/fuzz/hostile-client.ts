/** Plays a script against a server and notes what it is told. It reads as strictly as it writes loosely. */
import { type Method, methodId } from '../../amqp/methods.ts'
import type { Connection, ConnectionEvents } from '../../platform/network.ts'
import { frame, u32 } from './octets.ts'
import type { Expected, Script, Step } from './script.ts'
import { type ServerWords, StrictReader } from './strict-reader.ts'

const channelCloseOk = u32(methodId('channel.close-ok'))
const channelOpen = Buffer.concat([u32(methodId('channel.open')), Buffer.from([0])])
const connectionCloseOk = u32(methodId('connection.close-ok'))

export class HostileClient implements ConnectionEvents, ServerWords {
  readonly script: Script
  isClosed = false
  /** Codes of connection.close and channel.close, in order. */
  readonly codes: { readonly closes: 'connection' | 'channel'; readonly code: number; readonly text: string }[] = []
  /** What the server did wrong. */
  wrong: string | null = null
  sentFrames = 0
  sentBytes = 0
  private saidCloseOk = false
  private readonly connection: Connection
  private readonly reader: StrictReader = new StrictReader(this)
  private step = 0

  constructor(connection: Connection, script: Script) {
    this.connection = connection
    this.script = script
    connection.attach(this)
  }

  get isDone(): boolean {
    return this.step >= this.script.steps.length
  }

  /** Does the next thing; returns how long to wait. */
  play(): number {
    const step = this.script.steps[this.step++] as Step
    if (step.type === 'wait') return step.ms
    if (step.type === 'deaf') {
      if (step.isDeaf) this.connection.pause()
      else this.connection.resume()
      return 0
    }
    this.sentFrames += step.frames
    this.sentBytes += step.octets.length
    // Nobody can know which numbers it opens and closes with octets that are bent.
    if (this.script.expected === null) for (let channel = 0; channel < 100; channel++) this.reader.reopened(channel)
    this.write(step.octets)
    return 0
  }

  leave(): void {
    this.connection.resume()
    this.connection.destroy()
  }

  /** Null, or in what way it did not end as the script knows it must. */
  complaint(): string | null {
    const { expected } = this.script
    if (this.wrong !== null) return `the server said ${this.wrong}`
    const internal = this.codes.find(({ code }) => code === 541)
    if (internal !== undefined) return `the server failed: ${internal.text}`
    return expected === null ? null : this.otherThan(expected)
  }

  private otherThan(expected: Expected): string | null {
    const said =
      this.codes.map(({ closes, code, text }) => `${closes}.close ${code} (${text})`).join(', ') || 'no close'
    switch (expected.closes) {
      case 'connection':
      case 'channel': {
        const isSaid = this.codes.some(({ closes, code }) => closes === expected.closes && code === expected.code)
        return isSaid ? null : `${expected.closes}.close ${expected.code} was expected, and there was ${said}`
      }
      case 'socket':
        if (this.codes.length > 0) return `nothing was to be said, and there was ${said}`
        return this.isClosed ? null : 'the socket was to end, and did not'
      case 'header':
        if (!this.reader.sawHeader) return 'our protocol header was expected'
        return this.isClosed ? null : 'the socket was to end behind the header'
      case 'politely':
        return this.saidCloseOk ? null : `connection.close-ok was expected, and there was ${said}`
    }
  }

  // What the server does.

  received(chunk: Buffer): void {
    if (this.wrong !== null) return
    try {
      this.reader.push(chunk)
    } catch (error) {
      this.wrong = (error as Error).message
    }
  }

  drained(): void {}

  closed(): void {
    this.isClosed = true
  }

  method(channel: number, method: Method): void {
    switch (method.name) {
      case 'connection.tune':
        this.reader.frameBytesMax = method.args.frameMax
        return
      case 'connection.close-ok':
        this.saidCloseOk = true
        return
      case 'connection.close':
      case 'channel.close': {
        const { replyCode, replyText } = method.args
        const closes = method.name === 'channel.close' ? 'channel' : 'connection'
        this.codes.push({ closes, code: replyCode, text: replyText })
        const { answers } = this.script
        if (answers !== 'all' && answers !== method.name) return
        if (closes === 'connection') return this.write(frame(1, 0, connectionCloseOk))
        // It goes on where it was stopped.
        this.write(frame(1, channel, channelCloseOk))
        return this.write(frame(1, channel, channelOpen))
      }
      default:
    }
  }

  content(): void {}

  private write(octets: Buffer): void {
    if (this.isClosed || octets.length === 0) return
    this.connection.write(octets, octets.length, null)
  }
}

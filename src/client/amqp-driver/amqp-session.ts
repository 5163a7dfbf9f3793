/**
 * A session over the wire: one connection, its login, its heartbeat and its channels.
 *
 *     login ──▶ open ──▶ closing ──▶ closed
 *       └─────────┴── the broker says connection.close, or the connection is lost ──▶ closed
 *
 * Input is read as it comes, and after each chunk the channels that heard something are told so once. Output gathers in a
 * buffer and leaves at the end of the turn in one write.
 */
import { closeArguments, closeError } from '../../amqp/close-reason.ts'
import { ConnectionOutput, type OutputEvents } from '../../amqp/connection-output.ts'
import { DeliveryDecoder } from '../../amqp/delivery-decoder.ts'
import { FrameReader, type FrameSink } from '../../amqp/frame-reader.ts'
import type { BufferPool, FrameWriter } from '../../amqp/frame-writer.ts'
import { Heartbeat } from '../../amqp/heartbeat.ts'
import { type Arguments, decodeMethod, type Method, type MethodName } from '../../amqp/methods.ts'
import type { ShortStringCache } from '../../amqp/short-strings.ts'
import type { AmqpUri } from '../../amqp/uri.ts'
import type { ChannelEvents, Login, Session, SessionEvents } from '../../model/channel.ts'
import type { Command } from '../../model/command.ts'
import { BrokerError, LeveretError } from '../../model/errors.ts'
import { limits } from '../../model/limits.ts'
import type { Connection, ConnectionEvents } from '../../platform/network.ts'
import type { Platform } from '../../platform/platform.ts'
import { clientLimits } from '../client-limits.ts'
import { AmqpChannel, type ChannelLine } from './amqp-channel.ts'
import { BrokerQuestions } from './broker-questions.ts'
import { ClientLogin, type LoginHost } from './client-login.ts'

/** What all sessions of a driver have in common. */
export interface SessionParts {
  readonly platform: Platform
  readonly pool: BufferPool
  readonly strings: ShortStringCache
  readonly uri: AmqpUri
  readonly options: { readonly version?: string }
}

type State = 'login' | 'open' | 'closing' | 'closed'

const protocolHeader = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1])
const tickMs = 500
// How long the broker may take to answer connection.close before we just hang up.
const closeMs = 5_000
/** The largest that RabbitMQ can be set to take, in bytes. */
const foreignMessageBytesMax = 536_870_912

export class AmqpSession implements Session, ConnectionEvents, FrameSink, OutputEvents, LoginHost, ChannelLine {
  readonly frames: FrameWriter
  readonly deliveries: DeliveryDecoder
  private readonly parts: SessionParts
  private readonly connection: Connection
  private readonly events: SessionEvents
  private readonly ended: (session: AmqpSession) => void
  private readonly output: ConnectionOutput
  private readonly reader: FrameReader
  private readonly pulse: Heartbeat = new Heartbeat()
  private readonly channels: Map<number, AmqpChannel> = new Map()
  private readonly told: Set<AmqpChannel> = new Set()
  /** The last one in `told`: mostly the next frame is for it too. */
  private lastTold: AmqpChannel | null = null
  private readonly paused: Set<AmqpChannel> = new Set()
  private state: State = 'login'
  private login: ClientLogin | null = null
  private readonly questions: BrokerQuestions = new BrokerQuestions(this)
  private settleOpen: ((error: Error | null) => void) | null = null
  private settleClose: (() => void) | null = null
  private closing: Promise<void> | null = null
  private channelsMax = 0
  private hasReceived = false
  private isFlushDue = false
  private isThrottled = false
  private cancelTimer: (() => void) | null = null

  constructor(
    parts: SessionParts,
    connection: Connection,
    events: SessionEvents,
    ended: (session: AmqpSession) => void,
  ) {
    this.parts = parts
    this.connection = connection
    this.events = events
    this.ended = ended
    this.output = new ConnectionOutput(connection, parts.pool, limits.frameBytesMin, this)
    this.frames = this.output.frames
    this.deliveries = new DeliveryDecoder(parts.strings)
    this.reader = new FrameReader(this, limits.frameBytesMax)
    connection.attach(this)
  }

  /** Logs in. Rejects with what the broker says, or with E_CONNECT_FAILED. */
  open(login: Login, timeoutMs: number): Promise<void> {
    this.login = new ClientLogin(login, this.parts.uri, this.parts.options.version, this)
    const opened = new Promise<void>((resolve, reject) => {
      this.settleOpen = (error) => (error === null ? resolve() : reject(error))
    })
    this.cancelTimer = this.clock.setTimer(timeoutMs, () =>
      this.loginFailed('the broker did not finish the login in time'),
    )
    this.frames.bytes(protocolHeader, 0, protocolHeader.length)
    this.flush()
    return opened
  }

  openChannel(events: ChannelEvents): AmqpChannel {
    if (this.state !== 'open') throw new BrokerError('CONNECTION_FORCED', 'the connection to the broker is closed')
    const number = this.freeNumber()
    const channel = new AmqpChannel(number, this, events)
    this.channels.set(number, channel)
    this.frames.method(number, 'channel.open', {})
    this.flushSoon()
    return channel
  }

  /** Resolves when the broker has answered, or is not there any more. */
  close(): Promise<void> {
    this.closing ??= this.sayClose()
    return this.closing
  }

  private sayClose(): Promise<void> {
    if (this.state === 'closed') return Promise.resolve()
    if (this.state === 'login') {
      this.loginFailed('it was closed meanwhile')
      return Promise.resolve()
    }
    this.state = 'closing'
    for (const channel of this.channels.values()) channel.detach()
    this.openReading()
    this.cancelTimer?.()
    this.cancelTimer = this.clock.setTimer(closeMs, () => this.connection.destroy())
    this.send('connection.close', { replyCode: 200, replyText: 'Goodbye', classId: 0, methodId: 0 })
    this.flush()
    return new Promise((resolve) => {
      this.settleClose = resolve
    })
  }

  private get clock(): Platform['clock'] {
    return this.parts.platform.clock
  }

  private freeNumber(): number {
    for (let number = 1; number <= this.channelsMax; number++) if (!this.channels.has(number)) return number
    throw new BrokerError('NOT_ALLOWED', `all ${this.channelsMax} channels of the connection are in use`)
  }

  // The connection.

  received(chunk: Buffer): void {
    this.hasReceived = true
    if (this.state === 'closed') return
    try {
      this.reader.push(chunk)
    } catch (error) {
      this.inputFailed(error)
    }
    this.tell()
  }

  drained(): void {
    this.output.relieve()
  }

  closed(error: Error | null): void {
    this.settleClose?.()
    if (this.state === 'login') {
      const hint = this.login?.isJudged === true ? ', most likely because it refused the user or the password' : ''
      this.loginFailed(`the broker closed the connection during the login${hint}`, error)
    } else if (this.state === 'open') {
      const reason = error === null ? 'the broker closed it without a word' : error.message
      this.end(new BrokerError('CONNECTION_FORCED', `the connection to the broker was lost: ${reason}`))
    } else this.end(null)
  }

  /** Each channel that heard something gets its chance to act on it. */
  private tell(): void {
    if (this.told.size === 0) return
    const told = [...this.told]
    this.told.clear()
    this.lastTold = null
    for (const channel of told) channel.flush()
  }

  // Frames.

  method(number: number, buffer: Buffer, start: number, end: number): void {
    const channel = this.channels.get(number)
    if (channel !== undefined) {
      channel.method(buffer, start, end)
    } else if (number === 0) this.methodOnZero(decodeMethod(buffer, start, end))
    else if (this.state === 'open')
      throw new BrokerError('CHANNEL_ERROR', `the broker uses channel ${number}, which is closed`)
  }

  header(number: number, buffer: Buffer, start: number, end: number): void {
    this.channels.get(number)?.header(buffer, start, end)
  }

  body(number: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    this.channels.get(number)?.body(buffer, start, end, last)
  }

  heartbeat(): void {
    // Every octet that comes counts as one, so the frame itself says nothing more.
  }

  private methodOnZero(method: Method): void {
    switch (method.name) {
      case 'connection.close':
        return this.closedByBroker(method.args)
      case 'connection.close-ok':
        if (this.state === 'closing') this.connection.end()
        return
      case 'connection.blocked':
        return this.events.blocked(method.args.reason)
      case 'connection.unblocked':
        return this.events.unblocked()
      default:
        if (this.state === 'login') this.login?.method(method)
        else if (this.state === 'open') throw new BrokerError('COMMAND_INVALID', `unexpected method ${method.name}`)
    }
  }

  private closedByBroker(args: Arguments<'connection.close'>): void {
    const error = closeError(args)
    this.send('connection.close-ok', {})
    this.output.frames.flush()
    this.connection.end()
    if (this.state === 'login') return this.finishLogin(error)
    const method = args.classId * 65536 + args.methodId
    if (this.state === 'open') for (const channel of this.channels.values()) this.blame(channel, method, error)
    this.tell()
    this.end(this.state === 'open' ? error : null)
  }

  private blame(channel: AmqpChannel, method: number, error: BrokerError): void {
    channel.blame(method, error)
    this.said(channel)
  }

  // The login asks for these.

  send<Name extends MethodName>(name: Name, args: Arguments<Name>): void {
    this.frames.method(0, name, args)
    this.flushSoon()
  }

  tuned({ channelMax, frameMax, heartbeat }: Arguments<'connection.tune-ok'>): void {
    this.channelsMax = channelMax === 0 ? 65_535 : channelMax
    const frameBytesMax = frameMax === 0 ? limits.frameBytesMax : frameMax
    // Brokers let the headers of a message grow beyond a frame, and would deliver it again and again to who refuses that.
    this.reader.payloadBytesMax = Math.max(frameBytesMax, clientLimits.deliveryHeaderBytesMax)
    this.frames.frameBytesMax = frameBytesMax
    this.pulse.start(heartbeat, this.clock.monotonicMs())
  }

  opened(): void {
    this.state = 'open'
    this.finishLogin(null)
    this.scheduleTick()
  }

  private finishLogin(error: Error | null): void {
    this.cancelTimer?.()
    this.cancelTimer = null
    if (error !== null) this.end(null)
    this.settleOpen?.(error)
    this.settleOpen = null
  }

  private loginFailed(reason: string, cause?: unknown): void {
    if (this.state !== 'login') return
    const { host, port } = this.parts.uri
    this.finishLogin(new LeveretError('E_CONNECT_FAILED', `cannot log in at ${host}:${port}: ${reason}`, cause))
    this.connection.destroy()
  }

  // The channels ask for these.

  flushSoon(): void {
    if (this.isFlushDue) return
    this.isFlushDue = true
    this.clock.defer(() => this.flush())
  }

  said(channel: AmqpChannel): void {
    if (channel === this.lastTold) return
    this.lastTold = channel
    this.told.add(channel)
  }

  tellSoon(channel: AmqpChannel): void {
    this.said(channel)
    this.clock.defer(() => this.tell())
  }

  forget(number: number): void {
    const channel = this.channels.get(number)
    if (channel !== undefined) this.resumeReading(channel)
    this.channels.delete(number)
  }

  pauseReading(channel: AmqpChannel): void {
    if (this.state !== 'open') return
    if (this.paused.size === 0) this.connection.pause()
    this.paused.add(channel)
  }

  resumeReading(channel: AmqpChannel): void {
    if (this.paused.delete(channel) && this.paused.size === 0) this.connection.resume()
  }

  /** Whether the broker understands leveret.* commands; known when the session is open. */
  get isLeveret(): boolean {
    return this.login?.product === 'Leveret'
  }

  /** The largest body that is sent to this broker, in bytes. One that does not say what it takes may take what RabbitMQ can. */
  get messageBytesMax(): number {
    return this.login?.messageBytesMax ?? foreignMessageBytesMax
  }

  ask(channel: AmqpChannel, id: number, command: Command): void {
    if (this.isLeveret) return this.questions.ask(channel, id, command)
    const product = this.login?.product ?? ''
    const text = `${command.type} is understood by Leveret alone, and this broker calls itself '${product}'`
    channel.refuse(id, new BrokerError('NOT_IMPLEMENTED', text))
  }

  private openReading(): void {
    if (this.paused.size > 0) this.connection.resume()
    this.paused.clear()
  }

  // Output.

  private flush(): void {
    this.isFlushDue = false
    if (this.state !== 'closed') this.output.frames.flush()
  }

  outputFull(): void {
    this.throttle(true)
  }

  outputOverfull(): void {
    // Whoever publishes was asked to stop long ago.
  }

  outputDrained(): void {
    this.throttle(false)
  }

  /** Not at once: it may be found out inside a call of publish. */
  private throttle(isThrottled: boolean): void {
    this.clock.defer(() => {
      if (this.isThrottled === isThrottled || this.state !== 'open' || this.output.isFull !== isThrottled) return
      this.isThrottled = isThrottled
      if (isThrottled) this.events.throttled()
      else this.events.resumed()
    })
  }

  // Time.

  private scheduleTick(): void {
    const plannedMs = this.clock.monotonicMs() + tickMs
    this.cancelTimer = this.clock.setTimer(tickMs, () => this.tick(plannedMs))
  }

  private tick(plannedMs: number): void {
    const nowMs = this.clock.monotonicMs()
    const { pulse, output } = this
    if (this.hasReceived || this.paused.size > 0) pulse.noteReceived(nowMs)
    // A process that stood still must not take its own silence for the broker's.
    else pulse.excuse(Math.max(0, nowMs - plannedMs - tickMs))
    pulse.look(nowMs, output.hasSent)
    this.hasReceived = false
    output.hasSent = false
    if (pulse.isPeerLost(nowMs)) {
      this.end(new BrokerError('CONNECTION_FORCED', 'the connection to the broker was lost: no heartbeat came'))
      return
    }
    if (pulse.isDue(nowMs, tickMs / 2)) {
      this.frames.heartbeat()
      this.flush()
    }
    this.scheduleTick()
  }

  // The end.

  private inputFailed(error: unknown): void {
    const known = error instanceof BrokerError
    const reason = known ? error : new BrokerError('INTERNAL_ERROR', `the client has failed: ${String(error)}`)
    if (this.state === 'login') {
      this.loginFailed(reason.message, error)
      return
    }
    if (this.state !== 'open') return
    this.send('connection.close', closeArguments(reason, 0))
    this.flush()
    this.connection.end()
    this.end(reason)
  }

  /** Null: whoever used the session knows already. */
  private end(error: BrokerError | null): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.cancelTimer?.()
    this.cancelTimer = null
    for (const channel of this.channels.values()) channel.detach()
    this.channels.clear()
    this.frames.clear()
    this.ended(this)
    if (error === null) return
    this.connection.destroy()
    this.events.closed(error)
  }
}

/**
 * One connection of a remote client, from its first octet to its last:
 *
 *     header ──▶ handshake ──▶ running ──▶ ending ──▶ closed     the client says connection.close
 *                    │             └─────▶ closing ──▶ closed     we say it, and wait for close-ok
 *                    └──▶ dropped ──▶ closed                      silence for three seconds, then the socket goes
 *
 * It reads frames and hands those of channels to their adapters, answers the methods of channel 0, sends what was written
 * in a turn as one write, and is the one place where an error becomes connection.close. Nothing a peer sends gets past it:
 * what is neither the peer's fault nor known is reported, costs that peer its connection, and no one else anything.
 */
import { closeArguments } from '../amqp/close-reason.ts'
import { ConnectionOutput, type OutputEvents } from '../amqp/connection-output.ts'
import { FrameReader, type FrameSink, frameBody, frameHeader, frameMethod } from '../amqp/frame-reader.ts'
import type { BufferPool, FrameWriter } from '../amqp/frame-writer.ts'
import { type Arguments, decodeMethod, type Method, type MethodName } from '../amqp/methods.ts'
import { frameText } from '../amqp/octet-text.ts'
import { PublishDecoder } from '../amqp/publish-decoder.ts'
import type { ShortStringCache } from '../amqp/short-strings.ts'
import type { BodyStore } from '../model/bodies.ts'
import type { Driver, Session } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import type { FieldTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import type { Connection, ConnectionEvents } from '../platform/network.ts'
import type { Platform } from '../platform/platform.ts'
import { certificateUserOf } from './certificate-user.ts'
import { ChannelAdapter } from './channel-adapter.ts'
import type { ChannelHost } from './channel-host.ts'
import { ChannelLoad } from './channel-load.ts'
import { Handshake, type HandshakeHost } from './handshake.ts'
import { HeldFrames } from './held-frames.ts'
import { OpenChannels } from './open-channels.ts'
import { PeerWatch } from './peer-watch.ts'
import { ProtocolHeader } from './protocol-header.ts'
import { pauseReasons, ReadGate } from './read-gate.ts'
import { SessionSignals, type SignalledConnection } from './session-signals.ts'
import type { Settings } from './settings.ts'
import type { Stranger, Strangers } from './strangers.ts'

/** What all connections of a server have in common. */
export interface ConnectionShared {
  readonly platform: Platform
  readonly driver: Driver
  readonly settings: Settings
  readonly serverProperties: FieldTable
  readonly pool: BufferPool
  readonly strings: ShortStringCache
  readonly reportError: (error: unknown) => void
  readonly strangers: Strangers
  readonly forget: (connection: ServerConnection) => void
}

type State = 'header' | 'handshake' | 'running' | 'ending' | 'parted' | 'closing' | 'dropped' | 'closed'

// RabbitMQ's: time for a peer to read why, and for a guesser to wait.
const dropMs = 3_000
// Each costs us an error with its stack, and some fit in 8 octets. A client that is being closed makes none.
const mistakesMax = 100
// How long a peer may take to answer connection.close, unless its heartbeat is shorter.
const closeMs = 30_000

export class ServerConnection
  implements ConnectionEvents, FrameSink, HandshakeHost, ChannelHost, SignalledConnection, OutputEvents
{
  readonly remoteAddress: string
  readonly certificateUser: string | null
  readonly frames: FrameWriter
  readonly publishes: PublishDecoder
  readonly messageBytesMax: number
  notifiesCancels = false
  readonly load: ChannelLoad
  private readonly shared: ConnectionShared
  private readonly connection: Connection
  private readonly output: ConnectionOutput
  private readonly reader: FrameReader
  private readonly gate: ReadGate
  private readonly handshake: Handshake
  private readonly watch: PeerWatch
  private readonly signals: SessionSignals
  private readonly protocolHeader: ProtocolHeader = new ProtocolHeader()
  private readonly held: HeldFrames = new HeldFrames()
  private readonly channels: OpenChannels = new OpenChannels()
  private state: State = 'header'
  /** The last method on channel 0. */
  private methodId = 0
  private channelsMax = 0
  private readonly stranger: Stranger
  /** What was wrong since the connection began to close. */
  private mistakes = 0
  private session: Session | null = null
  private sessionEnd: Promise<void> | null = null

  constructor(shared: ConnectionShared, connection: Connection) {
    const { settings, pool, strings, driver } = shared
    this.shared = shared
    this.connection = connection
    this.remoteAddress = connection.remoteAddress
    this.certificateUser = certificateUserOf(connection.certificate ?? null, settings.certificateUser)
    this.messageBytesMax = settings.messageBytesMax
    this.output = new ConnectionOutput(connection, pool, limits.frameBytesInitial, this)
    this.frames = this.output.frames
    this.publishes = new PublishDecoder(strings)
    this.reader = new FrameReader(this, limits.frameBytesInitial)
    this.gate = new ReadGate(connection)
    this.load = new ChannelLoad(this.gate)
    this.signals = new SessionSignals(this.gate, this)
    this.watch = new PeerWatch(shared.platform.clock, this.gate, this.output, settings.handshakeMs)
    this.handshake = new Handshake(driver, settings, this, (login) => driver.openSession(login, this.signals))
    this.stranger = shared.strangers.came(this.remoteAddress)
    connection.attach(this)
  }

  // The socket.

  received(chunk: Buffer): void {
    this.watch.hasReceived = true
    if (this.state === 'dropped' || this.state === 'closed' || this.reader.broken) return
    const start = this.state === 'header' ? this.readProtocolHeader(chunk) : 0
    this.read(chunk, start)
    this.output.frames.flush()
  }

  drained(): void {
    this.output.relieve()
  }

  closed(_error: Error | null): void {
    this.state = 'closed'
    this.stranger.known()
    this.channels.detach()
    this.frames.clear()
    void this.endSession()
    this.shared.forget(this)
  }

  private readProtocolHeader(chunk: Buffer): number {
    const start = this.protocolHeader.push(chunk)
    if (this.protocolHeader.isWrong) {
      this.frames.bytes(ProtocolHeader.answer, 0, ProtocolHeader.answer.length)
      this.frames.flush()
      this.hangUp()
    } else if (this.protocolHeader.isComplete) {
      this.state = 'handshake'
      this.handshake.start(this.shared.serverProperties)
    }
    return start
  }

  private read(chunk: Buffer, start: number): void {
    let at = start
    while (at < chunk.length) {
      try {
        this.reader.push(chunk, at)
        return
      } catch (error) {
        this.inputFailed(error)
        if (this.reader.broken || this.isBeyondHope()) return
        at = this.reader.next
      }
    }
  }

  /** Whether either side has said connection.close. */
  private get isOver(): boolean {
    return this.state === 'closing' || this.state === 'ending' || this.state === 'parted'
  }

  /** Whether nothing that may follow counts, or so much of it is wrong that it is not worth looking for what does. */
  private isBeyondHope(): boolean {
    if (this.state === 'dropped' || this.state === 'closed') return true
    if (!this.isOver || ++this.mistakes < mistakesMax) return false
    this.gate.closeForGood()
    this.dropLater()
    return true
  }

  // Frames.

  method(number: number, buffer: Buffer, start: number, end: number): void {
    const { channels } = this
    const adapter = number === channels.number ? channels.current : channels.select(number)
    if (adapter !== null) adapter.method(buffer, start, end)
    else this.methodElsewhere(number, buffer, start, end)
  }

  header(number: number, buffer: Buffer, start: number, end: number): void {
    if (this.signals.alarm !== null) this.signals.stopPublisher(this.signals.alarm)
    const { channels } = this
    const adapter = number === channels.number ? channels.current : channels.select(number)
    if (adapter !== null) adapter.header(buffer, start, end)
    else this.contentElsewhere(frameHeader, buffer, start, end, true)
  }

  body(number: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    // A large body goes to the disk while it comes.
    if (this.signals.alarm !== null) this.signals.stopPublisher(this.signals.alarm)
    const { channels } = this
    const adapter = number === channels.number ? channels.current : channels.select(number)
    if (adapter !== null) adapter.body(buffer, start, end, last)
    else this.contentElsewhere(frameBody, buffer, start, end, last)
  }

  heartbeat(): void {
    // Every octet that comes counts as one, so the frame itself says nothing more.
  }

  private methodElsewhere(number: number, buffer: Buffer, start: number, end: number): void {
    if (this.isOver && number !== 0) return
    if (this.state === 'handshake' && this.handshake.isWaiting) return this.hold(frameMethod, buffer, start, end, true)
    this.methodId = 0
    if (number !== 0 && this.state !== 'running') {
      throw new BrokerError('UNEXPECTED_FRAME', frameText(frameMethod, buffer, start, end))
    }
    if (end - start >= 4) this.methodId = buffer.readUInt32BE(start)
    const method = decodeMethod(buffer, start, end)
    if (number === 0) return this.methodOnZero(method)
    if (method.name !== 'channel.open') throw new BrokerError('CHANNEL_ERROR', "expected 'channel.open'")
    this.openChannel(number)
  }

  private contentElsewhere(type: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    if (this.isOver) return
    if (this.state === 'handshake' && this.handshake.isWaiting) return this.hold(type, buffer, start, end, last)
    this.methodId = 0
    const isExpected = this.channels.number !== 0 && this.state === 'running'
    const text = isExpected
      ? 'expected method frame, got non method frame instead'
      : frameText(type, buffer, start, end)
    throw new BrokerError('UNEXPECTED_FRAME', text)
  }

  /** While the driver is asked about the client, what the client says further waits. */
  private hold(type: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    this.held.add(type, this.channels.number, buffer, start, end, last)
    this.gate.pause(pauseReasons.held)
    const isTooMuch = this.handshake.isAuthenticating && this.held.bytes > limits.strangerBytesMax
    // Whoever has that much to say before he knows that he may come in is not let in.
    if (isTooMuch) throw new BrokerError('RESOURCE_ERROR', 'too much before the login')
  }

  private openChannel(number: number): void {
    const { channels, channelsMax } = this
    if (channels.count >= channelsMax) {
      // RabbitMQ names no method here.
      this.methodId = 0
      const text = `number of channels opened (${channels.count}) has reached the negotiated channel_max (${channelsMax})`
      throw new BrokerError('NOT_ALLOWED', text)
    }
    const adapter = new ChannelAdapter(number, this)
    adapter.opened((this.session as Session).openChannel(adapter))
    if (this.output.isFull) adapter.pauseDeliveries()
    channels.add(adapter)
    this.frames.method(number, 'channel.open-ok', {})
  }

  // Channel 0.

  private methodOnZero(method: Method): void {
    switch (this.state) {
      case 'handshake':
        if (method.name === 'connection.close') return this.closeRequested()
        return this.handshake.method(method)
      case 'closing':
        if (method.name === 'connection.close-ok') this.hangUp()
        else if (method.name === 'connection.close') this.send('connection.close-ok', {})
        return
      case 'ending':
      case 'parted':
        // Threads of a client may close their connection at the same time: each waits for its answer.
        if (method.name === 'connection.close' && ++this.mistakes < mistakesMax) this.closeRequested()
        return
      case 'running':
        return this.methodWhileRunning(method)
      default:
    }
  }

  private methodWhileRunning(method: Method): void {
    switch (method.name) {
      case 'connection.close':
        return this.closeRequested()
      case 'connection.update-secret':
        return this.send('connection.update-secret-ok', {})
      default:
        throw new BrokerError('CHANNEL_ERROR', 'unexpected method in connection state running')
    }
  }

  private closeRequested(): void {
    this.state = 'ending'
    this.channels.detach()
    this.watch.expireIn(closeMs)
    this.endSession()
      .then(() => {
        this.send('connection.close-ok', {})
        this.part()
      })
      .catch(this.shared.reportError)
  }

  // The handshake asks for these.

  answered(): void {
    if (this.state !== 'handshake' && this.state !== 'running') return
    this.gate.resume(pauseReasons.held)
    this.replay(this.held)
  }

  send<Name extends MethodName>(name: Name, args: Arguments<Name>): void {
    if (this.state !== 'closed' && this.state !== 'dropped') this.frames.method(0, name, args)
  }

  flush(): void {
    if (this.state !== 'closed') this.output.frames.flush()
  }

  refuse(error: BrokerError, methodId: number): void {
    if (this.state === 'handshake') this.sayClose(error, methodId)
  }

  dropLater(): void {
    if (this.state === 'closed') return
    this.state = 'dropped'
    this.watch.expireIn(dropMs)
  }

  tuned({ channelMax, frameMax, heartbeat }: Arguments<'connection.tune-ok'>): void {
    this.channelsMax = channelMax
    this.reader.payloadBytesMax = frameMax
    this.frames.frameBytesMax = frameMax
    this.watch.tuned(heartbeat)
  }

  opened(session: Session): void {
    this.stranger.known()
    if (this.state !== 'handshake') {
      // The client went away, or was sent away, while the driver was at it.
      void session.close().catch(this.shared.reportError)
      return
    }
    this.session = session
    this.state = 'running'
    this.watch.expireNever()
    this.notifiesCancels = this.handshake.isCapable('consumer_cancel_notify')
    this.send('connection.open-ok', {})
    this.flush()
  }

  crashed(error: unknown): void {
    this.channels.select(0)
    this.inputFailed(error)
    this.flush()
  }

  // The channels ask for these.

  forget(number: number): void {
    this.channels.remove(number)
  }

  fail(error: BrokerError, methodId: number): void {
    this.closeWith(error, methodId)
    this.flush()
  }

  replay(held: HeldFrames): void {
    held.replay(this, (error) => this.inputFailed(error))
    this.flush()
  }

  get bodies(): BodyStore | null {
    return this.shared.driver.bodies ?? null
  }

  // The session's signals ask for these.

  get isRunning(): boolean {
    return this.state === 'running'
  }

  get notifiesBlocked(): boolean {
    return this.handshake.isCapable('connection.blocked')
  }

  sessionClosed(error: BrokerError): void {
    this.session = null
    this.fail(error, 0)
  }

  // Back-pressure of the output.

  outputFull(): void {
    this.channels.pauseDeliveries()
  }

  outputOverfull(): void {
    this.gate.pause(pauseReasons.output)
  }

  outputDrained(): void {
    this.gate.resume(pauseReasons.output)
    this.channels.resumeDeliveries()
  }

  // Time: called by the server's one timer.

  /** `lateMs`: how much longer than planned nobody could read. `slackMs`: half the time until the next call. */
  tick(nowMs: number, lateMs: number, slackMs: number): void {
    if (this.watch.look(nowMs, lateMs)) return this.connection.destroy()
    if (this.watch.isHeartbeatDue(nowMs, slackMs) && this.state !== 'dropped' && this.state !== 'parted') {
      this.frames.heartbeat()
      this.frames.flush()
    }
  }

  // The end.

  private inputFailed(error: unknown): void {
    if (!(error instanceof BrokerError)) {
      this.shared.reportError(error)
      return this.closeWith(new BrokerError('INTERNAL_ERROR', 'the server has failed; its log says how'), 0)
    }
    const adapter = this.channels.current
    if (this.reader.broken) {
      this.closeWith(error, 0)
      this.gate.closeForGood()
      this.watch.expireIn(dropMs)
    } else if (adapter !== null && error.scope === 'channel') adapter.refuse(error)
    else this.closeWith(error, adapter === null ? this.methodId : adapter.methodId)
  }

  private closeWith(error: BrokerError, methodId: number): void {
    if (this.state === 'running' || (this.state === 'handshake' && this.handshake.isTuned))
      this.sayClose(error, methodId)
    // Whoever has not logged in learns nothing from his mistakes.
    else if (this.state === 'handshake') this.dropLater()
  }

  /** Says why and waits for close-ok. */
  private sayClose(error: BrokerError, methodId: number): void {
    this.state = 'closing'
    this.channels.detach()
    this.send('connection.close', closeArguments(error, methodId))
    this.gate.openForGood()
    this.watch.expireInInterval(closeMs)
    void this.endSession()
  }

  /** The server shuts down. */
  shutDown(error: BrokerError): void {
    if (this.state === 'running') this.fail(error, 0)
    else if (this.state !== 'closing' && this.state !== 'ending') this.connection.destroy()
  }

  destroy(): void {
    this.connection.destroy()
  }

  /** Resolves when the session has given back what it held. */
  endSession(): Promise<void> {
    if (this.sessionEnd === null) {
      const { session } = this
      this.session = null
      if (session === null) return Promise.resolve()
      this.sessionEnd = session.close().catch(this.shared.reportError)
    }
    return this.sessionEnd
  }

  /**
   * The client has its close-ok, and hangs up: were we first, some clients would take the end of the stream for a lost
   * connection, because they see it before whoever asked them to close has read the answer.
   */
  private part(): void {
    if (this.state !== 'ending' && this.state !== 'parted') return
    this.state = 'parted'
    this.frames.flush()
    this.gate.openForGood()
    this.watch.expireIn(closeMs)
  }

  /** Sends what is written, then ends; the socket goes when the peer has ended too, or at the deadline. */
  private hangUp(): void {
    if (this.state === 'closed') return
    this.state = 'dropped'
    this.frames.flush()
    this.gate.openForGood()
    this.watch.expireIn(dropMs)
    this.connection.end()
  }
}

/**
 * TCP between simulated processes. A stream arrives in order and whole, but in pieces of any size down to one byte, each
 * a seeded while later; between two connections nothing is ordered.
 *
 *     write ─▶ waiting (sender's, drained() when little is left) ─▶ under way ─▶ unread (receiver's, while it is paused)
 *                                                                 └──── at most windowBytes ────┘
 *
 * Bytes are taken from the sender's buffer when they leave, not when they are written: whoever uses a buffer again before
 * `written` sends rubbish here as it would on a socket.
 */
import { assert } from '../lib/assert.ts'
import type { Prng } from '../lib/prng.ts'
import type { Connection, ConnectionEvents, Listener, Network } from '../platform/network.ts'
import type { SimClock } from './sim-clock.ts'

export interface SimNetworkOptions {
  /** The slowest piece; delays are drawn between nothing and this. */
  readonly latencyMsMax: number
  readonly pieceBytesMax: number
  /** How many pieces of one to three bytes a connection sees at most; they cost time and prove the same each time. */
  readonly crumbsMax: number
  readonly windowBytes: number
  /** Above this, write() asks for a pause. */
  readonly waitingBytesMax: number
}

export const simNetworkDefaults: SimNetworkOptions = {
  latencyMsMax: 1,
  pieceBytesMax: 16_384,
  crumbsMax: 64,
  windowBytes: 65_536,
  waitingBytesMax: 65_536,
}

const ephemeralPortMin = 49_152

export class SimNetwork {
  readonly clock: SimClock
  readonly prng: Prng
  readonly options: SimNetworkOptions
  readonly listeners: Map<string, SimListener> = new Map()
  private readonly links: Set<Link> = new Set()
  private nextPort = ephemeralPortMin

  constructor(clock: SimClock, prng: Prng, options: Partial<SimNetworkOptions> = {}) {
    this.clock = clock
    this.prng = prng
    this.options = { ...simNetworkDefaults, ...options }
  }

  /** The network as one process sees it. */
  attachProcess(address: string): SimNetworkProcess {
    return new SimNetworkProcess(this, address)
  }

  get openConnections(): number {
    return this.links.size
  }

  /** One connection, chosen by the seed, is reset: both ends hear of it. False if there is none. */
  resetOne(): boolean {
    const link = this.chooseLink()
    link?.reset()
    return link !== null
  }

  /** One connection, chosen by the seed, falls silent: bytes vanish and neither end is told. */
  silenceOne(): boolean {
    const link = this.chooseLink()
    if (link !== null) link.isSilent = true
    return link !== null
  }

  takePort(): number {
    return this.nextPort++
  }

  delayMs(): number {
    return this.prng.next() * this.options.latencyMsMax
  }

  connectTo(client: SimNetworkProcess, host: string, port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      this.clock.after(this.delayMs(), () => {
        if (client.isDead) return
        const listener = this.listeners.get(`${host}:${port}`)
        if (listener === undefined || listener.process.isDead) {
          reject(systemError('ECONNREFUSED', `connect ${host}:${port}`))
          return
        }
        const link = new Link(this, client, listener, this.takePort())
        this.links.add(link)
        listener.accepted(link.server)
        this.clock.after(this.delayMs(), () => {
          if (!client.isDead) resolve(link.client)
        })
      })
    })
  }

  forget(link: Link): void {
    this.links.delete(link)
  }

  resetAllOf(process: SimNetworkProcess): void {
    for (const link of this.links) if (link.client.process === process || link.server.process === process) link.reset()
  }

  private chooseLink(): Link | null {
    const links = [...this.links]
    return links[this.prng.below(links.length)] ?? null
  }
}

/** The network of one process; when that dies, its connections are reset and nothing is called back any more. */
export class SimNetworkProcess implements Network {
  isDead = false
  readonly address: string
  private readonly network: SimNetwork

  constructor(network: SimNetwork, address: string) {
    this.network = network
    this.address = address
  }

  listen(host: string, port: number, accepted: (connection: Connection) => void): Promise<Listener> {
    const { network } = this
    const listener = new SimListener(network, this, host, port === 0 ? network.takePort() : port, accepted)
    const existing = network.listeners.get(listener.key)
    if (existing !== undefined && !existing.process.isDead) {
      return Promise.reject(systemError('EADDRINUSE', `listen ${listener.key}`))
    }
    network.listeners.set(listener.key, listener)
    return Promise.resolve(listener)
  }

  connect(host: string, port: number): Promise<Connection> {
    return this.network.connectTo(this, host, port)
  }

  crash(): void {
    this.isDead = true
    this.network.resetAllOf(this)
  }
}

class SimListener implements Listener {
  readonly host: string
  readonly port: number
  readonly process: SimNetworkProcess
  readonly accepted: (connection: Connection) => void
  private readonly network: SimNetwork

  constructor(
    network: SimNetwork,
    process: SimNetworkProcess,
    host: string,
    port: number,
    accepted: (connection: Connection) => void,
  ) {
    this.network = network
    this.process = process
    this.host = host
    this.port = port
    this.accepted = accepted
  }

  get key(): string {
    return `${this.host}:${this.port}`
  }

  close(): Promise<void> {
    if (this.network.listeners.get(this.key) === this) this.network.listeners.delete(this.key)
    return Promise.resolve()
  }
}

/** One TCP connection: two ends, each with the stream it sends. */
class Link {
  readonly client: SimConnection
  readonly server: SimConnection
  isSilent = false
  private readonly network: SimNetwork

  constructor(network: SimNetwork, client: SimNetworkProcess, listener: SimListener, clientPort: number) {
    this.network = network
    const { host, port, process } = listener
    this.client = new SimConnection(network, this, client, host, port, client.address, clientPort)
    this.server = new SimConnection(network, this, process, client.address, clientPort, host, port)
    this.client.peer = this.server
    this.server.peer = this.client
  }

  /** Both ends fail, each a while later; what was under way is lost. */
  reset(): void {
    this.network.forget(this)
    for (const end of [this.client, this.server]) end.fail(systemError('ECONNRESET', 'read'), this.network.delayMs())
  }

  /** One end has closed at once: the other one hears of it after what was under way. */
  closedBy(end: SimConnection): void {
    this.network.forget(this)
    if (!this.isSilent) end.peer.fail(systemError('ECONNRESET', 'read'), this.network.delayMs())
  }

  finished(): void {
    if (this.client.isClosed && this.server.isClosed) this.network.forget(this)
  }
}

interface Write {
  readonly buffer: Buffer
  readonly length: number
  readonly written: ((buffer: Buffer) => void) | null
}

class SimConnection implements Connection {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  readonly process: SimNetworkProcess
  peer!: SimConnection
  pendingBytes = 0
  isClosed = false
  private readonly network: SimNetwork
  private readonly link: Link
  private events: ConnectionEvents | null = null
  private readonly writes: Write[] = []
  /** Bytes of `writes[0]` that have left. */
  private sentBytes = 0
  private isPumping = false
  private isFull = false
  private isEnding = false
  private hasSentEnd = false
  private hasReceivedEnd = false
  private isPaused = false
  /** What arrived and was not read; null is the end of the stream. */
  private readonly unread: (Buffer | null)[] = []
  private unreadBytes = 0
  private underWayBytes = 0
  private lastArrivalMs = 0
  private crumbsLeft: number

  constructor(
    network: SimNetwork,
    link: Link,
    process: SimNetworkProcess,
    remoteAddress: string,
    remotePort: number,
    localAddress: string,
    localPort: number,
  ) {
    this.network = network
    this.link = link
    this.process = process
    this.remoteAddress = remoteAddress
    this.remotePort = remotePort
    this.localAddress = localAddress
    this.localPort = localPort
    this.crumbsLeft = network.prng.below(network.options.crumbsMax + 1)
  }

  attach(events: ConnectionEvents): void {
    assert(this.events === null, 'a connection is attached once')
    this.events = events
    if (this.unread.length > 0) this.later(0, () => this.read())
  }

  write(buffer: Buffer, length: number, written: ((buffer: Buffer) => void) | null): boolean {
    assert(length >= 0 && length <= buffer.length, 'the length lies within the buffer')
    if (this.isClosed || this.isEnding || length === 0) {
      if (written !== null) this.later(0, () => written(buffer))
      return length === 0
    }
    this.writes.push({ buffer, length, written })
    this.pendingBytes += length
    this.pumpLater()
    if (this.pendingBytes <= this.network.options.waitingBytesMax) return true
    this.isFull = true
    return false
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    this.later(0, () => this.read())
  }

  end(): void {
    if (this.isClosed || this.isEnding) return
    this.isEnding = true
    this.pumpLater()
  }

  destroy(): void {
    if (this.isClosed) return
    this.link.closedBy(this)
    this.close(null)
  }

  /** The connection ends with an error, after what is due before. */
  fail(error: Error, delayMs: number): void {
    this.network.clock.after(delayMs, () => this.close(error))
  }

  private close(error: Error | null): void {
    if (this.isClosed) return
    this.isClosed = true
    this.unread.length = 0
    const writes = this.writes.splice(0)
    this.pendingBytes = 0
    this.link.finished()
    this.later(0, () => {
      for (const { buffer, written } of writes) written?.(buffer)
      this.events?.closed(error)
    })
  }

  /** A dead process hears nothing. */
  private later(delayMs: number, callback: () => void): void {
    this.network.clock.after(delayMs, () => {
      if (!this.process.isDead) callback()
    })
  }

  private pumpLater(): void {
    if (this.isPumping) return
    this.isPumping = true
    this.later(0, () => {
      this.isPumping = false
      this.pump()
    })
  }

  /** Sends pieces while the receiver has room. */
  private pump(): void {
    const { options } = this.network
    while (!this.isClosed && this.pendingBytes > 0) {
      const room = options.windowBytes - this.underWayBytes - this.peer.unreadBytes
      if (room <= 0) break
      this.send(this.takePiece(Math.min(room, this.pieceBytes())))
    }
    if (this.isClosed) return
    if (this.isEnding && this.pendingBytes === 0 && !this.hasSentEnd) {
      this.hasSentEnd = true
      this.send(null)
      this.closeIfDone()
    }
    if (this.isFull && this.pendingBytes <= options.waitingBytesMax / 2) {
      this.isFull = false
      this.events?.drained()
    }
  }

  private pieceBytes(): number {
    const { prng, options } = this.network
    if (this.crumbsLeft > 0 && prng.chance(0.5)) {
      this.crumbsLeft--
      return 1 + prng.below(3)
    }
    return 1 + prng.below(options.pieceBytesMax)
  }

  private takePiece(bytesMax: number): Buffer {
    const piece = Buffer.allocUnsafeSlow(Math.min(bytesMax, this.pendingBytes))
    let filled = 0
    while (filled < piece.length) {
      const { buffer, length, written } = this.writes[0] as Write
      const bytes = Math.min(piece.length - filled, length - this.sentBytes)
      buffer.copy(piece, filled, this.sentBytes, this.sentBytes + bytes)
      filled += bytes
      this.sentBytes += bytes
      if (this.sentBytes < length) break
      this.writes.shift()
      this.sentBytes = 0
      if (written !== null) this.later(0, () => written(buffer))
    }
    this.pendingBytes -= piece.length
    return piece
  }

  private send(piece: Buffer | null): void {
    const { clock } = this.network
    this.lastArrivalMs = Math.max(this.lastArrivalMs, clock.monotonicMs() + this.network.delayMs())
    this.underWayBytes += piece?.length ?? 0
    clock.after(this.lastArrivalMs - clock.monotonicMs(), () => {
      this.underWayBytes -= piece?.length ?? 0
      if (!this.link.isSilent) this.peer.arrive(piece)
    })
  }

  private arrive(piece: Buffer | null): void {
    if (this.isClosed || this.process.isDead) return
    this.unread.push(piece)
    this.unreadBytes += piece?.length ?? 0
    this.read()
  }

  private read(): void {
    while (!this.isPaused && !this.isClosed && this.events !== null && this.unread.length > 0) {
      const piece = this.unread.shift() as Buffer | null
      if (piece === null) {
        this.hasReceivedEnd = true
        this.end()
      } else {
        this.unreadBytes -= piece.length
        this.peer.pumpLater()
        this.events.received(piece)
      }
    }
    this.closeIfDone()
  }

  private closeIfDone(): void {
    if (this.hasReceivedEnd && this.hasSentEnd && !this.isClosed) this.close(null)
  }
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${what}`), { code })
}

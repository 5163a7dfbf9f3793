// Connections in memory, driven by a clock: what is written arrives in a later turn, in pieces if somebody wants that.
// A buffer is spoilt when it goes back to its writer, so that writing into a buffer too early shows.
import type { Clock } from '../../src/platform/clock.ts'
import type { Connection, ConnectionEvents, Listener, Network } from '../../src/platform/network.ts'

/** What a peer may leave unread before write() asks for a pause. */
const kernelBytes = 65_536

interface Parcel {
  readonly buffer: Buffer
  readonly length: number
  readonly written: ((buffer: Buffer) => void) | null
}

export class MemoryConnection implements Connection {
  readonly remoteAddress: string
  readonly remotePort: number = 50_000
  readonly localAddress: string = '127.0.0.1'
  readonly localPort: number = 5672
  peer: MemoryConnection | null = null
  pendingBytes = 0
  isPaused = false
  isClosed = false
  writes = 0
  private readonly clock: Clock
  private readonly chunkBytesMax: number
  private events: ConnectionEvents | null = null
  private readonly inbox: Parcel[] = []
  private isFull = false
  private hasEnded = false

  constructor(clock: Clock, remoteAddress: string, chunkBytesMax: number) {
    this.clock = clock
    this.remoteAddress = remoteAddress
    this.chunkBytesMax = chunkBytesMax
  }

  attach(events: ConnectionEvents): void {
    this.events = events
  }

  write(buffer: Buffer, length: number, written: ((buffer: Buffer) => void) | null): boolean {
    const { peer } = this
    if (peer === null || this.isClosed || this.hasEnded) return false
    this.writes++
    this.pendingBytes += length
    peer.inbox.push({ buffer, length, written })
    this.clock.defer(() => peer.pump())
    if (this.pendingBytes <= kernelBytes) return true
    this.isFull = true
    return false
  }

  private pump(): void {
    while (!this.isPaused && !this.isClosed) {
      const parcel = this.inbox.shift()
      if (parcel === undefined) break
      const bytes = Buffer.from(parcel.buffer.subarray(0, parcel.length))
      this.peer?.taken(parcel)
      for (let at = 0; at < bytes.length; at += this.chunkBytesMax) {
        this.events?.received(Buffer.from(bytes.subarray(at, at + this.chunkBytesMax)))
      }
    }
    if (this.inbox.length === 0 && this.peer?.hasEnded === true) this.close(null)
  }

  private taken({ buffer, length, written }: Parcel): void {
    this.pendingBytes -= length
    buffer.fill(0xee)
    written?.(buffer)
    if (!this.isFull || this.pendingBytes > kernelBytes / 2) return
    this.isFull = false
    this.events?.drained()
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.clock.defer(() => this.pump())
  }

  end(): void {
    this.hasEnded = true
    const { peer } = this
    this.clock.defer(() => peer?.pump())
  }

  destroy(): void {
    this.close(null)
  }

  /** Both ends close; whoever learns it second learns it later. */
  close(error: Error | null): void {
    if (this.isClosed) return
    this.isClosed = true
    this.events?.closed(error)
    const { peer } = this
    this.clock.defer(() => peer?.close(error))
  }
}

export class MemoryNetwork implements Network {
  /** The next connections come from here. */
  remoteAddress = '127.0.0.1'
  chunkBytesMax = 65_536
  readonly accepted: MemoryConnection[] = []
  private readonly clock: Clock
  private readonly listeners: Map<number, (connection: Connection) => void> = new Map()

  constructor(clock: Clock) {
    this.clock = clock
  }

  async listen(host: string, port: number, accepted: (connection: Connection) => void): Promise<Listener> {
    this.listeners.set(port, accepted)
    return {
      host,
      port,
      close: async () => {
        this.listeners.delete(port)
      },
    }
  }

  async connect(_host: string, port: number): Promise<MemoryConnection> {
    const accept = this.listeners.get(port)
    if (accept === undefined) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    const client = new MemoryConnection(this.clock, '127.0.0.1', this.chunkBytesMax)
    const server = new MemoryConnection(this.clock, this.remoteAddress, this.chunkBytesMax)
    client.peer = server
    server.peer = client
    this.accepted.push(server)
    accept(server)
    return client
  }
}

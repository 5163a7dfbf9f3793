/** TCP, and TLS over it. Listening sockets and open connections keep the process alive. */
import * as net from 'node:net'
import { assert } from '../lib/assert.ts'
import type {
  Connection,
  ConnectionEvents,
  Listener,
  Network,
  PeerCertificate,
  TlsClient,
  TlsServer,
} from './network.ts'
import { connectTls, createTlsServer } from './node-tls.ts'

// Above this, write() asks for a pause: enough to keep a fast link busy, little enough for ten thousand slow readers.
const pendingBytesMax = 1024 * 1024

export class NodeNetwork implements Network {
  listen(host: string, port: number, accepted: (connection: Connection) => void, tls?: TlsServer): Promise<Listener> {
    return new Promise((resolve, reject) => {
      const server =
        tls === undefined
          ? net.createServer({ noDelay: true }, (socket) => accepted(new NodeConnection(socket, null)))
          : createTlsServer(tls, (socket, certificate) => accepted(new NodeConnection(socket, certificate)))
      server.once('error', reject)
      server.listen({ host, port }, () => {
        server.off('error', reject)
        // Accepting one connection may fail (too many open files); those that are open must not die of it.
        server.on('error', () => {})
        resolve(new NodeListener(server))
      })
    })
  }

  connect(host: string, port: number, tls?: TlsClient): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = tls === undefined ? net.connect({ host, port, noDelay: true }) : connectTls(host, port, tls)
      socket.once('error', reject)
      socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
        socket.off('error', reject)
        resolve(new NodeConnection(socket, null))
      })
    })
  }
}

class NodeListener implements Listener {
  readonly host: string
  readonly port: number
  private readonly server: net.Server

  constructor(server: net.Server) {
    const address = server.address()
    assert(address !== null && typeof address !== 'string', 'a TCP server has an address')
    this.host = address.address
    this.port = address.port
    this.server = server
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      // Node's own callback waits for every open connection; the port is free at once.
      this.server.close()
      setImmediate(resolve)
    })
  }
}

class NodeConnection implements Connection {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  readonly certificate: PeerCertificate | null
  private readonly socket: net.Socket
  private events: ConnectionEvents | null = null
  private isFull = false
  private isClosed = false
  private error: Error | null = null

  constructor(socket: net.Socket, certificate: PeerCertificate | null) {
    this.certificate = certificate
    this.remoteAddress = plainAddress(socket.remoteAddress)
    this.remotePort = socket.remotePort ?? 0
    this.localAddress = plainAddress(socket.localAddress)
    this.localPort = socket.localPort ?? 0
    this.socket = socket
    // Listened for from the first moment: a reset may come before attach(), and an unheard error ends the process.
    socket.on('error', (error) => {
      this.error = error
    })
    socket.on('close', () => {
      this.isClosed = true
      this.events?.closed(this.error)
    })
  }

  get pendingBytes(): number {
    return this.socket.writableLength
  }

  attach(events: ConnectionEvents): void {
    assert(this.events === null, 'a connection is attached once')
    this.events = events
    if (this.isClosed) {
      process.nextTick(() => events.closed(this.error))
      return
    }
    this.socket.on('data', (chunk: Buffer) => events.received(chunk))
    this.socket.on('drain', () => {
      if (!this.isFull) return
      this.isFull = false
      events.drained()
    })
  }

  write(buffer: Buffer, length: number, written: ((buffer: Buffer) => void) | null): boolean {
    assert(length >= 0 && length <= buffer.length, 'the length lies within the buffer')
    const { socket } = this
    // Node would raise an error of its own for a write after the end; whoever closed knows already.
    if (!socket.writable) {
      if (written !== null) process.nextTick(written, buffer)
      return false
    }
    const bytes = length === buffer.length ? buffer : buffer.subarray(0, length)
    if (written === null) socket.write(bytes)
    else socket.write(bytes, () => written(buffer))
    if (socket.writableLength <= pendingBytesMax) return true
    this.isFull = true
    return false
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  end(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }
}

/** A dual-stack listener reports an IPv4 peer as ::ffff:192.0.2.1; people and permission rules write it without. */
function plainAddress(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

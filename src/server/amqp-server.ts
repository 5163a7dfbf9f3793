/**
 * Serves any driver of the port as AMQP 0-9-1. It knows connections, not brokers: what a method does is the driver's
 * business. One timer serves the heartbeats and deadlines of all connections.
 */
import { BufferPool } from '../amqp/frame-writer.ts'
import { ShortStringCache } from '../amqp/short-strings.ts'
import type { Driver } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import type { Connection, Listener, TlsServer } from '../platform/network.ts'
import type { Platform } from '../platform/platform.ts'
import { type ConnectionShared, ServerConnection } from './connection.ts'
import { type AmqpServerOptions, serverProperties, settingsOf } from './settings.ts'
import { Strangers } from './strangers.ts'

// Half of the shortest heartbeat there is, one second.
const tickMs = 500
// How long a shutdown waits for clients to answer connection.close.
const shutdownMs = 2_000

export class AmqpServer {
  private readonly platform: Platform
  private readonly shared: ConnectionShared
  private readonly connections: Set<ServerConnection> = new Set()
  private readonly strangers: Strangers = new Strangers()
  private readonly listeners: Set<Listener> = new Set()
  private readonly emptied: (() => void)[] = []
  private cancelTick: (() => void) | null = null
  private tickedMs = 0
  private isClosing = false

  constructor(platform: Platform, driver: Driver, options: AmqpServerOptions = {}) {
    this.platform = platform
    this.shared = {
      platform,
      driver,
      settings: settingsOf(options),
      serverProperties: serverProperties(platform.host.name, options),
      pool: new BufferPool(),
      strings: new ShortStringCache(),
      reportError: (error) => {
        try {
          options.onError?.(error)
        } catch {
          // Whoever listens for errors and throws one has nobody left to tell.
        }
      },
      strangers: this.strangers,
      forget: (connection) => this.forget(connection),
    }
  }

  get connectionCount(): number {
    return this.connections.size
  }

  /** May be called several times, for several addresses. Rejects with Node's error ('EADDRINUSE', 'ENOENT', ...). */
  async listen(host: string, port: number, tls?: TlsServer): Promise<Listener> {
    const listener = await this.platform.network.listen(host, port, (connection) => this.accept(connection), tls)
    this.listeners.add(listener)
    return listener
  }

  /** Tells every client that the broker goes away, waits a little for their answers, and ends. */
  async close(reason = 'shutdown'): Promise<void> {
    this.isClosing = true
    await Promise.all([...this.listeners].map((listener) => listener.close()))
    this.listeners.clear()
    const text = `broker forced connection closure with reason '${reason}'`
    const open = [...this.connections]
    for (const connection of open) connection.shutDown(new BrokerError('CONNECTION_FORCED', text))
    await this.untilEmpty()
    await Promise.all(open.map((connection) => connection.endSession()))
    this.cancelTick?.()
    this.cancelTick = null
  }

  private accept(connection: Connection): void {
    const { connectionsMax, strangersPerAddressMax } = this.shared.settings
    const isCrowded = this.strangers.of(connection.remoteAddress) >= strangersPerAddressMax
    const isWelcome = !this.isClosing && this.connections.size < connectionsMax && !isCrowded
    const accepted = new ServerConnection(this.shared, connection)
    this.connections.add(accepted)
    if (!isWelcome) accepted.destroy()
    if (this.cancelTick === null) this.scheduleTick()
  }

  private forget(connection: ServerConnection): void {
    this.connections.delete(connection)
    if (this.connections.size > 0) return
    for (const done of this.emptied.splice(0)) done()
  }

  private untilEmpty(): Promise<void> {
    return new Promise((resolve) => {
      if (this.connections.size === 0) return resolve()
      const cancel = this.platform.clock.setTimer(shutdownMs, () => {
        for (const connection of this.connections) connection.destroy()
      })
      this.emptied.push(() => {
        cancel()
        resolve()
      })
    })
  }

  private scheduleTick(): void {
    this.tickedMs = this.platform.clock.monotonicMs()
    this.cancelTick = this.platform.clock.setTimer(tickMs, () => this.tick())
  }

  private tick(): void {
    const nowMs = this.platform.clock.monotonicMs()
    // A process that stood still must not take its own silence for that of its clients.
    const lateMs = Math.max(0, nowMs - this.tickedMs - 2 * tickMs)
    for (const connection of this.connections) connection.tick(nowMs, lateMs, tickMs / 2)
    this.cancelTick = null
    if (this.connections.size > 0) this.scheduleTick()
  }
}

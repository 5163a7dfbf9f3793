/**
 * The port over the wire: a broker elsewhere, RabbitMQ or a served Leveret, driven as if it were in this process. It
 * encodes what src/server decodes, so whoever uses the port cannot tell the two apart.
 *
 * A session is a connection of its own. It is not made anew when it is lost: then its events say `closed`.
 */
import { BufferPool } from '../../amqp/frame-writer.ts'
import { ShortStringCache } from '../../amqp/short-strings.ts'
import { type AmqpUri, parseUri } from '../../amqp/uri.ts'
import type { Driver, Login, SessionEvents } from '../../model/channel.ts'
import { BrokerError, LeveretError } from '../../model/errors.ts'
import { emptyTable } from '../../model/field-table.ts'
import { limits } from '../../model/limits.ts'
import type { Connection, TlsClient } from '../../platform/network.ts'
import type { Platform } from '../../platform/platform.ts'
import { AmqpSession } from './amqp-session.ts'

export interface AmqpDriverOptions {
  /** Leveret's version, shown to the broker. */
  readonly version?: string
}

// Until the broker has said open-ok, if the address says nothing else.
const connectTimeoutMs = 10_000

export class AmqpDriver implements Driver {
  /** What the address says: who logs in, and to which virtual host. */
  readonly login: Login
  private readonly platform: Platform
  private readonly uri: AmqpUri
  private readonly options: AmqpDriverOptions
  private readonly pool: BufferPool = new BufferPool()
  private readonly strings: ShortStringCache = new ShortStringCache()
  private readonly sessions: Set<AmqpSession> = new Set()
  private isClosed = false
  /** Whether the broker understands leveret.* commands: as the last session found it. */
  isLeveret = false
  /** No larger body is sent to it, in bytes: as the last session found it. */
  messageBytesMax: number = limits.messageBytesMax

  /** Throws E_BAD_URL. */
  constructor(platform: Platform, address: string, options: AmqpDriverOptions = {}) {
    this.platform = platform
    this.uri = parseUri(address)
    this.options = options
    const { user, password, virtualHost, external } = this.uri
    const credentials = { user, password: external ? null : password }
    this.login = { credentials, virtualHost, remoteAddress: '', clientProperties: emptyTable }
  }

  async authenticate(login: Login): Promise<void> {
    const session = await this.openSession(login, deaf)
    await session.close()
  }

  /**
   * Rejects with the broker's error (ACCESS_REFUSED, NOT_ALLOWED) or with E_CONNECT_FAILED. Credentials that are null are
   * those of the address.
   */
  async openSession(login: Login, events: SessionEvents): Promise<AmqpSession> {
    if (this.isClosed) throw new LeveretError('E_CLOSED', 'the driver is closed')
    const timeoutMs = this.uri.connectTimeoutMs ?? connectTimeoutMs
    const deadlineMs = this.platform.clock.monotonicMs() + timeoutMs
    const connection = await this.connect(timeoutMs)
    const parts = {
      platform: this.platform,
      pool: this.pool,
      strings: this.strings,
      uri: this.uri,
      options: this.options,
    }
    const session = new AmqpSession(parts, connection, events, (ended) => this.sessions.delete(ended))
    this.sessions.add(session)
    const remainingMs = deadlineMs - this.platform.clock.monotonicMs()
    await session.open({ ...login, credentials: login.credentials ?? this.login.credentials }, remainingMs)
    this.isLeveret = session.isLeveret
    this.messageBytesMax = session.messageBytesMax
    return session
  }

  async close(): Promise<void> {
    this.isClosed = true
    await Promise.all([...this.sessions].map((session) => session.close()))
  }

  private connect(timeoutMs: number): Promise<Connection> {
    const { host, port } = this.uri
    const tls = tlsOf(this.uri)
    return new Promise((resolve, reject) => {
      let hasTimedOut = false
      const failed = (reason: string, cause: unknown): void =>
        reject(
          new LeveretError(
            'E_CONNECT_FAILED',
            `cannot connect to ${host}:${port}: ${reason}${adviceFor(cause)}`,
            cause,
          ),
        )
      const cancel = this.platform.clock.setTimer(timeoutMs, () => {
        hasTimedOut = true
        failed(`no answer within ${timeoutMs} ms`, undefined)
      })
      this.platform.network.connect(host, port, tls).then(
        (connection) => {
          cancel()
          if (hasTimedOut) connection.destroy()
          else resolve(connection)
        },
        (error: Error) => {
          cancel()
          failed(error.message, error)
        },
      )
    })
  }
}

function tlsOf({ tls, host, caFile, certFile, keyFile, serverName, verify }: AmqpUri): TlsClient | undefined {
  return tls ? { caFile, certFile, keyFile, verify, serverName: serverName ?? host } : undefined
}

function adviceFor(cause: unknown): string {
  const isRefused = cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED'
  return isRefused ? `: nobody listens there; 'leveret serve' starts a broker` : ''
}

/** For whoever only wants to know whether the login holds. */
const deaf: SessionEvents = {
  blocked: () => {},
  unblocked: () => {},
  throttled: () => {},
  resumed: () => {},
  closed: (_error: BrokerError) => {},
}

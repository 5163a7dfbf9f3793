/**
 * How a connection begins:
 *
 *     client                               server
 *     AMQP 0 0 9 1                  →
 *                                   ←      connection.start (properties, mechanisms)
 *     start-ok (credentials)        →      asks the driver
 *                                   ←      tune (channel_max, frame_max, heartbeat)
 *     tune-ok, open (virtual host)  →      opens a session
 *                                   ←      open-ok
 *
 * A peer that does not get that far learns little: where RabbitMQ is silent for three seconds and drops the socket, so are
 * we, because an error text would help whoever guesses.
 */
import { type Arguments, type Method, type MethodName, methodId } from '../amqp/methods.ts'
import type { Driver, Login, Session } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import type { FieldTable } from '../model/field-table.ts'
import { emptyTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { mechanismsFor, readCredentials } from './sasl.ts'
import type { Settings } from './settings.ts'

/** The connection, as its handshake sees it. After it has ended all of these do nothing. */
export interface HandshakeHost {
  readonly remoteAddress: string
  /** Who the client's certificate says it is; null: it has none. */
  readonly certificateUser: string | null
  send<Name extends MethodName>(name: Name, args: Arguments<Name>): void
  flush(): void
  /** Sends connection.close on behalf of the method and waits for the answer. */
  refuse(error: BrokerError, methodId: number): void
  /** Says nothing more and drops the socket after three seconds. */
  dropLater(): void
  tuned(tuning: Arguments<'connection.tune-ok'>): void
  /** Something went wrong that should not. */
  crashed(error: unknown): void
  /** The driver has answered; what the client said meanwhile can be read. */
  answered(): void
  opened(session: Session): void
}

type State = 'start-ok' | 'authenticating' | 'tune-ok' | 'open' | 'opening' | 'done'

export class Handshake {
  clientProperties: FieldTable = emptyTable
  private readonly driver: Driver
  private readonly settings: Settings
  private readonly host: HandshakeHost
  private readonly openSession: (login: Login) => Promise<Session>
  private state: State = 'start-ok'
  private login: Login | null = null

  /** `openSession` is the driver's, with the connection's events bound to it. */
  constructor(
    driver: Driver,
    settings: Settings,
    host: HandshakeHost,
    openSession: (login: Login) => Promise<Session>,
  ) {
    this.driver = driver
    this.settings = settings
    this.host = host
    this.openSession = openSession
  }

  start(serverProperties: FieldTable): void {
    const mechanisms = mechanismsFor(this.host.certificateUser)
    const args = { versionMajor: 0, versionMinor: 9, serverProperties, mechanisms, locales: 'en_US' }
    this.host.send('connection.start', args)
  }

  /** Whether it is not known yet who the client is. */
  get isAuthenticating(): boolean {
    return this.state === 'authenticating'
  }

  /** Whether the driver is being asked. */
  get isWaiting(): boolean {
    return this.state === 'authenticating' || this.state === 'opening'
  }

  /** Whether the client is known and tuned, so that it is told what it did wrong. */
  get isTuned(): boolean {
    return this.state === 'open' || this.state === 'opening'
  }

  method(method: Method): void {
    if (method.name === 'connection.start-ok' && this.state === 'start-ok') this.startOk(method.args)
    else if (method.name === 'connection.tune-ok' && this.state === 'tune-ok') this.tuneOk(method.args)
    else if (method.name === 'connection.open' && this.state === 'open') this.open(method.args)
    else if (this.isTuned) throw new BrokerError('CHANNEL_ERROR', 'unexpected method in connection state opening')
    else this.host.dropLater()
  }

  /** Whether the client says in its properties that it can do something. */
  isCapable(capability: string): boolean {
    const capabilities = this.clientProperties.get('capabilities')
    if (capabilities?.tag !== 'F') return false
    return (capabilities.value as FieldTable).get(capability)?.value === true
  }

  private startOk({ clientProperties, mechanism, response }: Arguments<'connection.start-ok'>): void {
    this.clientProperties = clientProperties
    const credentials = readCredentials(mechanism, response, this.host.certificateUser)
    const { remoteAddress } = this.host
    const login = { credentials, virtualHost: '', remoteAddress, clientProperties }
    this.login = login
    this.state = 'authenticating'
    this.driver
      .authenticate(login)
      .then(
        () => this.authenticated(),
        (error: unknown) => this.loginRefused(mechanism, error),
      )
      .catch((error: unknown) => this.host.crashed(error))
  }

  private authenticated(): void {
    const { channelsMax, frameBytesMax, heartbeatSeconds } = this.settings
    this.state = 'tune-ok'
    const tuning = { channelMax: channelsMax, frameMax: frameBytesMax, heartbeat: heartbeatSeconds }
    this.host.send('connection.tune', tuning)
    this.host.flush()
    this.host.answered()
  }

  private loginRefused(mechanism: string, error: unknown): void {
    this.state = 'done'
    if (!this.isCapable('authentication_failure_close')) return this.host.dropLater()
    const text = `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`
    const isRefusal = !(error instanceof BrokerError) || error.code === 'ACCESS_REFUSED'
    this.host.refuse(isRefusal ? new BrokerError('ACCESS_REFUSED', text) : error, 0)
    this.host.flush()
  }

  private tuneOk(tuning: Arguments<'connection.tune-ok'>): void {
    const { channelsMax, frameBytesMax } = this.settings
    const reason =
      wrongValue('frame_max', tuning.frameMax, limits.frameBytesMin, frameBytesMax) ??
      wrongValue('channel_max', tuning.channelMax, 1, channelsMax)
    if (reason !== null) {
      this.state = 'done'
      this.host.refuse(new BrokerError('NOT_ALLOWED', reason), methodId('connection.tune'))
      return
    }
    this.state = 'open'
    this.host.tuned(tuning)
  }

  private open({ virtualHost }: Arguments<'connection.open'>): void {
    this.state = 'opening'
    this.openSession({ ...(this.login as Login), virtualHost })
      .then(
        (session) => this.opened(session),
        (error: unknown) => this.openRefused(error),
      )
      .catch((error: unknown) => this.host.crashed(error))
  }

  private opened(session: Session): void {
    this.state = 'done'
    this.host.opened(session)
    this.host.answered()
  }

  private openRefused(error: unknown): void {
    this.state = 'done'
    const known = error instanceof BrokerError ? error : new BrokerError('INTERNAL_ERROR', 'the broker has failed')
    this.host.refuse(known, methodId('connection.open'))
    this.host.flush()
  }
}

/** RabbitMQ's words for a value outside of what was proposed; 0 means without limit, which is more than any limit. */
function wrongValue(name: string, value: number, min: number, max: number): string | null {
  if (value === 0 || value > max) {
    const shown = value === 0 ? '0 (no limit)' : `${value}`
    return `negotiated ${name} = ${shown} is higher than the maximum allowed value (${max})`
  }
  return value < min ? `negotiated ${name} = ${value} is lower than the minimum allowed value (${min})` : null
}

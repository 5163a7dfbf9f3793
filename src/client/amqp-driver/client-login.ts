/**
 * The client's half of the handshake; the server's, with a picture of both, is src/server/handshake.ts.
 *
 * What the broker proposes is taken, unless the address wants less: the smaller channel_max and frame_max, and the address'
 * heartbeat or the broker's.
 */
import { type Arguments, type Method, type MethodName } from '../../amqp/methods.ts'
import type { AmqpUri } from '../../amqp/uri.ts'
import type { Login } from '../../model/channel.ts'
import { BrokerError } from '../../model/errors.ts'
import { type Field, type FieldTable, type PlainValue, toTable } from '../../model/field-table.ts'
import { limits } from '../../model/limits.ts'
import { messageBytesMaxProperty } from '../../model/server-properties.ts'

export interface LoginHost {
  send<Name extends MethodName>(name: Name, args: Arguments<Name>): void
  tuned(tuning: Arguments<'connection.tune-ok'>): void
  opened(): void
}

// In order of preference, for whoever has a password; without one his certificate has to do.
const withPassword = ['PLAIN', 'AMQPLAIN'] as const
const withCertificate = ['EXTERNAL'] as const

export class ClientLogin {
  private readonly login: Login
  private readonly uri: AmqpUri
  private readonly version: string | undefined
  private readonly host: LoginHost
  /** What the broker calls itself; empty until it has said so. */
  product = ''
  /** The largest body it says it takes, in bytes; null: it has not said. */
  messageBytesMax: number | null = null
  private expected: MethodName = 'connection.start'

  constructor(login: Login, uri: AmqpUri, version: string | undefined, host: LoginHost) {
    this.login = login
    this.uri = uri
    this.version = version
    this.host = host
  }

  /** Whether the credentials are on their way: a connection that ends now was most likely refused for them. */
  get isJudged(): boolean {
    return this.expected === 'connection.tune'
  }

  /** Throws a BrokerError if the broker says what it should not. */
  method(method: Method): void {
    if (method.name !== this.expected) {
      throw new BrokerError('COMMAND_INVALID', `${method.name} came instead of ${this.expected}`)
    }
    if (method.name === 'connection.start') this.start(method.args)
    else if (method.name === 'connection.tune') this.tune(method.args)
    else this.host.opened()
  }

  private start({ mechanisms: offered, serverProperties }: Arguments<'connection.start'>): void {
    const product = serverProperties.get('product')?.value
    if (typeof product === 'string') this.product = product
    const bytesMax = serverProperties.get(messageBytesMaxProperty)?.value
    if (typeof bytesMax === 'number' && bytesMax > 0) this.messageBytesMax = bytesMax
    const mechanisms = this.login.credentials?.password === null ? withCertificate : withPassword
    const mechanism = mechanisms.find((name) => offered.split(' ').includes(name))
    if (mechanism === undefined) throw new BrokerError('COMMAND_INVALID', `the broker offers only ${offered} for login`)
    this.expected = 'connection.tune'
    this.host.send('connection.start-ok', {
      clientProperties: clientProperties(this.login.clientProperties, this.version),
      mechanism,
      response: this.responseTo(mechanism),
      locale: 'en_US',
    })
  }

  private responseTo(mechanism: string): Buffer {
    if (mechanism === 'EXTERNAL') return Buffer.alloc(0)
    return mechanism === 'PLAIN' ? this.plain() : this.amqplain()
  }

  private plain(): Buffer {
    const { user, password } = this.login.credentials ?? { user: '', password: '' }
    return Buffer.from(`\0${user}\0${password ?? ''}`)
  }

  /** A table with LOGIN and PASSWORD, without its length. */
  private amqplain(): Buffer {
    const { user, password } = this.login.credentials ?? { user: '', password: '' }
    const pair = (key: string, value: string): Buffer[] => {
      const bytes = Buffer.from(value)
      const head = Buffer.concat([Buffer.from([key.length]), Buffer.from(`${key}S`), Buffer.alloc(4)])
      head.writeUInt32BE(bytes.length, head.length - 4)
      return [head, bytes]
    }
    return Buffer.concat([...pair('LOGIN', user), ...pair('PASSWORD', password ?? '')])
  }

  private tune(proposal: Arguments<'connection.tune'>): void {
    const tuning = {
      channelMax: smaller(proposal.channelMax, this.uri.channelsMax ?? limits.channelsMax),
      frameMax: smaller(proposal.frameMax, this.uri.frameBytesMax ?? limits.frameBytesMax),
      heartbeat: this.uri.heartbeatSeconds ?? proposal.heartbeat,
    }
    this.expected = 'connection.open-ok'
    this.host.send('connection.tune-ok', tuning)
    this.host.tuned(tuning)
    this.host.send('connection.open', { virtualHost: this.login.virtualHost })
  }
}

/** 0 means no limit. */
function smaller(left: number, right: number): number {
  if (left === 0 || right === 0) return Math.max(left, right)
  return Math.min(left, right)
}

const capabilities = {
  publisher_confirms: true,
  exchange_exchange_bindings: true,
  'basic.nack': true,
  consumer_cancel_notify: true,
  'connection.blocked': true,
  authentication_failure_close: true,
}

function clientProperties(own: FieldTable, version: string | undefined): FieldTable {
  const properties: { [key: string]: PlainValue } = { product: 'Leveret', platform: 'Node.js', capabilities }
  if (version !== undefined) properties['version'] = version
  return new Map<string, Field>([...toTable(properties), ...own])
}

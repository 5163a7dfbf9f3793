/**
 * AMQP addresses:
 *
 *     amqp://user:password@host:port/virtual-host?heartbeat=10&frame_max=131072&channel_max=100&connection_timeout=5000
 *     amqps://host/?cacertfile=ca.pem&certfile=me.pem&keyfile=me.key&verify=verify_none&server_name_indication=name
 *                  &auth_mechanism=external
 *
 * Everything but the scheme may be missing; names are percent-encoded, so the virtual host `/` is written `%2F` or left
 * out. What is wrong is said without the password, which must not get into a log.
 */
import { LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'

export interface AmqpUri {
  readonly tls: boolean
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly virtualHost: string
  /** Null where the address says nothing. 0 turns heartbeats off. */
  readonly heartbeatSeconds: number | null
  readonly frameBytesMax: number | null
  readonly channelsMax: number | null
  readonly connectTimeoutMs: number | null
  /** Of amqps://; null where the address says nothing. */
  readonly caFile: string | null
  readonly certFile: string | null
  readonly keyFile: string | null
  readonly serverName: string | null
  /** Whether the server's certificate must be good. */
  readonly verify: boolean
  /** Whether the certificate says who logs in, and no password. */
  readonly external: boolean
}

const portPlain = 5672
const portTls = 5671

/** Throws E_BAD_URL. */
export function parseUri(address: string): AmqpUri {
  const url = parseUrl(address)
  const tls = url.protocol === 'amqps:'
  if (!tls && url.protocol !== 'amqp:') throw bad(address, 'it does not begin with amqp:// or amqps://')
  const part = (name: string, text: string): string => {
    try {
      return decodeURIComponent(text)
    } catch {
      throw bad(address, `the ${name} holds a % that begins no %XX escape`)
    }
  }
  const number = (name: string, max: number): number | null => readNumber(address, url, name, max)
  return {
    tls,
    host: part('host', url.hostname).replace(/^\[(.*)\]$/, '$1') || 'localhost',
    port: url.port === '' ? (tls ? portTls : portPlain) : Number(url.port),
    user: part('user', url.username) || 'guest',
    password: url.username === '' && url.password === '' ? 'guest' : part('password', url.password),
    virtualHost: part('virtual host', url.pathname.slice(1)) || '/',
    heartbeatSeconds: number('heartbeat', 65_535),
    frameBytesMax: number('frame_max', limits.frameBytesMax),
    channelsMax: number('channel_max', 65_535),
    connectTimeoutMs: number('connection_timeout', 2 ** 31 - 1),
    caFile: url.searchParams.get('cacertfile'),
    certFile: url.searchParams.get('certfile'),
    keyFile: url.searchParams.get('keyfile'),
    serverName: url.searchParams.get('server_name_indication'),
    verify: word(address, url, 'verify', ['verify_peer', 'verify_none']) !== 'verify_none',
    external: word(address, url, 'auth_mechanism', ['plain', 'amqplain', 'external']) === 'external',
  }
}

function parseUrl(address: string): URL {
  try {
    return new URL(address)
  } catch {
    // The cause is not passed on: it carries the address with its password.
    throw bad(address, 'it is not a URL')
  }
}

function readNumber(address: string, url: URL, name: string, max: number): number | null {
  const text = url.searchParams.get(name)
  if (text === null) return null
  const value = Number(text)
  if (/^\d+$/.test(text) && value <= max) return value
  throw bad(address, `${name} is '${text}', but must be a whole number up to ${max}`)
}

function word(address: string, url: URL, name: string, words: readonly string[]): string | null {
  const text = url.searchParams.get(name)
  if (text === null || words.includes(text)) return text
  throw bad(address, `${name} is '${text}', but must be one of ${words.join(', ')}`)
}

/** The address without its password, for logs and errors. */
export function redactUri(address: string): string {
  // Up to the last @ before the path: a password may hold an @ that somebody forgot to encode.
  return address.replace(/^([a-z][a-z0-9+.-]*:\/\/)?([^/?#:@]*):.*@/is, '$1$2:***@')
}

function bad(address: string, reason: string): LeveretError {
  return new LeveretError('E_BAD_URL', `cannot use the address '${redactUri(address)}': ${reason}`)
}

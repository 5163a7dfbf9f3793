/** How a bus lets others in, and what they get. */
import { LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { checkInteger, checkOptionNames } from './names.ts'
import { type TlsOptions, type TlsSettings, tlsSettings } from './tls-options.ts'

export interface ServeOptions {
  /** The TCP port for AMQP 0-9-1; 0 takes a free one. Default 5672. `false`: TLS alone. */
  readonly amqp?: number | false
  /** Serves TLS too, on a port of its own. */
  readonly tls?: TlsOptions
  /** The address to listen on. Default 127.0.0.1: this machine alone. */
  readonly host?: string
  /** The largest body that is taken, in bytes, up to 134,217,728. Default 16,777,216, as RabbitMQ. */
  readonly messageBytesMax?: number
}

/** A listener that other processes use. */
export interface Served extends AsyncDisposable {
  /** Of AMQP without TLS, where that is served; otherwise of TLS. */
  readonly port: number
  /** What others connect to. */
  readonly url: string
  /** What those connect to who use TLS; null: it is not served. */
  readonly tlsUrl: string | null
  close(): Promise<void>
}

/** `port` null: TLS alone. */
export interface ServeSettings {
  readonly host: string
  readonly port: number | null
  readonly tls: TlsSettings | null
  readonly messageBytesMax: number
}

/** Throws E_BAD_OPTION, or E_UNSUPPORTED for what is not built. */
export function serveSettings(options: ServeOptions): ServeSettings {
  checkOptionNames('serve', options, ['amqp', 'host', 'messageBytesMax', 'tls'], ['http'])
  const { amqp = 5672, host = '127.0.0.1', messageBytesMax = limits.messageBytesMax } = options
  const tls = options.tls === undefined ? null : tlsSettings(options.tls)
  if (amqp !== false) checkInteger('serve', 'amqp', amqp, 0, 65_535)
  else if (tls === null)
    throw new LeveretError('E_BAD_OPTION', 'serve: amqp is false and tls is not there, so nobody could connect')
  checkInteger('serve', 'messageBytesMax', messageBytesMax, 1, limits.messageBytesCeiling)
  return { host, port: amqp === false ? null : amqp, tls, messageBytesMax }
}

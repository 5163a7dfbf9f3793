/** A server of a document, from the URL that `connect` takes: without user, password and settings of the connection. */
import { parseUri } from '../amqp/uri.ts'
import type { AsyncApiServer } from './document.ts'

/** Throws E_BAD_URL. */
export function serverOf(url: string): AsyncApiServer {
  const { tls, host, port, virtualHost } = parseUri(url)
  return {
    host: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    ...(virtualHost === '/' ? {} : { pathname: `/${encodeURIComponent(virtualHost)}` }),
    protocol: tls ? 'amqps' : 'amqp',
    protocolVersion: '0-9-1',
  }
}

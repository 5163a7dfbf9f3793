/** How a bus is served over TLS. */
import { LeveretError } from '../model/errors.ts'
import { checkInteger, checkOptionNames, shown } from './names.ts'

export interface TlsOptions {
  /** The certificate, with those between it and the authority: a file in PEM. Read anew when it changes, as the others are. */
  readonly cert: string
  /** Its private key: a file in PEM. */
  readonly key: string
  /** Who vouches for certificates of clients: a file in PEM. Without it clients are asked for none. */
  readonly ca?: string
  /**
   * `optional` (default with `ca`): clients may show a certificate, and log in with it alone (EXTERNAL). `require`: they must.
   * `none`: they are not asked. A certificate that is not good lets nobody in.
   */
  readonly verify?: 'none' | 'optional' | 'require'
  /** What of a certificate is the name of its user: the common name (`cn`, default), the whole name (`dn`), or the first alternative one (`san`). */
  readonly user?: 'cn' | 'dn' | 'san'
  /** The TCP port; 0 takes a free one. Default 5671. */
  readonly port?: number
}

export interface TlsSettings {
  readonly certFile: string
  readonly keyFile: string
  readonly caFile: string | null
  readonly verify: 'none' | 'optional' | 'require'
  readonly user: 'cn' | 'dn' | 'san'
  readonly port: number
}

/** Throws E_BAD_OPTION. */
export function tlsSettings(options: TlsOptions): TlsSettings {
  checkOptionNames('serve: tls', options, ['cert', 'key', 'ca', 'verify', 'user', 'port'])
  const { cert, key, ca, port = 5671, user = 'cn' } = options
  const { verify = ca === undefined ? 'none' : 'optional' } = options
  checkFile('cert', cert)
  checkFile('key', key)
  if (ca !== undefined) checkFile('ca', ca)
  checkInteger('serve: tls', 'port', port, 0, 65_535)
  checkWord('verify', verify, ['none', 'optional', 'require'])
  checkWord('user', user, ['cn', 'dn', 'san'])
  if (verify !== 'none' && ca === undefined) {
    throw bad(`verify is '${verify}', and needs ca: the file that has the certificates of those who vouch for clients`)
  }
  return { certFile: cert, keyFile: key, caFile: ca ?? null, verify, user, port }
}

function checkFile(name: string, value: unknown): void {
  if (typeof value !== 'string' || value === '') throw bad(`${name} has to be the name of a file in PEM`)
}

function checkWord(name: string, value: unknown, words: readonly string[]): void {
  if (!words.some((word) => word === value))
    throw bad(`${name} is ${shown(value)}, and has to be one of ${words.join(', ')}`)
}

function bad(text: string): LeveretError {
  return new LeveretError('E_BAD_OPTION', `serve: tls: ${text}`)
}

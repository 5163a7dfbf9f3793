/**
 * TLS, from 1.2 on. A server reads its files when it begins and each time they change, so that a certificate can be renewed
 * without a restart.
 */
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import type { Socket } from 'node:net'
import * as tls from 'node:tls'
import type { PeerCertificate, TlsClient, TlsServer } from './network.ts'

const minVersion = 'TLSv1.2'
const watchMs = 5_000

/** Hands over a connection when its handshake is done; who fails in it, or is late, is gone. Throws what the files throw. */
export function createTlsServer(
  options: TlsServer,
  accepted: (socket: Socket, certificate: PeerCertificate | null) => void,
): tls.Server {
  const { certFile, keyFile, caFile, verify, handshakeMs, reloadFailed } = options
  const server = tls.createServer(
    {
      ...contextOf(options),
      handshakeTimeout: handshakeMs,
      requestCert: verify !== 'none',
      // Also where none is needed: what is shown must be good. That is checked below.
      rejectUnauthorized: verify === 'require',
      noDelay: true,
    },
    (socket) => {
      const certificate = verify === 'none' ? null : certificateOf(socket)
      if (certificate !== null && !socket.authorized) socket.destroy()
      else accepted(socket, certificate)
    },
  )
  limitHandshakes(server, options.handshakesPerAddressMax)
  const reload = (): void => {
    try {
      server.setSecureContext(contextOf(options))
    } catch (error) {
      reloadFailed(error as Error)
    }
  }
  const files = [certFile, keyFile, ...(caFile === null ? [] : [caFile])]
  for (const file of files) watchFile(file, { interval: watchMs, persistent: false }, reload)
  server.on('close', () => {
    for (const file of files) unwatchFile(file, reload)
  })
  return server
}

/** Connections whose handshake is not done: nobody above knows of them yet. */
function limitHandshakes(server: tls.Server, perAddressMax: number): void {
  const ports = new Map<string, Set<number>>()
  const over = (address: string, port: number): void => {
    const open = ports.get(address)
    if (open?.delete(port) === true && open.size === 0) ports.delete(address)
  }
  server.on('connection', (socket: Socket) => {
    const { remoteAddress: address = '', remotePort: port = 0 } = socket
    const open = ports.get(address) ?? new Set()
    if (open.size >= perAddressMax) {
      socket.destroy()
      return
    }
    ports.set(address, open.add(port))
    socket.once('close', () => over(address, port))
  })
  server.on('secureConnection', ({ remoteAddress = '', remotePort = 0 }) => over(remoteAddress, remotePort))
}

export function connectTls(host: string, port: number, options: TlsClient): Socket {
  const { caFile, certFile, keyFile, serverName, verify } = options
  const isAddress = /^[\d.]+$|:/.test(serverName)
  const socket = tls.connect({
    host,
    port,
    minVersion,
    rejectUnauthorized: verify,
    checkServerIdentity: (_host, certificate) => tls.checkServerIdentity(serverName, certificate),
    ...(isAddress ? {} : { servername: serverName }),
    ...(caFile === null ? {} : { ca: readFileSync(caFile) }),
    ...(certFile === null ? {} : { cert: readFileSync(certFile) }),
    ...(keyFile === null ? {} : { key: readFileSync(keyFile) }),
  })
  socket.setNoDelay(true)
  return socket
}

function contextOf({ certFile, keyFile, caFile }: TlsServer): tls.SecureContextOptions {
  const ca = caFile === null ? {} : { ca: readFileSync(caFile) }
  return { cert: readFileSync(certFile), key: readFileSync(keyFile), ...ca, minVersion }
}

/** Null: the peer has shown none. */
function certificateOf(socket: tls.TLSSocket): PeerCertificate | null {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return null
  const names = certificate.subject === undefined ? [] : certificate.subject.split('\n').reverse()
  const common = names.filter((name) => name.startsWith('CN='))
  // Node quotes a name that could be taken for several.
  const [, alternative = ''] =
    /(?:^|, )(?:DNS|email|URI):([^",\s]+)(?:,|$)/.exec(certificate.subjectAltName ?? '') ?? []
  return {
    commonName: common.length === 1 ? (common[0] as string).slice('CN='.length) : '',
    distinguishedName: names.join(','),
    alternativeName: alternative,
  }
}

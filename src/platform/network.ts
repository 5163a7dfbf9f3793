/** Byte streams between processes: TCP and TLS on a real machine, memory with faults in the simulator. */

export interface Network {
  /** Rejects with Node's error ('EADDRINUSE', ...). Port 0 takes any free port. */
  listen(host: string, port: number, accepted: (connection: Connection) => void, tls?: TlsServer): Promise<Listener>
  connect(host: string, port: number, tls?: TlsClient): Promise<Connection>
}

/** What a listener shows and asks for. Files are in PEM, and read anew when they change. */
export interface TlsServer {
  readonly certFile: string
  readonly keyFile: string
  /** Who vouches for certificates of clients; null: whom the system trusts. */
  readonly caFile: string | null
  /** Whether clients are asked for a certificate, and must have one. One that nobody vouches for lets nobody in. */
  readonly verify: 'none' | 'optional' | 'require'
  /** How long a client may take, in ms, and how many of one address may be at it: others are gone at once. */
  readonly handshakeMs: number
  readonly handshakesPerAddressMax: number
  /** Files changed and cannot be used: those that were read before still hold. */
  readonly reloadFailed: (error: Error) => void
}

export interface TlsClient {
  /** Who vouches for the server; null: whom the system trusts. */
  readonly caFile: string | null
  /** Null: no certificate is shown. */
  readonly certFile: string | null
  readonly keyFile: string | null
  /** The name that the server's certificate must have. */
  readonly serverName: string
  /** False: whoever answers is believed to be the server. */
  readonly verify: boolean
}

/** A certificate that somebody vouches for. */
export interface PeerCertificate {
  /** Empty where there is none, or more than one. */
  readonly commonName: string
  /** The whole name as in RFC 4514, the most specific part first: `CN=client,O=Example`. */
  readonly distinguishedName: string
  /** The first alternative name: of a host, an e-mail address or a URI; empty if there is none. */
  readonly alternativeName: string
}

export interface Listener {
  readonly host: string
  readonly port: number
  /** Stops accepting; connections that are open stay open. */
  close(): Promise<void>
}

export interface Connection {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  /** What the peer has shown; null or left out: nothing. */
  readonly certificate?: PeerCertificate | null
  /** Must be called once, before the turn ends in which the connection was handed over. */
  attach(events: ConnectionEvents): void
  /**
   * Sends `buffer[0, length)`. The bytes belong to the network until `written` is called (null: the caller never uses
   * them again). False means that much is waiting: send no more than needed before `drained()`.
   */
  write(buffer: Buffer, length: number, written: ((buffer: Buffer) => void) | null): boolean
  /** Bytes accepted by write() that the system has not taken yet. */
  readonly pendingBytes: number
  pause(): void
  resume(): void
  /** Sends what is waiting, then closes. */
  end(): void
  /** Closes now; what is waiting is lost. */
  destroy(): void
}

export interface ConnectionEvents {
  /** The chunk is the receiver's to keep; nobody overwrites it. */
  received(chunk: Buffer): void
  drained(): void
  /** Called once, whoever closed. */
  closed(error: Error | null): void
}

/** Byte streams between processes: TCP on a real machine, memory with faults in the simulator. */

export interface Network {
  /** Rejects with Node's error ('EADDRINUSE', ...). Port 0 takes any free port. */
  listen(host: string, port: number, accepted: (connection: Connection) => void): Promise<Listener>
  connect(host: string, port: number): Promise<Connection>
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

/**
 * What the driver lets a session know, and what comes of it on its connection. Under an alarm only those who publish are
 * stopped, and told so once; flow control stops whoever is too fast, and says nothing.
 *
 *     blocked ──▶ alarm ──(a message comes)──▶ stopped, told ──▶ unblocked
 *
 * Apart from the connection, because a session and a socket both can be `closed`.
 */
import type { Arguments, MethodName } from '../amqp/methods.ts'
import type { SessionEvents } from '../model/channel.ts'
import type { BrokerError } from '../model/errors.ts'
import { pauseReasons, type ReadGate } from './read-gate.ts'

/** The connection of the session. */
export interface SignalledConnection {
  readonly isRunning: boolean
  /** Whether the client wants to hear that it is blocked. */
  readonly notifiesBlocked: boolean
  send<Name extends MethodName>(name: Name, args: Arguments<Name>): void
  flush(): void
  /** There is no session any more. */
  sessionClosed(error: BrokerError): void
}

export class SessionSignals implements SessionEvents {
  /** Why those who publish are stopped; null: they are not. */
  alarm: string | null = null
  private readonly gate: ReadGate
  private readonly connection: SignalledConnection
  private toldBlocked = false

  constructor(gate: ReadGate, connection: SignalledConnection) {
    this.gate = gate
    this.connection = connection
  }

  /** The client has published under this alarm. */
  stopPublisher(alarm: string): void {
    const { connection } = this
    this.gate.pause(pauseReasons.alarm)
    if (this.toldBlocked || !connection.isRunning || !connection.notifiesBlocked) return
    this.toldBlocked = true
    connection.send('connection.blocked', { reason: alarm })
  }

  blocked(reason: string): void {
    this.alarm = reason
  }

  unblocked(): void {
    const { connection } = this
    this.alarm = null
    this.gate.resume(pauseReasons.alarm)
    if (!this.toldBlocked) return
    this.toldBlocked = false
    if (connection.isRunning) connection.send('connection.unblocked', {})
    connection.flush()
  }

  throttled(): void {
    this.gate.pause(pauseReasons.throttled)
  }

  resumed(): void {
    this.gate.resume(pauseReasons.throttled)
  }

  closed(error: BrokerError): void {
    this.connection.sessionClosed(error)
  }
}

/** What the queues, workers and receivers of one bus share. */
import type { Session } from '../model/channel.ts'
import type { Platform } from '../platform/platform.ts'
import type { Control } from './control.ts'
import type { IdSource } from './ids.ts'
import type { Receipts } from './receipts.ts'
import type { Sender } from './sender.ts'

export interface BusParts {
  readonly platform: Platform
  readonly session: Session
  readonly control: Control
  readonly sender: Sender
  readonly receipts: Receipts
  readonly ids: IdSource
  /** How a worker's publishes and acknowledgement become one unit: by the port's commit alone, or in AMQP's tx mode. */
  readonly commits: 'native' | 'tx'
  /** The broker knows what AMQP has no word for: delays, keys, leveret.* commands. */
  readonly isLeveret: boolean
  /** No larger body is sent. */
  readonly messageBytesMax: number
  /** What went wrong where nobody waits for an answer. Never throws. */
  report(error: Error): void
}

/** What a bus closes when it closes. */
export interface Closable {
  close(options: { readonly timeout: number }): Promise<void>
  /** The session is gone. */
  end(error: Error): void
}

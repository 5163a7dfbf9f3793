/**
 * What a channel in tx mode has gathered: publishes that nobody sees yet, and acknowledgements that hold their entries
 * back until the commit says so or the rollback returns them.
 */
import type { BodyStore } from '../model/bodies.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import { entryOverheadBytes } from '../store/resident-memory.ts'

/** What becomes of a delivery. */
export type Outcome = 'acked' | 'rejected' | 'requeued'

export interface Settlement {
  readonly tag: number
  readonly outcome: Outcome
}

export class Transaction {
  publishes: Message[] = []
  mandatory: boolean[] = []
  settlements: Settlement[] = []
  /** Tags among the settlements; they are no longer outstanding for anybody else. */
  readonly settledTags: Set<number> = new Set()
  private bytes = 0
  private readonly bodies: BodyStore | null

  /** `bodies` keeps those of messages that wait for the commit; null: they are not held here. */
  constructor(bodies: BodyStore | null) {
    this.bodies = bodies
  }

  /** Throws RESOURCE_ERROR if the transaction outgrows one frame of the log. */
  publish(message: Message, mandatory: boolean): void {
    this.bytes += message.contentBytes + entryOverheadBytes
    if (this.bytes > limits.transactionBytesMax) {
      throw new BrokerError('RESOURCE_ERROR', `a transaction holds at most ${limits.transactionBytesMax} bytes`)
    }
    this.publishes.push(message)
    this.mandatory.push(mandatory)
  }

  settle(tag: number, outcome: Outcome): void {
    this.settlements.push({ tag, outcome })
    this.settledTags.add(tag)
  }

  clear(): void {
    for (const message of this.publishes) if (message.refers) this.bodies?.release(message)
    this.publishes = []
    this.mandatory = []
    this.settlements = []
    this.settledTags.clear()
    this.bytes = 0
  }
}

/** What a handler sends and emits: made when it is said, stored with the handler's commit, dropped with its attempt. */
import type { Message } from '../model/message.ts'
import type { EventContract, QueueContract } from './contract.ts'
import type { EventOutlet } from './event-outlet.ts'
import { type Outlet, openedOutlet, type SendTarget } from './outlet.ts'
import type { Outgoing } from './pending-send.ts'
import type { Receipt } from './receipt.ts'
import type { EmitOptions, SendOptions } from './send-options.ts'
import type { Sent } from './sent.ts'

/** Whose handler it is. */
export interface SendsOwner {
  readonly queueName: string
  /** Those that the bus has opened, by name. */
  readonly queues: ReadonlyMap<string, Outlet>
  findEvent(contract: EventContract): EventOutlet
}

export class HandlerSends {
  private readonly owner: SendsOwner
  private outgoing: Outgoing[] = []

  constructor(owner: SendsOwner) {
    this.owner = owner
  }

  send(to: SendTarget | QueueContract, data: unknown, options?: SendOptions): Receipt {
    const { queues, queueName } = this.owner
    const outgoing = openedOutlet(queues, to, `context.send in queue '${queueName}'`).prepareNow(data, options)
    this.outgoing.push(outgoing)
    outgoing.receipt?.hold(queueName)
    return outgoing.sent as Receipt
  }

  emit(event: EventContract, data: unknown, options?: EmitOptions): Sent {
    const outgoing = this.owner.findEvent(event).prepareNow(data, options)
    this.outgoing.push(outgoing)
    return outgoing.sent
  }

  get isEmpty(): boolean {
    return this.outgoing.length === 0
  }

  /** The senders whose answers must be able to come before `make`; null is the bus itself. */
  get receiptSenders(): readonly (string | null)[] {
    return this.outgoing.flatMap(({ receipt }) => (receipt === null ? [] : [receipt.sender]))
  }

  /** The messages for the commit. */
  make(publishes: Message[]): void {
    for (const { message } of this.outgoing) publishes.push(typeof message === 'function' ? message() : message)
  }

  /** The commit is stored. */
  committed(): void {
    for (const { receipt } of this.outgoing) receipt?.stored()
    this.outgoing = []
  }

  /** They belong to an attempt that failed. */
  drop(): void {
    for (const { receipt } of this.outgoing) receipt?.forget()
    this.outgoing = []
  }
}

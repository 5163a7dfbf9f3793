/**
 * All receipts of a bus that are open, and the one queue their answers come to: exclusive, named by the broker, made when
 * the first receipt is asked for. On the wire this is ordinary AMQP: reply_to, correlation_id, and a message back.
 */
import type { Channel, ChannelEvents, Session } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import type { Clock } from '../platform/clock.ts'
import { decodeBody } from './body.ts'
import { clientLimits } from './client-limits.ts'
import { headerNames, textHeader } from './headers.ts'
import type { OpenReceipt, ReceiptKeeper } from './receipt.ts'
import { Replies } from './replies.ts'

export class Receipts implements ChannelEvents, ReceiptKeeper {
  readonly clock: Clock
  /** The reply queue's name; null until there is one. */
  address: string | null = null
  private readonly session: Session
  private readonly report: (error: Error) => void
  private readonly replies = new Replies()
  private readonly byId: Map<string, OpenReceipt> = new Map()
  private channel: Channel | null = null
  private opening: Promise<void> | null = null
  private ended: Error | null = null
  private readonly arrived: Message[] = []
  private calls: (() => unknown)[] = []

  constructor(clock: Clock, session: Session, report: (error: Error) => void) {
    this.clock = clock
    this.session = session
    this.report = report
  }

  /** Null if there is a reply queue; else one is being made, and this settles when it is there or cannot be. */
  opened(): Promise<unknown> | null {
    if (this.address !== null) return null
    if (this.ended !== null) return Promise.reject(this.ended)
    if (this.opening === null) {
      this.opening = this.declare()
      this.opening.catch(() => {
        this.opening = null
      })
    }
    return this.opening
  }

  /** How many are open. */
  get size(): number {
    return this.byId.size
  }

  /** From now on answers find this receipt. Throws E_REFUSED if too many are open. */
  keep(receipt: OpenReceipt): void {
    if (this.byId.size >= clientLimits.receiptsMax) {
      throw new LeveretError(
        'E_REFUSED',
        `queue '${receipt.queue}': ${this.byId.size} receipts are open, as many as there may be: do the workers answer ` +
          'reply_to? Call receipt.forget() for those nobody waits for',
      )
    }
    this.byId.set(receipt.id, receipt)
  }

  letGo(receipt: OpenReceipt): void {
    this.byId.delete(receipt.id)
  }

  /** Users' callbacks run at the end of the turn, never inside the broker's. */
  callUser(callback: () => unknown): void {
    this.calls.push(callback)
    if (this.calls.length === 1) this.clock.defer(() => this.runCalls())
  }

  /** No answer will come any more. */
  end(error: LeveretError): void {
    this.ended ??= error
    this.replies.failAll(error)
    for (const receipt of this.byId.values()) receipt.fail(error)
  }

  close(): void {
    this.end(new LeveretError('E_CLOSED', 'the bus was closed before the outcome was known'))
    this.channel?.close()
    this.channel = null
  }

  replied(id: number, reply: Reply): void {
    this.replies.replied(id, reply)
  }

  delivered(_consumerTag: string, _deliveryTag: number, _redelivered: boolean, message: Message): void {
    this.arrived.push(message)
  }

  flush(): void {
    for (const message of this.arrived) this.read(message)
    this.arrived.length = 0
  }

  cancelled(): void {
    this.lost(new LeveretError('E_CONNECTION_LOST', 'the reply queue is gone: the outcome of open receipts is unknown'))
  }

  failed(_id: number, error: BrokerError): void {
    this.replies.failAll(error)
    this.lost(new LeveretError('E_CONNECTION_LOST', `the channel for replies was closed: ${error.message}`, error))
  }

  confirmed(): void {}

  returned(): void {}

  private async declare(): Promise<void> {
    const channel = this.session.openChannel(this)
    this.channel = channel
    const declared = await this.replies.execute(channel, {
      type: 'queue.declare',
      queue: '',
      passive: false,
      durable: false,
      exclusive: true,
      autoDelete: true,
      arguments: emptyTable,
    })
    const queue = declared.type === 'queue.declare-ok' ? declared.queue : ''
    await this.replies.execute(channel, {
      type: 'basic.consume',
      queue,
      consumerTag: '',
      noAck: true,
      exclusive: true,
      arguments: emptyTable,
    })
    this.address = queue
  }

  /** The reply queue is gone, and with it the answers; the next receipt makes another one. */
  private lost(error: LeveretError): void {
    this.channel?.close()
    this.channel = null
    this.opening = null
    this.address = null
    for (const receipt of this.byId.values()) receipt.fail(error)
  }

  private read(message: Message): void {
    let properties: Properties
    try {
      properties = message.decodeProperties()
    } catch {
      return
    }
    const { correlationId } = properties
    const receipt = correlationId === undefined ? undefined : this.byId.get(correlationId)
    // What answers nothing that is open came too late, or twice.
    if (receipt !== undefined) this.settle(receipt, message, properties)
  }

  private settle(receipt: OpenReceipt, message: Message, properties: Properties): void {
    const outcome = textHeader(properties.headers, headerNames.outcome) ?? 'processed'
    if (outcome === 'delivered') return receipt.seen()
    if (outcome === 'processed') return this.settleWithResult(receipt, message, properties)
    const error = textHeader(properties.headers, headerNames.error) ?? 'the worker did not say why'
    receipt.settle({
      error: new LeveretError(
        'E_NOT_PROCESSED',
        `queue '${receipt.queue}': message ${receipt.id} ${was(outcome)}: ${error}`,
      ),
    })
  }

  private settleWithResult(receipt: OpenReceipt, message: Message, properties: Properties): void {
    const wrong = (error: unknown): void => receipt.settle({ error: asLeveretError(error) })
    try {
      const value = receipt.readResult(decodeBody(message, properties, `the result of message ${receipt.id}`))
      if (value instanceof Promise) value.then((result: unknown) => receipt.settle({ error: null, result }), wrong)
      else receipt.settle({ error: null, result: value })
    } catch (error) {
      wrong(error)
    }
  }

  private runCalls(): void {
    const { calls } = this
    this.calls = []
    for (const call of calls) {
      try {
        const returned = call()
        // A callback may be asynchronous; then its failure comes later.
        if (returned instanceof Promise) returned.catch((error: unknown) => this.report(asError(error)))
      } catch (error) {
        this.report(asError(error))
      }
    }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

function was(outcome: string): string {
  return outcome === 'dead-lettered' ? 'was dead-lettered' : `has ${outcome}`
}

function asLeveretError(error: unknown): LeveretError {
  if (error instanceof LeveretError) return error
  return new LeveretError('E_BAD_DATA', `the result could not be read: ${String(error)}`, error)
}

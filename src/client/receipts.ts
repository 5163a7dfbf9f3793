/**
 * All receipts of a bus that are open, and where their answers come to: one exclusive queue of the bus's own, named by the
 * broker, made when the first receipt is asked for; or the inbox of a named sender. On the wire this is ordinary AMQP:
 * reply_to, correlation_id, and a message back.
 */
import type { Channel, ChannelEvents, Session } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Clock } from '../platform/clock.ts'
import { consumesAnswers, readAnswer, tellReceipt } from './answers.ts'
import { clientLimits } from './client-limits.ts'
import { Inbox, type InboxOwner } from './inbox.ts'
import type { OpenReceipt, ReceiptKeeper } from './receipt.ts'
import { Replies } from './replies.ts'
import { runCallback } from './user-callback.ts'

export class Receipts implements ChannelEvents, ReceiptKeeper, InboxOwner {
  readonly clock: Clock
  readonly report: (error: Error) => void
  private readonly session: Session
  private readonly replies = new Replies()
  private readonly byId: Map<string, OpenReceipt> = new Map()
  private readonly undecided: Set<OpenReceipt> = new Set()
  private readonly decidedListeners: (() => void)[] = []
  private readonly inboxes: Map<string, Inbox> = new Map()
  private readonly openingInboxes: Map<string, Promise<Inbox>> = new Map()
  /** Those that are being opened: who waits for them is told when the bus ends. */
  private readonly unopened: Set<Inbox> = new Set()
  /** The reply queue's name; null until there is one. */
  private address: string | null = null
  private channel: Channel | null = null
  private opening: Promise<void> | null = null
  private ended: LeveretError | null = null
  private readonly arrived: Message[] = []
  private calls: (() => unknown)[] = []

  constructor(clock: Clock, session: Session, report: (error: Error) => void) {
    this.clock = clock
    this.session = session
    this.report = report
  }

  /**
   * Null if answers can come; else that is being made, and this settles when it is so or cannot be. `sender` null: to the bus's
   * own queue.
   */
  opened(sender: string | null): Promise<unknown> | null {
    if (this.ended !== null) return Promise.reject(this.ended)
    if (sender !== null) return this.inboxes.has(sender) ? null : this.openInbox(sender)
    if (this.address !== null) return null
    if (this.opening === null) {
      this.opening = this.declare()
      this.opening.catch(() => {
        this.opening = null
      })
    }
    return this.opening
  }

  /** The queue that answers to that sender come to; null: there is none. */
  addressFor(sender: string | null): string | null {
    return sender === null ? this.address : (this.inboxes.get(sender)?.address ?? null)
  }

  /** Resolves with the inbox of that sender; rejects with E_REFUSED if another process has it. */
  openInbox(sender: string): Promise<Inbox> {
    const known = this.inboxes.get(sender)
    if (known !== undefined) return Promise.resolve(known)
    let opening = this.openingInboxes.get(sender)
    if (opening === undefined) {
      opening = this.makeInbox(sender)
      this.openingInboxes.set(sender, opening)
      const forget = (): boolean => this.openingInboxes.delete(sender)
      opening.then(forget, forget)
    }
    return opening
  }

  /** How many are open. */
  get size(): number {
    return this.byId.size
  }

  find(messageId: string): OpenReceipt | undefined {
    return this.byId.get(messageId)
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
    this.byId.set(receipt.messageId, receipt)
  }

  letGo(receipt: OpenReceipt): void {
    this.byId.delete(receipt.messageId)
  }

  waitsFor(receipt: OpenReceipt): void {
    this.undecided.add(receipt)
  }

  waitsNoMore(receipt: OpenReceipt): void {
    if (!this.undecided.delete(receipt) || this.undecided.size > 0) return
    for (const listener of this.decidedListeners.splice(0)) listener()
  }

  /** Resolves when of every message that is stored it is known whether it is a duplicate. */
  decided(): Promise<void> {
    if (this.undecided.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.decidedListeners.push(resolve)
    })
  }

  /** Users' callbacks run at the end of the turn, never inside the broker's. */
  callUser(callback: () => unknown): void {
    this.calls.push(callback)
    if (this.calls.length === 1) this.clock.defer(() => this.runCalls())
  }

  /** The session is gone: no answer will come any more. */
  end(error: LeveretError): void {
    this.finish(error, error)
  }

  private finish(error: LeveretError, lossReason: LeveretError | null): void {
    this.ended ??= error
    this.replies.failAll(error)
    for (const inbox of [...this.inboxes.values(), ...this.unopened]) inbox.close(lossReason)
    this.inboxes.clear()
    this.failAll(error, () => true)
  }

  close(): void {
    // What is on its way to a callback comes there, and is acknowledged in its inbox: it would be told again otherwise.
    this.runCalls()
    this.finish(new LeveretError('E_CLOSED', 'the bus was closed before the outcome was known'), null)
    this.channel?.close()
    this.channel = null
  }

  inboxLost(inbox: Inbox, error: LeveretError): void {
    if (this.inboxes.get(inbox.sender) === inbox) this.inboxes.delete(inbox.sender)
    this.report(error)
    this.failAll(error, ({ sender }) => sender === inbox.sender)
  }

  // What the channel of the reply queue tells.

  replied(id: number, reply: Reply): void {
    this.replies.replied(id, reply)
  }

  delivered(_consumerTag: string, _deliveryTag: number, _redelivered: boolean, message: Message): void {
    this.arrived.push(message)
  }

  flush(): void {
    for (const message of this.arrived) {
      const answer = readAnswer(message)
      const receipt = answer === null ? undefined : this.byId.get(answer.correlationId)
      // What answers nothing that is open came too late, or twice.
      if (answer !== null && receipt !== undefined) tellReceipt(receipt, answer)
    }
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
    const flags = { passive: false, durable: false, exclusive: true, autoDelete: true, arguments: emptyTable }
    const declared = await this.replies.execute(channel, { type: 'queue.declare', queue: '', ...flags })
    const queue = declared.type === 'queue.declare-ok' ? declared.queue : ''
    const consume = { consumerTag: '', noAck: true, exclusive: true, arguments: consumesAnswers }
    await this.replies.execute(channel, { type: 'basic.consume', queue, ...consume })
    this.address = queue
  }

  private async makeInbox(sender: string): Promise<Inbox> {
    this.checkOpen()
    const inbox = new Inbox(sender, this.session, this)
    this.unopened.add(inbox)
    try {
      await inbox.open()
    } catch (error) {
      throw this.ended ?? error
    } finally {
      this.unopened.delete(inbox)
    }
    this.checkOpen()
    this.inboxes.set(sender, inbox)
    return inbox
  }

  private checkOpen(): void {
    if (this.ended !== null) throw this.ended
  }

  /** The reply queue is gone, and with it the answers; the next receipt makes another one. */
  private lost(error: LeveretError): void {
    this.channel?.close()
    this.channel = null
    this.opening = null
    this.address = null
    this.failAll(error, ({ sender }) => sender === null)
  }

  private failAll(error: LeveretError, isMeant: (receipt: OpenReceipt) => boolean): void {
    for (const receipt of this.byId.values()) if (isMeant(receipt)) receipt.fail(error)
  }

  private runCalls(): void {
    const { calls } = this
    this.calls = []
    for (const call of calls) runCallback(call, this.report)
  }
}

/**
 * The inbox of a named sender: a durable queue that answers come to, so that what becomes of a message is told although the
 * process that sent it is gone.
 *
 *     answer → an open receipt of this process → its callbacks, then acknowledged
 *            → nobody's any more               → kept for `bus.receipts`, acknowledged when the next one is asked for
 *
 * One process at a time may be a sender of that name: it consumes exclusively.
 */
import { Deque } from '../lib/deque.ts'
import type { Channel, ChannelEvents, Session } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import { emptyTable, toTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { type Answer, consumesAnswers, isFinal, readAnswer, tellReceipt } from './answers.ts'
import { clientLimits } from './client-limits.ts'
import type { OpenReceipt } from './receipt.ts'
import { Replies } from './replies.ts'

/** What an inbox needs of whoever keeps the receipts. */
export interface InboxOwner {
  find(messageId: string): OpenReceipt | undefined
  /** As ReceiptKeeper.callUser. */
  callUser(callback: () => unknown): void
  report(error: Error): void
  /** Its channel is gone. */
  inboxLost(inbox: Inbox, error: LeveretError): void
}

/** An answer that no receipt waits for. */
export interface Kept {
  readonly tag: number
  readonly answer: Answer
}

export function inboxName(sender: string): string {
  return `leveret.inbox.${sender}`
}

export class Inbox implements ChannelEvents {
  readonly sender: string
  readonly address: string
  /** Why it was lost; null: it is open, or closed with its bus. */
  failure: LeveretError | null = null
  private readonly owner: InboxOwner
  private readonly channel: Channel
  private readonly replies = new Replies()
  private readonly arrived: { readonly tag: number; readonly message: Message }[] = []
  private readonly kept = new Deque<Kept>()
  private listeners: (() => void)[] = []
  private dropped = 0
  private isClosed = false

  constructor(sender: string, session: Session, owner: InboxOwner) {
    this.sender = sender
    this.address = inboxName(sender)
    this.owner = owner
    this.channel = session.openChannel(this)
  }

  /** Resolves when answers come; rejects with E_REFUSED if another process is that sender. */
  async open(): Promise<void> {
    const { sender } = this
    try {
      await this.begin()
    } catch (error) {
      this.close()
      throw new LeveretError(
        'E_REFUSED',
        `the inbox of sender '${sender}' cannot be opened: ${(error as Error).message}: one process at a time may be that sender`,
        error,
      )
    }
  }

  /** The next answer that is nobody's; null: there is none now. */
  take(): Kept | null {
    return this.kept.shift() ?? null
  }

  /** It was told. */
  acknowledge({ tag }: Kept): void {
    if (!this.isClosed) this.channel.ack(tag, false)
  }

  /** It was taken, and nobody says that it was told: it is the next one again. */
  putBack(kept: Kept): void {
    if (!this.isClosed) this.kept.unshift(kept)
  }

  /** Resolves with whether there is, or may be, something to take without waiting for anything new. */
  async hasMore(): Promise<boolean> {
    if (this.kept.length > 0) return true
    const { address: queue, channel, replies } = this
    const flags = { passive: true, durable: true, exclusive: false, autoDelete: false, arguments: emptyTable }
    const reply = await replies.execute(channel, { type: 'queue.declare', queue, ...flags })
    if (this.kept.length > 0 || this.isClosed) return true
    if (reply.type !== 'queue.declare-ok' || reply.messageCount === 0) return false
    await this.changed()
    return true
  }

  /** Resolves when there may be something to take, or never will be. */
  changed(): Promise<void> {
    if (this.kept.length > 0 || this.isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      this.listeners.push(resolve)
    })
  }

  /** All that was not acknowledged stays in the inbox. `reason` null: its bus is closed. */
  close(reason: LeveretError | null = null): void {
    if (this.isClosed) return
    this.isClosed = true
    this.failure = reason
    this.kept.clear()
    this.replies.failAll(reason ?? new LeveretError('E_CLOSED', `the inbox of sender '${this.sender}' was closed`))
    this.channel.close()
    this.tell()
  }

  get closed(): boolean {
    return this.isClosed
  }

  // What the channel tells.

  replied(id: number, reply: Reply): void {
    this.replies.replied(id, reply)
  }

  delivered(_consumerTag: string, tag: number, _redelivered: boolean, message: Message): void {
    this.arrived.push({ tag, message })
  }

  flush(): void {
    for (const { tag, message } of this.arrived.splice(0)) this.read(tag, message)
    this.tell()
  }

  cancelled(): void {
    this.lost('the inbox was deleted')
  }

  failed(_id: number, error: BrokerError): void {
    this.replies.failAll(error)
    this.lost(error.message)
  }

  confirmed(): void {}

  returned(): void {}

  private async begin(): Promise<void> {
    const { address: queue, channel, replies } = this
    const flags = { passive: false, durable: true, exclusive: false, autoDelete: false }
    const table = toTable({ 'x-max-length': clientLimits.inboxAnswersMax })
    await replies.execute(channel, { type: 'queue.declare', queue, ...flags, arguments: table })
    const consume = { consumerTag: '', noAck: false, exclusive: true, arguments: consumesAnswers }
    await replies.execute(channel, { type: 'basic.consume', queue, ...consume })
  }

  private read(tag: number, message: Message): void {
    const answer = readAnswer(message)
    const receipt = answer === null ? undefined : this.owner.find(answer.correlationId)
    if (answer !== null && receipt !== undefined && isFinal(answer)) {
      // It may have to wait: for the confirm of what it answers, for a schema. If the process ends before it was told, the
      // next one is.
      receipt.whenOver((isTold) => {
        if (isTold) this.acknowledge({ tag, answer })
        else if (!this.isClosed) this.keepFor({ tag, answer })
      })
      tellReceipt(receipt, answer)
    } else if (answer !== null && receipt !== undefined) {
      tellReceipt(receipt, answer)
      this.channel.ack(tag, false)
    } else if (answer !== null && isFinal(answer)) this.keepFor({ tag, answer })
    else this.channel.ack(tag, false)
  }

  private keepFor(kept: Kept): void {
    this.kept.push(kept)
    if (this.kept.length > clientLimits.inboxAnswersMax) {
      const oldest = this.kept.shift() as Kept
      this.channel.ack(oldest.tag, false)
      if (this.dropped++ === 0) this.owner.report(tooMany(this.sender))
    }
  }

  private lost(why: string): void {
    const text = `the inbox of sender '${this.sender}' is gone: ${why}: the outcome of its open receipts is unknown`
    const error = new LeveretError('E_CONNECTION_LOST', text)
    this.close(error)
    this.owner.inboxLost(this, error)
  }

  private tell(): void {
    const { listeners } = this
    this.listeners = []
    for (const listener of listeners) listener()
  }
}

function tooMany(sender: string): LeveretError {
  return new LeveretError(
    'E_REFUSED',
    `the inbox of sender '${sender}' has more than ${clientLimits.inboxAnswersMax} answers that nobody takes, and the oldest ` +
      'go: read them with bus.receipts({ sender })',
  )
}

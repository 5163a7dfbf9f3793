/**
 * One channel over the wire: calls of the port become methods and content, what the broker sends becomes events.
 *
 * Answers come in the order of the commands, so those that wait are a queue. Between tx.commit and its answer AMQP allows
 * nothing on the channel: calls that come meanwhile are held.
 */
import { closeArguments, closeError } from '../../amqp/close-reason.ts'
import { methodOf, replyOf } from '../../amqp/commands.ts'
import { ContentAssembler } from '../../amqp/content-assembler.ts'
import { PublishHead } from '../../amqp/content-heads.ts'
import type { DeliveryDecoder } from '../../amqp/delivery-decoder.ts'
import type { FrameWriter } from '../../amqp/frame-writer.ts'
import {
  type Arguments,
  basicAck,
  basicDeliver,
  basicNack,
  decodeMethod,
  type Method,
  type MethodName,
  methodId,
} from '../../amqp/methods.ts'
import { Deque } from '../../lib/deque.ts'
import type { Channel, ChannelEvents } from '../../model/channel.ts'
import type { Command, Reply } from '../../model/command.ts'
import { BrokerError } from '../../model/errors.ts'
import { limits } from '../../model/limits.ts'
import type { Message } from '../../model/message.ts'

/** The session, as its channels see it. */
export interface ChannelLine {
  readonly frames: FrameWriter
  readonly deliveries: DeliveryDecoder
  flushSoon(): void
  /** The channel's events were told something; their flush comes when the chunk is read. */
  said(channel: AmqpChannel): void
  /** The same, outside of the call in which it was found out. */
  tellSoon(channel: AmqpChannel): void
  /** The number is free again. */
  forget(number: number): void
  pauseReading(channel: AmqpChannel): void
  resumeReading(channel: AmqpChannel): void
  /** What AMQP has no method for; it is answered with `told` or `refuse`. */
  ask(channel: AmqpChannel, id: number, command: Command): void
}

interface Pending {
  readonly id: number
  readonly name: MethodName
}

/** What the content on its way belongs to. */
type Incoming = 'deliver' | 'return' | 'get-ok'

/** `failing`: closed, and the event that says why is on its way. `closing`: until the broker's close-ok. */
type State = 'open' | 'failing' | 'closing' | 'closed'

export class AmqpChannel implements Channel {
  private readonly number: number
  private readonly line: ChannelLine
  private readonly events: ChannelEvents
  private readonly frames: FrameWriter
  private readonly deliveries: DeliveryDecoder
  private readonly head: PublishHead
  private readonly assembler: ContentAssembler = new ContentAssembler(limits.messageBytesCeiling)
  private readonly pending: Deque<Pending> = new Deque()
  /** Calls that wait for commit-ok. */
  private readonly held: Deque<() => void> = new Deque()
  private state: State = 'open'
  private sequence = 0
  private isConfirming = false
  private isTransactional = false
  private isCommitting = false
  /** Nobody listens any more. */
  private isSilent = false
  private incoming: Incoming = 'deliver'
  private consumerTag = ''
  private deliveryTag = 0
  private redelivered = false
  private messageCount = 0
  private reason: 'NO_ROUTE' | 'NO_CONSUMERS' = 'NO_ROUTE'
  private failure: { readonly id: number; readonly error: BrokerError } | null = null

  constructor(number: number, line: ChannelLine, events: ChannelEvents) {
    this.number = number
    this.line = line
    this.events = events
    this.frames = line.frames
    this.deliveries = line.deliveries
    this.head = new PublishHead(number)
  }

  // The port.

  execute(id: number, command: Command): void {
    if (this.state !== 'open') return
    if (this.isCommitting) return this.held.push(() => this.execute(id, command))
    const method = methodOf(command)
    if (method === null) return this.line.ask(this, id, command)
    try {
      this.frames.method(this.number, method.name, method.args as never)
    } catch (error) {
      return this.refused(id, error)
    }
    if (command.type === 'confirm.select') this.isConfirming = true
    else if (command.type === 'tx.select') this.isTransactional = true
    else if (command.type === 'tx.commit') this.isCommitting = true
    this.pending.push({ id, name: method.name })
    this.line.flushSoon()
  }

  publish(message: Message, mandatory: boolean): number {
    if (this.state !== 'open') return 0
    if (this.isCommitting) {
      this.held.push(() => void this.publish(message, mandatory))
      return 0
    }
    if (!this.write(0, message, mandatory)) return 0
    return this.isConfirming ? ++this.sequence : 0
  }

  /** False: it cannot be put in frames, and the channel is closed. */
  private write(id: number, message: Message, mandatory: boolean): boolean {
    try {
      this.frames.content(this.number, this.head.of(message.exchange, message.routingKey, mandatory), message)
    } catch (error) {
      this.refused(id, error)
      return false
    }
    this.line.flushSoon()
    return true
  }

  ack(deliveryTag: number, multiple: boolean): void {
    if (this.state !== 'open') return
    if (this.isCommitting) return this.held.push(() => this.ack(deliveryTag, multiple))
    this.frames.settlement(this.number, basicAck, deliveryTag, multiple ? 1 : 0)
    this.line.flushSoon()
  }

  reject(deliveryTag: number, multiple: boolean, requeue: boolean): void {
    if (this.state !== 'open') return
    if (this.isCommitting) return this.held.push(() => this.reject(deliveryTag, multiple, requeue))
    this.frames.settlement(this.number, basicNack, deliveryTag, (multiple ? 1 : 0) | (requeue ? 2 : 0))
    this.line.flushSoon()
  }

  commit(id: number, acks: readonly number[], publishes: readonly Message[]): void {
    if (this.state !== 'open') return
    if (this.isCommitting) return this.held.push(() => this.commit(id, acks, publishes))
    if (!this.isTransactional) {
      const text = 'over AMQP a commit needs a channel in tx mode: execute tx.select first'
      return this.fail(id, new BrokerError('PRECONDITION_FAILED', text))
    }
    // What has nowhere to go comes back.
    for (const message of publishes) if (!this.write(id, message, message.exchange === '')) return
    for (const tag of acks) this.ack(tag, false)
    this.execute(id, { type: 'tx.commit' })
  }

  pauseDeliveries(): void {
    this.line.pauseReading(this)
  }

  resumeDeliveries(): void {
    this.line.resumeReading(this)
  }

  close(): void {
    this.isSilent = true
    this.line.resumeReading(this)
    if (this.state === 'open') this.sayClose({ replyCode: 200, replyText: 'Goodbye', classId: 0, methodId: 0 })
  }

  // The session asks for these.

  /** What was asked elsewhere has been answered. It may overtake answers that come on the channel itself. */
  told(id: number, reply: Reply): void {
    if (this.state !== 'open') return
    this.line.said(this)
    this.events.replied(id, reply)
  }

  /** The same for what cannot be answered. */
  refuse(id: number, error: BrokerError): void {
    if (this.state === 'open') this.fail(id, error)
  }

  /** The connection is gone, or going: nothing is sent or said any more. */
  detach(): void {
    this.state = 'closed'
    this.isSilent = true
    this.pending.clear()
    this.held.clear()
  }

  /** The broker closed the connection for something that may have happened here. */
  blame(method: number, error: BrokerError): void {
    const oldest = this.pending.peek()
    if (oldest === undefined || methodId(oldest.name) !== method || this.isSilent) return
    this.state = 'failing'
    this.failure = { id: oldest.id, error }
  }

  flush(): void {
    const { failure } = this
    this.failure = null
    if (this.isSilent) return
    if (failure !== null) this.events.failed(failure.id, failure.error)
    this.events.flush()
  }

  // What the broker says.

  method(buffer: Buffer, start: number, end: number): void {
    if (this.assembler.isOpen) throw this.assembler.interrupted()
    const id = end - start < 4 ? 0 : buffer.readUInt32BE(start)
    if (id === basicDeliver) return this.delivering(buffer, start + 4, end)
    const method = decodeMethod(buffer, start, end)
    switch (method.name) {
      case 'basic.ack':
        return this.confirmed(method.args.deliveryTag, method.args.multiple, true)
      case 'basic.nack':
        return this.confirmed(method.args.deliveryTag, method.args.multiple, false)
      case 'basic.return':
      case 'basic.get-ok':
        return this.contentAnnounced(method)
      case 'channel.open-ok':
        return
      case 'channel.close':
        return this.closedByBroker(method.args)
      case 'channel.close-ok':
        this.state = 'closed'
        return this.line.forget(this.number)
      case 'channel.flow':
        return this.frames.method(this.number, 'channel.flow-ok', { active: method.args.active })
      case 'basic.cancel':
        return this.cancelled(method.args.consumerTag)
      default:
        this.answered(method)
    }
  }

  private delivering(buffer: Buffer, start: number, end: number): void {
    const { deliveries } = this
    deliveries.decode(buffer, start, end)
    this.incoming = 'deliver'
    this.consumerTag = deliveries.consumerTag
    this.deliveryTag = deliveries.deliveryTag
    this.redelivered = deliveries.redelivered
    this.assembler.begin(deliveries.exchange, deliveries.routingKey)
  }

  private contentAnnounced(method: Extract<Method, { name: 'basic.return' | 'basic.get-ok' }>): void {
    if (method.name === 'basic.return') {
      this.incoming = 'return'
      this.reason = method.args.replyCode === 313 ? 'NO_CONSUMERS' : 'NO_ROUTE'
    } else {
      this.incoming = 'get-ok'
      this.deliveryTag = method.args.deliveryTag
      this.redelivered = method.args.redelivered
      this.messageCount = method.args.messageCount
    }
    this.assembler.begin(method.args.exchange, method.args.routingKey)
  }

  header(buffer: Buffer, start: number, end: number): void {
    this.content(this.assembler.header(buffer, start, end))
  }

  body(buffer: Buffer, start: number, end: number, last: boolean): void {
    this.content(this.assembler.body(buffer, start, end, last))
  }

  private content(message: Message | null): void {
    if (message === null || this.state !== 'open') return
    const { deliveryTag, redelivered, messageCount } = this
    this.line.said(this)
    if (this.incoming === 'deliver') this.events.delivered(this.consumerTag, deliveryTag, redelivered, message)
    else if (this.incoming === 'return') this.events.returned(message, this.reason)
    else this.reply('basic.get', { type: 'basic.get-ok', deliveryTag, redelivered, message, messageCount })
  }

  private confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    if (this.state !== 'open') return
    this.line.said(this)
    this.events.confirmed(sequence, multiple, accepted)
  }

  private cancelled(consumerTag: string): void {
    if (this.state !== 'open') return
    this.line.said(this)
    this.events.cancelled(consumerTag)
  }

  private answered(method: Method): void {
    const reply = replyOf(method)
    if (reply === null) throw new BrokerError('COMMAND_INVALID', `unexpected method ${method.name}`)
    const isGet = method.name === 'basic.get-empty'
    this.reply(isGet ? 'basic.get' : (method.name.slice(0, -'-ok'.length) as MethodName), reply)
  }

  private reply(request: MethodName, reply: Reply): void {
    if (this.state !== 'open') return
    const pending = this.pending.shift()
    if (pending?.name !== request) {
      throw new BrokerError('COMMAND_INVALID', `an answer to ${request} came, expected was ${pending?.name ?? 'none'}`)
    }
    this.line.said(this)
    this.events.replied(pending.id, reply)
    if (request === 'tx.commit') this.committed()
  }

  private committed(): void {
    this.isCommitting = false
    while (!this.isCommitting && this.held.length > 0) this.held.shift()?.()
  }

  private closedByBroker(args: Arguments<'channel.close'>): void {
    this.frames.method(this.number, 'channel.close-ok', {})
    this.line.flushSoon()
    // We said it too: then the broker's close-ok is still to come, and the number is free only after it.
    if (this.state === 'closing') return
    const error = closeError(args)
    const id = this.idOf(args.classId * 65536 + args.methodId)
    this.state = 'failing'
    this.line.forget(this.number)
    this.held.clear()
    this.failure = { id, error }
    this.line.said(this)
  }

  /** Which command the broker means; 0 for those that have no answer. */
  private idOf(method: number): number {
    for (let at = 0; at < this.pending.length; at++) {
      const { id, name } = this.pending.get(at) as Pending
      if (methodId(name) === method) return id
    }
    return 0
  }

  // What goes wrong on our side.

  /** What cannot be put in a frame would have closed the channel at the broker. */
  private refused(id: number, error: unknown): void {
    if (!(error instanceof BrokerError)) throw error
    this.fail(id, error)
  }

  private fail(id: number, error: BrokerError): void {
    this.failure = { id, error }
    this.sayClose(closeArguments(error, 0))
    this.line.tellSoon(this)
  }

  private sayClose(args: Arguments<'channel.close'>): void {
    this.state = 'closing'
    this.held.clear()
    this.frames.method(this.number, 'channel.close', args)
    this.line.flushSoon()
  }
}

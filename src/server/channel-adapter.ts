/**
 * One AMQP channel of a remote client: its methods and content become calls of the port, the port's events become frames.
 *
 *     open ──(tx.commit)──▶ committing ──▶ open      nothing may come before commit-ok
 *     open ──(needs a name that the broker is still making)──▶ held ──▶ open
 *     open ──(the end of a large body, which is not on the disk yet)──▶ held ──▶ open
 *     open ──(channel.close, or an error of ours, with answers outstanding)──▶ ending ──▶ closed
 *     open ──(an error)──▶ closed                     until the client's channel.close-ok; what comes is dropped
 *
 * While a large body goes out in pieces, all else that is to be said on the channel waits behind it (outgoing-order.ts).
 *
 * What the broker does not know lives here: reserved fields, noWait, and "the queue declared last on this channel".
 */
import { closeArguments } from '../amqp/close-reason.ts'
import { commandOf, isNoWait, replyMethodOf } from '../amqp/commands.ts'
import { ContentAssembler, contentHeaderBytes, type LargeBodies } from '../amqp/content-assembler.ts'
import { DeliveryHead, methodHead } from '../amqp/content-heads.ts'
import { frameBody, frameHeader, frameMethod } from '../amqp/frame-reader.ts'
import type { FrameWriter } from '../amqp/frame-writer.ts'
import {
  basicAck,
  basicNack,
  basicPublish,
  basicReject,
  decodeMethod,
  type Method,
  type MethodName,
  methodId,
  undecodable,
  unknownFrame,
} from '../amqp/methods.ts'
import type { PublishDecoder } from '../amqp/publish-decoder.ts'
import { assert } from '../lib/assert.ts'
import type { BodyStore } from '../model/bodies.ts'
import { type Channel, type ChannelEvents, failedOn } from '../model/channel.ts'
import type { BasicGetOk, Command, Reply } from '../model/command.ts'
import { BrokerError, replyCodes } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { ChannelHost } from './channel-host.ts'
import { HeldFrames } from './held-frames.ts'
import { LastQueue } from './last-queue.ts'
import { OutgoingOrder } from './outgoing-order.ts'

interface Pending {
  readonly name: MethodName
  readonly noWait: boolean
}

const channelClose = methodId('channel.close')

type State = 'open' | 'committing' | 'held' | 'ending' | 'closed'

export class ChannelAdapter implements ChannelEvents {
  readonly number: number
  /** The method that came last: an error is told on its behalf. */
  methodId = 0
  private readonly host: ChannelHost
  private readonly frames: FrameWriter
  private readonly publishes: PublishDecoder
  private readonly assembler: ContentAssembler
  private channel: Channel | null = null
  private state: State = 'open'
  private mandatory = false
  private settlementId: number = basicAck
  private nextId = 1
  private readonly pending: Map<number, Pending> = new Map()
  private readonly lastQueue: LastQueue = new LastQueue()
  private readonly held: HeldFrames = new HeldFrames()
  private readonly heads: Map<string, DeliveryHead> = new Map()
  private head: DeliveryHead
  private ending: BrokerError | null = null
  private readonly order: OutgoingOrder
  /** What the connection was told last. */
  private isHeldBack = false
  private isBodyFull = false
  private closeRequested = false

  constructor(number: number, host: ChannelHost) {
    this.number = number
    this.host = host
    this.frames = host.frames
    this.publishes = host.publishes
    this.assembler = new ContentAssembler(host.messageBytesMax, this.largeBodies(host.bodies))
    this.head = new DeliveryHead(number, '')
    this.order = new OutgoingOrder(number, host, () => this.bodyFailed())
  }

  opened(channel: Channel): void {
    this.channel = channel
    this.order.opened(channel)
  }

  /** The connection ends, and the session with it: nothing is said any more. */
  detach(): void {
    this.state = 'closed'
    this.channel = null
    this.host.load.commandsWaiting(-this.pending.size)
    this.pending.clear()
    this.assembler.reset()
    this.order.end()
    // Whatever of this channel was too much is gone, and nobody else would say so.
    this.tellBodies(false)
    this.tellHeldBack(false)
  }

  pauseDeliveries(): void {
    this.order.pause()
  }

  resumeDeliveries(): void {
    this.order.resume()
  }

  // What the client says.

  method(buffer: Buffer, start: number, end: number): void {
    if (this.state !== 'open') return this.methodOutOfTurn(buffer, start, end)
    if (this.assembler.isOpen) throw this.assembler.interrupted()
    if (end - start < 4) throw this.unknownFrame(frameMethod, buffer, start, end)
    const id =
      ((buffer[start] as number) << 24) |
      ((buffer[start + 1] as number) << 16) |
      ((buffer[start + 2] as number) << 8) |
      (buffer[start + 3] as number)
    this.methodId = id
    switch (id) {
      case basicPublish:
        return this.publish(buffer, start + 4, end)
      case basicAck:
      case basicReject:
      case basicNack:
        return this.settle(id, buffer, start + 4, end)
      default:
        this.control(decodeMethod(buffer, start, end), buffer, start, end)
    }
  }

  header(buffer: Buffer, start: number, end: number): void {
    if (this.state === 'open') {
      if (!this.assembler.isOpen) this.methodId = 0
      if (end - start < contentHeaderBytes) throw this.unknownFrame(frameHeader, buffer, start, end)
      this.content(this.assembler.header(buffer, start, end))
    } else if (this.state === 'held') this.hold(frameHeader, buffer, start, end)
  }

  body(buffer: Buffer, start: number, end: number, last: boolean): void {
    if (this.state === 'open') {
      // It belongs to no method.
      if (!this.assembler.isOpen) this.methodId = 0
      this.content(this.assembler.body(buffer, start, end, last))
    } else if (this.state === 'held') this.hold(frameBody, buffer, start, end, last)
  }

  private unknownFrame(type: number, buffer: Buffer, start: number, end: number): BrokerError {
    this.methodId = 0
    return unknownFrame(type, buffer, start, end)
  }

  private publish(buffer: Buffer, start: number, end: number): void {
    const { publishes } = this
    publishes.decode(buffer, start, end)
    if (publishes.immediate) throw new BrokerError('NOT_IMPLEMENTED', 'immediate=true')
    this.mandatory = publishes.mandatory
    this.assembler.begin(publishes.exchange, publishes.routingKey)
  }

  private content(message: Message | null): void {
    if (message !== null) this.port.publish(message, this.mandatory)
    else if (this.assembler.isStoring) this.state = 'held'
    else if (this.assembler.isFull) this.tellBodies(true)
  }

  private largeBodies(bodies: BodyStore | null): LargeBodies | null {
    if (bodies === null) return null
    return { bodies, drained: () => this.tellBodies(false), stored: () => this.bodyStored() }
  }

  /** The body is safe: the message can be published, and what came behind it is read. */
  private bodyStored(): void {
    try {
      this.tellBodies(false)
      this.port.publish(this.assembler.stored(), this.mandatory)
      this.release()
    } catch (error) {
      this.host.crashed(error)
    }
  }

  private get port(): Channel {
    assert(this.channel !== null, 'an open channel has its port')
    return this.channel
  }

  /** basic.ack and basic.nack: delivery tag u64be, bits (1 = multiple, 2 = requeue); basic.reject: bit 1 = requeue. */
  private settle(id: number, buffer: Buffer, start: number, end: number): void {
    if (end - start !== 9) throw undecodable(buffer, start, end)
    const tag = buffer.readUInt32BE(start) * 4294967296 + buffer.readUInt32BE(start + 4)
    const bits = buffer[start + 8] as number
    this.settlementId = id
    if (id === basicAck) this.port.ack(tag, (bits & 1) !== 0)
    else if (id === basicNack) this.port.reject(tag, (bits & 1) !== 0, (bits & 2) !== 0)
    else this.port.reject(tag, false, (bits & 1) !== 0)
  }

  private control(method: Method, buffer: Buffer, start: number, end: number): void {
    switch (method.name) {
      case 'channel.close':
        this.closeRequested = true
        return this.end(null)
      case 'channel.open':
        throw secondOpen()
      case 'channel.flow':
        if (!method.args.active) throw new BrokerError('NOT_IMPLEMENTED', 'active=false')
        return this.order.inTurn(() => this.frames.method(this.number, 'channel.flow-ok', { active: true }))
      case 'access.request':
        return this.order.inTurn(() => this.frames.method(this.number, 'access.request-ok', { ticket: 1 }))
      case 'basic.cancel-ok':
        return
      default:
    }
    const command = commandOf(method)
    if (command === null) throw new BrokerError('COMMAND_INVALID', 'unimplemented method')
    refuseUnimplemented(command)
    if (this.lastQueue.mustWaitFor(command)) return this.hold(frameMethod, buffer, start, end)
    this.execute(method.name, isNoWait(method), this.lastQueue.completed(command))
  }

  private execute(name: MethodName, noWait: boolean, command: Command): void {
    const id = this.nextId++
    this.pending.set(id, { name, noWait })
    this.host.load.commandsWaiting(1)
    this.lastQueue.executing(id, command)
    if (command.type === 'tx.commit') this.state = 'committing'
    this.port.execute(id, command)
  }

  private methodOutOfTurn(buffer: Buffer, start: number, end: number): void {
    if (this.state === 'held') {
      // If the channel fails before its turn comes, it is to be answered all the same.
      if (end - start >= 4 && buffer.readUInt32BE(start) === channelClose) this.closeRequested = true
      return this.hold(frameMethod, buffer, start, end)
    }
    const { name } = decodeMethod(buffer, start, end)
    if (this.state === 'committing') {
      this.methodId = methodId(name)
      throw new BrokerError('CHANNEL_ERROR', "unexpected command while processing 'tx.commit'")
    }
    if (name === 'channel.open') {
      this.methodId = methodId(name)
      throw secondOpen()
    }
    if (name === 'channel.close') {
      if (this.state === 'closed') this.frames.method(this.number, 'channel.close-ok', {})
      else this.closeRequested = true
    } else if (name === 'channel.close-ok' && this.state === 'closed') this.host.forget(this.number)
  }

  private hold(type: number, buffer: Buffer, start: number, end: number, last = true): void {
    this.state = 'held'
    this.held.add(type, this.number, buffer, start, end, last)
    this.tellHeldBack(this.held.isTooMuch)
  }

  private release(): void {
    if (this.state !== 'held') return
    this.state = 'open'
    this.tellHeldBack(false)
    this.host.replay(this.held)
  }

  // How it ends.

  /** An error that we found, not the broker. */
  refuse(error: BrokerError): void {
    if (this.state !== 'closed' && this.state !== 'ending') this.end(error)
  }

  /** Null: the client wants it. Answers that are on their way leave first. */
  private end(error: BrokerError | null): void {
    this.state = 'ending'
    this.ending = error
    this.assembler.reset()
    if (this.pending.size === 0) this.order.inTurn(() => this.ended())
  }

  private ended(): void {
    const { ending, channel } = this
    this.detach()
    channel?.close()
    if (ending !== null) this.sendClose(ending, this.methodId)
    if (this.closeRequested) this.frames.method(this.number, 'channel.close-ok', {})
    if (ending === null) this.host.forget(this.number)
  }

  /** At the end of a turn nothing else writes it out: a channel that is closed is not told to flush. */
  private endedByAnswer(): void {
    this.ended()
    this.host.flush()
  }

  private sendClose(error: BrokerError, method: number): void {
    this.frames.method(this.number, 'channel.close', closeArguments(error, method))
  }

  // What the broker says.

  replied(id: number, reply: Reply): void {
    if (this.order.body !== null) {
      // What it brings may go meanwhile: its body is held from now on.
      const letGo = reply.type === 'basic.get-ok' && reply.message.refers ? this.order.retain(reply.message) : null
      const say = (): void => {
        this.replied(id, reply)
        letGo?.()
      }
      return this.order.putOff(say, reply.type === 'basic.get-ok' ? reply.message.contentBytes : 0)
    }
    const pending = this.pending.get(id)
    if (pending === undefined) return
    this.pending.delete(id)
    this.host.load.commandsWaiting(-1)
    try {
      this.answered(id, pending, reply)
    } catch (error) {
      this.host.crashed(error)
    }
  }

  private answered(id: number, pending: Pending, reply: Reply): void {
    if (reply.type === 'queue.declare-ok') this.lastQueue.declared(id, reply.queue)
    else if (reply.type === 'basic.cancel-ok') this.forgetConsumer(reply.consumerTag)
    if (reply.type === 'basic.get-ok') this.got(reply)
    else if (!pending.noWait) this.answer(pending.name, reply)
    if (this.state === 'committing' && pending.name === 'tx.commit') this.state = 'open'
    // Not in the middle of the body that this answer may have begun.
    if (this.state === 'ending' && this.pending.size === 0) this.order.inTurn(() => this.endedByAnswer())
    else if (!this.lastQueue.isAwaited && !this.assembler.isStoring) this.release()
  }

  private answer(name: MethodName, reply: Reply): void {
    const method = replyMethodOf(name, reply)
    assert(method !== null, 'what has content is not answered here')
    this.frames.method(this.number, method.name, method.args as never)
  }

  private got({ deliveryTag, redelivered, message, messageCount }: BasicGetOk): void {
    const { exchange, routingKey } = message
    const args = { deliveryTag, redelivered, exchange, routingKey, messageCount }
    this.order.send(methodHead(this.number, 'basic.get-ok', args), message)
  }

  delivered(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    if (this.state === 'closed') return
    if (message.refers) {
      const head = new DeliveryHead(this.number, consumerTag)
      return this.order.send(head.of(deliveryTag, redelivered, message.exchange, message.routingKey), message)
    }
    if (this.order.body !== null) return this.deliverLater(consumerTag, deliveryTag, redelivered, message)
    try {
      if (consumerTag !== this.head.consumerTag) this.head = this.headOf(consumerTag)
      const head = this.head.of(deliveryTag, redelivered, message.exchange, message.routingKey)
      this.frames.content(this.number, head, message)
    } catch (error) {
      this.host.crashed(error)
    }
  }

  /** Apart from `delivered`: a function with a closure in it costs an object at each call, whether it is made or not. */
  private deliverLater(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    this.order.putOff(() => this.delivered(consumerTag, deliveryTag, redelivered, message), message.contentBytes)
  }

  private confirmLater(sequence: number, multiple: boolean, accepted: boolean): void {
    this.order.putOff(() => this.confirmed(sequence, multiple, accepted))
  }

  private bodyFailed(): void {
    const reason = new BrokerError('INTERNAL_ERROR', 'the body of a message cannot be read from the disk')
    this.host.fail(reason, this.methodId)
  }

  private tellHeldBack(isTooMuch: boolean): void {
    if (isTooMuch === this.isHeldBack) return
    this.isHeldBack = isTooMuch
    this.host.load.holdBack(isTooMuch)
  }

  private tellBodies(isTooMuch: boolean): void {
    if (isTooMuch === this.isBodyFull) return
    this.isBodyFull = isTooMuch
    this.host.load.holdBodies(isTooMuch)
  }

  private headOf(consumerTag: string): DeliveryHead {
    const known = this.heads.get(consumerTag)
    if (known !== undefined) return known
    const head = new DeliveryHead(this.number, consumerTag)
    this.heads.set(consumerTag, head)
    return head
  }

  private forgetConsumer(consumerTag: string): void {
    this.heads.delete(consumerTag)
  }

  confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    if (this.state === 'closed') return
    if (this.order.body !== null) return this.confirmLater(sequence, multiple, accepted)
    this.frames.settlement(this.number, accepted ? basicAck : basicNack, sequence, multiple ? 1 : 0)
  }

  returned(message: Message, reason: 'NO_ROUTE' | 'NO_CONSUMERS'): void {
    if (this.state === 'closed') return
    const { exchange, routingKey } = message
    const args = { replyCode: replyCodes[reason].number, replyText: reason, exchange, routingKey }
    this.order.send(methodHead(this.number, 'basic.return', args), message)
  }

  cancelled(consumerTag: string): void {
    if (this.state === 'closed') return
    if (this.order.body !== null) {
      return this.order.putOff(() => this.cancelled(consumerTag))
    }
    this.forgetConsumer(consumerTag)
    if (this.host.notifiesCancels) this.frames.method(this.number, 'basic.cancel', { consumerTag, noWait: true })
  }

  failed(id: number, error: BrokerError): void {
    if (this.state === 'closed') return
    if (this.order.body !== null && error.scope === 'channel') {
      return this.order.putOff(() => this.failed(id, error))
    }
    const method = this.methodIdOf(id)
    const { closeRequested } = this
    this.detach()
    if (error.scope === 'connection') return this.host.fail(error, method)
    this.sendClose(error, method)
    if (closeRequested) this.frames.method(this.number, 'channel.close-ok', {})
  }

  private methodIdOf(id: number): number {
    if (id === failedOn.publish) return basicPublish
    if (id === failedOn.settlement) return this.settlementId
    const pending = this.pending.get(id)
    return pending === undefined ? 0 : methodId(pending.name)
  }

  flush(): void {
    this.host.flush()
  }
}

function secondOpen(): BrokerError {
  return new BrokerError('CHANNEL_ERROR', "second 'channel.open' seen")
}

/** RabbitMQ refuses these before it looks at anything else, and closes the connection. */
function refuseUnimplemented(command: Command): void {
  if (command.type === 'basic.qos' && command.prefetchSize !== 0) {
    throw new BrokerError('NOT_IMPLEMENTED', `prefetch_size!=0 (${command.prefetchSize})`)
  }
  if (command.type === 'basic.recover' && !command.requeue) throw new BrokerError('NOT_IMPLEMENTED', 'requeue=false')
}

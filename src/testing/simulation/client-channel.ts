/**
 * A client's view of one of its channels: what it may do next, and whether what it is told makes sense end to end.
 */
import type { Channel, ChannelEvents } from '../../model/channel.ts'
import type { Command, Reply } from '../../model/command.ts'
import type { BrokerError } from '../../model/errors.ts'
import type { FieldTable } from '../../model/field-table.ts'
import type { Message } from '../../model/message.ts'
import type { Publication } from './facts.ts'
import type { Ledger, Made } from './ledger.ts'
import type { Trace } from './trace.ts'
import { Violation } from './trace.ts'

export type ChannelMode = 'plain' | 'confirm' | 'tx'

interface ClientConsumer {
  readonly queue: string
  readonly noAck: boolean
  /** The last publication that came for the first time, by the channel that made it. */
  readonly lastByMaker: Map<string, number>
}

export class ClientChannel implements ChannelEvents {
  readonly name: string
  readonly mode: ChannelMode
  /** Delivered and not settled. */
  readonly tags: number[] = []
  readonly consumers: Map<string, ClientConsumer> = new Map()
  /** Publishes without an answer, by number. */
  readonly openPublishes: Map<number, Publication> = new Map()
  isOver = false
  isPaused = false
  mustCloseSession = false
  private channel!: Channel
  private readonly ledger: Ledger
  private readonly trace: Trace
  private nextId = 1
  private consumerCount = 0
  private lastPublished = 0
  private lastConfirmed = 0
  /** Commands without an answer, in order. */
  private readonly pending: { readonly id: number; readonly command: Command | null; readonly tag: string }[] = []

  constructor(name: string, mode: ChannelMode, ledger: Ledger, trace: Trace) {
    this.name = name
    this.mode = mode
    this.ledger = ledger
    this.trace = trace
  }

  begin(channel: Channel): void {
    this.channel = channel
    if (this.mode === 'confirm') this.execute({ type: 'confirm.select' })
    else if (this.mode === 'tx') this.execute({ type: 'tx.select' })
  }

  get awaitedReplies(): number {
    return this.pending.length
  }

  // ------------------------------------------------------------------------------------------------- calls

  execute(command: Command, tag = ''): void {
    if (this.isOver) return
    const id = this.nextId++
    this.pending.push({ id, command, tag })
    this.channel.execute(id, command)
  }

  consume(queue: string, noAck: boolean, isExclusive: boolean, table: FieldTable): void {
    const tag = `${this.name}-${++this.consumerCount}`
    this.consumers.set(tag, { queue, noAck, lastByMaker: new Map() })
    const command = { queue, consumerTag: tag, noAck, exclusive: isExclusive, arguments: table }
    this.execute({ type: 'basic.consume', ...command }, tag)
  }

  publish({ publication, message }: Made, isMandatory: boolean): void {
    if (this.isOver) return
    const sequence = this.channel.publish(message, isMandatory)
    if (sequence === 0) return
    if (sequence !== this.lastPublished + 1)
      this.violate('I9', `publish number ${sequence} follows ${this.lastPublished}`)
    this.lastPublished = sequence
    this.openPublishes.set(sequence, publication)
  }

  ack(tag: number, multiple: boolean): void {
    this.forgetTags(tag, multiple)
    this.channel.ack(tag, multiple)
  }

  reject(tag: number, multiple: boolean, requeue: boolean): void {
    this.forgetTags(tag, multiple)
    this.channel.reject(tag, multiple, requeue)
  }

  commit(acks: readonly number[], made: readonly Made[]): void {
    if (this.isOver) return
    const id = this.nextId++
    for (const tag of acks) this.forgetTags(tag, false)
    this.pending.push({ id, command: null, tag: '' })
    this.channel.commit(
      id,
      acks,
      made.map(({ message }) => message),
    )
  }

  recover(): void {
    this.tags.length = 0
    this.execute({ type: 'basic.recover', requeue: true })
  }

  pause(isPaused: boolean): void {
    this.isPaused = isPaused
    if (isPaused) this.channel.pauseDeliveries()
    else this.channel.resumeDeliveries()
  }

  close(): void {
    this.isOver = true
    this.channel.close()
  }

  // ------------------------------------------------------------------------------------------------- events

  replied(id: number, reply: Reply): void {
    const first = this.pending.shift()
    if (first?.id !== id)
      this.violate('order', `the reply ${id} (${reply.type}) came where ${first?.id ?? 'none'} was due`)
    if (reply.type === 'basic.get-ok') this.noteGet(reply, first?.command ?? null)
    if (reply.type === 'basic.cancel-ok') this.consumers.delete(reply.consumerTag)
  }

  delivered(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    const consumer = this.consumers.get(consumerTag)
    if (consumer === undefined) return this.violate('order', `a delivery for ${consumerTag}, which is not there`)
    const publication = this.noteSeen(message, consumer.queue, redelivered)
    if (!redelivered && publication !== undefined) {
      const last = consumer.lastByMaker.get(`${publication.maker} ${publication.priority}`) ?? 0
      if (last > publication.id) this.violate('I5', `#${publication.id} came after #${last} of the same channel`)
      consumer.lastByMaker.set(`${publication.maker} ${publication.priority}`, publication.id)
    }
    if (!consumer.noAck) this.tags.push(deliveryTag)
  }

  confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    if (!this.openPublishes.has(sequence)) this.violate('I9', `${sequence} was confirmed already or never sent`)
    for (let number = multiple ? this.lastConfirmed + 1 : sequence; number <= sequence; number++) {
      const publication = this.openPublishes.get(number)
      if (publication === undefined) continue
      this.openPublishes.delete(number)
      const said = accepted ? 'confirmed' : 'refused'
      if (publication.outcome !== said) this.violate('I9', `#${publication.id} was not ${said} by the broker`)
    }
    if (multiple) this.lastConfirmed = sequence
  }

  returned(message: Message): void {
    if (this.ledger.find(message) === undefined) this.violate('I3', 'a message was returned that nobody sent')
  }

  cancelled(consumerTag: string): void {
    this.consumers.delete(consumerTag)
  }

  failed(_id: number, error: BrokerError): void {
    this.isOver = true
    this.mustCloseSession = error.scope === 'connection'
  }

  flush(): void {}

  private noteGet(reply: Reply & { type: 'basic.get-ok' }, command: Command | null): void {
    if (command?.type !== 'basic.get') return this.violate('order', `a get-ok answers ${command?.type ?? 'a commit'}`)
    this.noteSeen(reply.message, command.queue, reply.redelivered)
    if (!command.noAck) this.tags.push(reply.deliveryTag)
  }

  private noteSeen(message: Message, queue: string, redelivered: boolean): Publication | undefined {
    const publication = this.ledger.find(message)
    if (publication === undefined) {
      this.violate('I3', `queue ${queue} gave a message that nobody sent`)
      return undefined
    }
    const isRepeated = this.ledger.noteSeen(publication, queue, this.name)
    if (isRepeated && !redelivered)
      this.violate('I7', `#${publication.id} came from ${queue} before; redelivered=false`)
    return publication
  }

  private forgetTags(tag: number, multiple: boolean): void {
    const kept = this.tags.filter((other) => (multiple ? tag !== 0 && other > tag : other !== tag))
    this.tags.splice(0, this.tags.length, ...kept)
  }

  private violate(invariant: string, text: string): void {
    throw this.trace.violated(new Violation(invariant, `client channel ${this.name}: ${text}`))
  }
}

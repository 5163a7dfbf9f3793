/**
 * The connection of one bus with the broker of a test: a driver over the broker's, where deliveries come late,
 * acknowledgements get lost and sends fail as the faults say, and which can be cut.
 */
import type { Channel, ChannelEvents, Driver, Login, Session, SessionEvents } from '../../model/channel.ts'
import type { Command, Reply } from '../../model/command.ts'
import { BrokerError } from '../../model/errors.ts'
import { gatheredHeader } from '../../model/gathering.ts'
import type { Message } from '../../model/message.ts'
import type { Clock } from '../../platform/clock.ts'
import type { FaultDice } from './faults.ts'

export class BusLink implements Driver, SessionEvents {
  private readonly driver: Driver
  private readonly clock: Clock
  private readonly dice: FaultDice
  private readonly channels: Set<LinkChannel> = new Set()
  /** Queues that the bus will delete because it believes that an acknowledgement is stored. */
  private readonly kept: Set<string> = new Set()
  private session: Session | null = null
  private events: SessionEvents | null = null
  private isOver = false

  constructor(driver: Driver, clock: Clock, dice: FaultDice) {
    this.driver = driver
    this.clock = clock
    this.dice = dice
  }

  authenticate(login: Login): Promise<void> {
    return this.driver.authenticate(login)
  }

  async openSession(login: Login, events: SessionEvents): Promise<Session> {
    this.events = events
    const session = await this.driver.openSession(login, this)
    this.session = session
    return {
      openChannel: (channelEvents) => this.openChannel(session, channelEvents),
      close: () => this.end(),
    }
  }

  /** The bus ends; the broker goes on. */
  close(): Promise<void> {
    return this.end()
  }

  /**
   * The connection breaks: the bus hears of it, and nothing more passes either way. To be called between two things that
   * happen, never in the middle of one.
   */
  cut(why: string): void {
    if (this.isOver) return
    this.isOver = true
    for (const channel of this.channels) channel.cut()
    this.channels.clear()
    this.events?.closed(new BrokerError('CONNECTION_FORCED', why))
  }

  /** The broker notices that nobody is there any more. */
  async notice(): Promise<void> {
    await this.session?.close()
  }

  // What the broker tells.

  blocked(reason: string): void {
    if (!this.isOver) this.events?.blocked(reason)
  }

  unblocked(): void {
    if (!this.isOver) this.events?.unblocked()
  }

  throttled(): void {
    if (!this.isOver) this.events?.throttled()
  }

  resumed(): void {
    if (!this.isOver) this.events?.resumed()
  }

  closed(error: BrokerError): void {
    this.cut(error.text)
  }

  private openChannel(session: Session, events: ChannelEvents): Channel {
    if (this.isOver) throw new BrokerError('CONNECTION_FORCED', 'the connection to the test broker has ended')
    const channel = new LinkChannel(events, this.clock, this.dice, this.kept, () => this.channels.delete(channel))
    channel.channel = session.openChannel(channel)
    this.channels.add(channel)
    return channel
  }

  private async end(): Promise<void> {
    if (this.isOver) return
    this.isOver = true
    for (const channel of this.channels) channel.cut()
    this.channels.clear()
    await this.session?.close()
  }
}

interface Consuming {
  readonly queue: string
  readonly noAck: boolean
}

/** A delivery that came for the first time. */
interface First {
  readonly queue: string
  readonly message: Message
}

interface OpenSend {
  /** The number that the bus knows it by. */
  readonly sequence: number
  readonly isFailed: boolean
}

/** Both sides of one channel: what the bus asks goes to the broker, what that tells goes to the bus. */
class LinkChannel implements Channel, ChannelEvents {
  channel!: Channel
  private readonly events: ChannelEvents
  private readonly clock: Clock
  private readonly dice: FaultDice
  private readonly forget: () => void
  private isCut = false
  /** Consumers: by the command that makes them until it is answered, then by tag. */
  private readonly asked: Map<number, Consuming> = new Map()
  private readonly consumers: Map<string, Consuming> = new Map()
  /** Those that are not settled, by tag. */
  private readonly first: Map<number, First> = new Map()
  private readonly kept: Set<string>
  /** Takes back deliveries that are late. */
  private readonly late: Set<() => void> = new Set()
  private confirming = false
  private sends = 0
  /** Sends that are not confirmed, by the broker's number: what is lost on the way has none. */
  private readonly openSends: Map<number, OpenSend> = new Map()

  /** `kept`: see BusLink. */
  constructor(events: ChannelEvents, clock: Clock, dice: FaultDice, kept: Set<string>, forget: () => void) {
    this.events = events
    this.clock = clock
    this.dice = dice
    this.kept = kept
    this.forget = forget
  }

  /** Nothing passes any more. */
  cut(): void {
    this.isCut = true
    for (const cancel of this.late) cancel()
    this.late.clear()
  }

  // What the bus asks.

  execute(id: number, command: Command): void {
    if (this.isCut) return
    if (command.type === 'basic.consume') this.asked.set(id, { queue: command.queue, noAck: command.noAck })
    if (command.type === 'confirm.select') this.confirming = true
    if (command.type === 'queue.delete' && this.kept.delete(command.queue)) return this.answerLater(id)
    this.channel.execute(id, command)
  }

  publish(message: Message, mandatory: boolean): number {
    if (this.isCut) return 0
    if (!this.confirming) return this.channel.publish(message, mandatory)
    const sequence = ++this.sends
    // Nobody but the sender of a message wants it to be routed: answers to senders are not hit.
    const failure = mandatory ? this.dice.failedSend(message.routingKey) : null
    if (failure === 'lost') {
      this.clock.defer(() => this.refuse(sequence))
      return sequence
    }
    const theirs = this.channel.publish(message, mandatory)
    if (theirs === 0) return 0
    this.openSends.set(theirs, { sequence, isFailed: failure !== null })
    return sequence
  }

  ack(deliveryTag: number, multiple: boolean): void {
    if (this.isCut) return
    if (this.losesAck(deliveryTag)) this.channel.reject(deliveryTag, false, true)
    else this.channel.ack(deliveryTag, multiple)
  }

  reject(deliveryTag: number, multiple: boolean, requeue: boolean): void {
    if (this.isCut) return
    this.first.delete(deliveryTag)
    this.channel.reject(deliveryTag, multiple, requeue)
  }

  commit(id: number, acks: readonly number[], publishes: readonly Message[]): void {
    if (this.isCut) return
    // Each is asked, for each has its own dice.
    const lost = acks.filter((tag) => this.losesAck(tag)).length > 0
    if (!lost) return this.channel.commit(id, acks, publishes)
    for (const tag of acks) this.channel.reject(tag, false, true)
    // The bus is to believe that it is stored.
    this.channel.commit(id, [], [])
  }

  pauseDeliveries(): void {
    this.channel.pauseDeliveries()
  }

  resumeDeliveries(): void {
    this.channel.resumeDeliveries()
  }

  close(): void {
    if (this.isCut) return
    this.cut()
    this.forget()
    this.channel.close()
  }

  // What the broker tells.

  replied(id: number, reply: Reply): void {
    if (this.isCut) return
    const consuming = this.asked.get(id)
    if (reply.type === 'basic.consume-ok' && consuming !== undefined) this.consumers.set(reply.consumerTag, consuming)
    this.asked.delete(id)
    this.events.replied(id, reply)
  }

  delivered(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    if (this.isCut) return
    const consuming = this.consumers.get(consumerTag)
    const deliver = (): void => this.events.delivered(consumerTag, deliveryTag, redelivered, message)
    // Who wants no acknowledgement takes answers to senders, on a queue that is nobody else's.
    if (consuming === undefined || consuming.noAck) return deliver()
    if (!redelivered) this.first.set(deliveryTag, { queue: consuming.queue, message })
    const lateMs = this.dice.lateness(consuming.queue)
    if (lateMs === 0) return deliver()
    const cancel = this.clock.setTimer(lateMs, () => {
      this.late.delete(cancel)
      deliver()
      this.events.flush()
    })
    this.late.add(cancel)
  }

  confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    if (this.isCut) return
    for (const [theirs, send] of this.openSends) {
      if (theirs > sequence) break
      if (theirs < sequence && !multiple) continue
      this.openSends.delete(theirs)
      this.events.confirmed(send.sequence, false, accepted && !send.isFailed)
    }
  }

  returned(message: Message, reason: 'NO_ROUTE' | 'NO_CONSUMERS'): void {
    if (!this.isCut) this.events.returned(message, reason)
  }

  cancelled(consumerTag: string): void {
    if (!this.isCut) this.events.cancelled(consumerTag)
  }

  failed(id: number, error: BrokerError): void {
    if (this.isCut) return
    // What is late came through a channel that is gone.
    for (const cancel of this.late) cancel()
    this.late.clear()
    this.events.failed(id, error)
  }

  flush(): void {
    if (!this.isCut) this.events.flush()
  }

  private losesAck(deliveryTag: number): boolean {
    const first = this.first.get(deliveryTag)
    this.first.delete(deliveryTag)
    if (first === undefined || !this.dice.losesAck(first.queue)) return false
    // A parent that comes again finds the answers of its children where they were.
    const gathered = first.message.decodeProperties().headers?.get(gatheredHeader)?.value
    if (typeof gathered === 'string') this.kept.add(gathered)
    return true
  }

  private answerLater(id: number): void {
    this.clock.defer(() => {
      if (this.isCut) return
      this.events.replied(id, { type: 'queue.delete-ok', messageCount: 0 })
      this.events.flush()
    })
  }

  private refuse(sequence: number): void {
    if (this.isCut) return
    this.events.confirmed(sequence, false, false)
    this.events.flush()
  }
}

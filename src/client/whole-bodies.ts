/**
 * A driver that gives whole messages, over one that keeps large bodies in files: whoever processes a message in this process
 * gets its body in memory. While one is being read, what comes on its channel waits behind it.
 */
import type { BodyStore } from '../model/bodies.ts'
import type { Channel, ChannelEvents, Driver, Login, Session, SessionEvents } from '../model/channel.ts'
import type { Command, Reply } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'
import { Message } from '../model/message.ts'

export class WholeBodies implements Driver {
  private readonly driver: Driver
  private readonly store: BodyStore

  constructor(driver: Driver, store: BodyStore) {
    this.driver = driver
    this.store = store
  }

  authenticate(login: Login): Promise<void> {
    return this.driver.authenticate(login)
  }

  async openSession(login: Login, events: SessionEvents): Promise<Session> {
    const session = await this.driver.openSession(login, events)
    const { store } = this
    return {
      openChannel: (channelEvents) => {
        const whole = new WholeEvents(channelEvents, store)
        const channel = session.openChannel(whole)
        whole.channel = channel
        return new WholeChannel(channel, whole)
      },
      close: () => session.close(),
    }
  }

  close(): Promise<void> {
    return this.driver.close()
  }
}

class WholeChannel implements Channel {
  private readonly channel: Channel
  private readonly events: WholeEvents

  constructor(channel: Channel, events: WholeEvents) {
    this.channel = channel
    this.events = events
  }

  execute(id: number, command: Command): void {
    this.events.asked(id, command)
    this.channel.execute(id, command)
  }

  publish(message: Message, mandatory: boolean): number {
    return this.channel.publish(message, mandatory)
  }

  ack(deliveryTag: number, multiple: boolean): void {
    this.channel.ack(deliveryTag, multiple)
  }

  reject(deliveryTag: number, multiple: boolean, requeue: boolean): void {
    this.channel.reject(deliveryTag, multiple, requeue)
  }

  commit(id: number, acks: readonly number[], publishes: readonly Message[]): void {
    this.channel.commit(id, acks, publishes)
  }

  pauseDeliveries(): void {
    this.channel.pauseDeliveries()
  }

  resumeDeliveries(): void {
    this.channel.resumeDeliveries()
  }

  close(): void {
    this.events.stop()
    this.channel.close()
  }
}

class WholeEvents implements ChannelEvents {
  channel: Channel | null = null
  private readonly events: ChannelEvents
  private readonly store: BodyStore
  private isReading = false
  private isStopped = false
  /** What is to be told behind the message whose body is being read. */
  private later: (() => void)[] = []
  /** Messages among that whose bodies are held. */
  private readonly held: Set<Message> = new Set()
  /** Consumers that want no acknowledgements: by the command that makes them until it is answered, then by tag. */
  private readonly noAckAsked: Set<number> = new Set()
  private readonly noAckTags: Set<string> = new Set()

  constructor(events: ChannelEvents, store: BodyStore) {
    this.events = events
    this.store = store
  }

  stop(): void {
    this.isStopped = true
    this.later = []
    for (const message of this.held) this.store.release(message)
    this.held.clear()
  }

  asked(id: number, command: Command): void {
    if (command.type === 'basic.consume' && command.noAck) this.noAckAsked.add(id)
  }

  replied(id: number, reply: Reply): void {
    if (reply.type === 'basic.get-ok' && reply.message.refers) {
      const tell = (message: Message | null): void => {
        if (message !== null) this.events.replied(id, { ...reply, message })
        else this.events.failed(id, new BrokerError('INTERNAL_ERROR', 'the body cannot be read from the disk'))
      }
      this.read(reply.message, tell)
    } else if (this.isReading) this.later.push(() => this.replied(id, reply))
    else {
      if (reply.type === 'basic.consume-ok') this.began(id, reply.consumerTag)
      this.events.replied(id, reply)
    }
  }

  delivered(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    if (message.refers || this.isReading) this.deliverLater(consumerTag, deliveryTag, redelivered, message)
    else this.events.delivered(consumerTag, deliveryTag, redelivered, message)
  }

  /** Apart from `delivered`: a function with a closure in it costs an object at each call, whether it is made or not. */
  private deliverLater(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    if (!message.refers) {
      this.later.push(() => this.delivered(consumerTag, deliveryTag, redelivered, message))
      return
    }
    this.read(message, (whole) => {
      if (whole !== null) this.events.delivered(consumerTag, deliveryTag, redelivered, whole)
      // Back to its queue, which by now hands it to nobody. Where it was settled when it was handed out there is no way back.
      else if (!this.noAckTags.has(consumerTag)) this.channel?.reject(deliveryTag, false, true)
    })
  }

  confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    this.events.confirmed(sequence, multiple, accepted)
  }

  returned(message: Message, reason: 'NO_ROUTE' | 'NO_CONSUMERS'): void {
    this.events.returned(message, reason)
  }

  cancelled(consumerTag: string): void {
    if (this.isReading) this.later.push(() => this.cancelled(consumerTag))
    else this.events.cancelled(consumerTag)
  }

  failed(id: number, error: BrokerError): void {
    if (this.isReading) this.later.push(() => this.failed(id, error))
    else this.events.failed(id, error)
  }

  flush(): void {
    this.events.flush()
  }

  private began(id: number, consumerTag: string): void {
    if (this.noAckAsked.delete(id)) this.noAckTags.add(consumerTag)
    // The tag may have been another's.
    else this.noAckTags.delete(consumerTag)
  }

  /** `tell` gets the message, or null if it cannot be read; in its turn. */
  private read(message: Message, tell: (whole: Message | null) => void): void {
    // Held at once: it may be settled, and is not to be gone before its turn.
    this.store.retain(message)
    this.held.add(message)
    const begin = (): void => {
      this.isReading = true
      this.held.delete(message)
      void wholeOf(message, this.store).then((whole) => {
        this.store.release(message)
        this.isReading = false
        if (!this.isStopped) tell(whole)
        while (!this.isReading && this.later.length > 0) this.later.shift()?.()
        if (!this.isStopped) this.events.flush()
      })
    }
    if (this.isReading) this.later.push(begin)
    else begin()
  }
}

/** Null: it cannot be read, which the store has told whom it concerns. */
async function wholeOf(message: Message, store: BodyStore): Promise<Message | null> {
  const source = store.open(message)
  const properties = message.propertyBytes
  const content = Buffer.allocUnsafeSlow(properties.length + message.bodyBytes)
  properties.copy(content, 0)
  let at = properties.length
  try {
    for (let piece = await source.next(); piece !== null; piece = await source.next()) at += piece.copy(content, at)
  } catch {
    return null
  } finally {
    source.close()
  }
  const { exchange, routingKey } = message
  return new Message(exchange, routingKey, content, 0, properties.length, properties.length, at, true)
}

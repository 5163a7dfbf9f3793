// A plain AMQP client at the port of a broker: it knows queues, properties and bytes, and nothing of ours.
import type { Channel, ChannelEvents, Driver, Login } from '../../src/model/channel.ts'
import type { Command, Reply } from '../../src/model/command.ts'
import type { BrokerError } from '../../src/model/errors.ts'
import { emptyTable, fromTable, type PlainValue } from '../../src/model/field-table.ts'
import { Message } from '../../src/model/message.ts'
import { encodeProperties, type Properties } from '../../src/model/properties.ts'

const login: Login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }

export interface PlainMessage {
  readonly properties: Properties
  readonly headers: { readonly [name: string]: PlainValue }
  readonly body: string
}

interface Asking {
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: BrokerError) => void
}

export class PlainClient implements ChannelEvents {
  readonly received: PlainMessage[] = []
  private readonly channel: Channel
  private readonly asking: Map<number, Asking> = new Map()
  private nextId = 1

  private constructor(openChannel: (events: ChannelEvents) => Channel) {
    this.channel = openChannel(this)
  }

  static async open(driver: Driver): Promise<PlainClient> {
    const events = { blocked() {}, unblocked() {}, throttled() {}, resumed() {}, closed() {} }
    const session = await driver.openSession(login, events)
    return new PlainClient((channelEvents) => session.openChannel(channelEvents))
  }

  publish(queue: string, body: string | Buffer, properties: Properties = {}): void {
    this.channel.publish(Message.of('', queue, encodeProperties(properties), Buffer.from(body)), false)
  }

  /** Rejects with what the broker closes the channel for. */
  execute(command: Command): Promise<Reply> {
    const id = this.nextId++
    return new Promise((resolve, reject) => {
      this.asking.set(id, { resolve, reject })
      this.channel.execute(id, command)
    })
  }

  /** An exclusive queue, consumed into `received`; resolves with its name. */
  async replyQueue(): Promise<string> {
    const flags = { passive: false, durable: false, exclusive: true, autoDelete: true }
    const reply = await this.execute({ type: 'queue.declare', queue: '', ...flags, arguments: emptyTable })
    const name = reply.type === 'queue.declare-ok' ? reply.queue : ''
    await this.consume(name)
    return name
  }

  /** Takes everything out of the queue. */
  async drain(queue: string): Promise<PlainMessage[]> {
    const all: PlainMessage[] = []
    for (;;) {
      const reply = await this.execute({ type: 'basic.get', queue, noAck: true })
      if (reply.type !== 'basic.get-ok') return all
      all.push(plain(reply.message))
    }
  }

  replied(id: number, reply: Reply): void {
    this.asking.get(id)?.resolve(reply)
    this.asking.delete(id)
  }

  delivered(_consumerTag: string, _tag: number, _redelivered: boolean, message: Message): void {
    this.received.push(plain(message))
  }

  confirmed(): void {}

  returned(): void {}

  cancelled(): void {}

  failed(id: number, error: BrokerError): void {
    const asked = this.asking.get(id)
    if (asked === undefined) throw error
    asked.reject(error)
  }

  flush(): void {}

  private async consume(queue: string): Promise<void> {
    const flags = { consumerTag: '', noAck: true, exclusive: false }
    await this.execute({ type: 'basic.consume', queue, ...flags, arguments: emptyTable })
  }
}

function plain(message: Message): PlainMessage {
  const properties = message.decodeProperties()
  const headers = properties.headers === undefined ? {} : { ...fromTable(properties.headers) }
  return { properties, headers, body: message.body.toString() }
}

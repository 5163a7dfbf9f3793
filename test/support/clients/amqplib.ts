// amqplib, the oldest client for Node: one request at a time per channel, errors as events.
import { type Channel, type ChannelModel, type ConfirmChannel, connect, type Message } from 'amqplib'
import {
  type ConsumeOptions,
  compact,
  type Deferred,
  type Delivery,
  deferred,
  type ExchangeOptions,
  Failure,
  type Headers,
  Nacked,
  type PublishOptions,
  plainHeaders,
  type QueueCounts,
  type QueueOptions,
  type Returned,
  type TestChannel,
  type TestClient,
  type TestConnection,
} from './client.ts'

const typed = (type: string, value: unknown): unknown => ({ '!': type, value })

export const amqplibClient: TestClient = {
  name: 'amqplib',
  cannot: {
    tx: 'amqplib has no transactions',
    'open-error': 'amqplib does not tell why connection.open was refused',
  },
  // All types RabbitMQ knows; a plain number is read back, since JavaScript has one type for all of them.
  sampleHeaders: {
    sent: {
      ...plainHeaders,
      int8: typed('int8', -128),
      uint8: typed('uint8', 255),
      int16: typed('int16', -32_768),
      uint16: typed('uint16', 65_535),
      int32: typed('int32', -2_147_483_648),
      uint32: typed('uint32', 4_294_967_295),
      int64: typed('int64', -9_007_199_254_740_991),
      float: typed('float', 1.5),
      double: 0.1,
      decimal: typed('decimal', { places: 2, digits: 12_345 }),
      timestamp: typed('timestamp', 1_700_000_000),
      bytes: Buffer.from([0, 1, 254, 255]),
    },
    received: {
      ...plainHeaders,
      int8: -128,
      uint8: 255,
      int16: -32_768,
      uint16: 65_535,
      int32: -2_147_483_648,
      uint32: 4_294_967_295,
      int64: -9_007_199_254_740_991,
      float: 1.5,
      double: 0.1,
      decimal: typed('decimal', { places: 2, digits: 12_345 }),
      timestamp: typed('timestamp', 1_700_000_000),
      bytes: Buffer.from([0, 1, 254, 255]),
    },
  },

  async connect(url) {
    let model: ChannelModel
    try {
      model = await connect(url)
    } catch (error) {
      throw failureOf(error)
    }
    return new AmqplibConnection(model)
  },
}

/** amqplib puts the broker's words into a sentence of its own. */
function failureOf(error: unknown): Failure {
  const { message } = error as Error
  const [, code = '0', text = message] = /(\d{3}) \([A-Z-]+\) with message "([\s\S]*)"$/.exec(message) ?? []
  return new Failure(Number(code), text)
}

class AmqplibConnection implements TestConnection {
  readonly ended: Promise<Failure>
  private readonly model: ChannelModel

  constructor(model: ChannelModel) {
    this.model = model
    const ended = deferred<Failure>()
    this.ended = ended.promise
    model.on('error', (error) => ended.resolve(failureOf(error)))
    // What an operator does to a connection is no error to amqplib.
    model.on('close', (error) => error !== undefined && ended.resolve(failureOf(error)))
  }

  async openChannel({ confirms = false }: { confirms?: boolean } = {}): Promise<TestChannel> {
    const channel = confirms ? await this.model.createConfirmChannel() : await this.model.createChannel()
    return new AmqplibChannel(channel, confirms ? (channel as ConfirmChannel) : null)
  }

  async close(): Promise<void> {
    await this.model.close()
  }
}

class AmqplibChannel implements TestChannel {
  readonly ended: Promise<Failure>
  private readonly channel: Channel
  private readonly confirming: ConfirmChannel | null
  private readonly end: Deferred<Failure>

  constructor(channel: Channel, confirming: ConfirmChannel | null) {
    this.channel = channel
    this.confirming = confirming
    this.end = deferred()
    this.ended = this.end.promise
    channel.on('error', (error) => this.end.resolve(failureOf(error)))
    channel.on('close', () => this.end.resolve(new Failure(0, 'channel closed')))
  }

  async declareExchange(exchange: string, kind: string, options: ExchangeOptions = {}): Promise<void> {
    await this.ask(this.channel.assertExchange(exchange, kind, { durable: false, ...options }))
  }

  async checkExchange(exchange: string): Promise<void> {
    await this.ask(this.channel.checkExchange(exchange))
  }

  async deleteExchange(exchange: string, options: { ifUnused?: boolean } = {}): Promise<void> {
    await this.ask(this.channel.deleteExchange(exchange, options))
  }

  async bindExchange(destination: string, source: string, key: string, args?: Headers): Promise<void> {
    await this.ask(this.channel.bindExchange(destination, source, key, args))
  }

  async unbindExchange(destination: string, source: string, key: string, args?: Headers): Promise<void> {
    await this.ask(this.channel.unbindExchange(destination, source, key, args))
  }

  declareQueue(queue: string, options: QueueOptions = {}): Promise<QueueCounts> {
    return this.ask(this.channel.assertQueue(queue, { durable: false, ...options }))
  }

  checkQueue(queue: string): Promise<QueueCounts> {
    return this.ask(this.channel.checkQueue(queue))
  }

  async bindQueue(queue: string, exchange: string, key: string, args?: Headers): Promise<void> {
    await this.ask(this.channel.bindQueue(queue, exchange, key, args))
  }

  async unbindQueue(queue: string, exchange: string, key: string, args?: Headers): Promise<void> {
    await this.ask(this.channel.unbindQueue(queue, exchange, key, args))
  }

  async purgeQueue(queue: string): Promise<number> {
    return (await this.ask(this.channel.purgeQueue(queue))).messageCount
  }

  async deleteQueue(queue: string, options: { ifUnused?: boolean; ifEmpty?: boolean } = {}): Promise<number> {
    return (await this.ask(this.channel.deleteQueue(queue, options))).messageCount
  }

  publish(exchange: string, key: string, body: Buffer, options: PublishOptions = {}): Promise<void> {
    const { confirming } = this
    if (confirming === null) {
      this.channel.publish(exchange, key, body, options)
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      confirming.publish(exchange, key, body, options, (error: Error | null) => {
        if (error === null) resolve()
        else if (error.message === 'message nacked') reject(new Nacked(error.message))
        else void this.ended.then(reject)
      })
    })
  }

  onReturned(listener: (returned: Returned) => void): void {
    this.channel.on('return', (message) => {
      const fields = message.fields as unknown as {
        replyCode: number
        replyText: string
        exchange: string
        routingKey: string
      }
      const { replyCode: code, replyText: text, exchange, routingKey } = fields
      listener({ code, text, exchange, routingKey, body: message.content })
    })
  }

  async prefetch(count: number, global = false): Promise<void> {
    await this.ask(this.channel.prefetch(count, global))
  }

  async consume(queue: string, listener: (delivery: Delivery) => void, options: ConsumeOptions = {}): Promise<string> {
    const consumed = this.channel.consume(
      queue,
      (message) => message !== null && listener(deliveryOf(message)),
      options,
    )
    return (await this.ask(consumed)).consumerTag
  }

  async cancel(consumerTag: string): Promise<void> {
    await this.ask(this.channel.cancel(consumerTag))
  }

  onCancelled(listener: (consumerTag: string) => void): void {
    this.channel.on('cancel', ({ consumerTag }) => listener(consumerTag))
  }

  async get(queue: string, options: { noAck?: boolean } = {}): Promise<Delivery | null> {
    const message = await this.ask(this.channel.get(queue, options))
    return message === false ? null : deliveryOf(message)
  }

  ack(deliveryTag: number, multiple = false): void {
    this.channel.ack(tagged(deliveryTag), multiple)
  }

  nack(
    deliveryTag: number,
    { multiple = false, requeue = true }: { multiple?: boolean; requeue?: boolean } = {},
  ): void {
    this.channel.nack(tagged(deliveryTag), multiple, requeue)
  }

  reject(deliveryTag: number, requeue: boolean): void {
    this.channel.reject(tagged(deliveryTag), requeue)
  }

  async recover(): Promise<void> {
    await this.ask(this.channel.recover())
  }

  txSelect(): Promise<void> {
    return Promise.reject(new Error('amqplib has no transactions'))
  }

  txCommit(): Promise<void> {
    return this.txSelect()
  }

  txRollback(): Promise<void> {
    return this.txSelect()
  }

  async close(): Promise<void> {
    await this.ask(this.channel.close())
  }

  private async ask<Value>(answer: Promise<Value>): Promise<Value> {
    try {
      return await answer
    } catch (error) {
      const failure = failureOf(error)
      // A request that was waiting behind the failed one learns only that the channel is gone.
      throw failure.code === 0 ? await this.ended : failure
    }
  }
}

/** amqplib settles whole messages but looks at the tag only. */
function tagged(deliveryTag: number): Message {
  return { fields: { deliveryTag } } as Message
}

function deliveryOf(message: Message): Delivery {
  const { exchange, routingKey, deliveryTag, redelivered, messageCount } = message.fields
  const properties = compact({ ...message.properties })
  return { exchange, routingKey, deliveryTag, redelivered, messageCount, properties, body: message.content }
}

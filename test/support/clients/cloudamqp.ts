// @cloudamqp/amqp-client, LavinMQ's own: promises for everything, settlements included.
import {
  type AMQPBaseClient,
  type AMQPChannel,
  AMQPClient,
  type AMQPMessage,
  type AMQPProperties,
} from '@cloudamqp/amqp-client'
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

const sampleHeaders: Headers = {
  ...plainHeaders,
  small: -7,
  large: -9_007_199_254_740_991,
  float: 1.5,
  double: 4_294_967_296.5,
  timestamp: new Date(1_700_000_000_000),
  bytes: new Uint8Array([0, 1, 254, 255]),
}

export const cloudamqpClient: TestClient = {
  name: '@cloudamqp/amqp-client',
  cannot: {},
  sampleHeaders: { sent: sampleHeaders, received: sampleHeaders },

  async connect(url) {
    const client = new AMQPClient(url)
    const ended = deferred<Failure>()
    client.onerror = (error) => ended.resolve(failureOf(error))
    try {
      return new CloudamqpConnection(await client.connect(), ended)
    } catch (error) {
      throw failureOf(error)
    }
  },
}

function failureOf(error: unknown): Failure {
  const { message } = error as Error
  const [, text = message, code = '0'] =
    /(?:channel \d+|connection) closed: ([A-Z][\s\S]*) \((\d+)\)$/.exec(message) ?? []
  return new Failure(Number(code), text)
}

class CloudamqpConnection implements TestConnection {
  readonly ended: Promise<Failure>
  private readonly client: AMQPBaseClient

  constructor(client: AMQPBaseClient, ended: Deferred<Failure>) {
    this.client = client
    this.ended = ended.promise
  }

  async openChannel({ confirms = false }: { confirms?: boolean } = {}): Promise<TestChannel> {
    const channel = await this.client.channel()
    if (confirms) await channel.confirmSelect()
    return new CloudamqpChannel(channel)
  }

  async close(): Promise<void> {
    await this.client.close()
  }
}

class CloudamqpChannel implements TestChannel {
  readonly ended: Promise<Failure>
  private readonly channel: AMQPChannel
  private readonly end: Deferred<Failure>
  private cancelledListener: (consumerTag: string) => void = () => {}

  constructor(channel: AMQPChannel) {
    this.channel = channel
    this.end = deferred()
    this.ended = this.end.promise
    channel.onerror = (reason) => this.end.resolve(failureOf(new Error(reason)))
  }

  declareExchange(exchange: string, kind: string, options: ExchangeOptions = {}): Promise<void> {
    const { arguments: args = {}, ...flags } = { durable: false, ...options }
    return this.ask(this.channel.exchangeDeclare(exchange, kind, flags, args))
  }

  checkExchange(exchange: string): Promise<void> {
    return this.ask(this.channel.exchangeDeclare(exchange, '', { passive: true }))
  }

  deleteExchange(exchange: string, options: { ifUnused?: boolean } = {}): Promise<void> {
    return this.ask(this.channel.exchangeDelete(exchange, options))
  }

  bindExchange(destination: string, source: string, key: string, args: Headers = {}): Promise<void> {
    return this.ask(this.channel.exchangeBind(destination, source, key, args))
  }

  unbindExchange(destination: string, source: string, key: string, args: Headers = {}): Promise<void> {
    return this.ask(this.channel.exchangeUnbind(destination, source, key, args))
  }

  async declareQueue(queue: string, options: QueueOptions = {}): Promise<QueueCounts> {
    const { arguments: args = {}, ...flags } = { durable: false, autoDelete: false, exclusive: false, ...options }
    const { name, messageCount, consumerCount } = await this.ask(this.channel.queueDeclare(queue, flags, args))
    return { queue: name, messageCount, consumerCount }
  }

  async checkQueue(queue: string): Promise<QueueCounts> {
    const { name, messageCount, consumerCount } = await this.ask(this.channel.queueDeclare(queue, { passive: true }))
    return { queue: name, messageCount, consumerCount }
  }

  bindQueue(queue: string, exchange: string, key: string, args: Headers = {}): Promise<void> {
    return this.ask(this.channel.queueBind(queue, exchange, key, args))
  }

  unbindQueue(queue: string, exchange: string, key: string, args: Headers = {}): Promise<void> {
    return this.ask(this.channel.queueUnbind(queue, exchange, key, args))
  }

  async purgeQueue(queue: string): Promise<number> {
    return (await this.ask(this.channel.queuePurge(queue))).messageCount
  }

  async deleteQueue(queue: string, options: { ifUnused?: boolean; ifEmpty?: boolean } = {}): Promise<number> {
    return (await this.ask(this.channel.queueDelete(queue, options))).messageCount
  }

  async publish(exchange: string, key: string, body: Buffer, options: PublishOptions = {}): Promise<void> {
    const { mandatory = false, timestamp, ...properties } = options
    const time = timestamp === undefined ? {} : { timestamp: new Date(timestamp * 1000) }
    try {
      await this.channel.basicPublish(exchange, key, body, { ...properties, ...time } as AMQPProperties, mandatory)
    } catch (error) {
      if ((error as Error).message === 'Message rejected') throw new Nacked('Message rejected')
      throw failureOf(error)
    }
  }

  onReturned(listener: (returned: Returned) => void): void {
    this.channel.onReturn = (message) => {
      const { replyCode: code = 0, replyText: text = '', exchange, routingKey } = message
      listener({ code, text, exchange, routingKey, body: bytesOf(message) })
    }
  }

  prefetch(count: number, global = false): Promise<void> {
    return this.ask(this.channel.basicQos(count, 0, global))
  }

  async consume(queue: string, listener: (delivery: Delivery) => void, options: ConsumeOptions = {}): Promise<string> {
    const { consumerTag: tag = '', noAck = false, exclusive = false, arguments: args = {} } = options
    const consumed = this.channel.basicConsume(queue, { tag, noAck, exclusive, args }, (message) =>
      listener(deliveryOf(message)),
    )
    const consumer = await this.ask(consumed)
    consumer.wait().catch(() => this.cancelledListener(consumer.tag))
    return consumer.tag
  }

  async cancel(consumerTag: string): Promise<void> {
    await this.ask(this.channel.basicCancel(consumerTag))
  }

  onCancelled(listener: (consumerTag: string) => void): void {
    this.cancelledListener = listener
  }

  async get(queue: string, { noAck = false }: { noAck?: boolean } = {}): Promise<Delivery | null> {
    const message = await this.ask(this.channel.basicGet(queue, { noAck }))
    return message === null ? null : deliveryOf(message)
  }

  ack(deliveryTag: number, multiple = false): void {
    this.settle(this.channel.basicAck(deliveryTag, multiple))
  }

  nack(
    deliveryTag: number,
    { multiple = false, requeue = true }: { multiple?: boolean; requeue?: boolean } = {},
  ): void {
    this.settle(this.channel.basicNack(deliveryTag, requeue, multiple))
  }

  reject(deliveryTag: number, requeue: boolean): void {
    this.settle(this.channel.basicReject(deliveryTag, requeue))
  }

  recover(): Promise<void> {
    return this.ask(this.channel.basicRecover(true))
  }

  txSelect(): Promise<void> {
    return this.ask(this.channel.txSelect())
  }

  txCommit(): Promise<void> {
    return this.ask(this.channel.txCommit())
  }

  txRollback(): Promise<void> {
    return this.ask(this.channel.txRollback())
  }

  async close(): Promise<void> {
    await this.ask(this.channel.close())
  }

  private settle(written: Promise<void>): void {
    written.catch((error: unknown) => this.end.resolve(failureOf(error)))
  }

  private async ask<Value>(answer: Promise<Value>): Promise<Value> {
    try {
      return await answer
    } catch (error) {
      const failure = failureOf(error)
      throw failure.code === 0 ? await this.ended : failure
    }
  }
}

function deliveryOf(message: AMQPMessage): Delivery {
  const { exchange, routingKey, deliveryTag, redelivered, messageCount } = message
  const { timestamp, ...properties } = message.properties
  const seconds = timestamp === undefined ? undefined : timestamp.getTime() / 1000
  return {
    exchange,
    routingKey,
    deliveryTag,
    redelivered,
    messageCount,
    properties: compact({ ...properties, timestamp: seconds }),
    body: bytesOf(message),
  }
}

function bytesOf(message: AMQPMessage): Buffer {
  return Buffer.from(message.body ?? new Uint8Array(0))
}

// rabbitmq-client: reconnects by itself, so a lost connection is an event and not an end.
import { type AsyncMessage, type Channel, Connection, type SyncMessage } from 'rabbitmq-client'
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

const codes: Readonly<Record<string, number>> = {
  CONNECTION_FORCED: 320,
  ACCESS_REFUSED: 403,
  NOT_FOUND: 404,
  RESOURCE_LOCKED: 405,
  PRECONDITION_FAILED: 406,
  FRAME_ERROR: 501,
  SYNTAX_ERROR: 502,
  COMMAND_INVALID: 503,
  CHANNEL_ERROR: 504,
  UNEXPECTED_FRAME: 505,
  NOT_ALLOWED: 530,
  NOT_IMPLEMENTED: 540,
  INTERNAL_ERROR: 541,
}

const sampleHeaders: Headers = {
  ...plainHeaders,
  small: -7,
  large: -9_007_199_254_740_991,
  double: 0.1,
}

export const rabbitmqClient: TestClient = {
  name: 'rabbitmq-client',
  cannot: { reject: 'rabbitmq-client has basic.nack only' },
  sampleHeaders: { sent: sampleHeaders, received: sampleHeaders },

  async connect(url) {
    const connection = new Connection({ url, retryLow: 10, retryHigh: 100 })
    const ended = deferred<Failure>()
    connection.on('error', (error: unknown) => {
      ended.resolve(failureOf(error))
      // It would try again for ever; our tests want to see the end.
      connection.unsafeDestroy()
    })
    const connected = connection.onConnect(10_000).then(() => null)
    const failure = await Promise.race([connected, ended.promise])
    if (failure !== null) {
      connected.catch(() => {})
      throw failure
    }
    return new RabbitmqConnection(connection, ended)
  },
}

/** The code is a name, and the text follows the name of the method that failed. */
function failureOf(error: unknown): Failure {
  const { code, message } = error as { code?: string; message: string }
  const text = message.replace(/^\w+: (?=[A-Z_]+ - )/, '')
  return new Failure(codes[code ?? ''] ?? 0, text)
}

class RabbitmqConnection implements TestConnection {
  readonly ended: Promise<Failure>
  private readonly connection: Connection
  private readonly channels = new Set<Channel>()
  private hasEnded = false

  constructor(connection: Connection, ended: Deferred<Failure>) {
    this.connection = connection
    this.ended = ended.promise
    void ended.promise.then(() => {
      this.hasEnded = true
    })
  }

  async openChannel({ confirms = false }: { confirms?: boolean } = {}): Promise<TestChannel> {
    const channel = await this.connection.acquire({ emitErrorsFromChannel: true })
    this.channels.add(channel)
    const adapter = new RabbitmqChannel(channel, confirms, this.ended)
    if (confirms) await channel.confirmSelect()
    return adapter
  }

  async close(): Promise<void> {
    if (this.hasEnded) return
    // It waits for its channels, but does not close them.
    await Promise.all([...this.channels].map((channel) => channel.close()))
    await this.connection.close()
  }
}

class RabbitmqChannel implements TestChannel {
  readonly ended: Promise<Failure>
  private readonly channel: Channel
  private readonly confirms: boolean
  private readonly end: Deferred<Failure>

  constructor(channel: Channel, confirms: boolean, connectionEnded: Promise<Failure>) {
    this.channel = channel
    this.confirms = confirms
    this.end = deferred()
    this.ended = this.end.promise
    channel.on('error', (error: unknown) => this.end.resolve(failureOf(error)))
    void connectionEnded.then(this.end.resolve)
  }

  declareExchange(exchange: string, kind: string, options: ExchangeOptions = {}): Promise<void> {
    return this.ask(this.channel.exchangeDeclare({ exchange, type: kind, ...options }))
  }

  checkExchange(exchange: string): Promise<void> {
    return this.ask(this.channel.exchangeDeclare({ exchange, passive: true }))
  }

  deleteExchange(exchange: string, options: { ifUnused?: boolean } = {}): Promise<void> {
    return this.ask(this.channel.exchangeDelete({ exchange, ...options }))
  }

  bindExchange(destination: string, source: string, key: string, args: Headers = {}): Promise<void> {
    return this.ask(this.channel.exchangeBind({ destination, source, routingKey: key, arguments: args }))
  }

  unbindExchange(destination: string, source: string, key: string, args: Headers = {}): Promise<void> {
    return this.ask(this.channel.exchangeUnbind({ destination, source, routingKey: key, arguments: args }))
  }

  declareQueue(queue: string, options: QueueOptions = {}): Promise<QueueCounts> {
    return this.ask(this.channel.queueDeclare({ queue, ...options }))
  }

  checkQueue(queue: string): Promise<QueueCounts> {
    return this.ask(this.channel.queueDeclare({ queue, passive: true }))
  }

  bindQueue(queue: string, exchange: string, key: string, args: Headers = {}): Promise<void> {
    return this.ask(this.channel.queueBind({ queue, exchange, routingKey: key, arguments: args }))
  }

  unbindQueue(queue: string, exchange: string, key: string, args: Headers = {}): Promise<void> {
    return this.ask(this.channel.queueUnbind({ queue, exchange, routingKey: key, arguments: args }))
  }

  async purgeQueue(queue: string): Promise<number> {
    return (await this.ask(this.channel.queuePurge({ queue }))).messageCount
  }

  async deleteQueue(queue: string, options: { ifUnused?: boolean; ifEmpty?: boolean } = {}): Promise<number> {
    return (await this.ask(this.channel.queueDelete({ queue, ...options }))).messageCount
  }

  async publish(exchange: string, key: string, body: Buffer, options: PublishOptions = {}): Promise<void> {
    // It would write the present time if there were none; undefined leaves the property out.
    const envelope = { timestamp: undefined, ...options, exchange, routingKey: key }
    try {
      await this.channel.basicPublish(envelope as PublishOptions, body)
    } catch (error) {
      if ((error as { code?: string }).code === 'NACK') throw new Nacked((error as Error).message)
      const failure = failureOf(error)
      this.end.resolve(failure)
      if (this.confirms) throw failure
    }
  }

  onReturned(listener: (returned: Returned) => void): void {
    this.channel.on('basic.return', (message) => {
      const { replyCode: code, replyText: text, exchange, routingKey } = message
      listener({ code, text, exchange, routingKey, body: bytesOf(message.body) })
    })
  }

  prefetch(count: number, global = false): Promise<void> {
    return this.ask(this.channel.basicQos({ prefetchCount: count, global }))
  }

  async consume(queue: string, listener: (delivery: Delivery) => void, options: ConsumeOptions = {}): Promise<string> {
    const consumed = this.channel.basicConsume({ queue, ...options }, (message) => listener(deliveryOf(message)))
    return (await this.ask(consumed)).consumerTag
  }

  async cancel(consumerTag: string): Promise<void> {
    await this.ask(this.channel.basicCancel({ consumerTag }))
  }

  onCancelled(listener: (consumerTag: string) => void): void {
    this.channel.on('basic.cancel', (consumerTag) => listener(consumerTag))
  }

  async get(queue: string, options: { noAck?: boolean } = {}): Promise<Delivery | null> {
    const message = await this.ask(this.channel.basicGet({ queue, ...options }))
    return message === undefined ? null : deliveryOf(message)
  }

  ack(deliveryTag: number, multiple = false): void {
    this.channel.basicAck({ deliveryTag, multiple })
  }

  nack(
    deliveryTag: number,
    { multiple = false, requeue = true }: { multiple?: boolean; requeue?: boolean } = {},
  ): void {
    this.channel.basicNack({ deliveryTag, multiple, requeue })
  }

  reject(deliveryTag: number, requeue: boolean): void {
    this.channel.basicNack({ deliveryTag, requeue })
  }

  recover(): Promise<void> {
    return this.ask(this.channel.basicRecover({ requeue: true }))
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

  close(): Promise<void> {
    return this.channel.close()
  }

  private async ask<Value>(answer: Promise<Value>): Promise<Value> {
    try {
      return await answer
    } catch (error) {
      const failure = failureOf(error)
      if (failure.code === 0 && failure.text === 'channel is closed') throw await this.ended
      this.end.resolve(failure)
      throw failure
    }
  }
}

function deliveryOf(message: AsyncMessage | SyncMessage): Delivery {
  const { exchange, routingKey, deliveryTag, redelivered, body, durable: _, ...rest } = message
  const { consumerTag: _tag, messageCount, ...properties } = { messageCount: undefined, consumerTag: '', ...rest }
  return {
    exchange,
    routingKey,
    deliveryTag,
    redelivered,
    messageCount,
    properties: compact(properties),
    body: bytesOf(body),
  }
}

/** It reads text and JSON for us. */
function bytesOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

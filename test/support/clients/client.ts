// AMQP as our tests speak it, so that one table of cases serves every client library. Each library has an adapter that
// translates, and adds nothing: what a library cannot say is listed in `cannot`, with the reason.

/** What not every library can say. */
export type Feature = 'tx' | 'reject' | 'open-error'

export interface TestClient {
  readonly name: string
  readonly cannot: Readonly<Partial<Record<Feature, string>>>
  /** Headers of every type the library can write, and how it reads them when they come back unharmed. */
  readonly sampleHeaders: { readonly sent: Headers; readonly received: Headers }
  connect(url: string): Promise<TestConnection>
}

export interface TestConnection {
  /** With `confirms`, publishes of this channel resolve when they are confirmed. */
  openChannel(options?: { confirms?: boolean }): Promise<TestChannel>
  /** Resolves if the broker, or a lost socket, ends the connection; never rejects. */
  readonly ended: Promise<Failure>
  /** Closes as AMQP demands. */
  close(): Promise<void>
}

export interface TestChannel {
  declareExchange(exchange: string, kind: string, options?: ExchangeOptions): Promise<void>
  checkExchange(exchange: string): Promise<void>
  deleteExchange(exchange: string, options?: { ifUnused?: boolean }): Promise<void>
  bindExchange(destination: string, source: string, key: string, args?: Headers): Promise<void>
  unbindExchange(destination: string, source: string, key: string, args?: Headers): Promise<void>

  declareQueue(queue: string, options?: QueueOptions): Promise<QueueCounts>
  checkQueue(queue: string): Promise<QueueCounts>
  bindQueue(queue: string, exchange: string, key: string, args?: Headers): Promise<void>
  unbindQueue(queue: string, exchange: string, key: string, args?: Headers): Promise<void>
  purgeQueue(queue: string): Promise<number>
  deleteQueue(queue: string, options?: { ifUnused?: boolean; ifEmpty?: boolean }): Promise<number>

  /** With confirms: resolves on ack, rejects with Nacked, or with the Failure that closed the channel. */
  publish(exchange: string, key: string, body: Buffer, options?: PublishOptions): Promise<void>
  /** Called for each message that comes back; one listener per channel. */
  onReturned(listener: (returned: Returned) => void): void

  prefetch(count: number, global?: boolean): Promise<void>
  /** Resolves with the consumer's tag. */
  consume(queue: string, listener: (delivery: Delivery) => void, options?: ConsumeOptions): Promise<string>
  cancel(consumerTag: string): Promise<void>
  /** Called when the broker ends a consumer; one listener per channel. */
  onCancelled(listener: (consumerTag: string) => void): void
  get(queue: string, options?: { noAck?: boolean }): Promise<Delivery | null>
  ack(deliveryTag: number, multiple?: boolean): void
  nack(deliveryTag: number, options?: { multiple?: boolean; requeue?: boolean }): void
  reject(deliveryTag: number, requeue: boolean): void
  recover(): Promise<void>

  txSelect(): Promise<void>
  txCommit(): Promise<void>
  txRollback(): Promise<void>

  /** Resolves if the broker, or a lost connection, ends the channel; never rejects. */
  readonly ended: Promise<Failure>
  close(): Promise<void>
}

export type Headers = Record<string, unknown>

/** What every library writes as it is, and reads back as it was. */
export const plainHeaders: Headers = {
  text: 'grüße 你好',
  empty: '',
  yes: true,
  no: false,
  nothing: null,
  list: ['one', 2, [true, null], { deep: 'er' }],
  table: { a: 1, b: { c: [] } },
}

export interface ExchangeOptions {
  /** Default: false, unlike some libraries. */
  readonly durable?: boolean
  readonly autoDelete?: boolean
  readonly internal?: boolean
  readonly arguments?: Headers
}

export interface QueueOptions {
  readonly durable?: boolean
  readonly exclusive?: boolean
  readonly autoDelete?: boolean
  readonly arguments?: Headers
}

export interface QueueCounts {
  readonly queue: string
  readonly messageCount: number
  readonly consumerCount: number
}

export interface ConsumeOptions {
  readonly consumerTag?: string
  readonly noAck?: boolean
  readonly exclusive?: boolean
  readonly arguments?: Headers
}

export interface Properties {
  contentType?: string
  contentEncoding?: string
  headers?: Headers
  deliveryMode?: number
  priority?: number
  correlationId?: string
  replyTo?: string
  expiration?: string
  messageId?: string
  /** Seconds since 1970. */
  timestamp?: number
  type?: string
  userId?: string
  appId?: string
}

export interface PublishOptions extends Properties {
  mandatory?: boolean
}

export interface Delivery {
  readonly exchange: string
  readonly routingKey: string
  readonly deliveryTag: number
  readonly redelivered: boolean
  /** Ready messages left behind this one; only from `get`. */
  readonly messageCount: number | undefined
  readonly properties: Properties
  readonly body: Buffer
}

export interface Returned {
  readonly code: number
  readonly text: string
  readonly exchange: string
  readonly routingKey: string
  readonly body: Buffer
}

/** What the broker said when it closed a channel or connection. Code 0: nothing, the socket was gone. */
export class Failure extends Error {
  override readonly name: string = 'Failure'
  readonly code: number
  readonly text: string

  constructor(code: number, text: string) {
    super(`${code} ${text}`)
    this.code = code
    this.text = text
  }
}

/** The broker did not take a message. */
export class Nacked extends Error {
  override readonly name: string = 'Nacked'
}

export interface Deferred<Value> {
  readonly promise: Promise<Value>
  readonly resolve: (value: Value) => void
}

export function deferred<Value>(): Deferred<Value> {
  let resolve: (value: Value) => void = () => {}
  const promise = new Promise<Value>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

/** Without the keys that are undefined, so that objects compare as what they say. */
export function compact(properties: Record<string, unknown>): Properties {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined))
}

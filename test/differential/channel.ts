// One channel of a conversation: says methods and content, waits for answers, and keeps count of what is confirmed.
import type { MethodName } from '../../src/amqp/methods.ts'
import type { Args, PlainProperties, Received, Table } from './peer.ts'
import { type Line, shown, type Talk } from './talk.ts'

// What comes unasked, and so is no answer.
const events: readonly Received['name'][] = [
  'basic.deliver',
  'basic.return',
  'basic.ack',
  'basic.nack',
  'basic.cancel',
  'channel.close',
]

export class Channel {
  readonly number: number
  readonly line: Line
  isOpen = false
  /** Messages in the queue that `look` was for. */
  lastCount = 0
  /** Fences leave it alone: something is open on it, or it would not answer. */
  isFenced = true
  /** The last delivery tag that came. */
  delivered = 0
  private newTags: number[] = []
  private readonly talk: Talk
  private answers = 0
  private hiddenFlows = 0
  private isConfirming = false
  private published = 0
  private readonly unconfirmed: Set<number> = new Set()

  constructor(talk: Talk, line: Line, number: number) {
    this.talk = talk
    this.line = line
    this.number = number
  }

  get isOver(): boolean {
    return this.line.isOver || this.line.peer.closedChannels.has(this.number)
  }

  /** Takes notice of a frame for this channel. */
  heard({ name, args }: Received): void {
    if (name === 'channel.open-ok') this.isOpen = true
    if (name === 'channel.close' || name === 'channel.close-ok') this.isOpen = false
    if (name === 'queue.declare-ok') {
      this.lastCount = args['messageCount'] as number
      if (String(args['queue']).startsWith('amq.gen-')) this.talk.queueDeclared(String(args['queue']), this.line)
    }
    if (name === 'basic.ack' || name === 'basic.nack') this.settled(args)
    if (name === 'basic.deliver' || name === 'basic.get-ok') {
      this.delivered = args['deliveryTag'] as number
      this.newTags.push(this.delivered)
    }
    if (name === 'channel.open-ok') this.delivered = 0
    if (!events.includes(name) && (name !== 'channel.flow-ok' || this.hiddenFlows === 0)) this.answers++
  }

  /** The answers of fences are not shown. */
  hides({ name }: Received): boolean {
    if (name !== 'channel.flow-ok' || this.hiddenFlows === 0) return false
    this.hiddenFlows--
    return true
  }

  private settled({ deliveryTag, multiple }: Args): void {
    const tag = deliveryTag as number
    for (const open of this.unconfirmed) {
      if (open === tag || (multiple === true && open < tag)) this.unconfirmed.delete(open)
    }
  }

  /** What came on this channel as lines; confirms as one line, for the broker may coalesce them as it likes. */
  summary(received: readonly Received[], isStrict: boolean): string[] {
    if (isStrict) return received.map(({ text }) => text)
    const lines: string[] = []
    const ended: string[] = []
    const acks: string[] = []
    let from = this.confirmedUpTo
    for (const { name, args, text } of received) {
      if (name !== 'basic.ack' && name !== 'basic.nack') {
        // In RabbitMQ the queue tells its consumers while the one who deleted it is answered.
        ;(name === 'basic.cancel' ? ended : lines).push(text)
        continue
      }
      const tag = args['deliveryTag'] as number
      const first = args['multiple'] === true ? from + 1 : tag
      for (let number = first; number <= tag; number++) {
        if (!this.shownConfirms.has(number)) acks.push(`${number}${name === 'basic.nack' ? ' refused' : ''}`)
        this.shownConfirms.add(number)
      }
      while (this.shownConfirms.has(from + 1)) from++
    }
    this.confirmedUpTo = from
    const sorted = acks.sort((one, two) => Number.parseInt(one, 10) - Number.parseInt(two, 10))
    if (acks.length > 0) lines.push(`confirmed ${sorted.join(' ')}`)
    return [...lines, ...ended]
  }

  private confirmedUpTo = 0
  private readonly shownConfirms: Set<number> = new Set()

  // Waiting.

  async untilConfirmed(): Promise<void> {
    await this.line.peer.until('confirms', () => this.isOver || this.unconfirmed.size === 0)
  }

  /** channel.flow with active=true changes nothing, and its answer comes behind everything before it. */
  async fence(): Promise<void> {
    if (!this.isOpen || !this.isFenced || this.number >= 59_000) return
    this.hiddenFlows++
    this.line.peer.method(this.number, 'channel.flow', { active: true })
    await this.line.peer.until('channel.flow-ok', () => this.isOver || !this.isOpen || this.hiddenFlows === 0)
    this.hiddenFlows = 0
  }

  async look(queue: string): Promise<void> {
    const before = this.answers
    // The open-ok of a new one is an answer too.
    const answers = this.isOpen ? 1 : 2
    this.line.peer.method(this.number, 'queue.declare', { queue, passive: true })
    await this.line.peer.until(`a look at ${queue}`, () => this.isOver || this.answers >= before + answers)
  }

  /** The delivery tags that came since the last look. */
  takeDelivered(): number[] {
    return this.newTags.splice(0)
  }

  // What is said.

  /** Says it and waits for nothing. */
  send(name: MethodName, args: Args = {}): void {
    if (name === 'channel.open') this.line.peer.closedChannels.delete(this.number)
    this.line.send(name, args, this.number)
  }

  /** Says it, waits for the answer (or the end of the channel), and for everything else that comes. */
  async call(name: MethodName, args: Args = {}): Promise<void> {
    if (name === 'channel.open') this.line.peer.closedChannels.delete(this.number)
    const before = this.answers
    this.send(name, args)
    await this.line.peer.until(`the answer to ${name}`, () => this.isOver || this.answers > before)
    await this.talk.settle()
  }

  publish(
    exchange: string,
    routingKey: string,
    body: string | Buffer | readonly Buffer[] = '',
    properties: PlainProperties = {},
    mandatory = false,
  ): void {
    const bodies = Array.isArray(body) ? (body as readonly Buffer[]) : [Buffer.from(body as string | Buffer)]
    const what =
      typeof body === 'string' ? JSON.stringify(body) : `${bodies.map(({ length }) => length).join('+')} octets`
    const options = `${mandatory ? ' mandatory' : ''}${shown(properties)}`
    this.talk.write(`> ${this.line.label}${this.number} publish ${exchange}/${routingKey} ${what}${options}`)
    if (this.isConfirming) this.unconfirmed.add(++this.published)
    this.line.peer.content(this.number, 'basic.publish', { exchange, routingKey, mandatory }, properties, bodies)
  }

  async confirmSelect(): Promise<void> {
    await this.call('confirm.select')
    this.isConfirming = !this.isOver
  }

  declare(queue: string, options: Args = {}): Promise<void> {
    return this.call('queue.declare', { queue, ...options })
  }

  declareExchange(exchange: string, kind: string, options: Args = {}): Promise<void> {
    return this.call('exchange.declare', { exchange, kind, ...options })
  }

  bind(destination: string, exchange: string, routingKey = '', table: Table = {}): Promise<void> {
    return this.call('queue.bind', { destination, exchange, routingKey, arguments: table })
  }

  unbind(destination: string, exchange: string, routingKey = '', table: Table = {}): Promise<void> {
    return this.call('queue.unbind', { destination, exchange, routingKey, arguments: table })
  }

  bindExchange(destination: string, exchange: string, routingKey = '', table: Table = {}): Promise<void> {
    return this.call('exchange.bind', { destination, exchange, routingKey, arguments: table })
  }

  consume(queue: string, consumerTag: string, options: Args = {}): Promise<void> {
    return this.call('basic.consume', { queue, consumerTag, ...options })
  }

  cancel(consumerTag: string): Promise<void> {
    return this.call('basic.cancel', { consumerTag })
  }

  get(queue: string, noAck = false): Promise<void> {
    return this.call('basic.get', { queue, noAck })
  }

  qos(prefetchCount: number, global = false): Promise<void> {
    return this.call('basic.qos', { prefetchCount, global })
  }

  ack(deliveryTag: number, multiple = false): void {
    this.send('basic.ack', { deliveryTag, multiple })
  }

  nack(
    deliveryTag: number,
    { multiple = false, requeue = true }: { readonly multiple?: boolean; readonly requeue?: boolean } = {},
  ): void {
    this.send('basic.nack', { deliveryTag, multiple, requeue })
  }

  reject(deliveryTag: number, requeue: boolean): void {
    this.send('basic.reject', { deliveryTag, requeue })
  }

  /** Publishes and waits for what comes of it. */
  async publishes(
    exchange: string,
    routingKey: string,
    body: string | Buffer | readonly Buffer[] = '',
    properties: PlainProperties = {},
    mandatory = false,
  ): Promise<void> {
    this.publish(exchange, routingKey, body, properties, mandatory)
    await this.talk.settle()
  }
}

// A conversation with a broker over one or more connections, and its transcript: what was said, and in which order what came
// back on each channel. Instead of sleeping it waits for fences: harmless methods whose answer comes behind everything that
// was to come. Names get a prefix of the conversation's own, so that many can go on at a time; the transcript is without it.
import type { MethodName } from '../../src/amqp/methods.ts'
import { Channel } from './channel.ts'
import { type Args, Peer, type PlainProperties, type Received, type Table } from './peer.ts'

export interface Conversation {
  /** A sentence of behaviour. */
  readonly name: string
  /** Confirms stay where they came between other frames. Otherwise they are gathered, for they may be coalesced. */
  readonly isStrict?: boolean
  readonly run: (talk: Talk) => Promise<void>
}

export interface LoginOptions {
  readonly user?: string
  readonly password?: string
  readonly mechanism?: string
  readonly virtualHost?: string
  readonly channelMax?: number
  readonly frameMax?: number
  readonly heartbeat?: number
  readonly clientProperties?: Table
}

export const capable: Table = {
  capabilities: { authentication_failure_close: true, 'connection.blocked': true, consumer_cancel_notify: true },
}

// Channels that only fences use; what comes on them is in no transcript. RabbitMQ bounds their count, not their numbers.
const hiddenChannelMin = 60_000
/** So often a queue is looked at, every 10 ms and more, until it has so many messages. */
const looksMax = 1_000

/** One connection of a conversation. */
export class Line {
  readonly label: string
  readonly peer: Peer
  readonly channels: Map<number, Channel> = new Map()
  /** Its end is in the transcript, where it stands once and as soon as something waits for it. */
  hasEnded = false
  private readonly talk: Talk

  constructor(talk: Talk, label: string, peer: Peer) {
    this.talk = talk
    this.label = label
    this.peer = peer
    peer.onReceived = (received) => this.accept(received)
  }

  private accept(received: Received): boolean {
    const { channel } = received
    const known = this.channels.get(channel)
    known?.heard(received)
    return channel < hiddenChannelMin && known?.hides(received) !== true
  }

  get isOver(): boolean {
    return this.peer.isClosed || this.peer.isEnded
  }

  /** Writes a method of channel 0, or of a channel that need not be open. */
  send(name: MethodName, args: Args = {}, channel = 0): void {
    this.talk.said(this.label, channel, name, args)
    this.peer.method(channel, name, args)
  }

  frame(type: number, channel: number, payload: Buffer | string): void {
    const bytes = typeof payload === 'string' ? Buffer.from(payload.replaceAll(' ', ''), 'hex') : payload
    const shown = bytes.length > 40 ? `${bytes.length} octets` : bytes.toString('hex')
    this.talk.write(`> ${this.label}${channel} frame of type ${type}: ${shown}`)
    this.peer.frame(type, channel, bytes)
  }

  raw(bytes: Buffer | string, shown: string = JSON.stringify(bytes.toString('latin1'))): void {
    this.talk.write(`> ${this.label} ${shown}`)
    this.peer.raw(bytes)
  }

  /** Resolves when such a frame came after `send`, or the connection ended. */
  async expect(name: Received['name']): Promise<void> {
    const { peer } = this
    await peer.until(name, () => this.isOver || peer.received.some((received) => received.name === name))
    this.talk.hearAll()
  }

  async call(name: MethodName, args: Args, answer: MethodName): Promise<void> {
    this.send(name, args)
    await this.expect(answer)
  }

  /** Resolves when the broker has ended the connection. */
  async end(): Promise<void> {
    await this.peer.until('the end of the connection', () => this.peer.isEnded)
    this.talk.hearAll()
    if (!this.hasEnded) this.talk.write(`< ${this.label} ended`)
    this.hasEnded = true
  }

  /** Header, login, tuning and opening, without a trace in the transcript. */
  async login(options: LoginOptions = {}): Promise<void> {
    const { peer } = this
    const { user = 'guest', password = 'guest', mechanism = 'PLAIN', virtualHost = '/' } = options
    const { channelMax = 2047, frameMax = 131_072, heartbeat = 0, clientProperties = capable } = options
    peer.raw('AMQP\0\0\x09\x01')
    const response = `\0${user}\0${password}`
    peer.method(0, 'connection.start-ok', { clientProperties, mechanism, response, locale: 'en_US' })
    await peer.until('connection.tune', () => this.has('connection.tune'))
    peer.method(0, 'connection.tune-ok', { channelMax, frameMax, heartbeat })
    peer.method(0, 'connection.open', { virtualHost })
    await peer.until('connection.open-ok', () => this.has('connection.open-ok'))
    peer.received.splice(0)
  }

  /** Drops such a frame from what was received and is not yet written down. */
  forget(name: Received['name'], channel = 0): void {
    const { received } = this.peer
    const at = received.findIndex((one) => one.name === name && one.channel === channel)
    if (at >= 0) received.splice(at, 1)
  }

  private has(name: Received['name']): boolean {
    const { peer } = this
    const is = peer.received.some((received) => received.name === name)
    if (!is && this.isOver) throw new Error(`the connection ended before ${name}`)
    return is
  }

  /** Opens a channel; its opening is not in the transcript. */
  async channel(chosen?: number): Promise<Channel> {
    const number = chosen ?? this.channels.size + 1
    const channel = this.adopt(number)
    this.peer.method(number, 'channel.open')
    await this.peer.until('channel.open-ok', () => channel.isOpen || channel.isOver)
    this.forget('channel.open-ok', number)
    return channel
  }

  /** A channel that somebody else opens. */
  adopt(number: number): Channel {
    const channel = new Channel(this.talk, this, number)
    this.channels.set(number, channel)
    return channel
  }

  async close(): Promise<void> {
    await this.call('connection.close', { replyCode: 200, replyText: 'bye' }, 'connection.close-ok')
  }
}

export class Talk {
  readonly isStrict: boolean
  private readonly port: number
  private readonly prefix: string
  private readonly lines: Line[] = []
  private readonly transcript: string[] = []
  private readonly exchanges: Set<string> = new Set()
  /** Queues to be fenced, with the connection that may: null, all may. */
  private readonly queues: Map<string, Line | null> = new Map()
  private readonly fences: Map<string, Channel> = new Map()
  private observer: Line | null = null
  private observing: Promise<Line> | null = null
  private fenceCount = 0

  constructor(port: number, prefix: string, isStrict: boolean) {
    this.port = port
    this.prefix = prefix
    this.isStrict = isStrict
  }

  /** A name that no other conversation uses. */
  name(word: string): string {
    return `${this.prefix}.${word}`
  }

  /** A connection that has said nothing yet. */
  async dial(): Promise<Line> {
    const line = new Line(this, String.fromCharCode(97 + this.lines.length), new Peer(this.port))
    this.lines.push(line)
    await line.peer.ready()
    return line
  }

  async connect(options: LoginOptions = {}): Promise<Line> {
    const line = await this.dial()
    await line.login(options)
    return line
  }

  /** A channel of a new connection. */
  async open(options: LoginOptions = {}): Promise<Channel> {
    return (await this.connect(options)).channel()
  }

  said(label: string, channel: number, name: MethodName, args: Args): void {
    this.write(`> ${label}${channel} ${name}${shown(args)}`)
    if (name === 'queue.declare' && args['passive'] !== true && typeof args['queue'] === 'string') {
      const owner = this.lines.find((line) => line.label === label) ?? null
      this.queueDeclared(args['queue'], args['exclusive'] === true ? owner : null)
    }
    if (name === 'exchange.declare') this.exchanges.add(String(args['exchange']))
  }

  queueDeclared(queue: string, owner: Line | null): void {
    if (queue !== '' && !this.queues.has(queue)) this.queues.set(queue, owner)
  }

  /** Fences touch the queue no more: it is about to expire, for example. */
  leaveAlone(queue: string): void {
    this.queues.delete(queue)
  }

  write(line: string): void {
    this.transcript.push(line)
  }

  /** Writes down what came, by connection and channel. */
  hearAll(): void {
    for (const line of this.lines) {
      const received = line.peer.received.splice(0)
      const numbers = [...new Set(received.map(({ channel }) => channel))].sort((one, two) => one - two)
      for (const number of numbers) {
        const own = received.filter(({ channel }) => channel === number)
        const channel = line.channels.get(number)
        const lines = channel === undefined ? own.map(({ text }) => text) : channel.summary(own, this.isStrict)
        for (const text of lines) this.write(`< ${line.label}${number} ${text}`)
      }
    }
  }

  /** Waits until everything has come that was to come, and writes it down. */
  async settle(): Promise<void> {
    for (let round = 0; round < 2; round++) {
      await this.fenceChannels()
      await this.fenceQueues()
    }
    await this.fenceChannels()
    await Promise.all(this.lines.map((line) => untilSettled(line)))
    this.hearAll()
    for (const line of this.lines) {
      if (line.peer.isClosed && line.peer.answersCloses) await line.end()
    }
  }

  /** Resolves when the queue has so many messages; the fences' own way to look is not in the transcript. */
  async until(queue: string, messageCount: number): Promise<void> {
    for (let looks = 1; ; looks++) {
      const fence = await this.fence(queue)
      if (fence === null || fence.lastCount === messageCount) break
      if (looks === looksMax) throw new Error(`waited in vain for ${messageCount} messages in ${queue}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    this.write(`= ${queue} has ${this.queues.has(queue) ? `${messageCount} messages` : 'gone'}`)
    await this.settle()
  }

  private async fenceChannels(): Promise<void> {
    const channels = this.lines.flatMap((line) => [...line.channels.values()])
    await Promise.all(channels.map((channel) => channel.fence()))
  }

  private async fenceQueues(): Promise<void> {
    await Promise.all([...this.queues.keys()].map((queue) => this.fence(queue)))
  }

  /** A passive declare: behind it, the queue has done what it was told before. Null: it is not there. */
  private async fence(queue: string): Promise<Channel | null> {
    if (!this.queues.has(queue)) return null
    const line = this.queues.get(queue) ?? (await this.observing_())
    if (line.isOver) {
      this.queues.delete(queue)
      return null
    }
    let fence = this.fences.get(queue)
    if (fence === undefined || fence.isOver) {
      this.fenceCount++
      fence = line.adopt(hiddenChannelMin + this.fenceCount)
      this.fences.set(queue, fence)
      line.peer.method(fence.number, 'channel.open')
    }
    await fence.look(queue)
    if (!fence.isOver) return fence
    this.fences.delete(queue)
    this.queues.delete(queue)
    return null
  }

  private observing_(): Promise<Line> {
    this.observing ??= (async () => {
      const line = new Line(this, 'observer', new Peer(this.port))
      await line.login()
      this.observer = line
      return line
    })()
    return this.observing
  }

  /** What stays of it on the broker goes. */
  async clear(): Promise<void> {
    for (const line of this.lines) line.peer.destroy()
    if (this.queues.size + this.exchanges.size === 0 && this.observer === null) return
    const { peer } = await this.observing_()
    const names = [...this.queues].filter(([, owner]) => owner === null).map(([queue]) => queue)
    const deletes: [MethodName, Args][] = [
      ...names.map((queue): [MethodName, Args] => ['queue.delete', { queue }]),
      ...[...this.exchanges].map((exchange): [MethodName, Args] => ['exchange.delete', { exchange }]),
    ]
    let number = hiddenChannelMin - 1000
    for (const [name, args] of deletes) {
      number++
      peer.method(number, 'channel.open')
      peer.method(number, name, args)
    }
    peer.method(0, 'connection.close', { replyCode: 200 })
    await peer.until('the end of the observer', () => peer.isEnded || peer.isClosed)
  }

  /** The transcript without what is different each time. */
  lines_(): string[] {
    let text = this.transcript.join('\n').replaceAll(`${this.prefix}.`, '')
    const seen = new Map<string, string>()
    text = text.replace(/amq\.(gen|ctag)-[\w-]{22}/g, (name, kind: string) => {
      const known = seen.get(name) ?? `<${kind} ${seen.size + 1}>`
      seen.set(name, known)
      return known
    })
    return (
      text
        .replace(/amq\.rabbitmq\.reply-to\.[^"\\\s]+/g, '<reply address>')
        // Erlang breaks long terms into lines.
        .replace(/,\\n +/g, ',')
        .replace(/\bT:1\d{9}\b/g, 'T:<now>')
        .replace(/leveret_version=S:".*"/, 'leveret_version=S:"<version>"')
        .replace(/cluster_name=S:".*"/, 'cluster_name=S:"<of this machine>"')
        .split('\n')
    )
  }
}

async function untilSettled(line: Line): Promise<void> {
  const { peer } = line
  await peer.until('the rest of a message', () => line.isOver || peer.received.every(({ isPartial }) => !isPartial))
  for (const channel of line.channels.values()) await channel.untilConfirmed()
}

export function shown(args: Args | PlainProperties): string {
  return Object.entries(args)
    .map(([key, value]) => ` ${key}=${JSON.stringify(value, plain)}`)
    .join('')
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value
}

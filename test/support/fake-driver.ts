// A driver of the port that writes down what it is asked and says what the test tells it to say.
import type { BodyStore } from '../../src/model/bodies.ts'
import type { Channel, ChannelEvents, Driver, Login, Session, SessionEvents } from '../../src/model/channel.ts'
import type { Command, Reply } from '../../src/model/command.ts'
import { BrokerError } from '../../src/model/errors.ts'
import type { Message } from '../../src/model/message.ts'

export class FakeChannel implements Channel {
  readonly events: ChannelEvents
  /** Everything asked, in order, as text. */
  readonly log: string[] = []
  readonly commands: { id: number; command: Command }[] = []
  readonly messages: Message[] = []
  isClosed = false
  isPaused = false
  private sequence = 0
  private readonly answers: ((command: Command) => Reply | null) | null

  constructor(events: ChannelEvents, answers: ((command: Command) => Reply | null) | null) {
    this.events = events
    this.answers = answers
  }

  execute(id: number, command: Command): void {
    this.commands.push({ id, command })
    this.log.push(command.type)
    const reply = this.answers?.(command) ?? null
    if (reply === null) return
    setImmediate(() => this.say(id, reply))
  }

  publish(message: Message, mandatory: boolean): number {
    this.messages.push(message)
    this.log.push(
      `publish ${message.exchange}/${message.routingKey}${mandatory ? ' mandatory' : ''} ${message.body.toString()}`,
    )
    return ++this.sequence
  }

  ack(deliveryTag: number, multiple: boolean): void {
    this.log.push(`ack ${deliveryTag} ${multiple}`)
  }

  reject(deliveryTag: number, multiple: boolean, requeue: boolean): void {
    this.log.push(`reject ${deliveryTag} ${multiple} ${requeue}`)
  }

  commit(): void {
    throw new BrokerError('NOT_IMPLEMENTED', 'the server never calls commit')
  }

  pauseDeliveries(): void {
    this.isPaused = true
  }

  resumeDeliveries(): void {
    this.isPaused = false
  }

  close(): void {
    this.isClosed = true
    this.log.push('close')
  }

  /** The reply to the last command. */
  reply(reply: Reply): void {
    this.say(this.commands.at(-1)?.id ?? 0, reply)
  }

  private say(id: number, reply: Reply): void {
    this.events.replied(id, reply)
    // As the broker: a channel that was closed meanwhile hears nothing more.
    if (!this.isClosed) this.events.flush()
  }
}

export class FakeSession implements Session {
  readonly login: Login
  readonly events: SessionEvents
  readonly channels: FakeChannel[] = []
  isClosed = false
  private readonly driver: FakeDriver

  constructor(driver: FakeDriver, login: Login, events: SessionEvents) {
    this.driver = driver
    this.login = login
    this.events = events
  }

  openChannel(events: ChannelEvents): FakeChannel {
    const channel = new FakeChannel(events, this.driver.answers)
    this.channels.push(channel)
    return channel
  }

  async close(): Promise<void> {
    this.isClosed = true
  }
}

export class FakeDriver implements Driver {
  readonly sessions: FakeSession[] = []
  readonly logins: Login[] = []
  bodies: BodyStore | null = null
  /** Null: nothing is answered by itself. */
  answers: ((command: Command) => Reply | null) | null = plainAnswer

  async authenticate(login: Login): Promise<void> {
    this.logins.push(login)
    if (login.credentials?.password !== 'guest') throw new BrokerError('ACCESS_REFUSED', 'secret reason')
  }

  async openSession(login: Login, events: SessionEvents): Promise<FakeSession> {
    if (login.virtualHost !== '/') throw new BrokerError('NOT_ALLOWED', `vhost ${login.virtualHost} not found`)
    const session = new FakeSession(this, login, events)
    this.sessions.push(session)
    return session
  }

  async close(): Promise<void> {}

  get session(): FakeSession {
    return this.sessions.at(-1) as FakeSession
  }

  get channel(): FakeChannel {
    return this.session.channels.at(-1) as FakeChannel
  }
}

export function plainAnswer(command: Command): Reply | null {
  switch (command.type) {
    case 'queue.declare':
      return { type: 'queue.declare-ok', queue: command.queue || 'amq.gen-1', messageCount: 3, consumerCount: 4 }
    case 'queue.purge':
      return { type: 'queue.purge-ok', messageCount: 5 }
    case 'queue.delete':
      return { type: 'queue.delete-ok', messageCount: 6 }
    case 'basic.consume':
      return { type: 'basic.consume-ok', consumerTag: command.consumerTag || 'amq.ctag-1' }
    case 'basic.cancel':
      return { type: 'basic.cancel-ok', consumerTag: command.consumerTag }
    case 'basic.get':
      return { type: 'basic.get-empty' }
    default:
      return { type: 'ok' }
  }
}

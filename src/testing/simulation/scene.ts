/** What a short workload can do with a broker: one channel with confirms, and time that passes when it waits. */

import type { Channel, ChannelEvents, Driver } from '../../model/channel.ts'
import type { Command, Reply } from '../../model/command.ts'
import type { BrokerError } from '../../model/errors.ts'
import { emptyTable, type FieldTable } from '../../model/field-table.ts'
import type { Message } from '../../model/message.ts'
import { silentSession } from './found-state.ts'
import type { Judge } from './judge.ts'
import { type Trace, Violation } from './trace.ts'

export interface SceneTime {
  until<T>(promise: Promise<T>): Promise<T>
  pass(ms: number): Promise<void>
}

export class Scene implements ChannelEvents {
  private readonly driver: Driver
  private readonly make: Judge['make']
  private readonly trace: Trace
  private readonly time: SceneTime
  private channel!: Channel
  private nextId = 1
  private published = 0
  private confirmedUpTo = 0
  private readonly replies = new Map<number, Reply>()
  private wake: (() => void) | null = null

  constructor(driver: Driver, make: Judge['make'], trace: Trace, time: SceneTime) {
    this.driver = driver
    this.make = make
    this.trace = trace
    this.time = time
  }

  async begin(): Promise<void> {
    const login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
    this.channel = (await this.time.until(this.driver.openSession(login, silentSession))).openChannel(this)
    await this.ask({ type: 'confirm.select' })
  }

  // ------------------------------------------------------------------------------------------------- calls

  async ask(command: Command): Promise<Reply> {
    const id = this.nextId++
    this.channel.execute(id, command)
    return await this.replyTo(id)
  }

  async declare(queue: string, table: FieldTable = emptyTable): Promise<void> {
    const command = { queue, passive: false, durable: true, exclusive: false, autoDelete: false }
    await this.ask({ type: 'queue.declare', ...command, arguments: table })
  }

  /** Publishes them in one turn, without waiting. */
  post(queue: string, ...sizes: readonly number[]): void {
    this.publishAll(queue, 0, sizes)
  }

  /** As `post`, for messages that are hidden so long. */
  hide(queue: string, delayMs: number, ...sizes: readonly number[]): void {
    this.publishAll(queue, delayMs, sizes)
  }

  /** Publishes them in one turn, and waits until they are confirmed. */
  async publish(queue: string, ...sizes: readonly number[]): Promise<void> {
    this.post(queue, ...sizes)
    await this.stored()
  }

  async stored(): Promise<void> {
    await this.wait(() => this.confirmedUpTo === this.published)
  }

  /** Takes so many out and returns their tags. */
  async get(queue: string, count = 1): Promise<number[]> {
    const tags: number[] = []
    for (let at = 0; at < count; at++) {
      const reply = await this.ask({ type: 'basic.get', queue, noAck: false })
      if (reply.type === 'basic.get-ok') tags.push(reply.deliveryTag)
    }
    return tags
  }

  ack(...tags: readonly number[]): void {
    for (const tag of tags) this.channel.ack(tag, false)
  }

  reject(requeue: boolean, ...tags: readonly number[]): void {
    for (const tag of tags) this.channel.reject(tag, false, requeue)
  }

  /** Acknowledges and publishes as one unit, and waits until it is stored. */
  async commit(tags: readonly number[], queue: string, ...sizes: readonly number[]): Promise<void> {
    const id = this.nextId++
    const messages = sizes.map((size) => this.make(queue, size, 0))
    this.channel.commit(id, tags, messages)
    await this.replyTo(id)
  }

  pass(ms: number): Promise<void> {
    return this.time.pass(ms)
  }

  // ------------------------------------------------------------------------------------------------- events

  replied(id: number, reply: Reply): void {
    this.replies.set(id, reply)
    this.wake?.()
  }

  confirmed(sequence: number): void {
    this.confirmedUpTo = sequence
    this.wake?.()
  }

  delivered(): void {}
  returned(_message: Message): void {}
  cancelled(): void {}

  failed(_id: number, error: BrokerError): void {
    throw this.trace.violated(new Violation('model', `the workload was refused: ${error.message}`))
  }

  flush(): void {}

  private publishAll(queue: string, delayMs: number, sizes: readonly number[]): void {
    for (const size of sizes) {
      this.channel.publish(this.make(queue, size, delayMs), false)
      this.published++
    }
  }

  private async replyTo(id: number): Promise<Reply> {
    await this.wait(() => this.replies.has(id))
    return this.replies.get(id) as Reply
  }

  private wait(isDone: () => boolean): Promise<void> {
    return this.time.until(
      new Promise((resolve) => {
        this.wake = () => {
          if (isDone()) resolve()
        }
        this.wake()
      }),
    )
  }
}

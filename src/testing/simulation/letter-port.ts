/**
 * Stands at the broker's port, as the witness does, for histories of letters: it tells them what is asked for, and holds
 * what the broker says against what may have become of each.
 */
import type { Channel, ChannelEvents, Driver, Login, Session, SessionEvents } from '../../model/channel.ts'
import type { Command, Reply } from '../../model/command.ts'
import type { Durability } from '../../model/durability.ts'
import type { BrokerError } from '../../model/errors.ts'
import type { Message } from '../../model/message.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Letter, LetterWishes } from './letter.ts'
import type { Letters } from './letters.ts'
import type { LogEnds } from './level.ts'
import type { Trace } from './trace.ts'

export interface LetterPortParts {
  readonly letters: Letters
  readonly trace: Trace
  readonly clock: Clock
  readonly frames: LogEnds
  /** What a confirm is said of. */
  readonly durability: Durability
  /** Something was promised: a good moment to see what a crash would leave. */
  readonly promised: () => void
}

export class LetterPort implements Driver {
  /** The process is gone: nothing that is said counts. */
  isDead = false
  readonly parts: LetterPortParts
  private readonly driver: Driver
  private channelCount = 0

  constructor(driver: Driver, parts: LetterPortParts) {
    this.driver = driver
    this.parts = parts
  }

  authenticate(login: Login): Promise<void> {
    return this.driver.authenticate(login)
  }

  async openSession(login: Login, events: SessionEvents): Promise<Session> {
    const session = await this.driver.openSession(login, events)
    return {
      openChannel: (channelEvents) => {
        const channel = new LetterChannel(this, `ch${++this.channelCount}`, channelEvents)
        channel.inner = session.openChannel(channel)
        return channel
      },
      close: () => session.close(),
    }
  }

  close(): Promise<void> {
    const { letters, frames, clock, trace } = this.parts
    trace.add('broker close')
    if (!this.isDead) letters.ended(frames.openLsn, clock.realtimeMs())
    return this.driver.close()
  }
}

interface Asked {
  /** Empty: it is no basic.get. */
  readonly queue: string
  readonly atMs: number
  readonly noAck: boolean
  /** How many messages the answer must tell of at least. */
  readonly countMin: number
  /** What a transaction sent that ends with this; null: it is no commit. */
  readonly committed: readonly Letter[] | null
}

/** What a transaction holds back. */
interface Unit {
  readonly messages: Message[]
  readonly settledTags: Set<number>
  readonly settlements: (() => void)[]
}

class LetterChannel implements Channel, ChannelEvents {
  inner!: Channel
  private readonly port: LetterPort
  private readonly parts: LetterPortParts
  private readonly name: string
  private readonly events: ChannelEvents
  private readonly consumers = new Map<string, { readonly queue: string; readonly noAck: boolean }>()
  private readonly held = new Map<number, Letter>()
  /** Commands without an answer, in order. */
  private readonly asked: Asked[] = []
  private readonly open = new Map<number, Letter>()
  /** Null: it has no transactions. */
  private unit: Unit | null = null

  constructor(port: LetterPort, name: string, events: ChannelEvents) {
    this.port = port
    this.parts = port.parts
    this.name = name
    this.events = events
  }

  // ------------------------------------------------------------------------------------------------- calls

  execute(id: number, command: Command): void {
    this.note(`${id} ${command.type}`)
    const queue = command.type === 'basic.get' ? command.queue : ''
    if (queue !== '') this.parts.letters.noteAsked(queue, 1)
    const noAck = command.type === 'basic.get' && command.noAck
    const atMs = this.nowMs()
    if (command.type === 'queue.purge' || command.type === 'queue.delete') return this.empty(id, command)
    this.asked.push({ queue, atMs, noAck, countMin: 0, committed: this.endUnit(command) })
    if (command.type === 'basic.consume') {
      this.consumers.set(command.consumerTag, { queue: command.queue, noAck: command.noAck })
    }
    this.inner.execute(id, command)
  }

  private empty(id: number, command: Extract<Command, { type: 'queue.purge' | 'queue.delete' }>): void {
    const { letters, frames } = this.parts
    const { queue } = command
    const hidden = letters.hiddenIn(queue)
    const isDeleted = command.type === 'queue.delete'
    // The answer to a deletion tells of what was ready.
    this.asked.push({ queue: '', atMs: 0, noAck: false, countMin: isDeleted ? 0 : hidden.length, committed: null })
    this.inner.execute(id, command)
    letters.emptied(queue, hidden, isDeleted, frames.openLsn)
  }

  /** What a transaction gathered happens at its commit, or never. */
  private endUnit({ type }: Command): readonly Letter[] | null {
    const { unit } = this
    if (type === 'tx.select' || type === 'tx.rollback') this.unit = newUnit()
    if (type !== 'tx.commit' || unit === null) return null
    const { letters, frames } = this.parts
    const sent = unit.messages.map((message) => letters.arrived(message, frames.openLsn, this.nowMs()))
    for (const end of unit.settlements) end()
    this.unit = newUnit()
    return sent
  }

  publish(message: Message, mandatory: boolean): number {
    const { letters, frames } = this.parts
    if (this.unit !== null) {
      this.note(`publish ${message.decodeProperties().messageId} to ${message.routingKey} with the commit`)
      this.unit.messages.push(message)
      return this.inner.publish(message, mandatory)
    }
    const letter = letters.arrived(message, frames.openLsn, this.nowMs())
    const wishes = textOf(letter.wishes)
    const key = letter.key === null ? '' : ` of key ${letter.key}`
    this.note(`publish #${letter.id}${key} to ${message.routingKey}, expires in ${letter.expirationMs} ms${wishes}`)
    const sequence = this.inner.publish(message, mandatory)
    if (sequence > 0) this.open.set(sequence, letter)
    return sequence
  }

  ack(deliveryTag: number, multiple: boolean): void {
    this.settle(deliveryTag, multiple, 'ack', (letter) => this.parts.letters.acked(letter, this.parts.frames.openLsn))
    this.inner.ack(deliveryTag, multiple)
  }

  reject(deliveryTag: number, multiple: boolean, requeue: boolean): void {
    const { letters, frames } = this.parts
    this.settle(deliveryTag, multiple, requeue ? 'requeue' : 'reject', (letter) => {
      if (requeue) letters.requeued(letter, frames.openLsn, this.nowMs())
      else letters.rejected(letter, this.nowMs())
    })
    this.inner.reject(deliveryTag, multiple, requeue)
  }

  commit(): void {
    throw this.parts.letters.violated('model', 'letters are not sent as units of a client')
  }

  pauseDeliveries(): void {
    this.inner.pauseDeliveries()
  }

  resumeDeliveries(): void {
    this.inner.resumeDeliveries()
  }

  close(): void {
    this.unit = null
    const { letters, frames } = this.parts
    this.settle(0, true, 'close', (letter) => letters.requeued(letter, frames.openLsn, this.nowMs()))
    for (const { queue } of this.asked.splice(0)) if (queue !== '') letters.gaveUp(queue)
    this.inner.close()
  }

  // ------------------------------------------------------------------------------------------------- events

  replied(id: number, reply: Reply): void {
    if (this.port.isDead) return
    const asked = this.asked.shift() as Asked
    if (asked.queue !== '') this.parts.letters.noteAsked(asked.queue, -1)
    if (reply.type === 'queue.purge-ok' && reply.messageCount < asked.countMin) {
      const counts = `${reply.messageCount}, and ${asked.countMin} were hidden`
      throw this.parts.letters.violated('I1', `a purge says that it removed ${counts}`)
    }
    if (asked.committed !== null) for (const letter of asked.committed) this.checkSafe(letter)
    if (reply.type === 'basic.get-ok') this.handOut(reply.message, reply.deliveryTag, asked, true)
    this.events.replied(id, reply)
  }

  delivered(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    if (this.port.isDead) return
    const consumer = this.consumers.get(consumerTag)
    if (consumer === undefined) throw this.parts.letters.violated('order', `there is no consumer ${consumerTag}`)
    this.handOut(message, deliveryTag, { ...consumer, atMs: this.nowMs(), countMin: 0, committed: null }, false)
    this.events.delivered(consumerTag, deliveryTag, redelivered, message)
  }

  confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    if (this.port.isDead) return
    const { letters, promised } = this.parts
    this.note(`confirmed ${sequence}${multiple ? ' multiple' : ''}${accepted ? '' : ' refused'}`)
    for (const [number, letter] of this.open) {
      if (multiple ? number > sequence : number !== sequence) continue
      this.open.delete(number)
      letters.answered(letter, accepted)
      if (accepted) this.checkSafe(letter)
    }
    promised()
    this.events.confirmed(sequence, multiple, accepted)
  }

  private checkSafe(letter: Letter): void {
    const { letters, frames, durability } = this.parts
    const written = durability === 'write' ? frames.writtenLsn : Number.POSITIVE_INFINITY
    const safe = durability === 'fsync' ? frames.durableLsn : written
    const lsn = letter.seen[0]?.seenLsn ?? 0
    if (lsn > safe && !letter.isTransient) {
      throw letters.violated('I9', `#${letter.id} of frame ${lsn} is confirmed, and only ${safe} is as safe as that`)
    }
    letter.isConfirmed = true
  }

  returned(message: Message, reason: 'NO_ROUTE' | 'NO_CONSUMERS'): void {
    this.events.returned(message, reason)
  }

  cancelled(consumerTag: string): void {
    this.events.cancelled(consumerTag)
  }

  failed(id: number, error: BrokerError): void {
    if (!this.port.isDead) this.events.failed(id, error)
  }

  flush(): void {
    if (!this.port.isDead) this.events.flush()
  }

  private handOut(message: Message, tag: number, { queue, atMs, noAck }: Asked, isAnswer: boolean): void {
    const { letters, frames } = this.parts
    this.note(`${message.decodeProperties().messageId} from ${queue} with tag ${tag}`)
    const letter = letters.handedOut(message, queue, frames.openLsn, this.nowMs(), atMs, isAnswer)
    if (noAck) letters.acked(letter, frames.openLsn)
    else this.held.set(tag, letter)
  }

  private settle(deliveryTag: number, multiple: boolean, what: string, end: (letter: Letter) => void): void {
    this.note(`${what} ${deliveryTag}${multiple ? ' multiple' : ''}`)
    for (const [tag, letter] of this.held) {
      if (multiple ? deliveryTag !== 0 && tag > deliveryTag : tag !== deliveryTag) continue
      const settled = (): void => {
        this.held.delete(tag)
        end(letter)
      }
      if (this.unit === null) settled()
      else if (!this.unit.settledTags.has(tag)) {
        this.unit.settledTags.add(tag)
        this.unit.settlements.push(settled)
      }
    }
  }

  private nowMs(): number {
    const { letters, clock } = this.parts
    const nowMs = clock.realtimeMs()
    letters.latestMs = Math.max(letters.latestMs, nowMs)
    return nowMs
  }

  private note(text: string): void {
    this.parts.trace.add(`${this.name} ${text} @${this.parts.frames.openLsn}`)
  }
}

function newUnit(): Unit {
  return { messages: [], settledTags: new Set(), settlements: [] }
}

function textOf({ delayMs, keptBackMs, priority, isTransient }: LetterWishes): string {
  const parts = isTransient ? ['transient'] : []
  if (priority > 0) parts.unshift(`of priority ${priority}`)
  if (delayMs > 0) parts.unshift(`hidden for ${delayMs} ms`)
  if (keptBackMs > 0) parts.unshift(`kept back for ${keptBackMs} ms`)
  return parts.map((part) => `, ${part}`).join('')
}

/**
 * Stands at the broker's port, in front of the broker, for whoever drives it. Each call goes to the reference and then to
 * the broker; each event is compared with what the reference says must come next before it is passed on. What is promised
 * (a confirm, an answer that something is stored) is checked against the platters of the simulated disk, not against the
 * broker's word.
 */
import type { Channel, ChannelEvents, Driver, Login, Session, SessionEvents } from '../../model/channel.ts'
import type { Command, Reply } from '../../model/command.ts'
import type { DeliverAfter } from '../../model/durability.ts'
import type { BrokerError } from '../../model/errors.ts'
import type { Message } from '../../model/message.ts'
import type { ModelEntry, Publication } from './facts.ts'
import type { Ledger } from './ledger.ts'
import type { Reference } from './reference.ts'
import type { Expected, ModelChannel, ModelConsumer, ModelSession, OpenPublish } from './reference-channel.ts'
import type { Trace } from './trace.ts'
import { Violation } from './trace.ts'

/** The broker's side of time: frames. */
export interface FrameNumbers {
  readonly openLsn: number
  readonly durableLsn: number
  readonly answerableLsn: number
}

export interface WitnessParts {
  readonly ledger: Ledger
  readonly reference: Reference
  readonly trace: Trace
  readonly frames: FrameNumbers
  readonly deliverAfter: DeliverAfter
  /** Whether these bytes are as safe as a confirm says. */
  readonly isStored: (content: Buffer) => boolean
  /** Whether these bytes would survive a power cut now. */
  readonly isOnPlatter: (content: Buffer) => boolean
  /** Something was promised: a good moment to see what a crash would leave. */
  readonly promised: () => void
}

export class Witness implements Driver {
  /** The process is gone, or its storage failed: nothing may be said any more. */
  isDead = false
  hasFailed = false
  readonly parts: WitnessParts
  private readonly driver: Driver
  /** A delivery may come out of the call that is under way. */
  mayDeliver = false
  private sessionCount = 0
  private depth = 0

  constructor(driver: Driver, parts: WitnessParts) {
    this.driver = driver
    this.parts = parts
  }

  authenticate(login: Login): Promise<void> {
    return this.driver.authenticate(login)
  }

  async openSession(login: Login, events: SessionEvents): Promise<Session> {
    const { reference } = this.parts
    const model = reference.openSession(`s${++this.sessionCount}`)
    try {
      const inner = this.driver.openSession(login, this.sessionEvents(model, events))
      return new WitnessSession(this, await inner, model)
    } catch (error) {
      reference.sessions.delete(model)
      throw error
    }
  }

  async close(): Promise<void> {
    const { reference, trace } = this.parts
    trace.add('broker close')
    // All of it happens in one turn, and in one frame.
    this.call(() => {
      for (const session of reference.sessions) reference.closeSession(session)
      reference.noteClean()
    })
    await this.driver.close()
  }

  /** A call into the broker: nothing may come out of it before it returns, and the frame stays the same. */
  call<T>(action: () => T): T {
    const { frames, reference, trace } = this.parts
    const before = frames.openLsn
    reference.journal.lsn = before
    this.depth++
    let result: T
    try {
      result = action()
    } finally {
      this.depth--
    }
    if (frames.openLsn === before) return result
    throw trace.violated(new Violation('turn', 'a call moved on to another frame'))
  }

  /** An event out of the broker; false if nobody lives to hear it. */
  hears(what: string): boolean {
    if (this.isDead) return false
    const { trace } = this.parts
    if (this.depth > 0 && !(this.mayDeliver && what === 'a delivery')) {
      throw trace.violated(new Violation('turn', `${what} came back inside the call that caused it`))
    }
    if (this.hasFailed) throw trace.violated(new Violation('I9', `${what} was said after the storage had failed`))
    this.parts.reference.journal.lsn = this.parts.frames.openLsn
    return true
  }

  private sessionEvents(model: ModelSession, events: SessionEvents): SessionEvents {
    const { trace } = this.parts
    const say = (what: string): boolean => {
      if (this.isDead) return false
      trace.add(`${model.name} ${what}`)
      return true
    }
    return {
      blocked: (reason) => say(`blocked: ${reason}`) && events.blocked(reason),
      unblocked: () => say('unblocked') && events.unblocked(),
      throttled: () => say('throttled') && events.throttled(),
      resumed: () => say('resumed') && events.resumed(),
      closed: (error) => say(`closed: ${error.message}`) && events.closed(error),
    }
  }
}

class WitnessSession implements Session {
  private readonly witness: Witness
  private readonly inner: Session
  private readonly model: ModelSession
  private channelCount = 0

  constructor(witness: Witness, inner: Session, model: ModelSession) {
    this.witness = witness
    this.inner = inner
    this.model = model
  }

  openChannel(events: ChannelEvents): Channel {
    const { reference, trace } = this.witness.parts
    const model = reference.openChannel(this.model, `${this.model.name}.${++this.channelCount}`)
    trace.add(`${model.name} open`)
    const channel = new WitnessChannel(this.witness, model, events)
    channel.inner = this.inner.openChannel(channel)
    return channel
  }

  async close(): Promise<void> {
    const { reference, trace } = this.witness.parts
    trace.add(`${this.model.name} close`)
    await this.witness.call(() => {
      reference.closeSession(this.model)
      return this.inner.close()
    })
  }
}

/** The port towards its owner, and the events towards the broker. */
class WitnessChannel implements Channel, ChannelEvents {
  inner!: Channel
  private readonly witness: Witness
  private readonly model: ModelChannel
  private readonly events: ChannelEvents
  private readonly ledger: Ledger
  private readonly reference: Reference

  constructor(witness: Witness, model: ModelChannel, events: ChannelEvents) {
    this.witness = witness
    this.model = model
    this.events = events
    this.ledger = witness.parts.ledger
    this.reference = witness.parts.reference
  }

  // ------------------------------------------------------------------------------------------------- calls

  execute(id: number, command: Command): void {
    this.note(`${id} ${describeCommand(command)}`)
    this.witness.call(() => {
      this.reference.execute(this.model, id, command)
      this.inner.execute(id, command)
    })
  }

  publish(message: Message, mandatory: boolean): number {
    const publication = this.ledger.arrived(message)
    this.note(`publish ${describe(publication)}${mandatory ? ' mandatory' : ''}`)
    return this.witness.call(() => {
      // Where there is no room, consumers are given what they can take before it is said that there is none.
      this.witness.mayDeliver = this.reference.hasLimits
      const sequence = this.inner.publish(message, mandatory)
      this.witness.mayDeliver = false
      const expected = this.reference.publish(this.model, publication, mandatory)
      if (sequence !== expected) throw this.violation('I9', `publish got the number ${sequence}, not ${expected}`)
      return sequence
    })
  }

  ack(deliveryTag: number, multiple: boolean): void {
    this.note(`ack ${deliveryTag}${multiple ? ' multiple' : ''}`)
    this.witness.call(() => {
      this.reference.settle(this.model, deliveryTag, multiple, false)
      this.inner.ack(deliveryTag, multiple)
    })
  }

  reject(deliveryTag: number, multiple: boolean, requeue: boolean): void {
    this.note(`reject ${deliveryTag}${multiple ? ' multiple' : ''}${requeue ? ' requeue' : ''}`)
    this.witness.call(() => {
      this.reference.settle(this.model, deliveryTag, multiple, requeue)
      this.inner.reject(deliveryTag, multiple, requeue)
    })
  }

  commit(id: number, acks: readonly number[], publishes: readonly Message[]): void {
    const publications = publishes.map((message) => this.ledger.arrived(message))
    this.note(`${id} commit acks [${acks.join(' ')}] publishes [${publications.map(describe).join(', ')}]`)
    this.witness.call(() => {
      this.reference.commit(this.model, id, acks, publications)
      this.inner.commit(id, acks, publishes)
    })
  }

  pauseDeliveries(): void {
    this.note('pause')
    this.model.isPaused = true
    this.witness.call(() => this.inner.pauseDeliveries())
  }

  resumeDeliveries(): void {
    this.note('resume')
    this.model.isPaused = false
    this.witness.call(() => this.inner.resumeDeliveries())
  }

  close(): void {
    this.note('close')
    this.witness.call(() => {
      this.reference.closeChannel(this.model)
      this.inner.close()
    })
  }

  // ------------------------------------------------------------------------------------------------- events

  replied(id: number, reply: Reply): void {
    const expected = this.next('replied', `the reply ${id} (${reply.type})`)
    if (expected === null) return
    const content = reply.type === 'basic.get-ok' ? ` ${this.ledger.name(reply.message)}` : ''
    this.note(`${id} replied ${describeReply(reply)}${content}`)
    if (expected.id !== id) throw this.violation('order', `the reply ${id} came where ${expected.id} was due`)
    for (const [name, value] of Object.entries(expected.reply)) {
      const actual = (reply as unknown as Readonly<Record<string, unknown>>)[name]
      if (actual === value) continue
      throw this.violation('model', `the reply ${id} says ${name}=${String(actual)} where ${String(value)} is right`)
    }
    if (expected.entry !== null && reply.type === 'basic.get-ok') {
      this.checkMessage(reply.message, expected.entry)
      this.checkSynced(expected.entry)
    }
    this.checkSafe(expected.lsn, `the reply ${id} (${reply.type})`)
    expected.done?.(reply as unknown as Readonly<Record<string, unknown>>)
    if (expected.lsn > 0) this.witness.parts.promised()
    this.events.replied(id, reply)
  }

  delivered(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    if (!this.witness.hears('a delivery')) return
    const { model } = this
    this.note(
      `delivered ${consumerTag} ${deliveryTag}${redelivered ? ' redelivered' : ''} ${this.ledger.name(message)}`,
    )
    if (model.isFailed) throw this.violation('order', 'a delivery came after the channel had failed or was closed')
    if (model.isPaused) throw this.violation('I11', 'a delivery came although deliveries are paused')
    const consumer = model.consumers.get(consumerTag)
    if (consumer === undefined) throw this.violation('order', `there is no consumer ${consumerTag}`)
    if (!consumer.isAnnounced) throw this.violation('order', `${consumerTag} got a delivery before its consume-ok`)
    if (!consumer.noAck) this.checkCredit(consumer.prefetch, consumer.unacked)
    if (deliveryTag !== model.nextTag)
      throw this.violation('order', `tag ${deliveryTag} came after ${model.nextTag - 1}`)
    this.checkRivals(consumer)
    const held = this.reference.deliver(consumer)
    if (held === null) throw this.violation('I3', `${this.ledger.name(message)} came out of a queue that is empty`)
    this.checkMessage(message, held.entry)
    this.checkSynced(held.entry)
    this.checkRedelivered(redelivered, held.entry)
    held.entry.handedOut = true
    this.events.delivered(consumerTag, deliveryTag, redelivered, message)
  }

  confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    if (!this.witness.hears('a confirm')) return
    const { model } = this
    this.note(`confirmed ${sequence}${multiple ? ' multiple' : ''}${accepted ? '' : ' refused'}`)
    if (model.isFailed) throw this.violation('I9', 'a confirm came after the channel had failed or was closed')
    const covered = model.openPublishes.filter((open) =>
      multiple ? open.sequence <= sequence : open.sequence === sequence,
    )
    if (covered.at(-1)?.sequence !== sequence)
      throw this.violation('I9', `${sequence} was confirmed already or never sent`)
    model.openPublishes = model.openPublishes.filter((open) => !covered.includes(open))
    for (const open of covered) {
      if (accepted) this.checkConfirm(open)
      else this.checkRefusal(open)
    }
    this.witness.parts.promised()
    this.events.confirmed(sequence, multiple, accepted)
  }

  returned(message: Message, reason: 'NO_ROUTE' | 'NO_CONSUMERS'): void {
    const expected = this.next('returned', `the return of ${this.ledger.name(message)}`)
    if (expected === null) return
    this.note(`returned ${describe(expected.publication)}`)
    if (!this.ledger.is(message, expected.publication)) {
      throw this.violation(
        'order',
        `${this.ledger.name(message)} returned in place of ${describe(expected.publication)}`,
      )
    }
    this.events.returned(message, reason)
  }

  cancelled(consumerTag: string): void {
    const expected = this.next('cancelled', `the end of consumer ${consumerTag}`)
    if (expected === null) return
    this.note(`cancelled ${consumerTag}`)
    if (expected.consumerTag !== consumerTag) throw this.violation('order', `${consumerTag} is not the one that ended`)
    this.events.cancelled(consumerTag)
  }

  failed(id: number, error: BrokerError): void {
    const expected = this.next('failed', `the error '${error.message}'`)
    if (expected === null) return
    this.note(`${id} failed ${error.message}`)
    if (expected.id !== id || expected.code !== error.code) {
      throw this.violation('model', `'${error.message}' for ${id}, where ${expected.code} for ${expected.id} is right`)
    }
    this.events.failed(id, error)
  }

  flush(): void {
    if (!this.witness.isDead) this.events.flush()
  }

  // ------------------------------------------------------------------------------------------------- checks

  private next<Type extends Expected['type']>(type: Type, what: string): Extract<Expected, { type: Type }> | null {
    if (!this.witness.hears(what)) return null
    if (this.model.isSilent) throw this.violation('order', `${what} came after the channel was closed`)
    const expected = this.model.expected.shift()
    if (expected === undefined) throw this.violation('model', `${what} came and nothing was due`)
    if (expected.type !== type) throw this.violation('model', `${what} came where '${expected.type}' was due`)
    return expected as Extract<Expected, { type: Type }>
  }

  private checkCredit(prefetch: number, unacked: number): void {
    const { prefetchGlobal, unackedByConsumers } = this.model
    if (prefetch > 0 && unacked >= prefetch) throw this.violation('I11', `a consumer holds ${unacked} of ${prefetch}`)
    if (prefetchGlobal > 0 && unackedByConsumers >= prefetchGlobal) {
      throw this.violation('I11', `a channel holds ${unackedByConsumers} of ${prefetchGlobal}`)
    }
  }

  private checkMessage(message: Message, entry: ModelEntry): void {
    if (this.ledger.is(message, entry.publication)) return
    const { publication, queue } = entry
    throw this.violation(
      'I5',
      `queue ${queue} gave ${this.ledger.name(message)} where ${describe(publication)} is first`,
    )
  }

  private checkRedelivered(redelivered: boolean, entry: ModelEntry): void {
    if (redelivered === entry.handedOut) return
    const was = entry.handedOut ? 'was handed out before' : 'was never handed out'
    throw this.violation('I7', `${describe(entry.publication)} of ${entry.queue} ${was}; redelivered=${redelivered}`)
  }

  /** A frame must be safe by the broker's own word; whether that is true is for the platters and the crashes to say. */
  private checkSafe(lsn: number, what: string): void {
    const { answerableLsn } = this.witness.parts.frames
    if (lsn > answerableLsn) throw this.violation('I9', `${what} needs frame ${lsn}, only ${answerableLsn} is safe`)
  }

  /** Where deliveries come after the sync, a power cut takes nothing that was handed out. */
  private checkSynced({ logged, lsn, publication, settledLsn }: ModelEntry): void {
    const { deliverAfter, frames, isOnPlatter } = this.witness.parts
    if (deliverAfter !== 'sync' || !logged) return
    const what = describe(publication)
    if (lsn > frames.durableLsn) throw this.violation('I15', `${what} of frame ${lsn} came before that was durable`)
    // What needs no acknowledgement is settled when it is taken, and may be gone when the answer comes.
    if (settledLsn > 0 || isOnPlatter(publication.content)) return
    throw this.violation('I15', `${what} came, and is not on the platter`)
  }

  private checkRivals(consumer: ModelConsumer): void {
    const { queue, tag } = consumer
    const rival = queue.rivalOf(consumer)
    if (rival === null) return
    const why = queue.facts.rules.singleActive ? 'is the active one' : 'is of a higher priority and can take more'
    throw this.violation('I11', `${tag} got a message of ${queue.name} where ${rival.tag} ${why}`)
  }

  private checkRefusal({ publication, sequence, isRefused }: OpenPublish): void {
    if (!isRefused) throw this.violation('I9', `${describe(publication)} is refused, and there was room`)
    this.checkReturned(publication, sequence, 'the refusal')
    publication.outcome = 'refused'
  }

  private checkReturned(publication: Publication, sequence: number, what: string): void {
    if (!this.model.expected.some((item) => item.type === 'returned' && item.sequence === sequence)) return
    throw this.violation('order', `${what} of ${describe(publication)} came before its return`)
  }

  private checkConfirm(open: OpenPublish): void {
    const { publication, entries, sequence, isRefused } = open
    if (isRefused) throw this.violation('I9', `${describe(publication)} is confirmed, and a queue had no room for it`)
    const what = `the confirm of ${describe(publication)} (number ${sequence})`
    this.checkReturned(publication, sequence, 'the confirm')
    publication.outcome = 'confirmed'
    if (entries.length === 0) return
    const { frames, isStored } = this.witness.parts
    this.checkSafe(Math.max(...entries.map((entry) => entry.lsn)), what)
    // A confirm may come late: then the message may be gone again, and durably so.
    if (entries.every((entry) => entry.settledLsn > 0 && entry.settledLsn <= frames.durableLsn)) return
    if (entries.every((entry) => !this.reference.topology.queues.has(entry.queue))) return
    if (!isStored(publication.content)) throw this.violation('I9', `${what} came, and it is not on the disk`)
  }

  private note(text: string): void {
    this.witness.parts.trace.add(`${this.model.name} ${text} @${this.witness.parts.frames.openLsn}`)
  }

  private violation(invariant: string, text: string): Violation {
    return this.witness.parts.trace.violated(new Violation(invariant, `on channel ${this.model.name}, ${text}`))
  }
}

export function describe(publication: Publication): string {
  return `#${publication.id}`
}

function describeCommand(command: Command): string {
  const fields = Object.entries(command)
    .filter(([name, value]) => name !== 'type' && value !== false && value !== '')
    .map(([name, value]) => (value instanceof Map ? (value.size === 0 ? '' : `${name}=…`) : `${name}=${String(value)}`))
    .filter((text) => text !== '')
  return [command.type, ...fields].join(' ')
}

function describeReply(reply: Reply): string {
  if (reply.type === 'basic.get-ok') return `${reply.type} ${reply.deliveryTag} (${reply.messageCount} left)`
  if (reply.type === 'queue.declare-ok') return `${reply.type} ${reply.queue} (${reply.messageCount})`
  return reply.type
}

/** A seeded client of a history of letters: it publishes, takes, acknowledges and rejects at random. */
import type { Prng } from '../../lib/prng.ts'
import type { Channel, ChannelEvents, Session, SessionEvents } from '../../model/channel.ts'
import type { Reply } from '../../model/command.ts'
import type { BrokerError } from '../../model/errors.ts'
import { emptyTable, type FieldTable, toTable } from '../../model/field-table.ts'
import type { Clock } from '../../platform/clock.ts'
import { delayExchange, type LetterQueue, type LetterWishes, noWishes } from './letter.ts'
import type { LetterPlan } from './letter-plan.ts'
import type { Letters } from './letters.ts'
import { pick } from './plan.ts'

const heldMax = 40

/** Whether a session may publish. */
export class Pressure implements SessionEvents {
  isBlocked = false
  isThrottled = false

  blocked(): void {
    this.isBlocked = true
  }

  unblocked(): void {
    this.isBlocked = false
  }

  throttled(): void {
    this.isThrottled = true
  }

  resumed(): void {
    this.isThrottled = false
  }

  closed(): void {}
}

export class LetterClient implements ChannelEvents {
  stepsLeft: number
  private readonly session: Session
  private readonly pressure: Pressure
  private readonly letters: Letters
  private readonly plan: LetterPlan
  private readonly prng: Prng
  private readonly clock: Clock
  private channel!: Channel
  private tags: number[] = []
  /** Settled by a transaction that is under way; null: the channel has none. */
  private unitTags: number[] | null = null
  private consumerCount = 0
  private readonly noAckTags = new Set<string>()
  private isStopped = false

  constructor(session: Session, pressure: Pressure, letters: Letters, plan: LetterPlan, prng: Prng, clock: Clock) {
    this.session = session
    this.pressure = pressure
    this.letters = letters
    this.plan = plan
    this.prng = prng
    this.clock = clock
    this.stepsLeft = plan.steps
  }

  start(): void {
    this.openChannel()
    this.later()
  }

  stop(): void {
    this.isStopped = true
  }

  private openChannel(): void {
    this.tags = []
    this.consumerCount = 0
    this.channel = this.session.openChannel(this)
    const { transactionChance } = this.plan.features
    this.unitTags = transactionChance > 0 && this.prng.chance(transactionChance) ? [] : null
    this.channel.execute(0, { type: this.unitTags === null ? 'confirm.select' : 'tx.select' })
    declareAll(this.channel, this.plan)
  }

  private later(): void {
    const { prng, plan } = this
    const delayMs = prng.chance(plan.idleChance) ? prng.below(2_000) : prng.next() * plan.thinkMsMax
    this.clock.setTimer(delayMs, () => {
      if (this.isStopped || this.stepsLeft-- <= 0) return
      this.step()
      this.later()
    })
  }

  private step(): void {
    const { prng, plan, channel } = this
    if (this.unitTags !== null && prng.chance(0.25)) this.endUnit()
    const choice = prng.below(100)
    if (choice < 40) this.publish()
    else if (choice < 70) this.settle()
    else if (choice < 80) {
      if (this.tags.length < heldMax) {
        channel.execute(0, { type: 'basic.get', queue: pick(prng, this.plan.queues).name, noAck: false })
      }
    } else if (choice < 92) this.consume()
    else if (choice < 95 && this.consumerCount > 0) {
      channel.execute(0, { type: 'basic.cancel', consumerTag: `c${1 + prng.below(this.consumerCount)}` })
    } else if (choice < 98) {
      channel.close()
      this.openChannel()
    } else if (plan.hardships.emptyChance > 0 && prng.chance(plan.hardships.emptyChance)) this.empty()
  }

  private endUnit(): void {
    const isCommit = this.prng.chance(0.8)
    this.channel.execute(0, { type: isCommit ? 'tx.commit' : 'tx.rollback' })
    if (!isCommit) this.tags.push(...(this.unitTags ?? []))
    this.unitTags = []
  }

  private empty(): void {
    const { prng, channel } = this
    const queue = pick(prng, this.plan.queues)
    if (prng.chance(0.6)) channel.execute(0, { type: 'queue.purge', queue: queue.name })
    else {
      // Nobody can do anything in between.
      channel.execute(0, { type: 'queue.delete', queue: queue.name, ifUnused: false, ifEmpty: false })
      declare(channel, queue)
      bindDelayed(channel, queue, this.plan)
    }
  }

  private publish(): void {
    const { prng, plan } = this
    if (this.pressure.isBlocked || this.pressure.isThrottled) return
    // Where a queue refuses, a transaction would be refused.
    const isOpen = ({ rules }: LetterQueue): boolean => this.unitTags === null || rules.overflow === 'drop-head'
    const queues = plan.queues.filter(isOpen)
    if (queues.length === 0) return
    const queue = pick(prng, queues).name
    for (let count = prng.chance(0.3) ? 1 + prng.below(12) : 1; count > 0; count--) {
      const key = prng.chance(0.8) ? `k${prng.below(plan.keys)}` : null
      const target = prng.chance(0.7) ? queue : pick(prng, queues).name
      const bytes = prng.below(plan.bodyBytesMax + 1)
      const expirationMs = pick(prng, plan.expirationsMs)
      this.channel.publish(this.letters.make(target, key, expirationMs, bytes, this.wishes()), false)
    }
  }

  private wishes(): LetterWishes {
    const { prng } = this
    const { delaysMs, transientChance } = this.plan.hardships
    if (delaysMs.length === 0) return noWishes
    const wishes = { delayMs: pick(prng, delaysMs), priority: prng.below(4), isTransient: prng.chance(transientChance) }
    const { keptBackMs } = this.plan.features
    return { ...wishes, keptBackMs: keptBackMs.length === 0 ? 0 : pick(prng, keptBackMs) }
  }

  private settle(): void {
    const { prng, plan, channel } = this
    if (this.tags.length === 0) return
    const tag = pick(prng, this.tags)
    const isMultiple = prng.chance(0.3)
    const isSettled = (other: number): boolean => (isMultiple ? other <= tag : other === tag)
    this.unitTags?.push(...this.tags.filter((other) => isSettled(other)))
    this.tags = this.tags.filter((other) => !isSettled(other))
    if (prng.chance(plan.rejectChance)) channel.reject(tag, isMultiple, false)
    else if (prng.chance(plan.features.requeueChance)) channel.reject(tag, isMultiple, true)
    else channel.ack(tag, isMultiple)
  }

  private consume(): void {
    const { prng, plan, channel } = this
    if (this.consumerCount >= 3) return
    const prefetchCount = pick(prng, [1, 3, 20])
    channel.execute(0, { type: 'basic.qos', prefetchSize: 0, prefetchCount, global: false })
    const noAck = prng.chance(plan.noAckChance)
    const consumerTag = `c${++this.consumerCount}`
    const common = { exclusive: false, arguments: emptyTable }
    channel.execute(0, { type: 'basic.consume', queue: pick(prng, plan.queues).name, consumerTag, noAck, ...common })
    if (noAck) this.noAckTags.add(consumerTag)
    else this.noAckTags.delete(consumerTag)
  }

  replied(_id: number, reply: Reply): void {
    if (reply.type === 'basic.get-ok') this.tags.push(reply.deliveryTag)
  }

  delivered(consumerTag: string, deliveryTag: number): void {
    if (!this.noAckTags.has(consumerTag)) this.tags.push(deliveryTag)
  }

  confirmed(): void {}
  returned(): void {}
  cancelled(): void {}

  failed(_id: number, error: BrokerError): void {
    throw this.letters.violated('model', `a client was refused: ${error.message}`)
  }

  flush(): void {}
}

export function declare(channel: Channel, queue: LetterQueue): void {
  const command = { passive: false, durable: true, exclusive: false, autoDelete: false }
  channel.execute(0, { type: 'queue.declare', queue: queue.name, ...command, arguments: argumentsOf(queue) })
}

/** What every client of a history wants to be there. */
export function declareAll(channel: Channel, plan: LetterPlan): void {
  if (plan.features.keptBackMs.length > 0) {
    const command = { exchange: delayExchange, kind: 'x-delayed-message', passive: false, durable: true }
    const table = toTable({ 'x-delayed-type': 'direct' })
    channel.execute(0, { type: 'exchange.declare', ...command, autoDelete: false, internal: false, arguments: table })
  }
  for (const queue of plan.queues) {
    declare(channel, queue)
    bindDelayed(channel, queue, plan)
  }
}

function bindDelayed(channel: Channel, { name }: LetterQueue, { features }: LetterPlan): void {
  if (features.keptBackMs.length === 0) return
  const binding = { exchange: delayExchange, destination: name, routingKey: name, arguments: emptyTable }
  channel.execute(0, { type: 'queue.bind', ...binding })
}

export function argumentsOf({ ttlMs, keyed, maxPriority, deadTo, rules }: LetterQueue): FieldTable {
  const table: Record<string, string | number> = {}
  if (ttlMs < Number.POSITIVE_INFINITY) table['x-message-ttl'] = ttlMs
  if (maxPriority > 0) table['x-max-priority'] = maxPriority
  if (keyed > 0) table['x-leveret-keyed'] = keyed
  const { messagesMax, bytesMax, overflow, deliveryLimit } = rules
  if (messagesMax < Number.POSITIVE_INFINITY) table['x-max-length'] = messagesMax
  if (bytesMax < Number.POSITIVE_INFINITY) table['x-max-length-bytes'] = bytesMax
  if (overflow !== 'drop-head') table['x-overflow'] = overflow
  if (deliveryLimit !== null) {
    table['x-queue-type'] = 'quorum'
    table['x-delivery-limit'] = deliveryLimit
  }
  if (deadTo === 'nowhere') table['x-dead-letter-exchange'] = 'nowhere'
  else if (deadTo !== null) {
    table['x-dead-letter-exchange'] = ''
    table['x-dead-letter-routing-key'] = deadTo
  }
  return toTable(table)
}

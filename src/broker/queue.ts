/**
 * A queue: ready entries in order, consumers in turn. It decides who gets what; its index remembers.
 *
 * A message arrives with `accept`, which only marks the queue; `dispatch` at the end of the turn hands out what consumers
 * have credit for. What stays behind is copied out of the socket's chunk, or is read again when its turn comes.
 */
import type { BodyStore } from '../model/bodies.ts'
import { type QueueCounters, zeroCounters } from '../model/command.ts'
import type { DeliverAfter, Durability } from '../model/durability.ts'
import type { FieldTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { QueueFlow } from '../model/queue-flow.ts'
import type { Clock } from '../platform/clock.ts'
import type { Entry } from '../store/entry.ts'
import type { QueueIndex } from '../store/queue-index.ts'
import type { IndexOwner } from '../store/queue-index-backing.ts'
import type { Store } from '../store/store.ts'
import { type QueueTraits, queueTraits } from './arguments.ts'
import { Cancellations, type CancellingQueue } from './cancellations.ts'
import { ConsumerTurns, type Subscriber } from './consumer-turns.ts'
import type { DeliveryCounts } from './delivery-counts.ts'
import type { DepartureReason } from './departure-reason.ts'
import type { ExpiringQueue, Expiry } from './expiry.ts'
import { Gathering, type Gathers } from './gathering.ts'
import type { Grants } from './grants.ts'
import { KeyClock } from './key-clock.ts'
import { Lease } from './lease.ts'
import { LengthLimit } from './length-limit.ts'
import { delayMs, expirationMs, keyHashOf } from './message-check.ts'
import { ParkedEntries, type ParkedHeaders } from './parked-entries.ts'
import type { Pauses } from './pauses.ts'
import { QueueDelays } from './queue-delays.ts'
import { QueueExits, type QueueReceipts } from './queue-exits.ts'
import { type MeteredQueue, type MeteredQueues, QueueMeter } from './queue-meter.ts'
import type { Tick, TickedQueue } from './tick.ts'
import type { Death } from './x-death.ts'

/** What queues need of the broker they belong to. */
export interface QueueParts {
  readonly tick: Tick
  readonly expiry: Expiry
  /** Ends queues that nobody uses. */
  readonly leases: Expiry
  readonly clock: Clock
  /** What is promised of persistent messages in durable queues. */
  readonly durability: Durability
  readonly deliverAfter: DeliverAfter
  /** Where large bodies are. */
  readonly bodies: BodyStore | null
  /** Gives a message that a queue got rid of to its dead-letter exchange. */
  readonly publishDead: (death: Death) => void
  /** Puts the message of an entry that was hidden where it is to go. */
  readonly publishDue: (queue: Queue, entry: Entry) => void
  /** Where parents go that have their answers. */
  readonly gatherings: {
    isThere(name: string): boolean
    release(queue: Queue, parent: Message, to: string): void
  }
  readonly deleteQueue: (queue: Queue) => void
  readonly deliveryCounts: DeliveryCounts
  readonly pauses: Pauses
  readonly metered: MeteredQueues
  readonly notes: Store['notes']
  /** Tells senders that asked. */
  readonly receipts: QueueReceipts<Queue>
}

/** Whoever alone may use an exclusive queue. */
export interface QueueOwner {
  readonly exclusiveQueues: Set<Queue>
  /** What its user may do; null for the host process, which may do everything. */
  readonly grants: Grants | null
}

export class Queue implements TickedQueue, IndexOwner, ExpiringQueue, CancellingQueue, MeteredQueue {
  readonly kindOfThing = 'queue' as const
  readonly id: number
  readonly name: string
  readonly durable: boolean
  readonly durability: Durability
  readonly deliverAfter: DeliverAfter
  readonly autoDelete: boolean
  readonly arguments: FieldTable
  /** The session that alone may use it; null if it is not exclusive. */
  owner: QueueOwner | null = null
  readonly index: QueueIndex
  readonly consumers: ConsumerTurns
  readonly counters: QueueCounters = { ...zeroCounters }
  readonly meter: QueueMeter
  unackedCount = 0
  /** Nothing is handed out; everything else goes on. */
  isPaused: boolean
  wakesAtMs: number = Number.POSITIVE_INFINITY
  deleted = false
  /** It keeps what that exchange delays; null: it is a queue like any other. */
  readonly delaysFor: string | null
  private readonly exits: QueueExits<Queue>
  private readonly delays: QueueDelays
  /** Whether receivers are told how often a message came back. */
  readonly countsDeliveries: boolean
  /** How often a message may come back; infinity: any number of times. */
  private deliveryLimit = Number.POSITIVE_INFINITY
  /** How long a consumer may hold a message, in ms; null: as long as the broker says. */
  consumerTimeoutMs: number | null = null
  /** Null: any number may wait. */
  private limit: LengthLimit | null = null
  /** Null: it stays, used or not. */
  private lease: Lease | null = null
  routeMark = 0
  /** In the tick's list of queues to dispatch. */
  marked = false
  private readonly tick: Tick
  private readonly expiry: Expiry
  /** Null: nothing was ever removed by its id. */
  private cancels: Cancellations | null = null
  private readonly bodies: BodyStore | null
  private readonly parts: QueueParts
  private messageTtlMs = Number.POSITIVE_INFINITY
  readonly isKeyed: boolean
  private readonly parked: ParkedEntries
  /** Null: no key waits for a time. */
  private readonly keyClock: KeyClock | null
  /** Null: it gathers no answers. */
  private readonly gathering: Gathering | null

  constructor(
    parts: QueueParts,
    id: number,
    name: string,
    durable: boolean,
    autoDelete: boolean,
    table: FieldTable,
    index: QueueIndex,
  ) {
    const { durability, deliverAfter } = parts
    this.parts = parts
    this.tick = parts.tick
    this.expiry = parts.expiry
    this.id = id
    this.name = name
    this.durable = durable
    this.durability = durable ? durability : 'none'
    this.deliverAfter = durable ? deliverAfter : 'accept'
    this.autoDelete = autoDelete
    this.arguments = table
    this.index = index
    this.meter = new QueueMeter(parts.tick, parts.metered)
    index.owner = this
    this.bodies = parts.bodies
    const traits = queueTraits(table, null)
    const { maxPriority, keyConcurrency, keyRate } = traits
    this.consumers = new ConsumerTurns(traits.singleActive)
    this.delaysFor = traits.delaysFor
    this.countsDeliveries = traits.countsDeliveries
    index.usePriorities(maxPriority)
    this.isKeyed = keyConcurrency > 0
    if (this.isKeyed) index.useKeys(keyConcurrency, keyRate)
    this.keyClock = keyRate === null ? null : new KeyClock(parts.clock, parts.leases, index, () => this.wake())
    if (this.deliverAfter === 'sync') index.deliverAfterSync()
    // Not the time of the turn: that begins with who asks for it first, and messages count theirs from it.
    this.isPaused = parts.pauses.has(this, parts.clock.realtimeMs())
    this.parked = new ParkedEntries(parts.notes, id)
    this.delays = new QueueDelays(this.tick, this.expiry, this, this.parked, (entry) => this.appear(entry))
    this.exits = new QueueExits<Queue>(this, this.tick, parts.publishDead, parts.receipts)
    this.gathering = traits.gathers === null ? null : this.gatheringOf(traits.gathers)
    this.configure(traits)
    // What recovery brought may have expired meanwhile, or be due.
    const hasTimed = index.readyCount > 0 && index.nextExpiryMs < Number.POSITIVE_INFINITY
    const mayBeComplete = this.gathering !== null && index.readyCount > 0
    if (hasTimed || index.delayedCount > 0 || mayBeComplete) this.tick.markQueue(this)
  }

  get readyCount(): number {
    return this.index.readyCount
  }

  /** How messages go through it; null: none came yet, or it is not measured. */
  flow(): QueueFlow | null {
    return this.meter.describe(this, this.parts.clock.monotonicMs())
  }

  /** How many messages it may hold; infinity: any number. */
  get lengthMax(): number {
    return this.limit === null ? Number.POSITIVE_INFINITY : this.limit.messagesMax
  }

  /** The number of the ready message that came first, be it its turn or not; 0: there is none, or the disk must be read for it. */
  oldestReady(): number {
    const { waiting } = this.index
    let oldest = 0
    for (let priority = waiting.highestPriority; priority >= 0; priority--) {
      const sequence = waiting.readyAfter(priority, 0, 1)[0]?.sequence ?? 0
      if (sequence > 0 && (oldest === 0 || sequence < oldest)) oldest = sequence
    }
    return oldest
  }

  /** Whether new messages may be refused for want of room. */
  get mayRefuse(): boolean {
    return this.limit !== null && this.limit.refuses
  }

  /** What a policy says holds from now on, beside the arguments; null: no policy does. Messages keep the time they have. */
  applyPolicy(policy: FieldTable | null): void {
    this.configure(queueTraits(this.arguments, policy))
  }

  /** Sets what may change while the queue exists. */
  private configure(traits: QueueTraits): void {
    const { deadLetterExchange, deadLetterRoutingKey, maxLength, maxBytes, overflow, expiresMs } = traits
    const { tick } = this
    this.messageTtlMs = traits.messageTtlMs
    this.deliveryLimit = traits.deliveryLimit
    this.consumerTimeoutMs = traits.consumerTimeoutMs
    this.exits.leadTo(deadLetterExchange, deadLetterRoutingKey)
    const isLimited = maxLength < Number.POSITIVE_INFINITY || maxBytes < Number.POSITIVE_INFINITY
    this.limit = isLimited ? new LengthLimit(maxLength, maxBytes, overflow) : null
    this.setLease(expiresMs)
    if (this.limit !== null && this.index.readyCount > 0) tick.markQueue(this)
  }

  private gatheringOf(gathers: Gathers): Gathering {
    const { gatherings } = this.parts
    const release = (parent: Message, to: string): void => gatherings.release(this, parent, to)
    return new Gathering(this.tick, this, gathers, (name) => gatherings.isThere(name), release)
  }

  private setLease(termMs: number): void {
    const { lease, parts } = this
    if (lease?.termMs === termMs) return
    lease?.end()
    const isLasting = termMs === Number.POSITIVE_INFINITY
    this.lease = isLasting ? null : new Lease(parts.clock, parts.leases, termMs, () => this.deleteUnused())
  }

  /** Somebody looks at the queue, or takes from it: it is in use, and what is too much in it is gone. */
  used(): void {
    this.lease?.renew()
    this.trim()
  }

  /** Somebody wants to know what is in it. */
  trim(): void {
    // Consumers are given what they can take before anything is dropped: see `dispatch`.
    if (this.limit !== null && (this.consumers.count === 0 || this.isPaused)) this.exits.dropExcess(this.limit)
  }

  /** It was deleted: nothing more comes in or out. */
  ended(): void {
    this.deleted = true
    this.meter.close()
    this.delays.clearParked()
    this.lease?.end()
    if (this.isPaused) this.parts.pauses.remove(this)
  }

  private deleteUnused(): void {
    if (this.consumers.count > 0) this.lease?.renew()
    else if (!this.deleted) this.parts.deleteQueue(this)
  }

  /** Whether it refuses so many more messages with so many bytes, as things are. */
  refuses(messages: number, bytes: number): boolean {
    const { limit, index } = this
    if (limit === null || !limit.refuses) return false
    return limit.isExceeded(index.readyCount + messages, index.readyBytes + bytes)
  }

  isFull(bodyBytes: number): boolean {
    return this.refuses(1, bodyBytes)
  }

  /** Where there is no room for one more message, consumers are given what they can take. */
  makeRoom(bodyBytes: number): void {
    const { index } = this
    if (this.consumers.count > 0 && index.readyCount > 0 && this.isFull(bodyBytes)) this.dispatch(index.readyCount)
  }

  /** A message was refused: its dead-letter exchange may get it. */
  refused(message: Message): void {
    this.counters.refused++
    if (this.limit?.overflow === 'reject-publish-dlx') this.exits.sendRefused(message)
  }

  /** Takes a message in and returns its entry. */
  accept(message: Message, logged: boolean): Entry {
    const entry = message.mayAsk
      ? this.pushAsking(message, logged)
      : this.index.push(message, logged, this.expiryOf(message))
    const { counters } = this
    counters.published++
    counters.publishedBytes += entry.bodyBytes
    if (!this.marked) this.tick.markQueue(this)
    return entry
  }

  /** Before it takes a message whose sender may want to be told; not between the parts of a record. */
  beginTelling(): void {
    this.exits.beginTelling()
  }

  tellSender(message: Message, reason: DepartureReason, isKept: boolean): void {
    this.parts.receipts.departed(this, message, reason, isKept)
  }

  /** Takes in again what was hidden: a new entry for the same message. */
  admit({ message, logged, expiresAt, keyHash, deliveryCount }: Entry): Entry {
    const entry = this.index.push(message as Message, logged, expiresAt, keyHash)
    entry.deliveryCount = deliveryCount
    if (!this.marked) this.tick.markQueue(this)
    return entry
  }

  /** Hands out at most `budget` messages; true if consumers could take more. */
  dispatch(budget: number): boolean {
    const { index, meter } = this
    meter.touch()
    let more = this.delays.count > 0 && this.delays.takeDue()
    this.gathering?.look()
    meter.see(index.nextSequence, index.firstOfLife)
    let left = budget
    let isWanted = false
    let isHandingOut = false
    this.keyClock?.advance()
    while (index.readyCount > 0 && !this.isPaused) {
      // What has expired is handed to nobody, even if it cannot be removed yet; behind the first there may be more.
      if (index.mayExpire && !this.exits.dropExpired(this.tick.nowMs - 1)) break
      if (index.readyCount === 0) break
      const consumer = this.consumers.take()
      if (consumer === null) break
      isWanted = true
      if (left-- === 0) {
        // Its turn comes when the hand-out goes on.
        this.consumers.giveBack()
        more = true
        isHandingOut = true
        break
      }
      const entry = index.takeReady()
      if (entry === null) {
        // Its message is being read: `loaded` looks again. Nobody gets a later one first.
        this.consumers.giveBack()
        isHandingOut = !index.waitsForKeys
        break
      }
      const { message } = entry
      if (message !== null && message.refers && this.isDamaged(entry)) {
        // Nobody gets it before the broker is opened anew; those behind it are not to wait.
        this.consumers.giveBack()
        index.setAside(entry)
      } else if (this.countsDeliveries && this.isSpent(entry)) {
        this.consumers.giveBack()
        this.giveUp(entry)
      } else if (this.delays.catches(entry)) this.consumers.giveBack()
      else this.handOver(entry, consumer)
    }
    // What may wait no time at all had its chance, and so had what is too much.
    if (index.mayExpire) this.watchExpiry()
    if (this.limit !== null && !isHandingOut) this.exits.dropExcess(this.limit)
    index.settleNewcomers()
    meter.see(index.nextSequence, index.firstOfLife)
    meter.turnEnded(index.readyCount)
    if (this.delays.count > 0 && this.delays.watch()) more = true
    if (isWanted) index.readAhead()
    this.keyClock?.watch()
    return more
  }

  /** From the index: messages that were waited for are there, or durable. */
  loaded(): void {
    if (this.consumers.count > 0) this.creditReturned()
  }

  /** The first ready entry, for basic.get; the caller keeps it or settles it. Its message may have to be waited for. */
  take(): Entry | undefined {
    const entry = this.takeOut()
    if (entry !== undefined) this.meter.taken(entry.sequence, 1)
    this.meter.readyChanged(this.index.readyCount)
    return entry
  }

  private takeOut(): Entry | undefined {
    this.meter.touch()
    this.meter.see(this.index.nextSequence, this.index.firstOfLife)
    this.used()
    if (this.index.mayExpire && !this.exits.dropExpired(this.tick.nowMs)) return undefined
    if (this.isPaused) return undefined
    if (this.keyClock !== null) {
      this.keyClock.advance()
      // What this takes may make its key wait, and somebody with it: that is seen to at the end of the turn.
      this.tick.markQueue(this)
    }
    for (let entry = this.index.take(); entry !== undefined; entry = this.index.take()) {
      if (this.countsDeliveries && this.isSpent(entry)) {
        this.giveUp(entry)
        continue
      }
      if (this.delays.catches(entry)) continue
      if (!this.isDamaged(entry)) {
        this.countDelivery(entry)
        // What stands at the head now may have expired behind it, and is not to be counted.
        if (this.index.mayExpire) this.exits.dropExpired(this.tick.nowMs)
        return entry
      }
      this.index.setAside(entry)
    }
    return undefined
  }

  /** Whether it is known that the body of the message cannot be read; nothing is known of one that is not in memory. */
  isDamaged({ message }: Entry): boolean {
    return message?.refers === true && this.bodies?.isDamaged(message) === true
  }

  /** The caller of `take` keeps the entry until it is settled or requeued. */
  hold(entry: Entry): void {
    this.index.held(entry)
    this.unackedCount++
  }

  /** An unacknowledged entry comes back to its place. */
  requeue(entry: Entry): void {
    this.unackedCount--
    if (this.deleted) {
      this.index.settle(entry)
      return
    }
    if (this.countsDeliveries) {
      if (entry.deliveryCount > this.deliveryLimit) {
        this.giveUp(entry)
        return
      }
      this.noteCount(entry)
    }
    this.index.requeue(entry)
    if (!this.marked) this.tick.markQueue(this)
  }

  /** The consumer that held it is gone, and nobody else may try it. */
  abandon(entry: Entry): void {
    this.unackedCount--
    if (this.deleted) {
      this.index.settle(entry)
      return
    }
    this.counters.dropped++
    this.exits.leave(entry, 'abandoned')
  }

  /**
   * An unacknowledged entry comes back to its place, and is not handed out before so long; those of its key wait for it. Its next
   * receiver gets the headers.
   */
  park(entry: Entry, delayMs: number, headers: ParkedHeaders): void {
    this.unackedCount--
    if (this.deleted) {
      this.index.settle(entry)
      return
    }
    this.delays.park(entry, delayMs, headers)
  }

  /** Hidden until they are due, or until they may be handed out again. */
  get delayedCount(): number {
    return this.delays.count
  }

  /** How often the entry was handed out, as its receiver is told; 0: it is not told. */
  countOf(entry: Entry): number {
    return this.countsDeliveries ? entry.deliveryCount : 0
  }

  /** Whether receivers of what was handed out before may be told more than the message says. */
  get tellsMore(): boolean {
    return this.countsDeliveries || this.parked.isUsed
  }

  /** What the receiver of an entry that came back is told beside what the message says; null: nothing. */
  toldOf(entry: Entry): FieldTable | null {
    return this.parked.headersOf(entry, this.tick.nowMs)
  }

  /** Whether it was handed out too often before this life; also if it came with a count: a checkpoint's may be older. */
  private isSpent(entry: Entry): boolean {
    return this.parts.deliveryCounts.recall(this.id, entry, this.tick.nowMs) > this.deliveryLimit
  }

  private noteCount(entry: Entry): void {
    this.parts.deliveryCounts.remember(this.id, entry, this.tick.nowMs)
    this.tick.schedule()
  }

  private giveUp(entry: Entry): void {
    this.counters.dropped++
    this.exits.leave(entry, 'delivery_limit')
  }

  /** An entry that a consumer held is done with. `answersItself`: that consumer tells the sender by itself. */
  settleUnacked(entry: Entry, answersItself: boolean): void {
    this.unackedCount--
    if (answersItself || !this.exits.tellsSenders) this.settle(entry)
    else this.settleAndTell(entry)
  }

  /** Somebody acknowledged it who knows nothing of receipts. */
  private settleAndTell(entry: Entry): void {
    const { message } = entry
    if (message !== null && !message.mayTell) return this.settle(entry)
    this.counters.settled++
    this.counters.settledBytes += entry.bodyBytes
    this.exits.leave(entry, 'acknowledged')
  }

  /** A consumer does not want what it held, and nobody else shall have it. */
  reject(entry: Entry): void {
    this.unackedCount--
    this.counters.settled++
    this.counters.settledBytes += entry.bodyBytes
    this.exits.leave(entry, 'rejected')
  }

  /** Messages that are removed by their id. */
  get cancellations(): Cancellations {
    this.cancels ??= new Cancellations(this.parts.clock, this.tick, this)
    return this.cancels
  }

  /** Deliveries that were given back for later: they wait, too. */
  get parkedEntries(): readonly Entry[] {
    return this.delays.parkedEntries()
  }

  /** Takes out what waits; false if it is not there any more. */
  withdraw(entry: Entry): boolean {
    return this.delays.withdraw(entry) || this.index.withdraw(entry)
  }

  /** A message that waited is being removed by its id: in the frame that is open. */
  cancelled(message: Message): void {
    if (message.mayTell) this.tellSender(message, 'cancelled', false)
  }

  /** Hands out nothing until it goes on; what it must remember is in the open frame. Throws RESOURCE_ERROR. */
  pause(paused: boolean): void {
    const { tick, parts } = this
    if (paused === this.isPaused) return
    if (paused) parts.pauses.add(this, tick.nowMs)
    else parts.pauses.remove(this)
    this.isPaused = paused
    // The note must be written although nothing else happens.
    tick.schedule()
    if (!paused && this.index.readyCount > 0) tick.markQueue(this)
  }

  /** From the timer: the first message has expired, or something is due. */
  wake(): void {
    if (!this.marked && !this.deleted) this.tick.markQueue(this)
  }

  /** Removes every ready and hidden entry and returns how many there were. */
  purge(): number {
    this.meter.touch()
    const count = this.index.purge() + this.delays.clearParked()
    this.meter.readyChanged(0)
    // The record must be written although nothing else happens.
    if (count > 0) this.tick.schedule()
    return count
  }

  /** Somebody is the only consumer, or wants to be and is not, or cannot be. */
  refusesConsumer(exclusive: boolean): boolean {
    const { consumers } = this
    return consumers.hasExclusive || (exclusive && (consumers.count > 0 || consumers.isSingle))
  }

  addConsumer(consumer: Subscriber): void {
    this.consumers.add(consumer)
    this.meter.consumerAdded(consumer)
    if (this.index.readyCount > 0) this.tick.markQueue(this)
  }

  removeConsumer(consumer: Subscriber): void {
    if (!this.consumers.remove(consumer)) return
    this.meter.consumerRemoved(consumer)
    // Another may be the active one now.
    if (this.index.readyCount > 0) this.tick.markQueue(this)
    if (this.consumers.count === 0) this.lease?.renew()
  }

  /** A consumer can take more: look again at the end of the turn. */
  creditReturned(): void {
    if (!this.marked && this.index.readyCount > 0) this.tick.markQueue(this)
  }

  /** When the message expires here, in ms since 1970; 0 = never. */
  private expiryOf(message: Message): number {
    let ttlMs = this.messageTtlMs
    if (message.expires) ttlMs = Math.min(ttlMs, expirationMs(message))
    return ttlMs === Number.POSITIVE_INFINITY ? 0 : Math.max(1, this.tick.nowMs + ttlMs)
  }

  /** Takes in what an exchange delays, hidden for so long. */
  hide(message: Message, logged: boolean, hiddenMs: number): Entry {
    const { nowMs } = this.tick
    this.meter.hid()
    const entry = this.index.pushDelayed(message, logged, Math.ceil(nowMs + hiddenMs), 0, 0, nowMs)
    if (!this.marked) this.tick.markQueue(this)
    return entry
  }

  /** As `accept`, for a message whose headers may name a key or a delay; see Message.mayAsk. */
  private pushAsking(message: Message, logged: boolean): Entry {
    const keyHash = this.isKeyed ? keyHashOf(message) : 0
    const hiddenMs = delayMs(message)
    if (hiddenMs === 0) return this.index.push(message, logged, this.expiryOf(message), keyHash)
    const { nowMs } = this.tick
    this.meter.hid()
    const dueAt = Math.ceil(nowMs + hiddenMs)
    const expiresAt = this.expiryOf(message)
    return this.index.pushDelayed(message, logged, dueAt, expiresAt === 0 ? 0 : expiresAt + hiddenMs, keyHash, nowMs)
  }

  /** What was hidden and is due is published anew. */
  private appear(entry: Entry): void {
    if (!this.deleted && this.cancels?.takes(entry) !== true) this.parts.publishDue(this, entry)
    this.index.settle(entry)
    this.tick.schedule()
  }

  private watchExpiry(): void {
    if (!this.exits.dropExpired(this.tick.nowMs)) return
    const nextMs = this.index.nextExpiryMs
    if (nextMs < Number.POSITIVE_INFINITY) this.expiry.watch(this, nextMs)
  }

  private handOver(entry: Entry, consumer: Subscriber): void {
    const redelivered = this.countDelivery(entry)
    const { message } = entry
    if (message !== null && message.mayTell) this.parts.receipts.delivered(this, message)
    if (consumer.noAck) {
      if (!redelivered && (entry.sequence & this.meter.sampleMask) === 0) this.takeSample(entry)
      this.settle(entry)
      consumer.take(entry, redelivered)
      return
    }
    this.unackedCount++
    this.index.hold(entry)
    consumer.take(entry, redelivered)
    this.index.given(entry)
  }

  private takeSample({ sequence }: Entry): void {
    this.meter.taken(sequence, this.meter.sampled())
  }

  private countDelivery(entry: Entry): boolean {
    const { counters } = this
    if (entry.deliveryCount++ > 0) {
      counters.redelivered++
      if (this.countsDeliveries) this.noteCount(entry)
      return true
    }
    counters.delivered++
    counters.deliveredBytes += entry.bodyBytes
    return false
  }

  settle(entry: Entry): void {
    if (entry.deliveryCount > 1 && this.parked.isUsed) this.parked.forget(entry)
    this.counters.settled++
    this.counters.settledBytes += entry.bodyBytes
    this.index.settle(entry)
  }
}

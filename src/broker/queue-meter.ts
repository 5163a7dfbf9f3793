/**
 * Measures how messages go through one queue: when they come, when somebody begins with them, and when they are done with. Times are
 * those of turns, and what is done is done once in a turn: what is counted for each message is counted anyhow. What is not known of a
 * message, because it was there before the broker, is not counted.
 *
 * How many wait is known to the queue (ready) and to its consumers (handed out beyond what they work on). `touch` comes before any
 * of that is seen to have changed, so that how long it was so is summed up.
 */
import { limits } from '../model/limits.ts'
import type { QueueFlow } from '../model/queue-flow.ts'
import { FlowSums } from './flow-sums.ts'
import { TimeMarks } from './time-marks.ts'

/** How many queues are measured, of all that a broker has. */
export class MeteredQueues {
  count = 0
}

interface TurnClock {
  readonly monotonicMs: number
}

/** A consumer, as far as its queue's figures go. */
export interface MeteredConsumer {
  readonly noAck: boolean
  /** How many messages it works on at once; infinity: as many as it is handed. */
  readonly concurrency: number
  /** It said so itself. */
  readonly saysConcurrency: boolean
  /** It is handed more than that. */
  readonly holdsAhead: boolean
}

interface SummedUp {
  sumUp(): void
}

/** What a queue knows of itself that its figures need. */
export interface MeteredQueue {
  readonly readyCount: number
  readonly lengthMax: number
  readonly isKeyed: boolean
  readonly counters: { readonly redelivered: number }
  readonly consumers: { readonly count: number; readonly isSingle: boolean }
  /** The number of the oldest ready message; 0: there is none, or it is not known. */
  oldestReady(): number
}

/** So many samples of deliveries are taken in such a time; of more every second one is left out, then every second of those. */
const samplesPerSpell = 128
const spellMs = 100
const sampleMaskMax = 65_535
/** Small integers are compared for each message. */
const turnMax = 0x3fff_ffff

export class QueueMeter {
  readonly clock: TurnClock
  /** When it was touched last, and a number for that moment. */
  nowMs = -1
  turn = 0
  /** With consumers: worked on, and not yet. */
  working = 0
  unstarted = 0
  /** Of deliveries those are followed whose tags have none of these bits. */
  sampleMask = 0
  private readonly metered: MeteredQueues
  /** Null: nothing came yet, or too many others are measured. */
  private sums: FlowSums | null = null
  /** Null: nothing ever stayed after its turn. */
  private marks: TimeMarks | null = null
  /** As many were ready since it was touched last. */
  private ready = 0
  /** Messages with that number or a greater one have not been seen; the first that came in this turn. */
  private unseen = 0
  private firstNew = Number.POSITIVE_INFINITY
  /** Numbers that are given to what is hidden. */
  private hiddenNew = 0
  /** Consumers with something to be summed up when the turn is over. */
  private readonly ended: SummedUp[] = []
  private spellEndsMs = 0
  private spellSamples = 0
  private servers = 0
  /** Consumers that did not say how many messages they work on, and those of whom nothing is known. */
  private guessed = 0
  private unbounded = 0
  private unacknowledging = 0
  private holdingAhead = 0

  constructor(clock: TurnClock, metered: MeteredQueues) {
    this.clock = clock
    this.metered = metered
  }

  /** Something is about to change, or has changed in this turn. */
  touch(): void {
    const nowMs = this.clock.monotonicMs
    if (nowMs > this.nowMs) this.goOn(nowMs)
  }

  /** A message was taken in that is hidden: it has come when it is due, under another number. */
  hid(): void {
    this.hiddenNew++
  }

  /** What came has smaller numbers, and what was there before the broker is below `firstSequence`; `touch` came first. */
  see(nextSequence: number, firstSequence: number): void {
    if (nextSequence === this.unseen) return
    if (this.unseen === 0) this.unseen = firstSequence
    const count = nextSequence - this.unseen - this.hiddenNew
    this.hiddenNew = 0
    if (count > 0) {
      if (this.firstNew === Number.POSITIVE_INFINITY) this.firstNew = this.unseen
      this.sums ??= this.makeSums()
      this.sums?.arrived(count, this.nowMs)
    }
    this.unseen = nextSequence
  }

  /** So many are ready from now on; what could be handed out in this turn was. */
  turnEnded(ready: number): void {
    this.ready = ready
    if (ready === 0) this.marks?.clear()
    else if (this.firstNew !== Number.POSITIVE_INFINITY) {
      this.marks ??= new TimeMarks()
      this.marks.add(this.firstNew, this.nowMs)
    }
    this.firstNew = Number.POSITIVE_INFINITY
  }

  /** As many are ready from now on, for another reason. */
  readyChanged(ready: number): void {
    this.ready = ready
  }

  /** When that one became ready, in ms; -1: nobody knows. */
  cameAt(sequence: number): number {
    if (sequence >= this.firstNew) return this.nowMs
    return this.marks === null ? -1 : this.marks.timeOf(sequence)
  }

  /** It is taken by somebody who does not tell when he is done. */
  taken(sequence: number, count: number): void {
    this.waited(this.cameAt(sequence), count)
  }

  /** Somebody begins with a message that became ready at that time (-1: nobody knows), and stands for so many. */
  waited(cameMs: number, count: number): void {
    if (cameMs >= 0) this.sums?.wait.add((this.nowMs - cameMs) / 1000, count)
  }

  /** The consumer settled something in this turn that is followed, the first time: see ConsumerMeter. */
  hasEnded(consumer: SummedUp): void {
    this.ended.push(consumer)
  }

  worked(ms: number, count: number): void {
    this.sums?.processing.add(ms / 1000, count)
  }

  /** One more delivery is followed. Returns for how many it stands. */
  sampled(): number {
    const count = this.sampleMask + 1
    if (++this.spellSamples % samplesPerSpell === 0 && this.sampleMask < sampleMaskMax) {
      this.sampleMask = this.sampleMask * 2 + 1
    }
    return count
  }

  consumerAdded(consumer: MeteredConsumer): void {
    this.countConsumer(consumer, 1)
  }

  consumerRemoved(consumer: MeteredConsumer): void {
    this.countConsumer(consumer, -1)
  }

  /** The queue is gone. */
  close(): void {
    if (this.sums !== null) this.metered.count--
    this.sums = null
    this.marks = null
  }

  /** `nowMs` by the clock itself: nothing may be under way. Null: nothing is measured here. */
  describe(queue: MeteredQueue, nowMs: number): QueueFlow | null {
    const { sums } = this
    if (sums === null) return null
    if (nowMs > this.nowMs) this.goOn(nowMs)
    else this.sumUp()
    const { readyCount, lengthMax, isKeyed, consumers, counters } = queue
    // Some may have been removed without a turn.
    this.ready = readyCount
    const oldest = readyCount === 0 ? 0 : queue.oldestReady()
    const oldestMs = oldest === 0 ? -1 : this.cameAt(oldest)
    const active = consumers.isSingle && consumers.count > 0 ? this.servers / consumers.count : this.servers
    return {
      atSeconds: nowMs / 1000,
      sinceSeconds: sums.sinceMs / 1000,
      arrivals: sums.arrivals,
      returns: counters.redelivered,
      gaps: sums.gaps(),
      spans: sums.spanSums(),
      wait: sums.wait.times(),
      processing: sums.processing.times(),
      waitingSeconds: sums.waitingSeconds,
      workingSeconds: sums.workingSeconds,
      waiting: readyCount + this.unstarted,
      working: this.working,
      oldestSeconds: oldestMs < 0 ? null : Math.max(0, nowMs - oldestMs) / 1000,
      servers: this.unbounded > 0 ? null : active,
      isGuessed: this.guessed > 0,
      holdingAhead: this.holdingAhead,
      unacknowledging: this.unacknowledging,
      lengthMax: lengthMax === Number.POSITIVE_INFINITY ? null : lengthMax,
      isKeyed,
    }
  }

  private goOn(nowMs: number): void {
    const { sums } = this
    if (sums !== null) {
      const seconds = (nowMs - this.nowMs) / 1000
      sums.waitingSeconds += (this.ready + this.unstarted) * seconds
      sums.workingSeconds += this.working * seconds
    }
    this.sumUp()
    this.nowMs = nowMs
    this.turn = (this.turn + 1) & turnMax
    if (nowMs >= this.spellEndsMs) this.beginSpell(nowMs)
  }

  private sumUp(): void {
    const { ended } = this
    if (ended.length === 0) return
    for (const consumer of ended) consumer.sumUp()
    ended.length = 0
  }

  private beginSpell(nowMs: number): void {
    // Half as many would be too few, or too many.
    if (this.spellSamples < samplesPerSpell / 4) this.sampleMask >>>= 1
    this.spellSamples = 0
    this.spellEndsMs = nowMs + spellMs
  }

  private makeSums(): FlowSums | null {
    const { metered } = this
    if (metered.count >= limits.meteredQueuesMax) return null
    metered.count++
    return new FlowSums(this.nowMs)
  }

  private countConsumer({ noAck, concurrency, saysConcurrency, holdsAhead }: MeteredConsumer, by: 1 | -1): void {
    if (noAck) {
      this.unacknowledging += by
      return
    }
    if (!saysConcurrency) this.guessed += by
    if (holdsAhead) this.holdingAhead += by
    if (concurrency === Number.POSITIVE_INFINITY) this.unbounded += by
    else this.servers += by * concurrency
  }
}

/**
 * Queues that go when nobody uses them for their term: one is asked for messages now and then, one has a consumer for a
 * while, all may be left alone. Whether they are there is looked up in the broker's list, which is no use of them. One in use
 * never goes; one that was unused for its term is gone.
 */
import type { Prng } from '../../lib/prng.ts'
import type { Channel, ChannelEvents, Session } from '../../model/channel.ts'
import type { Reply } from '../../model/command.ts'
import type { BrokerError } from '../../model/errors.ts'
import { emptyTable, toTable } from '../../model/field-table.ts'
import type { Clock } from '../../platform/clock.ts'
import { type Trace, Violation } from './trace.ts'

/** The broker's timer and the end of its turn. */
const graceMs = 5

class Lodging {
  readonly name: string
  readonly termMs: number
  isThere = false
  hasConsumer = false
  /** On the monotonic clock. */
  usedMs = 0

  constructor(name: string, termMs: number) {
    this.name = name
    this.termMs = termMs
  }

  isInUse(nowMs: number): boolean {
    return this.hasConsumer || nowMs - this.usedMs < this.termMs
  }

  mustBeGone(nowMs: number): boolean {
    return !this.hasConsumer && nowMs - this.usedMs > this.termMs + graceMs
  }
}

/** What must be so of a queue in the list that was asked for. */
interface Guess {
  readonly lodging: Lodging
  readonly mustBeThere: boolean
  readonly mustBeGone: boolean
  readonly usedMs: number
  readonly text: string
}

export class Lodger implements ChannelEvents {
  private readonly lodgings: readonly Lodging[]
  private readonly prng: Prng
  private readonly clock: Clock
  private readonly trace: Trace
  private readonly channel: Channel
  private nextId = 1
  private isStopped = false
  private readonly asked = new Map<number, readonly Guess[]>()

  constructor(session: Session, termsMs: readonly number[], prng: Prng, clock: Clock, trace: Trace) {
    this.lodgings = termsMs.map((termMs, number) => new Lodging(`lease-${number}`, termMs))
    this.prng = prng
    this.clock = clock
    this.trace = trace
    this.channel = session.openChannel(this)
  }

  start(): void {
    // What an earlier life left goes by itself; these begin with a term of their own.
    for (const lodging of this.lodgings) this.declare(lodging)
    this.later()
  }

  stop(): void {
    this.isStopped = true
  }

  private later(): void {
    const { prng, clock } = this
    clock.setTimer(prng.chance(0.2) ? prng.below(6_000) : prng.next() * 120, () => {
      if (this.isStopped) return
      this.step()
      this.later()
    })
  }

  private step(): void {
    const { prng, lodgings, channel } = this
    const lodging = lodgings[prng.below(lodgings.length)] as Lodging
    const nowMs = this.clock.monotonicMs()
    const choice = prng.below(10)
    // Around the end of its term nobody knows which comes first.
    const isSure = lodging.isThere && lodging.isInUse(nowMs + graceMs)
    if (choice < 5) this.ask(nowMs)
    else if (choice < 6 && (!lodging.isThere || isSure)) this.declare(lodging)
    else if (choice < 8 && isSure) {
      lodging.usedMs = nowMs
      channel.execute(this.nextId++, { type: 'basic.get', queue: lodging.name, noAck: true })
    } else if (choice === 8 && isSure && !lodging.hasConsumer) {
      lodging.hasConsumer = true
      const consumer = { consumerTag: lodging.name, noAck: true, exclusive: false, arguments: emptyTable }
      channel.execute(this.nextId++, { type: 'basic.consume', queue: lodging.name, ...consumer })
    } else if (choice === 9 && lodging.hasConsumer) {
      lodging.hasConsumer = false
      lodging.usedMs = nowMs
      channel.execute(this.nextId++, { type: 'basic.cancel', consumerTag: lodging.name })
    }
  }

  private declare(lodging: Lodging): void {
    lodging.usedMs = this.clock.monotonicMs()
    const command = { queue: lodging.name, passive: false, durable: true, exclusive: false, autoDelete: false }
    const table = toTable({ 'x-expires': lodging.termMs })
    this.channel.execute(this.nextId++, { type: 'queue.declare', ...command, arguments: table })
    lodging.isThere = true
  }

  /** The list is made now, and may be told later. */
  private ask(nowMs: number): void {
    const id = this.nextId++
    const guesses = this.lodgings.map((lodging) => ({
      lodging,
      mustBeThere: lodging.isThere && lodging.isInUse(nowMs),
      mustBeGone: lodging.mustBeGone(nowMs),
      usedMs: lodging.usedMs,
      text: `it was unused for ${(nowMs - lodging.usedMs).toFixed(1)} ms of ${lodging.termMs}`,
    }))
    this.asked.set(id, guesses)
    this.channel.execute(id, { type: 'leveret.queues' })
  }

  replied(id: number, reply: Reply): void {
    if (reply.type !== 'leveret.queues-ok' || this.isStopped) return
    const names = new Set(reply.queues.map(({ name }) => name))
    for (const guess of this.asked.get(id) ?? []) this.look(guess, names.has(guess.lodging.name))
    this.asked.delete(id)
  }

  private look({ lodging, mustBeThere, mustBeGone, usedMs, text }: Guess, isThere: boolean): void {
    if (!isThere && mustBeThere) throw this.violated(`${lodging.name} is gone; ${text}`)
    if (isThere && mustBeGone) throw this.violated(`${lodging.name} is there; ${text}`)
    if (!isThere && lodging.usedMs === usedMs) lodging.isThere = false
  }

  private violated(text: string): Violation {
    return this.trace.violated(new Violation('I17', text))
  }

  failed(_id: number, error: BrokerError): void {
    throw this.trace.violated(new Violation('model', `the lodger was refused: ${error.message}`))
  }

  cancelled(consumerTag: string): void {
    throw this.violated(`${consumerTag} went under its consumer`)
  }

  delivered(): void {}
  confirmed(): void {}
  returned(): void {}
  flush(): void {}
}

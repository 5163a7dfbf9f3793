/**
 * The way out of a bus: one channel in confirm mode that all queues share, so what is sent in order is stored in order.
 *
 * What may be under way is bounded (`highWater`). A send beyond it, or while the broker asked for a pause, waits here;
 * flush() lets it go when there is room. Nothing is published from inside an event, only from calls and from flush().
 */
import { Deque } from '../lib/deque.ts'
import type { Channel, ChannelEvents, Session } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Clock } from '../platform/clock.ts'
import { clientLimits } from './client-limits.ts'
import { ConfirmRing, type Pending } from './confirm-ring.ts'

/** A message that can only be made when it goes, because it names what is not there yet. */
export type MakeMessage = () => Message

interface Waiting {
  readonly message: Message | MakeMessage
  readonly mandatory: boolean
  readonly pending: Pending
}

const selectId = 1

export class Sender {
  private readonly clock: Clock
  private readonly session: Session
  private readonly highWater: number
  private readonly waiting = new Deque<Waiting>()
  private line: Line | null = null
  /** How many ask that everything waits. */
  private holders = 0
  private blocked = false
  private throttled = false
  private ended: Error | null = null
  private idleListeners: (() => void)[] = []

  constructor(clock: Clock, session: Session, highWater: number) {
    this.clock = clock
    this.session = session
    this.highWater = highWater
  }

  /** Publishes now or when there is room; `pending` hears how it went. A message that no queue takes is refused. */
  publish(message: Message | MakeMessage, mandatory: boolean, pending: Pending): void {
    if (this.ended !== null) return pending.refused(this.ended)
    try {
      if (this.waiting.length > 0 || !this.hasRoom()) this.waiting.push({ message, mandatory, pending })
      else this.publishNow(message, mandatory, pending)
    } catch (error) {
      // There is no channel to be had.
      pending.refused(error as Error)
    }
  }

  /** The broker is short of memory or disk. */
  setBlocked(blocked: boolean): void {
    this.blocked = blocked
    if (!blocked) this.letGoSoon()
  }

  /** The broker has more unsynced than it wants to hold. */
  setThrottled(throttled: boolean): void {
    this.throttled = throttled
    if (!throttled) this.letGoSoon()
  }

  /** Everything waits until `ready` has settled, so that order is kept around what has to be prepared. */
  holdUntil(ready: Promise<unknown>): void {
    this.holders++
    const release = (): void => {
      this.holders--
      this.letGo()
    }
    ready.then(release, release)
  }

  /** Takes back a message that still waits; false if it is on its way. */
  withdraw(pending: Pending): boolean {
    let found = false
    for (let left = this.waiting.length; left > 0; left--) {
      const item = this.waiting.shift() as Waiting
      if (item.pending === pending) found = true
      else this.waiting.push(item)
    }
    return found
  }

  /** As the promise, which is that of the pending one; the signal takes it back as long as it waits here. */
  withdrawable<T>(promise: Promise<T>, pending: Pending, signal: AbortSignal): Promise<T> {
    const abort = (): void => {
      if (this.withdraw(pending)) pending.refused(signal.reason as Error)
    }
    signal.addEventListener('abort', abort, { once: true })
    const forget = (): void => signal.removeEventListener('abort', abort)
    promise.then(forget, forget)
    return promise
  }

  /** Resolves when nothing is under way any more. */
  idle(): Promise<void> {
    if (this.isIdle()) return Promise.resolve()
    return new Promise((resolve) => {
      this.idleListeners.push(resolve)
    })
  }

  /** Nothing is sent any more; what is open is refused with the error. */
  end(error: Error): void {
    if (this.ended !== null) return
    this.ended = error
    const { line } = this
    this.line = null
    if (line !== null) line.refuseAll(error)
    this.refuseWaiting(error)
    this.tellIdle()
  }

  close(): void {
    const { line } = this
    this.end(new LeveretError('E_CLOSED', 'the bus is closed'))
    line?.channel.close()
  }

  /** For the line: the channel failed. What was under way is unknown; the next publish opens another channel. */
  lineFailed(line: Line, error: Error): void {
    if (this.line === line) this.line = null
    line.channel.close()
    const text = `the channel for sending was closed, and whether this message is stored is unknown: ${error.message}`
    line.refuseAll(new LeveretError('E_OUTCOME_UNKNOWN', text, error))
    // A broker that refuses the channel itself would refuse the next one too.
    if (!line.isSelected) this.refuseWaiting(error)
    this.letGoSoon()
  }

  /** For the line, at the end of a turn. */
  letGo(): void {
    try {
      while (this.waiting.length > 0 && this.hasRoom()) {
        const { message, mandatory, pending } = this.waiting.shift() as Waiting
        this.publishNow(message, mandatory, pending)
      }
    } catch (error) {
      this.refuseWaiting(error as Error)
    }
    if (this.idleListeners.length > 0 && this.isIdle()) this.tellIdle()
  }

  private letGoSoon(): void {
    this.clock.defer(() => this.letGo())
  }

  private hasRoom(): boolean {
    if (this.holders > 0 || this.blocked || this.throttled) return false
    this.line ??= new Line(this, this.session)
    const { line } = this
    return (
      line.isSelected &&
      !line.isFailing &&
      line.ring.size < this.highWater &&
      line.openBytes < clientLimits.highWaterBytes
    )
  }

  private publishNow(message: Message | MakeMessage, mandatory: boolean, pending: Pending): void {
    const { line } = this
    let made: Message
    try {
      made = typeof message === 'function' ? message() : message
    } catch (error) {
      return pending.refused(error as Error)
    }
    try {
      if (line?.publish(made, mandatory, pending) === true) return
    } catch (error) {
      // What the broker counts and what is counted here may differ from now on: the next one goes through a channel of its own.
      pending.refused(error as Error)
      if (line !== null) this.lineFailed(line, error as Error)
      return
    }
    this.waiting.unshift({ message: made, mandatory, pending })
  }

  private isIdle(): boolean {
    return this.waiting.length === 0 && (this.line === null || this.line.ring.size === 0)
  }

  private refuseWaiting(error: Error): void {
    for (let item = this.waiting.shift(); item !== undefined; item = this.waiting.shift()) item.pending.refused(error)
  }

  private tellIdle(): void {
    const listeners = this.idleListeners
    this.idleListeners = []
    for (const listener of listeners) listener()
  }
}

/** One channel of the sender, from its opening to its failure. */
class Line implements ChannelEvents {
  readonly channel: Channel
  readonly ring: ConfirmRing = new ConfirmRing()
  openBytes = 0
  isSelected = false
  /** The channel is closed and the event that says why is on its way. */
  isFailing = false
  private readonly sender: Sender

  constructor(sender: Sender, session: Session) {
    this.sender = sender
    this.channel = session.openChannel(this)
    this.channel.execute(selectId, { type: 'confirm.select' })
  }

  /** False: the channel has just failed, and the message was not sent. */
  publish(message: Message, mandatory: boolean, pending: Pending): boolean {
    const sequence = this.channel.publish(message, mandatory)
    if (sequence === 0) {
      this.isFailing = true
      return false
    }
    this.openBytes += pending.bytes
    this.ring.push(sequence, pending)
    return true
  }

  refuseAll(error: Error): void {
    for (let pending = this.ring.takeOldest(); pending !== null; pending = this.ring.takeOldest()) {
      pending.refused(error)
    }
    this.openBytes = 0
  }

  replied(_id: number, _reply: Reply): void {
    this.isSelected = true
  }

  confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    if (!multiple) return this.settle(this.ring.take(sequence), accepted)
    for (let pending = this.ring.takeUpTo(sequence); pending !== null; pending = this.ring.takeUpTo(sequence)) {
      this.settle(pending, accepted)
    }
  }

  returned(message: Message, _reason: 'NO_ROUTE' | 'NO_CONSUMERS'): void {
    const { messageId } = message.decodeProperties()
    const pending = messageId === undefined ? null : this.ring.find(messageId)
    if (pending !== null) pending.unroutable = true
  }

  failed(_id: number, error: BrokerError): void {
    this.sender.lineFailed(this, error)
  }

  flush(): void {
    this.sender.letGo()
  }

  delivered(): void {}

  cancelled(): void {}

  private settle(pending: Pending | null, accepted: boolean): void {
    if (pending === null) return
    this.openBytes -= pending.bytes
    if (pending.unroutable) {
      pending.refused(new LeveretError('E_UNROUTABLE', `${pending.what} is gone: create it again with bus.createQueue`))
    } else if (accepted) pending.stored()
    else {
      pending.refused(
        new LeveretError(
          'E_REFUSED',
          `${pending.what} did not take the message: it is full, or cannot store; try later`,
        ),
      )
    }
  }
}

/**
 * Dead letters back into the queue they came from, one commit for some of them: each is in one of both queues, never in both or in
 * none. What other queues left in the same dead-letter queue stays where it is.
 */

import { RateMeter } from '../lib/rate-meter.ts'
import type { Channel, ChannelEvents } from '../model/channel.ts'
import type { BasicGetOk, Command, Reply } from '../model/command.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import type { Field, FieldTable } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import type { BusParts, Closable } from './bus-parts.ts'
import { clientLimits } from './client-limits.ts'
import { headerNames, integerHeader, textHeader, withHeaders } from './headers.ts'
import { setLivingTimer } from './keep-alive.ts'
import { checkInteger, checkOptionNames, checkQueueName } from './names.ts'
import { type Rate, rateOf } from './rate.ts'
import { Replies } from './replies.ts'

export interface RedriveOptions {
  /** The dead-letter queue. Default: the queue's own. */
  readonly from?: string
  /** How fast, such as '50/s'. Default: as fast as it goes. */
  readonly rate?: Rate
  /** How many at most. Default: all that are there. */
  readonly limit?: number
  /** Ends it; what was moved by then is moved. */
  readonly signal?: AbortSignal
}

export interface RedriveSettings {
  readonly from: string
  /** It is the queue's own, which is made when the first letter comes: that there is none means no letters. */
  readonly isOwn: boolean
  readonly meter: RateMeter | null
  readonly limit: number
  readonly signal: AbortSignal | undefined
}

/** Throws E_BAD_OPTION. */
export function redriveSettings(queue: string, deadLetter: string | null, options: RedriveOptions): RedriveSettings {
  const where = `queue '${queue}': redrive`
  checkOptionNames(where, options, ['from', 'rate', 'limit', 'signal'])
  const { rate, limit, signal } = options
  const from = options.from ?? deadLetter
  if (from === null) {
    throw new LeveretError('E_BAD_OPTION', `${where}: it has no dead-letter queue: say { from: … }`)
  }
  checkQueueName(from)
  if (from === queue) throw new LeveretError('E_BAD_OPTION', `${where}: a queue is not redriven from itself`)
  return {
    from,
    isOwn: from === deadLetter,
    meter: rate === undefined ? null : new RateMeter(rateOf(rate, `${where}: rate`)),
    limit: limit === undefined ? Number.POSITIVE_INFINITY : checkInteger(where, 'limit', limit, 1, 2 ** 31),
    signal,
  }
}

export class Redrive implements ChannelEvents, Closable {
  private readonly parts: BusParts
  private readonly queue: string
  private readonly settings: RedriveSettings
  private readonly replies = new Replies()
  private readonly channel: Channel
  private failure: Error | null = null
  /** Ends the wait for a turn. */
  private wake: () => void = () => {}
  private moved = 0
  /** Letters of other queues, which go back when it ends. */
  private others = 0

  constructor(parts: BusParts, queue: string, settings: RedriveSettings) {
    this.parts = parts
    this.queue = queue
    this.settings = settings
    this.channel = parts.session.openChannel(this)
  }

  /**
   * Resolves with how many were moved. Rejects with what the broker says, such as NOT_FOUND for a queue that was named, and when
   * the bus ends before it does.
   */
  async run(): Promise<number> {
    const { signal } = this.settings
    const wake = (): void => this.wake()
    signal?.addEventListener('abort', wake)
    try {
      if (this.parts.commits === 'tx') await this.ask({ type: 'tx.select' })
      // Those that fail again meanwhile are not taken a second time.
      let left = Math.min(this.settings.limit, await this.lettersThere())
      while (left > 0) {
        const letters = await this.take(Math.min(left, clientLimits.redriveAtOnce))
        if (letters.length === 0) break
        await this.move(letters)
        this.moved += letters.length
        left -= letters.length
      }
      if (this.failure !== null) throw this.failure
      return this.moved
    } finally {
      signal?.removeEventListener('abort', wake)
      this.channel.close()
    }
  }

  close(): Promise<void> {
    this.end(new LeveretError('E_CLOSED', 'the bus is closed'))
    return Promise.resolve()
  }

  /** What is being committed is moved, or not; the rest stays where it is. */
  end(error: Error): void {
    this.failure ??= error
    this.replies.failAll(this.failure)
    this.wake()
  }

  private async lettersThere(): Promise<number> {
    const flags = { durable: true, exclusive: false, autoDelete: false, arguments: new Map<string, Field>() }
    const { from, isOwn } = this.settings
    try {
      const reply = await this.ask({ type: 'queue.declare', queue: from, passive: true, ...flags })
      return reply.type === 'queue.declare-ok' ? reply.messageCount : 0
    } catch (error) {
      if (isOwn && error instanceof BrokerError && error.code === 'NOT_FOUND') return 0
      throw error
    }
  }

  /** Up to so many letters, as fast as may be; none: that was all. */
  private async take(max: number): Promise<BasicGetOk[]> {
    const letters: BasicGetOk[] = []
    const { from, signal } = this.settings
    while (letters.length < max && signal?.aborted !== true) {
      if (!(await this.waitForTurn(letters.length > 0))) break
      const reply = await this.ask({ type: 'basic.get', queue: from, noAck: false })
      if (reply.type !== 'basic.get-ok') break
      if (cameFrom(reply.message.decodeProperties(), this.queue)) letters.push(reply)
      else if (++this.others >= clientLimits.redriveOthersMax) break
    }
    return letters
  }

  /** False: what is there is moved before it waits. */
  private async waitForTurn(hasLetters: boolean): Promise<boolean> {
    const { meter } = this.settings
    if (meter === null) return true
    const { clock } = this.parts.platform
    for (let waitMs = meter.nextMs - clock.monotonicMs(); waitMs > 0; waitMs = meter.nextMs - clock.monotonicMs()) {
      if (hasLetters || this.isStopped) return false
      await this.sleep(waitMs)
    }
    meter.count(clock.monotonicMs())
    return true
  }

  private get isStopped(): boolean {
    return this.failure !== null || this.settings.signal?.aborted === true
  }

  private async sleep(ms: number): Promise<void> {
    let cancel = (): void => {}
    await new Promise<void>((resolve) => {
      this.wake = resolve
      cancel = setLivingTimer(this.parts.platform.clock, ms, resolve)
    })
    cancel()
  }

  private move(letters: readonly BasicGetOk[]): Promise<Reply> {
    const acks = letters.map(({ deliveryTag }) => deliveryTag)
    const publishes = letters.map(({ message }) => asItWas(message, this.queue))
    if (this.failure !== null) return Promise.reject(this.failure)
    return this.replies.wait((id) => this.channel.commit(id, acks, publishes))
  }

  private ask(command: Command): Promise<Reply> {
    if (this.failure !== null) return Promise.reject(this.failure)
    return this.replies.execute(this.channel, command)
  }

  // What the channel tells.

  replied(id: number, reply: Reply): void {
    this.replies.replied(id, reply)
  }

  failed(_id: number, error: BrokerError): void {
    this.replies.failAll(error)
  }

  delivered(): void {}

  confirmed(): void {}

  returned(): void {}

  cancelled(): void {}

  flush(): void {}
}

/** Whether the letter is of that queue. One that says nothing is anybody's. */
function cameFrom({ headers }: Properties, queue: string): boolean {
  const told = textHeader(headers, headerNames.queue) ?? textHeader(headers, 'x-first-death-queue')
  return told === undefined || told === queue
}

/** The message as its sender sent it, but for what was said about when: it begins anew, now. */
function asItWas(letter: Message, queue: string): Message {
  const properties = letter.decodeProperties()
  const { headers } = properties
  const replyTo = properties.replyTo ?? textHeader(headers, headerNames.replyTo)
  const changed: Properties = { ...properties, headers: cleared(headers) }
  delete changed.expiration
  if (replyTo !== undefined) changed.replyTo = replyTo
  return Message.of('', queue, encodeProperties(changed), letter.body)
}

function cleared(headers: FieldTable | undefined): FieldTable {
  return withHeaders(headers, {
    [headerNames.attempt]: undefined,
    [headerNames.attempts]: undefined,
    [headerNames.error]: undefined,
    [headerNames.firstTime]: undefined,
    [headerNames.queue]: undefined,
    [headerNames.replyTo]: undefined,
    [headerNames.deadline]: undefined,
    [headerNames.delay]: undefined,
    [headerNames.redriven]: (integerHeader(headers, headerNames.redriven) ?? 0) + 1,
  })
}

/**
 * `bus.events` of live events. They come as to any listener (listeners.ts), and wait here for the loop; beyond its room the oldest go:
 *
 *     heard → somebody waits: his
 *           → else at the end of those that wait ──next──→ (checked) → the loop
 *                     └─ too many: the first ones are dropped, counted, and the bus is told when that begins
 */
import { Deque } from '../lib/deque.ts'
import { LeveretError } from '../model/errors.ts'
import type { BusParts } from './bus-parts.ts'
import { clientLimits } from './client-limits.ts'
import type { EventContract } from './contract.ts'
import type { EventStream, EventStreamSettings } from './event-iterator.ts'
import { asError } from './headers.ts'
import type { Incoming, IncomingMessage } from './incoming.ts'
import type { Listener, Listeners } from './listeners.ts'
import { type StandardSchema, validate } from './standard-schema.ts'

type Next = IteratorResult<IncomingMessage, undefined>

export class LiveEvents implements EventStream {
  dropped = 0
  private readonly parts: BusParts
  private readonly listeners: Listeners
  private readonly settings: EventStreamSettings
  private readonly schema: StandardSchema | undefined
  private readonly listener: Listener
  private readonly arrived = new Deque<Incoming>()
  private arrivedBytes = 0
  /** Each is given an event, or null when none will come. */
  private readonly waiting = new Deque<(event: Incoming | null) => void>()
  /** Since the loop last had nothing to do some were dropped. */
  private isBehind = false
  private opening: Promise<void> | null = null
  private isDone = false
  /** Why it has ended; null: it has not, or was to. */
  private failure: Error | null = null

  constructor(parts: BusParts, listeners: Listeners, contract: EventContract, settings: EventStreamSettings) {
    this.parts = parts
    this.listeners = listeners
    this.settings = settings
    this.schema = contract.input as StandardSchema | undefined
    this.listener = {
      pattern: contract.name,
      handler: (event) => this.heard(event as Incoming),
      // Asked when the loop takes the event: one after the other, and not for those that are dropped.
      schema: undefined,
      isOnce: false,
      isOver: false,
      over: () => {},
      ended: (error) => this.finish(error),
    }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  ready(): Promise<void> {
    this.opening ??= this.open()
    return this.opening
  }

  async next(): Promise<Next> {
    if (this.settings.signal?.aborted === true) return this.return()
    if (!this.isDone) await this.ready()
    for (;;) {
      const event = this.take() ?? (await this.come())
      if (event === null) break
      try {
        return { done: false, value: await this.checked(event) }
      } catch (error) {
        this.parts.report(asError(error))
      }
    }
    if (this.failure !== null) throw this.failure
    return { done: true, value: undefined }
  }

  async return(): Promise<Next> {
    this.finish(null)
    this.arrived.clear()
    if (this.opening !== null) {
      await this.opening.catch(() => {})
      await this.listeners.remove(this.listener).catch(() => {})
    }
    return { done: true, value: undefined }
  }

  async close(): Promise<void> {
    await this.return()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  private async open(): Promise<void> {
    this.settings.signal?.addEventListener('abort', this.abort)
    try {
      await this.listeners.add(this.listener)
    } catch (error) {
      this.finish(asError(error))
      throw error
    }
  }

  private readonly abort = (): void => void this.return()

  private heard(event: Incoming): void {
    const next = this.waiting.shift()
    if (next !== undefined) return next(event)
    event.keep()
    this.arrived.push(event)
    this.arrivedBytes += event.heldBytes
    const { buffer } = this.settings
    while (
      this.arrived.length > buffer ||
      (this.arrivedBytes > clientLimits.eventBufferBytes && this.arrived.length > 1)
    ) {
      this.take()
      this.dropped++
      if (!this.isBehind) this.tellBehind()
    }
  }

  private tellBehind(): void {
    this.isBehind = true
    const { pattern } = this.listener
    const text =
      `the loop over the events '${pattern}' is slower than they come, and the oldest of ${this.arrived.length} that wait are dropped: ` +
      'events.dropped counts them. Do less in the loop, give it a larger buffer, or use { durable }, which keeps them'
    this.parts.report(new LeveretError('E_EVENTS_DROPPED', text))
  }

  private take(): Incoming | null {
    const event = this.arrived.shift()
    if (event === undefined) return null
    this.arrivedBytes -= event.heldBytes
    return event
  }

  /** Resolves with the next one; null: none will come. */
  private come(): Promise<Incoming | null> {
    if (this.isDone) return Promise.resolve(null)
    this.isBehind = false
    return new Promise((resolve) => this.waiting.push(resolve))
  }

  private async checked(event: Incoming): Promise<Incoming> {
    if (this.schema === undefined) return event
    return event.withData(await validate(this.schema, event.data, `the data of event '${event.name}'`))
  }

  private finish(error: Error | null): void {
    if (this.isDone) return
    this.isDone = true
    this.failure = error
    this.settings.signal?.removeEventListener('abort', this.abort)
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) next(null)
  }
}

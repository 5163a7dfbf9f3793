/**
 * How long the queues are and how fast they go. The broker counts; here the counters are sampled and divided by time.
 *
 * Sampling begins with the first question and ends when nobody has asked for a minute, so it costs nothing otherwise. The
 * first answer therefore gives averages since the bus was opened, or since the first message where the broker is older, the next
 * ones a sliding window of ten seconds. Of what takes time (waits, processing, and the model made of them) the window is a minute,
 * and before that all since the broker was started.
 */
import { FlowSampler } from '../flow/flow-sampler.ts'
import { type QueueRates, Sampler } from '../flow/sampler.ts'
import { type QueueInfo, zeroCounters } from '../model/command.ts'
import type { DeliverAfter, Durability } from '../model/durability.ts'
import { LeveretError } from '../model/errors.ts'
import type { Clock } from '../platform/clock.ts'
import { clientLimits } from './client-limits.ts'
import type { Control } from './control.ts'
import { FlowFigures, type FlowStats } from './flow-figures.ts'

/** L = ready + unacked is what is in the system, L_q = ready what waits in line; rates are R = m/t. */
export interface QueueStats extends QueueRates, FlowStats {
  readonly name: string
  /** What `await send()` says of a message here: see ConnectOptions. `none` for a queue that ends with the broker. */
  readonly durability: Durability
  /** When a message here is handed out. */
  readonly deliverAfter: DeliverAfter
  /** Messages that wait for a consumer: L_q. */
  readonly ready: number
  /** Body bytes of ready messages. */
  readonly readyBytes: number
  /** Messages handed to consumers and not settled. */
  readonly unacked: number
  /** Messages that are hidden until they are due: delayed, or in the pause before their next attempt. */
  readonly delayed: number
  /** Messages in the system, L = ready + unacked; delayed ones are apart. */
  readonly length: number
  readonly consumers: number
  /** It takes messages and hands out none. */
  readonly paused: boolean
}

export class Statistics {
  private readonly clock: Clock
  private readonly control: Control
  private readonly isSupported: boolean
  private readonly openedMs: number
  private readonly samplers: Map<string, Sampler> = new Map()
  private readonly flows: Map<string, FlowSampler> = new Map()
  private cancelTimer: (() => void) | null = null
  private askedMs = 0
  private ended = false

  constructor(clock: Clock, control: Control, isSupported: boolean) {
    this.clock = clock
    this.control = control
    this.isSupported = isSupported
    this.openedMs = clock.monotonicMs()
  }

  /** Of every queue. Rejects with E_UNSUPPORTED where the broker cannot be asked. */
  async all(): Promise<QueueStats[]> {
    const queues = await this.look()
    return queues.map((queue) => this.describe(queue))
  }

  /** Of one queue. Rejects with E_CLOSED if it is gone. */
  async of(name: string): Promise<QueueStats> {
    return this.describe(await this.find(name))
  }

  /** How its messages go through it. Rejects as `of`. */
  async flowOf(name: string): Promise<FlowFigures> {
    return this.figuresOf(await this.find(name))
  }

  close(): void {
    this.ended = true
    this.cancelTimer?.()
    this.cancelTimer = null
  }

  /** Asks, and sees to it that it is asked again. */
  private async look(): Promise<readonly QueueInfo[]> {
    if (!this.isSupported) {
      throw new LeveretError(
        'E_UNSUPPORTED',
        'this broker is no Leveret, and AMQP has no statistics: queue.count() gives ready messages and consumers everywhere',
      )
    }
    this.askedMs = this.clock.monotonicMs()
    const queues = await this.sample()
    this.sampleLater()
    return queues
  }

  private async find(name: string): Promise<QueueInfo> {
    const queues = await this.look()
    const found = queues.find((queue) => queue.name === name)
    if (found === undefined) throw new LeveretError('E_CLOSED', `queue '${name}' was deleted: create it again`)
    // The one that somebody asks for is looked at from now on, however many there are.
    if (!this.flows.has(name)) this.flowSamplerOf(name).add(found.flow)
    return found
  }

  private async sample(): Promise<readonly QueueInfo[]> {
    const reply = await this.control.execute({ type: 'leveret.queues' })
    const queues = reply.type === 'leveret.queues-ok' ? reply.queues : []
    const nowMs = this.clock.monotonicMs()
    for (const { name, counters, flow } of queues) {
      this.samplerOf(name, flow === null ? 0 : flow.atSeconds - flow.sinceSeconds).add(nowMs, counters)
      const isLookedAt = this.flows.has(name) || this.flows.size < clientLimits.flowQueuesMax
      if (isLookedAt && (flow !== null || this.flows.has(name))) this.flowSamplerOf(name).add(flow)
    }
    if (queues.length < this.samplers.size) this.forgetAllBut(queues)
    return queues
  }

  /** `countedSeconds`: for how long its broker has counted, which may be older than this bus. */
  private samplerOf(name: string, countedSeconds: number): Sampler {
    let sampler = this.samplers.get(name)
    if (sampler === undefined) {
      const sinceMs = Math.min(this.openedMs, this.clock.monotonicMs() - countedSeconds * 1000)
      sampler = new Sampler(clientLimits.statsWindowMs, sinceMs, zeroCounters)
      this.samplers.set(name, sampler)
    }
    return sampler
  }

  private flowSamplerOf(name: string): FlowSampler {
    let sampler = this.flows.get(name)
    if (sampler === undefined) {
      sampler = new FlowSampler(clientLimits.flowWindowMs / 1000)
      this.flows.set(name, sampler)
    }
    return sampler
  }

  private forgetAllBut(queues: readonly QueueInfo[]): void {
    const names = new Set(queues.map((queue) => queue.name))
    for (const name of this.samplers.keys()) if (!names.has(name)) this.samplers.delete(name)
    for (const name of this.flows.keys()) if (!names.has(name)) this.flows.delete(name)
  }

  private sampleLater(): void {
    if (this.cancelTimer !== null || this.ended) return
    this.cancelTimer = this.clock.setTimer(clientLimits.statsIntervalMs, () => {
      this.cancelTimer = null
      if (this.clock.monotonicMs() - this.askedMs > clientLimits.statsIdleMs) return
      this.sample().then(
        () => this.sampleLater(),
        () => {},
      )
    })
  }

  private figuresOf(queue: QueueInfo): FlowFigures {
    return new FlowFigures(queue, this.flows.get(queue.name) ?? null)
  }

  private describe(queue: QueueInfo): QueueStats {
    const { name, durability, deliverAfter, ready, readyBytes, unacked, delayed, consumers, paused } = queue
    const rates = this.samplerOf(name, 0).rates()
    const length = ready + unacked
    const counts = { ready, readyBytes, unacked, delayed, length, consumers, paused }
    return { name, durability, deliverAfter, ...counts, ...rates, ...this.figuresOf(queue).stats() }
  }
}

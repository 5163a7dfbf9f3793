/**
 * Publishes what is due by a schedule: in the broker that owns the folder, so once over all processes.
 *
 * Message and progress are in the same frame of the log, as everything between two ends of a turn is: after a crash a run has
 * been, with what it published, or it has not, and comes. What it is due for next is worked out before, and remembered.
 *
 * Due times are real time, which may jump, so the timer is set for half a minute at most and looks again. One that passed by more
 * than a minute, or while the broker was down or the schedule paused, was missed, and its policy says what becomes of it. A clock
 * that is set back brings no run twice; one set back by more than three hours is taken to have been wrong before, as cron does.
 */
import { Heap } from '../lib/heap.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { namespaces } from '../model/namespaces.ts'
import type { PutSchedule, ScheduleCommand, ScheduleInfo } from '../model/schedule-command.ts'
import type { Clock } from '../platform/clock.ts'
import type { Store } from '../store/store.ts'
import type { Crons } from './crons.ts'
import { CronDueTimes, type DueTimes, EveryTimes, type Passed } from './due-times.ts'
import type { Grants } from './grants.ts'
import { PublishGate } from './publish-gate.ts'
import type { Publisher } from './publisher.ts'
import { type Definition, definitionOf, isSameTime, readDefinition, readProgress, Schedule } from './schedule.ts'
import type { Tick } from './tick.ts'
import { noQueue } from './topology.ts'
import type { VirtualHost } from './virtual-host.ts'

interface Waking {
  readonly atMs: number
  readonly host: VirtualHost
  readonly schedule: Schedule
}

/** The broker, as its schedules see it. */
export interface ScheduledBroker {
  readonly virtualHosts: ReadonlyMap<string, VirtualHost>
  /** Whether publishers have to wait. */
  isBlocked(): boolean
  /** A run failed, and nobody waits for it. */
  report(error: LeveretError): void
}

export class Schedules {
  private readonly clock: Clock
  private readonly store: Store
  private readonly tick: Tick
  private readonly publisher: Publisher
  private readonly crons: Crons
  private readonly broker: ScheduledBroker
  /** What is changed stays in it, and is left out when its time comes. */
  private readonly heap = new Heap<Waking>((left, right) => left.atMs < right.atMs)
  private count = 0
  private definitionBytes = 0
  private lookedMs = 0
  private cancelTimer: (() => void) | null = null
  private isRunning = false

  constructor(clock: Clock, store: Store, tick: Tick, publisher: Publisher, crons: Crons, broker: ScheduledBroker) {
    this.clock = clock
    this.store = store
    this.tick = tick
    this.publisher = publisher
    this.crons = crons
    this.broker = broker
  }

  /** What was remembered, when virtual hosts are there. Waits for what it needs. */
  async recover(): Promise<void> {
    const notes = [...this.store.notes.entries(namespaces.schedules)]
    if (notes.some(([, value]) => value.startsWith('{"cron":"'))) await this.crons.ready()
    for (const [key, value] of notes) {
      const [hostName, name, part] = JSON.parse(key) as [string, string, string | undefined]
      if (part === undefined) this.recoverOne(hostName, name, value)
    }
  }

  /** From now on it publishes what is due. What was due before was missed. */
  start(): void {
    this.isRunning = true
    this.lookedMs = this.clock.realtimeMs()
    this.setBackTo(this.lookedMs)
    for (const { schedules } of this.broker.virtualHosts.values()) {
      for (const schedule of schedules.values()) schedule.isBehind = schedule.wakesAtMs <= this.lookedMs
    }
    this.setTimer()
  }

  stop(): void {
    this.isRunning = false
    this.cancelTimer?.()
    this.cancelTimer = null
  }

  /** Null: the command can be run now. */
  ready(command: ScheduleCommand): Promise<void> | null {
    return command.type === 'leveret.schedule-put' && command.cron !== undefined ? this.crons.ready() : null
  }

  /** Does what is asked. Throws a BrokerError, and has done nothing but, for a run that failed, count it. */
  run(host: VirtualHost, grants: Grants | null, command: ScheduleCommand): ScheduleInfo[] {
    switch (command.type) {
      case 'leveret.schedule-put':
        return [this.put(host, grants, command).info]
      case 'leveret.schedule-remove': {
        const schedule = host.schedules.get(command.name)
        if (schedule === undefined) return []
        this.remove(host, schedule)
        return [schedule.info]
      }
      case 'leveret.schedule-pause':
        return [this.pause(host, find(host, command.name), command.paused).info]
      case 'leveret.schedule-run':
        return [this.runNow(host, find(host, command.name)).info]
      case 'leveret.schedule-list':
        return [...host.schedules.values()]
          .filter(({ name }) => grants === null || grants.allowsAny(name))
          .map(({ info }) => info)
    }
  }

  /** The virtual host goes. */
  removeAll(host: VirtualHost): void {
    for (const schedule of host.schedules.values()) this.remove(host, schedule)
  }

  private recoverOne(hostName: string, name: string, text: string): void {
    const host = this.broker.virtualHosts.get(hostName)
    const { notes } = this.store
    const progressText = notes.get(namespaces.schedules, progressKey(hostName, name), this.clock.realtimeMs())
    // A salvage may have found the one and not the other.
    if (host === undefined || progressText === null) return
    const definition = readDefinition(text)
    const progress = readProgress(progressText)
    host.schedules.set(name, new Schedule(name, definition, this.timesOrNull(definition, progress.anchorMs), progress))
    this.count++
    this.definitionBytes += text.length
    this.wait(host, host.schedules.get(name) as Schedule)
  }

  private put(host: VirtualHost, grants: Grants | null, command: PutSchedule): Schedule {
    const { name } = command
    // It may have gone while the engine was loaded.
    if (this.broker.virtualHosts.get(host.name) !== host) {
      throw new BrokerError('NOT_FOUND', `vhost '${host.name}' not found`)
    }
    const definition = definitionOf(command)
    const text = JSON.stringify(definition)
    const known = host.schedules.get(name)
    if (known !== undefined && JSON.stringify(known.definition) === text) return known
    const nowMs = Math.floor(this.clock.realtimeMs())
    const keepsTime = known !== undefined && isSameTime(known.definition, definition)
    const anchorMs = keepsTime ? known.progress.anchorMs : nowMs
    const times = this.check(command, anchorMs)
    const knownBytes = known === undefined ? 0 : JSON.stringify(known.definition).length
    this.checkRoom(name, known === undefined ? 1 : 0, text.length - knownBytes)
    const nextMs = keepsTime ? known.progress.nextMs : times.nextAfter(nowMs)
    if (nextMs === null) throw refused(name, `'${command.cron}' is a time that never comes`)
    const before = known?.progress ?? { paused: false, lastMs: null, runs: 0, failures: 0, missed: 0, error: null }
    const plannedMs = keepsTime ? known.progress.plannedMs : nowMs
    const schedule = makeSchedule(name, definition, times, { ...before, anchorMs, nextMs, plannedMs })
    checkMessage(host, grants, schedule)
    schedule.isBehind = keepsTime && known.isBehind
    host.schedules.set(name, schedule)
    this.count += known === undefined ? 1 : 0
    this.definitionBytes += text.length - knownBytes
    this.note(definitionKey(host.name, name), text)
    this.noteProgress(host, schedule)
    this.wait(host, schedule)
    this.setTimer()
    return schedule
  }

  private remove(host: VirtualHost, schedule: Schedule): void {
    const { name, definition } = schedule
    host.schedules.delete(name)
    this.count--
    this.definitionBytes -= JSON.stringify(definition).length
    this.store.notes.forget(namespaces.schedules, definitionKey(host.name, name))
    this.store.notes.forget(namespaces.schedules, progressKey(host.name, name))
    this.tick.schedule()
  }

  private pause(host: VirtualHost, schedule: Schedule, paused: boolean): Schedule {
    if (schedule.progress.paused === paused) return schedule
    schedule.progress = { ...schedule.progress, paused }
    schedule.isBehind = schedule.wakesAtMs <= this.clock.realtimeMs()
    this.noteProgress(host, schedule)
    this.wait(host, schedule)
    this.setTimer()
    return schedule
  }

  private runNow(host: VirtualHost, schedule: Schedule): Schedule {
    const nowMs = Math.floor(this.clock.realtimeMs())
    const { name, progress } = schedule
    const runs = progress.runs + 1
    const error = this.publish(host, schedule, nowMs, `${name}:${nowMs}:${runs}`)
    const failures = progress.failures + (error === null ? 0 : 1)
    schedule.progress = { ...progress, runs, failures, error, lastMs: nowMs }
    this.noteProgress(host, schedule)
    if (error !== null) throw refused(name, error)
    return schedule
  }

  /** Looks what is due. */
  private look(): void {
    this.cancelTimer = null
    if (!this.isRunning) return
    const nowMs = this.clock.realtimeMs()
    if (nowMs < this.lookedMs - limits.clockSetBackMs) this.setBackTo(nowMs)
    this.lookedMs = nowMs
    let runs = 0
    while (runs < limits.scheduledRunsPerTurn && this.isDue(nowMs)) {
      const { host, schedule, atMs } = this.heap.pop() as Waking
      if (schedule.wakesAtMs !== atMs || host.schedules.get(schedule.name) !== schedule) continue
      runs += this.runDue(host, schedule, nowMs)
      this.wait(host, schedule)
    }
    this.setTimer()
  }

  /** Returns how often it published. */
  private runDue(host: VirtualHost, schedule: Schedule, nowMs: number): number {
    const { name, times, progress, definition } = schedule
    const { missed } = definition
    const max = missed === 'all' ? limits.missedRunsMax : 1
    const passed = (times as DueTimes).passed(progress.nextMs as number, nowMs, max)
    const dues = missed === 'skip' ? onTime(schedule, passed, nowMs) : passed.dues
    let { lastMs, failures, error } = progress
    let failed: string | null = null
    for (const dueMs of dues) {
      error = this.publish(host, schedule, dueMs, `${name}:${dueMs}`)
      lastMs = dueMs
      if (error === null) continue
      failures++
      failed = error
    }
    schedule.isBehind = false
    schedule.progress = {
      ...progress,
      lastMs,
      failures,
      error,
      runs: progress.runs + dues.length,
      missed: progress.missed + passed.count - dues.length,
      nextMs: (times as DueTimes).nextAfter(nowMs),
      plannedMs: Math.floor(nowMs),
    }
    this.noteProgress(host, schedule)
    if (failed !== null) this.broker.report(notTaken(name, failed))
    return Math.max(1, dues.length)
  }

  /** Why nobody took the message, or not everybody; null: it was taken. */
  private publish(host: VirtualHost, schedule: Schedule, dueMs: number, messageId: string): string | null {
    const { publisher } = this
    const { exchange: exchangeName, routingKey, mandatory } = schedule.definition
    const where = exchangeName === '' ? `queue '${routingKey}'` : `exchange '${exchangeName}'`
    const exchange = host.exchanges.get(exchangeName)
    if (exchange === undefined) return `${where} is gone`
    try {
      publisher.publish(host, exchange, schedule.message(dueMs, messageId), null)
    } catch (error) {
      if (error instanceof BrokerError) return error.text
      throw error
    }
    const isQueue = exchangeName === ''
    if (publisher.routed === 0 && mandatory)
      return `${where} ${isQueue ? 'is gone' : `has no queue for '${routingKey}'`}`
    return publisher.refused ? `${isQueue ? where : `a queue behind ${where}`} is full` : null
  }

  /** The clock was set back: what is due is worked out from the time that it shows now. */
  private setBackTo(nowMs: number): void {
    for (const host of this.broker.virtualHosts.values()) {
      for (const schedule of host.schedules.values()) {
        const { progress, times } = schedule
        if (times === null || nowMs >= progress.plannedMs - limits.clockSetBackMs) continue
        schedule.progress = { ...progress, nextMs: times.nextAfter(nowMs), plannedMs: Math.floor(nowMs) }
        this.noteProgress(host, schedule)
        this.wait(host, schedule)
      }
    }
  }

  private isDue(nowMs: number): boolean {
    const next = this.heap.peek()
    return next !== undefined && next.atMs <= nowMs
  }

  private wait(host: VirtualHost, schedule: Schedule): void {
    this.push(host, schedule)
    if (this.heap.length <= 2 * this.count + 64) return
    // Without all that was changed.
    this.heap.clear()
    for (const one of this.broker.virtualHosts.values()) {
      for (const other of one.schedules.values()) this.push(one, other)
    }
  }

  private push(host: VirtualHost, schedule: Schedule): void {
    const atMs = schedule.wakesAtMs
    if (atMs < Number.POSITIVE_INFINITY) this.heap.push({ atMs, host, schedule })
  }

  private setTimer(): void {
    this.cancelTimer?.()
    this.cancelTimer = null
    const next = this.heap.peek()
    if (next === undefined || !this.isRunning) return
    const delayMs = Math.max(0, next.atMs - this.clock.realtimeMs())
    const waitMs = Math.min(delayMs, limits.scheduleLookMs)
    this.cancelTimer = this.clock.setTimer(waitMs, () => this.lookUnlessBlocked())
  }

  private lookUnlessBlocked(): void {
    if (!this.broker.isBlocked()) return this.look()
    this.cancelTimer = this.clock.setTimer(limits.scheduleBlockedMs, () => this.lookUnlessBlocked())
  }

  private noteProgress({ name }: VirtualHost, schedule: Schedule): void {
    this.note(progressKey(name, schedule.name), JSON.stringify(schedule.progress))
  }

  private note(key: string, value: string): void {
    this.store.notes.put(namespaces.schedules, key, value, this.clock.realtimeMs(), this.store.persists)
    this.tick.schedule()
  }

  /** Throws PRECONDITION_FAILED. */
  private check(command: PutSchedule, anchorMs: number): DueTimes {
    const { name, cron, everyMs, timezone, body, exchange } = command
    const bytes = Buffer.byteLength(name)
    if (bytes < 1 || bytes > limits.scheduleNameBytesMax) {
      const text = `the name of a schedule has 1 to ${limits.scheduleNameBytesMax} bytes, not ${bytes}`
      throw new BrokerError('PRECONDITION_FAILED', text)
    }
    const bodyBytes = Buffer.byteLength(body, 'base64')
    if (bodyBytes > limits.scheduleBodyBytesMax) {
      throw refused(name, `its body has ${bodyBytes} bytes, at most ${limits.scheduleBodyBytesMax} are kept`)
    }
    if (exchange.startsWith('leveret.')) throw refused(name, `the broker is not asked by a schedule`)
    if ((cron === undefined) === (everyMs === undefined)) throw refused(name, 'one of cron and everyMs says when')
    if (cron !== undefined) return new CronDueTimes(this.crons.compile(cron, timezone))
    const ms = everyMs as number
    const { scheduleEveryMsMin: min, scheduleEveryMsMax: max } = limits
    if (ms < min || ms > max) throw refused(name, `everyMs is ${ms}, and has to be from ${min} to ${max}`)
    return new EveryTimes(anchorMs, ms)
  }

  /** Throws RESOURCE_ERROR. */
  private checkRoom(name: string, more: number, moreBytes: number): void {
    const { schedulesMax, schedulesBytesMax } = limits
    if (this.count + more <= schedulesMax && this.definitionBytes + moreBytes <= schedulesBytesMax) return
    const text = `the schedule '${name}' has no room: a broker keeps ${schedulesMax} of them, and ${schedulesBytesMax} bytes`
    throw new BrokerError('RESOURCE_ERROR', text)
  }

  /** Null: the engine that it needs is not there, or does not understand any more what it once did. */
  private timesOrNull({ cron, everyMs, timezone }: Definition, anchorMs: number): DueTimes | null {
    if (cron === null) return new EveryTimes(anchorMs, everyMs as number)
    try {
      return new CronDueTimes(this.crons.compile(cron, timezone))
    } catch (error) {
      if (error instanceof BrokerError) return null
      throw error
    }
  }
}

/** Of the times that passed the last one, unless it was missed. */
function onTime({ isBehind }: Schedule, { dues }: Passed, nowMs: number): readonly number[] {
  return !isBehind && nowMs - (dues.at(-1) as number) <= limits.scheduleLateMs ? dues : []
}

/** Throws what a channel would be told that published the message: ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED. */
function checkMessage(host: VirtualHost, grants: Grants | null, schedule: Schedule): void {
  const { exchange, routingKey, mandatory } = schedule.definition
  const message = schedule.message(0, `${schedule.name}:0`)
  new PublishGate({ virtualHost: host, grants }).exchangeFor(message)
  if (exchange !== '') return
  const queue = host.queues.get(routingKey)
  if (queue === undefined && mandatory) throw noQueue(host, routingKey)
  if (queue?.isKeyed !== false || message.decodeProperties().headers?.has('x-leveret-key') !== true) return
  throw refused(
    schedule.name,
    `queue '${routingKey}' keeps no order per key: create it with { keys: { concurrency: 1 } }`,
  )
}

/** Throws PRECONDITION_FAILED. */
function makeSchedule(...of: ConstructorParameters<typeof Schedule>): Schedule {
  try {
    return new Schedule(...of)
  } catch (error) {
    throw refused(of[0], (error as Error).message)
  }
}

function find(host: VirtualHost, name: string): Schedule {
  const schedule = host.schedules.get(name)
  if (schedule === undefined) throw new BrokerError('NOT_FOUND', `no schedule '${name}' in vhost '${host.name}'`)
  return schedule
}

function refused(name: string, why: string): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', `the schedule '${name}': ${why}`)
}

function notTaken(name: string, why: string): LeveretError {
  const text = `schedule '${name}': ${why}, and the message of this run is lost; it goes on: see bus.schedules()`
  return new LeveretError('E_UNROUTABLE', text)
}

function definitionKey(host: string, name: string): string {
  return JSON.stringify([host, name])
}

function progressKey(host: string, name: string): string {
  return JSON.stringify([host, name, 'progress'])
}

/**
 * Schedules: messages that the broker publishes by itself, by the clock. It keeps them, so they outlive this process, and of
 * several processes none publishes what another has.
 */
import { BrokerError, LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import { plainProperties, readPlainProperties } from '../model/plain-properties.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import {
  type MissedRuns,
  missedRuns,
  type ScheduleCommand,
  type ScheduleInfo as Told,
} from '../model/schedule-command.ts'
import type { BusParts } from './bus-parts.ts'
import { checkContract, type EventContract, type QueueContract, shownContract } from './contract.ts'
import { type Duration, durationMs } from './duration.ts'
import { eventExchange } from './event-exchange.ts'
import { EventOutlet } from './event-outlet.ts'
import { showAsJson } from './inspect.ts'
import { checkInteger, checkName, checkOptionNames, isRecord, shown } from './names.ts'
import { isOpened, Outlet, type SendTarget } from './outlet.ts'
import type { EmitOptions, SendOptions } from './send-options.ts'

/**
 * A cron expression, such as '0 3 * * *': minute, hour, day of the month, month and day of the week, or six fields with seconds
 * first. Or the time between two runs, at least 100 ms; the first comes when it has passed once.
 */
export type ScheduleWhen = string | { readonly every: Duration }

export interface ScheduleOptions extends Omit<EmitOptions, 'signal'>, Pick<SendOptions, 'key' | 'priority'> {
  /** Of the cron expression: a name such as 'Europe/Berlin'. Default 'UTC', wherever the broker runs. */
  readonly timezone?: string
  /**
   * What becomes of runs whose time passed while no broker was up, or while the schedule was paused: `once` (default) makes up for
   * all of them with one, for the last time; `skip` for none; `all` for each, up to 1,000, the last ones.
   */
  readonly missed?: MissedRuns
}

/** What is known of a schedule. */
export interface ScheduleInfo {
  readonly name: string
  readonly when: string | { readonly every: number }
  readonly timezone: string
  readonly target: { readonly kind: 'queue' | 'event' | 'exchange'; readonly name: string }
  readonly missedRuns: MissedRuns
  readonly paused: boolean
  /** The next run; null: there is none, or it is paused. */
  readonly nextAt: Date | null
  /** The time for which it last published, or tried to. */
  readonly lastAt: Date | null
  /** How often it published, or tried to. */
  readonly runs: number
  /** How many of those nobody took: the queue is gone, or full. */
  readonly failures: number
  /** Why the last run failed; null: it did not. */
  readonly lastError: string | null
  /** Times that passed without a run of their own. */
  readonly missed: number
}

/** A schedule as its users hold it. What it tells is as of the last answer of the broker; each method brings it up to date. */
export interface Schedule extends ScheduleInfo {
  /** Publishes nothing until `resume`, over restarts too. */
  pause(): Promise<void>
  /** Goes on; what it missed is seen to as `missed` says. */
  resume(): Promise<void>
  /** Publishes now, beside its times, also while it is paused. Rejects with PRECONDITION_FAILED if nobody took it. */
  run(): Promise<void>
  /** It is gone; false: it was already. */
  remove(): Promise<boolean>
}

/** Where a schedule sends to: a queue, by its contract or opened, or everybody who listens to an event. */
export type ScheduleTarget = QueueContract | SendTarget | EventContract

const ownNames = ['timezone', 'missed'] as const
const sendNames = ['headers', 'contentType', 'ttl', 'key', 'priority'] as const
const emitNames = ['headers', 'contentType', 'ttl'] as const

export class Schedules {
  private readonly parts: BusParts

  constructor(parts: BusParts) {
    this.parts = parts
  }

  async put(
    name: string,
    when: ScheduleWhen,
    target: ScheduleTarget,
    data: unknown,
    options: ScheduleOptions = {},
  ): Promise<Schedule> {
    checkName('schedule', "a schedule's name", name)
    const where = `schedule '${name}'`
    checkOptionNames(where, options, [...ownNames, ...sendNames])
    const { timezone = 'UTC', missed = 'once' } = options
    if (typeof timezone !== 'string') throw bad(where, `timezone is ${shown(timezone)}, and has to be text`)
    if (!missedRuns.includes(missed)) {
      throw bad(where, `missed is ${shown(missed)}, and has to be 'once', 'skip' or 'all'`)
    }
    const time = timeOf(where, when)
    if (!('cron' in time) && options.timezone !== undefined) {
      throw bad(where, 'timezone is for a cron expression, and the time between two runs is the same everywhere')
    }
    this.needLeveret(where)
    const message = await this.compose(where, target, data, options)
    const { exchange, routingKey } = message
    const told = await this.ask(where, {
      type: 'leveret.schedule-put',
      name,
      ...time,
      timezone,
      missed,
      exchange,
      routingKey,
      mandatory: exchange === '',
      properties: propertiesOf(where, message),
      body: message.body.toString('base64'),
    })
    return new KnownSchedule(this, told as Told)
  }

  async list(): Promise<Schedule[]> {
    this.needLeveret('schedules')
    const reply = await this.parts.control.execute({ type: 'leveret.schedule-list' })
    return reply.type === 'leveret.schedules' ? reply.schedules.map((told) => new KnownSchedule(this, told)) : []
  }

  /** What is told of the one that it is about; undefined: there is none. */
  async ask(where: string, command: ScheduleCommand): Promise<Told | undefined> {
    try {
      const reply = await this.parts.control.execute(command)
      return reply.type === 'leveret.schedules' ? reply.schedules[0] : undefined
    } catch (error) {
      if (!(error instanceof BrokerError) || command.type !== 'leveret.schedule-put') throw error
      const { code } = error
      // The broker names the schedule, too.
      const text = error.text.startsWith(`the ${where}: `) ? error.text.slice('the '.length) : `${where}: ${error.text}`
      if (code === 'PRECONDITION_FAILED') throw new LeveretError('E_BAD_OPTION', text, error)
      if (code !== 'NOT_FOUND') throw error
      throw new LeveretError('E_UNROUTABLE', `${text}: create it first, with bus.createQueue`, error)
    }
  }

  private async compose(
    where: string,
    target: ScheduleTarget,
    data: unknown,
    options: ScheduleOptions,
  ): Promise<Message> {
    const { parts } = this
    if (isOpened(target)) return target.outlet.compose(data, chosen(where, options, sendNames))
    const kind = isRecord(target) ? target['kind'] : undefined
    if (kind === 'queue') {
      const facts = { isKeyed: null, maxPriority: null, isLeveret: parts.isLeveret }
      const contract = checkContract(where, kind, target)
      return new Outlet(parts, contract, true, facts).compose(data, chosen(where, options, sendNames))
    }
    if (kind === 'event') {
      const contract = checkContract(where, kind, target)
      return new EventOutlet(parts, contract).compose(data, chosen(where, options, emitNames))
    }
    const what = shownContract(target)
    if (kind === 'call') throw bad(where, `${what} is no target, for nobody waits for an answer: give it a queue`)
    throw bad(where, `its target is ${what}: give it a queue, or what defineQueue or defineEvent gave`)
  }

  private needLeveret(where: string): void {
    if (this.parts.isLeveret) return
    const text = `${where}: this broker is no Leveret and keeps no schedules: see bus.capabilities() for what it can do`
    throw new LeveretError('E_UNSUPPORTED', text)
  }
}

class KnownSchedule implements Schedule {
  private readonly schedules: Schedules
  private told: Told

  constructor(schedules: Schedules, told: Told) {
    this.schedules = schedules
    this.told = told
  }

  get name(): string {
    return this.told.name
  }

  get when(): string | { readonly every: number } {
    return this.told.cron ?? { every: this.told.everyMs ?? 0 }
  }

  get timezone(): string {
    return this.told.timezone
  }

  get target(): ScheduleInfo['target'] {
    const { exchange, routingKey } = this.told
    if (exchange === '') return { kind: 'queue', name: routingKey }
    return exchange === eventExchange ? { kind: 'event', name: routingKey } : { kind: 'exchange', name: exchange }
  }

  get missedRuns(): MissedRuns {
    return this.told.missedRuns
  }

  get paused(): boolean {
    return this.told.paused
  }

  get nextAt(): Date | null {
    return dateOf(this.told.nextAt)
  }

  get lastAt(): Date | null {
    return dateOf(this.told.lastAt)
  }

  get runs(): number {
    return this.told.runs
  }

  get failures(): number {
    return this.told.failures
  }

  get lastError(): string | null {
    return this.told.lastError
  }

  get missed(): number {
    return this.told.missed
  }

  pause(): Promise<void> {
    return this.ask({ type: 'leveret.schedule-pause', name: this.name, paused: true })
  }

  resume(): Promise<void> {
    return this.ask({ type: 'leveret.schedule-pause', name: this.name, paused: false })
  }

  run(): Promise<void> {
    return this.ask({ type: 'leveret.schedule-run', name: this.name })
  }

  async remove(): Promise<boolean> {
    const { name } = this
    const told = await this.schedules.ask(`schedule '${name}'`, { type: 'leveret.schedule-remove', name })
    if (told !== undefined) this.told = { ...told, nextAt: null }
    return told !== undefined
  }

  toJSON(): ScheduleInfo {
    const { name, when, timezone, target, paused, nextAt, lastAt, runs, failures, lastError, missed } = this
    const { missedRuns: policy } = this
    return {
      name,
      when,
      timezone,
      target,
      missedRuns: policy,
      paused,
      nextAt,
      lastAt,
      runs,
      failures,
      lastError,
      missed,
    }
  }

  private async ask(command: ScheduleCommand): Promise<void> {
    this.told = (await this.schedules.ask(`schedule '${this.name}'`, command)) ?? this.told
  }
}

showAsJson(KnownSchedule.prototype)

function timeOf(where: string, when: ScheduleWhen): { readonly cron: string } | { readonly everyMs: number } {
  if (typeof when === 'string') return { cron: when.trim().replaceAll(/\s+/g, ' ') }
  if (typeof when !== 'object' || when === null) {
    throw bad(where, `when is ${shown(when)}: write a cron expression such as '0 3 * * *', or { every: '10m' }`)
  }
  checkOptionNames(where, when, ['every'])
  const everyMs = Math.ceil(durationMs(when.every, `${where}: every`))
  const { scheduleEveryMsMin: min, scheduleEveryMsMax: max } = limits
  return { everyMs: checkInteger(where, 'every, in milliseconds,', everyMs, min, max) }
}

/** Those of the options that the message has; undefined: none. */
function chosen(
  where: string,
  options: ScheduleOptions,
  names: readonly (keyof ScheduleOptions)[],
): SendOptions | undefined {
  checkOptionNames(where, options, [...ownNames, ...names])
  const entries = names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]])
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as SendOptions)
}

/** They are kept, and listed, as JSON. Each run has an id of its own. */
function propertiesOf(where: string, message: Message): ReturnType<typeof plainProperties> {
  const { messageId: _id, ...properties }: Properties = message.decodeProperties()
  // As they are kept: JSON has no word for some numbers.
  const plain = JSON.parse(JSON.stringify(plainProperties(properties))) as ReturnType<typeof plainProperties>
  if (encodeProperties(readPlainProperties(plain)).equals(encodeProperties(properties))) return plain
  throw bad(where, 'its headers are text, numbers, true, false, null, and arrays and objects of these')
}

function dateOf(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms)
}

function bad(where: string, why: string): LeveretError {
  return new LeveretError('E_BAD_OPTION', `${where}: ${why}`)
}

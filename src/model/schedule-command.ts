/** Schedules, as they are made, changed and looked at on a channel, and asked for through `leveret.control`. */
import type { JsonObject } from './administration.ts'
import { type Check, type Fields, flag, integer, object, optional, readFields, text } from './command-fields.ts'
import { controlPrefix } from './control-exchange.ts'

export type ScheduleCommand = PutSchedule | RemoveSchedule | PauseSchedule | RunSchedule | ListSchedules

/** What becomes of runs whose time passed while nobody published: one for all of them, none, or one for each. */
export type MissedRuns = 'once' | 'skip' | 'all'

/** Makes a schedule, or changes the one of that name: one that is as it says stays as it is, with its next time. */
export interface PutSchedule {
  readonly type: 'leveret.schedule-put'
  /** Text of 1 to 200 bytes. */
  readonly name: string
  /** One of both: when, or how many ms after another, from 100 on. */
  readonly cron?: string
  readonly everyMs?: number
  /** One of IANA's, for `cron`. */
  readonly timezone: string
  readonly missed: MissedRuns
  readonly exchange: string
  readonly routingKey: string
  /** A run fails if no queue takes its message. */
  readonly mandatory: boolean
  /** AMQP's, named as in `plainProperties`. */
  readonly properties: JsonObject
  /** At most 65,536 bytes, in base64. */
  readonly body: string
}

export interface RemoveSchedule {
  readonly type: 'leveret.schedule-remove'
  readonly name: string
}

/** A paused schedule publishes nothing; what it missed is seen to when it goes on. */
export interface PauseSchedule {
  readonly type: 'leveret.schedule-pause'
  readonly name: string
  /** False: it goes on. */
  readonly paused: boolean
}

/** Publishes its message now, beside its times; also while it is paused. */
export interface RunSchedule {
  readonly type: 'leveret.schedule-run'
  readonly name: string
}

export interface ListSchedules {
  readonly type: 'leveret.schedule-list'
}

/** A schedule as it is told. Times are ms since 1970. */
export interface ScheduleInfo {
  readonly name: string
  readonly cron: string | null
  readonly everyMs: number | null
  readonly timezone: string
  readonly missedRuns: MissedRuns
  readonly exchange: string
  readonly routingKey: string
  readonly paused: boolean
  /** The next run; null: there is none, or, while it is paused, nobody knows. */
  readonly nextAt: number | null
  /** The time for which it last published, or tried to. */
  readonly lastAt: number | null
  /** How often it published, or tried to. */
  readonly runs: number
  /** How often nobody took the message. */
  readonly failures: number
  /** Why the last run failed; null: it did not. */
  readonly lastError: string | null
  /** Times that passed without a run of their own. */
  readonly missed: number
}

export const missedRuns: readonly MissedRuns[] = ['once', 'skip', 'all']

const missedWord: Check = (value) => missedRuns.some((word) => word === value)

const commands: {
  readonly [Type in ScheduleCommand['type']]: Fields<Extract<ScheduleCommand, { readonly type: Type }>>
} = {
  'leveret.schedule-put': {
    name: text,
    cron: optional(text),
    everyMs: optional(integer),
    timezone: text,
    missed: missedWord,
    exchange: text,
    routingKey: text,
    mandatory: flag,
    properties: object,
    body: text,
  },
  'leveret.schedule-remove': { name: text },
  'leveret.schedule-pause': { name: text, paused: flag },
  'leveret.schedule-run': { name: text },
  'leveret.schedule-list': {},
}

const keys: readonly string[] = Object.keys(commands).map((type) => type.slice(controlPrefix.length))

/** Null: there is no such command. Throws PRECONDITION_FAILED, which names the field. */
export function readScheduleCommand(key: string, body: Buffer): ScheduleCommand | null {
  if (!keys.includes(key)) return null
  const type = `${controlPrefix}${key}` as ScheduleCommand['type']
  return Object.fromEntries([['type', type], ...readFields(key, body, commands[type])]) as unknown as ScheduleCommand
}

export function isScheduleCommand<Other extends { readonly type: string }>(
  command: Other | ScheduleCommand,
): command is ScheduleCommand {
  return Object.hasOwn(commands, command.type)
}

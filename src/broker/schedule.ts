/** One schedule: what it publishes when, how far it has come, and both as the notes that remember them. */
import { countOf, flagOf, objectOf, textOf, wordOf } from '../lib/json-values.ts'
import type { JsonObject } from '../model/administration.ts'
import { toField } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import { readPlainProperties } from '../model/plain-properties.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import { type MissedRuns, missedRuns, type PutSchedule, type ScheduleInfo } from '../model/schedule-command.ts'
import type { DueTimes } from './due-times.ts'

const nameHeader = 'x-leveret-schedule'
const dueHeader = 'x-leveret-scheduled-at'

/** What was asked for. */
export interface Definition {
  readonly cron: string | null
  readonly everyMs: number | null
  readonly timezone: string
  readonly missed: MissedRuns
  readonly exchange: string
  readonly routingKey: string
  readonly mandatory: boolean
  readonly properties: JsonObject
  readonly body: string
}

export interface Progress {
  /** What `everyMs` is counted from. */
  readonly anchorMs: number
  /** The next time it is due; null: never. */
  readonly nextMs: number | null
  /** When that was worked out. */
  readonly plannedMs: number
  readonly paused: boolean
  readonly lastMs: number | null
  readonly runs: number
  readonly failures: number
  readonly missed: number
  readonly error: string | null
}

export class Schedule {
  readonly name: string
  readonly definition: Definition
  /** Null: what it says cannot be understood here, so it publishes at no time. */
  readonly times: DueTimes | null
  progress: Progress
  /** Times may have passed while nobody looked. */
  isBehind = false
  private readonly properties: Properties
  private readonly body: Buffer

  /** Throws an Error if the properties cannot be read. */
  constructor(name: string, definition: Definition, times: DueTimes | null, progress: Progress) {
    this.name = name
    this.definition = definition
    this.times = times
    this.progress = progress
    this.properties = readPlainProperties(definition.properties)
    this.body = Buffer.from(definition.body, 'base64')
  }

  /** When it is to publish; infinity: at no time. */
  get wakesAtMs(): number {
    const { nextMs, paused } = this.progress
    return paused || nextMs === null || this.times === null ? Number.POSITIVE_INFINITY : nextMs
  }

  /** What it publishes for that time. Throws SYNTAX_ERROR if it cannot be put into a message. */
  message(dueMs: number, messageId: string): Message {
    const { properties, definition } = this
    const headers = new Map(properties.headers ?? [])
    headers.set(nameHeader, toField(this.name)).set(dueHeader, toField(dueMs))
    const encoded = encodeProperties({ ...properties, headers, messageId })
    return Message.of(definition.exchange, definition.routingKey, encoded, this.body)
  }

  get info(): ScheduleInfo {
    const { name, definition, progress } = this
    const { cron, everyMs, timezone, missed, exchange, routingKey } = definition
    const { paused, nextMs, lastMs, runs, failures, error } = progress
    return {
      name,
      cron,
      everyMs,
      timezone,
      missedRuns: missed,
      exchange,
      routingKey,
      paused,
      nextAt: this.wakesAtMs === Number.POSITIVE_INFINITY ? null : nextMs,
      lastAt: lastMs,
      runs,
      failures,
      lastError: error,
      missed: progress.missed,
    }
  }
}

export function definitionOf(command: PutSchedule): Definition {
  const { cron = null, everyMs = null, timezone, missed, exchange, routingKey, mandatory, properties, body } = command
  return { cron, everyMs, timezone, missed, exchange, routingKey, mandatory, properties, body }
}

/** Whether both are due at the same times. */
export function isSameTime(one: Definition, other: Definition): boolean {
  return one.cron === other.cron && one.everyMs === other.everyMs && one.timezone === other.timezone
}

/** Throws an Error that names what is wrong. */
export function readDefinition(text: string): Definition {
  const value = objectOf(JSON.parse(text), 'the definition')
  return {
    cron: value['cron'] === null ? null : textOf(value, 'cron'),
    everyMs: value['everyMs'] === null ? null : countOf(value, 'everyMs'),
    timezone: textOf(value, 'timezone'),
    missed: wordOf(value, 'missed', missedRuns),
    exchange: textOf(value, 'exchange'),
    routingKey: textOf(value, 'routingKey'),
    mandatory: flagOf(value, 'mandatory'),
    properties: objectOf(value['properties'], 'properties') as JsonObject,
    body: textOf(value, 'body'),
  }
}

/** Throws an Error that names what is wrong. */
export function readProgress(text: string): Progress {
  const value = objectOf(JSON.parse(text), 'the progress')
  return {
    anchorMs: countOf(value, 'anchorMs'),
    nextMs: value['nextMs'] === null ? null : countOf(value, 'nextMs'),
    plannedMs: countOf(value, 'plannedMs'),
    paused: flagOf(value, 'paused'),
    lastMs: value['lastMs'] === null ? null : countOf(value, 'lastMs'),
    runs: countOf(value, 'runs'),
    failures: countOf(value, 'failures'),
    missed: countOf(value, 'missed'),
    error: value['error'] === null ? null : textOf(value, 'error'),
  }
}

/** What a Leveret tells of its schedules, out of JSON. */
import { countOf, flagOf, type JsonValues, objectOf, textOf, wordOf } from '../../lib/json-values.ts'
import type { Reply } from '../../model/command.ts'
import { schedulesAnswer } from '../../model/control-exchange.ts'
import { missedRuns, type ScheduleInfo } from '../../model/schedule-command.ts'

/** Throws an Error that names what is wrong. */
export function readSchedules(value: unknown): Reply {
  if (!Array.isArray(value)) throw new Error('it is no array')
  return { type: schedulesAnswer, schedules: value.map(readSchedule) }
}

function readSchedule(value: unknown): ScheduleInfo {
  const schedule = objectOf(value, 'a schedule')
  return {
    name: textOf(schedule, 'name'),
    cron: orNull(schedule, 'cron', textOf),
    everyMs: orNull(schedule, 'everyMs', countOf),
    timezone: textOf(schedule, 'timezone'),
    missedRuns: wordOf(schedule, 'missedRuns', missedRuns),
    exchange: textOf(schedule, 'exchange'),
    routingKey: textOf(schedule, 'routingKey'),
    paused: flagOf(schedule, 'paused'),
    nextAt: orNull(schedule, 'nextAt', countOf),
    lastAt: orNull(schedule, 'lastAt', countOf),
    runs: countOf(schedule, 'runs'),
    failures: countOf(schedule, 'failures'),
    lastError: orNull(schedule, 'lastError', textOf),
    missed: countOf(schedule, 'missed'),
  }
}

function orNull<Value>(
  object: JsonValues,
  key: string,
  read: (object: JsonValues, key: string) => Value,
): Value | null {
  return object[key] === null ? null : read(object, key)
}

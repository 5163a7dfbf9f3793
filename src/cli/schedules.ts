/** `leveret schedules`: what the broker sends by the clock; pause, resume, run, remove one of them. */
import type { Bus, Schedule } from '../index.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import type { Reporting } from './fail.ts'
import { type Cell, table } from './table.ts'
import { openTarget, targetOf } from './target.ts'

interface SchedulesCommand extends Reporting {
  readonly verb: 'list' | 'pause' | 'resume' | 'run' | 'remove'
  readonly name?: string
  readonly at: string
}

export async function run(options: SchedulesCommand): Promise<number> {
  const { verb, name, at, json } = options
  if (verb !== 'list' && name === undefined) {
    throw new LeveretError('E_BAD_OPTION', `schedules ${verb} wants the name of a schedule`)
  }
  const bus = await openTarget(targetOf(at), () => {})
  try {
    const schedules = await named(bus, name)
    for (const schedule of schedules) if (verb !== 'list') await schedule[verb]()
    print(schedules, verb, json)
  } finally {
    await bus.close()
  }
  return 0
}

/** In the order of their names. */
async function named(bus: Bus, name: string | undefined): Promise<Schedule[]> {
  const schedules = (await bus.schedules()).filter((one) => name === undefined || one.name === name)
  if (name !== undefined && schedules.length === 0) throw new BrokerError('NOT_FOUND', `no schedule '${name}'`)
  return schedules.sort((one, other) => (one.name < other.name ? -1 : 1))
}

function print(schedules: readonly Schedule[], verb: string, json: boolean): void {
  if (json) {
    for (const schedule of schedules) process.stdout.write(`${JSON.stringify(schedule)}\n`)
    return
  }
  const rows = schedules.map((schedule): Cell[] => {
    const { name, when, timezone, target, paused, nextAt, lastAt, runs, failures, missed } = schedule
    const time = typeof when === 'string' ? `${when} ${timezone}` : `every ${when.every} ms`
    const state = verb === 'remove' ? 'removed' : paused ? 'paused' : ''
    return [name, time, `${target.kind} ${target.name}`, shown(nextAt), shown(lastAt), runs, failures, missed, state]
  })
  const heads = ['schedule', 'when', 'target', 'next', 'last', 'runs', 'failures', 'missed', 'state']
  process.stdout.write(table(heads, rows))
}

function shown(time: Date | null): string | null {
  return time === null ? null : time.toISOString()
}

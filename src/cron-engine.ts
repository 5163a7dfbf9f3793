/** Croner as the cron engine: five or six fields, in any time zone that Node knows. */
import type { CronEngine } from './model/cron.ts'

export async function loadCronEngine(): Promise<CronEngine> {
  const { Cron } = await import('croner')
  return {
    compile(expression, timezone) {
      checkTimezone(timezone)
      // It would take a date for a job that runs once.
      if (expression.includes(':')) throw new Error('it has five fields, or six with seconds before them')
      const cron = read(() => new Cron(expression, { timezone, paused: true, mode: '5-or-6-parts' }))
      return { nextAfter: (ms) => cron.nextRun(new Date(ms))?.getTime() ?? null }
    },
  }
}

function checkTimezone(timezone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone })
  } catch {
    throw new Error(`'${timezone}' is no time zone: write one such as 'Europe/Berlin', or 'UTC'`)
  }
}

/** Without the name of the class that found the fault. */
function read<Result>(make: () => Result): Result {
  try {
    return make()
  } catch (error) {
    throw new Error((error as Error).message.replace(/^Cron\w+: /, '').replace(/\.$/, ''), { cause: error })
  }
}

/** What must hold of schedules: once one was made each of its times comes, once, over all crashes. */
import type { Left } from './judge.ts'
import type { SchedulePlan } from './plan.ts'

/** The last run may be on its way. */
const lateMs = 100

/** `made`: what somebody was told is stored. `left`: all that was published, `untilMs` since 1970. */
export function judgeSchedules(
  schedules: readonly SchedulePlan[],
  made: ReadonlySet<string>,
  left: readonly Left[],
  untilMs: number,
  complain: (invariant: string, text: string) => void,
): void {
  for (const { name, stepMs } of schedules) {
    const dues = left
      .filter(({ headers }) => headers['x-leveret-schedule'] === name)
      .map(({ headers }) => Number(headers['x-leveret-scheduled-at']))
    const [first] = dues
    if (first === undefined) {
      if (made.has(name)) complain('schedule', `${name} was made, and never came`)
      continue
    }
    const count = Math.floor((untilMs - lateMs - first) / stepMs) + 1
    const found = new Set(dues)
    if (found.size < dues.length) complain('schedule', `${name} came ${dues.length} times for ${found.size} times`)
    for (let at = 0; at < count; at++) {
      if (!found.has(first + at * stepMs)) complain('schedule', `${name} did not come for ${first + at * stepMs}`)
    }
  }
}

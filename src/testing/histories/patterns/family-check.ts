/** What a parent is told of its children, compared with what the ledger knows of them. */
import type { ChildOutcome } from '../../../client/child-outcome.ts'
import type { Member } from './ledger.ts'
import { attemptsMax } from './plan.ts'
import { type Mark, memberQueues } from './world.ts'

/** When the handler of a parent is called: all children have ended, and are told of in their order. */
export function checkChildren(
  { uid, plan, children }: Member,
  outcomes: readonly ChildOutcome[],
  complain: (text: string) => void,
): void {
  if (outcomes.length !== children.length)
    return complain(`${uid} has ${children.length} children and is told of ${outcomes.length}`)
  for (const [index, one] of children.entries()) {
    const outcome = outcomes[index]
    if (outcome === undefined) {
      complain(`${uid} is not told of its child ${index}`)
      continue
    }
    const { queue, status, result, error } = outcome
    const wanted = one.children.length > 0 ? memberQueues.parent : memberQueues.leaf
    if (queue !== wanted) complain(`${one.uid} was in ${wanted}, and ${uid} is told of ${queue}`)
    if (status === 'processed') {
      const mark = result as Mark
      const run = one.job.runs.find(({ number }) => number === mark.run)
      if (mark.job !== one.job.key || run?.verdict !== 'done' || error !== null)
        complain(`${uid} is told ${JSON.stringify(mark)} of its child ${one.uid}`)
    } else {
      if (plan.childFailure === 'fail') complain(`${uid} is processed, and its child ${one.uid} has failed`)
      if (!mayFail(one) || error === null) complain(`${uid} is told that ${one.uid} is ${status}: ${String(error)}`)
    }
  }
}

/** Whether it may end as a dead letter. */
export function mayFail({ job, plan, children }: Member): boolean {
  if (
    job.runs.some(({ verdict, attempt }) => verdict === 'given up' || (verdict === 'failed' && attempt >= attemptsMax))
  )
    return true
  return plan.childFailure === 'fail' && children.some(mayFail)
}

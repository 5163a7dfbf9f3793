/** What all processes of a history of the typed API share: its plan, its ledger, and the queues besides the plan's. */
import { defineEvent, defineQueue, type EventContract, type QueueContract } from '../../../client/contract.ts'
import type { Queue } from '../../../client/queue.ts'
import type { World } from '../world.ts'
import type { Ledger, LetterData, Mark } from './ledger.ts'
import type { ApiPlan, LetterMaker } from './plan.ts'

export interface ApiWorld extends World {
  readonly plan: ApiPlan
  readonly ledger: Ledger
  readonly maker: LetterMaker
}

/** What handlers send with every commit goes here, and is looked at in the end. */
export const marksQueue: QueueContract<Mark> = defineQueue<Mark>('marks')
/** What is emitted comes here. */
export const heardQueue = 'heard'
/** What schedules publish comes here. */
export const scheduledQueue: QueueContract<{ readonly uid: string }> = defineQueue<{ readonly uid: string }>(
  'scheduled',
)
/** What has expired, of queues that keep it. */
export const expiredQueue = 'expired'
export const finished: EventContract<Mark> = defineEvent<Mark>('letters.finished')

/** A queue of the plan. */
export type WorkQueue = Queue<LetterData, Mark | undefined>

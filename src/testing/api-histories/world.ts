/** What all processes of a history share: its plan, its broker, its ledger, and the queues besides the plan's. */
import { defineEvent, defineQueue, type EventContract, type QueueContract } from '../../client/contract.ts'
import type { Queue } from '../../client/queue.ts'
import type { Prng } from '../../lib/prng.ts'
import type { TestBroker } from '../kit/test-broker.ts'
import type { Ledger, LetterData, Mark } from './ledger.ts'
import type { LetterMaker, Plan } from './plan.ts'

export interface World {
  readonly plan: Plan
  readonly test: TestBroker
  readonly ledger: Ledger
  /** For what is decided when it happens. */
  readonly prng: Prng
  readonly maker: LetterMaker
  nowMs(): number
  /** Something has happened. */
  note(line: string): void
  complain(invariant: string, text: string): void
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

/** What all processes of a history of events, calls and families share: its plan, its ledger, and what they call things. */
import { type CallContract, defineCall, defineQueue, type QueueContract } from '../../../client/contract.ts'
import type { World } from '../world.ts'
import type { Ledger } from './ledger.ts'
import type { PatternPlan } from './plan.ts'

export interface PatternWorld extends World {
  readonly plan: PatternPlan
  readonly ledger: Ledger
  /** Nothing goes wrong any more. */
  readonly isLast: boolean
}

/** What every message of a history carries. */
export interface Data {
  readonly uid: string
}

/** What a run leaves with its commit, and what it returns. */
export interface Mark {
  readonly job: string
  readonly run: number
}

/** The marks of all runs, in the order of their commits. */
export const marksQueue: QueueContract<Mark> = defineQueue<Mark>('marks')
/** Members of families that have no children, and those that have some. */
export const memberQueues = { leaf: 'leaf', parent: 'parent' } as const
export const ask: CallContract<Data, Mark, Data, Mark, { refused: { run: number } }> = defineCall<
  Data,
  Mark,
  { refused: { run: number } }
>('ask')
/** What some handlers ask for before they end: whose job it is comes back. */
export const confirmJob: CallContract<string, string> = defineCall<string, string>('confirm-job')

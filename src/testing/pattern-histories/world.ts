/** What all processes of a history share: its plan, its broker, its ledger, and what they call things. */
import { type CallContract, defineCall, defineQueue, type QueueContract } from '../../client/contract.ts'
import type { Prng } from '../../lib/prng.ts'
import type { TestBroker } from '../kit/test-broker.ts'
import type { Ledger } from './ledger.ts'
import type { Plan } from './plan.ts'

export interface World {
  readonly plan: Plan
  readonly test: TestBroker
  readonly ledger: Ledger
  /** For what is decided when it happens. */
  readonly prng: Prng
  /** Nothing goes wrong any more. */
  readonly isLast: boolean
  nowMs(): number
  /** Something has happened. */
  note(line: string): void
  complain(invariant: string, text: string): void
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

/**
 * One seed, one history: a broker lives, is crashed at some operation of its disk (or closed), and lives again on what is
 * left, while clients use it and every promise is checked.
 */
import { Prng } from '../../lib/prng.ts'
import { assert } from '../../lib/assert.ts'
import type { Driver, Login, Session } from '../../model/channel.ts'
import { emptyTable } from '../../model/field-table.ts'
import { SimClock } from '../sim-clock.ts'
import { SimDisk, type SimFault, type SimOperation } from '../sim-disk.ts'
import { SimMachine } from '../sim-host.ts'
import { SimNetwork } from '../sim-network.ts'
import { Checker, type Match } from './checker.ts'
import { Client } from './client.ts'
import { crashDisk } from './crash.ts'
import { DurableState } from './facts.ts'
import { dataDirectory, openBroker, type OpenedBroker } from './found-state.ts'
import { Ledger } from './ledger.ts'
import { type Ending, makePlan, pick, type Plan } from './plan.ts'
import { type Candidate, Reference } from './reference.ts'
import { SimProcess } from './sim-process.ts'
import { Trace, Violation } from './trace.ts'
import { Witness } from './witness.ts'

export interface SimulationOptions {
  /** Gets every line of the history; null for speed. */
  readonly print: ((line: string) => void) | null
  /** Errors that nobody caught, such as rejected promises; what is returned is forgotten. */
  readonly takeUncaught: () => unknown
}

export interface SimulationResult {
  readonly seed: number
  readonly hash: string
  readonly transport: string
  readonly violation: Violation | null
  readonly crashes: number
  readonly recoveries: number
  /** Crashes that were only tried on a copy of the disk. */
  readonly probes: number
  readonly diskOperations: number
  readonly publishes: number
  readonly confirms: number
}

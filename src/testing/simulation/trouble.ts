/** What goes wrong with the disk of one life: a crash at some operation, writes that fail for a while, a sync that fails. */
import type { Prng } from '../../lib/prng.ts'
import type { SimDisk } from '../sim-disk.ts'
import type { SimFault, SimOperation } from '../sim-operation.ts'
import type { Ending } from './plan.ts'
import type { Trace } from './trace.ts'

export class Trouble {
  /** Operations that failed in this life. */
  faults = 0
  /** How a crash that was planned ends: with the process alone, or with the power. */
  isProcessOnly: boolean | null = null
  private readonly disk: SimDisk
  private readonly prng: Prng
  private readonly trace: Trace
  private crashAt = Number.POSITIVE_INFINITY
  private writeFaults: { readonly from: number; readonly to: number; readonly code: string } | null = null
  private syncFault: { readonly from: number; readonly model: 'clean' | 'reverted' } | null = null

  constructor(disk: SimDisk, prng: Prng, trace: Trace) {
    this.disk = disk
    this.prng = prng
    this.trace = trace
    disk.fault = (operation) => this.faultOf(operation)
  }

  /** The operation has been reached: the machine must die before anything else happens. */
  get isCrashDue(): boolean {
    return this.disk.operations > this.crashAt
  }

  plan(ending: Ending): void {
    const { prng, disk } = this
    // An opening takes about forty operations, and some trouble must hit it; a life seldom has more than two hundred.
    const later = 40 + prng.below(prng.chance(0.7) ? 60 : 400)
    const index = disk.operations + (prng.chance(0.25) ? prng.below(45) : later)
    if (ending === 'power' || ending === 'process') this.planCrash(index, ending === 'process')
    else if (ending === 'close' && prng.chance(0.3)) this.planCrash(index, prng.chance(0.3))
    else if (ending === 'write-fault') {
      const code = prng.chance(0.7) ? 'ENOSPC' : 'EIO'
      this.writeFaults = { from: index, to: index + 1 + prng.below(12), code }
    } else if (ending === 'sync-fault') this.syncFault = { from: index, model: prng.chance(0.7) ? 'clean' : 'reverted' }
  }

  calm(): void {
    this.crashAt = Number.POSITIVE_INFINITY
    this.isProcessOnly = null
    this.writeFaults = null
    this.syncFault = null
    this.faults = 0
    this.disk.stopAt = Number.POSITIVE_INFINITY
  }

  private planCrash(index: number, isProcessOnly: boolean): void {
    this.crashAt = index
    this.isProcessOnly = isProcessOnly
    // Just before the operation, or while it is under way.
    this.disk.stopAt = this.prng.chance(0.5) ? index : index + 1
  }

  private faultOf({ index, kind, path, bytes }: SimOperation): SimFault | null {
    const fault = this.chooseFault(index, kind, bytes)
    if (fault !== null) this.faults++
    const size = bytes > 0 ? ` ${bytes} bytes` : ''
    this.trace.add(`    disk ${index} ${kind} ${path}${size}${fault === null ? '' : ` FAILS ${fault.code}`}`)
    return fault
  }

  private chooseFault(index: number, kind: SimOperation['kind'], bytes: number): SimFault | null {
    const { writeFaults, syncFault } = this
    const isWrite = kind === 'write' || kind === 'create'
    if (writeFaults !== null && isWrite && index >= writeFaults.from && index < writeFaults.to) {
      return { code: writeFaults.code, bytesWritten: this.prng.below(bytes + 1) }
    }
    const isSync = kind === 'sync' || kind === 'syncDirectory'
    if (syncFault === null || !isSync || index < syncFault.from) return null
    this.syncFault = null
    return { code: 'EIO', model: syncFault.model }
  }
}

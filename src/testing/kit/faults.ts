/**
 * What goes wrong on demand, and for how long. Each fault has its own dice, thrown from the broker's seed and how many were
 * switched on before it: the same test with the same seed sees the same mishaps, whatever other faults there are.
 */
import type { Bus } from '../../client/bus.ts'
import { type Duration, durationMs } from '../../client/duration.ts'
import { checkOptionNames } from '../../client/names.ts'
import { Prng } from '../../lib/prng.ts'
import { LeveretError } from '../../model/errors.ts'
import type { SimDisk } from '../sim-disk.ts'
import { seedFor } from './seeds.ts'

/** A fault that is switched on. It ends with `end()`, with the scope of a `using`, or with the test broker. */
export interface Fault extends Disposable {
  /** From here on nothing more goes wrong because of it; what went wrong before stays so. */
  end(): void
}

export interface FaultOptions {
  /** The share that is hit, from 0 (nothing) to 1 (everything). */
  readonly share: number
  /** Only what goes to or comes from this queue; left out: any queue. */
  readonly queue?: string
}

export interface ReorderOptions extends FaultOptions {
  /** How late a delivery comes at most, in virtual time. Default 1 s. */
  readonly within?: Duration
}

/** What the connections of buses ask of the faults. */
export interface FaultDice {
  /** Whether what acknowledges a first delivery from this queue gets lost. */
  losesAck(queue: string): boolean
  /** How late a delivery from this queue comes, in ms; 0: at once. */
  lateness(queue: string): number
  /** What becomes of a send to this queue whose sender is told that it failed; null: it goes well. */
  failedSend(queue: string): 'stored' | 'lost' | null
}

/** What a fault reaches of the test broker. */
export interface FaultyWorld {
  readonly seed: number
  /** Null: it is in memory. */
  readonly disk: SimDisk | null
  crashClient(bus: Bus): Promise<void>
}

const reorderWithinMs = 1_000

/** `test.faults` of a test broker. */
export class Faults implements FaultDice {
  private readonly world: FaultyWorld
  private readonly lost: Set<Hits> = new Set()
  private readonly late: Set<Hits> = new Set()
  private readonly failing: Set<Hits> = new Set()
  private readonly full: Set<object> = new Set()
  private readonly slow: Map<object, number> = new Map()
  private switchedOn = 0

  /** Use `test.faults`. */
  constructor(world: FaultyWorld) {
    this.world = world
  }

  /**
   * The process that has this bus dies without a word. Whatever it held goes back to its queues and is delivered again, to
   * others, flagged as redelivered; its exclusive queues are gone. On the bus everything under way rejects with
   * E_CONNECTION_LOST: what its handlers still do does not count. Resolves when the broker has noticed.
   */
  crashClient(bus: Bus): Promise<void> {
    return this.world.crashClient(bus)
  }

  /**
   * A share of the acknowledgements never arrives, as when a process dies between the work and the acknowledgement: the
   * message was handled, and is delivered once more, flagged as redelivered. That is what a handler has to be idempotent
   * for.
   *
   * What is stored together with an acknowledgement (`context.send`, the result for a receipt, the copy for the next
   * attempt) is lost with it, and messages whose handlers were committed together come again together. A redelivery is
   * not hit again.
   */
  duplicate(options: FaultOptions): Fault {
    return this.hit(this.lost, 'duplicate', options)
  }

  /**
   * A share of the deliveries comes late, within a second or what `within` says, and those behind them overtake. A message
   * that is late takes its place among `prefetch`. What is late already when the fault ends still comes late.
   */
  reorder(options: ReorderOptions): Fault {
    return this.hit(this.late, 'reorder', options, options.within ?? reorderWithinMs)
  }

  /**
   * A share of the sends rejects with E_REFUSED. Half of them are stored all the same: that is what a sender knows whose
   * confirm did not come. To send again may store twice, not to send again may lose. What handlers send with `context.send`
   * is stored with their acknowledgement and not hit.
   */
  failSend(options: FaultOptions): Fault {
    return this.hit(this.failing, 'failSend', options)
  }

  /**
   * No byte fits on the disk any more. What is sent waits, and so does whoever awaits it; nothing that is stored is lost. When
   * there is room again, all goes on within a few seconds. Throws E_UNSUPPORTED for a broker in memory.
   */
  diskFull(): Fault {
    const disk = this.needDisk('diskFull')
    const one = {}
    this.full.add(one)
    disk.spaceBytesMax = 0
    return new SwitchedOn(() => {
      this.full.delete(one)
      if (this.full.size === 0) disk.spaceBytesMax = Number.POSITIVE_INFINITY
    })
  }

  /**
   * Every sync takes so much longer, so a send does: without it the disk of a test broker takes no time. Throws E_UNSUPPORTED
   * for a broker in memory, E_BAD_OPTION.
   */
  syncDelay(delay: Duration): Fault {
    const disk = this.needDisk('syncDelay')
    const one = {}
    this.slow.set(one, durationMs(delay, 'faults.syncDelay'))
    const update = (): void => {
      disk.syncDelayMs = Math.max(0, ...this.slow.values())
    }
    update()
    return new SwitchedOn(() => {
      this.slow.delete(one)
      update()
    })
  }

  /** Switches everything off. */
  end(): void {
    for (const hits of [...this.lost, ...this.late, ...this.failing]) hits.end()
    this.full.clear()
    this.slow.clear()
    const { disk } = this.world
    if (disk === null) return
    disk.spaceBytesMax = Number.POSITIVE_INFINITY
    disk.syncDelayMs = 0
  }

  losesAck(queue: string): boolean {
    return firstHit(this.lost, queue) !== null
  }

  lateness(queue: string): number {
    return firstHit(this.late, queue)?.lateness() ?? 0
  }

  failedSend(queue: string): 'stored' | 'lost' | null {
    const hit = firstHit(this.failing, queue)
    if (hit === null) return null
    return hit.coin() ? 'stored' : 'lost'
  }

  private hit(among: Set<Hits>, name: string, options: ReorderOptions, within: Duration = 0): Fault {
    const where = `faults.${name}`
    checkOptionNames(where, options, name === 'reorder' ? ['share', 'queue', 'within'] : ['share', 'queue'])
    const { share, queue = null } = options
    if (typeof share !== 'number' || !(share >= 0 && share <= 1)) {
      throw new LeveretError('E_BAD_OPTION', `${where}: share is ${String(share)}, and has to be a number from 0 to 1`)
    }
    const withinMs = durationMs(within, `${where}: within`)
    const prng = new Prng(seedFor(this.world.seed, 'fault', this.switchedOn++))
    const hits = new Hits(prng, share, queue, withinMs, () => among.delete(hits))
    among.add(hits)
    return hits
  }

  private needDisk(name: string): SimDisk {
    const { disk } = this.world
    if (disk !== null) return disk
    const text = `faults.${name}: this test broker is in memory and has no disk: create it with storage: 'disk'`
    throw new LeveretError('E_UNSUPPORTED', text)
  }
}

/** A fault that hits by chance. */
class Hits implements Fault {
  private readonly prng: Prng
  private readonly share: number
  private readonly queue: string | null
  private readonly withinMs: number
  readonly end: () => void

  constructor(prng: Prng, share: number, queue: string | null, withinMs: number, end: () => void) {
    this.prng = prng
    this.share = share
    this.queue = queue
    this.withinMs = withinMs
    this.end = end
  }

  [Symbol.dispose](): void {
    this.end()
  }

  hits(queue: string): boolean {
    return (this.queue === null || this.queue === queue) && this.prng.chance(this.share)
  }

  /** In ms, and never 0. */
  lateness(): number {
    return (1 - this.prng.next()) * this.withinMs
  }

  coin(): boolean {
    return this.prng.chance(0.5)
  }
}

class SwitchedOn implements Fault {
  readonly end: () => void

  constructor(end: () => void) {
    this.end = end
  }

  [Symbol.dispose](): void {
    this.end()
  }
}

function firstHit(among: ReadonlySet<Hits>, queue: string): Hits | null {
  for (const hits of among) if (hits.hits(queue)) return hits
  return null
}

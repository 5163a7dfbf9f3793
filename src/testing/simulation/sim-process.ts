/**
 * One life of a process: its clock, disk, network and identity. `kill` ends it between two events; nothing it waited for
 * happens any more.
 */
import type { Disk } from '../../platform/disk.ts'
import type { Platform } from '../../platform/platform.ts'
import { ProcessClock } from '../process-clock.ts'
import type { SimClock } from '../sim-clock.ts'
import { SimCrypto } from '../sim-crypto.ts'
import type { SimHost, SimMachine } from '../sim-host.ts'
import type { SimNetwork, SimNetworkProcess } from '../sim-network.ts'
import { SimRandom } from '../sim-random.ts'

export class SimProcess implements Platform {
  readonly clock: ProcessClock
  readonly disk: Disk
  readonly network: SimNetworkProcess
  readonly random: SimRandom
  readonly crypto: SimCrypto
  readonly host: SimHost
  private readonly machine: SimMachine

  constructor(
    clock: SimClock,
    disk: Disk,
    network: SimNetwork,
    machine: SimMachine,
    address: string,
    randomSeed: number,
  ) {
    this.clock = new ProcessClock(clock)
    this.disk = disk
    this.network = network.attachProcess(address)
    this.random = new SimRandom(randomSeed)
    this.crypto = new SimCrypto(this.clock)
    this.machine = machine
    this.host = machine.startProcess()
  }

  get isDead(): boolean {
    return this.clock.isDead
  }

  /** The caller sees to the disk, which may belong to others too. */
  kill(): void {
    this.clock.isDead = true
    this.network.crash()
    this.machine.endProcess(this.host)
  }
}

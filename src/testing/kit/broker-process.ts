/** One life of the process in which the broker of a test is: from its recovery to its end, in good order or by a power cut. */
import { Broker } from '../../broker/broker.ts'
import type { StorageSettings } from '../../client/storage-options.ts'
import { WholeBodies } from '../../client/whole-bodies.ts'
import { loadCronEngine } from '../../cron-engine.ts'
import type { Prng } from '../../lib/prng.ts'
import type { Driver } from '../../model/channel.ts'
import { LeveretError } from '../../model/errors.ts'
import { loadPatternEngine } from '../../pattern-engine.ts'
import type { Network } from '../../platform/network.ts'
import type { Platform } from '../../platform/platform.ts'
import { LogStore } from '../../store/log-store.ts'
import { logStoreOptionsDefault } from '../../store/log-store-options.ts'
import { MemoryStore } from '../../store/memory-store.ts'
import { ProcessClock } from '../process-clock.ts'
import { SimCrypto } from '../sim-crypto.ts'
import type { SimDisk } from '../sim-disk.ts'
import { type SimHost, SimMachine } from '../sim-host.ts'
import { SimRandom } from '../sim-random.ts'
import { cutPower } from '../simulation/crash.ts'
import type { VirtualTime } from './virtual-time.ts'

const directory = '/broker'
/** As of a broker behind `connect`. */
const memoryBytesMax = 1_073_741_824

/** What outlives the broker's process. */
export interface BrokerMachine {
  readonly time: VirtualTime
  readonly disk: SimDisk
  readonly machine: SimMachine
  /** Null: the broker forgets everything with its process. */
  readonly storage: StorageSettings | null
  /** The process that is up; null: none is. */
  running: BrokerProcess | null
}

export class BrokerProcess {
  readonly broker: Broker
  /** What a bus talks to. */
  readonly driver: Driver
  private readonly clock: ProcessClock
  private readonly host: SimHost
  private readonly of: BrokerMachine

  private constructor(of: BrokerMachine, broker: Broker, clock: ProcessClock, host: SimHost) {
    this.of = of
    this.broker = broker
    this.driver = broker.bodies === null ? broker : new WholeBodies(broker, broker.bodies)
    this.clock = clock
    this.host = host
  }

  /** Starts the process, which recovers what is on the disk. */
  static async start(of: BrokerMachine, seed: number): Promise<BrokerProcess> {
    const { time, disk, machine, storage } = of
    const clock = new ProcessClock(time.clock)
    const host = machine.startProcess()
    const platform: Platform = { ...simulatedPlatform(clock, disk, seed), host }
    const store =
      storage === null
        ? new MemoryStore()
        : // Nobody else fills this disk, so there is nothing to keep in reserve.
          new LogStore(platform, directory, { ...logStoreOptionsDefault, ...storage, reserveBytes: 0 })
    const deliverAfter = storage?.deliverAfter ?? 'accept'
    const loadEngine: typeof loadPatternEngine = () => time.during(loadPatternEngine())
    const loadCrons: typeof loadCronEngine = () => time.during(loadCronEngine())
    const broker = await Broker.open(platform, store, {
      memoryBytesMax,
      deliverAfter,
      loadPatternEngine: loadEngine,
      loadCronEngine: loadCrons,
    })
    return new BrokerProcess(of, broker, clock, host)
  }

  /** As by SIGTERM: everything is stored, sessions are told. */
  async close(): Promise<void> {
    try {
      await this.broker.close()
    } finally {
      this.end()
    }
  }

  /** The power goes. To be called between two things that happen, never in the middle of one. */
  crash(prng: Prng): void {
    cutPower(this.of.disk, prng)
    this.of.machine.reboot()
    this.end()
  }

  private end(): void {
    this.clock.isDead = true
    this.of.machine.endProcess(this.host)
  }
}

/** A platform without a network: what is in it happens in virtual time and by the seed. */
export function simulatedPlatform(clock: ProcessClock, disk: SimDisk, seed: number): Platform {
  const host = new SimMachine().startProcess()
  return { clock, disk, network: noNetwork, random: new SimRandom(seed), crypto: new SimCrypto(clock), host }
}

const noNetwork: Network = {
  listen: () => Promise.reject(noSockets()),
  connect: () => Promise.reject(noSockets()),
}

export function noSockets(): LeveretError {
  const text =
    'a test broker has no sockets, for real ones know no virtual time: serve one opened by connect, as in `memory:`'
  return new LeveretError('E_UNSUPPORTED', text)
}

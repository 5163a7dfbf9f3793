/**
 * A broker for tests: the one that runs in production, on a simulated disk and in virtual time, with as many buses on it as
 * a test wants processes.
 */
import { type Bus, type ConnectOptions, checkConnectOptions, openBus } from '../../client/bus.ts'
import type { BusWiring } from '../../client/bus-wiring.ts'
import { type Duration, durationMs } from '../../client/duration.ts'
import { checkInteger, checkOptionNames, shown } from '../../client/names.ts'
import { type StorageOptions, storageOptions } from '../../client/storage-options.ts'
import { Prng } from '../../lib/prng.ts'
import type { Login } from '../../model/channel.ts'
import { LeveretError } from '../../model/errors.ts'
import { emptyTable } from '../../model/field-table.ts'
import { limits } from '../../model/limits.ts'
import { ProcessClock } from '../process-clock.ts'
import { SimDisk } from '../sim-disk.ts'
import { SimMachine } from '../sim-host.ts'
import { SimThreads } from '../sim-threads.ts'
import { type BrokerMachine, BrokerProcess, noSockets, simulatedPlatform } from './broker-process.ts'
import { BusLink } from './bus-link.ts'
import { Faults } from './faults.ts'
import { seedFor, seedMax } from './seeds.ts'
import { sleep, VirtualTime } from './virtual-time.ts'

export interface TestBrokerOptions extends Omit<StorageOptions, 'networkFolder'> {
  /** One seed, one history: it decides over faults, over what a crash leaves, and over all that is random. Default 1. */
  readonly seed?: number
  /** `disk` (default): as `file:`, on a simulated disk. `memory`: as `memory:`, which a crash empties. */
  readonly storage?: 'disk' | 'memory'
  /** What the virtual wall clock shows at first. Default 2026-01-01T00:00Z. */
  readonly now?: Date
}

const hostLogin: Login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
/** Up to its confirm a send takes about three rounds of what is due. */
const crashRoundsMax = 4
const storageNames = ['durability', 'deliverAfter', 'networkFolder'] as const

/**
 * Creates a broker for one test. It needs no test runner, no disk, no socket and no time: what can happen without time
 * going by happens by itself, so `await queue.send(…)` is all there is to sending; what takes time waits for `advance` or
 * `run`.
 *
 * One seed is one history, as long as the code under test waits for nothing but promises, this broker and `test.sleep`.
 *
 * Throws E_BAD_OPTION.
 */
export async function createTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const { seed, machine } = machineFor(options)
  const test = new TestBroker(seed, machine)
  await test.restart()
  return test
}

/** The seed and the machine of such a broker, before it has started. Throws E_BAD_OPTION. */
export function machineFor(options: TestBrokerOptions): { readonly seed: number; readonly machine: BrokerMachine } {
  const where = 'createTestBroker'
  checkOptionNames(where, options, ['seed', 'storage', 'now', 'durability', 'deliverAfter'])
  const { seed = 1, storage = 'disk', now, durability, deliverAfter } = options
  checkInteger(where, 'seed', seed, 0, seedMax)
  if (storage !== 'disk' && storage !== 'memory') {
    const text = `${where}: storage is '${String(storage)}', and has to be 'disk' or 'memory'`
    throw new LeveretError('E_BAD_OPTION', text)
  }
  if (now !== undefined && (!(now instanceof Date) || Number.isNaN(now.getTime()))) {
    throw new LeveretError('E_BAD_OPTION', `${where}: now is ${shown(now)}, and has to be a Date`)
  }
  const settings = storageOptions(storage === 'disk' ? 'file' : 'memory', { durability, deliverAfter })
  const time = new VirtualTime(now?.getTime() ?? null)
  const disk = new SimDisk(time.clock, seedFor(seed, 'disk'), { latencyMsMax: 0 })
  const machine: BrokerMachine = {
    time,
    disk,
    machine: new SimMachine(),
    storage: storage === 'disk' ? settings : null,
    running: null,
  }
  return { seed, machine }
}

/** A bus, and what of its process can be reached. */
export interface Client {
  readonly bus: Bus
  readonly link: BusLink
  readonly threads: SimThreads
}

/** Use `createTestBroker`. */
export class TestBroker implements AsyncDisposable {
  /** Faults on demand. */
  readonly faults: Faults
  /** What the buses told `onError`, in the order in which it happened. */
  readonly errors: Error[] = []
  private readonly seed: number
  private readonly parts: BrokerMachine
  private readonly rewire: (wiring: BusWiring) => BusWiring
  private readonly time: VirtualTime
  protected readonly clients: Set<Client> = new Set()
  private processes = 0
  private crashes = 0
  private buses = 0
  private closing: Promise<void> | null = null

  /** `rewire` is for Leveret's own tests: what they change in how a bus reaches the broker. */
  constructor(seed: number, parts: BrokerMachine, rewire: (wiring: BusWiring) => BusWiring = (usual) => usual) {
    this.seed = seed
    this.parts = parts
    this.rewire = rewire
    this.time = parts.time
    const disk = parts.storage === null ? null : parts.disk
    this.faults = new Faults({ seed, disk, crashClient: (bus) => this.crashClient(bus) })
  }

  /** What the virtual wall clock shows. */
  get now(): Date {
    return new Date(this.time.clock.realtimeMs())
  }

  /**
   * A bus on this broker, as `connect('file:…')` gives it, in a process of its own as far as the broker can see. `serve` is
   * E_UNSUPPORTED. Rejects with E_BAD_OPTION, also for `durability` and `deliverAfter`, which `createTestBroker` takes;
   * with E_CONNECT_FAILED after `crash`.
   */
  async connect(options: ConnectOptions = {}): Promise<Bus> {
    this.needOpen('connect')
    checkConnectOptions(options)
    for (const name of storageNames) {
      if (options[name] === undefined) continue
      const text = `connect: the storage of a test broker is there already: give ${name} to createTestBroker`
      throw new LeveretError('E_BAD_OPTION', text)
    }
    const { time, parts } = this
    const { running } = parts
    if (running === null) {
      throw new LeveretError('E_CONNECT_FAILED', 'connect: the test broker has crashed: await test.restart() first')
    }
    const clock = new ProcessClock(time.clock)
    const link = new BusLink(running.driver, clock, this.faults)
    const seed = seedFor(this.seed, 'bus', this.buses++)
    const { onError, ...others } = options
    const threads = new SimThreads(clock, (work) => time.during(work))
    const wiring = this.wiring(running, link, { ...simulatedPlatform(clock, parts.disk, seed), threads })
    const bus = await time.run(
      openBus(this.rewire(wiring), {
        ...others,
        onError: (error) => {
          this.errors.push(error)
          return onError?.(error)
        },
      }),
      'connect',
    )
    if (parts.running !== running) {
      await bus.close()
      throw new LeveretError('E_CONNECT_FAILED', 'connect: the test broker has ended meanwhile')
    }
    this.clients.add({ bus, link, threads })
    return bus
  }

  /** So much virtual time goes by, and everything happens that is due until then. */
  async advance(duration: Duration): Promise<void> {
    await this.time.advance(durationMs(duration, 'test.advance'), 'test.advance')
  }

  /**
   * Everything happens that can happen without time going by: what was sent is stored, delivered, handled and acknowledged.
   * Where a fault makes the disk or a delivery slow, that needs time.
   */
  settle(): Promise<void> {
    return this.time.advance(0, 'test.settle')
  }

  /**
   * Settles as the promise does, and lets just so much virtual time go by as that needs. Rejects with E_WOULD_DEADLOCK when
   * nothing is left to happen that could settle it, with E_TIMEOUT after 250,000 things that happened to no avail.
   */
  run<T>(promise: Promise<T>): Promise<T> {
    return this.time.run(promise, 'test.run')
  }

  /** Resolves when so much virtual time has gone by, without letting any go by: for handlers that take their time. */
  async sleep(duration: Duration): Promise<void> {
    await sleep(this.time.clock, durationMs(duration, 'test.sleep'))
  }

  /**
   * The broker's process ends as by a power cut, in the midst of what it does: the seed says where in that, and of what was
   * not synced which sectors survive, are lost or are torn. A send that has resolved is there (unless `durability` is less
   * than `fsync`), one under way may be, an acknowledgement may be lost. Everything on all buses rejects with
   * E_CONNECTION_LOST.
   */
  async crash(): Promise<void> {
    this.needOpen('test.crash')
    const prng = new Prng(seedFor(this.seed, 'crash', this.crashes++))
    await this.soon(prng.below(crashRoundsMax), () => {
      this.parts.running?.crash(prng)
      this.parts.running = null
      this.cutAll('the test broker has crashed')
    })
  }

  /**
   * The broker starts again, and recovers what is on its disk; `connect` gives a new bus. One that runs is closed first, in
   * good order. Rejects with E_STORAGE_CORRUPT.
   */
  async restart(): Promise<void> {
    this.needOpen('test.restart')
    await this.endProcess()
    const { parts, time } = this
    const seed = seedFor(this.seed, 'broker', this.processes++)
    parts.running = await time.run(BrokerProcess.start(parts, seed), 'test.restart')
  }

  /**
   * Ends all faults, closes all buses as `bus.close()` does, and the broker. Handlers that have not ended after 30 s of
   * virtual time are waited for no longer. Nothing is left that keeps a process alive.
   */
  close(): Promise<void> {
    this.closing ??= this.closeAll()
    return this.closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  private async closeAll(): Promise<void> {
    this.faults.end()
    try {
      const clients = [...this.clients]
      const closed = await Promise.allSettled(clients.map(({ bus }) => this.time.run(bus.close(), 'test.close')))
      await this.endProcess()
      for (const one of closed) if (one.status === 'rejected') throw one.reason
    } finally {
      this.time.end()
    }
  }

  /** Whoever is connected hears of it. */
  private async endProcess(): Promise<void> {
    const { running } = this.parts
    this.parts.running = null
    if (running !== null) await this.time.run(running.close(), 'test.close')
    this.clients.clear()
  }

  private async crashClient(bus: Bus): Promise<void> {
    this.needOpen('faults.crashClient')
    const client = [...this.clients].find((one) => one.bus === bus)
    if (client === undefined) {
      const text = 'faults.crashClient: the bus is none that this test broker gave, or its broker has ended since'
      throw new LeveretError('E_BAD_OPTION', text)
    }
    this.clients.delete(client)
    await this.soon(0, () => client.link.cut('its process has ended'))
    await this.time.run(client.link.notice(), 'faults.crashClient')
  }

  private cutAll(why: string): void {
    for (const { link } of this.clients) link.cut(why)
    this.clients.clear()
  }

  /**
   * Calls it between two things that happen, for who calls us may be in the midst of one, and after so many rounds of what
   * is due. It resolves in the same turn, so that who asks for a crash can still handle what rejects because of it.
   */
  private soon(rounds: number, callback: () => void): Promise<void> {
    const { clock } = this.time
    const done = new Promise<void>((resolve) => {
      const round = (left: number): void => {
        if (left > 0) return clock.defer(() => round(left - 1))
        callback()
        resolve()
      }
      clock.defer(() => round(rounds))
    })
    return this.time.run(done, 'test')
  }

  private needOpen(what: string): void {
    if (this.closing !== null) throw new LeveretError('E_CLOSED', `${what}: the test broker is closed`)
  }

  private wiring({ broker }: BrokerProcess, link: BusLink, platform: BusWiring['platform']): BusWiring {
    return {
      platform,
      driver: link,
      login: hostLogin,
      commits: 'native',
      inMemory: this.parts.storage === null,
      statistics: () => true,
      messageBytesMax: limits.messageBytesMax,
      notes: broker.report.notes,
      onFailure: (listener) => broker.onFailure(listener),
      onDamage: (listener) => broker.onDamage(listener),
      serve: () => Promise.reject(noSockets()),
    }
  }
}

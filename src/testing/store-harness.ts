/** A broker over a folder on a simulated disk, opened, killed and opened again: for tests of what the store keeps. */
import { Broker } from '../broker/broker.ts'
import type { Command, Reply } from '../model/command.ts'
import type { Clock } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import { LogStore } from '../store/log-store.ts'
import { type LogStoreOptions, logStoreOptionsDefault } from '../store/log-store-options.ts'
import { CoreChannel, CoreSession, consume, declareQueue, hostLogin } from './core-harness.ts'
import { SimClock } from './sim-clock.ts'
import { SimDisk } from './sim-disk.ts'
import { SimMachine } from './sim-host.ts'
import { SimRandom } from './sim-random.ts'

/** Longer than a write and a sync, shorter than acknowledgements wait for company. */
export const commitMs = 40
export const persistent = { persistent: true }

export function durableQueue(name: string): Command {
  return declareQueue(name, { durable: true })
}

export function getOf(queue: string, noAck: boolean): Command {
  return { type: 'basic.get', queue, noAck }
}

/** One opening of the folder. */
export class StoreRun {
  readonly broker: Broker
  readonly store: LogStore
  readonly session: CoreSession
  readonly channel: CoreChannel
  readonly failures: string[] = []
  private readonly clock: SimClock

  constructor(clock: SimClock, broker: Broker, store: LogStore, session: CoreSession) {
    this.clock = clock
    this.broker = broker
    this.store = store
    this.session = session
    this.channel = new CoreChannel({ settle() {} }, session.port)
    broker.onFailure((error) => this.failures.push(error.code))
  }

  async settle(ms: number = commitMs): Promise<void> {
    await this.clock.advance(ms)
  }

  async ask(command: Command): Promise<Reply> {
    const id = this.channel.give(command)
    await this.settle()
    if (this.channel.error !== null) throw this.channel.error
    return this.channel.replies.get(id) as Reply
  }

  async declare(...names: string[]): Promise<void> {
    for (const name of names) this.channel.give(durableQueue(name))
    await this.settle()
  }

  delete(queue: string): void {
    this.channel.give({ type: 'queue.delete', queue, ifUnused: false, ifEmpty: false })
  }

  async publish(queue: string, ...bodies: string[]): Promise<void> {
    for (const body of bodies) this.channel.post('', queue, body, persistent)
    await this.settle()
  }

  /** The deliveries of a consumer, which keeps them. */
  async consume(queue: string): Promise<string[]> {
    this.channel.give(consume(queue, { tag: queue }))
    await this.settle()
    return this.channel.takeBodies()
  }

  /** Every body that is ready, `!` behind the redelivered, taken out without acknowledgement. */
  async drain(queue: string): Promise<string[]> {
    const bodies: string[] = []
    for (;;) {
      const id = this.channel.give(getOf(queue, true))
      await this.settle(0)
      // The message may have to be read.
      for (let ms = 0; !this.channel.replies.has(id) && ms < 1_000; ms++) await this.settle(1)
      const reply = this.channel.replies.get(id)
      if (reply?.type !== 'basic.get-ok') return bodies
      bodies.push(reply.message.body.toString() + (reply.redelivered ? '!' : ''))
    }
  }

  /** Names of the durable queues there are, with how many messages are ready. */
  async queues(): Promise<string[]> {
    const reply = await this.ask({ type: 'leveret.queues' })
    return reply.type === 'leveret.queues-ok' ? reply.queues.map(({ name, ready }) => `${name} ${ready}`) : []
  }

  close(): Promise<void> {
    return this.clock.run(this.broker.close())
  }
}

export interface StoreWorldOptions extends Partial<LogStoreOptions> {
  readonly seed?: number
  /** Wraps the clock that the broker sees. */
  readonly seen?: (clock: SimClock) => Clock
}

/** The machine with that disk: it outlives its processes. */
export class StoreWorld {
  readonly clock: SimClock = new SimClock()
  readonly disk: SimDisk
  private readonly machine = new SimMachine()
  private readonly random: SimRandom
  private readonly options: LogStoreOptions
  private readonly seen: Clock

  constructor({ seed = 1, seen, ...options }: StoreWorldOptions = {}) {
    this.options = { ...logStoreOptionsDefault, ...options }
    this.disk = new SimDisk(this.clock, seed)
    this.random = new SimRandom(seed)
    this.seen = seen?.(this.clock) ?? this.clock
  }

  async open(options: Partial<LogStoreOptions> = {}): Promise<StoreRun> {
    const { clock, disk, random, seen } = this
    const host = this.machine.startProcess()
    const platform = { clock: seen, disk, random, host, network: null } as unknown as Platform
    const store = new LogStore(platform, '/data', { ...this.options, ...options })
    const broker = await clock.run(Broker.open(platform, store, { memoryBytesMax: 1_000_000_000 }))
    const session = new CoreSession({ settle() {} })
    session.port = await clock.run(broker.openSession(hostLogin, session))
    return new StoreRun(clock, broker, store, session)
  }

  /** The process dies; what it wrote is in the page cache or on disk. */
  kill(): void {
    this.disk.crash(undefined, true)
    this.forget()
  }

  /** The power goes: what was not synced may be anything. */
  cutPower(): void {
    this.disk.crash()
    this.forget()
  }

  get segments(): string[] {
    return this.disk.paths().filter((path) => path.endsWith('.log'))
  }

  private forget(): void {
    this.disk.fault = null
    this.clock.clear()
    this.machine.reboot()
  }
}

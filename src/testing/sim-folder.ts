/** A broker over a folder on a simulated disk, for tests of what works on folders: small files, and a journal of confirms. */
import { Broker } from '../broker/broker.ts'
import { WholeBodies } from '../client/whole-bodies.ts'
import type { Command } from '../model/command.ts'
import type { LoadCronEngine } from '../model/cron.ts'
import type { DeliverAfter } from '../model/durability.ts'
import { Message } from '../model/message.ts'
import type { Network } from '../platform/network.ts'
import type { Platform } from '../platform/platform.ts'
import type { Bodies } from '../store/bodies.ts'
import { LogStore } from '../store/log-store.ts'
import { type LogStoreOptions, logStoreOptionsDefault } from '../store/log-store-options.ts'
import { CoreChannel, CoreSession, declareQueue, hostLogin, makeMessage } from './core-harness.ts'
import { SimClock } from './sim-clock.ts'
import { SimCrypto } from './sim-crypto.ts'
import { SimDisk } from './sim-disk.ts'
import { SimMachine } from './sim-host.ts'
import { SimRandom } from './sim-random.ts'

/** Everything rolls, spills, checkpoints and compacts after some kilobytes. */
export const smallFolderOptions: LogStoreOptions = {
  ...logStoreOptionsDefault,
  segmentBytesMax: 20_000,
  windowBytesMax: 20_000,
  pageBytesMax: 200,
  pageFileBytesMax: 300,
  checkpointBytes: 30_000,
  checkpointMs: 500,
  deadBytesMax: 20_000,
  coldBytesMax: 20_000,
  bodyInlineBytesMax: 4_000,
  bodyChunkBytes: 1_000,
  sliceMs: 0,
}

const commitMs = 40

export class SimFolder {
  readonly clock: SimClock = new SimClock()
  readonly disk: SimDisk
  readonly platform: Platform
  /** What its brokers load; it has to be there, for loading takes no virtual time. */
  readonly engines: { loadCronEngine?: LoadCronEngine } = {}
  private readonly machine = new SimMachine()

  constructor(seed = 1) {
    this.disk = new SimDisk(this.clock, seed)
    const host = this.machine.startProcess()
    const network = null as unknown as Network
    const crypto = new SimCrypto(this.clock)
    this.platform = { clock: this.clock, disk: this.disk, random: new SimRandom(seed), crypto, host, network }
  }

  async open(
    directory = '/data',
    options: Partial<LogStoreOptions> = {},
    deliverAfter: DeliverAfter = 'accept',
  ): Promise<SimFolderRun> {
    const { clock } = this
    const store = new LogStore(this.platform, directory, { ...smallFolderOptions, ...options })
    const broker = await clock.run(
      Broker.open(this.platform, store, { memoryBytesMax: 1_000_000_000, deliverAfter, ...this.engines }),
    )
    const session = new CoreSession({ settle() {} })
    // As in a process that processes messages itself: whole, wherever their bodies are.
    session.port = await clock.run(new WholeBodies(broker, store.bodies).openSession(hostLogin, session))
    const channel = new CoreChannel({ settle() {} }, session.port)
    channel.give({ type: 'confirm.select' })
    return new SimFolderRun(clock, broker, channel, store.bodies)
  }

  /** The process dies: what it wrote is in the page cache or on disk. With `andPower` the machine does: only what is on disk. */
  kill(andPower = false): void {
    this.disk.crash(undefined, !andPower)
    this.clock.clear()
    this.machine.reboot()
  }

  /** The power goes. `choose` as in SimDisk.crash. */
  cutPower(choose?: Parameters<SimDisk['crash']>[0]): void {
    this.disk.crash(choose)
    this.clock.clear()
    this.machine.reboot()
  }

  /** Files under the folder, from it on. */
  files(directory = '/data'): string[] {
    const under = this.disk.paths().filter((path) => path.startsWith(`${directory}/`))
    return under.map((path) => path.slice(directory.length + 1))
  }

  /** Everything that is there. */
  contents(directory = '/data'): Record<string, string> {
    const all = [...this.disk.snapshot()].filter(([path]) => path.startsWith(`${directory}/`))
    return Object.fromEntries(all.map(([path, content]) => [path, content.toString('base64')]))
  }
}

interface LargePost {
  readonly headers?: Readonly<Record<string, number | string>>
  readonly persistent?: boolean
  readonly mandatory?: boolean
  readonly exchange?: string
}

export class SimFolderRun {
  readonly broker: Broker
  readonly channel: CoreChannel
  readonly bodies: Bodies
  private readonly clock: SimClock
  private readonly posted = new Map<number, string>()
  private readonly confirmedUpTo: string[] = []

  constructor(clock: SimClock, broker: Broker, channel: CoreChannel, bodies: Bodies) {
    this.clock = clock
    this.broker = broker
    this.channel = channel
    this.bodies = bodies
  }

  /** The same broker over another channel. */
  onChannel(channel: CoreChannel): SimFolderRun {
    return new SimFolderRun(this.clock, this.broker, channel, this.bodies)
  }

  /** Bodies that were confirmed, in order. */
  get confirmed(): readonly string[] {
    for (const line of this.channel.takeLines()) {
      const [, multiple, number] = /^confirm (up to )?(\d+)$/.exec(line) ?? []
      if (number === undefined) continue
      for (const [sequence, body] of this.posted) {
        if (sequence !== Number(number) && (multiple === undefined || sequence > Number(number))) continue
        this.posted.delete(sequence)
        this.confirmedUpTo.push(body)
      }
    }
    return [...this.confirmedUpTo]
  }

  async settle(ms: number = commitMs): Promise<void> {
    await this.clock.advance(ms)
  }

  async declare(...names: string[]): Promise<void> {
    for (const name of names) this.channel.give(declareQueue(name, { durable: true }))
    await this.settle()
  }

  post(queue: string, body: string, headers: Readonly<Record<string, number | string>> = {}): void {
    this.posted.set(this.channel.post('', queue, body, { persistent: true, headers }), body)
  }

  /** As `post`, for a body that goes to a file: published when that is there. */
  postLarge(
    queue: string,
    body: string,
    { headers = {}, persistent = true, mandatory = false, exchange = '' }: LargePost = {},
  ): void {
    const content = Buffer.from(body)
    const { propertyBytes } = makeMessage('', queue, '', { persistent, headers })
    const properties = Buffer.from(propertyBytes)
    const sink = this.bodies.create(content.length, {
      drained: () => {},
      stored: () => {
        const message = Message.referring(exchange, queue, properties, sink.reference)
        this.posted.set(this.channel.port.publish(message, mandatory), body)
      },
    })
    for (let at = 0; at < content.length; at += 700) sink.write(content, at, Math.min(content.length, at + 700))
    sink.end()
  }

  async publish(queue: string, ...bodies: string[]): Promise<void> {
    for (const body of bodies) this.post(queue, body)
    await this.settle()
  }

  /** Takes so many bodies out of the queue, or all. */
  async take(queue: string, max: number = Number.POSITIVE_INFINITY): Promise<string[]> {
    const bodies: string[] = []
    while (bodies.length < max) {
      const id = this.channel.give({ type: 'basic.get', queue, noAck: true } satisfies Command)
      await this.settle(0)
      // The message may have to be read.
      while (!this.channel.replies.has(id)) {
        if (this.channel.error !== null) throw this.channel.error
        await this.settle(1)
      }
      const reply = this.channel.replies.get(id)
      if (reply?.type !== 'basic.get-ok') break
      bodies.push(reply.message.body.toString())
    }
    await this.settle()
    return bodies
  }

  close(): Promise<void> {
    return this.clock.run(this.broker.close())
  }
}

/** A broker behind the real server, on a simulated network: in memory, or over a folder on a simulated disk. */
import { Broker } from '../../broker/broker.ts'
import { Prng } from '../../lib/prng.ts'
import type { Command, QueueInfo } from '../../model/command.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Connection } from '../../platform/network.ts'
import type { Platform } from '../../platform/platform.ts'
import { AmqpServer } from '../../server/amqp-server.ts'
import { LogStore } from '../../store/log-store.ts'
import { MemoryStore } from '../../store/memory-store.ts'
import { CoreSession, hostLogin } from '../core-harness.ts'
import { SimCrypto } from '../sim-crypto.ts'
import { SimDisk } from '../sim-disk.ts'
import { smallFolderOptions } from '../sim-folder.ts'
import { SimMachine } from '../sim-host.ts'
import { SimNetwork, type SimNetworkProcess } from '../sim-network.ts'
import { SimRandom } from '../sim-random.ts'
import { MeteredClock } from './metered-clock.ts'

export interface WorldPlan {
  readonly seed: number
  /** Whether the broker keeps its messages in a folder on a simulated disk. */
  readonly isStored: boolean
  /** The largest piece the network delivers at once, and how many tiny ones there are. */
  readonly pieceBytesMax: number
  readonly crumbsMax: number
  readonly messageBytesMax: number
}

const port = 5672
const delayedPrefix = 'amq.delayed.'
const directory = '/data'
const memoryBytesMax = 1_000_000_000

export class FuzzWorld {
  readonly clock: MeteredClock
  /** What the server, the broker or the store called its own mistake. */
  readonly errors: unknown[] = []
  readonly server: AmqpServer
  broker: Broker
  private readonly platform: Platform
  private readonly network: SimNetwork
  private readonly clients: SimNetworkProcess
  private readonly isStored: boolean

  private constructor(clock: MeteredClock, platform: Platform, network: SimNetwork, broker: Broker, plan: WorldPlan) {
    this.clock = clock
    this.platform = platform
    this.network = network
    this.broker = broker
    this.isStored = plan.isStored
    this.clients = network.attachProcess('127.0.0.1')
    const { messageBytesMax } = plan
    const onError = (error: unknown): void => void this.errors.push(error)
    this.server = new AmqpServer(platform, broker, { onError, messageBytesMax })
    broker.onFailure(onError)
    broker.onDamage(onError)
  }

  static async open(plan: WorldPlan, real: Pick<Clock, 'monotonicMs'>): Promise<FuzzWorld> {
    const clock = new MeteredClock(real)
    const { pieceBytesMax, crumbsMax } = plan
    const network = new SimNetwork(clock, new Prng(plan.seed), { pieceBytesMax, crumbsMax })
    const platform = {
      clock,
      disk: new SimDisk(clock, plan.seed),
      random: new SimRandom(plan.seed),
      crypto: new SimCrypto(clock),
      host: new SimMachine().startProcess(),
      network: network.attachProcess('127.0.0.1'),
    }
    const broker = await clock.run(openBroker(platform, plan.isStored))
    const world = new FuzzWorld(clock, platform, network, broker, plan)
    await clock.run(world.server.listen('127.0.0.1', port))
    return world
  }

  connect(): Promise<Connection> {
    return this.clock.run(this.clients.connect('127.0.0.1', port))
  }

  /** All the queues there are, as the host process sees them. */
  async queues(): Promise<readonly QueueInfo[]> {
    return await this.ask(async (give) => {
      const reply = await give({ type: 'leveret.queues' })
      return reply.type === 'leveret.queues-ok' ? reply.queues : []
    })
  }

  async deleteQueues(names: readonly string[]): Promise<void> {
    await this.ask(async (give) => {
      for (const queue of names) {
        // Where an exchange keeps what it delays goes with the exchange.
        if (queue.startsWith(delayedPrefix)) {
          await give({ type: 'exchange.delete', exchange: queue.slice(delayedPrefix.length), ifUnused: false })
        } else await give({ type: 'queue.delete', queue, ifUnused: false, ifEmpty: false })
      }
    })
  }

  /** Ends the server, and the broker; then a folder is opened again: what is in it must be readable. */
  async close(): Promise<void> {
    await this.clock.run(this.server.close())
    await this.clock.run(this.broker.close())
    if (!this.isStored) return
    this.broker = await this.clock.run(openBroker(this.platform, true))
    await this.clock.run(this.broker.close())
  }

  get openConnections(): number {
    return this.network.openConnections
  }

  private async ask<T>(
    use: (give: (command: Command) => Promise<ReturnType<CoreReplies['get']> & object>) => Promise<T>,
  ): Promise<T> {
    const { clock } = this
    const session = new CoreSession({ settle() {} })
    session.port = await clock.run(this.broker.openSession(hostLogin, session))
    const channel = session.channel()
    const result = await use(async (command) => {
      const id = channel.give(command)
      for (let waits = 0; !channel.replies.has(id); waits++) {
        if (channel.error !== null) throw channel.error
        if (waits > 100) throw new Error(`${command.type} is not answered`)
        await clock.advance(5)
      }
      return channel.replies.get(id) as NonNullable<ReturnType<CoreReplies['get']>>
    })
    await clock.run(session.port.close())
    return result
  }
}

type CoreReplies = ReturnType<CoreSession['channel']>['replies']

function openBroker(platform: Platform, isStored: boolean): Promise<Broker> {
  const store = isStored ? new LogStore(platform, directory, smallFolderOptions) : new MemoryStore()
  return Broker.open(platform, store, { memoryBytesMax })
}

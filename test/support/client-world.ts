// A bus on a real broker in memory, in virtual time: nothing happens until the test lets it.
import { Broker } from '../../src/broker/broker.ts'
import { type Bus, type BusWiring, type ConnectOptions, openBus } from '../../src/client/bus.ts'
import type { Channel, ChannelEvents, Driver, Login } from '../../src/model/channel.ts'
import type { Command, Reply } from '../../src/model/command.ts'
import type { BrokerError } from '../../src/model/errors.ts'
import { emptyTable, fromTable, type PlainValue } from '../../src/model/field-table.ts'
import { Message } from '../../src/model/message.ts'
import { encodeProperties, type Properties } from '../../src/model/properties.ts'
import type { Platform } from '../../src/platform/platform.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { SimClock } from '../../src/testing/sim-clock.ts'
import { SimRandom } from '../../src/testing/sim-random.ts'

const hostLogin: Login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }

export interface World {
  readonly clock: SimClock
  readonly bus: Bus
  readonly driver: Driver
  /** What the bus's onError heard. */
  readonly errors: Error[]
  /** Lets things happen until the promise has settled. */
  readonly run: <T>(promise: Promise<T>) => Promise<T>
  /** Lets happen what can happen without time going by. */
  readonly settle: () => Promise<void>
}

export interface WorldOptions extends ConnectOptions {
  readonly commits?: 'native' | 'tx'
  readonly driver?: Driver
  readonly wiring?: Partial<BusWiring>
}

export async function openWorld(options: WorldOptions = {}): Promise<World> {
  const { commits = 'native', wiring: changes, driver: given, ...connectOptions } = options
  const clock = new SimClock()
  const platform = { clock, random: new SimRandom(1) } as unknown as Platform
  const store = new MemoryStore()
  const driver = given ?? (await clock.run(Broker.open(platform, store, { memoryBytesMax: 2 ** 30 })))
  const errors: Error[] = []
  const wiring: BusWiring = {
    platform,
    driver,
    login: hostLogin,
    commits,
    inMemory: true,
    statistics: () => true,
    messageBytesMax: 1_000_000,
    notes: [],
    onFailure: () => {},
    onDamage: () => {},
    serve: null,
    ...changes,
  }
  const bus = await clock.run(openBus(wiring, { onError: (error) => errors.push(error), ...connectOptions }))
  return {
    clock,
    bus,
    driver,
    errors,
    run: (promise) => clock.run(promise),
    settle: () => clock.advance(0),
  }
}

export interface PlainMessage {
  readonly properties: Properties
  readonly headers: { readonly [name: string]: PlainValue }
  readonly body: string
}

/** A plain AMQP client on the same broker: it knows queues, properties and bytes, and nothing of ours. */
export class PlainClient implements ChannelEvents {
  readonly received: PlainMessage[] = []
  private readonly world: World
  private readonly channel: Channel
  private readonly replies = new Map<number, Reply>()
  private nextId = 1

  private constructor(world: World, openChannel: (events: ChannelEvents) => Channel) {
    this.world = world
    this.channel = openChannel(this)
  }

  static async open(world: World): Promise<PlainClient> {
    const events = { blocked() {}, unblocked() {}, throttled() {}, resumed() {}, closed() {} }
    const session = await world.run(world.driver.openSession(hostLogin, events))
    return new PlainClient(world, (channelEvents) => session.openChannel(channelEvents))
  }

  publish(queue: string, body: string | Buffer, properties: Properties = {}): void {
    this.channel.publish(Message.of('', queue, encodeProperties(properties), Buffer.from(body)), false)
  }

  async execute(command: Command): Promise<Reply> {
    const id = this.nextId++
    this.channel.execute(id, command)
    await this.world.settle()
    const reply = this.replies.get(id)
    if (reply === undefined) throw new Error(`no answer to ${command.type}`)
    return reply
  }

  /** An exclusive queue, consumed into `received`; resolves with its name. */
  async replyQueue(): Promise<string> {
    const flags = { passive: false, durable: false, exclusive: true, autoDelete: true }
    const reply = await this.execute({ type: 'queue.declare', queue: '', ...flags, arguments: emptyTable })
    const name = reply.type === 'queue.declare-ok' ? reply.queue : ''
    await this.consume(name)
    return name
  }

  async consume(queue: string): Promise<void> {
    const flags = { consumerTag: '', noAck: true, exclusive: false }
    await this.execute({ type: 'basic.consume', queue, ...flags, arguments: emptyTable })
  }

  /** Takes everything out of the queue. */
  async drain(queue: string): Promise<PlainMessage[]> {
    const all: PlainMessage[] = []
    for (;;) {
      const reply = await this.execute({ type: 'basic.get', queue, noAck: true })
      if (reply.type !== 'basic.get-ok') return all
      all.push(plain(reply.message))
    }
  }

  replied(id: number, reply: Reply): void {
    this.replies.set(id, reply)
  }

  delivered(_consumerTag: string, _tag: number, _redelivered: boolean, message: Message): void {
    this.received.push(plain(message))
  }

  confirmed(): void {}

  returned(): void {}

  cancelled(): void {}

  failed(_id: number, error: BrokerError): void {
    throw error
  }

  flush(): void {}
}

function plain(message: Message): PlainMessage {
  const properties = message.decodeProperties()
  const headers = properties.headers === undefined ? {} : { ...fromTable(properties.headers) }
  return { properties, headers, body: message.body.toString() }
}

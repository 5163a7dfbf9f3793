// A server in memory between clients that say exactly what a test wants and a driver that writes down what it hears.
import type { FieldTable } from '../../src/model/field-table.ts'
import type { Platform } from '../../src/platform/platform.ts'
import { AmqpServer } from '../../src/server/amqp-server.ts'
import type { AmqpServerOptions } from '../../src/server/settings.ts'
import { SimClock } from '../../src/testing/sim-clock.ts'
import { FakeDriver } from './fake-driver.ts'
import { MemoryNetwork } from './memory-network.ts'
import { capableClient, WireClient } from './wire-client.ts'

export class ServedFake {
  readonly clock: SimClock = new SimClock()
  readonly network: MemoryNetwork = new MemoryNetwork(this.clock)
  readonly driver: FakeDriver = new FakeDriver()
  /** What the server reported as its own mistakes. */
  readonly errors: unknown[] = []
  readonly server: AmqpServer

  constructor(options: AmqpServerOptions = {}) {
    const platform = { clock: this.clock, network: this.network, host: { name: 'burrow' } } as unknown as Platform
    const onError = (error: unknown): void => void this.errors.push(error)
    this.server = new AmqpServer(platform, this.driver, { version: '0.1.0', onError, ...options })
  }

  static async start(options: AmqpServerOptions = {}): Promise<ServedFake> {
    const served = new ServedFake(options)
    await served.server.listen('127.0.0.1', 5672)
    return served
  }

  /** Lets everything happen that is due now, also what the fake driver answers in a turn of its own. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await this.clock.advance(0)
  }

  async connect(): Promise<WireClient> {
    return new WireClient(await this.network.connect('127.0.0.1', 5672))
  }

  /** Sends what the client wants to say; returns what it hears. */
  async say(client: WireClient): Promise<string[]> {
    client.flush()
    await this.settle()
    return client.names()
  }

  async login(client: WireClient, properties: FieldTable = capableClient): Promise<string[]> {
    return [
      ...(await this.say(client.header_())),
      ...(await this.say(client.startOk(properties))),
      ...(await this.say(client.tuneOk().send(0, 'connection.open', { virtualHost: '/' }))),
    ]
  }

  /** A client that has logged in and opened channels 1, 2, … */
  async opened(channels = 1, properties: FieldTable = capableClient): Promise<WireClient> {
    const client = await this.connect()
    await this.login(client, properties)
    for (let channel = 1; channel <= channels; channel++) await this.say(client.send(channel, 'channel.open', {}))
    return client
  }
}

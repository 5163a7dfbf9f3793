// The engines that the suite runs on. What one cannot do is skipped with the reason: what it says itself, in
// `bus.capabilities()`, and what it is not made for, here.
import { type Bus, connect, type Served } from '../../src/index.ts'
import { freePort } from '../support/port.ts'
import { removeFolder, temporaryFolder } from '../support/temporary-folder.ts'

/** What not every engine is made for. */
export type Limit = 'restart'

export interface Engine {
  readonly name: string
  readonly cannot: Readonly<Partial<Record<Limit, string>>>
  open(): Promise<Opened>
}

export interface Opened {
  readonly bus: Bus
  /** A bus as another process would have it. */
  another(): Promise<Bus>
  /** Ends the broker and starts it again on what it has stored; the buses before are of no use any more. */
  reopen(): Promise<Bus>
  close(): Promise<void>
}

/** A broker in this process, reached as another process does when a second bus is wanted. */
class LocalBroker implements Opened {
  bus: Bus
  private readonly url: string
  private readonly folder: string | null
  private served: Promise<Served> | null = null
  private others: Bus[] = []

  private constructor(url: string, folder: string | null, bus: Bus) {
    this.url = url
    this.folder = folder
    this.bus = bus
  }

  static async open(folder: string | null): Promise<LocalBroker> {
    const url = folder === null ? 'memory:' : `file:${folder}`
    return new LocalBroker(url, folder, await connect(url))
  }

  async another(): Promise<Bus> {
    this.served ??= this.bus.serve({ amqp: 0 })
    const other = await connect((await this.served).url)
    this.others.push(other)
    return other
  }

  async reopen(): Promise<Bus> {
    await this.end()
    this.bus = await connect(this.url)
    return this.bus
  }

  async close(): Promise<void> {
    await this.end()
    if (this.folder !== null) removeFolder(this.folder)
  }

  private async end(): Promise<void> {
    for (const other of this.others) await other.close()
    this.others = []
    this.served = null
    await this.bus.close()
  }
}

/** The same broker over a socket, for every bus. */
class ServedBroker implements Opened {
  bus: Bus
  private readonly folder: string
  private readonly port: number
  private host: Bus
  private buses: Bus[]

  private constructor(folder: string, port: number, host: Bus, bus: Bus) {
    this.folder = folder
    this.port = port
    this.host = host
    this.bus = bus
    this.buses = [bus]
  }

  static async open(): Promise<ServedBroker> {
    const [folder, port] = [temporaryFolder('conformance'), await freePort()]
    const host = await serve(folder, port)
    return new ServedBroker(folder, port, host, await connect(`amqp://127.0.0.1:${port}`))
  }

  async another(): Promise<Bus> {
    const bus = await connect(`amqp://127.0.0.1:${this.port}`)
    this.buses.push(bus)
    return bus
  }

  async reopen(): Promise<Bus> {
    await this.end()
    this.host = await serve(this.folder, this.port)
    this.bus = await this.another()
    return this.bus
  }

  async close(): Promise<void> {
    await this.end()
    removeFolder(this.folder)
  }

  private async end(): Promise<void> {
    for (const bus of this.buses) await bus.close()
    this.buses = []
    await this.host.close()
  }
}

async function serve(folder: string, port: number): Promise<Bus> {
  const host = await connect(`file:${folder}`)
  await host.serve({ amqp: port })
  return host
}

export const engines: readonly Engine[] = [
  {
    name: 'memory:',
    cannot: { restart: 'it forgets everything with its process, as it says' },
    open: () => LocalBroker.open(null),
  },
  { name: 'file:', cannot: {}, open: () => LocalBroker.open(temporaryFolder('conformance')) },
  { name: 'amqp:', cannot: {}, open: () => ServedBroker.open() },
]

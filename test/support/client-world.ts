// A bus on a driver that the test plays, in virtual time: nothing happens until the test lets it.
import { type Bus, type ConnectOptions, openBus } from '../../src/client/bus.ts'
import type { BusWiring } from '../../src/client/bus-wiring.ts'
import type { Driver } from '../../src/model/channel.ts'
import { emptyTable } from '../../src/model/field-table.ts'
import type { Platform } from '../../src/platform/platform.ts'
import { SimClock } from '../../src/testing/sim-clock.ts'
import { SimRandom } from '../../src/testing/sim-random.ts'

export interface World {
  readonly clock: SimClock
  readonly bus: Bus
  /** What the bus's onError heard. */
  readonly errors: Error[]
  /** Lets things happen until the promise has settled. */
  readonly run: <T>(promise: Promise<T>) => Promise<T>
  /** Lets happen what can happen without time going by. */
  readonly settle: () => Promise<void>
}

export interface WorldOptions extends ConnectOptions {
  readonly driver: Driver
  readonly commits?: 'native' | 'tx'
}

export async function openWorld(options: WorldOptions): Promise<World> {
  const { driver, commits = 'native', ...connectOptions } = options
  const clock = new SimClock()
  const platform = { clock, random: new SimRandom(1) } as unknown as Platform
  const errors: Error[] = []
  const wiring: BusWiring = {
    platform,
    driver,
    login: { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable },
    commits,
    inMemory: true,
    statistics: () => true,
    messageBytesMax: 1_000_000,
    notes: [],
    onFailure: () => {},
    onDamage: () => {},
    serve: null,
  }
  const bus = await clock.run(openBus(wiring, { onError: (error) => errors.push(error), ...connectOptions }))
  return { clock, bus, errors, run: (promise) => clock.run(promise), settle: () => clock.advance(0) }
}

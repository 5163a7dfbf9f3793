// A test broker whose inside can be reached: for tests of Leveret itself that need more than `leveret/testing` gives to users.
import { onTestFinished } from 'vitest'
import type { Bus } from '../../src/client/bus.ts'
import type { BusWiring } from '../../src/client/bus-wiring.ts'
import type { Driver } from '../../src/model/channel.ts'
import type { BrokerMachine } from '../../src/testing/kit/broker-process.ts'
import { machineFor, TestBroker, type TestBrokerOptions } from '../../src/testing/kit/test-broker.ts'
import type { SimClock } from '../../src/testing/sim-clock.ts'
import type { SimThreads } from '../../src/testing/sim-threads.ts'
import { PlainClient } from './plain-client.ts'

export interface WhiteBoxOptions extends TestBrokerOptions {
  /** How a bus reaches the broker, where that is to be otherwise than usual: such as `commits: 'tx'`. */
  readonly wiring?: Partial<BusWiring>
}

export class WhiteBoxBroker extends TestBroker {
  private readonly machine: BrokerMachine

  /** Use `createWhiteBoxBroker`. */
  constructor(seed: number, machine: BrokerMachine, changes: Partial<BusWiring>) {
    super(seed, machine, (wiring) => ({ ...wiring, ...changes }))
    this.machine = machine
  }

  /** For what a test asks only of a clock: how many timers there are, or that somebody holds the processor. */
  get clock(): SimClock {
    return this.machine.time.clock
  }

  /** The port of the broker that runs now. */
  get driver(): Driver {
    const { running } = this.machine
    if (running === null) throw new Error('the test broker has crashed')
    return running.driver
  }

  /** The threads of the process that the bus is in. */
  threadsOf(bus: Bus): SimThreads {
    const client = [...this.clients].find((one) => one.bus === bus)
    if (client === undefined) throw new Error('the bus is none of this broker')
    return client.threads
  }

  /** A connection of somebody who speaks plain AMQP. */
  connectPlain(): Promise<PlainClient> {
    return PlainClient.open(this.driver)
  }
}

/** Closed when the test is over. */
export async function createWhiteBoxBroker(options: WhiteBoxOptions = {}): Promise<WhiteBoxBroker> {
  const { wiring = {}, ...others } = options
  const { seed, machine } = machineFor(others)
  const test = new WhiteBoxBroker(seed, machine, wiring)
  onTestFinished(() => test.close())
  await test.restart()
  return test
}

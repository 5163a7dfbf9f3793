// One table of cases for every client library and every broker: what AMQP 0-9-1 as RabbitMQ speaks it promises, said
// once. It runs against Leveret in test/interop, and against RabbitMQ itself in test/interop-debian, which shows that
// the table is right.
import { afterEach, describe, expect, it } from 'vitest'
import { connectionCases } from './cases/connections.ts'
import { consumingCases } from './cases/consuming.ts'
import { deadLetterCases } from './cases/dead-letters.ts'
import { exchangeCases } from './cases/exchanges.ts'
import { extensionCases } from './cases/extensions.ts'
import { publishingCases } from './cases/publishing.ts'
import { queueCases } from './cases/queues.ts'
import { transactionCases } from './cases/transactions.ts'
import {
  type Delivery,
  Failure,
  type Feature,
  type TestChannel,
  type TestClient,
  type TestConnection,
} from './clients/client.ts'

export interface TestBroker {
  readonly url: string
  /** Debian's RabbitMQ 3.10; where the 4.2 line differs, 4.2 holds, and the case says so. */
  readonly isRabbitmq310: boolean
}

export interface Case {
  /** A sentence of behaviour. */
  readonly name: string
  readonly needs?: Feature
  /** Why RabbitMQ 3.10 is not asked. */
  readonly unlike310?: string
  readonly run: (scene: Scene) => Promise<void>
}

let names = 0

/** What one case works with; all connections are closed after it. */
export class Scene {
  readonly broker: TestBroker
  readonly client: TestClient
  private readonly connections: TestConnection[] = []
  private first: Promise<TestConnection> | null = null

  constructor(broker: TestBroker, client: TestClient) {
    this.broker = broker
    this.client = client
  }

  /** A name that no other case uses. */
  name(word: string): string {
    names++
    return `${word}.${process.pid}.${names}`
  }

  /** A connection of its own. */
  async connect(): Promise<TestConnection> {
    const connection = await this.client.connect(this.broker.url)
    this.connections.push(connection)
    return connection
  }

  /** A channel; all of them on one connection. */
  async open(options: { confirms?: boolean } = {}): Promise<TestChannel> {
    this.first ??= this.connect()
    return (await this.first).openChannel(options)
  }

  async close(): Promise<void> {
    // Some cases end the connection themselves, or make the broker do it.
    await Promise.allSettled(this.connections.map((connection) => connection.close()))
  }
}

/** What a consumer got, to be awaited. */
export class Inbox {
  readonly all: Delivery[] = []
  private taken = 0
  private wake: () => void = () => {}

  readonly listener = (delivery: Delivery): void => {
    this.all.push(delivery)
    this.wake()
  }

  async next(): Promise<Delivery> {
    while (this.taken >= this.all.length) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    return this.all[this.taken++]!
  }

  async take(count: number): Promise<Delivery[]> {
    const deliveries: Delivery[] = []
    while (deliveries.length < count) deliveries.push(await this.next())
    return deliveries
  }

  /** What came beyond what was taken. */
  get surplus(): readonly Delivery[] {
    return this.all.slice(this.taken)
  }
}

export const textOf = (delivery: { readonly body: Buffer } | null): string | null => delivery?.body.toString() ?? null

/** Asserts that the broker refuses with this code and exactly these words. */
export async function refused(answer: Promise<unknown>, code: number, text: string | RegExp): Promise<void> {
  const outcome = await answer.then(
    (value: unknown) => value,
    (error: unknown) => error,
  )
  expect(outcome).toBeInstanceOf(Failure)
  const failure = outcome as Failure
  expect(`${failure.code} ${failure.text}`).toMatch(typeof text === 'string' ? exactly(`${code} ${text}`) : text)
  expect(failure.code).toBe(code)
}

function exactly(text: string): RegExp {
  return new RegExp(`^${text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)}$`)
}

/** Publishes texts in order with confirms. */
export async function publishAll(channel: TestChannel, queue: string, texts: readonly string[]): Promise<void> {
  await Promise.all(texts.map((text) => channel.publish('', queue, Buffer.from(text))))
}

export function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index + 1))
}

/** Takes what is ready, without acknowledging, until the queue says it is empty. */
export async function drain(channel: TestChannel, queue: string): Promise<Delivery[]> {
  const deliveries: Delivery[] = []
  for (;;) {
    const delivery = await channel.get(queue)
    if (delivery === null) return deliveries
    deliveries.push(delivery)
  }
}

const table: readonly (readonly [string, readonly Case[]])[] = [
  ['connections', connectionCases],
  ['exchanges', exchangeCases],
  ['queues', queueCases],
  ['publishing', publishingCases],
  ['consuming', consumingCases],
  ['dead letters', deadLetterCases],
  ['transactions', transactionCases],
  ['extensions', extensionCases],
]

/** Declares the tests of the whole table; `broker` is asked when they run. */
export function describeConformance(client: TestClient, broker: () => TestBroker): void {
  describe.each(table)('%s', (_topic, cases) => {
    let scene: Scene | null = null

    afterEach(async () => {
      await scene?.close()
      scene = null
    })

    for (const one of cases) {
      it(one.name, async (context) => {
        const reason = one.needs === undefined ? undefined : client.cannot[one.needs]
        if (reason !== undefined) return context.skip(reason)
        if (broker().isRabbitmq310 && one.unlike310 !== undefined) return context.skip(one.unlike310)
        scene = new Scene(broker(), client)
        await one.run(scene)
      })
    }
  })
}

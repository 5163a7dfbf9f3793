// Broker, server and the client's driver on real sockets of the loopback interface.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../src/broker/broker.ts'
import { AmqpDriver } from '../src/client/amqp-driver/amqp-driver.ts'
import type { ChannelEvents, SessionEvents } from '../src/model/channel.ts'
import type { Reply } from '../src/model/command.ts'
import type { BrokerError } from '../src/model/errors.ts'
import { emptyTable } from '../src/model/field-table.ts'
import { Message } from '../src/model/message.ts'
import { emptyProperties } from '../src/model/properties.ts'
import type { Listener } from '../src/platform/network.ts'
import { NodePlatform } from '../src/platform/node-platform.ts'
import { AmqpServer } from '../src/server/amqp-server.ts'
import { MemoryStore } from '../src/store/memory-store.ts'

const platform = new NodePlatform()
let broker: Broker
let server: AmqpServer
let listener: Listener

beforeEach(async () => {
  broker = await Broker.open(platform, new MemoryStore(), { memoryBytesMax: 1e9 })
  server = new AmqpServer(platform, broker, { onError: (error) => expect(error).toBeNull() })
  listener = await server.listen('127.0.0.1', 0)
})

afterEach(async () => {
  await server.close()
  await broker.close()
})

const declare = {
  type: 'queue.declare',
  queue: 'q',
  passive: false,
  durable: false,
  exclusive: false,
  autoDelete: false,
  arguments: emptyTable,
} as const
const consume = { type: 'basic.consume', queue: 'q', consumerTag: 'c', noAck: false, exclusive: false } as const

/** Calls `check` after each turn in which something was heard. */
class Events implements ChannelEvents, SessionEvents {
  check: () => void = () => {}
  readonly replies: Reply[] = []
  readonly messages: Message[] = []
  readonly tags: number[] = []
  confirmedUpTo = 0
  error: BrokerError | null = null

  replied(_id: number, reply: Reply): void {
    this.replies.push(reply)
  }

  delivered(_consumerTag: string, deliveryTag: number, _redelivered: boolean, message: Message): void {
    this.messages.push(message)
    this.tags.push(deliveryTag)
  }

  confirmed(sequence: number): void {
    this.confirmedUpTo = Math.max(this.confirmedUpTo, sequence)
  }

  failed(_id: number, error: BrokerError): void {
    this.error = error
  }

  closed(error: BrokerError): void {
    this.error = error
  }

  flush(): void {
    this.check()
  }

  returned(): void {}
  cancelled(): void {}
  blocked(): void {}
  unblocked(): void {}
  throttled(): void {}
  resumed(): void {}

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.check = () => {
        if (this.error !== null) reject(this.error)
        else if (condition()) resolve()
      }
      this.check()
    })
  }
}

test('twenty thousand messages of all sizes go there and back in order, and are acknowledged', async () => {
  const driver = new AmqpDriver(platform, `amqp://127.0.0.1:${listener.port}`)
  const events = new Events()
  const session = await driver.openSession(driver.login, events)
  const channel = session.openChannel(events)
  const count = 20_000
  channel.execute(1, declare)
  channel.execute(2, { type: 'confirm.select' })
  channel.execute(3, { ...consume, arguments: emptyTable })
  await events.until(() => events.replies.length === 3)
  for (let number = 0; number < count; number++) {
    const body = Buffer.alloc(number % 1000 === 0 ? 300_000 : number % 200, `${number} `)
    channel.publish(Message.of('', 'q', emptyProperties, body), false)
    // What is sent in one turn waits in memory; a real publisher heeds throttled().
    if (number % 2000 === 1999) await events.until(() => events.messages.length > number)
  }
  await events.until(() => events.messages.length === count && events.confirmedUpTo === count)
  expect(events.tags).toEqual(Array.from({ length: count }, (_, index) => index + 1))
  const wrong = events.messages.findIndex((message, number) => {
    const body = Buffer.alloc(number % 1000 === 0 ? 300_000 : number % 200, `${number} `)
    return !message.body.equals(body)
  })
  expect(wrong).toBe(-1)
  channel.ack(0, true)
  channel.execute(4, { ...declare, type: 'queue.declare', passive: true })
  await events.until(() => events.replies.length === 4)
  expect(events.replies[3]).toMatchObject({ messageCount: 0, consumerCount: 1 })
  await session.close()
  await driver.close()
})

test('a consumer that does not read costs little, and loses nothing', async () => {
  const driver = new AmqpDriver(platform, `amqp://127.0.0.1:${listener.port}`)
  const [slow, publisher] = [new Events(), new Events()]
  const reader = (await driver.openSession(driver.login, slow)).openChannel(slow)
  reader.execute(1, declare)
  reader.execute(2, { ...consume, arguments: emptyTable, noAck: true })
  await slow.until(() => slow.replies.length === 2)
  reader.pauseDeliveries()
  const writer = (await driver.openSession(driver.login, publisher)).openChannel(publisher)
  writer.execute(1, { type: 'confirm.select' })
  const body = Buffer.alloc(50_000, 'x')
  const count = 1_000
  for (let number = 1; number <= count; number++) {
    writer.publish(Message.of('', 'q', emptyProperties, body), false)
    if (number % 50 === 0) await publisher.until(() => publisher.confirmedUpTo === number)
  }
  writer.execute(2, { ...declare, passive: true })
  await publisher.until(() => publisher.replies.length === 2)
  // Most of them are still with the broker: sockets and our output hold a few MiB of the 50.
  expect((publisher.replies[1] as { messageCount: number }).messageCount).toBeGreaterThan(count / 2)
  expect(slow.messages.length).toBeLessThan(count / 2)
  reader.resumeDeliveries()
  await slow.until(() => slow.messages.length === count)
  expect(slow.messages.every((message) => message.body.equals(body))).toBe(true)
  await driver.close()
})

// What must not be too large or too much to survive: each is put in over AMQP, confirmed, and looked for after SIGKILL.
import { type Channel, type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { cloudamqpClient } from '../support/clients/cloudamqp.ts'
import { LeveretProcess } from '../support/leveret-process.ts'

let leveret: LeveretProcess

beforeEach(async () => {
  leveret = await LeveretProcess.start()
})

afterEach(async () => {
  await leveret.dispose()
})

async function killAndRestart(): Promise<void> {
  await leveret.kill()
  await leveret.start()
}

/** Connections outlive the broker in these tests, which is no error. */
async function open(): Promise<ChannelModel> {
  const model = await connect(leveret.url)
  model.on('error', () => {})
  return model
}

/** Does it for all items, on several channels at once: a channel has one request on its way at a time. */
async function onChannels<Item>(
  items: readonly Item[],
  work: (channel: Channel, item: Item) => Promise<void>,
): Promise<void> {
  const model = await open()
  let next = 0
  const lane = async (): Promise<void> => {
    const channel = await model.createChannel()
    while (next < items.length) await work(channel, items[next++]!)
    // Closing the connection would overtake what the channels have not written yet.
    await channel.close()
  }
  await Promise.all(Array.from({ length: 200 }, lane))
  await model.close()
}

it('a fan-out from one exchange to 10,000 durable queues survives SIGKILL', async () => {
  const queues = Array.from({ length: 10_000 }, (_, index) => `queue-${index}`)
  const setup = await open()
  await (await setup.createChannel()).assertExchange('all', 'fanout', { durable: true })
  await setup.close()
  await onChannels(queues, async (channel, queue) => {
    await channel.assertQueue(queue, { durable: true })
    await channel.bindQueue(queue, 'all', '')
  })
  const publisher = await open()
  const confirming = await publisher.createConfirmChannel()
  confirming.publish('all', 'key', Buffer.from('to all of you'), { persistent: true, messageId: 'the-one' })
  await confirming.waitForConfirms()

  await killAndRestart()
  const wrong: string[] = []
  await onChannels(queues, async (channel, queue) => {
    const message = await channel.get(queue)
    const said = message === false ? 'nothing' : `${message.content.toString()} ${message.properties.messageId}`
    const left = message === false ? 0 : message.fields.messageCount
    if (said !== 'to all of you the-one' || left !== 0) wrong.push(`${queue}: ${said}, ${left} left`)
    if (message !== false) channel.ack(message)
  })
  expect(wrong).toEqual([])

  // The bindings are there too: a second message takes the same ways.
  const again = await open()
  const second = await again.createConfirmChannel()
  second.publish('all', '', Buffer.from('second'), { persistent: true })
  await second.waitForConfirms()
  expect(await second.checkQueue('queue-9999')).toMatchObject({ messageCount: 1 })
  await again.close()
}, 60_000)

it('a header table of 100 KiB survives SIGKILL', async () => {
  // A header is one frame, so the client has to take the largest one the broker offers; amqplib writes at most 64 KiB.
  const url = (): string => `${leveret.url}?frameMax=131072`
  const headers = Object.fromEntries(
    Array.from({ length: 1000 }, (_, index) => [`key-${index}`, `${index} ${'ü'.repeat(45)}`]),
  )
  const before = await (await cloudamqpClient.connect(url())).openChannel({ confirms: true })
  await before.declareQueue('headers', { durable: true })
  await before.publish('', 'headers', Buffer.from('body'), { headers, deliveryMode: 2 })
  expect(Buffer.byteLength(JSON.stringify(headers))).toBeGreaterThan(100 * 1024)
  await killAndRestart()
  const connection = await cloudamqpClient.connect(url())
  const after = await connection.openChannel()
  const delivery = await after.get('headers')
  expect(delivery?.properties.headers).toEqual(headers)
  expect(delivery?.body.toString()).toBe('body')
  await connection.close()
})

it('a body of 16 MiB survives SIGKILL', async () => {
  const body = Buffer.alloc(16 * 1024 * 1024)
  for (let at = 0; at < body.length; at += 4) body.writeUInt32LE((at * 2_654_435_761) >>> 0, at)
  const model = await open()
  const channel: ConfirmChannel = await model.createConfirmChannel()
  await channel.assertQueue('large', { durable: true })
  channel.sendToQueue('large', Buffer.from('before'), { persistent: true })
  channel.sendToQueue('large', body, { persistent: true })
  channel.sendToQueue('large', Buffer.from('behind'), { persistent: true })
  await channel.waitForConfirms()
  await killAndRestart()
  const after = await open()
  const reading = await after.createChannel()
  const got = [await reading.get('large'), await reading.get('large'), await reading.get('large')]
  expect(got.map((message) => message !== false && message.content.length)).toEqual([6, body.length, 6])
  expect(got[1] !== false && got[1]?.content.equals(body)).toBe(true)
  await after.close()
})

it('what is durable survives SIGKILL and SIGTERM, and nothing else does', async () => {
  const model = await open()
  const channel = await model.createConfirmChannel()
  await channel.assertExchange('durable', 'topic', { durable: true })
  await channel.assertExchange('transient', 'topic', { durable: false })
  await channel.assertQueue('durable', { durable: true })
  await channel.assertQueue('transient', { durable: false })
  await channel.assertQueue('exclusive', { durable: true, exclusive: true })
  await channel.bindQueue('durable', 'durable', 'a.#')
  await channel.bindQueue('durable', 'transient', '#')
  await channel.bindExchange('durable', 'amq.topic', 'from.outside', {})
  channel.publish('durable', 'a.b', Buffer.from('stays'), { persistent: true })
  channel.publish('durable', 'a.c', Buffer.from('goes'), { persistent: false })
  channel.sendToQueue('transient', Buffer.from('goes with its queue'), { persistent: true })
  channel.sendToQueue('durable', Buffer.from('stays too'), { persistent: true })
  await channel.waitForConfirms()

  for (const how of ['kill', 'stop'] as const) {
    await leveret[how]()
    await leveret.start()
    const after = await open()
    const looking = async (look: (on: Channel) => Promise<unknown>): Promise<unknown> => {
      const on = await after.createChannel()
      on.on('error', () => {})
      return look(on).then(
        () => 'there',
        (error: { code?: number }) => error.code,
      )
    }
    expect(await looking((on) => on.checkExchange('durable'))).toBe('there')
    expect(await looking((on) => on.checkExchange('transient'))).toBe(404)
    expect(await looking((on) => on.checkQueue('transient'))).toBe(404)
    expect(await looking((on) => on.checkQueue('exclusive'))).toBe(404)
    const reading = await after.createConfirmChannel()
    reading.publish('durable', 'a.b', Buffer.from(`routed after ${how}`), { persistent: true })
    await reading.waitForConfirms()
    const bodies: string[] = []
    for (let message = await reading.get('durable'); message !== false; message = await reading.get('durable')) {
      bodies.push(message.content.toString())
    }
    const routed = how === 'kill' ? ['routed after kill'] : ['routed after kill', 'routed after stop']
    expect(bodies).toEqual(['stays', 'stays too', ...routed])
    await after.close()
  }
})

// Bodies of megabytes over AMQP and in process: in pieces, in order, byte for byte, and never half.
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect as connectPlain } from 'amqplib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Bus, connect } from '../src/index.ts'
import { removeFolder, temporaryFolder } from './support/temporary-folder.ts'

const mebibyte = 1_048_576
const body = randomBytes(5 * mebibyte + 7)
let folder: string
let bus: Bus
let url: string
let model: ChannelModel
let channel: ConfirmChannel

beforeEach(async () => {
  folder = temporaryFolder('large')
  bus = await connect(`file:${folder}`)
  url = (await bus.serve({ amqp: 0 })).url
  model = await connectPlain(url)
  model.on('error', () => {})
  channel = await model.createConfirmChannel()
  await channel.assertQueue('q', { durable: true })
})

afterEach(async () => {
  await model.close().catch(() => {})
  await bus.close()
  removeFolder(folder)
})

function files(): string[] {
  const path = join(folder, 'body')
  return existsSync(path) ? readdirSync(path) : []
}

function socketOf({ connection }: ChannelModel): Socket {
  return (connection as unknown as { readonly stream: Socket }).stream
}

/** A frame of channel 1. */
function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.from([type, 0, 1, 0, 0, 0, 0])
  head.writeUInt32BE(payload.length, 3)
  return Buffer.concat([head, payload, Buffer.from([0xce])])
}

/** Waits for what happens behind the scenes. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5))
}

function next(from: ConfirmChannel, count: number, options: { noAck?: boolean } = {}): Promise<ConsumeMessage[]> {
  const messages: ConsumeMessage[] = []
  return new Promise((resolve) => {
    void from.consume(
      'q',
      (message) => {
        if (message !== null && messages.push(message) === count) resolve(messages)
      },
      options,
    )
  })
}

describe('a large body', () => {
  it('comes between others in its order, in and out, and with its properties', async () => {
    const bodies = [
      Buffer.from('small'),
      body,
      Buffer.from('between'),
      body.subarray(0, 2 * mebibyte),
      Buffer.from('last'),
    ]
    for (const [at, content] of bodies.entries()) {
      channel.publish('', 'q', content, { persistent: true, messageId: String(at), headers: { at } })
    }
    await channel.waitForConfirms()
    expect(files()).toHaveLength(2)
    const messages = await next(channel, 5)
    expect(messages.map(({ properties }) => [properties.messageId, properties.headers?.['at'] as unknown])).toEqual(
      bodies.map((_, at) => [String(at), at]),
    )
    expect(messages.every(({ content }, at) => content.equals(bodies[at] as Buffer))).toBe(true)
    for (const message of messages) channel.ack(message)
    await until(() => files().length === 0)
  })

  it('of exactly 1 MiB is in the log, and one of a byte more in a file', async () => {
    channel.publish('', 'q', body.subarray(0, mebibyte), { persistent: true })
    await channel.waitForConfirms()
    expect(files()).toHaveLength(0)
    channel.publish('', 'q', body.subarray(0, mebibyte + 1), { persistent: true })
    await channel.waitForConfirms()
    expect(files()).toHaveLength(1)
    const [first, second] = await next(channel, 2)
    expect([first?.content.length, second?.content.length]).toEqual([mebibyte, mebibyte + 1])
  })

  it('is there after the broker was opened again, for a consumer without acknowledgements, too', async () => {
    channel.publish('', 'q', body, { persistent: true })
    await channel.waitForConfirms()
    await model.close()
    await bus.close()
    bus = await connect(`file:${folder}`)
    model = await connectPlain((await bus.serve({ amqp: 0 })).url)
    channel = await model.createConfirmChannel()
    const [message] = await next(channel, 1, { noAck: true })
    expect(message?.content.equals(body)).toBe(true)
    await until(() => files().length === 0)
  })

  it('can be fetched one by one, and is returned whole if nobody takes it', async () => {
    channel.publish('', 'q', body, { persistent: true })
    await channel.waitForConfirms()
    const got = await channel.get('q', { noAck: true })
    expect(got !== false && got.content.equals(body)).toBe(true)
    const returned = new Promise<ConsumeMessage>((resolve) => channel.once('return', resolve))
    channel.publish('', 'nowhere', body, { mandatory: true })
    expect((await returned).content.equals(body)).toBe(true)
    await until(() => files().length === 0)
  })

  it('holds nobody up on other channels of the connection', async () => {
    const other = await model.createConfirmChannel()
    await other.assertQueue('small', { durable: true })
    for (let at = 0; at < 4; at++) channel.publish('', 'q', body, { persistent: true })
    const large = next(channel, 4)
    for (let at = 0; at < 200; at++) other.sendToQueue('small', Buffer.from(String(at)), { persistent: true })
    await other.waitForConfirms()
    const small: string[] = []
    await other.consume('small', (message) => void small.push(message?.content.toString() ?? ''), { noAck: true })
    expect((await large).every(({ content }) => content.equals(body))).toBe(true)
    await until(() => small.length === 200)
    expect(small).toEqual(Array.from({ length: 200 }, (_, at) => String(at)))
  })

  it('is handed out again if the consumer went while it was coming', async () => {
    channel.publish('', 'q', body, { persistent: true })
    await channel.waitForConfirms()
    const leaving = await connectPlain(url)
    leaving.on('error', () => {})
    const from = await leaving.createChannel()
    void from.consume('q', () => {}).catch(() => {})
    socketOf(leaving).once('data', () => socketOf(leaving).destroy())
    const [message] = await next(channel, 1)
    expect(message?.content.equals(body)).toBe(true)
  })

  it('of which only half came leaves nothing behind', async () => {
    const half = await connectPlain(url)
    half.on('error', () => {})
    await half.createChannel()
    const properties = Buffer.from([0x10, 0, 2])
    const header = Buffer.alloc(12)
    header.writeUInt16BE(60, 0)
    header.writeUInt32BE(body.length, 8)
    const method = Buffer.from([0, 60, 0, 40, 0, 0, 0, 1, 0x71, 0])
    socketOf(half).write(Buffer.concat([frame(1, method), frame(2, Buffer.concat([header, properties]))]))
    for (let at = 0; at < 40; at++) socketOf(half).write(frame(3, body.subarray(at * 100_000, (at + 1) * 100_000)))
    await until(() => files().length === 1)
    socketOf(half).destroy()
    await until(() => files().length === 0)
    expect(await channel.get('q')).toBe(false)
  })

  it('may be as large as whoever serves says, and is refused beyond that', async () => {
    const served = await bus.serve({ amqp: 0, messageBytesMax: 18 * mebibyte })
    const other = await connectPlain(served.url)
    other.on('error', () => {})
    const from = await other.createConfirmChannel()
    const refused = new Promise<Error>((resolve) => from.once('error', resolve))
    const largest = Buffer.alloc(18 * mebibyte, 'x')
    from.publish('', 'q', largest, { persistent: true })
    await from.waitForConfirms()
    from.publish('', 'q', Buffer.concat([largest, Buffer.from('y')]))
    expect((await refused).message).toContain('is larger than configured max size 18874368')
    const [message] = await next(channel, 1)
    expect(message?.content.equals(largest)).toBe(true)
    await other.close()
    await expect(bus.serve({ amqp: 0, messageBytesMax: 200 * mebibyte })).rejects.toMatchObject({
      code: 'E_BAD_OPTION',
    })
  })

  it('is whole for a worker in the process of the broker', async () => {
    channel.publish('', 'q', body, { persistent: true })
    channel.publish('', 'q', Buffer.from('"small"'), { persistent: true, contentType: 'application/json' })
    await channel.waitForConfirms()
    const queue = await bus.createQueue<unknown>('q')
    const seen: unknown[] = []
    const worker = queue.process((task) => {
      seen.push(task.data)
    })
    await until(() => seen.length === 2)
    await worker.close()
    expect(Buffer.isBuffer(seen[0]) && seen[0].equals(body)).toBe(true)
    expect(seen[1]).toBe('small')
    await until(() => files().length === 0)
  })
})

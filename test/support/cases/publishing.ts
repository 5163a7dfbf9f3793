// Publishing: confirms, returns, what a message carries, and how large it may be.
import { expect } from 'vitest'
import type { Properties, Returned } from '../clients/client.ts'
import { type Case, Inbox, numbered, publishAll, refused, textOf } from '../conformance.ts'

const mebibyte = 1024 * 1024

/** Bytes that no mistake with an offset leaves as they are. */
function pattern(length: number): Buffer {
  const body = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at++) body[at] = (at * 31 + (at >>> 8) * 7 + (at >>> 16)) & 0xff
  return body
}

export const publishingCases: readonly Case[] = [
  {
    name: 'confirms each message, persistent or not, routed or not',
    async run(scene) {
      const queue = scene.name('queue')
      const channel = await scene.open({ confirms: true })
      await channel.declareQueue(queue, { durable: true })
      const published = numbered(1000).map((text, index) => {
        const deliveryMode = index % 2 === 0 ? 2 : 1
        return channel.publish('', index % 5 === 4 ? 'nowhere' : queue, Buffer.from(text), { deliveryMode })
      })
      await Promise.all(published)
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 800 })
      await channel.deleteQueue(queue)
    },
  },
  {
    name: 'returns a mandatory message that goes nowhere, before its confirm',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const returned: Returned[] = []
      const back = new Promise<void>((resolve) => {
        channel.onReturned((message) => {
          returned.push(message)
          resolve()
        })
      })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await channel.publish('amq.direct', 'no-such-key', Buffer.from('come back'), { mandatory: true })
      await back
      expect(returned).toEqual([
        {
          code: 312,
          text: 'NO_ROUTE',
          exchange: 'amq.direct',
          routingKey: 'no-such-key',
          body: Buffer.from('come back'),
        },
      ])
      await channel.publish('', queue, Buffer.from('arrives'), { mandatory: true })
      expect(textOf(await channel.get(queue))).toBe('arrives')
      expect(returned).toHaveLength(1)
    },
  },
  {
    name: 'closes the channel of who publishes to an exchange that is not there',
    async run(scene) {
      const text = "NOT_FOUND - no exchange 'nowhere' in vhost '/'"
      const channel = await scene.open()
      await channel.publish('nowhere', 'key', Buffer.from('lost'))
      expect(await channel.ended).toMatchObject({ code: 404, text })
      await refused((await scene.open({ confirms: true })).publish('nowhere', 'key', Buffer.from('lost')), 404, text)
    },
  },
  {
    name: 'carries every property unchanged',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      const properties: Properties = {
        contentType: 'application/x-thing',
        contentEncoding: 'identity',
        headers: { a: 'b' },
        deliveryMode: 2,
        priority: 7,
        correlationId: 'correlation-1',
        replyTo: 'answers',
        messageId: 'message-1',
        timestamp: 1_700_000_000,
        type: 'thing',
        userId: 'guest',
        appId: 'tests 测试',
      }
      await channel.publish('', queue, Buffer.from('full'), properties)
      expect((await channel.get(queue))?.properties).toEqual(properties)
    },
  },
  {
    name: 'carries a message without any properties',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await channel.publish('', queue, Buffer.from('bare'))
      const { headers, deliveryMode, ...properties } = (await channel.get(queue))?.properties ?? {}
      // Some libraries always write a delivery mode, or an empty table.
      expect(headers ?? {}).toEqual({})
      expect(deliveryMode ?? 1).toBe(1)
      expect(properties).toEqual({})
    },
  },
  {
    name: 'carries headers of every type unchanged',
    async run(scene) {
      const { sent, received } = scene.client.sampleHeaders
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await channel.publish('', queue, Buffer.from('typed'), { headers: sent })
      expect((await channel.get(queue))?.properties.headers).toEqual(received)
    },
  },
  {
    name: 'refuses a user id that is not the login',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await refused(
        channel.publish('', queue, Buffer.from('forged'), { userId: 'somebody' }),
        406,
        "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'",
      )
    },
  },
  {
    name: 'carries bodies of no byte, about one frame, 1 MiB and 16 MiB',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      // 8 bytes of a frame are not payload; libraries tune to 8,192, 65,536 or 131,072 bytes.
      const frames = [4096, 8192, 65_536, 131_072].flatMap((size) => [size - 9, size - 8, size - 7, size])
      for (const size of [0, 1, ...frames, mebibyte, 16 * mebibyte]) {
        const body = pattern(size)
        await channel.publish('', queue, body)
        const delivery = await channel.get(queue, { noAck: true })
        expect(delivery?.body.length).toBe(size)
        expect(delivery?.body.equals(body), `${size} bytes`).toBe(true)
      }
    },
  },
  {
    name: 'refuses a body of more than 16 MiB',
    unlike310: 'RabbitMQ before 4.0 takes up to 128 MiB',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const size = 16 * mebibyte + 1
      await refused(
        channel.publish('', 'nowhere', pattern(size)),
        406,
        `PRECONDITION_FAILED - message size ${size} is larger than configured max size ${16 * mebibyte}`,
      )
      await (await scene.open()).declareQueue('', { exclusive: true })
    },
  },
  {
    name: 'keeps large messages of several channels apart',
    async run(scene) {
      const channels = await Promise.all([1, 2, 3].map(() => scene.open({ confirms: true })))
      const bodies = channels.map((_, index) => Buffer.alloc(mebibyte + index, `${index}`))
      const received = channels.map(async (channel, index) => {
        const { queue } = await channel.declareQueue('', { exclusive: true })
        const inbox = new Inbox()
        await channel.consume(queue, inbox.listener, { noAck: true })
        for (let round = 0; round < 5; round++) void channel.publish('', queue, bodies[index]!)
        return inbox.take(5)
      })
      for (const [index, deliveries] of (await Promise.all(received)).entries()) {
        expect(deliveries.map(({ body }) => body.equals(bodies[index]!))).toEqual([true, true, true, true, true])
      }
    },
  },
  {
    name: 'keeps the order of one publisher',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      const inbox = new Inbox()
      await channel.consume(queue, inbox.listener, { noAck: true })
      await publishAll(channel, queue, numbered(2000))
      expect((await inbox.take(2000)).map(textOf)).toEqual(numbered(2000))
    },
  },
]

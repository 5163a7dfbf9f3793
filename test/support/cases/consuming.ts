// Receiving: order, credit, settling, and who gets what comes back.
import { expect } from 'vitest'
import type { Delivery } from '../clients/client.ts'
import { type Case, drain, Inbox, numbered, publishAll, refused, textOf } from '../conformance.ts'

const texts = (deliveries: readonly Delivery[]): (string | null)[] => deliveries.map(textOf)
const marks = (deliveries: readonly Delivery[]): string[] =>
  deliveries.map((delivery) => `${textOf(delivery)}${delivery.redelivered ? ' again' : ''}`)

export const consumingCases: readonly Case[] = [
  {
    name: 'hands out at most as many unacknowledged messages as the prefetch says',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await publishAll(channel, queue, numbered(10))
      await channel.prefetch(3)
      const inbox = new Inbox()
      await channel.consume(queue, inbox.listener)
      const first = await inbox.take(3)
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 7 })
      expect(inbox.surplus).toEqual([])
      channel.ack(first[1]!.deliveryTag)
      expect(texts(await inbox.take(1))).toEqual(['4'])
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 6 })
      channel.ack(4, true)
      expect(texts(await inbox.take(3))).toEqual(['5', '6', '7'])
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 3 })
      expect(inbox.surplus).toEqual([])
    },
  },
  {
    name: 'counts the prefetch per consumer, or over the channel if global',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await publishAll(channel, queue, numbered(10))
      await channel.prefetch(2)
      await channel.prefetch(3, true)
      const inbox = new Inbox()
      await channel.consume(queue, inbox.listener)
      await channel.consume(queue, inbox.listener)
      await inbox.take(3)
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 7 })
      channel.ack(0, true)
      await inbox.take(3)
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 4 })
      expect(inbox.surplus).toEqual([])
    },
  },
  {
    name: 'hands out without limit to a consumer that does not acknowledge, and keeps nothing',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await channel.prefetch(1)
      const inbox = new Inbox()
      await channel.consume(queue, inbox.listener, { noAck: true })
      await publishAll(channel, queue, numbered(50))
      expect(texts(await inbox.take(50))).toEqual(numbered(50))
      await channel.close()
      expect(await (await scene.open()).checkQueue(queue)).toMatchObject({ messageCount: 0, consumerCount: 0 })
    },
  },
  {
    name: 'acknowledges one, several, or all',
    async run(scene) {
      const queue = scene.name('queue')
      const channel = await scene.open({ confirms: true })
      await channel.declareQueue(queue, { durable: true })
      await publishAll(channel, queue, numbered(6))
      const got = await drain(channel, queue)
      channel.ack(got[4]!.deliveryTag)
      channel.ack(got[1]!.deliveryTag, true)
      await channel.close()
      const after = await scene.open()
      expect(marks(await drain(after, queue))).toEqual(['3 again', '4 again', '6 again'])
      after.ack(0, true)
      await after.close()
      expect(await (await scene.open()).deleteQueue(queue)).toBe(0)
    },
  },
  {
    name: 'puts a requeued message back where it was, marked as redelivered',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await publishAll(channel, queue, numbered(6))
      const [one, two, three] = [await channel.get(queue), await channel.get(queue), await channel.get(queue)]
      expect(marks([one!, two!, three!])).toEqual(['1', '2', '3'])
      channel.nack(two!.deliveryTag)
      channel.ack(three!.deliveryTag)
      expect(marks(await drain(channel, queue))).toEqual(['2 again', '4', '5', '6'])
      channel.nack(one!.deliveryTag)
      expect(marks(await drain(channel, queue))).toEqual(['1 again'])
    },
  },
  {
    name: 'rejects one message, back or away',
    needs: 'reject',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await publishAll(channel, queue, numbered(3))
      const [one, two] = [await channel.get(queue), await channel.get(queue)]
      channel.reject(two!.deliveryTag, true)
      channel.reject(one!.deliveryTag, false)
      expect(marks(await drain(channel, queue))).toEqual(['2 again', '3'])
    },
  },
  {
    name: 'takes several back in their order',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await publishAll(channel, queue, numbered(6))
      const got = [
        await channel.get(queue),
        await channel.get(queue),
        await channel.get(queue),
        await channel.get(queue),
      ]
      channel.nack(got[1]!.deliveryTag, { requeue: false })
      channel.nack(got[2]!.deliveryTag, { multiple: true })
      expect(marks(await drain(channel, queue))).toEqual(['1 again', '3 again', '5', '6'])
    },
  },
  {
    name: 'drops what is refused without requeue, and goes on',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      const inbox = new Inbox()
      await channel.prefetch(1)
      await channel.consume(queue, inbox.listener)
      await publishAll(channel, queue, numbered(3))
      for (const text of numbered(3)) {
        const delivery = await inbox.next()
        expect(textOf(delivery)).toBe(text)
        channel.nack(delivery.deliveryTag, { requeue: false })
      }
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 0 })
    },
  },
  {
    name: 'redelivers a requeued message to whoever has credit, first of all',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await publishAll(channel, queue, numbered(4))
      await channel.prefetch(1)
      const inbox = new Inbox()
      await channel.consume(queue, inbox.listener)
      const one = await inbox.next()
      channel.nack(one.deliveryTag)
      const again = await inbox.next()
      expect(marks([one, again])).toEqual(['1', '1 again'])
      channel.ack(again.deliveryTag)
      expect(marks([await inbox.next()])).toEqual(['2'])
    },
  },
  {
    name: 'requeues what a closed channel or connection leaves, in order',
    async run(scene) {
      const queue = scene.name('queue')
      const connection = await scene.connect()
      const channel = await connection.openChannel({ confirms: true })
      await channel.declareQueue(queue, { durable: true })
      await publishAll(channel, queue, numbered(5))
      const inbox = new Inbox()
      await channel.prefetch(2)
      await channel.consume(queue, inbox.listener)
      await inbox.take(2)
      await channel.close()

      const second = await connection.openChannel()
      expect(marks([(await second.get(queue))!])).toEqual(['1 again'])
      await connection.close()

      const after = await scene.open()
      expect(marks(await drain(after, queue))).toEqual(['1 again', '2 again', '3', '4', '5'])
      await after.deleteQueue(queue)
    },
  },
  {
    name: 'shares messages out in turn among consumers',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      const inboxes = [new Inbox(), new Inbox(), new Inbox()]
      for (const inbox of inboxes) await channel.consume(queue, inbox.listener)
      for (const text of numbered(9)) await channel.publish('', queue, Buffer.from(text))
      const shares = await Promise.all(inboxes.map(async (inbox) => texts(await inbox.take(3))))
      expect(shares).toEqual([
        ['1', '4', '7'],
        ['2', '5', '8'],
        ['3', '6', '9'],
      ])
    },
  },
  {
    name: 'gets one message at a time and says how many are left',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      expect(await channel.get(queue)).toBeNull()
      await publishAll(channel, queue, numbered(3))
      expect(await channel.get(queue)).toMatchObject({ messageCount: 2, redelivered: false, deliveryTag: 1 })
      expect(await channel.get(queue, { noAck: true })).toMatchObject({ messageCount: 1, deliveryTag: 2 })
      expect(await channel.get(queue)).toMatchObject({ messageCount: 0, deliveryTag: 3 })
      expect(await channel.get(queue)).toBeNull()
    },
  },
  {
    name: 'stops a consumer that is cancelled; what it has, it still may acknowledge',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      const inbox = new Inbox()
      const consumerTag = await channel.consume(queue, inbox.listener)
      await publishAll(channel, queue, ['before'])
      const delivery = await inbox.next()
      await channel.cancel(consumerTag)
      await publishAll(channel, queue, ['after'])
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 1, consumerCount: 0 })
      channel.ack(delivery.deliveryTag)
      expect(textOf(await channel.get(queue))).toBe('after')
      expect(inbox.surplus).toEqual([])
    },
  },
  {
    name: 'gives a consumer the tag it asks for, or makes one',
    async run(scene) {
      const channel = await scene.open()
      const { queue } = await channel.declareQueue('', { exclusive: true })
      expect(await channel.consume(queue, () => {}, { consumerTag: 'mine' })).toBe('mine')
      expect(await channel.consume(queue, () => {})).toMatch(/^amq\.ctag-[\w-]{22}$/)
    },
  },
  {
    name: 'ends the connection of who uses a consumer tag twice on a channel',
    async run(scene) {
      const connection = await scene.connect()
      const channel = await connection.openChannel()
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await channel.consume(queue, () => {}, { consumerTag: 'mine' })
      channel.consume(queue, () => {}, { consumerTag: 'mine' }).catch(() => {})
      expect(await connection.ended).toMatchObject({
        code: 530,
        text: "NOT_ALLOWED - attempt to reuse consumer tag 'mine'",
      })
    },
  },
  {
    name: 'lets an exclusive consumer be alone',
    async run(scene) {
      const text = (queue: string): string => `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`
      const channel = await scene.open()
      const { queue } = await channel.declareQueue('', { exclusive: true })
      const consumerTag = await channel.consume(queue, () => {}, { exclusive: true })
      await refused(
        (await scene.open()).consume(queue, () => {}),
        403,
        text(queue),
      )
      await channel.cancel(consumerTag)
      await channel.consume(queue, () => {})
      await refused(
        (await scene.open()).consume(queue, () => {}, { exclusive: true }),
        403,
        text(queue),
      )
    },
  },
  {
    name: 'closes the channel of who settles what is not outstanding',
    async run(scene) {
      const unknown = (tag: number): object => ({
        code: 406,
        text: `PRECONDITION_FAILED - unknown delivery tag ${tag}`,
      })
      const never = await scene.open()
      never.ack(5)
      expect(await never.ended).toMatchObject(unknown(5))

      const twice = await scene.open({ confirms: true })
      const { queue } = await twice.declareQueue('', { exclusive: true })
      await publishAll(twice, queue, ['one'])
      const delivery = await twice.get(queue)
      twice.ack(delivery!.deliveryTag)
      twice.nack(delivery!.deliveryTag)
      expect(await twice.ended).toMatchObject(unknown(delivery!.deliveryTag))

      const automatic = await scene.open({ confirms: true })
      await publishAll(automatic, queue, ['two'])
      const settled = await automatic.get(queue, { noAck: true })
      automatic.ack(settled!.deliveryTag)
      expect(await automatic.ended).toMatchObject(unknown(settled!.deliveryTag))
    },
  },
  {
    name: 'recovers: everything unacknowledged comes again',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await publishAll(channel, queue, numbered(3))
      const got = await drain(channel, queue)
      channel.ack(got[0]!.deliveryTag)
      await channel.recover()
      expect(marks(await drain(channel, queue))).toEqual(['2 again', '3 again'])
    },
  },
]

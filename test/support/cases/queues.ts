// Queues: names, counts, who may use them and when they go.
import { expect } from 'vitest'
import { type Case, Inbox, numbered, publishAll, refused, textOf } from '../conformance.ts'

export const queueCases: readonly Case[] = [
  {
    name: 'declaring a queue tells how many messages and consumers it has',
    async run(scene) {
      const queue = scene.name('queue')
      const channel = await scene.open({ confirms: true })
      expect(await channel.declareQueue(queue, { exclusive: true })).toMatchObject({
        queue,
        messageCount: 0,
        consumerCount: 0,
      })
      await publishAll(channel, queue, numbered(3))
      expect(await channel.declareQueue(queue, { exclusive: true })).toMatchObject({
        messageCount: 3,
        consumerCount: 0,
      })
      const inbox = new Inbox()
      await channel.consume(queue, inbox.listener)
      await inbox.take(3)
      // What is delivered and not acknowledged is not counted.
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 0, consumerCount: 1 })
    },
  },
  {
    name: 'the broker makes a name, and an empty name is the queue last declared on the channel',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      expect(queue).toMatch(/^amq\.gen-[\w-]{22}$/)
      const other = await channel.declareQueue('', { exclusive: true })
      expect(other.queue).not.toBe(queue)
      // With an empty key, the key is the name too.
      await channel.bindQueue('', 'amq.direct', '')
      await channel.publish('amq.direct', other.queue, Buffer.from('by its name'))
      expect(textOf(await channel.get(''))).toBe('by its name')
      await refused((await scene.open()).get(''), 404, /^404 NOT_FOUND - no previously declared queue/)
    },
  },
  {
    name: 'a name that begins with amq. is reserved',
    async run(scene) {
      await refused(
        (await scene.open()).declareQueue('amq.mine'),
        403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
      )
    },
  },
  {
    name: 'declaring it again is fine if it is the same, and refused with what differs',
    async run(scene) {
      const queue = scene.name('queue')
      const own = { durable: true, arguments: { 'x-queue-type': 'classic', note: 'unknown arguments are kept' } }
      await (await scene.open()).declareQueue(queue, own)
      await (await scene.open()).declareQueue(queue, own)
      await (await scene.open()).declareQueue(queue, { durable: true })
      const inequivalent = (what: string): string =>
        `PRECONDITION_FAILED - inequivalent arg ${what.replace(':', ` for queue '${queue}' in vhost '/': received`)}`
      await refused(
        (await scene.open()).declareQueue(queue),
        406,
        inequivalent("'durable': 'false' but current is 'true'"),
      )
      await refused(
        (await scene.open()).declareQueue(queue, { durable: true, autoDelete: true }),
        406,
        inequivalent("'auto_delete': 'true' but current is 'false'"),
      )
      await (await scene.open()).deleteQueue(queue)
    },
  },
  {
    name: 'a passive declare finds it or fails, and creates nothing',
    async run(scene) {
      const queue = scene.name('queue')
      const missing = `NOT_FOUND - no queue '${queue}' in vhost '/'`
      await refused((await scene.open()).checkQueue(queue), 404, missing)
      await refused((await scene.open()).get(queue), 404, missing)
      await refused(
        (await scene.open()).consume(queue, () => {}),
        404,
        missing,
      )
      await refused((await scene.open()).purgeQueue(queue), 404, missing)
    },
  },
  {
    name: 'an exclusive queue is for its connection alone, and goes with it',
    async run(scene) {
      const queue = scene.name('exclusive')
      const owner = await scene.connect()
      await (await owner.openChannel()).declareQueue(queue, { exclusive: true })
      const other = await scene.connect()
      const locked = new RegExp(
        `^405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '/'`,
      )
      await refused((await other.openChannel()).checkQueue(queue), 405, locked)
      await refused((await other.openChannel()).declareQueue(queue), 405, locked)
      await refused((await other.openChannel()).declareQueue(queue, { exclusive: true }), 405, locked)
      await refused((await other.openChannel()).get(queue), 405, locked)
      await refused(
        (await other.openChannel()).consume(queue, () => {}),
        405,
        locked,
      )
      await refused((await other.openChannel()).bindQueue(queue, 'amq.direct', ''), 405, locked)
      await refused((await other.openChannel()).purgeQueue(queue), 405, locked)
      await refused((await other.openChannel()).deleteQueue(queue), 405, locked)
      // Anybody may publish to it.
      const publisher = await other.openChannel({ confirms: true })
      await publishAll(publisher, queue, ['for the owner'])
      expect(textOf(await (await owner.openChannel()).get(queue))).toBe('for the owner')
      await owner.close()
      await refused((await other.openChannel()).checkQueue(queue), 404, /no queue/)
    },
  },
  {
    name: 'an auto-delete queue goes with its last consumer, and not before it had one',
    async run(scene) {
      const queue = scene.name('auto')
      const channel = await scene.open()
      await channel.declareQueue(queue, { autoDelete: true })
      expect(await channel.get(queue)).toBeNull()
      const one = await channel.consume(queue, () => {})
      const two = await channel.consume(queue, () => {})
      await channel.cancel(one)
      await channel.checkQueue(queue)
      await channel.cancel(two)
      await refused(channel.checkQueue(queue), 404, /no queue/)
    },
  },
  {
    name: 'an auto-delete queue goes when the connection of its consumer does',
    async run(scene) {
      const queue = scene.name('auto')
      const connection = await scene.connect()
      const channel = await connection.openChannel()
      await channel.declareQueue(queue, { autoDelete: true })
      await channel.consume(queue, () => {})
      await connection.close()
      await refused((await scene.open()).checkQueue(queue), 404, /no queue/)
    },
  },
  {
    name: 'purging removes what is ready and says how much',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await publishAll(channel, queue, numbered(5))
      const unacked = await channel.get(queue)
      expect(await channel.purgeQueue(queue)).toBe(4)
      expect(await channel.purgeQueue(queue)).toBe(0)
      channel.nack(unacked!.deliveryTag)
      expect(textOf(await channel.get(queue))).toBe('1')
    },
  },
  {
    name: 'deleting says how many messages went, and is fine for a queue that is not there',
    async run(scene) {
      const queue = scene.name('queue')
      const channel = await scene.open({ confirms: true })
      await channel.declareQueue(queue, { durable: true })
      await publishAll(channel, queue, numbered(4))
      expect(await channel.deleteQueue(queue)).toBe(4)
      expect(await channel.deleteQueue(queue)).toBe(0)
      expect(await channel.declareQueue(queue, { autoDelete: true })).toMatchObject({ messageCount: 0 })
    },
  },
  {
    name: 'a queue in use, or not empty, is not deleted on those conditions',
    async run(scene) {
      const queue = scene.name('queue')
      const channel = await scene.open({ confirms: true })
      await channel.declareQueue(queue, { durable: true })
      await publishAll(channel, queue, ['one'])
      await refused(
        (await scene.open()).deleteQueue(queue, { ifEmpty: true }),
        406,
        `PRECONDITION_FAILED - queue '${queue}' in vhost '/' not empty`,
      )
      await channel.consume(queue, () => {})
      await refused(
        (await scene.open()).deleteQueue(queue, { ifUnused: true }),
        406,
        `PRECONDITION_FAILED - queue '${queue}' in vhost '/' in use`,
      )
      await channel.deleteQueue(queue)
    },
  },
  {
    name: 'a consumer is told when its queue is deleted',
    async run(scene) {
      const queue = scene.name('queue')
      const channel = await scene.open()
      await channel.declareQueue(queue, { durable: true })
      const cancelled = new Promise((resolve) => channel.onCancelled(resolve))
      const consumerTag = await channel.consume(queue, () => {})
      await (await scene.open()).deleteQueue(queue)
      expect(await cancelled).toBe(consumerTag)
      await channel.declareQueue('', { exclusive: true })
    },
  },
  {
    name: 'bindings go with their queue',
    async run(scene) {
      const queue = scene.name('queue')
      const channel = await scene.open({ confirms: true })
      await channel.declareQueue(queue, { durable: true })
      await channel.bindQueue(queue, 'amq.direct', queue)
      await channel.deleteQueue(queue)
      await channel.declareQueue(queue, { durable: true })
      await channel.publish('amq.direct', queue, Buffer.from('nobody is bound'))
      expect(await channel.get(queue)).toBeNull()
      await channel.deleteQueue(queue)
    },
  },
]

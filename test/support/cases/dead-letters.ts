// Dead-letter exchanges: where messages go that nobody took, and what they carry then.
import { expect } from 'vitest'
import type { Headers, TestChannel } from '../clients/client.ts'
import { type Case, Inbox, refused, type Scene, textOf } from '../conformance.ts'

export const deadLetterCases: readonly Case[] = [
  {
    name: 'a rejected message goes to the dead-letter exchange under the key the queue names, with its history',
    async run(scene) {
      const { queue, dead, channel } = await open(scene, {})
      await channel.publish('', queue, Buffer.from('a'), { headers: { own: 'kept' }, expiration: '60000' })
      await rejectFirst(channel, queue)
      const delivery = await nextOf(channel, dead)
      expect([textOf(delivery), delivery.exchange, delivery.routingKey]).toEqual(['a', '', dead])
      expect(delivery.redelivered).toBe(false)
      // What it had to live does not count there.
      expect(delivery.properties.expiration).toBeUndefined()
      const headers = delivery.properties.headers ?? {}
      expect(headers).toMatchObject({
        own: 'kept',
        'x-first-death-exchange': '',
        'x-first-death-queue': queue,
        'x-first-death-reason': 'rejected',
      })
      expect(deathsOf(headers)).toEqual([
        {
          count: 1,
          reason: 'rejected',
          queue,
          exchange: '',
          'routing-keys': [queue],
          'original-expiration': '60000',
        },
      ])
    },
  },
  {
    name: 'an expired message keeps its own key if the queue names none',
    async run(scene) {
      const exchange = scene.name('exchange')
      const { queue, dead, channel } = await open(scene, {
        'x-dead-letter-exchange': exchange,
        'x-dead-letter-routing-key': undefined,
        'x-message-ttl': 1,
      })
      await channel.declareExchange(exchange, 'fanout')
      await channel.bindQueue(dead, exchange, '')
      await channel.publish('', queue, Buffer.from('a'))
      const delivery = await nextOf(channel, dead)
      expect([delivery.exchange, delivery.routingKey]).toEqual([exchange, queue])
      expect(deathsOf(delivery.properties.headers)).toEqual([
        { count: 1, reason: 'expired', queue, exchange: '', 'routing-keys': [queue] },
      ])
      await channel.deleteExchange(exchange)
    },
  },
  {
    name: 'its history counts how often a queue got rid of it for the same reason, the latest first',
    async run(scene) {
      const [queue, dead] = [scene.name('queue'), scene.name('dead')]
      const channel = await scene.open({ confirms: true })
      for (const [one, other] of [
        [queue, dead],
        [dead, queue],
      ] as const) {
        const table = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': other }
        await channel.declareQueue(one, { exclusive: true, arguments: table })
      }
      await channel.publish('', queue, Buffer.from('a'))
      for (const place of [queue, dead, queue]) {
        await expect.poll(async () => (await channel.checkQueue(place)).messageCount).toBe(1)
        await rejectFirst(channel, place)
      }
      const last = await nextOf(channel, dead)
      expect(deathsOf(last.properties.headers)).toMatchObject([
        { queue, count: 2 },
        { queue: dead, count: 1 },
      ])
    },
  },
  {
    name: 'what a publisher writes as its history is none',
    unlike310: 'it takes a history over that comes from a client; since 4.0 what clients write there means nothing',
    async run(scene) {
      const { queue, dead, channel } = await open(scene, {})
      await channel.publish('', queue, Buffer.from('a'))
      await rejectFirst(channel, queue)
      const first = await nextOf(channel, dead)
      await channel.publish('', queue, first.body, { headers: { 'x-death': first.properties.headers?.['x-death'] } })
      await rejectFirst(channel, queue)
      const second = await nextOf(channel, dead)
      expect(deathsOf(second.properties.headers).map(({ count }) => count)).toEqual([1])
    },
  },
  {
    name: 'a message that expires round a circle of queues is dropped, one that is rejected goes round',
    async run(scene) {
      const queue = scene.name('queue')
      const channel = await scene.open({ confirms: true })
      await channel.declareQueue(queue, {
        exclusive: true,
        arguments: { 'x-dead-letter-exchange': '', 'x-message-ttl': 500 },
      })
      await channel.publish('', queue, Buffer.from('a'))
      await rejectFirst(channel, queue)
      // The second time it comes back too, and expires then: that brings it back by expiry alone.
      const again = await nextOf(channel, queue)
      expect(deathsOf(again.properties.headers)).toMatchObject([{ reason: 'rejected', count: 1 }])
      channel.nack(again.deliveryTag)
      await expect.poll(async () => (await channel.checkQueue(queue)).messageCount, { timeout: 5_000 }).toBe(0)
    },
  },
  {
    name: 'an exchange that is not there takes nothing',
    async run(scene) {
      const { queue, dead, channel } = await open(scene, { 'x-dead-letter-exchange': scene.name('nowhere') })
      await channel.publish('', queue, Buffer.from('a'))
      await rejectFirst(channel, queue)
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 0 })
      expect(await channel.get(dead)).toBeNull()
    },
  },
  {
    name: 'a dead-letter key without an exchange is refused',
    async run(scene) {
      const queue = scene.name('queue')
      await refused(
        (await scene.open()).declareQueue(queue, { arguments: { 'x-dead-letter-routing-key': 'key' } }),
        406,
        `PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue '${queue}' in vhost '/': routing_key_but_no_dlx_defined`,
      )
    },
  },
]

/** A queue, and one for what it gets rid of; `args` replace those that lead from the first to the second. */
async function open(scene: Scene, args: Headers): Promise<{ queue: string; dead: string; channel: TestChannel }> {
  const channel = await scene.open({ confirms: true })
  const dead = scene.name('dead')
  const queue = scene.name('queue')
  await channel.declareQueue(dead, { exclusive: true })
  const all = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead, ...args }
  await channel.declareQueue(queue, {
    exclusive: true,
    arguments: Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)),
  })
  return { queue, dead, channel }
}

async function rejectFirst(channel: TestChannel, queue: string): Promise<void> {
  const delivery = await channel.get(queue)
  expect(delivery).not.toBeNull()
  channel.nack(delivery!.deliveryTag, { requeue: false })
}

async function nextOf(channel: TestChannel, queue: string) {
  const inbox = new Inbox()
  const tag = await channel.consume(queue, inbox.listener)
  const delivery = await inbox.next()
  await channel.cancel(tag)
  return delivery
}

/** The events of x-death without their time, numbers as numbers. */
function deathsOf(headers: Headers | undefined): Headers[] {
  return ((headers?.['x-death'] ?? []) as Headers[]).map((event) => {
    const { time, count, ...others } = event
    expect(time).toBeDefined()
    return { ...others, count: Number(count) }
  })
}

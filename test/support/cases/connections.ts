// Logging in, many channels, and what an error ends.
import { expect } from 'vitest'
import { type Case, publishAll, refused, textOf } from '../conformance.ts'

export const connectionCases: readonly Case[] = [
  {
    name: 'refuses a wrong password',
    async run({ broker, client }) {
      const url = broker.url.replace('guest:guest', 'guest:wrong')
      await refused(
        client.connect(url),
        403,
        /403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN/,
      )
    },
  },
  {
    name: 'refuses a virtual host that is not there',
    needs: 'open-error',
    async run({ broker, client }) {
      await refused(client.connect(`${broker.url}/nowhere`), 530, 'NOT_ALLOWED - vhost nowhere not found')
    },
  },
  {
    name: 'carries many channels on one connection, each with its own delivery tags',
    async run(scene) {
      const connection = await scene.connect()
      const channels = await Promise.all(Array.from({ length: 150 }, () => connection.openChannel()))
      const queues = await Promise.all(channels.map((channel) => channel.declareQueue('', { exclusive: true })))
      await Promise.all(
        channels.map((channel, index) => channel.publish('', queues[index]!.queue, Buffer.from(`for ${index}`))),
      )
      const got = await Promise.all(channels.map((channel, index) => channel.get(queues[index]!.queue)))
      expect(got.map(textOf)).toEqual(channels.map((_, index) => `for ${index}`))
      expect(new Set(got.map((delivery) => delivery?.deliveryTag))).toEqual(new Set([1]))
    },
  },
  {
    name: 'closes a channel and opens its number again at once',
    async run(scene) {
      const connection = await scene.connect()
      for (let round = 0; round < 20; round++) {
        const channel = await connection.openChannel()
        await channel.declareQueue('', { exclusive: true })
        await channel.close()
      }
    },
  },
  {
    name: 'ends the channel on which something was wrong, and no other',
    async run(scene) {
      const [bad, good] = [await scene.open(), await scene.open({ confirms: true })]
      const { queue } = await good.declareQueue('', { exclusive: true })
      await refused(bad.checkQueue('nowhere'), 404, "NOT_FOUND - no queue 'nowhere' in vhost '/'")
      expect(await bad.ended).toMatchObject({ code: 404 })
      await publishAll(good, queue, ['still here'])
      expect(textOf(await good.get(queue))).toBe('still here')
    },
  },
  {
    name: 'keeps what one connection sends for another that comes later',
    async run(scene) {
      const queue = scene.name('queue')
      const sender = await scene.connect()
      const sending = await sender.openChannel({ confirms: true })
      await sending.declareQueue(queue, { durable: true })
      await publishAll(sending, queue, ['one', 'two'])
      await sender.close()

      const receiving = await (await scene.connect()).openChannel()
      expect(textOf(await receiving.get(queue))).toBe('one')
      expect(textOf(await receiving.get(queue))).toBe('two')
      expect(await receiving.get(queue)).toBeNull()
      await receiving.deleteQueue(queue)
    },
  },
]

// What RabbitMQ adds to AMQP 0-9-1, as far as a client library sees it.
import { expect } from 'vitest'
import { Nacked, type TestChannel } from '../clients/client.ts'
import { type Case, drain, Inbox, numbered, publishAll, refused, type Scene, textOf } from '../conformance.ts'

/** A queue for this connection, with arguments. */
async function declare(channel: TestChannel, args: Record<string, unknown>): Promise<string> {
  return (await channel.declareQueue('', { exclusive: true, arguments: args })).queue
}

async function texts(channel: TestChannel, queue: string): Promise<(string | null)[]> {
  return (await drain(channel, queue)).map(textOf)
}

/** Resolves when the broker sends a mandatory message back. */
function whenReturned(channel: TestChannel): Promise<void> {
  return new Promise((resolve) => channel.onReturned(() => resolve()))
}

async function withAlternate(scene: Scene, channel: TestChannel): Promise<[first: string, alternate: string]> {
  const [first, alternate] = [scene.name('first'), scene.name('alternate')]
  await channel.declareExchange(alternate, 'fanout', { autoDelete: true })
  await channel.declareExchange(first, 'direct', { arguments: { 'alternate-exchange': alternate } })
  return [first, alternate]
}

export const extensionCases: readonly Case[] = [
  {
    name: 'an alternate exchange takes what its exchange routes nowhere, and that counts as routed',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const [first, alternate] = await withAlternate(scene, channel)
      const [known, unknown] = [await declare(channel, {}), await declare(channel, {})]
      await channel.bindQueue(known, first, 'known')
      await channel.bindQueue(unknown, alternate, '')
      let returned = 0
      channel.onReturned(() => returned++)
      for (const key of ['known', 'other']) await channel.publish(first, key, Buffer.from(key), { mandatory: true })
      expect(await texts(channel, known)).toEqual(['known'])
      const delivery = await channel.get(unknown)
      expect([textOf(delivery), delivery?.exchange, delivery?.routingKey]).toEqual(['other', first, 'other'])
      expect(returned).toBe(0)
      await channel.deleteExchange(first)
    },
  },
  {
    name: 'CC and BCC route by further keys, and BCC is shown to nobody',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const queues = [await declare(channel, {}), await declare(channel, {}), await declare(channel, {})]
      const [to, copy, blind] = queues as [string, string, string]
      const headers = { CC: [copy, to], BCC: [blind], other: 'kept' }
      await channel.publish('', to, Buffer.from('to all'), { headers })
      for (const queue of queues) {
        const delivery = await channel.get(queue)
        expect(delivery?.routingKey).toBe(to)
        expect(delivery?.properties.headers).toEqual({ CC: [copy, to], other: 'kept' })
        expect(await channel.get(queue)).toBeNull()
      }
      await refused(
        channel.publish('', to, Buffer.from('bad'), { headers: { CC: copy } }),
        406,
        /^406 PRECONDITION_FAILED - invalid message: /,
      )
    },
  },
  {
    name: 'a queue of limited length drops its oldest, in number or in bytes',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const byNumber = await declare(channel, { 'x-max-length': 3 })
      await publishAll(channel, byNumber, numbered(5))
      expect(await texts(channel, byNumber)).toEqual(['3', '4', '5'])
      const byBytes = await declare(channel, { 'x-max-length-bytes': 10 })
      await publishAll(channel, byBytes, ['aaaa', 'bbbb', 'cccc', 'dd'])
      expect(await texts(channel, byBytes)).toEqual(['bbbb', 'cccc', 'dd'])
    },
  },
  {
    name: 'a full queue that refuses publishes nacks them, and takes more when it has room',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const queue = await declare(channel, { 'x-max-length': 2, 'x-overflow': 'reject-publish' })
      await publishAll(channel, queue, numbered(2))
      await expect(channel.publish('', queue, Buffer.from('too much'))).rejects.toBeInstanceOf(Nacked)
      expect(textOf(await channel.get(queue, { noAck: true }))).toBe('1')
      await channel.publish('', queue, Buffer.from('3'))
      expect(await texts(channel, queue)).toEqual(['2', '3'])
    },
  },
  {
    name: 'a queue with priorities hands out the highest first, and in order among equals',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const queue = await declare(channel, { 'x-max-priority': 5 })
      const priorities = [undefined, 3, 1, 5, 9, 0, 3]
      for (const [index, priority] of priorities.entries()) {
        await channel.publish('', queue, Buffer.from(`${index}`), priority === undefined ? {} : { priority })
      }
      expect(await texts(channel, queue)).toEqual(['3', '4', '1', '6', '2', '0', '5'])
    },
  },
  {
    name: 'of the consumers of a single active consumer one gets all, and the next takes over when it goes',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const queue = await declare(channel, { 'x-single-active-consumer': true })
      const [first, second] = [new Inbox(), new Inbox()]
      const tag = await channel.consume(queue, first.listener, { noAck: true })
      await channel.consume(queue, second.listener, { noAck: true })
      await publishAll(channel, queue, numbered(4))
      expect((await first.take(4)).map(textOf)).toEqual(numbered(4))
      await channel.cancel(tag)
      await publishAll(channel, queue, ['5', '6'])
      expect((await second.take(2)).map(textOf)).toEqual(['5', '6'])
      expect(first.surplus).toEqual([])
    },
  },
  {
    name: 'a consumer of higher priority gets messages while it has credit, the other gets the rest',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const queue = await declare(channel, {})
      await channel.prefetch(2)
      const [low, high] = [new Inbox(), new Inbox()]
      await channel.consume(queue, low.listener, { arguments: { 'x-priority': -1 } })
      await channel.consume(queue, high.listener, { arguments: { 'x-priority': 5 } })
      for (const text of numbered(4)) await channel.publish('', queue, Buffer.from(text))
      expect((await high.take(2)).map(textOf)).toEqual(['1', '2'])
      expect((await low.take(2)).map(textOf)).toEqual(['3', '4'])
    },
  },
  {
    name: 'a queue that nobody uses for its time to live goes; publishing to it is no use of it',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const queue = scene.name('queue')
      await channel.declareQueue(queue, { durable: true, arguments: { 'x-expires': 300 } })
      const gone = whenReturned(channel)
      let isGone = false
      void gone.then(() => {
        isGone = true
      })
      while (!isGone) await channel.publish('', queue, Buffer.from('still there?'), { mandatory: true })
      await refused(channel.checkQueue(queue), 404, `NOT_FOUND - no queue '${queue}' in vhost '/'`)
    },
  },
  {
    name: 'a request is answered directly through amq.rabbitmq.reply-to, without a queue',
    async run(scene) {
      const asking = await scene.open()
      const answering = await (await scene.connect()).openChannel()
      const queue = scene.name('requests')
      await answering.declareQueue(queue, { autoDelete: true })
      await answering.consume(queue, ({ body, properties: { replyTo = '', correlationId } }) => {
        const properties = correlationId === undefined ? {} : { correlationId }
        void answering.publish('', replyTo, Buffer.from(body.toString().toUpperCase()), properties)
      })
      const answers = new Inbox()
      await asking.consume('amq.rabbitmq.reply-to', answers.listener, { noAck: true })
      for (const correlationId of ['a', 'b']) {
        const properties = { replyTo: 'amq.rabbitmq.reply-to', correlationId }
        await asking.publish('', queue, Buffer.from(`question ${correlationId}`), properties)
      }
      const got = (await answers.take(2)).map((answer) => [textOf(answer), answer.properties.correlationId])
      expect(got).toEqual([
        ['QUESTION A', 'a'],
        ['QUESTION B', 'b'],
      ])
      const other = await scene.open()
      await other.publish('', queue, Buffer.from('who asks?'), { replyTo: 'amq.rabbitmq.reply-to' })
      expect(await other.ended).toMatchObject({
        code: 406,
        text: 'PRECONDITION_FAILED - fast reply consumer does not exist',
      })
    },
  },
]

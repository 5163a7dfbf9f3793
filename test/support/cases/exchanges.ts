// Exchanges of every kind, and what is said about them.
import { expect } from 'vitest'
import type { TestChannel } from '../clients/client.ts'
import { type Case, drain, publishAll, refused, type Scene, textOf } from '../conformance.ts'

/** An exchange, and queues bound to it: a queue per binding, in the order given. */
async function bound(
  scene: Scene,
  channel: TestChannel,
  kind: string,
  bindings: readonly (readonly [key: string, args?: Record<string, unknown>])[],
): Promise<{ exchange: string; queues: string[] }> {
  const exchange = scene.name(kind)
  await channel.declareExchange(exchange, kind, { autoDelete: true })
  const queues: string[] = []
  for (const [key, args] of bindings) {
    const { queue } = await channel.declareQueue('', { exclusive: true })
    await channel.bindQueue(queue, exchange, key, args)
    queues.push(queue)
  }
  return { exchange, queues }
}

async function texts(channel: TestChannel, queue: string): Promise<(string | null)[]> {
  return (await drain(channel, queue)).map(textOf)
}

export const exchangeCases: readonly Case[] = [
  {
    name: 'the default exchange takes a message to the queue that its key names',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await publishAll(channel, queue, ['hello'])
      expect(await channel.get(queue, { noAck: true })).toMatchObject({ exchange: '', routingKey: queue })
    },
  },
  {
    name: 'the default exchange cannot be bound, declared or deleted',
    async run(scene) {
      const text = 'ACCESS_REFUSED - operation not permitted on the default exchange'
      const { queue } = await (await scene.open()).declareQueue('', { exclusive: true })
      await refused((await scene.open()).bindQueue(queue, '', 'key'), 403, text)
      await refused((await scene.open()).declareExchange('', 'direct', { durable: true }), 403, text)
      await refused((await scene.open()).deleteExchange(''), 403, text)
    },
  },
  {
    name: 'a direct exchange routes by the whole key',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { exchange, queues } = await bound(scene, channel, 'direct', [['red'], ['blue'], ['red']])
      for (const key of ['red', 'blue', 'green', 'Red', 're', ''])
        await channel.publish(exchange, key, Buffer.from(key))
      expect(await Promise.all(queues.map((queue) => texts(channel, queue)))).toEqual([['red'], ['blue'], ['red']])
    },
  },
  {
    name: 'a fanout exchange routes to all, whatever the key',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { exchange, queues } = await bound(scene, channel, 'fanout', [['a'], [''], ['c']])
      await channel.publish(exchange, 'other', Buffer.from('to all'))
      for (const queue of queues) expect(await texts(channel, queue)).toEqual(['to all'])
    },
  },
  {
    name: 'a topic exchange matches words: * is one, # is any number',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const patterns = ['a.*.c', 'a.#', '#', '*', '#.c', 'a.b', '*.*', '#.b.#', 'a*', '', '#.#']
      const { exchange, queues } = await bound(
        scene,
        channel,
        'topic',
        patterns.map((pattern) => [pattern]),
      )
      const keys = ['', 'a', 'a.b', 'a.b.c', 'a..c', 'b.c', 'x.b.y', 'a*', 'A.B', 'a.b.b.c']
      for (const key of keys) await channel.publish(exchange, key, Buffer.from(key))
      const routed: Record<string, unknown> = {}
      for (const [index, pattern] of patterns.entries()) routed[pattern] = await texts(channel, queues[index]!)
      expect(routed).toEqual({
        'a.*.c': ['a.b.c', 'a..c'],
        'a.#': ['a', 'a.b', 'a.b.c', 'a..c', 'a.b.b.c'],
        '#': keys,
        '*': ['a', 'a*'],
        '#.c': ['a.b.c', 'a..c', 'b.c', 'a.b.b.c'],
        'a.b': ['a.b'],
        '*.*': ['a.b', 'b.c', 'A.B'],
        '#.b.#': ['a.b', 'a.b.c', 'b.c', 'x.b.y', 'a.b.b.c'],
        'a*': ['a*'],
        '': [''],
        '#.#': keys,
      })
    },
  },
  {
    name: 'a headers exchange matches all or any of the arguments, by value or by presence',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { exchange, queues } = await bound(scene, channel, 'headers', [
        ['', { 'x-match': 'all', colour: 'red', size: 3 }],
        ['', { 'x-match': 'any', colour: 'red', size: 3 }],
        ['', { colour: 'red' }],
        ['', { 'x-match': 'all', colour: null }],
        ['', { 'x-match': 'any' }],
        ['', { 'x-match': 'all' }],
        ['', { 'x-match': 'all-with-x', 'x-tag': 'yes' }],
      ])
      const messages: Record<string, Record<string, unknown>> = {
        both: { colour: 'red', size: 3, more: 1 },
        colour: { colour: 'red' },
        size: { colour: 'blue', size: 3 },
        none: { other: 1 },
        tagged: { 'x-tag': 'yes' },
        text: { size: '3' },
      }
      for (const [name, headers] of Object.entries(messages)) {
        await channel.publish(exchange, 'ignored', Buffer.from(name), { headers })
      }
      expect(await Promise.all(queues.map((queue) => texts(channel, queue)))).toEqual([
        ['both'],
        ['both', 'colour', 'size'],
        ['both', 'colour'],
        ['both', 'colour', 'size'],
        [],
        Object.keys(messages),
        ['tagged'],
      ])
    },
  },
  {
    name: 'a headers binding with an unknown x-match is refused',
    async run(scene) {
      const channel = await scene.open()
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await refused(
        channel.bindQueue(queue, 'amq.headers', '', { 'x-match': 'some' }),
        406,
        /PRECONDITION_FAILED.*x-match/,
      )
    },
  },
  {
    name: 'a queue gets one copy, however many bindings match',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { exchange, queues } = await bound(scene, channel, 'topic', [['a.*']])
      for (const key of ['#', 'a.b', '*.b', 'a.*']) await channel.bindQueue(queues[0]!, exchange, key)
      await channel.publish(exchange, 'a.b', Buffer.from('once'))
      expect(await texts(channel, queues[0]!)).toEqual(['once'])
    },
  },
  {
    name: 'unbinding ends the routing; unbinding what is not bound is fine',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const { exchange, queues } = await bound(scene, channel, 'direct', [['keep'], ['go']])
      await channel.unbindQueue(queues[1]!, exchange, 'go')
      await channel.unbindQueue(queues[1]!, exchange, 'go')
      await channel.publish(exchange, 'go', Buffer.from('lost'))
      expect(await texts(channel, queues[1]!)).toEqual([])
    },
  },
  {
    name: 'an exchange can be bound to an exchange, in circles too',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const first = await bound(scene, channel, 'topic', [['#']])
      const second = await bound(scene, channel, 'fanout', [['']])
      await channel.bindExchange(second.exchange, first.exchange, 'news.#')
      await channel.bindExchange(first.exchange, second.exchange, '')
      await channel.publish(first.exchange, 'news.today', Buffer.from('both'))
      await channel.publish(first.exchange, 'other', Buffer.from('first only'))
      expect(await texts(channel, first.queues[0]!)).toEqual(['both', 'first only'])
      expect(await texts(channel, second.queues[0]!)).toEqual(['both'])

      await channel.unbindExchange(second.exchange, first.exchange, 'news.#')
      await channel.publish(first.exchange, 'news.today', Buffer.from('now alone'))
      expect(await texts(channel, second.queues[0]!)).toEqual([])
    },
  },
  {
    name: 'the exchanges that AMQP promises are there and stay',
    async run(scene) {
      const channel = await scene.open()
      for (const name of ['amq.direct', 'amq.fanout', 'amq.topic', 'amq.headers', 'amq.match']) {
        await channel.checkExchange(name)
      }
      await refused(
        channel.deleteExchange('amq.fanout'),
        403,
        "ACCESS_REFUSED - deletion of system exchange 'amq.fanout' in vhost '/' not allowed",
      )
    },
  },
  {
    name: 'a name that begins with amq. is reserved',
    async run(scene) {
      const channel = await scene.open()
      await refused(
        channel.declareExchange('amq.mine', 'direct'),
        403,
        "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
      )
    },
  },
  {
    name: 'declaring it again is fine if it is the same, and refused with what differs',
    async run(scene) {
      const exchange = scene.name('exchange')
      await (await scene.open()).declareExchange(exchange, 'direct', { durable: true })
      await (await scene.open()).declareExchange(exchange, 'direct', { durable: true })
      const inequivalent = (what: string): string =>
        `PRECONDITION_FAILED - inequivalent arg ${what.replace(':', ` for exchange '${exchange}' in vhost '/': received`)}`
      await refused(
        (await scene.open()).declareExchange(exchange, 'fanout', { durable: true }),
        406,
        inequivalent("'type': 'fanout' but current is 'direct'"),
      )
      await refused(
        (await scene.open()).declareExchange(exchange, 'direct'),
        406,
        inequivalent("'durable': 'false' but current is 'true'"),
      )
      await refused(
        (await scene.open()).declareExchange(exchange, 'direct', { durable: true, autoDelete: true }),
        406,
        inequivalent("'auto_delete': 'true' but current is 'false'"),
      )
      await refused(
        (await scene.open()).declareExchange(exchange, 'direct', { durable: true, internal: true }),
        406,
        inequivalent("'internal': 'true' but current is 'false'"),
      )
      await (await scene.open()).deleteExchange(exchange)
    },
  },
  {
    name: 'an unknown kind is refused',
    unlike310: 'RabbitMQ before 4.0 closes the connection with 503 COMMAND_INVALID',
    async run(scene) {
      await refused(
        (await scene.open()).declareExchange(scene.name('odd'), 'odd'),
        406,
        /PRECONDITION_FAILED - .*'odd'/,
      )
    },
  },
  {
    name: 'a passive declare finds it or fails, and creates nothing',
    async run(scene) {
      const exchange = scene.name('exchange')
      const missing = `NOT_FOUND - no exchange '${exchange}' in vhost '/'`
      await refused((await scene.open()).checkExchange(exchange), 404, missing)
      const channel = await scene.open()
      await channel.declareExchange(exchange, 'topic', { autoDelete: true })
      await channel.checkExchange(exchange)
      await channel.deleteExchange(exchange)
      await channel.deleteExchange(exchange)
      await refused(channel.checkExchange(exchange), 404, missing)
    },
  },
  {
    name: 'an exchange in use is not deleted if it should be unused',
    async run(scene) {
      const channel = await scene.open()
      const { exchange } = await bound(scene, channel, 'direct', [['key']])
      await refused(
        channel.deleteExchange(exchange, { ifUnused: true }),
        406,
        `PRECONDITION_FAILED - exchange '${exchange}' in vhost '/' in use`,
      )
      await (await scene.open()).deleteExchange(exchange)
    },
  },
  {
    name: 'an auto-delete exchange goes with its last binding',
    async run(scene) {
      const channel = await scene.open()
      const { exchange, queues } = await bound(scene, channel, 'direct', [['a'], ['b']])
      await channel.unbindQueue(queues[0]!, exchange, 'a')
      await channel.checkExchange(exchange)
      await channel.deleteQueue(queues[1]!)
      await refused(channel.checkExchange(exchange), 404, /no exchange/)
    },
  },
  {
    name: 'an internal exchange takes nothing from a client, but passes on what comes from another exchange',
    async run(scene) {
      const channel = await scene.open({ confirms: true })
      const [source, inner] = [scene.name('source'), scene.name('inner')]
      await channel.declareExchange(source, 'fanout', { autoDelete: true })
      await channel.declareExchange(inner, 'fanout', { internal: true, autoDelete: true })
      await channel.bindExchange(inner, source, '')
      const { queue } = await channel.declareQueue('', { exclusive: true })
      await channel.bindQueue(queue, inner, '')
      await channel.publish(source, '', Buffer.from('through'))
      expect(await texts(channel, queue)).toEqual(['through'])
      await refused(
        channel.publish(inner, '', Buffer.from('direct')),
        403,
        `ACCESS_REFUSED - cannot publish to internal exchange '${inner}' in vhost '/'`,
      )
    },
  },
  {
    name: 'binding something that is not there is refused',
    async run(scene) {
      const { queue } = await (await scene.open()).declareQueue('', { exclusive: true })
      await refused(
        (await scene.open()).bindQueue(queue, 'nowhere', ''),
        404,
        "NOT_FOUND - no exchange 'nowhere' in vhost '/'",
      )
      await refused(
        (await scene.open()).bindQueue('none', 'amq.direct', ''),
        404,
        "NOT_FOUND - no queue 'none' in vhost '/'",
      )
    },
  },
]

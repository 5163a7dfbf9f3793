// How channels begin and end, and what a channel remembers.
import type { Conversation } from '../talk.ts'

const close = { replyCode: 200, replyText: 'bye' }

export const channelConversations: readonly Conversation[] = [
  {
    name: 'channel.open is answered, on any number',
    async run(talk) {
      const line = await talk.connect()
      await line.adopt(1).call('channel.open')
      await line.adopt(2047).call('channel.open')
      await line.adopt(30_000).call('channel.open')
    },
  },
  {
    name: 'channel.close is answered, and the number can be used again at once',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      await channel.call('channel.close', close)
      await channel.call('channel.open')
      await channel.call('basic.qos')
    },
  },
  {
    name: 'channel.open on a channel that is open ends the connection',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      await line.channel()
      await channel.call('channel.open')
    },
  },
  {
    name: 'more channels than channel_max end the connection',
    async run(talk) {
      const line = await talk.connect({ channelMax: 3 })
      await line.adopt(1).call('channel.open')
      await line.adopt(500).call('channel.open')
      await line.adopt(3).call('channel.open')
      await line.adopt(4).call('channel.open')
    },
  },
  {
    name: 'a channel that was closed makes room for another',
    async run(talk) {
      const line = await talk.connect({ channelMax: 1 })
      await line.adopt(1).call('channel.open')
      await (line.channels.get(1) ?? line.adopt(1)).call('channel.close', close)
      await line.adopt(2).call('channel.open')
    },
  },
  {
    name: 'a channel that the broker closed counts until close-ok',
    async run(talk) {
      const line = await talk.connect({ channelMax: 1 })
      const channel = line.adopt(1)
      await channel.call('channel.open')
      line.peer.answersCloses = false
      await channel.call('queue.declare', { queue: talk.name('q'), passive: true })
      line.send('channel.close-ok', {}, 1)
      await line.adopt(2).call('channel.open')
    },
  },
  {
    name: 'an error closes its channel only',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      await one.call('queue.declare', { queue: talk.name('q'), passive: true })
      await two.call('basic.qos')
      await one.call('channel.open')
      await one.call('basic.qos')
    },
  },
  {
    name: 'after its channel.close the broker drops what comes until close-ok, also content',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = talk.name('q')
      await two.declare(queue)
      line.peer.answersCloses = false
      await one.call('queue.declare', { queue: talk.name('none'), passive: true })
      one.publish('', queue, 'dropped')
      one.send('queue.purge', { queue })
      one.send('queue.declare', { queue: talk.name('also-dropped') })
      line.frame(1, 1, '003c 0028 0000 00 00 00')
      line.frame(2, 1, '003c 0000 0000000000000003 0000')
      line.frame(3, 1, '414141')
      await talk.settle()
      line.send('channel.close-ok', {}, 1)
      line.peer.closedChannels.delete(1)
      await one.call('channel.open')
      await two.call('queue.declare', { queue, passive: true })
      await one.call('queue.declare', { queue: talk.name('also-dropped'), passive: true })
    },
  },
  {
    name: 'a channel.close that crosses the one of the broker is answered',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      await line.channel()
      line.peer.answersCloses = false
      await channel.call('queue.declare', { queue: talk.name('none'), passive: true })
      channel.send('channel.close', close)
      await talk.settle()
      channel.send('channel.close', close)
      await talk.settle()
      channel.send('channel.close-ok')
      line.peer.closedChannels.delete(1)
      await channel.call('channel.open')
    },
  },
  {
    name: 'channel.open instead of close-ok',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      await line.channel()
      line.peer.answersCloses = false
      await channel.call('queue.declare', { queue: talk.name('none'), passive: true })
      line.send('channel.open', {}, 1)
      await talk.settle()
      line.send('channel.close-ok', {}, 1)
      line.peer.closedChannels.delete(1)
      await channel.call('channel.open')
    },
  },
  {
    name: 'a channel that ends gives back what it held, in order, before close-ok',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = talk.name('q')
      await one.declare(queue)
      for (const body of ['1', '2', '3', '4', '5']) one.publish('', queue, body)
      await talk.settle()
      await one.qos(3)
      await one.consume(queue, 'c')
      one.ack(2)
      await talk.settle()
      await one.call('channel.close', close)
      await two.call('queue.declare', { queue, passive: true })
      for (let count = 0; count < 5; count++) await two.get(queue, true)
    },
  },
  {
    name: 'exclusive queues outlive the channel that declared them',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = talk.name('q')
      await one.declare(queue, { exclusive: true })
      await one.publishes('', queue, 'a')
      await one.call('channel.close', close)
      await two.call('queue.declare', { queue, passive: true })
    },
  },
  {
    name: 'channel.flow with active is answered',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      channel.isFenced = false
      await channel.call('channel.flow', { active: true })
    },
  },
  {
    name: 'channel.flow without active ends the connection',
    run: async (talk) => (await talk.open()).call('channel.flow', { active: false }),
  },
  {
    name: 'channel.flow-ok unasked',
    async run(talk) {
      const channel = await talk.open()
      channel.send('channel.flow-ok', { active: true })
      await talk.settle()
    },
  },
  {
    name: 'channel.close-ok unasked',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      await line.channel()
      channel.isFenced = false
      channel.send('channel.close-ok')
      await talk.settle()
      channel.send('basic.qos')
      await talk.settle()
    },
  },
  {
    name: 'access.request gets a ticket',
    run: async (talk) => (await talk.open()).call('access.request', { realm: '/data', active: true }),
  },
  {
    name: 'an empty queue name is the queue declared last on the channel',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      const [one, two] = [talk.name('one'), talk.name('two')]
      await channel.declare(one)
      await channel.declare(two)
      await channel.publishes('', two, 'a')
      await channel.get('', true)
      await channel.call('queue.declare', { queue: one, passive: true })
      await channel.publishes('', one, 'b')
      await channel.call('queue.purge')
      await channel.bind('', 'amq.direct', 'key')
      await channel.unbind('', 'amq.direct', 'key')
      await channel.consume('', 'c')
      await channel.call('queue.delete')
      await channel.call('queue.purge')
    },
  },
  {
    name: 'an empty queue name and an empty key mean the queue twice',
    async run(talk) {
      const channel = await talk.open()
      const queue = talk.name('q')
      await channel.declare(queue)
      await channel.bind('', 'amq.direct')
      await channel.publishes('amq.direct', queue, 'a', {}, true)
      await channel.get(queue, true)
      await channel.unbind('', 'amq.direct')
      await channel.publishes('amq.direct', queue, 'b', {}, true)
      await channel.bind(queue, 'amq.direct')
      await channel.publishes('amq.direct', queue, 'c', {}, true)
    },
  },
  ...(
    [
      ['queue.purge', {}],
      ['queue.delete', {}],
      ['queue.bind', { exchange: 'amq.direct' }],
      ['queue.unbind', { exchange: 'amq.direct' }],
      ['basic.get', {}],
      ['basic.consume', {}],
    ] as const
  ).map(
    ([name, args]): Conversation => ({
      name: `${name} of the queue declared last, when there is none`,
      run: async (talk) => (await talk.open()).call(name, args),
    }),
  ),
  {
    name: 'the queue declared last is forgotten with its channel',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      await channel.declare(talk.name('q'))
      await channel.call('channel.close', close)
      await channel.call('channel.open')
      await channel.get('')
    },
  },
  {
    name: 'a declare that failed changes the queue declared last, or not',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      await one.declare(talk.name('q'))
      await two.call('queue.delete', { queue: talk.name('q') })
      await one.get('')
    },
  },
  {
    name: 'no-wait suppresses answers, not errors',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      const [queue, exchange] = [talk.name('q'), talk.name('x')]
      channel.send('queue.declare', { queue, noWait: true })
      channel.send('exchange.declare', { exchange, kind: 'fanout', noWait: true })
      channel.send('queue.bind', { destination: queue, exchange, noWait: true })
      channel.send('exchange.bind', { destination: exchange, exchange: 'amq.topic', routingKey: 'a', noWait: true })
      channel.send('basic.consume', { queue, consumerTag: 'c', noWait: true })
      channel.publish(exchange, '', 'a')
      await talk.settle()
      channel.send('basic.cancel', { consumerTag: 'c', noWait: true })
      channel.send('exchange.unbind', { destination: exchange, exchange: 'amq.topic', routingKey: 'a', noWait: true })
      channel.send('queue.purge', { queue, noWait: true })
      channel.send('confirm.select', { noWait: true })
      channel.send('queue.delete', { queue, noWait: true })
      channel.send('exchange.delete', { exchange, noWait: true })
      await talk.settle()
      channel.send('queue.declare', { queue, passive: true, noWait: true })
      await talk.settle()
    },
  },
  {
    name: 'line ends in the names that are declared, bound and deleted are dropped',
    async run(talk) {
      const channel = await talk.open()
      const [queue, exchange] = [talk.name('q'), talk.name('x')]
      await channel.declare(`${queue}\r\n`)
      await channel.declare(`${queue}\r\n`, { passive: true })
      await channel.declareExchange(`\n${exchange}`, 'direct')
      await channel.bind(`${queue}\n`, `${exchange}\r`, 'key')
      await channel.publishes(exchange, 'key', 'a', {}, true)
      await channel.unbind(`${queue}\n`, `${exchange}\r`, 'key')
      await channel.bindExchange(`${exchange}\n`, 'amq.topic\r', 'key')
      await channel.call('queue.delete', { queue: `${queue}\n` })
      await channel.call('exchange.delete', { exchange: `${exchange}\n` })
    },
  },
  ...(['basic.get', 'basic.consume', 'queue.purge'] as const).map(
    (name): Conversation => ({
      name: `${name} takes a name with a line end as it is`,
      async run(talk) {
        const channel = await talk.open()
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.call(name, { queue: `\r${queue}` })
      },
    }),
  ),
  {
    name: 'a publish takes names with line ends as they are',
    async run(talk) {
      const channel = await talk.open()
      const [queue, exchange] = [talk.name('q'), talk.name('x')]
      await channel.declare(queue)
      await channel.declareExchange(exchange, 'direct')
      await channel.publishes('', `${queue}\n`, 'a', {}, true)
      await channel.publishes(`${exchange}\n`, 'key', 'a', {}, true)
    },
  },
  {
    name: 'methods may be sent without waiting for answers',
    async run(talk) {
      const line = await talk.connect()
      const channel = line.adopt(1)
      const queue = talk.name('q')
      channel.send('channel.open')
      channel.send('queue.declare', {})
      channel.send('queue.bind', { exchange: 'amq.direct', routingKey: queue })
      channel.send('confirm.select')
      await line.peer.until('confirm.select-ok', () =>
        line.peer.received.some(({ name }) => name === 'confirm.select-ok'),
      )
      await channel.publishes('amq.direct', queue, 'a', {}, true)
    },
  },
  {
    name: 'a reply-text is cut to 255 octets',
    async run(talk) {
      const channel = await talk.open()
      await channel.call('queue.declare', { queue: 'x'.repeat(255), passive: true })
    },
  },
  {
    name: 'a name of 255 octets',
    async run(talk) {
      const channel = await talk.open()
      const queue = talk.name('é'.repeat(120))
      await channel.declare(queue)
      await channel.publishes('', queue, 'a', {}, true)
      await channel.get(queue, true)
    },
  },
]

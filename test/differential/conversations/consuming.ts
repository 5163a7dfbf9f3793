// Consuming: consumers, credit, acknowledgements, requeueing, recovering and basic.get.
import type { Channel } from '../channel.ts'
import type { Args, Table } from '../peer.ts'
import type { Conversation, Talk } from '../talk.ts'

async function withChannel(talk: Talk, run: (channel: Channel) => Promise<void>): Promise<void> {
  const line = await talk.connect()
  const channel = await line.channel()
  // A second channel: whether an error costs the connection is seen there.
  await line.channel()
  await run(channel)
}

/** A queue with so many messages: '1', '2', … */
async function filled(talk: Talk, channel: Channel, count: number, options: Args = {}): Promise<string> {
  const queue = talk.name('q')
  await channel.declare(queue, options)
  for (let number = 1; number <= count; number++) channel.publish('', queue, `${number}`)
  await talk.settle()
  return queue
}

const args = (table: Table): Args => ({ arguments: table })

const consumers: readonly Conversation[] = [
  {
    name: 'consume: consume-ok comes before the first delivery',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 3)
        await channel.consume(queue, 'c')
      }),
  },
  {
    name: 'consume: the broker makes a tag',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 1)
        await channel.consume(queue, '')
        await channel.consume(queue, '')
      }),
  },
  {
    name: 'consume: a tag twice on a channel ends the connection',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 0)
        await channel.consume(queue, 'c')
        await channel.consume(queue, 'c')
      }),
  },
  {
    name: 'consume: the same tag on two channels is fine',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = await filled(talk, one, 0)
      await one.consume(queue, 'c')
      await two.consume(queue, 'c')
      for (const body of ['1', '2', '3', '4']) await one.publishes('', queue, body)
    },
  },
  {
    name: 'consume: a tag is free again when it was cancelled',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 1)
        await channel.consume(queue, 'c')
        await channel.cancel('c')
        await channel.consume(queue, 'c')
        await channel.publishes('', queue, '2')
      }),
  },
  {
    name: 'consume: a queue that is not there',
    run: (talk) => withChannel(talk, (channel) => channel.consume(talk.name('q'), 'c')),
  },
  {
    name: 'consume: exclusive while there are others',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 0)
        await channel.consume(queue, 'c')
        await channel.consume(queue, 'd', { exclusive: true })
      }),
  },
  {
    name: 'consume: while there is an exclusive one',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 1)
        await channel.consume(queue, 'c', { exclusive: true })
        await channel.get(queue)
        await channel.consume(queue, 'd')
      }),
  },
  {
    name: 'consume: while there is an exclusive one that is full',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 3)
        await channel.qos(1)
        await channel.consume(queue, 'c', { exclusive: true })
        await channel.consume(queue, 'd')
      }),
  },
  {
    name: 'consume: after an exclusive one has gone',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 1)
        await channel.consume(queue, 'c', { exclusive: true })
        await channel.cancel('c')
        await channel.consume(queue, 'd')
        await channel.publishes('', queue, '2')
      }),
  },
  {
    name: 'consume: no-local means nothing',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 1)
        await channel.consume(queue, 'c', { noLocal: true })
      }),
  },
  {
    name: 'consume: arguments nobody knows',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 1)
        await channel.consume(queue, 'c', args({ 'x-what': 1, 'x-cancel-on-ha-failover': true }))
      }),
  },
  ...(['high', true, 1.5] as const).map(
    (priority): Conversation => ({
      name: `consume: with x-priority ${JSON.stringify(priority)}`,
      run: (talk) =>
        withChannel(talk, async (channel) => {
          const queue = await filled(talk, channel, 0)
          await channel.consume(queue, 'c', args({ 'x-priority': priority }))
        }),
    }),
  ),
  {
    name: 'consumer priorities: the highest that has credit gets the message',
    async run(talk) {
      const line = await talk.connect()
      const [low, high, none] = [await line.channel(), await line.channel(), await line.channel()]
      const queue = await filled(talk, low, 0)
      for (const channel of [low, high, none]) await channel.qos(2)
      await low.consume(queue, 'low', args({ 'x-priority': -5 }))
      await none.consume(queue, 'none')
      await high.consume(queue, 'high', args({ 'x-priority': 10 }))
      for (let number = 1; number <= 7; number++) await low.publishes('', queue, `${number}`)
      high.ack(1)
      await talk.settle()
      low.ack(1)
      none.ack(0, true)
      await talk.settle()
    },
  },
  {
    name: 'consumer priorities: those of one priority take turns',
    async run(talk) {
      const line = await talk.connect()
      const [one, two, three] = [await line.channel(), await line.channel(), await line.channel()]
      const queue = await filled(talk, one, 0)
      await one.consume(queue, 'a', args({ 'x-priority': 1 }))
      await two.consume(queue, 'b', args({ 'x-priority': 1 }))
      await three.consume(queue, 'c')
      for (let number = 1; number <= 5; number++) await one.publishes('', queue, `${number}`)
    },
  },
  {
    name: 'cancel: a tag nobody has is answered too',
    run: (talk) => withChannel(talk, (channel) => channel.cancel('none')),
  },
  {
    name: 'cancel: what is unacknowledged stays with the channel',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 3)
        await channel.qos(2)
        await channel.consume(queue, 'c')
        await channel.cancel('c')
        await channel.call('queue.declare', { queue, passive: true })
        channel.ack(1)
        channel.nack(2)
        await talk.settle()
        await channel.get(queue)
        await channel.get(queue)
      }),
  },
  {
    name: 'cancel-ok from the client means nothing',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        channel.send('basic.cancel-ok', { consumerTag: 'c' })
        await talk.settle()
      }),
  },
  {
    name: 'consumers take turns',
    async run(talk) {
      const line = await talk.connect()
      const [one, two, three] = [await line.channel(), await line.channel(), await line.channel()]
      const queue = await filled(talk, one, 0)
      await one.consume(queue, 'a')
      await two.consume(queue, 'b')
      await three.consume(queue, 'c')
      for (let number = 1; number <= 5; number++) await one.publishes('', queue, `${number}`)
      await two.cancel('b')
      for (let number = 6; number <= 9; number++) await one.publishes('', queue, `${number}`)
    },
  },
  {
    name: 'delivery tags: one count for a channel, over consumers, gets and deliveries without acknowledgement',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 3)
        await channel.get(queue)
        await channel.get(queue, true)
        await channel.consume(queue, 'c', { noAck: true })
        await channel.publishes('', queue, '4')
        await channel.cancel('c')
        await channel.consume(queue, 'd')
        await channel.publishes('', queue, '5')
        channel.ack(1)
        channel.ack(5)
        await talk.settle()
      }),
  },
]

const credit: readonly Conversation[] = [
  {
    name: 'qos: each consumer of the channel has its own count, with the limit of when it began',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 0)
        await channel.qos(1)
        await channel.consume(queue, 'one')
        await channel.qos(2)
        await channel.consume(queue, 'two')
        await channel.qos(0)
        for (let number = 1; number <= 5; number++) await channel.publishes('', queue, `${number}`)
        channel.ack(1)
        await talk.settle()
        channel.ack(0, true)
        await talk.settle()
      }),
  },
  {
    name: 'qos: global is one limit over all consumers of the channel, also those that are there',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 0)
        await channel.consume(queue, 'one')
        await channel.qos(2, true)
        await channel.consume(queue, 'two')
        for (let number = 1; number <= 5; number++) await channel.publishes('', queue, `${number}`)
        channel.ack(1)
        await talk.settle()
        await channel.qos(4, true)
        await channel.qos(0, true)
      }),
  },
  {
    name: 'qos: a limit for each consumer lifts the one of the channel',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 0)
        await channel.qos(1, true)
        await channel.consume(queue, 'early')
        for (let number = 1; number <= 3; number++) await channel.publishes('', queue, `${number}`)
        await channel.qos(2)
        for (let number = 4; number <= 5; number++) await channel.publishes('', queue, `${number}`)
        await channel.consume(queue, 'late')
        for (let number = 6; number <= 10; number++) await channel.publishes('', queue, `${number}`)
      }),
  },
  {
    name: 'qos: both limits at once',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 0)
        await channel.qos(2)
        await channel.qos(3, true)
        await channel.consume(queue, 'one')
        await channel.consume(queue, 'two')
        for (let number = 1; number <= 6; number++) await channel.publishes('', queue, `${number}`)
        channel.ack(1)
        await talk.settle()
        channel.ack(0, true)
        await talk.settle()
      }),
  },
  {
    name: 'qos: a lower global limit waits until enough is acknowledged',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 6)
        await channel.qos(4, true)
        await channel.consume(queue, 'c')
        await channel.qos(2, true)
        channel.ack(2, true)
        await talk.settle()
        channel.ack(3)
        await talk.settle()
      }),
  },
  {
    name: 'qos: consumers without acknowledgement and gets are not limited',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 3)
        await channel.qos(1)
        await channel.qos(1, true)
        await channel.get(queue)
        await channel.get(queue)
        await channel.consume(queue, 'c', { noAck: true })
        for (let number = 4; number <= 6; number++) await channel.publishes('', queue, `${number}`)
      }),
  },
  {
    name: 'qos: prefetch-size ends the connection',
    run: (talk) => withChannel(talk, (channel) => channel.call('basic.qos', { prefetchSize: 1 })),
  },
  {
    name: 'qos: a full consumer is passed over',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = await filled(talk, one, 0)
      await one.qos(1)
      await one.consume(queue, 'one')
      await two.consume(queue, 'two')
      for (let number = 1; number <= 4; number++) await one.publishes('', queue, `${number}`)
      one.ack(1)
      await talk.settle()
      for (let number = 5; number <= 7; number++) await one.publishes('', queue, `${number}`)
    },
  },
]

/** Takes so many, settles them so, and looks what comes of it. */
function settled(name: string, count: number, settle: (channel: Channel) => void): Conversation {
  return {
    name: `settled: ${name}`,
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, count + 1)
        for (let taken = 0; taken < count; taken++) await channel.get(queue)
        settle(channel)
        await talk.settle()
        await channel.call('queue.declare', { queue, passive: true })
        for (let taken = 0; taken < count + 1; taken++) await channel.get(queue, true)
      }),
  }
}

const settling: readonly Conversation[] = [
  settled('one by one, in any order', 3, (channel) => {
    channel.ack(2)
    channel.ack(3)
    channel.ack(1)
  }),
  settled('all up to a tag', 3, (channel) => channel.ack(2, true)),
  settled('everything', 3, (channel) => channel.ack(0, true)),
  settled('everything, where there is nothing', 0, (channel) => channel.ack(0, true)),
  settled('a tag that was never given', 1, (channel) => channel.ack(5)),
  settled('a tag twice', 1, (channel) => {
    channel.ack(1)
    channel.ack(1)
  }),
  settled('tag 0 without multiple', 1, (channel) => channel.ack(0)),
  settled('all up to a tag that was settled', 3, (channel) => {
    channel.ack(2)
    channel.ack(2, true)
  }),
  settled('all up to a tag that was never given', 2, (channel) => channel.ack(9, true)),
  settled('rejected, back to its place', 3, (channel) => channel.reject(2, true)),
  settled('rejected, and gone', 3, (channel) => channel.reject(2, false)),
  settled('rejected, a tag that was never given', 1, (channel) => channel.reject(7, true)),
  settled('nacked, all up to a tag, back in order', 4, (channel) => channel.nack(3, { multiple: true })),
  settled('nacked, everything, back in order', 4, (channel) => channel.nack(0, { multiple: true })),
  settled('nacked, everything, and gone', 4, (channel) => channel.nack(0, { multiple: true, requeue: false })),
  settled('nacked, a tag that was never given', 1, (channel) => channel.nack(7)),
  settled('nacked, tag 0 without multiple', 1, (channel) => channel.nack(0)),
  settled('nacked in another order, back to their places', 4, (channel) => {
    channel.nack(4)
    channel.nack(1)
    channel.nack(3)
    channel.nack(2)
  }),
  settled('basic.recover brings all back', 3, (channel) => channel.send('basic.recover', { requeue: true })),
  settled('basic.recover-async brings all back', 3, (channel) =>
    channel.send('basic.recover-async', { requeue: true }),
  ),
  settled('basic.recover, what was settled does not come back', 3, (channel) => {
    channel.ack(2)
    channel.send('basic.recover', { requeue: true })
  }),
  settled('basic.recover, then a tag of before', 2, (channel) => {
    channel.send('basic.recover', { requeue: true })
    channel.ack(1)
  }),
  ...(['basic.recover', 'basic.recover-async'] as const).map(
    (name): Conversation => ({
      name: `${name} without requeue ends the connection`,
      async run(talk) {
        await withChannel(talk, async (channel) => {
          channel.send(name, { requeue: false })
          await talk.settle()
        })
      },
    }),
  ),
  {
    name: 'basic.recover gives to a consumer again',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 3)
        await channel.consume(queue, 'c')
        await channel.call('basic.recover', { requeue: true })
        channel.ack(6)
        await talk.settle()
      }),
  },
  {
    name: 'a tag of a delivery without acknowledgement is unknown',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 1)
        await channel.consume(queue, 'c', { noAck: true })
        channel.ack(1)
        await talk.settle()
      }),
  },
  {
    name: 'a tag of another channel is unknown',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = await filled(talk, one, 1)
      await one.get(queue)
      two.ack(1)
      await talk.settle()
    },
  },
  {
    name: 'get: what is left is counted, and an empty queue says so',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = await filled(talk, channel, 2)
        await channel.get(queue)
        await channel.get(queue, true)
        await channel.get(queue)
        channel.nack(1)
        await talk.settle()
        await channel.get(queue)
      }),
  },
  {
    name: 'get: a queue that is not there',
    run: (talk) => withChannel(talk, (channel) => channel.get(talk.name('q'))),
  },
  {
    name: 'redelivered: also what nobody acknowledged and the client may never have seen',
    async run(talk) {
      const [one, two] = [await talk.open(), await talk.open()]
      const queue = await filled(talk, one, 3)
      await one.qos(2)
      await one.consume(queue, 'c')
      await one.line.close()
      for (let count = 0; count < 3; count++) await two.get(queue, true)
    },
  },
  {
    name: 'requeued messages go to the next consumer in turn',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = await filled(talk, one, 0)
      await one.qos(1)
      await two.qos(1)
      await one.consume(queue, 'a')
      await two.consume(queue, 'b')
      for (const body of ['1', '2', '3']) await one.publishes('', queue, body)
      one.nack(1)
      await talk.settle()
      two.reject(1, true)
      await talk.settle()
    },
  },
]

export const consumingConversations: readonly Conversation[] = [...consumers, ...credit, ...settling]

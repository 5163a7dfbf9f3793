// Publishing: what is refused, what comes back, properties, confirms, transactions, times to live and dead letters.
import type { Channel } from '../channel.ts'
import { type Args, field, headerPayload, methodPayload, type PlainProperties, type Table } from '../peer.ts'
import type { Conversation, Talk } from '../talk.ts'

async function withChannel(talk: Talk, run: (channel: Channel) => Promise<void>): Promise<void> {
  const line = await talk.connect()
  const channel = await line.channel()
  // A second channel: whether an error costs the connection is seen there.
  await line.channel()
  await run(channel)
}

const args = (table: Table): Args => ({ arguments: table })

const everything: PlainProperties = {
  contentType: 'text/plain',
  contentEncoding: 'utf-8',
  headers: {
    bool: true,
    byte: field('b', -5),
    unsignedByte: field('B', 200),
    short: field('s', -300),
    unsignedShort: field('u', 60_000),
    int: field('I', -70_000),
    unsignedInt: field('i', 4_000_000_000),
    long: field('l', -(2n ** 62n)),
    float: field('f', 0.5),
    double: field('d', 1.25e300),
    decimal: field('D', { scale: 2, value: 31_415 }),
    text: 'täxt',
    empty: '',
    list: [1, 'two', null, [true]],
    time: field('T', 1_234_567_890),
    table: { nested: { deep: 1 } },
    nothing: null,
    bytes: Buffer.from([0, 255]),
    __proto__x: 1,
  },
  deliveryMode: 2,
  priority: 7,
  correlationId: 'correlation',
  replyTo: 'reply',
  expiration: '60000',
  messageId: 'message',
  timestamp: 1_234_567,
  type: 'type',
  userId: 'guest',
  appId: 'app',
  clusterId: 'cluster',
}

/** A publish with these properties, and then whether the channel lives. */
function published(name: string, properties: PlainProperties, mandatory = false): Conversation {
  return {
    name: `publish with ${name}`,
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.publishes('', queue, 'a', properties, mandatory)
        if (!channel.isOver) await channel.get(queue, true)
      }),
  }
}

const properties: readonly Conversation[] = [
  published('every property and every type of header', everything),
  published('no property', {}),
  published('an empty headers table', { headers: {} }),
  published('a user-id that is not the own', { userId: 'somebody' }),
  published('an empty user-id', { userId: '' }),
  ...[
    '0',
    '1000',
    '315360000000',
    '315360000001',
    '-1',
    'x',
    '',
    '5m',
    ' 5',
    '5 ',
    '1.5',
    '007000',
    '+5000',
    '0x10',
  ].map((expiration): Conversation => published(`the expiration ${JSON.stringify(expiration)}`, { expiration })),
  published('delivery-mode 0', { deliveryMode: 0 }),
  published('delivery-mode 255', { deliveryMode: 255 }),
  published('an empty CC', { headers: { CC: [] } }),
  published('a CC that is no list', { headers: { CC: 'q' } }),
  published('a BCC that is no list', { headers: { BCC: 5 } }),
  published('a CC with something that is no text', { headers: { CC: [5, true] } }),
  published('an x-death of its own', { headers: { 'x-death': 'mine' } }),
  {
    name: 'publish with every property, delivered and returned',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.consume(queue, 'c', { noAck: true })
        await channel.publishes('', queue, 'a', everything)
        await channel.publishes('', 'nowhere', 'a', everything, true)
      }),
  },
]

const refusals: readonly Conversation[] = [
  {
    name: 'publish with immediate ends the connection',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        channel.isFenced = false
        channel.line.peer.content(1, 'basic.publish', { immediate: true }, {}, [Buffer.from('a')])
        await talk.settle()
      }),
  },
  {
    name: 'nothing behind a bad publish is done',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        channel.publish('', queue, 'before')
        channel.publish(talk.name('none'), queue, 'bad')
        channel.publish('', queue, 'behind')
        channel.send('queue.purge', { queue })
        await talk.settle()
        await channel.call('channel.open')
        await channel.get(queue, true)
        await channel.get(queue, true)
      }),
  },
  {
    name: 'a message larger than allowed is read and refused, and the connection goes on',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        channel.isFenced = false
        const size = 134_217_729
        channel.line.peer.frame(1, 1, methodPayload('basic.publish', { routingKey: 'nowhere' }))
        channel.line.peer.frame(2, 1, headerPayload(size))
        const chunk = Buffer.alloc(131_064)
        for (let left = size; left > 0; left -= chunk.length) {
          channel.line.peer.frame(3, 1, chunk.subarray(0, Math.min(left, chunk.length)))
          if (left % (chunk.length * 64) === 1) await new Promise((resolve) => setImmediate(resolve))
        }
        await talk.settle()
        await channel.call('channel.open')
      }),
  },
]

const mandatory: readonly Conversation[] = [
  {
    name: 'mandatory: what no queue gets comes back before it is confirmed',
    isStrict: true,
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.confirmSelect()
        await channel.publishes('amq.direct', talk.name('none'), 'returned', { contentType: 'x' }, true)
        await channel.publishes('', talk.name('none'), 'returned too', {}, true)
        await channel.publishes('', talk.name('none'), 'dropped')
        await channel.publishes('', queue, 'routed', {}, true)
      }),
  },
  {
    name: 'mandatory: a large body comes back in frames',
    async run(talk) {
      const channel = await talk.open({ frameMax: 4096 })
      await channel.publishes('', talk.name('none'), [Buffer.alloc(4088, 1), Buffer.alloc(4088, 2)], {}, true)
    },
  },
]

const copies: readonly Conversation[] = [
  {
    name: 'CC and BCC are further keys; BCC is not seen',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const names = ['to', 'cc1', 'cc2', 'bcc'].map((word) => talk.name(word))
        const [to, cc1, cc2, bcc] = names as [string, string, string, string]
        for (const name of names) await channel.declare(name)
        await channel.publishes('', to, 'a', { headers: { CC: [cc1, cc2], BCC: [bcc, to], other: 1 } }, true)
        for (const name of [...names, to]) await channel.get(name, true)
      }),
  },
  {
    name: 'CC reaches bindings of any exchange, and counts as routed',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.bind(queue, 'amq.topic', `${queue}.*`)
        await channel.publishes('amq.topic', 'nowhere', 'a', { headers: { CC: [`${queue}.x`] } }, true)
        await channel.publishes('amq.topic', 'nowhere', 'b', { headers: { BCC: [`${queue}.x`] } }, true)
        await channel.publishes('amq.topic', 'nowhere', 'c', { headers: { CC: ['elsewhere'] } }, true)
        await channel.get(queue, true)
        await channel.get(queue, true)
      }),
  },
]

const confirming: readonly Conversation[] = [
  {
    name: 'confirms: numbers begin at 1 with confirm.select, and a second one changes nothing',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.publishes('', queue, 'unconfirmed')
        await channel.confirmSelect()
        await channel.publishes('', queue, '1')
        await channel.call('confirm.select')
        await channel.publishes('', queue, '2')
        await channel.publishes('amq.fanout', talk.name('nowhere'), '3')
      }),
  },
  {
    name: 'confirms: persistent and transient, to durable and other queues',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [durable, transient] = [talk.name('d'), talk.name('t')]
        await channel.declare(durable, { durable: true })
        await channel.declare(transient)
        await channel.confirmSelect()
        for (const queue of [durable, transient]) {
          for (const deliveryMode of [1, 2]) channel.publish('', queue, 'x', { deliveryMode })
        }
        await talk.settle()
      }),
  },
  {
    name: 'confirms: a channel that publishes badly gets no more of them',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        await channel.confirmSelect()
        await channel.publishes('', 'nowhere', '1')
        await channel.publishes(talk.name('none'), 'nowhere', '2')
      }),
  },
  ...(
    [
      ['confirm.select', 'tx.select'],
      ['tx.select', 'confirm.select'],
      ['tx.select', 'tx.select'],
    ] as const
  ).map(
    ([one, two]): Conversation => ({
      name: `${one}, then ${two}`,
      run: (talk) =>
        withChannel(talk, async (channel) => {
          await channel.call(one)
          await channel.call(two)
        }),
    }),
  ),
]

const transactions: readonly Conversation[] = [
  ...(['tx.commit', 'tx.rollback'] as const).map(
    (name): Conversation => ({
      name: `${name} without tx.select`,
      run: (talk) => withChannel(talk, (channel) => channel.call(name)),
    }),
  ),
  {
    name: 'tx: publishes wait for commit, and go with rollback',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.call('tx.select')
        await channel.publishes('', queue, '1')
        await channel.call('queue.declare', { queue, passive: true })
        await channel.call('tx.commit')
        await channel.call('queue.declare', { queue, passive: true })
        await channel.publishes('', queue, '2')
        await channel.call('tx.rollback')
        await channel.call('tx.commit')
        await channel.get(queue, true)
        await channel.get(queue, true)
      }),
  },
  {
    name: 'tx: returns come at commit, before commit-ok',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        await channel.call('tx.select')
        await channel.publishes('', talk.name('none'), 'a', {}, true)
        await channel.publishes('', talk.name('none'), 'b', {}, true)
        await channel.call('tx.commit')
      }),
  },
  {
    name: 'tx: acks wait for commit; after rollback they can be done again',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        for (const body of ['1', '2', '3']) channel.publish('', queue, body)
        await talk.settle()
        await channel.call('tx.select')
        for (let count = 0; count < 3; count++) await channel.get(queue)
        channel.ack(2, true)
        await channel.call('tx.rollback')
        channel.ack(1)
        channel.nack(2)
        await channel.call('tx.commit')
        await channel.get(queue)
        channel.reject(4, false)
        channel.ack(3)
        await channel.call('tx.commit')
        await channel.get(queue)
      }),
  },
  {
    name: 'tx: a tag that is acked twice before commit',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.publishes('', queue, '1')
        await channel.call('tx.select')
        await channel.get(queue)
        channel.ack(1)
        channel.ack(1)
        await talk.settle()
      }),
  },
  {
    name: 'tx: a missing exchange is told at once, and ends the transaction with the channel',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.call('tx.select')
        await channel.publishes('', queue, '1')
        await channel.publishes(talk.name('none'), queue, '2')
        await channel.call('channel.open')
        await channel.get(queue)
      }),
  },
  {
    name: 'tx: a channel that closes rolls back',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.publishes('', queue, '1')
        await channel.call('tx.select')
        await channel.get(queue)
        channel.ack(1)
        await channel.publishes('', queue, '2')
        await channel.call('channel.close')
        await channel.call('channel.open')
        await channel.get(queue, true)
        await channel.get(queue, true)
      }),
  },
]

const dying: readonly Conversation[] = [
  {
    name: 'expiration and x-message-ttl: the shorter one counts, and what has expired is not handed out',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-message-ttl': 200 }))
        await channel.publishes('', queue, 'long', { expiration: '60000' })
        await channel.publishes('', queue, 'short', { expiration: '1' })
        await talk.until(queue, 0)
        await channel.get(queue, true)
      }),
  },
  {
    name: 'what has expired behind something that has not waits for the head',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.publishes('', queue, 'first', { expiration: '60000' })
        await channel.publishes('', queue, 'second', { expiration: '1' })
        await new Promise((resolve) => setTimeout(resolve, 50))
        await channel.call('queue.declare', { queue, passive: true })
        await channel.get(queue, true)
        await channel.get(queue, true)
      }),
  },
  {
    name: 'a time to live of 0: only for a consumer that waits',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-message-ttl': 0 }))
        await channel.publishes('', queue, 'lost', {}, true)
        await channel.get(queue, true)
        await channel.consume(queue, 'c', { noAck: true })
        await channel.publishes('', queue, 'got', {}, true)
      }),
  },
  {
    name: 'expired: dead-lettered with its history, and without its expiration',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [queue, dead] = [talk.name('q'), talk.name('dead')]
        await channel.declare(dead)
        await channel.declare(queue, deadLetters('', dead))
        await channel.publishes('', queue, 'a', { expiration: '1', headers: { own: 1 } })
        await talk.until(dead, 1)
        await channel.get(dead, true)
      }),
  },
  {
    name: 'expired by the queue: dead-lettered under its own key',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [queue, dead, exchange] = [talk.name('q'), talk.name('dead'), talk.name('dlx')]
        await channel.declareExchange(exchange, 'topic')
        await channel.declare(dead)
        await channel.bind(dead, exchange, '#')
        await channel.declare(queue, args({ 'x-message-ttl': 1, 'x-dead-letter-exchange': exchange }))
        await channel.publishes('', queue, 'a')
        await talk.until(dead, 1)
        await channel.get(dead, true)
      }),
  },
  ...(['reject', 'nack'] as const).map(
    (how): Conversation => ({
      name: `rejected by basic.${how}: dead-lettered with its history`,
      run: (talk) =>
        withChannel(talk, async (channel) => {
          const [queue, dead] = [talk.name('q'), talk.name('dead')]
          await channel.declare(dead)
          await channel.declare(queue, deadLetters('', dead))
          await channel.publishes('', queue, 'a', { deliveryMode: 2, messageId: 'm' })
          await channel.get(queue)
          if (how === 'reject') channel.reject(1, false)
          else channel.nack(1, { requeue: false })
          await talk.settle()
          await channel.get(dead, true)
        }),
    }),
  ),
  {
    name: 'rejected many at once: dead-lettered in order',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [queue, dead] = [talk.name('q'), talk.name('dead')]
        await channel.declare(dead)
        await channel.declare(queue, deadLetters('', dead))
        for (const body of ['1', '2', '3']) await channel.publishes('', queue, body)
        for (let count = 0; count < 3; count++) await channel.get(queue)
        channel.nack(0, { multiple: true, requeue: false })
        await talk.settle()
        for (let count = 0; count < 3; count++) await channel.get(dead, true)
      }),
  },
  {
    name: 'dead letters along a chain of queues keep a history of each',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [one, two, three] = [talk.name('one'), talk.name('two'), talk.name('three')]
        await channel.declare(three)
        await channel.declare(two, deadLetters('', three, { 'x-message-ttl': 1 }))
        await channel.declare(one, deadLetters('', two))
        await channel.publishes('', one, 'a')
        await channel.get(one)
        channel.reject(1, false)
        await talk.until(three, 1)
        await channel.get(three, true)
      }),
  },
  {
    name: 'rejected again and again: counted in one entry, in front',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [one, two] = [talk.name('one'), talk.name('two')]
        await channel.declare(one, deadLetters('', two))
        await channel.declare(two, deadLetters('', one))
        await channel.publishes('', one, 'a')
        for (let tag = 1; tag <= 4; tag++) {
          await channel.get(tag % 2 === 1 ? one : two)
          channel.reject(tag, false)
          await talk.settle()
        }
        await channel.get(one, true)
      }),
  },
  {
    name: 'a circle of expired messages ends: the message is dropped',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [one, two] = [talk.name('one'), talk.name('two')]
        await channel.declare(one, deadLetters('', two, { 'x-message-ttl': 1 }))
        await channel.declare(two, deadLetters('', one, { 'x-message-ttl': 1 }))
        await channel.publishes('', one, 'a')
        await talk.until(one, 0)
        await talk.until(two, 0)
        await talk.until(one, 0)
      }),
  },
  {
    name: 'dead letters to an exchange that is not there are dropped',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-dead-letter-exchange': talk.name('none') }))
        await channel.publishes('', queue, 'a')
        await channel.get(queue)
        channel.reject(1, false)
        await channel.get(queue)
      }),
  },
  {
    name: 'dead letters keep CC, and are copied by it unless the queue names a key',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [queue, exchange, dead, copy] = [talk.name('q'), talk.name('dlx'), talk.name('dead'), talk.name('copy')]
        await channel.declareExchange(exchange, 'direct')
        await channel.declare(dead)
        await channel.declare(copy)
        await channel.declare(queue, args({ 'x-dead-letter-exchange': exchange }))
        await channel.bind(dead, exchange, queue)
        await channel.bind(copy, exchange, 'copy')
        await channel.publishes('', queue, 'a', { headers: { CC: ['copy'], BCC: ['hidden'] } })
        await channel.get(queue)
        channel.reject(1, false)
        await talk.settle()
        await channel.get(dead, true)
        await channel.get(copy, true)
      }),
  },
  {
    name: 'neither purge nor delete dead-letters',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [queue, dead] = [talk.name('q'), talk.name('dead')]
        await channel.declare(dead)
        await channel.declare(queue, deadLetters('', dead))
        await channel.publishes('', queue, 'a')
        await channel.call('queue.purge', { queue })
        await channel.publishes('', queue, 'b')
        await channel.call('queue.delete', { queue })
        await channel.get(dead)
      }),
  },
]

function deadLetters(exchange: string, key: string, more: Table = {}): Args {
  return args({ ...more, 'x-dead-letter-exchange': exchange, 'x-dead-letter-routing-key': key })
}

const replies: readonly Conversation[] = [
  {
    name: 'direct reply-to: a request and its answer',
    async run(talk) {
      const [client, server] = [await talk.open(), await talk.open()]
      const queue = talk.name('q')
      await server.declare(queue)
      await client.consume('amq.rabbitmq.reply-to', 'c', { noAck: true })
      await client.publishes('', queue, 'question', { replyTo: 'amq.rabbitmq.reply-to' })
      server.send('basic.get', { queue, noAck: true })
      const { received } = server.line.peer
      await server.line.peer.until('the question', () =>
        received.some((one) => !one.isPartial && one.name === 'basic.get-ok'),
      )
      const replyTo = /replyTo="([^"]*)"/.exec(received.find(({ name }) => name === 'basic.get-ok')?.text ?? '')?.[1]
      await talk.settle()
      await server.publishes('', replyTo ?? '', 'answer', {}, true)
      await server.call('queue.declare', { queue: replyTo, passive: true })
      await client.cancel('c')
      await server.publishes('', replyTo ?? '', 'late', {}, true)
    },
  },
  {
    name: 'direct reply-to: with acknowledgements it is refused',
    run: (talk) => withChannel(talk, (channel) => channel.consume('amq.rabbitmq.reply-to', 'c')),
  },
  {
    name: 'direct reply-to: a second consumer is refused',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        await channel.consume('amq.rabbitmq.reply-to', 'c', { noAck: true })
        await channel.consume('amq.rabbitmq.reply-to', 'd', { noAck: true })
      }),
  },
  {
    name: 'direct reply-to: a request without a consumer is refused',
    run: (talk) =>
      withChannel(talk, (channel) => channel.publishes('', 'nowhere', 'a', { replyTo: 'amq.rabbitmq.reply-to' })),
  },
]

export const publishingConversations: readonly Conversation[] = [
  ...properties,
  ...refusals,
  ...mandatory,
  ...copies,
  ...confirming,
  ...transactions,
  ...dying,
  ...replies,
]

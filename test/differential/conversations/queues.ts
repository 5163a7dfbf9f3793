// Queues: declaring, arguments, who may use them, when they go, lengths, times and dead letters.
import type { Channel } from '../channel.ts'
import { type Args, field, type Table } from '../peer.ts'
import type { Conversation, Talk } from '../talk.ts'

async function withChannel(talk: Talk, run: (channel: Channel) => Promise<void>): Promise<void> {
  const line = await talk.connect()
  const channel = await line.channel()
  // A second channel: whether an error costs the connection is seen there.
  await line.channel()
  await run(channel)
}

function redeclared(name: string, first: Args, second: Args): Conversation {
  return {
    name: `queue redeclared: ${name}`,
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, first)
        await channel.declare(queue, second)
      }),
  }
}

const args = (table: Table): Args => ({ arguments: table })

const equivalence: readonly Conversation[] = [
  redeclared('the same', { durable: true }, { durable: true }),
  redeclared('durable', {}, { durable: true }),
  redeclared('not durable', { durable: true }, {}),
  redeclared('auto-delete', {}, { autoDelete: true }),
  redeclared('exclusive', {}, { exclusive: true }),
  redeclared('exclusive by its owner', { exclusive: true }, { exclusive: true }),
  redeclared('exclusive and durable by its owner', { exclusive: true, durable: true }, { exclusive: true }),
  redeclared('exclusive, then durable, by its owner', { exclusive: true }, { exclusive: true, durable: true }),
  redeclared('no longer exclusive by its owner', { exclusive: true }, {}),
  redeclared('everything', {}, { durable: true, autoDelete: true, arguments: { 'x-message-ttl': 1000 } }),
  redeclared('passive with all else wrong', {}, { passive: true, durable: true, exclusive: true, autoDelete: true }),
  redeclared('the default type, said', {}, args({ 'x-queue-type': 'classic' })),
  redeclared('the default type, no longer said', args({ 'x-queue-type': 'classic' }), {}),
  redeclared('an argument nobody knows', {}, args({ 'x-what': 1 })),
  redeclared('another value of an argument nobody knows', args({ 'x-what': 1 }), args({ 'x-what': 2 })),
  redeclared('an argument nobody knows is gone', args({ what: 1 }), {}),
  ...(
    [
      ['x-message-ttl', 60_000, 70_000],
      ['x-expires', 60_000, 70_000],
      ['x-max-length', 10, 11],
      ['x-max-length-bytes', 1000, 1001],
      ['x-max-priority', 5, 6],
      ['x-overflow', 'drop-head', 'reject-publish'],
      ['x-single-active-consumer', true, false],
      ['x-queue-mode', 'lazy', 'default'],
      ['x-queue-version', 1, 2],
      ['x-queue-master-locator', 'min-masters', 'client-local'],
    ] as const
  ).flatMap(([name, one, two]) => [
    redeclared(`${name} added`, {}, args({ [name]: one })),
    redeclared(`${name} gone`, args({ [name]: one }), {}),
    redeclared(`another ${name}`, args({ [name]: one }), args({ [name]: two })),
    redeclared(`the same ${name}`, args({ [name]: one }), args({ [name]: one })),
  ]),
  redeclared(
    'another x-dead-letter-exchange',
    args({ 'x-dead-letter-exchange': 'a' }),
    args({ 'x-dead-letter-exchange': 'b' }),
  ),
  redeclared('x-dead-letter-exchange gone', args({ 'x-dead-letter-exchange': 'a' }), {}),
  redeclared(
    'another x-dead-letter-routing-key',
    args({ 'x-dead-letter-exchange': 'a', 'x-dead-letter-routing-key': 'a' }),
    args({ 'x-dead-letter-exchange': 'a', 'x-dead-letter-routing-key': 'b' }),
  ),
  redeclared(
    'x-dead-letter-routing-key added',
    args({ 'x-dead-letter-exchange': 'a' }),
    args({ 'x-dead-letter-exchange': 'a', 'x-dead-letter-routing-key': 'b' }),
  ),
  redeclared(
    'an integer of another width',
    args({ 'x-message-ttl': field('I', 60_000) }),
    args({ 'x-message-ttl': field('l', 60_000) }),
  ),
  redeclared(
    'another integer of another width',
    args({ 'x-message-ttl': field('I', 60_000) }),
    args({ 'x-message-ttl': field('u', 60_001) }),
  ),
  redeclared(
    'two arguments differ',
    args({ 'x-max-priority': 3, 'x-message-ttl': 60_000 }),
    args({ 'x-max-priority': 4, 'x-message-ttl': 50_000 }),
  ),
]

const wrongValues: readonly (readonly [string, Table[string]])[] = [
  ['x-message-ttl', -1],
  ['x-message-ttl', 'soon'],
  ['x-message-ttl', field('d', 1.5)],
  ['x-message-ttl', field('d', 1000)],
  ['x-message-ttl', field('S', '1000')],
  ['x-message-ttl', field('T', 1000)],
  ['x-message-ttl', true],
  ['x-message-ttl', null],
  ['x-message-ttl', 315_360_000_000],
  ['x-message-ttl', 315_360_000_001],
  ['x-message-ttl', field('b', 5)],
  ['x-message-ttl', 0],
  ['x-expires', 0],
  ['x-expires', -5],
  ['x-expires', 'never'],
  ['x-expires', 315_360_000_001],
  ['x-max-length', -1],
  ['x-max-length', 'many'],
  ['x-max-length', 0],
  ['x-max-length-bytes', -1],
  ['x-max-length-bytes', field('d', 10)],
  ['x-max-priority', -1],
  ['x-max-priority', 0],
  ['x-max-priority', 255],
  ['x-max-priority', 256],
  ['x-max-priority', 'high'],
  ['x-overflow', 'drop-tail'],
  ['x-overflow', 5],
  ['x-overflow', 'reject-publish-dlx'],
  ['x-dead-letter-exchange', 5],
  ['x-dead-letter-exchange', ''],
  ['x-dead-letter-exchange', field('x', Buffer.from('a'))],
  ['x-dead-letter-routing-key', 'without-exchange'],
  ['x-single-active-consumer', 'yes'],
  ['x-single-active-consumer', 1],
  ['x-queue-type', 'nonsense'],
  ['x-queue-type', 5],
  ['x-queue-mode', 'nonsense'],
  ['x-queue-mode', 5],
  ['x-queue-version', 3],
  ['x-max-age', '1D'],
  ['x-delivery-limit', 5],
  ['x-quorum-initial-group-size', 3],
  ['x-what', 5],
]

const arguments_: readonly Conversation[] = [
  ...wrongValues.map(
    ([name, value]): Conversation => ({
      name: `queue declared with ${name} ${JSON.stringify(value)}`,
      run: (talk) =>
        withChannel(talk, async (channel) => channel.declare(talk.name('q'), args({ [name]: value } as Table))),
    }),
  ),
  {
    name: 'queue declared with a dead-letter-routing-key that is no text',
    run: (talk) =>
      withChannel(talk, (channel) =>
        channel.declare(talk.name('q'), args({ 'x-dead-letter-exchange': 'a', 'x-dead-letter-routing-key': 5 })),
      ),
  },
  ...(
    [
      ['queue.declare', { queue: 'amq.mine' }],
      ['queue.declare', { queue: 'amq.mine', passive: true }],
      ['queue.declare', { queue: 'amq.' }],
      ['queue.delete', { queue: 'amq.none' }],
      ['queue.purge', { queue: 'amq.none' }],
      ['basic.get', { queue: 'amq.none' }],
      ['basic.consume', { queue: 'amq.none' }],
      ['queue.declare', { passive: true }],
    ] as const
  ).map(
    ([name, given]): Conversation => ({
      name: `${name} ${JSON.stringify(given)}`,
      run: (talk) => withChannel(talk, (channel) => channel.call(name, given)),
    }),
  ),
  {
    name: 'a server-named queue, found again and not declared again',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        channel.send('queue.declare', { exclusive: true })
        const { received } = channel.line.peer
        const isThere = (): boolean => received.some(({ name }) => name === 'queue.declare-ok')
        await channel.line.peer.until('its name', isThere)
        const queue = String(received.find(({ name }) => name === 'queue.declare-ok')?.args['queue'])
        await talk.settle()
        await channel.publishes('', queue, 'a', {}, true)
        await channel.call('queue.declare', { queue, passive: true })
        await channel.call('queue.declare', { queue, exclusive: true })
      }),
  },
]

const using: readonly Conversation[] = [
  {
    name: 'declare-ok counts what is ready, not what is unacknowledged, and all consumers',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        for (const body of ['1', '2', '3', '4']) channel.publish('', queue, body)
        await talk.settle()
        await channel.get(queue)
        await channel.declare(queue)
        await channel.qos(1)
        await channel.consume(queue, 'c1')
        await channel.consume(queue, 'c2')
        await channel.declare(queue)
        await channel.call('queue.declare', { queue, passive: true })
      }),
  },
  {
    name: 'purge takes what is ready and leaves what is unacknowledged',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        for (const body of ['1', '2', '3']) channel.publish('', queue, body)
        await talk.settle()
        await channel.get(queue)
        await channel.call('queue.purge', { queue })
        await channel.call('queue.purge', { queue })
        channel.nack(1)
        await talk.settle()
        await channel.get(queue, true)
      }),
  },
  {
    name: 'delete tells how many messages were ready',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        for (const body of ['1', '2', '3']) channel.publish('', queue, body)
        await talk.settle()
        await channel.get(queue)
        await channel.call('queue.delete', { queue })
        await channel.call('queue.delete', { queue })
        channel.ack(1)
        await talk.settle()
        channel.ack(1)
        await talk.settle()
      }),
  },
  {
    name: 'delete with if-unused and if-empty',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.publishes('', queue, 'a')
        await channel.call('queue.delete', { queue, ifEmpty: true })
        await channel.call('channel.open')
        await channel.qos(1)
        await channel.publishes('', queue, 'b')
        await channel.consume(queue, 'c')
        await channel.call('queue.delete', { queue, ifEmpty: true, ifUnused: true })
        await channel.call('channel.open')
        await channel.consume(queue, 'c')
        await channel.call('queue.delete', { queue, ifUnused: true })
      }),
  },
  {
    name: 'delete with if-empty when all is unacknowledged',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.publishes('', queue, 'a')
        await channel.get(queue)
        await channel.call('queue.delete', { queue, ifEmpty: true })
      }),
  },
  {
    name: 'delete tells consumers on other channels, if their clients want to hear it',
    async run(talk) {
      const [one, two, three] = [await talk.open(), await talk.open(), await talk.open({ clientProperties: {} })]
      const queue = talk.name('q')
      await one.declare(queue)
      await one.consume(queue, 'c1')
      await two.consume(queue, 'c2')
      await two.consume(queue, 'c3', { noWait: false })
      await three.consume(queue, 'c4')
      await one.call('queue.delete', { queue })
      await two.cancel('c2')
    },
  },
  {
    name: 'what is confirmed for a queue that is deleted at once',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, { durable: true })
        await channel.confirmSelect()
        for (let count = 0; count < 20; count++) channel.publish('', queue, 'x', { deliveryMode: 2 })
        channel.send('queue.delete', { queue })
        await channel.line.peer.until('delete-ok', () =>
          channel.line.peer.received.some(({ name }) => name === 'queue.delete-ok'),
        )
        await talk.settle()
      }),
  },
  ...(
    [
      ['queue.declare', (queue: string) => ({ queue })],
      ['queue.declare', (queue: string) => ({ queue, passive: true })],
      ['queue.declare', (queue: string) => ({ queue, exclusive: true })],
      ['queue.bind', (queue: string) => ({ destination: queue, exchange: 'amq.direct' })],
      ['queue.unbind', (queue: string) => ({ destination: queue, exchange: 'amq.direct' })],
      ['queue.purge', (queue: string) => ({ queue })],
      ['queue.delete', (queue: string) => ({ queue })],
      ['queue.delete', (queue: string) => ({ queue, ifUnused: true })],
      ['basic.get', (queue: string) => ({ queue })],
      ['basic.consume', (queue: string) => ({ queue })],
    ] as const
  ).map(
    ([name, given]): Conversation => ({
      name: `${name} ${JSON.stringify(given('q'))} of another connection's exclusive queue`,
      async run(talk) {
        const [owner, other] = [await talk.open(), await talk.open()]
        await other.line.channel()
        const queue = talk.name('q')
        await owner.declare(queue, { exclusive: true })
        await other.call(name, given(queue))
      },
    }),
  ),
  {
    name: "unbinding another connection's exclusive queue is refused if it is bound",
    async run(talk) {
      const [owner, other] = [await talk.open(), await talk.open()]
      await other.line.channel()
      const queue = talk.name('q')
      await owner.declare(queue, { exclusive: true })
      await owner.bind(queue, 'amq.direct', queue)
      await other.unbind(queue, 'amq.direct', queue)
    },
  },
  {
    name: "anybody may publish to another connection's exclusive queue",
    async run(talk) {
      const [owner, other] = [await talk.open(), await talk.open()]
      const queue = talk.name('q')
      await owner.declare(queue, { exclusive: true })
      await other.publishes('', queue, 'a', {}, true)
      await owner.get(queue)
    },
  },
  {
    name: 'auto-delete: the queue goes with its last consumer, by cancel',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, { autoDelete: true })
        await channel.publishes('', queue, 'a')
        await channel.get(queue)
        await channel.consume(queue, 'c1')
        await channel.consume(queue, 'c2')
        await channel.cancel('c1')
        await channel.call('queue.declare', { queue, passive: true })
        await channel.cancel('c2')
        await channel.call('queue.declare', { queue, passive: true })
      }),
  },
  {
    name: 'auto-delete: the queue goes with the channel of its last consumer, before close-ok',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = talk.name('q')
      await one.declare(queue, { autoDelete: true })
      await one.consume(queue, 'c')
      await one.call('channel.close')
      await two.call('queue.declare', { queue, passive: true })
    },
  },
  {
    name: 'auto-delete: a queue that never had a consumer stays',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = talk.name('q')
      await one.declare(queue, { autoDelete: true })
      await one.get(queue)
      await one.call('channel.close')
      await two.call('queue.declare', { queue, passive: true })
    },
  },
  {
    name: 'auto-delete and exclusive',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, { autoDelete: true, exclusive: true })
        await channel.consume(queue, 'c')
        await channel.cancel('c')
        await channel.call('queue.declare', { queue, passive: true })
      }),
  },
  {
    name: 'x-expires: an unused queue goes, one with a consumer stays',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [idle, busy] = [talk.name('idle'), talk.name('busy')]
        await channel.declare(idle, args({ 'x-expires': 300 }))
        await channel.declare(busy, args({ 'x-expires': 300 }))
        await channel.consume(busy, 'c')
        talk.leaveAlone(idle)
        await new Promise((resolve) => setTimeout(resolve, 1500))
        await channel.call('queue.declare', { queue: busy, passive: true })
        await channel.call('queue.declare', { queue: idle, passive: true })
      }),
  },
]

const lengths: readonly Conversation[] = [
  {
    name: 'x-max-length drops from the head',
    run: (talk) => bounded(talk, { 'x-max-length': 2 }, ['1', '2', '3', '4']),
  },
  {
    name: 'x-max-length-bytes counts bodies and drops from the head',
    run: (talk) => bounded(talk, { 'x-max-length-bytes': 10 }, ['aaaa', 'bbbb', 'cccc', 'ddddddddd', 'eeeeeeeeeeeee']),
  },
  {
    name: 'both limits hold',
    run: (talk) => bounded(talk, { 'x-max-length': 3, 'x-max-length-bytes': 6 }, ['a', 'bb', 'ccc', 'd', 'e', 'f']),
  },
  {
    name: 'x-overflow reject-publish refuses what is too much, and what was there stays',
    run: (talk) => bounded(talk, { 'x-max-length': 2, 'x-overflow': 'reject-publish' }, ['1', '2', '3', '4']),
  },
  {
    name: 'x-overflow reject-publish by bytes',
    run: (talk) =>
      bounded(talk, { 'x-max-length-bytes': 5, 'x-overflow': 'reject-publish' }, ['aaa', 'bbb', 'cc', 'd']),
  },
  {
    name: 'x-overflow reject-publish of one of two queues refuses the publish, the other queue has it',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [exchange, full, other] = [talk.name('x'), talk.name('full'), talk.name('other')]
        await channel.declareExchange(exchange, 'fanout')
        await channel.declare(full, args({ 'x-max-length': 1, 'x-overflow': 'reject-publish' }))
        await channel.declare(other)
        await channel.bind(full, exchange)
        await channel.bind(other, exchange)
        await channel.confirmSelect()
        await channel.publishes(exchange, '', '1', {}, true)
        await channel.publishes(exchange, '', '2', {}, true)
        await channel.call('queue.purge', { queue: full })
        await channel.call('queue.purge', { queue: other })
      }),
  },
  ...[{ 'x-max-length': 1 }, { 'x-max-length': 1, 'x-overflow': 'reject-publish-dlx' }].map(
    (limits): Conversation => ({
      name: `what ${JSON.stringify(limits)} drops is dead-lettered as maxlen`,
      run: (talk) =>
        withChannel(talk, async (channel) => {
          const [queue, dead] = [talk.name('q'), talk.name('dead')]
          await channel.declare(dead)
          await channel.declare(
            queue,
            args({ ...limits, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead }),
          )
          await channel.confirmSelect()
          for (const body of ['1', '2', '3']) await channel.publishes('', queue, body)
          for (const name of [queue, queue, dead, dead, dead]) await channel.get(name, true)
        }),
    }),
  ),
  {
    name: 'x-max-length 0 still hands over to a consumer that waits',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-max-length': 0 }))
        await channel.publishes('', queue, 'lost')
        await channel.qos(1)
        await channel.consume(queue, 'c')
        await channel.publishes('', queue, 'got')
        await channel.publishes('', queue, 'lost too')
        channel.nack(1)
        await talk.settle()
      }),
  },
  {
    name: 'x-max-length counts what is ready, and holds when messages come back',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-max-length': 2 }))
        for (const body of ['1', '2']) await channel.publishes('', queue, body)
        await channel.get(queue)
        await channel.get(queue)
        for (const body of ['3', '4']) await channel.publishes('', queue, body)
        channel.nack(2, { multiple: true })
        await talk.settle()
        for (let count = 0; count < 3; count++) await channel.get(queue, true)
      }),
  },
  {
    name: 'x-max-length of a priority queue drops the highest first',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-max-length': 2, 'x-max-priority': 5 }))
        await channel.publishes('', queue, 'low', { priority: 1 })
        await channel.publishes('', queue, 'high', { priority: 5 })
        await channel.publishes('', queue, 'middle', { priority: 3 })
        for (let count = 0; count < 3; count++) await channel.get(queue, true)
      }),
  },
  {
    name: 'reject-publish in a transaction',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-max-length': 1, 'x-overflow': 'reject-publish' }))
        await channel.call('tx.select')
        channel.publish('', queue, '1')
        await channel.call('tx.commit')
        channel.publish('', queue, '2')
        await channel.call('tx.commit')
      }),
  },
]

async function bounded(talk: Talk, limits: Table, bodies: readonly string[]): Promise<void> {
  await withChannel(talk, async (channel) => {
    const queue = talk.name('q')
    await channel.declare(queue, args(limits))
    await channel.confirmSelect()
    for (const body of bodies) await channel.publishes('', queue, body, {}, true)
    for (let count = 0; count <= bodies.length; count++) await channel.get(queue, true)
  })
}

const priorities: readonly Conversation[] = [
  {
    name: 'priorities: the highest first, in order of arrival, none is 0, too high is the highest',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-max-priority': 5 }))
        await channel.publishes('', queue, 'none')
        for (const priority of [0, 3, 5, 9, 255, 5, 3, 1]) {
          await channel.publishes('', queue, `${priority}`, { priority })
        }
        for (let count = 0; count < 10; count++) await channel.get(queue, true)
      }),
  },
  {
    name: 'priorities: what comes back goes to its level',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-max-priority': 3 }))
        for (const priority of [1, 3, 2, 3]) await channel.publishes('', queue, `${priority}`, { priority })
        await channel.get(queue)
        await channel.get(queue)
        await channel.publishes('', queue, 'new 3', { priority: 3 })
        channel.nack(2, { multiple: true })
        await talk.settle()
        for (let count = 0; count < 6; count++) await channel.get(queue, true)
      }),
  },
  {
    name: 'priorities mean nothing to a queue without x-max-priority',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        for (const priority of [1, 3, 2]) await channel.publishes('', queue, `${priority}`, { priority })
        for (let count = 0; count < 3; count++) await channel.get(queue, true)
      }),
  },
]

const singleActive: readonly Conversation[] = [
  {
    name: 'single active consumer: one after the other, in order of registration',
    async run(talk) {
      const line = await talk.connect()
      const [one, two, three] = [await line.channel(), await line.channel(), await line.channel()]
      const queue = talk.name('q')
      await one.declare(queue, args({ 'x-single-active-consumer': true }))
      await one.consume(queue, 'c1')
      await two.consume(queue, 'c2')
      await three.consume(queue, 'c3')
      await one.declare(queue, args({ 'x-single-active-consumer': true }))
      for (const body of ['1', '2', '3']) await one.publishes('', queue, body)
      await one.cancel('c1')
      await one.publishes('', queue, '4')
      await two.call('channel.close')
      await one.publishes('', queue, '5')
      one.ack(3, true)
      await talk.settle()
    },
  },
  {
    name: 'single active consumer: an exclusive consumer is refused',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-single-active-consumer': true }))
        await channel.consume(queue, 'c', { exclusive: true })
      }),
  },
  {
    name: 'single active consumer: basic.get',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue, args({ 'x-single-active-consumer': true }))
        await channel.publishes('', queue, '1')
        await channel.get(queue)
      }),
  },
  {
    name: 'single active consumer: a full one is waited for',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const queue = talk.name('q')
      await one.declare(queue, args({ 'x-single-active-consumer': true }))
      await one.qos(1)
      await one.consume(queue, 'c1')
      await two.consume(queue, 'c2')
      for (const body of ['1', '2', '3']) await one.publishes('', queue, body)
      one.ack(1)
      await talk.settle()
      one.nack(2)
      await talk.settle()
    },
  },
]

export const queueConversations: readonly Conversation[] = [
  ...equivalence,
  ...arguments_,
  ...using,
  ...lengths,
  ...priorities,
  ...singleActive,
]

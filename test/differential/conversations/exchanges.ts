// Exchanges: declaring, deleting, binding, and where a message goes.
import type { Channel } from '../channel.ts'
import { field, type Table } from '../peer.ts'
import type { Conversation, Talk } from '../talk.ts'

const predeclared = ['amq.direct', 'amq.fanout', 'amq.topic', 'amq.headers', 'amq.match', 'amq.rabbitmq.trace']

/** Which of the queues got a copy; what they got is gone then. */
async function drain(channel: Channel, queues: readonly string[]): Promise<void> {
  for (const queue of queues) await channel.call('queue.purge', { queue })
}

async function withChannel(talk: Talk, run: (channel: Channel) => Promise<void>): Promise<void> {
  const line = await talk.connect()
  const channel = await line.channel()
  // A second channel: whether an error costs the connection is seen there.
  await line.channel()
  await run(channel)
}

/** One declare after another of the same exchange. */
function redeclared(name: string, first: readonly [string, object], second: readonly [string, object]): Conversation {
  return {
    name: `exchange redeclared with ${name}`,
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const exchange = talk.name('x')
        await channel.declareExchange(exchange, first[0], { ...first[1] })
        await channel.declareExchange(exchange, second[0], { ...second[1] })
      }),
  }
}

const declaring: readonly Conversation[] = [
  ...predeclared.map(
    (exchange): Conversation => ({
      name: `${exchange} is there, durable, and of its type`,
      run: (talk) =>
        withChannel(talk, async (channel) => {
          await channel.call('exchange.declare', { exchange, passive: true, kind: 'nonsense' })
          await channel.call('exchange.declare', { exchange, kind: exchange === 'amq.direct' ? 'fanout' : 'direct' })
        }),
    }),
  ),
  ...(
    [
      ['amq.direct', 'direct', {}],
      ['amq.fanout', 'fanout', {}],
      ['amq.topic', 'topic', {}],
      ['amq.headers', 'headers', {}],
      ['amq.match', 'headers', {}],
      ['amq.rabbitmq.trace', 'topic', { internal: true }],
    ] as const
  ).map(
    ([exchange, kind, options]): Conversation => ({
      name: `${exchange} may be declared as it is, and not otherwise`,
      run: (talk) =>
        withChannel(talk, async (channel) => {
          await channel.call('exchange.declare', { exchange, kind, durable: true, ...options })
          await channel.call('exchange.declare', { exchange, kind, durable: false, ...options })
        }),
    }),
  ),
  redeclared('the same', ['direct', { durable: true }], ['direct', { durable: true }]),
  redeclared('another type', ['direct', {}], ['fanout', {}]),
  redeclared('durable', ['direct', {}], ['direct', { durable: true }]),
  redeclared('auto-delete', ['topic', { durable: true }], ['topic', { durable: true, autoDelete: true }]),
  redeclared('internal', ['topic', {}], ['topic', { internal: true }]),
  redeclared('everything else', ['direct', {}], ['fanout', { durable: true, autoDelete: true, internal: true }]),
  redeclared('other arguments that mean nothing', ['direct', {}], ['direct', { arguments: { 'x-what': 1 } }]),
  redeclared(
    'an alternate-exchange',
    ['direct', {}],
    ['direct', { arguments: { 'alternate-exchange': 'amq.fanout' } }],
  ),
  redeclared(
    'another alternate-exchange',
    ['direct', { arguments: { 'alternate-exchange': 'amq.direct' } }],
    ['direct', { arguments: { 'alternate-exchange': 'amq.fanout' } }],
  ),
  redeclared(
    'the same alternate-exchange',
    ['direct', { arguments: { 'alternate-exchange': 'amq.direct' } }],
    ['direct', { arguments: { 'alternate-exchange': 'amq.direct' } }],
  ),
  redeclared(
    'passive and all else wrong',
    ['direct', {}],
    ['fanout', { passive: true, durable: true, internal: true }],
  ),
  ...(
    [
      ['with a number for an alternate-exchange', { arguments: { 'alternate-exchange': 5 } }],
      ['with an int32 for an alternate-exchange', { arguments: { 'alternate-exchange': field('I', 5) } }],
      ['with a bool for an alternate-exchange', { arguments: { 'alternate-exchange': true } }],
      ['with an alternate-exchange that is not there', { arguments: { 'alternate-exchange': 'none' } }],
      ['of an unknown type', { kind: 'x-none-such' }],
      ['of no type', { kind: '' }],
      ['of a type in capitals', { kind: 'DIRECT' }],
    ] as const
  ).map(
    ([what, options]): Conversation => ({
      name: `exchange declared ${what}`,
      run: (talk) => withChannel(talk, (channel) => channel.declareExchange(talk.name('x'), 'direct', options)),
    }),
  ),
  ...(
    [
      ['exchange.declare', { exchange: '', kind: 'direct' }],
      ['exchange.declare', { exchange: '', kind: 'direct', passive: true }],
      ['exchange.declare', { exchange: '', kind: 'nonsense' }],
      ['exchange.delete', { exchange: '' }],
      ['exchange.bind', { exchange: '', destination: 'amq.fanout' }],
      ['exchange.bind', { exchange: 'amq.fanout', destination: '' }],
      ['exchange.unbind', { exchange: '', destination: 'amq.fanout' }],
      ['exchange.unbind', { exchange: 'amq.fanout', destination: '' }],
      ['exchange.declare', { exchange: 'amq.mine', kind: 'direct' }],
      ['exchange.declare', { exchange: 'amq.mine', kind: 'direct', passive: true }],
      ['exchange.declare', { exchange: 'amq.', kind: 'direct' }],
      ['exchange.delete', { exchange: 'amq.fanout' }],
      ['exchange.delete', { exchange: 'amq.none' }],
      ['exchange.delete', { exchange: 'amq.direct', ifUnused: true }],
    ] as const
  ).map(
    ([name, args]): Conversation => ({
      name: `${name} ${JSON.stringify(args)}`,
      run: (talk) => withChannel(talk, (channel) => channel.call(name, args)),
    }),
  ),
  {
    name: 'an exchange that is not there: passive declare, publish, delete, bind and unbind',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [exchange, queue] = [talk.name('x'), talk.name('q')]
        await channel.declare(queue)
        await channel.call('exchange.delete', { exchange })
        await channel.unbind(queue, exchange, 'key')
        await channel.call('exchange.unbind', { exchange, destination: 'amq.fanout' })
        await channel.call('exchange.unbind', { exchange: 'amq.fanout', destination: exchange })
        await channel.call('exchange.declare', { exchange, passive: true })
        await channel.call('channel.open')
        await channel.bind(queue, exchange, 'key')
        await channel.call('channel.open')
        await channel.bindExchange(exchange, 'amq.fanout')
        await channel.call('channel.open')
        await channel.bindExchange('amq.fanout', exchange)
        await channel.call('channel.open')
        await channel.publishes(exchange, 'key', 'a')
      }),
  },
  {
    name: 'a queue that is not there is not bound; to unbind it is fine',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        await channel.unbind(talk.name('q'), 'amq.fanout')
        await channel.bind(talk.name('q'), 'amq.fanout', 'key')
      }),
  },
  {
    name: 'neither queue nor exchange is there',
    run: (talk) => withChannel(talk, (channel) => channel.bind(talk.name('q'), talk.name('x'), 'key')),
  },
  {
    name: 'a queue is not bound to the default exchange',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        await channel.declare(talk.name('q'))
        await channel.bind(talk.name('q'), '', 'key')
      }),
  },
  {
    name: 'a queue is not unbound from the default exchange',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        await channel.declare(talk.name('q'))
        await channel.unbind(talk.name('q'), '', talk.name('q'))
      }),
  },
  {
    name: 'delete with if-unused looks at bindings of which it is the source',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [exchange, queue] = [talk.name('x'), talk.name('q')]
        await channel.declare(queue)
        await channel.declareExchange(exchange, 'direct')
        await channel.bindExchange(exchange, 'amq.fanout')
        await channel.bind(queue, exchange, 'key')
        await channel.call('exchange.delete', { exchange, ifUnused: true })
        await channel.call('channel.open')
        await channel.unbind(queue, exchange, 'key')
        await channel.call('exchange.delete', { exchange, ifUnused: true })
      }),
  },
  {
    name: 'an exchange that goes takes its bindings with it',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [exchange, queue] = [talk.name('x'), talk.name('q')]
        await channel.declare(queue)
        await channel.declareExchange(exchange, 'fanout')
        await channel.bind(queue, exchange)
        await channel.call('exchange.delete', { exchange })
        await channel.declareExchange(exchange, 'fanout')
        await channel.publishes(exchange, '', 'a', {}, true)
      }),
  },
  {
    name: 'auto-delete: the exchange goes with the last binding of which it is the source, also along a chain',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [one, two, queue] = [talk.name('x1'), talk.name('x2'), talk.name('q')]
        await channel.declareExchange(one, 'fanout', { autoDelete: true })
        await channel.declareExchange(two, 'fanout', { autoDelete: true })
        await channel.declare(queue)
        await channel.bindExchange(two, one)
        await channel.bind(queue, two, 'a')
        await channel.bind(queue, two, 'b')
        await channel.unbind(queue, two, 'a')
        await channel.call('exchange.declare', { exchange: two, passive: true })
        await channel.unbind(queue, two, 'b')
        await channel.call('exchange.declare', { exchange: two, passive: true })
        await channel.call('channel.open')
        await channel.call('exchange.declare', { exchange: one, passive: true })
      }),
  },
  {
    name: 'auto-delete: deleting the queue is as good as unbinding it',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [exchange, queue] = [talk.name('x'), talk.name('q')]
        await channel.declareExchange(exchange, 'direct', { autoDelete: true, durable: true })
        await channel.declare(queue)
        await channel.bind(queue, exchange, 'a')
        await channel.call('queue.delete', { queue })
        await channel.call('exchange.declare', { exchange, passive: true })
      }),
  },
  {
    name: 'auto-delete: a binding of which it is the destination does not count',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const exchange = talk.name('x')
        await channel.declareExchange(exchange, 'direct', { autoDelete: true })
        await channel.bindExchange(exchange, 'amq.fanout')
        await channel.call('exchange.unbind', { destination: exchange, exchange: 'amq.fanout' })
        await channel.call('exchange.declare', { exchange, passive: true })
      }),
  },
  {
    name: 'a client does not publish to an internal exchange, other exchanges do',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [internal, open, queue] = [talk.name('i'), talk.name('o'), talk.name('q')]
        await channel.declareExchange(internal, 'fanout', { internal: true })
        await channel.declareExchange(open, 'fanout')
        await channel.declare(queue)
        await channel.bind(queue, internal)
        await channel.bindExchange(internal, open)
        await channel.publishes(open, 'key', 'a')
        await channel.get(queue, true)
        await channel.publishes(internal, 'key', 'b')
      }),
  },
]

/** Binds queues by those keys and arguments, publishes under each of the others, and looks where it went. */
function routed(
  name: string,
  kind: string,
  bindings: readonly (readonly [string, Table])[],
  messages: readonly (readonly [string, Table])[],
): Conversation {
  return {
    name: `${kind} exchange: ${name}`,
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const exchange = talk.name('x')
        await channel.declareExchange(exchange, kind)
        const queues = bindings.map((_binding, at) => talk.name(`q${at}`))
        for (const [at, [key, table]] of bindings.entries()) {
          await channel.declare(queues[at] as string)
          await channel.bind(queues[at] as string, exchange, key, table)
        }
        for (const [key, headers] of messages) {
          await channel.publishes(exchange, key, 'a', { headers }, true)
          await drain(channel, queues)
        }
      }),
  }
}

const plain = (keys: readonly string[]): (readonly [string, Table])[] => keys.map((key) => [key, {}] as const)

const topicKeys = [
  '#',
  '*',
  '',
  'a',
  'a.*',
  '*.b',
  'a.#',
  '#.b',
  'a.*.c',
  'a.#.c',
  '#.#',
  '*.*',
  'a.b#',
  'A',
  '.',
  '*.',
  '#.*',
]
const topicMessages = [
  '',
  'a',
  'A',
  'b',
  'a.b',
  'a.b.c',
  'a.c',
  'a.b.b.c',
  '.',
  '..',
  'a.',
  '.b',
  'a..c',
  'a.b#',
  'x.y.z.b',
  '*',
  '#',
]

const routing: readonly Conversation[] = [
  routed('by its key', 'direct', plain(['a', 'b', '', 'a.b', 'A']), plain(['a', 'b', '', 'a.b', 'A', 'c', '*', '#'])),
  routed('whatever the key', 'fanout', plain(['a', '']), plain(['', 'b'])),
  routed('words of a key', 'topic', plain(topicKeys), plain(topicMessages)),
  routed(
    'all or any of the headers',
    'headers',
    [
      ['', {}],
      ['', { 'x-match': 'any' }],
      ['', { a: 1, b: 'two' }],
      ['', { 'x-match': 'all', a: 1, b: 'two' }],
      ['', { 'x-match': 'any', a: 1, b: 'two' }],
      ['', { a: null }],
      ['', { 'x-match': 'any', a: null, c: true }],
      ['', { 'x-match': 'all', 'x-other': 'y', a: 1 }],
    ],
    [
      ['', {}],
      ['key', { a: 1 }],
      ['', { a: 1, b: 'two' }],
      ['', { a: 1, b: 'three' }],
      ['', { b: 'two' }],
      ['', { a: 'anything' }],
      ['', { c: true }],
      ['', { c: false }],
      ['', { a: null }],
      ['', { a: 1, 'x-other': 'z' }],
    ],
  ),
  routed(
    'types of header values',
    'headers',
    [
      ['', { a: field('b', 1) }],
      ['', { a: '1' }],
      ['', { a: true }],
      ['', { a: field('T', 1) }],
      ['', { a: field('x', Buffer.from('1')) }],
      ['', { a: field('f', 0.5) }],
      ['', { a: [1, 2] }],
      ['', { a: { b: 1 } }],
    ],
    [
      ['', { a: field('b', 1) }],
      ['', { a: field('l', 1) }],
      ['', { a: field('I', 1) }],
      ['', { a: field('u', 1) }],
      ['', { a: '1' }],
      ['', { a: true }],
      ['', { a: field('T', 1) }],
      ['', { a: field('x', Buffer.from('1')) }],
      ['', { a: field('f', 0.5) }],
      ['', { a: field('d', 0.5) }],
      ['', { a: [1, 2] }],
      ['', { a: { b: 1 } }],
    ],
  ),
  routed(
    'an integer is no float',
    'headers',
    [['', { a: 1 }]],
    [
      ['', { a: 1 }],
      ['', { a: field('d', 1) }],
    ],
  ),
  ...['none', '', 'ALL', 'all-with-x', 'any-with-x', field('I', 1), true].map(
    (match): Conversation => ({
      name: `headers exchange: bound with x-match ${JSON.stringify(match)}`,
      run: (talk) =>
        withChannel(talk, async (channel) => {
          const queue = talk.name('q')
          await channel.declare(queue)
          await channel.bind(queue, 'amq.headers', '', { 'x-match': match, [talk.name('a')]: 1 })
        }),
    }),
  ),
  {
    name: 'headers exchange: a message without headers',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [exchange, one, two] = [talk.name('x'), talk.name('q1'), talk.name('q2')]
        await channel.declareExchange(exchange, 'headers')
        await channel.declare(one)
        await channel.declare(two)
        await channel.bind(one, exchange, '', { 'x-match': 'any' })
        await channel.bind(two, exchange, '', { 'x-match': 'all' })
        await channel.publishes(exchange, 'key', 'a', {}, true)
        await drain(channel, [one, two])
      }),
  },
  {
    name: 'the default exchange knows each queue by its name',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const queue = talk.name('q')
        await channel.declare(queue)
        await channel.publishes('', queue, 'a', {}, true)
        await channel.publishes('', `${queue}x`, 'b', {}, true)
        await channel.get(queue, true)
      }),
  },
  {
    name: 'a queue gets one copy, however many bindings match',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [exchange, other, queue] = [talk.name('x'), talk.name('y'), talk.name('q')]
        await channel.declareExchange(exchange, 'topic')
        await channel.declareExchange(other, 'fanout')
        await channel.declare(queue)
        await channel.bind(queue, exchange, '#')
        await channel.bind(queue, exchange, 'a.*')
        await channel.bindExchange(other, exchange, 'a.b')
        await channel.bind(queue, other, '')
        await channel.publishes(exchange, 'a.b', 'a', {}, true)
        await channel.call('queue.declare', { queue, passive: true })
      }),
  },
  {
    name: 'a binding is the same with the same key and arguments, in any order of those',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [exchange, queue] = [talk.name('x'), talk.name('q')]
        await channel.declareExchange(exchange, 'direct')
        await channel.declare(queue)
        await channel.bind(queue, exchange, 'key', { a: 1, b: 2 })
        await channel.bind(queue, exchange, 'key', { b: 2, a: 1 })
        await channel.bind(queue, exchange, 'key')
        await channel.unbind(queue, exchange, 'key', { b: 2, a: 1 })
        await channel.publishes(exchange, 'key', 'a', {}, true)
        await channel.unbind(queue, exchange, 'key')
        await channel.publishes(exchange, 'key', 'b', {}, true)
        await channel.unbind(queue, exchange, 'key')
      }),
  },
  {
    name: 'exchanges in a circle',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const names = ['x1', 'x2', 'x3'].map((word) => talk.name(word))
        const [one, two, three] = names as [string, string, string]
        const queue = talk.name('q')
        for (const name of names) await channel.declareExchange(name, 'fanout')
        await channel.declare(queue)
        await channel.bindExchange(two, one)
        await channel.bindExchange(three, two)
        await channel.bindExchange(one, three)
        await channel.bindExchange(one, one)
        await channel.publishes(two, '', 'nowhere', {}, true)
        await channel.bind(queue, one)
        await channel.bind(queue, three)
        await channel.publishes(two, 'k', 'a', {}, true)
        await channel.get(queue, true)
        await channel.get(queue, true)
      }),
  },
  {
    name: 'an exchange bound to an exchange of another type decides by the same key and headers',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [topic, headers, queue] = [talk.name('t'), talk.name('h'), talk.name('q')]
        await channel.declareExchange(topic, 'topic')
        await channel.declareExchange(headers, 'headers')
        await channel.declare(queue)
        await channel.bindExchange(headers, topic, 'a.#')
        await channel.bind(queue, headers, '', { color: 'red' })
        await channel.publishes(topic, 'a.b', '1', { headers: { color: 'red' } }, true)
        await channel.publishes(topic, 'b.a', '2', { headers: { color: 'red' } }, true)
        await channel.publishes(topic, 'a', '3', { headers: { color: 'blue' } }, true)
        await channel.get(queue, true)
        await channel.get(queue, true)
      }),
  },
]

const alternates: readonly Conversation[] = [
  {
    name: 'alternate-exchange: gets what the exchange has no queue for, as it was published',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [exchange, alternate, queue, other] = [talk.name('x'), talk.name('a'), talk.name('q'), talk.name('o')]
        await channel.declareExchange(alternate, 'fanout')
        await channel.declareExchange(exchange, 'direct', { arguments: { 'alternate-exchange': alternate } })
        await channel.declare(queue)
        await channel.declare(other)
        await channel.bind(queue, alternate)
        await channel.bind(other, exchange, 'key')
        await channel.publishes(exchange, 'key', 'routed', {}, true)
        await channel.publishes(exchange, 'none', 'alternate', {}, true)
        for (const name of [queue, queue, other]) await channel.get(name, true)
      }),
  },
  {
    name: 'alternate-exchange: along a chain and in a circle',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [one, two, three, queue] = [talk.name('x1'), talk.name('x2'), talk.name('x3'), talk.name('q')]
        await channel.declareExchange(one, 'direct', { arguments: { 'alternate-exchange': two } })
        await channel.declareExchange(two, 'direct', { arguments: { 'alternate-exchange': three } })
        await channel.declareExchange(three, 'direct', { arguments: { 'alternate-exchange': one } })
        await channel.declare(queue)
        await channel.bind(queue, three, 'key')
        await channel.publishes(one, 'key', 'a', {}, true)
        await channel.publishes(one, 'none', 'b', {}, true)
        await channel.get(queue, true)
      }),
  },
  {
    name: 'alternate-exchange: one that is not there leaves the message unroutable',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const exchange = talk.name('x')
        await channel.declareExchange(exchange, 'direct', { arguments: { 'alternate-exchange': talk.name('none') } })
        await channel.publishes(exchange, 'key', 'a', {}, true)
      }),
  },
  {
    name: 'alternate-exchange: of an exchange in the middle of the way',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [source, middle, alternate, queue, direct] = ['s', 'm', 'a', 'q', 'd'].map((word) => talk.name(word)) as [
          string,
          string,
          string,
          string,
          string,
        ]
        await channel.declareExchange(source, 'fanout')
        await channel.declareExchange(alternate, 'fanout')
        await channel.declareExchange(middle, 'direct', { arguments: { 'alternate-exchange': alternate } })
        await channel.declare(queue)
        await channel.declare(direct)
        await channel.bindExchange(middle, source)
        await channel.bind(queue, alternate)
        await channel.bind(direct, source)
        await channel.publishes(source, 'key', 'a', {}, true)
        await channel.get(queue, true)
        await channel.get(direct, true)
      }),
  },
  {
    name: 'alternate-exchange: an exchange that leads to one without queues has no destination of its own',
    run: (talk) =>
      withChannel(talk, async (channel) => {
        const [source, empty, alternate, queue] = [talk.name('s'), talk.name('e'), talk.name('a'), talk.name('q')]
        await channel.declareExchange(alternate, 'fanout')
        await channel.declareExchange(empty, 'fanout')
        await channel.declareExchange(source, 'fanout', { arguments: { 'alternate-exchange': alternate } })
        await channel.declare(queue)
        await channel.bind(queue, alternate)
        await channel.bindExchange(empty, source)
        await channel.publishes(source, 'key', 'a', {}, true)
        await channel.get(queue, true)
      }),
  },
]

export const exchangeConversations: readonly Conversation[] = [...declaring, ...routing, ...alternates]

// Who may do what, the limits of a virtual host, and policies. See ../definitions.ts for who is who.
import type { MethodName } from '../../../src/amqp/methods.ts'
import type { Channel } from '../channel.ts'
import { password } from '../definitions.ts'
import type { Args } from '../peer.ts'
import type { Conversation, Talk } from '../talk.ts'

const limited = { user: 'limited', password }

/** An operation that is refused for want of a right. */
export interface Refusal {
  readonly name: string
  readonly method: MethodName
  readonly right: 'configure' | 'write' | 'read'
  /** As it stands in the text. */
  readonly thing: string
}

interface Operation extends Refusal {
  readonly run: (talk: Talk, channel: Channel) => Promise<void>
}

const queueNames = ['q-', 'q-c', 'q-w', 'q-r', 'q-cw', 'q-cr', 'q-wr', 'q-cwr']
const exchangeNames = ['x-', 'x-c', 'x-w', 'x-r', 'x-cw', 'x-wr']

function operation(
  method: MethodName,
  args: Args,
  right: Refusal['right'],
  thing: string,
  what = JSON.stringify(args),
): Operation {
  return {
    name: `${method} ${what} without the right to ${right} ${thing}`,
    method,
    right,
    thing,
    run: (talk, channel) => channel.call(method, named(talk, args)),
  }
}

/** With the names of the conversation in the place of words. */
function named(talk: Talk, args: Args): Args {
  const words = [...queueNames, ...exchangeNames, 'n-', 'n-c', 'n-cr', 'n-w']
  const replaced = (value: unknown): unknown => {
    if (typeof value === 'string') return words.includes(value) ? talk.name(value) : value
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, replaced(one)]))
  }
  return replaced(args) as Args
}

const queue = (name: string): string => `queue '${name}' in vhost '/'`
const exchange = (name: string): string => `exchange '${name}' in vhost '/'`

const operations: readonly Operation[] = [
  operation('queue.declare', { queue: 'n-' }, 'configure', queue('n-')),
  operation('queue.declare', { queue: 'q-wr' }, 'configure', queue('q-wr')),
  operation('queue.delete', { queue: 'q-wr' }, 'configure', queue('q-wr')),
  operation('queue.purge', { queue: 'q-cw' }, 'read', queue('q-cw')),
  operation('basic.get', { queue: 'q-cw' }, 'read', queue('q-cw')),
  operation('basic.consume', { queue: 'q-cw' }, 'read', queue('q-cw')),
  operation('queue.bind', { destination: 'q-w', exchange: 'x-cw' }, 'read', exchange('x-cw')),
  operation('queue.bind', { destination: 'q-cr', exchange: 'x-r' }, 'write', queue('q-cr')),
  operation('queue.unbind', { destination: 'q-cr', exchange: 'x-r' }, 'write', queue('q-cr')),
  operation('exchange.declare', { exchange: 'n-', kind: 'direct' }, 'configure', exchange('n-')),
  operation('exchange.delete', { exchange: 'x-wr' }, 'configure', exchange('x-wr')),
  operation('exchange.bind', { destination: 'x-r', exchange: 'x-wr' }, 'write', exchange('x-r')),
  operation('exchange.bind', { destination: 'x-w', exchange: 'x-cw' }, 'read', exchange('x-cw')),
  operation('exchange.unbind', { destination: 'x-r', exchange: 'x-wr' }, 'write', exchange('x-r')),
  operation(
    'queue.declare',
    { queue: 'n-cr', arguments: { 'x-dead-letter-exchange': 'x-r' } },
    'write',
    exchange('x-r'),
  ),
  operation('queue.declare', { queue: 'n-c', arguments: { 'x-dead-letter-exchange': 'x-w' } }, 'read', queue('n-c')),
  operation(
    'exchange.declare',
    { exchange: 'n-cr', kind: 'direct', arguments: { 'alternate-exchange': 'x-r' } },
    'write',
    exchange('x-r'),
  ),
  operation(
    'exchange.declare',
    { exchange: 'n-c', kind: 'direct', arguments: { 'alternate-exchange': 'x-w' } },
    'read',
    exchange('n-c'),
  ),
  {
    name: 'basic.publish without the right to write the exchange',
    method: 'basic.publish',
    right: 'write',
    thing: exchange('x-r'),
    run: (talk, channel) => channel.publishes(talk.name('x-r'), 'key', 'a'),
  },
  {
    name: 'basic.publish without the right to write the default exchange',
    method: 'basic.publish',
    right: 'write',
    thing: exchange('amq.default'),
    run: (talk, channel) => channel.publishes('', talk.name('q-w'), 'a'),
  },
]

export const refusals: readonly Refusal[] = operations

/** Everything that is spoken of is there. */
async function furnished(talk: Talk): Promise<void> {
  const owner = await talk.open()
  for (const name of queueNames) await owner.declare(talk.name(name))
  for (const name of exchangeNames) await owner.declareExchange(talk.name(name), 'direct')
}

const rights: readonly Conversation[] = [
  ...operations.map(
    ({ name, run }): Conversation => ({
      name,
      async run(talk) {
        await furnished(talk)
        const line = await talk.connect(limited)
        const channel = await line.channel()
        await line.channel()
        await run(talk, channel)
      },
    }),
  ),
  {
    name: 'with all the rights that it takes, everything is done',
    async run(talk) {
      await furnished(talk)
      const channel = await talk.open(limited)
      await channel.declare(talk.name('n-c'))
      await channel.call('queue.declare', { queue: talk.name('q-c'), passive: true })
      await channel.bind(talk.name('q-w'), talk.name('x-r'), 'key')
      await channel.publishes(talk.name('x-w'), 'key', 'a', {}, true)
      await channel.get(talk.name('q-r'))
      await channel.consume(talk.name('q-r'), 'c')
      await channel.bindExchange(talk.name('x-w'), talk.name('x-r'), 'key')
      await channel.call('queue.purge', { queue: talk.name('q-r') })
      await channel.call('queue.delete', { queue: talk.name('q-c') })
      await channel.call('exchange.delete', { exchange: talk.name('x-c') })
    },
  },
  ...['w', 'r'].map(
    (right): Conversation => ({
      name: `a passive declare with the right ${right} alone`,
      async run(talk) {
        await furnished(talk)
        const channel = await talk.open(limited)
        await channel.call('queue.declare', { queue: talk.name(`q-${right}`), passive: true })
      },
    }),
  ),
  {
    name: 'a virtual host that the user may not use',
    async run(talk) {
      const line = await talk.dial()
      line.peer.raw('AMQP\0\0\x09\x01')
      line.peer.method(0, 'connection.start-ok', { mechanism: 'PLAIN', response: `\0stranger\0${password}` })
      await line.peer.until('tune', () => line.isOver || line.peer.received.length > 1)
      line.peer.received.splice(0)
      line.send('connection.tune-ok', { channelMax: 2047, frameMax: 131_072 })
      line.send('connection.open', { virtualHost: '/' })
      await line.end()
    },
  },
]

/** One after the other, for the virtual host is one for all: see `togetherMax`. */
const limits: readonly Conversation[] = [
  {
    name: 'a virtual host that is full: no more queues and no more connections',
    async run(talk) {
      const one = await talk.open({ virtualHost: 'small' })
      const two = await talk.open({ ...limited, virtualHost: 'small' })
      const owned = { exclusive: true }
      await one.declare(talk.name('q1'), owned)
      await two.declare(talk.name('q2'), owned)
      await one.declare(talk.name('q1'), owned)
      await two.declare(talk.name('q3'), owned)
      const line = await talk.dial()
      line.peer.raw('AMQP\0\0\x09\x01')
      line.peer.method(0, 'connection.start-ok', { mechanism: 'PLAIN', response: '\0guest\0guest' })
      await line.peer.until('tune', () => line.isOver || line.peer.received.length > 1)
      line.peer.received.splice(0)
      line.send('connection.tune-ok', { channelMax: 2047, frameMax: 131_072 })
      line.send('connection.open', { virtualHost: 'small' })
      await line.end()
    },
  },
]

const policies: readonly Conversation[] = [
  {
    name: 'policy: max-length holds for the names it finds, and is no argument',
    async run(talk) {
      const channel = await talk.open()
      const [capped, other] = [talk.name('q-capped'), talk.name('q-capped-not')]
      await channel.declare(capped)
      await channel.declare(other)
      for (const body of ['1', '2', '3']) await channel.publishes('', capped, body)
      for (const body of ['1', '2', '3']) await channel.publishes('', other, body)
      await channel.declare(capped)
      await channel.declare(other)
    },
  },
  {
    name: 'policy: of two lengths the smaller one holds',
    async run(talk) {
      const channel = await talk.open()
      const queue = talk.name('q-capped')
      await channel.declare(queue, { arguments: { 'x-max-length': 1 } })
      for (const body of ['1', '2', '3']) await channel.publishes('', queue, body)
      await channel.get(queue)
    },
  },
  {
    name: 'policy: reject-publish refuses',
    async run(talk) {
      const channel = await talk.open()
      const queue = talk.name('q-refusing')
      await channel.declare(queue)
      await channel.confirmSelect()
      for (const body of ['1', '2']) await channel.publishes('', queue, body)
      await channel.get(queue)
    },
  },
  {
    name: 'policy: message-ttl',
    async run(talk) {
      const channel = await talk.open()
      const queue = talk.name('q-brief')
      await channel.declare(queue)
      await channel.publishes('', queue, '1')
      await talk.until(queue, 0)
    },
  },
]

export const accessConversations: readonly Conversation[] = [...rights, ...limits, ...policies]

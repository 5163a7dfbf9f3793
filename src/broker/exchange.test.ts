// Where a message goes: the kinds of exchanges, bindings between exchanges, and what auto-delete takes with it.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Message } from '../model/message.ts'
import { bindCommand, type CoreChannel, declareExchange, openCore } from '../testing/core-harness.ts'

/** A channel with queues of these names. */
async function withQueues(...names: string[]): Promise<CoreChannel> {
  const core = await openCore()
  const channel = await core.channel()
  for (const name of names) channel.declareQueue(name)
  return channel
}

/** Which of the queues got the message just published; they are empty afterwards. */
function reached(channel: CoreChannel, ...names: string[]): string[] {
  return names.flatMap((name) => channel.drain(name).map(() => name))
}

describe('the default exchange', () => {
  test('routes to the queue that the routing key names, and to no other', async () => {
    const channel = await withQueues('a', 'b')
    channel.publish('', 'a', 'x')
    expect(reached(channel, 'a', 'b')).toEqual(['a'])
    channel.publish('', 'missing', 'x')
    expect(reached(channel, 'a', 'b')).toEqual([])
  })

  test('follows a queue that is deleted and declared again', async () => {
    const channel = await withQueues('a')
    channel.publish('', 'a', '1')
    channel.deleteQueue('a')
    channel.publish('', 'a', '2')
    channel.declareQueue('a')
    channel.publish('', 'a', '3')
    expect(channel.drain('a')).toEqual(['3'])
  })
})

describe('a direct exchange', () => {
  test('routes to every queue bound with exactly the routing key', async () => {
    const channel = await withQueues('a', 'b', 'c')
    channel.declareExchange('x', 'direct')
    channel.bind('a', 'x', 'k')
    channel.bind('b', 'x', 'k')
    channel.bind('c', 'x', 'K')
    channel.publish('x', 'k', '1')
    expect(reached(channel, 'a', 'b', 'c')).toEqual(['a', 'b'])
    channel.publish('x', 'other', '1')
    expect(reached(channel, 'a', 'b', 'c')).toEqual([])
    channel.unbind('a', 'x', 'k')
    channel.publish('x', 'k', '1')
    expect(reached(channel, 'a', 'b', 'c')).toEqual(['b'])
  })

  test('has the predeclared twin amq.direct', async () => {
    const channel = await withQueues('a')
    channel.bind('a', 'amq.direct', 'k')
    channel.publish('amq.direct', 'k', '1')
    expect(reached(channel, 'a')).toEqual(['a'])
  })
})

describe('a fanout exchange', () => {
  test('routes to every queue whatever the key, each once however often it is bound', async () => {
    const channel = await withQueues('a', 'b', 'c')
    channel.bind('a', 'amq.fanout', 'one')
    channel.bind('a', 'amq.fanout', 'two')
    channel.bind('b', 'amq.fanout', '')
    channel.publish('amq.fanout', 'whatever', '1')
    expect(reached(channel, 'a', 'b', 'c')).toEqual(['a', 'b'])
    channel.unbind('a', 'amq.fanout', 'one')
    channel.publish('amq.fanout', '', '1')
    expect(reached(channel, 'a', 'b', 'c')).toEqual(['a', 'b'])
    channel.unbind('a', 'amq.fanout', 'two')
    channel.publish('amq.fanout', '', '1')
    expect(reached(channel, 'a', 'b', 'c')).toEqual(['b'])
  })
})

describe('a topic exchange', () => {
  test('routes by pattern, one copy for a queue that several patterns reach', async () => {
    const channel = await withQueues('a', 'b', 'c')
    channel.bind('a', 'amq.topic', 'order.*')
    channel.bind('a', 'amq.topic', 'order.#')
    channel.bind('b', 'amq.topic', '#.new')
    channel.bind('c', 'amq.topic', 'order')
    channel.publish('amq.topic', 'order.new', '1')
    expect(reached(channel, 'a', 'b', 'c')).toEqual(['a', 'b'])
    channel.publish('amq.topic', 'order', '1')
    expect(reached(channel, 'a', 'b', 'c')).toEqual(['a', 'c'])
    channel.unbind('a', 'amq.topic', 'order.#')
    channel.publish('amq.topic', 'order', '1')
    expect(reached(channel, 'a', 'b', 'c')).toEqual(['c'])
  })
})

describe('a headers exchange', () => {
  test('routes by headers though the key is the same, so routes of a key are not remembered', async () => {
    const channel = await withQueues('a', 'b')
    channel.bind('a', 'amq.headers', '', { kind: 'a', 'x-match': 'all' })
    channel.bind('b', 'amq.match', '', { kind: 'b', size: 1, 'x-match': 'any' })
    channel.publish('amq.headers', 'k', '1', { headers: { kind: 'a' } })
    expect(reached(channel, 'a', 'b')).toEqual(['a'])
    channel.publish('amq.headers', 'k', '1', { headers: { kind: 'b' } })
    expect(reached(channel, 'a', 'b')).toEqual([])
    channel.publish('amq.headers', 'k', '1')
    expect(reached(channel, 'a', 'b')).toEqual([])
    channel.publish('amq.match', 'k', '1', { headers: { size: 1 } })
    expect(reached(channel, 'a', 'b')).toEqual(['b'])
  })

  test('keeps bindings apart that differ in their arguments only', async () => {
    const channel = await withQueues('a')
    channel.bind('a', 'amq.headers', '', { n: 1 })
    channel.bind('a', 'amq.headers', '', { n: 2 })
    channel.unbind('a', 'amq.headers', '', { n: 1 })
    channel.publish('amq.headers', '', '1', { headers: { n: 1 } })
    expect(reached(channel, 'a')).toEqual([])
    channel.publish('amq.headers', '', '1', { headers: { n: 2 } })
    expect(reached(channel, 'a')).toEqual(['a'])
  })

  test('refuses a binding whose x-match is none of the four', async () => {
    const channel = await withQueues('a')
    expect(() => channel.bind('a', 'amq.headers', '', { 'x-match': 'most' })).toThrow(
      'PRECONDITION_FAILED - Invalid x-match field value',
    )
  })

  test('is reached through another exchange, and still looks at the headers of each message', async () => {
    const channel = await withQueues('a')
    channel.bindExchange('amq.headers', 'amq.direct', 'k')
    channel.bind('a', 'amq.headers', '', { kind: 'a' })
    channel.publish('amq.direct', 'k', '1', { headers: { kind: 'a' } })
    channel.publish('amq.direct', 'k', '2', { headers: { kind: 'b' } })
    channel.publish('amq.direct', 'k', '3', { headers: { kind: 'a' } })
    expect(channel.drain('a')).toEqual(['1', '3'])
  })

  test('that fails on headers it cannot read, leaves the routes of others alone', async () => {
    const channel = await withQueues('a')
    const other = channel.sibling()
    channel.bind('a', 'amq.direct', 'k')
    channel.bind('a', 'amq.headers', '', { kind: 'a' })
    channel.publish('amq.direct', 'k', '1')
    // A table of three bytes, whose tag is unknown.
    const properties = Buffer.from([0x20, 0, 0, 0, 0, 3, 1, 97, 63])
    other.port.publish(Message.of('amq.headers', '', properties, Buffer.from('bad')), false)
    channel.publish('amq.direct', 'k', '2')
    expect(other.error?.code).toBe('SYNTAX_ERROR')
    expect(channel.drain('a')).toEqual(['1', '2'])
  })

  test('is found two exchanges away from the one that is published to', async () => {
    const channel = await withQueues('a')
    channel.declareExchange('middle', 'fanout')
    channel.bindExchange('middle', 'amq.direct', 'k')
    channel.bindExchange('amq.headers', 'middle')
    channel.bind('a', 'amq.headers', '', { kind: 'a' })
    channel.publish('amq.direct', 'k', '1', { headers: { kind: 'b' } })
    channel.publish('amq.direct', 'k', '2', { headers: { kind: 'a' } })
    expect(channel.drain('a')).toEqual(['2'])
  })
})

describe('bindings between exchanges', () => {
  test('lead on by their own key, and end in one copy for each queue', async () => {
    const channel = await withQueues('a', 'b')
    channel.declareExchange('from', 'topic')
    channel.declareExchange('to', 'direct')
    channel.bindExchange('to', 'from', 'order.#')
    channel.bind('a', 'to', 'order.new')
    channel.bind('a', 'from', '#')
    channel.bind('b', 'to', 'order.old')
    channel.publish('from', 'order.new', '1')
    expect(reached(channel, 'a', 'b')).toEqual(['a'])
    channel.publish('from', 'other', '1')
    expect(reached(channel, 'a', 'b')).toEqual(['a'])
    channel.unbindExchange('to', 'from', 'order.#')
    channel.publish('from', 'order.old', '1')
    expect(reached(channel, 'a', 'b')).toEqual(['a'])
  })

  test('may form a cycle, even from an exchange to itself', async () => {
    const channel = await withQueues('a', 'b')
    for (const name of ['x', 'y', 'z']) channel.declareExchange(name, 'topic')
    channel.bindExchange('y', 'x', '#')
    channel.bindExchange('z', 'y', '#')
    channel.bindExchange('x', 'z', '#')
    channel.bindExchange('x', 'x', '#')
    channel.bind('a', 'x', '#')
    channel.bind('b', 'z', '*')
    channel.publish('y', 'k', '1')
    expect(reached(channel, 'a', 'b')).toEqual(['a', 'b'])
    channel.publish('x', 'k', '1')
    expect(reached(channel, 'a', 'b')).toEqual(['a', 'b'])
  })

  test('reach the queues that a naive walk reaches, in random graphs that change', async () => {
    const queues = ['q0', 'q1', 'q2', 'q3']
    const exchanges = ['e0', 'e1', 'e2', 'e3']
    const edge = fc.tuple(fc.constantFrom(...exchanges), fc.constantFrom(...exchanges, ...queues), fc.boolean())
    await fc.assert(
      fc.asyncProperty(fc.array(edge, { maxLength: 25 }), async (edges) => {
        const channel = await withQueues(...queues)
        for (const [number, name] of exchanges.entries()) {
          channel.declareExchange(name, ['direct', 'fanout', 'topic', 'fanout'][number] as string)
        }
        const present = new Set<string>()
        for (const [from, to, isBound] of edges) {
          const toQueue = to.startsWith('q')
          const kind = `${toQueue ? 'queue' : 'exchange'}.${isBound ? 'bind' : 'unbind'}` as const
          channel.ask(bindCommand(kind, to, from, 'k'))
          if (isBound) present.add(`${from} ${to}`)
          else present.delete(`${from} ${to}`)
          const seen = new Set<string>([from])
          for (const name of seen) {
            for (const each of present) {
              const [source, destination] = each.split(' ') as [string, string]
              if (source === name) seen.add(destination)
            }
          }
          channel.publish(from, 'k', 'x')
          expect(reached(channel, ...queues)).toEqual(queues.filter((name) => seen.has(name)))
        }
      }),
      { numRuns: 60 },
    )
  })

  test('go with either exchange', async () => {
    const channel = await withQueues('a')
    channel.declareExchange('from', 'fanout')
    channel.declareExchange('to', 'fanout')
    channel.bindExchange('to', 'from')
    channel.bind('a', 'to')
    channel.deleteExchange('to')
    channel.declareExchange('to', 'fanout')
    channel.bind('a', 'to')
    channel.publish('from', '', '1')
    expect(reached(channel, 'a')).toEqual([])
    channel.bindExchange('to', 'from')
    channel.deleteExchange('from')
    channel.declareExchange('from', 'fanout')
    channel.publish('from', '', '1')
    expect(reached(channel, 'a')).toEqual([])
  })
})

describe('an internal exchange', () => {
  test('takes messages from other exchanges only', async () => {
    const channel = await withQueues('a')
    channel.declareExchange('inside', 'fanout', { internal: true })
    channel.bindExchange('inside', 'amq.fanout')
    channel.bind('a', 'inside')
    channel.publish('amq.fanout', '', '1')
    expect(channel.drain('a')).toEqual(['1'])
    channel.publish('inside', '', '2')
    expect(channel.error?.message).toBe("ACCESS_REFUSED - cannot publish to internal exchange 'inside' in vhost '/'")
  })
})

describe('an auto-delete exchange', () => {
  async function present(channel: CoreChannel, name: string): Promise<boolean> {
    // A passive declare closes the channel it fails on, so the question is asked on another one.
    const other = channel.sibling()
    const isThere = other.refusal({ ...declarePassive, exchange: name }) === ''
    other.close()
    return isThere
  }

  const declarePassive = {
    type: 'exchange.declare' as const,
    kind: '',
    passive: true,
    durable: false,
    autoDelete: false,
    internal: false,
    arguments: new Map(),
  }

  test('lives until the last binding that it is the source of goes, but not before the first came', async () => {
    const channel = await withQueues('a', 'b')
    channel.declareExchange('x', 'direct', { autoDelete: true })
    channel.unbind('a', 'x', 'never bound')
    expect(await present(channel, 'x')).toBe(true)
    channel.bind('a', 'x', '1')
    channel.bind('b', 'x', '2')
    channel.unbind('a', 'x', '1')
    expect(await present(channel, 'x')).toBe(true)
    channel.unbind('b', 'x', '2')
    expect(await present(channel, 'x')).toBe(false)
  })

  test('does not go for bindings that it is the destination of', async () => {
    const channel = await withQueues('a')
    channel.declareExchange('x', 'fanout', { autoDelete: true })
    channel.bindExchange('x', 'amq.fanout')
    channel.unbindExchange('x', 'amq.fanout')
    expect(await present(channel, 'x')).toBe(true)
  })

  test('goes with the queue it was bound to, and takes a chain of its kind with it', async () => {
    const channel = await withQueues('a')
    for (const name of ['x', 'y', 'z']) channel.declareExchange(name, 'fanout', { autoDelete: true })
    channel.bindExchange('y', 'x')
    channel.bindExchange('z', 'y')
    channel.bind('a', 'z')
    channel.deleteQueue('a')
    for (const name of ['x', 'y', 'z']) expect(await present(channel, name), name).toBe(false)
  })

  test('stays when the chain above it still has another way', async () => {
    const channel = await withQueues('a', 'b')
    for (const name of ['x', 'y']) channel.declareExchange(name, 'fanout', { autoDelete: true })
    channel.bindExchange('y', 'x')
    channel.bind('b', 'x')
    channel.bind('a', 'y')
    channel.deleteQueue('a')
    expect(await present(channel, 'y')).toBe(false)
    expect(await present(channel, 'x')).toBe(true)
    channel.deleteQueue('b')
    expect(await present(channel, 'x')).toBe(false)
  })

  test('goes once though two ways lead to its end', async () => {
    const channel = await withQueues('a')
    for (const name of ['x', 'y', 'z']) channel.declareExchange(name, 'fanout', { autoDelete: true })
    // When z goes, y goes, and x with it; then it is x's turn again.
    channel.bindExchange('z', 'y')
    channel.bindExchange('z', 'x')
    channel.bindExchange('y', 'x')
    channel.bind('a', 'z')
    channel.deleteQueue('a')
    for (const name of ['x', 'y', 'z']) expect(await present(channel, name), name).toBe(false)
  })

  test('may be bound in a cycle and deleted all the same', async () => {
    const channel = await withQueues('a')
    for (const name of ['x', 'y']) channel.declareExchange(name, 'fanout', { autoDelete: true })
    channel.bindExchange('y', 'x')
    channel.bindExchange('x', 'y')
    channel.bindExchange('x', 'x')
    channel.deleteExchange('x')
    expect(await present(channel, 'x')).toBe(false)
    expect(await present(channel, 'y')).toBe(false)
  })
})

// Whoever walks such a row by calling himself ends the stack, at the end of a turn the process.
test('exchanges bound in a row, twelve thousand of them, pass a message on, and go one after the other', async () => {
  const core = await openCore()
  const channel = await core.channel()
  const count = 12_000
  channel.declareQueue('q')
  channel.declareQueue('timed', {
    arguments: { 'x-message-ttl': 5, 'x-dead-letter-exchange': `x${count}`, 'x-dead-letter-routing-key': 'k' },
  })
  for (let number = 0; number <= count; number++) {
    const kind = ['fanout', 'direct', 'topic', 'headers'][number % 4] as string
    channel.give(declareExchange(`x${number}`, kind, { autoDelete: true }))
    const previous = number === 0 ? 'q' : `x${number - 1}`
    channel.give(bindCommand(number === 0 ? 'queue.bind' : 'exchange.bind', previous, `x${number}`, 'k'))
  }
  core.settle()
  channel.publish(`x${count}`, 'k', 'published')
  channel.publish('', 'timed', 'dead')
  core.clock.advance(10)
  expect(channel.drain('q')).toEqual(['published', 'dead'])
  channel.give({ type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: false })
  core.settle()
  expect(channel.refusal(declareExchange(`x${count}`, 'direct', { passive: true }))).toMatch(/^NOT_FOUND/)
  expect(core.broker.residentBytes).toBe(0)
})

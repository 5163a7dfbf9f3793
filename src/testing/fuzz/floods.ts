/** Too much of one thing, all of it allowed, in as few writes as possible: what costs the broker most for an octet. */
import type { Dice } from './dice.ts'
import { makeTable } from './field-maker.ts'
import { makeMethod, topicPattern, type Values } from './method-maker.ts'
import { frame, headerFrame, long, short, u8, u16, u32 } from './octets.ts'
import { type Step, send } from './script.ts'

const channel = 1
const quiet = { passive: false, noWait: true, arguments: u32(0) }
const queue = { ...quiet, durable: false, exclusive: false, autoDelete: false }

export interface Flood {
  readonly what: string
  /** Whatever is sent, channel 1 is open. */
  make(dice: Dice, count: number): readonly Step[]
}

function many(count: number, make: (index: number) => Buffer | readonly Buffer[]): Buffer[] {
  return Array.from({ length: count }, (_, index) => make(index)).flat() as Buffer[]
}

function declare(dice: Dice, values: Values): Buffer {
  return makeMethod(dice, channel, 'queue.declare', { ...queue, ...values })
}

function declareExchange(dice: Dice, exchange: string, kind: string, autoDelete = false): Buffer {
  const values = { ...quiet, exchange, kind, durable: false, internal: false, autoDelete }
  return makeMethod(dice, channel, 'exchange.declare', values)
}

function bind(dice: Dice, destination: string, exchange: string, routingKey: string, table: Buffer = u32(0)): Buffer {
  const values = { destination, exchange, routingKey, noWait: true, arguments: table }
  return makeMethod(dice, channel, 'queue.bind', values)
}

function publish(dice: Dice, exchange: string, routingKey: string, properties: Buffer = u16(0), body = 0): Buffer[] {
  const values = { exchange, routingKey, mandatory: false, immediate: false }
  const method = makeMethod(dice, channel, 'basic.publish', values)
  const header = headerFrame(channel, BigInt(body), properties)
  return body === 0 ? [method, header] : [method, header, frame(3, channel, Buffer.alloc(body, 0x66))]
}

export const floods: readonly Flood[] = [
  {
    what: 'channels',
    make: (dice, count) => [
      send(
        'open channels',
        many(count, (index) => makeMethod(dice, index + 2, 'channel.open')),
      ),
    ],
  },
  {
    what: 'content that never comes on many channels',
    make: (dice, count) => [
      send(
        'announce bodies',
        many(count, (index) => [
          makeMethod(dice, index + 2, 'channel.open'),
          makeMethod(dice, index + 2, 'basic.publish', { exchange: '', routingKey: 'q1', immediate: false }),
          headerFrame(index + 2, 16_000_000n, u16(0)),
          frame(3, index + 2, u8(0)),
        ]),
      ),
    ],
  },
  {
    what: 'queues',
    make: (dice, count) => [
      send(
        'declare queues',
        many(count, (index) => declare(dice, { queue: `f${index}`, exclusive: dice.chance(0.5) })),
      ),
    ],
  },
  {
    what: 'queues that we name, and what refers to them',
    make: (dice, count) => [
      send(
        'declare and bind',
        many(count, () => [
          declare(dice, { queue: '', exclusive: true, noWait: dice.chance(0.5) }),
          bind(dice, '', 'amq.direct', dice.pick(['', 'a'])),
        ]),
      ),
    ],
  },
  {
    what: 'consumers',
    make: (dice, count) => {
      const values = { queue: 'f', exclusive: false, noAck: false, noWait: false, arguments: u32(0) }
      const consume = (index: number): Buffer =>
        makeMethod(dice, channel, 'basic.consume', { ...values, consumerTag: `c${index}` })
      return [
        send('consume', [declare(dice, { queue: 'f' }), ...many(count, consume)]),
        send(
          'publish',
          many(count, () => publish(dice, '', 'f', u16(0), 10)),
        ),
        send('close the channel', [makeMethod(dice, channel, 'channel.close')]),
      ]
    },
  },
  {
    what: 'topic patterns that match in every way',
    make: (dice, count) => {
      const patterns = many(Math.min(count, 60), () =>
        bind(dice, 'f', 'amq.topic', topicPattern(dice, ['#', '*', 'a'])),
      )
      const keys = many(Math.min(count, 60), () => publish(dice, 'amq.topic', topicPattern(dice, ['a', 'a', 'b'])))
      return [send('bind', [declare(dice, { queue: 'f' }), ...patterns]), send('publish', keys)]
    },
  },
  {
    what: 'headers that are compared with everything',
    make: (dice, count) => {
      const table = (): Buffer => {
        const pairs = Array.from({ length: 20 }, (_, at) =>
          Buffer.concat([short(`h${at}`), u8(0x49), u32(dice.below(2))]),
        )
        const mode = Buffer.concat([short('x-match'), u8(0x53), long(dice.pick(['all', 'any']))])
        return long(Buffer.concat([mode, ...pairs]))
      }
      const headers = (): Buffer =>
        Buffer.concat([u16(0x2000), dice.chance(0.5) ? table() : makeTable(dice, 'headers')])
      return [
        send('bind', [
          declare(dice, { queue: 'f' }),
          ...many(count, () => bind(dice, 'f', 'amq.headers', '', table())),
        ]),
        send(
          'publish',
          many(Math.min(count, 50), () => publish(dice, 'amq.headers', '', headers())),
        ),
      ]
    },
  },
  {
    what: 'exchanges in a row, each bound to the next',
    make: (dice, count) => {
      const isGone = dice.chance(0.5)
      const chain = many(count, (index) => {
        const values = {
          destination: `x${index}`,
          exchange: `x${index + 1}`,
          routingKey: 'a',
          noWait: true,
          arguments: u32(0),
        }
        const next = declareExchange(dice, `x${index + 1}`, dice.pick(['direct', 'fanout', 'topic', 'headers']), isGone)
        return [next, makeMethod(dice, channel, 'exchange.bind', values)]
      })
      const first = [declare(dice, { queue: 'f', exclusive: true }), declareExchange(dice, 'x0', 'fanout', isGone)]
      return [
        send('bind', [...first, bind(dice, 'f', 'x0', 'a'), ...chain]),
        send('publish', publish(dice, `x${count}`, 'a')),
        send('take the end away', [
          makeMethod(dice, channel, 'queue.delete', { queue: 'f', ifUnused: false, ifEmpty: false, noWait: true }),
        ]),
      ]
    },
  },
  {
    what: 'unacknowledged messages',
    make: (dice, count) => [
      send('publish', [declare(dice, { queue: 'f' }), ...many(count, () => publish(dice, '', 'f', u16(0), 50))]),
      send('consume', [
        makeMethod(dice, channel, 'basic.consume', { queue: 'f', exclusive: false, noAck: false, consumerTag: 'u' }),
      ]),
      { type: 'wait', ms: 20 },
      send(
        'settle from the end',
        many(count, (index) =>
          makeMethod(dice, channel, 'basic.nack', { deliveryTag: count - index, multiple: false }),
        ),
      ),
    ],
  },
  {
    what: 'answers much larger than questions, which nobody reads',
    make: (dice, count) => [
      send('publish', [declare(dice, { queue: 'f', exclusive: true }), ...publish(dice, '', 'f', u16(0), 100_000)]),
      { type: 'wait', ms: 20 },
      { type: 'deaf', isDeaf: true },
      send(
        'get and give back',
        many(count, () => [
          makeMethod(dice, channel, 'basic.get', { queue: 'f', noAck: false }),
          makeMethod(dice, channel, 'basic.nack', { deliveryTag: 0, multiple: true, requeue: true }),
        ]),
      ),
      { type: 'wait', ms: 100 },
      { type: 'deaf', isDeaf: dice.chance(0.5) },
    ],
  },
  {
    what: 'a transaction',
    make: (dice, count) => [
      send('gather', [
        declare(dice, { queue: 'f', durable: dice.chance(0.5) }),
        makeMethod(dice, channel, 'tx.select'),
        ...many(count, () => publish(dice, '', 'f', Buffer.concat([u16(0x1000), u8(2)]), 20)),
      ]),
      send('end', [makeMethod(dice, channel, dice.pick(['tx.commit', 'tx.rollback'] as const))]),
    ],
  },
  {
    what: 'frames that hold nothing',
    make: (dice, count) => [
      send(
        'empty',
        many(count, () => frame(dice.pick([1, 3, 8]), dice.pick([0, 1]), Buffer.alloc(0))),
      ),
    ],
  },
  {
    what: 'errors',
    make: (dice, count) => [
      send(
        'methods nobody knows',
        many(count, () => frame(1, 0, dice.octets(8))),
      ),
      send(
        'close and open',
        many(count, () => makeMethod(dice, channel, dice.pick(['channel.close', 'channel.open']))),
      ),
    ],
  },
]

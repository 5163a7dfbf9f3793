/**
 * What clients say once they are in: conversations that a client could have, with arguments of all kinds, and noise.
 * `polite` ones cost no connection: whatever comes behind them finds it open.
 */
import { type MethodName, methods } from '../../amqp/methods.ts'
import { bodyFrames, makeProperties, makePublish } from './content-maker.ts'
import type { Dice } from './dice.ts'
import { makeMethod, type Values } from './method-maker.ts'
import { frame, headerFrame, long, short, u32 } from './octets.ts'
import { type Step, send } from './script.ts'

const allMethods = Object.keys(methods) as MethodName[]
const usual: readonly MethodName[] = [
  'queue.declare',
  'queue.declare',
  'queue.bind',
  'queue.unbind',
  'queue.purge',
  'queue.delete',
  'exchange.declare',
  'exchange.delete',
  'exchange.bind',
  'exchange.unbind',
  'basic.qos',
  'basic.consume',
  'basic.consume',
  'basic.cancel',
  'basic.get',
  'basic.get',
  'basic.ack',
  'basic.nack',
  'basic.reject',
  'basic.recover',
  'confirm.select',
  'tx.select',
  'tx.commit',
  'tx.rollback',
  'channel.flow',
  'access.request',
]

const table = u32(0)
/** Flags and delivery mode 2, nothing else. */
const persistent = Buffer.from([0x10, 0, 2])
const plain = { passive: false, noWait: false, arguments: table }

/** `{ 'x-delayed-type': 'fanout', 'alternate-exchange': 'amq.fanout' }` */
const exchangeArguments = long(
  Buffer.concat([
    short('x-delayed-type'),
    Buffer.from('S'),
    long('fanout'),
    short('alternate-exchange'),
    Buffer.from('S'),
    long('amq.fanout'),
  ]),
)

/** Topology that the rest of a case can use, some of it with arguments that make messages move by themselves. */
export function makeTopology(dice: Dice, channel: number): Buffer[] {
  const queue = (name: string, values: Values = {}): Buffer =>
    makeMethod(dice, channel, 'queue.declare', {
      ...plain,
      queue: name,
      durable: dice.chance(0.5),
      exclusive: dice.chance(0.1),
      autoDelete: dice.chance(0.2),
      arguments: dice.chance(0.6) ? movingArguments(dice) : table,
      ...values,
    })
  const kind = dice.pick(['direct', 'fanout', 'topic', 'headers', 'x-delayed-message', 'x-consistent-hash', 'x-random'])
  const exchange = {
    ...plain,
    exchange: 'e1',
    kind,
    durable: dice.chance(0.5),
    autoDelete: dice.chance(0.3),
    internal: false,
    arguments: dice.pick([table, exchangeArguments]),
  }
  const binding = { destination: 'q1', exchange: 'e1', routingKey: dice.pick(['a', '#', 'a.*', '']), noWait: false }
  return [
    queue('q1'),
    queue('q2', { arguments: table }),
    makeMethod(dice, channel, 'exchange.declare', exchange),
    makeMethod(dice, channel, 'queue.bind', { ...binding, arguments: table }),
  ]
}

/** Arguments with which a queue passes its messages on: soon, to another, under a key. */
function movingArguments(dice: Dice): Buffer {
  const pairs: Buffer[] = []
  const put = (name: string, tag: string, value: Buffer): void =>
    void pairs.push(Buffer.concat([Buffer.from([name.length]), Buffer.from(name), Buffer.from(tag, 'latin1'), value]))
  const longText = (value: string): Buffer => Buffer.concat([u32(value.length), Buffer.from(value)])
  if (dice.chance(0.6)) put('x-message-ttl', 'I', u32(dice.pick([0, 1, 10])))
  if (dice.chance(0.7))
    put('x-dead-letter-exchange', 'S', longText(dice.pick(['', '', 'amq.fanout', 'e1', 'none', 'amq.headers'])))
  if (pairs.length > 0 && dice.chance(0.5)) {
    put('x-dead-letter-exchange', 'S', longText(''))
    put(
      'x-dead-letter-routing-key',
      'S',
      longText(dice.pick(['q2', 'q1', '', 'k'.repeat(255), 'k'.repeat(256), 'k'.repeat(2000)])),
    )
  }
  if (dice.chance(0.2)) put('x-max-priority', 'I', u32(dice.pick([0, 5, 255])))
  if (dice.chance(0.2)) put('x-leveret-keyed', 't', Buffer.from([1]))
  if (dice.chance(0.2)) put('x-queue-type', 'S', longText(dice.pick(['quorum', 'classic'])))
  if (dice.chance(0.2)) put('x-delivery-limit', 'I', u32(dice.pick([0, 1, 2, 0xffff_ffff])))
  if (dice.chance(0.3)) put('x-max-length', 'I', u32(dice.pick([0, 1, 5])))
  if (dice.chance(0.1)) put('x-max-length-bytes', 'I', u32(dice.pick([0, 100])))
  if (dice.chance(0.2))
    put('x-overflow', 'S', longText(dice.pick(['drop-head', 'reject-publish', 'reject-publish-dlx'])))
  if (dice.chance(0.1)) put('x-expires', 'I', u32(dice.pick([1, 50, 5000])))
  if (dice.chance(0.1)) put('x-single-active-consumer', 't', Buffer.from([1]))
  if (dice.chance(0.1)) put('x-consumer-timeout', 'I', u32(dice.pick([0, 1, 1000])))
  const octets = Buffer.concat(pairs)
  return Buffer.concat([u32(octets.length), octets])
}

/** Neither the connection nor the channel is ended by these, unless a queue is somebody else's. */
export function politeStep(dice: Dice, channel: number): Step {
  const key = dice.pick(['q1', 'q2', 'a', 'none'])
  const exchange = dice.pick(['', '', 'amq.fanout', 'amq.topic'])
  const name = { queue: dice.pick(['q1', 'q2']) }
  switch (dice.below(6)) {
    case 0: {
      const values = { ...name, consumerTag: '', exclusive: false, noWait: false, arguments: table }
      return send('consume', [makeMethod(dice, channel, 'basic.consume', values)])
    }
    case 1:
      return send('get', [makeMethod(dice, channel, 'basic.get', name)])
    case 2:
      return send('settle all', [makeMethod(dice, channel, 'basic.nack', { deliveryTag: 0, multiple: true })])
    case 3:
      return send('qos', [makeMethod(dice, channel, 'basic.qos', { prefetchSize: 0, prefetchCount: dice.below(3) })])
    case 4:
      return send('heartbeat', [frame(8, 0, Buffer.alloc(0))])
    default: {
      const values = { exchange, routingKey: key, immediate: false, mandatory: dice.chance(0.3) }
      const frames = Array.from({ length: dice.between(1, 4) }, () =>
        makePublish(dice, channel, values, persistent),
      ).flat()
      return send('publish', frames)
    }
  }
}

/** Anything: mostly what a client might say, on a channel that may be open. */
export function anyStep(dice: Dice): Step {
  const channel = dice.chance(0.99) ? dice.pick([1, 1, 2]) : dice.pick([0, 3, 7, 65_535])
  const which = dice.next()
  if (which < 0.4) {
    const names = Array.from({ length: dice.between(1, 6) }, () => dice.pick(usual))
    // Whoever speaks while it is carried out loses the connection.
    const commit = names.indexOf('tx.commit')
    if (commit >= 0) names.splice(commit + 1)
    return send(
      names.join(', '),
      names.map((name) => makeMethod(dice, channel, name)),
    )
  }
  if (which < 0.75) {
    const frames = Array.from({ length: dice.between(1, 5) }, () => makePublish(dice, channel)).flat()
    return send('publish', frames)
  }
  if (which < 0.76) {
    const name = dice.pick(allMethods)
    return send(name, [makeMethod(dice, channel, name)])
  }
  if (which < 0.8) return announced(dice, channel)
  if (which < 0.83) {
    return send('close and open', [
      makeMethod(dice, channel, 'channel.close'),
      makeMethod(dice, channel, 'channel.open'),
    ])
  }
  if (which < 0.88) return interleaved(dice)
  if (which < 0.92) return { type: 'deaf', isDeaf: dice.chance(0.4) }
  if (which < 0.96) return { type: 'wait', ms: dice.pick([1, 5, 20, 200]) }
  return dice.bend > 0 ? noise(dice) : { type: 'wait', ms: 1 }
}

/** A body that is much larger than what comes of it before the channel is closed. */
function announced(dice: Dice, channel: number): Step {
  const method = makeMethod(dice, channel, 'basic.publish', { exchange: '', routingKey: 'q1', immediate: false })
  const frames = [method, headerFrame(channel, dice.pick([200_000n, 16_000_000n, 536_870_912n]), makeProperties(dice))]
  for (let count = dice.below(3); count > 0; count--)
    frames.push(frame(3, channel, dice.octets(dice.pick([1, 100, 4000]))))
  return send('announce a body', frames)
}

/** Two bodies on two channels, frame by frame in turns. */
function interleaved(dice: Dice): Step {
  const frames: Buffer[] = []
  const bodies = [1, 2].map((channel) => {
    const body = Buffer.alloc(dice.pick([10, 3000, 9000]), 0x69)
    frames.push(
      makeMethod(dice, channel, 'basic.publish', { exchange: '', routingKey: 'q1', immediate: false }),
      headerFrame(channel, BigInt(body.length), makeProperties(dice)),
    )
    return bodyFrames(dice, channel, body)
  })
  while (bodies.some((rest) => rest.length > 0)) frames.push(...(dice.pick(bodies).splice(0, 1) as Buffer[]))
  return send('interleaved', frames)
}

function noise(dice: Dice): Step {
  const whole = frame(
    dice.pick([1, 1, 2, 3, 8, dice.below(256)]),
    dice.pick([0, 1, 2, 65_535]),
    dice.octets(dice.below(40)),
  )
  if (dice.chance(0.5)) return send('noise in a frame', [whole])
  whole[dice.below(whole.length)] = dice.below(256)
  return send('noise', [whole])
}

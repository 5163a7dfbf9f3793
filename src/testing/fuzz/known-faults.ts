/**
 * What is wrong with a frame, and the reply code that follows. Each is said on an open connection with channel 7 open and idle;
 * whatever the connection did before, this must end it (or the channel) with just that code.
 */
import { methodId } from '../../amqp/methods.ts'
import { limits } from '../../model/limits.ts'
import type { Dice } from './dice.ts'
import { nestedArrays, nestedTable } from './field-maker.ts'
import { makeArguments, makeMethod } from './method-maker.ts'
import { frame, headerFrame, long, methodFrame, short, u8, u16, u32 } from './octets.ts'
import type { Expected } from './script.ts'

export const faultyChannel = 7
/** A number on which nothing was opened. */
export const freshChannel = 77

export interface KnownFault {
  readonly what: string
  readonly expected: Expected
  make(dice: Dice, frameMax: number): readonly Buffer[]
  /** It is the broker that finds it, at the end of the turn; what is wrong with a frame behind it is found before. */
  readonly isLate?: boolean
}

const none = Buffer.alloc(0)
const ch = faultyChannel
const publish = methodFrame(ch, methodId('basic.publish'), Buffer.concat([u16(0), short(''), short('none'), u8(0)]))
const serverMethods = ['basic.deliver', 'basic.return', 'queue.declare-ok', 'channel.open-ok', 'tx.commit-ok'] as const
const channelMethods = ['queue.declare', 'basic.get', 'tx.select', 'basic.ack', 'channel.close'] as const
const zeroMethods = ['connection.tune-ok', 'connection.start-ok', 'connection.open', 'queue.declare'] as const

function connection(what: string, code: number, make: KnownFault['make']): KnownFault {
  return { what, expected: { closes: 'connection', code }, make }
}

function channel(what: string, code: number, make: KnownFault['make']): KnownFault {
  return { what, expected: { closes: 'channel', code }, make }
}

function declareWith(table: Buffer): Buffer {
  return methodFrame(ch, methodId('queue.declare'), Buffer.concat([u16(0), short('q9'), u8(0), table]))
}

export const knownFaults: readonly KnownFault[] = [
  connection('a method frame with another end octet', 501, (dice) => [
    frame(1, ch, Buffer.concat([u32(methodId('tx.select'))]), 4, dice.pick([0, 0xcd, 0xcf, 255])),
  ]),
  connection('a body frame with another end octet', 501, (dice) => [
    publish,
    headerFrame(ch, 10n, u16(0)),
    frame(3, ch, Buffer.alloc(10), 10, dice.pick([0, 0xcd, 0xcf, 255])),
  ]),
  connection('a frame above frame_max', 501, (dice, frameMax) => [
    frame(dice.pick([1, 2, 3, 8]), ch, none, dice.pick([frameMax + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])),
  ]),
  connection('a frame of an unknown type', 501, (dice) => [frame(dice.pick([0, 4, 5, 6, 7, 9, 65, 255]), 0, none)]),
  connection('a heartbeat with a payload', 501, () => [frame(8, 0, u8(0))]),
  connection('a heartbeat on a channel', 505, (dice) => [frame(8, dice.pick([1, ch, 65_535]), none)]),
  connection('a content header on channel 0', 505, () => [headerFrame(0, 0n, u16(0))]),
  connection('a body on channel 0', 505, () => [frame(3, 0, u8(1))]),
  connection('a body without a method', 505, () => [frame(3, ch, u8(1))]),
  connection('a content header without a method', 505, () => [headerFrame(ch, 0n, u16(0))]),
  connection('a body before its header', 505, () => [publish, frame(3, ch, u8(1))]),
  connection('a method before its header', 505, (dice) => [publish, makeMethod(dice, ch, 'tx.select')]),
  connection('a method amid a body', 505, (dice) => [
    publish,
    headerFrame(ch, 5n, u16(0)),
    frame(3, ch, u8(1)),
    makeMethod(dice, ch, dice.pick(['tx.select', 'channel.close', 'basic.ack'])),
  ]),
  connection('two content headers', 505, () => [publish, headerFrame(ch, 5n, u16(0)), headerFrame(ch, 5n, u16(0))]),
  connection('a content header of another class', 505, (dice) => [
    publish,
    headerFrame(ch, 0n, u16(0), dice.pick([0, 10, 59, 61, 65_535])),
  ]),
  connection('a content header with a weight', 505, (dice) => [
    publish,
    headerFrame(ch, 0n, u16(0), 60, dice.pick([1, 256, 65_535])),
  ]),
  connection('more body than was announced', 501, (dice) => {
    const bytes = dice.pick([1, 2, 10, 2000])
    return [publish, headerFrame(ch, BigInt(bytes), u16(0)), frame(3, ch, Buffer.alloc(bytes + 1))]
  }),
  connection('a body of more than half a GiB', 501, (dice) => [
    publish,
    headerFrame(ch, dice.pick([536_870_913n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]), u16(0)),
  ]),
  connection('a content header that ends too early', 501, (dice) => [
    publish,
    frame(2, ch, u32(0x3c0000).subarray(0, dice.between(0, 4))),
  ]),
  connection('flags without their properties', 502, (dice) => [
    publish,
    headerFrame(ch, 0n, u16(dice.pick([0x8000, 0x2000, 0x1000, 0x0800, 0x0040, 0x0004, 0xfffc]))),
  ]),
  connection('an unknown method', 503, (dice) => [
    methodFrame(ch, dice.pick([0, 0x003c_0029, 0x0032_0063, 0x00ff_0001, 0xffff_ffff]), none),
  ]),
  connection('a method of the server', 503, (dice) => [makeMethod(dice, ch, dice.pick(serverMethods))]),
  connection('a method frame of less than four octets', 501, (dice) => [frame(1, ch, Buffer.alloc(dice.below(4)))]),
  connection('too many arguments', 501, (dice) => {
    const name = dice.pick(['basic.publish', 'basic.ack', 'queue.purge', 'tx.select'] as const)
    return [methodFrame(ch, methodId(name), Buffer.concat([makeArguments(dice, name), u8(1)]))]
  }),
  connection('too few arguments', 501, (dice) => {
    const name = dice.pick(['basic.publish', 'basic.ack', 'queue.purge', 'basic.qos'] as const)
    const octets = makeArguments(dice, name)
    return [methodFrame(ch, methodId(name), octets.subarray(0, octets.length - 1))]
  }),
  connection('a short string that is no UTF-8', 501, (dice) => [
    makeMethod(dice, ch, 'queue.purge', { queue: Buffer.from([0x61, dice.pick([0xff, 0xc0, 0x80])]) }),
  ]),
  connection('a table that nests too deep', 502, (dice) => [
    declareWith(nestedTable(dice.pick([limits.tableDepthMax + 1, 100, 600]))),
  ]),
  connection('arrays that nest too deep', 502, (dice) => [
    declareWith(nestedArrays(dice.pick([limits.tableDepthMax + 1, 100, 700]))),
  ]),
  connection('a field of an unknown type', 502, (dice) => [
    declareWith(long(Buffer.concat([short('k'), u8(dice.pick([0, 0x55, 0x7a, 255])), Buffer.alloc(8)]))),
  ]),
  connection('a table longer than its frame', 501, (dice) => [
    declareWith(u32(dice.pick([1, 0x7fff_ffff, 0xffff_ffff]))),
  ]),
  connection('a method on a channel that is not open', 504, (dice) => [
    makeMethod(dice, freshChannel, dice.pick(channelMethods), { deliveryTag: 1, queue: 'q1' }),
  ]),
  connection('content on a channel that is not open', 505, (dice) => [
    dice.chance(0.5) ? headerFrame(freshChannel, 0n, u16(0)) : frame(3, freshChannel, u8(1)),
  ]),
  connection('a channel opened twice', 504, (dice) => [makeMethod(dice, ch, 'channel.open')]),
  connection('a method that channel 0 does not have', 504, (dice) => [makeMethod(dice, 0, dice.pick(zeroMethods))]),
  connection('channel.flow that stops us', 540, (dice) => [makeMethod(dice, ch, 'channel.flow', { active: false })]),
  connection('prefetch in octets', 540, (dice) => [
    makeMethod(dice, ch, 'basic.qos', { prefetchSize: dice.pick([1, 0xffff_ffff]), prefetchCount: 1 }),
  ]),
  connection('recover without requeue', 540, (dice) => [
    makeMethod(dice, ch, dice.pick(['basic.recover', 'basic.recover-async'] as const), { requeue: false }),
  ]),
  connection('an immediate publish', 540, (dice) => [
    makeMethod(dice, ch, 'basic.publish', { exchange: '', routingKey: 'q1', immediate: true }),
  ]),
  {
    what: 'a consumer tag that is taken',
    expected: { closes: 'connection', code: 530 },
    isLate: true,
    make: (dice) => {
      const declare = makeMethod(dice, ch, 'queue.declare', declaration)
      const consume = { queue: '', consumerTag: 'taken', exclusive: false, noWait: false, arguments: u32(0) }
      return [declare, makeMethod(dice, ch, 'basic.consume', consume), makeMethod(dice, ch, 'basic.consume', consume)]
    },
  },
  channel('a publish to an exchange that is not there', 404, (dice) => [
    makeMethod(dice, ch, 'basic.publish', { exchange: 'none', routingKey: 'x', immediate: false }),
    headerFrame(ch, 0n, u16(0)),
  ]),
  channel('a delivery tag that is not known', 406, (dice) => [
    makeMethod(dice, ch, dice.pick(['basic.ack', 'basic.nack', 'basic.reject'] as const), {
      deliveryTag: dice.pick([1n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]),
    }),
  ]),
  channel('a queue that is not there', 404, (dice) => [
    makeMethod(dice, ch, dice.pick(['queue.purge', 'basic.get', 'basic.consume'] as const), { queue: 'none' }),
  ]),
  channel('a commit without a transaction', 406, (dice) => [makeMethod(dice, ch, 'tx.commit')]),
  {
    what: 'connection.close',
    expected: { closes: 'politely' },
    make: (dice) => [makeMethod(dice, 0, 'connection.close')],
  },
]

const declaration = {
  queue: '',
  passive: false,
  durable: false,
  exclusive: true,
  autoDelete: false,
  noWait: false,
  arguments: u32(0),
}

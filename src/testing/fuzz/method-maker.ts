/**
 * Methods, from the table of all there are: with arguments that make sense, or bent at one of them: a length that lies, a
 * number at its bound, octets missing or too many.
 */
import { type MethodName, methodId, methods } from '../../amqp/methods.ts'
import type { Dice } from './dice.ts'
import { lieAbout, makeTable, trapNames } from './field-maker.ts'
import { long, methodFrame, short, u8, u16, u32, u64 } from './octets.ts'

export type Values = Readonly<Record<string, string | number | bigint | boolean | Buffer>>

const queueNames = [
  '',
  'q1',
  'q1',
  'q1',
  'q2',
  'q2',
  'q3',
  'q\n1',
  'amq.gen-x',
  'ü',
  'q'.repeat(255),
  ...trapNames,
] as const
const exchangeNames = ['', 'e1', 'e1', 'e2', 'e3', 'amq.direct', 'amq.fanout', 'amq.topic', 'amq.headers', 'amq.match']
const rareExchangeNames = ['leveret.control', 'amq.new', 'none', 'e'.repeat(255), ...trapNames]
const kinds = ['direct', 'fanout', 'topic', 'headers', 'topic', 'x-delayed-message', '', '__proto__'] as const
const keys = [
  '',
  'q1',
  'q2',
  'a',
  'a.b',
  '#',
  '*',
  '#.#.#',
  'a.#.b',
  '*.*',
  '..',
  'leveret.queues',
  'k'.repeat(255),
] as const
const shorts = [0, 1, 2, 200, 320, 404, 540, 541, 4095, 65_535] as const
const longs = [0, 1, 4095, 4096, 8192, 131_072, 131_073, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] as const
const longlongs = [0n, 1n, 1n, 2n, 3n, 5n, 10n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n] as const

/** A frame with that method on that channel; what `values` does not say is made up. */
export function makeMethod(dice: Dice, channel: number, name: MethodName, values: Values = {}): Buffer {
  return methodFrame(channel, methodId(name), makeArguments(dice, name, values))
}

export function makeArguments(dice: Dice, name: MethodName, values: Values = {}): Buffer {
  const parts: Buffer[] = []
  let bits = 0
  let bitCount = 0
  const endBits = (): void => {
    if (bitCount > 0) parts.push(u8(bits))
    bits = 0
    bitCount = 0
  }
  for (const [field, type] of Object.entries(methods[name].fields) as [string, string][]) {
    if (type === 'bit' || type === 'reserved-bit') {
      const value = values[field]
      if (value === undefined ? isSet(dice, name, field) : value === true) bits |= 1 << bitCount
      bitCount++
      continue
    }
    endBits()
    parts.push(fieldOctets(dice, name, field, type, values[field]))
  }
  endBits()
  const octets = Buffer.concat(parts)
  return dice.isBent ? bendEnd(dice, octets) : octets
}

function isSet(dice: Dice, method: string, field: string): boolean {
  switch (field) {
    // The first ends the connection if it is set, the second if it is not.
    case 'immediate':
      return dice.chance(0.003)
    case 'active':
      return dice.chance(0.98)
    case 'passive':
    case 'internal':
    case 'ifUnused':
      return dice.chance(0.1)
    case 'requeue':
      return dice.chance(method.startsWith('basic.recover') ? 0.98 : 0.7)
    case 'exclusive':
    case 'noWait':
      return dice.chance(0.2)
    default:
      return dice.chance(0.4)
  }
}

function bendEnd(dice: Dice, octets: Buffer): Buffer {
  if (dice.chance(0.5)) return Buffer.concat([octets, dice.octets(dice.between(1, 8))])
  return octets.subarray(0, Math.max(0, octets.length - dice.between(1, 8)))
}

function fieldOctets(
  dice: Dice,
  method: string,
  field: string,
  type: string,
  value: Values[string] | undefined,
): Buffer {
  switch (type) {
    case 'octet':
      return u8(Number(value ?? dice.below(256)))
    case 'short':
    case 'reserved-short':
      return u16(Number(value ?? (type === 'short' ? dice.pick(shorts) : dice.below(2))))
    case 'long':
      return u32(Number(value ?? (dice.chance(0.98) ? 0 : dice.pick(longs))))
    case 'longlong':
      return u64(BigInt((value as bigint | number | undefined) ?? dice.pick(longlongs)))
    case 'table':
      if (Buffer.isBuffer(value)) return value
      return dice.isBent || dice.chance(0.25) ? makeTable(dice, 'arguments') : u32(0)
    case 'longstr':
    case 'reserved-longstr':
    case 'bytes':
      return lying(dice, (value as string | Buffer | undefined) ?? 'longstr', long)
    default:
      return lying(dice, (value as string | Buffer | undefined) ?? shortValue(dice, method, field), short)
  }
}

function lying(dice: Dice, value: string | Buffer, write: (value: string | Buffer, length?: number) => Buffer): Buffer {
  if (!dice.isBent) return write(value)
  if (write === short && dice.chance(0.4)) return short(Buffer.from([0x61, dice.pick([0xff, 0xc0, 0x80]), 0x62]))
  return write(value, lieAbout(dice, Buffer.byteLength(value)))
}

function shortValue(dice: Dice, method: string, field: string): string {
  switch (field) {
    case 'queue':
      return dice.pick<string>(queueNames)
    case 'destination':
      return method.startsWith('queue') ? dice.pick<string>(queueNames) : exchangeName(dice)
    case 'exchange':
      return exchangeName(dice)
    case 'kind':
      return dice.pick<string>(kinds)
    case 'routingKey':
      return dice.chance(0.1) ? topicPattern(dice) : dice.pick<string>(keys)
    case 'consumerTag':
      return dice.chance(0.9) ? '' : dice.pick(['c1', 'c2', '__proto__', 't'.repeat(255)])
    case 'virtualHost':
      return dice.pick(['/', '/', '/', 'none', '__proto__'])
    default:
      return dice.pick(['', 'x', 'z'.repeat(255)])
  }
}

function exchangeName(dice: Dice): string {
  return dice.chance(0.85) ? dice.pick(exchangeNames) : dice.pick(rareExchangeNames)
}

/** Up to 255 octets of words that match as much as they can. */
export function topicPattern(dice: Dice, words: readonly string[] = ['#', '*', 'a', '', 'b']): string {
  let pattern = dice.pick(words)
  for (let count = dice.below(128); count > 0 && pattern.length < 253; count--) pattern += `.${dice.pick(words)}`
  return pattern.slice(0, 255)
}

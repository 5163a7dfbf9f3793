/**
 * Field tables: mostly right, of every tag and with the names that mean something to the broker or to JavaScript; bent they
 * have tags that nobody knows, lengths that lie, or nest until a stack ends.
 */
import type { Dice } from './dice.ts'
import { long, short, u8, u16, u32, u64 } from './octets.ts'

/** What is a name like any other in AMQP, and a trap in JavaScript. */
export const trapNames: readonly string[] = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '__defineGetter__',
]

const headerNames = [
  'CC',
  'BCC',
  'x-death',
  'x-match',
  'x-delay',
  'x-leveret-delay',
  'x-leveret-key',
  'x-leveret-idempotency-key',
  'x-first-death-queue',
  'x-leveret-attempt',
  'h1',
  'h2',
  'h3',
  '',
] as const

const argumentNames = [
  'x-message-ttl',
  'x-expires',
  'x-max-length',
  'x-max-length-bytes',
  'x-max-priority',
  'x-overflow',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-queue-type',
  'x-queue-mode',
  'x-single-active-consumer',
  'x-leveret-keyed',
  'x-priority',
  'x-match',
  'alternate-exchange',
  'x-delayed-type',
] as const

const words = [
  'all',
  'any',
  'classic',
  'quorum',
  'reject-publish',
  'q1',
  'q2',
  'e1',
  'amq.fanout',
  'a.b',
  '',
  '5',
] as const
const integers = [
  0n,
  1n,
  2n,
  10n,
  127n,
  128n,
  255n,
  256n,
  32_767n,
  65_535n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
] as const
const longIntegers = [...integers, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n] as const

/** A table with its length before it. */
export function makeTable(dice: Dice, kind: 'headers' | 'arguments', depth = 0): Buffer {
  const body = tableBody(dice, kind, depth)
  return dice.isBent ? long(body, lieAbout(dice, body.length)) : long(body)
}

/** `{ CC: ['q1', …], BCC: […], 'x-delay': 5 }`: what makes the broker do more with a message. */
function askingBody(dice: Dice): Buffer {
  const keys = (): Buffer => {
    const found = Array.from({ length: dice.below(4) }, () => Buffer.concat([u8(0x53), long(makeText(dice))]))
    return long(Buffer.concat(found))
  }
  const pairs: Buffer[] = []
  if (dice.chance(0.5)) pairs.push(short('CC'), u8(0x41), keys())
  if (dice.chance(0.5)) pairs.push(short('BCC'), u8(0x41), keys())
  if (dice.chance(0.3)) pairs.push(short('x-delay'), u8(0x49), u32(dice.pick([0, 5, 0xffff_ffff])))
  if (dice.chance(0.3)) pairs.push(short('x-leveret-delay'), u8(0x49), u32(dice.pick([0, 5])))
  if (dice.chance(0.3)) pairs.push(short('x-leveret-key'), u8(0x53), long(makeText(dice)))
  if (dice.chance(0.2)) pairs.push(short('x-leveret-idempotency-key'), u8(0x53), long(dice.pick(words)))
  return Buffer.concat(pairs)
}

/** The pairs of a table without its length. */
export function tableBody(dice: Dice, kind: 'headers' | 'arguments', depth: number): Buffer {
  const parts: Buffer[] = depth === 0 && kind === 'headers' && dice.chance(0.3) ? [askingBody(dice)] : []
  const count = dice.chance(0.3) ? 0 : dice.between(1, depth > 2 ? 2 : 5)
  for (let pair = 0; pair < count; pair++) {
    const key = makeKey(dice, kind)
    parts.push(dice.isBent ? short(key, dice.pick([0, 1, 200, 255])) : short(key), makeField(dice, kind, depth))
  }
  if (dice.isBent) parts.push(dice.octets(dice.between(1, 12)))
  return Buffer.concat(parts)
}

function makeKey(dice: Dice, kind: 'headers' | 'arguments'): string | Buffer {
  const which = dice.next()
  if (which < 0.6) return dice.pick<string>(kind === 'headers' ? headerNames : argumentNames)
  if (which < 0.75) return dice.pick<string>(headerNames)
  if (which < 0.9) return dice.pick(trapNames)
  if (which < 0.95) return 'k'.repeat(dice.pick([1, 127, 254, 255]))
  // Octets that are no UTF-8.
  return Buffer.alloc(dice.pick([1, 86, 255]), dice.pick([0xff, 0xc3, 0x80]))
}

/** A tag and its value. */
export function makeField(dice: Dice, kind: 'headers' | 'arguments', depth: number): Buffer {
  if (dice.isBent) return Buffer.concat([u8(dice.below(256)), dice.octets(dice.below(10))])
  const tag = dice.pick('tbBsuIilLfdDSSSSATFVxI'.split(''))
  return Buffer.concat([Buffer.from(tag, 'latin1'), valueOf(dice, tag, kind, depth)])
}

function valueOf(dice: Dice, tag: string, kind: 'headers' | 'arguments', depth: number): Buffer {
  switch (tag) {
    case 't':
      return u8(dice.pick([0, 1, 2, 255]))
    case 'b':
    case 'B':
      return u8(Number(dice.pick(integers) & 255n))
    case 's':
    case 'u':
      return u16(Number(dice.pick(integers) & 65_535n))
    case 'I':
    case 'i':
    case 'f':
      return u32(Number(dice.pick(integers)))
    case 'l':
    case 'L':
    case 'T':
    case 'd':
      return u64(dice.pick(longIntegers))
    case 'D':
      return Buffer.concat([u8(dice.pick([0, 2, 255])), u32(Number(dice.pick(integers)))])
    case 'S':
    case 'x':
      return lyingLong(dice, makeText(dice))
    case 'F':
      return depth > 5 ? long('') : makeTable(dice, kind, depth + 1)
    case 'A':
      return lyingLong(dice, arrayBody(dice, kind, depth))
    default:
      return Buffer.alloc(0)
  }
}

function arrayBody(dice: Dice, kind: 'headers' | 'arguments', depth: number): Buffer {
  const items = Array.from({ length: depth > 5 ? 0 : dice.below(4) }, () => makeField(dice, kind, depth + 1))
  return Buffer.concat(items)
}

function makeText(dice: Dice): string | Buffer {
  const which = dice.next()
  if (which < 0.7) return dice.pick<string>(words)
  if (which < 0.8) return dice.pick(trapNames)
  if (which < 0.9) return 'x'.repeat(dice.pick([254, 255, 256, 1000]))
  return Buffer.alloc(dice.pick([1, 86, 255]), 0xff)
}

function lyingLong(dice: Dice, value: string | Buffer): Buffer {
  return dice.isBent ? long(value, lieAbout(dice, Buffer.byteLength(value))) : long(value)
}

export function lieAbout(dice: Dice, length: number): number {
  return dice.pick([0, Math.max(0, length - 1), length + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])
}

/** Tables in tables, so many of them, as deep as they are many. */
export function nestedTable(levels: number): Buffer {
  return long(nestedBody(levels))
}

/** As `nestedTable`, without the length of the outermost. */
export function nestedBody(levels: number): Buffer {
  // Each level: a key of no octets, the tag F, and the length of what is inside.
  const octets = Buffer.alloc(levels * 6)
  for (let level = 0; level < levels; level++) {
    octets[level * 6 + 1] = 0x46
    octets.writeUInt32BE((levels - level - 1) * 6, level * 6 + 2)
  }
  return octets
}

/** Arrays in arrays, as the one field of a table. */
export function nestedArrays(levels: number): Buffer {
  const octets = Buffer.alloc(1 + levels * 5)
  for (let level = 0; level < levels; level++) {
    octets[1 + level * 5] = 0x41
    octets.writeUInt32BE((levels - level - 1) * 5, level * 5 + 2)
  }
  return long(octets)
}

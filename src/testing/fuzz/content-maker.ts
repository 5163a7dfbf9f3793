/**
 * Content: a header with properties and the frames of a body. Bent, its flags announce what is not there, its table lies,
 * or its size is not that of the body.
 */
import type { Dice } from './dice.ts'
import { makeTable, tableBody } from './field-maker.ts'
import { makeMethod, type Values } from './method-maker.ts'
import { frame, headerFrame, long, short, u8, u16, u64 } from './octets.ts'

const texts = ['', 'text/plain', 'q1', 'q2', '10', '0', '1', '-1', '5m', 'guest', 'x'.repeat(255)] as const
/** No UTF-8: whoever reads and writes it again gets three times the octets. */
const noText = Buffer.alloc(255, 0xff)
const times = [0n, 1n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n] as const
const lyingSizes = [2n ** 63n, 2n ** 64n - 1n, 536_870_912n, 536_870_913n, 16_777_216n, 16_777_217n, 2n ** 32n] as const

/** Flags and the properties they announce. */
export function makeProperties(dice: Dice): Buffer {
  if (dice.chance(0.4)) return u16(0)
  let flags = 0
  const parts: Buffer[] = []
  for (let bit = 15; bit >= 2; bit--) {
    if (!dice.chance(bit === 13 ? 0.5 : 0.15)) continue
    flags |= 1 << bit
    if (!dice.isBent) parts.push(property(dice, bit))
  }
  if (dice.isBent) flags |= dice.pick([1, 2, 3, 0xffff])
  const octets = Buffer.concat([u16(flags), ...parts])
  return dice.isBent ? octets.subarray(0, dice.below(octets.length + 1)) : octets
}

function property(dice: Dice, bit: number): Buffer {
  switch (bit) {
    case 13:
      return headersTable(dice)
    case 12:
      return u8(dice.pick([1, 2, 2, 2, 0, 255]))
    case 11:
      return u8(dice.pick([0, 1, 5, 255]))
    case 8:
      return short(dice.pick(['0', '1', '5', '100', '100000', '-1', 'x', '315360000001']))
    case 6:
      return u64(dice.pick(times))
    case 4:
      return short(dice.pick(['guest', 'guest', 'guest', 'other', '__proto__']))
    default:
      return short(dice.chance(0.1) ? noText : dice.pick<string>(texts))
  }
}

/** Nobody looks into headers while a message passes: inside a length that is right anything may stand. */
function headersTable(dice: Dice): Buffer {
  if (dice.chance(0.15)) return long(dice.octets(dice.below(40)))
  if (!dice.chance(0.2)) return makeTable(dice, 'headers')
  const { bend } = dice
  dice.bend = 0.2
  const body = tableBody(dice, 'headers', 0)
  dice.bend = bend
  return long(body)
}

/** The body as frames: one, many, and empty ones between. */
export function bodyFrames(dice: Dice, channel: number, body: Buffer, payloadMax = 4000): Buffer[] {
  const frames: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    if (dice.chance(0.05)) frames.push(frame(3, channel, Buffer.alloc(0)))
    const bytes = Math.min(body.length - at, dice.chance(0.7) ? payloadMax : dice.between(1, payloadMax))
    frames.push(frame(3, channel, body.subarray(at, at + bytes)))
    at += bytes
  }
  return frames
}

/** A publish: the method, the header and the body. */
export function makePublish(dice: Dice, channel: number, values: Values = {}, properties?: Buffer): Buffer[] {
  const content = Buffer.alloc(dice.pick([0, 1, 5, 5, 20, 300, 5000, 20_000]), 0x62)
  const size = dice.isBent ? lieAboutSize(dice, content.length) : BigInt(content.length)
  const method = makeMethod(dice, channel, 'basic.publish', values)
  const classId = dice.isBent ? dice.pick([0, 10, 50, 61, 65_535]) : 60
  const weight = dice.isBent ? dice.pick([1, 65_535]) : 0
  const header = headerFrame(channel, size, properties ?? makeProperties(dice), classId, weight)
  return [method, header, ...bodyFrames(dice, channel, content)]
}

function lieAboutSize(dice: Dice, bytes: number): bigint {
  return dice.chance(0.5) ? BigInt(Math.max(0, bytes + dice.pick([-1, 1, -4, 4]))) : dice.pick(lyingSizes)
}

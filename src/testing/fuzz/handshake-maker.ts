/** How a connection begins: as it should, or bent at one of its steps, with what must follow from that. */
import { limits } from '../../model/limits.ts'
import type { Dice } from './dice.ts'
import { nestedBody, nestedTable } from './field-maker.ts'
import { makeMethod } from './method-maker.ts'
import { frame, long, short, u8 } from './octets.ts'
import { type Expected, need, type Step } from './script.ts'

const header = Buffer.from('AMQP\0\0\x09\x01', 'latin1')
const wrongHeaders = [
  'AMQP\0\0\x09\0',
  'AMQP\x01\x01\0\x0a',
  'AMQP\x03\x01\0\0',
  'AMQP\0\x01\0\0',
  'GET / HT',
  '\x16\x03\x01\x02\0\x01\0\x01',
  'amqp\0\0\x09\x01',
  '\0\0\0\0\0\0\0\0',
] as const

/** `{ capabilities: { authentication_failure_close: true } }`: whoever says that is told why it may not log in. */
const capable = long(
  Buffer.concat([
    short('capabilities'),
    u8(0x46),
    long(
      Buffer.concat([
        short('authentication_failure_close'),
        u8(0x74),
        u8(1),
        short('connection.blocked'),
        u8(0x74),
        u8(1),
        short('consumer_cancel_notify'),
        u8(0x74),
        u8(1),
      ]),
    ),
  ]),
)

export interface Tuning {
  readonly channelMax: number
  readonly frameMax: number
  readonly heartbeat: number
}

export const goodTuning: Tuning = { channelMax: 2047, frameMax: 131_072, heartbeat: 0 }

/** What every client says, up to connection.open. */
export function goodHandshake(dice: Dice, tuning: Tuning, inOne: boolean): Step[] {
  const steps = [
    need('protocol header', [header]),
    need('start-ok', [startOk(dice)]),
    need('tune-ok', [makeMethod(dice, 0, 'connection.tune-ok', { ...tuning })]),
    need('open', [makeMethod(dice, 0, 'connection.open', { virtualHost: '/' })]),
  ]
  if (!inOne) return steps
  const octets = steps.map((step) => (step.type === 'send' ? step.octets : Buffer.alloc(0)))
  return [
    { type: 'send', what: 'the whole handshake', octets: Buffer.concat(octets), frames: steps.length, isNeeded: true },
  ]
}

function startOk(dice: Dice, response: string | Buffer = '\0guest\0guest', mechanism = 'PLAIN'): Buffer {
  return makeMethod(dice, 0, 'connection.start-ok', { clientProperties: capable, mechanism, response, locale: 'en_US' })
}

interface BentHandshake {
  readonly steps: Step[]
  readonly expected: Expected | null
}

/** Wrong at one step. What follows behind it must change nothing. */
export function bentHandshake(dice: Dice): BentHandshake {
  const [first, login, tune, open] = goodHandshake(dice, goodTuning, false) as [Step, Step, Step, Step]
  switch (dice.below(9)) {
    case 0:
      return {
        steps: [need('wrong header', [Buffer.from(dice.pick(wrongHeaders), 'latin1')])],
        expected: { closes: 'header' },
      }
    case 1:
      return { steps: [need('half a header', [header.subarray(0, dice.below(8))])], expected: { closes: 'socket' } }
    case 2:
      return {
        steps: [first, need('wrong password', [startOk(dice, badLogin(dice))])],
        expected: { closes: 'connection', code: 403 },
      }
    case 3:
      return { steps: [first, need('no credentials', [noCredentials(dice)])], expected: { closes: 'socket' } }
    case 4: {
      const tuneOk = makeMethod(dice, 0, 'connection.tune-ok', { ...badTuning(dice) })
      return { steps: [first, login, need('wrong tuning', [tuneOk])], expected: { closes: 'connection', code: 530 } }
    }
    case 5: {
      const name = dice.pick(['none', '', '__proto__', 'v'.repeat(255)])
      const wrong = makeMethod(dice, 0, 'connection.open', { virtualHost: name })
      return {
        steps: [first, login, tune, need('no such vhost', [wrong])],
        expected: { closes: 'connection', code: 530 },
      }
    }
    case 6:
      return { steps: [first, need('wrong order', [wrongOrder(dice)])], expected: { closes: 'socket' } }
    case 7: {
      const broken = need('a broken frame', [brokenFrame(dice)])
      if (dice.chance(0.7)) {
        return { steps: [...dice.pick([[first], [first, login]]), broken], expected: { closes: 'socket' } }
      }
      // Who has logged in is told.
      const tuned: Step[] = [first, login, { type: 'wait', ms: 50 }, tune, { type: 'wait', ms: 50 }, broken]
      return { steps: tuned, expected: { closes: 'connection', code: 501 } }
    }
    default: {
      dice.bend = 0.3
      const steps = [first, need('bent start-ok', [startOk(dice)]), tune, open]
      dice.bend = 0
      return { steps, expected: null }
    }
  }
}

function badLogin(dice: Dice): string {
  return dice.pick(['\0guest\0wrong', '\0nobody\0guest', '\0\0', '\0__proto__\0guest', `\0guest\0${'p'.repeat(7000)}`])
}

/** Neither mechanism can make sense of these. */
function noCredentials(dice: Dice): Buffer {
  const which = dice.below(5)
  if (which === 0) return startOk(dice, dice.pick(['', 'guest', 'a\0guest\0guest', '\0guest\0guest\0', '\0guest']))
  if (which === 1)
    return startOk(dice, '\0guest\0guest', dice.pick(['', 'EXTERNAL', '__proto__', 'plain', 'SCRAM-SHA-256']))
  if (which === 2) return startOk(dice, nestedBody(dice.pick([40, 1000])), 'AMQPLAIN')
  if (which === 3) return startOk(dice, dice.octets(dice.between(1, 60)), 'AMQPLAIN')
  const deep = { clientProperties: nestedTable(1000), mechanism: 'PLAIN', response: '\0guest\0guest', locale: '' }
  return makeMethod(dice, 0, 'connection.start-ok', deep)
}

function badTuning(dice: Dice): Tuning {
  const frameMax = dice.pick([0, 1, limits.frameBytesMin - 1, limits.frameBytesMax + 1, 0x8000_0000, 0xffff_ffff])
  const channelMax = dice.pick([0, limits.channelsMax + 1, 65_535])
  return dice.chance(0.5) ? { ...goodTuning, frameMax } : { ...goodTuning, channelMax }
}

function wrongOrder(dice: Dice): Buffer {
  switch (dice.below(4)) {
    case 0:
      return makeMethod(
        dice,
        0,
        dice.pick(['connection.tune-ok', 'connection.open', 'connection.secure-ok', 'connection.start'] as const),
      )
    case 1:
      return makeMethod(dice, dice.pick([1, 65_535]), 'channel.open')
    case 2:
      return frame(dice.pick([2, 3]), dice.pick([0, 1]), dice.octets(20))
    default:
      return makeMethod(dice, 0, 'queue.declare')
  }
}

function brokenFrame(dice: Dice): Buffer {
  switch (dice.below(3)) {
    case 0:
      return frame(dice.pick([1, 2, 3, 8]), 0, Buffer.alloc(0), dice.pick([131_073, 0x8000_0000, 0xffff_ffff]))
    case 1:
      return frame(1, 0, Buffer.alloc(4), 4, 0xcd)
    default:
      return frame(dice.pick([0, 4, 9, 255]), 0, Buffer.alloc(4))
  }
}

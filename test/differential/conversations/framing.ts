// Frames that are not what they should be, and what they cost.

import type { Channel } from '../channel.ts'
import { frameOf, headerPayload, methodPayload } from '../peer.ts'
import { type Conversation, type Line, type Talk } from '../talk.ts'

type Mistake = (line: Line, channel: Channel, talk: Talk) => void

/** A mistake on an open connection with channel 1; channel 2 is there to be hurt by it. */
function mistake(name: string, make: Mistake, leavesContentOpen = false): Conversation {
  return {
    name: `${name}: what it costs`,
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      await line.channel()
      // Where content is expected, a fence would be one more mistake.
      channel.isFenced = !leavesContentOpen
      make(line, channel, talk)
      await talk.settle()
    },
  }
}

function publishMethod(routingKey = 'nowhere'): Buffer {
  return methodPayload('basic.publish', { routingKey })
}

/** A content header payload with other numbers in it. */
function header({ classId = 60, weight = 0, size = 0n, properties = '0000' } = {}): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt16BE(classId, 0)
  head.writeUInt16BE(weight, 2)
  head.writeBigUInt64BE(size, 4)
  return Buffer.concat([head, Buffer.from(properties, 'hex')])
}

const frames: readonly Conversation[] = [
  mistake('a frame type nobody knows', (line) => line.frame(5, 1, '')),
  mistake('a frame type nobody knows on channel 0', (line) => line.frame(5, 0, '')),
  mistake('a frame type nobody knows with a payload', (line) => line.frame(4, 1, '01020304')),
  mistake('frame type 0', (line) => line.frame(0, 0, '')),
  mistake('a heartbeat with a payload', (line) => line.frame(8, 0, '00')),
  mistake('a heartbeat on a channel', (line) => line.frame(8, 1, '')),
  mistake('a heartbeat', (line) => line.frame(8, 0, '')),
  mistake('a wrong end octet', (line) =>
    line.raw(
      Buffer.concat([frameOf(1, 1, methodPayload('basic.qos')).subarray(0, -1), Buffer.from([0])]),
      'basic.qos with a wrong end',
    ),
  ),
  mistake('a wrong end octet of a long frame', (line) =>
    line.raw(
      Buffer.concat([frameOf(3, 1, Buffer.alloc(100, 7)).subarray(0, -1), Buffer.from([0x41])]),
      'a body of 100 octets with a wrong end',
    ),
  ),
  mistake('an empty method frame', (line) => line.frame(1, 1, '')),
  mistake('a method frame of 2 octets', (line) => line.frame(1, 1, '003c')),
  mistake('an empty method frame on channel 0', (line) => line.frame(1, 0, '')),
  mistake('a method nobody knows', (line) => line.frame(1, 1, '003c 00fa')),
  mistake('a class nobody knows', (line) => line.frame(1, 1, '00c8 000a')),
  mistake('a method nobody knows on channel 0', (line) => line.frame(1, 0, '000a 0063')),
  mistake('a method without its arguments', (line) => line.frame(1, 1, '0032 000a')),
  mistake('a method with octets too many', (line) => line.frame(1, 1, '003c 000a 00000000 0001 00 ff')),
  mistake('a short string beyond its frame', (line) => line.frame(1, 1, '0032 000a 0000 ff 71')),
  mistake('a field type nobody knows in the arguments', (line) =>
    line.frame(1, 1, '0032 000a 0000 0171 00 00000003 0161 51'),
  ),
  mistake('a table longer than its frame', (line) => line.frame(1, 1, '0032 000a 0000 0171 00 000000ff 0161 74 01')),
  mistake('a name that is not UTF-8', (line) => line.frame(1, 1, '0032 000a 0000 02 c328 00 00000000')),
  mistake('a routing key that is not UTF-8', (line) => {
    line.frame(1, 1, '003c 0028 0000 00 02 c328 00')
    line.frame(2, 1, header())
  }),
  mistake('a method of the broker on a channel', (_line, channel) => channel.send('basic.qos-ok')),
  mistake('a delivery from the client', (line, channel) => {
    channel.send('basic.deliver', { consumerTag: 'c' })
    line.frame(2, 1, header())
  }),
  mistake('a declare-ok from the client', (_line, channel) => channel.send('queue.declare-ok', { queue: 'q' })),
  mistake('connection.close on a channel', (_line, channel) => channel.send('connection.close', { replyCode: 200 })),
  mistake('connection.start-ok on a channel', (_line, channel) => channel.send('connection.start-ok', {})),
  mistake('a frame one octet too large', (line) => line.frame(3, 1, Buffer.alloc(131_073, 1))),
  mistake('a frame far too large', (line) =>
    line.raw(Buffer.from([1, 0, 1, 0x7f, 0xff, 0xff, 0xff]), 'the head of a frame of 2 GiB'),
  ),
]

const contents: readonly Conversation[] = [
  mistake('a body without a method', (line) => line.frame(3, 1, '41')),
  mistake('a header without a method', (line) => line.frame(2, 1, header())),
  mistake('a body instead of a header', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(3, 1, '41')
  }),
  mistake('a method instead of a header', (line, channel) => {
    line.frame(1, 1, publishMethod())
    channel.send('basic.qos')
  }),
  mistake('a second publish instead of a header', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(1, 1, publishMethod())
  }),
  mistake('a method instead of a body', (line, channel) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header({ size: 2n }))
    channel.send('basic.qos')
  }),
  mistake('a second header instead of a body', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header({ size: 2n }))
    line.frame(2, 1, header({ size: 2n }))
  }),
  mistake('channel.close in the middle of content', (line, channel) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header({ size: 2n }))
    channel.send('channel.close', { replyCode: 200 })
  }),
  mistake('a header of another class', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header({ classId: 50 }))
  }),
  mistake('a header of a class nobody knows', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header({ classId: 61 }))
  }),
  mistake('a header with a weight', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header({ weight: 1 }))
  }),
  mistake('a header of 5 octets', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, '003c 0000 00')
  }),
  mistake('a header without flags', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, '003c 0000 0000000000000000')
  }),
  mistake('a header that lacks a property its flags announce', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header({ properties: '8000' }))
  }),
  mistake('a header with octets too many', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header({ properties: '0000ff' }))
  }),
  mistake('a header with a second word of flags', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header({ properties: '00010000' }))
  }),
  mistake(
    'a body larger than announced',
    (line) => {
      line.frame(1, 1, publishMethod())
      line.frame(2, 1, header({ size: 2n }))
      line.frame(3, 1, '414141')
    },
    true,
  ),
  mistake('a body behind an empty one', (line) => {
    line.frame(1, 1, publishMethod())
    line.frame(2, 1, header())
    line.frame(3, 1, '')
  }),
  mistake(
    'a body-size beyond 512 MiB',
    (line) => {
      line.frame(1, 1, publishMethod())
      line.frame(2, 1, header({ size: 536_870_913n }))
    },
    true,
  ),
  mistake(
    'a body-size of 2^63',
    (line) => {
      line.frame(1, 1, publishMethod())
      line.frame(2, 1, header({ size: 9_223_372_036_854_775_808n }))
    },
    true,
  ),
  mistake('a header on channel 0', (line) => line.frame(2, 0, header())),
  mistake('a body on channel 0', (line) => line.frame(3, 0, '41')),
  mistake('content on a channel that is not open', (line) => line.frame(2, 7, header())),
  mistake('a method on a channel that is not open', (line) => line.send('basic.qos', {}, 7)),
  mistake('a publish on a channel that is not open', (line) => {
    line.frame(1, 7, publishMethod())
    line.frame(2, 7, header())
  }),
  mistake('channel.close on a channel that is not open', (line) => line.send('channel.close', { replyCode: 200 }, 7)),
  mistake('channel.close-ok on a channel that is not open', (line) => line.send('channel.close-ok', {}, 7)),
]

/** Legal, if unusual. */
const legal: readonly Conversation[] = [
  {
    name: 'a body in frames of any size, also empty ones',
    async run(talk) {
      const channel = await talk.open()
      const queue = talk.name('q')
      await channel.declare(queue)
      const { line } = channel
      line.frame(1, 1, publishMethod(queue))
      line.frame(2, 1, headerPayload(6))
      for (const body of ['', '61', '', '626364', '6566']) line.frame(3, 1, body)
      await talk.settle()
      await channel.get(queue)
    },
  },
  {
    name: 'content of two channels interleaves',
    async run(talk) {
      const line = await talk.connect()
      const [one, two] = [await line.channel(), await line.channel()]
      const [queue, other] = [talk.name('q'), talk.name('r')]
      await one.declare(queue)
      await one.declare(other)
      line.frame(1, 1, publishMethod(queue))
      line.frame(1, 2, publishMethod(other))
      line.frame(2, 2, headerPayload(4))
      line.frame(2, 1, headerPayload(2))
      line.frame(3, 2, '6161')
      line.frame(3, 1, '6262')
      line.frame(8, 0, '')
      line.frame(3, 2, '6161')
      await talk.settle()
      await two.get(queue)
      await two.get(other)
    },
  },
  {
    name: 'frames cut into single octets',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      const queue = talk.name('q')
      await channel.declare(queue)
      const octets = Buffer.concat([
        frameOf(1, 1, publishMethod(queue)),
        frameOf(2, 1, headerPayload(3, { contentType: 'text/plain' })),
        frameOf(3, 1, Buffer.from('abc')),
      ])
      for (let at = 0; at < octets.length; at++) {
        line.peer.raw(octets.subarray(at, at + 1))
        if (at % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await talk.settle()
      await channel.get(queue)
    },
  },
  ...[4096, 5000, 131_072].flatMap((frameMax) =>
    [frameMax - 9, frameMax - 8, frameMax - 7, frameMax * 2 - 16, frameMax * 3].map(
      (size): Conversation => ({
        name: `a body of ${size} octets comes back in frames of at most ${frameMax}`,
        async run(talk) {
          const channel = await talk.open({ frameMax })
          const queue = talk.name('q')
          await channel.declare(queue)
          const body = Buffer.alloc(size, 'leveret')
          const frames = Array.from({ length: Math.ceil(size / 4088) }, (_, at) =>
            body.subarray(at * 4088, at * 4088 + 4088),
          )
          channel.publish('', queue, frames)
          await talk.settle()
          await channel.get(queue)
          await channel.consume(queue, 'c')
          channel.publish('', queue, frames)
          await talk.settle()
        },
      }),
    ),
  ),
  {
    name: 'the payload of a frame may have as many octets as frame_max',
    async run(talk) {
      const channel = await talk.open({ frameMax: 4096 })
      const queue = talk.name('q')
      await channel.declare(queue)
      channel.publish('', queue, [Buffer.alloc(4096, 1)])
      await talk.settle()
      await channel.get(queue)
      channel.publish('', queue, [Buffer.alloc(4097, 1)])
      await talk.settle()
    },
  },
  {
    name: 'an empty body comes without a body frame',
    async run(talk) {
      const channel = await talk.open()
      const queue = talk.name('q')
      await channel.declare(queue)
      await channel.consume(queue, 'c')
      await channel.publishes('', queue, '')
      await channel.publishes('', queue, '', { contentType: 'x' })
    },
  },
]

export const framingConversations: readonly Conversation[] = [...frames, ...contents, ...legal]

// How a connection begins, is tuned and ends.
import { type Conversation, capable, type Line, type Talk } from '../talk.ts'

const header = 'AMQP\0\0\x09\x01'

/** Said hello, and got connection.start; neither is in the transcript. */
async function started(talk: Talk): Promise<Line> {
  const line = await talk.dial()
  line.peer.raw(header)
  await line.peer.until('connection.start', () => line.isOver || line.peer.received.length > 0)
  line.peer.received.splice(0)
  return line
}

function startOk(line: Line, response: string, mechanism = 'PLAIN', clientProperties = capable): void {
  line.send('connection.start-ok', { clientProperties, mechanism, response, locale: 'en_US' })
}

async function authenticated(talk: Talk): Promise<Line> {
  const line = await started(talk)
  startOk(line, '\0guest\0guest')
  await line.expect('connection.tune')
  return line
}

async function tuned(talk: Talk, tuning: object = {}): Promise<Line> {
  const line = await authenticated(talk)
  line.send('connection.tune-ok', { channelMax: 2047, frameMax: 131_072, heartbeat: 0, ...tuning })
  return line
}

const hello: readonly Conversation[] = [
  {
    name: 'connection.start tells the version, the mechanisms and what the broker can do',
    async run(talk) {
      const line = await talk.dial()
      line.raw(header)
      await line.expect('connection.start')
    },
  },
  ...[
    'AMQP\x01\x01\0\x09',
    'AMQP\0\0\x08\0',
    'AMQP\0\0\x09\0',
    'AMQP\0\x01\0\0',
    'AMQP\x03\x01\0\0',
    'GET / HT',
    'ZZZZ\0\0\x09\x01',
  ].map(
    (octets): Conversation => ({
      name: `the protocol header ${JSON.stringify(octets)}`,
      async run(talk) {
        const line = await talk.dial()
        line.raw(octets)
        await line.peer.until('an answer', () => line.isOver || line.peer.received.length > 0)
        const isStart = line.peer.received[0]?.name === 'connection.start'
        if (isStart) talk.write(`= ${line.peer.received.splice(0)[0]?.name}`)
        else await line.end()
      },
    }),
  ),
]

const login: readonly Conversation[] = [
  {
    name: 'PLAIN with the right password',
    run: async (talk) => void (await authenticated(talk)),
  },
  {
    name: 'PLAIN with a wrong password is refused with a reason',
    async run(talk) {
      const line = await started(talk)
      startOk(line, '\0guest\0wrong')
      await line.end()
    },
  },
  {
    name: 'PLAIN with a user that is not there is refused like a wrong password',
    async run(talk) {
      const line = await started(talk)
      startOk(line, '\0nobody\0guest')
      await line.end()
    },
  },
  {
    name: 'a client that cannot read the reason only sees the end after a while',
    async run(talk) {
      const line = await started(talk)
      startOk(line, '\0guest\0wrong', 'PLAIN', {})
      await line.end()
    },
  },
  ...['EXTERNAL', 'ANONYMOUS', 'RABBIT-CR-DEMO', '', 'plain'].map(
    (mechanism): Conversation => ({
      name: `the mechanism ${JSON.stringify(mechanism)} ends it without a word`,
      async run(talk) {
        const line = await started(talk)
        startOk(line, '\0guest\0guest', mechanism)
        await line.end()
      },
    }),
  ),
  ...['guest\0guest', '\0guest', '', 'guest\0guest\0guest', '\0guest\0guest\0'].map(
    (response): Conversation => ({
      name: `the PLAIN response ${JSON.stringify(response)}`,
      async run(talk) {
        const line = await started(talk)
        startOk(line, response)
        await line.end()
      },
    }),
  ),
  ...(
    [
      ['long strings', '\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest'],
      ['the other order', '\x08PASSWORDS\0\0\0\x05guest\x05LOGINS\0\0\0\x05guest'],
      ['something more', '\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest\x04moret\x01'],
    ] as const
  ).map(
    ([what, response]): Conversation => ({
      name: `AMQPLAIN with ${what}`,
      async run(talk) {
        const line = await started(talk)
        startOk(line, response, 'AMQPLAIN')
        await line.expect('connection.tune')
      },
    }),
  ),
  ...(
    [
      ['a wrong password', '\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05wrong'],
      ['no password', '\x05LOGINS\0\0\0\x05guest'],
      ['no login', '\x08PASSWORDS\0\0\0\x05guest'],
      ['a number for a password', '\x05LOGINS\0\0\0\x05guest\x08PASSWORDI\0\0\0\x05'],
      ['no table', '\x05LOGINS\0\0\0\xffguest'],
    ] as const
  ).map(
    ([what, response]): Conversation => ({
      name: `AMQPLAIN with ${what}`,
      async run(talk) {
        const line = await started(talk)
        line.send('connection.start-ok', {
          clientProperties: capable,
          mechanism: 'AMQPLAIN',
          response: Buffer.from(response, 'latin1'),
        })
        await line.end()
      },
    }),
  ),
]

const tuning: readonly Conversation[] = [
  ...[
    { frameMax: 4096 },
    { frameMax: 4095 },
    { frameMax: 1 },
    { frameMax: 0 },
    { frameMax: 131_073 },
    { frameMax: 131_072 },
    { channelMax: 0 },
    { channelMax: 1 },
    { channelMax: 2047 },
    { channelMax: 2048 },
    { heartbeat: 0 },
    { heartbeat: 61 },
    { heartbeat: 65_535 },
    { frameMax: 0, channelMax: 0 },
  ].map(
    (values): Conversation => ({
      name: `tune-ok with ${JSON.stringify(values)}`,
      async run(talk) {
        const line = await tuned(talk, values)
        // Not at once: whoever refuses the values does not read it, and then the client may not read why.
        await new Promise((resolve) => setTimeout(resolve, 100))
        line.send('connection.open', { virtualHost: '/' })
        await line.expect('connection.open-ok')
        if (line.isOver) await line.end()
      },
    }),
  ),
  {
    name: 'heartbeats come at half the interval that the client chose, smaller than proposed',
    async run(talk) {
      const line = await tuned(talk, { heartbeat: 1 })
      line.send('connection.open', { virtualHost: '/' })
      await line.expect('connection.open-ok')
      await line.expect('heartbeat')
    },
  },
  {
    name: 'a client that is not heard for two intervals is dropped without a word',
    async run(talk) {
      const line = await tuned(talk, { heartbeat: 1 })
      line.send('connection.open', { virtualHost: '/' })
      await line.expect('connection.open-ok')
      await line.peer.until('the end', () => line.isOver)
      const words = line.peer.received.splice(0).filter(({ name }) => name !== 'heartbeat')
      talk.write(`= said before the end: ${words.map(({ text }) => text).join()}`)
      await line.end()
    },
  },
]

const opening: readonly Conversation[] = [
  {
    name: 'connection.open of a virtual host that is not there',
    async run(talk) {
      const line = await tuned(talk)
      line.send('connection.open', { virtualHost: 'nope' })
      await line.end()
    },
  },
  {
    name: 'connection.open of the virtual host with an empty name',
    async run(talk) {
      const line = await tuned(talk)
      line.send('connection.open', { virtualHost: '' })
      await line.end()
    },
  },
  {
    name: 'everything up to a channel said at once, without waiting',
    async run(talk) {
      const line = await talk.dial()
      line.raw(header)
      startOk(line, '\0guest\0guest')
      line.send('connection.tune-ok', { channelMax: 2047, frameMax: 131_072, heartbeat: 0 })
      line.send('connection.open', { virtualHost: '/' })
      line.adopt(1).send('channel.open')
      await line.peer.until('the channel', () => line.peer.received.some(({ name }) => name === 'channel.open-ok'))
      line.forget('connection.start')
      talk.hearAll()
    },
  },
  ...(
    [
      ['tune-ok before start-ok', (line) => line.send('connection.tune-ok', { frameMax: 4096 })],
      ['open before start-ok', (line) => line.send('connection.open', { virtualHost: '/' })],
      ['close before start-ok', (line) => line.send('connection.close', { replyCode: 200 })],
      ['a channel before start-ok', (line) => line.send('channel.open', {}, 1)],
      ['a heartbeat before start-ok', (line) => line.frame(8, 0, '')],
      ['a method nobody knows before start-ok', (line) => line.frame(1, 0, '000a 0063')],
      ['content before start-ok', (line) => line.frame(2, 0, '003c 0000 0000000000000000 0000')],
      ['a frame type nobody knows before start-ok', (line) => line.frame(5, 0, '')],
      ['a frame too large before start-ok', (line) => line.frame(1, 0, Buffer.alloc(200_000))],
      ['the header once more', (line) => line.raw(header)],
    ] as readonly (readonly [string, (line: Line) => void])[]
  ).map(
    ([what, mistake]): Conversation => ({
      name: `${what}: what the client sees`,
      async run(talk) {
        const line = await started(talk)
        mistake(line)
        if (what.startsWith('a heartbeat')) {
          startOk(line, '\0guest\0guest')
          await line.expect('connection.tune')
        }
        if (!line.peer.received.length)
          await line.peer.until('something', () => line.isOver || line.peer.received.length > 0)
        if (line.isOver || what.startsWith('close')) await line.end()
      },
    }),
  ),
  ...(
    [
      ['open before tune-ok', (line) => line.send('connection.open', { virtualHost: '/' })],
      ['close before tune-ok', (line) => line.send('connection.close', { replyCode: 200 })],
      ['start-ok twice', (line) => startOk(line, '\0guest\0guest')],
      ['secure-ok unasked', (line) => line.send('connection.secure-ok', {})],
      ['a channel before tune-ok', (line) => line.send('channel.open', {}, 1)],
    ] as readonly (readonly [string, (line: Line) => void])[]
  ).map(
    ([what, mistake]): Conversation => ({
      name: `${what}: what the client sees`,
      async run(talk) {
        const line = await authenticated(talk)
        mistake(line)
        await line.end()
      },
    }),
  ),
  ...(
    [
      ['close before open', (line) => line.send('connection.close', { replyCode: 200 })],
      ['tune-ok twice', (line) => line.send('connection.tune-ok', { channelMax: 1, frameMax: 4096 })],
      ['a channel before open', (line) => line.send('channel.open', {}, 1)],
      ['a method nobody knows before open', (line) => line.frame(1, 0, '000a 0063')],
    ] as readonly (readonly [string, (line: Line) => void])[]
  ).map(
    ([what, mistake]): Conversation => ({
      name: `${what}: what the client sees`,
      async run(talk) {
        const line = await tuned(talk)
        mistake(line)
        await line.end()
      },
    }),
  ),
]

const running: readonly Conversation[] = [
  {
    name: 'connection.close is answered, then the socket ends',
    async run(talk) {
      const line = await talk.connect()
      await line.channel()
      await line.close()
    },
  },
  {
    name: 'exclusive queues are gone when close-ok comes',
    async run(talk) {
      const [line, other] = [await talk.connect(), await talk.connect()]
      const queue = talk.name('q')
      await (await line.channel()).declare(queue, { exclusive: true })
      await line.close()
      await (await other.channel()).declare(queue, { passive: true })
    },
  },
  {
    name: 'unacknowledged messages are back in order when close-ok comes',
    async run(talk) {
      const [line, other] = [await talk.connect(), await talk.connect()]
      const queue = talk.name('q')
      const channel = await other.channel()
      await channel.declare(queue)
      for (const body of ['1', '2', '3', '4']) channel.publish('', queue, body)
      await talk.settle()
      const taker = await line.channel()
      await taker.get(queue)
      await taker.get(queue)
      await taker.get(queue)
      taker.ack(2)
      await talk.settle()
      await line.close()
      for (let count = 0; count < 4; count++) await channel.get(queue, true)
    },
  },
  {
    name: 'update-secret is taken',
    async run(talk) {
      const line = await talk.connect()
      await line.channel()
      line.send('connection.update-secret', { newSecret: 'guest', reason: 'renewed' })
      await talk.settle()
    },
  },
  ...(
    [
      ['start-ok', (line) => startOk(line, '\0guest\0guest')],
      ['tune-ok', (line) => line.send('connection.tune-ok', { frameMax: 4096 })],
      ['open', (line) => line.send('connection.open', { virtualHost: '/' })],
      ['close-ok', (line) => line.send('connection.close-ok', {})],
      ['secure-ok', (line) => line.send('connection.secure-ok', {})],
      ['start', (line) => line.send('connection.start', {})],
      ['blocked', (line) => line.send('connection.blocked', { reason: 'x' })],
      ['update-secret-ok', (line) => line.send('connection.update-secret-ok', {})],
      ['channel.open on channel 0', (line) => line.send('channel.open', {})],
      ['basic.qos on channel 0', (line) => line.send('basic.qos', {})],
      ['channel.close on channel 0', (line) => line.send('channel.close', {})],
    ] as readonly (readonly [string, (line: Line) => void])[]
  ).map(
    ([what, mistake]): Conversation => ({
      name: `${what} while the connection runs`,
      async run(talk) {
        const line = await talk.connect()
        await line.channel()
        mistake(line)
        await talk.settle()
      },
    }),
  ),
  {
    name: 'after its connection.close the broker answers a close that crosses, and nothing else',
    async run(talk) {
      const line = await talk.connect()
      const channel = await line.channel()
      line.peer.answersCloses = false
      channel.send('channel.open')
      await line.expect('connection.close')
      channel.send('queue.declare', {})
      line.send('basic.qos', {}, 3)
      line.send('connection.close', { replyCode: 200 })
      await line.expect('connection.close-ok')
      line.send('connection.close-ok')
      await line.end()
    },
  },
  {
    name: 'a socket that just ends leaves nothing behind',
    async run(talk) {
      const [line, other] = [await talk.connect(), await talk.connect()]
      const [queue, exclusive] = [talk.name('q'), talk.name('x')]
      const channel = await other.channel()
      await channel.declare(queue)
      await channel.publishes('', queue, 'a')
      const taker = await line.channel()
      await taker.declare(exclusive, { exclusive: true })
      await taker.get(queue)
      talk.leaveAlone(exclusive)
      line.peer.destroy()
      await talk.until(queue, 1)
      await channel.get(queue, true)
      await channel.declare(exclusive, { passive: true })
    },
  },
]

export const connectionConversations: readonly Conversation[] = [...hello, ...login, ...tuning, ...opening, ...running]

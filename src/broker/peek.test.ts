// A look at what waits in a queue: in memory, in pages and on the disk, and nothing is different after it.
import { describe, expect, test } from 'vitest'
import type { Command, LeveretMessages, QueueInfo, Reply } from '../model/command.ts'
import { limits } from '../model/limits.ts'
import { type Core, type CoreChannel, consume, declareQueue, openCore } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

interface Looking {
  readonly limit?: number
  readonly skip?: number
  readonly state?: 'ready' | 'delayed'
}

function peek({ limit = 1_000, skip, state = 'ready' }: Looking = {}): Command {
  return { type: 'leveret.peek', queue: 'q', limit, state, ...(skip === undefined ? {} : { skip }) }
}

async function open(values: Parameters<typeof declareQueue>[1] = {}): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.ask(declareQueue('q', values))
  return [core, channel]
}

function messagesOf(reply: Reply | undefined): LeveretMessages['messages'] {
  return reply?.type === 'leveret.messages' ? reply.messages : []
}

function bodies(reply: Reply | undefined): string[] {
  return messagesOf(reply).map(({ message }) => message.body.toString())
}

function infoOf(reply: Reply | undefined): QueueInfo | undefined {
  return reply?.type === 'leveret.queues-ok' ? reply.queues.find(({ name }) => name === 'q') : undefined
}

describe('a look at a queue', () => {
  test('shows ready messages in their order, as many as were asked for behind those left out', async () => {
    const [, channel] = await open()
    for (const body of ['1', '2', '3', '4']) channel.publish('', 'q', body)
    expect(bodies(channel.ask(peek()))).toEqual(['1', '2', '3', '4'])
    expect(bodies(channel.ask(peek({ limit: 2, skip: 1 })))).toEqual(['2', '3'])
    expect(channel.ask(peek({ skip: 9 }))).toEqual({ type: 'leveret.messages', messages: [], more: false })
  })

  test('tells of each what it is, where it stands and how often it was handed out', async () => {
    const [core, channel] = await open()
    core.clock.advance(1_000)
    channel.publish('', 'q', 'first')
    const properties = { messageId: 'm', expiration: '500', contentType: 'text/plain' }
    channel.publish('amq.direct', 'none', 'lost')
    channel.publish('', 'q', 'second', { properties, headers: { BCC: [], own: 'x' } })
    channel.get('q')
    channel.port.reject(1, false, true)
    core.settle()
    const [one, two, ...others] = messagesOf(channel.ask(peek()))
    expect(others).toEqual([])
    expect(one).toMatchObject({ sequence: 1, state: 'ready', dueAt: 0, expiresAt: 0, deliveryCount: 1, hasBody: true })
    expect(two).toMatchObject({ sequence: 2, state: 'ready', expiresAt: 1_500, deliveryCount: 0, bodyBytes: 6 })
    expect([two?.message.exchange, two?.message.routingKey]).toEqual(['', 'q'])
    const { headers, ...shown } = two?.message.decodeProperties() ?? {}
    expect(shown).toEqual(properties)
    // The keys in BCC are for the broker alone.
    expect([...(headers?.keys() ?? [])]).toEqual(['own'])
  })

  test('shows the highest priority first, and what came back in its old place', async () => {
    const [core, channel] = await open({ arguments: { 'x-max-priority': 3 } })
    for (const [body, priority] of [
      ['a', 0],
      ['b', 3],
      ['c', 1],
      ['d', 3],
      ['e', 0],
    ] as const) {
      channel.publish('', 'q', body, { properties: { priority } })
    }
    for (let count = 0; count < 2; count++) channel.get('q')
    channel.port.reject(2, true, true)
    core.settle()
    expect(bodies(channel.ask(peek()))).toEqual(['b', 'd', 'c', 'a', 'e'])
    expect(bodies(channel.ask(peek({ limit: 3, skip: 1 })))).toEqual(['d', 'c', 'a'])
  })

  test('shows what waits for its key', async () => {
    const [, channel] = await open({ arguments: { 'x-leveret-keyed': true } })
    for (const body of ['a1', 'a2', 'b1', 'a3']) {
      channel.publish('', 'q', body, { headers: { 'x-leveret-key': body.charAt(0) } })
    }
    channel.get('q')
    expect(bodies(channel.ask(peek()))).toEqual(['a2', 'b1', 'a3'])
    expect(bodies(channel.ask(peek({ limit: 1, skip: 1 })))).toEqual(['b1'])
  })

  test('shows what is hidden by when it is due', async () => {
    const [core, channel] = await open({ arguments: { 'x-message-ttl': 70 } })
    core.clock.advance(10)
    for (const ms of [900_000, 20, 5_000, 20, 70]) {
      channel.publish('', 'q', String(ms), { headers: { 'x-leveret-delay': ms } })
    }
    const found = messagesOf(channel.ask(peek({ state: 'delayed' })))
    expect(found.map(({ sequence, dueAt, expiresAt, state }) => [sequence, dueAt, expiresAt, state])).toEqual([
      [2, 30, 100, 'delayed'],
      [4, 30, 100, 'delayed'],
      [5, 80, 150, 'delayed'],
      [3, 5_010, 5_080, 'delayed'],
      [1, 900_010, 900_080, 'delayed'],
    ])
    expect(bodies(channel.ask(peek({ state: 'delayed', limit: 2, skip: 2 })))).toEqual(['70', '5000'])
    expect(bodies(channel.ask(peek()))).toEqual([])
  })

  test('changes nothing: neither counts nor who gets what, redelivered or not', async () => {
    const [core, channel] = await open()
    for (const body of ['1', '2']) channel.publish('', 'q', body)
    const before = infoOf(channel.ask({ type: 'leveret.queues' }))
    channel.ask(peek())
    expect(infoOf(channel.ask({ type: 'leveret.queues' }))).toEqual(before)
    channel.takeLines()
    channel.ask(consume('q', { tag: 'c' }))
    core.settle()
    expect(channel.takeLines().slice(1)).toEqual(['deliver c 1 1', 'deliver c 2 2'])
  })

  test('shows a body of more than 1 MiB by its size', async () => {
    const [, channel] = await open()
    channel.publish('', 'q', 'x'.repeat(limits.bodyInlineBytesMax + 1), { properties: { messageId: 'large' } })
    const [large] = messagesOf(channel.ask(peek()))
    expect(large).toMatchObject({ hasBody: false, bodyBytes: limits.bodyInlineBytesMax + 1 })
    expect([large?.message.body.length, large?.message.decodeProperties().messageId]).toEqual([0, 'large'])
  })

  test('shows fewer, and says so, where more would not fit into one message', async () => {
    const [, channel] = await open()
    const body = 'x'.repeat(1_000_000)
    for (let count = 0; count < 20; count++) channel.publish('', 'q', body)
    const reply = channel.ask(peek())
    expect(reply).toMatchObject({ more: true })
    expect(messagesOf(reply)).toHaveLength(12)
    expect(channel.ask(peek({ limit: 12 }))).toMatchObject({ more: false })
  })

  test.each([
    [{ limit: 0 }, 'peek: limit is 0, and must be from 1 to 1000'],
    [{ limit: 1_001 }, 'peek: limit is 1001, and must be from 1 to 1000'],
    [{ limit: 1, skip: -1 }, 'peek: skip is -1, and must be from 0 to 100000'],
    [{ limit: 1, skip: 100_001 }, 'peek: skip is 100001, and must be from 0 to 100000'],
  ])('is refused for %j', async (looking, text) => {
    const [, channel] = await open()
    expect(channel.refusal(peek(looking))).toBe(`PRECONDITION_FAILED - ${text}`)
  })
})

describe('asked through leveret.control', () => {
  async function ask(channel: CoreChannel, request: object): Promise<{ type: string; value: unknown }> {
    channel.publish('leveret.control', 'peek', JSON.stringify(request), { properties: { replyTo: 'answers' } })
    const reply = channel.get('answers', true)
    if (reply.type !== 'basic.get-ok') return { type: 'none', value: null }
    const { type = '' } = reply.message.decodeProperties()
    return { type, value: JSON.parse(reply.message.body.toString()) as unknown }
  }

  test('messages are JSON, their bodies base64', async () => {
    const [core, channel] = await open()
    channel.declareQueue('answers')
    core.clock.advance(7)
    const properties = { messageId: 'm', deliveryMode: 2, timestamp: 5 }
    channel.publish('', 'q', 'bödy', { properties, headers: { n: 1, deep: { list: [true] } } })
    expect(await ask(channel, { queue: 'q', limit: 5, state: 'ready' })).toEqual({
      type: 'leveret.messages',
      value: {
        messages: [
          {
            sequence: 1,
            state: 'ready',
            dueAt: 0,
            expiresAt: 0,
            deliveryCount: 0,
            bodyBytes: 5,
            exchange: '',
            routingKey: 'q',
            properties: { ...properties, headers: { n: 1, deep: { list: [true] } } },
            body: Buffer.from('bödy').toString('base64'),
          },
        ],
        more: false,
      },
    })
  })

  test('the answer is no larger than a message may be', async () => {
    const [, channel] = await open()
    channel.declareQueue('answers')
    // Six bytes of JSON for each of these.
    const wide = '\u0001'.repeat(100_000)
    for (let count = 0; count < 60; count++) channel.publish('', 'q', '', { headers: { wide } })
    const { type, value } = await ask(channel, { queue: 'q', limit: 60, skip: 0, state: 'ready' })
    const { messages, more } = value as { messages: unknown[]; more: boolean }
    expect([type, more, messages.length]).toEqual(['leveret.messages', true, 27])
  })

  test.each([
    [{ queue: 'q', limit: 1 }, 'peek: state is missing'],
    [{ queue: 'q', limit: 1, state: 'gone' }, 'peek: state cannot be "gone"'],
    [{ queue: 'q', limit: 1.5, state: 'ready' }, 'peek: limit cannot be 1.5'],
    [{ queue: 'q', limit: 1, skip: 'x', state: 'ready' }, 'peek: skip cannot be "x"'],
    [{ queue: 'q', limit: 0, state: 'ready' }, 'peek: limit is 0, and must be from 1 to 1000'],
  ])('%j is refused', async (request, text) => {
    const [, channel] = await open()
    channel.declareQueue('answers')
    expect(await ask(channel, request)).toEqual({
      type: 'leveret.error',
      value: { code: 'PRECONDITION_FAILED', text },
    })
  })
})

describe('a look at a queue on the disk', () => {
  async function ask(run: SimFolderRun, command: Command): Promise<Reply | undefined> {
    const id = run.channel.give(command)
    for (let ms = 0; !run.channel.replies.has(id) && ms < 1_000; ms++) await run.settle(1)
    return run.channel.replies.get(id)
  }

  async function filled(count: number): Promise<[SimFolder, SimFolderRun, string[]]> {
    const folder = new SimFolder()
    let run = await folder.open('/data', { windowBytesMax: 2_000 })
    await run.declare('q')
    const names = Array.from({ length: count }, (_one, at) => `${at} ${'.'.repeat(at % 90)}`)
    for (const name of names) {
      run.post('q', name)
      await run.settle(0)
    }
    await run.settle(1_000)
    await run.close()
    run = await folder.open('/data', { windowBytesMax: 2_000 })
    return [folder, run, names]
  }

  test('shows what lies in pages and segments alone, wherever it begins', async () => {
    const [, run, names] = await filled(600)
    expect(bodies(await ask(run, peek()))).toEqual(names)
    for (const skip of [1, 63, 64, 65, 300, 599]) {
      expect(bodies(await ask(run, peek({ skip, limit: 7 })))).toEqual(names.slice(skip, skip + 7))
    }
    expect(await run.take('q')).toEqual(names)
  })

  test('answers in its turn: behind what was asked before, and before what was asked later', async () => {
    const [, run] = await filled(300)
    const ids = [
      run.channel.give({ type: 'leveret.queues' }),
      run.channel.give(peek({ skip: 200, limit: 5 })),
      run.channel.give({ type: 'leveret.queues' }),
    ]
    await run.settle(0)
    await run.settle(50)
    expect([...run.channel.replies.keys()].filter((id) => ids.includes(id))).toEqual(ids)
  })

  test('shows what was there when it was asked, whatever is taken, purged or compacted meanwhile', async () => {
    const [, run, names] = await filled(600)
    const id = run.channel.give(peek({ skip: 400, limit: 100 }))
    run.channel.give({ type: 'queue.purge', queue: 'q' })
    await run.settle(3_000)
    expect(bodies(run.channel.replies.get(id))).toEqual(names.slice(400, 500))
    await run.publish('q', 'new')
    await run.settle(3_000)
    expect(await run.take('q')).toEqual(['new'])
  })

  test('shows what is hidden, and when it expires', async () => {
    const folder = new SimFolder()
    let run = await folder.open()
    run.channel.give(declareQueue('q', { durable: true, arguments: { 'x-message-ttl': 1_000 } }))
    await run.settle()
    const delays = [50_000, 20_000, 7_200_000, 30_000]
    const startMs = folder.clock.realtimeMs()
    for (const ms of delays) run.post('q', String(ms), { 'x-leveret-delay': ms })
    await run.settle(500)
    folder.kill(true)
    run = await folder.open()
    const found = messagesOf(await ask(run, peek({ state: 'delayed' })))
    expect(found.map(({ message }) => message.body.toString())).toEqual(['20000', '30000', '50000', '7200000'])
    for (const [at, ms] of [20_000, 30_000, 50_000, 7_200_000].entries()) {
      const { dueAt = 0, expiresAt = 0 } = found[at] ?? {}
      expect(Math.floor(dueAt - startMs)).toBe(ms)
      expect([999, 1_000]).toContain(expiresAt - dueAt)
    }
  })

  test('shows a body in a file by its size', async () => {
    const folder = new SimFolder()
    const run = await folder.open('/data', { bodyInlineBytesMax: limits.bodyInlineBytesMax })
    await run.declare('q')
    run.postLarge('q', 'x'.repeat(limits.bodyInlineBytesMax + 5))
    await run.settle(5_000)
    expect(messagesOf(await ask(run, peek()))).toMatchObject([
      { hasBody: false, bodyBytes: limits.bodyInlineBytesMax + 5 },
    ])
  })

  test('leaves out what cannot be read, and goes on', async () => {
    const folder = new SimFolder()
    let run = await folder.open()
    await run.declare('q')
    await run.publish('q', 'first one', 'second', 'third')
    await run.close()
    const path = `/data/${folder.files().find((name) => name.startsWith('log/'))}`
    folder.disk.flipBit(path, folder.disk.contents(path).indexOf('first one'), 1)
    run = await folder.open()
    expect(bodies(await ask(run, peek()))).toEqual(['second', 'third'])
    expect(bodies(await ask(run, peek()))).toEqual(['second', 'third'])
  })
})

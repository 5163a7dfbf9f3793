// Messages that are removed by their id while they wait, wherever they lie, and not when somebody has them.
import { describe, expect, test, vi } from 'vitest'
import type { Command, Reply } from '../model/command.ts'
import { Message } from '../model/message.ts'
import { encodeProperties } from '../model/properties.ts'
import { ControlledStore } from '../testing/controlled-store.ts'
import { type Core, type CoreChannel, declareQueue, openCore, type PublishOptions } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'
import { Queue } from './queue.ts'

function cancel(messageId: string, queue = 'q'): Command {
  return { type: 'leveret.cancel', queue, messageId }
}

async function open(values: Parameters<typeof declareQueue>[1] = {}): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.ask(declareQueue('q', values))
  return [core, channel]
}

/** Each body is its id. */
function publish(channel: CoreChannel, bodies: readonly string[], headers: PublishOptions['headers'] = {}): void {
  for (const body of bodies) channel.publish('', 'q', body, { properties: { messageId: body }, headers })
}

function countOf(reply: Reply | undefined): number | undefined {
  return reply?.type === 'leveret.cancelled' ? reply.count : undefined
}

function state(channel: CoreChannel): string {
  const reply = channel.ask({ type: 'leveret.queues' })
  const info = reply.type === 'leveret.queues-ok' ? reply.queues.find(({ name }) => name === 'q') : undefined
  return `${info?.ready} ready, ${info?.readyBytes} bytes, ${info?.delayed} delayed, ${info?.unacked} unacked`
}

describe('a message that waits', () => {
  test('is removed at once, and nobody gets it', async () => {
    const [, channel] = await open()
    publish(channel, ['a', 'b', 'c'])
    expect(channel.ask(cancel('b'))).toEqual({ type: 'leveret.cancelled', count: 1 })
    expect(state(channel)).toBe('2 ready, 2 bytes, 0 delayed, 0 unacked')
    expect(channel.ask(cancel('b'))).toEqual({ type: 'leveret.cancelled', count: 0 })
    expect(channel.drain('q')).toEqual(['a', 'c'])
  })

  test('is removed with all others of its id', async () => {
    const [, channel] = await open()
    publish(channel, ['a', 'b', 'a', 'c', 'a'])
    expect(countOf(channel.ask(cancel('a')))).toBe(3)
    expect(channel.drain('q')).toEqual(['b', 'c'])
  })

  test('is removed from the end and the beginning, and what comes later is in order', async () => {
    const [, channel] = await open()
    publish(channel, ['a', 'b', 'c'])
    for (const id of ['c', 'a']) expect(countOf(channel.ask(cancel(id)))).toBe(1)
    publish(channel, ['d'])
    expect(channel.drain('q')).toEqual(['b', 'd'])
  })

  test('is removed in the turn in which it came', async () => {
    const [core, channel] = await open()
    for (const body of ['a', 'b']) channel.post('', 'q', body, { properties: { messageId: body } })
    channel.post('', 'q', 'hidden', { properties: { messageId: 'b' }, headers: { 'x-leveret-delay': 50 } })
    const id = channel.give(cancel('b'))
    core.settle()
    expect(countOf(channel.replies.get(id))).toBe(2)
    core.clock.advance(100)
    expect(channel.drain('q')).toEqual(['a'])
  })

  test('is removed where it came back to, and not while somebody has it', async () => {
    const [core, channel] = await open()
    publish(channel, ['a', 'b', 'c'])
    channel.get('q')
    channel.get('q')
    expect(countOf(channel.ask(cancel('a')))).toBe(0)
    channel.port.reject(2, true, true)
    core.settle()
    expect(countOf(channel.ask(cancel('a')))).toBe(1)
    expect(state(channel)).toBe('2 ready, 2 bytes, 0 delayed, 0 unacked')
    expect(channel.drain('q')).toEqual(['b!', 'c'])
  })

  test('is removed from every priority', async () => {
    const [, channel] = await open({ arguments: { 'x-max-priority': 5 } })
    for (const priority of [0, 5, 2]) {
      channel.publish('', 'q', `gone ${priority}`, { properties: { messageId: 'x', priority } })
      channel.publish('', 'q', `stays ${priority}`, { properties: { messageId: 'y', priority } })
    }
    expect(countOf(channel.ask(cancel('x')))).toBe(3)
    expect(channel.drain('q')).toEqual(['stays 5', 'stays 2', 'stays 0'])
  })

  test('is removed from among those of its key, whose turn it does not take', async () => {
    const [core, channel] = await open({ arguments: { 'x-leveret-keyed': true } })
    publish(channel, ['a1', 'a2', 'a3', 'a4'], { 'x-leveret-key': 'a' })
    channel.consume('q')
    expect(countOf(channel.ask(cancel('a2')))).toBe(1)
    expect(countOf(channel.ask(cancel('a1')))).toBe(0)
    expect(channel.takeBodies()).toEqual(['a1'])
    channel.port.ack(1, false)
    core.settle()
    expect(channel.takeBodies()).toEqual(['a3'])
    expect(countOf(channel.ask(cancel('a4')))).toBe(1)
    publish(channel, ['a5'], { 'x-leveret-key': 'a' })
    channel.port.ack(2, false)
    core.settle()
    expect(channel.takeBodies()).toEqual(['a5'])
  })

  test('is removed from far behind in a keyed queue, and its key goes on', async () => {
    const [core, channel] = await open({ arguments: { 'x-leveret-keyed': true } })
    for (let at = 0; at < 9_000; at++) {
      channel.post('', 'q', `a${at}`, { properties: { messageId: String(at) }, headers: { 'x-leveret-key': 'a' } })
    }
    channel.consume('q')
    const id = channel.give(cancel('8999'))
    core.clock.advance(10)
    expect(countOf(channel.replies.get(id))).toBe(1)
    channel.port.ack(1, false)
    core.settle()
    expect(channel.takeBodies()).toEqual(['a0', 'a1'])
  })

  test('is removed while it is hidden, and never appears', async () => {
    const [core, channel] = await open()
    for (const ms of [30, 100_000, 5_000]) {
      const properties = { messageId: `m${ms}` }
      channel.publish('', 'q', String(ms), { properties, headers: { 'x-leveret-delay': ms } })
    }
    for (const id of ['m30', 'm100000']) expect(countOf(channel.ask(cancel(id)))).toBe(1)
    expect(state(channel)).toBe('0 ready, 0 bytes, 1 delayed, 0 unacked')
    core.clock.advance(200_000)
    expect(channel.drain('q')).toEqual(['5000'])
  })

  test('without an id, or with headers that cannot be read, is left alone', async () => {
    const [, channel] = await open()
    channel.publish('', 'q', 'no id')
    publish(channel, ['a'])
    expect(countOf(channel.ask(cancel('')))).toBe(0)
    expect(channel.drain('q')).toEqual(['no id', 'a'])
  })
})

test('the queue is told of each that goes, in the frame in which it does, and the answer comes when that is durable', async () => {
  const store = new ControlledStore()
  const core = await openCore({ store })
  const channel = await core.channel()
  const told: string[] = []
  const hook = vi.spyOn(Queue.prototype, 'cancelled').mockImplementation((message) => {
    told.push(`${message.body.toString()} ${store.openLsn}`)
  })
  try {
    channel.give(declareQueue('q', { durable: true }))
    for (const body of ['a', 'b', 'a']) {
      channel.post('', 'q', body, { persistent: true, properties: { messageId: body } })
    }
    core.settle()
    store.sync()
    const id = channel.give(cancel('a'))
    core.settle()
    expect([told, channel.replies.has(id), store.frames.at(-1)]).toEqual([['a 2', 'a 2'], false, ['settled 1 1 1 3 3']])
    // Whoever asks for what is gone already waits for the same frame.
    const again = channel.give(cancel('a'))
    core.settle()
    expect(channel.replies.has(again)).toBe(false)
    store.sync()
    core.settle()
    expect([countOf(channel.replies.get(id)), countOf(channel.replies.get(again))]).toEqual([2, 0])
  } finally {
    hook.mockRestore()
  }
})

test('asked through leveret.control it is answered with how many there were', async () => {
  const [, channel] = await open()
  channel.declareQueue('answers')
  publish(channel, ['a', 'b', 'a'])
  const ask = (body: object): unknown => {
    channel.publish('leveret.control', 'cancel', JSON.stringify(body), { properties: { replyTo: 'answers' } })
    const reply = channel.get('answers', true)
    return reply.type === 'basic.get-ok' ? JSON.parse(reply.message.body.toString()) : null
  }
  expect(ask({ queue: 'q', messageId: 'a' })).toEqual({ count: 2 })
  expect(ask({ queue: 'q', messageId: 'a' })).toEqual({ count: 0 })
  expect(ask({ queue: 'q' })).toEqual({ code: 'PRECONDITION_FAILED', text: 'cancel: messageId is missing' })
})

describe('a long queue', () => {
  async function long(count: number): Promise<[Core, CoreChannel]> {
    const [core, channel] = await open()
    for (let at = 0; at < count; at++) channel.post('', 'q', `${at}`, { properties: { messageId: `m${at}` } })
    core.settle()
    // Each look at the clock shows another millisecond: a slice has two of them.
    const { clock } = core
    let ms = 0
    clock.monotonicMs = () => ms++
    return [core, channel]
  }

  test('is looked through in slices, between which others go on', async () => {
    const [core, channel] = await long(20_000)
    const other = await core.channel()
    const id = channel.give(cancel('m19999'))
    core.clock.endTurn()
    other.give({ type: 'basic.get', queue: 'q', noAck: true })
    core.clock.endTurn()
    core.clock.endTurn()
    expect([other.replies.size, channel.replies.has(id)]).toEqual([1, false])
    core.settle()
    expect(countOf(channel.replies.get(id))).toBe(1)
  })

  test('is looked through once for all who asked meanwhile; what comes in, goes out or goes meanwhile is no matter', async () => {
    const [core, channel] = await long(20_000)
    const others = await Promise.all([core.channel(), core.channel(), core.channel()])
    const first = channel.give(cancel('m5'))
    core.clock.endTurn()
    const ids = others.map((one, at) => one.give(cancel(`m${at + 10}`)))
    const same = (await core.channel()) as CoreChannel
    const sameId = same.give(cancel('m10'))
    publish(same, ['new'])
    core.settle()
    expect([
      countOf(channel.replies.get(first)),
      ...others.map((one, at) => countOf(one.replies.get(ids[at] as number))),
    ]).toEqual([1, 1, 1, 1])
    expect(countOf(same.replies.get(sameId))).toBe(0)
    const last = channel.give(cancel('m19999'))
    core.clock.endTurn()
    same.deleteQueue('q')
    expect(countOf(channel.replies.get(last))).toBe(0)
  })
})

describe('on the disk', () => {
  async function ask(run: SimFolderRun, command: Command): Promise<Reply | undefined> {
    const id = run.channel.give(command)
    for (let ms = 0; !run.channel.replies.has(id) && ms < 2_000; ms++) await run.settle(1)
    return run.channel.replies.get(id)
  }

  function post(run: SimFolderRun, body: string, persistent: boolean, headers: PublishOptions['headers'] = {}): void {
    const properties = { messageId: body.split(' ')[0] as string }
    run.channel.post('', 'q', body, { persistent, headers, properties })
  }

  async function filled(count: number, persistent = true): Promise<[SimFolder, SimFolderRun, string[]]> {
    const folder = new SimFolder()
    const run = await folder.open('/data', { windowBytesMax: 2_000 })
    await run.declare('q')
    const bodies = Array.from({ length: count }, (_one, at) => `${at} ${'.'.repeat(at % 90)}`)
    for (const body of bodies) {
      post(run, body, persistent)
      await run.settle(0)
    }
    await run.settle(1_000)
    return [folder, run, bodies]
  }

  test.each([true, false])(
    'messages go out of pages and windows, with counts right at once (persistent: %s)',
    async (persistent) => {
      const [, run, bodies] = await filled(500, persistent)
      const gone = [0, 499, 250, 251, 63, 64, 65, 100]
      for (const at of gone) expect(countOf(await ask(run, cancel(String(at))))).toBe(1)
      const left = bodies.filter((_body, at) => !gone.includes(at))
      const reply = await ask(run, { type: 'leveret.queues' })
      const [info] = reply?.type === 'leveret.queues-ok' ? reply.queues : []
      expect([info?.ready, info?.readyBytes]).toEqual([left.length, left.join('').length])
      await run.publish('q', 'last')
      expect(await run.take('q')).toEqual([...left, 'last'])
    },
  )

  test('all of a page, and of a queue, can go', async () => {
    const [folder, run, bodies] = await filled(120)
    for (const body of bodies) expect(countOf(await ask(run, cancel(body.split(' ')[0] as string)))).toBe(1)
    expect(await run.take('q')).toEqual([])
    await run.publish('q', 'new')
    folder.kill(true)
    const again = await folder.open()
    expect(await again.take('q')).toEqual(['new'])
  })

  test('what is hidden in slots of every length goes, also while it moves from one to another', async () => {
    const [, run] = await filled(0)
    const delays = Array.from({ length: 300 }, (_one, at) => 500 + at * at * 10)
    for (const ms of delays) post(run, `h${ms}`, true, { 'x-leveret-delay': ms })
    await run.settle(600)
    for (const ms of delays.slice(10)) {
      if (ms % 3 !== 0) continue
      const before = await ask(run, cancel(`h${ms}`))
      // Those that are due by now are ready.
      expect(countOf(before)).toBe(1)
      await run.settle(50)
    }
    await run.settle(1_000_000)
    const left = delays.filter((ms, at) => at < 10 || ms % 3 !== 0).map((ms) => `h${ms}`)
    expect(await run.take('q')).toEqual(left)
  })

  test('a body in a file goes with its message', async () => {
    const folder = new SimFolder()
    let run = await folder.open()
    await run.declare('q')
    const sink = run.bodies.create(9_000, { drained: () => {}, stored: () => {} })
    sink.write(Buffer.alloc(9_000, 'x'), 0, 9_000)
    sink.end()
    await run.settle(500)
    const encoded = encodeProperties({ messageId: 'large', deliveryMode: 2 })
    run.channel.port.publish(Message.referring('', 'q', encoded, sink.reference), false)
    await run.settle(500)
    expect(folder.files().filter((name) => name.startsWith('body/'))).toHaveLength(1)
    expect(countOf(await ask(run, cancel('large')))).toBe(1)
    await run.settle(3_000)
    expect(folder.files().filter((name) => name.startsWith('body/'))).toEqual([])
    await run.close()
    run = await folder.open()
    expect(await run.take('q')).toEqual([])
  })
})

test('a delivery that was given back for later is removed, and those of its key go on', async () => {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: { 'x-leveret-keyed': true } })
  for (const body of ['a1', 'a2']) {
    channel.publish('', 'q', body, { headers: { 'x-leveret-key': 'a' }, properties: { messageId: body } })
  }
  channel.consume('q')
  const headers = { 'x-leveret-delivery': 1, 'x-leveret-delay': 60_000 }
  channel.publish('leveret.control', 'retry', '', { headers })
  channel.takeBodies()
  expect(channel.ask(cancel('a1'))).toEqual({ type: 'leveret.cancelled', count: 1 })
  expect(channel.takeBodies()).toEqual(['a2'])
  core.clock.advance(120_000)
  expect(channel.takeBodies()).toEqual([])
  expect(channel.ask(cancel('a1'))).toEqual({ type: 'leveret.cancelled', count: 0 })
})

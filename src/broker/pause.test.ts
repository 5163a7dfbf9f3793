// Queues that are paused: they take messages and hand out none, until somebody lets them go on.
import { describe, expect, test } from 'vitest'
import type { Command } from '../model/command.ts'
import { limits } from '../model/limits.ts'
import { namespaces } from '../model/namespaces.ts'
import { ControlledStore } from '../testing/controlled-store.ts'
import { type Core, type CoreChannel, consume, declareQueue, openCore } from '../testing/core-harness.ts'

const control = 'leveret.control'

function pause(queue = 'q', paused = true): Command {
  return { type: 'leveret.pause', queue, paused }
}

async function open(values: Parameters<typeof declareQueue>[1] = {}): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.ask(declareQueue('q', values))
  return [core, channel]
}

function isPaused(channel: CoreChannel, queue = 'q'): boolean | undefined {
  const reply = channel.ask({ type: 'leveret.queues' })
  return reply.type === 'leveret.queues-ok' ? reply.queues.find(({ name }) => name === queue)?.paused : undefined
}

describe('a paused queue', () => {
  test('takes messages and hands out none, to consumers that were there, to new ones, and to basic.get', async () => {
    const [, channel] = await open()
    channel.consume('q', { tag: 'old' })
    expect(channel.ask(pause())).toEqual({ type: 'ok' })
    for (const body of ['1', '2']) channel.publish('', 'q', body)
    channel.consume('q', { tag: 'new' })
    expect(channel.takeBodies()).toEqual([])
    expect(channel.get('q').type).toBe('basic.get-empty')
    expect(channel.counts('q')).toEqual({ ready: 2, unacked: 0, consumers: 2 })
  })

  test('hands out everything in order as soon as it goes on', async () => {
    const [, channel] = await open()
    channel.ask(pause())
    channel.consume('q')
    for (const body of ['1', '2', '3']) channel.publish('', 'q', body)
    channel.ask(pause('q', false))
    expect(channel.takeBodies()).toEqual(['1', '2', '3'])
  })

  test('lets consumers settle and return what they have, and keeps what comes back', async () => {
    const [core, channel] = await open()
    channel.consume('q')
    for (const body of ['1', '2']) channel.publish('', 'q', body)
    channel.ask(pause())
    channel.port.ack(1, false)
    channel.port.reject(2, false, true)
    core.settle()
    expect(channel.counts('q')).toEqual({ ready: 1, unacked: 0, consumers: 1 })
    channel.takeBodies()
    channel.ask(pause('q', false))
    expect(channel.takeBodies()).toEqual(['2'])
  })

  test('drops what expires, what is too much, and lets appear what is due', async () => {
    const [core, channel] = await open({ arguments: { 'x-max-length': 2 } })
    channel.consume('q')
    channel.ask(pause())
    channel.publish('', 'q', 'due', { headers: { 'x-leveret-delay': 100 } })
    for (const body of ['1', '2', '3']) channel.publish('', 'q', body)
    expect(channel.counts('q')?.ready).toBe(2)
    channel.publish('', 'q', 'short', { properties: { expiration: '10' } })
    channel.ask({ type: 'queue.purge', queue: 'q' })
    channel.publish('', 'q', 'late', { properties: { expiration: '10' } })
    channel.publish('', 'q', 'later', { headers: { 'x-leveret-delay': 100 } })
    core.clock.advance(11)
    expect(channel.counts('q')?.ready).toBe(0)
    core.clock.advance(200)
    expect(channel.counts('q')?.ready).toBe(1)
    channel.ask(pause('q', false))
    expect(channel.takeBodies()).toEqual(['later'])
  })

  test('is said to be paused, and no more when it goes on', async () => {
    const [, channel] = await open()
    expect(isPaused(channel)).toBe(false)
    channel.ask(pause())
    channel.ask(pause())
    expect(isPaused(channel)).toBe(true)
    channel.ask(pause('q', false))
    expect(isPaused(channel)).toBe(false)
  })

  test('that is deleted and declared anew is not paused', async () => {
    const [, channel] = await open()
    channel.ask(pause())
    channel.deleteQueue('q')
    channel.declareQueue('q')
    channel.consume('q')
    channel.publish('', 'q', '1')
    expect(channel.takeBodies()).toEqual(['1'])
  })

  test('can be one of many, but not of more than can be remembered', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const channel = await core.channel()
    for (let at = 0; at < namespaces.pauses.notesMax; at++) {
      store.notes.put(namespaces.pauses, `other ${at}`, '', 0, false)
    }
    channel.ask(declareQueue('q'))
    expect(channel.refusal(pause())).toContain(`the queue 'q' cannot be paused: ${limits.notesMax} are`)
  })
})

test('the answer comes when it is durable, also to whoever finds it done', async () => {
  const store = new ControlledStore()
  const core = await openCore({ store })
  const channel = await core.channel()
  const other = await core.channel()
  channel.give(declareQueue('q', { durable: true }))
  core.settle()
  store.sync()
  core.settle()
  channel.takeLines()
  channel.give(pause())
  core.settle()
  other.give(pause())
  core.settle()
  expect([channel.takeLines(), other.takeLines()]).toEqual([[], []])
  expect(store.frames.at(-1)).toEqual(['note 1 '])
  store.sync()
  core.settle()
  expect(channel.takeLines()).toEqual([expect.stringMatching(/ ok$/)])
  expect(other.takeLines()).toEqual([expect.stringMatching(/ ok$/)])
})

describe('asked through leveret.control', () => {
  async function asking(): Promise<[Core, CoreChannel]> {
    const [core, channel] = await open()
    channel.declareQueue('answers')
    return [core, channel]
  }

  function ask(channel: CoreChannel, body: string): string {
    channel.publish(control, 'pause', body, { properties: { replyTo: 'answers' } })
    const reply = channel.get('answers', true)
    if (reply.type !== 'basic.get-ok') return 'none'
    return `${reply.message.decodeProperties().type} ${reply.message.body.toString()}`
  }

  test('a queue pauses and goes on', async () => {
    const [, channel] = await asking()
    expect(ask(channel, '{"queue":"q","paused":true}')).toBe('leveret.ok {}')
    expect(isPaused(channel)).toBe(true)
    expect(ask(channel, '{"queue":"q","paused":false}')).toBe('leveret.ok {}')
    expect(isPaused(channel)).toBe(false)
  })

  test.each([
    ['{"queue":"none","paused":true}', 'NOT_FOUND', "no queue 'none' in vhost '/'"],
    ['{"queue":"q"}', 'PRECONDITION_FAILED', 'pause: paused is missing'],
    ['{"queue":"q","paused":1}', 'PRECONDITION_FAILED', 'pause: paused cannot be 1'],
    ['nonsense', 'PRECONDITION_FAILED', 'pause: its body is no JSON'],
  ])('%s is refused', async (body, code, text) => {
    const [, channel] = await asking()
    expect(ask(channel, body)).toBe(`leveret.error ${JSON.stringify({ code, text })}`)
    expect(isPaused(channel)).toBe(false)
  })

  test('a queue that is exclusive answers to its own session alone', async () => {
    const core = await openCore()
    const [one, other] = [await core.channelOf('guest'), await core.channelOf('guest')]
    for (const channel of [one, other]) channel.ask(declareQueue('answers'))
    one.ask(declareQueue('own', { exclusive: true }))
    expect(ask(other, '{"queue":"own","paused":true}')).toContain('RESOURCE_LOCKED')
    expect(ask(one, '{"queue":"own","paused":true}')).toBe('leveret.ok {}')
    one.ask(consume('own'))
  })
})

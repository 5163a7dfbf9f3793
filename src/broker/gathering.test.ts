// A queue that gathers answers for the message at its head, in plain AMQP.
import { describe, expect, test } from 'vitest'
import { ControlledStore } from '../testing/controlled-store.ts'
import { type CoreChannel, declareQueue, openCore } from '../testing/core-harness.ts'

async function open(count: number, to = 'album'): Promise<CoreChannel> {
  const channel = await (await openCore()).channel()
  channel.ask(declareQueue('album'))
  const table = { 'x-leveret-gather': count, 'x-leveret-gather-to': to }
  channel.ask(declareQueue('gather', { arguments: table }))
  return channel
}

const ready = (channel: CoreChannel, queue: string): number | undefined => channel.counts(queue)?.ready

describe('a queue that gathers', () => {
  test('passes its first message on when all answers are there, and keeps those', async () => {
    const channel = await open(2)
    channel.publish('', 'gather', 'parent')
    channel.publish('', 'gather', 'first')
    expect([ready(channel, 'gather'), ready(channel, 'album')]).toEqual([2, 0])
    channel.publish('', 'gather', 'second')
    expect([ready(channel, 'gather'), ready(channel, 'album')]).toEqual([2, 1])
    const reply = channel.get('album')
    expect(reply.type === 'basic.get-ok' && reply.message.body.toString()).toBe('parent')
    const headers = reply.type === 'basic.get-ok' ? reply.message.decodeProperties().headers : undefined
    expect(headers?.get('x-leveret-gathered')?.value).toBe('gather')
    channel.publish('', 'gather', 'one too many')
    expect([ready(channel, 'album'), ready(channel, 'gather')]).toEqual([0, 3])
  })

  test('passes it on in one frame of the log, so that a crash leaves it in one of both places', async () => {
    const store = new ControlledStore()
    const channel = await (await openCore({ store })).channel()
    for (const [name, table] of [
      ['album', {}],
      ['gather', { 'x-leveret-gather': 1, 'x-leveret-gather-to': 'album' }],
    ] as const) {
      channel.give(declareQueue(name, { durable: true, arguments: table }))
      store.commit()
      store.sync()
    }
    const persistent = { persistent: true }
    channel.publish('', 'gather', 'parent', persistent)
    store.sync()
    channel.publish('', 'gather', 'answer', persistent)
    expect(store.frames.at(-1)).toEqual(['publish parent to 1:1', 'settled 2 1 1'])
  })

  test('keeps its parent as long as there is no queue for it', async () => {
    const channel = await open(1, 'nowhere')
    channel.publish('', 'gather', 'parent')
    channel.publish('', 'gather', 'answer')
    expect(ready(channel, 'gather')).toBe(2)
    channel.ask(declareQueue('nowhere'))
    channel.publish('', 'gather', 'another')
    expect(ready(channel, 'nowhere')).toBe(1)
  })

  test.each([
    ['no target', { 'x-leveret-gather': 2 }],
    ['no count', { 'x-leveret-gather': 0, 'x-leveret-gather-to': 'album' }],
    ['too many', { 'x-leveret-gather': 1_000_000, 'x-leveret-gather-to': 'album' }],
    ['a number where a name is to be', { 'x-leveret-gather': 1, 'x-leveret-gather-to': 5 }],
  ])('is refused with %s', async (_, table) => {
    const channel = await (await openCore()).channel()
    expect(() => channel.ask(declareQueue('gather', { arguments: table }))).toThrow('PRECONDITION_FAILED')
  })
})

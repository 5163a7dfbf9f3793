// Deliveries that are given back for later: at their old place, with those of their key behind them, whatever ends meanwhile.
import { describe, expect, test } from 'vitest'
import type { PlainValue } from '../model/field-table.ts'
import { type Core, type CoreChannel, declareQueue, makeMessage, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'

function retryOf(tag: number, delay: number, more: Record<string, PlainValue> = {}): Record<string, PlainValue> {
  return { 'x-leveret-delivery': tag, 'x-leveret-delay': delay, 'x-leveret-attempt': 2, ...more }
}

async function stage(keyed = true): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: keyed ? { 'x-leveret-keyed': true } : {} })
  for (const body of ['a1', 'a2', 'b1']) {
    channel.publish('', 'q', body, { headers: { 'x-leveret-key': body.charAt(0) } })
  }
  channel.consume('q')
  return [core, channel]
}

function giveBack(channel: CoreChannel, tag: number, delay: number): void {
  channel.publish('leveret.control', 'retry', '', { headers: retryOf(tag, delay) })
}

function attemptOf(channel: CoreChannel): unknown {
  return channel.deliveries.at(-1)?.message.decodeProperties().headers?.get('x-leveret-attempt')?.value
}

describe('a delivery that is given back for later', () => {
  test('comes again when it is due, and those of its key wait for it', async () => {
    const [core, channel] = await stage()
    expect(channel.takeBodies()).toEqual(['a1', 'b1'])
    giveBack(channel, 1, 1_000)
    channel.ack(2)
    core.clock.advance(999)
    expect(channel.takeBodies()).toEqual([])
    expect(channel.counts('q')).toMatchObject({ ready: 1, unacked: 0 })
    core.clock.advance(1)
    expect(attemptOf(channel)).toBe(2)
    expect(channel.takeBodies()).toEqual(['a1'])
    channel.ack(3)
    expect(channel.takeBodies()).toEqual(['a2'])
    expect(attemptOf(channel)).toBeUndefined()
  })

  test('holds nobody back in a queue without keys', async () => {
    const [core, channel] = await stage(false)
    channel.ack(2)
    channel.ack(3)
    giveBack(channel, 1, 1_000)
    channel.publish('', 'q', 'later')
    expect(channel.takeBodies()).toEqual(['a1', 'a2', 'b1', 'later'])
    core.clock.advance(1_000)
    expect(channel.takeBodies()).toEqual(['a1'])
  })

  test('counts as delayed, and goes with its queue', async () => {
    const [, channel] = await stage()
    giveBack(channel, 1, 60_000)
    const reply = channel.ask({ type: 'leveret.queues' })
    expect(reply.type === 'leveret.queues-ok' ? reply.queues[0] : null).toMatchObject({
      delayed: 1,
      ready: 1,
      unacked: 1,
    })
    expect(channel.ask({ type: 'queue.purge', queue: 'q' })).toMatchObject({ messageCount: 2 })
    channel.publish('', 'q', 'a3', { headers: { 'x-leveret-key': 'a' } })
    channel.takeBodies()
    channel.deleteQueue('q')
    expect(channel.has('q')).toBe(false)
  })

  test('is given back with the commit of a transaction, or not at all', async () => {
    const [core, channel] = await stage()
    channel.takeBodies()
    channel.ask({ type: 'tx.select' })
    giveBack(channel, 1, 10)
    core.clock.advance(1_000)
    expect(channel.takeBodies()).toEqual([])
    channel.ask({ type: 'tx.rollback' })
    giveBack(channel, 1, 10)
    channel.ask({ type: 'tx.commit' })
    core.clock.advance(1_000)
    expect(channel.takeBodies()).toEqual(['a1'])
  })

  test('is one unit with what a handler publishes', async () => {
    const [core, channel] = await stage()
    channel.takeBodies()
    channel.commit([2], [makeMessage('leveret.control', 'retry', '', { headers: retryOf(1, 10) })])
    core.clock.advance(10)
    expect(channel.takeBodies()).toEqual(['a1'])
  })

  test.each([
    [{ 'x-leveret-delay': 1 }, 'a retry names its delivery'],
    [{ 'x-leveret-delivery': 'x' }, 'a retry names its delivery'],
    [{ 'x-leveret-delivery': 99 }, 'unknown delivery tag 99'],
    [{ 'x-leveret-delivery': 1, 'x-leveret-delay': -1 }, 'invalid x-leveret-delay'],
    [{ 'x-leveret-delivery': 1, 'x-leveret-error': 'x'.repeat(20_000) }, 'at most 16384 are remembered'],
  ])('is refused with %j', async (headers, text) => {
    const [, channel] = await stage()
    channel.publish('leveret.control', 'retry', '', { headers })
    expect(channel.error?.message).toContain(text)
  })

  test('cannot be settled a second time', async () => {
    const [, channel] = await stage()
    giveBack(channel, 1, 10)
    channel.ack(1)
    expect(channel.error?.message).toContain('unknown delivery tag 1')
  })

  test.each(['close', 'kill', 'power'] as const)(
    'waits for the rest of its time after a %s, and is told its attempt',
    async (end) => {
      const folder = new SimFolder()
      let run = await folder.open()
      run.channel.give(declareQueue('q', { durable: true, arguments: { 'x-leveret-keyed': true } }))
      await run.settle()
      for (const body of ['a1', 'a2']) run.post('q', body, { 'x-leveret-key': 'a' })
      await run.settle()
      run.channel.give({ type: 'basic.get', queue: 'q', noAck: false })
      await run.settle()
      run.channel.post('leveret.control', 'retry', '', { headers: retryOf(1, 60_000) })
      await run.settle()
      const parkedAt = folder.clock.realtimeMs()
      if (end === 'close') await run.close()
      else folder.kill(end === 'power')
      run = await folder.open()
      run.channel.give({
        type: 'basic.consume',
        queue: 'q',
        consumerTag: 'c',
        noAck: false,
        exclusive: false,
        arguments: new Map(),
      })
      await run.settle(1_000)
      expect(run.channel.takeBodies()).toEqual([])
      await run.settle(60_000)
      expect(folder.clock.realtimeMs() - parkedAt).toBeGreaterThanOrEqual(60_000)
      expect(attemptOf(run.channel)).toBe(2)
      expect(run.channel.takeBodies()).toEqual(['a1'])
      run.channel.port.ack(1, false)
      await run.settle(1_000)
      expect(run.channel.takeBodies()).toEqual(['a2'])
    },
  )
})

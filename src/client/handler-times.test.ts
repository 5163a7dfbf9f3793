// Leases of handlers, rates of workers, and how much is done.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker } from '../../test/support/white-box-broker.ts'
import { toTable } from '../model/field-table.ts'
import type { Queue } from './queue.ts'
import type { HandlerContext } from './task.ts'

async function stage(attempts = 2): Promise<{ test: WhiteBoxBroker; queue: Queue }> {
  const test = await createWhiteBoxBroker({ storage: 'memory' })
  const bus = await test.connect()
  const retry = { attempts, min: 0, jitter: false }
  return { test, queue: await bus.createQueue('jobs', { retry }) }
}

describe('a lease', () => {
  it('is lost by a handler that takes too long: somebody else gets the message, and its result counts for nothing', async () => {
    const { test, queue } = await stage()
    const contexts: HandlerContext[] = []
    const finish: ((value: string) => void)[] = []
    const worker = queue.process(
      (_message, context) => {
        contexts.push(context)
        void context.signal
        return new Promise<string>((resolve) => finish.push(resolve))
      },
      { lease: '1s' },
    )
    const receipt = await queue.send('x', { receipt: true })
    await test.advance(1_001)
    expect(contexts).toHaveLength(2)
    expect(contexts[0]?.signal).toMatchObject({ aborted: true, reason: { code: 'E_LEASE_LOST' } })
    expect(() => contexts[0]?.extend()).toThrow('E_LEASE_LOST')
    expect(() => contexts[0]?.send(queue, 1)).toThrow('E_LEASE_LOST')
    expect(contexts[1]?.attempt).toBe(2)
    finish[0]?.('too late')
    finish[1]?.('in time')
    await test.settle()
    expect(await receipt.processed()).toBe('in time')
    expect(worker.stats()).toMatchObject({ running: 0, processed: 1, retried: 1 })
    expect(test.errors).toMatchObject([{ code: 'E_LEASE_LOST' }])
  })

  it('lasts as long as it is extended', async () => {
    const { test, queue } = await stage()
    let attempts = 0
    queue.process(
      async (_message, context) => {
        attempts++
        for (let round = 0; round < 5; round++) {
          await test.sleep(900)
          context.extend()
        }
        context.extend('10s')
        await test.sleep(9_900)
      },
      { lease: '1s' },
    )
    await queue.send('x')
    await test.advance(20_000)
    expect(attempts).toBe(1)
    expect(await queue.stats()).toMatchObject({ length: 0 })
  })

  it('must be there to be extended', async () => {
    const { test, queue } = await stage(1)
    queue.process((_message, context) => context.extend())
    await queue.send('x')
    await test.settle()
    expect(test.errors).toMatchObject([{ code: 'E_BAD_OPTION' }])
  })
})

describe('a rate', () => {
  it('holds over any time, with no more than its count at once', async () => {
    const { test, queue } = await stage()
    const starts: number[] = []
    queue.process(() => void starts.push(test.clock.monotonicMs()), { concurrency: 50, rate: '10/s' })
    await queue.sendMany(Array.from({ length: 40 }, (_, at) => at))
    await test.settle()
    expect(starts).toHaveLength(10)
    await test.advance(3_100)
    expect(starts).toHaveLength(40)
    for (const from of starts)
      expect(starts.filter((at) => at >= from && at < from + 1_000).length).toBeLessThanOrEqual(20)
    expect(starts.at(-1)).toBeGreaterThanOrEqual(2_990)
  })
})

describe('progress', () => {
  it('reaches a sender that asked for it, the last word in any case', async () => {
    const { test, queue } = await stage()
    const told: unknown[] = []
    queue.process(async (_message, context) => {
      for (let share = 0; share <= 10; share++) context.progress(share / 10)
      await test.sleep(10)
      return 'done'
    })
    await queue.send('x', {
      onDelivered: () => told.push('delivered'),
      onProgress: (share) => told.push(share),
      onProcessed: () => told.push('processed'),
    })
    await test.advance(20)
    expect(told[0]).toBe('delivered')
    expect(told.at(-2)).toBe(1)
    expect(told.at(-1)).toBe('processed')
  })

  it('costs a sender nothing that did not ask, and is a share', async () => {
    const { test, queue } = await stage(1)
    queue.process((message, context) => context.progress(message.data as number))
    const plain = await test.connectPlain()
    const replyTo = await plain.replyQueue()
    plain.publish('jobs', '0.5', { replyTo, headers: toTable({ 'x-leveret-receipt': 'processed' }) })
    await queue.send(2)
    await test.settle()
    expect(plain.received.map(({ headers }) => headers['x-leveret-outcome'])).toEqual(['processed'])
    expect(test.errors).toMatchObject([{ code: 'E_BAD_OPTION' }])
  })
})

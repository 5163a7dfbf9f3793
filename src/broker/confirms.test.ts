// Confirms: cumulative, in order, and never for what is not on disk.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ControlledStore } from '../testing/controlled-store.ts'
import { type Core, type CoreChannel, declareQueue, openCore } from '../testing/core-harness.ts'
import { Confirms } from './confirms.ts'

async function open(): Promise<[CoreChannel, ControlledStore, Core]> {
  const store = new ControlledStore()
  const core = await openCore({ store })
  const channel = await core.channel()
  channel.give(declareQueue('durable', { durable: true }))
  channel.give(declareQueue('durable too', { durable: true }))
  channel.give(declareQueue('transient'))
  core.settle()
  store.sync()
  channel.ask({ type: 'confirm.select' })
  channel.takeLines()
  return [channel, store, core]
}

describe('publisher confirms', () => {
  test('count from 1 and begin with confirm.select; a second one changes nothing', async () => {
    const core = await openCore()
    const channel = await core.channel()
    expect(channel.publish('', 'q', 'x')).toBe(0)
    channel.ask({ type: 'confirm.select' })
    expect(channel.publish('', 'q', 'x')).toBe(1)
    channel.ask({ type: 'confirm.select' })
    expect(channel.publish('', 'q', 'x')).toBe(2)
    expect(channel.takeLines()).toEqual(['1 ok', 'confirm 1', '2 ok', 'confirm 2'])
  })

  test('wait for the disk if the message is persistent and a queue that takes it is durable', async () => {
    const [channel, store] = await open()
    channel.publish('', 'durable', 'x', { persistent: true })
    expect(channel.takeLines()).toEqual([])
    store.sync()
    expect(channel.takeLines()).toEqual(['confirm 1'])
  })

  test.each([
    ['of a transient message', 'durable', false],
    ['to a queue that is not durable', 'transient', true],
    ['that no queue takes', 'missing', true],
  ])('come at the end of the turn for a publish %s', async (_what, key, persistent) => {
    const [channel, store] = await open()
    channel.publish('', key, 'x', { persistent })
    expect(channel.takeLines()).toEqual(['confirm 1'])
    expect(store.frames.flat().filter((line) => line.startsWith('publish'))).toEqual([])
  })

  test('are one for all that became durable together', async () => {
    const [channel, store] = await open()
    for (let number = 0; number < 5; number++) channel.post('', 'durable', String(number), { persistent: true })
    channel.publish('', 'transient', 'x')
    expect(channel.takeLines()).toEqual([])
    store.sync()
    expect(channel.takeLines()).toEqual(['confirm up to 6'])
  })

  test('cover nothing that is in a later frame', async () => {
    const [channel, store] = await open()
    for (let number = 0; number < 4; number++) channel.publish('', 'durable', String(number), { persistent: true })
    const first = store.openLsn - 4
    store.sync(first + 1)
    expect(channel.takeLines()).toEqual(['confirm up to 2'])
    store.sync(first + 2)
    expect(channel.takeLines()).toEqual(['confirm 3'])
    store.sync(first + 3)
    expect(channel.takeLines()).toEqual(['confirm 4'])
    store.sync()
    expect(channel.takeLines()).toEqual([])
  })

  test('never come early, in any mix of publishes and syncs', async () => {
    const step = fc.oneof(
      fc.record({ key: fc.constantFrom('durable', 'transient', 'missing'), persistent: fc.boolean() }),
      fc.constantFrom('turn' as const, 'sync one' as const, 'sync all' as const),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const [channel, store, core] = await open()
        /** For each publish the frame it is in, as the store has it; 0 = none. */
        const frames: number[] = []
        let confirmed = 0
        const check = (): void => {
          for (const line of channel.takeLines()) {
            const [, upTo, sequence] = /^confirm (up to )?(\d+)$/.exec(line) ?? []
            const last = Number(sequence)
            expect(last).toBeGreaterThan(confirmed)
            if (upTo === undefined) expect(last).toBe(confirmed + 1)
            for (let at = confirmed; at < last; at++) expect(frames[at]).toBeLessThanOrEqual(store.durableLsn)
            confirmed = last
          }
        }
        for (const each of steps) {
          if (each === 'turn') core.settle()
          else if (each === 'sync one') store.sync(Math.min(store.durableLsn + 1, store.openLsn - 1))
          else if (each === 'sync all') store.sync()
          else {
            const isStored = each.key === 'durable' && each.persistent
            frames.push(isStored ? store.openLsn : 0)
            channel.post('', each.key, 'x', { persistent: each.persistent })
          }
          check()
        }
        core.settle()
        store.sync()
        check()
        expect(confirmed).toBe(frames.length)
      }),
      { numRuns: 300 },
    )
  })

  test('come after the return of a mandatory message', async () => {
    const [channel] = await open()
    channel.publish('', 'missing', 'x', { mandatory: true })
    channel.publish('', 'missing', 'y', { mandatory: true })
    expect(channel.takeLines()).toEqual(['return NO_ROUTE x', 'confirm 1', 'return NO_ROUTE y', 'confirm 2'])
  })

  test('come after a return that is held back by an answer which waits for the disk', async () => {
    const [channel, store] = await open()
    channel.give(declareQueue('another', { durable: true }))
    channel.publish('', 'missing', 'x', { mandatory: true })
    expect(channel.takeLines()).toEqual([])
    store.sync()
    expect(channel.takeLines()).toEqual(['5 queue.declare-ok another 0 0', 'return NO_ROUTE x', 'confirm 1'])
  })

  test('come for a message whose queue is deleted meanwhile', async () => {
    const [channel, store] = await open()
    channel.publish('', 'durable', 'x', { persistent: true })
    channel.sibling().give({ type: 'queue.delete', queue: 'durable', ifUnused: false, ifEmpty: false })
    store.sync()
    expect(channel.takeLines()).toEqual(['confirm 1'])
  })

  test('do not hold deliveries: a message is handed out while the disk is still at work', async () => {
    const [channel, store] = await open()
    channel.consume('durable', { tag: 'c' })
    channel.takeLines()
    channel.publish('', 'durable', 'x', { persistent: true })
    expect(channel.takeLines()).toEqual(['deliver c 1 x'])
    store.sync()
    expect(channel.takeLines()).toEqual(['confirm 1'])
  })

  test('are each channel’s own', async () => {
    const [channel, store] = await open()
    const other = channel.sibling()
    other.ask({ type: 'confirm.select' })
    other.takeLines()
    channel.publish('', 'durable', 'x', { persistent: true })
    other.publish('', 'transient', 'x')
    expect([channel.takeLines(), other.takeLines()]).toEqual([[], ['confirm 1']])
    store.sync()
    expect([channel.takeLines(), other.takeLines()]).toEqual([['confirm 1'], []])
  })

  test('store a fan-out once, with a route for each durable queue', async () => {
    const [channel, store] = await open()
    for (const name of ['durable', 'transient', 'durable too']) channel.give({ ...bindFanout, destination: name })
    store.commit()
    store.sync()
    channel.publish('amq.fanout', '', 'x', { persistent: true })
    expect(store.frames.at(-1)).toEqual(['publish x to 1:1 2:1'])
    expect(channel.sibling().getBody('transient')).toBe('x')
  })

  test('cannot be had on a channel in tx mode', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.ask({ type: 'tx.select' })
    expect(channel.refusal({ type: 'confirm.select' })).toBe(
      'PRECONDITION_FAILED - cannot switch from tx to confirm mode',
    )
  })
})

const bindFanout = { type: 'queue.bind' as const, exchange: 'amq.fanout', routingKey: '', arguments: new Map() }

test('runs of confirms grow with frames, not with messages', () => {
  const confirms = new Confirms()
  for (let sequence = 1; sequence <= 1_000; sequence++) confirms.add(sequence, Math.ceil(sequence / 100))
  const { runs } = confirms as unknown as { runs: { length: number } }
  expect(runs.length).toBe(10)
  expect(confirms.release(3)).toBe(300)
  expect(confirms.multiple).toBe(true)
  expect(confirms.release(3)).toBe(0)
  expect(confirms.isEmpty).toBe(false)
})

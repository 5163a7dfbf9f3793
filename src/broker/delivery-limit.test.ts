// Queues of the type quorum: how often a message may come back, and that nobody forgets how often it did.
import { describe, expect, test } from 'vitest'
import { type CoreChannel, consume, declareQueue, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'

const quorum = { 'x-queue-type': 'quorum' }
const toDead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }

function declare(channel: CoreChannel, table: Readonly<Record<string, string | number>>): void {
  channel.declareQueue('q', { durable: true, arguments: { ...quorum, ...table } })
  channel.declareQueue('dead', { durable: true })
}

async function open(table: Readonly<Record<string, string | number>>): Promise<CoreChannel> {
  const core = await openCore()
  const channel = await core.channel()
  declare(channel, table)
  return channel
}

/** Takes the first message, gives it back, and returns the count it came with; -1 if there is none. */
function bounce(channel: CoreChannel): number {
  const reply = channel.get('q')
  if (reply.type !== 'basic.get-ok') return -1
  channel.reject(reply.deliveryTag, true)
  return (reply.message.decodeProperties().headers?.get('x-delivery-count')?.value as number | undefined) ?? 0
}

describe('a queue with a delivery limit', () => {
  test('tells how often a message came back, and gives it up when it came back too often', async () => {
    const channel = await open({ 'x-delivery-limit': 2, ...toDead })
    channel.publish('', 'q', 'm')
    expect([1, 2, 3, 4].map(() => bounce(channel))).toEqual([0, 1, 2, -1])
    const dead = channel.get('dead', true)
    const headers = dead.type === 'basic.get-ok' ? dead.message.decodeProperties().headers : undefined
    expect(headers?.get('x-first-death-reason')?.value).toBe('delivery_limit')
  })

  test('drops it where there is no dead-letter exchange', async () => {
    const channel = await open({ 'x-delivery-limit': 0 })
    channel.publish('', 'q', 'm')
    expect([1, 2].map(() => bounce(channel))).toEqual([0, -1])
    expect(channel.counts('q')).toEqual({ ready: 0, unacked: 0, consumers: 0 })
  })

  test('has one of 20 unless it says otherwise, and none if that is negative', async () => {
    const channel = await open({})
    channel.publish('', 'q', 'm')
    for (let count = 0; count <= 20; count++) expect(bounce(channel)).toBe(count)
    expect(bounce(channel)).toBe(-1)
    const endless = await open({ 'x-delivery-limit': -1 })
    endless.publish('', 'q', 'm')
    for (let count = 0; count < 50; count++) expect(bounce(endless)).toBe(count)
  })

  test('counts what comes back with a channel, and tells consumers too', async () => {
    const channel = await open({ 'x-delivery-limit': 1 })
    channel.publish('', 'q', 'm')
    for (const expected of [undefined, 1]) {
      const other = channel.sibling()
      other.consume('q')
      expect(other.deliveries[0]?.message.decodeProperties().headers?.get('x-delivery-count')?.value).toBe(expected)
      other.close()
    }
    expect(channel.counts('q')?.ready).toBe(0)
  })

  test('a classic queue counts nothing', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareQueue('q')
    channel.publish('', 'q', 'm')
    for (let count = 0; count < 50; count++) expect(bounce(channel)).toBe(0)
  })

  test('gives up what brings the process down each time it is handed out', async () => {
    const folder = new SimFolder()
    let run = await folder.open()
    run.channel.give(declareQueue('q', { durable: true, arguments: { ...quorum, 'x-delivery-limit': 2, ...toDead } }))
    await run.declare('dead')
    await run.publish('q', 'poison', 'innocent')
    const bodies: string[][] = []
    for (let life = 0; life < 5; life++) {
      run.channel.give({ type: 'basic.qos', prefetchSize: 0, prefetchCount: 1, global: false })
      run.channel.give(consume('q'))
      await run.settle(200)
      bodies.push(run.channel.takeBodies())
      folder.kill()
      run = await folder.open()
    }
    // Each life before the last handed it out: once, and twice again.
    expect(bodies).toEqual([['poison'], ['poison'], ['poison'], ['innocent'], ['innocent']])
    expect(await run.take('dead')).toEqual(['poison'])
  })

  test('remembers the count over crashes', async () => {
    const folder = new SimFolder()
    let run = await folder.open()
    run.channel.give(declareQueue('q', { durable: true, arguments: { ...quorum, 'x-delivery-limit': 3, ...toDead } }))
    await run.declare('dead')
    await run.publish('q', 'm')
    for (const expected of [0, 1, 2, 3]) {
      const id = run.channel.give({ type: 'basic.get', queue: 'q', noAck: false })
      await run.settle()
      const reply = run.channel.replies.get(id)
      if (reply?.type !== 'basic.get-ok') throw new Error('the queue is empty')
      const { headers } = reply.message.decodeProperties()
      expect(headers?.get('x-delivery-count')?.value ?? 0).toBe(expected)
      run.channel.reject(reply.deliveryTag, true)
      await run.settle()
      folder.kill()
      run = await folder.open()
    }
    expect(await run.take('q')).toEqual([])
    expect(await run.take('dead')).toEqual(['m'])
  })

  test('remembers more than a checkpoint knows that was made before', async () => {
    const folder = new SimFolder()
    const options = { checkpointBytes: 1, checkpointMs: 600, checkpointSoonMs: 0 }
    let run = await folder.open('/data', options)
    run.channel.give(declareQueue('q', { durable: true, arguments: { ...quorum, 'x-delivery-limit': 9 } }))
    await run.publish('q', 'm')
    const told: unknown[] = []
    const take = async (): Promise<number> => {
      const id = run.channel.give({ type: 'basic.get', queue: 'q', noAck: false })
      await run.settle()
      const reply = run.channel.replies.get(id)
      if (reply?.type !== 'basic.get-ok') throw new Error('the queue is empty')
      told.push(reply.message.decodeProperties().headers?.get('x-delivery-count')?.value)
      return reply.deliveryTag
    }
    for (let count = 0; count < 3; count++) {
      const tag = await take()
      // While it is out for the third time.
      if (count === 2) await run.settle(1_300)
      run.channel.reject(tag, true)
    }
    run.channel.reject(await take(), true)
    // Less than until the next checkpoint.
    await run.settle(100)
    folder.kill()
    run = await folder.open('/data', options)
    await take()
    expect(told).toEqual([undefined, 1, 2, 3, 4])
  })

  test('gives up nothing when the storage has failed, and whoever listens hears of that', async () => {
    const folder = new SimFolder()
    let run = await folder.open()
    run.channel.give(declareQueue('q', { durable: true, arguments: { ...quorum, 'x-delivery-limit': 0, ...toDead } }))
    await run.declare('dead')
    await run.publish('q', 'm')
    run.channel.give({ type: 'basic.get', queue: 'q', noAck: false })
    await run.settle()
    const failures: string[] = []
    run.broker.onFailure(({ code }) => failures.push(code))
    folder.disk.fault = ({ kind }) => (kind === 'sync' ? { code: 'EIO' } : null)
    run.post('dead', 'other')
    await run.settle(3_000)
    expect(failures).toEqual(['E_STORAGE_FAILED'])
    folder.disk.fault = null
    folder.kill()
    run = await folder.open()
    expect(await run.take('q')).toEqual(['m'])
  })
})

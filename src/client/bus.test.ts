// Queues of a bus: creating, opening, counting, emptying, deleting; figures over time; what is refused and why.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker } from '../../test/support/white-box-broker.ts'
import type { Driver } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import { createTestBroker } from '../testing/kit/test-broker.ts'
import { clientLimits } from './client-limits.ts'
import { defineQueue } from './contract.ts'

const inMemory = { storage: 'memory' } as const

describe('a queue', () => {
  it('is created, opened again, counted, emptied and deleted', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    await queue.sendMany([1, 2, 3])
    const again = await bus.createQueue('jobs')
    expect(await again.count()).toEqual({ ready: 3, consumers: 0 })
    expect(await again.purge()).toBe(3)
    await queue.send(4)
    expect(await queue.delete()).toBe(1)
    await expect(queue.count()).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(queue.send(5)).rejects.toMatchObject({ code: 'E_UNROUTABLE' })
    await expect(queue.stats()).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('is refused with another definition, and can be opened as it is', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    await bus.createQueue('jobs')
    await expect(bus.createQueue('jobs', { storage: 'memory' })).rejects.toThrow("inequivalent arg 'durable'")
    const queue = await bus.openQueue('jobs')
    await queue.send(1)
    await expect(bus.openQueue('none')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('keeps messages in memory if told to', async () => {
    const test = await createWhiteBoxBroker()
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs', { storage: 'memory' })
    await queue.send(1)
    const [message] = await (await test.connectPlain()).drain('jobs')
    expect(message?.properties.deliveryMode).toBeUndefined()
  })

  it('is refused where the engine cannot do what is asked', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    await expect(bus.createQueue('jobs', { storage: 'disk' })).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
    await expect(bus.createQueue('jobs', { keys: { order: 'none' as never } })).rejects.toThrow("'strict' or 'relaxed'")
    await expect(bus.createQueue('jobs', { maxLenght: 10 } as never)).rejects.toThrow("no option 'maxLenght'")
    await expect(bus.createQueue('jobs', { overflow: 'drop' as never })).rejects.toThrow("'reject' or 'drop-oldest'")
    await expect(bus.createQueue('jobs', { deadLetter: 'jobs' })).rejects.toThrow('its own dead-letter queue')
    await expect(bus.createQueue('jobs', { arguments: { 'x-queue-type': 'stream' } })).rejects.toThrow('stream')
    await expect(bus.serve()).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
  })

  it.each([
    ['', 'is empty'],
    ['amq.mine', "begins with 'amq.'"],
    ['x'.repeat(256), 'at most 255 fit'],
    ['ä'.repeat(128), 'has 256 bytes'],
    [undefined, 'a queue'],
  ])('has a name that can be one, not %j', async (name, why) => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    await expect(bus.createQueue(name as string)).rejects.toThrow(why)
    expect(() => defineQueue(name as string)).toThrow(expect.objectContaining({ code: 'E_BAD_OPTION' }))
  })
})

describe('figures', () => {
  it('are length and rates, first since the bus was opened and then over ten seconds', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    await queue.sendMany(Array.from({ length: 10 }, () => 'xx'))
    await test.advance(2_000)
    expect(await queue.stats()).toEqual({
      name: 'jobs',
      durability: 'none',
      deliverAfter: 'accept',
      ready: 10,
      readyBytes: 40,
      unacked: 0,
      delayed: 0,
      length: 10,
      consumers: 0,
      paused: false,
      sendRate: 5,
      sendBytesRate: 20,
      receiveRate: 0,
      receiveBytesRate: 0,
      redeliveryRate: 0,
      processingRate: 0,
      processingBytesRate: 0,
      windowSeconds: 2,
      oldestSeconds: 2,
      waitSeconds: null,
      processingSeconds: null,
      flowWindowSeconds: 2,
    })
    queue.process(() => {}, { concurrency: 10 })
    await test.advance(2_000)
    expect(await queue.stats()).toMatchObject({ length: 0, sendRate: 2.5, receiveRate: 2.5, processingRate: 2.5 })
    await test.advance(20_000)
    expect(await queue.stats()).toMatchObject({ sendRate: 0, processingRate: 0, windowSeconds: 10 })
    expect((await bus.stats()).map(({ name }) => name)).toEqual(['jobs'])
  })

  it('are not sampled before somebody asks, nor for ever after', async () => {
    const test = await createWhiteBoxBroker(inMemory)
    const { clock } = test
    const bus = await test.connect()
    await bus.createQueue('jobs')
    await test.settle()
    expect(clock.pendingEvents).toBe(0)
    await bus.stats()
    expect(clock.pendingEvents).toBe(1)
    await test.advance(clientLimits.statsIdleMs + 2 * clientLimits.statsIntervalMs)
    expect(clock.pendingEvents).toBe(0)
    await bus.stats()
    await bus.close()
    expect(clock.pendingEvents).toBe(0)
  })

  it('are refused where the broker cannot be asked', async () => {
    const test = await createWhiteBoxBroker({ ...inMemory, wiring: { statistics: () => false } })
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    await expect(queue.stats()).rejects.toThrow('queue.count() gives ready messages and consumers everywhere')
  })
})

describe('a bus', () => {
  it('takes commands one after the other, and survives refusals in between', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const results = await Promise.allSettled([
      bus.createQueue('a'),
      bus.openQueue('missing'),
      bus.createQueue('b'),
      bus.openQueue('missing'),
      bus.createQueue('c'),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'])
  })

  it('closes once, and refuses everything afterwards', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    await Promise.all([bus.close(), bus.close(), bus[Symbol.asyncDispose]()])
    await expect(bus.serve()).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(queue.stats()).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(queue.send(1, { receipt: true })).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('is told when the broker ends it, with all that waits', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    const worker = queue.process(() => {})
    await worker.ready()
    const next = queue.receive().next()
    next.catch(() => {})
    const receipt = await queue.send(1, { receipt: true })
    await receipt.processed()
    await test.restart()
    await expect(worker.closed()).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(next).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    expect(test.errors[0]).toMatchObject({ code: 'E_CONNECTION_LOST' })
    await bus.close()
  })

  it('checks its options', async () => {
    await using test = await createTestBroker(inMemory)
    await expect(test.connect({ highWater: 0 })).rejects.toThrow('highWater is 0')
    await expect(test.connect({ retries: 1 } as never)).rejects.toThrow("there is no option 'retries'")
  })

  it('survives an onError that throws', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect({
      onError: () => {
        throw new Error('in onError')
      },
    })
    const queue = await bus.createQueue('jobs', { retry: { attempts: 1 } })
    const worker = queue.process(() => Promise.reject(new Error('no')))
    await queue.send(1)
    await test.advance(0)
    expect(worker.stats().deadLettered).toBe(1)
  })
})

describe('a bus', () => {
  it('says what its engine can do', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    expect(bus.capabilities()).toMatchObject({ delay: { support: 'native' }, storage: { support: 'degraded' } })
    const wiring = { statistics: () => false, inMemory: false }
    const foreign = await (await createWhiteBoxBroker({ ...inMemory, wiring })).connect()
    const capabilities = foreign.capabilities()
    expect(capabilities).toMatchObject({ pause: { support: 'refused' }, retry: { support: 'degraded' } })
    for (const { support, reason } of Object.values(capabilities)) expect(reason === null).toBe(support === 'native')
  })

  it('explains that a queue is there with another definition', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    await bus.createQueue('jobs', { maxLength: 10 })
    await expect(bus.createQueue('jobs', { maxLength: 20 })).rejects.toMatchObject({
      code: 'E_QUEUE_DIFFERS',
      message: expect.stringContaining("inequivalent arg 'x-max-length' for queue 'jobs'"),
    })
    expect(await (await bus.createQueue('jobs', { maxLength: 10 })).count()).toMatchObject({ ready: 0 })
  })
})

it('a bus whose session ends before it is there says so to whoever uses it', async () => {
  const ending: Driver = {
    authenticate: (login) => test.driver.authenticate(login),
    openSession: async (login, events) => {
      const session = await test.driver.openSession(login, events)
      events.closed(new BrokerError('CONNECTION_FORCED', 'gone'))
      return session
    },
    close: async () => {},
  }
  const test: WhiteBoxBroker = await createWhiteBoxBroker({ ...inMemory, wiring: { driver: ending } })
  const bus = await test.connect()
  await expect(bus.createQueue('jobs')).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
})

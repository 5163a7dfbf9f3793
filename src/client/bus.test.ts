// Queues of a bus: creating, opening, counting, emptying, deleting; figures over time; what is refused and why.
import { describe, expect, expectTypeOf, it } from 'vitest'
import { openWorld, PlainClient } from '../../test/support/client-world.ts'
import type { Driver } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import { SimRandom } from '../testing/sim-random.ts'
import { openBus } from './bus.ts'
import { clientLimits } from './client-limits.ts'
import { defineQueue } from './contract.ts'
import type { IncomingMessage } from './incoming.ts'
import type { Queue } from './queue.ts'
import type { Receipt } from './receipt.ts'
import type { Sent } from './sent.ts'
import type { StandardSchema } from './standard-schema.ts'

describe('a queue', () => {
  it('is created, opened again, counted, emptied and deleted', async () => {
    const { bus, run } = await openWorld()
    const queue = await run(bus.createQueue('jobs'))
    await run(queue.sendMany([1, 2, 3]))
    const again = await run(bus.createQueue('jobs'))
    expect(await run(again.count())).toEqual({ ready: 3, consumers: 0 })
    expect(await run(again.purge())).toBe(3)
    await run(queue.send(4))
    expect(await run(queue.delete())).toBe(1)
    await expect(run(queue.count())).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(run(queue.send(5))).rejects.toMatchObject({ code: 'E_UNROUTABLE' })
    await expect(run(queue.stats())).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('is refused with another definition, and can be opened as it is', async () => {
    const { bus, run } = await openWorld()
    await run(bus.createQueue('jobs'))
    await expect(run(bus.createQueue('jobs', { storage: 'memory' }))).rejects.toThrow("inequivalent arg 'durable'")
    const queue = await run(bus.openQueue('jobs'))
    await run(queue.send(1))
    await expect(run(bus.openQueue('none'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('keeps messages in memory if told to', async () => {
    const world = await openWorld()
    const queue = await world.run(world.bus.createQueue('jobs', { storage: 'memory' }))
    await world.run(queue.send(1))
    const [message] = await (await PlainClient.open(world)).drain('jobs')
    expect(message?.properties.deliveryMode).toBeUndefined()
  })

  it('is refused where the engine cannot do what is asked', async () => {
    const { bus, run } = await openWorld()
    await expect(run(bus.createQueue('jobs', { storage: 'disk' }))).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
    await expect(run(bus.createQueue('jobs', { keys: { order: 'none' as never } }))).rejects.toThrow(
      "'strict' or 'relaxed'",
    )
    await expect(run(bus.createQueue('jobs', { maxLenght: 10 } as never))).rejects.toThrow("no option 'maxLenght'")
    await expect(run(bus.createQueue('jobs', { overflow: 'drop' as never }))).rejects.toThrow(
      "'reject' or 'drop-oldest'",
    )
    await expect(run(bus.createQueue('jobs', { deadLetter: 'jobs' }))).rejects.toThrow('its own dead-letter queue')
    await expect(run(bus.createQueue('jobs', { arguments: { 'x-queue-type': 'stream' } }))).rejects.toThrow('stream')
    await expect(bus.serve()).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
  })

  it.each([
    ['', 'is empty'],
    ['amq.mine', "begins with 'amq.'"],
    ['x'.repeat(256), 'at most 255 fit'],
    ['ä'.repeat(128), 'has 256 bytes'],
    [undefined, 'a queue'],
  ])('has a name that can be one, not %j', async (name, why) => {
    const { bus } = await openWorld()
    await expect(bus.createQueue(name as string)).rejects.toThrow(why)
    expect(() => defineQueue(name as string)).toThrow(expect.objectContaining({ code: 'E_BAD_OPTION' }))
  })
})

describe('figures', () => {
  it('are length and rates, first since the bus was opened and then over ten seconds', async () => {
    const { bus, clock, run } = await openWorld()
    const queue = await run(bus.createQueue('jobs'))
    await run(queue.sendMany(Array.from({ length: 10 }, () => 'xx')))
    await clock.advance(2_000)
    expect(await run(queue.stats())).toEqual({
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
    })
    queue.process(() => {}, { concurrency: 10 })
    await clock.advance(2_000)
    expect(await run(queue.stats())).toMatchObject({ length: 0, sendRate: 2.5, receiveRate: 2.5, processingRate: 2.5 })
    await clock.advance(20_000)
    expect(await run(queue.stats())).toMatchObject({ sendRate: 0, processingRate: 0, windowSeconds: 10 })
    expect((await run(bus.stats())).map(({ name }) => name)).toEqual(['jobs'])
  })

  it('are not sampled before somebody asks, nor for ever after', async () => {
    const { bus, clock, run, settle } = await openWorld()
    await run(bus.createQueue('jobs'))
    await settle()
    expect(clock.pendingEvents).toBe(0)
    await run(bus.stats())
    expect(clock.pendingEvents).toBe(1)
    await clock.advance(clientLimits.statsIdleMs + 2 * clientLimits.statsIntervalMs)
    expect(clock.pendingEvents).toBe(0)
    await run(bus.stats())
    await run(bus.close())
    expect(clock.pendingEvents).toBe(0)
  })

  it('are refused where the broker cannot be asked', async () => {
    const { bus, run } = await openWorld({ wiring: { statistics: () => false } })
    const queue = await run(bus.createQueue('jobs'))
    await expect(run(queue.stats())).rejects.toThrow('queue.count() gives ready messages and consumers everywhere')
  })
})

describe('a bus', () => {
  it('takes commands one after the other, and survives refusals in between', async () => {
    const { bus, run } = await openWorld()
    const results = await run(
      Promise.allSettled([
        bus.createQueue('a'),
        bus.openQueue('missing'),
        bus.createQueue('b'),
        bus.openQueue('missing'),
        bus.createQueue('c'),
      ]),
    )
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'])
  })

  it('closes once, and refuses everything afterwards', async () => {
    const { bus, run } = await openWorld()
    const queue = await run(bus.createQueue('jobs'))
    await run(Promise.all([bus.close(), bus.close(), bus[Symbol.asyncDispose]()]))
    await expect(bus.serve()).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(run(queue.stats())).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(run(queue.send(1, { receipt: true }))).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('is told when the broker ends it, with all that waits', async () => {
    const { bus, driver, run, errors } = await openWorld()
    const queue = await run(bus.createQueue('jobs'))
    const worker = queue.process(() => {})
    await run(worker.ready())
    const next = queue.receive().next()
    next.catch(() => {})
    const receipt = await run(queue.send(1, { receipt: true }))
    await run(receipt.processed())
    await run(driver.close())
    await expect(run(worker.closed())).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(run(next)).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    expect(errors[0]).toMatchObject({ code: 'E_CONNECTION_LOST' })
    await run(bus.close())
  })

  it('checks its options', async () => {
    await expect(openWorld({ highWater: 0 })).rejects.toThrow('highWater is 0')
    await expect(openWorld({ retries: 1 } as never)).rejects.toThrow("there is no option 'retries'")
  })

  it('survives an onError that throws', async () => {
    const { bus, run, clock } = await openWorld({
      onError: () => {
        throw new Error('in onError')
      },
    })
    const queue = await run(bus.createQueue('jobs', { retry: { attempts: 1 } }))
    const worker = queue.process(() => Promise.reject(new Error('no')))
    await run(queue.send(1))
    await clock.advance(0)
    expect(worker.stats().deadLettered).toBe(1)
  })
})

describe('a bus', () => {
  it('says what its engine can do', async () => {
    const { bus } = await openWorld()
    expect(bus.capabilities()).toMatchObject({ delay: { support: 'native' }, storage: { support: 'degraded' } })
    const foreign = await openWorld({ wiring: { statistics: () => false, inMemory: false } })
    const capabilities = foreign.bus.capabilities()
    expect(capabilities).toMatchObject({ pause: { support: 'refused' }, retry: { support: 'degraded' } })
    for (const { support, reason } of Object.values(capabilities)) expect(reason === null).toBe(support === 'native')
  })

  it('explains that a queue is there with another definition', async () => {
    const { bus, run } = await openWorld()
    await run(bus.createQueue('jobs', { maxLength: 10 }))
    await expect(run(bus.createQueue('jobs', { maxLength: 20 }))).rejects.toMatchObject({
      code: 'E_QUEUE_DIFFERS',
      message: expect.stringContaining("inequivalent arg 'x-max-length' for queue 'jobs'"),
    })
    expect(await run((await run(bus.createQueue('jobs', { maxLength: 10 }))).count())).toMatchObject({ ready: 0 })
  })
})

describe('types', () => {
  const validate = (value: unknown): { readonly value: never } => ({ value: value as never })
  const standard = { version: 1, vendor: 'test', validate } as const
  const input: StandardSchema<{ day: string }, { day: Date }> = { '~standard': standard }
  const result: StandardSchema<{ bytes: number }, number> = { '~standard': standard }

  it('follow the contract from the sender to the handler and back', () => {
    const check = async (queue: Queue<{ day: string }, number, { day: Date }, { bytes: number }>): Promise<void> => {
      expectTypeOf(queue.send({ day: '1' })).resolves.toEqualTypeOf<Sent>()
      expectTypeOf(queue.send({ day: '1' }, { receipt: true })).resolves.toEqualTypeOf<Receipt<number>>()
      void queue.send(
        { day: '1' },
        { onProcessed: (_error, value) => expectTypeOf(value).toEqualTypeOf<number | undefined>() },
      )
      queue.process((message, context) => {
        expectTypeOf(message).toEqualTypeOf<IncomingMessage<{ day: Date }>>()
        if (message.redelivered) return context.retry()
        expectTypeOf(context.send(queue, { day: '2' }, { receipt: true }).processed()).resolves.toEqualTypeOf<number>()
        // @ts-expect-error the queue takes another type
        context.send(queue, { day: 2 })
        return { bytes: 1 }
      })
      // @ts-expect-error the handler's result is of another type
      queue.process(() => 'no')
      // @ts-expect-error the data are of another type
      void queue.send({ day: 1 })
      // @ts-expect-error without asking for a receipt there is none
      void (await queue.send({ day: '1' })).processed
    }
    expect(check).toBeTypeOf('function')
    const contract = defineQueue('days', { input, result })
    expectTypeOf<Parameters<typeof check>[0]>().toExtend<
      Queue<{ day: string }, number, { day: Date }, { bytes: number }>
    >()
    expectTypeOf(contract.name).toBeString()
  })

  it('may be given without a schema, or left open', () => {
    const { bus } = {} as { bus: import('./bus.ts').Bus }
    const check = async (): Promise<void> => {
      expectTypeOf(await bus.createQueue(defineQueue('days', { input, result }))).toEqualTypeOf<
        Queue<{ day: string }, number, { day: Date }, { bytes: number }>
      >()
      expectTypeOf(await bus.createQueue<string, number>('x')).toEqualTypeOf<Queue<string, number>>()
      expectTypeOf(await bus.createQueue(defineQueue<string, number>('x'))).toEqualTypeOf<Queue<string, number>>()
      expectTypeOf(await bus.createQueue(defineQueue('x', {}))).toEqualTypeOf<Queue>()
      expectTypeOf(await bus.createQueue(defineQueue('x', { input }))).toEqualTypeOf<
        Queue<{ day: string }, unknown, { day: Date }, unknown>
      >()
      expectTypeOf(await bus.createQueue('x')).toEqualTypeOf<Queue>()
    }
    expect(check).toBeTypeOf('function')
  })
})

it('a bus whose session ends before it is there says so to whoever uses it', async () => {
  const world = await openWorld()
  const { driver, clock } = world
  const login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
  const ending: Driver = {
    authenticate: (given) => driver.authenticate(given),
    openSession: async (given, events) => {
      const session = await driver.openSession(given, events)
      events.closed(new BrokerError('CONNECTION_FORCED', 'gone'))
      return session
    },
    close: async () => {},
  }
  const platform = { clock, random: new SimRandom(2) } as never
  const wiring = { platform, driver: ending, login, commits: 'native', inMemory: true, statistics: () => true } as const
  const rest = { messageBytesMax: 1, notes: [], onFailure: () => {}, onDamage: () => {}, serve: null }
  const bus = await world.run(openBus({ ...wiring, ...rest }, {}))
  await expect(world.run(bus.createQueue('jobs'))).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
})

// The inbox of a named sender: what became of its messages, told to whoever has its name.
import { describe, expect, it } from 'vitest'
import { openWorld, type World } from '../../test/support/client-world.ts'
import { emptyTable } from '../model/field-table.ts'
import { createTestBroker } from '../testing/kit/test-broker.ts'
import { type Bus, openBus } from './bus.ts'
import type { InboxOutcome } from './inbox-reader.ts'
import type { Queue } from './queue.ts'

/** Another process on the same broker. */
function anotherBus(world: World): Promise<Bus> {
  const { clock, driver } = world
  const login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
  const platform = { clock, random: { next: () => 0.5, fill: (target: Buffer) => target.fill(7) } } as never
  return world.run(
    openBus(
      {
        platform,
        driver: { ...driver, openSession: driver.openSession.bind(driver), close: async () => {} } as never,
        login,
        commits: 'native',
        inMemory: true,
        statistics: () => true,
        messageBytesMax: 1_000_000,
        notes: [],
        onFailure: () => {},
        onDamage: () => {},
        serve: null,
      },
      {},
    ),
  )
}

async function withWorker(): Promise<{ world: World; queue: Queue; sending: Bus }> {
  const world = await openWorld()
  const queue = await world.run(world.bus.createQueue('jobs', { retry: { attempts: 1 } }))
  return { world, queue, sending: await anotherBus(world) }
}

function start(queue: Queue): void {
  queue.process((message) => {
    if (message.data === 'bad') throw new Error('no')
    return `done: ${String(message.data)}`
  })
}

async function all(bus: Bus): Promise<InboxOutcome[]> {
  const outcomes: InboxOutcome[] = []
  for await (const outcome of bus.receipts({ sender: 'web-1', wait: false })) outcomes.push(outcome)
  return outcomes
}

describe('an inbox', () => {
  it('has what became of messages whose sender has ended', async () => {
    const { world, queue, sending } = await withWorker()
    const jobs = await world.run(sending.openQueue('jobs'))
    const good = await world.run(jobs.send('good', { sender: 'web-1' }))
    const bad = await world.run(jobs.send('bad', { sender: 'web-1', receipt: true }))
    await world.run(sending.close())
    start(queue)
    await world.settle()
    const later = await anotherBus(world)
    expect(await world.run(all(later))).toEqual([
      { id: good.id, queue: 'jobs', status: 'processed', result: 'done: good', error: null },
      {
        id: bad.id,
        queue: 'jobs',
        status: 'dead-lettered',
        result: undefined,
        error: expect.objectContaining({ code: 'E_NOT_PROCESSED' }),
      },
    ])
    expect(await world.run(all(later))).toEqual([])
  })

  it('tells the callbacks of a sender that is still there, and keeps nothing of it', async () => {
    const { world, queue, sending } = await withWorker()
    start(queue)
    const jobs = await world.run(sending.openQueue('jobs'))
    const told: unknown[] = []
    const receipt = await world.run(
      jobs.send('good', { sender: 'web-1', onProcessed: (error, result) => told.push([error, result]) }),
    )
    expect(await world.run(receipt.processed())).toBe('done: good')
    await world.settle()
    expect(told).toEqual([[null, 'done: good']])
    await world.run(sending.close())
    expect(await world.run(all(world.bus))).toEqual([])
  })

  it('gives an outcome again that nobody went on from', async () => {
    const { world, queue, sending } = await withWorker()
    start(queue)
    const jobs = await world.run(sending.openQueue('jobs'))
    for (const name of ['a', 'b'])
      await world.run(jobs.send(name, { sender: 'web-1', receipt: true })).then((one) => one.forget())
    await world.settle()
    const seen: unknown[] = []
    const firstOnly = async (): Promise<void> => {
      for await (const { result } of sending.receipts({ sender: 'web-1' })) {
        seen.push(result)
        if (seen.length === 1) break
      }
    }
    await world.run(firstOnly())
    await world.run(sending.close())
    expect(seen).toEqual(['done: a'])
    expect((await world.run(all(world.bus))).map(({ result }) => result)).toEqual(['done: a', 'done: b'])
  })

  it('waits for more, until its signal says no', async () => {
    const { world, queue, sending } = await withWorker()
    const jobs = await world.run(sending.openQueue('jobs'))
    ;(await world.run(jobs.send('late', { sender: 'web-1', receipt: true }))).forget()
    const seen: unknown[] = []
    const controller = new AbortController()
    const reading = (async () => {
      for await (const { result } of sending.receipts({ sender: 'web-1', signal: controller.signal })) seen.push(result)
    })()
    await world.settle()
    expect(seen).toEqual([])
    start(queue)
    await world.settle()
    expect(seen).toEqual(['done: late'])
    controller.abort()
    await world.run(reading)
  })

  it('belongs to one process at a time', async () => {
    const { world, sending } = await withWorker()
    const jobs = await world.run(sending.openQueue('jobs'))
    await world.run(jobs.send(1, { sender: 'web-1' }))
    await expect(world.run(all(world.bus))).rejects.toMatchObject({
      code: 'E_REFUSED',
      message: expect.stringContaining("the inbox of sender 'web-1' cannot be opened"),
    })
    const own = await world.run(world.bus.openQueue('jobs'))
    await expect(world.run(own.send(1, { sender: 'web-1' }))).rejects.toMatchObject({ code: 'E_REFUSED' })
    await expect(own.send(1, { sender: '' })).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
  })
})

describe('an inbox, when something ends', () => {
  it('has an answer that came before its message was known to be stored, and was not told', async () => {
    await using test = await createTestBroker()
    const [sending, working] = [await test.connect(), await test.connect()]
    const jobs = await sending.createQueue('jobs')
    ;(await working.openQueue('jobs')).process(({ data }) => `done: ${String(data)}`)
    await test.run(jobs.send('first', { sender: 'web-1' }))
    await test.settle()
    using _slow = test.faults.syncDelay('1s')
    const told: unknown[] = []
    const sent = jobs.send('second', { sender: 'web-1', onProcessed: (_error, result) => told.push(result) })
    sent.catch(() => {})
    await test.advance('500ms')
    await test.faults.crashClient(sending)
    const later = await test.connect()
    const outcomes = await test.run(all(later))
    expect([told, outcomes.map(({ result }) => result)]).toEqual([[], ['done: second']])
  })

  it('tells a callback while its bus closes, and not once more afterwards', async () => {
    await using test = await createTestBroker({ deliverAfter: 'sync' })
    const bus = await test.connect()
    const jobs = await bus.createQueue('jobs')
    jobs.process(async () => {
      await test.sleep('10ms')
      return 'done'
    })
    const told: unknown[] = []
    await jobs.send(1, { sender: 'web-1', onProcessed: (error, result) => told.push(error?.code ?? result) })
    await test.run(bus.close())
    await test.settle()
    const outcomes = await test.run(all(await test.connect()))
    expect([...told, ...outcomes.map(({ result }) => result)].filter((one) => one === 'done')).toEqual(['done'])
  })

  it('does not keep who waits for it waiting when its signal is aborted while it is opened', async () => {
    await using test = await createTestBroker()
    const bus = await test.connect()
    const controller = new AbortController()
    const next = bus.receipts({ sender: 'web-1', signal: controller.signal }).next()
    controller.abort()
    expect(await test.run(next)).toEqual({ done: true, value: undefined })
  })

  it('does not keep who waits for it waiting when the broker crashes', async () => {
    await using test = await createTestBroker()
    const bus = await test.connect()
    using _slow = test.faults.syncDelay('1s')
    const reading = all(bus)
    reading.catch(() => {})
    await test.advance('100ms')
    await test.crash()
    await expect(test.run(reading)).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
  })
})

// The inbox of a named sender: what became of its messages, told to whoever has its name.
import { describe, expect, it, onTestFinished } from 'vitest'
import { createTestBroker, type TestBroker } from '../testing/kit/test-broker.ts'
import type { Bus } from './bus.ts'
import type { InboxOutcome } from './inbox-reader.ts'
import type { Queue } from './queue.ts'

interface Stage {
  readonly test: TestBroker
  /** Of the process that works. */
  readonly bus: Bus
  readonly queue: Queue
  /** Of the process that sends. */
  readonly sending: Bus
}

async function withWorker(): Promise<Stage> {
  const test = await createTestBroker({ storage: 'memory' })
  onTestFinished(() => test.close())
  const bus = await test.connect()
  const queue = await bus.createQueue('jobs', { retry: { attempts: 1 } })
  return { test, bus, queue, sending: await test.connect() }
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
  it('that is deleted ends the loop that reads it with an error, and the bus that is closed ends it quietly', async () => {
    const { test, bus, sending } = await withWorker()
    const lost = sending.receipts({ sender: 'web-1' }).next()
    lost.catch(() => {})
    const closed = bus.receipts({ sender: 'web-2' }).next()
    await test.settle()
    await (await bus.openQueue('leveret.inbox.web-1')).delete()
    await test.settle()
    await expect(lost).rejects.toThrow("E_CONNECTION_LOST: the inbox of sender 'web-1' is gone: the inbox was deleted")
    await bus.close()
    expect(await closed).toEqual({ done: true, value: undefined })
  })

  it('has what became of messages whose sender has ended', async () => {
    const { test, queue, sending } = await withWorker()
    const jobs = await sending.openQueue('jobs')
    const good = await jobs.send('good', { sender: 'web-1' })
    const bad = await jobs.send('bad', { sender: 'web-1', receipt: true })
    await sending.close()
    start(queue)
    await test.settle()
    const later = await test.connect()
    expect(await all(later)).toEqual([
      { id: good.id, queue: 'jobs', status: 'processed', result: 'done: good', error: null },
      {
        id: bad.id,
        queue: 'jobs',
        status: 'dead-lettered',
        result: undefined,
        error: expect.objectContaining({ code: 'E_NOT_PROCESSED' }),
      },
    ])
    expect(await all(later)).toEqual([])
  })

  it('tells the callbacks of a sender that is still there, and keeps nothing of it', async () => {
    const { test, bus, queue, sending } = await withWorker()
    start(queue)
    const jobs = await sending.openQueue('jobs')
    const told: unknown[] = []
    const receipt = await jobs.send('good', {
      sender: 'web-1',
      onProcessed: (error, result) => told.push([error, result]),
    })
    expect(await receipt.processed()).toBe('done: good')
    await test.settle()
    expect(told).toEqual([[null, 'done: good']])
    await sending.close()
    expect(await all(bus)).toEqual([])
  })

  it('gives an outcome again that nobody went on from', async () => {
    const { test, bus, queue, sending } = await withWorker()
    start(queue)
    const jobs = await sending.openQueue('jobs')
    for (const name of ['a', 'b']) await jobs.send(name, { sender: 'web-1', receipt: true }).then((one) => one.forget())
    await test.settle()
    const seen: unknown[] = []
    const firstOnly = async (): Promise<void> => {
      for await (const { result } of sending.receipts({ sender: 'web-1' })) {
        seen.push(result)
        if (seen.length === 1) break
      }
    }
    await firstOnly()
    await sending.close()
    expect(seen).toEqual(['done: a'])
    expect((await all(bus)).map(({ result }) => result)).toEqual(['done: a', 'done: b'])
  })

  it('waits for more, until its signal says no', async () => {
    const { test, queue, sending } = await withWorker()
    const jobs = await sending.openQueue('jobs')
    ;(await jobs.send('late', { sender: 'web-1', receipt: true })).forget()
    const seen: unknown[] = []
    const controller = new AbortController()
    const reading = (async () => {
      for await (const { result } of sending.receipts({ sender: 'web-1', signal: controller.signal })) seen.push(result)
    })()
    await test.settle()
    expect(seen).toEqual([])
    start(queue)
    await test.settle()
    expect(seen).toEqual(['done: late'])
    controller.abort()
    await reading
  })

  it('belongs to one process at a time', async () => {
    const { bus, sending } = await withWorker()
    const jobs = await sending.openQueue('jobs')
    await jobs.send(1, { sender: 'web-1' })
    await expect(all(bus)).rejects.toMatchObject({
      code: 'E_REFUSED',
      message: expect.stringContaining("the inbox of sender 'web-1' cannot be opened"),
    })
    const own = await bus.openQueue('jobs')
    await expect(own.send(1, { sender: 'web-1' })).rejects.toMatchObject({ code: 'E_REFUSED' })
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

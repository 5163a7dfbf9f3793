// Handlers that get many messages at once.
import { expect } from 'vitest'
import { Arrivals, codeOf, conformance, quickRetry, take } from './scene.ts'

conformance((test) => {
  test('a batch has as many as there are, up to its size', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    await queue.sendMany([1, 2, 3, 4, 5])
    const batches = new Arrivals<number[]>()
    const worker = queue.processBatch((messages) => batches.add(messages.map(({ data }) => data)), {
      size: 2,
      wait: '30ms',
    })
    expect(await batches.first(3)).toEqual([[1, 2], [3, 4], [5]])
    await worker.close()
    expect(worker.stats()).toMatchObject({ processed: 5 })
    expect(await queue.count()).toMatchObject({ ready: 0 })
  })

  test('the first of a batch waits for others no longer than it may', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    const batches = new Arrivals<number[]>()
    await queue
      .processBatch((messages) => batches.add(messages.map(({ data }) => data)), { size: 100, wait: '20ms' })
      .ready()
    await queue.send(1)
    expect(await batches.first(1)).toEqual([[1]])
  })

  test('each sender gets the result of its own message', async ({ bus, name }) => {
    const queue = await bus.createQueue<number, number>(name())
    queue.processBatch((messages) => messages.map(({ data }) => data * 2), { size: 3, wait: '20ms' })
    const receipts = await Promise.all([1, 2, 3].map((number) => queue.send(number, { receipt: true })))
    expect(await Promise.all(receipts.map((receipt) => receipt.processed()))).toEqual([2, 4, 6])
  })

  test('some of a batch may be tried again or given up', async ({ bus, name }) => {
    const queueName = name()
    const queue = await bus.createQueue<string, string>(queueName, { retry: quickRetry })
    const batches = new Arrivals<string[]>()
    queue.processBatch(
      (messages, context) => {
        batches.add(messages.map(({ data }) => data))
        return messages.map(({ data }) => {
          if (data === 'bad') return context.deadLetter('no good')
          return data === 'later' && batches.all.length === 1 ? context.retry() : `did ${data}`
        })
      },
      { size: 3, wait: '20ms' },
    )
    const [good, bad, later] = await Promise.all(
      ['good', 'bad', 'later'].map((data) => queue.send(data, { receipt: true })),
    )
    expect([await good?.processed(), await later?.processed()]).toEqual(['did good', 'did later'])
    await expect(bad?.processed()).rejects.toThrow(/no good/)
    expect(batches.all).toEqual([['good', 'bad', 'later'], ['later']])
    expect(await take(await bus.createQueue(`${queueName}.dead`), 1)).toEqual(['bad'])
  })

  test('a batch whose handler throws is tried again, all of it', async ({ bus, name }) => {
    const queue = await bus.createQueue<number, void>(name(), { retry: quickRetry })
    let calls = 0
    queue.processBatch(
      () => {
        if (++calls === 1) throw new Error('once')
      },
      { size: 2, wait: '20ms', onError() {} },
    )
    const receipts = await Promise.all([1, 2].map((number) => queue.send(number, { receipt: true })))
    expect(await Promise.all(receipts.map((receipt) => receipt.processed()))).toEqual([undefined, undefined])
    expect(calls).toBeGreaterThan(1)
  })

  test('what a batch sends is stored with it, or dropped with it', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name(), { retry: quickRetry })
    const next = await bus.createQueue<string>(name())
    let calls = 0
    queue.processBatch(
      (messages, context) => {
        context.send(next, `call ${++calls}`)
        if (calls === 1) throw new Error('once')
        return messages.map(() => undefined)
      },
      { size: 10, wait: '10ms', onError() {} },
    )
    await (await queue.send(1, { receipt: true })).processed()
    expect(await take(next, (await next.count()).ready)).toEqual(['call 2'])
  })

  test('as many results as messages are wanted', async ({ bus, name }) => {
    const queue = await bus.createQueue<number, number>(name(), { retry: { attempts: 1 } })
    queue.processBatch(() => [1, 2, 3], { size: 2, wait: '10ms', onError() {} })
    const receipt = await queue.send(1, { receipt: true })
    expect(await codeOf(receipt.processed())).toBe('E_NOT_PROCESSED')
  })
})

// What the sender is told: as a promise, by callbacks, in a named inbox.
import { expect } from 'vitest'
import type { InboxOutcome, LeveretError } from '../../src/index.ts'
import { Arrivals, codeOf, conformance, Gate, quickRetry } from './scene.ts'

conformance((test) => {
  test('nothing but what was asked for', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    expect(await queue.send(1)).not.toHaveProperty('processed')
    expect(await queue.send(1, { receipt: true })).toHaveProperty('processed')
  })

  test('delivered when a worker begins, processed with what it returned', async ({ bus, name, another }) => {
    const queueName = name()
    const queue = await bus.createQueue<number, { twice: number }>(queueName)
    const elsewhere = await (await another()).createQueue<number, { twice: number }>(queueName)
    const [begun, gate] = [new Gate(), new Gate()]
    elsewhere.process(async ({ data }) => {
      begun.open()
      await gate.opened
      return { twice: data * 2 }
    })
    const receipt = await queue.send(20, { receipt: true })
    let isOver = false
    const processed = receipt.processed().finally(() => {
      isOver = true
    })
    await begun.opened
    await receipt.delivered()
    expect(isOver).toBe(false)
    gate.open()
    expect(await processed).toEqual({ twice: 40 })
    // Whoever asks later is told the same.
    expect(await receipt.processed()).toEqual({ twice: 40 })
    await receipt.delivered()
  })

  test('callbacks come once each, in their order, behind the send', async ({ bus, name }) => {
    const queue = await bus.createQueue<number, string>(name())
    const told = new Arrivals<unknown>()
    queue.process((_message, context) => {
      context.progress(0.5)
      return 'done'
    })
    await queue
      .send(1, {
        onDelivered: () => told.add('delivered'),
        onProgress: (share) => told.add(share),
        onProcessed: (error, result) => told.add([error, result]),
      })
      .then(() => told.add('stored'))
    await told.first(4)
    // What would come twice would have come by then.
    await (await queue.send(2, { receipt: true })).processed()
    expect(told.all).toEqual(['stored', 'delivered', 0.5, [null, 'done']])
  })

  test('progress as far as the handler says', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const [shares, gate] = [new Arrivals<number>(), new Gate()]
    queue.process(async (_message, context) => {
      for (let share = 0; share < 1; share += 0.01) context.progress(share)
      context.progress(1)
      await gate.opened
      expect(() => context.progress(2)).toThrow('E_BAD_OPTION')
    })
    const receipt = await queue.send(1, { onProgress: shares.add })
    while (shares.all.at(-1) !== 1) await shares.first(shares.all.length + 1)
    expect([...shares.all].sort((a, b) => a - b)).toEqual(shares.all)
    gate.open()
    await receipt.processed()
  })

  test('a handler that returns nothing gives undefined', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    queue.process(() => {})
    expect(await (await queue.send(1, { receipt: true })).processed()).toBeUndefined()
  })

  test('bytes come back as bytes', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    queue.process(({ body }) => body)
    const receipt = await queue.send(Buffer.from([1, 2]), { receipt: true })
    expect(await receipt.processed()).toEqual(Buffer.from([1, 2]))
  })

  test('failed where nobody keeps dead letters', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: { attempts: 1 }, deadLetter: false })
    queue.process(() => Promise.reject(new Error('no disk')))
    const outcomes = new Arrivals<LeveretError | null>()
    const receipt = await queue.send(1, { onProcessed: outcomes.add })
    await expect(receipt.processed()).rejects.toThrow(/^E_NOT_PROCESSED: .*no disk/s)
    expect(await outcomes.first(1)).toMatchObject([{ code: 'E_NOT_PROCESSED' }])
  })

  test('dead-lettered with the reason', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: quickRetry })
    queue.process(({ data }, context) =>
      data === 1 ? context.deadLetter('corrupt file') : Promise.reject(new Error('always')),
    )
    const [given, failed] = [await queue.send(1, { receipt: true }), await queue.send(2, { receipt: true })]
    await expect(given.processed()).rejects.toThrow(/^E_NOT_PROCESSED: .*corrupt file/s)
    await expect(failed.processed()).rejects.toThrow(/^E_NOT_PROCESSED: .*always/s)
  })

  test(
    'expired, also in a queue that lets everything expire',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name(), { ttl: '15ms' })
      const outcomes = new Arrivals<LeveretError | null>()
      const receipt = await queue.send(1, { onProcessed: outcomes.add })
      expect(await codeOf(receipt.processed())).toBe('E_EXPIRED')
      expect(await outcomes.first(1)).toMatchObject([{ code: 'E_EXPIRED' }])
    },
    { needs: 'receipts' },
  )

  test(
    'dropped to make room is told, too',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name(), { maxLength: 1 })
      const receipt = await queue.send(1, { receipt: true })
      await queue.send(2)
      expect(await codeOf(receipt.processed())).toBe('E_NOT_PROCESSED')
    },
    { needs: 'receipts' },
  )

  test('whoever waits no longer is told so, and may ask again', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const receipt = await queue.send(1, { receipt: true })
    expect(await codeOf(receipt.processed({ timeout: 10 }))).toBe('E_TIMEOUT')
    expect(await codeOf(receipt.delivered({ timeout: 10 }))).toBe('E_TIMEOUT')
    queue.process(() => 'late')
    expect(await receipt.processed({ timeout: '10s' })).toBe('late')
  })

  test('a receipt that is forgotten says no more', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const outcomes = new Arrivals<unknown>()
    const receipt = await queue.send(1, { onProcessed: outcomes.add })
    const processed = codeOf(receipt.processed())
    receipt.forget()
    expect(await processed).toBe('E_CLOSED')
    queue.process(() => 'done')
    const second = await queue.send(2, { receipt: true })
    await second.processed()
    expect(outcomes.all).toEqual([])
  })

  test(
    'who receives explicitly answers with the acknowledgement',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<string, string>(name())
      const [done, refused] = [await queue.send('a', { receipt: true }), await queue.send('b', { receipt: true })]
      let left = 2
      for await (const message of queue.receive()) {
        if (message.data === 'a') await message.ack('did a')
        else await message.reject('not b')
        if (--left === 0) break
      }
      expect(await done.processed()).toBe('did a')
      await done.delivered()
      await expect(refused.processed()).rejects.toThrow(/^E_NOT_PROCESSED: .*not b/s)
    },
    { needs: 'receipts' },
  )

  test('a callback that throws disturbs nobody', async ({ bus, name }) => {
    const queue = await bus.createQueue<number, number>(name())
    queue.process(({ data }) => data)
    const callback = (): never => {
      throw new Error('my own mistake')
    }
    const first = await queue.send(1, { onDelivered: callback, onProcessed: callback })
    const second = await queue.send(2, { receipt: true })
    expect([await first.processed(), await second.processed()]).toEqual([1, 2])
  })

  test('a named inbox keeps what comes when its sender is gone', async ({ bus, name, another }) => {
    const [queueName, sender] = [name(), name('sender')]
    const queue = await bus.createQueue(queueName, { retry: { attempts: 1 } })
    const gone = await another()
    const sending = await gone.createQueue(queueName)
    const ids = [await sending.send('good', { sender }), await sending.send('bad', { sender })].map(({ id }) => id)
    await gone.close()
    const seen = new Arrivals<unknown>()
    queue.process(({ data }, context) => {
      seen.add(data)
      return data === 'bad' ? context.deadLetter('no good') : { did: data }
    })
    await seen.first(2)
    const outcomes = new Arrivals<InboxOutcome>()
    for await (const outcome of bus.receipts({ sender })) {
      outcomes.add(outcome)
      if (outcomes.all.length === 2) break
    }
    expect(outcomes.all).toMatchObject([
      { id: ids[0], queue: queueName, status: 'processed', result: { did: 'good' }, error: null },
      { id: ids[1], queue: queueName, status: 'dead-lettered', result: undefined, error: { code: 'E_NOT_PROCESSED' } },
    ])
  })

  test('an inbox gives again what its reader did not go past', async ({ bus, name, another }) => {
    const [queueName, sender] = [name(), name('sender')]
    const gone = await another()
    const sending = await gone.createQueue<number, number>(queueName)
    for (const number of [1, 2, 3]) await sending.send(number, { sender })
    await gone.close()
    const queue = await bus.createQueue<number, number>(queueName)
    queue.process(({ data }) => data)
    const read = async (count: number): Promise<unknown[]> => {
      const results: unknown[] = []
      for await (const { result } of bus.receipts({ sender })) if (results.push(result) === count) break
      return results
    }
    expect(await read(2)).toEqual([1, 2])
    expect(await read(2)).toEqual([2, 3])
    // It has the last one until somebody goes past it.
    const left: unknown[] = []
    for await (const { result } of bus.receipts({ sender, wait: false })) left.push(result)
    expect(left).toEqual([3])
    expect(await outcomesOf(bus.receipts({ sender, wait: false }))).toEqual([])
  })

  test('a callback of a named sender is not told again by the inbox', async ({ bus, name }) => {
    const sender = name('sender')
    const queue = await bus.createQueue<number, number>(name())
    queue.process(({ data }) => data)
    const outcomes = new Arrivals<unknown>()
    await queue.send(1, { sender, onProcessed: (_error, result) => outcomes.add(result) })
    expect(await outcomes.first(1)).toEqual([1])
    expect(await outcomesOf(bus.receipts({ sender, wait: false }))).toEqual([])
  })

  test('one process at a time may be a sender of that name', async ({ bus, name, another }) => {
    const sender = name('sender')
    const queueName = name()
    await (await bus.createQueue(queueName)).send(1, { sender })
    const elsewhere = await (await another()).createQueue(queueName)
    expect(await codeOf(elsewhere.send(2, { sender }))).toBe('E_REFUSED')
  })

  test(
    'a named inbox tells over a restart what became of messages',
    async ({ open, name }) => {
      const opened = await open()
      const [queueName, sender] = [name(), 'ledger']
      const before = await opened.bus.createQueue<number, number>(queueName)
      const [first, second] = [await before.send(1, { sender }), await before.send(2, { sender })]
      const restarted = await opened.reopen()
      const after = await restarted.createQueue<number, number>(queueName)
      after.process(({ data }) => data * 10)
      const told: unknown[] = []
      for await (const { id, status, result } of restarted.receipts({ sender })) {
        if (told.push([id, status, result]) === 2) break
      }
      expect(told).toEqual([
        [first.id, 'processed', 10],
        [second.id, 'processed', 20],
      ])
      // What was not gone past is there over another one.
      const again = await opened.reopen()
      const left = await outcomesOf(again.receipts({ sender, wait: false }))
      expect(left.map(({ id }) => id)).toEqual([second.id])
    },
    { needs: 'restart' },
  )
})

async function outcomesOf(inbox: AsyncIterable<InboxOutcome>): Promise<InboxOutcome[]> {
  const outcomes: InboxOutcome[] = []
  for await (const outcome of inbox) outcomes.push(outcome)
  return outcomes
}

// What a handler sends is stored with its acknowledgement, or not at all.
import { expect } from 'vitest'
import { defineEvent } from '../../src/index.ts'
import { Arrivals, codeOf, conformance, Gate, quickRetry, take, takeMessages } from './scene.ts'

conformance((test) => {
  test(
    'what a handler sends is there when it is done',
    async ({ bus, name }) => {
      const [queue, next] = [await bus.createQueue<number>(name()), await bus.createQueue<number>(name())]
      const ids: string[] = []
      queue.process(({ data }, context) => {
        ids.push(context.send(next, data + 1).id, context.send(next, data + 2, { headers: { own: true } }).id)
        return 'done'
      })
      const receipt = await queue.send(1, { receipt: true })
      expect(await receipt.processed()).toBe('done')
      // Whoever is told that it is processed finds what was sent with it.
      expect((await next.count()).ready).toBe(2)
      const messages = await takeMessages(next, 2)
      expect(messages.map(({ id, data, headers }) => [id, data, headers['own']])).toEqual([
        [ids[0], 2, undefined],
        [ids[1], 3, true],
      ])
    },
    { needs: 'atomicCommit' },
  )

  test('nothing is sent before the handler is done', async ({ bus, name }) => {
    const [queue, next] = [await bus.createQueue(name()), await bus.createQueue(name())]
    const [sent, gate] = [new Gate(), new Gate()]
    queue.process(async (_message, context) => {
      context.send(next, 1)
      sent.open()
      await gate.opened
    })
    const receipt = await queue.send(1, { receipt: true })
    await sent.opened
    expect(await next.count()).toMatchObject({ ready: 0 })
    gate.open()
    await receipt.processed()
    expect(await next.count()).toMatchObject({ ready: 1 })
  })

  test('what a failed attempt sent is dropped with it', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: quickRetry })
    const next = await bus.createQueue<string>(name())
    queue.process((_message, context) => {
      context.send(next, `attempt ${context.attempt}`)
      if (context.attempt === 1) throw new Error('once')
      return context.attempt === 2 ? context.retry() : 'done'
    })
    const receipt = await queue.send(1, { receipt: true })
    await receipt.processed()
    expect(await take(next, (await next.count()).ready)).toEqual(['attempt 3'])
  })

  test('what a handler sent that gave up is dropped, too', async ({ bus, name }) => {
    const [queue, next] = [await bus.createQueue(name()), await bus.createQueue(name())]
    queue.process((_message, context) => {
      context.send(next, 1)
      return context.deadLetter('no good')
    })
    await codeOf((await queue.send(1, { receipt: true })).processed())
    expect(await next.count()).toMatchObject({ ready: 0 })
  })

  test('what a handler sent that lost its lease is dropped', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: quickRetry })
    const next = await bus.createQueue<number>(name())
    const lost = new Gate()
    queue.process(
      async (_message, context) => {
        context.send(next, context.attempt)
        if (context.attempt > 1) return
        context.signal.addEventListener('abort', lost.open)
        await lost.opened
        expect(() => context.send(next, 1)).toThrow('E_LEASE_LOST')
      },
      { lease: '20ms' },
    )
    await (await queue.send(1, { receipt: true })).processed()
    expect(await take(next, (await next.count()).ready)).toEqual([2])
  })

  test('a receipt of what a handler sends tells what became of it, once it is sent', async ({ bus, name }) => {
    const queue = await bus.createQueue<number, number>(name())
    const next = await bus.createQueue<number, number>(name())
    next.process(({ data }) => data * 10)
    const [inside, results] = [new Arrivals<string>(), new Arrivals<number | undefined>()]
    queue.process(async ({ data }, context) => {
      const receipt = context.send(next, data, { onProcessed: (_error, result) => results.add(result) })
      // It would wait for itself.
      inside.add(await codeOf(receipt.processed()))
      return data
    })
    await queue.send(4)
    expect(await inside.first(1)).toEqual(['E_WOULD_DEADLOCK'])
    expect(await results.first(1)).toEqual([40])
  })

  test('a chain of queues hands on what it is given', async ({ bus, name }) => {
    const [first, second, third] = [
      await bus.createQueue<number>(name()),
      await bus.createQueue<number>(name()),
      await bus.createQueue<number>(name()),
    ]
    first.process(({ data }, context) => void context.send(second, data + 1), { concurrency: 10 })
    second.process(({ data }, context) => void context.send(third, data + 1), { concurrency: 10 })
    const numbers = Array.from({ length: 100 }, (_, number) => number)
    await first.sendMany(numbers)
    const arrived = await take(third, 100)
    expect(arrived.sort((a, b) => a - b)).toEqual(numbers.map((number) => number + 2))
    expect(await third.count()).toMatchObject({ ready: 0 })
  })

  test('a commit in one process is seen in another', async ({ bus, name, another }) => {
    const [queueName, nextName] = [name(), name()]
    const elsewhere = await another()
    const next = await elsewhere.createQueue<number>(nextName)
    const queue = await elsewhere.createQueue<number>(queueName)
    queue.process(({ data }, context) => void context.send(next, data))
    await (await (await bus.createQueue<number>(queueName)).send(7, { receipt: true })).processed()
    expect(await (await bus.createQueue(nextName)).count()).toMatchObject({ ready: 1 })
  })

  test(
    'an idempotency key counts for what a handler sends',
    async ({ bus, name }) => {
      const [queue, next] = [await bus.createQueue(name()), await bus.createQueue(name())]
      queue.process((_message, context) => void context.send(next, 1, { idempotencyKey: 'only one' }))
      for (const number of [1, 2]) await (await queue.send(number, { receipt: true })).processed()
      expect(await next.count()).toMatchObject({ ready: 1 })
    },
    { needs: 'idempotency' },
  )

  test('an attempt fails that sends to a queue which is gone by then', async ({ bus, name }) => {
    const deadName = name()
    const queue = await bus.createQueue(name(), { retry: { attempts: 1 }, deadLetter: deadName })
    const gone = await bus.createQueue(name())
    queue.process((_message, context) => {
      context.send(gone, 1)
      return 'done'
    })
    await gone.delete()
    const receipt = await queue.send(1, { receipt: true })
    await expect(receipt.processed()).rejects.toThrow(/no queue/)
    expect(await (await bus.openQueue(deadName)).count()).toMatchObject({ ready: 1 })
  })

  test('a handler emits with its commit', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const event = defineEvent<{ file: string }>(name('event'))
    queue.process((_message, context) => context.emit(event, { file: 'a.png' }).duplicate)
    expect(await (await queue.send(1, { receipt: true })).processed()).toBe(false)
  })

  test('whoever sends when its handler has ended is told so', async ({ bus, name }) => {
    const [queue, next] = [await bus.createQueue(name()), await bus.createQueue(name())]
    const late = new Arrivals<() => unknown>()
    queue.process((_message, context) => late.add(() => context.send(next, 1)))
    await (await queue.send(1, { receipt: true })).processed()
    const [send] = await late.first(1)
    expect(send).toThrow('E_CLOSED')
  })

  test('bad data are the failure of the handler that sends them', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: { attempts: 1 } })
    const next = await bus.createQueue(name())
    queue.process((_message, context) => void context.send(next, 1n))
    const receipt = await queue.send(1, { receipt: true })
    await expect(receipt.processed()).rejects.toThrow(/E_BAD_DATA/)
  })
})

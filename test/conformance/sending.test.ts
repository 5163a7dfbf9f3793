// What can be said when something is sent.
import { expect } from 'vitest'
import { Arrivals, codeOf, conformance, Gate, take, takeMessages } from './scene.ts'

/** What a real clock may be off by, in ms. */
const slackMs = 5

conformance((test) => {
  test('a send that has resolved is stored, under an id of its own', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const first = await queue.send('a')
    const second = await queue.send('b')
    expect(await queue.count()).toEqual({ ready: 2, consumers: 0 })
    expect(first.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect([first.duplicate, second.id > first.id]).toEqual([false, true])
    expect((await takeMessages(queue, 2)).map(({ id }) => id)).toEqual([first.id, second.id])
  })

  test('what is sent in order arrives in order', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    const numbers = Array.from({ length: 200 }, (_, number) => number)
    await Promise.all(numbers.map((number) => queue.send(number)))
    expect(await take(queue, 200)).toEqual(numbers)
  })

  test('many are sent with one promise', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const sent = await queue.sendMany(['a', 'b', 'c'], { headers: { from: 'many' } })
    const messages = await takeMessages(queue, 3)
    expect(messages.map(({ id }) => id)).toEqual(sent.map(({ id }) => id))
    expect(messages.map(({ headers }) => headers['from'])).toEqual(['many', 'many', 'many'])
    expect(await queue.sendMany([])).toEqual([])
  })

  test('headers arrive with their types', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const headers = { text: 'ü', integer: 2 ** 40, fraction: 0.5, yes: true, list: [1, 'a'], table: { a: null } }
    await queue.send(1, { headers })
    const [message] = await takeMessages(queue, 1)
    expect(message?.headers).toEqual(headers)
  })

  test(
    'a delay hides a message until it is due',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name())
      const { id } = await queue.send('in an hour', { delay: '1h' })
      await queue.send('now')
      expect(await queue.stats()).toMatchObject({ ready: 1, delayed: 1, length: 1 })
      expect(await queue.cancel(id)).toBe(true)
      const sentMs = performance.now()
      await queue.send('later', { delay: '60ms' })
      expect(await take(queue, 2)).toEqual(['now', 'later'])
      expect(performance.now() - sentMs).toBeGreaterThan(60 - slackMs)
    },
    { needs: 'delay' },
  )

  test(
    'a message can be sent for a moment, one that is over means now',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name())
      const atMs = Date.now() + 60
      await queue.send('future', { at: new Date(atMs) })
      await queue.send('past', { at: Date.now() - 1000 })
      expect(await take(queue, 2)).toEqual(['past', 'future'])
      expect(Date.now()).toBeGreaterThan(atMs - slackMs)
    },
    { needs: 'delay' },
  )

  test(
    'a higher priority is served first, said of the queue or not',
    async ({ bus, name }) => {
      for (const options of [{ maxPriority: 5 }, {}]) {
        const queue = await bus.createQueue(name(), options)
        await queue.send('usual')
        await queue.send('low', { priority: 1 })
        await queue.send('high', { priority: 5 })
        await queue.send('high too', { priority: 5 })
        expect(await take(queue, 4)).toEqual(['high', 'high too', 'low', 'usual'])
      }
    },
    { needs: 'priority' },
  )

  test('a queue without keys refuses messages that have some', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    expect(await codeOf(queue.send(1, { key: 'a' }))).toBe('E_BAD_OPTION')
    expect(await queue.count()).toMatchObject({ ready: 0 })
  })

  test('a message whose time is over is given to nobody', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const receipt = await queue.send('old', { ttl: '20ms', receipt: true })
    await queue.send('new')
    expect(await codeOf(receipt.processed())).toBe('E_EXPIRED')
    expect(await take(queue, 1)).toEqual(['new'])
  })

  test(
    'no handler begins beyond a deadline, and one that runs is told',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name())
      const waiting = await queue.send('waits', { deadline: '10ms', receipt: true })
      expect(await codeOf(waiting.processed())).toBe('E_EXPIRED')
      const seen: unknown[] = []
      queue.process(async ({ data }, { signal }) => {
        seen.push(data)
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        throw signal.reason as Error
      })
      const running = await queue.send('runs', { deadline: '80ms', receipt: true })
      expect(await codeOf(running.processed())).toBe('E_EXPIRED')
      expect(seen).toEqual(['runs'])
    },
    { needs: 'deadline' },
  )

  test(
    'messages of one key go one at a time and in order, those of others pass them',
    async ({ bus, name, another }) => {
      const queueName = name()
      const options = { keys: { concurrency: 1 } } as const
      const queue = await bus.createQueue<string>(queueName, options)
      const elsewhere = await (await another()).createQueue<string>(queueName, options)
      const [gate, seen] = [new Gate(), new Arrivals<string>()]
      const work = async ({ data }: { data: string }): Promise<void> => {
        seen.add(data)
        if (data === 'a1') await gate.opened
      }
      for (const data of ['a1', 'a2', 'b1', 'a3', 'b2']) await queue.send(data, { key: data.charAt(0) })
      queue.process(work, { concurrency: 5 })
      elsewhere.process(work, { concurrency: 5 })
      expect((await seen.first(3)).sort()).toEqual(['a1', 'b1', 'b2'])
      gate.open()
      expect((await seen.first(5)).slice(3)).toEqual(['a2', 'a3'])
    },
    { needs: 'keys' },
  )

  test(
    'a message with an idempotency key is taken once, and both senders hear of it',
    async ({ bus, name, another }) => {
      const queueName = name()
      const queue = await bus.createQueue<string, string>(queueName)
      const elsewhere = await (await another()).createQueue<string, string>(queueName)
      const options = { idempotencyKey: 'order 1', receipt: true } as const
      const first = await queue.send('first', options)
      const second = await elsewhere.send('second', options)
      expect([first.duplicate, second.duplicate, second.id]).toEqual([false, true, first.id])
      expect(await queue.count()).toMatchObject({ ready: 1 })
      queue.process(({ data }) => `did ${data}`)
      expect([await first.processed(), await second.processed()]).toEqual(['did first', 'did first'])
      const third = await queue.send('third', options)
      expect([third.duplicate, third.id, await third.processed()]).toEqual([true, first.id, 'did first'])
    },
    { needs: 'idempotency' },
  )

  test(
    'an idempotency key is remembered over a restart, with what became of its message',
    async ({ open, name }) => {
      const opened = await open()
      const queueName = name()
      const options = { idempotencyKey: 'order 1', receipt: true } as const
      const before = await opened.bus.createQueue<number, string>(queueName)
      before.process(() => 'done')
      const first = await before.send(1, options)
      expect(await first.processed()).toBe('done')
      const after = await (await opened.reopen()).createQueue<number, string>(queueName)
      const second = await after.send(1, options)
      expect([second.duplicate, second.id, await second.processed()]).toEqual([true, first.id, 'done'])
    },
    { needs: 'restart' },
  )

  test(
    'a throttled message is taken once in each time',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<number>(name())
      const throttle = { key: 'k', every: '50ms' } as const
      const first = await queue.send(1, { throttle })
      const second = await queue.send(2, { throttle })
      expect([first.duplicate, second.duplicate, second.id]).toEqual([false, true, first.id])
      let later = second
      while (later.duplicate) later = await queue.send(3, { throttle })
      expect(await take(queue, 2)).toEqual([1, 3])
    },
    { needs: 'idempotency' },
  )

  test(
    'of a debounced burst the last one comes, once',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<number>(name())
      const debounce = { key: 'k', wait: '40ms' } as const
      for (const number of [1, 2, 3]) await queue.send(number, { debounce })
      await queue.send(4, { debounce: { key: 'other', wait: '80ms' } })
      expect(await take(queue, 2)).toEqual([3, 4])
      expect(await queue.stats()).toMatchObject({ ready: 0, delayed: 0 })
    },
    { needs: 'debounce' },
  )

  test('a send whose signal is aborted rejects with the reason, and stores nothing', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const reason = new Error('changed my mind')
    await expect(queue.send(1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    await expect(queue.sendMany([1], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(await queue.count()).toMatchObject({ ready: 0 })
  })

  test('what says the same thing twice is refused', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const throttle = { key: 'k', every: 1 } as const
    for (const options of [
      { delay: 1, at: 1 },
      { idempotencyKey: 'k', throttle },
      { delay: 2, deadline: 1 },
    ]) {
      expect(await codeOf(queue.send(1, options))).toBe('E_BAD_OPTION')
    }
  })

  test('a message larger than the broker takes is refused, and nothing else with it', async ({ bus, name }) => {
    const queue = await bus.createQueue<number | string>(name())
    const large = 'x'.repeat(17 << 20)
    const sent = [queue.send(1), queue.send(large), queue.send(large, { headers: { a: 1 } }), queue.send(2)]
    expect(await Promise.all(sent.map(codeOf))).toEqual(['nothing', 'E_BAD_DATA', 'E_BAD_DATA', 'nothing'])
    await expect(sent[1]).rejects.toThrow(
      `the data for queue '${queue.name}' has ${(17 << 20) + 2} bytes, at most ${16 << 20}`,
    )
    expect(await codeOf(bus.emit(name('event'), large))).toBe('E_BAD_DATA')
    expect(await take(queue, 2)).toEqual([1, 2])
  })

  test('a send to a queue that is gone rejects, and says what to do', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    await queue.delete()
    await expect(queue.send(1)).rejects.toThrow(/^E_UNROUTABLE: .*createQueue/)
  })

  test('an event that nobody listens to is no error', async ({ bus, name }) => {
    const sent = await bus.emit(name('event'), { file: 'a.png' })
    expect(sent.duplicate).toBe(false)
    expect(await codeOf(bus.emit('not..a.name', 1))).toBe('E_BAD_OPTION')
  })
})

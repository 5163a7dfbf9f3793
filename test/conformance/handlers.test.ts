// What becomes of a message in a handler's hands: done, tried again, given up, taken back.
import { expect } from 'vitest'
import { Arrivals, codeOf, conformance, Gate, quickRetry, takeMessages } from './scene.ts'

conformance((test) => {
  test('a handler that returns is done with its message', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const seen = new Arrivals<unknown>()
    await queue.sendMany([1, 2, 3])
    const worker = queue.process(({ data }) => seen.add(data))
    expect(await seen.first(3)).toEqual([1, 2, 3])
    await worker.close()
    expect(await queue.count()).toEqual({ ready: 0, consumers: 0 })
    expect(worker.stats()).toMatchObject({ running: 0, waiting: 0, processed: 3, retried: 0, deadLettered: 0 })
  })

  test('a handler sees what the message is, and which attempt it is', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const seen = new Arrivals<unknown>()
    const { id } = await queue.send({ a: 1 }, { headers: { from: 'here' } })
    queue.process(({ id: own, data, headers, redelivered, body, properties }, { attempt, signal }) => {
      seen.add([
        own,
        data,
        headers['from'],
        redelivered,
        body.toString(),
        properties.contentType,
        attempt,
        signal.aborted,
      ])
    })
    expect(await seen.first(1)).toEqual([[id, { a: 1 }, 'here', false, '{"a":1}', 'application/json', 1, false]])
  })

  test('one at a time, or as many as concurrency says', async ({ bus, name }) => {
    for (const concurrency of [1, 4]) {
      const queue = await bus.createQueue(name())
      const [gate, done] = [new Gate(), new Arrivals<number>()]
      const begun = new Arrivals<unknown>()
      await queue.sendMany([1, 2, 3, 4, 5, 6])
      let running = 0
      queue.process(
        async () => {
          running++
          begun.add(running)
          await gate.opened
          done.add(running--)
        },
        { concurrency },
      )
      await begun.first(concurrency)
      gate.open()
      await done.first(6)
      expect(Math.max(...done.all)).toBe(concurrency)
    }
  })

  test('workers share a queue', async ({ bus, name, another }) => {
    const queueName = name()
    const queue = await bus.createQueue<number>(queueName)
    const elsewhere = await (await another()).createQueue<number>(queueName)
    const [here, there, gate] = [new Arrivals<number>(), new Arrivals<number>(), new Gate()]
    const hold = (seen: Arrivals<number>) => async (message: { data: number }) => {
      seen.add(message.data)
      await gate.opened
    }
    for (const [one, seen] of [
      [queue, here],
      [elsewhere, there],
    ] as const) {
      await one.process(hold(seen), { prefetch: 1 }).ready()
    }
    await queue.sendMany([1, 2])
    await Promise.all([here.first(1), there.first(1)])
    expect([...here.all, ...there.all].toSorted((a, b) => a - b)).toEqual([1, 2])
    gate.open()
  })

  test('what fails is tried again, and tells of it', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: quickRetry })
    const errors: unknown[] = []
    queue.process(
      ({ headers }, { attempt }) => {
        if (attempt < 3) throw new Error(`attempt ${attempt}`)
        return headers['x-leveret-error']
      },
      { onError: (error, message, attempt) => errors.push([(error as Error).message, message.data, attempt]) },
    )
    const receipt = await queue.send('work', { receipt: true })
    expect(await receipt.processed()).toContain('attempt 2')
    expect(errors).toEqual([
      ['attempt 1', 'work', 1],
      ['attempt 2', 'work', 2],
    ])
  })

  test('the pause before another attempt is what the queue says, or the handler', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: { attempts: 3, min: 40, backoff: 'fixed', jitter: false } })
    const times = new Arrivals<number>()
    const worker = queue.process((_message, context) => {
      times.add(performance.now())
      if (context.attempt === 1) throw new Error('once')
      return context.attempt === 2 ? context.retry({ after: '20ms' }) : undefined
    })
    await queue.send(1)
    const [first = 0, second = 0, third = 0] = await times.first(3)
    expect(second - first).toBeGreaterThan(35)
    expect(third - second).toBeGreaterThan(15)
    await worker.close()
    expect(worker.stats()).toMatchObject({ processed: 1, retried: 2 })
  })

  test('others are processed while a message waits for its next attempt', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: { min: 60 } })
    const seen = new Arrivals<unknown>()
    queue.process(({ data }, { attempt }) => {
      seen.add(`${String(data)} ${attempt}`)
      if (data === 'bad' && attempt === 1) throw new Error('once')
    })
    await queue.sendMany(['bad', 'good', 'good'])
    expect(await seen.first(4)).toEqual(['bad 1', 'good 1', 'good 1', 'bad 2'])
  })

  test(
    'a retry lets nothing of its key go first',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name(), { keys: { concurrency: 1 }, retry: { min: 30 } })
      const seen = new Arrivals<unknown>()
      for (const data of ['a1', 'a2', 'b1']) await queue.send(data, { key: data.charAt(0) })
      queue.process(
        ({ data }, { attempt }) => {
          seen.add(`${String(data)} ${attempt}`)
          if (data === 'a1' && attempt === 1) throw new Error('once')
        },
        { concurrency: 3 },
      )
      expect(await seen.first(4)).toEqual(['a1 1', 'b1 1', 'a1 2', 'a2 1'])
    },
    { needs: 'keys' },
  )

  test('what fails too often is a dead letter with its history', async ({ bus, name }) => {
    const queueName = name()
    const queue = await bus.createQueue(queueName, { retry: quickRetry })
    const beganMs = Date.now()
    const { id } = await queue.send({ file: 'a.png' }, { headers: { own: 'header' } })
    queue.process((_message, { attempt }) => Promise.reject(new Error(`no luck ${attempt}`)))
    const [letter] = await takeMessages(await bus.createQueue(`${queueName}.dead`), 1)
    expect(letter).toMatchObject({ id, data: { file: 'a.png' } })
    const headers = letter?.headers as Record<string, string>
    expect(headers).toMatchObject({ own: 'header', 'x-leveret-queue': queueName, 'x-leveret-attempts': 3 })
    expect(headers['x-leveret-error']).toContain('no luck 3')
    const history = JSON.parse(headers['x-leveret-history'] ?? '') as { attempt: number; error: string; atMs: number }[]
    expect(history.map(({ attempt, error }) => [attempt, /no luck \d/.exec(error)?.[0]])).toEqual([
      [1, 'no luck 1'],
      [2, 'no luck 2'],
      [3, 'no luck 3'],
    ])
    for (const { atMs } of history) expect(atMs).toBeGreaterThanOrEqual(beganMs)
  })

  test('a handler can give up at once', async ({ bus, name }) => {
    const [queueName, target] = [name(), name('aside')]
    const queue = await bus.createQueue(queueName, { retry: quickRetry, deadLetter: target })
    queue.process((_message, context) => context.deadLetter('corrupt file'))
    await queue.send(1)
    const [letter] = await takeMessages(await bus.createQueue(target), 1)
    expect(letter?.headers).toMatchObject({ 'x-leveret-attempts': 1, 'x-leveret-error': 'corrupt file' })
  })

  test('a reason may have any length, and is kept as far as it fits', async ({ bus, name }) => {
    const queueName = name()
    const queue = await bus.createQueue<string>(queueName)
    const [reason, seen] = ['y'.repeat(150_000), new Arrivals<string>()]
    queue.process(({ data }, context) => {
      seen.add(data)
      return data === 'bad' ? context.deadLetter(reason) : undefined
    })
    await queue.send('bad')
    await queue.send('good')
    await seen.first(2)
    const dead = await bus.openQueue(`${queueName}.dead`)
    for await (const message of dead.receive()) {
      expect(message.failure?.error).toMatch(/^y{1999}…$/)
      await message.reject(reason)
      break
    }
    expect(await codeOf(queue.send('large', { headers: { large: reason } }))).toBe('E_BAD_OPTION')
    expect(await codeOf(queue.send('fits', { headers: { large: 'x'.repeat(90_000) } }))).toBe('nothing')
    await seen.first(3)
  })

  test('without a dead-letter queue nothing is kept', async ({ bus, name }) => {
    const queueName = name()
    const queue = await bus.createQueue(queueName, { retry: { attempts: 1 }, deadLetter: false })
    const worker = queue.process(() => Promise.reject(new Error('no')))
    const receipt = await queue.send(1, { receipt: true })
    await codeOf(receipt.processed())
    await worker.close()
    expect(await queue.count()).toMatchObject({ ready: 0 })
    expect(await codeOf(bus.openQueue(`${queueName}.dead`))).toBe('NOT_FOUND')
  })

  test('a handler that overruns its lease is told, and the message is tried again', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: quickRetry })
    const reasons = new Arrivals<unknown>()
    const never = new Gate()
    queue.process(
      async (_message, { attempt, signal }) => {
        if (attempt === 2) return 'second'
        signal.addEventListener('abort', () => reasons.add(signal.reason))
        await never.opened
        return 'first, too late'
      },
      { lease: '30ms' },
    )
    const receipt = await queue.send(1, { receipt: true })
    expect(await receipt.processed()).toBe('second')
    expect(await reasons.first(1)).toMatchObject([{ code: 'E_LEASE_LOST' }])
    never.open()
    expect(await receipt.processed()).toBe('second')
  })

  test('a handler that asks for more time keeps its message', async ({ bus, name }) => {
    const queue = await bus.createQueue(name(), { retry: { attempts: 1 } })
    queue.process(
      async (_message, context) => {
        const untilMs = performance.now() + 90
        while (performance.now() < untilMs) {
          context.extend()
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
        return context.signal.aborted
      },
      { lease: '60ms' },
    )
    expect(await (await queue.send(1, { receipt: true })).processed()).toBe(false)
  })

  test('no more begin than the rate lets', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const begun = new Arrivals<number>()
    await queue.sendMany(Array.from({ length: 32 }, (_, number) => number))
    queue.process(() => begun.add(performance.now()), { rate: '30/s', concurrency: 32 })
    const times = await begun.first(32)
    // Thirty at once after a pause, then one in 33 ms.
    expect((times[31] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(60)
  })

  test('a worker that closes waits for who runs, and gives back the rest', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const [begun, gate] = [new Gate(), new Gate()]
    const receipt = await queue.send('runs', { receipt: true })
    await queue.sendMany(['waits', 'waits too'])
    const worker = queue.process(
      async ({ data }) => {
        begun.open()
        await gate.opened
        return data
      },
      { prefetch: 10 },
    )
    await begun.opened
    const closed = worker.close()
    gate.open()
    await closed
    await worker.closed()
    expect(await receipt.processed()).toBe('runs')
    expect(await queue.count()).toEqual({ ready: 2, consumers: 0 })
  })

  test('a worker that waits no longer gives back what runs, and tells its handler', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const [begun, aborted, never] = [new Gate(), new Gate(), new Gate()]
    const receipt = await queue.send(1, { receipt: true })
    const worker = queue.process(async (_message, { signal }) => {
      signal.addEventListener('abort', aborted.open)
      begun.open()
      await never.opened
      return 'too late'
    })
    await begun.opened
    await worker.close({ timeout: 10 })
    await aborted.opened
    never.open()
    queue.process(({ redelivered }) => `again ${redelivered}`)
    expect(await receipt.processed()).toBe('again true')
  })

  test('a worker ends with its queue', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const worker = queue.process(() => {})
    await worker.ready()
    const closed = codeOf(worker.closed())
    await queue.delete()
    expect(await closed).toBe('E_CLOSED')
  })

  test('what a process held that is gone is done by another', async ({ bus, name, another }) => {
    const queueName = name()
    const queue = await bus.createQueue(queueName)
    const gone = await another()
    const [begun, never] = [new Gate(), new Gate()]
    ;(await gone.createQueue(queueName)).process(async () => {
      begun.open()
      await never.opened
    })
    const receipt = await queue.send(1, { receipt: true })
    await begun.opened
    await gone.close({ timeout: 0 })
    queue.process(({ redelivered }, { attempt }) => [redelivered, attempt])
    // It is no attempt that failed.
    expect(await receipt.processed()).toEqual([true, 1])
    never.open()
  })
})

// What can be asked of a queue, and how it is made.
import { expect } from 'vitest'
import { Arrivals, codeOf, conformance, Gate, take, takeMessages } from './scene.ts'

conformance((test) => {
  test('a queue is made once, and opened by whoever asks with the same words', async ({ bus, name, another }) => {
    const queueName = name()
    const queue = await bus.createQueue(queueName, { maxLength: 5 })
    await queue.send(1)
    const same = await (await another()).createQueue(queueName, { maxLength: 5 })
    expect(await same.count()).toMatchObject({ ready: 1 })
    expect(await codeOf(bus.createQueue(queueName, { maxLength: 6 }))).toBe('E_QUEUE_DIFFERS')
    expect(await take(await bus.openQueue(queueName), 1)).toEqual([1])
  })

  test('a queue that is not there cannot be opened', async ({ bus, name }) => {
    expect(await codeOf(bus.openQueue(name()))).toBe('NOT_FOUND')
  })

  test('names and options that make no sense are refused, and say so', async ({ bus, name }) => {
    const queueName = name()
    for (const bad of ['', 'amq.own', 'x'.repeat(256)]) expect(await codeOf(bus.createQueue(bad))).toBe('E_BAD_OPTION')
    for (const options of [
      { maxLength: -1 },
      { overflow: 'later' as never },
      { retry: { attempts: 0 } },
      { retry: { min: '2s', max: '1s' } },
      { deadLetter: queueName },
      { ttl: 'soon' as never },
      { keys: { order: 'any' as never } },
    ] as const) {
      expect(await codeOf(bus.createQueue(queueName, options)), JSON.stringify(options)).toBe('E_BAD_OPTION')
    }
    expect(await codeOf(bus.openQueue(queueName))).toBe('NOT_FOUND')
  })

  test('it counts what waits and who consumes', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    expect(await queue.count()).toEqual({ ready: 0, consumers: 0 })
    await queue.sendMany([1, 2])
    expect(await queue.count()).toEqual({ ready: 2, consumers: 0 })
    const worker = queue.process(() => {})
    await worker.ready()
    expect(await queue.count()).toMatchObject({ consumers: 1 })
    await worker.close()
    expect(await queue.count()).toMatchObject({ consumers: 0 })
  })

  test(
    'its statistics tell ready, held and hidden messages apart',
    async ({ bus, name }) => {
      const queueName = name()
      const queue = await bus.createQueue(queueName)
      const [begun, gate] = [new Gate(), new Gate()]
      await queue.sendMany(['aa', 'bb', 'cc'])
      await queue.send('dd', { delay: '1h' })
      const worker = queue.process(
        async () => {
          begun.open()
          await gate.opened
        },
        { prefetch: 1 },
      )
      await begun.opened
      const stats = await queue.stats()
      expect(stats).toMatchObject({
        name: queueName,
        ready: 2,
        readyBytes: 8,
        unacked: 1,
        delayed: 1,
        length: 3,
        consumers: 1,
      })
      expect((await bus.stats()).find((one) => one.name === queueName)).toMatchObject({ ready: 2, unacked: 1 })
      gate.open()
      await worker.close()
    },
    { needs: 'delay' },
  )

  test('purging removes what waits, and what is hidden, and nothing that somebody has', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const [begun, gate] = [new Gate(), new Gate()]
    const held = await queue.send(0, { receipt: true })
    await queue.sendMany([1, 2])
    await queue.send(3, { delay: '1h' })
    const worker = queue.process(
      async () => {
        begun.open()
        await gate.opened
        return 'done'
      },
      { prefetch: 1 },
    )
    await begun.opened
    expect(await queue.purge()).toBeGreaterThanOrEqual(2)
    expect(await queue.stats()).toMatchObject({ ready: 0, delayed: 0, unacked: 1 })
    gate.open()
    expect(await held.processed()).toBe('done')
    await worker.close()
  })

  test(
    'a paused queue takes messages and gives none, to nobody, until it goes on',
    async ({ bus, name, another }) => {
      const queueName = name()
      const queue = await bus.createQueue<number>(queueName)
      const elsewhere = await (await another()).createQueue<number>(queueName)
      const seen = new Arrivals<number>()
      await elsewhere.process(({ data }) => seen.add(data)).ready()
      await queue.pause()
      await queue.send(1)
      expect(await queue.stats()).toMatchObject({ ready: 1, unacked: 0 })
      expect(seen.all).toEqual([])
      await elsewhere.resume()
      expect(await seen.first(1)).toEqual([1])
    },
    { needs: 'pause' },
  )

  test(
    'a look at what waits changes nothing',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<number>(name())
      const sent = await queue.sendMany([1, 2, 3])
      const seen: unknown[] = []
      for await (const { id, data } of queue.peek({ limit: 2 })) seen.push([id, data])
      expect(seen).toEqual(sent.slice(0, 2).map(({ id }, at) => [id, at + 1]))
      const messages = await takeMessages(queue, 3)
      expect(messages.map(({ data, redelivered }) => [data, redelivered])).toEqual([1, 2, 3].map((one) => [one, false]))
    },
    { needs: 'peek' },
  )

  test(
    'a message that waits can be called back, one that a worker had cannot',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<number>(name())
      const [ready, hidden] = [await queue.send(1, { receipt: true }), await queue.send(2, { delay: '1h' })]
      expect([await queue.cancel(ready.id), await queue.cancel(hidden.id)]).toEqual([true, true])
      expect(await codeOf(ready.processed())).toBe('E_NOT_PROCESSED')
      expect(await queue.stats()).toMatchObject({ ready: 0, delayed: 0 })
      const done = await queue.send(3)
      expect(await take(queue, 1)).toEqual([3])
      expect([await queue.cancel(done.id), await queue.cancel(hidden.id)]).toEqual([false, false])
    },
    { needs: 'cancel' },
  )

  test('a queue that never had a dead letter has none to take back, and a closed bus takes back none', async ({
    name,
    another,
  }) => {
    const bus = await another()
    const queue = await bus.createQueue(name())
    expect(await queue.redrive()).toBe(0)
    expect(await queue.redrive({ from: `${queue.name}.dead` })).toBe(0)
    expect(await codeOf(queue.redrive({ from: name() }))).toBe('NOT_FOUND')
    await bus.close()
    expect(await codeOf(queue.redrive())).toBe('E_CLOSED')
  })

  test(
    'dead letters go back with their attempts counted anew',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<number, number>(name(), { retry: { attempts: 1 } })
      let isWell = false
      queue.process(({ data }, { attempt }) => (isWell ? data * 10 + attempt : Promise.reject(new Error('not well'))), {
        onError() {},
      })
      for (const number of [1, 2]) await codeOf((await queue.send(number, { receipt: true })).processed())
      const seen = new Arrivals<unknown>()
      isWell = true
      const next = await bus.createQueue<number>(name())
      await queue.send(3, { onProcessed: () => seen.add(3) })
      await seen.first(1)
      expect(await queue.redrive()).toBe(2)
      expect(await queue.redrive()).toBe(0)
      expect(await next.count()).toMatchObject({ ready: 0 })
    },
    { needs: 'redrive' },
  )

  test('deleting a queue says how many were ready, and it is gone', async ({ bus, name }) => {
    const queueName = name()
    const queue = await bus.createQueue(queueName)
    await queue.sendMany([1, 2, 3])
    expect(await queue.delete()).toBe(3)
    expect(await codeOf(bus.openQueue(queueName))).toBe('NOT_FOUND')
    // A new one of that name has nothing of it.
    expect(await (await bus.createQueue(queueName)).count()).toEqual({ ready: 0, consumers: 0 })
  })

  test('a full queue refuses what is too much', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name(), { maxLength: 2, overflow: 'reject' })
    await queue.sendMany([1, 2])
    expect(await codeOf(queue.send(3))).toBe('E_REFUSED')
    expect(await take(queue, 2)).toEqual([1, 2])
    await queue.send(4)
    expect(await take(queue, 1)).toEqual([4])
  })

  test('a full queue drops the oldest if that is what it is to do', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name(), { maxLength: 2, overflow: 'drop-oldest' })
    await queue.sendMany([1, 2, 3, 4])
    expect(await take(queue, 2)).toEqual([3, 4])
  })

  test('a queue can be full of bytes', async ({ bus, name }) => {
    const queue = await bus.createQueue<Buffer>(name(), { maxBytes: 100, overflow: 'reject' })
    await queue.send(Buffer.alloc(60))
    await queue.send(Buffer.alloc(60)).catch(() => {})
    expect(await codeOf(queue.send(Buffer.alloc(60)))).toBe('E_REFUSED')
  })

  test('sendMany says how many of them are stored', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name(), { maxLength: 2, overflow: 'reject' })
    await expect(queue.sendMany([1, 2, 3])).rejects.toThrow(/2 of 3 messages are known to be stored/)
  })

  test(
    'messages and queues are there after a restart, those of memory are not',
    async ({ open, name }) => {
      const opened = await open()
      const [kept, gone] = [name(), name()]
      const options = { maxPriority: 3 } as const
      const before = await opened.bus.createQueue(kept, options)
      await before.send('low', { priority: 1, headers: { own: 'ü' } })
      await before.send('high', { priority: 3 })
      await before.send('later', { delay: '1h' })
      await (await opened.bus.createQueue(gone, { storage: 'memory' })).send(1)
      const restarted = await opened.reopen()
      const after = await restarted.createQueue(kept, options)
      expect(await after.stats()).toMatchObject({ ready: 2, delayed: 1 })
      expect(await take(after, 2)).toEqual(['high', 'low'])
      expect(await codeOf(restarted.openQueue(gone))).toBe('NOT_FOUND')
    },
    { needs: 'restart' },
  )

  test(
    'what was acknowledged is gone after a restart',
    async ({ open, name }) => {
      const opened = await open()
      const queueName = name()
      const before = await opened.bus.createQueue<number>(queueName)
      await before.sendMany([1, 2, 3])
      expect(await take(before, 2)).toEqual([1, 2])
      const after = await (await opened.reopen()).createQueue<number>(queueName)
      expect(await take(after, (await after.count()).ready)).toEqual([3])
    },
    { needs: 'restart' },
  )

  test('a bus that is closed says so', async ({ open, name }) => {
    const { bus } = await open()
    const queue = await bus.createQueue(name())
    const pending = queue.send(1)
    await bus.close()
    await pending
    await bus.close()
    for (const late of [
      queue.send(1),
      queue.count(),
      bus.createQueue(name()),
      queue.process(() => {}).closed(),
      queue.receive().next(),
    ]) {
      expect(await codeOf(late)).toBe('E_CLOSED')
    }
  })
})

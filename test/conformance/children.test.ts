// Parents that wait for their children: one after the other, with their results, over failures and restarts.
import { expect } from 'vitest'
import { type ChildOutcome, child, defineQueue } from '../../src/index.ts'
import { Arrivals, codeOf, conformance, Gate, quickRetry } from './scene.ts'

const statusesOf = (children: readonly ChildOutcome[]): unknown[] =>
  children.map(({ status, result }) => result ?? status)

conformance((test) => {
  test('a parent is processed when its children are, and has their results in order', async ({ bus, name }) => {
    const resize = await bus.createQueue<string, number>(name('resize'))
    const album = await bus.createQueue<string, unknown>(name('album'))
    const gate = new Gate()
    const order: string[] = []
    album.process(({ data }, { children }) => {
      order.push(data)
      return statusesOf(children)
    })
    const children = ['a', 'bb', 'ccc'].map((file) => child(resize, file))
    const receipt = await album.send('holidays', { children, receipt: true })
    resize.process(
      async ({ data }) => {
        if (data === 'a') await gate.opened
        order.push(data)
        return data.length
      },
      { concurrency: 3 },
    )
    while (order.length < 2) await new Promise((resolve) => setImmediate(resolve))
    expect((await album.count()).ready).toBe(0)
    gate.open()
    expect(await receipt.processed()).toEqual([1, 2, 3])
    expect(order).toEqual(['bb', 'ccc', 'a', 'holidays'])
  })

  test('a child is for a queue that this bus has opened, said by the contract, too', async ({ bus, name }) => {
    const pages = defineQueue<string, number>(name('pages'))
    const books = await bus.createQueue<string, unknown>(name('books'))
    expect(await codeOf(books.send('Emma', { children: [child(pages, 'I')] }))).toBe('E_BAD_OPTION')
    const opened = await bus.createQueue(pages)
    opened.process(({ data }) => data.length)
    books.process((_message, { children }) => statusesOf(children))
    const receipt = await books.send('Emma', { children: [child(pages, 'I'), child(pages, 'II')], receipt: true })
    expect(await receipt.processed()).toEqual([1, 2])
  })

  test('when a parent is done nothing of its family is left', async ({ bus, name }) => {
    const [resize, album] = [await bus.createQueue(name('resize')), await bus.createQueue(name('album'))]
    const before = (await bus.stats()).filter((queue) => queue.name.startsWith('leveret.gather.')).length
    resize.process(() => 1)
    album.process(() => 'done')
    const receipt = await album.send('holidays', { children: [child(resize, 1)], receipt: true })
    await receipt.processed()
    const left = async (): Promise<number> =>
      (await bus.stats()).filter((queue) => queue.name.startsWith('leveret.gather.')).length
    while ((await left()) > before) await new Promise((resolve) => setImmediate(resolve))
  })

  test('a child that fails for good fails its parent', async ({ bus, name }) => {
    const resize = await bus.createQueue<string, string>(name('resize'), { retry: quickRetry })
    const deadName = name('dead')
    const album = await bus.createQueue<string, string>(name('album'), { deadLetter: deadName })
    const processed: string[] = []
    album.process(({ data }) => {
      processed.push(data)
      return data
    })
    const attempts: number[] = []
    resize.process(
      ({ data }, { attempt }) => {
        if (data !== 'bad') return data
        attempts.push(attempt)
        throw new Error('corrupt file')
      },
      { onError() {} },
    )
    const receipt = await album.send('holidays', {
      children: [child(resize, 'good'), child(resize, 'bad')],
      receipt: true,
    })
    await expect(receipt.processed()).rejects.toThrow(/child 1 has failed.*corrupt file/)
    expect(attempts).toEqual([1, 2, 3])
    expect(processed).toEqual([])
    expect((await (await bus.openQueue(deadName)).count()).ready).toBe(1)
  })

  test('or spares it, by choice', async ({ bus, name }) => {
    const resize = await bus.createQueue<string, string>(name('resize'), { retry: { attempts: 1 } })
    const album = await bus.createQueue<string, unknown>(name('album'))
    album.process((_message, { children }) =>
      children.map(({ status, result, error }) => result ?? [status, error?.code]),
    )
    resize.process(
      ({ data }) => {
        if (data === 'bad') throw new Error('corrupt file')
        return data
      },
      { onError() {} },
    )
    const children = [child(resize, 'bad'), child(resize, 'good'), child(resize, 'late', { ttl: 0 })]
    const receipt = await album.send('holidays', { children, childFailure: 'spare', receipt: true })
    const outcomes = (await receipt.processed()) as unknown[]
    expect(outcomes.slice(0, 2)).toEqual([['dead-lettered', 'E_NOT_PROCESSED'], 'good'])
  })

  test('children have children', async ({ bus, name }) => {
    const leaf = await bus.createQueue<number, number>(name('leaf'))
    const sum = await bus.createQueue<string, number>(name('sum'))
    leaf.process(({ data }) => data * 2)
    sum.process((_message, { children }) => children.reduce((total, { result }) => total + (result as number), 0))
    const subtotal = (values: number[]): ReturnType<typeof child> =>
      child(sum, 'subtotal', { children: values.map((value) => child(leaf, value)) })
    const receipt = await sum.send('total', {
      children: [subtotal([1, 2]), subtotal([3]), child(leaf, 4)],
      receipt: true,
    })
    expect(await receipt.processed()).toBe(20)
  })

  test('a parent that is tried again has the results again', async ({ bus, name }) => {
    const [resize, album] = [
      await bus.createQueue<number, number>(name('resize')),
      await bus.createQueue<string, unknown>(name('album'), { retry: quickRetry }),
    ]
    resize.process(({ data }) => data)
    const seen = new Arrivals<unknown>()
    album.process(
      (_message, { attempt, children }) => {
        seen.add(statusesOf(children))
        if (attempt < 3) throw new Error('not yet')
        return 'done'
      },
      { onError() {} },
    )
    const receipt = await album.send('holidays', { children: [child(resize, 5)], receipt: true })
    expect(await receipt.processed()).toBe('done')
    expect(seen.all).toEqual([[5], [5], [5]])
  })

  test('a family is sent as a whole, or not at all', async ({ bus, name }) => {
    const [resize, gone] = [await bus.createQueue(name('resize')), await bus.createQueue(name('gone'))]
    const album = await bus.createQueue(name('album'))
    await gone.delete()
    expect(await codeOf(album.send('holidays', { children: [child(resize, 1), child(gone, 2)] }))).toBe('NOT_FOUND')
    expect((await resize.count()).ready).toBe(0)
    expect(await codeOf(album.send('holidays', { children: [child(resize, 1n)] }))).toBe('E_BAD_DATA')
    expect(await codeOf(album.send('holidays', { children: [5 as never] }))).toBe('E_BAD_OPTION')
    expect(await codeOf(album.send('holidays', { children: [child(resize, 1)], delay: '1h' }))).toBe('E_BAD_OPTION')
    expect(await codeOf(album.send('holidays', { children: [child(resize, 1)], idempotencyKey: 'k' }))).toBe(
      'E_BAD_OPTION',
    )
    expect(await codeOf(album.send('holidays', { children: [], childFailure: 'maybe' as never }))).toBe('E_BAD_OPTION')
  })

  test('a parent without children is a message like another', async ({ bus, name }) => {
    const album = await bus.createQueue<string, number>(name('album'))
    album.process((_message, { children }) => children.length)
    expect(await (await album.send('holidays', { children: [], receipt: true })).processed()).toBe(0)
  })

  test(
    'families outlive the broker',
    async ({ open, name }) => {
      const opened = await open()
      const [resizeName, albumName] = [name('resize'), name('album')]
      const resize = await opened.bus.createQueue<number, number>(resizeName)
      const album = await opened.bus.createQueue<string, unknown>(albumName)
      await album.send('holidays', { children: [child(resize, 1), child(resize, 2)] })
      const first = resize.receive({ prefetch: 1 })
      const { value } = await first.next()
      await value?.ack(10)
      const restarted = await opened.reopen()
      const done = new Arrivals<unknown>()
      const [resizeAgain, albumAgain] = [
        await restarted.createQueue<number, number>(resizeName),
        await restarted.createQueue<string, unknown>(albumName),
      ]
      albumAgain.process((_message, { children }) => done.add(statusesOf(children)))
      resizeAgain.process(({ data }) => data * 100)
      expect(await done.first(1)).toEqual([[10, 200]])
    },
    { needs: 'restart' },
  )
})

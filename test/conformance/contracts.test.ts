// What a queue carries: checked on both sides, typed, or anything.
import { runInNewContext } from 'node:vm'
import { expect } from 'vitest'
import { defineQueue, type IncomingMessage, type StandardSchema } from '../../src/index.ts'
import { Arrivals, codeOf, conformance, quickRetry, take, takeMessages } from './scene.ts'
import { day, positive, schemaOf } from './schemas.ts'

function raise(error: Error): never {
  throw error
}

const codeIn = (error: unknown): unknown => (error as { readonly code?: unknown }).code

conformance((test) => {
  test('any data arrive as they were sent', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    const data = [{ a: [1, null, 'ü'] }, 'text', 0, false, null, undefined, Buffer.from([0, 255])]
    for (const one of data) await queue.send(one)
    expect(await take(queue, data.length)).toEqual(data)
  })

  test('text with a content type of its own stays text, and anything else stays bytes', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    await queue.send('a,b', { contentType: 'text/csv' })
    await queue.send('a,b', { contentType: 'application/x-own' })
    expect(await take(queue, 2)).toEqual(['a,b', Buffer.from('a,b')])
  })

  test('what is no data is refused', async ({ bus, name }) => {
    const queue = await bus.createQueue(name())
    expect(await codeOf(queue.send(() => {}))).toBe('E_BAD_DATA')
    expect(await codeOf(queue.send(1n))).toBe('E_BAD_DATA')
    expect(await queue.count()).toMatchObject({ ready: 0 })
  })

  test('a contract with plain types checks nothing', async ({ bus, name }) => {
    const contract = defineQueue<{ file: string }, number>(name())
    const queue = await bus.createQueue(contract)
    queue.process(({ data }) => data.file.length)
    const receipt = await queue.send({ file: 'a.png' }, { receipt: true })
    const length: number = await receipt.processed()
    expect(length).toBe(5)
  })

  test('a sender may not send what the schema does not know', async ({ bus, name }) => {
    const queue = await bus.createQueue(defineQueue(name(), { input: positive }))
    expect(await codeOf(queue.send(-1))).toBe('E_BAD_DATA')
    expect(await codeOf(queue.sendMany([1, -1]))).toBe('E_BAD_DATA')
    expect(await queue.count()).toMatchObject({ ready: 0 })
  })

  test('the wire carries what was sent, and the worker gets what the schema makes of it', async ({ bus, name }) => {
    const contract = defineQueue(name(), { input: day })
    const queue = await bus.createQueue(contract)
    await queue.send({ day: '2026-01-01' })
    const plain = await bus.createQueue(contract.name)
    const [raw] = await takeMessages(plain, 1)
    expect(raw?.data).toEqual({ day: '2026-01-01' })
    await queue.send({ day: '1970-01-02' })
    expect(await take(queue as never, 1)).toEqual([{ ms: 86_400_000 }])
  })

  test('a worker is given nothing that its schema does not know', async ({ bus, name }) => {
    const contract = defineQueue(name(), { input: positive })
    const plain = await bus.createQueue(contract.name)
    await plain.sendMany([-1, 'text', 7])
    const queue = await bus.createQueue(contract, { retry: quickRetry })
    const seen = new Arrivals<number>()
    const errors = new Arrivals<unknown>()
    queue.process(({ data }) => seen.add(data), { onError: errors.add })
    expect(await seen.first(1)).toEqual([7])
    const dead = await bus.createQueue(`${contract.name}.dead`)
    const letters = await takeMessages(dead, 2)
    expect(letters.map(({ data }) => data)).toEqual([-1, 'text'])
    // Another attempt would find the same.
    expect(letters.map(({ headers }) => headers['x-leveret-attempts'])).toEqual([1, 1])
    expect(errors.all).toHaveLength(2)
  })

  test('a result that the schema does not know is a failed attempt', async ({ bus, name }) => {
    const queue = await bus.createQueue(defineQueue(name(), { result: positive }), { retry: quickRetry })
    let attempts = 0
    const heard = new Arrivals<unknown>()
    const onError = (error: unknown, { data }: IncomingMessage, attempt: number) =>
      heard.add([codeIn(error), data, attempt])
    queue.process(
      () => {
        attempts++
        return attempts === 2 ? 5 : -5
      },
      { onError },
    )
    const receipt = await queue.send(1, { receipt: true })
    expect(await receipt.processed()).toBe(5)
    expect(attempts).toBe(2)
    expect(heard.all).toEqual([['E_BAD_DATA', 1, 1]])
  })

  test('so it is with an asynchronous schema, and in a batch', async ({ bus, name }) => {
    const result = schemaOf<number, number>(async (value) => {
      if (value === -5) throw new Error('it is bad')
      return value as number
    })
    const queue = await bus.createQueue(defineQueue(name(), { result }), { retry: quickRetry })
    const heard = new Arrivals<unknown>()
    const onError = (error: unknown, { data }: IncomingMessage, attempt: number) =>
      heard.add([codeIn(error), data, attempt])
    const batches: number[] = []
    queue.processBatch(
      (messages) => {
        batches.push(messages.length)
        return messages.map(({ data }) => (data === 2 && batches.length === 1 ? -5 : 5))
      },
      { size: 2, wait: '50ms', onError },
    )
    const receipts = await Promise.all([1, 2].map((data) => queue.send(data, { receipt: true })))
    expect(await Promise.all(receipts.map((receipt) => receipt.processed()))).toEqual([5, 5])
    expect(batches).toEqual([2, 1])
    expect(heard.all).toEqual([['E_BAD_DATA', 2, 1]])
  })

  test('a result that JSON has no word for fails where its sender waits for it, and nowhere else', async ({
    bus,
    name,
  }) => {
    const queue = await bus.createQueue(name(), { retry: quickRetry })
    const heard = new Arrivals<unknown>()
    const worker = queue.process(() => 5n, { onError: (error) => heard.add(codeIn(error)) })
    const receipt = await queue.send('asked for', { receipt: true })
    await expect(receipt.processed()).rejects.toThrow(/the result of a handler of queue .* cannot be written as JSON/)
    expect(await heard.first(3)).toEqual(['E_BAD_DATA', 'E_BAD_DATA', 'E_BAD_DATA'])
    await queue.send('not asked for')
    await worker.close()
    expect(worker.stats()).toMatchObject({ processed: 1, retried: 2, deadLettered: 1 })
    expect(heard.all).toHaveLength(3)
  })

  test('a result larger than the broker takes is a failed attempt, and the worker goes on', async ({ bus, name }) => {
    const queue = await bus.createQueue<number, Buffer>(name(), { retry: { attempts: 1 } })
    const heard = new Arrivals<unknown>()
    queue.process(({ data }) => Buffer.alloc(data), { onError: (error) => heard.add(codeIn(error)) })
    const [large, small] = [await queue.send(17 << 20, { receipt: true }), await queue.send(3, { receipt: true })]
    await expect(large.processed()).rejects.toThrow(`E_BAD_DATA: the result of a handler of queue '${queue.name}' has`)
    expect(await small.processed()).toEqual(Buffer.alloc(3))
    expect(heard.all).toEqual(['E_BAD_DATA'])
  })

  test('so is one that a received message is acknowledged with', async ({ bus, name }) => {
    const queue = await bus.createQueue<number, Buffer>(name())
    const receipt = await queue.send(1, { receipt: true })
    for await (const message of queue.receive()) {
      expect(await codeOf(message.ack(Buffer.alloc(17 << 20)))).toBe('E_BAD_DATA')
      await message.ack(Buffer.alloc(3))
      break
    }
    expect(await receipt.processed()).toEqual(Buffer.alloc(3))
  })

  test('the sender gets what the schema makes of the result', async ({ bus, name }) => {
    const result = schemaOf<{ day: string }, { ms: number }>((value) => {
      const { day: text } = value as { day: string }
      return { ms: Date.parse(text) }
    })
    const queue = await bus.createQueue(defineQueue(name(), { result }))
    queue.process(() => ({ day: '1970-01-02' }))
    const receipt = await queue.send(1, { receipt: true })
    expect(await receipt.processed()).toEqual({ ms: 86_400_000 })
  })

  test('a schema may be asynchronous', async ({ bus, name }) => {
    const input = schemaOf<string, string>(async (value) => {
      if (value === 'bad') throw new Error('it is bad')
      return String(value)
    })
    const queue = await bus.createQueue(defineQueue(name(), { input }))
    expect(await codeOf(queue.send('bad'))).toBe('E_BAD_DATA')
    await queue.send('good')
    expect(await take(queue as never, 1)).toEqual(['good'])
  })

  test('a schema that fails itself is told to the sender, with what it is about and why', async ({ bus, name }) => {
    const cause = new Error('the database is away')
    const results: readonly [string, () => unknown, unknown][] = [
      ['throws', () => raise(cause), cause],
      ['rejects', () => Promise.reject(cause), cause],
      ['rejects in another realm', () => runInNewContext('Promise.reject(cause)', { cause }) as unknown, cause],
      ['says nothing', () => undefined, expect.stringContaining('neither')],
      ['says nothing later', () => Promise.resolve(), expect.stringContaining('neither')],
      ['says neither', () => ({}), expect.stringContaining('neither')],
      ['has issues that say nothing', () => ({ issues: [null] }), expect.any(TypeError)],
      ['has issues that are none', () => ({ issues: 'many' }), expect.stringContaining('neither')],
    ]
    for (const [what, validate, reason] of results) {
      const input = { '~standard': { version: 1, vendor: 'test', validate } } as StandardSchema
      const queue = await bus.createQueue(defineQueue(name(), { input }))
      const text = new RegExp(`^E_BAD_DATA: the data for queue '${queue.name}' could not be checked`)
      await expect(queue.send(1), what).rejects.toMatchObject({ code: 'E_BAD_DATA', cause: reason })
      await expect(queue.send(1), what).rejects.toThrow(text)
      expect(await queue.count()).toMatchObject({ ready: 0 })
    }
  })

  test('in a worker it is a failed attempt, as if the handler had thrown', async ({ bus, name }) => {
    for (const isAsync of [false, true]) {
      let asked = 0
      const validate = (value: unknown) => {
        if (++asked < 3) return isAsync ? Promise.reject(new Error('it is away')) : raise(new Error('it is away'))
        return { value }
      }
      const input = { '~standard': { version: 1, vendor: 'test', validate } } as StandardSchema
      const contract = defineQueue(name(), { input })
      await (await bus.createQueue(contract.name)).send(1)
      const queue = await bus.createQueue(contract, { retry: quickRetry })
      const heard = new Arrivals<unknown>()
      const seen = new Arrivals<unknown>()
      const worker = queue.process(({ data }, { attempt }) => seen.add([data, attempt]), {
        onError: (error, _message, attempt) => heard.add([codeIn(error), attempt]),
      })
      expect(await seen.first(1)).toEqual([[1, 3]])
      expect(heard.all).toEqual([
        ['E_BAD_DATA', 1],
        ['E_BAD_DATA', 2],
      ])
      await worker.close()
    }
  })

  test('one that always fails leads to the dead-letter queue, and so it is for whoever receives', async ({
    bus,
    name,
  }) => {
    const validate = () => raise(new Error('it is away'))
    const input = { '~standard': { version: 1, vendor: 'test', validate } } as unknown as StandardSchema
    const contracts = [defineQueue(name(), { input }), defineQueue(name(), { input })] as const
    for (const contract of contracts) await (await bus.createQueue(contract.name)).send(1)
    const [worked, received] = [
      await bus.createQueue(contracts[0], { retry: quickRetry }),
      await bus.createQueue(contracts[1], { retry: quickRetry }),
    ]
    worked.process(() => {}, { onError() {} })
    const messages = received.receive()
    const next = messages.next()
    for (const { name: of } of contracts) {
      const [letter] = await takeMessages(await bus.createQueue(`${of}.dead`), 1)
      expect(letter?.headers['x-leveret-attempts']).toBe(3)
    }
    await messages.close()
    expect(await next).toMatchObject({ done: true })
  })

  test('one contract holds in two processes', async ({ bus, name, another }) => {
    const contract = defineQueue(name(), { input: day, result: positive })
    const queue = await bus.createQueue(contract)
    const elsewhere = await (await another()).createQueue(contract)
    elsewhere.process(({ data }) => data.ms)
    const receipt = await queue.send({ day: '1970-01-02' }, { receipt: true })
    expect(await receipt.processed()).toBe(86_400_000)
  })

  test('what is misspelt is refused, and names the queue', async ({ bus, name }) => {
    const queueName = name()
    expect(() => defineQueue(queueName, { inputs: positive } as never)).toThrow(`E_BAD_OPTION: queue '${queueName}'`)
    await expect(bus.createQueue(queueName, { retries: 3 } as never)).rejects.toThrow(`queue '${queueName}'`)
    const queue = await bus.createQueue(queueName)
    await expect(queue.send(1, { delays: 3 } as never)).rejects.toThrow(queueName)
    expect(() => queue.process(() => {}, { concurency: 3 } as never)).toThrow(queueName)
    expect(() => queue.receive({ prefech: 3 } as never)).toThrow(queueName)
  })
})

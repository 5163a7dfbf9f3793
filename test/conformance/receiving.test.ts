// The explicit form: an iterator of messages, each settled by whoever has it.
import { expect } from 'vitest'
import { codeOf, conformance, take, takeMessages } from './scene.ts'

conformance((test) => {
  test('what is acknowledged is gone', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    await queue.sendMany([1, 2, 3])
    expect(await take(queue, 3)).toEqual([1, 2, 3])
    expect(await queue.count()).toEqual({ ready: 0, consumers: 0 })
  })

  test('what is put back comes again, marked', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    await queue.send(1)
    const seen: boolean[] = []
    for await (const message of queue.receive()) {
      seen.push(message.redelivered)
      if (message.redelivered) {
        await message.ack()
        break
      }
      await message.nack()
    }
    expect(seen).toEqual([false, true])
    expect(await queue.count()).toMatchObject({ ready: 0 })
  })

  test(
    'what is put back for later comes later',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<number>(name())
      await queue.sendMany([1, 2])
      const seen: unknown[] = []
      const beganMs = performance.now()
      for await (const message of queue.receive()) {
        seen.push(message.data)
        if (seen.length === 1) await message.nack({ after: '40ms' })
        else await message.ack()
        if (seen.length === 3) break
      }
      expect(seen).toEqual([1, 2, 1])
      expect(performance.now() - beganMs).toBeGreaterThan(35)
    },
    { needs: 'delay' },
  )

  test('a message whose lease is over is for others', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    await queue.send(1)
    await using messages = queue.receive({ lease: '20ms' })
    const { value: first } = await messages.next()
    const { value: second } = await messages.next()
    expect(first?.signal.aborted).toBe(true)
    expect(second?.data).toBe(1)
    expect(await codeOf(first?.ack() ?? Promise.resolve())).toBe('E_LEASE_LOST')
    await second?.ack()
  })

  test('what is rejected is a dead letter with the reason', async ({ bus, name }) => {
    const queueName = name()
    const queue = await bus.createQueue<number>(queueName)
    await queue.send(1)
    for await (const message of queue.receive()) {
      await message.reject('corrupt file')
      break
    }
    const [letter] = await takeMessages(await bus.createQueue(`${queueName}.dead`), 1)
    expect(letter?.headers).toMatchObject({ 'x-leveret-error': 'corrupt file', 'x-leveret-queue': queueName })
    expect(await queue.count()).toMatchObject({ ready: 0 })
  })

  test('what is not settled when the loop is left goes back in its order', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    await queue.sendMany([1, 2, 3])
    for await (const message of queue.receive()) if (message.data === 2) break
    const messages = await takeMessages(queue, 3)
    expect(messages.map(({ data }) => data)).toEqual([1, 2, 3])
    expect(messages[0]?.redelivered).toBe(true)
  })

  test(
    'no more are handed over than prefetch lets',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<number>(name())
      await queue.sendMany([1, 2, 3, 4, 5])
      await using messages = queue.receive({ prefetch: 2 })
      await messages.next()
      await messages.next()
      expect(await queue.stats()).toMatchObject({ ready: 3, unacked: 2, length: 5 })
    },
    { needs: 'stats' },
  )

  test('its signal ends a loop that waits', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    const controller = new AbortController()
    await queue.send(1)
    let count = 0
    for await (const message of queue.receive({ signal: controller.signal })) {
      await message.ack()
      count++
      setImmediate(() => controller.abort())
    }
    expect(count).toBe(1)
  })

  test('closing ends a loop that waits', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    const messages = queue.receive()
    const next = messages.next()
    await messages.close()
    expect(await next).toEqual({ done: true, value: undefined })
  })

  test('bytes come as they are where no value is wanted', async ({ bus, name }) => {
    const queue = await bus.createQueue<unknown>(name())
    await queue.send({ a: 1 })
    await queue.send('a,b', { contentType: 'text/csv' })
    const bodies: Buffer[] = []
    for await (const message of queue.receive({ raw: true })) {
      await message.ack()
      if (bodies.push(message.data) === 2) break
    }
    expect(bodies).toEqual([Buffer.from('{"a":1}'), Buffer.from('a,b')])
  })

  test('a message is settled once', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    await queue.send(1)
    for await (const message of queue.receive()) {
      await message.ack()
      expect(await codeOf(message.ack())).toBe('E_CLOSED')
      expect(await codeOf(message.reject())).toBe('E_CLOSED')
      break
    }
  })

  test('a message that went back cannot be settled any more', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    await queue.send(1)
    const messages = queue.receive()
    const { value } = await messages.next()
    await messages.close()
    expect(await codeOf((value as { ack(): Promise<void> }).ack())).toBe('E_CLOSED')
    expect(await queue.count()).toMatchObject({ ready: 1 })
  })

  test('the end of its queue is the end of the loop', async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    await queue.send(1)
    const messages = queue.receive()
    await messages.next()
    const next = codeOf(messages.next())
    await queue.delete()
    expect(await next).toBe('E_CLOSED')
  })
})

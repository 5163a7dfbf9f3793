// The loop over live events when it is slow, and how it ends.
import { describe, expect, it, onTestFinished } from 'vitest'
import { createTestBroker } from '../testing/kit/test-broker.ts'
import { clientLimits } from './client-limits.ts'

async function stage() {
  const test = await createTestBroker({ storage: 'memory' })
  onTestFinished(() => test.close())
  return { test, bus: await test.connect(), emitting: await test.connect() }
}

describe('a loop over live events', () => {
  it('that is too slow drops the oldest, and says so once until it has caught up', async () => {
    const { test, bus, emitting } = await stage()
    const events = bus.events('tick', { buffer: 2 })
    await events.ready()
    const told = (): number => test.errors.length
    const next = async (): Promise<unknown> => (await events.next()).value?.data
    for (const data of [1, 2, 3, 4]) await emitting.emit('tick', data)
    await test.settle()
    expect([events.dropped, told()]).toEqual([2, 1])
    expect(test.errors[0]).toMatchObject({ code: 'E_EVENTS_DROPPED' })
    expect(test.errors[0]?.message).toContain("the events 'tick'")
    expect(await next()).toBe(3)
    for (const data of [5, 6]) await emitting.emit('tick', data)
    await test.settle()
    expect([events.dropped, told()]).toEqual([3, 1])
    expect([await next(), await next()]).toEqual([5, 6])
    const later = next()
    await emitting.emit('tick', 7)
    expect(await later).toBe(7)
    for (const data of [8, 9, 10]) await emitting.emit('tick', data)
    await test.settle()
    expect([events.dropped, told()]).toEqual([4, 2])
    await events.close()
  })

  it('keeps no more bytes than it may, but always the newest', async () => {
    const { test, bus, emitting } = await stage()
    const events = bus.events('tick')
    await events.ready()
    const large = Buffer.alloc(16 << 20)
    const count = clientLimits.eventBufferBytes / large.length + 2
    for (let at = 0; at < count; at++) await emitting.emit('tick', large)
    await test.settle()
    expect(events.dropped).toBe(3)
    await events.close()
  })

  it('that may not listen says so each time it is asked', async () => {
    const { bus } = await stage()
    await bus.close()
    const events = bus.events('tick')
    for (let times = 0; times < 2; times++) await expect(events.next()).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('ends quietly with its signal, with close and with the bus, whoever waits', async () => {
    const { test, bus } = await stage()
    const stop = new AbortController()
    const [aborted, closed, left] = [bus.events('a', { signal: stop.signal }), bus.events('b'), bus.events('c')]
    const nexts = [aborted, closed, left].map((events) => events.next())
    await test.settle()
    stop.abort()
    await closed.close()
    await bus.close()
    for (const next of nexts) expect(await next).toEqual({ done: true, value: undefined })
    for (const events of [aborted, closed, left]) expect(await events.next()).toMatchObject({ done: true })
    expect(test.errors).toEqual([])
  })
})

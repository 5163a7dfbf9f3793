// What users give us to call may do anything: it must not end the process, nor what comes after it.
import { afterEach, describe, expect, it } from 'vitest'
import { createTestBroker, type TestBroker } from '../testing/kit/test-broker.ts'
import type { Bus } from './bus.ts'

const fails = (): unknown => Promise.reject(new Error('from a callback'))

let test: TestBroker
const heard: string[] = []

async function connect(onError: (error: Error) => unknown = (error) => heard.push(error.message)): Promise<Bus> {
  heard.length = 0
  test = await createTestBroker({ seed: 1 })
  return await test.connect({ onError: onError as (error: Error) => void })
}

afterEach(() => test.close())

describe('an asynchronous callback that fails', () => {
  it('is told to the bus, if it is that of a call', async () => {
    const bus = await connect()
    await bus.answer('ask', () => 1)
    bus.call('ask', null, fails)
    await test.settle()
    expect(heard).toEqual(['from a callback'])
  })

  it('is told to the bus, if it is the onError of a worker, an answerer or a subscriber', async () => {
    const bus = await connect()
    const queue = await bus.createQueue('jobs', { retry: { attempts: 1 } })
    const work = { onError: fails, retry: { attempts: 1 } } as const
    queue.process(() => Promise.reject(new Error('a handler')), { onError: fails })
    await bus.answer('ask', () => Promise.reject(new Error('an answerer')), work)
    await bus.on('told', () => Promise.reject(new Error('a subscriber')), { durable: 'one', ...work })
    await queue.send(1)
    await bus.emit('told', 1)
    await expect(test.run(bus.call('ask', 1))).rejects.toThrow('an answerer')
    await test.settle()
    expect(heard).toEqual(Array.from({ length: 3 }, () => 'from a callback'))
  })

  it('has nobody left to be told to, if it is the onError of the bus', async () => {
    const bus = await connect(fails)
    await bus.on('told', fails)
    await bus.emit('told', 1)
    await test.settle()
    expect((await bus.stats()).length).toBeGreaterThan(0)
  })
})

const unshown = new Error('x')
Object.defineProperty(unshown, 'message', {
  get() {
    throw new Error('a getter')
  },
})
const trap = (): never => {
  throw new Error('a trap')
}
const proxy = new Proxy(new Error('never seen'), { get: trap, getPrototypeOf: trap, has: trap, ownKeys: trap })

/** What looks like a promise, and is none. */
const thenBy = (property: PropertyDescriptor): object => Object.defineProperties({}, { [`th${'en'}`]: property })

describe('a handler', () => {
  it.each([
    ['returns what throws when it is looked at', () => thenBy({ get: trap })],
    ['returns a promise of its own that throws', () => thenBy({ value: trap })],
    ['throws an error that cannot be shown', () => Promise.reject(unshown)],
    ['throws a proxy', () => Promise.reject(proxy)],
  ])('that %s has failed, and the next message comes', async (_what, handler) => {
    const bus = await connect()
    const queue = await bus.createQueue<number, unknown>('jobs', { retry: { attempts: 1 } })
    const seen: number[] = []
    queue.process(({ data }) => {
      seen.push(data)
      return data === 1 ? handler() : 'done'
    })
    await queue.send(1)
    const receipt = await queue.send(2, { receipt: true })
    expect(await test.run(receipt.processed())).toBe('done')
    await test.settle()
    expect(seen).toEqual([1, 2])
    expect((await (await bus.openQueue('jobs.dead')).stats()).ready).toBe(1)
    await expect(test.run(bus.close())).resolves.toBeUndefined()
  })

  it('that answers a call with such an error leaves its caller with one', async () => {
    const bus = await connect()
    await bus.answer('ask', () => Promise.reject(proxy))
    await expect(test.run(bus.call('ask', 1))).rejects.toMatchObject({ code: 'E_CALL_FAILED' })
  })
})

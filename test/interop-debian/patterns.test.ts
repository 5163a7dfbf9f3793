// Events and calls over Debian's RabbitMQ: the same words, and what it cannot do is refused with the reason.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Bus, callError, child, connect, defineCall, defineEvent, isCallError } from '../../src/index.ts'
import { Arrivals, codeOf, Gate } from '../conformance/scene.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'

let broker: Awaited<ReturnType<typeof startRabbitmq>>
let buses: Bus[] = []
let names = 0

beforeAll(async () => {
  broker = await startRabbitmq()
})

afterAll(async () => {
  await broker?.stop()
})

const another = async (): Promise<Bus> => {
  const bus = await connect(broker.url, { onError() {} })
  buses.push(bus)
  return bus
}

let bus: Bus
let name: string

beforeEach(async () => {
  bus = await another()
  name = `patterns-${names++}`
})

afterEach(async () => {
  for (const one of buses) await one.close({ timeout: 0 })
  buses = []
})

test('an event is heard by all who listen to it or to a pattern, in other processes too', async () => {
  const resized = defineEvent<{ file: string }>(`${name}.resized`)
  const heard = new Arrivals<string>()
  await bus.on(resized, ({ data }) => heard.add(`here ${data.file}`))
  await (await another()).on(`${name}.*`, (event) => heard.add(`there ${event.name}`))
  await bus.once(`${name}.#`, () => heard.add('once'))
  await bus.emit(resized, { file: 'a.png' })
  await heard.first(3)
  await bus.emit(resized, { file: 'b.png' })
  await heard.first(5)
  expect([...heard.all].sort()).toEqual(
    ['here a.png', 'here b.png', 'once', `there ${resized.name}`, `there ${resized.name}`].sort(),
  )
  expect(await codeOf(bus.emit(`${name}.unheard`, 1))).toBe('nothing')
})

test('a durable subscriber has what happened while it was away, and those of one name share it', async () => {
  const done = defineEvent<number>(`${name}.done`)
  const first = await bus.on(done, () => {}, { durable: name })
  await first.close()
  for (let at = 0; at < 20; at++) await bus.emit(done, at)
  const seen = new Arrivals<number>()
  const shares = [0, 0]
  for (const [at, one] of [bus, await another()].entries()) {
    await one.on(
      done,
      ({ data }) => {
        shares[at] = (shares[at] ?? 0) + 1
        seen.add(data)
      },
      { durable: name, prefetch: 1 },
    )
  }
  await seen.first(20)
  expect([...seen.all].sort((left, right) => left - right)).toEqual(Array.from({ length: 20 }, (_, at) => at))
  expect(await bus.unsubscribe(name)).toBe(0)
})

test('events are iterated', async () => {
  const events = bus.events(`${name}.*`)
  await events.ready()
  await bus.emit(`${name}.one`, 1)
  await bus.emit(`${name}.two`, 2)
  const seen: unknown[] = []
  for await (const { data } of events) if (seen.push(data) === 2) break
  expect(seen).toEqual([1, 2])
})

test('a call is answered, with a result, a declared error, or nothing in time', async () => {
  const price = defineCall<{ sku: string }, number, { unknownSku: { sku: string } }>(name)
  const answerer = await another()
  await answerer.answer(price, async ({ sku }, context) => {
    if (sku === 'none') throw callError(price, 'unknownSku', { sku })
    if (sku === 'slow') await new Promise((resolve) => context.signal.addEventListener('abort', resolve))
    return sku.length
  })
  expect(await bus.call(price, { sku: 'four' })).toBe(4)
  expect(await new Promise((resolve) => bus.call(price, { sku: 'abc' }, (_error, result) => resolve(result)))).toBe(3)
  const error: unknown = await bus.call(price, { sku: 'none' }).catch((thrown: unknown) => thrown)
  expect(isCallError(error, price, 'unknownSku') && error.remote.data).toEqual({ sku: 'none' })
  expect(await codeOf(bus.call(price, { sku: 'slow' }, { timeout: 100 }))).toBe('E_TIMEOUT')
})

test('a caller that gives up is heard by the answerer', async () => {
  const [begun, cancelled] = [new Gate(), new Gate()]
  await bus.answer(name, async (_data, { signal }) => {
    signal.addEventListener('abort', () => cancelled.open())
    begun.open()
    await cancelled.opened
  })
  const controller = new AbortController()
  const call = bus.call(name, 1, { signal: controller.signal })
  await begun.opened
  controller.abort(new Error('changed my mind'))
  await expect(call).rejects.toThrow('changed my mind')
  await cancelled.opened
})

test('a durable call waits for its answerer', async () => {
  const call = bus.call(name, 5, { durable: true })
  await (await another()).answer(name, (data) => (data as number) + 1)
  expect(await call).toBe(6)
})

test('a call whose answerer is gone is answered by the next one: that nobody knows', async () => {
  const begun = new Gate()
  const first = await another()
  await first.answer(name, () => {
    begun.open()
    return new Promise(() => {})
  })
  const code = codeOf(bus.call(name, 1))
  await begun.opened
  await first.close({ timeout: 0 })
  await bus.answer(name, () => 'done')
  expect(await code).toBe('E_OUTCOME_UNKNOWN')
})

test('what RabbitMQ cannot do is refused, and the reason is among the capabilities', async () => {
  const queue = await bus.createQueue(name, { maxPriority: 3 })
  expect(await codeOf(queue.send(1, { children: [child(queue, 2)] }))).toBe('E_UNSUPPORTED')
  expect(await codeOf(bus.schedule(name, { every: '1h' }, queue, 1))).toBe('E_UNSUPPORTED')
  expect(await codeOf(queue.stats())).toBe('E_UNSUPPORTED')
  expect(await codeOf(queue.model())).toBe('E_UNSUPPORTED')
  const { children, schedules, stats, events } = bus.capabilities()
  expect([children, schedules, stats, events].map(({ support }) => support)).toEqual([
    'refused',
    'refused',
    'refused',
    'native',
  ])
  for (const priority of [1, 3, 2]) await queue.send(priority, { priority })
  const seen: unknown[] = []
  for await (const message of queue.receive({ prefetch: 1 })) {
    seen.push(message.data)
    await message.ack()
    if (seen.length === 3) break
  }
  expect(seen).toEqual([3, 2, 1])
})

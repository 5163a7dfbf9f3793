// Schedules as users of the typed API have them: in virtual time, over processes that come and go.
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { createTestBroker, machineFor, TestBroker } from '../testing/kit/test-broker.ts'
import { defineCall, defineEvent, defineQueue } from './contract.ts'
import type { IncomingMessage } from './incoming.ts'

const resize = defineQueue<{ file: string }>('resize')

test('a handler is told which schedule a message comes from and when it was due, also at another attempt', async () => {
  await using broker = await createTestBroker()
  const bus = await broker.connect()
  const queue = await bus.createQueue(resize, { retry: { attempts: 2, min: '1m', jitter: false } })
  await bus.schedule('nightly', '0 3 * * *', resize, { file: 'all' }, { timezone: 'Asia/Shanghai' })
  const seen: [number, IncomingMessage['schedule']][] = []
  queue.process(
    (message, { attempt }) => {
      seen.push([attempt, message.schedule])
      if (attempt === 1) throw new Error('later')
    },
    { onError() {} },
  )
  await queue.send({ file: 'one' })
  await broker.advance('1d')
  const due = { name: 'nightly', dueAt: new Date('2026-01-01T19:00Z') }
  expect(seen).toEqual([
    [1, null],
    [2, null],
    [1, due],
    [2, due],
  ])
})

test.each([
  ['Europe/Berlin', '2026-03-28T00:00Z', ['28T01:30', '29T01:00', '30T00:30']],
  ['Europe/Berlin', '2026-10-24T00:00Z', ['24T00:30', '25T00:30', '26T01:30']],
  ['America/New_York', '2026-03-07T00:00Z', ['07T07:30', '08T07:00', '09T06:30']],
])('half past two in %s comes every day from %s on, whatever is done to clocks', async (timezone, from, expected) => {
  await using broker = await createTestBroker({ now: new Date(from) })
  const bus = await broker.connect()
  const queue = await bus.createQueue(resize)
  const dues: string[] = []
  queue.process((message) => {
    dues.push(message.schedule?.dueAt.toISOString().slice(8, 16) ?? '')
  })
  await bus.schedule('nightly', '30 2 * * *', resize, { file: 'all' }, { timezone })
  await broker.advance('3d')
  expect(dues).toEqual(expected)
})

test('ten processes that make the same schedule have one, whose runs come once, over a crash as well', async () => {
  await using broker = await createTestBroker()
  for (let at = 0; at < 10; at++) {
    const bus = await broker.connect()
    await bus.createQueue(resize)
    await bus.schedule('often', { every: '10m' }, resize, { file: 'all' })
  }
  await broker.advance('1h')
  await broker.crash()
  await broker.restart()
  const bus = await broker.connect()
  const queue = await bus.openQueue(resize)
  expect((await queue.count()).ready).toBe(6)
  const again = await bus.schedule('often', { every: '10m' }, resize, { file: 'all' })
  expect(again).toMatchObject({ runs: 6, missed: 0 })
  await broker.advance('1h')
  expect((await queue.count()).ready).toBe(12)
})

test('a schedule of an event tells everybody who listens, and is no failure where nobody does', async () => {
  await using broker = await createTestBroker()
  const bus = await broker.connect()
  await bus.schedule('tick', { every: '1s' }, defineEvent<number>('clock.ticked'), 1)
  await broker.advance('10s')
  expect(await bus.schedules()).toMatchObject([
    { name: 'tick', target: { kind: 'event', name: 'clock.ticked' }, runs: 10, failures: 0 },
  ])
  expect(broker.errors).toEqual([])
})

test('a run whose queue is gone is reported to the process that has the broker', async () => {
  await using broker = await createTestBroker()
  const bus = await broker.connect()
  const queue = await bus.createQueue(resize)
  await bus.schedule('often', { every: '10m' }, queue, { file: 'all' })
  await queue.delete()
  await broker.advance('10m')
  expect(broker.errors).toMatchObject([{ code: 'E_UNROUTABLE' }])
  expect(broker.errors[0]?.message).toContain("schedule 'often': queue 'resize' is gone")
})

test('what console.log and JSON show of a schedule is what is known of it', async () => {
  await using broker = await createTestBroker()
  const bus = await broker.connect()
  await bus.createQueue(resize)
  const schedule = await bus.schedule('often', { every: '10m' }, resize, { file: 'all' })
  expect(inspect(schedule)).toContain("name: 'often'")
  expect(JSON.parse(JSON.stringify(schedule))).toMatchObject({
    name: 'often',
    when: { every: 600_000 },
    target: { kind: 'queue', name: 'resize' },
    missedRuns: 'once',
    lastError: null,
    runs: 0,
  })
})

test('a call is no target, for nobody would wait for its answer', async () => {
  await using broker = await createTestBroker()
  const bus = await broker.connect()
  // The compiler refuses it, too.
  const refused = bus.schedule('often', { every: '10m' }, defineCall<number, number>('price') as never, 1 as never)
  await expect(refused).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
})

test('a broker that is no Leveret keeps no schedules, and the capabilities say so beforehand', async () => {
  const { seed, machine } = machineFor({})
  await using broker = new TestBroker(seed, machine, (wiring) => ({ ...wiring, statistics: () => false }))
  await broker.restart()
  const bus = await broker.connect()
  expect(bus.capabilities().schedules.support).toBe('refused')
  await expect(bus.schedule('often', { every: '10m' }, resize, { file: '' })).rejects.toMatchObject({
    code: 'E_UNSUPPORTED',
  })
  await expect(bus.schedules()).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
})

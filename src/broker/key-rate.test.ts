// Queues that limit how fast messages of one key are handed out.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { type Core, type CoreChannel, declareQueue, ManualClock, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'

async function open(
  rate: string,
  keyed: boolean | number = true,
  clock = new ManualClock(),
): Promise<[Core, CoreChannel]> {
  const core = await openCore({ clock })
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: { 'x-leveret-keyed': keyed, 'x-leveret-key-rate': rate } })
  return [core, channel]
}

function publish(channel: CoreChannel, ...bodies: string[]): void {
  for (const body of bodies) channel.publish('', 'q', body, { headers: { 'x-leveret-key': body.charAt(0) } })
}

describe('a queue with a rate per key', () => {
  test('hands out a burst of the count, and then one in each part of the time, whatever is acknowledged', async () => {
    const [core, channel] = await open('2/s')
    channel.consume('q', { noAck: true })
    publish(channel, 'a1', 'a2', 'a3', 'a4')
    expect(channel.takeBodies()).toEqual(['a1', 'a2'])
    core.clock.advance(499)
    expect(channel.takeBodies()).toEqual([])
    core.clock.advance(1)
    expect(channel.takeBodies()).toEqual(['a3'])
    core.clock.advance(500)
    expect(channel.takeBodies()).toEqual(['a4'])
  })

  test.each([
    ['1/s', 1_000],
    ['1/m', 60_000],
    ['4/h', 900_000],
    ['1/d', 86_400_000],
  ])('%s means one in %d ms', async (rate, ms) => {
    const [core, channel] = await open(rate, 65_535)
    channel.consume('q')
    const count = Number.parseInt(rate, 10)
    publish(channel, ...Array.from({ length: count + 1 }, (_one, at) => `a${at}`))
    expect(channel.takeBodies()).toHaveLength(count)
    core.clock.advance(ms - 1)
    expect(channel.takeBodies()).toEqual([])
    core.clock.advance(1)
    expect(channel.takeBodies()).toHaveLength(1)
  })

  test('gives the turn of a key that has to wait to others, and does not limit those without a key', async () => {
    const [, channel] = await open('1/h')
    publish(channel, 'a1', 'a2', 'b1', 'b2')
    for (const body of ['1', '2']) channel.publish('', 'q', body)
    channel.consume('q', { noAck: true })
    expect(channel.takeBodies()).toEqual(['a1', 'b1', '1', '2'])
  })

  test('holds over all consumers, and over basic.get', async () => {
    const [core, channel] = await open('1/s', 9)
    const other = await core.channel()
    publish(channel, 'a1', 'a2', 'a3')
    expect(channel.get('q', true).type).toBe('basic.get-ok')
    expect(channel.get('q', true).type).toBe('basic.get-empty')
    channel.consume('q')
    other.consume('q')
    expect([...channel.takeBodies(), ...other.takeBodies()]).toEqual([])
    core.clock.advance(1_000)
    expect([...channel.takeBodies(), ...other.takeBodies()]).toEqual(['a2'])
    core.clock.advance(1_000)
    expect([...channel.takeBodies(), ...other.takeBodies()]).toEqual(['a3'])
  })

  test('counts what is handed out again, and keeps its order', async () => {
    const [core, channel] = await open('1/s')
    publish(channel, 'a1', 'a2')
    channel.consume('q')
    channel.port.reject(1, false, true)
    core.settle()
    expect(channel.takeBodies()).toEqual(['a1'])
    core.clock.advance(1_000)
    expect(channel.takeBodies()).toEqual(['a1'])
  })

  test('does not count what expires, and goes on after a purge', async () => {
    const [core, channel] = await open('1/s')
    channel.publish('', 'q', 'a1', { headers: { 'x-leveret-key': 'a' }, properties: { expiration: '10' } })
    core.clock.advance(20)
    publish(channel, 'a2', 'a3')
    channel.consume('q', { noAck: true })
    expect(channel.takeBodies()).toEqual(['a2'])
    channel.ask({ type: 'queue.purge', queue: 'q' })
    publish(channel, 'a4')
    expect(channel.takeBodies()).toEqual([])
    core.clock.advance(1_000)
    expect(channel.takeBodies()).toEqual(['a4'])
  })

  test('finds a key that may go far behind one that has to wait', async () => {
    const [, channel] = await open('1/d')
    for (let at = 0; at < 20_000; at++) channel.post('', 'q', 'a', { headers: { 'x-leveret-key': 'a' } })
    publish(channel, 'b1')
    channel.consume('q', { noAck: true })
    expect(channel.takeBodies()).toEqual(['a', 'b1'])
    expect(20_000).toBeLessThan(limits.stagedEntriesMax)
  })

  test('waits by a timer and does nothing until then', async () => {
    const clock = new ManualClock()
    let timers = 0
    const setTimer = clock.setTimer.bind(clock)
    clock.setTimer = (ms, callback) => {
      timers++
      return setTimer(ms, callback)
    }
    const [core, channel] = await open('1/h', true, clock)
    channel.consume('q', { noAck: true })
    publish(channel, 'a1', 'a2')
    const before = timers
    core.clock.advance(3_600_000)
    expect(channel.takeBodies()).toEqual(['a1', 'a2'])
    // The timer of all queues looks again every half a minute.
    expect(timers - before).toBeLessThan(150)
  })
})

test.each([
  [{ 'x-leveret-keyed': true, 'x-leveret-key-rate': 5 }, '{unacceptable_type,'],
  ...['', '0/s', '10', '10/w', '1000001/s', '1.5/s', '-1/s', ' 1/s', '01/s'].map((rate): [object, string] => [
    { 'x-leveret-keyed': true, 'x-leveret-key-rate': rate },
    `"unsupported key rate '${rate}'"`,
  ]),
  [{ 'x-leveret-key-rate': '1/s' }, 'key_rate_but_no_keys_defined'],
  [{ 'x-leveret-keyed': false, 'x-leveret-key-rate': '1/s' }, 'key_rate_but_no_keys_defined'],
])('%j is refused', async (values, reason) => {
  const core = await openCore()
  const channel = await core.channel()
  const text = channel.refusal(declareQueue('q', { arguments: values as Record<string, string> }))
  expect(text).toContain(`PRECONDITION_FAILED - invalid arg 'x-leveret-key-rate' for queue 'q' in vhost '/': ${reason}`)
})

test('a queue is not declared again with another rate', async () => {
  const [, channel] = await open('1/s')
  const text = channel.refusal(
    declareQueue('q', { arguments: { 'x-leveret-keyed': true, 'x-leveret-key-rate': '2/s' } }),
  )
  expect(text).toContain("inequivalent arg 'x-leveret-key-rate'")
})

test('whatever comes when, no key gets more than its rate and its burst, each in order, and all of it in the end', async () => {
  const step = fc.record({
    what: fc.constantFrom('publish', 'publish', 'publish', 'wait', 'ack', 'ack', 'back', 'get'),
    key: fc.constantFrom('a', 'b', 'c'),
    number: fc.integer({ min: 0, max: 700 }),
  })
  const history = fc.record({
    steps: fc.array(step, { maxLength: 120 }),
    count: fc.integer({ min: 1, max: 4 }),
    concurrency: fc.integer({ min: 1, max: 3 }),
    returns: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(history, async ({ steps, count, concurrency, returns }) => {
      const clock = new ManualClock()
      const [core, channel] = await open(`${count}/s`, concurrency, clock)
      const times = new Map<string, number[]>()
      const settled = new Map<string, string[]>()
      const published = new Map<string, string[]>()
      const out: { tag: number; body: string }[] = []
      const took = (tag: number, body: string): void => {
        const key = body.charAt(0)
        times.set(key, [...(times.get(key) ?? []), clock.monotonicMs()])
        out.push({ tag, body })
      }
      const settle = (at: number): void => {
        const [{ tag, body }] = out.splice(at % out.length, 1) as [{ tag: number; body: string }]
        settled.set(body.charAt(0), [...(settled.get(body.charAt(0)) ?? []), body])
        channel.port.ack(tag, false)
        core.settle()
      }
      channel.onDelivered = ({ tag, body }) => took(tag, body)
      channel.consume('q')
      for (const { what, key, number } of steps) {
        if (what === 'publish') {
          const bodies = published.get(key) ?? []
          const body = `${key}${bodies.length}`
          published.set(key, [...bodies, body])
          publish(channel, body)
        } else if (what === 'wait') clock.advance(number)
        else if (what === 'get') {
          const reply = channel.get('q')
          if (reply.type === 'basic.get-ok') took(reply.deliveryTag, reply.message.body.toString())
        } else if (out.length === 0) continue
        else if (what === 'ack') settle(number)
        else if (returns) {
          const [first] = out.splice(number % out.length, 1)
          channel.port.reject(first?.tag ?? 0, false, true)
          core.settle()
        }
      }
      for (let rounds = 0; rounds < 400; rounds++) {
        while (out.length > 0) settle(0)
        clock.advance(250)
      }
      for (const [key, bodies] of published) {
        const order = settled.get(key) ?? []
        if (concurrency === 1) expect(order).toEqual(bodies)
        else expect([...order].sort()).toEqual([...bodies].sort())
        const given = times.get(key) ?? []
        for (let from = 0; from < given.length; from++) {
          for (let to = from; to < given.length; to++) {
            const windowMs = (given[to] as number) - (given[from] as number)
            expect(to - from + 1).toBeLessThanOrEqual(count + (windowMs * count) / 1_000 + 1e-9)
          }
        }
      }
    }),
    { numRuns: 60 },
  )
})

test('after a restart keys begin anew, in order, also those that were on the disk', async () => {
  const folder = new SimFolder()
  let run = await folder.open()
  const values = { 'x-leveret-keyed': true, 'x-leveret-key-rate': '1/h' }
  run.channel.give(declareQueue('q', { durable: true, arguments: values }))
  await run.settle()
  for (let at = 0; at < 300; at++) run.post('q', `a${at} ${'.'.repeat(200)}`, { 'x-leveret-key': 'a' })
  run.post('q', 'b0', { 'x-leveret-key': 'b' })
  await run.settle(1_000)
  expect((await run.take('q')).map((body) => body.split(' ')[0])).toEqual(['a0', 'b0'])
  await run.settle(1_000)
  folder.kill(true)
  run = await folder.open()
  expect((await run.take('q')).map((body) => body.split(' ')[0])).toEqual(['a1'])
  await run.settle(3_600_000)
  expect((await run.take('q')).map((body) => body.split(' ')[0])).toEqual(['a2'])
})

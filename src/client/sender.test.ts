// Sends on a scripted channel: what the broker says and when is up to the test.
import { describe, expect, it } from 'vitest'
import { openWorld, type World } from '../../test/support/client-world.ts'
import { type ScriptedChannel, ScriptedDriver } from '../../test/support/scripted-driver.ts'
import { BrokerError } from '../model/errors.ts'
import { Message } from '../model/message.ts'
import { clientLimits } from './client-limits.ts'
import type { Queue } from './queue.ts'

interface Stage {
  readonly world: World
  readonly driver: ScriptedDriver
  readonly queue: Queue
  /** The channel for sending; it opens with the first send. */
  readonly line: () => ScriptedChannel
}

async function stage(highWater = 1_000): Promise<Stage> {
  const driver = new ScriptedDriver()
  const world = await openWorld({ driver, highWater })
  const creating = world.bus.createQueue('jobs')
  await world.settle()
  const control = driver.channels[0] as ScriptedChannel
  control.answer('queue.declare')
  const queue = await world.run(creating)
  return { world, driver, queue, line: () => driver.channels.at(-1) as ScriptedChannel }
}

/** 'stored', the error's code, or 'open'. */
function watch(promises: readonly Promise<unknown>[]): string[] {
  const states = promises.map(() => 'open')
  for (const [at, promise] of promises.entries()) {
    promise.then(
      () => {
        states[at] = 'stored'
      },
      (error: { code?: string; message: string }) => {
        states[at] = error.code ?? error.message
      },
    )
  }
  return states
}

function bodies(channel: ScriptedChannel): string[] {
  return channel.published.map((message) => message.body.toString())
}

describe('sending', () => {
  it('waits for confirm mode before it publishes', async () => {
    const { world, queue, line } = await stage()
    const states = watch([queue.send(1), queue.send(2)])
    expect(line().published).toEqual([])
    line().answer('confirm.select')
    expect(bodies(line())).toEqual(['1', '2'])
    await world.settle()
    expect(states).toEqual(['open', 'open'])
  })

  it('goes on through another channel when a message cannot be published, and tells all it is about', async () => {
    const { world, driver, queue, line } = await stage()
    const first = watch([queue.send(1)])
    line().answer('confirm.select')
    line().publish = () => {
      throw new TypeError('nobody can publish that')
    }
    const second = watch([queue.send(2)])
    await world.settle()
    expect([...first, ...second]).toEqual(['E_OUTCOME_UNKNOWN', 'nobody can publish that'])
    const before = driver.channels.length
    const third = watch([queue.send(3)])
    await world.settle()
    expect(driver.channels.length).toBe(before + 1)
    line().answer('confirm.select')
    line().events.confirmed(1, false, true)
    await world.settle()
    expect(third).toEqual(['stored'])
  })

  it('resolves with the confirm and not before, one by one or many at once', async () => {
    const { world, queue, line } = await stage()
    const states = watch([1, 2, 3, 4, 5].map((data) => queue.send(data)))
    line().answer('confirm.select')
    line().events.confirmed(2, false, true)
    await world.settle()
    expect(states).toEqual(['open', 'stored', 'open', 'open', 'open'])
    line().events.confirmed(4, true, true)
    await world.settle()
    expect(states).toEqual(['stored', 'stored', 'stored', 'stored', 'open'])
    // A confirm that comes twice, or for nothing, is no news.
    line().events.confirmed(4, true, true)
    line().events.confirmed(9, false, true)
    line().events.confirmed(5, false, false)
    await world.settle()
    expect(states.at(-1)).toBe('E_REFUSED')
  })

  it('says which queue did not take a message', async () => {
    const { queue, line } = await stage()
    const sent = queue.send(1)
    line().answer('confirm.select')
    line().events.confirmed(1, false, false)
    await expect(sent).rejects.toThrow("E_REFUSED: queue 'jobs' did not take the message")
  })

  it('refuses a message that came back, though the broker confirms it', async () => {
    const { world, queue, line } = await stage()
    const sends = [queue.send(1), queue.send(2), queue.send(3)]
    const states = watch(sends)
    line().answer('confirm.select')
    const [, second] = line().published
    // Over the wire it comes back as another object with the same bytes.
    const returned = Message.of('', 'jobs', second?.propertyBytes as Buffer, second?.body as Buffer)
    line().events.returned(returned, 'NO_ROUTE')
    line().events.confirmed(3, true, true)
    await world.settle()
    expect(states).toEqual(['stored', 'E_UNROUTABLE', 'stored'])
    await expect(sends[1]).rejects.toThrow("queue 'jobs' is gone")
  })

  it('has no more on its way than its high water, and keeps the order', async () => {
    const { queue, line } = await stage(2)
    watch([1, 2, 3, 4].map((data) => queue.send(data)))
    line().answer('confirm.select')
    expect(bodies(line())).toEqual(['1', '2'])
    line().events.confirmed(1, false, true)
    watch([queue.send(5)])
    expect(bodies(line())).toEqual(['1', '2'])
    line().events.flush()
    expect(bodies(line())).toEqual(['1', '2', '3'])
    line().events.confirmed(3, true, true)
    line().events.flush()
    expect(bodies(line())).toEqual(['1', '2', '3', '4', '5'])
  })

  it('has no more bytes on their way than their bound', async () => {
    const { queue, line } = await stage()
    const large = Buffer.alloc(900_000)
    const count = Math.ceil(clientLimits.highWaterBytes / large.length) + 2
    watch(Array.from({ length: count }, () => queue.send(large)))
    line().answer('confirm.select')
    const first = line().published.length
    expect(first).toBeLessThan(count)
    line().events.confirmed(first, true, true)
    line().events.flush()
    expect(line().published).toHaveLength(count)
  })

  it.each(['blocked', 'throttled'] as const)('waits while the broker is %s', async (state) => {
    const { world, driver, queue, line } = await stage()
    watch([queue.send(1)])
    line().answer('confirm.select')
    if (state === 'blocked') driver.events?.blocked('low on memory')
    else driver.events?.throttled()
    watch([queue.send(2)])
    line().events.flush()
    expect(bodies(line())).toEqual(['1'])
    if (state === 'blocked') driver.events?.unblocked()
    else driver.events?.resumed()
    expect(bodies(line())).toEqual(['1'])
    await world.settle()
    expect(bodies(line())).toEqual(['1', '2'])
  })

  it('gives up a send that waits when its signal says so, and not one on its way', async () => {
    const { world, driver, queue, line } = await stage()
    const controller = new AbortController()
    const { signal } = controller
    const onItsWay = queue.send(1, { signal })
    line().answer('confirm.select')
    driver.events?.throttled()
    const waiting = queue.send(2, { signal })
    const states = watch([onItsWay, waiting, queue.send(3)])
    controller.abort(new Error('changed my mind'))
    await world.settle()
    expect(states).toEqual(['open', 'changed my mind', 'open'])
    await expect(queue.send(4, { signal })).rejects.toThrow('changed my mind')
    driver.events?.resumed()
    await world.settle()
    expect(bodies(line())).toEqual(['1', '3'])
  })

  it('refuses what was on its way when the channel is closed, and sends the rest on another', async () => {
    const { world, queue, line } = await stage(2)
    const states = watch([1, 2, 3].map((data) => queue.send(data)))
    line().answer('confirm.select')
    const first = line()
    first.events.failed(0, new BrokerError('PRECONDITION_FAILED', 'too large'))
    await world.settle()
    expect(first.isClosed).toBe(true)
    expect(states).toEqual(['E_OUTCOME_UNKNOWN', 'E_OUTCOME_UNKNOWN', 'open'])
    expect(line()).not.toBe(first)
    line().answer('confirm.select')
    expect(bodies(line())).toEqual(['3'])
  })

  it('keeps what a channel did not take because it had just failed', async () => {
    const { world, queue, line } = await stage()
    watch([queue.send(1)])
    line().answer('confirm.select')
    const first = line()
    first.isFailing = true
    const states = watch([queue.send(2), queue.send(3)])
    first.events.failed(0, new BrokerError('PRECONDITION_FAILED', 'no'))
    await world.settle()
    line().answer('confirm.select')
    expect(bodies(line())).toEqual(['2', '3'])
    expect(states).toEqual(['open', 'open'])
  })

  it('does not ask for ever for a channel that is refused', async () => {
    const { world, driver, queue, line } = await stage()
    const states = watch([queue.send(1)])
    line().events.failed(1, new BrokerError('NOT_IMPLEMENTED', 'no confirms'))
    await world.settle()
    expect(states).toEqual(['NOT_IMPLEMENTED'])
    expect(driver.channels).toHaveLength(2)
  })

  it('tells everybody when the connection is lost', async () => {
    const { world, driver, queue, line } = await stage(1)
    const states = watch([queue.send(1), queue.send(2)])
    line().answer('confirm.select')
    driver.events?.closed(new BrokerError('CONNECTION_FORCED', 'reset by peer'))
    await world.settle()
    expect(states).toEqual(['E_CONNECTION_LOST', 'E_CONNECTION_LOST'])
    await expect(queue.send(3)).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(queue.purge()).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    expect(world.errors).toMatchObject([{ code: 'E_CONNECTION_LOST' }])
  })

  it('refuses what is no data before anything is sent', async () => {
    const { queue } = await stage()
    await expect(queue.send(Symbol('no data') as never)).rejects.toMatchObject({ code: 'E_BAD_DATA' })
    const circular: { self?: unknown } = {}
    circular.self = circular
    await expect(queue.send(circular)).rejects.toThrow("the data for queue 'jobs' cannot be written as JSON")
    await expect(queue.send(1n)).rejects.toMatchObject({ code: 'E_BAD_DATA' })
    await expect(queue.send(Buffer.alloc(1_000_001))).rejects.toThrow('has 1000001 bytes, at most 1000000')
    await expect(queue.send('x'.repeat(1_000_000))).rejects.toMatchObject({ code: 'E_BAD_DATA' })
  })

  it('knows its options', async () => {
    const { queue } = await stage()
    await expect(queue.send(1, { header: {} } as never)).rejects.toThrow("there is no option 'header'")
    await expect(queue.send({}, { contentType: 'text/csv' })).rejects.toThrow('give text or bytes')
  })
})

describe('sendMany', () => {
  it('resolves when all are stored', async () => {
    const { world, queue, line } = await stage()
    const promise = queue.sendMany([1, 2, 3])
    const states = watch([promise])
    await world.settle()
    line().answer('confirm.select')
    line().events.confirmed(2, true, true)
    await world.settle()
    expect(states).toEqual(['open'])
    line().events.confirmed(3, false, true)
    const sent = await world.run(promise)
    expect(new Set(sent.map(({ id }) => id)).size).toBe(3)
    expect(await queue.sendMany([])).toEqual([])
  })

  it('sends none if one is bad', async () => {
    const { world, driver, queue } = await stage()
    await expect(queue.sendMany([1, 2n, 3])).rejects.toMatchObject({ code: 'E_BAD_DATA' })
    await expect(queue.sendMany([1], { receipt: true } as never)).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
    await world.settle()
    expect(driver.channels).toHaveLength(1)
  })

  it('says how many are stored if not all are', async () => {
    const { world, queue, line } = await stage()
    const promise = queue.sendMany([1, 2, 3])
    promise.catch(() => {})
    await world.settle()
    line().answer('confirm.select')
    line().events.confirmed(1, false, true)
    line().events.confirmed(2, false, false)
    line().events.confirmed(3, false, true)
    await expect(world.run(promise)).rejects.toThrow(
      "E_REFUSED: queue 'jobs': 2 of 3 messages are known to be stored; the first that is not:",
    )
  })
})

describe('closing a bus', () => {
  it('waits for what is on its way', async () => {
    const { world, queue, line } = await stage(1)
    const states = watch([queue.send(1), queue.send(2)])
    line().answer('confirm.select')
    let isClosed = false
    const closing = world.bus.close().then(() => {
      isClosed = true
    })
    await world.settle()
    line().events.confirmed(1, false, true)
    line().events.flush()
    await world.settle()
    expect(isClosed).toBe(false)
    line().events.confirmed(2, false, true)
    line().events.flush()
    await world.run(closing)
    expect(states).toEqual(['stored', 'stored'])
  })

  it('gives up after its timeout, and says that the outcome is unknown', async () => {
    const { world, queue, line } = await stage()
    const states = watch([queue.send(1)])
    line().answer('confirm.select')
    const closing = world.bus.close({ timeout: '3s' })
    await world.clock.advance(2_999)
    expect(states).toEqual(['open'])
    await world.run(closing)
    expect(states).toEqual(['E_CLOSED'])
    await expect(queue.send(2)).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(world.bus.createQueue('more')).rejects.toMatchObject({ code: 'E_CLOSED' })
  })
})

// Messages that are hidden until they are due: when they appear, where, and that a crash never loses or doubles one.
import { describe, expect, test } from 'vitest'
import type { Reply } from '../model/command.ts'
import { type Core, type CoreChannel, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'

async function open(queueArguments: Readonly<Record<string, number>> = {}): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: queueArguments })
  return [core, channel]
}

function publish(channel: CoreChannel, body: string, ms: number): void {
  channel.publish('', 'q', body, { headers: { 'x-leveret-delay': ms } })
}

/** How many messages are ready and hidden, of each queue. */
function queuesOf(reply: Reply | undefined): (readonly [number, number])[] {
  return reply?.type === 'leveret.queues-ok' ? reply.queues.map(({ ready, delayed }) => [ready, delayed]) : []
}

describe('a message with a delay', () => {
  test('is there when its time has come, at most 16 ms later, and not before', async () => {
    const [core, channel] = await open()
    publish(channel, 'a', 5_000)
    core.clock.advance(4_999)
    expect(channel.counts('q')?.ready).toBe(0)
    expect(channel.get('q').type).toBe('basic.get-empty')
    core.clock.advance(17)
    expect(channel.counts('q')?.ready).toBe(1)
    expect(channel.drain('q')).toEqual(['a'])
  })

  test('takes its place at the end when it is due, and those of one moment keep their order', async () => {
    const [core, channel] = await open()
    publish(channel, 'late', 2_000)
    for (const body of ['a', 'b', 'c']) publish(channel, body, 1_000)
    channel.publish('', 'q', 'first')
    core.clock.advance(1_100)
    channel.publish('', 'q', 'between')
    core.clock.advance(1_000)
    expect(channel.drain('q')).toEqual(['first', 'a', 'b', 'c', 'between', 'late'])
  })

  test('goes to a consumer that waits for it, by itself, and not as redelivered', async () => {
    const [core, channel] = await open()
    channel.consume('q', { tag: 'c' })
    publish(channel, 'a', 100)
    expect(channel.takeBodies()).toEqual([])
    core.clock.advance(120)
    expect(channel.deliveries.map(({ message, redelivered }) => [message.body.toString(), redelivered])).toEqual([
      ['a', false],
    ])
  })

  test('of days, and one of no time at all', async () => {
    const [core, channel] = await open()
    publish(channel, 'at once', 0)
    expect(channel.drain('q')).toEqual(['at once'])
    const day = 86_400_000
    publish(channel, 'in 40 days', 40 * day)
    for (let at = 0; at < 40; at++) {
      expect(channel.counts('q')?.ready).toBe(0)
      core.clock.advance(day)
    }
    core.clock.advance(16)
    expect(channel.drain('q')).toEqual(['in 40 days'])
  })

  test('expires as long after it was due as it may wait', async () => {
    const [core, channel] = await open({ 'x-message-ttl': 300 })
    publish(channel, 'a', 1_000)
    core.clock.advance(1_100)
    expect(channel.counts('q')?.ready).toBe(1)
    core.clock.advance(250)
    expect(channel.counts('q')?.ready).toBe(0)
  })

  test('has the priority it says', async () => {
    const [core, channel] = await open({ 'x-max-priority': 5 })
    for (const priority of [1, 4, 2]) {
      channel.publish('', 'q', `p${priority}`, { headers: { 'x-leveret-delay': 500 }, properties: { priority } })
    }
    core.clock.advance(600)
    expect(channel.drain('q')).toEqual(['p4', 'p2', 'p1'])
  })

  test('is none of those of its key that are with a consumer when it appears', async () => {
    const [core, channel] = await open({ 'x-leveret-keyed': 1 })
    channel.consume('q', { tag: 'c' })
    const headers = { 'x-leveret-key': 'k' }
    channel.publish('', 'q', 'late', { headers: { ...headers, 'x-leveret-delay': 100 } })
    channel.publish('', 'q', 'first', { headers })
    core.clock.advance(200)
    expect(channel.takeBodies()).toEqual(['first'])
  })

  test('is counted apart, goes with a purge, and keeps a queue from being deleted as empty', async () => {
    const [core, channel] = await open()
    publish(channel, 'a', 1_000)
    publish(channel, 'b', 100_000)
    const other = await core.channel()
    const delayed = () => queuesOf(other.ask({ type: 'leveret.queues' }))
    expect(delayed()).toEqual([[0, 2]])
    expect(channel.refusal({ type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: true })).toContain('not empty')
    expect(other.ask({ type: 'queue.purge', queue: 'q' })).toEqual({ type: 'queue.purge-ok', messageCount: 2 })
    expect(delayed()).toEqual([[0, 0]])
    core.clock.advance(200_000)
    expect(other.counts('q')?.ready).toBe(0)
  })

  test.each<[unknown, string]>([
    [-1, "'-1'"],
    [1.5, "'1.5'"],
    [315_360_000_001, "'315360000001'"],
    ['soon', "'soon'"],
    [true, "'a field of type t'"],
  ])('of %j is refused', async (delay, shown) => {
    const [, channel] = await open()
    channel.publish('', 'q', 'a', { headers: { 'x-leveret-delay': delay as number } })
    expect(channel.error?.message).toBe(
      `PRECONDITION_FAILED - invalid x-leveret-delay ${shown}: an integer of milliseconds from 0 to 315360000000 is wanted`,
    )
  })
})

describe('with a log', () => {
  const count = 60
  const bodies = Array.from({ length: count }, (_, number) => `${number} ${'.'.repeat(400)}`)
  const small = { windowBytesMax: 2_000 }

  /** Messages that are due one after the other, the last one first. */
  async function fill(folder: SimFolder): Promise<Awaited<ReturnType<SimFolder['open']>>> {
    const run = await folder.open('/data', small)
    await run.declare('q')
    for (let at = count - 1; at >= 0; at--) run.post('q', bodies[at] as string, { 'x-leveret-delay': 1_000 + at * 30 })
    await run.settle()
    return run
  }

  test('what is hidden takes no memory but its page, and comes out in the order in which it is due', async () => {
    const folder = new SimFolder()
    const run = await fill(folder)
    const id = run.channel.give({ type: 'leveret.queues' })
    await run.settle()
    expect(queuesOf(run.channel.replies.get(id))).toEqual([[0, count]])
    expect(run.broker.residentBytes).toBe(0)
    await run.settle(5_000)
    expect(await run.take('q')).toEqual(bodies)
    await run.close()
  })

  test('it stays hidden when the folder is closed and opened again, with and without a checkpoint', async () => {
    for (const checkpointMs of [10, 1_000_000]) {
      const folder = new SimFolder()
      const run = await fill(folder)
      await run.close()
      const again = await folder.open('/data', { ...small, checkpointMs, checkpointBytes: 1_000_000 })
      expect(await again.take('q')).toEqual([])
      await again.settle(5_000)
      expect(await again.take('q')).toEqual(bodies)
      await again.close()
    }
  })

  test('what comes in one turn appears by itself, though it is put into a slot that has begun', async () => {
    const folder = new SimFolder()
    const run = await folder.open('/data', small)
    await run.declare('q')
    // The first one makes the wheel take the present for the slot before, and then that of the second has begun.
    await run.settle(1_024 - (folder.clock.realtimeMs() % 1_024))
    run.post('q', 'a', { 'x-leveret-delay': 5 })
    run.post('q', 'b', { 'x-leveret-delay': 700 })
    await run.settle(1_000)
    expect(await run.take('q')).toEqual(['a', 'b'])
  })

  test('whenever the power goes, each is there once when all are due', async () => {
    const folder = new SimFolder()
    const run = await fill(folder)
    let tried = 0
    let seen = 0
    for (let ms = 0; ms < 4_000; ms++) {
      const { operations } = folder.disk
      await run.settle(1)
      if (ms < 500 || ms % 3 > 0 || folder.disk.operations === operations) continue
      const after = new SimFolder(ms)
      const copy = folder.disk.clone(after.clock, ms)
      copy.crash()
      after.disk.restore(copy.snapshot())
      const recovered = await after.open('/data', small)
      const early = await recovered.take('q')
      if (early.length > 0 && early.length < count) seen++
      await recovered.settle(10_000)
      const rest = await recovered.take('q')
      // Those that were due had their places before.
      expect([...early, ...rest]).toEqual(bodies)
      tried++
    }
    expect(tried).toBeGreaterThan(10)
    expect(seen).toBeGreaterThan(2)
  })
})
